"""Clips from windows that slide over a video of any length, in bounded memory."""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import torch
from mmaction.registry import TRANSFORMS
from mmengine.config import Config
from torch import Tensor

from ..datasets.decoding import ClipDecode
from ..datasets.sampling import UniformClipSampler
from ..datasets.stream import Stream
from ..datasets.video import Video
from ..views import Crops


class Window(NamedTuple):
    """A stretch of a video, and the clip that a network sees of it."""

    first: int
    """Its first frame."""
    last: int
    """Its last frame."""
    clip: np.ndarray
    """uint8 (T, H, W, C)."""


def frames_in(length: str, rate: Fraction | float) -> int:
    """Frames that a length is: ``'64'`` of them, or ``'2.5s'`` at a rate, at least one.

    Raises:
        ValueError: If it is neither.
    """
    found = re.fullmatch(r'(\d+(?:\.\d+)?)(s?)', length)
    if not found or (not found[2] and '.' in found[1]) or float(found[1]) <= 0:
        raise ValueError(f'{length!r} is neither a number of frames (64) nor of seconds (2.5s)')
    return max(round(float(found[1]) * (float(rate) if found[2] else 1)), 1)


def slide(frames: Iterable[np.ndarray], clip_len: int, window: int, step: int) -> Iterator[Window]:
    """Windows over frames as they come, of which ``window`` are kept at most.

    Windows start every ``step`` frames as long as they end within the video; what is left behind
    the last of them, and a video shorter than a window, gets one that ends with the last frame.
    The clip of a window is ``clip_len`` frames at even distances, rounded down; past the end of
    the video its last frame is repeated, as in the samplers.

    Args:
        frames (Iterable[np.ndarray]): uint8 (H, W, C) each.
        clip_len (int): T.
        window (int): Frames of a window.
        step (int): Frames from the start of one to that of the next.

    Yields:
        Window: One by one.
    """
    kept: deque[np.ndarray] = deque(maxlen=window)
    number, due, covered = -1, window - 1, -1

    def cut() -> Window:
        places = np.minimum(np.arange(clip_len) * window // clip_len, len(kept) - 1)
        return Window(number + 1 - len(kept), number, np.stack([kept[p] for p in places]))

    for number, frame in enumerate(frames):
        kept.append(frame)
        if number == due:
            yield cut()
            covered, due = number, due + step
    if number > covered:
        yield cut()


@dataclass(frozen=True)
class ClipInput:
    """What the network of a config takes: the size of frames, the length of clips, the crop."""

    scale: tuple[int, int] | None
    """(w, h) of frames."""
    clip_len: int
    extent: int
    """Frames that a clip of the config's tests spans."""
    crop: Crops
    """The centre."""

    @classmethod
    def of(cls, cfg: Config | Mapping) -> 'ClipInput':
        """That of a config with the test pipeline and the preprocessor of this project.

        Raises:
            ValueError: If it has others, or reads flow.
        """
        steps = [TRANSFORMS.get(step['type']) for step in cfg['test_pipeline']]
        size = cfg['model']['data_preprocessor'].get('crop_size')
        if not (UniformClipSampler in steps and ClipDecode in steps and size):
            raise ValueError(
                'windows over a video need a config whose test_pipeline has UniformClipSampler and '
                'ClipDecode, and whose model.data_preprocessor has a crop_size'
            )
        if len(cfg['model']['data_preprocessor']['mean']) != 3:
            raise ValueError('windows over a video need a config of RGB, not of flow images')
        sampler = cfg['test_pipeline'][steps.index(UniformClipSampler)]
        scale = cfg['test_pipeline'][steps.index(ClipDecode)].get('scale')
        length, interval = sampler['clip_len'], sampler.get('frame_interval', 1)
        crop = Crops((size, size), num_places=1, mirrored=False)
        return cls(tuple(scale) if scale else None, length, length * interval, crop)

    def walk(self, video: Video | Stream) -> Iterator[np.ndarray]:
        """The centre crops of all frames, uint8 (h, w, 3) each; nothing else of them is kept."""
        for frame in video.walk(self.scale):
            yield self.crop.cut(frame, 0, False).copy()

    @staticmethod
    def view(clip: np.ndarray) -> Tensor:
        """uint8 (T, h, w, C) to (C, T, h, w)."""
        return torch.from_numpy(clip).permute(3, 0, 1, 2)
