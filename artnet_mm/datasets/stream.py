"""Frames of a camera or an address, as they come."""

from array import array
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np

from .pictures import Scale, matrix_of, resize_all, upright

PATIENCE = 10.0
"""Seconds for a source to open, and for each read from it."""


class Stream:
    """An open source of frames without an end that is known, read once from now on.

    Args:
        source (str): Address that FFmpeg opens (http, https, rtsp, udp, ...), or a device.
        kind (str, optional): FFmpeg's name of the device's format, such as 'v4l2' for
            /dev/video0 on Linux. Defaults to what FFmpeg finds.

    Attributes:
        rate (Fraction): Frames per second that the source states.
        times (array): When each frame so far is shown, in seconds from the first.

    Raises:
        ValueError: If FFmpeg cannot open it, or it has no video.
    """

    def __init__(self, source: str, kind: str | None = None) -> None:
        self.source = source
        try:
            self._container = av.open(source, format=kind, timeout=PATIENCE)
            (self._video, *_) = self._container.streams.video
        except (av.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, 'strerror', None) or error
            raise ValueError(f'{source} cannot be opened as a stream of video: {reason}') from None
        self.rate = self._video.average_rate or self._video.guessed_rate or Fraction(25)
        self.times = array('d')

    def walk(self, scale: Scale = None) -> Iterator[np.ndarray]:
        """Frames, uint8 (H, W, 3) in RGB, resized as those of a :class:`Video`; until it ends."""
        try:
            for packet in self._container.demux(self._video):
                try:
                    frames = packet.decode()
                except av.error.InvalidDataError:  # lost on the way, or before the first keyframe
                    continue
                for frame in frames:
                    self._keep_time(frame.time)
                    image = upright(frame, matrix_of(frame))
                    scale = scale or image.shape[1::-1]
                    yield from resize_all([image], scale)
        except av.error.ExitError:  # as FFmpeg calls it when its patience ends
            raise ValueError(f'{self.source} broke off: nothing came for {PATIENCE:g} s') from None
        except (av.FFmpegError, OSError) as error:
            raise ValueError(f'{self.source} broke off: {error}') from None

    def _keep_time(self, time: float | None) -> None:
        """Of a frame; where the source states none, or goes back, one frame after the last."""
        last = self.times[-1] if self.times else -1 / float(self.rate)
        if not self.times:
            self._first = time or 0.0
        since = None if time is None else time - self._first
        self.times.append(
            since if since is not None and since > last else last + 1 / float(self.rate)
        )

    def close(self) -> None:
        """Close the source."""
        self._container.close()
