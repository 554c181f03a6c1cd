"""The fused path of the units against their modules one by one, and what it keeps."""

import copy

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from torch import Tensor, nn

from artnet_mm.models import ARTNet, RelationConv3d, SMARTConv3d, fused, units

from ..helpers import ROOT, labelled

UNITS = units.FUSED_UNITS
LIMITS = [None, 0.5]
FORMATS = [torch.contiguous_format, torch.channels_last_3d]


@pytest.fixture
def one_by_one(monkeypatch):
    """Turn the fused path off while the value is True."""
    switch = dict(off=False)
    applies = fused.applies
    monkeypatch.setattr(fused, 'applies', lambda *args: not switch['off'] and applies(*args))
    return switch


def randomised(layer: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for value in layer.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.5, 1.5)
    return layer


def results(layer: nn.Module, x: Tensor, upstream: Tensor) -> list[Tensor]:
    """Output, gradients and running statistics afterwards."""
    x = x.detach().requires_grad_()
    out = layer(x)
    grads = torch.autograd.grad(out, [x, *layer.parameters()], upstream.to(out.dtype))
    return [out, *grads, *(b for b in layer.buffers() if b.is_floating_point())]


@pytest.mark.parametrize('unit', UNITS)
@pytest.mark.parametrize('training', [True, False], ids=['train', 'eval'])
@pytest.mark.parametrize('memory_format', FORMATS)
@pytest.mark.parametrize('kept_from', [0, fused.KEPT_FROM], ids=['kept', 'again'])
@pytest.mark.parametrize('limit', LIMITS)
def test_fused_path_equals_the_modules_one_by_one(
    unit, training, memory_format, kept_from, limit, one_by_one, monkeypatch
):
    monkeypatch.setattr(fused, 'KEPT_FROM', kept_from)
    # float64 has no channels-last convolutions on the CPU
    last = memory_format == torch.channels_last_3d
    dtype, tolerance = (torch.float32, 1e-4) if last else (torch.float64, 1e-7)
    layer = unit(4, 8, 3, padding=1, stride=(2, 1, 1), max_response=limit)
    layer = randomised(layer.to(dtype).train(training))
    x = torch.randn(3, 4, 5, 6, 7, dtype=dtype).contiguous(memory_format=memory_format)
    upstream = torch.randn(3, 8, 3, 6, 7, dtype=dtype)
    other = copy.deepcopy(layer)
    fast = results(layer, x, upstream)
    one_by_one['off'] = True
    for value, wanted in zip(fast, results(other, x, upstream)):
        scale = wanted.abs().max().item()
        torch.testing.assert_close(value, wanted, rtol=tolerance, atol=tolerance * scale)
    assert fast[0].is_contiguous(memory_format=memory_format)
    assert layer.pool_norm.num_batches_tracked == other.pool_norm.num_batches_tracked == training


@pytest.mark.parametrize('unit', UNITS)
@pytest.mark.parametrize('memory_format', FORMATS)
def test_reductions_are_the_same_as_the_convolutions_of_a_gpu(unit, memory_format, monkeypatch):
    layer = randomised(unit(4, 8, 3, padding=1))
    x = torch.randn(3, 4, 5, 6, 7).contiguous(memory_format=memory_format)
    upstream = torch.randn(3, 8, 5, 6, 7)
    other = copy.deepcopy(layer)
    products = results(layer, x, upstream)
    seen = []
    monkeypatch.setattr(fused, '_by_cudnn', lambda x: seen.append(x.shape) or True)
    for value, wanted in zip(results(other, x, upstream), products):
        torch.testing.assert_close(value, wanted, rtol=1e-4, atol=1e-4 * wanted.abs().max().item())
    assert len(seen) == 3 * (1 + (unit is SMARTConv3d))  # forward, weight and input of each branch


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize('unit', UNITS)
@pytest.mark.parametrize('limit', LIMITS)
def test_rounding_stays_within_the_precision(unit, dtype, limit, one_by_one):
    """Against float64: as near as the modules one by one, within a factor and a floor."""
    exact = randomised(unit(8, 16, 3, padding=1, bias=False, max_response=limit).double())
    x, upstream = torch.randn(2, 8, 4, 9, 9).double(), torch.randn(2, 16, 4, 9, 9).double()
    wanted = results(copy.deepcopy(exact), x, upstream)
    errors = []
    for off in (False, True):
        one_by_one['off'] = off
        layer = copy.deepcopy(exact).float()
        with torch.autocast('cpu', dtype, enabled=dtype != torch.float32):
            values = results(layer, x.float(), upstream)
        errors.append([((v.double() - w).norm() / w.norm()).item() for v, w in zip(values, wanted)])
    bound = {torch.float32: 1e-5, torch.float16: 1e-2, torch.bfloat16: 6e-2}[dtype]
    for fast, plain in zip(*errors):
        # Rounding moves responses over the limit, where the gradient jumps.
        assert fast < bound * (1 if limit is None else 5)
        assert fast < 2 * plain + bound / 10


@pytest.mark.parametrize('unit', UNITS)
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_large_activations_are_squared_without_overflow_under_autocast(unit, dtype):
    layer = unit(4, 8, 3, padding=1).eval()
    layer.relation_norm.running_var.fill_(1e-6)  # a response of 1 becomes 1000, its square 1e6
    x = torch.randn(2, 4, 4, 6, 6)
    layer.pool_norm.running_var.fill_(1e12)
    with torch.autocast('cpu', dtype):
        out = layer(x)
        out.float().square().mean().backward()
    assert out.isfinite().all()
    gradients = [parameter.grad for parameter in layer.parameters()]
    assert all(grad.isfinite().all() for grad in gradients)
    torch.testing.assert_close(out.float(), layer(x), rtol=0.1, atol=0.1)


def kept(layer: nn.Module, x: Tensor) -> int:
    """Values that autograd keeps for the backward pass, beside parameters and the input."""
    known = {value.data_ptr() for value in (x, *layer.parameters(), *layer.buffers())}
    seen = {}

    def pack(value: Tensor) -> Tensor:
        if value.data_ptr() not in known:
            seen[value.data_ptr()] = value.untyped_storage().nbytes() // value.element_size()
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        layer(x)
    return sum(seen.values())


def test_a_unit_keeps_one_tensor_of_its_size_and_another_where_convolving_costs_much(one_by_one):
    shape, size = (2, 8, 4, 12, 12), 2 * 8 * 4 * 12 * 12
    x = torch.randn(shape, requires_grad=True)
    small = 8 * 8  # statistics and weights of views
    assert size <= kept(RelationConv3d(8, 8, 3, padding=1), x) <= size + small
    assert size <= kept(SMARTConv3d(8, 8, 3, padding=1), x) <= size + small + 12 * 8
    wide = torch.randn(2, 128, 2, 4, 4, requires_grad=True)
    smart = kept(SMARTConv3d(128, 8, 3, padding=1), wide)
    assert 2 * 2 * 8 * 2 * 4 * 4 <= smart <= 2 * 2 * 8 * 2 * 4 * 4 + small + 12 * 8
    one_by_one['off'] = True
    assert kept(SMARTConv3d(8, 8, 3, padding=1), x) >= 5 * size


@pytest.mark.parametrize(
    'norm_cfg', [dict(type='GN', num_groups=2), dict(type='BN3d', momentum=None)]
)
def test_other_normalisations_go_module_by_module(norm_cfg, monkeypatch):
    def refuse(*args):
        raise RuntimeError('fused')

    monkeypatch.setattr(fused, 'forward', refuse)
    SMARTConv3d(4, 8, 3, padding=1, norm_cfg=norm_cfg)(torch.randn(2, 4, 4, 6, 6))
    with pytest.raises(RuntimeError, match='fused'):
        SMARTConv3d(4, 8, 3, padding=1)(torch.randn(2, 4, 4, 6, 6))


def test_frozen_normalisation_keeps_its_statistics_and_passes_gradients():
    layer = SMARTConv3d(4, 8, 3, padding=1)
    layer.relation_norm.eval()
    before = layer.relation_norm.running_mean.clone()
    layer(torch.randn(2, 4, 4, 6, 6)).square().mean().backward()
    assert torch.equal(layer.relation_norm.running_mean, before)
    assert layer.pool_norm.num_batches_tracked == 1
    assert layer.relation_conv.weight.grad.any()


@pytest.mark.parametrize('batch', [0, 1])
def test_statistics_of_one_value_or_none_are_refused_and_move_nothing(batch):
    layer = SMARTConv3d(4, 8, 3, padding=1)
    with pytest.raises(ValueError, match='more than one value per channel'):
        layer(torch.randn(batch, 4, 1, 1, 1))
    assert layer.relation_norm.running_var.isfinite().all()
    assert layer.eval()(torch.randn(1, 4, 1, 1, 1)).isfinite().all()


def test_frozen_parameters_stay_without_gradients_and_the_others_get_theirs():
    layer = SMARTConv3d(4, 8, 3, padding=1, bias=False)
    frozen = [layer.relation_conv.weight, layer.pool_norm.bias, layer.reduction.weight]
    for parameter in frozen:
        parameter.requires_grad_(False)
    layer(torch.randn(2, 4, 4, 6, 6)).square().mean().backward()
    for parameter in layer.parameters():
        assert (parameter.grad is None) == (not parameter.requires_grad)


@pytest.mark.parametrize('training', [True, False], ids=['train', 'eval'])
@pytest.mark.parametrize('depth, limit', [*((18, limit) for limit in LIMITS), (50, None)])
def test_backbone_compiles_without_graph_breaks_and_computes_the_same(training, depth, limit):
    torch.manual_seed(0)
    net = ARTNet(depth, 'artnet_d', base_channels=8, max_response=limit).double().train(training)
    x = torch.randn(2, 3, 8, 32, 32).double()
    expected = copy.deepcopy(net)(x)
    compiled = torch.compile(net, backend='aot_eager', fullgraph=True)
    torch.testing.assert_close(compiled(x), expected)


def loss_of(model: nn.Module) -> Tensor:
    inputs = [torch.arange(3 * 16 * 56 * 56).remainder(251).byte().view(1, 3, 16, 56, 56)] * 2
    batch = model.data_preprocessor(dict(inputs=inputs, data_samples=[labelled(1), labelled(2)]))
    return model(**batch, mode='loss')['loss_cls']


def test_recognizer_compiles_by_its_option_and_as_a_whole():
    cfg = Config.fromfile(ROOT / 'configs/artnet_r18_d_toy.py').model
    option = dict(backend='aot_eager', fullgraph=True)
    models = []
    for compile_cfg in (None, option, None):
        torch.manual_seed(0)
        models.append(MODELS.build({**cfg, 'compile_cfg': compile_cfg}))
    assert models[0].state_dict().keys() == models[1].state_dict().keys()
    expected, losses = loss_of(models[0]), []
    losses.append(loss_of(models[1]))
    whole = torch.compile(models[2], backend='aot_eager')
    losses.append(loss_of(whole))
    for loss in losses:
        torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-4)
        loss.backward()
