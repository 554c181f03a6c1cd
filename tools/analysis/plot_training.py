"""Draw the curves of a training run: plot_training.py WORK_DIR [--out FILE.png]"""

import argparse
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('work_dir', type=Path)
    parser.add_argument('--out', type=Path, help='default: training.png in the work dir')
    return parser.parse_args()


if __name__ == '__main__':
    ARGS = parse_args()  # before the imports below, which take seconds


import matplotlib

matplotlib.use('Agg')
from artnet_mm.evaluation.scalars import read_scalars
from artnet_mm.files import whole_file

import matplotlib.pyplot as plt


def main(args: argparse.Namespace) -> None:
    try:
        records = read_scalars(args.work_dir)
    except FileNotFoundError as error:
        raise SystemExit(f'error: {error}') from None

    def curve(key: str, scale: float = 1) -> tuple[list, list]:
        told = [record for record in records if key in record]  # AccMetric has no acc/nll
        return [record['step'] for record in told], [scale * record[key] for record in told]

    figure, (losses, accuracies) = plt.subplots(1, 2, figsize=(10, 3.6), layout='constrained')
    losses.plot(*curve('loss'), label='training')
    losses.plot(*curve('acc/nll'), 'o-', label='validation')
    losses.set(yscale='log', xlabel='iteration', ylabel='cross-entropy')
    for key, name in (('top1', 'top-1'), ('top5', 'top-5')):
        accuracies.plot(*curve(f'acc/{key}', 100), 'o-', label=f'validation {name}')
    accuracies.set(ylim=(0, 102), xlabel='iteration', ylabel='accuracy (%), one centre clip')
    for axes in (losses, accuracies):
        axes.legend()
        axes.grid(alpha=0.3)
    try:
        with whole_file(args.out or args.work_dir / 'training.png') as place:
            figure.savefig(place, dpi=120)
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from None


if __name__ == '__main__':
    main(ARGS)
