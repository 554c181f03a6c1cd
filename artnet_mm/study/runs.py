"""Studies: the rows of a table, each trained with several seeds under every condition.

A study is an ordinary config with one key more::

    study = dict(
        title='...',
        rows={name: overrides of the config, and optionally paper=an experiment of the catalogue},
        conditions={name: overrides},
        tests={name: overrides},  # each a test of the trained weights
        folds=True,  # optional: the conditions are folds, and tables give the mean over them
        clips={data_root: arguments of write_dataset},  # optional: motion clips to be written
    )

Every run goes through MMEngine's Runner on one CPU thread. Its result is a line of
``<results>/<config>.jsonl`` as soon as it is there; no run is done twice.
"""

import hashlib
import json
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..checks import check_config
from ..compat import unformatted_copy
from ..data_making.motion_clips import write_dataset
from ..data_making.processes import console, process_all
from ..evaluation.cost import count
from ..files import write_whole

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
OF_THE_PLACE = ('data_root', 'num_workers', 'persistent_workers', 'memory_format')
"""Keys that change a result no more than another processor does: by rounding."""
LONGEST = 24 * 3600
"""Seconds after which a run is given up."""


class Run(NamedTuple):
    """One training: a row of the table under a condition, with a seed."""

    condition: str
    row: str
    seed: int

    def __str__(self) -> str:
        return ', '.join(filter(None, (self.condition, self.row, f'seed {self.seed}')))


class Study:
    """The runs of a study's config, and the file of their results.

    Args:
        config (Path): Config with a ``study``.
        results (Path): Folder of the results.

    Raises:
        ValueError: If the config has no study, or one that lacks something.
    """

    def __init__(self, config: Path, results: Path) -> None:
        self.config, self.file = config, results / f'{config.stem}.jsonl'
        self._cfg = Config.fromfile(config)
        self.settings = self._cfg.get('study') or {}
        missing = [
            key for key in ('title', 'rows', 'conditions', 'tests') if key not in self.settings
        ]
        if missing:
            raise ValueError(f'{config}: study.{missing[0]} is missing')

    def runs(self, seeds: int) -> list[Run]:
        """All runs, a seed of everything after the other."""
        rows, conditions = self.settings['rows'], self.settings['conditions']
        return [Run(c, r, seed) for seed in range(seeds) for c in conditions for r in rows]

    def config_of(self, run: Run) -> Config:
        """The ordinary config that a run trains."""
        cfg = unformatted_copy(self._cfg)
        settings = cfg.pop('study')
        row = settings['rows'][run.row]
        row.pop('paper', None)
        for overrides in (row, settings['conditions'][run.condition]):
            cfg.merge_from_dict(overrides.to_dict())
        cfg.randomness = dict(seed=run.seed)
        return cfg

    def tests_of(self, run: Run) -> dict[str, Config]:
        """Configs of the tests after a run, by name."""
        configs = {}
        for name, overrides in self.settings['tests'].items():
            configs[name] = self.config_of(run)
            configs[name].merge_from_dict(overrides.to_dict())
        return configs

    def digest_of(self, run: Run) -> str:
        """Hash of all that a result depends on but :data:`OF_THE_PLACE`."""
        cfg = self.config_of(run)
        parts = [cfg.model, *(cfg[key] for key in LOADERS), cfg.train_cfg, cfg.optim_wrapper]
        parts += [cfg.param_scheduler, cfg.get('custom_hooks'), run.seed]
        parts += [(test.model, test.test_dataloader) for test in self.tests_of(run).values()]
        parts.append(list((self.settings.get('clips') or {}).values()))
        text = json.dumps(_without(parts, OF_THE_PLACE), sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def read(self) -> dict[Run, dict]:
        """Results that are there, of the settings of today."""
        lines = self.file.read_text(encoding='utf-8').splitlines() if self.file.exists() else []
        found = {}
        for line in lines:
            try:
                result = json.loads(line)
            except ValueError:  # cut off with the machine
                continue
            of = Run(*result.pop('run'))
            known = of.row in self.settings['rows'] and of.condition in self.settings['conditions']
            known = known and result['tests'].keys() == self.settings['tests'].keys()
            if known and result['digest'] == self.digest_of(of):
                found[of] = result
        return found

    def keep(self, run: Run, result: dict) -> None:
        """Add the result of a run to the file."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        before = self.file.read_bytes() if self.file.exists() else b''
        with self.file.open('a', encoding='utf-8') as file:
            if before and not before.endswith(b'\n'):  # a line that was cut off
                file.write('\n')
            file.write(json.dumps(dict(run=run, **result)) + '\n')


def _without(value: object, keys: tuple[str, ...]) -> object:
    if isinstance(value, dict):
        return {k: _without(v, keys) for k, v in value.items() if k not in keys}
    return [_without(v, keys) for v in value] if isinstance(value, list | tuple) else value


class _Curve(Hook):
    """Training losses, the mean of each twentieth of a run, and the validations."""

    def __init__(self, max_iters: int) -> None:
        self.every = max(max_iters // 20, 1)
        self.losses: list[float] = []
        self.training: list[tuple[int, float]] = []
        self.validation: list[tuple[int, float, float]] = []

    def after_train_iter(self, runner: Runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.losses.append(float(outputs['loss']))
        if len(self.losses) % self.every == 0:
            mean = float(np.mean(self.losses[-self.every :]))
            self.training.append((runner.iter + 1, round(mean, 4)))

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        figures = [float(f'{(metrics or {})[key]:.4g}') for key in ('acc/top1', 'acc/nll')]
        self.validation.append((runner.iter, *figures))


def perform(run: Run, config: Path, scratch: str) -> dict:
    """Train and test one run, on one thread.

    Args:
        run (Run): The run.
        config (Path): Config of its study.
        scratch (str): Folder for what is not kept.

    Returns:
        dict: What :meth:`Study.keep` takes.
    """
    torch.set_num_threads(1)
    study = Study(config, Path())
    cfg, start = study.config_of(run), time.monotonic()
    curve = _Curve(cfg.train_cfg.max_iters)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        cfg.work_dir, cfg.experiment_name = folder, f'{config.stem}: {run}'
        runner = Runner.from_cfg(cfg)
        runner.register_hook(curve)
        runner.train()
        runner.save_checkpoint(folder, 'trained.pth', by_epoch=False)  # with EMAHook, the average
        tests = {}
        for name, test in study.tests_of(run).items():
            test.work_dir, test.experiment_name = folder, f'{cfg.experiment_name}, {name}'
            test.load_from, test.custom_hooks = f'{folder}/trained.pth', []
            metrics = Runner.from_cfg(test).test()
            tests[name] = dict(top1=metrics['acc/top1'], nll=float(f'{metrics["acc/nll"]:.4g}'))
    return dict(
        digest=study.digest_of(run),
        **{key.lower(): value for key, value in count(cfg).items()},
        tests=tests,
        training=curve.training,
        validation=curve.validation,
        seconds=round(time.monotonic() - start),
    )


def choose(studies: list[Study], only: list[str], seeds: int) -> dict[Study, list[Run]]:
    """Runs of each study with the named rows and conditions; all of them without names.

    Raises:
        ValueError: If no study has a name.
    """
    names = {
        study: [set(study.settings[kind]) for kind in ('conditions', 'rows')] for study in studies
    }
    known = set().union(*(name for kinds in names.values() for name in kinds))
    if unknown := [name for name in only if name not in known]:
        shown = ', '.join(repr(name) for name in sorted(known - {''}))
        raise ValueError(f'no study has {unknown[0]!r}, but {shown}')
    chosen = {}
    for study, (conditions, rows) in names.items():
        wanted = set(only)
        conditions = conditions & wanted or conditions
        rows = rows & wanted or rows
        runs = study.runs(seeds) if not only or wanted & set().union(*names[study]) else []
        chosen[study] = [run for run in runs if run.condition in conditions and run.row in rows]
    return chosen


def prepare(study: Study, runs: list[Run]) -> None:
    """Write the motion clips of a study where they are missing, and check what its runs need.

    Raises:
        SystemExit: With one line, if a config or its data cannot work.
    """
    for root, arguments in (study.settings.get('clips') or {}).items():
        written, text = Path(root, 'clips.json'), json.dumps(arguments)
        if not written.exists() or written.read_text() != text:
            written.unlink(missing_ok=True)
            write_dataset(root, **arguments)
            write_whole(written, text)
    for run in {run.condition: run for run in runs}.values():
        check_config(study.config_of(run), LOADERS)


def carry_out(study: Study, runs: list[Run], jobs: int) -> dict[Run, str]:
    r"""Do runs of a study, and keep their results.

    Args:
        study (Study): The study, :func:`prepare`\ d.
        runs (list[Run]): Its runs to be done.
        jobs (int): Runs side by side, each on one thread.

    Returns:
        dict[Run, str]: Runs that failed, and why.
    """

    def keep(run: Run, result: dict) -> None:
        study.keep(run, result)
        figures = [f'{name} {100 * test["top1"]:.1f}' for name, test in result['tests'].items()]
        console.print(f'{run}: {", ".join(figures)} ({result["seconds"]} s)', soft_wrap=True)

    with tempfile.TemporaryDirectory() as scratch:  # ends also with what a killed process leaves
        work = partial(perform, config=study.config, scratch=scratch)
        return process_all(work, runs, jobs, LONGEST, keep, 'runs')[1]
