"""Write the lists that the configs read: build_annotations.py DATASET ... --out-dir DIR

From the official split files of Kinetics-400, UCF101, HMDB51, Something-Something V2,
Diving48 (V2) or Jester, or (``folder``) from one's own folder with a folder of videos for
each class.
"""

import argparse
import sys
from pathlib import Path

OFFICIAL = ('kinetics400', 'ucf101', 'hmdb51', 'sthv2', 'diving48', 'jester')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    datasets = parser.add_subparsers(dest='dataset', required=True)
    for dataset in OFFICIAL:
        official = datasets.add_parser(dataset)
        official.add_argument(
            '--splits', type=Path, required=True, help='folder of the official split files'
        )
        images = dataset == 'jester'  # whose lists have the number of images of each video
        videos = 'folder of the folders of images' if images else 'folder to look for them in'
        official.add_argument(
            '--videos', type=Path, required=images, help=f'list only what is there: {videos}'
        )
    own = datasets.add_parser('folder')
    own.add_argument(
        '--videos',
        type=Path,
        required=True,
        help='folder of class folders, or of train and val (or test) that have them',
    )
    own.add_argument(
        '--test-share', type=float, default=0.2, help='of each class, where there is no val'
    )
    own.add_argument('--seed', type=int, default=0, help='of the choice of these')
    for subparser in datasets.choices.values():
        subparser.add_argument('--out-dir', type=Path, required=True, help='folder for the lists')
    return parser.parse_args()


if __name__ == '__main__':
    ARGS = parse_args()  # before the imports below, which take seconds


from artnet_mm.data_making.motion_splits import (
    count_images,
    read_diving48,
    read_jester,
    read_sthv2,
)
from artnet_mm.data_making.official_splits import (
    ListsByName,
    keep_existing,
    read_folder,
    read_hmdb51,
    read_kinetics400,
    read_ucf101,
    write_lists,
)

from rich.console import Console
from rich.table import Table

READERS = {
    'kinetics400': read_kinetics400,
    'ucf101': read_ucf101,
    'hmdb51': read_hmdb51,
    'sthv2': read_sthv2,
    'diving48': read_diving48,
    'jester': read_jester,
}
NUM_CLASSES = {'kinetics400': 400, 'sthv2': 174, 'diving48': 48, 'jester': 27}


def build(args: argparse.Namespace) -> tuple[ListsByName, list[str], dict[str, list[str]]]:
    """Lists, classes, and what is missing where that was looked for."""
    for option in ('splits', 'videos'):
        folder = getattr(args, option, None)
        if folder and not folder.is_dir():
            raise NotADirectoryError(f'--{option} {folder} is not a folder')
    if args.dataset == 'folder':
        return *read_folder(args.videos, args.test_share, args.seed), {}
    lists, classes = READERS[args.dataset](args.splits)
    if not args.videos:
        return lists, classes, {}
    if args.dataset == 'jester':
        lists, missing = count_images(lists, args.videos)
    else:
        lists, missing = keep_existing(lists, args.videos, by_name=args.dataset == 'kinetics400')
    return lists, classes, missing


def main(args: argparse.Namespace) -> None:
    try:
        with Console(stderr=True).status('reading the splits and looking for the videos'):
            lists, classes, missing = build(args)
        write_lists(args.out_dir, lists, classes, missing)
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from None
    expected = NUM_CLASSES.get(args.dataset, len(classes))
    if len(classes) != expected:
        print(f'warning: {len(classes)} classes, not {expected}; labels differ', file=sys.stderr)
    if args.dataset == 'folder':
        folders = (path for path in sorted(args.videos.rglob('*')) if path.is_dir())
        for path in folders:
            if not any(path.iterdir()):
                print(f'warning: {path} is empty, and no class', file=sys.stderr)

    table = Table('list')
    for column in ('videos', 'missing', 'classes'):
        table.add_column(column, justify='right')
    for name in missing or lists:
        entries, lost = lists.get(name, ()), str(len(missing[name])) if missing else '-'
        present = len({line.label for line in entries if line.label >= 0})
        table.add_row(f'{name}.txt', str(len(entries)), lost, f'{present} of {len(classes)}')
    Console().print(table)


if __name__ == '__main__':
    main(ARGS)
