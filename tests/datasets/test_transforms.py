"""Flips and crops of clips, RGB and flow, against arithmetic done by hand."""

import random

import cv2
import numpy as np
import pytest
import torch
from mmaction.registry import TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate

from artnet_mm.models import ClipPreprocessor

from ..helpers import ROOT

# Two flow frames of 2 x 3 pixels: x to the left, y to the right of each pixel.
FLOW = np.array(
    [
        [[[0, 10], [128, 20], [255, 30]], [[1, 40], [2, 50], [3, 60]]],
        [[[100, 0], [101, 128], [102, 255]], [[200, 7], [201, 8], [202, 9]]],
    ],
    np.uint8,
)
MIRRORED_FLOW = np.array(
    [
        [[[0, 30], [127, 20], [255, 10]], [[252, 60], [253, 50], [254, 40]]],
        [[[153, 255], [154, 128], [155, 0]], [[53, 9], [54, 8], [55, 7]]],
    ],
    np.uint8,
)
RGB = np.array([[[[1, 2, 3], [4, 5, 6]]], [[[7, 8, 9], [250, 251, 252]]]], np.uint8)
MIRRORED_RGB = np.array([[[[4, 5, 6], [1, 2, 3]]], [[[250, 251, 252], [7, 8, 9]]]], np.uint8)


def apply(transform, frames, modality='RGB', **results):
    """Results of a transform, which must leave the input as it was."""
    before = np.array(frames)
    results.update(imgs=list(frames), modality=modality, img_shape=frames[0].shape[:2])
    results = TRANSFORMS.build(transform)(results)
    assert np.array_equal(frames, before)
    return results


def flip(frames, modality='RGB', ratio=1):
    return np.array(apply(dict(type='ClipFlip', flip_ratio=ratio), frames, modality)['imgs'])


def coordinates(num_frames, width, height, channels=3):
    """Frames whose pixels say which they are: (x, y, frame)."""
    y, x = np.mgrid[:height, :width]
    frames = [np.stack([x, y, np.full_like(x, t)], -1) for t in range(num_frames)]
    return np.array(frames, np.uint8)[..., :channels]


@pytest.mark.parametrize(
    'modality, frames, mirrored',
    [('RGB', RGB, MIRRORED_RGB), ('Flow', FLOW, MIRRORED_FLOW)],
)
def test_a_flip_mirrors_every_frame_and_for_flow_negates_x_alone(modality, frames, mirrored):
    assert np.array_equal(flip(frames, modality), mirrored)
    assert np.array_equal(flip(flip(frames, modality), modality), frames)
    assert np.array_equal(flip(frames, modality, ratio=0), frames)


def test_half_of_the_clips_are_flipped_whole():
    np.random.seed(0)
    frames = coordinates(4, 6, 2)
    flipped = 0
    for _ in range(400):
        imgs = flip(frames, ratio=0.5)
        flipped += np.array_equal(imgs, frames[:, :, ::-1])
        assert imgs[0, 0, 0, 0] == 5 or np.array_equal(imgs, frames)
    assert abs(flipped - 200) < 40  # four deviations


def test_vertical_flips_stay_those_of_mmaction():
    frames = [frame.copy() for frame in coordinates(2, 3, 4)]
    results = dict(imgs=frames, modality='RGB', img_shape=(4, 3))
    flipped = TRANSFORMS.build(dict(type='ClipFlip', flip_ratio=1, direction='vertical'))(results)
    assert np.array_equal(flipped['imgs'], coordinates(2, 3, 4)[:, ::-1])


def test_ten_crops_are_corners_then_centre_each_followed_by_its_mirror():
    frames = coordinates(3, 170, 128)
    results = apply(dict(type='ClipTenCrop', crop_size=112), frames)
    crops = np.array(results['imgs']).reshape(10, 3, 112, 112, 3)
    assert results['img_shape'] == (112, 112)
    for index, (x, y) in enumerate([(0, 0), (58, 0), (0, 16), (58, 16), (29, 8)]):
        crop, mirrored = crops[2 * index : 2 * index + 2]
        assert crop[0, 0, 0, :2].tolist() == [x, y]
        assert crop[0, -1, -1, :2].tolist() == [x + 111, y + 111]
        assert np.array_equal(crop, frames[:, y : y + 112, x : x + 112])
        assert np.array_equal(mirrored, crop[:, :, ::-1])


def test_ten_crops_of_flow_written_out():
    crops = np.array(apply(dict(type='ClipTenCrop', crop_size=(2, 1)), FLOW, 'Flow')['imgs'])
    left_top = [[[[0, 10], [128, 20]]], [[[100, 0], [101, 128]]]]
    right_top_mirrored = [[[[0, 30], [127, 20]]], [[[153, 255], [154, 128]]]]
    left_bottom_mirrored = [[[[253, 50], [254, 40]]], [[[54, 8], [55, 7]]]]
    assert crops.shape == (20, 1, 2, 2)
    assert crops[0:2].tolist() == left_top
    assert crops[6:8].tolist() == right_top_mirrored
    assert crops[10:12].tolist() == left_bottom_mirrored
    assert crops[16:18].tolist() == left_top  # the centre, rounded down


@pytest.mark.parametrize('modality, channels', [('RGB', 3), ('Flow', 2)])
def test_views_of_a_crop_stay_together_with_its_clips_inside(modality, channels):
    frames = coordinates(6, 10, 8)  # 3 clips of 2 frames
    results = dict(imgs=list(frames[..., 3 - channels :]), modality=modality)
    results.update(num_clips=3, clip_len=2, img_shape=(8, 10))
    crops = [dict(type='ClipTenCrop', crop_size=4), dict(type='FormatShape', input_format='NCTHW')]
    views = Compose(crops)(results)['imgs']
    assert views.shape == (30, channels, 2, 4, 4)
    frame_of_view = views[:, -1, :, 0, 0].tolist()  # the last channel tells the frame
    assert frame_of_view == [[0, 1], [2, 3], [4, 5]] * 10
    top_of_crop = views[::6, -2, 0, 0, 0].tolist()  # the last but one is y
    assert top_of_crop == [0, 0, 4, 4, 2]


@pytest.mark.parametrize('size', [(11, 4), (4, 9)])
def test_a_crop_larger_than_the_frame_is_refused(size):
    message = f'crop_size {size[0]}x{size[1]} .* is larger than the 10x8 frames'
    with pytest.raises(ValueError, match=message):
        apply(dict(type='ClipTenCrop', crop_size=size), coordinates(2, 10, 8))


@pytest.mark.parametrize(
    'transform', [dict(type='ClipFlip', flip_ratio=1), dict(type='ClipTenCrop', crop_size=3)]
)
@pytest.mark.parametrize('shape', [(4, 5), (4, 5, 1), (4, 5, 3)])
def test_flow_without_two_channels_is_refused(transform, shape):
    with pytest.raises(ValueError, match='channels x and y'):
        apply(transform, np.zeros((2, *shape), np.uint8), 'Flow')


def test_stacked_flow_is_what_the_image_files_hold(tmp_path):
    """Stock RawFrameDecode lists x and y images in turn; a constant survives JPEG."""
    for frame in range(1, 4):
        for axis, offset in (('x', 0), ('y', 100)):
            image = np.full((8, 16), 10 * frame + offset, np.uint8)
            assert cv2.imwrite(str(tmp_path / f'{axis}_{frame:05d}.jpg'), image)
    results = dict(
        frame_dir=str(tmp_path),
        filename_tmpl='{}_{:05d}.jpg',
        total_frames=3,
        start_index=1,
        modality='Flow',
    )
    pipeline = [
        dict(type='SegmentClipSampler', clip_len=4),
        dict(type='RawFrameDecode'),
        dict(type='StackFlow'),
        dict(type='ClipFlip', flip_ratio=1),
        dict(type='FormatShape', input_format='NCTHW'),
    ]
    clip = Compose(pipeline)(results)['imgs']
    assert clip.shape == (1, 2, 4, 8, 16)
    assert np.ptp(clip, axis=(3, 4)).max() == 0
    assert clip[0, :, :, 0, 0].tolist() == [[245, 235, 225, 225], [110, 120, 130, 130]]


def test_stacking_keeps_the_frames_in_order():
    pairs = [np.full((2, 3), value, np.uint8) for value in (1, 2, 3, 4)]
    stacked = apply(dict(type='StackFlow'), pairs, 'Flow')['imgs']
    assert np.array_equal(stacked, [np.full((2, 3, 2), [1, 2]), np.full((2, 3, 2), [3, 4])])


def test_training_crops_have_the_papers_sides_and_reach_every_edge():
    """The stock crop, as the configs set it: sides 128, 112, 96 and 84, neighbours only."""
    random.seed(0)
    frames = coordinates(1, 170, 128)
    config = dict(
        type='MultiScaleCrop',
        input_size=112,
        scales=(1, 0.875, 0.75, 0.66),
        max_wh_scale_gap=1,
        random_crop=True,
    )
    crop = TRANSFORMS.build(config)
    boxes = {}
    for _ in range(20000):
        image = crop(dict(imgs=list(frames), modality='RGB', img_shape=(128, 170)))['imgs'][0]
        boxes.setdefault(image.shape[1::-1], set()).add(tuple(image[0, 0, :2].tolist()))
    sides = [(128, 128), (112, 112), (96, 96), (84, 84)]
    sides += [(128, 112), (112, 128), (112, 96), (96, 112), (96, 84), (84, 96)]
    assert boxes.keys() == set(sides)
    for (width, height), places in boxes.items():
        assert {x for x, _ in places} == set(range(170 - width + 1))
        assert {y for _, y in places} == set(range(128 - height + 1))


def stored_flow(folder, flow):
    """Write flow (T, 2, H, W) as the flow leaves read it; what a reader of JPEG gets."""
    stored = np.empty_like(flow)
    for frame, pair in enumerate(flow):
        for axis, image in zip('xy', pair):
            path = str(folder / f'flow_{axis}_{frame + 1:05d}.jpg')
            assert cv2.imwrite(path, image)
            stored[frame, 'xy'.index(axis)] = cv2.imread(path, cv2.IMREAD_GRAYSCALE)
    return stored


def flow_leaf(split, folder):
    """What the flow leaf's pipeline makes of a folder of 20 flow images, (V, T, 2, H, W)."""
    cfg = Config.fromfile(ROOT / 'configs/artnet_r18_d_kinetics_flow.py')
    dataset = cfg[f'{split}_dataloader'].dataset
    results = dict(frame_dir=str(folder), total_frames=20, start_index=1, label=0)
    results |= dict(filename_tmpl=dataset.filename_tmpl, modality=dataset.modality)
    sample = pseudo_collate([Compose(dataset.pipeline)(results)])
    (views,) = ClipPreprocessor([0, 0], crop_size=112)(sample)['inputs']
    views = views if split != 'test' else torch.cat(list(views.split(100)))
    return views.permute(0, 2, 1, 3, 4).numpy()


@pytest.fixture
def flow(tmp_path):
    """20 stored flow images of random smooth content, (T, 2, H, W)."""
    coarse = np.random.RandomState(0).randint(0, 256, (40, 8, 11)).astype(np.uint8)
    images = [cv2.resize(image, (170, 128)) for image in coarse]
    return stored_flow(tmp_path, np.reshape(images, (20, 2, 128, 170)))


def test_flow_leaf_tests_every_frame_of_250_views_as_arithmetic_says(flow, tmp_path):
    views = flow_leaf('test', tmp_path)
    assert views.shape == (250, 16, 2, 112, 112)
    for index, view in enumerate(views):
        crop, clip = divmod(index, 25)
        start = clip * 4 // 24
        y, x = [(0, 0), (0, 58), (16, 0), (16, 58), (8, 29)][crop // 2]
        for t in range(16):
            horizontal, vertical = flow[start + t, :, y : y + 112, x : x + 112]
            if crop % 2:
                horizontal, vertical = 255 - np.fliplr(horizontal), np.fliplr(vertical)
            assert np.array_equal(view[t, 0], horizontal)
            assert np.array_equal(view[t, 1], vertical)


def test_flow_leaf_validates_the_centre_of_the_centre_clip(flow, tmp_path):
    assert np.array_equal(flow_leaf('val', tmp_path), flow[None, 2:18, :, 8:120, 29:141])


def test_flow_leaf_trains_on_whole_clips_mirrored_in_x_alone(tmp_path):
    stored_flow(tmp_path, np.full((20, 2, 128, 170), np.reshape([200, 50], (2, 1, 1)), np.uint8))
    np.random.seed(0)
    seen = set()
    for _ in range(40):
        clip = flow_leaf('train', tmp_path)
        assert clip.shape == (1, 16, 2, 112, 112)
        assert np.ptp(clip, axis=(1, 3, 4)).max() == 0
        seen.add(tuple(clip[0, 0, :, 0, 0].tolist()))
    assert seen == {(200, 50), (55, 50)}
