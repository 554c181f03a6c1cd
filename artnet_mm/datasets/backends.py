"""Decoders beside PyAV, for the files that they read rightly."""

import importlib
from collections.abc import Callable

import numpy as np

Reader = Callable[[np.ndarray], np.ndarray]
"""From M indices of frames to these, uint8 (M, H, W, 3)."""


def _decord(path: str, length: int) -> Reader | None:
    """Of decord, or decord2, which has its name."""
    decord = importlib.import_module('decord')
    try:
        video = decord.VideoReader(path, num_threads=1)
    except (RuntimeError, decord.DECORDError):  # a codec that it lacks
        return None
    return (lambda indices: video.get_batch(indices).asnumpy()) if len(video) == length else None


def _torchcodec(path: str, length: int) -> Reader | None:
    decoders = importlib.import_module('torchcodec.decoders')
    video = decoders.VideoDecoder(path, dimension_order='NHWC', num_ffmpeg_threads=1)
    if len(video) != length:
        return None
    return lambda indices: video.get_frames_at(indices.tolist()).data.numpy()


BACKENDS: dict[str, Callable[[str, int], Reader | None]] = {
    'decord': _decord,
    'torchcodec': _torchcodec,
}
"""Other decoders, given a file and its length: a function from indices to frames, or None."""
SMALLEST = 64
"""Pixels of a side below which decord fails or gives other frames."""
