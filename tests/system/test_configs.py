"""Every leaf: its recipe, and one train step and one test video on CPU."""

import argparse
import math
import re
from dataclasses import replace
from pathlib import Path

import mmaction
import numpy as np
import pytest
import torch
from mmaction.registry import MODELS, TRANSFORMS
from mmengine.config import Config, DictAction
from mmengine.hooks import Hook
from mmengine.runner import Runner

from artnet_mm.compat import prediction_of
from artnet_mm.selections import select
from artnet_mm.views import TestProtocol

from ..datasets.numbered import numbered_frame
from ..helpers import FULL_SIZE, ROOT, settle_running_statistics, tiny_config, tiny_options

KINETICS = {  # depth, arch, channels of the input, segments in training
    'c2d_r18_kinetics': (18, 'c2d', 3, 1),
    'c3d_r18_kinetics': (18, 'c3d', 3, 1),
    'c3d_r34_kinetics': (34, 'c3d', 3, 1),
    'relation_r18_s_kinetics': (18, 'relation_s', 3, 1),
    'relation_r18_d_kinetics': (18, 'relation_d', 3, 1),
    'artnet_r18_s_kinetics': (18, 'artnet_s', 3, 1),
    'artnet_r18_d_kinetics': (18, 'artnet_d', 3, 1),
    'artnet_r50_d_kinetics': (50, 'artnet_d', 3, 1),
    'artnet_r101_d_kinetics': (101, 'artnet_d', 3, 1),
    'c3d_r18_kinetics_flow': (18, 'c3d', 2, 1),
    'artnet_r18_d_kinetics_flow': (18, 'artnet_d', 2, 1),
    'artnet_r18_d_tsn_kinetics': (18, 'artnet_d', 3, 2),
    'artnet_r18_d_tsn_kinetics_flow': (18, 'artnet_d', 2, 2),
}
FINE_TUNING = {  # arch, weights it starts from, classes
    f'{model}_{data}': (arch, f'work_dirs/{model}_kinetics/iter_250000.pth', classes)
    for model, arch in (
        ('c3d_r18', 'c3d'), ('artnet_r18_d', 'artnet_d'), ('artnet_r18_d_tsn', 'artnet_d'),
    )
    for data, classes in (('ucf101', 101), ('hmdb51', 51))
}  # fmt: skip
MOTION = {  # classes, validation videos, iterations and where the rate falls, mirrored
    'sthv2': (174, 24777, 175_000, [49_000, 98_000, 126_000, 154_000], False),
    'diving48': (48, 1970, 5600, 2400, True),
    'jester': (27, 14787, 125_000, [35_000, 70_000, 90_000, 110_000], False),
}
ON_MOTION = {
    f'{model}_{data}': (arch, data)
    for model, arch in (('c3d_r18', 'c3d'), ('artnet_r18_d', 'artnet_d'))
    for data in MOTION
}
COMPARISONS = {  # base of MMAction2's own configs
    'c3d_vgg11_kinetics': 'c3d_sports1m_pretrained',
    'i3d_r50_kinetics': 'i3d_r50',
    'r2plus1d_r34_kinetics': 'r2plus1d_r34',
    'tsn_r50_kinetics': 'tsn_r50',
}
FROM_IMAGES = ('tsn_r50_imagenet_kinetics',)
BOUNDED = ('artnet_r50_d_kinetics', 'artnet_r101_d_kinetics', 'artnet_r18_d_today_kinetics')
LONG_TERM = {  # consensus, segments in training
    'artnet_r18_d_attention_kinetics': ('AttentionConsensus', 4),
    'artnet_r18_d_lstm_kinetics': ('LSTMConsensus', 8),
    'c2d_r50_lstm_kinetics': ('LSTMConsensus', 8),
}
RIVALS = {  # network, channels of its input, frames of a clip, crop, frames (w, h), segments
    'two_stream_r50_kinetics': ('ResNet', 3, 1, 224, (340, 256), 1),
    'two_stream_r50_kinetics_flow': ('ResNet', 10, 5, 224, (340, 256), 1),
    'tsn_bninception_kinetics': ('BNInception', 3, 1, 224, (340, 256), 3),
    'tsn_bninception_kinetics_flow': ('BNInception', 10, 5, 224, (340, 256), 3),
    'c3d_bn_kinetics': ('BatchNormC3D', 3, 16, 112, (170, 128), 1),
    'i3d_inceptionv1_kinetics': ('InceptionI3D', 3, 64, 224, (340, 256), 1),
    'i3d_inceptionv1_kinetics_flow': ('InceptionI3D', 2, 64, 224, (340, 256), 1),
    'ltc_60f_kinetics': ('LTC', 3, 60, 71, (109, 82), 1),
    'ltc_60f_kinetics_flow': ('LTC', 2, 60, 71, (109, 82), 1),
}
RELEASED = ('c3d_r18_kinetics', 'artnet_r18_d_kinetics', 'artnet_r18_d_tsn_kinetics')
TOYS = ('artnet_r18_d_toy', 'c2d_r18_toy', 'c3d_r18_toy')
LEAVES = sorted(path.stem for path in (ROOT / 'configs').glob('*.py'))


def steps(cfg: Config, loader: str) -> dict:
    return {step['type']: step for step in cfg[loader].dataset.pipeline}


def views_of_a_test_video(runner: Runner) -> torch.Tensor:
    """The views of the first test video, (V, C, T, H, W)."""
    loader = runner.build_dataloader(runner.cfg.test_dataloader)
    (views,) = runner.model.data_preprocessor(next(iter(loader)))['inputs']
    return torch.cat(list(views.split(len(views))))


def test_every_leaf_is_known():
    released = {f'{name}_released' for name in RELEASED}
    assert set(LEAVES) == {
        *KINETICS, *BOUNDED, *LONG_TERM, *FINE_TUNING, *ON_MOTION, *COMPARISONS, *RIVALS, *TOYS,
        *FROM_IMAGES, *released,
    }  # fmt: skip


@pytest.mark.parametrize('name', LEAVES)
def test_leaf_trains_a_step_and_tests_a_video(name, clips, flow_clips, image_clips, tmp_path):
    one = {'train_cfg.max_iters': 1, 'train_cfg.val_interval': 10, 'log_level': 'WARNING'}
    if name in (
        *TOYS,
        *FROM_IMAGES,
    ):  # of residual branches that start from 0 one step moves the ends only
        one['model.backbone.zero_init_residual'] = False
    data = {'flow': flow_clips, 'jester': image_clips}.get(name.rsplit('_', 1)[-1], clips)
    # The paper's 25 x 10 views once for RGB and flow, one clip elsewhere, for time's sake.
    num_clips = 25 if name in ('artnet_r18_d_kinetics', 'artnet_r18_d_kinetics_flow') else 1
    cfg = tiny_config(name, data, tmp_path, num_clips, experiment_name=name, **one)
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
    views = views_of_a_test_video(runner)
    crops = 5 if name.endswith(('_sthv2', '_jester')) else 10
    crops = 2 if name.startswith(FULL_SIZE) else crops
    assert len(views) == crops * num_clips
    settle_running_statistics(runner.model, views[:: len(views) // crops])
    metrics = runner.test()
    assert metrics['acc/evaluated'] == 1
    assert math.isfinite(metrics['acc/nll'])
    assert (tmp_path / 'iter_1.pth').exists()


def check_data(cfg: Config, segments: int, interval: int = 1) -> None:
    """Frames, crops and clips of Sec. 3.3, of every frame unless ``interval`` says otherwise."""
    crop = steps(cfg, 'train_dataloader')['MultiScaleCrop']
    assert (crop.scales, crop.max_wh_scale_gap) == ((1, 0.875, 0.75, 0.66), 1)
    assert crop.random_crop
    for split in ('train', 'val'):
        sampler = steps(cfg, f'{split}_dataloader')['SegmentClipSampler']
        assert (sampler.clip_len, sampler.num_segments) == (16, segments)
        assert sampler.get('frame_interval', 1) == interval
        assert sampler.get('test_mode', False) == (split == 'val')
    sampler = steps(cfg, 'test_dataloader')['UniformClipSampler']
    assert (sampler.clip_len, sampler.num_clips) == (16, 25)
    assert sampler.get('frame_interval', 1) == interval
    assert cfg.model.data_preprocessor.crop_size == 112
    for split in ('train', 'val', 'test'):
        assert steps(cfg, f'{split}_dataloader')['ClipDecode'].scale == (170, 128)


@pytest.mark.parametrize('name', KINETICS)
def test_kinetics_leaf_states_the_recipe(name):
    cfg = Config.fromfile(ROOT / 'configs' / f'{name}.py')
    backbone = cfg.model.backbone
    depth, arch, channels, segments = KINETICS[name]
    assert (backbone.depth, backbone.arch, backbone.get('in_channels', 3)) == (
        depth, arch, channels,
    )  # fmt: skip
    assert cfg.model.cls_head.num_classes == 400
    assert cfg.model.cls_head.dropout_ratio == 0.2
    mean = {3: [123, 117, 104], 2: [128, 128]}[channels]
    assert cfg.model.data_preprocessor == dict(type='ClipPreprocessor', mean=mean, crop_size=112)
    assert cfg.train_cfg.max_iters == 250_000
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.lr, optimizer.momentum, optimizer.weight_decay) == (0.1, 0.9, 5e-4)
    (scheduler,) = cfg.param_scheduler
    assert scheduler.milestones == [70_000, 140_000, 180_000, 220_000]
    assert (scheduler.gamma, scheduler.by_epoch) == (0.1, False)
    assert cfg.train_dataloader.batch_size * 8 == cfg.auto_scale_lr.base_batch_size == 256
    checkpoint = cfg.default_hooks.checkpoint
    assert (checkpoint.save_best, checkpoint.max_keep_ckpts) == ('acc/avg', 3)
    assert cfg.test_evaluator.num_videos == 19796
    check_data(cfg, segments)


def test_what_is_of_today_differs_from_the_papers_leaf_in_these_parts_alone():
    names = ('artnet_r18_d_today_kinetics', 'artnet_r18_d_kinetics')
    today, paper = (Config.fromfile(ROOT / f'configs/{name}.py') for name in names)
    assert today.model.backbone.pop('max_response') == 10
    assert today.model.cls_head.pop('label_smooth_eps') == 0.1
    blending = MODELS.build(today.model.data_preprocessor.pop('blending'))
    assert [type(augment).__name__ for augment in blending.augments] == [
        'MixupBlending', 'CutmixBlending',
    ]  # fmt: skip
    (ema,) = today.pop('custom_hooks')
    assert (ema.type, ema.momentum) == ('EMAHook', 2e-4)
    warm_up, cosine = today.pop('param_scheduler')
    assert warm_up.end == cosine.begin and cosine.end == today.train_cfg.max_iters
    loader = today.train_dataloader
    assert (
        loader.batch_size * loader.dataset.pop('num_repeats') == paper.train_dataloader.batch_size
    )
    assert loader.pop('collate_fn') == dict(type='repeat_pseudo_collate')
    loader.batch_size = 32
    for pipeline in (today.train_pipeline, loader.dataset.pipeline):
        augment = dict(type='TorchVisionWrapper', op='RandAugment', num_ops=2, magnitude=9)
        assert pipeline.pop(6) == augment
    for split in ('train', 'val', 'test'):
        for pipeline in (today[f'{split}_pipeline'], today[f'{split}_dataloader'].dataset.pipeline):
            assert pipeline[1].pop('frame_interval') == 2
    paper.pop('param_scheduler')
    assert {key: today[key] for key in paper} == paper.to_dict()


def test_each_part_of_today_is_taken_away_by_itself(clips, tmp_path):
    """By the options that the leaf's comment lists, in a training step."""
    pytest.importorskip('torchvision')
    path = ROOT / 'configs/artnet_r18_d_today_kinetics.py'
    options = re.findall(r'^#   .{22} (.+\n(?:# {24,}.+\n)*)', path.read_text(), re.MULTILINE)
    assert len(options) == 7
    for number, words in enumerate(options):
        cfg = tiny_config(path.stem, clips, tmp_path, 1, experiment_name=f'part{number}')
        cfg.merge_from_dict({'train_cfg.max_iters': 1, 'train_cfg.val_interval': 9})
        parser = argparse.ArgumentParser()
        parser.add_argument('--cfg-options', nargs='+', action=DictAction)
        taken = parser.parse_args(['--cfg-options', *re.sub('["#]', '', words).split()])
        before = cfg.to_dict()
        cfg.merge_from_dict(taken.cfg_options)
        assert cfg.to_dict() != before
        cfg.train_dataloader.batch_size = 2
        Runner.from_cfg(cfg).train()


def test_randaugment_does_the_same_to_all_frames_of_a_clip(clips, tmp_path):
    cfg = tiny_config('artnet_r18_d_today_kinetics', clips, tmp_path, 1)
    (step,) = [s for s in cfg.train_pipeline if s.type == 'TorchVisionWrapper']
    augment = TRANSFORMS.build(step)
    frames = [numbered_frame(5)] * 8
    changed = 0
    for seed in range(20):
        torch.manual_seed(seed)
        out = augment(dict(imgs=list(frames)))['imgs']
        assert all(np.array_equal(frame, out[0]) for frame in out)
        changed += not np.array_equal(out[0], frames[0])
    assert changed > 10


def test_the_2d_baseline_starts_from_imagenet(clips, tmp_path):
    """From a file with the names of MMPretrain's, whose network and inputs it has."""
    pytest.importorskip('mmpretrain')
    cfg = tiny_config('tsn_r50_imagenet_kinetics', clips, tmp_path)
    leaf = Config.fromfile(ROOT / 'configs/tsn_r50_imagenet_kinetics.py')
    assert leaf.model.backbone.init_cfg.checkpoint.endswith(
        'resnet50_8xb32_in1k_20210831-ea4938fc.pth'
    )
    preprocessor = leaf.model.data_preprocessor
    assert (preprocessor.mean, preprocessor.std) == (
        [123.675, 116.28, 103.53], [58.395, 57.12, 57.375],
    )  # fmt: skip
    trained = MODELS.build(dict(type='mmpretrain.ResNet', depth=50, out_indices=(3,)))
    state = {f'backbone.{key}': torch.randn(v.shape) for key, v in trained.state_dict().items()}
    torch.save(dict(state_dict=state), tmp_path / 'images.pth')
    cfg.model.backbone.init_cfg = dict(
        leaf.model.backbone.init_cfg, checkpoint=str(tmp_path / 'images.pth')
    )
    model = MODELS.build(cfg.model)
    model.init_weights()
    for key, value in model.backbone.state_dict().items():
        torch.testing.assert_close(value, state[f'backbone.{key}'].to(value.dtype))


@pytest.mark.parametrize('name', LONG_TERM)
def test_long_term_leaf_has_its_consensus_and_the_rate_for_its_videos(name):
    cfg = Config.fromfile(ROOT / f'configs/{name}.py')
    consensus, segments = LONG_TERM[name]
    assert cfg.model.cls_head.consensus == dict(type=consensus)
    for split in ('train', 'val'):
        assert steps(cfg, f'{split}_dataloader')['SegmentClipSampler'].num_segments == segments
    videos = cfg.train_dataloader.batch_size
    assert videos * segments == 32
    assert cfg.auto_scale_lr.base_batch_size == 8 * videos
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(0.1 * videos / 32)


@pytest.mark.parametrize('name', RELEASED)
def test_released_leaf_differs_in_the_projection_shortcuts_only(name):
    leaf = Config.fromfile(ROOT / f'configs/{name}.py')
    released = Config.fromfile(ROOT / f'configs/{name}_released.py')
    assert released.model.backbone.pop('shortcut_kernel') == 3
    assert released.to_dict() == leaf.to_dict()


@pytest.mark.parametrize('split', [None, '1', '2', '3'])
@pytest.mark.parametrize('name', FINE_TUNING)
def test_fine_tuning_leaf_states_the_recipe_of_every_split(name, split, monkeypatch):
    monkeypatch.setenv('SPLIT', '3')  # changes nothing
    cfg = select(Config.fromfile(ROOT / 'configs' / f'{name}.py'), split)
    arch, weights, classes = FINE_TUNING[name]
    data, split = name.rsplit('_', 1)[-1], split or '1'
    assert (cfg.model.backbone.arch, cfg.load_from) == (arch, weights)
    assert weights.split('/')[1] in KINETICS
    assert (cfg.model.cls_head.num_classes, cfg.model.cls_head.dropout_ratio) == (classes, 0.5)
    for loader, part in (('train', 'train'), ('val', 'test'), ('test', 'test')):
        dataset = cfg[f'{loader}_dataloader'].dataset
        assert dataset.ann_file == f'{data}_{part}_split{split}.txt'
        assert (dataset.data_root, dataset.data_prefix) == (f'data/{data}/', dict(video='videos'))
        assert dataset.metainfo.split == (data, split)
        assert dataset.num_classes == classes
        assert dataset.get('test_mode', False) == (loader != 'train')
    iterations, step = {'ucf101': (3500, 1500), 'hmdb51': (1750, 750)}[data]
    official = {'ucf101': (3783, 3734, 3696), 'hmdb51': (1530, 1530, 1530)}[data]
    assert cfg.train_cfg.max_iters == iterations
    assert cfg.param_scheduler == [dict(type='StepLR', by_epoch=False, step_size=step, gamma=0.1)]
    assert cfg.test_evaluator.num_videos == official[int(split) - 1]
    assert cfg.optim_wrapper.clip_grad == dict(max_norm=40, norm_type=2)
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.lr, optimizer.momentum, optimizer.weight_decay) == (0.001, 0.9, 5e-4)
    assert cfg.train_dataloader.batch_size * 8 == cfg.auto_scale_lr.base_batch_size == 120
    checkpoint = cfg.default_hooks.checkpoint
    assert (checkpoint.interval, checkpoint.save_best) == (iterations // 7, None)
    check_data(cfg, segments=2)


@pytest.mark.parametrize('name', ON_MOTION)
def test_leaf_of_a_motion_data_set_states_its_recipe(name):
    cfg = Config.fromfile(ROOT / 'configs' / f'{name}.py')
    arch, data = ON_MOTION[name]
    classes, videos, iterations, steps_at, mirrored = MOTION[data]
    assert cfg.model.backbone.arch == arch
    assert cfg.model.cls_head.num_classes == classes
    kind = 'list_rawframes' if data == 'jester' else 'list_videos'
    for loader, part in (('train', 'train'), ('val', 'val'), ('test', 'val')):
        dataset = cfg[f'{loader}_dataloader'].dataset
        assert dataset.ann_file == f'{data}_{part}_{kind}.txt'
        assert (dataset.data_root, dataset.num_classes) == (f'data/{data}/', classes)
        assert dataset.get('test_mode', False) == (loader != 'train')
    assert cfg.val_evaluator == cfg.test_evaluator
    assert cfg.test_evaluator == dict(type='VideoAccuracy', num_videos=videos)
    assert cfg.train_cfg.max_iters == iterations
    (scheduler,) = cfg.param_scheduler
    assert scheduler.get('milestones', scheduler.get('step_size')) == steps_at
    fine_tuned = data == 'diving48'
    weights = f'work_dirs/{name.removesuffix("_diving48")}_kinetics/iter_250000.pth'
    assert cfg.load_from == (weights if fine_tuned else None)
    assert cfg.optim_wrapper.optimizer.lr == (0.001 if fine_tuned else 0.1)
    assert cfg.train_dataloader.batch_size * 8 == cfg.auto_scale_lr.base_batch_size
    assert cfg.default_hooks.checkpoint.save_best == (None if fine_tuned else 'acc/avg')
    assert ('ClipFlip' in steps(cfg, 'train_dataloader')) == mirrored
    protocol = TestProtocol.of(cfg)
    assert (protocol.num_clips, protocol.crops.num_places, protocol.crops.mirrored) == (
        25, 5, mirrored,
    )  # fmt: skip
    check_data(cfg, segments=2 if fine_tuned else 1, interval=2)


@pytest.mark.parametrize('data', ['sthv2', 'jester'])
def test_no_view_of_a_data_set_with_left_and_right_is_mirrored(data, clips, image_clips, tmp_path):
    source = image_clips if data == 'jester' else clips
    cfg = tiny_config(f'artnet_r18_d_{data}', source, tmp_path, 2, experiment_name=data)
    plain = views_of_a_test_video(runner := Runner.from_cfg(cfg))
    assert len(plain) == 10
    crops = runner.model.data_preprocessor.crops
    runner.model.data_preprocessor.crops = replace(crops, mirrored=True)
    both = views_of_a_test_video(runner).unflatten(0, (5, 2, 2)).transpose(0, 1)
    torch.testing.assert_close(both[0].flatten(0, 1), plain)
    torch.testing.assert_close(both[1].flatten(0, 1), plain.flip(-1))
    # every second frame, to the last: the 24 frames are fewer than a clip is long
    batch = next(iter(runner.build_dataloader(cfg.test_dataloader)))
    assert batch['inputs']['clips'][0][0].tolist() == [*range(12), 12, 12, 12, 12]


def settings(backbone: torch.nn.Module) -> dict:
    """Constructor arguments that a backbone keeps and its layers do not show."""
    plain = (bool, int, float, str, tuple)
    return {key: value for key, value in vars(backbone).items() if isinstance(value, plain)}


@pytest.mark.parametrize('name, base', COMPARISONS.items())
def test_comparison_is_mmaction2s_own_network_from_scratch(name, base):
    cfg = Config.fromfile(ROOT / 'configs' / f'{name}.py')
    folder = Path(mmaction.__file__).parent / '.mim/configs/_base_/models'
    theirs = Config.fromfile(folder / f'{base}.py').model
    scratch = dict(pretrained2d=False) if 'pretrained2d' in theirs.backbone else {}
    theirs.backbone.update(pretrained=None, **scratch)
    if (theirs.backbone.get('norm_cfg') or {}).get('type') == 'SyncBN':
        theirs.backbone.norm_cfg.type = 'BN3d'  # the same function on one GPU
    ours, theirs = MODELS.build(cfg.model), MODELS.build(theirs)
    assert str(ours.backbone) == str(theirs.backbone)
    assert settings(ours.backbone) == settings(theirs.backbone)
    assert ours.cls_head.dropout_ratio == theirs.cls_head.dropout_ratio
    assert ours.cls_head.average_clips == 'score'
    assert cfg.test_evaluator == dict(type='VideoAccuracy', num_videos=19796)


@pytest.mark.parametrize('name', RIVALS)
def test_rival_has_its_network_and_input_from_scratch(name):
    cfg = Config.fromfile(ROOT / 'configs' / f'{name}.py')
    network, channels, clip_len, crop, scale, segments = RIVALS[name]
    backbone = cfg.model.backbone
    assert (backbone.type, backbone.get('in_channels', 3)) == (network, channels)
    assert backbone.get('pretrained') is cfg.load_from is None
    with torch.device('meta'):
        assert MODELS.build(cfg.model).cls_head.average_clips == 'score'
    mean = [128, 128] if name.endswith('_flow') else [123, 117, 104]
    assert cfg.model.data_preprocessor == dict(type='ClipPreprocessor', mean=mean, crop_size=crop)
    for loader in ('train_dataloader', 'val_dataloader'):
        sampler = steps(cfg, loader)['SegmentClipSampler']
        assert (sampler.clip_len, sampler.num_segments) == (clip_len, segments)
        assert sampler.get('test_mode', False) == (loader == 'val_dataloader')
        assert steps(cfg, loader)['ClipDecode'].scale == scale
    train = steps(cfg, 'train_dataloader')
    assert train['MultiScaleCrop'].input_size == crop
    assert train['Resize'].scale == (crop, crop)
    assert 'ClipFlip' in train
    assert steps(cfg, 'val_dataloader')['CenterCrop'].crop_size == crop
    test = steps(cfg, 'test_dataloader')
    sampler = test['UniformClipSampler']
    assert (sampler.clip_len, sampler.num_clips) == (clip_len, 25)
    assert test['ClipDecode'].scale == test['ClipResize'].scale == scale
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        dataset = cfg[loader].dataset
        data = ('Flow', 'img') if name.endswith('_flow') else (None, 'video')
        assert (dataset.get('modality'), *dataset.data_prefix) == data
    rate, batch = cfg.optim_wrapper.optimizer.lr, cfg.auto_scale_lr.base_batch_size
    assert batch == 8 * cfg.train_dataloader.batch_size
    assert rate == 0.003 if network == 'LTC' else rate / batch == pytest.approx(0.1 / 256)
    assert cfg.test_evaluator == dict(type='VideoAccuracy', num_videos=19796)


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
    assert batch['inputs']['clips'][0].shape == (25, 16)
    torch.testing.assert_close(scores[0], scores[2])
    torch.testing.assert_close(scores[1], scores[2])


class Record(Hook):
    """The rates of every iteration and the validation losses."""

    def __init__(self):
        self.rates, self.losses = [], []

    def before_train_iter(self, runner, *args, **kwargs):
        rates = {group['lr'] for group in runner.optim_wrapper.param_groups}
        self.rates.append(sorted(rates))

    def after_val_epoch(self, runner, metrics):
        self.losses.append(metrics['acc/nll'])


def with_plateau(name: str, folder: Path) -> Config:
    """A leaf with the plateau schedule, as its comment says."""
    bases = [f'{ROOT}/configs/{name}.py', f'{ROOT}/configs/_base_/schedules/plateau.py']
    text = f'_base_ = {bases}\nparam_scheduler = _base_.plateau\n'
    (folder / 'plateau.py').write_text(text)
    return Config.fromfile(folder / 'plateau.py')


@pytest.mark.parametrize('name', LEAVES)
def test_any_leaf_takes_the_plateau_schedule_and_nothing_else_of_it_changes(name, tmp_path):
    leaf = Config.fromfile(ROOT / f'configs/{name}.py').to_dict()
    cfg = with_plateau(name, tmp_path).to_dict()
    assert cfg.pop('param_scheduler') == cfg.pop('plateau') != leaf.pop('param_scheduler')
    assert cfg == leaf


def test_the_rate_drops_when_the_validation_loss_saturates(clips, tmp_path):
    """The schedule in a leaf, in a real run of which the second half is resumed."""
    cfg = with_plateau('artnet_r18_d_toy', tmp_path)
    (scheduler,) = cfg.param_scheduler
    scheduler.patience = 0
    cfg.merge_from_dict(tiny_options(clips))
    cfg.merge_from_dict({'model.backbone.arch': 'c3d', 'optim_wrapper.optimizer.lr': 0.1})
    cfg.merge_from_dict({'model.backbone.zero_init_residual': False})
    cfg.merge_from_dict({'train_dataloader.sampler.stratified': False})
    cfg.model.cls_head.dropout_ratio = 0.2
    cfg.merge_from_dict({'train_cfg.val_interval': 1, 'default_hooks.checkpoint.interval': 5})
    cfg.work_dir, cfg.randomness = str(tmp_path), dict(seed=0)
    losses, rates = [], []
    for until in (5, 10):
        cfg.train_cfg.max_iters, cfg.resume = until, until > 5
        cfg.experiment_name = f'plateau{until}'
        runner = Runner.from_cfg(cfg)
        record = Record()
        runner.register_hook(record)
        runner.train()
        losses += record.losses
        rates += record.rates

    expected = rates_by_hand(losses)
    assert rates == [pytest.approx([rate, 2 * rate]) for rate in expected]  # biases: twice
    assert expected[5] > expected[9]  # it went on falling after the restart


def rates_by_hand(losses: list[float]) -> list[float]:
    """The rate before every validation: a tenth after each that is no new best one."""
    rates, rate, best = [], 0.1, math.inf
    for loss in losses:
        rates.append(rate)
        rate, best = (rate, loss) if loss < best * (1 - 1e-4) else (rate / 10, best)
    return rates


@pytest.mark.parametrize('arch', ['c2d', 'c3d'])
def test_toys_differ_from_each_other_in_the_units_only(arch):
    names = ('artnet_r18_d_toy', f'{arch}_r18_toy')
    artnet, other = (Config.fromfile(ROOT / f'configs/{name}.py') for name in names)
    assert other.model.backbone.pop('arch') == arch
    artnet.model.backbone.pop('arch')
    assert artnet.to_dict() == other.to_dict()


@pytest.mark.parametrize('name', LEAVES)
def test_only_the_toys_leave_the_papers_arithmetic_and_start(name):
    backbone = Config.fromfile(ROOT / f'configs/{name}.py').model.backbone
    changes = {key: backbone.get(key) for key in ('max_response', 'zero_init_residual')}
    toy = dict(max_response=10, zero_init_residual=True)
    expected = toy if name in TOYS else dict(max_response=10 if name in BOUNDED else None)
    assert {**changes, **expected} == changes
    assert name in TOYS or not changes['zero_init_residual']
