"""Arguments of the tools that run a config."""

import argparse
import os

DUMP_SUFFIXES = ('.npz', '.pkl', '.pickle')
"""Of files with scores: plain arrays, or pickles as MMEngine writes them."""


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``artnet_mm.engine.launch.load_config`` takes."""
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder for logs and checkpoints')
    parser.add_argument('--split', help='split of the data set, where it is divided into some')
    parser.add_argument(
        '--frames', action='store_true', help='folders of JPEG images instead of videos'
    )
    parser.add_argument('--size', type=_positive, help='side of the views, in pixels')
    parser.add_argument('--clip-len', type=_positive, help='frames of a clip')
    add_cfg_options(parser)


def _positive(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f'{word!r} is no number of 1 or more')
    return int(word)


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options`` to a tool that reads a config."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action='extend',
        default=[],
        metavar='KEY=VALUE',
        help='settings to override in the config',
    )


def add_recognizer_options(parser: argparse.ArgumentParser) -> None:
    """Add what a tool loads a trained recognizer by, beside its config and checkpoint."""
    parser.add_argument(
        '--classes', help='file with a class name per line, where the checkpoint has none'
    )
    add_cfg_options(parser)
    parser.add_argument('--device', help='default: the first GPU, or else the CPU')


def parse_run_args(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the arguments of a tool that runs a config in one process or several."""
    parser.add_argument('--check', action='store_true', help='make all checks, then stop')
    # torchrun.sh has made them in a process of its own.
    parser.add_argument('--checked', action='store_true', help=argparse.SUPPRESS)
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args
