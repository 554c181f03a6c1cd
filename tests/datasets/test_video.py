"""Frames by their index, of every kind of file: their numbers are drawn into them."""

import subprocess
import sys
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from artnet_mm.datasets import ClipDecode, ClipVideoInit, packets
from artnet_mm.datasets.sampling import SegmentClipSampler, ShareFrames, UniformClipSampler
from artnet_mm.datasets.timeouts import call_within
from artnet_mm.datasets.video import Video

from ..helpers import ROOT
from ..servers import FileServer
from .numbered import OneWay, number_of, remux, turn, write, write_dropped, write_packed

FRAMES = 75
TURNS = {
    'upside down': [[-1, 0], [0, -1]],
    'to the right': [[0, 1], [-1, 0]],
    'to the left': [[0, -1], [1, 0]],
    'mirrored': [[-1, 0], [0, 1]],
    'mirrored upside down': [[1, 0], [0, -1]],
    'mirrored to the right': [[0, 1], [1, 0]],
    'mirrored to the left': [[0, -1], [-1, 0]],
}

# By a name: suffix, encoder, options of `write`; distances of keyframes are 50 by default.
ENCODED: dict[str, tuple[str, str, dict]] = {
    'H.264 in MP4': ('mp4', 'libx264', {}),
    'H.264 in MP4, a keyframe every 7': ('mp4', 'libx264', dict(gop=7)),
    'H.264 in MP4, keyframes alone': ('mp4', 'libx264', dict(gop=1)),
    'H.264 in MP4, open groups': (
        'mp4', 'libx264', {'gop': 20, 'x264-params': 'open-gop=1:bframes=3'}),
    'H.264 in MP4, blocks refreshed': ('mp4', 'libx264', {'x264-params': 'intra-refresh=1'}),
    'H.264 in MP4, fragmented': (
        'mp4', 'libx264', dict(gop=10, movflags='frag_keyframe+empty_moov')),
    'H.264 in MP4, 16 x 16': ('mp4', 'libx264', dict(size=(16, 16))),
    'H.264 in MP4, 48 wide': ('mp4', 'libx264', dict(size=(48, 64))),
    'H.264 in MP4, 10 bit': ('mp4', 'libx264', dict(pix_fmt='yuv420p10le')),
    'H.264 in MP4, 4:4:4': ('mp4', 'libx264', dict(pix_fmt='yuv444p')),
    'H.264 in MKV': ('mkv', 'libx264', {}),
    'H.264 in AVI': ('avi', 'libx264', {}),
    'H.264 in AVI without B-frames': ('avi', 'libx264', dict(bf='0')),
    'H.264 in TS': ('ts', 'libx264', dict(gop=20)),
    'H.264 in TS, open groups': (
        'ts', 'libx264', {'gop': 20, 'x264-params': 'open-gop=1:bframes=3'}),
    'H.264 in TS, blocks refreshed': (
        'ts', 'libx264', {'gop': 30, 'x264-params': 'intra-refresh=1'}),
    'H.264 in FLV': ('flv', 'libx264', {}),
    'H.264, raw': ('h264', 'libx264', {}),
    'HEVC in MP4': ('mp4', 'libx265', {'gop': 20, 'x265-params': 'log-level=0'}),
    'HEVC in TS': ('ts', 'libx265', {'gop': 20, 'x265-params': 'log-level=0'}),
    'AV1 in MP4': ('mp4', 'libsvtav1', dict(preset='12')),
    'AV1 in MKV': ('mkv', 'libsvtav1', dict(preset='12')),
    'AV1 in WebM': ('webm', 'libsvtav1', dict(preset='12')),
    'VP8 in WebM, hidden frames': (
        'webm', 'libvpx', {'auto-alt-ref': '1', 'lag-in-frames': '10', 'arnr-maxframes': '5'}),
    'VP9 in WebM, hidden frames': (
        'webm', 'libvpx-vp9', {'auto-alt-ref': '1', 'lag-in-frames': '10'}),
    'MPEG-4 in AVI': ('avi', 'mpeg4', dict(gop=12)),
    'MPEG-4 in AVI with B-frames': ('avi', 'mpeg4', dict(bf='2')),
    'MPEG-4 in MOV with B-frames': ('mov', 'mpeg4', dict(bf='2')),
    'MPEG-4 in MP4 with B-frames': ('mp4', 'mpeg4', dict(bf='2')),
    'MPEG-1 in MPG': ('mpg', 'mpeg1video', dict(gop=15, bf='2')),
    'MPEG-2 in MPG': ('mpg', 'mpeg2video', dict(gop=15, bf='2')),
    'MPEG-2 in TS': ('ts', 'mpeg2video', dict(gop=15, bf='2')),
    'WMV2 in WMV': ('wmv', 'wmv2', {}),
    'FLV1 in FLV': ('flv', 'flv', {}),
    'H.263 in 3GP': ('3gp', 'h263', dict(size=(176, 144))),
    'MJPEG in AVI': ('avi', 'mjpeg', dict(pix_fmt='yuvj420p')),
    'FFV1 in MKV': ('mkv', 'ffv1', {}),
    'ProRes in MOV': ('mov', 'prores_ks', dict(pix_fmt='yuv422p10le')),
    'GIF': ('gif', 'gif', dict(pix_fmt='rgb8')),
    'MPEG-4 in AVI of odd size': ('avi', 'mpeg4', dict(size=(67, 51))),
}  # fmt: skip
MADE = [
    'packed B-frames',
    'dropped frames',
    'edit list',
    'two rates joined',
    'two sizes joined',
    'WebM without duration',
    'TS from the middle of a group',
    'title that is not UTF-8',
    'black beginning, upside down',
    *(f'H.264 in MP4, {name}' for name in TURNS),
]


def make(kind: str, folder: Path) -> Path:
    """A file of one of the kinds."""
    if kind in ENCODED:
        suffix, codec, options = ENCODED[kind]
        return write(folder / f'video.{suffix}', codec, range(FRAMES), **options)
    if kind == 'packed B-frames':
        return write_packed(folder / 'video.avi', FRAMES)
    if kind == 'dropped frames':
        return write_dropped(folder / 'video.avi', FRAMES)
    if kind == 'WebM without duration':
        target = OneWay()
        path = write(folder / 'video.webm', 'libvpx-vp9', range(FRAMES), target=target)
        path.write_bytes(target.content)
        return path
    if kind == 'TS from the middle of a group':
        path = write(folder / 'video.ts', 'libx264', range(FRAMES), gop=20)
        path.write_bytes(path.read_bytes()[188 * 30 :])
        return path
    numbers = [-1] * 5 * kind.startswith('black') + [*range(FRAMES)]
    first = write(folder / 'first.mp4', 'libx264', numbers, gop=20)
    if kind == 'edit list':
        return remux(folder / 'video.mp4', [first], shift=1.0)
    if kind == 'two rates joined':
        other = write(folder / 'other.mp4', 'libx264', range(FRAMES, 2 * FRAMES), rate=50)
        return remux(folder / 'video.mp4', [first, other])
    if kind == 'two sizes joined':
        size = dict(size=(160, 120))
        other = write(folder / 'other.ts', 'libx264', range(FRAMES, 2 * FRAMES), **size)
        again = write(folder / 'first.ts', 'libx264', range(FRAMES), gop=20)
        (folder / 'video.ts').write_bytes(again.read_bytes() + other.read_bytes())
        return folder / 'video.ts'
    if kind == 'title that is not UTF-8':
        with av.open(str(folder / 'video.mp4'), 'w') as container:
            container.metadata['title'] = 'Zug faehrt'
        path = write(folder / 'video.avi', 'mpeg4', numbers, bf='2')
        path.write_bytes(path.read_bytes().replace(b'Lavf', b'\xe9\xe8\xfc\xff', 1))
        return path
    return turn(first, TURNS[kind.split(', ')[1]])


def presented(path: Path) -> list[int]:
    """Numbers of the frames that a sequential decode by FFmpeg presents, as they lie."""
    with av.open(str(path), metadata_errors='ignore') as container:
        stream, numbers = container.streams.best('video'), []
        for packet in container.demux(stream):
            try:
                numbers += [number_of(f.to_ndarray(format='rgb24')) for f in packet.decode()]
            except av.FFmpegError:
                continue
        return numbers


def laid_down(image: np.ndarray, kind: str) -> np.ndarray:
    """What a frame was before it was turned upright."""
    for name in sorted(TURNS, key=len, reverse=True):
        if kind.endswith(name):
            (a, b), (c, d) = TURNS[name]
            if b:
                image, a, d = image[:: d or b, :: a or c].transpose(1, 0, 2), 1, 1
            return image[::d, ::a]
    return image


@pytest.mark.slow
@pytest.mark.parametrize('kind', [*ENCODED, *MADE])
def test_the_frames_that_come_are_those_that_were_asked_for(kind, tmp_path):
    path = make(kind, tmp_path)
    expected = presented(path)
    whole = kind in ENCODED or kind.startswith(('H.264 in MP4', 'dropped'))
    assert expected == list(range(FRAMES)) if whole else len(expected) > FRAMES // 3
    info = dict(filename=str(path), start_index=0, modality='RGB')
    train = SegmentClipSampler(clip_len=16)
    test = UniformClipSampler(clip_len=16, num_clips=25)
    np.random.seed(0)
    for sampler in [train] * 12 + [test]:
        results = ShareFrames()(sampler(ClipVideoInit()({**info})))
        assert results['total_frames'] == len(expected)
        indices = results['frame_inds'].tolist()
        images = ClipDecode()(results)['imgs']
        assert [number_of(laid_down(i, kind)) for i in images] == [expected[i] for i in indices]
    opened = Video(str(path))
    walked = [number_of(laid_down(image, kind)) for image in opened.walk()]
    assert walked == expected and not opened.damaged
    assert 0.9 < opened.share < 1.1 or kind == 'edit list'


def test_the_matrix_of_turns_is_what_ffmpegs_names_say():
    """The parametrized test would not notice two errors that cancel each other."""
    frame = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    rot90 = cv2.rotate(frame[..., 0], cv2.ROTATE_90_CLOCKWISE)
    assert np.array_equal(laid_down(rot90[..., None], 'to the right'), frame)


@pytest.mark.parametrize(('name', 'code'), [
    ('to the right', cv2.ROTATE_90_CLOCKWISE),
    ('to the left', cv2.ROTATE_90_COUNTERCLOCKWISE),
    ('upside down', cv2.ROTATE_180),
])  # fmt: skip
def test_phones_are_held_upright(name, code, tmp_path):
    plain = write(tmp_path / 'plain.mp4', 'libx264', range(9))
    expected = cv2.rotate(Video(str(plain)).frames([4])[0], code)
    turned = Video(str(turn(plain, TURNS[name])))
    assert np.array_equal(turned.frames([4])[0], expected)
    assert turned.size == expected.shape[1::-1]


@pytest.mark.slow
@pytest.mark.parametrize('suffix', ['mp4', 'avi'])
def test_a_long_video_with_few_keyframes(suffix, tmp_path):
    """1,800 frames: decord gives 368 of 400 wrongly where this is an AVI."""
    path = write(tmp_path / f'video.{suffix}', 'mpeg4', range(1800), gop=250, bf='2')
    opened = Video(str(path))
    assert len(opened) == 1800
    indices = np.random.default_rng(0).permutation(1800)[:60]
    assert [number_of(image) for image in opened.frames(indices)] == indices.tolist()


@pytest.mark.slow
def test_a_file_larger_than_what_is_kept_is_read_again_from_the_right_place(tmp_path, monkeypatch):
    monkeypatch.setattr(packets, 'KEPT', 1000)
    for name in (
        'H.264 in MP4, a keyframe every 7',
        'MPEG-4 in AVI with B-frames',
        'VP9 in WebM, hidden frames',
        'H.264 in MP4, keyframes alone',
        'H.264 in TS',
    ):
        path = make(name, tmp_path)
        for start in (0, 1, 13, 50, 70):
            indices = [start, start, start + 4, start + 3]
            images = Video(str(path)).frames(indices)
            assert [number_of(image) for image in images] == indices


def test_where_seeking_leads_to_a_packet_that_is_not_known_reading_begins_at_the_first(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(packets, 'KEPT', 1000)
    opened = Video(str(make('H.264 in MP4, a keyframe every 7', tmp_path)))
    indices = [50, 51, 55]
    assert [number_of(image) for image in opened.frames(indices)] == indices
    opened._times = [time if time is None else time + 1 for time in opened._times]
    assert [number_of(image) for image in opened.frames(indices)] == indices


def test_frames_are_resized_one_by_one_as_the_stock_resize_does(tmp_path):
    opened = Video(str(write(tmp_path / 'a.mp4', 'libx264', range(9))))
    whole, small = opened.frames([7, 2, 7]), opened.frames([7, 2, 7], (34, 26))
    assert whole.shape == (3, 96, 128, 3) and whole.dtype == np.uint8
    expected = [cv2.resize(image, (34, 26), interpolation=cv2.INTER_LINEAR) for image in whole]
    assert np.array_equal(small, expected)
    assert [number_of(image) for image in whole] == [7, 2, 7]
    for indices in ([], [9], [-1]):
        with pytest.raises(IndexError, match=r'a\.mp4 \(h264 in mov.*\) has frames 0 to 8, not'):
            opened.frames(indices)


def test_two_readings_at_once_are_refused(tmp_path):
    opened = Video(str(write(tmp_path / 'a.mp4', 'libx264', range(30), gop=5)))
    walk = opened.walk()
    assert number_of(next(walk)) == 0
    assert number_of(opened.frames([17])[0]) == 17
    with pytest.raises(RuntimeError, match='is read by two at once: open it twice'):
        list(walk)


def test_times_that_are_wrong_are_found_out(tmp_path):
    """A frame of an MP4 has a time before that of the one before it; decoders do not care."""
    with av.open(str(write(tmp_path / 'a.mp4', 'libx264', range(30), bf='0'))) as source:
        with av.open(str(tmp_path / 'b.mp4'), 'w') as container:
            stream = container.add_stream_from_template(source.streams.video[0])
            for number, packet in enumerate(source.demux(video=0)):
                if packet.size:
                    packet.stream = stream
                    packet.pts += round((2 + 1.5 * (number == 11)) / 25 / packet.time_base)
                    container.mux(packet)
    for _ in range(2):  # the second time it is known
        opened = Video(str(tmp_path / 'b.mp4'))
        assert [number_of(image) for image in opened.walk()] == list(range(30))
        assert opened.is_proved


def test_a_frame_that_cannot_be_decoded_is_left_out_as_by_ffmpeg(tmp_path):
    path = write(tmp_path / 'a.mp4', 'libx264', range(30), bf='0', gop=10)
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][14]
        place, size = packet.pos, packet.size
    content = bytearray(path.read_bytes())
    content[place + 4 : place + size] = bytes(size - 4)
    path.write_bytes(content)
    expected = presented(path)
    assert len(expected) == 29
    for length in (30, 29):  # what the file states, and what has been found
        opened = Video(str(path))
        assert len(opened) == length
        indices = [3, 14, 20, 27]  # it is noticed where it is met
        numbers = [number_of(image) for image in opened.frames(indices)]
        assert numbers == [expected[index] for index in indices]
        assert opened.damaged == {14}


@pytest.mark.parametrize(('name', 'content', 'message'), [
    ('text.mp4', b'no video\n', r'text\.mp4 cannot be opened as a video: '),
    ('empty.avi', b'', r'empty\.avi cannot be opened as a video: '),
    ('missing.mp4', None, r'missing\.mp4 does not exist'),
])  # fmt: skip
def test_what_is_no_video_is_an_error_of_one_sentence(name, content, message, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        Video(str(tmp_path / name))
    assert '\n' not in str(error.value) and '.cc' not in str(error.value)


def test_a_sound_is_no_video(tmp_path):
    with av.open(str(tmp_path / 'a.wav'), 'w') as container:
        stream = container.add_stream('pcm_s16le', rate=8000, layout='mono')
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout='mono')
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(ValueError, match=r'a\.wav \(wav\) has no video'):
        Video(str(tmp_path / 'a.wav'))


@pytest.mark.slow
@pytest.mark.parametrize('backend', ['decord', 'torchcodec'])
def test_another_backend_reads_what_it_reads_rightly_and_nothing_else(backend, tmp_path):
    pytest.importorskip(backend, exc_type=(ImportError, OSError, RuntimeError))
    for kind, reads in {
        'H.264 in MP4': True,
        'H.264 in MKV': True,
        'MPEG-4 in AVI with B-frames': False,
        'H.264 in TS': False,
        'H.264 in MP4, 16 x 16': False,
        'edit list': False,
        'H.264 in MP4, mirrored': False,
        'two rates joined': True,
        'AV1 in MP4': backend == 'torchcodec',
    }.items():
        (tmp_path / kind).mkdir()
        path = make(kind, tmp_path / kind)
        opened = Video(str(path), backend=backend)
        assert opened.backend == (backend if reads else 'pyav'), kind
        expected = presented(path)
        for indices in ([30, 3, 45], range(len(expected))):
            numbers = [number_of(laid_down(i, kind)) for i in opened.frames(indices)]
            assert numbers == [expected[index] for index in indices], kind


def test_a_backend_that_is_not_there_is_refused_before_a_run():
    with pytest.raises(ValueError, match=r"one of pyav, decord, torchcodec, got 'opencv'"):
        ClipVideoInit(backend='opencv')


def test_names_without_an_ending_are_those_of_mp4_on_storage_too(clips):
    content = (clips / 'videos_val/up_00000.mp4').read_bytes()
    with FileServer() as server:
        server.files['up.mp4'] = content
        for name in ('up', 'up.mp4'):
            opened = ClipVideoInit(io_backend='http')({'filename': f'{server.url}/{name}'})
            assert opened['total_frames'] == len(Video(str(clips / 'videos_val/up_00000.mp4')))


def test_long_decoding_ends_when_its_time_is_over(tmp_path):
    path = write(tmp_path / 'a.avi', 'mpeg4', range(1500), bf='2')
    ended = []

    def read() -> None:
        try:
            while True:
                for _ in Video(str(path)).walk():
                    pass
        except TimeoutError as error:
            ended.append(error)
            raise

    with pytest.raises(TimeoutError, match=r'it took longer than 0\.2 s'):
        call_within(0.2, read)
    limit = time.monotonic() + 10
    while not ended and time.monotonic() < limit:
        time.sleep(0.01)
    assert ended


@pytest.mark.slow
def test_a_test_video_of_full_hd_takes_little_memory(tmp_path):
    """A minute of it took 5.7 GB; 300 MB are allowed beside the frames."""
    path = write(tmp_path / 'hd.mp4', 'libx264', range(500), size=(1920, 1080), preset='ultrafast')
    code = f"""
import resource
from artnet_mm.datasets.video import Video
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
frames = Video({str(path)!r}).frames(range(500), (170, 128))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, frames.nbytes // 1024)
"""
    result = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True)
    peak, frames = map(int, result.stdout.split())
    assert peak - frames < 300 * 1024
