"""Residual blocks of ARTNet: pre-activation, of two convolutions or as bottlenecks."""

from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from .deploy import fold
from .units import Norm, build_norm


class _KeptStatistics:
    """Context in which BN layers move copies of their running statistics; for any number of times.

    A graph can be gone through backward more than once.
    """

    def __init__(self, module: nn.Module) -> None:
        self._norms = [m for m in module.modules() if isinstance(m, _BatchNorm)]

    def __enter__(self) -> None:
        norms = self._norms
        self._kept = [(n, name, b) for n in norms for name, b in n.named_buffers(recurse=False)]
        for norm, name, buffer in self._kept:
            setattr(norm, name, buffer.clone())

    def __exit__(self, *error: object) -> None:
        for norm, name, buffer in self._kept:
            setattr(norm, name, buffer)


class PreActBlock(nn.Module):
    """BN-ReLU -> convolution -> BN-ReLU -> convolution, added to the raw input.

    Where the shape changes, the projection shortcut reads the activated input
    and has no BN.

    Args:
        in_channels (int): Channels of the input.
        channels (int): Channels of the convolutions; the output has ``expansion`` times as many.
        stride (int): Stride in time and space of the first convolution.
        units (tuple): What makes the two convolutions of a stage and the projection, as
            ``torch.nn.Conv3d`` does.
        shortcut_kernel (int): Kernel size of the projection.
        norm_cfg (dict | Callable, optional): Normalisation, as for ``units.build_norm``.
        with_cp (bool): Compute the block again in the backward pass instead of keeping what it
            needs there. BN statistics move once. ``torch.compile`` chooses by itself what to keep.
            Defaults to False.
    """

    expansion = 1

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int,
        units: tuple,
        shortcut_kernel: int,
        norm_cfg: Norm,
        with_cp: bool = False,
    ) -> None:
        super().__init__()
        *residual, projection = units
        out_channels = channels * self.expansion
        self.with_cp = with_cp
        self.norm1 = build_norm(norm_cfg, in_channels)
        self._build(in_channels, channels, stride, residual, norm_cfg)
        self.shortcut = None
        if stride != 1 or in_channels != out_channels:
            padding = shortcut_kernel // 2
            self.shortcut = projection(
                in_channels, out_channels, shortcut_kernel, stride=stride, padding=padding
            )

    def _build(
        self, in_channels: int, channels: int, stride: int, units: list, norm_cfg: Norm
    ) -> None:
        first, second = units
        self.conv1 = first(in_channels, channels, 3, stride=stride, padding=1)
        self.norm2 = build_norm(norm_cfg, channels)
        self.conv2 = second(channels, channels, 3, stride=1, padding=1)

    def residual(self, activated: Tensor) -> Tensor:
        """What is added to the shortcut, of the activated input."""
        return self.conv2(F.relu(self.norm2(self.conv1(activated)), inplace=True))

    @property
    def last_conv(self) -> nn.Module:
        """The convolution that gives the residual branch.

        Raises:
            ValueError: If the unit there does not say which of its layers that is.
        """
        last = getattr(self.conv2, 'last_conv', self.conv2)
        if not hasattr(last, 'weight'):
            raise ValueError(
                'zero_init_residual needs units with a weight or a last_conv, and '
                f'{type(last).__name__} has neither'
            )
        return last

    def switch_to_deploy(self) -> None:
        """Fold the second BN into the first convolution; for inference only."""
        if not isinstance(self.norm2, nn.Identity):
            self.conv1, self.norm2 = fold(self.conv1, self.norm2), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, T, H, W) -> (N, C, T / stride, H / stride, W / stride)."""
        if not (self.with_cp and x.requires_grad) or torch.compiler.is_compiling():
            return self._forward(x)
        contexts = nullcontext(), _KeptStatistics(self)
        return checkpoint(self._forward, x, use_reentrant=False, context_fn=lambda: contexts)

    def _forward(self, x: Tensor) -> Tensor:
        activated = F.relu(self.norm1(x), inplace=True)
        shortcut = x if self.shortcut is None else self.shortcut(activated)
        return self.residual(activated) + shortcut


class PreActBottleneck(PreActBlock):
    """Three times BN-ReLU -> convolution: 1 x 1 x 1, unit, 1 x 1 x 1 to four times the channels.

    The unit is the second of a stage's two, the one with relation in Table 1; it has the stride.
    Structure and names are those of He and others' pre-activation bottleneck (2016) as timm's
    ``resnetv2`` has it.
    """

    expansion = 4

    def _build(
        self, in_channels: int, channels: int, stride: int, units: list, norm_cfg: Norm
    ) -> None:
        _, unit = units
        self.conv1 = nn.Conv3d(in_channels, channels, 1, bias=False)
        self.norm2 = build_norm(norm_cfg, channels)
        self.conv2 = unit(channels, channels, 3, stride=stride, padding=1)
        self.norm3 = build_norm(norm_cfg, channels)
        self.conv3 = nn.Conv3d(channels, channels * self.expansion, 1, bias=False)

    def residual(self, activated: Tensor) -> Tensor:
        """What is added to the shortcut, of the activated input."""
        out = self.conv2(F.relu(self.norm2(self.conv1(activated)), inplace=True))
        return self.conv3(F.relu(self.norm3(out), inplace=True))

    @property
    def last_conv(self) -> nn.Conv3d:
        """The convolution that gives the residual branch."""
        return self.conv3

    def switch_to_deploy(self) -> None:
        """Fold the second and third BN into the convolutions before; for inference only."""
        super().switch_to_deploy()
        if not isinstance(self.norm3, nn.Identity):
            self.conv2, self.norm3 = fold(self.conv2, self.norm3), nn.Identity()


# depth: the block, and how many of it each stage has
DEPTHS = {
    18: (PreActBlock, (2, 2, 2, 2)),
    34: (PreActBlock, (3, 4, 6, 3)),
    50: (PreActBottleneck, (3, 4, 6, 3)),
    101: (PreActBottleneck, (3, 4, 23, 3)),
}
