"""What each branch saw: tools/branches.py CONFIG CHECKPOINT VIDEO [--start SECONDS] [--class NAME]

For a clip of the video: the energy of appearance and relation per stage over space and time, where
the class comes from (Grad-CAM), the 3D filters of the stem, and how much of each reduction's weight
goes to relation. Writes NAME_branches.html, one page with everything in it, and the film alone as
NAME_branches.mp4.
"""

import argparse
from pathlib import Path

from config_arguments import add_cfg_options


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file, URL or artnet:// name')
    parser.add_argument('video', type=Path, help='video file')
    parser.add_argument('--out-dir', type=Path, default=Path(), help='folder of page and film')
    parser.add_argument('--start', type=float, help='of the clip, in seconds; default: the middle')
    parser.add_argument('--class', dest='name', help='class of Grad-CAM; default: the likeliest')
    parser.add_argument(
        '--classes', help='file with a class name per line, where the checkpoint has none'
    )
    add_cfg_options(parser)
    parser.add_argument('--device', help='default: the first GPU, or else the CPU')
    return parser.parse_args()


if __name__ == '__main__':
    ARGS = parse_args()  # before the imports below, which take seconds


from artnet_mm.datasets.sampling import clip_indices, uniform_starts
from artnet_mm.datasets.video import Video
from artnet_mm.engine.launch import parse_options
from artnet_mm.inference.branches import (
    by_stage,
    grad_cam,
    look,
    over_clip,
    smart_units,
    weight_shares,
)
from artnet_mm.inference.pages import (
    curves_of,
    film,
    filters_gif,
    heat,
    png_of,
    shares_of,
    write_page,
)
from artnet_mm.inference.recognizer import load_recognizer
from artnet_mm.inference.windows import ClipInput

import numpy as np
import torch

TOP = 5


def read_clip(args: argparse.Namespace, seen: ClipInput) -> tuple[np.ndarray, float, float]:
    """The clip, cropped, uint8 (T, h, w, 3); its start and its length in seconds.

    Raises:
        ValueError: If the video cannot be read, or is shorter than ``--start``.
    """
    video = Video(str(args.video))
    rate = float(video.rate)
    (first,) = uniform_starts(len(video), 1, seen.extent)
    if args.start is not None:
        first = round(args.start * rate)
    if not 0 <= first < len(video):
        raise ValueError(f'{args.video} lasts {len(video) / rate:.1f} s: --start is before that')
    interval = seen.extent // seen.clip_len
    (indices,) = clip_indices(np.array([first]), seen.clip_len, interval, len(video))
    frames = video.frames(indices, seen.scale)
    return seen.crop.cut(frames, 0, False), first / rate, seen.extent / rate


def main(args: argparse.Namespace) -> None:
    try:
        model, names = load_recognizer(
            args.config, args.checkpoint, args.device, parse_options(args.cfg_options),
            args.classes,
        )  # fmt: skip
        units = smart_units(model.backbone)
        if args.name and args.name not in names:
            raise ValueError(f'there is no class {args.name!r}; there are {", ".join(names)}')
        clip, start, seconds = read_clip(args, ClipInput.of(model.cfg))
    except (OSError, RuntimeError, ValueError) as error:
        raise SystemExit(f'error: {error}') from None
    device = next(model.parameters()).device
    frames = torch.from_numpy(np.ascontiguousarray(clip)).permute(3, 0, 1, 2)[None].to(device)
    view = model.data_preprocessor.normalise(frames)
    maps, scores = look(model, view)
    probabilities, labels = scores.softmax(0).topk(min(TOP, len(names)))
    label = names.index(args.name) if args.name else int(labels[0])
    shape = clip.shape[:3]
    stages = {name: (a.cpu(), r.cpu()) for name, (a, r) in by_stage(maps).items()}
    rows: dict[str, dict[str, np.ndarray]] = {'appearance': {}, 'relation': {}}
    for stage, parts in stages.items():
        large = [over_clip(part, shape).numpy() for part in parts]
        largest = float(np.percentile(np.stack(large), 99.5))
        for kind, energy in zip(rows, large):
            rows[kind][f'{stage}: {kind}'] = heat(energy, largest)
    cam = over_clip(grad_cam(model, view, label).cpu(), shape).numpy()
    tiles = {
        'clip': clip, **rows['appearance'],
        f'Grad-CAM: {names[label]}': heat(cam, 1, clip), **rows['relation'],
    }  # fmt: skip
    energies = {
        one.name: float(one.relation.sum() / (one.relation.sum() + one.appearance.sum()))
        for one in maps
    }
    page = args.out_dir / f'{args.video.stem}_branches.html'
    film(tiles, len(stages) + 1, page.with_suffix('.mp4'))
    first = next(iter(units.values()))
    write_page(
        page, args.video.name,
        [(names[k], p) for k, p in zip(labels.tolist(), probabilities.tolist())],
        page.with_suffix('.mp4').read_bytes(), png_of(curves_of(stages, seconds)),
        png_of(shares_of(weight_shares(model.backbone), energies)),
        filters_gif(first.relation_conv.weight.cpu()),
        frames=len(clip), start=f'{start:.2f}', label=names[label],
        taps=first.relation_conv.kernel_size[0],
    )  # fmt: skip
    print(f'{page} and {page.with_suffix(".mp4").name}: {names[label]}')


if __name__ == '__main__':
    main(ARGS)
