"""Clips from the data loader to the network's input."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from mmaction.models.data_preprocessors import ActionDataPreprocessor
from mmaction.registry import MODELS
from torch import Tensor

from ..views import Crops


@dataclass(frozen=True)
class Views:
    """The views of a video, made when they are needed: crops of each clip.

    Their order is that of ``ClipCrops`` and ``FormatShape``: all clips of the first
    crop, all of the next, and so on.
    """

    frames: Tensor
    """uint8 (M, H, W, C), each frame once."""
    clips: Tensor
    """Places of frames, (num_clips, T)."""
    crops: Crops
    normalise: Callable[[Tensor], Tensor]
    """uint8 (n, C, T, h, w) to floats."""

    def __len__(self) -> int:
        return len(self.crops) * len(self.clips)

    @property
    def shape(self) -> tuple[int, ...]:
        """(V, C, T, h, w) of all views."""
        width, height = self.crops.size
        return len(self), self.frames.shape[-1], self.clips.shape[1], height, width

    @property
    def device(self) -> torch.device:
        return self.frames.device

    def distinct(self) -> tuple['Views', Tensor]:
        """The views without clips that come again, and the place of every view among them.

        The clips of a video that has fewer places for them than there are come again.
        """
        clips, places = self.clips.unique(dim=0, return_inverse=True)
        first = len(clips) * torch.arange(len(self.crops), device=places.device)
        return replace(self, clips=clips), (first[:, None] + places).flatten()

    def split(self, size: int) -> Iterator[Tensor]:
        """Float views (n, C, T, h, w), at most ``size`` at a time."""
        for start in range(0, len(self), size):
            by_crop: dict[int, list[int]] = {}
            for view in range(start, min(start + size, len(self))):
                crop, clip = divmod(view, len(self.clips))
                by_crop.setdefault(crop, []).append(clip)
            yield torch.cat([self._of_crop(*part) for part in by_crop.items()])

    def _of_crop(self, crop: int, clips: list[int]) -> Tensor:
        """Float views (n, C, T, h, w) of one crop."""
        flow = self.frames.shape[-1] == 2
        frames = self.crops.cut(self.frames, crop, flow)
        return self.normalise(frames[self.clips[clips]].permute(0, 4, 1, 2, 3))


@MODELS.register_module()
class ClipPreprocessor(ActionDataPreprocessor):
    """Mean subtraction and channel order for clips of (M, C, T, H, W) per sample.

    The stock preprocessor asks for a ``std`` where the paper divides by nothing,
    and pads clips of unequal shape to a common one without a word.

    In testing a sample may be the 8-bit frames of its clips instead, each once
    (``ShareFrames``): :class:`Views` are cut from them on the device, a few at a
    time. Mirrored frames of two channels are flow, of which x is negated.

    Args:
        mean (Sequence[float]): Mean per channel, in the order of the network's input.
        std (Sequence[float], optional): Divisor per channel. Defaults to 1.
        to_rgb (bool): Reverse the channels of the clip first. Defaults to False.
        crop_size (int, optional): Side of the crops in testing. Needed where samples are
            frames.
        num_places (int): Crops of each clip: 1, 3 or 5, as :class:`Crops` has them.
            Defaults to 5.
        mirrored (bool): Whether each crop is followed by its mirror image. Defaults to True.
        blending (dict, optional): MMAction2's 'MixupBlending', 'CutmixBlending' or
            'RandomBatchAugment', by which training clips and their labels are mixed; all
            segments of a sample with those of one other. Defaults to None.

    Raises:
        ValueError: If the samples of a batch differ in shape or do not have as
            many channels as ``mean``, or ``to_rgb`` meets other than three,
            or ``std`` does not have as many, none of them 0; if samples are frames
            and there is no ``crop_size``, or one that is larger than they are.
    """

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float] | None = None,
        to_rgb: bool = False,
        crop_size: int | None = None,
        num_places: int = 5,
        mirrored: bool = True,
        blending: dict | None = None,
    ) -> None:
        if to_rgb and len(mean) != 3:
            raise ValueError(f'to_rgb reverses three channels, but mean has {len(mean)}')
        std = [1.0] * len(mean) if std is None else std
        if len(std) != len(mean) or 0 in std:
            raise ValueError(f'std must have a divisor for each of {len(mean)} channels, got {std}')
        super().__init__(mean=mean, std=std, to_rgb=to_rgb, blending=blending, format_shape='NCTHW')
        self.crops = Crops((crop_size, crop_size), num_places, mirrored) if crop_size else None

    def normalise(self, clips: Tensor) -> Tensor:
        """uint8 (N, C, T, H, W) -> the same shape in float32, or the type of a halved network."""
        if self.to_rgb:
            clips = clips.flip(1)
        clips = clips.to(torch.float32, memory_format=torch.contiguous_format, copy=True)
        clips = clips.sub_(self.mean.float()).div_(self.std.float())
        return clips.to(self.mean.dtype)

    def preprocess(
        self, inputs: list | dict, data_samples: list, training: bool = False
    ) -> tuple[Tensor | list[Views], list]:
        """List of N uint8 (M, C, T, H, W) -> float32 (N, M, C, T, H, W).

        Or dict of N uint8 ``imgs`` (M, H, W, C) and N ``clips`` -> N ``Views``.
        """
        if isinstance(inputs, dict):
            return self._views(**inputs), data_samples
        shapes = {tuple(clips.shape) for clips in inputs}
        if len(shapes) > 1:
            raise ValueError(
                f'samples of a batch differ in shape (M, C, T, H, W): {sorted(shapes)}'
            )
        (shape,) = shapes
        self._check_channels(shape, 5, 1, '(M, {}, T, H, W)')
        clips = self.normalise(torch.cat(inputs)).unflatten(0, (len(inputs), -1))
        if training and self.blending is not None:
            return self.blending(clips, data_samples)
        return clips, data_samples

    def _views(self, imgs: list[Tensor], clips: list[Tensor]) -> list[Views]:
        crops = self.crops
        if crops is None:
            raise ValueError('frames of test videos need data_preprocessor.crop_size')
        for frames in imgs:
            self._check_channels(tuple(frames.shape), 4, 3, '(M, H, W, {})')
            crops.corners((frames.shape[2], frames.shape[1]))
        return [Views(*video, crops, self.normalise) for video in zip(imgs, clips)]

    def _check_channels(self, shape: tuple, ndim: int, axis: int, expected: str) -> None:
        if len(shape) != ndim or shape[axis] != len(self.mean):
            raise ValueError(
                f'expected clips of {expected.format(len(self.mean))}, one channel per entry of '
                f'data_preprocessor.mean, got {shape}'
            )
