"""A network that needs no PyTorch: tools/export.py CONFIG CHECKPOINT OUT.onnx [--check VIDEO...]

Writes the deploy form of a recognizer, with crop and normalisation in it, as ONNX, or as OUT.pt2
by torch.export: clips of 8-bit frames (N, T, H, W, 3) in, scores out, for any number of clips. The
file is compared with the network on clips of the videos, or of noise. tools/run_onnx.py shows how
to use it.
"""

import argparse
import re
from pathlib import Path

from config_arguments import add_cfg_options


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file, URL or artnet:// name')
    parser.add_argument('out', type=Path, help='file to write: .onnx or .pt2')
    parser.add_argument('--check', nargs='+', default=[], metavar='VIDEO', help='videos to compare')
    parser.add_argument(
        '--frames', metavar='WxH', help="size of the frames, such as 170x128; default: the config's"
    )
    parser.add_argument(
        '--classes', help='file with a class name per line, where the checkpoint has none'
    )
    add_cfg_options(parser)
    args = parser.parse_args()
    if args.out.suffix not in ('.onnx', '.pt2'):
        parser.error(f'{args.out}: what is written ends in .onnx or .pt2')
    if args.frames and not re.fullmatch(r'[1-9]\d*x[1-9]\d*', args.frames):
        parser.error(f'--frames {args.frames}: it is width x height, such as 170x128')
    return args


if __name__ == '__main__':
    ARGS = parse_args()  # before the imports below, which take seconds


from artnet_mm.datasets.video import Video
from artnet_mm.engine.launch import parse_options
from artnet_mm.files import whole_file
from artnet_mm.inference.export import TOLERANCE, FramesToScores, difference, export
from artnet_mm.inference.recognizer import load_recognizer
from artnet_mm.inference.windows import slide

import numpy as np


def clips_of(videos: list[str], network: FramesToScores) -> np.ndarray:
    """The first clip of each video, or two of noise; uint8 (N, T, H, W, 3)."""
    seen, clips = network.input, []
    for video in videos:
        frames = Video(video).walk(seen.scale)
        clips.append(next(slide(frames, seen.clip_len, seen.extent, seen.extent)).clip)
    return np.stack(clips) if clips else network.example().numpy()


def main(args: argparse.Namespace) -> None:
    width, _, height = (args.frames or '').partition('x')
    size = (int(width), int(height)) if args.frames else None
    try:
        model, names = load_recognizer(
            args.config, args.checkpoint, 'cpu', parse_options(args.cfg_options), args.classes
        )
        network = FramesToScores(model, size)
        clips = clips_of(args.check, network)
        with whole_file(args.out) as place:
            export(network, names, place)
            share = difference(network, place, clips)
    except ImportError as error:
        raise SystemExit(
            f'error: {error}: pip install onnx onnxscript onnxruntime, or write a .pt2'
        ) from None
    except (OSError, RuntimeError, ValueError) as error:
        hint = '' if 'their size' not in str(error) else ' (--frames WxH)'
        raise SystemExit(f'error: {error}{hint}') from None
    kind = f'{len(clips)} videos' if args.check else 'noise'
    megabytes = args.out.stat().st_size / 2**20
    print(
        f'{args.out}: {megabytes:.1f} MB; its scores of {kind} are those of the network to '
        f'{share:.0e} of the largest (at most {TOLERANCE:.0e} is accepted)'
    )


if __name__ == '__main__':
    main(ARGS)
