"""A page on which clips are dropped: classes, timeline, and what branches see."""

import os
import signal
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from ..datasets.packets import refuse_lists
from ..datasets.video import Video
from .branches import glance, grad_cam, smart_units
from .pages import film_of
from .timeline import draw, segments_of, smooth, watch
from .windows import ClipInput


def check_length(path: str, max_seconds: float) -> None:
    """Refuse a video that is too long, and what is none.

    Raises:
        ValueError: Saying which.
    """
    refuse_lists(path)
    video = Video(path)
    seconds = len(video) / float(video.rate)
    video.close()
    if seconds > max_seconds:
        raise ValueError(f'the video lasts {seconds:.0f} s; at most {max_seconds:g} are taken')


class Answer(NamedTuple):
    """What the page shows of a video."""

    classes: dict[str, float]
    """Probability by class, the mean over its windows."""
    timeline: Figure
    film: str | None
    """Path of the film of branches, None where the network has no SMART units."""


def has_branches(model: Any) -> bool:
    """Whether the backbone has SMART units."""
    try:
        return bool(smart_units(model.backbone))
    except ValueError:
        return False


def answer(model: Any, names: list[str], path: str) -> Answer:
    """Look at a whole video, and at its centre clip with the branches.

    Args:
        model (nn.Module): Recognizer of :func:`load_recognizer`.
        names (list[str]): Of its classes.
        path (str): The video; the film is written beside it.

    Raises:
        ValueError: If the video cannot be read.
    """
    video = Video(path)
    moments = list(watch(model, video))
    video.close()
    mean = np.mean([moment.probabilities for moment in moments], axis=0)
    seen = smooth(moments, 3)
    timeline = draw(seen, segments_of(seen, 0.5), names, 'what happens when')
    classes = dict(zip(names, mean.tolist()))
    if not has_branches(model):
        return Answer(classes, timeline, None)
    film = Path(path).with_name(f'{Path(path).stem}_branches.mp4')
    clip, label = glance(model, path), int(mean.argmax())
    film_of(clip, grad_cam(model, clip.view, label), names[label], film)
    return Answer(classes, timeline, str(film))


def build_page(
    model: Any,
    names: list[str],
    title: str,
    max_seconds: float,
    max_megabytes: float,
    keep_seconds: int = 600,
) -> Any:
    """The page, as a ``gradio.Blocks``.

    Args:
        model (nn.Module): Recognizer of :func:`load_recognizer`.
        names (list[str]): Of its classes.
        title (str): Heading of the page.
        max_seconds, max_megabytes (float): Of a video.
        keep_seconds (int): After which uploads and films are deleted. Defaults to 600.

    Raises:
        ImportError: If gradio is not installed.
        ValueError: If the config has no windows.
    """
    import gradio

    ClipInput.of(model.cfg)

    def clicked(path: str | None) -> Answer:
        if not path:
            raise gradio.Error('drop a video first, or record one')
        try:
            check_length(path, max_seconds)
            return answer(model, names, path)
        except (OSError, ValueError) as error:
            raise gradio.Error(str(error).replace(path, 'the file')) from None

    every = min(60, keep_seconds)
    with gradio.Blocks(
        title=title, analytics_enabled=False, delete_cache=(every, keep_seconds)
    ) as page:
        gradio.Markdown(
            f'# {title}\nVideos of at most {max_seconds:g} seconds and {max_megabytes:g} MB, in '
            'any format, also one that the browser cannot play. They stay on this machine and are '
            f'deleted after {keep_seconds / 60:g} minutes.'
        )
        with gradio.Row():
            with gradio.Column():
                video = gradio.Video(label='video', sources=['upload', 'webcam'])
                button = gradio.Button('What happens here?', variant='primary')
            classes = gradio.Label(label='likeliest classes', num_top_classes=5)
        timeline = gradio.Plot(show_label=False)
        film = gradio.Video(show_label=False, autoplay=True, loop=True, visible=has_branches(model))
        button.click(
            clicked, video, [classes, timeline, film], concurrency_limit=1,
            api_visibility='private',
        )  # fmt: skip
    return page


def serve(
    model: Any,
    names: list[str],
    title: str,
    port: int | None,
    max_seconds: float,
    max_megabytes: float,
) -> None:
    """Serve the page to this machine alone until Ctrl-C; everything it kept is removed then.

    Args:
        model, names, title, max_seconds, max_megabytes: Of :func:`build_page`.
        port (int, optional): Defaults to the first free one from 7860 on.

    Raises:
        ImportError: If gradio is not installed.
        OSError: If the port is taken.
        ValueError: If the config has no windows.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # tidies up like Ctrl-C
    with tempfile.TemporaryDirectory(prefix='artnet_mm_') as folder:
        os.environ['GRADIO_TEMP_DIR'] = folder  # read as the page is built
        build_page(model, names, title, max_seconds, max_megabytes).launch(
            server_name='127.0.0.1', server_port=port, share=False, run_history=False,
            max_file_size=round(max_megabytes * 2**20), footer_links=['gradio'],
        )  # fmt: skip
