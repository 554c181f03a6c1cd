"""Arguments of the tools that work on every video of lists."""

import argparse
import os
from pathlib import Path


def parse_list_args(parser: argparse.ArgumentParser, timeout: float) -> argparse.Namespace:
    """Parse a tool's arguments and those that the tools over lists share."""
    parser.add_argument(
        'lists', nargs='+', type=Path, metavar='LIST', help='list of "<path> <label>" lines'
    )
    parser.add_argument(
        '--videos', type=Path, required=True, help='folder that the paths are relative to'
    )
    parser.add_argument('--out-dir', type=Path, required=True, help='data root to write')
    parser.add_argument(
        '--processes', type=int, default=len(os.sched_getaffinity(0)), help='default: %(default)s'
    )
    parser.add_argument(
        '--timeout', type=float, default=timeout, help='seconds per video; default: %(default)s'
    )
    args = parser.parse_args()
    if args.processes < 1 or args.timeout <= 0:
        parser.error('--processes and --timeout must be above 0')
    return args
