"""Square and cross-channel pooling: the non-linearity of the relation branch."""

import torch
from torch import Tensor
from torch.autograd import forward_ad

POOLING_WEIGHT = 0.5  # Sec. 3.2: "The weights in cross-channel pooling are fixed as 0.5"


def transformed() -> bool:
    """Whether what runs is seen by ``torch.func``, forward-mode derivatives or a trace.

    They take built-in operations alone.
    """
    return (
        torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or torch.jit.is_tracing()
    )


def _codes(x: Tensor, max_response: float | None) -> Tensor:
    x = _at_least_float32(x)
    if max_response is not None:
        x = x.clamp(-max_response, max_response)
    first, second = x[:, 0::2], x[:, 1::2]
    codes = torch.addcmul(x.new_zeros(()), first, first, value=POOLING_WEIGHT)
    return codes.addcmul_(second, second, value=POOLING_WEIGHT)


class _SquarePool(torch.autograd.Function):
    """One operation that keeps its input for the backward pass and nothing else."""

    @staticmethod
    def forward(ctx, x: Tensor, max_response: float | None) -> Tensor:
        ctx.save_for_backward(x)
        ctx.max_response = max_response
        return _codes(x, max_response)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return square_pool_backward(grad, x, ctx.max_response), None


def square_pool_backward(grad: Tensor, x: Tensor, max_response: float | None = None) -> Tensor:
    """Gradient of the responses x (N, C, T, H, W) from that of their codes."""
    # d(w x^2)/dx = 2 w x = x, shared by both channels of a pair; 0 beyond the limit.
    x, dtype = _at_least_float32(x), x.dtype
    if max_response is not None:
        x = torch.where(x.abs() <= max_response, x, 0.0)
    pairs = x.unflatten(1, (-1, 2))
    return (pairs * grad.unsqueeze(2)).flatten(1, 2).to(dtype)


def _at_least_float32(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def square_pool(x: Tensor, max_response: float | None = None) -> Tensor:
    """Transformation codes ``z_k = 0.5 (x_{2k}^2 + x_{2k+1}^2)`` (Sec. 3.2).

    Half-precision responses are squared in float32, and the codes stay float32:
    float16 overflows from 256 squared on.

    Args:
        x (Tensor): Responses of the 3D convolution, (N, C, T, H, W) with an even C.
        max_response (float, optional): Limit the responses to +-max_response before
            they are squared. Defaults to None, no limit.

    Returns:
        Tensor: Codes, (N, C / 2, T, H, W).

    Raises:
        ValueError: If C is odd.
    """
    if x.shape[1] % 2:
        raise ValueError(f'channels are pooled in pairs, but there are {x.shape[1]}')
    return (_codes if transformed() else _SquarePool.apply)(x, max_response)
