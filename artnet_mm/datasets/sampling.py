"""Where clips start: index functions, and the samplers over them.

The extent E of a clip is the number of frames from its first to its last:
``(clip_len - 1) * frame_interval + 1``. D is the number of frames of the video.
"""

from types import ModuleType

import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

Rng = np.random.RandomState | ModuleType


def segment_starts(
    num_frames: int, num_segments: int, extent: int, rng: Rng | None = None
) -> np.ndarray:
    """Starts of one clip in each of K equal segments of A = D // K frames.

    With ``rng`` (training) the start is uniform on {0 .. A - E} within the
    segment, or the segment's first frame where A < E. Without (validation) it is
    (A - E + 1) // 2 within the segment, or 0 for all clips where A < E.

    Args:
        num_frames (int): D, at least 1.
        num_segments (int): K, at least 1.
        extent (int): E in frames.
        rng (RandomState, optional): Source of the random starts; the module
            ``numpy.random`` is one.

    Returns:
        np.ndarray: (K,) frame indices.
    """
    length = num_frames // num_segments
    segments = np.arange(num_segments) * length
    spare = length - extent
    if rng is not None:
        return segments + (rng.randint(0, spare + 1, num_segments) if spare >= 0 else 0)
    return segments + (spare + 1) // 2 if spare >= 0 else np.zeros_like(segments)


def uniform_starts(num_frames: int, num_clips: int, extent: int) -> np.ndarray:
    """Starts of n clips spread over the video: floor(i (D - E) / (n - 1)).

    All are 0 where D <= E. A single clip is the centre one, as in validation.

    Args:
        num_frames (int): D, at least 1.
        num_clips (int): n, at least 1.
        extent (int): E in frames.

    Returns:
        np.ndarray: (n,) frame indices.
    """
    if num_clips == 1:
        return segment_starts(num_frames, 1, extent)
    return np.arange(num_clips) * max(num_frames - extent, 0) // (num_clips - 1)


def clip_indices(
    starts: np.ndarray, clip_len: int, frame_interval: int, num_frames: int
) -> np.ndarray:
    """Frames of the clips; one past the end repeats the last frame.

    Args:
        starts (np.ndarray): (n,) first frames.
        clip_len (int): Frames per clip.
        frame_interval (int): Distance between them, in frames.
        num_frames (int): D.

    Returns:
        np.ndarray: (n, clip_len) frame indices in [0, D).
    """
    frames = starts[:, None] + np.arange(clip_len) * frame_interval
    return np.minimum(frames, num_frames - 1)


class _ClipSampler(BaseTransform):
    """Frame indices from a number of frames; subclasses say where clips start.

    MMAction2's ``SampleFrames`` divides time differently from the authors:
    its segments overlap by the clip extent, its test starts are rounded, and it
    loops past the end.
    """

    def __init__(self, clip_len: int, frame_interval: int, num_clips: int) -> None:
        self.clip_len = clip_len
        self.frame_interval = frame_interval
        self.num_clips = num_clips
        self.extent = (clip_len - 1) * frame_interval + 1

    def _starts(self, num_frames: int) -> np.ndarray:
        raise NotImplementedError

    def transform(self, results: dict) -> dict:
        """Add ``frame_inds`` (num_clips * clip_len,) and what describes them.

        Requires ``total_frames`` and ``start_index``.

        Raises:
            ValueError: If the video has no frames, naming it.
        """
        num_frames = results['total_frames']
        if num_frames < 1:
            name = results.get('filename', results.get('frame_dir', 'a video'))
            raise ValueError(f'{name} has no frames to sample a clip from')
        frames = clip_indices(
            self._starts(num_frames), self.clip_len, self.frame_interval, num_frames
        )
        results['frame_inds'] = frames.reshape(-1) + results['start_index']
        results['clip_len'] = self.clip_len
        results['frame_interval'] = self.frame_interval
        results['num_clips'] = self.num_clips
        return results


def _check_counts(**counts: int) -> None:
    for name, value in counts.items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f'{name} must be an int of at least 1, got {value!r}')


@TRANSFORMS.register_module()
class SegmentClipSampler(_ClipSampler):
    """One clip from each segment, for training and for validation during training.

    Args:
        clip_len (int): Frames per clip.
        frame_interval (int): Distance between them. Defaults to 1.
        num_segments (int): K. Defaults to 1.
        test_mode (bool): Take the centre of each segment, not a random place.
            Defaults to False.

    Raises:
        ValueError: If a count is below 1.
    """

    def __init__(
        self,
        clip_len: int,
        frame_interval: int = 1,
        num_segments: int = 1,
        test_mode: bool = False,
    ) -> None:
        _check_counts(clip_len=clip_len, frame_interval=frame_interval, num_segments=num_segments)
        super().__init__(clip_len, frame_interval, num_segments)
        self.test_mode = test_mode

    def _starts(self, num_frames: int) -> np.ndarray:
        # numpy.random itself: MMEngine seeds it for every worker.
        rng = None if self.test_mode else np.random
        return segment_starts(num_frames, self.num_clips, self.extent, rng)


@TRANSFORMS.register_module()
class UniformClipSampler(_ClipSampler):
    """Clips spread evenly over the whole video, for testing (Sec. 3.3).

    Args:
        clip_len (int): Frames per clip.
        frame_interval (int): Distance between them. Defaults to 1.
        num_clips (int): Clips per video. Defaults to 25.

    Raises:
        ValueError: If a count is below 1.
    """

    def __init__(self, clip_len: int, frame_interval: int = 1, num_clips: int = 25) -> None:
        _check_counts(clip_len=clip_len, frame_interval=frame_interval, num_clips=num_clips)
        super().__init__(clip_len, frame_interval, num_clips)

    def _starts(self, num_frames: int) -> np.ndarray:
        return uniform_starts(num_frames, self.num_clips, self.extent)


@TRANSFORMS.register_module()
class ShareFrames(BaseTransform):
    """Have each frame decoded once that several clips share.

    ``ClipPreprocessor`` puts the clips together on the device.
    """

    def transform(self, results: dict) -> dict:
        """Reduce ``frame_inds`` to the (M,) different ones, in rising order.

        Adds ``clips`` (num_clips, clip_len), the place of each frame among these.
        """
        frames, places = np.unique(results['frame_inds'], return_inverse=True)
        shape = results['num_clips'], results['clip_len']
        results['frame_inds'], results['clips'] = frames, places.reshape(shape)
        return results
