"""Pictures of what branches see, and the page that holds them."""

import base64
import html
import io
from collections.abc import Mapping
from pathlib import Path
from string import Template

import av
import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from ..files import whole_file
from .branches import Glance, by_stage, over_clip

TILE = 168
"""Side of a picture in a film, in pixels."""
LABEL = 18
"""Height of the line above it."""

PAGE = Template("""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>$title</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1000px; margin: 2em auto; padding: 0 1em; }
video, img { max-width: 100%; } td { padding: 0 .8em 0 0; } h2 { margin-top: 1.6em; }
.bar { background: #4477aa; height: .8em; display: inline-block; }
</style></head><body>
<h1>$title</h1>
<p>What appearance and relation add to the outputs of the SMART units, in the $frames frames of a
clip from $start s on. Bright is much; appearance and relation of a stage have one scale.</p>
<table>$answers</table>
<h2>Appearance, relation, and where the class comes from</h2>
<video src="data:video/mp4;base64,$film" autoplay loop muted controls></video>
<p>Grad-CAM of the class <b>$label</b>, in the last maps, is laid over the clip.</p>
<h2>Over time</h2><img alt="energy over time" src="data:image/png;base64,$curves">
<h2>Share of relation</h2><img alt="shares of relation" src="data:image/png;base64,$shares">
<p>Of the weight of each unit's reduction, and of the energy in this clip.</p>
<h2>3D filters of the stem's relation branch</h2>
<img alt="filters" style="image-rendering: pixelated" src="data:image/gif;base64,$filters">
<p>In pairs that are squared and added, one above the other, moving through their $taps frames.</p>
</body></html>
""")


def heat(energy: np.ndarray, largest: float, clip: np.ndarray | None = None) -> np.ndarray:
    """Maps (T, H, W) as colours, uint8 (T, H, W, 3), laid over a clip where there is one."""
    scaled = np.clip(energy / max(largest, 1e-12), 0, 1)
    colours = mpl.colormaps['inferno'](scaled)[..., :3]
    if clip is not None:
        colours = 0.5 * colours + 0.5 * clip / 255
    return np.uint8(255 * colours)


def film(tiles: Mapping[str, np.ndarray], columns: int, path: Path, rate: int = 6) -> None:
    """Write clips side by side, each uint8 (T, H, W, 3) under its name, as an MP4.

    Args:
        tiles (Mapping[str, np.ndarray]): Row by row.
        columns (int): Tiles of a row.
        path (Path): The file.
        rate (int): Frames a second. Defaults to 6.
    """
    length = max(len(clip) for clip in tiles.values())
    rows = -(-len(tiles) // columns)
    with whole_file(path) as place, av.open(str(place), 'w') as container:
        stream = container.add_stream('libx264', rate=rate)
        stream.width, stream.height = columns * TILE, rows * (TILE + LABEL)
        stream.pix_fmt, stream.options = 'yuv420p', {'crf': '16'}
        for t in range(length):
            sheet = np.full((stream.height, stream.width, 3), 255, np.uint8)
            for number, (name, clip) in enumerate(tiles.items()):
                row, column = divmod(number, columns)
                top, left = row * (TILE + LABEL), column * TILE
                size = (TILE - 2, TILE - 2)
                picture = cv2.resize(clip[t], size, interpolation=cv2.INTER_CUBIC)
                sheet[top + LABEL : top + LABEL + size[1], left : left + size[0]] = picture
                cv2.putText(
                    sheet, name, (left + 2, top + LABEL - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.42,
                    (0, 0, 0), 1, cv2.LINE_AA,
                )  # fmt: skip
            container.mux(stream.encode(av.VideoFrame.from_ndarray(sheet, format='rgb24')))
        container.mux(stream.encode())


def film_of(seen: Glance, cam: Tensor, name: str, path: Path) -> None:
    """Write the film of a clip: the energies of its stages, and Grad-CAM of a class.

    Args:
        seen (Glance): The clip.
        cam (Tensor): (T', H', W') of :func:`grad_cam`.
        name (str): Of the class.
        path (Path): The file, an MP4.
    """
    shape = seen.clip.shape[:3]
    rows: dict[str, dict[str, np.ndarray]] = {'appearance': {}, 'relation': {}}
    for stage, parts in by_stage(seen.maps).items():
        large = [over_clip(part, shape).numpy() for part in parts]
        largest = float(np.percentile(np.stack(large), 99.5))
        for kind, energy in zip(rows, large):
            rows[kind][f'{stage}: {kind}'] = heat(energy, largest)
    over = heat(over_clip(cam.cpu(), shape).numpy(), 1, seen.clip)
    tiles = {
        'clip': seen.clip, **rows['appearance'], f'Grad-CAM: {name}': over, **rows['relation'],
    }  # fmt: skip
    film(tiles, len(tiles) // 2, path)


def filters_gif(weight: Tensor, scale: int = 8) -> bytes:
    """Kernels (O, C, T, k, k), of up to three channels, as a GIF of T frames, pairs as columns."""
    kernels = weight.detach().float().numpy()[:, :3]
    if kernels.shape[1] == 2:
        kernels = np.concatenate([kernels, kernels[:, :1] * 0], 1)
    largest = np.abs(kernels).max((1, 2, 3, 4), keepdims=True).clip(1e-12)
    shown = np.uint8(np.round(127.5 + 127.5 * kernels / largest)).transpose(2, 0, 3, 4, 1)
    length, number, side = shown.shape[:3]
    columns = min(number // 2, 16)
    rows = -(-number // (2 * columns))
    cell = side * scale + 3
    pictures = []
    for t in [*range(length), *range(length - 2, 0, -1)]:
        sheet = np.full((rows * (2 * cell + 6), columns * cell, 3), 255, np.uint8)
        for n in range(number):
            pair, second = divmod(n, 2)
            row, column = divmod(pair, columns)
            top, left = row * (2 * cell + 6) + second * cell, column * cell
            kernel = shown[t, n].repeat(scale, 0).repeat(scale, 1)
            sheet[top : top + side * scale, left : left + side * scale] = kernel
        pictures.append(Image.fromarray(sheet))
    buffer = io.BytesIO()
    pictures[0].save(buffer, 'GIF', save_all=True, append_images=pictures[1:], duration=250, loop=0)
    return buffer.getvalue()


def curves_of(stages: Mapping[str, tuple[Tensor, Tensor]], seconds: float) -> Figure:
    """Mean energy of both branches over the time of a clip, a panel for each stage."""
    figure = Figure(figsize=(2.6 * len(stages), 2.4), layout='constrained')
    for axes, (name, parts) in zip(
        figure.subplots(1, len(stages), squeeze=False)[0], stages.items()
    ):
        for kind, energy in zip(('appearance', 'relation'), parts):
            times = (np.arange(len(energy)) + 0.5) * seconds / len(energy)
            axes.plot(times, energy.mean((1, 2)), marker='.', label=kind)
        axes.set(title=name, xlabel='time (s)', ylim=(0, None), xlim=(0, seconds))
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel('energy')
    figure.axes[0].legend(fontsize=8)
    return figure


def shares_of(weights: Mapping[str, float], energies: Mapping[str, float]) -> Figure:
    """Bars of relation's share in the weights and in the energy of each unit."""
    figure = Figure(figsize=(9, 2.8), layout='constrained')
    axes = figure.subplots()
    places = np.arange(len(weights))
    axes.bar(places - 0.2, [100 * w for w in weights.values()], 0.38, label='weight')
    axes.bar(places + 0.2, [100 * energies[name] for name in weights], 0.38, label='energy')
    axes.axhline(50, color='grey', linewidth=0.8)
    axes.set_xticks(places, list(weights), rotation=20, ha='right', fontsize=8)
    axes.set(ylabel='relation (%)', ylim=(0, 100))
    axes.legend(fontsize=8)
    return figure


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def png_of(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=100, format='png')
    return buffer.getvalue()


def write_page(
    path: Path,
    title: str,
    answers: list[tuple[str, float]],
    moving: bytes,
    curves: bytes,
    shares: bytes,
    filters: bytes,
    **words: object,
) -> None:
    """One HTML file with everything in it.

    Args:
        path (Path): The file.
        title (str): Its heading.
        answers (list[tuple[str, float]]): Classes and their probabilities.
        moving, curves, shares, filters (bytes): MP4, two PNGs, and a GIF.
        words: ``frames``, ``start``, ``label`` and ``taps`` of :data:`PAGE`.
    """  # fmt: skip
    rows = ''.join(
        f'<tr><td>{100 * p:.1f}%</td><td>{html.escape(name)}</td>'
        f'<td><span class="bar" style="width:{300 * p:.0f}px"></span></td></tr>'
        for name, p in answers
    )
    text = PAGE.substitute(
        title=html.escape(title), answers=rows, film=_encoded(moving), curves=_encoded(curves),
        shares=_encoded(shares), filters=_encoded(filters),
        **{key: html.escape(str(value)) for key, value in words.items()},
    )  # fmt: skip
    with whole_file(path) as place:
        place.write_text(text, encoding='utf-8')
