"""Splits, and images instead of videos: what a config offers is chosen by arguments alone."""

import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
from mmengine.config import Config

from artnet_mm.engine.launch import load_config
from artnet_mm.selections import select

from .helpers import ROOT, run_tool

LEAVES = sorted(path.stem for path in (ROOT / 'configs').glob('*.py'))
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def leaf(name: str) -> Config:
    return Config.fromfile(ROOT / f'configs/{name}.py')


def test_no_variable_of_the_environment_changes_a_config(monkeypatch):
    leaves = {name: leaf(name).to_dict() for name in LEAVES}
    for value in ('1', '7', ''):
        monkeypatch.setenv('FRAMES', value)
        monkeypatch.setenv('SPLIT', value)
        assert {name: leaf(name).to_dict() for name in LEAVES} == leaves
    sources = [path.read_text() for path in (ROOT / 'configs').rglob('*.py')]
    assert not [text for text in sources if '{{' in text]


@pytest.mark.parametrize('name', LEAVES)
def test_what_a_leaf_offers_changes_its_data_and_nothing_else(name):
    offered = leaf(name).get('selections')
    data = 'ucf101' if 'ucf101' in name else 'hmdb51' if 'hmdb51' in name else None
    expected = {'split', 'frames'} if data else {'frames'}
    assert {*offered} - {'official_splits'} == (
        set() if any(word in name for word in ('flow', 'toy', 'jester')) else expected
    )
    for split in offered.get('split', ()):
        cfg = select(leaf(name), split)
        assert cfg.split == split
        for key, part in zip(LOADERS, ('train', 'test', 'test')):
            assert cfg[key].dataset.ann_file == f'{data}_{part}_split{split}.txt'
            assert cfg[key].dataset.metainfo == dict(split=(data, split))
        number = {'ucf101': {'1': 3783, '2': 3734, '3': 3696}}.get(data, {}).get(split, 1530)
        assert cfg.val_evaluator.num_videos == cfg.test_evaluator.num_videos == number
        first = select(leaf(name))
        for key in (*LOADERS, 'split', 'val_evaluator', 'test_evaluator'):
            first[key] = cfg[key]
        assert first.to_dict() == cfg.to_dict()
    if 'frames' in offered:
        cfg, videos = select(leaf(name), frames=True), leaf(name)
        for key in LOADERS:
            dataset, others = cfg[key].dataset, videos[key].dataset
            assert dataset.type == 'ClipRawframeDataset'
            assert dataset.data_root == others.data_root.replace('/', '_frames/', 2).replace(
                'data_frames', 'data'
            )
            assert dataset.data_prefix == dict(img=others.data_prefix.video)
            assert dataset.pipeline == others.pipeline and dataset.ann_file == others.ann_file


def steps_of(cfg: Config) -> list[dict]:
    pipelines = [cfg[key] for key in sorted(cfg) if key.endswith('_pipeline')]
    pipelines += [cfg[key].dataset.pipeline for key in LOADERS]
    return [step for pipeline in pipelines for step in pipeline]


def test_views_of_another_size_and_length_differ_in_nothing_else():
    name = 'artnet_r50_d_kinetics'
    before, cfg = leaf(name), select(leaf(name), size=224, clip_len=32)
    changes = [
        {key: (old[key], new[key]) for key in old if old[key] != new[key]}
        for old, new in zip(steps_of(before), steps_of(cfg))
    ]
    crop = [
        dict(clip_len=(16, 32)),
        dict(scale=((170, 128), (340, 256))),
        dict(input_size=(112, 224)),
        dict(scale=((112, 112), (224, 224))),
    ]
    test = [dict(clip_len=(16, 32)), *2 * [dict(scale=((170, 128), (340, 256)))]]
    val = [crop[0], crop[1], dict(crop_size=(112, 224))]
    found = [change for change in changes if change]
    assert found == [*test, *crop, *val, *crop, *val, *test]
    assert cfg.model.data_preprocessor.crop_size == 224
    cfg.model.data_preprocessor.crop_size = 112
    for old, new in zip(steps_of(before), steps_of(cfg)):
        new.update(old)
    before.pop('selections')
    assert cfg.pop('variant') == 'size224_len32'
    assert cfg.to_dict() == before.to_dict()


def test_what_has_no_size_or_length_is_refused():
    with pytest.raises(ValueError, match='--clip-len 32: this network takes single frames'):
        select(leaf('tsn_r50_kinetics'), clip_len=32)
    with pytest.raises(ValueError, match='--size 64: ClipDecode has scale=None, which is no size'):
        select(leaf('artnet_r18_d_toy'), size=64)
    cfg = leaf('artnet_r18_d_kinetics')
    cfg.model.data_preprocessor.pop('crop_size')
    with pytest.raises(ValueError, match=r'--size 64: model\.data_preprocessor has no crop_size'):
        select(cfg, size=64)


def test_a_network_made_for_a_size_and_a_length_gets_them_too():
    backbone = select(leaf('ltc_60f_kinetics'), size=58, clip_len=100).model.backbone
    assert (backbone.crop_size, backbone.clip_len) == (58, 100)
    for name in LEAVES:
        if 'toy' not in name:
            assert select(leaf(name), size=64).variant == 'size64'


def test_both_at_once_and_options_on_top():
    path = str(ROOT / 'configs/c3d_r18_ucf101.py')
    options = ['train_dataloader.dataset.data_root=mine/']
    args = Namespace(config=path, cfg_options=options, work_dir=None, split='2', frames=True)
    args.size = args.clip_len = None
    cfg = load_config(args)
    dataset = cfg.train_dataloader.dataset
    assert (dataset.type, dataset.data_root) == ('ClipRawframeDataset', 'mine/')
    assert dataset.ann_file == 'ucf101_train_split2.txt'
    assert cfg.test_dataloader.dataset.data_root == 'data/ucf101_frames/'
    assert cfg.work_dir == 'work_dirs/c3d_r18_ucf101/split2'
    again = Config.fromstring(cfg.pretty_text, '.py')  # as a work dir keeps it
    assert again.to_dict() == cfg.to_dict()


UCF, KINETICS = (ROOT / f'configs/c3d_r18_{name}.py' for name in ('ucf101', 'kinetics'))
REFUSED = [
    (UCF, ['--split', '7'], '--split 7: c3d_r18_ucf101.py has the splits 1, 2, 3'),
    (UCF, ['--split', ''], '--split : c3d_r18_ucf101.py has the splits 1, 2, 3'),
    (KINETICS, ['--split', '1'], 'the data set of c3d_r18_kinetics.py is not divided into splits'),
    (UCF, ['--cfg-options', 'split=2'], '--split N chooses the split'),
    (ROOT / 'configs/artnet_r18_d_toy.py', ['--frames'], 'has one form of its data only'),
    (ROOT / 'configs/c3d_r18_kinetics_flow.py', ['--frames'], 'has one form of its data only'),
]


@pytest.mark.parametrize(('config', 'words', 'message'), REFUSED)
def test_what_a_config_does_not_offer_is_refused_by_name(config, words, message):
    result = run_tool('train.py', config, *words, check=False)
    assert result.returncode == 1
    (line,) = (result.stdout + result.stderr).splitlines()
    assert line.startswith('error: ') and message in line


@pytest.mark.parametrize('tool', ['check.py', 'dist_train.sh', 'dist_test.sh'])
def test_every_tool_takes_the_split_and_frames(tool, tmp_path):
    """Each says which list it misses: that of the split, among the images."""
    words = {'dist_train.sh': ['1'], 'dist_test.sh': ['x.pth', '1']}
    command = [ROOT / 'tools' / tool, UCF, *words.get(tool, ()), '--split', '3', '--frames']
    if tool.endswith('.py'):
        command.insert(0, sys.executable)
    path = f'{Path(sys.executable).parent}:{os.environ["PATH"]}'
    ran = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, 'PATH': path}, capture_output=True, text=True
    )
    assert ran.returncode != 0
    part = 'test' if 'test' in tool else 'train'
    assert f'data/ucf101_frames/ucf101_{part}_split3.txt does not exist' in ran.stdout + ran.stderr
