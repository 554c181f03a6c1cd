"""The units against a slow transcription in float64, and in MMAction2's backbones."""

import doctest
from itertools import product

import pytest
import torch
from mmaction.registry import MODELS
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from artnet_mm.models import RelationConv3d, SMARTConv3d, SpatialConv3d, units

UNITS = [unit for unit in units.UNITS.values() if unit is not nn.Conv3d]
BRANCHED = [unit for unit in UNITS if issubclass(unit, RelationConv3d)]
EPS = 1e-5
COPIED_BY_CONV_MODULE = (
    'in_channels out_channels kernel_size stride padding dilation transposed output_padding groups'
).split()
GEOMETRIES = [
    dict(kernel_size=3, padding=1),
    dict(kernel_size=3, padding=1, stride=2, bias=False),
    dict(kernel_size=(3, 5, 3), padding=(1, 2, 0), stride=(2, 1, 2)),
    dict(kernel_size=(5, 1, 2), padding=(2, 0, 1), stride=(1, 2, 1)),
    dict(kernel_size=[3, 3, 3], padding=[2, 1, 2], dilation=[2, 1, 2], bias=False),
    dict(kernel_size=3, padding=1, groups=2),
]


def triple(value) -> tuple:
    return (value,) * 3 if isinstance(value, int) else tuple(value)


def conv3d(x: Tensor, weight: Tensor, stride=1, padding=0, dilation=1, groups: int = 1) -> Tensor:
    """A 3D convolution as the sum over kernel taps, group by group."""
    stride, padding, dilation = triple(stride), triple(padding), triple(dilation)
    padded = x.new_zeros(*x.shape[:2], *(s + 2 * p for s, p in zip(x.shape[2:], padding)))
    padded[(..., *(slice(p, p + s) for s, p in zip(x.shape[2:], padding)))] = x
    by_group = []
    for inputs, kernel in zip(padded.chunk(groups, dim=1), weight.chunk(groups, dim=0)):
        total = 0
        for tap in product(*map(range, kernel.shape[2:])):
            window = [
                slice(i * d, s - (k - 1 - i) * d, st)
                for i, d, s, k, st in zip(tap, dilation, padded.shape[2:], kernel.shape[2:], stride)
            ]
            shifted, matrix = inputs[(..., *window)], kernel[(..., *tap)]
            total = total + torch.einsum('nithw,oi->nothw', shifted, matrix)
        by_group.append(total)
    return torch.cat(by_group, dim=1)


def batch_norm(x: Tensor, state: dict, name: str, training: bool) -> Tensor:
    """BN by its definition: statistics of the batch in training, else the running ones."""
    if training:
        mean = x.mean((0, 2, 3, 4))
        var = ((x - mean.view(1, -1, 1, 1, 1)) ** 2).mean((0, 2, 3, 4))
    else:
        mean, var = state[f'{name}.running_mean'], state[f'{name}.running_var']
    mean, var, scale, shift = (
        v.view(1, -1, 1, 1, 1) for v in (mean, var, state[f'{name}.weight'], state[f'{name}.bias'])
    )
    return (x - mean) / (var + EPS).sqrt() * scale + shift


def transcription(
    unit: type, state: dict, x: Tensor, training: bool, geometry: dict, limit: float | None = None
) -> Tensor:
    """The unit as the paper writes it, from its parameters; responses cut off at a limit."""
    in_time = {name: triple(v) for name, v in geometry.items() if name in ('padding', 'dilation')}
    in_space = {name: (int(name == 'dilation'), *v[1:]) for name, v in in_time.items()}
    shared = {name: v for name, v in geometry.items() if name in ('stride', 'groups')}
    if unit is SpatialConv3d:
        out = conv3d(x, state['weight'], **in_space, **shared)
    else:
        hidden = conv3d(x, state['relation_conv.weight'], **in_time, **shared)
        hidden = batch_norm(hidden, state, 'relation_norm', training)
        if limit is not None:
            hidden = hidden.clamp(-limit, limit)
        pairs = [(hidden[:, k], hidden[:, k + 1]) for k in range(0, hidden.shape[1], 2)]
        codes = torch.stack([0.5 * first**2 + 0.5 * second**2 for first, second in pairs], dim=1)
        fused = batch_norm(codes, state, 'pool_norm', training)
        if unit is SMARTConv3d:
            appearance = conv3d(x, state['appearance_conv.weight'], **in_space, **shared)
            appearance = batch_norm(appearance, state, 'appearance_norm', training)
            fused = torch.cat([appearance, fused], dim=1)
        out = conv3d(fused.clamp(min=0), state['reduction.weight'])
    bias = state.get('bias', state.get('reduction.bias'))
    return out if bias is None else out + bias.view(1, -1, 1, 1, 1)


def randomised(module: nn.Module) -> nn.Module:
    """Give every parameter and running statistic a value of its own, in float64."""
    module.double()
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            low = 0.5 if 'norm' in name and not name.endswith('bias') else -1
            value.uniform_(low, 1)
    return module


@pytest.mark.parametrize('unit', UNITS)
@pytest.mark.parametrize('training', [True, False], ids=['train', 'eval'])
@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_unit_equals_the_transcription_with_all_gradients(unit, training, geometry):
    check_against_the_transcription(unit, training, geometry)


@pytest.mark.parametrize('unit', BRANCHED)
@pytest.mark.parametrize('training', [True, False], ids=['train', 'eval'])
@pytest.mark.parametrize('limit', [0.5, 1.5, 1e6])
def test_bounded_unit_equals_the_transcription_with_all_gradients(unit, training, limit):
    check_against_the_transcription(unit, training, GEOMETRIES[0], limit)


def check_against_the_transcription(unit, training, geometry, limit=None):
    torch.manual_seed(0)
    option = {} if limit is None else dict(max_response=limit)
    layer = randomised(unit(4, 8, **geometry, **option)).train(training)
    x = torch.randn(2, 4, 5, 6, 7, dtype=torch.float64, requires_grad=True)
    parameters = dict(layer.named_parameters())
    # clones: training moves the running statistics of the layer
    state = {name: value.clone() for name, value in layer.named_buffers()} | parameters
    out, expected = layer(x), transcription(unit, state, x, training, geometry, limit)
    assert out.shape == nn.Conv3d(4, 8, **geometry).double()(x).shape
    torch.testing.assert_close(out, expected)
    sources, upstream = [x, *parameters.values()], torch.randn_like(expected)
    for name, grad, wanted in zip(
        ['x', *parameters],
        torch.autograd.grad(out, sources, upstream),
        torch.autograd.grad(expected, sources, upstream),
    ):
        torch.testing.assert_close(grad, wanted, msg=lambda text, name=name: f'{name}: {text}')


@pytest.mark.parametrize('unit', UNITS)
def test_gradient_agrees_with_finite_differences(unit):
    torch.manual_seed(0)
    layer = randomised(unit(2, 4, 3, padding=1))
    x = torch.randn(2, 2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x)


@pytest.mark.parametrize('unit', UNITS)
@pytest.mark.parametrize('bias', [True, False])
def test_without_temporal_kernel_a_plain_convolution_stands_in(unit, bias):
    geometry = dict(stride=(2, 1, 2), padding=(0, 1, 2), dilation=(1, 1, 2), groups=3, bias=bias)
    plain, layer = (make(3, 9, (1, 3, 3), **geometry) for make in (nn.Conv3d, unit))
    (inner,) = (m for m in layer.modules() if isinstance(m, nn.Conv3d))
    inner.load_state_dict(plain.state_dict())
    x = torch.rand(2, 3, 4, 7, 7)
    assert torch.equal(layer(x), plain(x))


@pytest.mark.parametrize('unit', BRANCHED)
def test_pooling_weight_is_no_parameter_and_no_buffer(unit):
    learned = {*unit.folded_norms, *unit.folded_norms.values(), 'pool_norm', 'reduction'}
    layer = unit(4, 8, 3, padding=1)
    named = [*layer.named_parameters(), *layer.named_buffers()]
    assert {name.split('.')[0] for name, _ in named} == learned


@pytest.mark.parametrize('unit', UNITS)
@pytest.mark.parametrize('bias', [True, False])
def test_bias_sits_on_the_output_and_nowhere_else(unit, bias):
    layer = unit(4, 8, 3, padding=1, bias=bias).eval()
    biases = [m.bias for m in layer.modules() if isinstance(m, nn.Conv3d) and m.bias is not None]
    assert len(biases) == bias
    x, shift = torch.rand(1, 4, 3, 4, 4), torch.arange(8.0)
    before = layer(x)
    for value in biases:
        value.data += shift
        torch.testing.assert_close(layer(x) - before, shift.view(1, 8, 1, 1, 1).expand_as(before))


@pytest.mark.parametrize('unit', BRANCHED)
def test_a_unit_in_half_precision_stays_near_its_float32_self(unit):
    torch.manual_seed(0)
    layer, x = unit(4, 8, 3, padding=1), torch.randn(2, 4, 4, 6, 6)
    expected = layer(x)
    half = layer.bfloat16()(x.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), expected, rtol=0.1, atol=0.1)


@pytest.mark.parametrize('unit', BRANCHED)
@pytest.mark.parametrize(
    ('norm_cfg', 'kind'),
    [
        (None, nn.BatchNorm3d),
        (dict(type='SyncBN'), nn.SyncBatchNorm),
        (dict(type='GN', num_groups=2), nn.GroupNorm),
    ],
)
def test_norm_cfg_chooses_every_normalisation_inside(unit, norm_cfg, kind):
    layer = unit(4, 8, 3, padding=1, norm_cfg=norm_cfg)
    names = {name for name, m in layer.named_modules() if isinstance(m, kind)}
    assert names == {name for name, _ in layer.named_children() if name.endswith('_norm')}
    assert len(names) == len(unit.folded_norms) + 1


def test_norm_cfg_arguments_reach_the_normalisation():
    layer = SMARTConv3d(4, 8, 3, padding=1, norm_cfg=dict(type='BN3d', eps=1e-2, momentum=0.3))
    for norm in (layer.relation_norm, layer.pool_norm, layer.appearance_norm):
        assert (norm.eps, norm.momentum) == (1e-2, 0.3)


@pytest.mark.parametrize('unit', UNITS)
def test_conv_module_finds_the_attributes_of_conv3d(unit):
    geometry = dict(stride=(2, 1, 2), padding=(2, 1, 2), dilation=(2, 1, 2), groups=2)
    plain = nn.Conv3d(4, 8, 3, **geometry)
    if unit is SpatialConv3d:
        geometry_in_space = dict(geometry, padding=(0, 1, 2), dilation=(1, 1, 2))
        plain = nn.Conv3d(4, 8, (1, 3, 3), **geometry_in_space)
    layer = unit(4, 8, 3, **geometry)
    for name in COPIED_BY_CONV_MODULE:
        assert getattr(layer, name) == getattr(plain, name), name
    host = ConvModule(4, 8, 3, conv_cfg=dict(type=unit.__name__), **geometry)
    assert type(host.conv) is unit and host.kernel_size == plain.kernel_size


RESNET = dict(pretrained=None, pretrained2d=False, base_channels=8, zero_init_residual=False)
HOSTS = {
    f'{name}-{depth}': (dict(type=name, depth=depth, **RESNET), (2, 3, 8, 64, 64))
    for name, depth in product(('ResNet3d', 'ResNet3dSlowOnly'), (18, 50))
} | {'C3D': (dict(type='C3D', out_dim=2048), (2, 3, 16, 32, 32))}


@pytest.mark.parametrize('unit', UNITS)
@pytest.mark.parametrize('host', HOSTS)
def test_unit_drops_into_backbones_of_mmaction(unit, host):
    torch.manual_seed(0)
    cfg, shape = HOSTS[host]
    backbone = MODELS.build(dict(cfg, conv_cfg=dict(type=unit.__name__)))
    backbone.init_weights()
    assert any(isinstance(m, unit) for m in backbone.modules())
    out = backbone(torch.rand(shape))
    (out * torch.randn_like(out)).sum().backward()
    for name, parameter in backbone.named_parameters():
        assert parameter.requires_grad, name
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name
    with torch.device('meta'):
        plain = MODELS.build(dict(cfg, conv_cfg=dict(type='Conv3d')))
        assert out.shape == plain(torch.empty(shape)).shape


@pytest.mark.parametrize('unit', BRANCHED)
def test_odd_out_channels_cannot_be_paired(unit):
    with pytest.raises(ValueError, match=r'out_channels must be even, got 7'):
        unit(4, 7, 3, padding=1)


@pytest.mark.parametrize('unit', UNITS)
@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('kernel_size', (3, 3)),
        ('kernel_size', 0),
        ('stride', (1, 1, 1, 1)),
        ('stride', (1, 0, 1)),
        ('padding', (1, -1, 1)),
        ('padding', 'same'),
        ('dilation', (1, 1.0, 1)),
    ],
)
def test_malformed_geometry_is_named(unit, name, value):
    with pytest.raises(ValueError, match=f'^{name} must be an int or three ints'):
        unit(4, 8, **{'kernel_size': 3, 'padding': 1, name: value})


@pytest.mark.parametrize('unit', BRANCHED)
@pytest.mark.parametrize('limit', [0, -1, '10', float('nan')])
def test_a_limit_that_is_none_is_named(unit, limit):
    with pytest.raises(ValueError, match='max_response must be None or above 0'):
        unit(4, 8, 3, padding=1, max_response=limit)


@pytest.mark.parametrize('unit', [SpatialConv3d, SMARTConv3d])
@pytest.mark.parametrize(
    'geometry',
    [
        dict(kernel_size=3),
        dict(kernel_size=3, padding=(2, 1, 1)),
        dict(kernel_size=3, padding=1, dilation=(2, 1, 1)),
        dict(kernel_size=(2, 3, 3), padding=1),
    ],
)
def test_padding_that_changes_the_number_of_frames_is_refused(unit, geometry):
    with pytest.raises(ValueError, match=r'padding\[0\] is dilation\[0\]'):
        unit(4, 8, **geometry)


def test_docstring_examples_run():
    failed, attempted = doctest.testmod(units)
    assert attempted and not failed
