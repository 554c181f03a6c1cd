"""The square-pooling operation against its formula, channel by channel."""

import pytest
import torch
from torch import Tensor

from artnet_mm.models.square_pool import square_pool


def formula(x: Tensor, limit: float | None = None) -> Tensor:
    """z_k = 0.5 x_2k^2 + 0.5 x_2k+1^2, one code at a time; responses beyond the limit cut off."""
    if limit is not None:
        x = x.clamp(-limit, limit)
    codes = [0.5 * x[:, 2 * k] ** 2 + 0.5 * x[:, 2 * k + 1] ** 2 for k in range(x.shape[1] // 2)]
    return torch.stack(codes, dim=1)


def responses(*shape: int) -> Tensor:
    """Standard normal float64 responses that want a gradient."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape, dtype=torch.float64, generator=generator, requires_grad=True)


def test_pairs_are_neighbouring_channels_weighted_one_half():
    x = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).view(1, 6, 1, 1, 1)
    assert square_pool(x).flatten().tolist() == [2.5, 12.5, 30.5]


@pytest.mark.parametrize('shape', [(1, 2, 1, 1, 1), (2, 6, 3, 4, 5), (3, 4, 1, 2, 2)])
@pytest.mark.parametrize('channels_last', [False, True])
@pytest.mark.parametrize('limit', [None, 0.7])
def test_codes_and_gradients_equal_the_formula(shape, channels_last, limit):
    x = responses(*shape)
    layout = torch.channels_last_3d if channels_last else torch.contiguous_format
    codes = square_pool(x.contiguous(memory_format=layout), limit)
    expected = formula(x, limit)
    torch.testing.assert_close(codes, expected)
    upstream = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad(codes, x, upstream)[0], torch.autograd.grad(expected, x, upstream)[0]
    )


def test_first_and_second_derivatives_agree_with_finite_differences():
    x = responses(2, 4, 2, 2, 2)
    for limit in (None, 1.0):
        assert torch.autograd.gradcheck(square_pool, (x, limit))
        assert torch.autograd.gradgradcheck(square_pool, (x, limit))


def test_responses_beyond_the_limit_count_as_the_limit_and_get_no_gradient():
    x = torch.tensor([3.0, -1.0, 2.0, -9.0, 1.0, float('inf')], requires_grad=True)
    codes = square_pool(x.view(1, 6, 1, 1, 1), 2)
    assert codes.flatten().tolist() == [2.5, 4.0, 2.5]
    codes.sum().backward()
    assert x.grad.tolist() == [0, -1, 2, 0, 1, 0]  # the limit itself has one, as with clamp


def test_input_is_left_as_it_was():
    x = responses(2, 4, 2, 3, 3)
    before = x.detach().clone()
    square_pool(x).sum().backward()
    assert torch.equal(x, before)


def test_float64_stays_float64():
    assert square_pool(responses(1, 2, 1, 1, 1)).dtype == torch.float64


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_responses_are_squared_in_float32(dtype):
    x = torch.full((1, 2, 1, 1, 1), 1000.0, dtype=dtype, requires_grad=True)
    codes = square_pool(x)
    assert codes.dtype == torch.float32
    assert codes.item() == 1_000_000
    codes.sum().backward()
    assert x.grad.dtype == dtype
    assert x.grad.flatten().tolist() == [1000, 1000]


def test_an_odd_number_of_channels_is_an_error():
    with pytest.raises(ValueError, match='pooled in pairs, but there are 3'):
        square_pool(torch.rand(1, 3, 2, 2, 2))
