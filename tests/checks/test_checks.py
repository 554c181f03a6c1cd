"""Checks of a run before the long work, and the tools that make them."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config
from torch.utils.data import Dataset

from artnet_mm import checks
from artnet_mm.checks.config import SHARED_MEMORY, mistyped
from artnet_mm.checks.findings import CHECKS, Doubtful, Status, check

from ..helpers import ROOT, as_arguments, run_tool, tiny_config, tiny_options

pytestmark = pytest.mark.slow

TOY = ROOT / 'configs/artnet_r18_d_toy.py'
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


@pytest.fixture
def findings(clips, tmp_path):
    """Function that checks the toy leaf on tiny clips: findings by subject."""

    def make(change=None, **options):
        cfg = tiny_config('artnet_r18_d_toy', clips, tmp_path / 'run', **options)
        if change:
            change(cfg)
        return {finding.subject: finding for finding in checks.findings(cfg, LOADERS)}

    return make


def of_status(findings: dict, status: Status) -> dict[str, str]:
    return {name: found.message for name, found in findings.items() if found.status is status}


def wrong(findings: dict) -> dict[str, str]:
    return of_status(findings, Status.WRONG)


@DATASETS.register_module()
class EveryFifth(Dataset):
    """A wrapper of one's own."""

    def __init__(self, dataset: dict) -> None:
        self.dataset = DATASETS.build(dataset)
        self.metainfo = self.dataset.metainfo

    def __len__(self) -> int:
        return len(self.dataset) // 5

    def __getitem__(self, index: int) -> dict:
        return self.dataset[5 * index]


def test_a_run_that_can_start_is_fine_and_writes_nothing(findings, tmp_path):
    found = findings(**{'train_dataloader.num_workers': 3})
    assert all(finding.status is Status.OK for finding in found.values()), wrong(found)
    assert found['train_dataloader'].message == (
        '20 samples, of which 3 were read: 1 x 3 x 16 x 56 x 56'
    )
    # a batch of 2 clips of 3 x 16 x 56 x 56 bytes, two a worker
    assert f'{2 * 3 * 16 * 56 * 56 * 2 * 3 / 1e6:.0f} MB needed' in (
        found['train_dataloader: shared memory'].message
    )
    assert re.match(r'2 samples, loss 2\.\d+$', found['a training step'].message)
    assert found['a validation'].message.startswith('3 samples: acc/top1, acc/top5')
    assert found['a test'].message.startswith('3 videos: acc/top1, acc/top5')
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
    'options, subject, message',
    [
        ({'train_dataloader.dataset.ann_file': 'no.txt'}, 'train_dataloader', 'no.txt does not'),
        ({'val_dataloader.dataset.num_classes': 9}, 'val_dataloader', 'is 9, but model.cls_head'),
        ({'model.backbone.depth': 19}, 'network', 'depth must be one of'),
        (
            {'model.cls_head.in_channels': 7},
            'network',
            'in_channels is 7, but the backbone gives 64',
        ),
        ({'optim_wrapper.optimizer.lr': 'fast'}, 'a training step', ''),
        ({'default_hooks.checkpoint.max_keep_ckpts': 1}, 'checkpoints', 'keep 2 or more'),
        ({'default_hooks.checkpoint.max_keep_ckpts': 10**8}, 'checkpoints', 'keep fewer'),
        ({'default_hooks.checkpoint.backend_args.backend': 'none'}, 'checkpoints', 'none'),
        (
            {'default_hooks.checkpoint.out_dir': 's3://bucket/runs'},
            'checkpoints',
            'set default_hooks.checkpoint.backend_args=None',
        ),
        (
            {
                'default_hooks.checkpoint.max_keep_ckpts': 0,
                'default_hooks.checkpoint.interval': 1,
                'train_cfg.max_iters': 10**8,
            },
            'checkpoints',
            '100000002 of 5 MB need',
        ),
        (
            {
                'test_dataloader.dataset.count_broken': True,
                'test_evaluator': [dict(type='AccMetric')],
            },
            'test_dataloader',
            'takes VideoAccuracy',
        ),
        (
            {'train_dataloader.num_workers': 10**7},
            'train_dataloader: shared memory',
            'set a lower train_dataloader.num_workers',
        ),
        ({'load_from': 'no.pth'}, 'settings', 'checkpoint no.pth does not exist'),
        ({'sync_bn': 'torch', 'launcher': 'pytorch'}, 'settings', 'sync_bn needs a GPU'),
        (
            {'optim_wrapper.constructor': 'LearningRateDecayOptimizerConstructor'},
            'settings',
            'stages have their own rates by optim_wrapper.paramwise_cfg',
        ),
        (
            {'model.cls_head.loss_cls': dict(type='CrossEntropyLoss', class_weight=[1.0, 2.0])},
            'network',
            'class_weight has 2 weights for 10 classes',
        ),
    ],
)
def test_what_cannot_work_is_told_where_it_is(findings, options, subject, message):
    if subject == 'settings' and 'sync_bn' in options and torch.cuda.is_available():
        pytest.skip('this machine has a GPU')
    found = wrong(findings(**options))
    assert message in found[subject]
    assert found.keys() == {subject}


def emptied(cfg):
    cfg.train_dataloader.dataset.indices = 4
    wrapped('train_dataloader')(cfg)


def stock_data(cfg):
    dataset = cfg.train_dataloader.dataset
    dataset.update(type='VideoDataset', indices=10)
    lines = Path(dataset.ann_file).read_text()
    dataset.ann_file = str(Path('list.txt').absolute())
    Path('list.txt').write_text(f'one.mp4 57\n{lines}')


def into_a_file(cfg):
    Path('a_file').touch()
    cfg.work_dir = 'a_file/run'


@pytest.mark.parametrize(
    'change, subject, message',
    [
        (emptied, 'train_dataloader', 'train_dataloader.dataset has no samples'),
        (stock_data, 'train_dataloader', 'has label 57, but model.cls_head.num_classes is 10'),
        (into_a_file, 'checkpoints', 'a_file is no folder that can be written to'),
    ],
)
def test_what_the_run_would_end_with_is_told(
    findings, tmp_path, monkeypatch, change, subject, message
):
    monkeypatch.chdir(tmp_path)
    found = wrong(findings(change))
    assert found.keys() == {subject}
    assert message in found[subject]


def test_a_checkpoint_of_which_nothing_fits_is_told(findings, tmp_path):
    torch.save(dict(state_dict=dict(a=torch.zeros(3))), tmp_path / 'other.pth')
    found = wrong(findings(load_from=f'{tmp_path}/other.pth'))
    assert 'nothing of the checkpoint fits the model: it holds a;' in found['a training step']


def by_epochs(cfg):
    """Of whose last batch nothing is taken."""
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=2)
    cfg.train_dataloader.update(batch_size=3, drop_last=True)
    cfg.train_dataloader.sampler = dict(type='DefaultSampler', shuffle=True)
    cfg.param_scheduler = [dict(type='MultiStepLR', milestones=[1])]
    cfg.default_hooks.checkpoint.update(by_epoch=True, interval=1)


def test_epochs_that_would_not_end_are_refused(findings):
    def change(cfg):
        by_epochs(cfg)
        cfg.train_dataloader.sampler = dict(type='RestartableSampler', shuffle=True)

    found = wrong(findings(change))
    assert found.keys() == {'a training step'}
    assert 'train_cfg counts epochs, and' in found['a training step']
    assert "sampler=dict(_delete_=True, type='DefaultSampler'" in found['a training step']


def test_a_best_checkpoint_by_what_nobody_measures_is_told(findings):
    def change(cfg):
        cfg.val_evaluator = dict(type='AccMetric')

    found = wrong(findings(change))
    assert found.keys() == {'a validation'}
    message = "default_hooks.checkpoint.save_best is 'acc/avg', which val_evaluator does not give, "
    assert found['a validation'].startswith(f'{message}but acc/top1, acc/top5, acc/mean1')


@pytest.mark.parametrize(
    'head', [dict(average_clips=None), dict(type='I3DHead', consensus=None, average_clips=None)]
)
def test_views_that_do_not_become_one_are_told(findings, head):
    def change(cfg):
        cfg.model.cls_head.update(head)
        cfg.model.cls_head.pop('consensus', None)

    found = wrong(findings(change, **{'model.test_cfg': None}))
    assert found.keys() == {'a validation'}
    assert 'not (num_classes,): set model.cls_head.average_clips to' in found['a validation']


def test_the_mean_of_probabilities_is_told_not_to_be_scores(findings):
    found = findings(**{'model.cls_head.average_clips': 'prob'})
    assert 'acc/nll' in of_status(found, Status.DOUBTFUL)['settings'] and not wrong(found)


def only_dumped(cfg):
    cfg.test_evaluator = dict(type='DumpResults', out_file_path='scores.pkl')


def elsewhere(cfg):
    cfg.default_hooks.checkpoint.out_dir = 'elsewhere'


def averaged(cfg):
    cfg.custom_hooks = [dict(type='EMAHook')]


def not_validated(cfg):
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None


def wrapped(key):
    def change(cfg):
        cfg[key].dataset = dict(type='EveryFifth', dataset=cfg[key].dataset)
        cfg.train_dataloader.sampler.stratified = False  # this wrapper does not give labels

    return change


def short_lists(cfg):
    dataset = cfg.val_dataloader.dataset
    lines = Path(dataset.ann_file).read_text().splitlines(keepends=True)
    lists = {'two.txt': lines[:2], 'four.txt': lines[2:6]}
    for name, kept in lists.items():
        Path(name).write_text(''.join(kept))
    parts = [{**dataset, 'ann_file': str(Path(name).absolute())} for name in lists]
    cfg.val_dataloader.dataset = dict(type='ConcatDataset', datasets=parts)


def first_broken(key, **settings):
    def change(cfg):
        dataset = cfg[key].dataset
        lines = 'none0.mp4 0\nnone1.mp4 0\nnone2.mp4 0\n' + Path(dataset.ann_file).read_text()
        Path('list.txt').write_text(lines)
        dataset.update(ann_file=str(Path('list.txt').absolute()), **settings)

    return change


@pytest.mark.parametrize(
    'change, doubtful',
    [
        (by_epochs, set()),
        (elsewhere, set()),
        (only_dumped, set()),
        (averaged, set()),
        (not_validated, set()),
        (short_lists, set()),
        (wrapped('train_dataloader'), set()),
        (wrapped('val_dataloader'), {'a validation'}),
        (first_broken('train_dataloader'), {'train_dataloader'}),
        (first_broken('test_dataloader', count_broken=True), set()),
    ],
)
def test_what_would_train_is_not_called_wrong(findings, tmp_path, monkeypatch, change, doubtful):
    monkeypatch.chdir(tmp_path)
    found = findings(change)
    assert not wrong(found)
    assert of_status(found, Status.DOUBTFUL).keys() == doubtful
    assert {path.name for path in tmp_path.iterdir()} <= {'list.txt', 'two.txt', 'four.txt'}


def test_what_may_be_meant_is_only_pointed_out(findings, clips, tmp_path, monkeypatch):
    shutil.copytree(clips, tmp_path / 'clips')
    first = (clips / 'train_list_videos.txt').read_text().split()[0]
    (tmp_path / 'clips/videos_train' / first).unlink()
    monkeypatch.setattr(torch, '__version__', '2.9.1')
    found = findings(
        **{
            'train_dataloader.dataset.data_prefix.video': f'{tmp_path}/clips/videos_train',
            'optim_wrapper.accumulative_counts': 3,
        }
    )
    doubtful = of_status(found, Status.DOUBTFUL)
    assert doubtful.keys() == {'versions', 'train_dataloader', 'checkpoints'}
    assert 'its 3D convolutions are slow' in doubtful['versions']
    assert re.search(r'; \d+ others cannot be read', doubtful['train_dataloader'])
    assert 'a restart loses accumulated gradients' in doubtful['checkpoints']


def test_the_tools_print_a_table_and_fail_before_anything_is_written(clips, tmp_path):
    checkpoint = tmp_path / 'weights.pth'
    torch.save(dict(state_dict={}), checkpoint)
    arguments = ['--work-dir', tmp_path / 'run', '--cfg-options']
    options = tiny_options(clips)
    result = run_tool('check.py', TOY, *arguments, *as_arguments(options))
    assert len(re.findall(r'^ok +', result.stdout, flags=re.MULTILINE)) == 13
    options['model.cls_head.in_channels'] = 7
    doors = ['check.py', TOY], ['train.py', TOY], ['test.py', TOY, checkpoint, '--check']
    for tool, *words in doors:
        result = run_tool(tool, *words, *arguments, *as_arguments(options), check=False)
        assert result.returncode == 1
        assert re.search(r'^wrong +network', result.stdout, flags=re.MULTILINE)
        assert 'cls_head.in_channels is 7, but the backbone gives 64' in result.stderr
        assert not (tmp_path / 'run').exists()


def test_shared_memory_is_that_of_all_processes(findings, monkeypatch):
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '1000000')
    found = wrong(findings(**{'train_dataloader.num_workers': 1}))
    assert f'MB needed in {SHARED_MEMORY}' in found['train_dataloader: shared memory']


def test_a_check_of_ones_own_is_one_function(findings):
    """Its place in the table and what becomes of its errors follow."""

    @check('moon', loader='val_dataloader')
    def moon(run):
        raise Doubtful(f'full, with {len(run.samples["val_dataloader"])} samples')

    @check('{}: tides', each_loader=True)
    def tides(run, key):
        raise KeyError(key)

    try:
        found = findings()
    finally:
        del CHECKS[-2:]
    assert found['moon'][1:3] == (Status.DOUBTFUL, 'full, with 3 samples')
    for key in LOADERS:
        assert found[f'{key}: tides'][1:3] == (Status.WRONG, f"KeyError: '{key}'")


OPENED = """
import atexit, os, runpy, sys
from collections import Counter

opened, process = Counter(), os.getpid()

def note(event, arguments):
    if event == 'open' and os.getpid() == process and 'r' in str(arguments[1]):
        opened[os.path.basename(str(arguments[0]))] += 1

sys.addaudithook(note)
atexit.register(lambda: print('opened', opened['train_list_videos.txt'], opened['weights.pth']))
sys.argv = sys.argv[1:]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name='__main__')
"""


def test_before_and_in_a_run_the_list_and_the_checkpoint_are_read_once(clips, tmp_path):
    cfg = tiny_config('artnet_r18_d_toy', clips, tmp_path)
    weights = tmp_path / 'weights.pth'
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), weights)
    options = {**tiny_options(clips), 'load_from': str(weights), 'train_cfg.max_iters': 1}
    words = ['--work-dir', tmp_path / 'run', '--cfg-options', *as_arguments(options)]
    command = [sys.executable, '-c', OPENED, ROOT / 'tools/train.py', TOY, *words]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == 'opened 1 1'


def test_a_mistyped_setting_is_said_and_variables_of_a_config_are_not():
    for path in sorted(Path(ROOT, 'configs').rglob('*.py')):
        if path.parent.name not in ('study', 'pipelines'):
            assert mistyped(Config.fromfile(path)) == [], path
    cfg = Config.fromfile(TOY)
    cfg.merge_from_dict(dict(trian_cfg={}, load_fro='', train_dataloder={}, names=3, videos={}))
    assert [key for _, key in mistyped(cfg)] == ['train_cfg', 'load_from', 'train_dataloader']
