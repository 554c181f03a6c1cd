"""From raw videos and official split files to the report, with every tool on the way."""

import re
import shutil

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.fileio import load
from mmengine.registry import init_default_scope

from ..helpers import ROOT, as_arguments, run_tool, step_of

UCF101 = ROOT / 'configs/artnet_r18_d_ucf101.py'


@pytest.fixture(scope='module')
def data_root(clips, tmp_path_factory):
    """20 videos laid out and divided as UCF101 is, made into lists and prepared copies."""
    raw = tmp_path_factory.mktemp('raw')
    lines = (clips / 'train_list_videos.txt').read_text().splitlines()
    names, labels = zip(*(line.split() for line in lines))
    classes = [name.rsplit('_', 1)[0].title().replace('_', '') for name in names[:10]]
    paths = []
    for name, label in zip(names, map(int, labels)):
        path = f'{classes[label]}/v_{classes[label]}_{name[-9:]}'
        (raw / 'videos' / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clips / 'videos_train' / name, raw / 'videos' / path)
        paths.append(path)
    every = [*classes, *(f'Unseen{number}' for number in range(91))]
    index = [f'{number} {name}\r\n' for number, name in enumerate(every, 1)]
    (raw / 'classInd.txt').write_text(''.join(index))
    for split in range(3):
        tested = paths[5 * split : 5 * split + 5 - split]
        trained = [
            f'{path} {int(label) + 1}\r\n'
            for path, label in zip(paths, labels)
            if path not in tested
        ]
        (raw / f'trainlist0{split + 1}.txt').write_text(''.join(trained))
        (raw / f'testlist0{split + 1}.txt').write_text('\r\n'.join(tested))
    videos = ['--videos', raw / 'videos']
    run_tool('data/build_annotations.py', 'ucf101', '--splits', raw, *videos, '--out-dir', raw)
    lists = sorted(raw.glob('ucf101_*_split?.txt'))
    root = tmp_path_factory.mktemp('prepared')
    run_tool('data/prepare_videos.py', *lists, *videos, '--out-dir', root, '--size', 86, 64)
    return root


@pytest.fixture(scope='module')
def arguments(data_root, tmp_path_factory):
    """Overrides for a run of one step from Kinetics weights."""
    weights = tmp_path_factory.mktemp('weights') / 'kinetics.pth'
    init_default_scope('mmaction')
    model = Config.fromfile(ROOT / 'configs/artnet_r18_d_kinetics.py').model
    model.backbone.base_channels, model.cls_head.in_channels = 8, 64
    torch.save({'state_dict': MODELS.build(model).state_dict()}, weights)
    options = {
        'model.backbone.base_channels': 8,
        'model.cls_head.in_channels': 64,
        'load_from': str(weights),
        'train_cfg.max_iters': 1,
        'default_hooks.checkpoint.interval': 1,
        'train_dataloader.batch_size': 2,
    }
    pipeline = Config.fromfile(UCF101).test_pipeline
    place = pipeline.index(step_of(pipeline, 'UniformClipSampler'))
    options[f'test_dataloader.dataset.pipeline.{place}.num_clips'] = 1
    for loader in ('train', 'val', 'test'):
        key = f'{loader}_dataloader'
        options |= {
            f'{key}.num_workers': 0,
            f'{key}.persistent_workers': False,
            f'{key}.dataset.data_root': str(data_root),
        }
    return ['--cfg-options', *as_arguments(options)]


def test_three_splits_are_trained_and_tested_once_and_their_mean_is_in_the_report(
    arguments, tmp_path
):
    work_dir = tmp_path / 'artnet_r18_d_ucf101'
    command = ['run_splits.py', UCF101, 1, '--work-dir', work_dir, *arguments]
    result = run_tool(*command, CUDA_VISIBLE_DEVICES='')
    rows = re.findall(r'│ +(1|2|3|mean) +│(.*)', result.stdout)
    figures = {row: re.findall(r'[\d.]+', cells) for row, cells in rows}
    accuracies = []
    for split, videos in (('1', 5), ('2', 4), ('3', 3)):
        results = load(work_dir / f'split{split}/scores.pkl')
        assert len(results) == videos
        assert figures[split][-1] == str(videos)
        accuracies.append(float(figures[split][0]))
        meta = torch.load(work_dir / f'split{split}/iter_1.pth', weights_only=True)['meta']
        assert meta['trained_on'] == [('ucf101', split)]
        assert meta['dataset_meta']['classes'][:3] == ['Up', 'Down', 'Sideways']
    assert float(figures['mean'][0]) == pytest.approx(sum(accuracies) / 3, abs=0.11)
    assert result.stdout.count('$ tools/') == 9  # a check, a training and a test for each

    table = result.stdout[result.stdout.rindex('┏') :]
    again = run_tool(*command).stdout
    assert '$ tools/' not in again
    assert again[again.rindex('┏') :] == table

    refused = run_tool(*command, 'model.cls_head.dropout_ratio=0.1', check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f'error: {work_dir} was made with ')

    run_tool('report.py', tmp_path, '--out-dir', tmp_path)
    report = (tmp_path / 'report.md').read_text()
    (row,) = (line for line in report.splitlines() if '93.5' in line)
    cells = [cell.strip() for cell in row.split('|')]
    assert figures['mean'][0] in cells
    assert '12 of 11213*' in cells
    assert (tmp_path / 'report.png').exists()


def test_a_missing_list_is_said_before_anything_is_trained(arguments, tmp_path):
    options = [word for word in arguments if 'data_root' not in word]
    command = ['run_splits.py', UCF101, 1, '--work-dir', tmp_path, *options]
    result = run_tool(*command, check=False)
    assert result.returncode == 1
    assert 'data/ucf101/ucf101_train_split1.txt does not exist' in result.stderr
    assert '--check ' in result.stdout and '--checked' not in result.stdout


def test_a_data_set_without_splits_is_refused(tmp_path):
    result = run_tool('run_splits.py', ROOT / 'configs/artnet_r18_d_toy.py', 1, check=False)
    assert result.returncode == 1
    assert re.fullmatch(r'error: .*artnet_r18_d_toy.py is not divided into splits\n', result.stderr)
