"""Name the videos of lists that decord misreads: list_misread.py LIST... --videos DIR --out-dir DIR

Reads random clips with decord, as MMAction2's steps do, and compares them with the frames that
FFmpeg presents at these indices, which artnet_mm trains on. Writes <list>_misread.txt to --out-dir,
with the number of wrong frames of 192, where there are such videos.
"""

import argparse
import time
from functools import partial
from pathlib import Path

from list_arguments import parse_list_args


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    return parse_list_args(parser, timeout=600)


if __name__ == '__main__':
    ARGS = parse_args()  # before the imports below, which take seconds


from artnet_mm.data_making.misread import CLIP_LEN, CLIPS, count_misread
from artnet_mm.data_making.over_lists import read_lists, report, unique_paths
from artnet_mm.data_making.processes import console, process_all
from artnet_mm.files import write_whole


def compare(videos: Path, path: str) -> int:
    return count_misread(videos / path)


def main(args: argparse.Namespace) -> None:
    start = time.monotonic()
    try:
        lists = read_lists(args.lists, args.videos, args.out_dir)
        args.out_dir.mkdir(parents=True, exist_ok=True)
        work = partial(compare, args.videos)
        counts, failures = process_all(work, unique_paths(lists), args.processes, args.timeout)
        for path, lines in lists.items():
            wrong = {line.path: counts[line.path] for line in lines if counts.get(line.path)}
            place = args.out_dir / f'{path.stem}_misread.txt'
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
    main(ARGS)
