"""Trained models for inference only: BN layers become part of convolutions."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval


class Affine(nn.Module):
    """Scale and shift per channel: what BN is in inference.

    Args:
        scale, shift (Tensor): (C,).
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer('scale', scale.view(-1, 1, 1, 1))
        self.register_buffer('shift', shift.view(-1, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> the same shape."""
        return torch.addcmul(self.shift, x, self.scale)


def affine_of(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Scale and shift (C,) of a BN layer in eval mode.

    Raises:
        ValueError: If the normalisation has no running statistics.
    """
    if not isinstance(norm, _BatchNorm) or norm.running_mean is None or norm.running_var is None:
        raise ValueError(f'only BN with running statistics can be folded, not {norm}')
    scale = torch.rsqrt(norm.running_var + norm.eps)
    shift = -norm.running_mean * scale
    if norm.affine:
        scale, shift = scale * norm.weight, shift * norm.weight + norm.bias
    return scale.detach(), shift.detach()


def fold(conv: Any, norm: Any) -> nn.Module:
    """A convolution or unit that computes ``norm(conv(x))`` in eval mode.

    Raises:
        ValueError: If the normalisation has no running statistics.
    """
    affine_of(norm)
    if hasattr(conv, 'fold_norm'):
        return conv.fold_norm(norm)
    return fuse_conv_bn_eval(conv.eval(), norm.eval())


def switch_to_deploy(model: nn.Module) -> nn.Module:
    """Bring a trained model into its deploy form, which computes the same.

    The convention is MMPretrain's: modules that have such a form have a method
    ``switch_to_deploy``. Here these are the units and the blocks of ``ARTNet``; in
    other backbones the BN layers around the units stay.

    Args:
        model (nn.Module): A recognizer, backbone or unit; it is changed.

    Returns:
        nn.Module: The model, in eval mode.

    Raises:
        ValueError: If a normalisation has no running statistics.
    """
    modules: list[Any] = list(model.modules())
    for module in modules:
        if hasattr(module, 'switch_to_deploy'):
            module.switch_to_deploy()
    model.eval()  # which MMAction2's ResNet3d does not return
    return model
