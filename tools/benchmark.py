"""Measure networks and data pipelines side by side: tools/benchmark.py [VIDEO] [--out-dir docs]

What is compared alternates in one process; ratios are medians over the rounds. Networks run on
the GPU where there is one, data pipelines on one CPU core, on VIDEO (by default one that is made
up) and on a copy of it as tools/data/prepare_videos.py writes it, decoders also on an AVI. With
--out-dir the tables go into a section of this machine in benchmarks.md there, and into scaling.md.
"""

import argparse
import platform
import re
import tempfile
from importlib.metadata import Distribution, version
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('video', nargs='?', type=Path, help='video file to read clips from')
    parser.add_argument('--clips', type=int, default=4, help='clips of a batch')
    parser.add_argument('--size', type=int, default=112, help='side of what networks see')
    parser.add_argument('--rounds', type=int, default=7, help='of which the median is taken')
    parser.add_argument('--amp', action='store_true', help='mixed precision')
    parser.add_argument('--out-dir', type=Path, help='folder of the pages and a picture')
    return parser.parse_args()


if __name__ == '__main__':
    ARGS = parse_args()  # before the imports below, which take seconds


from artnet_mm.benchmark.data import Rates, decoders, pipelines, repeats, scaling_of, table_of
from artnet_mm.benchmark.networks import (
    against_onnxruntime,
    against_torchvision,
    networks,
    views_at_a_time,
)
from artnet_mm.benchmark.timing import CUDA
from artnet_mm.data_making.motion_clips import motion_clip, write_video
from artnet_mm.files import whole_file
from artnet_mm.pages import renew, with_section
from artnet_mm.version import REQUIREMENTS

import numpy as np
import torch
from matplotlib.figure import Figure
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from rich.console import Console
from rich.markdown import Markdown


def draw(ratios: dict[str, list[float]], rates: Rates) -> Figure:
    """Bars of the networks' ratios, and of the pipelines' rates."""
    figure = Figure(figsize=(12, 4), layout='constrained')
    left, right = figure.subplots(1, 2)
    labels = ['multiply-adds', 'training', 'inference', 'deployed', 'memory']
    shown = {name: values for name, values in ratios.items() if 'artnet' in name}
    width = 0.8 / len(shown)
    for number, (name, values) in enumerate(shown.items()):
        bars = left.bar(np.arange(5) + width * number, values, width=0.95 * width, label=name)
        left.bar_label(bars, fmt='%.2f', fontsize=6)
    left.axhline(1, color='gray', linewidth=0.8)
    left.set_xticks(np.arange(5) + 0.4 - width / 2, labels, fontsize=8)
    left.set_title('ARTNet-ResNet18 (d), C3D-ResNet18 = 1', fontsize=9, loc='left')
    left.set_ylim(0, 1.25 * max(map(max, shown.values())))
    left.legend(fontsize=8, ncols=2, loc='upper center', frameon=False)
    bars = {}
    for kind, measured in (('training clips', rates.clips), ('test videos', rates.videos)):
        for file, whose in (('original', 'ours'), ('copy', 'stock'), ('copy', 'ours')):
            speedup = measured[file][whose] / measured['original']['stock']
            bars[f'{kind},\n{file},\n{whose}'] = speedup
    bars = right.bar(list(bars), list(bars.values()), color='tab:green', width=0.5)
    right.bar_label(bars, fmt='%.1f', fontsize=8)
    right.axhline(1, color='gray', linewidth=0.8)
    right.tick_params(axis='x', labelsize=7)
    right.set_title('Data pipelines, stock on the original = 1', fontsize=9, loc='left')
    for axes in (left, right):
        axes.spines[['top', 'right']].set_visible(False)
    return figure


def machine() -> str:
    """The processor, its instructions and threads, and the GPU: the heading of a section."""
    info = Path('/proc/cpuinfo')
    found = re.search(r'model name\s*: (.*)', info.read_text()) if info.exists() else None
    cpu = found[1] if found else platform.processor() or platform.machine()
    gpu = torch.cuda.get_device_name() if CUDA else 'no GPU'
    instructions = torch.backends.cpu.get_cpu_capability()
    return f'{cpu} ({instructions}), {torch.get_num_threads()} threads, {gpu}'


def packages() -> str:
    versions = [f'Python {platform.python_version()}']
    for distributions, _ in REQUIREMENTS.values():
        versions += [
            f'{d} {version(d)}' for d in distributions if list(Distribution.discover(name=d))
        ]
    return f'{", ".join(versions)}.\n'


def main(args: argparse.Namespace) -> None:
    MMLogger.get_current_instance().setLevel('ERROR')
    init_default_scope('mmaction')
    torch.backends.cudnn.benchmark = True  # as configs/_base_/default_runtime.py has it
    with tempfile.TemporaryDirectory() as folder:
        if args.video is None:
            args.video = Path(folder, 'made_up.mp4')
            write_video(args.video, motion_clip(label=0, seed=0, num_frames=280, size=(340, 256)))
        rates, readers = pipelines(args.video, args.rounds), decoders(args.video, args.rounds)
        several = repeats(args.video, args.rounds)
    costs, ratios = networks(args.clips, args.rounds, args.amp, args.size)
    costs += views_at_a_time(args.rounds, args.amp, args.size)
    costs += against_torchvision(args.clips, args.rounds, args.size)
    costs += against_onnxruntime(args.clips, args.rounds, args.size)
    tables = (
        f'\n{packages()}\n#### Networks\n\n{costs}\n#### Decoders\n\n{readers}'
        f'\n#### Data\n\n{table_of(rates)}'
        f'\nTraining clips a second, by how many of one decoding (`num_repeats`):\n\n{several}'
    )
    heading = machine() + (f', {args.size} x {args.size}' if args.size != 112 else '')
    scaling = f'By the figures of {heading}:\n\n{scaling_of(rates)}'
    for text in (f'### {heading}\n{tables}', scaling):
        Console().print(Markdown(text))
    if args.out_dir:
        args.out_dir.mkdir(parents=True, exist_ok=True)
        renew(
            args.out_dir / 'benchmarks.md',
            'generated',
            lambda old: with_section(old, heading, tables),
        )
        renew(args.out_dir / 'scaling.md', 'generated', scaling)
        with whole_file(args.out_dir / 'benchmarks.png') as place:
            draw(ratios, rates).savefig(place, dpi=120)


if __name__ == '__main__':
    main(ARGS)
