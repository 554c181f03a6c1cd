"""tools/run_splits.py on three small splits, with real training and testing."""

import re

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.fileio import load
from mmengine.registry import init_default_scope

from .helpers import ROOT, as_arguments, run_tool

UCF101 = ROOT / 'configs/artnet_r18_d_ucf101.py'


@pytest.fixture(scope='module')
def arguments(clips, tmp_path_factory):
    """Three splits of the 20 training clips, Kinetics weights, and a run of one step each."""
    root = tmp_path_factory.mktemp('ucf101')
    lines = (clips / 'train_list_videos.txt').read_text().splitlines(keepends=True)
    for split in range(3):
        tested = lines[5 * split : 5 * split + 5 - split]
        trained = [line for line in lines if line not in tested]
        (root / f'ucf101_train_split{split + 1}.txt').write_text(''.join(trained))
        (root / f'ucf101_test_split{split + 1}.txt').write_text(''.join(tested))
    init_default_scope('mmaction')
    model = Config.fromfile(ROOT / 'configs/artnet_r18_d_kinetics.py').model
    model.backbone.base_channels, model.cls_head.in_channels = 8, 64
    torch.save({'state_dict': MODELS.build(model).state_dict()}, root / 'kinetics.pth')
    options = {
        'model.backbone.base_channels': 8,
        'model.cls_head.in_channels': 64,
        'load_from': str(root / 'kinetics.pth'),
        'train_cfg.max_iters': 1,
        'default_hooks.checkpoint.interval': 1,
        'train_dataloader.batch_size': 2,
        'test_dataloader.dataset.pipeline.1.num_clips': 1,
    }
    for loader in ('train', 'val', 'test'):
        key = f'{loader}_dataloader'
        options |= {
            f'{key}.num_workers': 0,
            f'{key}.persistent_workers': False,
            f'{key}.dataset.data_root': str(root),
            f'{key}.dataset.data_prefix.video': str(clips / 'videos_train'),
        }
    return ['--cfg-options', *as_arguments(options)]


def test_three_splits_are_trained_and_tested_once_and_their_mean_printed(arguments, tmp_path):
    command = ['run_splits.py', UCF101, 1, '--work-dir', tmp_path, *arguments]
    result = run_tool(*command, PORT='29621', CUDA_VISIBLE_DEVICES='')
    rows = re.findall(r'│ +(1|2|3|mean) +│(.*)', result.stdout)
    figures = {row: re.findall(r'[\d.]+', cells) for row, cells in rows}
    accuracies = []
    for split, videos in (('1', 5), ('2', 4), ('3', 3)):
        results = load(tmp_path / f'split{split}/scores.pkl')
        assert len(results) == videos
        assert figures[split][-1] == str(videos)
        accuracies.append(float(figures[split][0]))
        meta = torch.load(tmp_path / f'split{split}/iter_1.pth', weights_only=True)['meta']
        assert meta['trained_on'] == [('ucf101', split)]
    assert float(figures['mean'][0]) == pytest.approx(sum(accuracies) / 3, abs=0.11)
    assert result.stdout.count('$ SPLIT=') == 9  # a check, a training and a test for each

    table = result.stdout[result.stdout.rindex('┏') :]
    again = run_tool(*command).stdout
    assert '$ SPLIT=' not in again
    assert again[again.rindex('┏') :] == table


def test_a_missing_list_is_said_before_anything_is_trained(arguments, tmp_path):
    options = [word for word in arguments if 'data_root' not in word]
    command = ['run_splits.py', UCF101, 1, '--work-dir', tmp_path, *options]
    result = run_tool(*command, check=False)
    assert result.returncode == 1
    assert 'data/ucf101/ucf101_train_split1.txt does not exist' in result.stderr
    assert 'dist_train.sh' not in result.stdout


def test_a_data_set_without_splits_is_refused(tmp_path):
    result = run_tool('run_splits.py', ROOT / 'configs/artnet_r18_d_toy.py', 1, check=False)
    assert result.returncode == 1
    assert re.fullmatch(r'error: .*artnet_r18_d_toy.py has no "split".*\n', result.stderr)
