"""Draw what a test dumped: plot_predictions.py DUMP.pkl [--classes FILE] [--out-dir DIR]

Writes ``confusion.png``, ``per_class.png`` and ``per_class.csv``, and ``clips.png``, a sheet of
videos with what the network said about them; prints which classes are taken for which.
"""

import argparse
import csv
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('dump', type=Path, help='what tools/test.py --dump wrote')
    parser.add_argument('--classes', help='file with a class name per line')
    parser.add_argument('--out-dir', type=Path, help='default: the folder of the dump')
    parser.add_argument('--rows', type=int, default=10, help='videos on the sheet')
    return parser.parse_args()


if __name__ == '__main__':
    ARGS = parse_args()  # before the imports below, which take seconds


import matplotlib

matplotlib.use('Agg')
matplotlib.rcParams['text.parse_math'] = False  # names are no formulas
from artnet_mm.compat import prediction_of
from artnet_mm.datasets.lists import read_classes
from artnet_mm.datasets.video import Video
from artnet_mm.evaluation.dumps import read_dump
from artnet_mm.evaluation.per_class import ClassFigures, confused, per_class
from artnet_mm.files import whole_file

import matplotlib.pyplot as plt
import numpy as np
import torch
from mmaction.evaluation import ConfusionMatrix
from rich.console import Console
from rich.markdown import Markdown

FRAMES = 5
NAMED = 30
"""Classes up to which all are named in a picture."""
SHARES = (0.01, 0.05, 0.1, 0.25, 0.5, 1)


def draw_confusion(scores: torch.Tensor, labels: torch.Tensor, classes: list, out: Path) -> None:
    """Counts of (true class, predicted class)."""
    matrix = ConfusionMatrix.calculate(scores, labels, num_classes=len(classes)).numpy()
    few = len(classes) <= NAMED
    size = 2.5 + 0.45 * len(classes) if few else 10
    figure, axes = plt.subplots(figsize=(size, size), layout='constrained')
    shares = matrix / matrix.sum(1, keepdims=True).clip(1)
    # Off the diagonal, shares of many classes are small.
    image = axes.imshow(shares if few else shares**0.5, cmap='Blues', vmin=0, vmax=1)
    for row, column in np.argwhere(matrix) if few else ():
        dark = matrix[row, column] > matrix[row].sum() / 2
        axes.text(
            column, row, matrix[row, column], ha='center', va='center', color='w' if dark else 'k'
        )
    if few:
        axes.set_xticks(range(len(classes)), classes, rotation=60, ha='right')
        axes.set_yticks(range(len(classes)), classes)
    else:
        bar = figure.colorbar(image, shrink=0.6, label='share of the videos of a class')
        bar.set_ticks([share**0.5 for share in SHARES], labels=[f'{s:g}' for s in SHARES])
    axes.set(xlabel='predicted', ylabel='true')
    with whole_file(out) as place:
        figure.savefig(place, dpi=120)


def draw_per_class(figures: list[ClassFigures], out: Path) -> None:
    """Top-1 of the worst classes by name, and of all in their order."""
    ordered = sorted(figures, key=lambda f: f.top1)
    worst = ordered[:NAMED]
    height = 1.5 + 0.22 * len(worst)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, height), layout='constrained')
    left.barh([f.name for f in worst], [100 * f.top1 for f in worst], color='tab:blue')
    left.set(xlabel='top-1 (%)', xlim=(0, 100))
    left.set_title('all classes' if len(worst) == len(ordered) else f'the worst {NAMED} classes')
    left.tick_params(axis='y', labelsize=8)
    left.invert_yaxis()
    shares = np.arange(1, len(ordered) + 1) / len(ordered)
    right.step(shares, [100 * f.top1 for f in ordered], where='pre', color='tab:blue')
    right.set(xlabel='share of the classes', ylabel='top-1 (%), at most', ylim=(0, 101))
    right.grid(alpha=0.3)
    with whole_file(out) as place:
        figure.savefig(place, dpi=120)


def write_per_class(figures: list[ClassFigures], out: Path) -> None:
    """The same of all classes, as a table."""
    with whole_file(out) as place, place.open('w', newline='', encoding='utf-8') as file:
        csv.writer(file).writerows([ClassFigures._fields, *figures])


def draw_clips(answers: list, classes: list, rows: int, out: Path) -> None:
    """Frames of the first video file of each class, with the three best answers.

    Args:
        answers (list): (scores, label, file or None) of each video.
    """
    first: dict[int, tuple] = {}
    for scores, label, filename in answers:
        if label not in first and filename and scores.isfinite().all() and Path(filename).exists():
            first[label] = scores, label, filename
    if not first:
        return print(f'{out.name} is not written: the dump names no files of videos that are here')
    shown = [first[label] for label in sorted(first)][:rows]
    figure, grid = plt.subplots(
        len(shown),
        FRAMES + 1,
        figsize=(1.5 * FRAMES + 2.6, 1.15 * len(shown)),
        squeeze=False,
        layout='constrained',
    )
    for axes, (scores, label, filename) in zip(grid, shown):
        video = Video(filename)
        frames = np.linspace(0, len(video) - 1, FRAMES).astype(int)
        for axis, frame in zip(axes, video.frames(frames)):
            axis.imshow(frame)
        probabilities = scores.softmax(0)
        best = probabilities.argsort(descending=True)[:3].flip(0).tolist()
        bars = [100 * float(probabilities[i]) for i in best]
        colors = ['tab:green' if i == label else 'tab:gray' for i in best]
        axes[-1].barh(range(len(best)), bars, color=colors)
        for row, index in enumerate(best):
            axes[-1].text(2, row, f'{classes[index]} {bars[row]:.0f}%', va='center', fontsize=7)
        axes[-1].set_xlim(0, 100)
        axes[0].set_ylabel(classes[label], rotation=0, ha='right', va='center')
        for axis in axes:
            axis.set(xticks=[], yticks=[])
    with whole_file(out) as place:
        figure.savefig(place, dpi=120)


def main(args: argparse.Namespace) -> None:
    out_dir = args.out_dir or args.dump.parent
    try:
        answers = [(*prediction_of(r), r.get('filename')) for r in read_dump(args.dump)]
        answers = [answer for answer in answers if answer[1] >= 0]
        if not answers:
            raise ValueError(f'{args.dump} has no labels')
        scores, labels, _ = map(list, zip(*answers))
        num_classes = len(scores[0])
        classes = [f'class {label}' for label in range(num_classes)]
        if args.classes:
            classes = read_classes(args.classes)
        if len(classes) != num_classes:
            raise ValueError(f'{args.classes} names {len(classes)} classes, not {num_classes}')
        out_dir.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from None
    said, truth = torch.stack(scores), torch.tensor(labels)
    read = said.isfinite().all(1)  # of what could not be read, nothing is said
    draw_confusion(said[read], truth[read], classes, out_dir / 'confusion.png')
    figures = per_class(said.numpy(), truth.numpy(), classes)
    draw_per_class(figures, out_dir / 'per_class.png')
    write_per_class(figures, out_dir / 'per_class.csv')
    Console().print(Markdown(confused(figures)))
    draw_clips(answers, classes, args.rows, out_dir / 'clips.png')


if __name__ == '__main__':
    main(ARGS)
