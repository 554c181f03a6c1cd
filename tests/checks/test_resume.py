"""What a resumed run has in common with the run that wrote its checkpoint, before it starts."""

import pytest
from mmengine.runner import Runner

from artnet_mm import checks
from artnet_mm.checks.findings import Status
from artnet_mm.checks.resume import read_settings

from ..helpers import tiny_config

pytestmark = pytest.mark.slow

TWO = {'train_cfg.max_iters': 2, 'train_cfg.val_interval': 10}


@pytest.fixture(scope='module')
def checkpoint(clips, tmp_path_factory) -> str:
    """The checkpoint of the first of two iterations of the toy leaf."""
    work_dir = tmp_path_factory.mktemp('trained')
    cfg = tiny_config('artnet_r18_d_toy', clips, work_dir, **TWO)
    cfg.default_hooks.checkpoint.interval = 1
    cfg.experiment_name = 'trained'
    Runner.from_cfg(cfg).train()
    return f'{work_dir}/iter_1.pth'


@pytest.fixture
def resumed(checkpoint, clips, tmp_path):
    """Function that gives the finding on a resumed run with other settings."""

    def check(**options) -> checks.findings:
        cfg = tiny_config('artnet_r18_d_toy', clips, tmp_path / 'run', **{**TWO, **options})
        cfg.default_hooks.checkpoint.interval = 1
        cfg.resume, cfg.load_from = True, checkpoint
        found = {f.subject: f for f in checks.findings(cfg, ('train_dataloader',))}
        return found['the resumed run']

    return check


def test_the_same_run_goes_on(resumed):
    found = resumed()
    assert found.status is Status.OK, found.message
    assert found.message == 'its settings are those of the checkpoint'


def test_a_run_that_is_over_is_said(resumed):
    found = resumed(**{'train_cfg.max_iters': 1})
    assert found.status is Status.DOUBTFUL
    assert 'iter_1.pth is of iter 1 of 1: nothing is left to train' in found.message


def test_what_may_change_is_said(resumed):
    found = resumed(**{'train_cfg.max_iters': 5, 'train_dataloader.num_workers': 1})
    assert found.status is Status.OK
    assert 'train_cfg.max_iters 2 (now 5)' in found.message
    assert 'train_dataloader.num_workers 0 (now 1)' in found.message


def test_a_rate_that_will_not_be_in_force_is_said(resumed):
    found = resumed(**{'optim_wrapper.optimizer.lr': 0.001})
    assert found.status is Status.DOUBTFUL
    assert 'rate and schedule of the checkpoint stay in force, not ' in found.message
    assert 'optim_wrapper.optimizer.lr 0.' in found.message and '(now 0.001)' in found.message


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'model.backbone.base_channels': 16, 'model.cls_head.in_channels': 128}, 'other weights'),
        ({'model.backbone.arch': 'artnet_s'}, 'other weights'),
        ({'optim_wrapper.optimizer.type': 'RMSprop'}, 'another optimizer'),
        (
            {'optim_wrapper.paramwise_cfg': dict(custom_keys={'cls_head': dict(lr_mult=5)})},
            'other groups of parameters',
        ),
    ],
)
def test_what_cannot_go_on_is_refused(resumed, options, message):
    found = resumed(**options)
    assert found.status is Status.WRONG
    assert message in found.message
    assert 'start a new run from its weights instead (load_from, without --resume)' in found.message


def test_settings_are_read_and_never_executed(tmp_path):
    text = (
        f"a = dict(b=[1, (2.5, None)], c='x', type=mmengine.runner.Runner)\n"
        f"__import__('pathlib').Path({str(tmp_path / 'made')!r}).touch()\n"
        f"d = {{'e': -1}}\nf = __import__('os').getcwd()\n"
    )
    assert read_settings(text) == {
        'a': {'b': [1, [2.5, None]], 'c': 'x', 'type': 'mmengine.runner.Runner'},
        'd': {'e': -1},
        'f': "__import__('os').getcwd()",
    }
    assert not (tmp_path / 'made').exists()
