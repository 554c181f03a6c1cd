"""Every leaf: its recipe, and one train step and one test video on CPU."""

import math

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from artnet_mm.compat import prediction_of

from .helpers import ROOT, settle_running_statistics, tiny_config

TABLE2 = {  # (depth, arch) of every row
    'c2d_r18_kinetics': (18, 'c2d'),
    'c3d_r18_kinetics': (18, 'c3d'),
    'c3d_r34_kinetics': (34, 'c3d'),
    'relation_r18_s_kinetics': (18, 'relation_s'),
    'relation_r18_d_kinetics': (18, 'relation_d'),
    'artnet_r18_s_kinetics': (18, 'artnet_s'),
    'artnet_r18_d_kinetics': (18, 'artnet_d'),
}
LEAVES = sorted(path.stem for path in (ROOT / 'configs').glob('*.py'))


def steps(cfg: Config, pipeline: str) -> dict:
    return {step['type']: step for step in cfg[pipeline]}


def views_of_a_test_video(runner: Runner) -> torch.Tensor:
    """The views of the first test video, (250, C, T, H, W)."""
    loader = runner.build_dataloader(runner.cfg.test_dataloader)
    return runner.model.data_preprocessor(next(iter(loader)))['inputs'][0]


def test_every_leaf_is_known():
    assert set(LEAVES) == {*TABLE2, 'artnet_r18_d_toy', 'c2d_r18_toy'}


@pytest.mark.parametrize('name', LEAVES)
def test_leaf_trains_a_step_and_tests_a_video(name, clips, tmp_path):
    one = {'train_cfg.max_iters': 1, 'train_cfg.val_interval': 10, 'log_level': 'WARNING'}
    cfg = tiny_config(name, clips, tmp_path, experiment_name=name, **one)
    for split in ('train', 'val', 'test'):
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset.num_classes = cfg.model.cls_head.num_classes
        dataset.indices = 2 if split == 'train' else 1
    cfg.default_hooks.checkpoint.interval = 1
    runner = Runner.from_cfg(cfg)
    seen = runner.model.backbone.state_dict()
    seen = {key: value.clone() for key, value in seen.items()}
    runner.train()
    moved = [
        not torch.equal(seen[key], value) for key, value in runner.model.backbone.named_parameters()
    ]
    assert all(moved)
    settle_running_statistics(runner.model, views_of_a_test_video(runner)[::10])
    metrics = runner.test()
    assert metrics['acc/evaluated'] == 1
    assert math.isfinite(metrics['acc/nll'])
    assert (tmp_path / 'iter_1.pth').exists()


@pytest.mark.parametrize('name', TABLE2)
def test_kinetics_leaf_states_the_recipe(name):
    cfg = Config.fromfile(ROOT / 'configs' / f'{name}.py')
    assert (cfg.model.backbone.depth, cfg.model.backbone.arch) == TABLE2[name]
    assert cfg.model.cls_head.num_classes == 400
    assert cfg.model.cls_head.dropout_ratio == 0.2
    assert cfg.model.data_preprocessor.mean == [123, 117, 104]
    assert cfg.train_cfg.max_iters == 250_000
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.lr, optimizer.momentum, optimizer.weight_decay) == (0.1, 0.9, 5e-4)
    (scheduler,) = cfg.param_scheduler
    assert scheduler.milestones == [70_000, 140_000, 180_000, 220_000]
    assert (scheduler.gamma, scheduler.by_epoch) == (0.1, False)
    assert cfg.train_dataloader.batch_size * 8 == cfg.auto_scale_lr.base_batch_size == 256
    checkpoint = cfg.default_hooks.checkpoint
    assert (checkpoint.save_best, checkpoint.max_keep_ckpts) == ('acc/avg', 3)
    crop = steps(cfg, 'train_pipeline')['MultiScaleCrop']
    assert (crop.scales, crop.max_wh_scale_gap) == ((1, 0.875, 0.75, 0.66), 1)
    assert crop.random_crop
    assert steps(cfg, 'test_pipeline')['UniformClipSampler'].num_clips == 25
    assert steps(cfg, 'test_pipeline')['ClipTenCrop'].crop_size == 112
    for pipeline in ('train_pipeline', 'val_pipeline', 'test_pipeline'):
        first = next(step for step in cfg[pipeline] if step['type'] == 'Resize')
        assert (first.scale, first.keep_ratio) == ((170, 128), False)


def test_rate_and_decay_of_every_parameter(clips, tmp_path):
    cfg = tiny_config('artnet_r18_d_kinetics', clips, tmp_path, experiment_name='rates')
    runner = Runner.from_cfg(cfg)
    wrapper = runner.build_optim_wrapper(cfg.optim_wrapper)
    of = {id(p): name for name, p in runner.model.named_parameters()}
    modules = dict(runner.model.named_modules())
    seen = set()
    for group in wrapper.optimizer.param_groups:
        for parameter in group['params']:
            name = of[id(parameter)]
            owner, _, kind = name.rpartition('.')
            norm = isinstance(modules[owner], torch.nn.BatchNorm3d)
            decay = 0 if norm or kind == 'bias' else 5e-4
            rate = 0.2 if kind == 'bias' and not norm else 0.1
            assert (group['lr'], group['weight_decay']) == (rate, decay), name
            seen.add(name)
    assert seen == set(of.values())


def test_chunked_views_give_the_scores_of_all_views_at_once(clips, tmp_path):
    cfg = tiny_config('artnet_r18_d_toy', clips, tmp_path, experiment_name='chunks')
    runner = Runner.from_cfg(cfg)
    settle_running_statistics(runner.model, views_of_a_test_video(runner)[::10])
    runner.model.eval()
    batch = next(iter(runner.build_dataloader(cfg.test_dataloader)))
    scores = []
    for chunk in (7, 50, 250):
        runner.model.test_cfg.max_testing_views = chunk
        with torch.no_grad():
            scores.append(prediction_of(runner.model.test_step(batch)[0].to_dict())[0])
    assert batch['inputs'][0].shape == (250, 3, 16, 56, 56)
    torch.testing.assert_close(scores[0], scores[2])
    torch.testing.assert_close(scores[1], scores[2])


def test_toys_differ_from_each_other_in_the_units_only():
    artnet, c2d = (
        Config.fromfile(ROOT / f'configs/{name}.py') for name in ('artnet_r18_d_toy', 'c2d_r18_toy')
    )
    assert c2d.model.backbone.pop('arch') == 'c2d'
    artnet.model.backbone.pop('arch')
    assert artnet.to_dict() == c2d.to_dict()
