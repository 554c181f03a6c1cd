"""What each branch of a network's SMART units sees in a clip, and where a class comes from."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..datasets.sampling import clip_indices, uniform_starts
from ..datasets.video import Video
from ..models import SMARTConv3d
from .recognizer import of_each_view, scores_of
from .windows import ClipInput


class UnitMaps(NamedTuple):
    """Energy of a unit's branches: the norm over channels of what each adds to its output."""

    name: str
    appearance: Tensor
    """(T', H', W'), as ``relation``."""
    relation: Tensor

    @property
    def stage(self) -> str:
        """The part of the backbone that the unit is in: 'stem', or 'stages.0' and so on."""
        return '.'.join(self.name.split('.')[:2])


def smart_units(backbone: nn.Module) -> dict[str, Any]:
    """The SMART units of a network that have a relation branch, by name.

    Raises:
        ValueError: If there are none, or they are in their deploy form.
    """
    units: dict[str, Any] = {
        name: module
        for name, module in backbone.named_modules()
        if isinstance(module, SMARTConv3d) and module.has_relation
    }
    if not units:
        raise ValueError('the network has no SMART units, whose branches could be looked at')
    if any(unit.deployed for unit in units.values()):
        raise ValueError('the network is in its deploy form: load it as it was trained')
    return units


def contributions(unit: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """What appearance and relation add to the output of a unit (Fig. 3): with the bias they are it.

    Args:
        unit (SMARTConv3d): The unit.
        x (Tensor): Its input, (N, C_in, T, H, W).

    Returns:
        tuple[Tensor, Tensor]: (N, C_out, T', H', W') each.
    """
    branches = [F.relu(branch) for branch in unit.branches(x)]
    weights = unit.reduction.weight.split([branch.shape[1] for branch in branches], dim=1)
    appearance, relation = (F.conv3d(b, w) for b, w in zip(branches, weights))
    return appearance, relation


def weight_shares(backbone: nn.Module) -> dict[str, float]:
    """Of the reduction's weight in each unit, the share of relation, by the norms of both parts."""
    shares = {}
    for name, unit in smart_units(backbone).items():
        weight = unit.reduction.weight.detach()
        kept = weight.shape[1] - unit.out_channels // 2
        appearance, relation = weight[:, :kept].norm(), weight[:, kept:].norm()
        shares[name] = float(relation / (appearance + relation))
    return shares


@contextmanager
def watching(backbone: nn.Module) -> Iterator[list[UnitMaps]]:
    """Collect the energies of all units in the forward passes within, of the first sample."""
    maps: list[UnitMaps] = []

    def keep(name: str, unit: Any, x: Tensor) -> None:
        with torch.no_grad():
            parts = [part[0].float().norm(dim=0) for part in contributions(unit, x)]
        maps.append(UnitMaps(name, *parts))

    with ExitStack() as stack:
        for name, unit in smart_units(backbone).items():
            hook = unit.register_forward_pre_hook(
                lambda unit, inputs, name=name: keep(name, unit, inputs[0])
            )
            stack.callback(hook.remove)
        yield maps


def look(model: Any, view: Tensor) -> tuple[list[UnitMaps], Tensor]:
    """Energies of all units, and the scores, of a view.

    Args:
        model (nn.Module): Recognizer of :func:`load_recognizer`.
        view (Tensor): (1, C, T, H, W), normalised.

    Returns:
        tuple[list[UnitMaps], Tensor]: In the order of the network, and (num_classes,).

    Raises:
        ValueError: If the network has no SMART units.
    """
    with watching(model.backbone) as maps, torch.no_grad():
        scores = scores_of(model, view)
    return maps, scores[0]


def grad_cam(model: Any, view: Tensor, label: int) -> Tensor:
    """Where the score of a class comes from in the last maps.

    Grad-CAM (Selvaraju and others, 2017). The package of that name takes torchvision, which this
    project does without.

    Args:
        model (nn.Module): Recognizer of :func:`load_recognizer`.
        view (Tensor): (1, C, T, H, W), normalised.
        label (int): The class.

    Returns:
        Tensor: (T', H', W') from 0 to 1.
    """
    with torch.no_grad():
        maps = model(view.unsqueeze(1), stage='backbone', mode='tensor')
    # cuDNN has no gradients of an LSTM in inference.
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        maps.requires_grad_()
        score = of_each_view(model.cls_head, model.cls_head(maps))[0, label]
        (gradient,) = torch.autograd.grad(score, maps)
    importance = gradient.mean((2, 3, 4), keepdim=True)
    cam = (importance * maps).sum(1)[0].relu().detach()
    return cam / cam.max().clamp_min(1e-12)


def by_stage(maps: list[UnitMaps]) -> dict[str, tuple[Tensor, Tensor]]:
    """Mean energies of appearance and relation over the units of each stage, (T', H', W')."""
    stages: dict[str, list[UnitMaps]] = {}
    for one in maps:
        stages.setdefault(one.stage, []).append(one)
    return {
        stage: (
            torch.stack([one.appearance for one in units]).mean(0),
            torch.stack([one.relation for one in units]).mean(0),
        )
        for stage, units in stages.items()
    }


def over_clip(energy: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """A map (T', H', W') at the size (T, H, W) of the clip."""
    return F.interpolate(energy[None, None], shape, mode='trilinear', align_corners=False)[0, 0]


class Glance(NamedTuple):
    """What a network sees in a clip of a video."""

    clip: np.ndarray
    """The centre crop, uint8 (T, h, w, 3)."""
    start: float
    """In seconds, as ``seconds``, its length."""
    seconds: float
    maps: list[UnitMaps]
    scores: Tensor
    """(num_classes,)."""
    view: Tensor
    """The clip as the network takes it, (1, C, T, h, w)."""


def glance(model: Any, path: str | Path, start: float | None = None) -> Glance:
    """Look at a clip of a video.

    Args:
        model (nn.Module): Recognizer of :func:`load_recognizer`.
        path (str | Path): The video.
        start (float, optional): Of the clip, in seconds. Defaults to that of the centre one.

    Raises:
        ValueError: If the video cannot be read or is over before ``start``, or the network has
            no SMART units.
    """
    smart_units(model.backbone)
    seen, video = ClipInput.of(model.cfg), Video(str(path))
    (first,) = uniform_starts(len(video), 1, seen.extent)
    if start is not None:
        lasts = video.times[-1] + 1 / video.rate
        if not 0 <= start < lasts:
            raise ValueError(f'{path} lasts {lasts:.1f} s: {start:g} s is not within')
        first = np.searchsorted(video.times, start, side='right') - 1
    interval = seen.extent // seen.clip_len
    (indices,) = clip_indices(np.array([first]), seen.clip_len, interval, len(video))
    clip = seen.crop.cut(video.frames(indices, seen.scale), 0, False).copy()
    video.close()
    view = model.data_preprocessor.normalise(
        seen.view(clip)[None].to(next(model.parameters()).device)
    )
    maps, scores = look(model, view)
    maps = [UnitMaps(one.name, one.appearance.cpu(), one.relation.cpu()) for one in maps]
    seconds = seen.extent / float(video.rate)
    return Glance(clip, float(video.times[first]), seconds, maps, scores.cpu(), view)
