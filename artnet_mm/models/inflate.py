"""Networks started from images: 2D weights in the place of 3D ones."""

import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from mmengine.logging import print_log
from mmengine.registry import WEIGHT_INITIALIZERS
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .artnet import ARTNet
from .deploy import affine_of
from .loading import shortened
from .units import RelationConv3d, SMARTConv3d

COUNT = 'num_batches_tracked'
BN = ('weight', 'bias', 'running_mean', 'running_var')


class Slot(NamedTuple):
    """A convolution of the 2D network, and the place of it in the 3D one.

    Names of modules; those of the normalisations that follow are empty where there is none.
    """

    conv2d: str
    conv: str
    norm2d: str = ''
    norm: str = ''


def _resnet_v2(net: nn.Module, state: Mapping[str, Tensor]) -> Iterator[Slot]:
    """From timm's ``resnetv2``, whose blocks are those of ARTNet."""
    blocks = list(_blocks_of(net))
    first = 'stages.0.blocks.0.norm1' if blocks[0][1].shortcut is not None else ''
    # Nothing but that normalisation reads the stem where the first block has a projection.
    yield Slot('stem.conv', 'stem', first, first and 'stages.0.0.norm1')
    for (stage, index), block in blocks:
        old, new = f'stages.{stage}.blocks.{index}', f'stages.{stage}.{index}'
        if (stage, index) != (0, 0) or not first:
            yield Slot('', '', f'{old}.norm1', f'{new}.norm1')
        last = 3 if hasattr(block, 'conv3') else 2
        for n in range(1, last + 1):
            norms = (f'{old}.norm{n + 1}', f'{new}.norm{n + 1}') if n < last else ('', '')
            yield Slot(f'{old}.conv{n}', f'{new}.conv{n}', *norms)
        yield Slot(f'{old}.downsample.conv', f'{new}.shortcut')
    yield Slot('', '', 'norm', 'norm')


def _resnet(net: nn.Module, state: Mapping[str, Tensor]) -> Iterator[Slot]:
    """From torchvision's or MMPretrain's ResNet, whose BN follows the convolutions."""
    if not isinstance(net, ARTNet):  # ResNet3d of MMAction2
        yield Slot('conv1', 'conv1.conv', 'bn1', 'conv1.bn')
        for name in sorted(key.removesuffix('.weight') for key in state):
            *block, layer = name.split('.')
            if block[:1] and block[0].startswith('layer') and layer.startswith('conv'):
                bn, place = '.'.join([*block, f'bn{layer[4:]}']), '.'.join([*block, layer])
                yield Slot(name, f'{place}.conv', bn, f'{place}.bn')
            elif name.endswith('downsample.0'):
                place = name.removesuffix('.0')
                yield Slot(name, f'{place}.conv', f'{place}.1', f'{place}.bn')
        return
    yield Slot('conv1', 'stem', 'bn1', 'stages.0.0.norm1')
    for (stage, index), block in _blocks_of(net):
        old, new = f'layer{stage + 1}.{index}', f'stages.{stage}.{index}'
        last = 3 if hasattr(block, 'conv3') else 2
        for n in range(1, last + 1):
            after = f'{new}.norm{n + 1}' if n < last else ''
            yield Slot(f'{old}.conv{n}', f'{new}.conv{n}', f'{old}.bn{n}', after)
        yield Slot(f'{old}.downsample.0', f'{new}.shortcut', f'{old}.downsample.1')


def _blocks_of(net: nn.Module) -> Iterator[tuple[tuple[int, int], Any]]:
    stages: Any = net.stages
    for stage, blocks in enumerate(stages):
        for index, block in enumerate(blocks):
            yield (stage, index), block


@WEIGHT_INITIALIZERS.register_module()
class Inflated2d:
    """Start of a 3D network as a 2D one: ``init_cfg=dict(type='Inflated2d', checkpoint=...)``.

    A 3D convolution gives what the 2D one does: its other frames are 0, or with ``time='mean'``
    all are its mean, which padding in time makes less at the ends of a clip. A SMART unit has the
    2D weights for its appearance, and a reduction that passes it on and leaves relation out at
    first. There is a ReLU before the reduction: that is the 2D layer where a ReLU follows it
    anyway, in bottlenecks and in ``ResNet3d`` but for the last convolution of a block, and the
    rectified one in the stem and the second convolutions of depth 18 and 34. In ``RelationConv3d``
    the 3D convolution is inflated.

    Known are the names of timm's ``resnetv2``, for ``ARTNet``, which has the same structure but for
    the max pooling behind the stem; and those of torchvision's and MMPretrain's ResNet, for
    MMAction2's ``ResNet3d`` (by its ``pretrained`` and ``pretrained2d=True``, which come here if it
    has units; it knows no ``init_cfg``) and for ``ARTNet``, which takes the convolutions and
    the BN behind them, but is another function. A first convolution that reads flow has the
    mean over red, green and blue, as in TSN.

    Args:
        checkpoint (str): File, URL or name of the 2D weights.
        prefix (str): Beginning of the names of the backbone. Defaults to 'backbone.' where
            there are such names, or none.
        time (str): 'centre' or 'mean'. Defaults to 'centre'.

    Raises:
        ValueError: If ``time`` is another, the names are of no known network, or nothing fits.
    """

    def __init__(self, checkpoint: str, prefix: str | None = None, time: str = 'centre') -> None:
        if time not in ('centre', 'mean'):
            raise ValueError(f"time must be 'centre' or 'mean', got {time!r}")
        self.checkpoint, self.prefix, self.time = checkpoint, prefix, time

    def __call__(self, net: nn.Module) -> None:
        """Give a backbone the weights."""
        state = self._read()
        of_timm = 'stem.conv.weight' in state and isinstance(net, ARTNet)
        if not of_timm and 'layer1.0.conv1.weight' not in state:
            raise ValueError(
                f'{self.checkpoint} is of no network that Inflated2d knows; its names begin with '
                f'{shortened(list(state))}'
            )
        if of_timm and 'norm.running_mean' not in state:
            raise ValueError(
                f'{self.checkpoint} has no BN: of BiT, whose convolutions are standardised and '
                'followed by group normalisation, no network here is the inflated one'
            )
        modules = {name: module for name, module in net.named_modules() if name}
        for name, module in modules.items():
            if isinstance(module, _BatchNorm | nn.GroupNorm) and not (
                isinstance(module, _BatchNorm) and module.affine and module.track_running_stats
            ):
                raise ValueError(f'Inflated2d takes networks with BN, and {name} is {module}')
        used, new = set[str](), set[str]()
        for slot in (_resnet_v2 if of_timm else _resnet)(net, state):
            conv, norm = modules.get(slot.conv), modules.get(slot.norm)
            weight = state.get(f'{slot.conv2d}.weight')
            there = all(f'{slot.norm2d}.{key}' in state for key in BN)
            norm2d = {key: state[f'{slot.norm2d}.{key}'] for key in BN if there}
            if conv is not None and weight is not None:
                taken = self._convolution(conv, weight, norm2d, norm)
                used |= {f'{slot.conv2d}.weight'} if taken else set()
                new |= {f'{slot.conv}.{name}' for name in taken}
                in_unit = isinstance(conv, SMARTConv3d) and conv.has_relation
                if taken and (in_unit or norm is None):  # the BN, or its scale, is in there
                    used |= {f'{slot.norm2d}.{key}' for key in norm2d}
                if in_unit or not taken:
                    continue
            if isinstance(norm, _BatchNorm) and norm2d and self._copy(norm, norm2d):
                used |= {f'{slot.norm2d}.{key}' for key in BN}
                new |= {f'{slot.norm}.{key}' for key in BN}
        if not used:
            raise ValueError(f'{self.checkpoint}: nothing of it fits, as the shapes are others')
        unused = [key for key in state if key not in used and not key.endswith(COUNT)]
        fresh = [key for key in net.state_dict() if key not in new and not key.endswith(COUNT)]
        print_log(
            f'{self.checkpoint}: {len(used)} of {len(used) + len(unused)} 2D tensors taken; left '
            f'as initialised: {shortened(fresh)}; not used: {shortened(unused)}',
            logger='current',
            level=logging.WARNING if unused and not _of_head(unused) else logging.INFO,
        )

    def _read(self) -> dict[str, Tensor]:
        """The state of the 2D backbone, by its own names."""
        loaded = CheckpointLoader.load_checkpoint(self.checkpoint, map_location='cpu')
        state = loaded.get('state_dict', loaded)
        prefix = self.prefix
        if prefix is None:
            prefix = 'backbone.' if any(key.startswith('backbone.') for key in state) else ''
        return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}

    def _convolution(
        self, conv: nn.Module, weight: Tensor, norm2d: dict[str, Tensor], norm: Any
    ) -> list[str]:
        """Fill a convolution or unit; names of what is set in it, none if it differs."""
        if isinstance(conv, SMARTConv3d) and conv.has_relation:
            if not self._fill(conv.appearance_conv, weight):
                return []
            if not norm2d:
                norm2d = _identity(conv.appearance_norm)
            self._copy(conv.appearance_norm, norm2d)
            if norm is not None:
                self._copy(norm, _identity(norm))
            with torch.no_grad():
                nn.init.zeros_(conv.reduction.weight)
                nn.init.eye_(conv.reduction.weight.flatten(1)[:, : conv.out_channels])
            return ['appearance_conv.weight', 'reduction.weight', *_named('appearance_norm')]
        relation = isinstance(conv, RelationConv3d) and conv.has_relation
        layer: Any = conv.relation_conv if relation else getattr(conv, 'last_conv', conv)
        if norm2d and norm is None:  # no place for the BN that follows
            scale, _ = affine_of(_as_norm(norm2d))
            weight = weight * scale.view(-1, 1, 1, 1)
        (name,) = (name for name, module in conv.named_modules() if module is layer)
        return [f'{name}.weight'.lstrip('.')] * self._fill(layer, weight)

    def _fill(self, conv: nn.Conv3d, weight: Tensor) -> bool:
        """Inflate (O, I, H, W) to the shape of a convolution, if the other sizes fit."""
        out_channels, in_channels, time, *kernel = conv.weight.shape
        if [weight.shape[0], *weight.shape[2:]] != [out_channels, *kernel]:
            return False
        if weight.shape[1] != in_channels:
            if in_channels not in (2, 10) or weight.shape[1] != 3:
                return False
            weight = weight.mean(1, keepdim=True).expand(-1, in_channels, -1, -1)
        with torch.no_grad():
            if self.time == 'mean':
                conv.weight.copy_(weight.unsqueeze(2).expand_as(conv.weight) / time)
            else:
                conv.weight.zero_()[:, :, time // 2] = weight
        return True

    @staticmethod
    def _copy(norm: nn.Module, state: dict[str, Tensor]) -> bool:
        """Set a BN layer, if it has as many channels."""
        own = norm.state_dict()
        if any(own[key].shape != state[key].shape for key in BN if key in own):
            return False
        norm.load_state_dict({**own, **{key: state[key] for key in BN if key in own}})
        return True


def _of_head(names: list[str]) -> bool:
    """Whether tensors are those of a classifier only."""
    return all(re.match(r'(head|fc|cls_head|classifier)\.', name) for name in names)


def _identity(norm: Any) -> dict[str, Tensor]:
    """What makes a BN layer the identity in inference."""
    ones, zeros = torch.ones(norm.num_features), torch.zeros(norm.num_features)
    return dict(weight=ones, bias=zeros, running_mean=zeros, running_var=ones - norm.eps)


def _as_norm(state: dict[str, Tensor]) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(len(state['weight']))
    norm.load_state_dict(state, strict=False)
    return norm


def _named(name: str) -> list[str]:
    return [f'{name}.{key}' for key in BN]
