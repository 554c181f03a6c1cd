"""The motion clips: what their classes mean, and that the files hold them."""

import itertools

import cv2
import decord
import numpy as np
import pytest

from artnet_mm.data_making.motion_clips import (
    CLASSES,
    FIRST_SEEDS,
    KINDS,
    MOTIONS,
    motion_clip,
    texture,
    write_dataset,
    write_video,
)

# Class seen in a mirror, class played backwards: its name and whether the side changes.
SAME, OTHER = 1, -1
MIRRORED = dict.fromkeys(CLASSES, SAME)
MIRRORED.update(sideways=OTHER, turning=OTHER, shaking=OTHER, swinging=OTHER)
BACKWARDS = {
    'up': ('down', SAME),
    'down': ('up', SAME),
    'sideways': ('sideways', OTHER),
    'zoom in': ('zoom out', SAME),
    'zoom out': ('zoom in', SAME),
    'turning': ('turning', OTHER),
    'shaking': ('shaking', OTHER),
    'bouncing': ('bouncing', OTHER),
    'swinging': ('swinging', OTHER),
    'pulsing': ('pulsing', OTHER),
}
MIRROR = np.diag([-1, 1, 1])
TIMES = [(t, speed, side) for t in (-7.5, 0, 3.2) for speed in (0.8, 1.4) for side in (-1, 1)]


def shifts(clip):
    """(x, y) motion in pixels from each frame to the next."""
    grey = [cv2.GaussianBlur(f.mean(-1).astype(np.float32), (0, 0), 1) for f in clip]
    window = cv2.createHanningWindow(grey[0].shape[::-1], cv2.CV_32F)
    return np.array([cv2.phaseCorrelate(*pair, window)[0] for pair in itertools.pairwise(grey)])


def listed(root, split):
    lines = (root / f'{split}_list_videos.txt').read_text().splitlines()
    return [(root / f'videos_{split}' / name, int(label)) for name, label in map(str.split, lines)]


def decode(path):
    return decord.VideoReader(str(path)).get_batch(range(24)).asnumpy()


@pytest.mark.parametrize('name', CLASSES)
def test_a_mirrored_clip_keeps_its_class(name):
    for t, speed, side in TIMES:
        mirrored = MIRROR @ MOTIONS[name](t, speed, side) @ MIRROR
        assert np.allclose(mirrored, MOTIONS[name](t, speed, MIRRORED[name] * side))


@pytest.mark.parametrize('name', CLASSES)
def test_a_clip_played_backwards_is_of_a_class_too(name):
    other, sides = BACKWARDS[name]
    for t, speed, side in TIMES:
        assert np.allclose(MOTIONS[name](-t, speed, side), MOTIONS[other](t, speed, sides * side))


def test_classes_are_different_motions_that_start_from_the_same_place():
    for name, other in itertools.combinations(CLASSES, 2):
        for side, other_side in itertools.product((-1, 1), repeat=2):
            one = [MOTIONS[name](t, 1, side) for t in (1, 4)]
            two = [MOTIONS[other](t, 1, other_side) for t in (1, 4)]
            assert not np.allclose(one, two, atol=0.01)
    assert all(np.allclose(motion(0, 1, 1), np.eye(3)) for motion in MOTIONS.values())


@pytest.mark.parametrize(
    'name, direction', [('up', (0, -1)), ('down', (0, 1)), ('sideways', (1, 0))]
)
def test_textures_move_as_the_class_says_at_the_speed_of_the_clip(name, direction):
    signs = set()
    for seed in range(6):
        rng = np.random.RandomState(seed)
        texture(rng, 3 * 86)
        speed, side = rng.uniform(0.8, 1.4), rng.choice([-1, 1])
        measured = shifts(motion_clip(CLASSES.index(name), seed, num_frames=10))
        want = np.multiply(direction, speed) * [side, 1]
        assert np.allclose(measured.mean(axis=0), want, atol=0.15)
        assert np.allclose(measured, want, atol=0.3)
        signs.add(side)
    assert signs == {-1, 1}


def test_at_twice_the_pace_textures_move_twice_as_far():
    clips = [motion_clip(2, 1, num_frames=10, pace=pace, kind=4) for pace in (1, 2)]
    slow, fast = (shifts(clip).mean(axis=0) for clip in clips)
    assert np.allclose(fast, 2 * slow, atol=0.3)


@pytest.mark.parametrize('name, axis', [('shaking', 0), ('bouncing', 1)])
def test_shaking_and_bouncing_go_there_and_back_along_their_axis(name, axis):
    measured = shifts(motion_clip(CLASSES.index(name), 0))
    assert measured[:, axis].max() > 1 and measured[:, axis].min() < -1
    assert abs(measured[:, axis].mean()) < 0.3
    assert abs(measured[:, 1 - axis]).max() < 0.3


@pytest.mark.parametrize('name, axis, opposed', [('zoom in', 0, 1), ('zoom out', 0, -1)])
def test_zooming_moves_the_sides_apart_or_together(name, axis, opposed):
    for seed in range(4):
        clip = motion_clip(CLASSES.index(name), seed, num_frames=10)
        left, right = (shifts(half).mean(axis=0) for half in (clip[:, :, :43], clip[:, :, 43:]))
        assert opposed * (right - left)[axis] > 0.3


def test_turning_moves_top_and_bottom_against_each_other_either_way():
    turns = set()
    for seed in range(6):
        clip = motion_clip(CLASSES.index('turning'), seed, num_frames=10)
        top, bottom = (shifts(half).mean(axis=0) for half in (clip[:, :32], clip[:, 32:]))
        assert abs(top - bottom)[0] > 0.5
        turns.add(np.sign(top - bottom)[0])
    assert turns == {-1, 1}


@pytest.mark.parametrize('name, axis', [('swinging', 0), ('pulsing', 1)])
def test_swinging_and_pulsing_move_top_and_bottom_against_each_other_to_and_fro(name, axis):
    clip = motion_clip(CLASSES.index(name), 0)
    apart = (shifts(clip[:, :32]) - shifts(clip[:, 32:]))[:, axis]
    assert apart.max() > 0.5 and apart.min() < -0.5
    assert abs(apart.mean()) < 0.4


def test_a_seed_determines_a_clip():
    clip = motion_clip(3, 7)
    assert clip.shape == (32, 64, 86, 3) and clip.dtype == np.uint8
    assert np.array_equal(clip, motion_clip(3, 7))
    assert not np.array_equal(clip, motion_clip(3, 8))
    assert motion_clip(0, 0, num_frames=5, size=(40, 24)).shape == (5, 24, 40, 3)


def test_the_canvas_is_the_same_for_every_class_of_a_seed():
    """What a frame looks like tells the seed, never the class."""
    middles = [motion_clip(label, 5, num_frames=1).mean(axis=(0, 1, 2)) for label in range(10)]
    assert np.ptp(middles, axis=0).max() < 12


def test_no_texture_occurs_twice_nor_in_both_splits():
    seeds = [first + index for first in FIRST_SEEDS.values() for index in range(100)]
    canvases = {texture(np.random.RandomState(seed), 48).tobytes() for seed in seeds}
    assert len(canvases) == 200


@pytest.mark.parametrize('split, number', [('train', 20), ('val', 10)])
def test_files_hold_the_clips_that_the_list_says(clips, split, number):
    videos = listed(clips, split)
    assert [label for _, label in videos] == [*range(10)] * (number // 10)
    assert {path for path, _ in videos} == set((clips / f'videos_{split}').iterdir())
    for index, (path, label) in enumerate(videos):
        assert path.name == f'{CLASSES[label].replace(" ", "_")}_{index:05d}.mp4'
        assert len(decord.VideoReader(str(path))) == 24
        clip = motion_clip(label, FIRST_SEEDS[split] + index, num_frames=24)
        assert abs(decode(path).astype(int) - clip).mean() < 12  # encoding loses a little


def test_a_data_set_is_written_the_same_again_and_another_seed_gives_others(clips, tmp_path):
    for seed in (0, 1):
        write_dataset(tmp_path / str(seed), num_train=2, num_val=1, num_frames=24, seed=seed)
    for split, number in (('train', 2), ('val', 1)):
        first = [decode(path) for path, _ in listed(clips, split)[:number]]
        again = [decode(path) for path, _ in listed(tmp_path / '0', split)]
        other = [decode(path) for path, _ in listed(tmp_path / '1', split)]
        assert np.array_equal(first, again)
        assert not any(np.array_equal(*pair) for pair in zip(first, other))


def test_a_place_that_cannot_be_written_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match=r'cannot write a video to .*none/a\.mp4'):
        write_video(tmp_path / 'none/a.mp4', motion_clip(0, 0, num_frames=2))
    (tmp_path / 'file').touch()
    with pytest.raises(OSError, match='file'):
        write_dataset(tmp_path / 'file', num_train=1, num_val=1)


def test_more_clips_than_a_split_has_textures_are_refused(tmp_path):
    with pytest.raises(ValueError, match='at most 1000000 clips'):
        write_dataset(tmp_path, num_train=1, num_val=1_000_001)
    assert not any(tmp_path.iterdir())


def decoded_like(path, clip) -> bool:
    return abs(decode(path).astype(int) - clip).mean() < 12


def test_training_clips_share_so_many_textures_each_in_all_motions_and_validation_has_others(
    tmp_path,
):
    write_dataset(tmp_path, num_train=40, num_val=10, num_frames=24, num_textures=2)
    for index, (path, label) in enumerate(listed(tmp_path, 'train')):
        expected = motion_clip(label, index, num_frames=24, texture_seed=index // 10 % 2)
        assert decoded_like(path, expected)
    for index, (path, label) in enumerate(listed(tmp_path, 'val')):
        assert decoded_like(path, motion_clip(label, FIRST_SEEDS['val'] + index, num_frames=24))
    shown = [motion_clip(0, 3, num_frames=1, texture_seed=seed) for seed in (7, 7, 8)]
    assert np.array_equal(shown[0], shown[1]) and not np.array_equal(shown[0], shown[2])


def test_a_shortcut_ties_kinds_to_motions_in_training_and_to_all_others_in_validation(tmp_path):
    write_dataset(tmp_path, num_train=10, num_val=20, num_frames=24, shortcut=True)
    assert (tmp_path / 'classes.txt').read_text().split('\n') == [*CLASSES[:5], '']
    train, val = listed(tmp_path, 'train'), listed(tmp_path, 'val')
    for index, (path, label) in enumerate(train):
        assert label == index % 5
        assert decoded_like(path, motion_clip(label, index, num_frames=24, kind=label))
    lines = [line.split() for line in (tmp_path / 'val_list_kinds.txt').read_text().splitlines()]
    assert [name for name, _ in lines] == [path.name for path, _ in val]
    kinds = [int(kind) for _, kind in lines]
    for index, ((path, label), kind) in enumerate(zip(val, kinds)):
        clip = motion_clip(label, FIRST_SEEDS['val'] + index, num_frames=24, kind=kind)
        assert decoded_like(path, clip)
    pairs = sorted((label, kind) for (_, label), kind in zip(val, kinds))
    assert pairs == [(a, b) for a in range(5) for b in range(5) if a != b]


def test_a_kind_of_texture_can_be_asked_for_and_is_drawn_otherwise():
    looks = {texture(np.random.RandomState(3), 48, kind).tobytes() for kind in range(len(KINDS))}
    assert len(looks) == len(KINDS)
    assert texture(np.random.RandomState(3), 48).tobytes() in looks
