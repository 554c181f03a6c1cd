"""Memory formats by measurement: every stage of a backbone in the format it is faster in.

No format is right for a network: on a CPU few channels are faster with the channels last and many
are not, and forward alone is another matter than both ways (docs/benchmarks.md). As cuDNN's
benchmark does, stages are timed at the first clips of their kind, and go on in the faster format.
"""

import time
from collections.abc import Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.model import revert_sync_batchnorm
from torch import Tensor, nn

from .fused import hooks_of
from .square_pool import transformed

FORMATS = {'contiguous': torch.contiguous_format, 'channels last': torch.channels_last_3d}
NUM_CLIPS = 4
"""Clips that are timed, of a batch."""
ROUNDS = 3
"""How often, of which the fastest counts."""


def stages_of(backbone: nn.Module) -> dict[str, nn.Module]:
    """Children with 3D convolutions, by name; of a list or dictionary its members."""
    stages: dict[str, nn.Module] = {}
    for name, child in backbone.named_children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            stages |= {f'{name}.{key}': stage for key, stage in stages_of(child).items()}
        elif any(isinstance(module, nn.Conv3d) for module in child.modules()):
            stages[name] = child
    return stages


def cheapest(times: Sequence[dict[str, float]], moves: Sequence[float]) -> list[str]:
    """Formats of stages that follow one another, of the smallest sum of times.

    Args:
        times (Sequence[dict[str, float]]): Seconds of each stage, by format.
        moves (Sequence[float]): Seconds in which the input of each stage takes another format.
            The first comes contiguous.

    Returns:
        list[str]: A format per stage.
    """
    paths: dict[str, tuple[float, list[str]]] = {'contiguous': (0.0, [])}
    for of_stage, move in zip(times, moves):
        paths = {
            name: min(
                (total + seconds + move * (name != before), [*path, name])
                for before, (total, path) in paths.items()
            )
            for name, seconds in of_stage.items()
        }
    return min(paths.values())[1]


class FastestFormat:
    """Hooks that give the input of every stage of a backbone the format it is faster in.

    Times are taken of a copy, at the first clips of a shape, device, precision and mode
    (inference; training, both ways), and once more in the deploy form. Stages are the children
    with 3D convolutions that map (N, C, T, H, W) to the same, as in ARTNet, ResNet3d and Inception;
    what else a backbone has goes on in the format that it gets. The function stays the same to
    rounding; which formats are chosen may differ from start to start.

    Args:
        backbone (nn.Module): What computes on (N, C, T, H, W).
    """

    def __init__(self, backbone: nn.Module) -> None:
        self._plans: dict[tuple, dict[str, str]] = {}
        self._hooks: list[Any] = []
        self._current: tuple | None = None
        backbone.register_forward_pre_hook(self._before)

    def _before(self, backbone: nn.Module, args: tuple[Tensor]) -> None:
        clips, device = args[0], args[0].device.type
        if (
            device not in ('cpu', 'cuda')
            or type(clips) is not Tensor
            or torch.compiler.is_compiling()
            or transformed()
        ):
            return
        kind = (
            tuple(map(type, backbone.modules())),  # others in the deploy form
            (clips.shape[1:], clips.dtype, clips.device),
            torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device),
            (backbone.training, torch.is_grad_enabled()),
        )
        if kind == self._current:
            return
        if kind not in self._plans:
            self._plans[kind] = _measure(backbone, clips[:NUM_CLIPS].detach())
        for hook in self._hooks:
            hook.remove()
        stages, self._current = stages_of(backbone), kind
        self._hooks = [
            stages[name].register_forward_pre_hook(partial(_convert, memory_format=FORMATS[chosen]))
            for name, chosen in self._plans[kind].items()
        ]


def _convert(stage: nn.Module, args: tuple[Tensor], memory_format: torch.memory_format) -> tuple:
    """Hook that brings the input of a stage into a format."""
    return (args[0].contiguous(memory_format=memory_format),)


def _measure(backbone: nn.Module, clips: Tensor) -> dict[str, str]:
    """The format of each stage for such clips."""
    # Statistics and gradients of the network stay what they are, and no process waits for others.
    copied = revert_sync_batchnorm(deepcopy(backbone))
    for module in copied.modules():
        for hooks in hooks_of(module):
            hooks.clear()
    stages, inputs = stages_of(copied), {}

    def keep(stage: nn.Module, args: tuple, out: object, name: str) -> None:
        if len(args) == 1 and all(isinstance(x, Tensor) and x.ndim == 5 for x in (args[0], out)):
            inputs[name] = args[0].clone()  # the next one may change its own in place

    recorders = [
        stage.register_forward_hook(partial(keep, name=name)) for name, stage in stages.items()
    ]
    times: list[dict[str, float]] = []
    moves = []
    with torch.random.fork_rng(devices=[clips.device] if clips.is_cuda else []):
        with torch.no_grad():
            copied(clips)
        # Half-precision weights without a graph would be taken below: pytorch 112583.
        torch.clear_autocast_cache()
        for recorder in recorders:
            recorder.remove()
        trains = False  # what is before a stage
        for name, x in inputs.items():
            forms = {key: x.contiguous(memory_format=form) for key, form in FORMATS.items()}
            times.append({key: _seconds(stages[name], x, trains) for key, x in forms.items()})
            moves.append(_seconds_to_move(forms) * (1 + trains))
            trains |= torch.is_grad_enabled() and any(
                parameter.requires_grad for parameter in stages[name].parameters()
            )
    chosen = dict(zip(inputs, cheapest(times, moves)))
    figures = (
        f'{name} {chosen[name]} ({", ".join(f"{key} {1000 * s:.2g}" for key, s in row.items())})'
        for name, row in zip(inputs, times)
    )
    mode = 'training' if torch.is_grad_enabled() else 'inference'
    shape = ' x '.join(map(str, clips.shape))
    print_log(
        f'memory formats for {mode}, in ms for {shape}: {"; ".join(figures)}', logger='current'
    )
    return chosen


def _seconds(stage: nn.Module, x: Tensor, with_gradient: bool) -> float:
    """Seconds of a stage, both ways where gradients are computed, that of x if asked for."""
    x = x.detach().requires_grad_(with_gradient)

    def run() -> None:
        out = stage(x.clone())  # which a stage may change in place
        if out.requires_grad:
            out.backward(torch.ones_like(out))

    return _fastest(run, x)


def _seconds_to_move(forms: dict[str, Tensor]) -> float:
    """Mean seconds from one format to the other."""

    def move() -> None:
        for x, form in zip(reversed(forms.values()), FORMATS.values()):
            x.contiguous(memory_format=form)

    return _fastest(move, forms['contiguous']) / 2


def _fastest(run: Any, x: Tensor) -> float:
    seconds = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        run()
        if x.is_cuda:
            torch.cuda.synchronize(x.device)
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])  # the first warms up
