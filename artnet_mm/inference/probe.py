"""How well frozen features tell classes apart: nearest neighbours and a linear classifier."""

from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from ..datasets.lists import read_list


def read_features(list_file: Path, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels of the videos of a list; those of clips as their mean.

    Args:
        list_file (Path): List that ``extract_features.py`` has written.
        folder (Path): Folder that its paths start from.

    Returns:
        tuple[np.ndarray, np.ndarray]: Features (N, C) and labels (N,).

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a video has no label, features are maps, or of another size.
    """
    rows, labels = [], []
    for line in read_list(list_file, has_frames=True, labeled=True):
        path = folder / line.path
        if not path.exists():
            raise FileNotFoundError(f'{path}, of {list_file}, does not exist')
        try:
            features = np.load(path)
        except (EOFError, ValueError) as error:
            raise ValueError(f'{path} is no NumPy array: {error}') from None
        if features.ndim > 2:
            raise ValueError(f'{path} holds maps {features.shape}: pool them, without --maps')
        rows.append(features if features.ndim == 1 else features.mean(0))
        if rows[-1].shape != rows[0].shape:
            raise ValueError(f'{path} has {rows[-1].size} features, others have {rows[0].size}')
        labels.append(line.label)
    if len({*labels}) < 2:
        raise ValueError(f'{list_file} has videos of one class only')
    return np.stack(rows), np.array(labels)


def probe(
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    neighbours: int = 20,
    strength: float = 1.0,
) -> dict[str, float]:
    """Top-1 on test videos, in percent, of classifiers of what was learnt from training ones.

    Args:
        train, test (tuple[np.ndarray, np.ndarray]): Features (N, C) and labels (N,).
        neighbours (int): k of the nearest neighbours, by cosine, weighted by their nearness.
            Defaults to 20.
        strength (float): Inverse regularisation of the linear classifier (C of scikit-learn's
            ``LogisticRegression``), on standardised features. Defaults to 1.

    Returns:
        dict[str, float]: Top-1 by name, and that of always naming the most frequent class.

    Raises:
        ValueError: If features are of different sizes.
    """
    (x, y), (x_test, y_test) = train, test
    if x.shape[1] != x_test.shape[1]:
        raise ValueError(f'{x.shape[1]} features in training, but {x_test.shape[1]} in the test')
    k = min(neighbours, len(x))
    nearest = make_pipeline(
        Normalizer(), KNeighborsClassifier(k, metric='euclidean', weights='distance')
    )
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
    most_frequent = np.bincount(y).argmax()
    return {
        'most frequent class': 100 * float((y_test == most_frequent).mean()),
        f'{k} nearest neighbours': 100 * float(nearest.fit(x, y).score(x_test, y_test)),
        'linear classifier': 100 * float(linear.fit(x, y).score(x_test, y_test)),
    }
