"""Decode every frame of all videos of lists: check_videos.py LIST... --videos DIR --out-dir DIR

Writes to --out-dir each list without the videos that are broken and, where there are
some, <list>_broken.txt with the reasons; says of which kinds the others are and how their
frames are found. What can be decoded is kept in
<videos>_checked.txt and not decoded again unless the file changes.
"""

import argparse
import os.path as osp
import time
from collections import Counter
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


from artnet_mm.data_making.copies import check_video
from artnet_mm.data_making.over_lists import (
    read_lists,
    report,
    unique_paths,
    write_lists,
)
from artnet_mm.data_making.processes import console, process_all


def check(videos: Path, path: str) -> str:
    return check_video(videos / path)


def state(videos: Path, path: str) -> str:
    """Line of a video in the journal, other than before if the file has changed."""
    try:
        status = (videos / path).stat()
    except OSError:
        return ''
    return f'{path}\t{status.st_size}\t{status.st_mtime_ns}'


def main(args: argparse.Namespace) -> None:
    start = time.monotonic()
    journal = args.out_dir / f'{osp.basename(osp.abspath(args.videos))}_checked.txt'
    try:
        lists = read_lists(args.lists, args.videos, args.out_dir)
        args.out_dir.mkdir(parents=True, exist_ok=True)
        states = {path: state(args.videos, path) for path in unique_paths(lists)}
        with journal.open('a+', encoding='utf-8', errors='replace', buffering=1) as file:
            file.seek(0)
            known = file.read()
            if known and not known.endswith('\n'):  # cut by a kill
                file.write('\n')
            checked = set(known.split('\n')) - {''}
            unknown = [path for path in states if states[path] not in checked]
            kinds, failures = process_all(
                partial(check, args.videos),
                unknown,
                args.processes,
                args.timeout,
                on_success=lambda path, _: file.write(f'{states[path]}\n'),
            )
        write_lists(lists, args.out_dir, lambda line: line, failures, 'broken')
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from None
    if checked and kinds:
        console.print(f'of the {len(kinds)} that were not checked before:')
    for kind, count in Counter(kinds.values()).most_common():
        console.print(f'{count} {kind}', soft_wrap=True)
    done = len(unknown) - len(failures)
    report(done, len(states) - len(unknown), failures, time.monotonic() - start)


if __name__ == '__main__':
    main(ARGS)
