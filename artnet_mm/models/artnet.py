"""ARTNet: a pre-activation 3D ResNet whose convolutions are units (Sec. 3.3, Table 1)."""

import inspect
from functools import partial

import torch.nn.functional as F
from mmaction.registry import MODELS
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule, PretrainedInit
from torch import Tensor, nn

from .deploy import fold

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
NUM_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
DEFAULT_INIT = [
    dict(type='Xavier', layer='Conv3d', distribution='uniform'),
    dict(type='Constant', layer=['_BatchNorm', 'GroupNorm'], val=1, bias=0),
]


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


def _unit_maker(unit: str | dict, **shared: object) -> partial:
    """What makes a convolution, from the name or the ``conv_cfg`` of a unit.

    Units that have arguments of these names are given what the network shares.
    """
    if not isinstance(unit, str | dict):
        raise ValueError(f'arch names units by name or conv_cfg, got {unit!r}')
    cfg = dict(type=unit) if isinstance(unit, str) else dict(unit)
    name = cfg.pop('type', None)
    layer = MODELS.get(name) if isinstance(name, str) else name
    if layer is None:
        raise ValueError(f'arch names a unit {name!r}, but nothing of that name is registered')
    taken = inspect.signature(layer).parameters.keys() & shared.keys()
    return partial(layer, bias=False, **{**{name: shared[name] for name in taken}, **cfg})


class PreActBlock(nn.Module):
    """BN-ReLU -> convolution -> BN-ReLU -> convolution, added to the raw input.

    Where the shape changes, the projection shortcut reads the activated input
    and has no BN.

    Args:
        in_channels (int): Channels of the input.
        channels (int): Channels of the output.
        stride (int): Stride in time and space of the first convolution.
        units (tuple): What makes the two convolutions and the projection, as
            ``torch.nn.Conv3d`` does.
        shortcut_kernel (int): Kernel size of the projection.
        norm_cfg (dict): Normalisation.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int,
        units: tuple,
        shortcut_kernel: int,
        norm_cfg: dict,
    ) -> None:
        super().__init__()
        first, second, projection = units
        self.norm1 = build_norm_layer(norm_cfg, in_channels)[1]
        self.conv1 = first(in_channels, channels, 3, stride=stride, padding=1)
        self.norm2 = build_norm_layer(norm_cfg, channels)[1]
        self.conv2 = second(channels, channels, 3, stride=1, padding=1)
        self.shortcut = None
        if stride != 1 or in_channels != channels:
            padding = shortcut_kernel // 2
            self.shortcut = projection(
                in_channels, channels, shortcut_kernel, stride=stride, padding=padding
            )

    def switch_to_deploy(self) -> None:
        """Fold the second BN into the first convolution; for inference only."""
        if not isinstance(self.norm2, nn.Identity):
            self.conv1, self.norm2 = fold(self.conv1, self.norm2), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, T, H, W) -> (N, C, T / stride, H / stride, W / stride)."""
        activated = F.relu(self.norm1(x), inplace=True)
        shortcut = x if self.shortcut is None else self.shortcut(activated)
        out = F.relu(self.norm2(self.conv1(activated)), inplace=True)
        return self.conv2(out) + shortcut


@MODELS.register_module()
class ARTNet(BaseModule):
    """Appearance-and-Relation Network (Sec. 3.3).

    At 16 x 112 x 112 (T, H, W) and 64 base channels the feature maps are::

        stem    64 x 8 x 56 x 56      stage3  256 x 2 x 14 x 14
        stage1  64 x 8 x 56 x 56      stage4  512 x 1 x 7 x 7
        stage2 128 x 4 x 28 x 28

    Args:
        depth (int): 18 or 34. Defaults to 18.
        arch (str | dict): One of ``ARCHITECTURES``, or a table like its rows,
            with the registered name or the ``conv_cfg`` of a unit in each slot.
            Defaults to 'artnet_d'.
        in_channels (int): Channels of the clip. Defaults to 3.
        base_channels (int): Channels of the stem. Defaults to 64.
        shortcut_kernel (int): Kernel size of the projection shortcuts: 1 as in
            the paper, 3 as in the authors' released networks. Defaults to 1.
        norm_cfg (dict): Normalisation, also inside the units. Defaults to BN3d.
        frozen_stages (int): Stages that are not trained, BN statistics included: 0 for
            the stem, 1 for stem and stage1, and so on. Defaults to -1, none.
        init_cfg (dict | list): Defaults to Xavier convolutions and BN of scale
            1 and shift 0.
        max_response (float, optional): Limit of what the units square, for all that
            have such an argument. Defaults to None, the paper's arithmetic.
        zero_init_residual (bool): Start with residual branches that give nothing, so that
            the network starts as its shortcuts (docs/study.md). Defaults to False.

    Raises:
        ValueError: If the depth, the arch, a unit, the shortcut kernel or the frozen
            stages are unknown.

    Example:
        >>> import torch
        >>> net = ARTNet(depth=18, arch='artnet_d', base_channels=8)
        >>> net(torch.rand(1, 3, 16, 112, 112)).shape
        torch.Size([1, 64, 1, 7, 7])
    """

    def __init__(
        self,
        depth: int = 18,
        arch: str | dict = 'artnet_d',
        in_channels: int = 3,
        base_channels: int = 64,
        shortcut_kernel: int = 1,
        norm_cfg: dict | None = None,
        frozen_stages: int = -1,
        init_cfg: dict | list | None = None,
        max_response: float | None = None,
        zero_init_residual: bool = False,
    ) -> None:
        super().__init__(init_cfg=DEFAULT_INIT if init_cfg is None else init_cfg)
        if frozen_stages not in range(-1, 5):
            raise ValueError(f'frozen_stages must be -1 to 4, got {frozen_stages!r}')
        if depth not in NUM_BLOCKS:
            raise ValueError(f'depth must be one of {list(NUM_BLOCKS)}, got {depth!r}')
        if shortcut_kernel not in (1, 3):
            raise ValueError(f'shortcut_kernel must be 1 or 3, got {shortcut_kernel!r}')
        arch = _resolve(arch)
        norm_cfg = norm_cfg or dict(type='BN3d')
        maker = partial(_unit_maker, norm_cfg=norm_cfg, max_response=max_response)

        self.stem = maker(arch['stem'])(
            in_channels, base_channels, (3, 7, 7), stride=2, padding=(1, 3, 3)
        )
        projection = arch.get('shortcut', 'Conv3d')
        stages, width = [], base_channels
        for index, (units, num_blocks) in enumerate(zip(arch['stages'], NUM_BLOCKS[depth])):
            channels = base_channels * 2**index
            makers = tuple(map(maker, (*units, projection)))
            blocks = []
            for block in range(num_blocks):
                stride = 2 if index > 0 and block == 0 else 1
                blocks.append(
                    PreActBlock(width, channels, stride, makers, shortcut_kernel, norm_cfg)
                )
                width = channels
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.norm = build_norm_layer(norm_cfg, width)[1]
        self.zero_init_residual = zero_init_residual
        self.frozen_stages = frozen_stages
        for stage in self._frozen():
            stage.requires_grad_(False)

    def init_weights(self) -> None:
        """Initialise as ``init_cfg`` says, and the ends of residual branches by 0 if asked to."""
        cfgs = self.init_cfg if isinstance(self.init_cfg, list) else [self.init_cfg]
        pretrained = any(cfg and cfg['type'] in ('Pretrained', PretrainedInit) for cfg in cfgs)
        fresh = not (self.is_init or pretrained)
        super().init_weights()
        if fresh and self.zero_init_residual:
            for block in (block for stage in self.stages for block in stage):
                last = getattr(block.conv2, 'last_conv', block.conv2)
                if not hasattr(last, 'weight'):
                    raise ValueError(
                        'zero_init_residual needs units with a weight or a last_conv, and '
                        f'{type(last).__name__} has neither'
                    )
                nn.init.zeros_(last.weight)

    def _frozen(self) -> list[nn.Module]:
        return [self.stem, *self.stages][: self.frozen_stages + 1]

    def train(self, mode: bool = True) -> 'ARTNet':
        """Set the mode; frozen stages stay as in inference."""
        super().train(mode)
        for stage in self._frozen():
            stage.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, 8 base, T / 16, H / 16, W / 16), rounded up."""
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return F.relu(self.norm(x), inplace=True)
