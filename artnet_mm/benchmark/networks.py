"""Networks side by side."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.fileio import load
from torch.autograd import DeviceType
from torch.profiler import profile
from torch.utils.flop_counter import FlopCounterMode

from ..evaluation.cost import count
from ..evaluation.report import markdown
from ..inference.export import FramesToScores, difference, export
from ..models import switch_to_deploy
from ..selections import select
from ..version import ROOT
from .timing import CUDA, alternate, ratio

NETWORKS = ('c3d', 'relation_d', 'artnet_d')  # ratios are to the first
FORMATS = {'contiguous': 'contiguous', 'channels last': 'channels_last', 'by measurement': 'auto'}
DEVICE = torch.device('cuda' if CUDA else 'cpu')
GROUPS = {'convolution': 'convolutions', 'batch_norm': 'BN', 'mm': 'matrix products'}


def trace(action: Callable) -> tuple[list[dict], dict[str, float]]:
    """Events of an action as the profiler traces them, and shares of its operations' time."""
    with profile(profile_memory=True) as profiler:
        action()
    with tempfile.TemporaryDirectory() as folder:
        profiler.export_chrome_trace(f'{folder}/trace.json')
        events = load(f'{folder}/trace.json')['traceEvents']
    shares = dict.fromkeys([*GROUPS.values(), 'others'], 0.0)
    for entry in profiler.key_averages():
        if entry.device_type != DeviceType.CPU:
            continue  # a kernel, whose time is that of its operation too
        group = next((GROUPS[key] for key in GROUPS if key in entry.key), 'others')
        shares[group] += entry.self_device_time_total if CUDA else entry.self_cpu_time_total
    return events, {name: share / sum(shares.values()) for name, share in shares.items()}


def peak_memory(action: Callable) -> int:
    """Bytes that an action allocates at most beside what there is."""
    if CUDA:
        action()  # cuDNN tries its algorithms at the first
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        action()
        return torch.cuda.max_memory_allocated() - before
    events = [e for e in trace(action)[0] if e.get('name') == '[memory]']
    allocated = [event['args']['Total Allocated'] for event in events]
    return max(allocated) - allocated[0]


def config_of(arch: str, size: int) -> Config:
    cfg = select(Config.fromfile(ROOT / 'configs/artnet_r18_d_kinetics.py'), size=size)
    cfg.model.backbone.arch = arch
    return cfg


def autocast(amp: bool) -> torch.autocast:
    return torch.autocast(DEVICE.type, torch.float16 if CUDA else torch.bfloat16, enabled=amp)


def train_step(model: Any, clips: int, amp: bool, size: int) -> Callable:
    """A training step on random clips, but for the optimizer's."""
    samples = []
    for _ in range(clips):
        sample = ActionDataSample()
        (getattr(sample, 'set_gt_label', None) or sample.set_gt_labels)(0)
        samples.append(sample.to(DEVICE))
    data = dict(
        inputs=[torch.randint(0, 256, (1, 3, 16, size, size), dtype=torch.uint8)] * clips,
        data_samples=samples,
    )

    def step() -> None:
        model.zero_grad()
        with autocast(amp):
            batch = model.data_preprocessor(dict(data), training=True)
            loss = model(**batch, mode='loss')['loss_cls']
        loss.backward()

    return step


def inference(
    model: torch.nn.Module, clips: int, amp: bool, size: int, at_a_time: int | None = None
) -> Callable:
    """Scores of random clips, all in one forward pass or so many at a time."""
    views = torch.randn(clips, 1, 3, 16, size, size, device=DEVICE)

    @torch.inference_mode()
    def run() -> None:
        with autocast(amp):
            for part in views.split(at_a_time or clips):
                model.eval()(part, stage='head', mode='tensor')

    return run


def networks(clips: int, rounds: int, amp: bool, size: int) -> tuple[str, dict[str, list[float]]]:
    """Markdown of what networks cost, and the ratios to be drawn, by network."""
    configs = {arch: config_of(arch, size) for arch in NETWORKS}
    flops = {arch: count(cfg)['FLOPs'] for arch, cfg in configs.items()}
    models = {
        (arch, layout): MODELS.build({**cfg.model, 'memory_format': form}).to(DEVICE)
        for layout, form in FORMATS.items()
        for arch, cfg in configs.items()
    }
    steps = {key: train_step(model, clips, amp, size) for key, model in models.items()}
    train = alternate(steps, rounds)
    peak, profiles = {}, []
    for (arch, layout), step in steps.items():
        double = train_step(models[arch, layout], 2 * clips, amp, size)
        peak[arch, layout] = (peak_memory(double) - peak_memory(step)) / clips
        time = 1000 * median(train[arch, layout])
        cells = [f'{time * share:.0f}' for share in trace(step)[1].values()]
        profiles.append([f'{arch}, {layout}', *cells])
    answers = {key: inference(model, clips, amp, size) for key, model in models.items()}
    plain = alternate(answers, rounds)
    for model in models.values():
        switch_to_deploy(model)
    folded = alternate(answers, rounds)
    rows, drawn = [], {}
    for arch, layout in models:
        name, this, base = f'{arch}, {layout}', (arch, layout), ('c3d', layout)
        ratios = [
            f'{flops[arch] / flops["c3d"]:.3f}',
            *(ratio(seconds, this, base) for seconds in (train, plain, folded)),
            f'{peak[this] / peak[base]:.2f}',
        ]
        drawn[name] = list(map(float, ratios))
        speed = [f'{clips / median(seconds[this]):.2f}' for seconds in (train, plain, folded)]
        rows.append([name, *ratios, *speed, f'{peak[this] / 2**20:.0f}'])
    columns = ['Multiply-adds', 'Training step', 'Inference', 'Deployed', 'Memory']
    rates = ['Clips/s trained', 'Clips/s inferred', 'Clips/s deployed', 'MB a clip']
    text = 'Ratios to `c3d`, then absolute figures; memory is what a further clip adds to the peak '
    text += f'of a training step. {clips} clips of 16 x {size} x {size}, '
    text += f'{"mixed" if amp else "single"} precision.\n\n'
    text += markdown(rows, ['Network', *columns, *rates])
    text += '\nWhere the time of a training step goes, in ms:\n\n'
    text += markdown(profiles, ['Network', *GROUPS.values(), 'others'])
    return text, drawn


def views_at_a_time(rounds: int, amp: bool, size: int) -> str:
    """Markdown of how fast `artnet_d` in the deploy form takes 24 views, by those of a pass."""
    model = MODELS.build(config_of('artnet_d', size).model).to(DEVICE).eval()
    switch_to_deploy(model)
    numbers = 24, 12, 8, 4, 2, 1
    answers = {number: inference(model, 24, amp, size, at_a_time=number) for number in numbers}
    seconds = alternate(answers, rounds)
    rates = [f'{24 / median(seconds[number]):.2f}' for number in numbers]
    gains = [ratio(seconds, 24, number) for number in numbers]
    rows = [['views a second', *rates], ['to 24 at a time', *gains]]
    return '\nDeployed, by the views of a forward pass:\n\n' + markdown(
        rows, ['`artnet_d`, contiguous', *map(str, numbers)]
    )


def against_torchvision(clips: int, rounds: int, size: int) -> str:
    """A line on c3d and torchvision's r3d_18, which keeps 16 frames after the stem."""
    try:
        from torchvision.models.video import r3d_18
    except (ImportError, RuntimeError):
        return '\ntorchvision, whose `r3d_18` `c3d` could be compared with, cannot be imported.\n'
    c3d = MODELS.build(config_of('c3d', size).model.backbone)
    nets = {'c3d': c3d.to(DEVICE), 'r3d_18': r3d_18().to(DEVICE)}
    views, costs, steps = torch.randn(clips, 3, 16, size, size, device=DEVICE), {}, {}
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


def against_onnxruntime(clips: int, rounds: int, size: int) -> str:
    """A line on the deploy form in PyTorch and, exported, in onnxruntime; on the CPU."""
    try:
        import onnxruntime
    except ImportError:
        return '\nonnxruntime, whose speed could be compared, is not installed.\n'
    actions: dict[str, Callable] = {}
    with tempfile.TemporaryDirectory() as folder:
        for arch in ('c3d', 'artnet_d'):
            cfg = config_of(arch, size)
            cfg.model.backbone.max_response = 10  # of noise, untrained
            model = MODELS.build(cfg.model)
            model.cfg = cfg
            network = FramesToScores(model)
            frames = network.example(clips)
            names = [f'class {label}' for label in range(cfg.model.cls_head.num_classes)]
            file = export(network, names, Path(folder, f'{arch}.onnx'))
            difference(network, file, frames.numpy())
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = torch.get_num_threads()
            session = onnxruntime.InferenceSession(
                file, options, providers=['CPUExecutionProvider']
            )
            actions[f'{arch} in PyTorch'] = torch.no_grad()(partial(network, frames))
            actions[f'{arch} in onnxruntime'] = partial(
                session.run, ['scores'], dict(frames=frames.numpy())
            )
        seconds = alternate(actions, rounds)
    rates = {
        arch: ratio(seconds, f'{arch} in PyTorch', f'{arch} in onnxruntime')
        for arch in ('c3d', 'artnet_d')
    }
    return (
        f'\nThe ONNX file in onnxruntime {onnxruntime.__version__}, on the CPU, answers '
        f'{rates["artnet_d"]} times as many clips a second as the deploy form in PyTorch '
        f'(`c3d` {rates["c3d"]} times), `artnet_d` in '
        f'{ratio(seconds, "artnet_d in onnxruntime", "c3d in onnxruntime")} of the time of `c3d`.\n'
    )
