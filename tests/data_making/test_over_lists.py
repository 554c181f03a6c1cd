"""Prepared copies through the real tool, and what all tools over lists refuse."""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import decord
import numpy as np
import pytest

from artnet_mm.data_making import copies
from artnet_mm.data_making.copies import resize, write_copy
from artnet_mm.data_making.motion_clips import motion_clip, write_video
from artnet_mm.data_making.over_lists import (
    check_output_paths,
    keep_settings,
    prepare,
    read_lists,
)

from ..helpers import ROOT, run_tool

pytestmark = pytest.mark.slow

LENGTHS = {'a b/long.mp4': 21, 'short.mp4': 5, 'still.mp4': 1}


def frames(path: Path) -> np.ndarray:
    return np.stack([frame.asnumpy() for frame in decord.VideoReader(str(path))])


def start(tool: str, *words: object) -> subprocess.Popen:
    """A tool in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, ROOT / 'tools' / tool, *map(str, words)],
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Heard even where the tests run in the background, where it is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_until(tool: subprocess.Popen, condition: Callable) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        if tool.poll() is not None or time.monotonic() > deadline:
            os.killpg(tool.pid, signal.SIGKILL)
            raise AssertionError(tool.communicate()[1])
        time.sleep(0.01)


def write_data(root: Path) -> Path:
    """Data root with three videos, a file that is none, and lists of them."""
    (root / 'videos/a b').mkdir(parents=True)
    for label, (name, length) in enumerate(LENGTHS.items()):
        clip = motion_clip(label, seed=label, num_frames=length, size=(120, 96))
        write_video(root / 'videos' / name, clip)
    (root / 'videos/words.avi').write_text('<html>not found</html>')
    lines = [f'{name} {label}\n' for label, name in enumerate(LENGTHS)]
    (root / 'list.txt').write_text(''.join(lines) + 'words.avi 3\n')
    (root / 'more.txt').write_text('short.mp4 7\nshort.mp4\n')
    return root


@pytest.fixture
def data(tmp_path) -> Path:
    return write_data(tmp_path / 'data')


def words(data: Path, out: Path) -> list:
    folders = ['--videos', data / 'videos', '--out-dir', out]
    return ['data/prepare_videos.py', data / 'list.txt', *folders]


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
    """Data root, data root of the copies, arguments of the tool, and how it ended."""
    data = write_data(tmp_path_factory.mktemp('source') / 'data')
    out = tmp_path_factory.mktemp('prepared')
    arguments = [*words(data, out), '--size', 60, 48, '--gop', 4]
    arguments.insert(1, data / 'more.txt')
    return data, out, arguments, run_tool(*arguments, check=False)


def test_copies_have_the_frames_of_the_videos(prepared):
    data, out, *_ = prepared
    for name, length in LENGTHS.items():
        source, copy = frames(data / 'videos' / name), frames(out / 'videos' / name)
        assert copy.shape == (length, 48, 60, 3)
        for small, large in zip(copy, source):
            expected = cv2.resize(large, (60, 48), interpolation=cv2.INTER_AREA)
            assert cv2.absdiff(small, expected).mean() < 6


def test_copies_are_h264_with_near_keyframes_at_the_rate_of_the_video(prepared):
    with av.open(str(prepared[1] / 'videos/a b/long.mp4')) as container:
        (stream,) = container.streams
        assert stream.codec_context.name == 'h264'
        assert stream.codec_context.pix_fmt == 'yuv420p'
        assert stream.average_rate == 25
        keyframes = [i for i, frame in enumerate(container.decode(stream)) if frame.key_frame]
    assert np.diff([*keyframes, 21]).max() <= 4


def test_lists_have_what_succeeded_and_a_rerun_adds_the_rest(prepared):
    data, out, arguments, result = prepared
    assert result.returncode == 1
    assert '3 done, 0 already there, 1 failed' in result.stdout
    assert 'words.avi' in result.stdout
    assert (out / 'list.txt').read_text() == 'a b/long.mp4 0\nshort.mp4 1\nstill.mp4 2\n'
    assert (out / 'more.txt').read_text() == 'short.mp4 7\nshort.mp4\n'
    reason = (out / 'list_failed.txt').read_text()
    assert re.fullmatch(r'words\.avi\t\S+words\.avi cannot be opened as a video: .*\n', reason)
    assert not (out / 'more_failed.txt').exists()
    settings = json.loads((out / 'settings.json').read_text())
    assert settings == dict(size=[60, 48], gop=4, crf=20)

    shutil.copy(data / 'videos/short.mp4', data / 'videos/words.avi')
    before = (out / 'videos/short.mp4').stat()
    result = run_tool(*arguments)
    assert '1 done, 3 already there, 0 failed' in result.stdout
    assert (out / 'videos/short.mp4').stat() == before
    assert (out / 'list.txt').read_text().splitlines()[-1] == 'words.mp4 3'
    assert not (out / 'list_failed.txt').exists()


@pytest.fixture
def hanging(data, tmp_path):
    """The tool at work on a pipe that nobody writes to, the other three copies being made."""
    out = tmp_path / 'out'
    (data / 'videos/words.avi').unlink()
    os.mkfifo(data / 'videos/words.avi')
    tool = start(*words(data, out), '--processes', '2')
    wait_until(tool, lambda: all((out / 'videos' / name).exists() for name in LENGTHS))
    wait_until(tool, lambda: list(out.glob('videos/.part-*/*')))
    yield out, tool
    if tool.poll() is None:
        os.killpg(tool.pid, signal.SIGKILL)


# Some may be there and not yet be counted.
STOPPED = r'stopped: [1-3] of 4 videos are finished; the same command goes on\n'


def test_ctrl_c_stops_it_with_one_line(hanging):
    out, tool = hanging
    os.killpg(tool.pid, signal.SIGINT)
    _, stderr = tool.communicate(timeout=30)
    assert tool.returncode == 1
    assert re.fullmatch(STOPPED, stderr)
    assert not list(out.glob('videos/.part-*'))
    assert not (out / 'list.txt').exists()


def test_a_second_run_into_the_same_folder_is_refused(hanging, data):
    out, tool = hanging
    result = run_tool(*words(data, out), check=False)
    assert result.stderr == f'error: another run is writing to {out}/videos\n'
    tool.terminate()
    _, stderr = tool.communicate(timeout=30)
    assert tool.returncode == 1
    assert re.fullmatch(STOPPED, stderr)


def test_killed_it_goes_on_when_started_again(hanging, data):
    out, tool = hanging
    os.killpg(tool.pid, signal.SIGKILL)
    tool.communicate()
    assert list(out.glob('videos/.part-*'))
    result = run_tool(*words(data, out), '--timeout', 1, check=False)
    assert '0 done, 3 already there, 1 failed' in result.stdout
    assert (out / 'list_failed.txt').read_text() == 'words.avi\ttook longer than 1 s\n'
    assert not list(out.glob('videos/.part-*'))


def test_odd_sizes_are_refused(data, tmp_path):
    result = run_tool(*words(data, tmp_path / 'out'), '--size', 171, 128, check=False)
    assert result.returncode == 2
    assert 'error: H.264 needs a --size of even numbers, not 171 128' in result.stderr
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('option', ['--processes', '--timeout'])
def test_no_processes_and_no_time_are_refused(option, tmp_path):
    result = run_tool(*words(tmp_path, tmp_path / 'out'), option, 0, check=False)
    assert result.returncode == 2
    assert '--processes and --timeout must be above 0' in result.stderr


def refusal(*lists: Path, videos: Path, out: Path, **settings) -> str:
    """What ``prepare`` says; no work may begin."""
    args = argparse.Namespace(lists=lists, videos=videos, out_dir=out)
    with pytest.raises(SystemExit) as error:
        prepare(args, work=None, settings=settings)
    return error.value.code


def test_results_among_the_videos_are_refused(data, tmp_path):
    path = (data / 'list.txt').rename(tmp_path / 'list.txt')
    message = refusal(path, videos=data / 'videos/', out=data)
    assert message == f'error: --out-dir {data} is where the videos are; give another folder'
    assert sorted(os.listdir(data)) == ['more.txt', 'videos']


def test_tuples_among_the_settings_are_those_of_the_file(tmp_path):
    for _ in range(2):
        keep_settings(tmp_path, tmp_path, dict(options={'topk': (1, 5)}))


def test_other_settings_are_refused_where_there_are_results(data, tmp_path):
    (tmp_path / 'settings.json').write_text('{"bound": 20, "size": [4, 2]}')
    message = refusal(
        data / 'list.txt', videos=data / 'videos', out=tmp_path, bound=20.0, size=None, gop=8
    )
    assert message == (
        f'error: {tmp_path} was made with size [4, 2] (now None), gop None (now 8): '
        'give another --out-dir'
    )
    assert not list(tmp_path.glob('videos/.part*'))


def test_lists_and_folders_are_checked_before_any_work(data, tmp_path):
    lists, folder, out = [data / 'list.txt'], data / 'videos', tmp_path / 'out'
    with pytest.raises(FileNotFoundError, match=r'file .*none\.txt does not exist'):
        read_lists([data / 'none.txt'], folder, out)
    with pytest.raises(FileNotFoundError, match=r'folder of videos .*none does not exist'):
        read_lists(lists, data / 'none', out)
    with pytest.raises(ValueError, match=r'list\.txt would be overwritten; give another --out-dir'):
        read_lists(lists, folder, data / 'videos/..')
    (tmp_path / 'list.txt').write_text('a.mp4 0\n')
    with pytest.raises(ValueError, match=r'would both be written to .*out/list\.txt'):
        read_lists([*lists, tmp_path / 'list.txt'], folder, out)
    assert [*read_lists(lists * 2, folder, out)] == lists


@pytest.mark.parametrize(
    'paths, message',
    [
        (['a.avi', 'b/a.mp4', 'a.mp4'], r'a\.avi and a\.mp4 would both be written to a'),
        (['a.avi', './a.avi'], r'a\.avi and \./a\.avi would both be written to \./a'),
        (['a.avi', 'a/b.avi'], r'a/b\.avi would be written into a, as a\.avi is'),
        (['/a.avi'], r'/a\.avi is not a path inside the folder of videos'),
        (['a/../../b.avi'], 'is not a path inside the folder of videos'),
        (['a .avi'], "'a  0' cannot be a line of a list: rename 'a '"),
    ],
)
def test_results_that_would_meet_are_refused(paths, message):
    with pytest.raises(ValueError, match=message):
        check_output_paths(paths, suffix='')


def test_a_copy_that_is_not_like_the_video_is_refused(data, tmp_path):
    """At x264's worst quality nothing is left of the picture."""
    with pytest.raises(ValueError, match=r'frame 0 of the copy is off by \d+\.\d levels'):
        write_copy(data / 'videos/short.mp4', tmp_path / 'a.mp4', size=(96, 64), gop=8, crf=51)
    write_copy(data / 'videos/short.mp4', tmp_path / 'b.mp4', (96, 64), gop=8, crf=20)
    with pytest.raises(ValueError, match='the copy has 5 frames instead of 6'):
        copies._verify(tmp_path / 'b.mp4', 6, {})


def test_frames_are_averaged_where_they_shrink():
    stripes = np.tile(np.uint8([255, 0, 0, 255]), (64, 16))
    assert (resize(stripes, (16, 16)) == 128).all()  # bilinear sees the middle two only: 0
    assert resize(stripes, (100, 100)).shape == (100, 100)


@pytest.mark.parametrize('tool', ['prepare_videos.py', 'extract_flow.py'])
def test_a_folder_that_holds_something_else_is_refused(clips, tmp_path, tool):
    (tmp_path / 'videos_val').mkdir()
    (tmp_path / 'videos_val/up_00000.mp4').write_text('something else')
    lists = ['--videos', clips / 'videos_val', '--out-dir', tmp_path]
    result = run_tool(f'data/{tool}', clips / 'val_list_videos.txt', *lists, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith(f'error: {tmp_path}/videos_val/up_00000.mp4 is there already')
    assert not (tmp_path / 'val_list_videos.txt').exists()
