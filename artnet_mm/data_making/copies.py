"""Single videos: read as training reads them, checked, copied at a low resolution."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import decord
import numpy as np

from ..datasets.decoding import ClipDecordInit

MIN_SHARE = 0.9  # of the frames that the header states
MAX_DIFFERENCE = 12  # mean over a frame, in grey levels; of white noise it is 5 at crf 20


def open_video(path: Path) -> decord.VideoReader:
    """Open a video as training does, with one thread.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be opened, or has no frames.
    """
    try:
        video = ClipDecordInit(num_threads=1)(dict(filename=str(path)))['video_reader']
    except (RuntimeError, decord.DECORDError):
        raise ValueError('cannot be opened as a video') from None
    if not len(video):
        raise ValueError('has no frames')
    return video


def read_frames(video: decord.VideoReader) -> Iterator[np.ndarray]:
    """All frames in their order, one at a time.

    Yields:
        np.ndarray: uint8 (H, W, 3) in RGB.

    Raises:
        ValueError: If a frame cannot be decoded.
    """
    for index in range(len(video)):
        try:
            frame = video[index].asnumpy()
        except decord.DECORDError:
            raise ValueError(f'frame {index} of {len(video)} cannot be decoded') from None
        yield frame


def resize(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize to (w, h), by the mean of the covered area where frames shrink.

    Bilinear interpolation, the stock ``Resize``, is the same at half the size and
    aliases below, as it looks at four pixels only.
    """
    shrinks = frame.shape[1] >= size[0] and frame.shape[0] >= size[1]
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def check_video(path: Path) -> None:
    """Decode every frame, as training and testing may.

    Found: what cannot be opened or decoded, and what is cut short by a tenth or
    more, which decord plays as far as it goes where the index is lost (AVI).
    Not found: damage that the decoder conceals, where frames are grey, smeared or
    repeated, and anything that only looks wrong.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is broken.
    """
    video = open_video(path)
    for _ in read_frames(video):
        pass
    with av.open(str(path.with_suffix(path.suffix or '.mp4'))) as container:  # as ClipDecordInit
        stated = container.streams.best('video').frames  # 0 if the header does not state it
    if len(video) < MIN_SHARE * stated:
        raise ValueError(f'has {len(video)} of the {stated} frames that its header states')


def write_copy(path: Path, copy: Path, size: tuple[int, int], gop: int, crf: int) -> None:
    """Encode a video again as H.264 of another size, quick to read clips from.

    Frames are those that decord decodes, as training does, so that the copy has
    them at the same indices; they follow one another at the mean rate. There is
    no sound.

    Args:
        path (Path): Video.
        copy (Path): File to write, ``.mp4``.
        size (tuple[int, int]): (w, h) of the copy, even numbers; the aspect ratio
            is not kept.
        gop (int): Frames from one keyframe to the next, at most; a clip is decoded
            from the last keyframe before it.
        crf (int): Quality, x264's constant rate factor; lower is better.

    Raises:
        FileNotFoundError: If there is no such video.
        ValueError: If the video is broken, or the copy is not like it.
    """
    video = open_video(path)
    kept = {}
    with av.open(str(copy), 'w') as container:
        # fastdecode: no CABAC and no deblocking, which cost time whenever a clip is read
        stream = container.add_stream(
            'libx264',
            rate=Fraction(video.get_avg_fps()).limit_denominator(1001),
            options={'crf': str(crf), 'tune': 'fastdecode'},
        )
        stream.width, stream.height = size
        stream.pix_fmt = 'yuv420p'
        stream.gop_size = gop
        stream.codec_context.thread_count = 1
        for index, frame in enumerate(read_frames(video)):
            small = resize(frame, size)
            if index in (0, len(video) // 2, len(video) - 1):
                kept[index] = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(small, format='rgb24')))
        container.mux(stream.encode())
    _verify(copy, len(video), kept)


def _verify(copy: Path, num_frames: int, expected: dict[int, np.ndarray]) -> None:
    """Check that a copy has so many frames, of which some are like these grey ones."""
    video = open_video(copy)
    if len(video) != num_frames:
        raise ValueError(f'the copy has {len(video)} frames instead of {num_frames}')
    for index, frame in enumerate(read_frames(video)):
        if index in expected:
            grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
            difference = cv2.absdiff(grey, expected[index]).mean()  # checks the size too
            if difference > MAX_DIFFERENCE:
                raise ValueError(f'frame {index} of the copy is off by {difference:.1f} levels')
