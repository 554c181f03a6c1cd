"""Memory formats by measurement: what is chosen, what stays the same, and when it is timed."""

import copy
import re

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.logging import MMLogger
from torch import Tensor, nn

from artnet_mm.models import ARTNet, switch_to_deploy
from artnet_mm.models.memory_format import FastestFormat, cheapest, stages_of

from ..helpers import ROOT

LINE = r'memory formats for (\w+), in ms for ([\dx ]+): (.*)'


@pytest.mark.parametrize(
    'times, moves, expected',
    [
        # each its own, as moving is free
        ([(1, 2), (3, 1), (1, 2)], [0, 0, 0], 'clc'),
        # the second gains 2, for two moves of 1.5: not worth it
        ([(1, 2), (3, 1), (1, 2)], [1.5] * 3, 'ccc'),
        # together, the last two gain 2 for one move of 1.5
        ([(1, 2), (2, 1), (2, 1)], [1.5] * 3, 'cll'),
        # the first comes contiguous: its move counts
        ([(2, 1)], [1.5], 'c'),
        ([(2, 1)], [0.5], 'l'),
        # a cheap move early, in place of a dear one where it would be due
        ([(1, 1.2), (3, 1)], [0.1, 5], 'll'),
    ],
)
def test_formats_of_the_smallest_sum_by_hand(times, moves, expected):
    names = dict(c='contiguous', l='channels last')
    rows = [dict(zip(names.values(), map(float, row))) for row in times]
    assert cheapest(rows, moves) == [names[letter] for letter in expected]


@pytest.mark.parametrize(
    'backbone, expected',
    [
        (dict(type='ARTNet'), ['stem', *(f'stages.{i}' for i in range(4))]),
        (
            dict(type='ResNet3d', depth=18, pretrained=None),
            ['conv1', *(f'layer{i}' for i in range(1, 5))],
        ),
    ],
)
def test_stages_are_those_with_convolutions(backbone, expected):
    with torch.device('meta'):
        assert list(stages_of(MODELS.build(backbone))) == expected


@pytest.fixture
def lines(monkeypatch):
    """(mode, clips, stages) of each line that is logged."""
    seen: list[tuple] = []
    logger = MMLogger.get_current_instance()
    monkeypatch.setattr(
        logger, 'handle', lambda record: seen.extend(re.findall(LINE, record.getMessage()))
    )
    return seen


NETWORKS = dict(
    ARTNet=dict(type='ARTNet', base_channels=8, max_response=10),
    ResNet3d=dict(
        type='ResNet3d', depth=18, pretrained=None, base_channels=8,
        conv_cfg=dict(type='SMARTConv3d'), norm_eval=False,
    ),
)  # fmt: skip


@pytest.mark.parametrize('backbone', NETWORKS.values(), ids=NETWORKS)
def test_the_same_function_and_gradients_in_the_formats_that_the_log_tells(backbone, lines):
    cfg = Config.fromfile(ROOT / 'configs/artnet_r18_d_toy.py').model
    cfg.backbone = backbone
    nets = [
        MODELS.build(dict(cfg, memory_format=name)).double().backbone
        for name in ('contiguous', 'auto')
    ]
    nets[1].load_state_dict(nets[0].state_dict())
    clips = torch.randn(5, 3, 16, 32, 32).double()
    seen = {}
    for name, stage in stages_of(nets[1]).items():
        stage.register_forward_hook(
            lambda _, args, out, name=name: seen.update({name: args[0].is_contiguous()})
        )
    state = torch.get_rng_state()
    outputs = [net(clips) for net in nets]
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(*outputs)
    for out in outputs:
        out.square().mean().backward()
    ((mode, shape, told),) = lines
    assert (mode, shape) == ('training', '4 x 3 x 16 x 32 x 32')
    told = dict(re.findall(r'(\S+) (contiguous|channels last) \(', told))
    assert seen == {name: form == 'contiguous' for name, form in told.items()}
    for (name, ours), theirs in zip(nets[1].named_parameters(), nets[0].parameters()):
        torch.testing.assert_close(ours.grad, theirs.grad, msg=name)
    for ours, theirs in zip(nets[1].buffers(), nets[0].buffers()):  # one step's statistics
        torch.testing.assert_close(ours, theirs)


def test_no_process_waits_for_others_while_stages_are_timed(lines, monkeypatch):
    net = nn.SyncBatchNorm.convert_sync_batchnorm(ARTNet(base_channels=4))
    FastestFormat(net)
    waits = []
    monkeypatch.setattr(nn.SyncBatchNorm, 'forward', lambda norm, x: waits.append(norm) or x)
    net(torch.randn(2, 3, 16, 32, 32))
    assert len(lines) == 1
    assert {*waits} == {m for m in net.modules() if isinstance(m, nn.SyncBatchNorm)}


def test_timed_once_per_mode_and_shape_and_again_in_the_deploy_form(lines):
    net = ARTNet(arch='artnet_d', base_channels=4)
    FastestFormat(net)
    net.train()
    for _ in range(2):
        for clips in (2, 3):  # of a batch that is not full
            net(torch.randn(clips, 3, 8, 32, 32))
    with torch.no_grad():
        net.eval()
        before = net(clips := torch.randn(2, 3, 8, 32, 32))
        net(clips)
        assert [mode for mode, *_ in lines] == ['training', 'inference']
        copied = copy.deepcopy(net)  # as EMAHook does
        switch_to_deploy(net)
        torch.testing.assert_close(net(clips), before, rtol=1e-3, atol=1e-3)
        assert len(lines) == 3
        net(torch.randn(2, 3, 8, 24, 24))
        assert len(lines) == 4
        torch.testing.assert_close(copied(clips), before, rtol=1e-3, atol=1e-3)
        assert len(lines) == 4


def test_what_cannot_be_is_refused():
    cfg = Config.fromfile(ROOT / 'configs/artnet_r18_d_toy.py').model
    with pytest.raises(ValueError, match=r"must be one of \('contiguous', .*got 'fastest'"):
        MODELS.build(dict(cfg, memory_format='fastest'))
    with pytest.raises(ValueError, match='compile_cfg cannot be used together'):
        MODELS.build(dict(cfg, memory_format='auto', compile_cfg=dict()))


def test_hooks_see_the_clips_of_the_network_alone():
    net = ARTNet(arch='artnet_d', base_channels=4).eval()
    FastestFormat(net)
    seen = []
    net.stages[1].register_forward_hook(lambda module, args, out: seen.append(len(out)))
    with torch.no_grad():
        net(torch.randn(6, 3, 8, 32, 32))
    assert seen == [6]


class Odd(nn.Module):
    """A backbone with a dictionary of stages, one that changes its input, and one of pairs."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv3d(3, 4, 1)
        in_place = nn.Sequential(nn.ReLU(inplace=True), nn.Conv3d(4, 4, 1))
        self.by_name = nn.ModuleDict(dict(second=in_place, third=nn.Conv3d(4, 4, 1)))
        self.pair = Pair()

    def forward(self, x: Tensor) -> Tensor:
        for stage in (self.first, *self.by_name.values()):
            x = stage(x)
        return sum(self.pair(x))


class Pair(nn.Module):
    """Two outputs of one input."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(4, 4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, self.conv(x)


def test_stages_of_dictionaries_in_place_and_of_several_outputs(lines):
    plain, net = Odd(), Odd()
    net.load_state_dict(plain.state_dict())
    net.first.requires_grad_(False)
    FastestFormat(net)
    clips = torch.randn(2, 3, 4, 8, 8)
    torch.testing.assert_close(net(clips), plain(clips))
    net(clips).sum().backward()
    ((_, _, told),) = lines
    names = re.findall(r'(\S+) (?:contiguous|channels last) \(', told)
    assert names == ['first', 'by_name.second', 'by_name.third']


def test_what_is_traced_or_on_no_device_is_left_as_it_is(lines):
    net = ARTNet(arch='artnet_d', base_channels=4).eval()
    FastestFormat(net)
    clips = torch.randn(2, 3, 8, 32, 32)
    exported = torch.export.export(net, (clips,)).module()
    with torch.no_grad():
        before = exported(clips)
        assert net.to('meta')(clips.to('meta')).shape == before.shape
    assert not lines
