"""Inception networks of the paper's rivals (Table 5): BN-Inception of TSN, Inception-V1 of I3D.

Both are tables of blocks whose four branches read the same input and are concatenated: 1 x 1,
3 x 3, a deeper one, and pooling. Every convolution is followed by BN and ReLU.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

INIT = [
    dict(type='Xavier', layer=['Conv2d', 'Conv3d'], distribution='uniform'),
    dict(type='Constant', layer='_BatchNorm', val=1, bias=0),
]

# 1 x 1; reduction and 3 x 3; reduction and both 3 x 3; projection behind the pooling.
# Blocks without the first and the last halve the sides and keep the pooled input as it is.
BN_INCEPTION = {
    '3a': (64, (64, 64), (64, 96), 32),
    '3b': (64, (64, 96), (64, 96), 64),
    '3c': (0, (128, 160), (64, 96), 0),
    '4a': (224, (64, 96), (96, 128), 128),
    '4b': (192, (96, 128), (96, 128), 128),
    '4c': (160, (128, 160), (128, 160), 128),
    '4d': (96, (128, 192), (160, 192), 128),
    '4e': (0, (128, 192), (192, 256), 0),
    '5a': (352, (192, 320), (160, 224), 128),
    '5b': (352, (192, 320), (192, 224), 128),
}

# 1 x 1 x 1; reduction and 3 x 3 x 3, twice; projection behind the pooling.
INCEPTION_V1 = {
    '3b': (64, (96, 128), (16, 32), 32),
    '3c': (128, (128, 192), (32, 96), 64),
    '4b': (192, (96, 208), (16, 48), 64),
    '4c': (160, (112, 224), (24, 64), 64),
    '4d': (128, (128, 256), (24, 64), 64),
    '4e': (112, (144, 288), (32, 64), 64),
    '4f': (256, (160, 320), (32, 128), 128),
    '5b': (256, (160, 320), (32, 128), 128),
    '5c': (384, (192, 384), (48, 128), 128),
}


class _Branches(nn.ModuleList):
    """Branches side by side, concatenated along the channels."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self], dim=1)


def _chain(unit: Callable[..., nn.Module], *layers: tuple) -> nn.Sequential:
    """Units one behind the other, each from its arguments."""
    return nn.Sequential(*(unit(*layer) for layer in layers))


def _unit2d(in_channels: int, channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    )


def _bn_inception_block(name: str, channels: int) -> tuple[nn.Module, int]:
    """A block of ``BN_INCEPTION`` that reads so many channels, and how many it gives."""
    first, (reduce, single), (double_reduce, double), projection = BN_INCEPTION[name]
    stride = 1 if first else 2
    branches = [
        _chain(_unit2d, (channels, reduce, 1), (reduce, single, 3, stride)),
        _chain(
            _unit2d,
            (channels, double_reduce, 1),
            (double_reduce, double, 3),
            (double, double, 3, stride),
        ),
    ]
    if not first:
        return _Branches([*branches, _max_pool()]), single + double + channels
    pool = nn.MaxPool2d(3, 1, 1) if name == '5b' else nn.AvgPool2d(3, 1, 1)
    pooled = nn.Sequential(pool, _unit2d(channels, projection, 1))
    branches = [_unit2d(channels, first, 1), *branches, pooled]
    return _Branches(branches), first + single + double + projection


def _max_pool() -> nn.MaxPool2d:
    """Caffe's: windows begin at the border, and the last one may be a part."""
    return nn.MaxPool2d(3, 2, ceil_mode=True)


@MODELS.register_module()
class BNInception(BaseModule):
    """BN-Inception as TSN's networks for Caffe have it ("Inception V2" in Table 5).

    Ioffe and Szegedy, "Batch Normalization", 2015, with the channels of TSN's definition
    (Wang et al., "Temporal Segment Networks", 2016). Convolutions have no bias, which the BN
    behind them would take out again.

    Args:
        in_channels (int): Channels of the image; 10 for a stack of 5 frames of flow.
            Defaults to 3.
        init_cfg (dict | list, optional): Initialisation by MMEngine. Defaults to Xavier
            convolutions and BN of scale 1 and shift 0.

    Example:
        >>> import torch
        >>> BNInception()(torch.rand(1, 3, 224, 224)).shape
        torch.Size([1, 1024, 7, 7])
    """

    def __init__(self, in_channels: int = 3, init_cfg: dict | list | None = None) -> None:
        super().__init__(INIT if init_cfg is None else init_cfg)
        self.stem = nn.Sequential(
            _unit2d(in_channels, 64, 7, 2), _max_pool(),
            _unit2d(64, 64, 1), _unit2d(64, 192, 3), _max_pool(),
        )  # fmt: skip
        channels, blocks = 192, {}
        for name in BN_INCEPTION:
            blocks[name], channels = _bn_inception_block(name, channels)
        self.blocks = nn.ModuleDict(blocks)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 1024, H / 32, W / 32).

        Raises:
            ValueError: If a side is no multiple of 32: the branches would differ in size.
        """
        if x.shape[-2] % 32 or x.shape[-1] % 32:
            raise ValueError(
                f'BNInception takes images whose sides are multiples of 32, got {tuple(x.shape)}'
            )
        x = self.stem(x)
        for block in self.blocks.values():
            x = block(x)
        return x


def _pad_same(x: Tensor, kernel: Any, stride: Any, value: float = 0.0) -> Tensor:
    """Pad (N, C, T, H, W) so that a side gives side / stride outputs, rounded up.

    TensorFlow's SAME: where the padding of a side is odd, there is one more behind than before.
    ``kernel`` and ``stride`` are triples.
    """
    padding: list[int] = []
    for size, k, s in zip(x.shape[:1:-1], kernel[::-1], stride[::-1]):
        total = max((-(-size // s) - 1) * s + k - size, 0)
        padding += [total // 2, total - total // 2]
    return F.pad(x, padding, value=value)


class _SameConv3d(nn.Conv3d):
    """A convolution with SAME padding."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(_pad_same(x, self.kernel_size, self.stride))


class _SameMaxPool3d(nn.MaxPool3d):
    """Max pooling, of triples, with SAME padding, which is never the maximum."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(_pad_same(x, self.kernel_size, self.stride, float('-inf')))


def _unit3d(in_channels: int, channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        _SameConv3d(in_channels, channels, kernel, stride, bias=False),
        nn.BatchNorm3d(channels, eps=1e-3),
        nn.ReLU(inplace=True),
    )


def _inception_v1_block(name: str, channels: int) -> tuple[nn.Module, int]:
    """A block of ``INCEPTION_V1`` that reads so many channels, and how many it gives."""
    first, (reduce, second), (third_reduce, third), projection = INCEPTION_V1[name]
    pool = _SameMaxPool3d((3, 3, 3), (1, 1, 1))
    branches = [
        _unit3d(channels, first, 1),
        _chain(_unit3d, (channels, reduce, 1), (reduce, second, 3)),
        _chain(_unit3d, (channels, third_reduce, 1), (third_reduce, third, 3)),
        nn.Sequential(pool, _unit3d(channels, projection, 1)),
    ]
    return _Branches(branches), first + second + third + projection


@MODELS.register_module()
class InceptionI3D(BaseModule):
    """I3D: Inception-V1 inflated to three dimensions (Carreira and Zisserman, 2017, Fig. 3).

    At 64 x 224 x 224 (T, H, W) the feature maps are::

        stem  192 x 32 x 28 x 28      4b to 4f  832 x 16 x 14 x 14
        3b, 3c 480 x 32 x 28 x 28     5b, 5c   1024 x 8 x 7 x 7

    Their BN has a shift alone, here a scale too. The head averages over all places, theirs over
    windows of two frames first.

    Args:
        in_channels (int): Channels of the clip; 2 for flow. Defaults to 3.
        init_cfg (dict | list, optional): Initialisation by MMEngine. Defaults to Xavier
            convolutions and BN of scale 1 and shift 0.

    Example:
        >>> import torch
        >>> InceptionI3D()(torch.rand(1, 3, 16, 64, 64)).shape
        torch.Size([1, 1024, 2, 2, 2])
    """

    out_channels = (1024,)

    def __init__(self, in_channels: int = 3, init_cfg: dict | list | None = None) -> None:
        super().__init__(INIT if init_cfg is None else init_cfg)
        self.stem = nn.Sequential(
            _unit3d(in_channels, 64, 7, 2), _SameMaxPool3d((1, 3, 3), (1, 2, 2)),
            _unit3d(64, 64, 1), _unit3d(64, 192, 3), _SameMaxPool3d((1, 3, 3), (1, 2, 2)),
        )  # fmt: skip
        channels, blocks = 192, {}
        for name in INCEPTION_V1:
            blocks[name], channels = _inception_v1_block(name, channels)
            if name in ('3c', '4f'):
                side = 3 if name == '3c' else 2
                blocks[f'pool{name[0]}'] = _SameMaxPool3d((side,) * 3, (2, 2, 2))
        self.blocks = nn.ModuleDict(blocks)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, 1024, T / 8, H / 32, W / 32), rounded up."""
        x = self.stem(x)
        for block in self.blocks.values():
            x = block(x)
        return x
