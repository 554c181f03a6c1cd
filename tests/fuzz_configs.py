"""Configs with wrong types and values, through tools/check.py: python -m tests.fuzz_configs."""

import copy
import io
import random
import resource
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner

from artnet_mm.checks import check_config, show_checks
from artnet_mm.data_making.motion_clips import write_dataset
from artnet_mm.data_making.processes import process

from .helpers import tiny_config

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
PARTS = (
    'model', 'train_dataloader', 'val_dataloader', 'test_dataloader', 'train_cfg', 'val_cfg',
    'test_cfg', 'optim_wrapper', 'param_scheduler', 'default_hooks', 'auto_scale_lr',
    'val_evaluator', 'test_evaluator', 'load_from', 'default_scope', 'env_cfg',
)  # fmt: skip
VALUES = (
    None, True, False, -1, 0, 1, 2, 3.7, -0.5, 10**9, float('nan'), float('inf'), '', 'x', '../..',
    'ARTNet', [], [1, 2, 3], ['a'], {}, dict(type='Nothing'), dict(a=1),
)  # fmt: skip
MEMORY = 8 * 2**30


def places(value: object, path: tuple = ()) -> list[tuple]:
    """Paths of everything in a config."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, inner in items:
        found.append((*path, key))
        if isinstance(inner, dict | list):
            found += places(inner, (*path, key))
    return found


def mutate(cfg: dict, rng: random.Random) -> str:
    """Spoil one or two places of a config; what was done."""
    done = []
    for _ in range(rng.choice((1, 1, 2))):
        path = rng.choice([place for place in places(cfg) if place[0] in PARTS])
        inner = cfg
        for key in path[:-1]:
            inner = inner[key]
        action = rng.choice(('set', 'set', 'set', 'drop', 'rename'))
        if action == 'set':
            inner[path[-1]] = value = copy.deepcopy(rng.choice(VALUES))
            action = f'= {value!r}'
        elif action == 'drop':
            del inner[path[-1]]
        elif isinstance(inner, dict):
            inner[f'{path[-1]}s'] = inner.pop(path[-1])
        done.append(f'{".".join(map(str, path))} {action}')
    return ', '.join(done)


def examine_one(folder: str, seed: str, run: bool = False) -> tuple[str, str]:
    """What tools/check.py makes of a spoilt config, and what was done to it.

    With ``run``, one that is fine is trained for an iteration.
    """
    rng = random.Random(int(seed))
    with tempfile.TemporaryDirectory() as work_dir, redirect_stdout(io.StringIO()) as out:
        options = {'train_cfg.max_iters': 1, 'train_dataloader.num_workers': rng.choice((0, 1))}
        cfg = tiny_config('artnet_r18_d_toy', Path(folder), Path(work_dir), 1, **options)
        spoilt = cfg.to_dict()
        done = mutate(spoilt, rng)
        try:
            cfg = Config(spoilt)
            check_config(cfg, LOADERS)
            show_checks(cfg, LOADERS)
        except SystemExit as end:
            return ('wrong' if str(end).startswith('error: ') else 'no error line'), done
        if not run:
            return 'fine', done
        with redirect_stderr(out):
            Runner.from_cfg(cfg).train()
        return 'fine, and trains', done


def outcomes(folder: str, seeds: range, run: bool = False, timeout: float = 120) -> Iterator[str]:
    """What becomes of many; whatever is no outcome of a check has its seed and reason."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    work = partial(examine_one, folder, run=run)
    for seed, result, reason in process(work, list(map(str, seeds)), 2, timeout):
        yield result[0] if reason is None else f'seed {seed}: {reason}'


if __name__ == '__main__':
    number, first = map(int, sys.argv[1:3])
    with tempfile.TemporaryDirectory() as clips:
        write_dataset(Path(clips), num_train=20, num_val=10, num_frames=24)
        counts: Counter = Counter()
        for outcome in outcomes(clips, range(first, first + number), run=True):
            counts[outcome] += 1
            print(counts.total(), dict(counts), flush=True)
