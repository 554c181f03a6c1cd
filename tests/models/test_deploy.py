"""The deploy form: fewer layers, the same scores."""

import copy

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.runner import Runner
from torch import nn

from artnet_mm.models import ARTNet, RelationConv3d, SMARTConv3d, switch_to_deploy
from artnet_mm.models.deploy import fold
from artnet_mm.models.units import UNITS

from ..helpers import settled_toy, tiny_config


def randomised(model: nn.Module) -> nn.Module:
    """Values of its own for every parameter and statistic; scales of both signs."""
    torch.manual_seed(0)
    for name, value in model.double().state_dict().items():
        if value.is_floating_point() and 'conv' not in name:
            value.uniform_(0.5, 1.5)
            if 'pool_norm.weight' in name:
                value[::2] *= -1
    model.eval()
    return model


@pytest.mark.parametrize('unit', [u for u in UNITS.values() if issubclass(u, RelationConv3d)])
@pytest.mark.parametrize('kernel', [3, (1, 3, 3)])
@pytest.mark.parametrize('bias', [True, False])
@pytest.mark.parametrize('limit', [None, 0.5])
def test_deployed_unit_computes_the_same(unit, kernel, bias, limit):
    padding = (int(kernel == 3), 1, 1)
    layer = randomised(unit(4, 8, kernel, padding=padding, bias=bias, max_response=limit))
    x = torch.randn(2, 4, 4, 6, 6).double()
    expected = layer(x)
    switch_to_deploy(switch_to_deploy(layer))  # the second time changes nothing
    torch.testing.assert_close(layer(x), expected)
    assert not [m for m in layer.modules() if isinstance(m, nn.BatchNorm3d)]


@pytest.mark.parametrize(
    'arch, depth, blocks',
    [(arch, 18, 8) for arch in ('c2d', 'c3d', 'relation_d', 'artnet_s', 'artnet_d')]
    + [('artnet_d', 50, 16)],
)
def test_deployed_backbone_computes_the_same_with_one_norm_a_block(arch, depth, blocks):
    limit = 3 if depth == 50 else None  # of 14 squares in a row nothing finite is left
    net = randomised(ARTNet(arch=arch, depth=depth, base_channels=8, max_response=limit))
    x = torch.randn(2, 3, 8, 32, 32).double()
    expected = net(x)
    switch_to_deploy(net)
    torch.testing.assert_close(net(x), expected)
    assert sum(isinstance(m, nn.BatchNorm3d) for m in net.modules()) == blocks + 1


@pytest.mark.parametrize('kernel', [3, (1, 3, 3)])
def test_a_unit_takes_the_norm_that_follows_it(kernel):
    unit = randomised(SMARTConv3d(4, 8, kernel, padding=(int(kernel == 3), 1, 1), bias=False))
    norm = randomised(nn.BatchNorm3d(8))
    x = torch.randn(2, 4, 4, 6, 6).double()
    expected = norm(unit(x))
    torch.testing.assert_close(switch_to_deploy(fold(unit, norm))(x), expected)


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last_3d])
def test_a_deployed_backbone_under_autocast_is_near_the_float32_one(memory_format):
    torch.manual_seed(0)
    net = ARTNet(base_channels=4, max_response=3)
    clips = torch.randn(4, 3, 8, 32, 32).contiguous(memory_format=memory_format)
    for _ in range(30):
        net.train()(clips)
    switch_to_deploy(net)
    with torch.no_grad():
        whole = net(clips)
        with torch.autocast('cpu', torch.bfloat16):
            half = net(clips)
    assert half.dtype == torch.bfloat16
    assert (half.float() - whole).norm() < 0.05 * whole.norm()


def test_scores_of_a_deployed_recognizer_agree_to_1e_5():
    model = settled_toy().eval()
    clips = torch.randint(0, 256, (3, 1, 3, 16, 56, 56)).float() - 117
    before = model(clips, stage='head', mode='tensor')
    after = switch_to_deploy(copy.deepcopy(model))(clips, stage='head', mode='tensor')
    assert (after - before).abs().max() <= 1e-5 * before.abs().max()


def test_units_in_other_backbones_are_deployed_and_the_norms_around_them_stay():
    resnet = dict(type='ResNet3d', depth=18, pretrained=None, pretrained2d=False, base_channels=8)
    net = MODELS.build(dict(**resnet, conv_cfg=dict(type='SMARTConv3d', max_response=2)))
    net = randomised(net)
    assert {m.max_response for m in net.modules() if isinstance(m, SMARTConv3d)} == {2}
    x = torch.randn(1, 3, 8, 32, 32).double()
    expected = net(x)
    torch.testing.assert_close(switch_to_deploy(net)(x), expected)
    assert all(m.deployed for m in net.modules() if isinstance(m, SMARTConv3d) and m.has_relation)


def test_a_normalisation_without_statistics_cannot_be_folded():
    with pytest.raises(ValueError, match='only BN with running statistics'):
        switch_to_deploy(SMARTConv3d(4, 8, 3, padding=1, norm_cfg=dict(type='GN', num_groups=2)))


def test_a_model_whose_weights_are_swapped_at_tests_is_not_folded(clips, tmp_path):
    cfg = tiny_config('artnet_r18_d_toy', clips, tmp_path)
    cfg.custom_hooks = [dict(type='EMAHook'), dict(type='DeployHook')]
    with pytest.raises(ValueError, match='--deploy and EMAHook cannot be used together'):
        Runner.from_cfg(cfg).test()
