"""Fixtures: a small data set of real encoded videos, and MMAction2's scope."""

import importlib.util
from pathlib import Path

import cv2
import pytest
import torch

# A torchvision that was built for CUDA asks beside another torch for the names of its operators.
if importlib.util.find_spec('torchvision') and not torch.cuda.is_available():
    OPERATORS = torch.library.Library('torchvision', 'DEF')
    for NAME in ('nms', 'qnms'):
        OPERATORS.define(f'{NAME}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')

from mmengine.registry import init_default_scope

import artnet_mm
from artnet_mm.data_making.motion_clips import write_dataset
from artnet_mm.datasets.lists import format_list, read_list
from artnet_mm.datasets.video import Video

from .helpers import ROOT, as_arguments, run_tool, tiny_options

STARTED = {'run_tool', 'subprocess', 'Runner', 'compile'}
"""What tests name that start tools, processes, trainings or compilers."""


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Such tests are slow, and so is all of tests/system."""
    for item in items:
        if 'system' in item.path.parts or STARTED & {*item.function.__code__.co_names}:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def mmaction_scope():
    """What a config's ``default_scope`` does: names resolve in MMAction2's registries."""
    init_default_scope('mmaction')
    return artnet_mm


@pytest.fixture(scope='session')
def clips(tmp_path_factory) -> Path:
    """Folder with 20 training and 10 validation motion clips of 24 frames, 86 x 64."""
    root = tmp_path_factory.mktemp('clips')
    write_dataset(root, num_train=20, num_val=10, num_frames=24)
    (root / 'classes.txt').unlink()  # leaves of more classes read these lists too
    return root


@pytest.fixture(scope='session')
def flow_clips(clips, tmp_path_factory) -> Path:
    """The ``clips`` as flow images, of which each has 23, and their lists."""
    root = tmp_path_factory.mktemp('flow_clips')
    for split in ('train', 'val'):
        run_tool(
            'data/extract_flow.py', clips / f'{split}_list_videos.txt',
            '--videos', clips / f'videos_{split}', '--out-dir', root, '--method', 'dis',
        )  # fmt: skip
    return root


@pytest.fixture(scope='session')
def image_clips(clips, tmp_path_factory) -> Path:
    """The ``clips`` as Jester comes: folders of images 00001.jpg ..., and their lists."""
    root = tmp_path_factory.mktemp('image_clips')
    for split in ('train', 'val'):
        lines = []
        for line in read_list(clips / f'{split}_list_videos.txt'):
            frames = Video(str(clips / f'videos_{split}' / line.path)).frames(range(24))
            name = Path(line.path).stem
            (root / f'videos_{split}' / name).mkdir(parents=True)
            for number, frame in enumerate(frames, start=1):
                path = root / f'videos_{split}' / name / f'{number:05d}.jpg'
                cv2.imwrite(str(path), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
            lines.append(line._replace(path=name, frames=len(frames)))
        (root / f'{split}_list_videos.txt').write_text(format_list(lines))
    return root


@pytest.fixture
def train_short(clips, tmp_path):
    """Train the toy leaf for 8 iterations, saved every 2 and validated every 4.

    Called with a name for the work dir in ``tmp_path`` and the arguments of train.py; ``moment``
    is one of tests/moments.py, ``hooks`` names further ones, ``wrapper`` has the settings of a
    data set around that of training.
    """
    config = tmp_path / 'moments_of_a_run.py'
    config.write_text(
        f"_base_ = ['{ROOT / 'configs/artnet_r18_d_toy.py'}']\n"
        "custom_imports = dict(imports=['artnet_mm', 'tests.moments'])\n"
        "custom_hooks = [dict(type=hook) for hook in '{{$HOOKS:}}'.split()]\n"
        # halved after each validation
        "param_scheduler = [dict(type='ReduceOnPlateauLR', monitor='acc/nll', rule='less', "
        'factor=0.5, patience=0, threshold=1e9)]\n'
    )

    def train(
        work_dir,
        *words,
        processes=1,
        moment='',
        of_rank=0,
        check=True,
        hooks=(),
        wrapper=None,
        **more,
    ):
        options = tiny_options(clips) | {
            'train_cfg.max_iters': 8,
            'train_cfg.val_interval': 4,
            'default_hooks.checkpoint.interval': 2,
            'default_hooks.logger.interval': 1,
            'optim_wrapper.optimizer.lr': 1e-4,
            'model.cls_head.dropout_ratio': 0.5,
            'train_dataloader.sampler.stratified': False,  # compared with the stock order
            'train_dataloader.num_workers': 2,
            'train_dataloader.persistent_workers': True,
        }
        options |= more
        if wrapper:
            text = config.read_text()
            config.write_text(
                f'{text}inner = _base_.train_dataloader.dataset\n'
                f'wrapper = dict({wrapper!r}, dataset=inner, _delete_=True)\n'
                'train_dataloader = dict(dataset=wrapper)\n'
            )
            key = 'train_dataloader.dataset.'
            options = {k.replace(key, f'{key}dataset.'): v for k, v in options.items()}
        tool = ('train.py', config) if processes == 1 else ('dist_train.sh', config, processes)
        return run_tool(
            *tool, '--work-dir', tmp_path / work_dir, *words,
            '--cfg-options', *as_arguments(options), check=check,
            HOOKS=' '.join(['MomentHook', *hooks]), MOMENT=moment, OF_RANK=str(of_rank),
            DECODED=str(tmp_path / f'{work_dir}.decoded'), CUDA_VISIBLE_DEVICES='',
        )  # fmt: skip

    return train
