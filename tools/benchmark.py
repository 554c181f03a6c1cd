"""Measure networks and data pipelines side by side: tools/benchmark.py [VIDEO] [--out PAGE.md]

What is compared alternates in one process; ratios are medians over the rounds. Networks run on
the GPU where there is one, data pipelines on one CPU core, on VIDEO (by default one that is made
up) and on a copy of it as tools/data/prepare_videos.py writes it.
"""

import argparse
import os
import platform
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import Distribution, version
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.fileio import load
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from rich.console import Console
from rich.markdown import Markdown
from torch.profiler import profile
from torch.utils.flop_counter import FlopCounterMode

from artnet_mm import ROOT
from artnet_mm.datasets.synthetic import motion_clip, write_video
from artnet_mm.datasets.videos import open_video, write_copy
from artnet_mm.evaluation.report import markdown, read_catalogue
from artnet_mm.models import switch_to_deploy
from artnet_mm.versions import REQUIREMENTS

NETWORKS = ('c3d', 'relation_d', 'artnet_d')  # ratios are to the first
FORMATS = {'contiguous': False, 'channels last': True}
CUDA = torch.cuda.is_available()
DEVICE = torch.device('cuda' if CUDA else 'cpu')
GENERATED = re.compile('(?<=<!-- generated -->\n).*(?=<!-- /generated -->)', re.DOTALL)
STOCK_TRAIN = [
    dict(type='DecordInit'),
    dict(type='SampleFrames', clip_len=16, frame_interval=1, num_clips=1),
    dict(type='DecordDecode'),
]
STOCK_TEST = [
    dict(type='DecordInit'),
    dict(type='SampleFrames', clip_len=16, frame_interval=1, num_clips=25, test_mode=True),
    dict(type='DecordDecode'),
    dict(type='Resize', scale=(170, 128), keep_ratio=False),
    dict(type='TenCrop', crop_size=112),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
GROUPS = {'convolution': 'convolutions', 'batch_norm': 'BN', 'mm': 'matrix products'}


def alternate(actions: dict[str, Callable], rounds: int) -> dict[str, list[float]]:
    """Seconds of every action in every round, after one round to warm up."""
    seconds = {name: [] for name in actions}
    for number in range(rounds + 1):
        for name, action in actions.items():
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


def build(arch: str, channels_last: bool) -> torch.nn.Module:
    cfg = Config.fromfile(ROOT / 'configs/artnet_r18_d_kinetics.py')
    cfg.model.backbone.arch = arch
    return MODELS.build({**cfg.model, 'channels_last': channels_last}).to(DEVICE)


def train_step(model: torch.nn.Module, clips: int, amp: bool) -> Callable:
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
    rates = ['Clips/s trained', 'Clips/s inferred', 'Deployed', 'MB a clip']
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


def pipelines(video: Path, rounds: int) -> tuple[str, list[list[str]]]:
    """Markdown of what data pipelines give on a video and on its copy."""
    cfg = Config.fromfile(ROOT / 'configs/artnet_r18_d_kinetics.py')
    resize = dict(type='Resize', scale=(170, 128), keep_ratio=False)
    stock_train = [
        *STOCK_TRAIN,
        resize,
        *cfg.train_pipeline[3:5],
        dict(type='Flip', flip_ratio=0.5),
    ]
    stock_train += cfg.train_pipeline[6:]
    kinds = {
        'training clip': (stock_train, cfg.train_pipeline, 10 * rounds),
        'test video': (STOCK_TEST, cfg.test_pipeline, rounds),
    }
    rows = []
    with tempfile.TemporaryDirectory() as folder, one_core():
        copy = Path(folder, 'copy.mp4')
        write_copy(video, copy, (170, 128), gop=8, crf=20)
        frames = len(open_video(video))
        for kind, (stock, ours, count) in kinds.items():
            actions, sizes = {}, {}
            for file, path in (('original', video), ('copy', copy)):
                for name, steps in (('stock', stock), ('ours', ours)):
                    pipeline = Compose(steps)
                    info = dict(filename=str(path), label=0, start_index=0, modality='RGB')

                    def run(pipeline=pipeline, info=info):
                        return pipeline(dict(info))

                    actions[file, name] = run
                    inputs = run()['inputs']
                    inputs = inputs.values() if isinstance(inputs, dict) else [inputs]
                    sizes[name] = sum(v.numel() * v.element_size() for v in inputs)
            seconds = alternate(actions, count)
            for file in ('original', 'copy'):
                stock_rate, rate = (1 / median(seconds[file, n]) for n in ('stock', 'ours'))
                rows.append([
                    kind, file, f'{stock_rate:.1f}', f'{rate:.1f}',
                    ratio(
                        {n: [1 / s for s in seconds[file, n]] for n in ('stock', 'ours')},
                        'ours', 'stock',
                    ),
                    f'{rate * median(seconds["original", "stock"]):.1f}',
                    f'{sizes["stock"] / 1e6:.1f}', f'{sizes["ours"] / 1e6:.1f}',
                ])  # fmt: skip
    head = f'One core, a video of {frames} frames and its copy at 170 x 128; rates a second.\n\n'
    columns = [
        '', 'File', 'Stock', 'Ours', 'Ratio', 'To stock on the original', 'MB stock', 'MB ours',
    ]  # fmt: skip
    return head + markdown(rows, columns), rows


def draw(ratios: dict[str, list[float]], data: list[list[str]]) -> Figure:
    """Bars of the networks' ratios, and of the pipelines' rates."""
    figure = Figure(figsize=(10, 4), layout='constrained')
    left, right = figure.subplots(1, 2)
    labels = ['multiply-adds', 'training', 'inference', 'deployed', 'memory']
    shown = {name: values for name, values in ratios.items() if 'artnet' in name}
    for number, (name, values) in enumerate(shown.items()):
        bars = left.bar(np.arange(5) + 0.4 * number - 0.2, values, width=0.38, label=name)
        left.bar_label(bars, fmt='%.2f', fontsize=7)
    left.axhline(1, color='gray', linewidth=0.8)
    left.set_xticks(range(5), labels, fontsize=8)
    left.set_title('ARTNet-ResNet18 (d), C3D-ResNet18 = 1', fontsize=9, loc='left')
    left.legend(fontsize=8)
    names = [f'{kind},\n{file}' for kind, file, *_ in data]
    bars = right.bar(names, [float(row[5]) for row in data], color='tab:green', width=0.5)
    right.bar_label(bars, fmt='%.1f', fontsize=8)
    right.axhline(1, color='gray', linewidth=0.8)
    right.tick_params(axis='x', labelsize=8)
    right.set_title('Data pipelines, stock on the original = 1', fontsize=9, loc='left')
    for axes in (left, right):
        axes.spines[['top', 'right']].set_visible(False)
    return figure


def machine() -> str:
    info = Path('/proc/cpuinfo')
    found = re.search(r'model name\s*: (.*)', info.read_text()) if info.exists() else None
    cpu = found[1] if found else platform.processor() or platform.machine()
    gpu = f', {torch.cuda.get_device_name()}' if CUDA else ', no GPU'
    versions = [f'Python {platform.python_version()}']
    for distributions, _ in REQUIREMENTS.values():
        versions += [
            f'{d} {version(d)}' for d in distributions if list(Distribution.discover(name=d))
        ]
    return f'{cpu}, {torch.get_num_threads()} threads{gpu}; {", ".join(versions)}.\n'


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('video', nargs='?', type=Path, help='video file to read clips from')
    parser.add_argument('--clips', type=int, default=4, help='clips of a batch')
    parser.add_argument('--rounds', type=int, default=7, help='of which the median is taken')
    parser.add_argument('--amp', action='store_true', help='mixed precision')
    parser.add_argument('--out', type=Path, help='page to write, and a picture of its name')
    args = parser.parse_args()
    MMLogger.get_current_instance().setLevel('ERROR')
    init_default_scope('mmaction')
    with tempfile.TemporaryDirectory() as folder:
        if args.video is None:
            args.video = Path(folder, 'made_up.mp4')
            write_video(args.video, motion_clip(label=0, seed=0, num_frames=280, size=(340, 256)))
        data, rows = pipelines(args.video, args.rounds)
    costs, ratios = networks(args.clips, args.rounds, args.amp)
    costs += against_torchvision(args.clips, args.rounds)
    text = f'{machine()}\n### Networks\n\n{costs}\n### Data\n\n{data}'
    Console().print(Markdown(text))
    if args.out:
        page = args.out.read_text() if args.out.exists() else ''
        page = page if GENERATED.search(page) else '<!-- generated -->\n<!-- /generated -->\n'
        args.out.write_text(GENERATED.sub(lambda _: text, page), encoding='utf-8')
        draw(ratios, rows).savefig(args.out.with_suffix('.png'), dpi=120)


if __name__ == '__main__':
    main()
