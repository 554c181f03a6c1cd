"""Clips from the data loader to the network's input."""

from collections.abc import Sequence

from mmaction.models.data_preprocessors import ActionDataPreprocessor
from mmaction.registry import MODELS


@MODELS.register_module()
class ClipPreprocessor(ActionDataPreprocessor):
    """Mean subtraction and channel order for clips of (M, C, T, H, W) per sample.

    The stock preprocessor asks for a ``std`` where the paper divides by nothing,
    and pads clips of unequal shape to a common one without a word.

    Args:
        mean (Sequence[float]): Mean a channel, in the order of the network's input.
        std (Sequence[float], optional): Divisor a channel. Defaults to 1.
        to_rgb (bool): Reverse the channels of the clip first. Defaults to False.

    Raises:
        ValueError: If the samples of a batch differ in shape or do not have as
            many channels as ``mean``, or ``to_rgb`` meets other than three,
            or ``std`` does not have as many, none of them 0.
    """

    def __init__(
        self, mean: Sequence[float], std: Sequence[float] | None = None, to_rgb: bool = False
    ) -> None:
        if to_rgb and len(mean) != 3:
            raise ValueError(f'to_rgb reverses three channels, but mean has {len(mean)}')
        std = [1.0] * len(mean) if std is None else std
        if len(std) != len(mean) or 0 in std:
            raise ValueError(f'std must have a divisor for each of {len(mean)} channels, got {std}')
        super().__init__(mean=mean, std=std, to_rgb=to_rgb, format_shape='NCTHW')

    def preprocess(self, inputs: list, data_samples: list, training: bool = False) -> tuple:
        """List of N uint8 (M, C, T, H, W) -> float32 (N, M, C, T, H, W)."""
        shapes = {tuple(clips.shape) for clips in inputs}
        if len(shapes) > 1:
            raise ValueError(
                f'samples of a batch differ in shape (M, C, T, H, W): {sorted(shapes)}'
            )
        (shape,) = shapes
        if len(shape) != 5 or shape[1] != len(self.mean):
            raise ValueError(
                f'expected clips of (M, {len(self.mean)}, T, H, W), one channel per entry of '
                f'data_preprocessor.mean, got {shape}'
            )
        return super().preprocess(inputs, data_samples, training)
