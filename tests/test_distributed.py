"""Several processes on one machine: the end of one is the end of all, and shares add up."""

import copy
import re
import time

import pytest
import torch
from torch.nn import SyncBatchNorm
from torch.nn.modules.batchnorm import _BatchNorm

from artnet_mm.models import ARTNet


@pytest.mark.parametrize('moment', ['step 3', 'hang 3'])
def test_a_process_that_dies_or_hangs_ends_the_others_with_a_sentence(train_short, moment):
    start = time.monotonic()
    result = train_short(
        'ended', processes=2, moment=moment, of_rank=1, check=False,
        **{'env_cfg.dist_cfg.timeout': 5},
    )  # fmt: skip
    assert result.returncode == 1
    assert time.monotonic() - start < 90
    assert re.search(
        r'error: another process of this run ended, or did not answer for 5 s', result.stderr
    ) or (moment == 'step 3' and 'Signal 9 (SIGKILL) received' in result.stderr)


@pytest.mark.parametrize('convert', [lambda net: net, SyncBatchNorm.convert_sync_batchnorm])
def test_frozen_stages_stay_as_they_are_with_sync_bn_too(convert):
    """As MMEngine converts a model with ``sync_bn='torch'``, in one process."""
    net = ARTNet(base_channels=8, frozen_stages=1).double()
    net.init_weights()
    plain = copy.deepcopy(net)
    net = convert(net).train()
    clips = torch.randn(2, 3, 16, 32, 32, dtype=torch.float64)
    start = copy.deepcopy(net.state_dict())
    optimizer = torch.optim.SGD((p for p in net.parameters() if p.requires_grad), lr=0.1)
    out = net(clips)
    torch.testing.assert_close(out, plain.train()(clips))
    out.square().sum().backward()
    optimizer.step()
    changed = {name for name, value in net.state_dict().items() if (value != start[name]).any()}
    frozen = {name for name in start if name.startswith(('stem.', 'stages.0.'))}
    assert changed and not changed & frozen
    assert all(name in changed for name in start if 'running' in name and name not in frozen)
    kinds = {type(module) for module in net.modules() if isinstance(module, _BatchNorm)}
    assert len(kinds) == 1
