"""Single videos: checked, copied at a low resolution."""

from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np

from ..datasets.video import Video

MIN_SHARE = 0.9  # of the duration that the file states
MAX_DIFFERENCE = 12  # mean over a frame, in grey levels; of white noise it is 5 at crf 20


def resize(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize to (w, h), by the mean of the covered area where frames shrink.

    Bilinear interpolation, the stock ``Resize``, is the same at half the size and
    aliases below, as it looks at four pixels only.
    """
    shrinks = frame.shape[1] >= size[0] and frame.shape[0] >= size[1]
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def whole_frames(video: Video) -> Iterator[np.ndarray]:
    """The frames of a video in their order, if all can be decoded.

    Raises:
        ValueError: In the end, if some could not.
    """
    yield from video.walk()
    if video.damaged:
        raise ValueError(f'{len(video.damaged)} frames of {len(video)} cannot be decoded')


def check_video(path: Path) -> str:
    """Decode every frame, as training and testing may.

    Found: what cannot be opened or decoded, and what is cut short by a tenth or more, which
    FFmpeg plays as far as it goes where the index is lost (AVI). Not found: damage that the
    decoder conceals, where frames are grey, smeared or repeated, and anything that only
    looks wrong.

    Returns:
        str: What the video is, and how it is read.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is broken.
    """
    video = Video(str(path))
    for _ in whole_frames(video):
        pass
    if video.share < MIN_SHARE:
        raise ValueError(f'ends after {100 * video.share:.0f}% of the duration that it states')
    found = 'decoded once to know its frames' if video.is_proved else 'by the times in the file'
    return f'{video.codec} in {video.container}: {found}'


def write_copy(path: Path, copy: Path, size: tuple[int, int], gop: int, crf: int) -> None:
    """Encode a video again as H.264 of another size, quick to read clips from.

    Frames are those of :class:`Video`, so that the copy has them at the same indices; they
    follow one another at the mean rate. There is no sound.

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
    video = Video(str(path))
    length, kept = len(video), {}
    with av.open(str(copy), 'w') as container:
        # fastdecode: no CABAC and no deblocking, which cost time whenever a clip is read
        stream = container.add_stream(
            'libx264',
            rate=video.codec_rate,
            options={'crf': str(crf), 'tune': 'fastdecode'},
        )
        stream.width, stream.height = size
        stream.pix_fmt = 'yuv420p'
        stream.gop_size = gop
        stream.codec_context.thread_count = 1
        for index, frame in enumerate(whole_frames(video)):
            small = resize(frame, size)
            if index in (0, length // 2, length - 1):
                kept[index] = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(small, format='rgb24')))
        container.mux(stream.encode())
    _verify(copy, length, kept)


def _verify(copy: Path, num_frames: int, expected: dict[int, np.ndarray]) -> None:
    """Check that a copy has so many frames, of which some are like these grey ones."""
    video = Video(str(copy))
    if len(video) != num_frames:
        raise ValueError(f'the copy has {len(video)} frames instead of {num_frames}')
    for index, frame in enumerate(video.walk()):
        if index in expected:
            grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
            difference = cv2.absdiff(grey, expected[index]).mean()  # checks the size too
            if difference > MAX_DIFFERENCE:
                raise ValueError(f'frame {index} of the copy is off by {difference:.1f} levels')
