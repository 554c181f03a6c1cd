"""The interchangeable convolution units of the paper (Sec. 3.2, Table 2).

Each takes the place of ``torch.nn.Conv3d``: same design parameters, same output
shape. They need torch alone; where MMAction2 is installed, ``conv_cfg=dict(type='SMARTConv3d')``
puts one into any backbone that builds its convolutions through MMCV.

The contract of a unit with branches is :meth:`RelationConv3d.branches`, which says what the unit
computes: responses before ReLU, which one reduction joins. The forward pass is derived from it.
The deployed unit is the same code with other layers (``folded_norms``), and the fused operation
(``fused.py``) stands for exactly the types in ``FUSED_UNITS``, with plain layers only.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import fused
from .deploy import Affine, affine_of, fold
from .square_pool import square_pool

IntOrTriple = int | Sequence[int]
Norm = dict | Callable[[int], nn.Module] | None


def build_norm(norm_cfg: Norm, channels: int) -> nn.Module:
    """Normalisation layer of so many channels.

    Args:
        norm_cfg (dict | Callable, optional): ``norm_cfg`` of MMCV, which is then needed, or
            what makes a layer from the number of channels. Defaults to ``BatchNorm3d``.
        channels (int): Number of channels.
    """
    if norm_cfg is None:
        return nn.BatchNorm3d(channels)
    if callable(norm_cfg):
        return norm_cfg(channels)
    from mmcv.cnn import build_norm_layer

    return build_norm_layer(norm_cfg, channels)[1]


def _triple(name: str, value: IntOrTriple, minimum: int) -> tuple[int, int, int]:
    """Turn an int or three of them into (t, h, w)."""
    triple = tuple(value) if isinstance(value, Sequence) else (value,) * 3
    if len(triple) != 3 or not all(isinstance(v, int) and v >= minimum for v in triple):
        raise ValueError(
            f'{name} must be an int or three ints (t, h, w), each at least {minimum}, got {value!r}'
        )
    return triple


def _without_time(kernel: tuple, padding: tuple, dilation: tuple) -> dict:
    """Geometry of the 1 x k x k convolution that goes with a t x k x k one.

    Raises:
        ValueError: If the two would give different numbers of frames.
    """
    if 2 * padding[0] != dilation[0] * (kernel[0] - 1):
        raise ValueError(
            'a 1 x k x k convolution gives as many frames as the t x k x k one only where '
            f'padding[0] is dilation[0] * (kernel_size[0] - 1) / 2; got kernel_size={kernel}, '
            f'padding={padding}, dilation={dilation}'
        )
    return dict(
        kernel_size=(1, *kernel[1:]), padding=(0, *padding[1:]), dilation=(1, *dilation[1:])
    )


class SpatialConv3d(nn.Conv3d):
    """A t x k x k convolution without its temporal extent: 1 x k x k (C2D in Table 2).

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        kernel_size, stride, padding, dilation (int | Sequence[int]): As for
            ``torch.nn.Conv3d``; the temporal kernel is replaced by 1, the
            temporal stride stays.
        groups (int): Blocked connections. Defaults to 1.
        bias (bool): Whether the output has a bias. Defaults to True.

    Raises:
        ValueError: If the temporal padding does not preserve the number of frames.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrTriple,
        stride: IntOrTriple = 1,
        padding: IntOrTriple = 0,
        dilation: IntOrTriple = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        geometry = _without_time(
            _triple('kernel_size', kernel_size, 1),
            _triple('padding', padding, 0),
            _triple('dilation', dilation, 1),
        )
        super().__init__(
            in_channels,
            out_channels,
            stride=_triple('stride', stride, 1),
            groups=groups,
            bias=bias,
            **geometry,
        )


class RelationConv3d(nn.Module):
    """Relation branch alone: square-pooling over a 3D convolution (Fig. 2b, Table 2).

    t x k x k convolution -> BN -> square -> cross-channel pooling of channel
    pairs -> BN -> ReLU -> 1 x 1 x 1 reduction. What follows the reduction (BN,
    ReLU) belongs to the host network.

    Where the temporal kernel is 1 there is no relation to model, and a plain
    convolution stands in.

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output and of the 3D convolution; even.
        kernel_size, stride, padding, dilation (int | Sequence[int]): As for
            ``torch.nn.Conv3d``, of the branch convolutions.
        groups (int): Blocked connections of the branch convolutions. Defaults to 1.
        bias (bool): Whether the output has a bias. It belongs to the reduction;
            the branch convolutions are followed by BN and have none. Defaults to True.
        norm_cfg (dict | Callable, optional): Normalisation inside the unit, as for
            :func:`build_norm`. Defaults to ``BatchNorm3d``.
        max_response (float, optional): Limit the normalised responses of the 3D
            convolution to +-max_response before they are squared, which keeps units
            that follow one another bounded in inference (docs/study.md). Defaults to
            None, the paper's arithmetic.

    Raises:
        ValueError: If ``out_channels`` is odd, the geometry is malformed, or
            ``max_response`` is not above 0.

    Example:
        >>> import torch
        >>> unit = RelationConv3d(3, 8, kernel_size=3, stride=(2, 1, 1), padding=1)
        >>> unit(torch.rand(1, 3, 4, 6, 6)).shape
        torch.Size([1, 8, 2, 6, 6])
    """

    # What MMCV's ConvModule copies off any convolution beside the geometry.
    transposed = False
    output_padding = (0, 0, 0)

    folded_norms = {'relation_conv': 'relation_norm'}
    """Branch convolutions, and the normalisation that each is followed by at once."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrTriple,
        stride: IntOrTriple = 1,
        padding: IntOrTriple = 0,
        dilation: IntOrTriple = 1,
        groups: int = 1,
        bias: bool = True,
        norm_cfg: Norm = None,
        max_response: float | None = None,
    ) -> None:
        super().__init__()
        if max_response is not None and not (
            isinstance(max_response, int | float) and max_response > 0
        ):
            raise ValueError(f'max_response must be None or above 0, got {max_response!r}')
        self.max_response = max_response
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = _triple('kernel_size', kernel_size, 1)
        self.stride = _triple('stride', stride, 1)
        self.padding = _triple('padding', padding, 0)
        self.dilation = _triple('dilation', dilation, 1)
        self.groups = groups
        self.has_relation = self.kernel_size[0] > 1
        if self.has_relation:
            self._build(bias, norm_cfg)
        else:
            self.conv = self._branch_conv(bias=bias)

    def _build(self, bias: bool, norm_cfg: Norm) -> None:
        if self.out_channels % 2:
            raise ValueError(
                'cross-channel pooling takes channels in pairs: out_channels must be even, '
                f'got {self.out_channels}'
            )
        self.relation_conv = self._branch_conv()
        self.relation_norm = build_norm(norm_cfg, self.out_channels)
        self.pool_norm = build_norm(norm_cfg, self.out_channels // 2)
        self.reduction = nn.Conv3d(self.branch_channels, self.out_channels, 1, bias=bias)

    @property
    def branch_channels(self) -> int:
        """Channels of all branches together, which the reduction reads."""
        return self.out_channels // 2

    def _branch_conv(self, bias: bool = False, **geometry) -> nn.Conv3d:
        """A convolution of the unit's channels and geometry, but for what is given."""
        own = dict(
            kernel_size=self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )
        return nn.Conv3d(self.in_channels, self.out_channels, bias=bias, **{**own, **geometry})

    def branches(self, x: Tensor) -> list[Tensor]:
        """What the unit computes before ReLU and reduction.

        Args:
            x (Tensor): (N, C_in, T, H, W).

        Returns:
            list[Tensor]: Responses (N, C_i, T', H', W') in the order in which the
            reduction reads them.
        """
        responses = self.relation_norm(self.relation_conv(x))
        codes = square_pool(responses, self.max_response)
        # float32 under autocast; a model that is half precision itself needs its own type.
        dtype = getattr(self.reduction, 'weight', x).dtype  # a wrapper may have none
        return [self.pool_norm(codes.to(dtype))]

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, T, H, W) -> (N, C_out, T', H', W'), as ``Conv3d`` would."""
        if not self.has_relation:
            return self.conv(x)
        fast = type(self) in FUSED_UNITS and fused.knows_layers(self)
        if fast and fused.applies(self, x):
            return fused.forward(self, x)
        branches = self.branches(x)
        if fast and self.deployed:
            return fused.reduce(self.reduction, *(F.relu(b, inplace=True) for b in branches))
        return self.reduction(F.relu(torch.cat(branches, dim=1), inplace=True))

    @property
    def last_conv(self) -> nn.Conv3d:
        """The convolution that gives the unit's output."""
        return self.reduction if self.has_relation else self.conv

    @property
    def deployed(self) -> bool:
        """Whether the unit is in its deploy form."""
        return self.has_relation and isinstance(self.relation_norm, nn.Identity)

    def switch_to_deploy(self) -> None:
        """Fold the BN layers into convolutions, and into one operation where squares are before.

        For inference only. :meth:`branches` computes the same with the new layers.
        """
        if not self.has_relation or self.deployed:
            return
        for conv, norm in self.folded_norms.items():
            setattr(self, conv, fold(getattr(self, conv), getattr(self, norm)))
            setattr(self, norm, nn.Identity())
        self.pool_norm = Affine(*affine_of(self.pool_norm))

    def fold_norm(self, norm: nn.Module) -> nn.Module:
        """Take a BN layer that follows the unit into its last convolution."""
        setattr(self, 'reduction' if self.has_relation else 'conv', fold(self.last_conv, norm))
        return self


class SMARTConv3d(RelationConv3d):
    """SMART block: appearance and relation, side by side (Sec. 3.2, Fig. 2c).

    A 1 x k x k convolution with BN (appearance) beside the relation branch;
    both are concatenated, go through ReLU and are reduced from 3/2 C to C
    channels by a 1 x 1 x 1 convolution. Arguments are those of
    :class:`RelationConv3d`.

    Raises:
        ValueError: If the temporal padding would leave the branches with
            different numbers of frames.

    Example:
        >>> import torch
        >>> stem = SMARTConv3d(3, 64, (3, 7, 7), stride=2, padding=(1, 3, 3), bias=False)
        >>> stem(torch.rand(1, 3, 16, 112, 112)).shape
        torch.Size([1, 64, 8, 56, 56])
    """

    folded_norms = {**RelationConv3d.folded_norms, 'appearance_conv': 'appearance_norm'}

    def _build(self, bias: bool, norm_cfg: Norm) -> None:
        super()._build(bias, norm_cfg)
        geometry = _without_time(self.kernel_size, self.padding, self.dilation)
        self.appearance_conv = self._branch_conv(**geometry)
        self.appearance_norm = build_norm(norm_cfg, self.out_channels)

    @property
    def branch_channels(self) -> int:
        """Channels of appearance and relation."""
        return self.out_channels + super().branch_channels

    def branches(self, x: Tensor) -> list[Tensor]:
        """Appearance (N, C_out, T', H', W') and relation (N, C_out / 2, T', H', W')."""
        return [self.appearance_norm(self.appearance_conv(x)), *super().branches(x)]


FUSED_UNITS = (RelationConv3d, SMARTConv3d)
"""Types that ``fused.py`` knows; subclasses, which may compute otherwise, go by their modules."""

UNITS = {
    'Conv3d': nn.Conv3d,
    'SpatialConv3d': SpatialConv3d,
    'RelationConv3d': RelationConv3d,
    'SMARTConv3d': SMARTConv3d,
}
