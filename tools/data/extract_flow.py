"""Optical flow of all videos of lists: extract_flow.py LIST... --videos DIR --out-dir DIR

Writes to the data root --out-dir a folder of flow images for every video, and lists of
them under the names of the given lists. Stopped, it goes on when started again.
"""

import argparse

from list_arguments import parse_list_args


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--method', choices=['tvl1', 'dis'], default='tvl1', help='TV-L1, or DIS: 100 times faster'
    )
    parser.add_argument(
        '--bound', type=float, default=20, help='largest displacement in pixels; default: 20'
    )
    parser.add_argument(
        '--size', type=int, nargs=2, metavar=('W', 'H'), help="default: the videos' own"
    )
    args = parse_list_args(parser, timeout=7200)
    if args.bound <= 0 or min(args.size or [1]) < 1:
        parser.error('--bound and --size must be above 0')
    return args


if __name__ == '__main__':
    ARGS = parse_args()  # before the imports below, which take seconds


from artnet_mm.data_making.flow import count_flow, create_estimator, extract_flow
from artnet_mm.data_making.over_lists import prepare


def main(args: argparse.Namespace) -> None:
    try:
        create_estimator(args.method)
    except ValueError as error:
        raise SystemExit(f'error: {error}') from None
    settings = dict(method=args.method, bound=args.bound, size=args.size)
    prepare(args, extract_flow, settings, count=count_flow)


if __name__ == '__main__':
    main(ARGS)
