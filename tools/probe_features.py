"""Test frozen features: probe_features.py TRAIN_LIST TEST_LIST --features DIR

Learns a linear classifier and nearest neighbours from the features of the first list and tests
them on those of the second. Lists and folder are those that extract_features.py has written.
"""

import argparse
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('train', type=Path, help='list of features to learn from')
    parser.add_argument('test', type=Path, help='list of features to test on')
    parser.add_argument(
        '--features', type=Path, nargs='+', required=True,
        help='folder of the paths in the lists, or that of the first and that of the second',
    )  # fmt: skip
    parser.add_argument('--neighbours', type=int, default=20, help='k; default: %(default)s')
    parser.add_argument(
        '--strength', type=float, default=1.0,
        help="C of scikit-learn's LogisticRegression; default: %(default)s",
    )  # fmt: skip
    args = parser.parse_args()
    if len(args.features) > 2 or args.neighbours < 1 or args.strength <= 0:
        parser.error('--features takes one folder or two; --neighbours and --strength are above 0')
    return args


if __name__ == '__main__':
    ARGS = parse_args()  # before the imports below, which take seconds


from artnet_mm.inference.probe import probe, read_features

from rich.console import Console
from rich.table import Table


def main(args: argparse.Namespace) -> None:
    try:
        train = read_features(args.train, args.features[0])
        test = read_features(args.test, args.features[-1])
        figures = probe(train, test, args.neighbours, args.strength)
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from None
    table = Table('classifier', 'top-1 (%)')
    table.title = f'{len(train[0])} videos to learn from, {len(test[0])} to test on'
    for name, top1 in figures.items():
        table.add_row(name, f'{top1:.1f}')
    Console().print(table)


if __name__ == '__main__':
    main(ARGS)
