"""The views of a test: crops of clips, the same for arrays and for tensors on a device."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np
from torch import Tensor

Frames = TypeVar('Frames', np.ndarray, Tensor)
NUM_PLACES = (1, 3, 5)


def _check_flow(frames: Frames) -> None:
    if frames.shape[-1] != 2:
        raise ValueError(
            'flow frames must be (H, W, 2) with the channels x and y (StackFlow makes '
            f'them), got {tuple(frames.shape[-3:])}'
        )


def mirror(frames: Frames, flow: bool) -> Frames:
    """Mirror frames left to right.

    The x displacement of mirrored flow changes its sign, which for 8-bit flow
    images around 128 is 255 - x. The y displacement keeps its own.

    Args:
        frames (np.ndarray | Tensor): uint8 (..., H, W, C); for flow the channels are x, y.
        flow (bool): Whether the frames are flow.

    Returns:
        np.ndarray | Tensor: (..., H, W, C), a copy.

    Raises:
        ValueError: If flow frames do not have the channels x and y.
    """
    if isinstance(frames, Tensor):
        mirrored = frames.flip(-2)
    else:
        mirrored = frames[..., ::-1, :].copy()
    if flow:
        _check_flow(frames)
        mirrored[..., 0] = 255 - mirrored[..., 0]
    return mirrored


@dataclass(frozen=True)
class Crops:
    """The crops of every clip in a test (Sec. 3.3).

    Args:
        size (tuple[int, int]): (w, h) of a crop.
        num_places (int): 1 for the centre; 3 for the ends of the longer side and the
            centre; 5 for the corners and the centre. Defaults to 5.
        mirrored (bool): Whether each crop is followed by its mirror image. Not for data
            on which left and right make a class. Defaults to True: ten crops.

    Raises:
        ValueError: If there is no such number of places.
    """

    size: tuple[int, int]
    num_places: int = 5
    mirrored: bool = True

    def __post_init__(self) -> None:
        if self.num_places not in NUM_PLACES:
            raise ValueError(f'num_places must be 1, 3 or 5, got {self.num_places!r}')

    def __len__(self) -> int:
        return self.num_places * (1 + self.mirrored)

    def corners(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        """Upper left corners (x, y) of the places.

        Args:
            size (tuple[int, int]): (w, h) of the frames.

        Raises:
            ValueError: If the crop is larger than the frames.
        """
        (width, height), (crop_w, crop_h) = size, self.size
        right, bottom = width - crop_w, height - crop_h
        if right < 0 or bottom < 0:
            raise ValueError(
                f'crop_size {crop_w}x{crop_h} (w, h) is larger than the {width}x{height} frames'
            )
        centre = right // 2, bottom // 2
        if self.num_places == 1:
            return [centre]
        if self.num_places == 5:
            return [(0, 0), (right, 0), (0, bottom), (right, bottom), centre]
        if right >= bottom:
            return [(0, centre[1]), (right, centre[1]), centre]
        return [(centre[0], 0), (centre[0], bottom), centre]

    def cut(self, frames: Frames, index: int, flow: bool) -> Frames:
        """One of the crops of frames (..., H, W, C): (..., h, w, C).

        Raises:
            ValueError: If the crop is larger than the frames, or flow has other channels than
                x and y.
        """
        if flow:
            _check_flow(frames)
        place, mirrored = divmod(index, 1 + self.mirrored)
        width, height = self.size
        x, y = self.corners((frames.shape[-2], frames.shape[-3]))[place]
        crop = frames[..., y : y + height, x : x + width, :]
        return mirror(crop, flow) if mirrored else crop


@dataclass(frozen=True)
class TestProtocol:
    """What a config tests: views per video, and how many of them at a time."""

    __test__: ClassVar[bool] = False  # no test of pytest's

    num_clips: int
    crops: Crops | None
    """None where the pipeline makes them."""
    at_a_time: int | None
    """Most views per forward pass; None for all of a video."""

    @classmethod
    def of(cls, cfg: Mapping) -> 'TestProtocol':
        """The protocol of a config with the test views of ``ClipPreprocessor``."""
        model = cfg['model']
        num_clips = next(s['num_clips'] for s in cfg['test_pipeline'] if 'num_clips' in s)
        preprocessor = model['data_preprocessor']
        size, options = preprocessor.get('crop_size'), ('num_places', 'mirrored')
        given = {name: preprocessor[name] for name in options if name in preprocessor}
        crops = Crops((size, size), **given) if size else None
        return cls(num_clips, crops, (model.get('test_cfg') or {}).get('max_testing_views'))

    @property
    def num_views(self) -> int:
        """Views per video."""
        return self.num_clips * (len(self.crops) if self.crops else 1)
