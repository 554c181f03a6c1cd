"""Features of videos as NumPy files: extract_features.py CONFIG CHECKPOINT INPUT... --out-dir DIR

An INPUT is a list of "<path> <label>" lines (with --videos, the folder of the paths), a folder of
videos, or a video. Each video gets an .npy file of float32, in DIR/<name of the folder>/ by its
path: (C,); with --clips or a window (clips, C); with --maps (clips, C, T, H, W). Lists come
along with the number of clips, which is what probe_features.py reads. What is there is not made
again: the same command goes on.
"""

import argparse
import os
import os.path as osp
from functools import partial
from pathlib import Path

from config_arguments import add_cfg_options


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file, URL or artnet:// name')
    parser.add_argument('inputs', nargs='+', type=Path, help='lists, a folder, or videos')
    parser.add_argument('--out-dir', type=Path, required=True, help='folder of the features')
    parser.add_argument('--videos', type=Path, help='folder that the paths of lists start from')
    parser.add_argument('--clips', action='store_true', help='one vector of each clip')
    parser.add_argument('--maps', action='store_true', help='maps, not pooled; with --window')
    parser.add_argument(
        '--layer', help='layer of the backbone, such as stages.2; default: the last'
    )
    parser.add_argument(
        '--window', help='slide over the whole video: frames (64) or seconds (2.5s) seen at once'
    )
    parser.add_argument('--step', help='from one window to the next; default: a window')
    parser.add_argument('--safetensors', type=Path, help='also one file of all, by path')
    parser.add_argument('--deploy', action='store_true', help="the network's deploy form")
    add_cfg_options(parser)
    parser.add_argument('--device', help='default: the GPUs in turn, or else the CPU')
    parser.add_argument(
        '--processes', type=int, help='default: two for each GPU, or else one for each core'
    )
    parser.add_argument(
        '--timeout', type=float, default=3600, help='seconds per video; default: %(default)s'
    )
    args = parser.parse_args()
    if (args.processes or 1) < 1 or args.timeout <= 0:
        parser.error('--processes and --timeout must be above 0')
    if args.maps and not args.window:
        parser.error('--maps takes --window: maps are of windows that slide over the video')
    args.lists = [path for path in args.inputs if path.suffix == '.txt']
    if args.lists and (args.lists != args.inputs or not args.videos):
        parser.error('lists need --videos, the folder of their paths, and stand alone')
    return args


if __name__ == '__main__':
    ARGS = parse_args()  # before the imports below, which take seconds


from artnet_mm import checkpoints
from artnet_mm.data_making.official_splits import EXTENSIONS, find_videos
from artnet_mm.data_making.over_lists import output_path, prepare, unique_paths
from artnet_mm.datasets.lists import read_list
from artnet_mm.engine.launch import parse_options
from artnet_mm.files import whole_file
from artnet_mm.inference.features import FeatureExtractor, digest_of, num_rows, write_features
from artnet_mm.inference.recognizer import load_recognizer
from artnet_mm.inference.windows import frames_in

import numpy as np
import torch
from mmengine.logging import MMLogger
from safetensors.numpy import save_file


def videos_of(args: argparse.Namespace) -> list[str] | None:
    """Set ``args.videos`` to the folder that videos without a list lie in; their paths in it.

    Raises:
        ValueError: If there are none.
    """
    if args.lists:
        return None
    found = []
    for path in args.inputs:
        if not path.exists():
            raise FileNotFoundError(f'{path} does not exist')
        found += [path / p for p in sorted(find_videos(path))] if path.is_dir() else [path]
    if not found:
        raise ValueError(f'{args.inputs[0]} has no videos ({", ".join(sorted(EXTENSIONS))})')
    folders = {path if path.is_dir() else path.parent for path in args.inputs}
    args.videos = Path(osp.commonpath([osp.abspath(folder) for folder in folders]))
    return [osp.relpath(path, args.videos) for path in found]


def join(folder: Path, names: list[str], file: Path) -> None:
    """One file of the features of some videos, by their paths without endings."""
    paths = {osp.splitext(name)[0]: folder / output_path(name, '.npy') for name in names}
    features = {name: np.load(path) for name, path in paths.items() if path.exists()}
    with whole_file(file) as place:
        save_file(features, place)


def main(args: argparse.Namespace) -> None:
    MMLogger.get_instance('features').setLevel('WARNING')
    kind = 'maps' if args.maps else 'clip' if args.clips or args.window else 'video'
    what = dict(kind=kind, layer=args.layer, window=args.window, step=args.step)
    try:
        for length in filter(None, (args.window, args.step)):
            frames_in(length, 25)  # what is wrong is said before the network is loaded
        names = videos_of(args)
        options = parse_options(args.cfg_options)
        gpus = int(args.device.startswith('cuda')) if args.device else torch.cuda.device_count()
        # On a GPU one reads meanwhile.
        args.processes = args.processes or 2 * gpus or len(os.sched_getaffinity(0))
        # Once here, so that what is wrong is said before any work.
        model, _ = load_recognizer(args.config, args.checkpoint, args.device, options)
        FeatureExtractor(model, **what)
    except (OSError, RuntimeError, ValueError) as error:
        raise SystemExit(f'error: {error}') from None
    digest = digest_of(model)
    del model
    checkpoints.forget()
    settings = dict(deploy=args.deploy, digest=digest, **what)  # of any path and device
    write = partial(
        write_features, config=str(args.config), checkpoint=args.checkpoint, device=args.device,
        options=options,
    )  # fmt: skip
    failed = None
    try:
        prepare(args, write, settings, '.npy', num_rows, names)
    except SystemExit as end:
        if end.code != 1:  # refused or stopped: what is there may be of another run
            raise
        failed = end
    if args.safetensors:
        names = names or unique_paths({path: read_list(path) for path in args.lists})
        join(args.out_dir / osp.basename(osp.abspath(args.videos)), names, args.safetensors)
    if failed:
        raise failed


if __name__ == '__main__':
    main(ARGS)
