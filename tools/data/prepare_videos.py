"""Small copies of all videos of lists: prepare_videos.py LIST... --videos DIR --out-dir DIR

Writes to the data root --out-dir a small H.264 file for every video, fast to read clips
from and verified by decoding it, and lists of them under the names of the given lists.
Stopped, it goes on when started again.
"""

import argparse

from list_arguments import parse_list_args


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--size', type=int, nargs=2, default=[170, 128], metavar=('W', 'H'), help='default: 170 128'
    )
    parser.add_argument(
        '--gop', type=int, default=8, help='frames between keyframes, at most; default: 8'
    )
    parser.add_argument('--crf', type=int, default=20, help='quality, lower is better; default: 20')
    args = parse_list_args(parser, timeout=1800)
    if min(args.size) < 2 or any(side % 2 for side in args.size):
        parser.error(f'H.264 needs a --size of even numbers, not {args.size[0]} {args.size[1]}')
    if args.gop < 1 or not 0 <= args.crf <= 51:
        parser.error('--gop must be at least 1, and --crf from 0 to 51')
    return args


if __name__ == '__main__':
    ARGS = parse_args()  # before the imports below, which take seconds


from artnet_mm.data_making.copies import write_copy
from artnet_mm.data_making.over_lists import prepare


def main(args: argparse.Namespace) -> None:
    settings = dict(size=args.size, gop=args.gop, crf=args.crf)
    prepare(args, write_copy, settings, suffix='.mp4')


if __name__ == '__main__':
    main(ARGS)
