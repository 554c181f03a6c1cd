"""The one door to videos: the frames that FFmpeg presents, by their index, of any file it reads."""

from collections import deque
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cached_property

import numpy as np

from .backends import BACKENDS, SMALLEST, Reader
from .packets import FrameIndex
from .pictures import Scale, matrix_of, resize_all, upright


class Video(FrameIndex):
    """An open video: its length, and its frames by index.

    Frame i is the i-th that a sequential decode of the best video stream by FFmpeg presents, with
    edit lists honoured, turned and mirrored as the metadata say, in 8-bit RGB. Where the
    container does not tell which frames there are, the first opening decodes it once.

    Args:
        path (str): File; a name without an ending is that of an MP4, as for ``DecordInit``.
        content (bytes, optional): What is in it, where it is no local file.
        backend (str): What decodes: 'pyav', which is FFmpeg and was the fastest wherever it was
            measured (docs/benchmarks.md), or one of :data:`BACKENDS`, for the files that it reads
            rightly.

    Attributes:
        backend (str): What reads the frames: 'pyav', or the one that was asked for.
        container, codec, rate, share, is_proved, damaged: Those of :class:`FrameIndex`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If FFmpeg cannot open or decode it, or it has no frames, naming what it is.
    """

    def __init__(self, path: str, content: bytes | None = None, backend: str = 'pyav') -> None:
        super().__init__(path, content)
        self._reader = self._reader_of(backend)
        self.backend = backend if self._reader else 'pyav'

    @cached_property
    def size(self) -> tuple[int, int]:
        """(w, h) of the first frame."""
        height, width, _ = next(self.walk()).shape
        return width, height

    @property
    def codec_rate(self) -> Fraction:
        """The rate as encoders take it: of numbers that are not large, at least 1."""
        return max(self.rate.limit_denominator(1001), Fraction(1))

    @cached_property
    def times(self) -> np.ndarray:
        """When each frame is shown, in seconds from the first, (len,).

        Where the container does not say, or not in order, by the rate.
        """
        stated = [self._times[packet] for packet in self._order]
        if None in stated or (np.diff(np.array(stated)) <= 0).any():
            return np.arange(len(self)) / float(self.rate)
        return (np.array(stated) - stated[0]) * float(self._stream.time_base or 1)

    def frames(self, indices: Sequence[int] | np.ndarray, scale: Scale = None) -> np.ndarray:
        """The frames of some indices, each resized as soon as it is decoded.

        Args:
            indices (Sequence[int]): M of them, in any order, also several times the same.
            scale (tuple[int, int], optional): (w, h), to which the stock ``Resize`` with
                ``keep_ratio=False`` brings them likewise. Defaults to the size of the first.

        Returns:
            np.ndarray: uint8 (M, H, W, 3), RGB.

        Raises:
            IndexError: If the video has no such frame.
            ValueError: If one cannot be decoded.
            TimeoutError: If the time of :func:`call_within` is over.
        """
        different, places = np.unique(np.asarray(indices, int), return_inverse=True)
        if not len(different) or different[0] < 0 or different[-1] >= len(self):
            raise IndexError(f'{self} has frames 0 to {len(self) - 1}, not {list(indices)}')
        images = np.empty(0, np.uint8)
        for number, image in enumerate(self._images(different, scale)):
            if number == 0:
                images = np.empty((len(different), *image.shape), np.uint8)
            images[number] = image
        return images if np.array_equal(places, range(len(images))) else images[places]

    def walk(self, scale: Scale = None) -> Iterator[np.ndarray]:
        """All frames from the first on, uint8 (H, W, 3) in RGB, resized as by :meth:`frames`."""
        yield from self._images(np.arange(len(self)), scale)

    def _images(self, indices: np.ndarray, scale: Scale) -> Iterator[np.ndarray]:
        """The frames of rising indices, of one size."""
        if self._reader:
            for part in np.array_split(indices, len(indices) // 16 + 1):
                yield from resize_all(list(self._reader(part)), scale)
            return
        matrix: np.ndarray | None = None
        for picture in self.pictures(deque(indices.tolist())):
            if matrix is None:  # once: who looks at the side data keeps the frame alive for long
                matrix = matrix_of(picture)
            image = upright(picture, matrix)
            scale = scale or image.shape[1::-1]
            yield from resize_all([image], scale)

    def _reader_of(self, backend: str) -> Reader | None:
        """What a backend reads frames with, or None if PyAV does: files that are not plain."""
        if backend == 'pyav':
            return None
        (first,) = self.pictures(deque([0]))
        is_upright = np.array_equal(np.sign(matrix_of(first)), np.eye(2))
        if not (self.is_plain and is_upright and min(first.width, first.height) >= SMALLEST):
            return None
        return BACKENDS[backend](self.path, len(self))
