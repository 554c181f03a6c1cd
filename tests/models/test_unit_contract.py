"""What people do to units: subclass, hook, wrap, prune, transform, trace, checkpoint."""

import copy
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune
from torch.utils.checkpoint import checkpoint

from artnet_mm.models import ARTNet, RelationConv3d, SMARTConv3d, artnet, switch_to_deploy
from artnet_mm.models.units import FUSED_UNITS, UNITS

from ..helpers import ROOT, example

BRANCHED = list(FUSED_UNITS)


def layer_of(unit: type, **options) -> nn.Module:
    """A unit in float64 whose statistics and scales are its own."""
    torch.manual_seed(0)
    layer = unit(4, 8, 3, padding=1, **options).double()
    for name, value in layer.state_dict().items():
        if 'norm' in name and value.is_floating_point():
            value.uniform_(0.5, 1.5)
    return layer


def clip(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(*(shape or (2, 4, 3, 5, 5)), dtype=torch.float64, generator=generator)


class Hook:
    """A forward hook, which sends a unit module by module."""

    def __init__(self) -> None:
        self.outputs = []

    def __call__(self, module: nn.Module, args: tuple, output: Tensor) -> None:
        self.outputs.append(output.detach().clone())


def one_by_one(layer: nn.Module) -> nn.Module:
    """A copy whose modules are all called."""
    layer = copy.deepcopy(layer)
    layer.reduction.register_forward_hook(Hook())
    return layer


class Doubled(RelationConv3d):
    """An edit of research: codes twice as large, after BN."""

    def branches(self, x: Tensor) -> list[Tensor]:
        return [2 * branch for branch in super().branches(x)]


@pytest.mark.parametrize('norm_cfg', [None, dict(type='GN', num_groups=2)])
def test_a_subclass_that_overrides_branches_is_obeyed_in_every_form(norm_cfg):
    plain, doubled = (
        layer_of(unit, bias=False, norm_cfg=norm_cfg) for unit in (RelationConv3d, Doubled)
    )
    x = clip()
    for training in (True, False):
        torch.testing.assert_close(doubled.train(training)(x), 2 * plain.train(training)(x))
    if norm_cfg is None:
        torch.testing.assert_close(switch_to_deploy(doubled)(x), 2 * plain(x))


def test_a_branch_set_on_the_object_is_obeyed():
    layer = layer_of(RelationConv3d, bias=False)
    expected = 2 * layer(clip())
    branches = layer.branches
    layer.branches = lambda x: [2 * branch for branch in branches(x)]
    torch.testing.assert_close(layer(clip()), expected)


@pytest.mark.parametrize('unit', BRANCHED)
@pytest.mark.parametrize('deployed', [False, True])
def test_hooks_of_every_inner_layer_see_what_it_gives(unit, deployed):
    layer = layer_of(unit).eval()
    if deployed:
        switch_to_deploy(layer)
    expected = layer(clip())
    for name, child in layer.named_children():
        hook = Hook()
        handle = child.register_forward_hook(hook)
        torch.testing.assert_close(layer(clip()), expected, msg=name)
        assert len(hook.outputs) == 1, name
        handle.remove()


def test_hooks_on_every_leaf_of_the_network_are_called():
    net = ARTNet(base_channels=8)
    leaves = {name: m for name, m in net.named_modules() if not any(m.children())}
    called = set()
    for name, leaf in leaves.items():
        leaf.register_forward_hook(lambda *args, name=name: called.add(name))
    net(torch.rand(2, 3, 8, 32, 32))
    assert called == leaves.keys()


def test_backward_hooks_and_hooks_of_all_modules_are_called():
    layer, called = layer_of(SMARTConv3d), []
    layer.pool_norm.register_full_backward_hook(lambda *args: called.append('pool_norm'))
    layer(clip()).sum().backward()
    assert called == ['pool_norm']
    other = layer_of(SMARTConv3d)
    seen = []
    handle = nn.modules.module.register_module_forward_hook(lambda m, *args: seen.append(m))
    try:
        other(clip())
    finally:
        handle.remove()
    assert {*other.children()} < {*seen}


class LoRA(nn.Module):
    """A frozen convolution with a low-rank update that learns."""

    def __init__(self, conv: nn.Conv3d) -> None:
        super().__init__()
        self.conv = conv.requires_grad_(False)
        self.down = nn.Conv3d(conv.in_channels, 2, 1, bias=False)
        self.up = nn.Conv3d(2, conv.out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + self.up(self.down(x))


@pytest.mark.parametrize('name', ['appearance_conv', 'reduction', 'relation_conv'])
def test_a_wrapper_around_a_convolution_learns(name):
    layer = layer_of(SMARTConv3d)
    setattr(layer, name, LoRA(getattr(layer, name)).double())
    layer(clip()).square().sum().backward()
    wrapper = getattr(layer, name)
    assert wrapper.up.weight.grad.any() and wrapper.down.weight.grad.any()
    assert wrapper.conv.weight.grad is None


@pytest.mark.parametrize('name', ['appearance_conv', 'reduction', 'relation_conv', 'pool_norm'])
def test_a_pruned_layer_trains_with_its_mask(name):
    layer = layer_of(SMARTConv3d)
    prune.l1_unstructured(getattr(layer, name), 'weight', amount=0.5)
    layer(clip()).square().sum().backward()
    pruned = getattr(layer, name)
    assert pruned.weight_orig.grad.any()
    assert not (pruned.weight_orig.grad * (1 - pruned.weight_mask)).any()


class Halved(nn.Module):
    """A parametrisation."""

    def forward(self, weight: Tensor) -> Tensor:
        return weight / 2


@pytest.mark.parametrize('name', ['appearance_conv', 'reduction', 'pool_norm'])
def test_a_parametrised_layer_computes_with_its_parametrisation(name):
    layer = layer_of(SMARTConv3d)
    expected = copy.deepcopy(layer)
    getattr(expected, name).weight.data /= 2
    parametrize.register_parametrization(getattr(layer, name), 'weight', Halved())
    torch.testing.assert_close(layer(clip()), expected(clip()))


def test_a_convolution_of_another_kind_is_called():
    layer = layer_of(SMARTConv3d)
    other = nn.Conv3d(4, 8, (1, 3, 3), padding=(0, 1, 1), padding_mode='circular').double()
    layer.appearance_conv = other
    wanted = one_by_one(layer)
    torch.testing.assert_close(layer(clip()), wanted(clip()))
    layer.appearance_conv = nn.Conv3d(4, 8, (1, 3, 3), padding=(0, 1, 1), bias=True).double()
    layer(clip()).square().sum().backward()
    assert layer.appearance_conv.bias.grad is not None
    layer.reduction = nn.Conv3d(12, 8, 3, padding=1).double()
    torch.testing.assert_close(layer(clip()), one_by_one(layer)(clip()))


def loss_by_parameters(layer: nn.Module, parameters: dict, x: Tensor) -> Tensor:
    return torch.func.functional_call(layer, parameters, (x,)).square().mean()


@pytest.mark.parametrize('unit', BRANCHED)
@pytest.mark.parametrize('training', [True, False], ids=['train', 'eval'])
def test_gradients_of_torch_func_are_those_of_backward(unit, training):
    layer = layer_of(unit).train(training)
    parameters = {name: p.detach() for name, p in layer.named_parameters()}
    buffers = {name: b.clone() for name, b in layer.named_buffers()}  # moved, so handed in

    def loss(parameters: dict, buffers: dict) -> Tensor:
        return loss_by_parameters(layer, parameters | buffers, clip())

    grads = torch.func.grad(loss)(parameters, buffers)
    layer(clip()).square().mean().backward()
    for name, parameter in layer.named_parameters():
        torch.testing.assert_close(grads[name], parameter.grad)


@pytest.mark.parametrize('unit', BRANCHED)
def test_backward_uses_the_parameters_of_its_forward_pass(unit):
    """With ``functional_call`` the module has its own again by then."""
    layer = layer_of(unit)
    swapped = {n: (2 * p.detach()).requires_grad_() for n, p in layer.named_parameters()}
    fast = loss_by_parameters(copy.deepcopy(layer), swapped, clip())
    slow = loss_by_parameters(one_by_one(layer), swapped, clip())
    for grad, wanted in zip(
        *(torch.autograd.grad(loss, swapped.values()) for loss in (fast, slow))
    ):
        torch.testing.assert_close(grad, wanted)


@pytest.mark.parametrize('unit', BRANCHED)
def test_vmap_and_forward_mode_derivatives_work(unit):
    layer, x, tangent = layer_of(unit, max_response=1.0).eval(), clip(), clip()
    several = torch.stack([x, 2 * x, -x])
    torch.testing.assert_close(torch.vmap(layer)(several), torch.stack([*map(layer, several)]))
    _, derivative = torch.func.jvp(layer, (x,), (tangent,))
    step = 1e-6
    numerical = (layer(x + step * tangent) - layer(x - step * tangent)) / (2 * step)
    torch.testing.assert_close(derivative, numerical, rtol=1e-3, atol=1e-5)
    with torch.autograd.forward_ad.dual_level():
        dual = layer(torch.autograd.forward_ad.make_dual(x, tangent))
        torch.testing.assert_close(torch.autograd.forward_ad.unpack_dual(dual).tangent, derivative)


@pytest.mark.parametrize('unit', BRANCHED)
@pytest.mark.parametrize('training', [True, False], ids=['train', 'eval'])
@pytest.mark.parametrize('limit', [None, 1.0])
def test_second_derivatives_agree_with_finite_differences(unit, training, limit):
    layer = unit(2, 2, 3, padding=1, max_response=limit).double().train(training)
    x = clip(1, 2, 2, 3, 3).requires_grad_()
    assert torch.autograd.gradgradcheck(layer, x)


@pytest.mark.parametrize('unit', BRANCHED)
def test_second_derivatives_reach_all_parameters(unit):
    penalties = []
    for layer in (layer_of(unit), one_by_one(layer_of(unit))):
        x = clip().requires_grad_()
        (grad,) = torch.autograd.grad(layer(x).square().mean(), x, create_graph=True)
        parameters = [p for p in layer.parameters() if p is not layer.reduction.bias]
        penalties.append([grad, *torch.autograd.grad(grad.square().sum(), parameters)])
    for fast, slow in zip(*penalties):
        torch.testing.assert_close(fast, slow)


@pytest.mark.parametrize('unit', BRANCHED)
def test_a_trace_can_be_saved_and_gives_the_same(unit, tmp_path):
    layer = layer_of(unit).eval()
    traced = torch.jit.trace(layer, clip())
    traced.save(tmp_path / 'unit.pt')
    again = torch.jit.load(tmp_path / 'unit.pt')
    torch.testing.assert_close(again(2 * clip()), layer(2 * clip()))


def steps(net: nn.Module, x: Tensor) -> list[Tensor]:
    """Outputs, gradients and statistics after a step."""
    out = net(x)
    out.square().mean().backward()
    return [out, *(p.grad for p in net.parameters()), *net.buffers()]


@pytest.mark.parametrize('arch, depth', [('c3d', 18), ('artnet_d', 18), ('artnet_d', 50)])
def test_activation_checkpointing_changes_nothing_and_moves_statistics_once(arch, depth):
    torch.manual_seed(0)
    options = dict(arch=arch, depth=depth, base_channels=4 if depth == 50 else 8)
    net = artnet.ARTNet(**options).double()
    again = artnet.ARTNet(**options, with_cp=True).double()
    again.load_state_dict(net.state_dict())
    x = torch.randn(2, 3, 8, 32, 32, dtype=torch.float64)
    for value, wanted in zip(steps(again, x), steps(net, x)):
        torch.testing.assert_close(value, wanted)
    assert again.stages[0][0].norm1.num_batches_tracked == 1
    for name, buffer in again.named_buffers():
        assert buffer is dict(again.named_buffers())[name]


def test_a_checkpointed_graph_can_be_gone_through_again():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8, 32, 32, dtype=torch.float64).requires_grad_()
    penalties = []
    for with_cp in (False, True):
        torch.manual_seed(1)
        net = artnet.ARTNet(base_channels=4, with_cp=with_cp).double()
        out = net(x).square().mean()
        once = torch.autograd.grad(out, x, retain_graph=True)[0]
        (grad,) = torch.autograd.grad(out, x, create_graph=True)
        torch.testing.assert_close(grad, once)
        penalties.append(torch.autograd.grad(grad.square().sum(), x)[0])
        assert net.stages[0][0].norm1.num_batches_tracked == 1
    torch.testing.assert_close(*penalties)


def test_a_unit_can_be_checkpointed_by_torch():
    layer = layer_of(SMARTConv3d)
    x = clip().requires_grad_()
    wanted = torch.autograd.grad(copy.deepcopy(layer)(x).square().sum(), x)
    for reentrant in (True, False):
        out = checkpoint(copy.deepcopy(layer), x, use_reentrant=reentrant)
        out.square().sum().backward()
        torch.testing.assert_close(x.grad, wanted[0])
        x.grad = None


BARE = """
import sys, torch
import artnet_mm
from artnet_mm.models import ARTNet, SMARTConv3d
from artnet_mm.models.artnet import ARTNet as Network
from artnet_mm.models.units import RelationConv3d
assert Network is ARTNet and 'mmengine' not in sys.modules and 'mmcv' not in sys.modules
torch.manual_seed(0)
net = ARTNet(base_channels=8, zero_init_residual=True, out_indices=(1, 3))
net.init_weights()
middle, last = net(torch.rand(2, 3, 16, 32, 32))
print(tuple(middle.shape), tuple(last.shape), net.out_channels)
last.sum().backward()
unit = RelationConv3d(4, 8, 3, padding=1, norm_cfg=lambda channels: torch.nn.GroupNorm(2, channels))
unit(torch.rand(1, 4, 3, 5, 5)).sum().backward()
try:
    import mmaction
except ImportError:
    print('no mmaction')
try:
    import artnet_mm.datasets
except ImportError as error:
    print(error)
"""


def modules_of(distribution: str, found: dict[str, Path] | None = None) -> dict[str, Path]:
    """Top-level modules of a distribution and of all that it requires."""
    found = {} if found is None else found
    known = importlib.metadata.distribution(distribution)
    for file in known.files:
        top = file.parts[0]
        if top not in ('..', '__pycache__'):
            found[top] = Path(known.locate_file(top)).resolve()
    for text in known.requires or ():
        requirement = Requirement(text)
        installed = requirement.marker is None or requirement.marker.evaluate({'extra': ''})
        if installed and requirement.name not in found.setdefault('', set()):
            found[''].add(requirement.name)
            modules_of(requirement.name, found)
    return found


def test_units_and_backbone_need_torch_alone(tmp_path):
    """In an environment that has torch, what it requires, and nothing else."""
    site = tmp_path / 'site'
    site.mkdir()
    modules = modules_of('torch')
    modules_of('numpy', modules)
    del modules['']
    for top, place in modules.items():
        (site / top).symlink_to(place)
    (site / 'artnet_mm').symlink_to(ROOT / 'artnet_mm')
    unit = example('unit')
    command = [
        sys.executable,
        '-I',
        '-S',
        '-c',
        f'import sys; sys.path.append({str(site)!r}){BARE}\n{unit}\nprint(*features.shape)',
    ]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    shapes, mmaction, error, of_page = ran.stdout.splitlines()
    assert of_page == '1 512 1 7 7'
    assert shapes == '(2, 16, 4, 8, 8) (2, 64, 1, 2, 2) (16, 64)'
    assert mmaction == 'no mmaction' and 'artnet_mm needs' in error and 'pip install' in error


def test_the_compiler_chooses_what_is_computed_again():
    torch.manual_seed(0)
    net = ARTNet(base_channels=4, max_response=3, with_cp=True).double()
    clips = torch.randn(2, 3, 4, 16, 16).double()
    compiled = torch.compile(net, backend='aot_eager')
    torch.testing.assert_close(compiled(clips), net(clips))


def test_outputs_of_stages_are_those_of_the_stages():
    torch.manual_seed(0)
    net = ARTNet(base_channels=8, out_indices=(0, 2, 3)).eval()
    x = torch.rand(1, 3, 8, 32, 32)
    outputs = net(x)
    assert net.out_channels == tuple(out.shape[1] for out in outputs) == (8, 32, 64)
    stem = net.stem(x)
    torch.testing.assert_close(outputs[0], net.stages[0](stem))
    torch.testing.assert_close(outputs[1], net.stages[2](net.stages[1](outputs[0])))
    torch.testing.assert_close(outputs[2], torch.relu(net.norm(net.stages[3](outputs[1]))))
    net = ARTNet(base_channels=8, out_indices=[1])
    out = net(x.repeat(2, 1, 1, 1, 1))
    assert out.shape[1] == net.out_channels[0] == 16
    out.sum().backward()  # what is not reached is not waited for
    assert all((p.grad is not None) == p.requires_grad for p in net.parameters())
    learn = {name for name, p in net.named_parameters() if p.requires_grad}
    assert {name[:8] for name in learn if name.startswith('stages')} == {'stages.0', 'stages.1'}
    assert not any(name.startswith('norm') for name in learn)


@pytest.mark.parametrize('out_indices', [(), (4,), (0, -1)])
def test_stages_that_do_not_exist_are_named(out_indices):
    with pytest.raises(ValueError, match='out_indices must be stages from 0 to 3'):
        ARTNet(base_channels=8, out_indices=out_indices)


def test_norm_eval_keeps_statistics_and_trains_scales():
    net = ARTNet(base_channels=8, norm_eval=True).train()
    before = {name: buffer.clone() for name, buffer in net.named_buffers()}
    net(torch.rand(2, 3, 8, 32, 32)).sum().backward()
    assert all(torch.equal(before[name], buffer) for name, buffer in net.named_buffers())
    assert net.training and net.stem.pool_norm.weight.grad.any()


def test_the_registered_network_is_the_plain_one_with_the_same_initialisation():
    torch.manual_seed(0)
    plain = artnet.ARTNet(base_channels=8)
    plain.init_weights()
    registered = ARTNet(base_channels=8)
    assert isinstance(registered, artnet.ARTNet)
    registered.load_state_dict(plain.state_dict())
    for net in (plain, registered):
        net.init_weights()
    for (name, mine), other in zip(plain.named_parameters(), registered.parameters()):
        assert mine.std().item() == pytest.approx(other.std().item(), rel=0.3, abs=1e-6), name


def test_units_table_names_every_class():
    assert all(unit.__name__ == name for name, unit in UNITS.items())
    assert {*FUSED_UNITS} < {*UNITS.values()}
