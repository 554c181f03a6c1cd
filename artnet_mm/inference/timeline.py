"""Classes over the time of a long video, and the stretches that have one."""

from collections.abc import Iterator
from itertools import islice, pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure

from ..datasets.stream import Stream
from ..datasets.video import Video
from ..models.recognizers import parts_of
from .recognizer import scores_of
from .windows import ClipInput, frames_in, slide


class Moment(NamedTuple):
    """A window of a video, and the probability of each class in it."""

    start: float
    """In seconds, as ``end``."""
    end: float
    probabilities: np.ndarray
    """(K,)."""


class Segment(NamedTuple):
    """A stretch of a video in which a class is the likeliest."""

    start: float
    """In seconds, as ``end``."""
    end: float
    label: int
    probability: float
    """The mean over its windows."""


def watch(
    model: Any,
    video: Video | Stream,
    window: str | None = None,
    step: str | None = None,
    at_a_time: int = 8,
) -> Iterator[Moment]:
    """The windows of a video, one by one; each frame is decoded once, each window seen once.

    Args:
        model (nn.Module): Recognizer of :func:`load_recognizer`.
        video (Video | Stream): Open video or stream.
        window, step (str, optional): In frames ('64') or seconds ('2.5s'). ``window`` defaults to
            what a clip of the config's test spans, ``step`` to half of it.
        at_a_time (int): Windows that are taken together, on a CPU maybe by several forward
            passes: 1 has an answer as soon as it can be had. Defaults to 8.

    Raises:
        ValueError: If the config has no windows, a length is none, or the video cannot be read.
    """
    seen = ClipInput.of(model.cfg)
    length = frames_in(window, video.rate) if window else seen.extent
    every = frames_in(step, video.rate) if step else max(length // 2, 1)
    windows = slide(seen.walk(video), seen.clip_len, length, every)
    device = next(model.parameters()).device
    while group := list(islice(windows, at_a_time)):
        with torch.inference_mode():
            clips = torch.stack([seen.view(one.clip) for one in group]).to(device)
            views = model.data_preprocessor.normalise(clips)
            scores = torch.cat([scores_of(model, part) for part in parts_of(views, at_a_time)])
        probabilities = scores.float().softmax(1).cpu().numpy()
        if not np.isfinite(probabilities).all():
            raise ValueError('the scores of the network are not finite')
        for one, of_classes in zip(group, probabilities):
            start, end = video.times[one.first], video.times[one.last]
            yield Moment(float(start), float(end + 1 / video.rate), of_classes)


def smooth(moments: list[Moment], width: int) -> list[Moment]:
    """Moments with the mean over ``width`` of them, themselves in the middle, fewer at the ends."""
    before, after = (width - 1) // 2, width // 2 + 1
    every = np.array([moment.probabilities for moment in moments])
    return [
        moment._replace(probabilities=every[max(n - before, 0) : n + after].mean(0))
        for n, moment in enumerate(moments)
    ]


def segments_of(moments: list[Moment], threshold: float) -> list[Segment]:
    """Stretches of windows with the same likeliest class, of at least a probability.

    A window stands for the time around its middle, up to half the way to the next; the first
    and the last reach to the ends.

    Args:
        moments (list[Moment]): In their order.
        threshold (float): Windows whose likeliest class is less likely belong to none.
    """
    middles = [(moment.start + moment.end) / 2 for moment in moments]
    borders = [moments[0].start] if moments else []
    borders += [(one + other) / 2 for one, other in pairwise(middles)]
    borders += [moment.end for moment in moments[-1:]]
    runs: list[tuple[float, float, int, list[float]]] = []
    for moment, start, end in zip(moments, borders, borders[1:]):
        label = int(moment.probabilities.argmax())
        probability = float(moment.probabilities[label])
        if probability < threshold:
            continue
        if runs and runs[-1][1] == start and runs[-1][2] == label:
            first, _, _, known = runs.pop()
            runs.append((first, end, label, [*known, probability]))
        else:
            runs.append((start, end, label, [probability]))
    return [Segment(s, e, label, float(np.mean(known))) for s, e, label, known in runs]


def draw(moments: list[Moment], segments: list[Segment], names: list[str], title: str) -> Figure:
    """Probabilities of the classes that matter over time, and the segments below."""
    every = np.array([moment.probabilities for moment in moments])
    middles = [(moment.start + moment.end) / 2 for moment in moments]
    found = list(dict.fromkeys(segment.label for segment in segments))
    likeliest = [label for label in every.max(0).argsort()[::-1].tolist() if label not in found]
    shown = [*found, *likeliest][: max(len(found), 5)][:10]
    names = [name.replace('$', r'\$') for name in names]  # no formulas
    figure = Figure(figsize=(10, 4.5), layout='constrained')
    curves, bars = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    colours = {label: f'C{n}' for n, label in enumerate(shown)}
    for label, colour in colours.items():
        curves.plot(middles, 100 * every[:, label], color=colour, label=names[label], marker='.')
    curves.set(ylabel='probability (%)', ylim=(-2, 102), title=title.replace('$', r'\$'))
    curves.legend(fontsize=8, loc='upper left', bbox_to_anchor=(1, 1))
    curves.grid(alpha=0.3)
    for segment in segments:
        length, colour = segment.end - segment.start, colours.get(segment.label, 'grey')
        bars.barh(0, length, left=segment.start, color=colour, edgecolor='white')
        if length > 0.08 * moments[-1].end:
            middle = segment.start + length / 2
            bars.text(middle, 0, names[segment.label], ha='center', va='center', fontsize=8)
    bars.set(xlabel='time (s)', yticks=[], xlim=(0, moments[-1].end), ylabel='segments')
    return figure
