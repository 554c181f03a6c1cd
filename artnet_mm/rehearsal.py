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
from mmengine.dataset import BaseDataset, ClassBalancedDataset, ConcatDataset, RepeatDataset
from mmengine.fileio import LocalBackend, get_file_backend, register_backend
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import IterBasedTrainLoop, Runner
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table
from torch.utils.data import DataLoader

from .datasets.clip_datasets import ClipDataset, lists_in
from .preflight import builds, check_dataloader, check_settings, in_words, leaves

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


class _Enough(Exception):
    """Ends the training of a rehearsal within an epoch."""


class _OneIteration(Hook):
    """Ends a training after its first iteration, whose losses it keeps."""

    priority = 'LOWEST'
    logged: dict | None = None

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: object = None
    ) -> None:
        self.logged = outputs
        runner.train_loop.stop_training = True
        if not isinstance(runner.train_loop, IterBasedTrainLoop):
            raise _Enough


@register_backend('nowhere')
class _Nowhere(LocalBackend):
    """Where the checkpoints of a rehearsal go; keeps the size of the last one."""

    size = 0

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Keep nothing but its size, in bytes."""
        _Nowhere.size = len(obj)


def _can_be_shortened(dataset: dict) -> bool:
    """Whether a data set is one of BaseDataset's kind, maybe in MMEngine's own wrappers."""
    inner = [dataset['dataset']] if 'dataset' in dataset else dataset.get('datasets') or ()
    known = (ConcatDataset, RepeatDataset, ClassBalancedDataset) if inner else (BaseDataset,)
    return builds(dataset, DATASETS, *known) and all(map(_can_be_shortened, inner))


class Examination:
    """Looks at a run as a whole, once and in seconds; nothing of it is written.

    Its steps are those of MMEngine's Runner on a batch of the training list and on a few
    samples of the others, in a work dir that is thrown away, without compilation, and
    without visualizers but the local one.

    Args:
        cfg (Config): Config of the run, complete.
        dataloaders (tuple[str, ...]): Keys of the data loaders it will use.
    """

    def __init__(self, cfg: Config, dataloaders: tuple[str, ...]) -> None:
        self.cfg = cfg
        self.dataloaders = [key for key in dataloaders if cfg.get(key)]
        self.samples: dict[str, list[dict]] = {}
        self.indices: dict[str, list[int]] = {}
        self.runner: Runner | None = None
        self.left_out: set[str] = set()
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
        for _, leaf in parts if _can_be_shortened(config) else ():
            leaf['max_refetch'] = READ
        if key == 'test_dataloader':
            self._one_clip(config)
        dataset = DATASETS.build(config)
        if not len(dataset):
            raise ValueError(f'{key}.dataset has no samples')
        self._check_labels(dataset)
        indices = np.unique(np.linspace(0, len(dataset) - 1, READ).astype(int)).tolist()
        self.samples[key] = samples = [dataset[index] for index in indices]
        wrapped = parts[0][0] != key
        self.indices[key] = list(range(READ)) if wrapped else indices
        shapes = ', '.join(' x '.join(map(str, value.shape)) for value in _arrays(samples[0]))
        message = f'{len(dataset)} samples, of which {len(samples)} were read: {shapes}'
        if failed := sum(part.broken_samples.failed for part in lists_in(dataset)):
            raise Doubt(f'{message}; {failed} others cannot be read, as said above')
        return message

    def _check_labels(self, dataset: object) -> None:
        """Those of MMAction2's own data sets; our lists have checked theirs."""
        classes = (self.cfg.model.get('cls_head') or {}).get('num_classes', float('inf'))
        lists = lists_in(dataset, BaseDataset)
        for part in (part for part in lists if not isinstance(part, ClipDataset)):
            for index in range(len(part)):
                label = part.get_data_info(index).get('label')
                if isinstance(label, int) and label >= classes:
                    raise ValueError(
                        f'sample {index} of {part.ann_file} has label {label}, but '
                        f'model.cls_head.num_classes is {classes}'
                    )

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
        self.runner = Runner.from_cfg(self._reduced())
        parameters = sum(p.numel() for p in self.runner.model.parameters())
        return f'{parameters / 1e6:.1f} M parameters'

    def _reduced(self) -> Config:
        """The run on a few samples, of which nothing is left."""
        cfg = copy.deepcopy(self.cfg)
        for key in self.dataloaders:
            # Persistent workers that end with a cycle of garbage take 5 s each to do so.
            cfg[key].persistent_workers = False
            name = key.removesuffix('_dataloader')
            if key == 'train_dataloader':
                if not self.cuda:
                    cfg[key].batch_size = min(cfg[key].batch_size, READ)
            elif _can_be_shortened(cfg[key].dataset):
                for _, leaf in leaves(cfg[key].dataset, key):
                    leaf['indices'] = self.indices[key]
            else:
                self.left_out.add(key)
                cfg[key] = cfg[f'{name}_cfg'] = cfg[f'{name}_evaluator'] = None
        if cfg.get('test_dataloader'):
            self._one_clip(cfg.test_dataloader.dataset)
        hooks = [*(cfg.get('default_hooks') or {}).values(), *(cfg.get('custom_hooks') or ())]
        for hook in hooks:
            if hook and hook.get('type') == 'CheckpointHook':
                hook.backend_args = dict(backend='nowhere')
                for option in ('out_dir', 'published_keys'):
                    hook.pop(option, None)
        cfg.work_dir, cfg.launcher, cfg.log_level = self.scratch, 'none', 'ERROR'
        cfg.resume = False
        cfg.pop('compile', None)  # takes minutes
        cfg.model.pop('compile_cfg', None)
        cfg.experiment_name = f'rehearsal_{time.time_ns()}'
        cfg.visualizer = dict(type='ActionVisualizer', vis_backends=[dict(type='LocalVisBackend')])
        return cfg

    def train_step(self) -> str:
        """An iteration of training; on a GPU with a whole batch, for its memory."""
        step = _OneIteration()
        self._run().register_hook(step)
        try:
            self._run().train()
        except _Enough:
            self._run().call_hook('after_train')  # which was not reached
        if step.logged is None:
            raise ValueError('no batch came: the training data has fewer samples than a batch')
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
        folder = place = Path(self.cfg.work_dir)
        get_file_backend(str(folder), backend_args=hook.get('backend_args'))  # was replaced so far
        if out_dir := hook.get('out_dir'):
            if '://' in str(out_dir):
                raise Doubt(f'{out_dir} is no local folder: its room is not known')
            folder = place = Path(out_dir, folder.name)
        while not place.exists():
            place = place.parent
        if not (place.is_dir() and os.access(place, os.W_OK)):
            raise OSError(f'{place} is no folder that can be written to: name another --work-dir')
        if kept == 1:
            raise ValueError(
                'default_hooks.checkpoint.max_keep_ckpts is 1, and MMEngine removes the only '
                'checkpoint before it writes the next one: keep 2 or more'
            )
        runner = self._run()
        runner.save_checkpoint(
            self.scratch, 'whole.pth', by_epoch=False, backend_args=dict(backend='nowhere')
        )
        size = _Nowhere.size
        if kept < 1:  # all
            by_epoch = hook.get('by_epoch', True)
            last = runner.train_loop.max_epochs if by_epoch else runner.train_loop.max_iters
            kept = last // interval if interval > 0 else 1
        number = kept + 1 + bool(hook.get('save_best'))
        earlier = [path for form in ('iter_*', 'epoch_*', 'best_*') for path in folder.glob(form)]
        there = sum(path.stat().st_size for path in earlier)
        free = shutil.disk_usage(place).free
        message = (
            f'{number} of {size / 1e6:.0f} MB need {number * size / 1e9:.1f} GB in '
            f'{folder}, {(free + there) / 1e9:.1f} GB free'
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
        runner = self._run('val_dataloader')
        figures = runner.val()
        return f'{len(runner.val_dataloader.dataset)} samples: {", ".join(figures)}'

    def test(self) -> str:
        """A test of a few videos; on the CPU of one clip of each."""
        runner = self._run('test_dataloader')
        figures = runner.test()
        return f'{len(runner.test_dataloader.dataset)} videos: {", ".join(figures)}'

    def _one_clip(self, dataset: dict) -> None:
        """Test one clip where the device is slow."""
        for _, leaf in leaves(dataset, ''):
            for step in leaf.get('pipeline') or () if not self.cuda else ():
                if 'num_clips' in step:
                    step['num_clips'] = 1

    def _run(self, key: str = '') -> Runner:
        if self.runner is None or self.wrong:
            raise Doubt('not tried before that is mended')
        if key in self.left_out:
            raise Doubt('not tried: of this kind of data set no few samples can be taken')
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
