"""Accuracy class by class, and which classes are taken for which."""

from typing import NamedTuple

import numpy as np

from .report import markdown


class ClassFigures(NamedTuple):
    """How the videos of a class were answered."""

    name: str
    videos: int
    top1: float
    """Share of them whose likeliest class is this one."""
    top5: float
    taken_for: str
    """The other class that most of the rest were taken for, or ''."""
    how_often: int


def per_class(scores: np.ndarray, labels: np.ndarray, classes: list[str]) -> list[ClassFigures]:
    """Figures of every class of which there are videos.

    Args:
        scores (np.ndarray): (N, num_classes); those that are not finite are wrong.
        labels (np.ndarray): (N,).
        classes (list[str]): Names.

    Raises:
        ValueError: If there is not a name for each score.
    """
    if scores.shape[1] != len(classes):
        raise ValueError(f'{len(classes)} classes are named, and videos have {scores.shape[1]}')
    finite = np.isfinite(scores).all(axis=1)
    ranked = np.argsort(-np.where(finite[:, None], scores, 0), axis=1, kind='stable')
    figures = []
    for label in np.unique(labels[labels >= 0]):
        mine = labels == label
        answers, known = ranked[mine], finite[mine]
        right = (answers[:, 0] == label) & known
        others = np.bincount(answers[known & ~right, 0], minlength=len(classes))
        most = int(others.argmax())
        among = (answers[:, :5] == label).any(axis=1) & known
        figures.append(
            ClassFigures(
                classes[label],
                int(mine.sum()),
                float(right.mean()),
                float(among.mean()),
                classes[most] if others[most] else '',
                int(others[most]),
            )
        )
    return figures


def confused(figures: list[ClassFigures], most: int = 10) -> str:
    """Markdown of the pairs of classes of which one is taken for the other most often."""
    pairs = sorted(figures, key=lambda f: f.how_often / f.videos, reverse=True)[:most]
    rows = [
        [f.name, f.taken_for, f'{f.how_often} of {f.videos}', f'{100 * f.top1:.0f}']
        for f in pairs
        if f.how_often
    ]
    return markdown(rows, ['Class', 'Taken for', 'Videos', 'Top-1'])
