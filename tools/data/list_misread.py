"""Name the videos of lists that decord misreads: list_misread.py LIST... --videos DIR --out DIR

Reads random clips with decord, as MMAction2's steps do, and compares them with the frames that
FFmpeg presents at these indices, which artnet_mm trains on. Writes <list>_misread.txt to --out,
with the number of wrong frames of 192, where there are such videos.
"""

import argparse
import time
from functools import partial
from pathlib import Path

from artnet_mm.data_making.misread import CLIP_LEN, CLIPS, count_misread
from artnet_mm.data_making.over_lists import parse_args, read_lists, report, unique_paths
from artnet_mm.data_making.processes import console, process_all
from artnet_mm.files import write_whole


def compare(videos: Path, path: str) -> int:
    return count_misread(videos / path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    args = parse_args(parser, timeout=600)
    start = time.monotonic()
    try:
        lists = read_lists(args.lists, args.videos, args.out)
        args.out.mkdir(parents=True, exist_ok=True)
        work = partial(compare, args.videos)
        counts, failures = process_all(work, unique_paths(lists), args.processes, args.timeout)
        for path, lines in lists.items():
            wrong = {line.path: counts[line.path] for line in lines if counts.get(line.path)}
            place = args.out / f'{path.stem}_misread.txt'
            if wrong:
                write_whole(place, ''.join(f'{name}\t{count}\n' for name, count in wrong.items()))
            else:
                place.unlink(missing_ok=True)
            frames = f'of {CLIPS * CLIP_LEN} frames each'
            named = f': {place} has how many {frames}' if wrong else ''
            text = f'{path}: {len(wrong)} of {len(lines)} videos are misread{named}'
            console.print(text, soft_wrap=True)
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from None
    report(len(counts), 0, failures, time.monotonic() - start)


if __name__ == '__main__':
    main()
