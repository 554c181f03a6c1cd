"""Networks and data pipelines, measured side by side.

What is compared alternates in one process; ratios are medians over the rounds.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.fileio import load
from torch.profiler import profile
from torch.utils.flop_counter import FlopCounterMode

from .data_making.copies import write_copy
from .datasets.decoding import frames_in_order
from .evaluation.report import markdown, read_catalogue
from .models import switch_to_deploy
from .version import ROOT

RECIPE_CLIPS = 250_000 * 256
NETWORKS = ('c3d', 'relation_d', 'artnet_d')  # ratios are to the first
FORMATS = {'contiguous': False, 'channels last': True}
CUDA = torch.cuda.is_available()
DEVICE = torch.device('cuda' if CUDA else 'cpu')
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
GROUPS = {'convolution': 'convolutions', 'batch_norm': 'BN', 'mm': 'matrix products'}


def alternate(actions: Mapping[Any, Callable], rounds: int) -> dict[Any, list[float]]:
    """Seconds of every action in every round, after one round to warm up."""
    seconds: dict[Any, list[float]] = {name: [] for name in actions}
    for number in range(rounds + 1):
        for name, action in actions.items():
            np.random.seed(number)  # the same clips for all
            start = time.perf_counter()
            action()
            if CUDA:
                torch.cuda.synchronize()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(seconds: dict[str, list[float]], name: str, base: str) -> str:
    return f'{median(a / b for a, b in zip(seconds[name], seconds[base])):.2f}'


def trace(action: Callable) -> tuple[list[dict], dict[str, float]]:
    """Events of an action as the profiler traces them, and shares of its operations' time."""
    with profile(profile_memory=True) as profiler:
        action()
    with tempfile.TemporaryDirectory() as folder:
        profiler.export_chrome_trace(f'{folder}/trace.json')
        events = load(f'{folder}/trace.json')['traceEvents']
    shares = dict.fromkeys([*GROUPS.values(), 'others'], 0.0)
    for entry in profiler.key_averages():
        group = next((GROUPS[key] for key in GROUPS if key in entry.key), 'others')
        shares[group] += entry.self_device_time_total if CUDA else entry.self_cpu_time_total
    return events, {name: share / sum(shares.values()) for name, share in shares.items()}


def peak_memory(action: Callable) -> int:
    """Bytes that an action allocates at most beside what there is."""
    if CUDA:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        action()
        return torch.cuda.max_memory_allocated() - before
    events = [e for e in trace(action)[0] if e.get('name') == '[memory]']
    allocated = [event['args']['Total Allocated'] for event in events]
    return max(allocated) - allocated[0]


def build(arch: str, channels_last: bool) -> Any:
    cfg = Config.fromfile(ROOT / 'configs/artnet_r18_d_kinetics.py')
    cfg.model.backbone.arch = arch
    return MODELS.build({**cfg.model, 'channels_last': channels_last}).to(DEVICE)


def train_step(model: Any, clips: int, amp: bool) -> Callable:
    """A training step on random clips, but for the optimizer's."""
    samples = []
    for _ in range(clips):
        sample = ActionDataSample()
        (getattr(sample, 'set_gt_label', None) or sample.set_gt_labels)(0)
        samples.append(sample.to(DEVICE))
    data = dict(
        inputs=[torch.randint(0, 256, (1, 3, 16, 112, 112), dtype=torch.uint8)] * clips,
        data_samples=samples,
    )

    def step() -> None:
        model.zero_grad()
        with torch.autocast(DEVICE.type, torch.float16 if CUDA else torch.bfloat16, enabled=amp):
            batch = model.data_preprocessor(dict(data), training=True)
            loss = model(**batch, mode='loss')['loss_cls']
        loss.backward()

    return step


def inference(model: torch.nn.Module, clips: int) -> Callable:
    views = torch.randn(1, clips, 3, 16, 112, 112, device=DEVICE)

    @torch.inference_mode()
    def run() -> None:
        model.eval()(views, stage='head', mode='tensor')

    return run


def networks(clips: int, rounds: int, amp: bool) -> tuple[str, dict[str, list[float]]]:
    """Markdown of what networks cost, and the ratios to be drawn, by network."""
    names = {'c3d': 'c3d_r18', 'relation_d': 'relation_r18_d', 'artnet_d': 'artnet_r18_d'}
    flops = {e['Name']: e['Metadata']['FLOPs'] for e in read_catalogue() if 'Metadata' in e}
    flops = {arch: flops[f'{name}_kinetics'] for arch, name in names.items()}
    rows, profiles, drawn = [], [], {}
    for layout, last in FORMATS.items():
        models = {arch: build(arch, last) for arch in NETWORKS}
        steps = {arch: train_step(model, clips, amp) for arch, model in models.items()}
        train = alternate(steps, rounds)
        double = {arch: train_step(model, 2 * clips, amp) for arch, model in models.items()}
        peak = {a: (peak_memory(double[a]) - peak_memory(steps[a])) / clips for a in NETWORKS}
        for arch in NETWORKS:
            shares = trace(steps[arch])[1]
            cells = [f'{1000 * median(train[arch]) * share:.0f}' for share in shares.values()]
            profiles.append([f'{arch}, {layout}', *cells])
        plain = alternate({a: inference(models[a], clips) for a in NETWORKS}, rounds)
        for model in models.values():
            switch_to_deploy(model)
        folded = alternate({a: inference(models[a], clips) for a in NETWORKS}, rounds)
        for arch in NETWORKS:
            ratios = [
                f'{flops[arch] / flops["c3d"]:.3f}',
                ratio(train, arch, 'c3d'),
                ratio(plain, arch, 'c3d'),
                ratio(folded, arch, 'c3d'),
                f'{peak[arch] / peak["c3d"]:.2f}',
            ]
            drawn[f'{arch}, {layout}'] = list(map(float, ratios))
            speed = [f'{clips / median(s[arch]):.2f}' for s in (train, plain, folded)]
            rows.append([f'{arch}, {layout}', *ratios, *speed, f'{peak[arch] / 2**20:.0f}'])
    columns = ['Multiply-adds', 'Training step', 'Inference', 'Deployed', 'Memory']
    rates = ['Clips/s trained', 'Clips/s inferred', 'Clips/s deployed', 'MB a clip']
    text = 'Ratios to `c3d`, then absolute figures; memory is what a further clip adds to the peak '
    text += f'of a training step. Batches of {clips}, {"mixed" if amp else "single"} precision.\n\n'
    text += markdown(rows, ['Network', *columns, *rates])
    text += '\nWhere the time of a training step goes, in ms:\n\n'
    text += markdown(profiles, ['Network', *GROUPS.values(), 'others'])
    return text, drawn


def against_torchvision(clips: int, rounds: int) -> str:
    """A line on c3d and torchvision's r3d_18, which keeps 16 frames after the stem."""
    try:
        from torchvision.models.video import r3d_18
    except (ImportError, RuntimeError):
        return '\ntorchvision, whose `r3d_18` `c3d` could be compared with, is not installed.\n'
    nets = {'c3d': build('c3d', False).backbone, 'r3d_18': r3d_18().to(DEVICE)}
    views, costs, steps = torch.randn(clips, 3, 16, 112, 112, device=DEVICE), {}, {}
    for name, net in nets.items():
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            net.eval()(views[:1])
        costs[name] = counter.get_total_flops()

        def step(net=net):
            net.zero_grad()
            net.train()(views).mean().backward()

        steps[name] = step
    seconds = alternate(steps, rounds)
    per_flop = {name: [s / costs[name] for s in seconds[name]] for name in nets}
    return (
        f'\nA training step of `c3d` takes {ratio(per_flop, "c3d", "r3d_18")} of the time a '
        "multiply-add that torchvision's `r3d_18` takes, which keeps all 16 frames behind its stem "
        f'and so has {costs["r3d_18"] / costs["c3d"]:.2f} times as many.\n'
    )


@contextmanager
def one_core() -> Iterator[None]:
    before, threads = os.sched_getaffinity(0), torch.get_num_threads()
    os.sched_setaffinity(0, {min(before)})
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    yield
    os.sched_setaffinity(0, before)
    torch.set_num_threads(threads)


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
    """The frames of a clip by decord, or all by FFmpeg: what no pipeline can do without."""
    if sampler['type'] == 'UniformClipSampler':
        for _ in frames_in_order(str(path)):
            pass
        return
    steps = [dict(type='ClipDecordInit'), sampler]
    results = Compose(steps)(dict(filename=str(path), start_index=0))
    results['video_reader'].get_batch(results['frame_inds'])


def _run(pipeline: Compose, info: dict) -> dict:
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
    with tempfile.TemporaryDirectory() as folder, one_core():
        files = {'original': video, 'copy': Path(folder, 'copy.mp4')}
        write_copy(video, files['copy'], (170, 128), gop=8, crf=20)
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
