"""Fuse the scores of streams: fuse_scores.py RGB.pkl FLOW.pkl [--weights 1 1.5] ...

The dumps of tools/test.py --dump are joined by video.
"""

import argparse
from pathlib import Path

from config_arguments import DUMP_SUFFIXES


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('dumps', nargs='+', metavar='DUMP', help='two or more, in this order')
    parser.add_argument('--weights', nargs='+', type=float, help='one a dump; for two 1 1.5')
    parser.add_argument(
        '--of',
        choices=['scores', 'probabilities'],
        default='scores',
        help='what is summed: scores before the softmax, or probabilities after it',
    )
    parser.add_argument('--sweep', action='store_true', help='figures over weights 1 : 0 to 1 : 3')
    parser.add_argument(
        '--allow-missing', action='store_true', help='leave out videos that a dump lacks'
    )
    parser.add_argument('--out', type=Path, help='keep the fused scores, a dump again')
    args = parser.parse_args()
    if len(args.dumps) < 2 or len(set(args.dumps)) < len(args.dumps):
        parser.error('two or more different dumps are fused')
    if len(args.dumps) > 2 and (args.sweep or not args.weights):
        parser.error('more than two dumps need --weights, and have no --sweep')
    if args.out and args.out.suffix not in DUMP_SUFFIXES:
        parser.error(f'--out writes a {", ".join(DUMP_SUFFIXES)} file, not {args.out}')
    return args


if __name__ == '__main__':
    ARGS = parse_args()  # before the imports below, which take seconds


from artnet_mm.evaluation.fusion import (
    WEIGHTS,
    WEIGHTS_NOTE,
    accuracy,
    fuse,
    read_scores,
    write_scores,
)

import numpy as np
from rich.console import Console
from rich.table import Column, Table

COLUMNS = {'top1': 'top-1', 'top5': 'top-5', 'avg': 'Avg', 'mean1': 'mean class'}
console = Console(highlight=False, markup=False)


def add_row(table: Table, name: str, figures: dict) -> None:
    cells = [f'{100 * figures[key]:.1f}' for key in COLUMNS]
    table.add_row(name, *cells, str(figures['evaluated']))


def print_sweep(streams: dict, of: str, allow_missing: bool) -> None:
    """Figures over the weight of the second stream, that of the first being 1."""
    table = Table('weight of the second', *COLUMNS.values(), 'videos', title=f'1 : weight, {of}')
    best = (-1.0, 0.0)
    for weight in np.arange(0, 3.25, 0.25):
        figures = accuracy(fuse(streams, (1, weight), of, allow_missing))
        add_row(table, f'{weight:.2f}', figures)
        best = max(best, (figures['avg'], -weight))
    console.print(table)
    print(f'Best Avg at 1 : {-best[1]:g}; that weight was chosen on the videos it is tested on.')


def main(args: argparse.Namespace) -> None:
    weights = args.weights or WEIGHTS
    try:
        streams = {file: read_scores(file) for file in args.dumps}
        fused = fuse(streams, weights, args.of, args.allow_missing)
        figures = accuracy(fused)
        if not figures and (args.sweep or not args.out):
            raise ValueError('the dumps have no labels: all that can be done is --out')
        if args.out:
            args.out.parent.mkdir(parents=True, exist_ok=True)
            write_scores(fused, args.out)
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from None

    every = len(set().union(*streams.values()))
    if len(fused) < every:
        print(f'{len(fused)} of {every} videos are in every dump; the others are left out.')
    if not args.weights:
        print(WEIGHTS_NOTE)
    if figures:
        table = Table(Column(overflow='fold'), *COLUMNS.values(), 'videos')
        for file, scores in streams.items():
            add_row(table, file, accuracy({video: scores[video] for video in fused}))
        add_row(table, f'{" : ".join(f"{w:g}" for w in weights)}, {args.of}', figures)
        console.print(table)
    if args.sweep:
        print_sweep(streams, args.of, args.allow_missing)
    if args.out:
        print(f'fused scores of {len(fused)} videos: {args.out}')


if __name__ == '__main__':
    main(ARGS)
