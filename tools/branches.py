"""What each branch saw: tools/branches.py CONFIG CHECKPOINT VIDEO [--start SECONDS] [--class NAME]

For a clip of the video: the energy of appearance and relation per stage over space and time, where
the class comes from (Grad-CAM), the 3D filters of the stem, and how much of each reduction's weight
goes to relation. Writes NAME_branches.html, one page with everything in it, and the film alone as
NAME_branches.mp4.
"""

import argparse
from pathlib import Path

from config_arguments import add_recognizer_options


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
    add_recognizer_options(parser)
    return parser.parse_args()


if __name__ == '__main__':
    ARGS = parse_args()  # before the imports below, which take seconds


from artnet_mm.engine.launch import parse_options
from artnet_mm.inference.branches import by_stage, glance, grad_cam, smart_units, weight_shares
from artnet_mm.inference.pages import (
    curves_of,
    film_of,
    filters_gif,
    png_of,
    shares_of,
    write_page,
)
from artnet_mm.inference.recognizer import load_recognizer

TOP = 5


def main(args: argparse.Namespace) -> None:
    try:
        model, names = load_recognizer(
            args.config, args.checkpoint, args.device, parse_options(args.cfg_options),
            args.classes,
        )  # fmt: skip
        if args.name and args.name not in names:
            raise ValueError(f'there is no class {args.name!r}; there are {", ".join(names)}')
        seen = glance(model, args.video, args.start)
    except (OSError, RuntimeError, ValueError) as error:
        raise SystemExit(f'error: {error}') from None
    probabilities, labels = seen.scores.softmax(0).topk(min(TOP, len(names)))
    label = names.index(args.name) if args.name else int(labels[0])
    page = args.out_dir / f'{args.video.stem}_branches.html'
    film_of(seen, grad_cam(model, seen.view, label), names[label], page.with_suffix('.mp4'))
    energies = {
        one.name: float(one.relation.sum() / (one.relation.sum() + one.appearance.sum()))
        for one in seen.maps
    }
    stem = next(iter(smart_units(model.backbone).values())).relation_conv
    write_page(
        page, args.video.name,
        [(names[k], p) for k, p in zip(labels.tolist(), probabilities.tolist())],
        page.with_suffix('.mp4').read_bytes(),
        png_of(curves_of(by_stage(seen.maps), seen.seconds)),
        png_of(shares_of(weight_shares(model.backbone), energies)),
        filters_gif(stem.weight.cpu()),
        frames=len(seen.clip), start=f'{seen.start:.2f}', label=names[label],
        taps=stem.kernel_size[0],
    )  # fmt: skip
    print(f'{page} and {page.with_suffix(".mp4").name}: {names[label]}')


if __name__ == '__main__':
    main(ARGS)
