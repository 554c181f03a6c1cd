"""BN-Inception and Inception-V1 I3D: published sizes, and transcriptions of their layer tables."""

import doctest

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from artnet_mm.models import BNInception, InceptionI3D, inception

# Convolutions (channels, kernel, stride) of each branch, in its order; 'avg' and 'max' are poolings
# of 3 with stride 1, 'half' of 3 with stride 2. Ioffe and Szegedy, and TSN's definition for Caffe.
BN_INCEPTION = [
    [
        [(a, 1, 1)],
        [(b, 1, 1), (c, 3, 1)],
        [(d, 1, 1), (e, 3, 1), (e, 3, 1)],
        [pool, (f, 1, 1)],
    ]
    for a, b, c, d, e, pool, f in (
        (64, 64, 64, 64, 96, 'avg', 32), (64, 64, 96, 64, 96, 'avg', 64),
        (224, 64, 96, 96, 128, 'avg', 128), (192, 96, 128, 96, 128, 'avg', 128),
        (160, 128, 160, 128, 160, 'avg', 128), (96, 128, 192, 160, 192, 'avg', 128),
        (352, 192, 320, 160, 224, 'avg', 128), (352, 192, 320, 192, 224, 'max', 128),
    )
]  # fmt: skip
BN_INCEPTION[6:6] = [
    [[(128, 1, 1), (192, 3, 2)], [(192, 1, 1), (256, 3, 1), (256, 3, 2)], ['half']]
]
BN_INCEPTION[2:2] = [[[(128, 1, 1), (160, 3, 2)], [(64, 1, 1), (96, 3, 1), (96, 3, 2)], ['half']]]
# Carreira and Zisserman, Fig. 3, with the channels of Szegedy et al., Table 1.
INCEPTION_V1 = [
    [[(a, 1, 1)], [(b, 1, 1), (c, 3, 1)], [(d, 1, 1), (e, 3, 1)], ['max', (f, 1, 1)]]
    for a, b, c, d, e, f in (
        (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64),
        (192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128),
        (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128),
    )
]  # fmt: skip
STEM = [[[(64, 7, 2), 'half', (64, 1, 1), (192, 3, 1), 'half']]]
AT_4B, AT_5B = 2, 7  # blocks of Inception-V1 that a pooling is before


def layers(table: list, in_channels: int) -> list[tuple]:
    """(channels of the input, channels, kernel) of every convolution, block by block."""
    found, channels = [], in_channels
    for block in [*STEM, *table]:
        widths = []
        for branch in block:
            width = channels
            for layer in branch:
                if not isinstance(layer, str):
                    found.append((width, *layer[:2]))
                    width = layer[0]
            widths.append(width)
        channels = sum(widths)
    assert channels == 1024
    return found


@pytest.mark.parametrize(
    'network, table, dims, published',
    [
        # 11,295,240 parameters of the converted Caffe weights, less the classifier of 1000 classes
        # and the 10,016 biases before BN
        (BNInception, BN_INCEPTION, 2, 11_295_240 - 1025 * 1000 - 10_016),
        (InceptionI3D, INCEPTION_V1, 3, 12_287_264),  # "12.29 M"
    ],
)
@pytest.mark.parametrize('in_channels', [3, 10, 2])
def test_parameters_are_those_of_the_table(network, table, dims, published, in_channels):
    expected = sum(c_in * c * k**dims + 2 * c for c_in, c, k in layers(table, in_channels))
    net = network(in_channels=in_channels)
    assert sum(p.numel() for p in net.parameters()) == expected
    assert expected == published + 64 * 7**dims * (in_channels - 3)
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Conv3d)]
    assert [(m.in_channels, m.out_channels, m.kernel_size[0]) for m in convolutions] == layers(
        table, in_channels
    )


def parameters_in_order(net: nn.Module) -> list[tuple[Tensor, list[Tensor]]]:
    """Weights of the convolutions, and statistics, scale and shift of the BN behind each."""
    modules = [m for m in net.modules() if hasattr(m, 'weight')]
    return [
        (conv.weight, [norm.running_mean, norm.running_var, norm.weight, norm.bias])
        for conv, norm in zip(modules[::2], modules[1::2])
    ]


def settled(net: nn.Module) -> nn.Module:
    """The network in double precision with arbitrary statistics."""
    torch.manual_seed(0)
    net.init_weights()
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            for tensor in (module.bias, module.running_mean):
                nn.init.normal_(tensor, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net.double().eval()


def transcribed(x: Tensor, table: list, parameters: list, convolve, pool, eps, before=()) -> Tensor:
    """The features, layer by layer; ``before`` pools in front of blocks by number."""
    parameters = iter(parameters)
    for number, block in enumerate([*STEM, *table], -1):
        for kernel, at in before:
            if at == number:
                x = pool(x, 'half', kernel)
        outputs = []
        for branch in block:
            out = x
            for layer in branch:
                if isinstance(layer, str):
                    out = pool(out, layer, None if number < 0 else 3)
                    continue
                weight, (mean, var, scale, shift) = next(parameters)
                out = convolve(out, weight, layer[2])
                shape = (1, -1) + (1,) * (x.ndim - 2)
                mean, var, scale, shift = (t.view(shape) for t in (mean, var, scale, shift))
                out = ((out - mean) / (var + eps).sqrt() * scale + shift).clamp(min=0)
            outputs.append(out)
        x = torch.cat(outputs, 1)
    assert next(parameters, None) is None
    return x


def convolve_2d(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    return F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)


def pool_2d(x: Tensor, kind: str, kernel: object) -> Tensor:
    """By windows: an average counts what is outside as 0, as in Caffe, a maximum leaves it out."""
    if kind == 'half':  # windows begin at the border; of an even side the last one ends outside
        assert x.shape[-1] % 2 == x.shape[-2] % 2 == 0
        windows = F.pad(x, (0, 1, 0, 1), value=-torch.inf).unfold(2, 3, 2).unfold(3, 3, 2)
        return windows.amax((-1, -2))
    outside = {'avg': 0.0, 'max': -torch.inf}[kind]
    windows = F.pad(x, (1, 1, 1, 1), value=outside).unfold(2, 3, 1).unfold(3, 3, 1)
    return windows.mean((-1, -2)) if kind == 'avg' else windows.amax((-1, -2))


def test_bn_inception_is_its_transcription():
    net = settled(BNInception(in_channels=10))
    x = torch.randn(2, 10, 64, 96, dtype=torch.float64)
    expected = transcribed(x, BN_INCEPTION, parameters_in_order(net), convolve_2d, pool_2d, 1e-5)
    out = net(x)
    assert out.shape == (2, 1024, 2, 3)
    assert out.std() > 0.01
    torch.testing.assert_close(out, expected, rtol=1e-9, atol=1e-9)


def outside(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME padding, before and after."""
    out = size // stride + (size % stride > 0)
    missing = max((out - 1) * stride + kernel - size, 0)
    before = missing // 2
    return before, missing - before


@pytest.mark.parametrize(
    'size, kernel, stride, expected',
    [
        (224, 7, 2, (2, 3)), (64, 7, 2, (2, 3)), (7, 7, 2, (3, 3)), (112, 3, 2, (0, 1)),
        (7, 3, 2, (1, 1)), (14, 2, 2, (0, 0)), (7, 2, 2, (0, 1)), (5, 3, 1, (1, 1)),
        (5, 1, 1, (0, 0)),
    ],
)  # fmt: skip
def test_padding_is_tensorflows_same(size, kernel, stride, expected):
    assert outside(size, kernel, stride) == expected
    x = torch.arange(1.0, size + 1).view(1, 1, size, 1, 1)
    padded = inception._pad_same(x, (kernel, 1, 1), (stride, 1, 1)).flatten().tolist()
    assert padded == [0] * expected[0] + x.flatten().tolist() + [0] * expected[1]


def windows_3d(x: Tensor, kernel: tuple, stride: tuple, value: float) -> Tensor:
    """(N, C, T', H', W', kt, kh, kw) of SAME windows."""
    sides = [outside(s, k, stride[i]) for i, (s, k) in enumerate(zip(x.shape[2:], kernel))]
    x = F.pad(x, [side for pair in sides[::-1] for side in pair], value=value)
    for axis in range(3):
        x = x.unfold(2 + axis, kernel[axis], stride[axis])
    return x


def convolve_3d(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    windows = windows_3d(x, weight.shape[2:], (stride,) * 3, 0.0)
    return torch.einsum('nithwabc,oiabc->nothw', windows, weight)


def pool_3d(x: Tensor, kind: str, kernel: int | None) -> Tensor:
    """Without a kernel those of the stem, which leave time as it is."""
    sides = (kernel,) * 3 if kernel else (1, 3, 3)
    stride = (2, 2, 2) if kind == 'half' else (1, 1, 1)
    stride = stride if kernel else (1, 2, 2)
    return windows_3d(x, sides, stride, -torch.inf).amax((-1, -2, -3))


@pytest.mark.parametrize('shape, expected', [((8, 32, 48), (1, 1, 2)), ((9, 33, 31), (2, 2, 1))])
def test_i3d_is_its_transcription(shape, expected):
    net = settled(InceptionI3D(in_channels=2))
    x = torch.randn(1, 2, *shape, dtype=torch.float64)
    before = [(3, AT_4B), (2, AT_5B)]
    parameters = parameters_in_order(net)
    result = transcribed(x, INCEPTION_V1, parameters, convolve_3d, pool_3d, 1e-3, before)
    out = net(x)
    assert out.shape == (1, 1024, *expected)
    assert out.std() > 0.01
    torch.testing.assert_close(out, result, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    'network, shape, expected',
    [
        (BNInception, (1, 3, 224, 224), (1, 1024, 7, 7)),
        (InceptionI3D, (1, 3, 64, 224, 224), (1, 1024, 8, 7, 7)),
    ],
)
def test_published_input_gives_the_published_map(network, shape, expected):
    with torch.device('meta'):
        assert network()(torch.empty(shape)).shape == expected


def test_every_parameter_gets_a_gradient():
    for net, shape in ((BNInception(), (2, 3, 64, 64)), (InceptionI3D(), (2, 3, 16, 64, 64))):
        out = net(torch.rand(shape))
        (out * torch.randn_like(out)).sum().backward()
        for name, parameter in net.named_parameters():
            assert parameter.grad.isfinite().all() and parameter.grad.any(), name


def test_sides_at_which_branches_would_differ_are_refused():
    with pytest.raises(ValueError, match=r'multiples of 32, got \(1, 3, 112, 112\)'):
        BNInception()(torch.rand(1, 3, 112, 112))


def test_examples_run():
    assert doctest.testmod(inception).failed == 0
