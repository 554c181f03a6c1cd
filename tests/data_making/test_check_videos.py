"""The check of videos on files damaged as downloads and disks damage them."""

import os
import re
import signal
from pathlib import Path

import cv2
import pytest

from artnet_mm.data_making.copies import check_video, write_copy
from artnet_mm.data_making.motion_clips import motion_clip, write_video

from ..helpers import run_tool
from .test_over_lists import start, wait_until

pytestmark = pytest.mark.slow


def write_avi(path: Path) -> None:
    """A video with its index at the end, as those of UCF101 and HMDB51 are."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'XVID'), 25, (120, 96))
    for frame in motion_clip(label=2, seed=3, num_frames=40, size=(120, 96)):
        writer.write(frame)
    writer.release()


@pytest.fixture
def data(tmp_path) -> Path:
    """Data root with whole and broken videos; ``list.txt`` has the broken ones last."""
    root = tmp_path / 'data'
    folder = root / 'videos'
    folder.mkdir(parents=True)
    write_avi(folder / 'whole.avi')
    write_video(folder / 'part.mp4', motion_clip(label=4, seed=1, num_frames=40, size=(120, 96)))
    write_copy(folder / 'part.mp4', folder / 'whole one.mp4', (120, 96), gop=8, crf=20)
    for path in (folder / 'whole.avi', folder / 'whole one.mp4'):
        content = path.read_bytes()
        for percent in (10, 50, 80):
            cut = folder / f'cut{percent}{path.suffix}'
            cut.write_bytes(content[: len(content) * percent // 100])
    # zeros in the place of frames, the index being whole
    (folder / 'hole.mp4').write_bytes(content[:8000] + bytes(2000) + content[10000:])
    (folder / 'empty.avi').write_bytes(b'')
    whole = ['whole.avi', 'whole one.mp4', 'part.mp4']
    broken = [f'cut{percent}.{kind}' for percent in (10, 50, 80) for kind in ('avi', 'mp4')]
    broken += ['hole.mp4', 'empty.avi', 'gone.avi']
    lines = [f'{name} {label}\n' for label, name in enumerate(whole + broken)]
    (root / 'list.txt').write_text(''.join(lines))
    return root


def words(data: Path, out: Path) -> list:
    folders = ['--videos', data / 'videos', '--out-dir', out]
    return ['data/check_videos.py', data / 'list.txt', *folders]


def test_damaged_videos_are_found_and_left_out(data, tmp_path):
    out = tmp_path / 'out'
    result = run_tool(*words(data, out), check=False)
    assert result.returncode == 1
    assert '3 done, 0 already there, 9 failed' in result.stdout
    assert '1 h264 in mov,mp4,m4a,3gp,3g2,mj2: by the times in the file\n' in result.stdout
    assert '1 mpeg4 in avi: decoded once to know its frames\n' in result.stdout
    assert (out / 'list.txt').read_text() == 'whole.avi 0\nwhole one.mp4 1\npart.mp4 2\n'
    lines = (out / 'list_broken.txt').read_text().splitlines()
    reasons = dict(line.split('\t') for line in lines)
    assert list(reasons)[:2] == ['cut10.avi', 'cut10.mp4']  # in the order of the list
    for name in ('cut10.mp4', 'cut50.mp4', 'cut80.mp4', 'empty.avi'):
        assert f'{name} cannot be opened as a video: ' in reasons.pop(name)
    for percent in (10, 50, 80):
        reason = reasons.pop(f'cut{percent}.avi')
        assert re.fullmatch(r'ends after \d+% of the duration that it states', reason)
    assert 'does not exist' in reasons['gone.avi']
    assert 'cannot be decoded' in reasons['hole.mp4']


def test_killed_it_goes_on_and_changed_files_are_checked_again(data, tmp_path):
    """It is killed while it reads a pipe that nobody writes to, and in a line of the journal."""
    out, pipe = tmp_path / 'out', data / 'videos/pipe.avi'
    os.mkfifo(pipe)
    (data / 'list.txt').write_text('whole.avi 3\npipe.avi 4\nwhole one.mp4 5\npart.mp4 12\n')
    journal = out / 'videos_checked.txt'
    tool = start(*words(data, out), '--processes', '2')
    wait_until(tool, lambda: journal.exists() and journal.read_text().count('\n') == 3)
    os.killpg(tool.pid, signal.SIGKILL)
    tool.communicate()
    assert sorted(os.listdir(out)) == ['videos_checked.txt']

    fine = sorted(journal.read_text().splitlines(keepends=True))
    assert [line.split('\t')[0] for line in fine] == ['part.mp4', 'whole one.mp4', 'whole.avi']
    journal.write_text(''.join(fine)[:-3])
    part = data / 'videos/part.mp4'
    part.write_bytes(part.read_bytes()[:5000])
    pipe.unlink()
    write_avi(pipe)
    result = run_tool(*words(data, out), check=False)
    assert '2 done, 1 already there, 1 failed' in result.stdout
    assert (out / 'list.txt').read_text() == 'whole.avi 3\npipe.avi 4\nwhole one.mp4 5\n'
    (line,) = (out / 'list_broken.txt').read_text().splitlines()
    assert line.startswith('part.mp4\t') and 'cannot be opened as a video: ' in line
    assert len(set(journal.read_text().splitlines())) == 5  # whole.avi twice, once in part


def test_a_file_without_extension_is_looked_for_as_mp4_as_in_training(data):
    check_video(data / 'videos/part')
    with pytest.raises(FileNotFoundError):
        check_video(data / 'videos/whole')
