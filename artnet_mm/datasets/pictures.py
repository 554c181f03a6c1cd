"""Decoded frames as arrays: upright, in RGB, of a size."""

from collections.abc import Sequence
from typing import Any

import av
import cv2
import numpy as np

Scale = tuple[int, int] | None


def matrix_of(frame: av.VideoFrame) -> np.ndarray:
    """Where x and y are shown, a row each, which are its first two of the display matrix."""
    data: Any = frame.side_data.get('DISPLAYMATRIX')
    if data is None:
        return np.eye(2)
    return np.frombuffer(bytes(data), np.int32)[[0, 1, 3, 4]].reshape(2, 2)


def upright(frame: av.VideoFrame, matrix: np.ndarray) -> np.ndarray:
    """A frame as it is to be shown, uint8 (H, W, 3) in RGB."""
    plane: Any = frame.reformat(format='rgb24', threads=1).planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(frame.height, plane.line_size)
    image = rows[:, : 3 * frame.width].reshape(frame.height, frame.width, 3)
    (a, b), (c, d) = matrix.tolist()  # (x, y) is shown at (a x + c y, b x + d y), up to a shift
    if abs(b) > abs(a):
        image, a, d = image.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def resize_all(frames: Sequence[np.ndarray], scale: Scale) -> Sequence[np.ndarray]:
    """Frames of (w, h) ``scale``; the same ones where they have it already, or it is None."""
    size = scale and tuple(scale)
    if size is None or size == frames[0].shape[1::-1]:
        return frames
    return [cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR) for frame in frames]
