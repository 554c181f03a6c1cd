"""Clip samplers against tables worked out by hand from the paper's rules.

Extent E of a clip of 16 frames: 16, and 31 / 61 with a frame interval of 2 / 4.
"""

import decord
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmaction.registry import TRANSFORMS
from mmengine.dataset import Compose


def sample(num_frames, start_index=0, **config):
    results = dict(total_frames=num_frames, start_index=start_index, filename='a.mp4')
    return TRANSFORMS.build(config)(results)


def starts(num_frames, **config):
    frames = sample(num_frames, **{'clip_len': 16, **config})['frame_inds']
    return frames.reshape(-1, 16)[:, 0].tolist()


@pytest.mark.parametrize(
    'num_frames, interval, expected',
    [
        *[(d, 1, {1: [0], 2: [0, 0], 3: [0, 0, 0]}) for d in (1, 2, 15)],
        (16, 1, {1: [0], 2: [0, 0], 3: [0, 0, 0]}),
        (17, 1, {1: [1], 2: [0, 0], 3: [0, 0, 0]}),
        (31, 1, {1: [8], 2: [0, 0], 3: [0, 0, 0]}),
        (32, 1, {1: [8], 2: [0, 16], 3: [0, 0, 0]}),
        (33, 1, {1: [9], 2: [0, 16], 3: [0, 0, 0]}),
        (40, 1, {1: [12], 2: [2, 22], 3: [0, 0, 0]}),
        (48, 1, {1: [16], 2: [4, 28], 3: [0, 16, 32]}),
        (164, 1, {1: [74], 2: [33, 115], 3: [19, 73, 127]}),
        (280, 1, {1: [132], 2: [62, 202], 3: [39, 132, 225]}),
        (300, 1, {1: [142], 2: [67, 217], 3: [42, 142, 242]}),
        (400, 1, {1: [192], 2: [92, 292], 3: [59, 192, 325]}),
        (30, 2, {1: [0]}),
        (31, 2, {1: [0]}),
        (32, 2, {1: [1], 2: [0, 0]}),
        (40, 2, {1: [5], 2: [0, 0]}),
        (164, 2, {1: [67], 2: [26, 108], 3: [12, 66, 120]}),
        (164, 4, {1: [52], 2: [11, 93], 3: [0, 0, 0]}),
        (280, 4, {1: [110], 2: [40, 180], 3: [16, 109, 202]}),
    ],
)
def test_validation_takes_the_centre_of_each_segment(num_frames, interval, expected):
    for segments, want in expected.items():
        config = dict(type='SegmentClipSampler', frame_interval=interval, test_mode=True)
        assert starts(num_frames, num_segments=segments, **config) == want


# 148 / 24 = 6.17, 284 / 24 = 11.83, 17 / 24, 16 / 24 and 15 / 24 frames between two starts
AT_31 = [0, 0, 1, 1, 2, 3, 3, 4, 5, 5, 6, 6, 7, 8, 8, 9, 10, 10, 11, 11, 12, 13, 13, 14, 15]
AT_32 = [0, 0, 1, 2, 2, 3, 4, 4, 5, 6, 6, 7, 8, 8, 9, 10, 10, 11, 12, 12, 13, 14, 14, 15, 16]
AT_33 = [0, 0, 1, 2, 2, 3, 4, 4, 5, 6, 7, 7, 8, 9, 9, 10, 11, 12, 12, 13, 14, 14, 15, 16, 17]
AT_164 = [0, 6, 12, 18, 24, 30, 37, 43, 49, 55, 61, 67, 74]
AT_164 += [80, 86, 92, 98, 104, 111, 117, 123, 129, 135, 141, 148]
AT_300 = [0, 11, 23, 35, 47, 59, 71, 82, 94, 106, 118, 130, 142]
AT_300 += [153, 165, 177, 189, 201, 213, 224, 236, 248, 260, 272, 284]


@pytest.mark.parametrize(
    'num_frames, expected',
    [
        *[(d, {25: [0] * 25, 10: [0] * 10, 1: [0]}) for d in (1, 2, 15, 16)],
        (17, {25: [0] * 24 + [1], 10: [0] * 9 + [1], 1: [1]}),
        (31, {25: AT_31, 10: [0, 1, 3, 5, 6, 8, 10, 11, 13, 15], 1: [8]}),
        (32, {25: AT_32, 10: [0, 1, 3, 5, 7, 8, 10, 12, 14, 16], 1: [8]}),
        (33, {25: AT_33, 10: [0, 1, 3, 5, 7, 9, 11, 13, 15, 17], 1: [9]}),
        (40, {25: list(range(25)), 10: [0, 2, 5, 8, 10, 13, 16, 18, 21, 24], 1: [12]}),
        (164, {25: AT_164, 10: [0, 16, 32, 49, 65, 82, 98, 115, 131, 148], 1: [74]}),
        (280, {25: list(range(0, 265, 11)), 10: [0, 29, 58, 88, 117, 146, 176, 205, 234, 264]}),
        (300, {25: AT_300, 10: [0, 31, 63, 94, 126, 157, 189, 220, 252, 284], 1: [142]}),
        (400, {25: list(range(0, 385, 16)), 10: [0, 42, 85, 128, 170, 213, 256, 298, 341, 384]}),
    ],
)
def test_test_clips_spread_from_the_first_frame_to_the_last(num_frames, expected):
    for num_clips, want in expected.items():
        assert starts(num_frames, type='UniformClipSampler', num_clips=num_clips) == want


def test_the_extent_of_a_test_clip_grows_with_the_interval():
    config = dict(type='UniformClipSampler', num_clips=3)
    assert starts(164, frame_interval=2, **config) == [0, 66, 133]
    assert starts(164, frame_interval=4, **config) == [0, 51, 103]
    assert starts(61, frame_interval=4, **config) == [0, 0, 0]


@pytest.mark.parametrize(
    'num_frames, interval, expected',  # one (first, last) start for each segment
    [
        *[(d, 1, [(0, 0)]) for d in (1, 2, 15, 16)],
        (17, 1, [(0, 1)]),
        (40, 1, [(0, 24)]),
        (164, 1, [(0, 148)]),
        (300, 1, [(0, 284)]),
        (400, 1, [(0, 384)]),
        (1, 1, [(0, 0)] * 2),
        (31, 1, [(0, 0), (15, 15)]),
        (32, 1, [(0, 0), (16, 16)]),
        (33, 1, [(0, 0), (16, 16)]),
        (40, 1, [(0, 4), (20, 24)]),
        (280, 1, [(0, 124), (140, 264)]),
        (2, 1, [(0, 0)] * 3),
        (33, 1, [(0, 0), (11, 11), (22, 22)]),
        (164, 1, [(0, 38), (54, 92), (108, 146)]),
        (400, 1, [(0, 117), (133, 250), (266, 383)]),
        (30, 2, [(0, 0)]),
        (40, 2, [(0, 9)]),
        (164, 2, [(0, 51), (82, 133)]),
        (164, 4, [(0, 0), (54, 54), (108, 108)]),
    ],
)
def test_training_reaches_every_start_of_a_segment_and_no_other(num_frames, interval, expected):
    np.random.seed(0)
    config = dict(type='SegmentClipSampler', clip_len=16, frame_interval=interval)
    sampler = TRANSFORMS.build(dict(num_segments=len(expected), **config))
    spare = expected[0][1] - expected[0][0]
    draws = [
        sampler(dict(total_frames=num_frames, start_index=0))['frame_inds'][::16]
        for _ in range(100 if spare == 0 else 12 * (spare + 1))
    ]
    for (first, last), drawn in zip(expected, np.transpose(draws)):
        assert set(drawn) == set(range(first, last + 1))


def test_training_starts_are_uniform_and_independent_between_segments():
    np.random.seed(0)
    drawn = [tuple(starts(34, type='SegmentClipSampler', num_segments=2)) for _ in range(2000)]
    # A = 17: two starts in each segment, four pairs of equal chance (deviation of a count: 19)
    counts = {pair: drawn.count(pair) for pair in set(drawn)}
    assert counts.keys() == {(0, 17), (0, 18), (1, 17), (1, 18)}
    assert all(abs(count - 500) < 80 for count in counts.values())


def test_frames_past_the_end_repeat_the_last_one():
    frames = sample(5, type='UniformClipSampler', clip_len=4, frame_interval=2, num_clips=2)
    assert frames['frame_inds'].tolist() == [0, 2, 4, 4, 0, 2, 4, 4]
    frames = sample(5, type='SegmentClipSampler', clip_len=4, num_segments=2)
    assert frames['frame_inds'].tolist() == [0, 1, 2, 3, 2, 3, 4, 4]


@settings(deadline=None)
@given(
    num_frames=st.integers(1, 400),
    clip_len=st.integers(1, 32),
    interval=st.integers(1, 8),
    count=st.integers(1, 25),
    kind=st.sampled_from(['train', 'val', 'test']),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_clip_is_within_the_video_and_consecutive(
    num_frames, clip_len, interval, count, kind, seed
):
    config = dict(type='UniformClipSampler', num_clips=count)
    if kind != 'test':
        config = dict(type='SegmentClipSampler', num_segments=count, test_mode=kind == 'val')
    config.update(clip_len=clip_len, frame_interval=interval)
    np.random.seed(seed)
    results = sample(num_frames, **config)
    frames = results['frame_inds']
    assert np.issubdtype(frames.dtype, np.integer)
    assert frames.shape == (count * clip_len,)
    assert frames.min() >= 0 and frames.max() < num_frames
    described = {key: results[key] for key in ('clip_len', 'num_clips', 'frame_interval')}
    assert described == dict(clip_len=clip_len, num_clips=count, frame_interval=interval)
    clips = frames.reshape(count, clip_len)
    assert np.all(np.diff(clips[:, 0]) >= 0)
    consecutive = clips[:, 1:] == clips[:, :-1] + interval
    past_the_end = (clips[:, :-1] + interval >= num_frames) & (clips[:, 1:] == num_frames - 1)
    assert np.all(consecutive | past_the_end)

    np.random.seed(seed)
    assert np.array_equal(sample(num_frames, **config)['frame_inds'], frames)


@pytest.mark.parametrize('sampler', ['SegmentClipSampler', 'UniformClipSampler'])
def test_the_first_index_of_a_data_set_is_added(sampler):
    frames = sample(16, start_index=1, type=sampler, clip_len=16)['frame_inds'].reshape(-1, 16)
    assert np.array_equal(frames, [list(range(1, 17))] * len(frames))


@pytest.mark.parametrize('sampler', ['SegmentClipSampler', 'UniformClipSampler'])
def test_a_video_without_frames_is_named(sampler):
    with pytest.raises(ValueError, match=r'a\.mp4 has no frames'):
        sample(0, type=sampler, clip_len=16)
    with pytest.raises(ValueError, match='flow/a has no frames'):
        TRANSFORMS.build(dict(type=sampler, clip_len=16))(dict(total_frames=0, frame_dir='flow/a'))


@pytest.mark.parametrize('value', [0, -1, 1.5])
@pytest.mark.parametrize(
    'sampler, key',
    [
        ('SegmentClipSampler', 'clip_len'),
        ('SegmentClipSampler', 'frame_interval'),
        ('SegmentClipSampler', 'num_segments'),
        ('UniformClipSampler', 'clip_len'),
        ('UniformClipSampler', 'frame_interval'),
        ('UniformClipSampler', 'num_clips'),
    ],
)
def test_a_count_below_one_is_refused_by_name(sampler, key, value):
    with pytest.raises(ValueError, match=f'{key} must be an int of at least 1, got {value}'):
        TRANSFORMS.build({'type': sampler, 'clip_len': 16, key: value})


@pytest.mark.parametrize(
    'config, indices',  # of a video of 24 frames
    [
        (
            dict(type='UniformClipSampler', clip_len=8, frame_interval=2, num_clips=3),
            [[0, 2, 4, 6, 8, 10, 12, 14], [4, 6, 8, 10, 12, 14, 16, 18]]
            + [[9, 11, 13, 15, 17, 19, 21, 23]],
        ),
        (
            dict(type='SegmentClipSampler', clip_len=4, num_segments=2, test_mode=True),
            [[4, 5, 6, 7], [16, 17, 18, 19]],
        ),
        (dict(type='SegmentClipSampler', clip_len=12, num_segments=2), [range(12), range(12, 24)]),
        (
            dict(type='SegmentClipSampler', clip_len=16, frame_interval=2),
            [[0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 23, 23, 23, 23]],
        ),
    ],
)
def test_a_pipeline_decodes_exactly_the_sampled_frames(clips, config, indices):
    path = str(clips / 'videos_train/turning_00005.mp4')
    pipeline = Compose([dict(type='DecordInit'), config, dict(type='DecordDecode')])
    frames = pipeline(dict(filename=path, start_index=0, modality='RGB'))['imgs']
    video = list(decord.VideoReader(path))
    want = [video[index].asnumpy() for clip in indices for index in clip]
    assert np.array_equal(frames, want)
