"""C3D with BN and LTC against transcriptions, and their published sizes."""

import pytest
import torch
import torch.nn.functional as F
from mmaction.models.backbones import C3D
from torch import nn

from artnet_mm.models import LTC, BatchNormC3D

C3D_LAYERS = [(3, 64), (64, 128), (128, 256), (256, 256), (256, 512), *[(512, 512)] * 3]
LTC_LAYERS = [(64, 128), (128, 256), (256, 256), (256, 256)]


def number_of_parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def settle(net: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    net.init_weights()
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.1)
    return net.double().eval()


def test_c3d_has_bn_instead_of_biases_everywhere():
    with torch.device('meta'):
        net, stock = BatchNormC3D(), C3D()
    convolutions = sum(27 * c_in * c_out + 2 * c_out for c_in, c_out in C3D_LAYERS)
    dense = 8192 * 4096 + 4096 * 4096 + 2 * 2 * 4096
    assert number_of_parameters(net) == convolutions + dense
    biases = sum(c_out for _, c_out in C3D_LAYERS) + 2 * 4096
    assert number_of_parameters(net) == number_of_parameters(stock) + biases


def norm(x, layer):
    shape = (1, -1) + (1,) * (x.ndim - 2)
    mean, var, scale, shift = (
        t.view(shape) for t in (layer.running_mean, layer.running_var, layer.weight, layer.bias)
    )
    return ((x - mean) / (var + layer.eps).sqrt() * scale + shift).clamp(min=0)


def test_c3d_is_its_transcription():
    """Kay et al.: BN behind every layer, time halved by the first pooling too."""
    net = settle(BatchNormC3D())
    x = out = torch.randn(1, 3, 16, 112, 112, dtype=torch.float64)
    frames = []
    for group in (('1a',), ('2a',), ('3a', '3b'), ('4a', '4b'), ('5a', '5b')):
        for name in group:
            layer = getattr(net, f'conv{name}')
            assert layer.conv.bias is None
            out = norm(F.conv3d(out, layer.conv.weight, padding=1), layer.bn)
        if group[0] == '5a':
            out = F.pad(out, (1, 1, 1, 1))  # of what is not negative, as good as leaving it out
            out = out.unfold(3, 2, 2).unfold(4, 2, 2).amax((-1, -2))
        else:
            out = out.unfold(2, 2, 2).unfold(3, 2, 2).unfold(4, 2, 2).amax((-1, -2, -3))
        frames.append(tuple(out.shape[2:]))
    assert frames == [(8, 56, 56), (4, 28, 28), (2, 14, 14), (1, 7, 7), (1, 4, 4)]
    out = out.flatten(1)
    for dense, bn in (net.fc6, net.fc7):
        out = norm(out @ dense.weight.T, bn)
    result = net(x)
    assert result.shape == (1, 4096) and result.std() > 0.01
    torch.testing.assert_close(result, out, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize('channels', [3, 2])
@pytest.mark.parametrize('frames, places', [(60, 3 * 2 * 2), (100, 6 * 2 * 2)])
def test_ltc_has_the_parameters_of_its_table(frames, places, channels):
    convolutions = sum(27 * i * o + o for i, o in [(channels, 64), *LTC_LAYERS])
    dense = (256 * places + 1) * 2048 + 2049 * 2048
    assert number_of_parameters(LTC(frames, 71, channels)) == convolutions + dense


def test_ltc_is_its_transcription():
    net = settle(LTC(clip_len=20, crop_size=71, in_channels=2))
    x = out = torch.randn(2, 2, 20, 71, 71, dtype=torch.float64)
    layers = [m for m in net.modules() if isinstance(m, nn.Conv3d | nn.Linear)]
    assert len(layers) == 7
    for index, layer in enumerate(layers[:5]):
        out = F.conv3d(out, layer.weight, layer.bias, padding=1).clamp(min=0)
        out = out.unfold(3, 2, 2).unfold(4, 2, 2).amax((-1, -2))
        out = out.unfold(2, 2, 2).amax(-1) if index else out
    assert out.shape == (2, 256, 1, 2, 2)
    out = out.reshape(2, -1)
    for layer in layers[5:]:
        out = (out @ layer.weight.T + layer.bias).clamp(min=0)
    result = net(x)
    assert result.shape == (2, 2048) and result.std() > 0.01
    torch.testing.assert_close(result, out, rtol=1e-9, atol=1e-9)


def test_ltc_drops_nine_tenths_between_its_dense_layers_in_training():
    net = LTC(clip_len=16, crop_size=32)
    (dropout,) = (m for m in net.modules() if isinstance(m, nn.Dropout))
    assert dropout.p == 0.9
    assert [type(m) for m in net.classifier] == [
        nn.Linear, nn.ReLU, nn.Dropout, nn.Linear, nn.ReLU,
    ]  # fmt: skip


def test_ltc_refuses_what_it_is_not_made_for():
    with pytest.raises(ValueError, match='at least 16 frames of 32 x 32, got clip_len=8'):
        LTC(clip_len=8)
    with pytest.raises(ValueError, match=r'of \(3, 16, 40, 40\), got \(3, 16, 48, 40\): clip_len'):
        LTC(16, 40)(torch.rand(1, 3, 16, 48, 40))
