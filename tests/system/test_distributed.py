"""Several processes on one machine: the end of one is the end of all, and shares add up."""

import copy
import re
import time
from itertools import islice

import pytest
import torch
from mmaction.registry import DATA_SAMPLERS
from torch.nn import SyncBatchNorm
from torch.nn.modules.batchnorm import _BatchNorm

from artnet_mm.models import ARTNet

ITERS = 8  # of the fixture's runs


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


def test_a_loss_that_is_not_finite_in_one_process_stops_all_and_names_its_samples(
    train_short, tmp_path
):
    result = train_short('ended', processes=2, moment='infinite 3', of_rank=1, check=False)
    assert result.returncode == 1
    assert re.search(
        r'FloatingPointError: the loss is not finite at iteration 3: training stops, .*'
        r'(\n.*videos_train/\w+\.mp4){2}\n(?!.*\.mp4)',
        result.stderr,
    ), result.stderr
    assert [path.name for path in (tmp_path / 'ended').glob('*.pth')] == ['iter_2.pth']


def test_what_any_process_cannot_read_is_in_the_log_once_and_the_batch_is_that_of_all(
    train_short, clips, tmp_path
):
    missing = [f'missing{number}.mp4' for number in range(4)]
    listed = (clips / 'train_list_videos.txt').read_text()
    (tmp_path / 'list.txt').write_text(listed + ''.join(f'{name} 0\n' for name in missing))
    train_short(
        'broken', '--seed', 3, processes=2,
        **{'train_dataloader.dataset.ann_file': tmp_path / 'list.txt'},
    )  # fmt: skip
    (log,) = (tmp_path / 'broken').glob('*/*.log')
    text = log.read_text()
    sampler = DATA_SAMPLERS.build(dict(type='RestartableSampler', dataset=range(24), seed=3))
    by_rank = [
        {index for index in list(islice(sampler, 2 * 2 * ITERS))[rank::2] if index >= 20}
        for rank in (0, 1)
    ]
    assert by_rank[1] - by_rank[0]  # some are drawn by the second process only
    for index in by_rank[0] | by_rank[1]:
        lines = [line for line in text.splitlines() if f'/{missing[index - 20]}' in line]
        assert len(lines) == 1, lines
    assert 'in another process; another sample takes its place' in text
    assert 'effective batch: 4 samples = 2 processes x 2 x 1 accumulated' in text


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
