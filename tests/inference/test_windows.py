"""Windows over a video, against tables worked out by hand."""

from fractions import Fraction

import numpy as np
import pytest
from mmengine.config import Config

from artnet_mm.inference.windows import ClipInput, frames_in, slide

from ..helpers import ROOT


def frames(number):
    return (np.full((2, 3, 3), n, np.uint8) for n in range(number))


@pytest.mark.parametrize(
    'number, clip_len, window, step, expected',
    [
        # all fits: starts 0, 4, 8
        (12, 4, 4, 4, [(0, 3, [0, 1, 2, 3]), (4, 7, [4, 5, 6, 7]), (8, 11, [8, 9, 10, 11])]),
        # two frames are left: one more window that ends with the last
        (10, 4, 4, 4, [(0, 3, [0, 1, 2, 3]), (4, 7, [4, 5, 6, 7]), (6, 9, [6, 7, 8, 9])]),
        # every second frame of a window of 8, which overlaps the next
        (12, 4, 8, 4, [(0, 7, [0, 2, 4, 6]), (4, 11, [4, 6, 8, 10])]),
        # windows with gaps
        (11, 2, 3, 5, [(0, 2, [0, 1]), (5, 7, [5, 6]), (8, 10, [8, 9])]),
        # a window that clips do not divide
        (7, 3, 7, 7, [(0, 6, [0, 2, 4])]),
        # shorter than a window, and than a clip
        (3, 4, 8, 4, [(0, 2, [0, 2, 2, 2])]),
        (1, 4, 4, 4, [(0, 0, [0, 0, 0, 0])]),
        (0, 4, 4, 4, []),
    ],
)
def test_windows_and_their_clips(number, clip_len, window, step, expected):
    found = [
        (w.first, w.last, w.clip[:, 0, 0, 0].tolist())
        for w in slide(frames(number), clip_len, window, step)
    ]
    assert found == expected


def test_windows_come_as_frames_do_and_keep_no_more_than_they_need():
    taken = []

    def counted():
        for n in range(10**9):
            taken.append(n)
            yield np.full((1, 1, 3), n % 256, np.uint8)

    windows = slide(counted(), 4, 8, 2)
    for number in range(50):
        assert next(windows).first == 2 * number
        assert len(taken) == 8 + 2 * number


@pytest.mark.parametrize(
    'length, frames_of_25', [('64', 64), ('2s', 50), ('0.5s', 12), ('2.52s', 63), ('0.001s', 1)]
)
def test_lengths_in_frames_and_seconds(length, frames_of_25):
    assert frames_in(length, Fraction(25)) == frames_of_25


@pytest.mark.parametrize('length', ['', 's', '0', '-3', '2.5', '0s', '2 s', '1m', 'nan', '1e3'])
def test_other_lengths_are_refused(length):
    with pytest.raises(ValueError, match=r'neither a number of frames \(64\) nor of seconds'):
        frames_in(length, 25)


def test_what_a_config_takes():
    cfg = Config.fromfile(ROOT / 'configs/artnet_r18_d_sthv2.py')
    seen = ClipInput.of(cfg)
    assert (seen.scale, seen.clip_len, seen.extent) == ((170, 128), 16, 32)
    clip = np.zeros((16, 128, 170, 3), np.uint8)
    clip[:, 8:120, 29:141] = 1
    view = seen.view(seen.crop.cut(clip, 0, False))
    assert view.shape == (3, 16, 112, 112)
    assert view.all()


def test_configs_of_other_pipelines_and_of_flow_are_refused():
    cfg = Config.fromfile(ROOT / 'configs/artnet_r18_d_kinetics.py')
    cfg.test_pipeline = [dict(type='DecordInit'), dict(type='SampleFrames', clip_len=8)]
    with pytest.raises(ValueError, match='UniformClipSampler and ClipDecode'):
        ClipInput.of(cfg)
    with pytest.raises(ValueError, match='of RGB, not of flow'):
        ClipInput.of(Config.fromfile(ROOT / 'configs/artnet_r18_d_kinetics_flow.py'))
