"""Videos that cannot be read: replaced in training, never in testing, named, counted, bounded."""

import contextlib
import os
import shutil
import time

import pytest
from mmaction.registry import DATASETS
from mmengine.logging import MMLogger
from torch.utils.data import DataLoader

from artnet_mm.datasets.broken import AT_LEAST, BrokenSamples
from artnet_mm.datasets.timeouts import call_within

PIPELINE = [
    dict(type='ClipVideoInit'),
    dict(type='SegmentClipSampler', clip_len=4),
    dict(type='ClipDecode'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs', meta_keys=('filename',)),
]


@pytest.fixture
def listed(clips, tmp_path):
    """Data set of ten good videos and of others, to be written into the folder videos."""
    shutil.copytree(clips / 'videos_val', tmp_path / 'videos')

    def build(*bad: str, **kwargs):
        lines = (clips / 'val_list_videos.txt').read_text() + ''.join(f'{n} 0\n' for n in bad)
        (tmp_path / 'list.txt').write_text(lines)
        return DATASETS.build(
            dict(
                type='ClipVideoDataset', ann_file=str(tmp_path / 'list.txt'), num_classes=10,
                data_prefix=dict(video=str(tmp_path / 'videos')), pipeline=PIPELINE, **kwargs,
            )
        )  # fmt: skip

    return build


@pytest.fixture
def log(tmp_path):
    """Warnings that workers write, as they are in the log file of a run."""
    MMLogger.get_instance(f'broken{time.time_ns()}', log_file=str(tmp_path / 'run.log'))
    return lambda: [line for line in (tmp_path / 'run.log').read_text().splitlines() if line]


def names(batch) -> list[str]:
    return [os.path.basename(sample['data_samples'].filename) for sample in batch]


def test_workers_replace_what_cannot_be_read_and_name_it_once(listed, log, tmp_path):
    bad = ('missing.mp4', 'empty.mp4', 'text.mp4', 'cut.mp4')
    whole = (tmp_path / 'videos/up_00000.mp4').read_bytes()
    contents = (b'', b'no video\n', whole[: len(whole) * 6 // 10])
    for name, content in zip(bad[1:], contents):
        (tmp_path / 'videos' / name).write_bytes(content)
    dataset = listed(*bad, max_broken=0.5)
    indices = [*range(14)] * 5
    loader = DataLoader(
        dataset, 7, sampler=indices, num_workers=2, collate_fn=names, persistent_workers=True
    )
    drawn = [name for batch in loader for name in batch]
    good = sorted(os.listdir(tmp_path / 'videos'))
    assert len(drawn) == 70 and not set(drawn) & set(bad) and set(drawn) <= set(good)
    assert dataset.broken_samples.failed >= 4 * 5  # another draw may fail as well
    assert dataset.broken_samples.drawn == 70 + dataset.broken_samples.failed
    assert len(dataset.broken_samples._counts.sum(1).nonzero()) == 2  # each worker for itself
    lines = log()
    for name in bad:
        (line,) = (line for line in lines if f'videos/{name}: ' in line)
        assert 'another sample takes its place' in line


def test_any_video_that_can_be_read_stands_in_for_one_that_cannot(listed, tmp_path):
    dataset = listed('missing.mp4', test_mode=True, count_broken=True)
    lines = (tmp_path / 'list.txt').read_text().splitlines()
    for number in range(10):  # the last but one of the list is left
        (tmp_path / 'videos' / lines[number].split()[0]).rename(tmp_path / f'{number}.mp4')
    with pytest.raises(RuntimeError, match='nor can any other video'):
        dataset[10]
    (tmp_path / 'good.mp4').write_bytes((tmp_path / '9.mp4').read_bytes())
    (tmp_path / 'good.mp4').rename(tmp_path / 'videos/missing.mp4')
    sample = dataset[3]
    assert names([sample]) == [lines[3].split()[0]]
    assert 'cannot read a clip' in sample['data_samples'].problem


def test_a_video_that_hangs_is_left_behind(listed, log, tmp_path):
    os.mkfifo(tmp_path / 'videos/hang.mp4')  # opening it waits for a writer
    dataset = listed('hang.mp4', timeout=0.5)
    start = time.monotonic()
    assert names([dataset[10]]) != ['hang.mp4']
    assert time.monotonic() - start < 30
    assert 'hang.mp4: it took longer than 0.5 s' in log()[-1]
    kept = dataset.broken_samples.state_dict()
    dataset = listed('hang.mp4', timeout=0.5, max_broken=0.1)
    dataset.broken_samples.load_state_dict(kept)
    start = time.monotonic()
    for _ in range(20):  # it is not waited for again
        assert names([dataset[10]]) != ['hang.mp4']
    assert time.monotonic() - start < 5
    assert dataset.broken_samples.failed >= 21
    assert len(log()) == 1
    tested = listed('hang.mp4', timeout=0.5, test_mode=True)
    with pytest.raises(RuntimeError, match=r'hang\.mp4: it took longer than 0\.5 s'):
        tested[10]
    for _ in range(2):  # let the threads go
        with contextlib.suppress(OSError):  # nobody waits any more
            os.close(os.open(tmp_path / 'videos/hang.mp4', os.O_WRONLY | os.O_NONBLOCK))
        time.sleep(0.1)


def test_more_than_the_share_stops_the_training_saying_so(listed):
    dataset = listed('missing.mp4', max_broken=0.003)
    with pytest.raises(RuntimeError, match=r'missing\.mp4: .*with it 4 of \d+ training samples'):
        for _ in range(4):
            dataset[10]
    with pytest.raises(RuntimeError, match=r'more than max_broken=0 of at least 1000'):
        listed('missing.mp4', max_broken=0)[10]


def test_the_share_is_that_of_all_drawn_samples():
    broken = BrokenSamples(size=10, max_share=0.01)
    for _ in range(2 * AT_LEAST):
        broken.draw()
    for _ in range(20):
        broken.fail(3, 'problem')
    with pytest.raises(RuntimeError, match='with it 21 of 2000'):
        broken.fail(3, 'problem')


def test_a_resumed_run_counts_on_and_names_nothing_again(log):
    broken, resumed, other = (BrokenSamples(size, max_share=0.5) for size in (10, 10, 9))
    for _ in range(3):
        broken.draw()
    broken.fail(3, 'problem of the third')
    for again in (resumed, other):
        again.load_state_dict(broken.state_dict())
    resumed.fail(3, 'problem of the third')
    assert (resumed.drawn, resumed.failed) == (3, 2)
    assert (other.drawn, other.failed) == (0, 0)  # of another list
    (line,) = log()
    assert 'problem of the third' in line


def test_errors_and_results_come_through_the_thread():
    assert call_within(5, divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        call_within(5, divmod, 7, 0)

    def late():
        raise TimeoutError('of the server')

    with pytest.raises(TimeoutError, match='of the server'):
        call_within(5, late)


@pytest.mark.parametrize('option', [dict(max_broken=2), dict(max_broken=-1), dict(timeout=0)])
def test_a_share_beyond_one_and_no_time_are_refused(listed, option):
    with pytest.raises(ValueError, match='max_broken is a share from 0 to 1'):
        listed(**option)
