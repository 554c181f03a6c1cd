"""Fusion of the scores of several streams (Tables 3 and 4), joined by video."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath

import numpy as np
import torch
from mmengine.fileio import dump
from scipy.special import log_softmax, logsumexp

from ..compat import prediction, prediction_of
from ..files import whole_file
from .dumps import read_dump, write_arrays
from .metrics import VideoAccuracy

Scores = dict[str, tuple[np.ndarray, int]]
"""Scores (num_classes,) and label of each video id; the label is -1 where there is none."""

WEIGHTS = (1, 1.5)
WEIGHTS_NOTE = 'RGB : flow is weighted 1 : 1.5, the custom of TSN; the paper states no weights.'


def _video_id(sample: dict) -> str:
    """What both streams call the video; MMAction2's own datasets give a path only."""
    if 'video_id' in sample:
        return sample['video_id']
    if 'filename' in sample:
        return PurePath(sample['filename']).stem
    return PurePath(sample['frame_dir']).name


def read_scores(file: str | Path) -> Scores:
    """Read what ``tools/test.py --dump`` wrote, scores in float64.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no dump of scores, or a video of it occurs twice, has
            scores that are not finite or of another length, or a label beyond them. Of a
            video that could not be read all scores are NaN, which counts as wrong.
    """
    scores: Scores = {}
    shape = None
    for number, sample in enumerate(read_dump(file), 1):
        try:
            video = _video_id(sample)
            tensor, label = prediction_of(sample)
            values = tensor.double().numpy()
            shape = shape or (len(values),)
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(
                f'{file}, entry {number} lacks scores, a label or a name (video_id, filename or '
                f'frame_dir, among the meta_keys of PackActionInputs): {error!r}'
            ) from None
        usable = np.isfinite(values).all()
        problem = (
            (video in scores and 'occurs twice')
            or (values.shape != shape and f'has scores of shape {values.shape}, not {shape}')
            or (not (usable or np.isnan(values).all()) and 'has scores that are not finite')
            or (label >= len(values) and f'has label {label} of {len(values)} classes')
        )
        if problem:
            raise ValueError(f'{file}: video {video} {problem}')
        scores[video] = values, label
    return scores


def write_scores(scores: Scores, file: str | Path) -> None:
    """Write scores as ``tools/test.py --dump`` does, by the suffix; the whole file or none."""
    samples = [
        dict(video_id=video, **prediction(torch.tensor(values), label))
        for video, (values, label) in scores.items()
    ]
    if Path(file).suffix == '.npz':
        return write_arrays(samples, file)
    with whole_file(file) as place:
        dump(samples, place, file_format='pkl')


def _listed(videos: Iterable[str]) -> str:
    videos = sorted(videos)
    return f'{len(videos)} videos ({", ".join(videos[:10])}{", ..." if videos[10:] else ""})'


def fuse(
    streams: Mapping[str, Scores],
    weights: Sequence[float],
    of: str = 'scores',
    allow_missing: bool = False,
) -> Scores:
    """Weighted sum of the scores of several streams, joined by video id.

    Args:
        streams (dict): Scores of each stream, by the name that errors call it.
        weights (list[float]): One a stream; they need not sum to 1.
        of (str): 'scores' (default), before the softmax, or 'probabilities',
            after it: the result is then the logarithm of their weighted mean.
        allow_missing (bool): Leave out videos that a stream lacks. Defaults to
            False: they are an error.

    Returns:
        dict: As of one stream, in the order of the first.

    Raises:
        ValueError: If the weights do not fit, or the streams differ in their
            videos, labels or number of classes.
    """
    factors = np.asarray(weights, dtype=np.float64)
    valid = np.isfinite(factors).all() and (factors >= 0).all() and factors.any()
    if len(factors) != len(streams) or not valid:
        needed = f'{len(streams)} finite numbers, one a stream, none negative and not all 0'
        raise ValueError(f'weights must be {needed}, got {list(weights)}')
    if of not in ('scores', 'probabilities'):
        raise ValueError(f"of must be 'scores' or 'probabilities', got {of!r}")
    classes = {name: len(next(iter(scores.values()))[0]) for name, scores in streams.items()}
    if len(set(classes.values())) > 1:
        raise ValueError(f'the streams differ in their number of classes: {classes}')
    first = next(iter(streams.values()))
    every = set().union(*streams.values())
    missing = {name: lost for name, scores in streams.items() if (lost := every - scores.keys())}
    videos = [video for video in first if not any(video in lost for lost in missing.values())]
    if missing and not allow_missing:
        lacks = '; '.join(f'{name} lacks {_listed(lost)}' for name, lost in missing.items())
        raise ValueError(f'the streams differ in their videos: {lacks}')
    if not videos:
        raise ValueError('the streams have no video in common')
    differing = [v for v in videos if len({scores[v][1] for scores in streams.values()}) > 1]
    if differing:
        raise ValueError(f'the streams differ in the labels of {_listed(differing)}')
    # Of weight 0 there would be NaN where a stream could not read a video.
    counted = [scores for scores, factor in zip(streams.values(), factors) if factor]
    factors = factors[factors > 0]
    stacked = np.array([[scores[video][0] for video in videos] for scores in counted])
    if of == 'probabilities':
        shares = (factors / factors.sum())[:, None, None]
        fused = logsumexp(log_softmax(stacked, axis=2), axis=0, b=shares)
    else:
        fused = np.tensordot(factors, stacked, axes=1)
    return {video: (values, first[video][1]) for video, values in zip(videos, fused)}


def accuracy(scores: Scores) -> dict:
    """Metrics of ``VideoAccuracy`` over the videos with a label; {} if none has."""
    labeled = [pair for pair in scores.values() if pair[1] >= 0]
    return VideoAccuracy().calculate(*map(list, zip(*labeled))) if labeled else {}
