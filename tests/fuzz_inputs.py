"""Damaged inputs of users: python -m tests.fuzz_inputs videos|lists COUNT SEED [VIDEO...]"""

import random
import re
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np
from mmaction.registry import DATASETS
from mmcv.transforms import Compose
from mmengine.registry import init_default_scope

from artnet_mm.data_making.copies import write_copy
from artnet_mm.data_making.motion_clips import write_dataset
from artnet_mm.data_making.processes import process

from .data_making.test_check_videos import write_avi

FINDING = 'FINDING'
CLASSES = 10
SCALE = (170, 128)
DECODE = dict(type='ClipDecode', scale=SCALE)
TRAIN = [dict(type='ClipVideoInit'), dict(type='SegmentClipSampler', clip_len=16), DECODE]
TEST = [  # every frame
    dict(type='ClipVideoInit'),
    dict(type='UniformClipSampler', clip_len=1, num_clips=1000),
    dict(type='ShareFrames'),
    DECODE,
]
# Words of the headers of MP4 and AVI, around which most fields that decoders trust lie.
FIELDS = re.compile(
    b'ftyp|moov|mvhd|tkhd|mdhd|hdlr|elst|stsd|avc1|avcC|mp4v|esds|stts|ctts|stss|stsc|stsz|'
    b'stco|co64|mdat|RIFF|LIST|avih|strh|strf|idx1|movi|00dc'
)
EXTREMES = [0, 1, 0x7F, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF]


def whole_videos(folder: Path) -> list[Path]:
    """Small videos as the demo, the tools of this project and UCF101 have them, and an MKV."""
    write_dataset(folder, num_train=1, num_val=0, num_frames=40)
    (video,) = folder.glob('videos_train/*.mp4')
    copies = [folder / 'copy.mp4', folder / 'copy.mkv']
    for copy in copies:
        write_copy(video, copy, (86, 64), gop=8, crf=20)
    write_avi(folder / 'whole.avi')
    return [video, *copies, folder / 'whole.avi']


def damaged(video: bytes, rng: random.Random) -> bytes:
    """A video that is cut, or has bits, blocks or fields of its header changed, or several."""
    data = bytearray(video)
    fields = [0, *(match.start() for match in FIELDS.finditer(video))]
    for _ in range(rng.choice((1, 1, 2, 4))):
        at, size = rng.randrange(len(data) or 1), rng.choice((1, 16, 256, 4096))
        match rng.randrange(8):
            case 0:
                del data[at:]
            case 1:
                for place in rng.choices(range(len(data)), k=size) if data else ():
                    data[place] ^= 1 << rng.randrange(8)
            case 2:
                data[at : at + size] = bytes(len(data[at : at + size]))
            case 3:
                del data[at : at + size]
            case 4:
                data[at:at] = data[at : at + size]
            case _:
                at = max(rng.choice(fields) + rng.randrange(-4, 64), 0)
                field = rng.choice((rng.choice(EXTREMES), rng.randrange(2**32)))
                data[at : at + 4] = field.to_bytes(4, rng.choice(('big', 'little')))
    return bytes(data)


def read(path: Path, steps: list[dict]) -> np.ndarray | str:
    """The frames that the steps of a pipeline read from a video, or the kind of error."""
    try:
        results = Compose(steps)(dict(filename=str(path), modality='RGB', start_index=0))
    except Exception as error:
        return type(error).__name__
    frames, number = results['imgs'], len(results['frame_inds'])
    if frames.shape != (number, *SCALE[::-1], 3) or frames.dtype != np.uint8:
        return f'{FINDING}: {frames.dtype} {frames.shape} in the place of {number} frames'
    return frames


def presented(path: Path) -> list[np.ndarray]:
    """The frames that a sequential decode by FFmpeg presents."""
    frames = []
    with av.open(str(path), metadata_errors='ignore') as container:
        stream = container.streams.best('video')
        stream.codec_context.thread_count = 1
        packets = container.demux(stream)
        with suppress(av.FFmpegError):
            for packet in packets:
                with suppress(av.FFmpegError):
                    frames += [frame.to_ndarray(format='rgb24') for frame in packet.decode()]
    return [cv2.resize(frame, SCALE) for frame in frames]


def compared(frames: np.ndarray | str, path: Path) -> str:
    """How the reading of a whole video ends, against FFmpeg's."""
    if isinstance(frames, str):
        return frames
    expected = presented(path)
    if not 0 < len(expected) <= len(frames):
        return f'{FINDING}: {len(frames)} frames, FFmpeg presents {len(expected)}'
    expected += expected[-1:] * (len(frames) - len(expected))  # damage is noticed where it is met
    differ = [i for i, pair in enumerate(zip(frames, expected)) if not np.array_equal(*pair)]
    if any((frames[i] == other).all() for i in differ for other in expected):
        return f'{FINDING}: frames of other indices'
    return 'frames, some concealed in another way' if differ else 'frames'


def read_damaged(videos: list[Path], folder: Path, seed: int, number: str) -> str:
    """How the reading of a damaged video ends; it stays in the folder unless that is well."""
    init_default_scope('mmaction')
    rng = random.Random(f'{seed} {number}')
    np.random.seed(rng.randrange(2**32))
    video = rng.choice(videos)
    path = folder / f'{seed}_{number}{video.suffix}'
    path.write_bytes(damaged(video.read_bytes(), rng))
    train, test = read(path, TRAIN), read(path, TEST)
    ends = 'frames' if isinstance(train, np.ndarray) else train, compared(test, path)
    outcome = 'training: {}, testing: {}'.format(*ends)
    if FINDING not in outcome:
        path.unlink()
    return outcome


def outcomes_of_videos(videos: list[Path], count: int, seed: int, folder: Path) -> Counter:
    """How often the reading of damaged videos ends in which way, errors by their kinds."""
    outcomes = Counter()
    work = partial(read_damaged, videos, folder, seed)
    for number, outcome, reason in process(work, [*map(str, range(count))], 1, timeout=30):
        outcome = outcome or f'{FINDING}: {reason}'
        if FINDING in outcome:
            print(f'{folder}/{seed}_{number}.*: {outcome}', flush=True)
        outcomes[outcome] += 1
    return outcomes


PATHS = ['a.mp4', 'a', 'arm wrestling/b  c.mp4', 'größe/走.mp4', '5', '-', 'a 3', 'x' * 5000, '']
GAPS = [' ', ' ', ' ', ' ', '  ', ' \t ', '\t', ',', '', '\xa0', '\u3000']
NUMBERS = [*'03579', '9', '007', '10', '-1', '+1', '1.0', '1e0', '1_0', '0x1', '٣', '²', '\uff13']
NUMBERS += ['', '9' * 12, '9' * 20, '9' * 5000, 'nan', 'True', '0' * 5000 + '1']
ENDS = ['\n', '\n', '\n', '\r\n', '\n\n', '\n \t\n', '\r', '', '\v', '\f', '\x1c', '\x85', '\u2028']
STRANGE = [b'\0', b'\x1a', b'\x1b', b'\xef\xbb\xbf', b'\xc2\xa0', b'\xc2\x85', b'\xe2\x80\xa8']
STRANGE += [b'\xff\xfe', b'\xe9', b'\xed\xa0\x80', b'\r', b'\n', b'\v', b'\x1f', b'\t', b' ', b'"']
STRANGE += [b'#', b'\0' * 512, b'\xe2\x80\x8b', b'\xe2\x80\xae']


def strange_list(columns: int, rng: random.Random) -> bytes:
    """A list with one number a column after the path, most of it as it should be."""
    text = ''
    for _ in range(rng.choice((0, 1, 1, 2, 2, 3))):
        text += rng.choice(PATHS[: rng.choice((4, len(PATHS)))])
        for _ in range(columns + rng.choice((0, 0, 0, 0, 0, 0, -1, 1))):
            gaps, numbers = (4, 6) if rng.random() < 0.8 else (len(GAPS), len(NUMBERS))
            text += rng.choice(GAPS[:gaps]) + rng.choice(NUMBERS[:numbers])
        text += rng.choice(ENDS[: rng.choice((4, 4, len(ENDS)))])
    data = bytearray(
        rng.choice(('', '', '', '\ufeff')) + text, rng.choice(['utf-8'] * 9 + ['utf-16'])
    )
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        at = rng.choice((0, len(data), rng.randrange(len(data) + 1)))
        data[at : at + rng.randrange(2)] = rng.choice(STRANGE)
    return bytes(data)


def is_as_written(line: str, info: dict) -> bool:
    """Whether a line says what was read from it, and a path that one can see."""
    path = info['video_id'] if 'frame_dir' in info else info['filename'].removeprefix('videos/')
    numbers = [info[key] for key in ('total_frames', 'label') if info.get(key, -1) >= 0]
    pattern = ''.join((re.escape(path), *(rf'[ \t]* [ \t]*0*{number}' for number in numbers)))
    return bool(re.fullmatch(rf'[ \t]*{pattern}[ \t]*', line)) and not re.search(
        '^$|[\0-\x1f\x7f\ufeff]', path
    )


def check_list(data: bytes, kind: str, test_mode: bool, file: Path) -> str:
    """How the reading of a list ends."""
    file.write_bytes(data)
    config = dict(type=kind, ann_file=str(file), num_classes=CLASSES, test_mode=test_mode)
    prefix = dict(img='videos') if kind == 'ClipRawframeDataset' else dict(video='videos')
    try:
        dataset = DATASETS.build(
            dict(config, data_prefix=prefix, pipeline=[], serialize_data=False)
        )
    except (FileNotFoundError, ValueError) as error:
        if str(file) not in str(error):
            return f'{FINDING}: error that does not name the file'
        return type(error).__name__ if len(str(error)) < 1000 else f'{FINDING}: endless error'
    except Exception as error:
        return f'{FINDING}: {type(error).__name__}: {error}'
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    if not all(-test_mode <= info['label'] < CLASSES for info in infos):
        return f'{FINDING}: label out of range'
    if not all(1 <= info.get('total_frames', 1) < 2**31 for info in infos):
        return f'{FINDING}: number of frames out of range'
    lines = re.split('\r\n|\r|\n', data.decode('utf-8-sig'))
    lines = [line for line in lines if line.strip(' \t')]
    if len(lines) != len(infos):
        return f'{FINDING}: other number of samples than lines'
    as_written = all(map(is_as_written, lines, infos))
    return 'list' if as_written else f'{FINDING}: path other than written or with controls'


def outcomes_of_lists(count: int, seed: int, folder: Path) -> Counter:
    """How often the reading of strange lists ends in which way."""
    outcomes, shown = Counter(), Counter()
    for number in range(count):
        rng = random.Random(f'{seed} {number}')
        kind = rng.choice(('ClipVideoDataset', 'ClipRawframeDataset'))
        columns = 1 + DATASETS.get(kind).has_frames
        data, test_mode = strange_list(columns, rng), rng.random() < 0.5
        outcome = check_list(data, kind, test_mode, folder / 'list.txt')
        outcomes[outcome] += 1
        if FINDING in outcome and (shown[outcome] < 5):
            shown[outcome] += 1
            print(f'{kind}, test_mode={test_mode}, {data[:200]!r}: {outcome}')
    return outcomes


def main(what: str, count: int, seed: int, videos: list[Path]) -> None:
    """Print how often what ends in which way."""
    init_default_scope('mmaction')
    folder = Path(tempfile.mkdtemp())
    if what == 'lists':
        outcomes = outcomes_of_lists(count, seed, folder)
    else:
        outcomes = outcomes_of_videos(videos or whole_videos(folder), count, seed, folder)
    for outcome, number in outcomes.most_common():
        print(f'{number:6} {outcome}')


if __name__ == '__main__':
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), [*map(Path, sys.argv[4:])])
