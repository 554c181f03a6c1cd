"""Flow extraction: known motion through the real tool, and the stock classes that read it."""

import os
import signal
from pathlib import Path

import cv2
import decord
import numpy as np
import pytest
from mmaction.registry import DATASETS

from artnet_mm.data_making.flow import extract_flow, flow_to_image, image_to_flow
from artnet_mm.data_making.motion_clips import motion_clip, texture, write_video

from ..helpers import run_tool
from .test_over_lists import start, wait_until

# Pixels a frame, x to the right and y down.
MOTIONS = {
    'right': (3, 0),
    'left': (-2, 0),
    'a class/down': (0, 2),
    'a class/up': (0, -3),
    'both': (2, -1),
}
STEP = 20 / 255  # half of what a grey level stands for


pytestmark = pytest.mark.slow


def shifted(x: int, y: int, num_frames: int = 4) -> np.ndarray:
    """Frames of 160 x 120 that show a texture move by whole pixels."""
    canvas = cv2.GaussianBlur(texture(np.random.RandomState(9), 220), (0, 0), 1)
    corners = [(30 - y * t, 30 - x * t) for t in range(num_frames)]
    return np.stack([canvas[top : top + 120, left : left + 160] for top, left in corners])


def stored(folder: Path, index: int) -> np.ndarray:
    """Flow field (H, W, 2) as stored."""
    images = [cv2.imread(f'{folder}/flow_{axis}_{index:05d}.jpg', 0) for axis in 'xy']
    return image_to_flow(np.stack(images, axis=-1), bound=20)


def tree(folder: Path) -> dict[str, bytes]:
    """Content of all files but the lock."""
    files = [path for path in folder.rglob('*') if path.is_file() and path.name != '.lock']
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    """Data root with a video for every motion, one of a single frame, and two lists."""
    root = tmp_path_factory.mktemp('data')
    (root / 'videos/a class').mkdir(parents=True)
    for name, motion in MOTIONS.items():
        write_video(root / f'videos/{name}.mp4', shifted(*motion))
    frames = shifted(0, 0)
    lossless = cv2.VideoWriter(
        str(root / 'videos/static.avi'), cv2.VideoWriter_fourcc(*'FFV1'), 25, (160, 120)
    )
    for frame in frames:
        lossless.write(frame)
    lossless.release()
    write_video(root / 'videos/still.mp4', shifted(0, 0, num_frames=1))
    lines = [f'{name}.mp4 {label}\n' for label, name in enumerate(MOTIONS)]
    (root / 'train.txt').write_text(''.join(lines) + 'static.avi 5\n')
    (root / 'test.txt').write_text('still.mp4 6\nright.mp4\n\ngone.mp4 7\n')
    return root


def arguments(data: Path, out: Path) -> list:
    lists = [data / 'train.txt', data / 'test.txt']
    return ['data/extract_flow.py', *lists, '--videos', data / 'videos', '--out-dir', out]


@pytest.fixture(scope='module')
def extracted(data, tmp_path_factory):
    """Data root of the flow, made without interruption, and how the tool ended."""
    out = tmp_path_factory.mktemp('flow')
    return out, run_tool(*arguments(data, out), '--processes', 2, check=False)


@pytest.mark.parametrize('name', MOTIONS)
def test_stored_flow_is_the_motion_to_half_a_grey_level(extracted, name):
    for index in (1, 2, 3):
        flow = stored(extracted[0] / 'videos' / name, index)
        assert flow.shape == (120, 160, 2)
        # 1.01: no motion is 127.5 stored as 128, exactly half a level off
        right = (np.abs(flow - MOTIONS[name]) <= 1.01 * STEP).all(axis=-1)
        assert right.mean() > 0.93, index


def test_a_static_clip_stores_128_everywhere(extracted):
    for path in (extracted[0] / 'videos/static').iterdir():
        assert (cv2.imread(str(path), 0) == 128).all()


def test_lists_have_what_succeeded_and_the_rest_has_its_reason(extracted, data):
    out, result = extracted
    assert result.returncode == 1
    assert '6 done, 0 already there, 2 failed' in result.stdout
    train = [f'{name} 3 {label}\n' for label, name in enumerate([*MOTIONS, 'static'])]
    assert (out / 'train.txt').read_text() == ''.join(train)
    assert (out / 'test.txt').read_text() == 'right 3\n'
    still, gone = (out / 'test_failed.txt').read_text().splitlines()
    assert still == 'still.mp4\thas one frame, and flow needs two'
    assert gone.startswith('gone.mp4\t') and 'does not exist' in gone
    assert not (out / 'train_failed.txt').exists()
    assert sorted(os.listdir(out / 'videos')) == [
        '.lock', '.source', 'a class', 'both', 'left', 'right', 'static'
    ]  # fmt: skip


def test_stock_classes_read_the_images(extracted):
    out, _ = extracted
    dataset = DATASETS.build(
        dict(
            type='RawframeDataset',
            ann_file=str(out / 'test.txt'),
            data_prefix=dict(img=str(out / 'videos')),
            filename_tmpl='flow_{}_{:05d}.jpg',
            modality='Flow',
            test_mode=True,
            pipeline=[
                dict(type='SegmentClipSampler', clip_len=3, test_mode=True),
                dict(type='RawFrameDecode'),
                dict(type='StackFlow'),
            ],
        )
    )
    frames = dataset[0]['imgs']
    assert [frame.shape for frame in frames] == [(120, 160, 2)] * 3
    assert np.abs(np.median(frames, axis=(0, 1, 2)) - [147, 128]).max() <= 1  # 127.5 (1 + 3 / 20)


def test_killed_in_the_middle_of_a_video_it_goes_on_to_the_same_result(extracted, data, tmp_path):
    tool = start(*arguments(data, tmp_path), '--processes', '1')
    wait_until(tool, lambda: list(tmp_path.glob('videos/.part-*/*/*/*')))  # whichever it is
    os.killpg(tool.pid, signal.SIGKILL)
    tool.communicate()
    assert list(tmp_path.glob('videos/.part-*/*/*/*'))
    assert not (tmp_path / 'train.txt').exists()
    there = len({image.parent for image in (tmp_path / 'videos').glob('[!.]*/**/*.jpg')})

    result = run_tool(*arguments(data, tmp_path), check=False)
    assert f'{6 - there} done, {there} already there, 2 failed' in result.stdout
    assert tree(tmp_path) == tree(extracted[0])


@pytest.mark.parametrize('method', ['tvl1', 'dis'])
def test_both_methods_agree_on_sign_and_axis_at_another_size(method, data, tmp_path):
    video = data / 'videos/both.mp4'
    extract_flow(video, tmp_path / 'flow', method=method, bound=20, size=(320, 120))
    flow = stored(tmp_path / 'flow', 1)
    assert flow.shape == (120, 320, 2)
    assert np.abs(np.median(flow, axis=(0, 1)) - [4, -1]).max() < 2 * STEP


def test_motion_beyond_the_bound_is_clipped(data, tmp_path):
    for name, grey in (('right', 255), ('left', 0)):
        path = data / f'videos/{name}.mp4'
        extract_flow(path, tmp_path / name, method='dis', bound=1, size=None)
        image = cv2.imread(str(tmp_path / name / 'flow_x_00002.jpg'), 0)
        assert np.median(image) == grey


def test_grey_levels_by_hand():
    flow = np.float32([-25, -20, -10, -0.05, 0, 0.04, 1, 10, 20, 1000])
    # 127.5 (1 + v / 20), rounded: 63.75 is 64, 127.18 127, 127.5 128, 127.755 128
    assert flow_to_image(flow, 20).tolist() == [0, 0, 64, 127, 128, 128, 134, 191, 255, 255]
    assert flow_to_image(np.zeros(3), 0.1).tolist() == [128] * 3
    mirrored = flow_to_image(-flow[[0, 1, 2, 6, 7]], 20)
    assert (mirrored == 255 - flow_to_image(flow[[0, 1, 2, 6, 7]], 20)).all()
    np.testing.assert_allclose(image_to_flow(np.uint8([0, 51, 255]), 20), [-20, -12, 20], atol=1e-5)


def test_images_are_within_a_grey_level_of_the_field(tmp_path):
    """JPEG keeps smooth fields."""
    write_video(tmp_path / 'a.mp4', motion_clip(label=5, seed=1, num_frames=3, size=(170, 128)))
    extract_flow(tmp_path / 'a.mp4', tmp_path / 'a', method='dis', bound=20, size=None)
    frames = [
        cv2.cvtColor(frame.asnumpy(), cv2.COLOR_RGB2GRAY)
        for frame in decord.VideoReader(str(tmp_path / 'a.mp4'))
    ]
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    for index in (1, 2):
        field = flow_to_image(dis.calc(frames[index - 1], frames[index], None), 20)
        for axis, name in enumerate('xy'):
            image = cv2.imread(f'{tmp_path}/a/flow_{name}_{index:05d}.jpg', 0)
            off = np.abs(image.astype(int) - field[..., axis])
            assert (off <= 1).mean() > 0.98 and off.max() < 8
