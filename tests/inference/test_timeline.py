"""Timelines: smoothing and segments by hand, windows of a real video, real streams."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from fractions import Fraction

import av
import matplotlib.image
import numpy as np
import pytest
import torch
from mmengine.config import Config

from artnet_mm.data_making.motion_clips import CLASSES, motion_clip, write_video
from artnet_mm.datasets.stream import Stream
from artnet_mm.datasets.video import Video
from artnet_mm.inference.branches import glance
from artnet_mm.inference.recognizer import load_recognizer
from artnet_mm.inference.timeline import Moment, draw, segments_of, smooth, watch
from artnet_mm.inference.windows import ClipInput

from ..datasets.numbered import turn, write
from ..datasets.test_video import TURNS
from ..helpers import ROOT, let_a_cpu_take, run_tool
from ..servers import FileServer

TOY, WEIGHTS = ROOT / 'configs/artnet_r18_d_toy.py', 'artnet://artnet_r18_d_toy'
ACTIONS = ('up', 'zoom out', 'swinging')


@pytest.fixture(scope='module')
def joined(tmp_path_factory):
    """Three actions of three seconds, one after the other."""
    path = tmp_path_factory.mktemp('joined') / 'three actions.mp4'
    labels = [CLASSES.index(name) for name in ACTIONS]
    parts = [motion_clip(label, seed=9000 + label, num_frames=75, pace=2) for label in labels]
    write_video(path, np.concatenate(parts))
    return path


@pytest.fixture(scope='module')
def toy():
    return load_recognizer(TOY, WEIGHTS, 'cpu')


def moments(*rows, length=2.0, step=1.0):
    return [Moment(n * step, n * step + length, np.array(row)) for n, row in enumerate(rows)]


def test_the_mean_over_neighbours():
    seen = moments([1.0, 0], [0, 1], [0, 1], [0, 1])
    assert [m.probabilities.tolist() for m in smooth(seen, 3)] == [
        [0.5, 0.5], pytest.approx([1 / 3, 2 / 3]), [0, 1], [0, 1],
    ]  # fmt: skip
    assert [m.probabilities.tolist() for m in smooth(seen, 2)] == [
        [0.5, 0.5], [0, 1], [0, 1], [0, 1],
    ]  # fmt: skip
    assert [m.probabilities.tolist() for m in smooth(seen, 1)] == [[1, 0], [0, 1], [0, 1], [0, 1]]
    assert smooth([], 3) == []


def test_segments_end_half_way_between_the_middles_of_windows():
    # middles 1, 2, 3, 4, 5: borders 0, 1.5, 2.5, 3.5, 4.5, 6
    seen = moments([0.9, 0.1], [0.7, 0.3], [0.5, 0.5], [0.2, 0.8], [0.1, 0.9])
    found = segments_of(seen, 0.6)
    assert [segment[:3] for segment in found] == [(0, 2.5, 0), (3.5, 6, 1)]
    assert [segment.probability for segment in found] == pytest.approx([0.8, 0.85])
    assert [segment[:3] for segment in segments_of(seen, 0)] == [(0, 3.5, 0), (3.5, 6, 1)]
    assert segments_of(seen, 0.95) == []
    assert segments_of([], 0.5) == []
    # of the same class before and after one that belongs to none
    gap = segments_of(moments([0.9, 0.1], [0.5, 0.5], [0.9, 0.1]), 0.6)
    assert [segment[:3] for segment in gap] == [(0, 1.5, 0), (2.5, 4, 0)]


def test_windows_of_a_video_are_what_the_network_says_of_these_frames(toy, joined):
    model, _ = toy
    reader = Video(str(joined))
    seen = list(watch(model, reader, '1s', '20', at_a_time=3))
    assert [round(m.start * 25) for m in seen] == [*range(0, 201, 20)]
    assert [round(m.end * 25) for m in seen] == [*range(25, 226, 20)]
    frames = reader.frames([60 + n * 25 // 16 for n in range(16)])
    crop = frames[:, 4:60, 15:71].astype(np.float32) - np.float32([123, 117, 104])
    with torch.no_grad():
        views = torch.from_numpy(crop).permute(3, 0, 1, 2)[None, None]
        expected = model(views, stage='head', mode='tensor').softmax(1)[0]
    np.testing.assert_allclose(seen[3].probabilities, expected, rtol=1e-3, atol=1e-5)


def test_no_frame_is_decoded_twice_and_no_window_seen_twice(toy, joined, monkeypatch):
    model, _ = toy
    decoded, views = [], []
    walk = Video.walk
    monkeypatch.setattr(Video, 'walk', lambda *a: (decoded.append(1) or f for f in walk(*a)))
    model.backbone.stem.register_forward_pre_hook(lambda _, x: views.append(len(x[0])))
    list(watch(model, Video(str(joined)), '16', '4', at_a_time=8))
    assert len(decoded) == 225
    # windows from 0, 4, ... 208, and one that ends with the last frame
    assert sum(views) == 54 and max(views) == 8
    let_a_cpu_take(monkeypatch, 3)
    views.clear()
    list(watch(model, Video(str(joined)), '16', '4', at_a_time=8))
    assert sum(views) == 54 and max(views) == 3


def test_the_tool_finds_what_happens_when(joined, tmp_path):
    result = run_tool(
        'timeline.py', TOY, WEIGHTS, joined, '--out-dir', tmp_path / 'out', '--device', 'cpu',
    )  # fmt: skip
    assert all(action in result.stdout for action in ACTIONS)
    found = json.loads((tmp_path / 'out/three actions_timeline.json').read_text())
    assert [segment['class'] for segment in found['segments']] == list(ACTIONS)
    for place, segment in enumerate(found['segments']):
        assert segment['start'] == pytest.approx(3 * place, abs=0.7)
        assert segment['end'] == pytest.approx(3 * place + 3, abs=0.7)
    with (tmp_path / 'out/three actions_timeline.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5 * len(found['windows'])
    assert [row['class'] for row in rows[:1]] == ['up']
    picture = matplotlib.image.imread(tmp_path / 'out/three actions_timeline.png')
    assert picture.std() > 0.1


def test_the_tool_goes_on_past_what_it_cannot_read(joined, tmp_path):
    (tmp_path / 'broken.mp4').write_bytes(b'no video')
    result = run_tool(
        'timeline.py', TOY, WEIGHTS, tmp_path / 'broken.mp4', joined, '--device', 'cpu', check=False
    )
    assert result.returncode == 1
    assert 'cannot be opened as a video' in ' '.join(result.stdout.split())
    assert 'swinging' in result.stdout
    assert '1 of 2 videos have no timeline' in result.stderr


def test_streams_are_answered_as_they_come(joined, tmp_path):
    with av.open(str(tmp_path / 'live.ts'), 'w') as target:
        stream = target.add_stream('libx264', rate=25)
        stream.width, stream.height = 86, 64
        for image in Video(str(joined)).walk((86, 64)):
            target.mux(stream.encode(av.VideoFrame.from_ndarray(image, format='rgb24')))
        target.mux(stream.encode())
    with FileServer() as server:
        server.files['live.ts'] = (tmp_path / 'live.ts').read_bytes()
        result = run_tool(
            'timeline.py', TOY, WEIGHTS, f'{server.url}/live.ts', '--device', 'cpu', '--step', '1s'
        )
    lines = [line.split() for line in result.stdout.splitlines() if '%' in line and ' s ' in line]
    times = [float(line[0]) for line in lines]
    assert times == sorted(times) and times[-1] == pytest.approx(9)
    assert lines[1][-1] == 'up' and lines[-1][-1] == 'swinging'


def test_a_stream_that_breaks_off_keeps_what_was_seen(joined, tmp_path):
    with FileServer() as server:
        server.files['live.mkv'] = content = remuxed(joined, tmp_path / 'live.mkv').read_bytes()
        server.stall_after = len(content) - 4000
        result = run_tool(
            'timeline.py', TOY, WEIGHTS, f'{server.url}/live.mkv', '--device', 'cpu',
            '--out-dir', tmp_path / 'out',
        )  # fmt: skip
    assert 'broke off: nothing came for 10 s; this far:' in ' '.join(result.stdout.split())
    found = json.loads((tmp_path / 'out/live_timeline.json').read_text())
    assert 5 < found['windows'][-1]['end'] < 9


def remuxed(source, path):
    """The packets of a video in another container."""
    with av.open(str(source)) as read, av.open(str(path), 'w') as target:
        stream = target.add_stream_from_template(read.streams.video[0])
        for packet in read.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    return path


def test_times_are_those_of_the_frames_and_not_of_a_mean_rate(tmp_path):
    """A phone or a screen recorder: 60 frames at 25 per second, then 30 at 5."""
    times = [round(1000 * t) for t in (*np.arange(60) / 25, *(2.4 + np.arange(30) / 5))]
    path = tmp_path / 'uneven.mkv'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=25)
        stream.width, stream.height, stream.codec_context.time_base = 86, 64, Fraction(1, 1000)
        for time, image in zip(times, motion_clip(0, seed=3, num_frames=90)):
            frame = av.VideoFrame.from_ndarray(image, format='rgb24')
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    video, stream = Video(str(path)), Stream(str(path))
    assert len([*stream.walk()]) == len(video) == 90
    np.testing.assert_allclose(video.times, np.array(times) / 1000, atol=1e-6)
    np.testing.assert_allclose(stream.times, video.times, atol=1e-6)
    model, _ = load_recognizer(TOY, WEIGHTS, 'cpu')
    moments = list(watch(model, video, '10', '10'))
    assert [moment.start for moment in moments][5:7] == [pytest.approx(2), pytest.approx(2.4)]
    assert glance(model, path, 4.5).start == pytest.approx(4.4)
    with pytest.raises(ValueError, match=r'lasts 8\.\d s: 8\.4 s is not within'):
        glance(model, path, 8.4)


def test_a_long_window_of_large_frames_keeps_their_crops_alone(tmp_path):
    path = tmp_path / 'large.mp4'
    write_video(path, motion_clip(0, seed=0, num_frames=3, size=(860, 640)))
    cfg = Config.fromfile(TOY)
    crops = [*ClipInput.of(cfg).walk(Video(str(path)))]
    assert {crop.shape for crop in crops} == {(56, 56, 3)}
    assert all(crop.base is None for crop in crops)  # no view of the frame


@pytest.mark.parametrize('name', ['to the right', 'to the left', 'upside down'])
def test_a_stream_is_held_upright_as_a_video_is(name, tmp_path):
    path = str(turn(write(tmp_path / 'plain.mp4', 'libx264', range(9)), TURNS[name]))
    frames = zip(Stream(path).walk(), Video(path).walk(), strict=True)
    assert all(np.array_equal(one, other) for one, other in frames)


def test_names_with_dollars_are_no_formulas():
    moments = [Moment(0, 1, np.array([0.9, 0.1]))]
    figure = draw(moments, segments_of(moments, 0.5), ['$100_$', 'b'], 'win $100_$ now')
    figure.savefig(io.BytesIO())


def test_a_stream_has_the_frames_of_the_video(joined):
    stream, video = Stream(str(joined)), Video(str(joined))
    assert stream.rate == video.rate
    frames = list(stream.walk())
    assert len(frames) == len(video) == 225
    assert all(np.array_equal(one, other) for one, other in zip(frames, video.walk()))
    with pytest.raises(ValueError, match=r'nowhere\.mp4 cannot be opened as a stream of video'):
        Stream('nowhere.mp4')


def test_a_shown_stream_has_its_pictures_and_answers_in_a_window(joined, tmp_path):
    if not shutil.which('Xvfb'):
        pytest.skip('Xvfb is not installed')
    read, write = os.pipe()
    screen = subprocess.Popen(
        ['Xvfb', '-displayfd', str(write), '-screen', '0', '800x600x24', '-fbdir', tmp_path],
        pass_fds=[write], stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        number = os.read(read, 9).decode().strip()
        command = (
            sys.executable, ROOT / 'tools/timeline.py', TOY, WEIGHTS, joined, '--show',
            '--device', 'cpu', '--step', '1s',
        )  # fmt: skip
        tool = subprocess.Popen(
            command, env={**os.environ, 'DISPLAY': f':{number}'}, text=True, stdout=subprocess.PIPE
        )
        for line in tool.stdout:
            if '4.6 s' in line:  # of nine
                shown = np.fromfile(tmp_path / 'Xvfb_screen0', np.uint8)[-800 * 600 * 4 :]
        assert tool.wait(60) == 0
    finally:
        screen.terminate()
        screen.wait()
        os.close(read)
        os.close(write)
    shown = shown.reshape(600, 800, 4)[..., :3]
    import cv2

    cv2.imwrite('/tmp/shown.png', shown)
    assert shown.std() > 10


def test_a_window_without_a_screen_is_refused(joined):
    result = run_tool(
        'timeline.py', TOY, WEIGHTS, joined, '--show', '--device', 'cpu', check=False,
        DISPLAY='', WAYLAND_DISPLAY='',
    )  # fmt: skip
    assert result.returncode == 1
    assert 'a window needs a screen' in ' '.join(result.stdout.split())
