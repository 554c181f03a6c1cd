"""Videos of which decord, by the stock steps, gives other frames than it is asked for."""

import importlib
from pathlib import Path

import cv2
import numpy as np

from ..datasets.sampling import clip_indices, segment_starts
from ..datasets.video import Video

CLIPS, CLIP_LEN = 12, 16
SMALL = (32, 24)
SAME = 1.0  # grey levels, the mean over a frame: neighbours of a still scene differ by less
LIKE = 8.0  # by which frames may differ that two decoders make of one packet


def _small(frame: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, SMALL, interpolation=cv2.INTER_AREA).astype(np.float32)


def count_misread(path: Path) -> int:
    """Frames, of 12 random clips of 16, that decord gives otherwise than FFmpeg presents them.

    Raises:
        ImportError: If decord is not installed.
        FileNotFoundError, ValueError: If the video cannot be read at all.
    """
    decord = importlib.import_module('decord')
    shown = np.stack([_small(frame) for frame in Video(str(path)).walk()])
    wrong, rng = 0, np.random.RandomState(0)
    try:
        reader = decord.VideoReader(str(path), num_threads=1)
        for _ in range(CLIPS):
            starts = segment_starts(len(reader), 1, CLIP_LEN, rng)
            indices = clip_indices(starts, CLIP_LEN, 1, len(reader))[0]
            for index, frame in zip(indices, reader.get_batch(indices).asnumpy()):
                distances = np.abs(shown - _small(frame)).mean((1, 2))
                right = index < len(shown) and distances[index] < min(distances.min() + SAME, LIKE)
                wrong += not right
    except (RuntimeError, decord.DECORDError):  # it cannot open or decode it
        return CLIPS * CLIP_LEN
    return wrong
