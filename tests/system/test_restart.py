"""Runs killed with SIGKILL go on as if they had not been: same weights, schedule and log."""

import json
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import islice

import pytest
import torch
from mmaction.registry import DATA_SAMPLERS, DATASETS
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.hooks import CheckpointHook
from mmengine.logging import MessageHub, MMLogger
from torch.utils.data import Subset

from artnet_mm.checkpoints import check_resumable, latest_checkpoint
from artnet_mm.datasets.seeding import SeededIndex
from artnet_mm.engine.restart import RestartHook

from ..helpers import ROOT

ITERS = 8  # of the fixture's runs
SEED = ('--seed', 3)


def scalars(work_dir) -> list[dict]:
    """What the runs of a work dir logged, without times, the last of each iteration."""
    logged = {}
    for file in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in file.read_text().splitlines():
            record = json.loads(line)
            kind = 'val' if 'acc/top1' in record else 'train'
            record = {k: v for k, v in record.items() if k not in ('time', 'data_time', 'memory')}
            logged[record['step'], kind] = record
    return [logged[key] for key in sorted(logged)]


def plain(value):
    """Tensors and arrays as bytes, so that equal means equal bit for bit, NaN too."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.numpy().tobytes() if isinstance(value, torch.Tensor) else repr(value)


def same_run(one, other) -> None:
    ends = [torch.load(run / f'iter_{ITERS}.pth', weights_only=True) for run in (one, other)]
    for key in ('state_dict', 'optimizer', 'param_schedulers'):
        assert plain(ends[0][key]) == plain(ends[1][key]), key
    assert scalars(one) == scalars(other)
    assert len(scalars(one)) == ITERS + 2
    (best,), (other_best,) = (list(run.glob('best*')) for run in (one, other))
    assert best.name == other_best.name
    bests = [torch.load(path, weights_only=True)['state_dict'] for path in (best, other_best)]
    assert plain(bests[0]) == plain(bests[1])
    for ends_of in (one, other):
        assert sorted(path.name for path in ends_of.glob('iter_*.pth')) == [
            'iter_4.pth', 'iter_6.pth', 'iter_8.pth'
        ]  # fmt: skip


def decoded(tmp_path, work_dir) -> Counter:
    return Counter(map(int, (tmp_path / f'{work_dir}.decoded').read_text().split()))


def test_a_run_killed_again_and_again_is_the_one_never_interrupted(train_short, tmp_path):
    whole, killed = tmp_path / 'whole', tmp_path / 'killed'
    train_short('whole', *SEED)
    for moment in ('step 3', 'validation 4', 'writing 6'):
        result = train_short('killed', *SEED, '--resume', check=False, moment=moment)
        assert result.returncode == -signal.SIGKILL, result.stdout + result.stderr
    assert (killed / 'unfinished_iter_6.pth').stat().st_size
    assert not (killed / 'iter_6.pth').exists()
    (tmp_path / 'killed.decoded').unlink()
    train_short('killed', '--resume')
    same_run(whole, killed)
    sampler = build_sampler(size=20, seed=3)
    sampler.start = 4 * 2  # iterations of two clips
    ahead = 2 * 2 * 2  # prefetched: two batches a worker
    unseen = Counter(map(int, islice(sampler, 4 * 2 + ahead)))
    assert decoded(tmp_path, 'killed') <= unseen


def test_two_processes_of_which_one_is_killed_go_on_alike_with_a_drawn_seed(train_short, tmp_path):
    whole, killed = tmp_path / 'whole', tmp_path / 'killed'
    two = dict(processes=2, hooks=['EMAHook'])
    train_short('whole', **two, moment=f'buffers {ITERS}')
    killed.mkdir()
    shutil.copy(whole / 'iter_4.pth', killed)  # what a run had that was killed after it
    result = train_short('killed', '--resume', **two, check=False, moment='step 7', of_rank=1)
    assert result.returncode
    assert re.search(r'exitcode *: -9', result.stderr)
    train_short('killed', '--resume', **two)
    ends = [torch.load(run / f'iter_{ITERS}.pth', weights_only=True) for run in (whole, killed)]
    for key in ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers'):
        assert plain(ends[0][key]) == plain(ends[1][key]), key
    assert [r for r in scalars(whole) if r['step'] > 4] == [
        r for r in scalars(killed) if r['step'] > 4
    ]

    # BN statistics: the mean of both, in the averaged network too, which is `state_dict`
    ranks = [torch.load(tmp_path / f'whole.decoded.{rank}', weights_only=True) for rank in (0, 1)]
    averaged, trained = ends[0]['state_dict'], ends[0]['ema_state_dict']
    names = [name for name in ranks[0] if name in averaged]
    assert sum('running_var' in name for name in names) > 30
    assert any((ranks[0][name] != ranks[1][name]).any() for name in names)
    for name in names:
        mean = (ranks[0][name].double() + ranks[1][name]) / 2
        for saved in (averaged[name], trained[f'module.{name}']):
            torch.testing.assert_close(saved.double(), mean, rtol=1e-6, atol=0)


def test_averages_of_buffers_are_those_of_all_processes(train_short, tmp_path):
    two = dict(processes=2, hooks=['BufferEMAHook'])
    train_short('whole', *SEED, **two)
    (tmp_path / 'resumed').mkdir()
    shutil.copy(tmp_path / 'whole/iter_4.pth', tmp_path / 'resumed')
    train_short('resumed', '--resume', *SEED, **two)
    whole, resumed = (
        [record for record in scalars(tmp_path / run) if record['step'] > 4]
        for run in ('whole', 'resumed')
    )
    assert whole == resumed and 'acc/nll' in whole[-1]  # which both processes validate


def test_checkpoints_of_a_remote_folder_are_found_there():
    hook = CheckpointHook(interval=1, save_best=None)
    hook.out_dir, hook.file_backend = 's3://bucket/run', LocalBackend()
    hub = MessageHub.get_instance('remote')
    hub.update_info('last_ckpt', 's3://bucket/before/iter_4.pth')
    RestartHook._find_checkpoints(hook, hub)
    assert hook.last_ckpt == hub.get_info('last_ckpt') == 's3://bucket/run/iter_4.pth'


def test_another_batch_and_number_of_processes_go_on_at_the_first_unseen_sample(
    train_short, tmp_path
):
    train_short('run', processes=2, **{'train_cfg.max_iters': 2})
    (tmp_path / 'run.decoded').unlink()
    train_short('run', '--resume', **{'train_cfg.max_iters': 3, 'train_dataloader.batch_size': 3})
    known = torch.load(tmp_path / 'run/iter_3.pth', weights_only=True)['message_hub']
    seen = 2 * 2 * 2  # iterations, processes, clips
    assert known['runtime_info']['samples_seen'] == seen + 3
    order = map(int, build_sampler(20, seed=known['runtime_info']['sampler_seed']))
    ahead = 2 * 2 * 3  # prefetched: two batches a worker
    assert decoded(tmp_path, 'run') <= Counter(islice(order, seen, seen + 3 + ahead))


BALANCED = dict(type='ClassBalancedDataset', oversample_thr=0.13)


@pytest.fixture
def unbalanced(clips, tmp_path):
    """List of a video for each of five classes, two for each of five others."""
    lines = (clips / 'train_list_videos.txt').read_text().splitlines(keepends=True)
    (tmp_path / 'unbalanced.txt').write_text(''.join(lines[5:]))
    return tmp_path / 'unbalanced.txt'


def test_a_class_balanced_run_that_is_killed_is_the_one_never_interrupted(
    train_short, unbalanced, tmp_path
):
    options = {
        'wrapper': BALANCED,
        'train_dataloader.dataset.ann_file': unbalanced,
        'train_dataloader.sampler.stratified': True,
    }
    train_short('whole', *SEED, **options)
    result = train_short('killed', *SEED, check=False, moment='step 5', **options)
    assert result.returncode == -signal.SIGKILL, result.stdout + result.stderr
    (tmp_path / 'killed.decoded').unlink()
    result = train_short('killed', '--resume', **options)
    same_run(tmp_path / 'whole', tmp_path / 'killed')
    assert 'may lose the seeds' not in result.stdout + result.stderr
    assert len(decoded(tmp_path, 'killed')) > 4  # only samples with seeds are noted


def test_a_full_disk_keeps_the_last_checkpoint_and_stops(train_short, tmp_path):
    result = train_short('full', check=False, moment='full 4')
    assert result.returncode == 1
    assert 'iter_4.pth cannot be written: File too large' in result.stderr
    assert '--resume goes on from the last one' in result.stderr
    left = sorted(path.name for path in (tmp_path / 'full').glob('[!.]*.*'))
    assert left == ['iter_2.pth', 'moments_of_a_run.py']
    assert latest_checkpoint(tmp_path / 'full').name == 'iter_2.pth'


@pytest.fixture
def saved(tmp_path):
    """A work dir with checkpoints of three iterations."""
    for step in (9, 100, 1000):
        torch.save(dict(state_dict=dict(a=torch.zeros(99))), tmp_path / f'iter_{step}.pth')
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/work_dirs/run/iter_1000.pth')
    return tmp_path


def cut(path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def test_the_last_checkpoint_is_the_one_that_is_named(saved):
    assert latest_checkpoint(saved).name == 'iter_1000.pth'
    (saved / 'last_checkpoint').write_text(str(saved / 'iter_100.pth'))
    assert latest_checkpoint(saved).name == 'iter_100.pth'  # 1000 is of an earlier run
    for lost in ('', 'iter_7.pth'):
        (saved / 'last_checkpoint').write_text(lost)
        assert latest_checkpoint(saved).name == 'iter_1000.pth'
    (saved / 'last_checkpoint').unlink()
    assert latest_checkpoint(saved).name == 'iter_1000.pth'
    assert latest_checkpoint(saved / 'none') is None


@pytest.mark.parametrize('content', [b'\xff\0\x80\n', b'x' * 5000, b'9' * 300, None])
def test_a_spoilt_mark_of_the_last_checkpoint_is_passed_over(saved, content):
    (saved / 'last_checkpoint').unlink()
    if content:
        (saved / 'last_checkpoint').write_bytes(content)
    else:
        (saved / 'last_checkpoint').mkdir()
    assert latest_checkpoint(saved).name == 'iter_1000.pth'


def test_checkpoints_elsewhere_and_of_other_names_are_found_where_the_run_has_left_them(
    saved, tmp_path
):
    elsewhere, work_dir = tmp_path / 'out_dir/run', tmp_path / 'run'
    elsewhere.mkdir(parents=True)
    work_dir.mkdir()
    for step in (9, 100):
        (saved / f'iter_{step}.pth').rename(elsewhere / f'r18_step_{step}.pth')
    (work_dir / 'last_checkpoint').write_text(str(elsewhere / 'r18_step_100.pth'))
    assert latest_checkpoint(work_dir) == elsewhere / 'r18_step_100.pth'
    cut(elsewhere / 'r18_step_100.pth')
    assert latest_checkpoint(work_dir) == elsewhere / 'r18_step_9.pth'
    # A copy of a work dir goes on from its own.
    shutil.copy(saved / 'iter_1000.pth', work_dir / 'r18_step_100.pth')
    assert latest_checkpoint(work_dir) == work_dir / 'r18_step_100.pth'
    (work_dir / 'r18_step_100.pth').unlink()
    shutil.rmtree(elsewhere)
    with pytest.raises(RuntimeError, match=r'last_checkpoint names .*, but there is no checkpoint'):
        latest_checkpoint(work_dir)


def test_weights_alone_and_missing_files_are_nothing_to_resume(saved):
    with pytest.raises(ValueError, match=r'iter_9\.pth holds no state of the optimizer'):
        check_resumable(saved / 'iter_9.pth')
    with pytest.raises(FileNotFoundError, match=r'no\.pth does not exist'):
        check_resumable('no.pth')
    torch.save(dict(state_dict={}, optimizer={}), saved / 'iter_10.pth')
    check_resumable(saved / 'iter_10.pth')


def test_a_run_does_not_write_over_another(saved, train_short):
    result = train_short('.', check=False)
    assert result.returncode == 1
    assert 'has the checkpoints of another run: --resume goes on with it' in result.stderr


def test_two_runs_do_not_train_in_one_work_dir(train_short, tmp_path):
    hold = (
        'from pathlib import Path; from artnet_mm.files import sole_writer\n'
        f'with sole_writer(Path({str(tmp_path / "run")!r})): print("held", flush=True); input()\n'
    )
    with subprocess.Popen(
        [sys.executable, '-c', hold], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b'held\n'
        result = train_short('run', '--resume', check=False)
        assert f'error: another run is writing to {tmp_path / "run"}: give another' in result.stderr
        other.stdin.close()
    train_short('run', '--resume')


def test_a_run_that_was_killed_before_its_first_checkpoint_keeps_its_best(train_short, tmp_path):
    best = tmp_path / 'run/best_acc_avg_iter_1.pth'
    best.parent.mkdir()
    best.write_text('of before')
    result = train_short('run', check=False)
    assert 'has the checkpoints of another run' in result.stderr
    assert best.read_text() == 'of before'


def test_a_copied_work_dir_leaves_the_first_alone_and_keeps_what_it_would_have(
    train_short, tmp_path
):
    first, copy = tmp_path / 'first', tmp_path / 'copy'
    short = {'train_cfg.max_iters': 4, 'model.cls_head.num_classes': 10}
    train_short('first', *SEED, **short)
    shutil.copytree(first, copy)
    checkpoint = torch.load(copy / 'iter_4.pth', weights_only=True)
    checkpoint['message_hub']['runtime_info']['best_score'] = -1.0  # so that the next is better
    torch.save(checkpoint, copy / 'iter_4.pth')
    train_short('copy', '--resume')
    assert [p.name for p in first.glob('best*')] == ['best_acc_avg_iter_4.pth']
    assert [p.name for p in copy.glob('best*')] == ['best_acc_avg_iter_8.pth']


def test_checkpoints_cut_short_are_named_and_the_one_before_is_taken(saved, capsys):
    cut(saved / 'iter_1000.pth')
    (saved / 'iter_100.pth').write_bytes(b'')
    assert latest_checkpoint(saved).name == 'iter_9.pth'
    said = capsys.readouterr().out
    assert said.index('iter_1000.pth is cut short') < said.index('iter_100.pth is cut short')
    assert said.count('trying the checkpoint before it') == 2
    with open(saved / 'iter_9.pth', 'r+b') as file:  # pages that the disk has lost
        file.seek(file.read().index(bytes(99)) + 4)
        file.write(b'\1' * 40)
    with pytest.raises(RuntimeError, match=r'no checkpoint of .* can be loaded'):
        latest_checkpoint(saved)


def build_sampler(size, **kwargs):
    return DATA_SAMPLERS.build(dict(type='RestartableSampler', dataset=range(size), **kwargs))


def test_samplers_of_all_ranks_share_out_the_stock_order_from_any_start():
    stock = DATA_SAMPLERS.build(dict(type='InfiniteSampler', dataset=range(7), seed=5))
    order = list(islice(stock, 60))
    seen_by_one = build_sampler(7, seed=5)
    alone = list(islice(seen_by_one, 60))
    assert alone == order
    assert len({index.seed for index in alone}) == 60
    for start in (0, 4):
        shares = []
        for rank in range(3):
            sampler = build_sampler(7, seed=5)
            sampler.rank, sampler.world_size, sampler.start = rank, 3, start
            shares.append(list(islice(sampler, 16)))
        together = [index for group in zip(*shares) for index in group]
        expected = alone[start : start + len(together)]
        assert together == expected
        assert [index.seed for index in together] == [index.seed for index in expected]


class Labels:
    """A data set of nothing but labels."""

    def __init__(self, labels):
        self.labels = labels

    def __len__(self):
        return len(self.labels)

    def get_data_info(self, index):
        return dict(label=self.labels[index])


@pytest.mark.parametrize('counts', [(6, 6, 6), (12, 5, 1)])
def test_stratified_batches_have_the_classes_in_their_shares_and_epochs_every_sample(counts):
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    sampler = build_sampler(18, seed=3, stratified=True)
    sampler.dataset = Labels(labels)
    order = list(islice(sampler, 3 * 18))
    epochs = [order[start : start + 18] for start in (0, 18, 36)]
    assert all(sorted(epoch) == list(range(18)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    for epoch in epochs:
        for label, count in enumerate(counts):
            for seen in range(1, 19):  # never more than a sample ahead of or behind its share
                found = sum(labels[index] == label for index in epoch[:seen])
                assert abs(found - seen * count / 18) < 2
    again = build_sampler(18, seed=3, stratified=True)
    again.dataset, again.start = Labels(labels), 20
    rest = list(islice(again, 34))
    assert rest == order[20:]
    assert [index.seed for index in rest] == [index.seed for index in order[20:]]


def test_a_stratified_sampler_needs_labels_and_shuffles():
    with pytest.raises(ValueError, match='the labels of range, which has no get_data_info'):
        next(iter(build_sampler(4, stratified=True)))
    with pytest.raises(ValueError, match='shuffle=False contradicts it'):
        build_sampler(4, shuffle=False, stratified=True)


def balanced(dataset):
    return BALANCED | dict(dataset=dataset)


def repeated(dataset):
    return dict(type='RepeatDataset', times=3, dataset=dataset)


def joined(*datasets):
    return dict(type='ConcatDataset', datasets=list(datasets))


@pytest.mark.parametrize(
    'wrap',
    [dict, repeated, lambda d: joined(d, d), balanced, lambda d: repeated(joined(d, balanced(d)))],
)
def test_what_is_random_in_a_sample_comes_from_its_index(clips, wrap):
    pipeline = [
        dict(type='ClipVideoInit'),
        dict(type='SegmentClipSampler', clip_len=4),
        dict(type='ClipDecode', scale=(86, 64)),
        dict(type='MultiScaleCrop', input_size=32, scales=(1, 0.66), random_crop=True),
        dict(type='ClipFlip', flip_ratio=0.5),
        dict(type='FormatShape', input_format='NCTHW'),
        dict(type='PackActionInputs'),
    ]
    config = dict(
        type='ClipVideoDataset', ann_file=str(clips / 'train_list_videos.txt'), num_classes=10,
        data_prefix=dict(video=str(clips / 'videos_train')), pipeline=pipeline,
    )  # fmt: skip
    dataset = DATASETS.build(wrap(config))
    drawn = [pickle.loads(pickle.dumps(SeededIndex(len(dataset) - 1, seed))) for seed in (1, 2, 1)]
    one, two, again = (dataset[index]['inputs'] for index in drawn)
    assert torch.equal(one, again)
    assert not torch.equal(one, two)


def test_rare_classes_come_as_often_as_others_in_stratified_batches(unbalanced):
    config = dict(type='ClipVideoDataset', ann_file=str(unbalanced), num_classes=10, pipeline=[])
    dataset = DATASETS.build(balanced(config))
    assert len(dataset) == 5 * 2 + 10
    assert Counter(dataset.get_cat_ids(index)[0] for index in range(20)) == dict.fromkeys(
        range(10), 2
    )
    sampler = DATA_SAMPLERS.build(
        dict(type='RestartableSampler', dataset=dataset, seed=3, stratified=True)
    )
    for drawn in (islice(sampler, 10), islice(sampler, 10, 20)):
        labels = Counter(dataset.get_data_info(index)['label'] for index in drawn)
        assert max(labels.values()) <= 2 and len(labels) >= 7
    samples = [dataset.get_data_info(index)['filename'] for index in islice(sampler, 20)]
    assert sorted(Counter(samples).values()) == [1] * 10 + [2] * 5


def test_videos_without_labels_are_of_no_class(tmp_path):
    (tmp_path / 'list.txt').write_text('a.mp4 3\nb.mp4\n')
    config = dict(type='ClipVideoDataset', ann_file=str(tmp_path / 'list.txt'), num_classes=10)
    dataset = DATASETS.build(dict(config, pipeline=[], test_mode=True))
    assert [dataset.get_cat_ids(index) for index in (0, 1)] == [[3], []]


def test_a_wrapper_that_may_lose_seeds_is_named(unbalanced, tmp_path):
    config = dict(type='ClipVideoDataset', ann_file=str(unbalanced), num_classes=10, pipeline=[])
    MMLogger.get_instance(f'wrappers{time.time_ns()}', log_file=str(tmp_path / 'run.log'))
    for kept in (config, repeated(joined(config, balanced(config)))):
        DATA_SAMPLERS.build(dict(type='RestartableSampler', dataset=DATASETS.build(kept)))
    assert not (tmp_path / 'run.log').read_text()
    stock = balanced(config) | dict(type='mmengine.ClassBalancedDataset')
    for dataset, named in (
        (Subset(DATASETS.build(config), [3, 1]), 'Subset'),
        (DATASETS.build(repeated(stock)), 'ClassBalancedDataset'),
    ):
        DATA_SAMPLERS.build(dict(type='RestartableSampler', dataset=dataset))
        said = (tmp_path / 'run.log').read_text().splitlines()[-1]
        assert f'{named} may lose the seeds of samples' in said


def test_a_file_is_there_as_a_whole_or_not_at_all(tmp_path):
    backend = get_file_backend(str(tmp_path), backend_args=dict(backend='whole_files'))
    path = tmp_path / 'new/iter_1.pth'
    backend.put(b'first', str(path))
    (tmp_path / 'new/unfinished_iter_1.pth').mkdir()
    with pytest.raises(OSError, match=r'iter_1\.pth cannot be written: Is a directory'):
        backend.put(b'second', str(path))
    assert path.read_bytes() == b'first'
