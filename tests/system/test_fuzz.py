"""A hundred damaged videos, strange lists and spoilt configs, each from a seed.

More by ``python -m tests.fuzz_inputs`` and ``python -m tests.fuzz_configs``.
"""

from collections import Counter

import numpy as np
import pytest

from artnet_mm.datasets.video import Video

from ..data_making.test_check_videos import write_avi
from ..fuzz_configs import outcomes
from ..fuzz_inputs import FINDING, outcomes_of_lists, outcomes_of_videos, whole_videos


def test_a_damaged_video_gives_frames_or_an_error(tmp_path):
    outcomes = outcomes_of_videos(whole_videos(tmp_path), 100, 0, tmp_path)
    assert not [outcome for outcome in outcomes if FINDING in outcome]
    assert outcomes['training: frames, testing: frames'] > 10
    assert outcomes['training: ValueError, testing: ValueError'] > 10


def test_a_strange_list_is_read_as_written_or_refused_by_name(tmp_path):
    outcomes = outcomes_of_lists(100, 0, tmp_path)
    assert not [outcome for outcome in outcomes if FINDING in outcome]
    assert min(outcomes['list'], outcomes['ValueError']) > 10


def test_a_spoilt_config_is_told_or_can_be_trained(clips):
    counts = Counter(outcomes(str(clips), range(100)))
    assert counts.keys() == {'fine', 'wrong'}
    assert counts['fine'] > 10


def test_a_header_of_billions_of_frames_changes_nothing(tmp_path):
    write_avi(tmp_path / 'whole.avi')
    data = bytearray((tmp_path / 'whole.avi').read_bytes())
    data[data.index(b'strh') + 8 + 32 + 3] = 0xFF  # top byte of dwLength
    (tmp_path / 'billions.avi').write_bytes(data)
    whole, billions = (Video(str(tmp_path / f'{name}.avi')) for name in ('whole', 'billions'))
    assert len(whole) == len(billions) == 40
    assert np.array_equal(whole.frames([7, 33]), billions.frames([7, 33]))


def test_a_codec_that_ffmpeg_does_not_know_is_named_as_such(tmp_path):
    (video,) = (path for path in whole_videos(tmp_path) if path.suffix == '.mkv')
    video.write_bytes(video.read_bytes().replace(b'V_MPEG4/ISO/AVC', b'V_UNKNOWN/CODEC'))
    with pytest.raises(
        ValueError, match=r'copy\.mkv \(matroska.*is of a codec that FFmpeg does not'
    ):
        Video(str(video))
