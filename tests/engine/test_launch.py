"""What is checked before a run starts."""

import ast
import os
import re
import subprocess
import sys
from argparse import Namespace

import pytest
import torch
from mmengine.config import Config

from artnet_mm.checks.config import check_config, check_dataloader
from artnet_mm.engine.launch import load_config, override
from artnet_mm.inference.recognizer import load_recognizer

from ..helpers import ROOT


def config(clips, **dataset):
    dataset = (
        dict(
            ann_file='val_list_videos.txt',
            data_prefix=dict(video='videos_val'),
            data_root=str(clips),
            num_classes=10,
        )
        | dataset
    )
    model = dict(cls_head=dict(num_classes=10), test_cfg=dict(max_testing_views=10))
    loader = dict(batch_size=1, dataset=dataset)
    return Config(dict(model=model, val_dataloader=loader, train_dataloader=loader))


def test_data_that_is_there_passes(clips):
    check_dataloader(config(clips), 'val_dataloader')
    absolute = dict(ann_file=str(clips / 'val_list_videos.txt'), data_root=None)
    absolute['data_prefix'] = dict(video=str(clips / 'videos_val'))
    check_dataloader(config(clips, **absolute), 'val_dataloader')


def test_a_loader_that_the_run_lacks_is_not_checked(clips):
    check_dataloader(config(clips), 'test_dataloader')
    check_dataloader(Config(dict(model={}, test_dataloader=None)), 'test_dataloader')


@pytest.mark.parametrize(
    'dataset, path, key',
    [
        (dict(ann_file='none.txt'), 'none.txt', 'ann_file'),
        (dict(data_prefix=dict(video='none')), 'none', 'data_prefix.video'),
        (dict(data_prefix=dict(img='flow/none')), 'flow/none', 'data_prefix.img'),
    ],
)
def test_missing_data_is_named_with_its_key_and_where_to_get_it(clips, dataset, path, key):
    with pytest.raises(FileNotFoundError) as error:
        check_dataloader(config(clips, **dataset), 'val_dataloader')
    parts = (f'{clips}/{path} does not exist', f'(val_dataloader.dataset.{key})')
    for part in (*parts, 'README.md, section "Data"'):
        assert part in str(error.value)


def test_classes_that_are_not_the_classifiers_name_both_keys(clips):
    message = 'train_dataloader.dataset.num_classes is 400, but model.cls_head.num_classes is 10'
    with pytest.raises(ValueError, match=re.escape(message)):
        check_dataloader(config(clips, num_classes=400), 'train_dataloader')


def test_chunked_views_need_a_batch_of_one_in_the_stock_recognizer(clips):
    cfg = config(clips)
    cfg.model.type = 'Recognizer3D'
    cfg.val_dataloader.batch_size = cfg.train_dataloader.batch_size = 4
    with pytest.raises(ValueError, match=r'val_dataloader\.batch_size is 4: .*max_testing_views'):
        check_dataloader(cfg, 'val_dataloader')
    check_dataloader(cfg, 'train_dataloader')
    cfg.model.type = 'ClipRecognizer3D'
    check_dataloader(cfg, 'val_dataloader')


@pytest.mark.parametrize(
    'change', [{'type': 'Recognizer3D'}, {'data_preprocessor.crop_size': None}]
)
def test_frames_need_a_model_that_makes_views_of_them(change, clips):
    cfg = Config.fromfile(ROOT / 'configs/artnet_r18_d_toy.py')
    cfg.merge_from_dict({'test_dataloader.dataset.data_root': str(clips)})
    check_dataloader(cfg, 'test_dataloader')
    cfg.merge_from_dict({f'model.{key}': value for key, value in change.items()})
    with pytest.raises(ValueError, match=r'test_dataloader\.dataset\.pipeline .*ShareFrames'):
        check_dataloader(cfg, 'test_dataloader')


def test_a_tool_ends_with_one_line(clips):
    with pytest.raises(SystemExit, match=r'^error: .*none\.txt does not exist'):
        check_config(config(clips, ann_file='none.txt'), ('train_dataloader', 'val_dataloader'))


@pytest.mark.parametrize('wrap', [lambda d: dict(dataset=d, times=2), lambda d: dict(datasets=[d])])
def test_data_sets_inside_wrappers_are_checked(clips, wrap):
    cfg = config(clips)
    cfg.train_dataloader = dict(
        dataset=wrap({**cfg.train_dataloader.dataset, 'ann_file': 'no.txt'})
    )
    with pytest.raises(FileNotFoundError, match=r'train_dataloader\.dataset\.data.*\.ann_file'):
        check_dataloader(cfg, 'train_dataloader')


@pytest.mark.parametrize('model', [None, {}, dict(cls_head=None, test_cfg=None)])
def test_configs_without_a_classifier_pass(clips, model):
    cfg = config(clips)
    cfg.model = model
    check_dataloader(cfg, 'val_dataloader')


def test_a_loader_without_data_set_is_an_error(clips):
    with pytest.raises(ValueError, match='val_dataloader has no dataset'):
        check_dataloader(Config(dict(val_dataloader=dict(batch_size=1))), 'val_dataloader')


def test_validation_without_labels_is_refused_and_testing_is_not(clips, tmp_path):
    (tmp_path / 'list.txt').write_text('a.mp4\nb.mp4 1\n')
    cfg = config(clips, type='ClipVideoDataset', ann_file=f'{tmp_path}/list.txt', test_mode=True)
    cfg.test_dataloader = cfg.val_dataloader
    check_dataloader(cfg, 'test_dataloader')
    with pytest.raises(ValueError, match=r'1 of 2 videos of val_dataloader\.dataset\.ann_file'):
        check_dataloader(cfg, 'val_dataloader')


def test_weights_of_another_split_are_refused_before_anything_starts(clips, tmp_path):
    torch.save({'meta': dict(trained_on=[('toys', '1')]), 'state_dict': {}}, tmp_path / 'first.pth')
    cfg = config(clips, metainfo=dict(split=('toys', '2')))
    cfg.load_from = str(tmp_path / 'first.pth')
    with pytest.raises(SystemExit, match='error: the checkpoint was trained on split 1 of toys'):
        check_config(cfg, ('train_dataloader',))
    cfg.train_dataloader.dataset.metainfo.split = ('toys', '1')
    check_config(cfg, ('train_dataloader',))


@pytest.mark.parametrize('name', ['ucf101', 'hmdb51'])
def test_the_work_dir_names_config_and_split(name):
    path = str(ROOT / f'configs/c3d_r18_{name}.py')
    args = Namespace(config=path, cfg_options=[], launcher='none', work_dir=None)
    args.split, args.frames, args.size, args.clip_len = '3', False, None, None
    assert load_config(args).work_dir == f'work_dirs/c3d_r18_{name}/split3'
    args.split = None
    assert load_config(args).work_dir == f'work_dirs/c3d_r18_{name}/split1'
    args.config = str(ROOT / 'configs/artnet_r18_d_kinetics.py')
    assert load_config(args).work_dir == 'work_dirs/artnet_r18_d_kinetics'
    args.size, args.clip_len = 224, 32
    assert load_config(args).work_dir == 'work_dirs/artnet_r18_d_kinetics_size224_len32'
    args.work_dir = 'mine'
    assert load_config(args).work_dir == 'mine'


WATCH = """
import importlib.abc, os, runpy, sys

class Watch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == 'torch':
            sys.meta_path.remove(self)
            print('as torch is loaded:', os.environ.get('OMP_WAIT_POLICY'))

sys.meta_path.insert(0, Watch())
sys.argv = [sys.argv[1], 'none.py']
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name='__main__')
"""


@pytest.mark.parametrize('own', [None, 'ACTIVE'])
def test_threads_wait_without_spinning_unless_the_user_says_otherwise(own):
    """OpenMP reads the policy as torch is loaded."""
    env = {key: value for key, value in os.environ.items() if key != 'OMP_WAIT_POLICY'}
    env |= {'OMP_WAIT_POLICY': own} if own else {}
    command = [sys.executable, '-c', WATCH, ROOT / 'tools/train.py']
    result = subprocess.run(command, env=env, capture_output=True, text=True)
    assert f'as torch is loaded: {own or "PASSIVE"}\n' in result.stdout
    assert 'none.py' in result.stderr


@pytest.mark.parametrize('tool', sorted((ROOT / 'tools').rglob('*.py')), ids=lambda path: path.stem)
def test_every_tool_imports_artnet_mm_before_what_loads_torch(tool):
    names = []
    for node in ast.parse(tool.read_text()).body:
        if isinstance(node, ast.ImportFrom):
            names.append(node.module)
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    harmless = {*sys.stdlib_module_names, 'config_arguments', 'list_arguments'}
    harmless |= {'matplotlib', 'numpy', 'av', 'onnxruntime'}  # which load no torch
    others = [name.split('.')[0] for name in names if name.split('.')[0] not in harmless]
    assert others[:1] in ([], ['artnet_mm'])


@pytest.mark.parametrize(
    ('name', 'text', 'options', 'said'),
    [
        ('none.py', None, [], 'config {} does not exist'),
        ('c.py', "_base_ = ['base.py']\n", [], '/base.py, which {} inherits from, does not exist'),
        ('c.py', 'a = 1\nb = (\n', [], "{}, or one that it inherits from, line 2: '(' was never"),
        ('c.pth', '', [], '{} cannot be read as a config (.py, .yml, .json)'),
        ('c.py', 'a = [1]\n', ['a.3=5'], '--cfg-options a.3=5: Index 3 exceeds the length of list'),
        ('c.py', 'a = 1\n', ['a.b=5'], '--cfg-options a.b=5: '),
        ('c.py', 'a = [1]\n', ['a.0=5'], '--cfg-options a.0=5: '),
        ('c.py', "open('names.txt')\n", [], 'config {}: names.txt does not exist'),
    ],
)
def test_a_config_that_cannot_be_read_is_said_in_one_line(tmp_path, name, text, options, said):
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    args = Namespace(
        config=str(path), cfg_options=options, split=None, frames=False, size=None, clip_len=None,
        work_dir=None,
    )  # fmt: skip
    with pytest.raises(SystemExit) as end:
        load_config(args)
    assert said.format(path) in str(end.value) and '\n' not in str(end.value)
    if not options:
        with pytest.raises(ValueError, match=re.escape(said.format(path))):
            load_recognizer(path, 'none.pth')


def test_options_are_laid_over_a_config_at_once():
    cfg = Config(dict(a=dict(type='A', depth=50)))
    override(cfg, {'a.type': 'B', 'a._delete_': True})
    assert cfg.a == dict(type='B')
