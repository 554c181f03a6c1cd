"""The fused operation: all of a unit behind its 3D convolution, keeping little for autograd.

Autograd keeps the input of every module: five tensors of the unit's size beside its
input and output. Here the backward pass computes again what costs little beside a
convolution. Layers are not called as modules, so the operation is for plain ones alone.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from .deploy import Affine
from .square_pool import square_pool, square_pool_backward, transformed

KEPT_FROM = 1000
"""Multiply-adds per value from which appearance responses are kept, not computed again.

In ARTNet-ResNet18 (d) those of the stem and of conv2_x are computed again: 0.83 of the
memory of all of them, for 0.03 of the multiply-adds of a training step.
"""


Unit = Any  # of units.FUSED_UNITS, whose module imports this one
NORMS = ('relation_norm', 'pool_norm', 'appearance_norm')


def hooks_of(module: nn.Module) -> tuple[dict, ...]:
    """The hooks of a module, of all kinds."""
    return (
        module._forward_hooks,
        module._forward_pre_hooks,
        module._backward_hooks,
        module._backward_pre_hooks,
    )


def _is_plain(layer: nn.Module, kinds: tuple[type, ...]) -> bool:
    """Whether a layer is of exactly these types, with nothing hung on it.

    Wrapped and parametrised layers are of other types; pruning is a hook.
    """
    plain = type(layer) in kinds and not any(hooks_of(layer)) and 'forward' not in vars(layer)
    return plain and getattr(layer, 'padding_mode', 'zeros') == 'zeros'


def knows_layers(unit: Unit) -> bool:
    """Whether all layers of a unit are plain, and its methods those of its class."""
    kinds = nn.Conv3d, nn.BatchNorm3d, nn.Identity, Affine
    return bool(
        not torch_module._has_any_global_hook()
        and 'branches' not in vars(unit)
        and all(_is_plain(layer, kinds) for layer in unit.children())
        and unit.reduction.weight.shape[2:] == (1, 1, 1)
        and unit.reduction.groups == 1
    )


def applies(unit: Unit, x: Tensor) -> bool:
    """Whether :func:`forward` can stand for a unit of plain layers on this input.

    It knows torch's own BN with running statistics. SyncBN and GroupNorm go their
    own way, and so do models in half precision, transforms of ``torch.func``, everything
    under ``torch.compile``, which fuses by itself, and traces.
    """
    norms = [getattr(unit, name) for name in NORMS if hasattr(unit, name)]
    appearance = getattr(unit, 'appearance_conv', None)
    return (
        x.device.type in ('cpu', 'cuda')
        and not torch.compiler.is_compiling()
        and not transformed()
        and (appearance is None or appearance.bias is None)
        and all(
            type(norm) is nn.BatchNorm3d
            and norm.affine
            and norm.track_running_stats
            and norm.momentum
            and norm.weight.dtype in (torch.float32, torch.float64)
            for norm in norms
        )
    )


class _Norm:
    """A BN layer in one forward pass, and its statistics there."""

    def __init__(self, norm: Any, x: Tensor) -> None:
        self.training, self.eps = norm.training, norm.eps
        mean, variance = norm.running_mean, norm.running_var
        if not norm.training:
            self.mean, self.variance = mean.clone(), variance.clone()
            return
        if x.numel() <= x.shape[1]:  # as torch's own
            raise ValueError(f'BN needs more than one value per channel, got {tuple(x.shape)}')
        norm.num_batches_tracked.add_(1)
        self.mean, self.variance = torch.batch_norm_update_stats(x, mean, variance, norm.momentum)

    def __call__(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        return torch.native_batch_norm(
            x, scale, shift, self.mean, self.variance, False, 0.0, self.eps
        )[0]

    def backward(self, grad: Tensor, x: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of x, scale and shift."""
        invstd = (self.variance + self.eps).rsqrt()
        statistics = self.mean, self.variance, self.mean, invstd
        return torch.ops.aten.native_batch_norm_backward(
            grad, x, scale, *statistics, self.training, self.eps, [True] * 3
        )

    def differentiable(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """The same by an operation with a second derivative."""
        mean, variance = (None, None) if self.training else (self.mean, self.variance)
        return F.batch_norm(x, mean, variance, scale, shift, self.training, 0.0, self.eps)


def _is_channels_last(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last_3d) and not x.is_contiguous()


def _by_cudnn(x: Tensor) -> bool:
    """Whether reductions stay convolutions, which a GPU may compute in TF32, unlike products."""
    return x.is_cuda and x.dtype == torch.float32


def _mix(weight: Tensor, x: Tensor) -> Tensor:
    """(O, C) times (N, C, T, H, W), in the memory format of x, as a matrix product."""
    if _by_cudnn(x):
        return torch.conv3d(x, weight[:, :, None, None, None])
    if _is_channels_last(x):
        return (x.movedim(1, -1) @ weight.t()).movedim(-1, 1)
    # Not matmul, which would join the axes N and THW by copying; nor len(x), which torch.export
    # takes for a constant.
    return torch.bmm(weight.expand(x.shape[0], -1, -1), x.flatten(2)).unflatten(2, x.shape[2:])


def reduce(reduction: nn.Conv3d, *branches: Tensor) -> Tensor:
    """``reduction(torch.cat(branches, dim=1))`` without the concatenation.

    Args:
        reduction (nn.Conv3d): A 1 x 1 x 1 convolution to C channels.
        branches (Tensor): (N, C_i, T, H, W) each.

    Returns:
        Tensor: (N, C, T, H, W).
    """
    weights = reduction.weight.flatten(1).split([x.shape[1] for x in branches], dim=1)
    out = _mix(weights[0], branches[0])
    for weight, x in zip(weights[1:], branches[1:]):
        out = out.add_(_mix(weight, x))
    return out if reduction.bias is None else out.add_(reduction.bias.view(-1, 1, 1, 1))


def _correlate(grad: Tensor, x: Tensor) -> Tensor:
    """(N, O, T, H, W) and (N, C, T, H, W) -> (O, C), the gradient of the weight above."""
    if _by_cudnn(x):
        weight = x.new_empty(grad.shape[1], x.shape[1], 1, 1, 1)  # of which the shape counts
        geometry = [1] * 3, [0] * 3, [1] * 3, False, [0] * 3, 1
        wanted = [False, True, False]
        convolved = torch.ops.aten.convolution_backward(grad, x, weight, None, *geometry, wanted)
        return convolved[1].flatten(1)
    if _is_channels_last(x):
        return grad.movedim(1, -1).flatten(0, 3).t() @ x.movedim(1, -1).flatten(0, 3)
    return torch.bmm(grad.flatten(2), x.flatten(2).transpose(1, 2)).sum(0)


def _activate(x: Tensor, norm: _Norm, affine: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    return norm(x, *affine).relu_().to(dtype)


def _activate_backward(
    grad: Tensor, x: Tensor, norm: _Norm, affine: Sequence[Tensor], weight: Tensor
) -> tuple:
    """From the gradient of ``_mix(weight, _activate(x))``: of weight, x, scale, shift."""
    layout = torch.channels_last_3d if _is_channels_last(x) else torch.contiguous_format
    grad = grad.contiguous(memory_format=layout)
    activated = _activate(x, norm, affine, weight.dtype)
    grad_weight = _correlate(grad, activated)
    grad = _mix(weight.t(), grad)
    torch.ops.aten.threshold_backward.grad_input(grad, activated, 0, grad_input=grad)
    del activated
    return grad_weight, *norm.backward(grad.to(x.dtype), x, affine[0])


class _Fuse(torch.autograd.Function):
    """Output of a unit from its input x (None without appearance) and the hidden responses.

    ``parameters``: the weight of the reduction as a matrix, scale and shift of each
    normalisation of ``NORMS``, and the weight of the appearance convolution.
    """

    @staticmethod
    def forward(ctx, unit: Unit, x: Tensor | None, hidden: Tensor, *parameters: Tensor):
        reduction, *affine = parameters
        ctx.limit = unit.max_response
        ctx.relation = _Norm(unit.relation_norm, hidden)
        codes = square_pool(ctx.relation(hidden, *affine[:2]), ctx.limit).to(affine[2].dtype)
        ctx.pool, pairs = _Norm(unit.pool_norm, codes), codes.shape[1]
        activated = _activate(codes, ctx.pool, affine[2:4], reduction.dtype)
        out = _mix(reduction[:, -pairs:], activated)
        appearance = None
        if x is not None:
            conv = unit.appearance_conv
            ctx.geometry = conv.stride, conv.padding, conv.dilation, False, [0, 0, 0], conv.groups
            appearance = conv(x)
            ctx.appearance = _Norm(unit.appearance_norm, appearance)
            activated = _activate(appearance, ctx.appearance, affine[4:6], reduction.dtype)
            out += _mix(reduction[:, :-pairs], activated)
            if conv.weight[0].numel() < KEPT_FROM:
                appearance = None
        ctx.save_for_backward(x, hidden, appearance, *parameters)
        return out

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple:
        if torch.is_grad_enabled():
            return _differentiable_backward(ctx, grad)
        x, hidden, appearance, reduction, *affine = ctx.saved_tensors
        responses = ctx.relation(hidden, *affine[:2])
        codes = square_pool(responses, ctx.limit).to(affine[2].dtype)
        pairs = codes.shape[1]
        grad_reduction, grad_codes, *grad_pool = _activate_backward(
            grad, codes, ctx.pool, affine[2:4], reduction[:, -pairs:]
        )
        del codes
        grad_responses = square_pool_backward(grad_codes, responses, ctx.limit)
        del responses, grad_codes
        grad_hidden, *grad_relation = ctx.relation.backward(grad_responses, hidden, affine[0])
        del grad_responses
        if x is None:
            return None, None, grad_hidden, grad_reduction, *grad_relation, *grad_pool
        # of half precision under autocast
        x, weight = x.to(hidden.dtype), affine[-1].to(hidden.dtype)
        if appearance is None:
            appearance = torch.ops.aten.convolution(x, weight, None, *ctx.geometry)
        grad_first, grad_appearance, *grad_norm = _activate_backward(
            grad, appearance, ctx.appearance, affine[4:6], reduction[:, :-pairs]
        )
        del appearance
        grad_x, grad_weight, _ = torch.ops.aten.convolution_backward(
            grad_appearance, x, weight, None, *ctx.geometry, [ctx.needs_input_grad[1], True, False]
        )
        grad_reduction = torch.cat([grad_first, grad_reduction], dim=1)
        grads = grad_reduction, *grad_relation, *grad_pool, *grad_norm, grad_weight
        return None, grad_x, grad_hidden, *grads


def _differentiable_backward(ctx, grad: Tensor) -> tuple:
    """The gradients by operations that have gradients themselves (``create_graph=True``)."""
    # Aliases, as the hidden responses are a function of x themselves.
    aliases: list[Any] = [v if v is None else v.view_as(v) for v in ctx.saved_tensors]
    x, hidden, _, reduction, *affine = aliases
    codes = square_pool(ctx.relation.differentiable(hidden, *affine[:2]), ctx.limit)
    branches = [ctx.pool.differentiable(codes.to(affine[2].dtype), *affine[2:4])]
    if x is not None:
        dtype = hidden.dtype
        appearance = torch.ops.aten.convolution(
            x.to(dtype), affine[-1].to(dtype), None, *ctx.geometry
        )
        branches.insert(0, ctx.appearance.differentiable(appearance, *affine[4:6]))
    out = _mix(reduction, F.relu(torch.cat(branches, dim=1)).to(reduction.dtype))
    inputs = [None, x, hidden, reduction, *affine]
    wanted = [value for value, needed in zip(inputs, ctx.needs_input_grad) if needed]
    grads = iter(torch.autograd.grad(out, wanted, grad, create_graph=True))
    return tuple(next(grads) if needed else None for needed in ctx.needs_input_grad)


def forward(unit: Unit, x: Tensor) -> Tensor:
    """Output of a unit with branches.

    Args:
        unit (Unit): A unit to which this :func:`applies`.
        x (Tensor): Input of the unit, (N, C_in, T, H, W).

    Returns:
        Tensor: (N, C, T', H', W').
    """
    weight, bias = unit.reduction.weight.flatten(1), unit.reduction.bias
    if torch.is_autocast_enabled(x.device.type):
        weight = weight.to(torch.get_autocast_dtype(x.device.type))
    smart = hasattr(unit, 'appearance_conv')
    norms = [getattr(unit, name) for name in NORMS if hasattr(unit, name)]
    parameters = [weight, *(p for norm in norms for p in (norm.weight, norm.bias))]
    parameters += [unit.appearance_conv.weight] if smart else []
    out = _Fuse.apply(unit, x if smart else None, unit.relation_conv(x), *parameters)
    return out if bias is None else out + bias.to(out.dtype).view(-1, 1, 1, 1)
