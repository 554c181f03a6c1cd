"""Fixtures: a small data set of real encoded videos, and MMAction2's scope."""

from pathlib import Path

import pytest
from mmengine.registry import init_default_scope

import artnet_mm
from artnet_mm.datasets.synthetic import write_dataset

from .helpers import run_tool


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
            '--videos', clips / f'videos_{split}', '--out', root, '--method', 'dis',
        )  # fmt: skip
    return root
