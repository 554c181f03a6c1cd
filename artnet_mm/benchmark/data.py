"""Data pipelines and decoders side by side, on one core."""

import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import av
import cv2
import torch
from mmengine.config import Config
from mmengine.dataset import Compose

from ..data_making.copies import write_copy
from ..datasets.backends import BACKENDS
from ..datasets.packets import known_orders
from ..datasets.repeats import RepeatedPipeline
from ..datasets.video import Video
from ..evaluation.report import markdown
from ..version import ROOT
from .timing import alternate, ratio

RECIPE_CLIPS = 250_000 * 256
STOCK_RESIZE = dict(type='Resize', scale=(170, 128), keep_ratio=False)
STOCK_TRAIN: list[dict] = [
    dict(type='DecordInit'),
    dict(type='SegmentClipSampler', clip_len=16),  # ours, so that both read the same clips
    dict(type='DecordDecode'),
    STOCK_RESIZE,
]
STOCK_TEST: list[dict] = [
    dict(type='DecordInit'),
    dict(type='SampleFrames', clip_len=16, frame_interval=1, num_clips=25, test_mode=True),
    dict(type='DecordDecode'),
    STOCK_RESIZE,
    dict(type='TenCrop', crop_size=112),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]


@contextmanager
def one_core() -> Iterator[None]:
    before, threads = os.sched_getaffinity(0), torch.get_num_threads()
    os.sched_setaffinity(0, {min(before)})
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    yield
    os.sched_setaffinity(0, before)
    torch.set_num_threads(threads)


@contextmanager
def with_copy(video: Path) -> Iterator[dict[str, Path]]:
    """A video and its copy at 170 x 128, 'original' and 'copy'."""
    with tempfile.TemporaryDirectory() as folder:
        files = {'original': video, 'copy': Path(folder, 'copy.mp4')}
        write_copy(video, files['copy'], (170, 128), gop=8, crf=20)
        yield files


class Rates(NamedTuple):
    """What data pipelines give on one core, and what they read and hand on."""

    clips: dict[str, dict[str, float]]
    """Training clips per second, by file and by 'stock', 'ours' and 'decoder'."""
    videos: dict[str, dict[str, float]]
    """Test videos per second, likewise."""
    file_sizes: dict[str, int]
    """Bytes of the files."""
    sample_sizes: dict[str, dict[str, int]]
    """Bytes of a sample, of 'clips' and 'videos', by 'stock' and 'ours'."""


def _bytes(sample: dict) -> int:
    inputs = sample['inputs']
    inputs = inputs.values() if isinstance(inputs, dict) else [inputs]
    return sum(value.numel() * value.element_size() for value in inputs)


def _decode(path: Path, sampler: dict) -> None:
    """The frames that a pipeline needs, at their size: what it cannot do without."""
    steps = [dict(type='ClipVideoInit'), sampler, dict(type='ShareFrames'), dict(type='ClipDecode')]
    Compose(steps)(dict(filename=str(path), start_index=0))


def _run(pipeline: Compose, info: dict) -> Any:
    return pipeline({**info})


def pipelines(video: Path, rounds: int) -> Rates:
    """Measure MMAction2's stock pipelines and ours on a video and its copy at 170 x 128."""
    cfg = Config.fromfile(ROOT / 'configs/artnet_r18_d_kinetics.py')
    flip = dict(type='Flip', flip_ratio=0.5)
    stock_train = [*STOCK_TRAIN, cfg.random_crop, cfg.resize_crop, flip, *cfg.pack]
    kinds = {
        'clips': (stock_train, cfg.train_pipeline, cfg.train_clip, 10 * rounds),
        'videos': (STOCK_TEST, cfg.test_pipeline, cfg.test_clips, rounds),
    }
    rates: dict[str, dict] = {}
    sizes: dict[str, dict] = {}
    with with_copy(video) as files, one_core():
        for kind, (stock, ours, sampler, count) in kinds.items():
            actions: dict[tuple[str, str], partial] = {}
            for file, path in files.items():
                info = dict(filename=str(path), label=0, start_index=0, modality='RGB')
                for name, steps in (('stock', stock), ('ours', ours)):
                    actions[file, name] = partial(_run, Compose(steps), info)
                    sizes.setdefault(kind, {})[name] = _bytes(actions[file, name]())
                actions[file, 'decoder'] = partial(_decode, path, sampler)
            seconds = alternate(actions, count)
            rates[kind] = {
                file: {n: 1 / median(seconds[file, n]) for n in ('stock', 'ours', 'decoder')}
                for file in files
            }
        return Rates(
            **rates, file_sizes={f: p.stat().st_size for f, p in files.items()}, sample_sizes=sizes
        )


def repeats(video: Path, rounds: int) -> str:
    """Markdown of what several training clips of one decoding give (``num_repeats``)."""
    steps = Compose(Config.fromfile(ROOT / 'configs/artnet_r18_d_kinetics.py').train_pipeline)
    numbers = 1, 2, 4
    with with_copy(video) as files, one_core():
        actions = {
            (file, number): partial(
                _run,
                RepeatedPipeline(steps.transforms, number),
                dict(filename=str(path), label=0, start_index=0, modality='RGB'),
            )
            for file, path in files.items()
            for number in numbers
        }
        seconds = alternate(actions, 10 * rounds)
    rows = []
    for file in files:
        rates = [number / median(seconds[file, number]) for number in numbers]
        more = (f'{rate:.1f} ({rate / rates[0]:.2f})' for rate in rates[1:])
        rows.append([f'training clips, {file}', f'{rates[0]:.1f}', *more])
    return markdown(rows, ['Clips of one decoding', *map(str, numbers)])


def decoders(video: Path, rounds: int) -> str:
    """Markdown of what decoders give: for a clip of 16 frames, and for a test video.

    Each opens the file, decodes and resizes. The first time, a file whose container does not
    tell its frames is decoded once to know them.
    """
    openings = {
        'stock steps (decord)': STOCK_TRAIN[0],
        'PyAV': dict(type='ClipVideoInit'),
        'PyAV, first time': dict(type='ClipVideoInit'),
    }
    for name in BACKENDS:
        if importlib.util.find_spec(name):
            openings[name] = dict(type='ClipVideoInit', backend=name)
    samplers = [
        dict(type='SegmentClipSampler', clip_len=16),
        dict(type='UniformClipSampler', clip_len=16, num_clips=25),
    ]
    stock = [dict(type='DecordDecode'), STOCK_RESIZE]
    ours = [dict(type='ClipDecode', scale=(170, 128))]
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory() as folder, one_core():
        files = {'original': video, 'copy': Path(folder, 'copy.mp4'), 'AVI': Path(folder, 'a.avi')}
        write_copy(video, files['copy'], (170, 128), gop=8, crf=20)
        _write_avi(video, files['AVI'])
        for file, path in files.items():
            cells: dict[str, list[str]] = {name: [f'{file}, {name}'] for name in openings}
            for name in BACKENDS.keys() & openings.keys():
                if Video(str(path), backend=name).backend != name:
                    cells[name] = [f'{file}, {name} is asked for, PyAV reads it']
            info = dict(filename=str(path), start_index=0, modality='RGB')
            for sampler, count in zip(samplers, (10 * rounds, rounds)):
                actions: dict[str, Callable] = {}
                for name, opening in openings.items():
                    decode = stock if opening is STOCK_TRAIN[0] else ours
                    steps = Compose([opening, sampler, dict(type='ShareFrames'), *decode])
                    run = _run_anew if 'first' in name else _run
                    actions[name] = partial(run, steps, info)
                seconds = alternate(actions, count)
                for name in openings:
                    rate = f'{1 / median(seconds[name]):.1f}'
                    cells[name] += [rate, ratio(seconds, 'stock steps (decord)', name)]
            rows += cells.values()
    columns = ['On one core', 'Clips/s', 'To stock', 'Test videos/s', 'To stock, videos']
    return markdown(rows, columns)


def _write_avi(video: Path, path: Path) -> None:
    """Encode a video as those of UCF101 and HMDB51 are: MPEG-4 of 320 x 240 with B-frames."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=25, options=dict(bf='2', qmin='3', qmax='5'))
        stream.width, stream.height, stream.gop_size = 320, 240, 250
        stream.pix_fmt = 'yuv420p'
        for image in Video(str(video)).walk((320, 240)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format='rgb24')))
        container.mux(stream.encode())


def _run_anew(pipeline: Compose, info: dict) -> dict:
    known_orders.clear()
    return _run(pipeline, info)


def table_of(rates: Rates) -> str:
    """Markdown of what data pipelines give."""
    rows = []
    for kind, name in (('clips', 'training clips'), ('videos', 'test videos')):
        for file, measured in getattr(rates, kind).items():
            before = getattr(rates, kind)['original']['stock']
            ours, sizes = measured['ours'], rates.sample_sizes[kind]
            rows.append([
                f'{name}, {file}', f'{measured["stock"]:.1f}', f'{ours:.1f}',
                f'{ours / measured["stock"]:.2f}', f'{ours / before:.1f}',
                f'{measured["decoder"]:.1f}', f'{sizes["stock"] / 1e6:.1f}',
                f'{sizes["ours"] / 1e6:.1f}', f'{rates.file_sizes[file] / 1e3:.0f}',
            ])  # fmt: skip
    columns = [
        'A second, on one core', 'Stock', 'Ours', 'Ratio', 'To stock on the original',
        'Decoder alone', 'MB a sample, stock', 'MB a sample, ours', 'kB of the file',
    ]  # fmt: skip
    return markdown(rows, columns)


def scaling_of(rates: Rates) -> str:
    """Markdown of what keeps GPUs busy, by what a GPU trains."""
    rows = []
    for speed, gpus in product((100, 200, 400), (1, 8, 64)):
        clips = speed * gpus
        size = rates.sample_sizes['clips']['ours']
        cores = [f'{clips / rates.clips[file]["ours"]:.0f}' for file in rates.file_sizes]
        disk = [f'{clips * size / 1e6:.0f}' for size in rates.file_sizes.values()]
        hours = f'{RECIPE_CLIPS / clips / 3600:.1f}'
        rows.append([str(speed), str(gpus), *cores, *disk, f'{clips * size / 1e6:.0f}', hours])
    columns = [
        'Clips/s of a GPU', 'GPUs', 'Cores, originals', 'Cores, copies', 'MB/s read, originals',
        'MB/s read, copies', 'MB/s to the GPUs', 'Hours for 250k x 256 clips',
    ]  # fmt: skip
    return markdown(rows, columns)
