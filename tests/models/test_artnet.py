"""The backbone: its table, its wiring against a transcription, its initialisation."""

import copy
import doctest

import pytest
import torch
import torch.nn.functional as F
from mmengine.model import PretrainedInit
from torch import Tensor, nn

from artnet_mm.models import ARTNet, RelationConv3d, SMARTConv3d, SpatialConv3d, TSNClipHead, artnet

ARCHS = list(artnet.ARCHITECTURES)
PLAIN = ('Conv3d', 'Conv3d')
SECOND_OF_EVERY_BLOCK = [f'stages.{s}.{b}.conv2' for s in range(3) for b in range(2)]
NORM = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm)


def small(arch: str | dict = 'artnet_d', **kwargs) -> ARTNet:
    return ARTNet(arch=arch, **{'base_channels': 8, **kwargs})


def slots(net: nn.Module, kind: type) -> list[str]:
    """Names of the modules of a kind."""
    return [name for name, module in net.named_modules() if type(module) is kind]


def convolutions(net: nn.Module) -> list[nn.Conv3d]:
    return [m for m in net.modules() if isinstance(m, nn.Conv3d)]


@pytest.mark.parametrize('depth', [18, 34, 50])
@pytest.mark.parametrize('arch', ARCHS)
def test_output_is_finite_and_every_parameter_gets_a_gradient(arch, depth):
    torch.manual_seed(0)
    net = small(arch, depth=depth)
    out = net(torch.rand(2, 3, 16, 32, 32))
    assert out.shape == (2, *net.out_channels, 1, 2, 2)
    assert net.out_channels == ((256,) if depth == 50 else (64,))
    assert out.isfinite().all()
    (out * torch.randn_like(out)).sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize('shape', [(1, 3, 1, 15, 17), (2, 3, 7, 33, 40), (1, 2, 17, 16, 49)])
@pytest.mark.parametrize('arch', ARCHS)
def test_any_clip_size_is_rounded_up(arch, shape):
    out = small(arch, in_channels=shape[1]).eval()(torch.rand(shape))
    assert out.shape == (shape[0], 64, *(-(-size // 16) for size in shape[2:]))


@pytest.mark.parametrize(
    ('arch', 'shortcut_kernel', 'millions'),
    [('c3d', 1, 33.37), ('artnet_s', 1, 33.39), ('artnet_d', 1, 35.20), ('artnet_d', 3, 39.67)],
)
def test_parameters_with_400_classes_are_the_published_number(arch, shortcut_kernel, millions):
    with torch.device('meta'):
        parts = nn.ModuleList(
            [ARTNet(arch=arch, shortcut_kernel=shortcut_kernel), TSNClipHead(400, 512)]
        )
    assert round(sum(p.numel() for p in parts.parameters()) / 1e6, 2) == millions


@pytest.mark.parametrize('arch', ARCHS)
def test_feature_maps_of_the_paper(arch):
    with torch.device('meta'):
        net, x = ARTNet(arch=arch).eval(), torch.empty(1, 3, 16, 112, 112)
    shapes = []
    for module in [net.stem, *net.stages]:
        x = module(x)
        shapes.append(tuple(x.shape[1:]))
    stem = (64, 8, 56, 56)
    assert shapes == [stem, stem, (128, 4, 28, 28), (256, 2, 14, 14), (512, 1, 7, 7)]


@pytest.mark.parametrize(
    ('arch', 'unit', 'names'),
    [
        ('artnet_s', SMARTConv3d, ['stem']),
        ('artnet_d', SMARTConv3d, ['stem', *SECOND_OF_EVERY_BLOCK]),
        ('relation_s', RelationConv3d, ['stem']),
        ('relation_d', RelationConv3d, ['stem', *SECOND_OF_EVERY_BLOCK]),
    ],
)
def test_slots_hold_the_units_of_the_paper(arch, unit, names):
    net = small(arch)
    assert slots(net, unit) == names
    others = {SMARTConv3d, RelationConv3d, SpatialConv3d} - {unit}
    assert not any(slots(net, other) for other in others)


@pytest.mark.parametrize('depth, blocks', [(34, 3 + 4 + 6), (50, 3 + 4 + 6), (101, 3 + 4 + 23)])
def test_second_convolutions_of_deeper_networks_are_smart_up_to_conv4_x(depth, blocks):
    with torch.device('meta'):
        units = slots(small('artnet_d', depth=depth), SMARTConv3d)
    assert len(units) == 1 + blocks
    assert all(name.endswith('conv2') for name in units[1:])


def parameters_of_bottlenecks(blocks: tuple, smart: int) -> int:
    """By Table 1's widths with bottlenecks; SMART in the stem and the first ``smart`` stages."""

    def unit(i: int, o: int, kernel: int, time: int, smart: bool) -> int:
        if not smart:
            return i * o * kernel**2 * time
        appearance, relation = i * o * kernel**2 + 2 * o, i * o * kernel**2 * time + 2 * o
        return appearance + relation + 2 * (o // 2) + 3 * o // 2 * o

    total, width = unit(3, 64, 7, 3, smart > 0), 64
    for stage, number in enumerate(blocks):
        channels = 64 * 2**stage
        for block in range(number):
            total += 2 * width + width * channels  # norm1, conv1
            total += 2 * channels + unit(channels, channels, 3, 3, stage < smart)
            total += 2 * channels + channels * 4 * channels
            total += width * 4 * channels if block == 0 else 0
            width = 4 * channels
    return total + 2 * width


@pytest.mark.parametrize('depth, blocks', [(50, (3, 4, 6, 3)), (101, (3, 4, 23, 3))])
@pytest.mark.parametrize('arch, smart', [('c3d', 0), ('artnet_d', 3)])
def test_parameters_of_bottlenecks_are_those_of_the_table(depth, blocks, arch, smart):
    with torch.device('meta'):
        net = ARTNet(depth=depth, arch=arch)
    counted = sum(p.numel() for p in net.parameters())
    assert counted == parameters_of_bottlenecks(blocks, smart)


def test_c3d_spans_three_frames_everywhere_but_in_the_shortcuts():
    kernels = {
        n: m.kernel_size for n, m in small('c3d').named_modules() if hasattr(m, 'kernel_size')
    }
    shortcuts = [kernels.pop(f'stages.{stage}.0.shortcut') for stage in (1, 2, 3)]
    assert shortcuts == [(1, 1, 1)] * 3
    assert kernels.pop('stem') == (3, 7, 7)
    assert list(kernels.values()) == [(3, 3, 3)] * 16


@pytest.mark.parametrize('shortcut_kernel', [1, 3])
def test_c2d_never_looks_across_frames(shortcut_kernel):
    net = small('c2d', shortcut_kernel=shortcut_kernel)
    assert {conv.kernel_size[0] for conv in convolutions(net)} == {1}
    assert len(convolutions(net)) == 1 + 16 + 3
    assert net.stem.kernel_size == (1, 7, 7)
    assert net.stages[1][0].shortcut.kernel_size == (1, shortcut_kernel, shortcut_kernel)


def transcription(state: dict, x: Tensor, training: bool, depth: int = 18) -> Tensor:
    """Forward pass at depth 18 or 50, step by step, from a state dict."""

    def norm(name: str, x: Tensor) -> Tensor:
        keys = ('running_mean', 'running_var', 'weight', 'bias')
        return F.batch_norm(x, *(state[f'{name}.{key}'] for key in keys), training, 0.0, 1e-5)

    def conv(name: str, x: Tensor, stride: int) -> Tensor:
        if f'{name}.weight' in state:
            weight = state[f'{name}.weight']
            return F.conv3d(x, weight, None, stride, [k // 2 for k in weight.shape[2:]])
        relation = norm(f'{name}.relation_norm', conv(f'{name}.relation_conv', x, stride)) ** 2
        fused = [norm(f'{name}.pool_norm', 0.5 * relation[:, 0::2] + 0.5 * relation[:, 1::2])]
        if f'{name}.appearance_conv.weight' in state:
            appearance = conv(f'{name}.appearance_conv', x, stride)
            fused.insert(0, norm(f'{name}.appearance_norm', appearance))
        return conv(f'{name}.reduction', F.relu(torch.cat(fused, 1)), 1)

    raw = conv('stem', x, 2)
    for stage in range(4):
        for block in range(2 if depth == 18 else (3, 4, 6, 3)[stage]):
            name, stride = f'stages.{stage}.{block}', 2 if stage and not block else 1
            activated = F.relu(norm(f'{name}.norm1', raw))
            projected = block == 0 and (stage > 0 or depth == 50)
            shortcut = conv(f'{name}.shortcut', activated, stride) if projected else raw
            strides = (stride, 1) if depth == 18 else (1, stride)
            hidden = F.relu(norm(f'{name}.norm2', conv(f'{name}.conv1', activated, strides[0])))
            hidden = conv(f'{name}.conv2', hidden, strides[1])
            if depth == 50:
                hidden = conv(f'{name}.conv3', F.relu(norm(f'{name}.norm3', hidden)), 1)
            raw = hidden + shortcut
    return F.relu(norm('norm', raw))


@pytest.mark.parametrize('training', [True, False], ids=['train', 'eval'])
@pytest.mark.parametrize('depth, shortcut_kernel', [(18, 1), (18, 3), (50, 1)])
@pytest.mark.parametrize('arch', ARCHS)
def test_wiring_equals_the_transcription(arch, depth, shortcut_kernel, training):
    torch.manual_seed(0)
    options = dict(depth=depth, shortcut_kernel=shortcut_kernel)
    net = small(arch, base_channels=8 if depth == 18 else 4, **options).double().train(training)
    for module in net.modules():
        if isinstance(module, NORM):
            for value in (module.running_mean, module.running_var, module.weight, module.bias):
                value.data.uniform_(0.5, 1)
    parameters = dict(net.named_parameters())
    state = {name: value.clone() for name, value in net.named_buffers()} | parameters
    x = torch.randn(2, 3, 8, 24, 24, dtype=torch.float64, requires_grad=True)
    out, expected = net(x), transcription(state, x, training, depth)
    torch.testing.assert_close(out, expected)
    sources, upstream = [x, *parameters.values()], torch.randn_like(expected)
    for grad, wanted in zip(
        torch.autograd.grad(out, sources, upstream),
        torch.autograd.grad(expected, sources, upstream),
    ):
        torch.testing.assert_close(grad, wanted)


def test_table_of_names_and_conv_cfgs_fills_the_slots():
    smart = dict(type='SMARTConv3d', norm_cfg=dict(type='GN', num_groups=2))
    grouped = dict(type=nn.Conv3d, groups=2)
    table = dict(
        stem='RelationConv3d',
        stages=[PLAIN, (grouped, smart), ['SpatialConv3d', 'Conv3d'], PLAIN],
        shortcut=dict(type='SMARTConv3d'),
    )
    net = small(table, shortcut_kernel=3)
    assert slots(net, RelationConv3d) == ['stem']
    assert slots(net, SpatialConv3d) == ['stages.2.0.conv1', 'stages.2.1.conv1']
    shortcuts = [f'stages.{stage}.0.shortcut' for stage in (1, 2, 3)]
    assert set(slots(net, SMARTConv3d)) == {'stages.1.0.conv2', 'stages.1.1.conv2', *shortcuts}
    assert net.stages[1][0].conv1.groups == 2
    assert type(net.stages[1][0].conv2.pool_norm) is nn.GroupNorm
    assert type(net.stages[1][0].shortcut.pool_norm) is nn.BatchNorm3d
    assert smart.keys() == {'type', 'norm_cfg'}, 'the table is left as it was'
    assert net(torch.rand(2, 3, 8, 32, 32)).shape == (2, 64, 1, 2, 2)


def test_norm_cfg_holds_everywhere_also_inside_the_units():
    net = small(norm_cfg=dict(type='GN', num_groups=2))
    kinds = [type(m) for m in net.modules() if isinstance(m, NORM)]
    assert kinds == [nn.GroupNorm] * (2 * 8 + 1 + 3 * 7)


@pytest.mark.parametrize('arch', ARCHS)
def test_one_option_bounds_every_unit_that_squares(arch):
    net = small(arch, max_response=10)
    bounded = [m.max_response for m in net.modules() if hasattr(m, 'max_response')]
    units = [m for m in net.modules() if isinstance(m, RelationConv3d)]
    assert bounded == [10] * len(units)
    of_its_own = dict(type='SMARTConv3d', max_response=3)
    table = dict(stem='SMARTConv3d', stages=[('Conv3d', of_its_own), PLAIN, PLAIN, PLAIN])
    net = small(table, max_response=10)
    assert (net.stem.max_response, net.stages[0][1].conv2.max_response) == (10, 3)


@torch.no_grad()
def test_weights_trained_without_a_limit_fit_and_it_holds_what_is_out_of_proportion():
    """A clip of 1.5 times the contrast, after seven units that square."""
    torch.manual_seed(0)
    plain, bounded = small(), small(max_response=3)
    x = torch.randn(4, 3, 16, 32, 32)
    for _ in range(60):
        plain(x)
    bounded.load_state_dict(plain.state_dict(), strict=True)
    usual = plain.eval()(x).max()
    assert 0.5 < bounded.eval()(x).max() / usual < 1.5
    assert plain(1.5 * x).max() / usual > 1e6
    assert bounded(1.5 * x).max() / usual < 10


def test_convolutions_have_no_bias():
    assert all(conv.bias is None for arch in ARCHS for conv in convolutions(small(arch)))


@pytest.mark.parametrize('norm_cfg', [None, dict(type='GN', num_groups=2)])
@pytest.mark.parametrize('arch', ['c2d', 'artnet_d'])
def test_default_initialisation_is_xavier_and_unit_norms(arch, norm_cfg):
    torch.manual_seed(0)
    net = small(arch, norm_cfg=norm_cfg)
    for parameter in net.parameters():
        nn.init.constant_(parameter, 7)
    net.init_weights()
    for conv in convolutions(net):
        fan_in, fan_out = conv.weight[0].numel(), conv.weight[:, 0].numel()
        bound = (6 / (fan_in + fan_out)) ** 0.5
        assert 0.9 * bound < conv.weight.abs().max() <= bound
        assert abs(conv.weight.mean()) < 0.2 * bound
    for norm in (m for m in net.modules() if isinstance(m, NORM)):
        assert (norm.weight == 1).all() and (norm.bias == 0).all()


def test_init_cfg_replaces_the_default():
    net = small(init_cfg=dict(type='Constant', layer='Conv3d', val=0.25))
    net.init_weights()
    assert all((conv.weight == 0.25).all() for conv in convolutions(net))


@pytest.mark.parametrize('arch', ARCHS)
def test_zero_init_residual_starts_with_the_shortcuts_alone_and_learns_all(arch):
    torch.manual_seed(0)
    net = small(arch, zero_init_residual=True)
    net.init_weights()
    x = torch.randn(2, 3, 8, 32, 32)
    raw = net.stem(x)
    for stage in net.stages:
        for block in stage:
            activated = F.relu(block.norm1(raw))
            raw = raw if block.shortcut is None else block.shortcut(activated)
    torch.testing.assert_close(net(x), F.relu(net.norm(raw)))
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    for _ in range(2):  # the ends of the branches move first
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()
    assert all(parameter.grad.any() for parameter in net.parameters())
    trained = copy.deepcopy(net.stages[0][0].conv2.state_dict())
    net.init_weights()  # the second time changes nothing
    assert all(torch.equal(trained[k], v) for k, v in net.stages[0][0].conv2.state_dict().items())


def test_zero_init_residual_leaves_pretrained_weights_alone(tmp_path):
    torch.save(small().state_dict(), tmp_path / 'weights.pth')
    for kind in ('Pretrained', PretrainedInit):
        pretrained = dict(type=kind, checkpoint=str(tmp_path / 'weights.pth'))
        net = small(zero_init_residual=True, init_cfg=pretrained)
        net.init_weights()
        assert all(p.any() for n, p in net.named_parameters() if n.endswith('reduction.weight'))


def test_zero_init_residual_names_units_whose_end_it_does_not_know():
    table = dict(stem='Conv3d', stages=[('Conv3d', 'Conv2plus1d'), PLAIN, PLAIN, PLAIN])
    with pytest.raises(ValueError, match=r'zero_init_residual .* Conv2plus1d has neither'):
        small(table, zero_init_residual=True).init_weights()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(arch='artnet_x'), "unknown arch 'artnet_x'; known are c2d, c3d"),
        (dict(arch=dict(stem='Conv3d', stages=[('Conv3d', 'Nope3d')] * 4)), "unit 'Nope3d'"),
        (dict(arch=dict(stem=dict(groups=2), stages=[PLAIN] * 4)), 'unit None'),
        (dict(arch=dict(stages=[PLAIN] * 4)), r"has \['stages'\]"),
        (dict(arch=dict(stem='Conv3d', stages=[PLAIN] * 4, head='x')), "'head', 'stages'"),
        (dict(arch=dict(stem='Conv3d', stages=[PLAIN] * 3)), 'each of the four stages'),
        (dict(arch=dict(stem='Conv3d', stages=['Conv3d'] * 4)), 'must name two units'),
        (dict(arch=dict(stem='Conv3d', stages=[('Conv3d',)] * 4)), 'must name two units'),
        (dict(arch=dict(stem='Conv3d', stages=[dict(type='Conv3d', groups=2)] * 4)), 'two units'),
        (dict(arch=dict(stem='Conv3d', stages=4)), 'each of the four stages, got 4'),
        (dict(arch=dict(stem='Conv3d', stages=[1, 2, 3, 4])), 'must name two units'),
        (dict(arch=dict(stem=3, stages=[PLAIN] * 4)), 'by name or conv_cfg, got 3'),
        (dict(arch=['Conv3d']), 'name of an architecture or a table'),
        (dict(depth=52), r'depth must be one of \[18, 34, 50, 101\], got 52'),
        (dict(shortcut_kernel=2), 'shortcut_kernel must be 1 or 3, got 2'),
        (dict(base_channels=9), 'out_channels must be even, got 9'),
    ],
)
def test_errors_say_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        small(**arguments)


def test_docstring_example_runs():
    failed, attempted = doctest.testmod(artnet)
    assert attempted and not failed
