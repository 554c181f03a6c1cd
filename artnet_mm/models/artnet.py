"""ARTNet: a pre-activation 3D ResNet whose convolutions are units (Sec. 3.3, Table 1).

It needs torch alone; ``backbone.py`` is the same network as MMAction2's registry has it.
"""

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .blocks import DEPTHS
from .units import UNITS, Norm, build_norm

C2D, C3D = ('SpatialConv3d', 'SpatialConv3d'), ('Conv3d', 'Conv3d')
RELATION, SMART = ('Conv3d', 'RelationConv3d'), ('Conv3d', 'SMARTConv3d')

# stem:     unit of the 7 x 7 x 3 convolution
# stages:   units of the first and second convolution of every block, conv2_x to conv5_x
# shortcut: unit of the projection shortcuts; optional, Conv3d
ARCHITECTURES = {
    'c2d': dict(stem='SpatialConv3d', stages=[C2D, C2D, C2D, C2D], shortcut='SpatialConv3d'),
    'c3d': dict(stem='Conv3d', stages=[C3D, C3D, C3D, C3D]),
    'relation_s': dict(stem='RelationConv3d', stages=[C3D, C3D, C3D, C3D]),
    'relation_d': dict(stem='RelationConv3d', stages=[RELATION, RELATION, RELATION, C3D]),
    'artnet_s': dict(stem='SMARTConv3d', stages=[C3D, C3D, C3D, C3D]),
    'artnet_d': dict(stem='SMARTConv3d', stages=[SMART, SMART, SMART, C3D]),
}


def _is_list(value: object, length: int) -> bool:
    return isinstance(value, list | tuple) and len(value) == length


def _resolve(arch: str | dict) -> dict:
    """Look an architecture up, or check a table of the user's own."""
    if isinstance(arch, str):
        if arch not in ARCHITECTURES:
            raise ValueError(f'unknown arch {arch!r}; known are {", ".join(ARCHITECTURES)}')
        return ARCHITECTURES[arch]
    if not isinstance(arch, dict):
        raise ValueError(f'arch must be the name of an architecture or a table, got {arch!r}')
    if not {'stem', 'stages'} <= arch.keys() <= {'stem', 'stages', 'shortcut'}:
        raise ValueError(
            "arch must have the keys 'stem' and 'stages', may have 'shortcut', and has "
            f'{sorted(arch)}'
        )
    stages = arch['stages']
    if not _is_list(stages, 4) or not all(_is_list(units, 2) for units in stages):
        raise ValueError(
            "arch['stages'] must name two units (first and second convolution of a block) for "
            f'each of the four stages, got {stages!r}'
        )
    return arch


def _unit_maker(unit: str | dict, find: Callable[[str], type | None], **shared) -> partial:
    """What makes a convolution, from the name or the ``conv_cfg`` of a unit.

    Units that have arguments of these names are given what the network shares.
    """
    if not isinstance(unit, str | dict):
        raise ValueError(f'arch names units by name or conv_cfg, got {unit!r}')
    cfg = dict(type=unit) if isinstance(unit, str) else dict(unit)
    name = cfg.pop('type', None)
    layer = find(name) if isinstance(name, str) else name
    if layer is None:
        raise ValueError(f'arch names a unit {name!r}, but nothing of that name is registered')
    taken = inspect.signature(layer).parameters.keys() & shared.keys()
    return partial(layer, bias=False, **{**{name: shared[name] for name in taken}, **cfg})


class ARTNet(nn.Module):
    """Appearance-and-Relation Network (Sec. 3.3).

    At 16 x 112 x 112 (T, H, W) and 64 base channels the feature maps are (of depths 50 and 101
    from stage1 on with four times the channels)::

        stem    64 x 8 x 56 x 56      stage3  256 x 2 x 14 x 14
        stage1  64 x 8 x 56 x 56      stage4  512 x 1 x 7 x 7
        stage2 128 x 4 x 28 x 28

    Args:
        depth (int): 18 or 34 as in the paper, or 50 or 101, of bottlenecks. Defaults to 18.
        arch (str | dict): One of ``ARCHITECTURES``, or a table like its rows,
            with the registered name or the ``conv_cfg`` of a unit in each slot; a bottleneck
            has the second unit of its stage. Defaults to 'artnet_d'.
        in_channels (int): Channels of the clip. Defaults to 3.
        base_channels (int): Channels of the stem. Defaults to 64.
        shortcut_kernel (int): Kernel size of the projection shortcuts: 1 as in
            the paper, 3 as in the authors' released networks. Defaults to 1.
        norm_cfg (dict | Callable, optional): Normalisation, also inside the units:
            ``norm_cfg`` of MMCV, or what makes a layer from the number of channels.
            Defaults to ``BatchNorm3d``.
        frozen_stages (int): Stages that are not trained, BN statistics included: 0 for
            the stem, 1 for stem and stage1, and so on. Defaults to -1, none.
        max_response (float, optional): Limit of what the units square, for all that
            have such an argument. Defaults to None, the paper's arithmetic.
        zero_init_residual (bool): Start with residual branches that give nothing, so that
            the network starts as its shortcuts (docs/study.md). Defaults to False.
        out_indices (Sequence[int]): Stages whose output is given, from 0 on. That of the last
            stage has the final BN and ReLU behind it, the others are the sums of their last
            block, as they are. Defaults to (3,).
        with_cp (bool): Activation checkpointing of every block: less memory, more time.
            Defaults to False.
        norm_eval (bool): Keep all BN layers in inference mode in training. Defaults to False.

    Attributes:
        out_channels (tuple[int, ...]): Channels of each output.

    Raises:
        ValueError: If the depth, the arch, a unit, the shortcut kernel, the frozen
            stages or the output stages are unknown.

    Example:
        >>> import torch
        >>> net = ARTNet(depth=18, arch='artnet_d', base_channels=8)
        >>> net(torch.rand(1, 3, 16, 112, 112)).shape
        torch.Size([1, 64, 1, 7, 7])
    """

    _find_unit = staticmethod(UNITS.get)

    def __init__(
        self,
        depth: int = 18,
        arch: str | dict = 'artnet_d',
        in_channels: int = 3,
        base_channels: int = 64,
        shortcut_kernel: int = 1,
        norm_cfg: Norm = None,
        frozen_stages: int = -1,
        max_response: float | None = None,
        zero_init_residual: bool = False,
        out_indices: Sequence[int] = (3,),
        with_cp: bool = False,
        norm_eval: bool = False,
    ) -> None:
        super().__init__()
        if frozen_stages not in range(-1, 5):
            raise ValueError(f'frozen_stages must be -1 to 4, got {frozen_stages!r}')
        if depth not in DEPTHS:
            raise ValueError(f'depth must be one of {list(DEPTHS)}, got {depth!r}')
        if shortcut_kernel not in (1, 3):
            raise ValueError(f'shortcut_kernel must be 1 or 3, got {shortcut_kernel!r}')
        if not out_indices or any(index not in range(4) for index in out_indices):
            raise ValueError(f'out_indices must be stages from 0 to 3, got {out_indices!r}')
        arch = _resolve(arch)
        shared = dict(norm_cfg=norm_cfg, max_response=max_response)
        stated: dict[str, Any] = {k: value for k, value in shared.items() if value is not None}

        def maker(unit: str | dict) -> partial:
            return _unit_maker(unit, self._find_unit, **stated)

        self.stem = maker(arch['stem'])(
            in_channels, base_channels, (3, 7, 7), stride=2, padding=(1, 3, 3)
        )
        projection = arch.get('shortcut', 'Conv3d')
        block, num_blocks = DEPTHS[depth]
        stages, widths = [], [base_channels]
        for index, (units, number) in enumerate(zip(arch['stages'], num_blocks)):
            channels = base_channels * 2**index
            makers = tuple(map(maker, (*units, projection)))
            blocks = []
            for position in range(number):
                stride = 2 if index > 0 and position == 0 else 1
                blocks.append(
                    block(widths[-1], channels, stride, makers, shortcut_kernel, norm_cfg, with_cp)
                )
                widths.append(channels * block.expansion)
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.norm = build_norm(norm_cfg, widths[-1])
        self.out_indices = tuple(out_indices)
        self.out_channels = tuple(base_channels * 2**i * block.expansion for i in out_indices)
        self.zero_init_residual = zero_init_residual
        self.norm_eval = norm_eval
        self.frozen_stages = frozen_stages
        reached = max(self.out_indices) + 1
        unused = [*self.stages[reached:], *([self.norm] if reached < 4 else [])]
        for module in (*self._frozen(), *unused):  # DDP waits for the gradients of all others
            module.requires_grad_(False)

    def init_weights(self) -> None:
        """Initialise: Xavier convolutions, normalisations of scale 1 and shift 0."""
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, _BatchNorm | nn.GroupNorm):
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)
        self._zero_residuals()

    def _zero_residuals(self) -> None:
        if self.zero_init_residual:
            blocks: list[Any] = [block for stage in self.stages for block in stage.children()]
            for block in blocks:
                nn.init.zeros_(block.last_conv.weight)

    def _frozen(self) -> list[nn.Module]:
        return [self.stem, *self.stages][: self.frozen_stages + 1]

    def train(self, mode: bool = True) -> 'ARTNet':
        """Set the mode; frozen stages, and BN with ``norm_eval``, stay as in inference."""
        super().train(mode)
        still = self._frozen()
        if self.norm_eval:
            still += [m for m in self.modules() if isinstance(m, _BatchNorm)]
        for module in still:
            module.eval()
        return self

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """(N, C, T, H, W) -> (N, 8 base, T / 16, H / 16, W / 16), rounded up.

        Of bottlenecks four times as many channels. A tuple where there are several ``out_indices``.
        """
        outputs = []
        x = self.stem(x)
        for index in range(max(self.out_indices) + 1):
            x = self.stages[index](x)
            outputs.append(x)
        if len(outputs) == len(self.stages):
            outputs[-1] = F.relu(self.norm(x), inplace=True)
        chosen = tuple(outputs[index] for index in self.out_indices)
        return chosen[0] if len(chosen) == 1 else chosen
