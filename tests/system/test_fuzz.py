"""A hundred damaged videos, strange lists and spoilt configs, each from a seed.

More by ``python -m tests.fuzz_inputs`` and ``python -m tests.fuzz_configs``.
"""

from collections import Counter

import numpy as np
import pytest

from artnet_mm.data_making.copies import open_video
from artnet_mm.data_making.processes import process
from artnet_mm.datasets.decoding import frames_in_order

from ..data_making.test_check_videos import write_avi
from ..fuzz_configs import outcomes
from ..fuzz_inputs import FINDING, outcomes_of_lists, outcomes_of_videos, whole_videos


def test_a_damaged_video_gives_frames_or_an_error(tmp_path):
    outcomes = outcomes_of_videos(whole_videos(tmp_path), 100, 0, tmp_path)
    assert not [outcome for outcome in outcomes if FINDING in outcome]
    assert outcomes['training: frames, testing: frames'] > 10
    assert outcomes['training: RuntimeError, testing: RuntimeError'] > 10


def test_a_strange_list_is_read_as_written_or_refused_by_name(tmp_path):
    outcomes = outcomes_of_lists(100, 0, tmp_path)
    assert not [outcome for outcome in outcomes if FINDING in outcome]
    assert min(outcomes['list'], outcomes['ValueError']) > 10


def test_a_spoilt_config_is_told_or_can_be_trained(clips):
    counts = Counter(outcomes(str(clips), range(100)))
    assert counts.keys() == {'fine', 'wrong'}
    assert counts['fine'] > 10


def open_in_words(name: str) -> str:
    with pytest.raises(ValueError, match='states') as error:
        open_video(name)
    return str(error.value)


def test_a_header_of_billions_of_frames_is_refused_before_decord_aborts(tmp_path):
    write_avi(tmp_path / 'whole.avi')
    data = bytearray((tmp_path / 'whole.avi').read_bytes())
    data[data.index(b'strh') + 8 + 32 + 3] = 0xFF  # top byte of dwLength
    (tmp_path / 'billions.avi').write_bytes(data)
    ((_, words, reason),) = process(open_in_words, [str(tmp_path / 'billions.avi')], 1, 30)
    assert reason is None
    assert words.startswith(f'{tmp_path}/billions.avi states 42781')


def test_a_codec_that_ffmpeg_does_not_know_is_left_to_decord(tmp_path):
    (video,) = (path for path in whole_videos(tmp_path) if path.suffix == '.mkv')
    video.write_bytes(video.read_bytes().replace(b'V_MPEG4/ISO/AVC', b'V_UNKNOWN/CODEC'))
    with pytest.raises(ValueError, match='has no video that can be decoded'):
        next(frames_in_order(str(video)))


def test_a_frame_that_ffmpeg_calls_corrupt_is_left_to_decord(tmp_path):
    (video,) = (path for path in whole_videos(tmp_path) if path.suffix == '.mkv')
    data = video.read_bytes()
    hidden = np.random.default_rng(0)
    with pytest.raises(ValueError, match='unlike decord'):
        for _ in range(100):  # a third of them already cuts a frame
            at = int(hidden.integers(len(data) // 2, len(data)))
            video.write_bytes(data[:at] + data[at + 200 :])
            for _ in frames_in_order(str(video)):
                pass
