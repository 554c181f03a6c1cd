"""What can be known of a run before it starts: its data, its machine, a step of its network."""

import copy
import gc
import io
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from mmaction.registry import DATASETS
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table
from torch.utils.data import DataLoader

from .datasets.clip_datasets import checked_lists
from .preflight import check_dataloader, check_settings, in_words, leaves

READ = 3  # samples of a list that are read
SHARED_MEMORY = '/dev/shm'  # where workers put their batches
console = Console(highlight=False)


class Doubt(Exception):
    """What is not wrong, and should be looked at."""


@dataclass(frozen=True)
class Finding:
    """What was found of a subject; ``fine`` is None where it is doubtful."""

    subject: str
    fine: bool | None
    message: str
    seconds: float


class _OneIteration(Hook):
    """Ends a training after its first iteration, whose losses it keeps."""

    priority = 'LOWEST'

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: object = None
    ) -> None:
        self.logged = outputs
        runner.train_loop.stop_training = True


class Examination:
    """Looks at a run as a whole, once and in seconds; nothing of it is written.

    Its steps are those of MMEngine's Runner on a few samples of each list, in a work
    dir that is thrown away, without the weights it starts from, without compilation, and
    without visualizers but the local one.

    Args:
        cfg (Config): Config of the run, complete.
        dataloaders (tuple[str, ...]): Keys of the data loaders it will use.
    """

    def __init__(self, cfg: Config, dataloaders: tuple[str, ...]) -> None:
        self.cfg = cfg
        self.dataloaders = [key for key in dataloaders if cfg.get(key)]
        self.samples: dict[str, list[dict]] = {}
        self.runner: Runner | None = None
        self.wrong = False
        self.cuda = torch.cuda.is_available()

    def __iter__(self) -> Iterator[Finding]:
        """Findings, one after the other."""
        looks: list[tuple[str, Callable[[], str]]] = [
            ('versions', self.versions),
            ('settings', self.settings),
        ]
        for key in self.dataloaders:
            looks += [
                (key, partial(self.read, key)),
                (f'{key}: shared memory', partial(self.shared_memory, key)),
            ]
        looks += [('network', self.network)]
        if 'train_dataloader' in self.dataloaders:
            looks += [('a training step', self.train_step)]
        if 'val_dataloader' in self.dataloaders:
            looks += [('a validation', self.validation)]
        if 'test_dataloader' in self.dataloaders:
            looks += [('a test', self.test)]
        if 'train_dataloader' in self.dataloaders:
            looks += [('checkpoints', self.checkpoints)]
        with tempfile.TemporaryDirectory() as self.scratch:
            for subject, look in looks:
                start = time.monotonic()
                try:
                    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
                        warnings.simplefilter('ignore')
                        fine, message = True, look()
                except Doubt as doubt:
                    fine, message = None, str(doubt)
                except Exception as error:  # whatever a config can lead to
                    fine, message = False, in_words(error)
                self.wrong |= fine is False
                yield Finding(subject, fine, message, time.monotonic() - start)
        self.runner = None
        gc.collect()
        if self.cuda:  # as before, for the run and the peak that it logs
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def versions(self) -> str:
        """Releases that are known to be wrong."""
        found = f'torch {torch.__version__}'
        if torch.__version__.startswith('2.9.'):
            raise (RuntimeError if self.cuda else Doubt)(
                f'{found}: with cuDNN 9.8 to 9.14 its 3D convolutions are slow under mixed '
                'precision, and wrong in places; install another one'
            )
        return found

    def settings(self) -> str:
        """What :func:`check` looks at beside the data."""
        init_default_scope(self.cfg.get('default_scope', 'mmaction'))
        MMLogger.get_instance('preflight').setLevel('WARNING')
        check_settings(self.cfg)
        return f'on {torch.cuda.get_device_name() if self.cuda else "the CPU"}'

    def read(self, key: str) -> str:
        """Read the list of a data loader and some of its samples."""
        check_dataloader(self.cfg, key)
        config = copy.deepcopy(self.cfg[key].dataset)
        parts = leaves(config, key)
        for _, leaf in parts:
            leaf['max_refetch'] = READ
        if key == 'test_dataloader':
            self._shorten(config)
        dataset = DATASETS.build(config)
        indices = np.unique(np.linspace(0, len(dataset) - 1, READ).astype(int))
        self.samples[key] = samples = [dataset[int(index)] for index in indices]
        shapes = ', '.join(' x '.join(map(str, value.shape)) for value in _arrays(samples[0]))
        message = f'{len(dataset)} samples, of which {len(samples)} were read: {shapes}'
        if failed := sum(part.broken.failed for part in checked_lists(dataset)):
            raise Doubt(f'{message}; {failed} others cannot be read, as said above')
        return message

    def shared_memory(self, key: str) -> str:
        """Room for the batches that the workers of a data loader hold ready."""
        loader = self.cfg[key]
        kept = ('batch_size', 'num_workers', 'persistent_workers', 'prefetch_factor', 'timeout')
        DataLoader(READ * [0], **{k: loader[k] for k in kept if k in loader})  # has its own rules
        batches = loader.get('num_workers', 0) * (loader.get('prefetch_factor') or 2)
        if not batches:
            return 'none needed without workers'
        if key not in self.samples:
            raise Doubt('not tried, as no samples could be read')
        size = max(sum(value.nbytes for value in _arrays(s)) for s in self.samples[key])
        processes = int(os.environ.get('LOCAL_WORLD_SIZE', 1))
        needed = size * loader.get('batch_size', 1) * batches * processes
        free = shutil.disk_usage(SHARED_MEMORY).free
        message = f'{needed / 1e6:.0f} MB needed in {SHARED_MEMORY}, {free / 1e6:.0f} MB free'
        if needed > free:
            raise ValueError(
                f'{message}: give the container more (docker run --shm-size or --ipc=host), or '
                f'set a lower {key}.num_workers or prefetch_factor'
            )
        return message

    def network(self) -> str:
        """Build the run around its model, with workers and all."""
        if self.wrong:
            raise Doubt('not tried before that is mended')
        cfg = copy.deepcopy(self.cfg)
        for key in self.dataloaders:
            # Persistent workers that end with a cycle of garbage take 5 s each to do so.
            cfg[key].persistent_workers = False
            for _, leaf in leaves(cfg[key].dataset, key):
                leaf['indices'] = 1 if key == 'test_dataloader' else READ
        if 'train_dataloader' in self.dataloaders and not self.cuda:
            cfg.train_dataloader.batch_size = min(cfg.train_dataloader.batch_size, READ)
        if 'test_dataloader' in self.dataloaders:
            self._shorten(cfg.test_dataloader.dataset)
        cfg.work_dir, cfg.launcher, cfg.log_level = self.scratch, 'none', 'ERROR'
        cfg.load_from, cfg.resume = None, False
        cfg.pop('compile', None)  # takes minutes
        cfg.model.pop('compile_cfg', None)
        cfg.experiment_name = f'rehearsal_{time.time_ns()}'
        cfg.visualizer = dict(type='ActionVisualizer', vis_backends=[dict(type='LocalVisBackend')])
        self.runner = Runner.from_cfg(cfg)
        parameters = sum(p.numel() for p in self.runner.model.parameters())
        return f'{parameters / 1e6:.1f} M parameters'

    def train_step(self) -> str:
        """An iteration of training; on a GPU with a whole batch, for its memory."""
        step = _OneIteration()
        self._run().register_hook(step)
        self._run().train()
        self._run().train_loop.dataloader_iterator = None
        losses = {key: torch.as_tensor(value) for key, value in step.logged.items()}
        wrong = [key for key, value in losses.items() if not value.isfinite().all()]
        if wrong:
            raise FloatingPointError(f'{", ".join(wrong)} of real samples is not finite')
        size = self._run().train_dataloader.batch_size
        peak = torch.cuda.max_memory_allocated() / 1e9 if self.cuda else 0
        loss = losses['loss'].detach().item()
        return f'{size} samples, loss {loss:.3g}' + f', {peak:.1f} GB' * (peak > 0)

    def checkpoints(self) -> str:
        """Room for those that are kept at a time, and rules under which a restart is exact."""
        hook = (self.cfg.get('default_hooks') or {}).get('checkpoint') or {}
        kept, interval = hook.get('max_keep_ckpts', -1), hook.get('interval', -1)
        if kept == 1:
            raise ValueError(
                'default_hooks.checkpoint.max_keep_ckpts is 1, and MMEngine removes the only '
                'checkpoint before it writes the next one: keep 2 or more'
            )
        model = self._run().model
        size = sum(value.nbytes for value in model.state_dict().values())
        size += sum(p.nbytes for p in model.parameters()) * (
            1 if self.cfg.optim_wrapper.optimizer.type == 'SGD' else 2
        )
        if kept < 0:
            kept = self.cfg.train_cfg.get('max_iters', 0) // max(interval, 1)
        number = kept + 1 + bool(hook.get('save_best'))
        place = Path(self.cfg.work_dir)
        there = sum(path.stat().st_size for path in place.glob('*.pth'))
        while not place.exists():
            place = place.parent
        free = shutil.disk_usage(place).free
        message = (
            f'{number} of {size / 1e6:.0f} MB need {number * size / 1e9:.1f} GB in '
            f'{self.cfg.work_dir}, {(free + there) / 1e9:.1f} GB free'
        )
        if number * size > free + there:
            raise ValueError(f'{message}: name another --work-dir, or keep fewer')
        if interval % self.cfg.optim_wrapper.get('accumulative_counts', 1):
            raise Doubt(
                f'{message}; default_hooks.checkpoint.interval is no multiple of '
                'optim_wrapper.accumulative_counts: a restart loses accumulated gradients'
            )
        return message

    def validation(self) -> str:
        """A validation on a few samples."""
        figures = self._run().val()
        return f'{READ} samples: {", ".join(figures)}'

    def test(self) -> str:
        """A test of one video; on the CPU of one clip of it."""
        figures = self._run().test()
        return f'1 video: {", ".join(figures)}'

    def _shorten(self, dataset: dict) -> None:
        """Test one clip where the device is slow."""
        for _, leaf in leaves(dataset, ''):
            for step in leaf.get('pipeline') or () if not self.cuda else ():
                if 'num_clips' in step:
                    step['num_clips'] = 1

    def _run(self) -> Runner:
        if self.runner is None or self.wrong:
            raise Doubt('not tried before that is mended')
        return self.runner


def _arrays(value: object) -> Iterator[torch.Tensor | np.ndarray]:
    """What a sample sends through shared memory."""
    if isinstance(value, torch.Tensor | np.ndarray):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _arrays(inner)


def examine(cfg: Config, dataloaders: tuple[str, ...]) -> None:
    """Look at a run, show a table of what is fine and what is not.

    Args:
        cfg (Config): Config of the run, complete.
        dataloaders (tuple[str, ...]): Keys of the data loaders it will use.

    Raises:
        SystemExit: If something is not fine.
    """
    found = Column('found', overflow='fold')
    seconds = Column('s', justify='right')
    table = Table('', 'before the run', found, seconds, box=None, padding=(0, 2, 0, 0))
    failed = []
    for finding in Examination(cfg, dataloaders):
        mark = {True: '[green]fine', None: '[yellow]look', False: '[red]wrong'}[finding.fine]
        message = 'see below' if finding.fine is False else escape(finding.message)
        table.add_row(mark, finding.subject, message, f'{finding.seconds:.1f}')
        failed += [finding] if finding.fine is False else []
    console.print(table)
    if failed:
        lines = '\n'.join(f'error: {finding.subject}: {finding.message}' for finding in failed)
        raise SystemExit(lines)
