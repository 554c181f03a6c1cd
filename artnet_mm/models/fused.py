"""What follows the 3D convolution of a unit, as one operation that keeps little.

Autograd keeps the input of every module: five tensors of the unit's size beside its
input and output. Here the backward pass computes again what costs little beside a
convolution.
"""

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .square_pool import square_pool, square_pool_backward

KEPT_FROM = 1000
"""Multiply-adds a value from which appearance responses are kept, not computed again.

In ARTNet-ResNet18 (d) those of the stem and of conv2_x are computed again: 0.83 of the
memory of all of them, for 0.03 of the multiply-adds of a training step.
"""


def applies(x: Tensor, *norms: nn.Module) -> bool:
    """Whether :func:`fuse` can stand for a unit with these normalisations.

    It knows torch's own BN with running statistics. SyncBN and GroupNorm go their
    own way, and so do models in half precision, everything under ``torch.compile``,
    which fuses by itself, and traces.
    """
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()
    return (
        x.device.type in ('cpu', 'cuda')
        and not traced
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

    def __init__(self, norm: nn.BatchNorm3d, x: Tensor) -> None:
        self.norm, self.training = norm, norm.training
        if norm.training:
            if x.numel() <= x.shape[1]:  # as torch's own
                raise ValueError(f'BN needs more than one value a channel, got {tuple(x.shape)}')
            norm.num_batches_tracked.add_(1)
            running = norm.running_mean, norm.running_var, norm.momentum
            self.mean, self.variance = torch.batch_norm_update_stats(x, *running)
        else:
            self.mean, self.variance = norm.running_mean.clone(), norm.running_var.clone()

    def __call__(self, x: Tensor) -> Tensor:
        norm = self.norm
        return torch.native_batch_norm(
            x, norm.weight, norm.bias, self.mean, self.variance, False, 0.0, norm.eps
        )[0]

    def backward(self, grad: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of x, scale and shift."""
        invstd = (self.variance + self.norm.eps).rsqrt()
        statistics = self.mean, self.variance, self.mean, invstd
        return torch.ops.aten.native_batch_norm_backward(
            grad, x, self.norm.weight, *statistics, self.training, self.norm.eps, [True] * 3
        )


def _is_channels_last(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last_3d) and not x.is_contiguous()


def _mix(weight: Tensor, x: Tensor) -> Tensor:
    """(O, C) times (N, C, T, H, W), in the memory format of x, as a matrix product."""
    if _is_channels_last(x):
        return (x.movedim(1, -1) @ weight.t()).movedim(-1, 1)
    # Not matmul, which would join the axes N and THW by copying.
    return torch.bmm(weight.expand(len(x), -1, -1), x.flatten(2)).unflatten(2, x.shape[2:])


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
    if _is_channels_last(x):
        return grad.movedim(1, -1).flatten(0, 3).t() @ x.movedim(1, -1).flatten(0, 3)
    return torch.bmm(grad.flatten(2), x.flatten(2).transpose(1, 2)).sum(0)


def _activate(x: Tensor, norm: _Norm, weight: Tensor) -> Tensor:
    return norm(x).relu_().to(weight.dtype)


def _activate_backward(grad: Tensor, x: Tensor, norm: _Norm, weight: Tensor) -> tuple:
    """From the gradient of ``_mix(weight, _activate(x))``: of weight, x, scale, shift."""
    layout = torch.channels_last_3d if _is_channels_last(x) else torch.contiguous_format
    grad = grad.contiguous(memory_format=layout)
    activated = _activate(x, norm, weight)
    of_weight = _correlate(grad, activated)
    grad = _mix(weight.t(), grad)
    torch.ops.aten.threshold_backward.grad_input(grad, activated, 0, grad_input=grad)
    del activated
    return of_weight, *norm.backward(grad.to(x.dtype), x)


def _geometry(conv: nn.Conv3d) -> tuple:
    """Arguments of torch's convolution after the tensors."""
    return conv.stride, conv.padding, conv.dilation, False, [0, 0, 0], conv.groups


class _Fuse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, unit: nn.Module, x: Tensor | None, hidden: Tensor, *weights: Tensor):
        reduction, *_ = weights
        ctx.unit, ctx.relation = unit, _Norm(unit.relation_norm, hidden)
        codes = square_pool(ctx.relation(hidden), unit.max_response)
        codes = codes.to(unit.pool_norm.weight.dtype)
        ctx.pool, pairs = _Norm(unit.pool_norm, codes), codes.shape[1]
        out = _mix(reduction[:, -pairs:], _activate(codes, ctx.pool, reduction))
        appearance = None
        if x is not None:
            appearance = unit.appearance_conv(x)
            ctx.appearance = _Norm(unit.appearance_norm, appearance)
            activated = _activate(appearance, ctx.appearance, reduction)
            out += _mix(reduction[:, :-pairs], activated)
            if unit.appearance_conv.weight[0].numel() < KEPT_FROM:
                appearance = None
        ctx.save_for_backward(x, hidden, appearance, *weights)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple:
        x, hidden, appearance, reduction, *weights = ctx.saved_tensors
        responses, limit = ctx.relation(hidden), ctx.unit.max_response
        codes = square_pool(responses, limit).to(ctx.unit.pool_norm.weight.dtype)
        pairs = codes.shape[1]
        of_reduction, of_codes, *of_pool = _activate_backward(
            grad, codes, ctx.pool, reduction[:, -pairs:]
        )
        del codes
        of_responses = square_pool_backward(of_codes, responses, limit)
        del responses, of_codes
        of_hidden, *of_relation = ctx.relation.backward(of_responses, hidden)
        del of_responses
        if x is None:
            return None, None, of_hidden, of_reduction, *of_relation, *of_pool
        conv, dtype = ctx.unit.appearance_conv, hidden.dtype  # of half precision under autocast
        x, weight, geometry = x.to(dtype), weights[-1].to(dtype), _geometry(conv)
        if appearance is None:
            appearance = torch.ops.aten.convolution(x, weight, None, *geometry)
        of_first, of_appearance, *of_norm = _activate_backward(
            grad, appearance, ctx.appearance, reduction[:, :-pairs]
        )
        del appearance
        of_x, of_weight, _ = torch.ops.aten.convolution_backward(
            of_appearance, x, weight, None, *geometry, [ctx.needs_input_grad[1], True, False]
        )
        of_reduction = torch.cat([of_first, of_reduction], dim=1)
        return None, of_x, of_hidden, of_reduction, *of_relation, *of_pool, *of_norm, of_weight


def fuse(unit: nn.Module, x: Tensor, hidden: Tensor) -> Tensor:
    """Responses of the 3D convolution to the output of the unit, but for its bias.

    Args:
        unit (nn.Module): ``SMARTConv3d``, or ``RelationConv3d`` with normalisations
            that :func:`applies`.
        x (Tensor): Input of the unit, (N, C_in, T, H, W).
        hidden (Tensor): ``unit.relation_conv(x)``, (N, C, T', H', W').

    Returns:
        Tensor: (N, C, T', H', W').
    """
    reduction, device = unit.reduction.weight.flatten(1), x.device.type
    if torch.is_autocast_enabled(device):
        reduction = reduction.to(torch.get_autocast_dtype(device))
    norms = [unit.relation_norm, unit.pool_norm]
    smart = hasattr(unit, 'appearance_conv')
    norms += [unit.appearance_norm] if smart else []
    weights = [reduction, *(p for norm in norms for p in (norm.weight, norm.bias))]
    weights += [unit.appearance_conv.weight] if smart else []
    return _Fuse.apply(unit, x if smart else None, hidden, *weights)
