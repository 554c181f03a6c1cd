"""Studies: the rows of a table, each trained with several seeds under every condition.

A study is an ordinary config with one key more::

    study = dict(
        title='...',
        rows={name: overrides of the config, and optionally paper=an experiment of the catalogue},
        conditions={name: overrides},
        tests={name: overrides},  # each a test of the trained weights
        clips={data_root: arguments of write_dataset},  # motion clips, written where missing
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

from .datasets.synthetic import write_dataset
from .evaluation.cost import count
from .files import write_whole
from .preflight import check
from .processes import console
from .processes import run as run_all

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
OF_THE_PLACE = ('data_root', 'num_workers', 'persistent_workers')
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
        cfg = Config(self._cfg._cfg_dict.to_dict())
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
        """Hash of all that a result depends on but the place of the data."""
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
            if known and result['digest'] == self.digest_of(of):
                found[of] = result
        return found

    def keep(self, run: Run, result: dict) -> None:
        """Add the result of a run to the file."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open('a', encoding='utf-8') as file:
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
        figures = [float(f'{metrics[key]:.4g}') for key in ('acc/top1', 'acc/nll')]
        self.validation.append((runner.iter, *figures))


def perform(run: Run, config: Path) -> dict:
    """Train and test one run, on one thread; nothing else is left of it.

    Returns:
        dict: What :meth:`Study.keep` takes.
    """
    torch.set_num_threads(1)
    study = Study(config, Path())
    cfg, start = study.config_of(run), time.monotonic()
    curve = _Curve(cfg.train_cfg.max_iters)
    with tempfile.TemporaryDirectory() as folder:
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


def carry_out(study: Study, only: list[str], seeds: int, jobs: int) -> dict[Run, str]:
    """Do the runs of a study that have no result yet.

    Args:
        study (Study): The study.
        only (list[str]): Names of rows and conditions; without any, all are done.
        seeds (int): Seeds 0 to this one less 1.
        jobs (int): Runs side by side, each on one thread.

    Returns:
        dict[Run, str]: Runs that failed, and why.

    Raises:
        SystemExit: If a name of ``only`` is unknown, or a config or its data cannot work.
    """
    names = {'rows': [], 'conditions': []}
    for name in only:
        kind = next((kind for kind in names if name in study.settings[kind]), None)
        if kind is None:
            known = [f"'{n}'" for kind in names for n in study.settings[kind]]
            raise SystemExit(f'error: {study.config} has no {name!r}, but {", ".join(known)}')
        names[kind].append(name)
    runs = study.runs(seeds)
    for kind, of in (('rows', lambda run: run.row), ('conditions', lambda run: run.condition)):
        runs = [run for run in runs if not names[kind] or of(run) in names[kind]]
    known = study.read()
    missing = [run for run in runs if run not in known]
    done = f'{len(runs) - len(missing)} of {len(runs)} runs are done'
    console.print(f'{study.config}: {done}', soft_wrap=True)
    if not missing:
        return {}
    for root, arguments in (study.settings.get('clips') or {}).items():
        written, text = Path(root, 'clips.json'), json.dumps(arguments)
        if not written.exists() or written.read_text() != text:
            write_dataset(root, **arguments)
            write_whole(written, text)
    for condition in {run.condition: run for run in missing}.values():
        check(study.config_of(condition), LOADERS)

    def keep(run: Run, result: dict) -> None:
        study.keep(run, result)
        figures = [f'{name} {100 * test["top1"]:.1f}' for name, test in result['tests'].items()]
        console.print(f'{run}: {", ".join(figures)} ({result["seconds"]} s)', soft_wrap=True)

    work = partial(perform, config=study.config)
    return run_all(work, missing, jobs, LONGEST, keep, 'runs')[1]
