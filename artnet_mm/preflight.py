"""What can be known of a run before it starts: its data, its machine, a step of its network."""

import copy
import gc
import io
import os
import os.path as osp
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
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table
from torch.utils.data import DataLoader

from . import compat
from .datasets.clip_datasets import CheckedList, checked_lists
from .hooks import refuse_other_splits
from .models import ClipPreprocessor, ClipRecognizer2D, ClipRecognizer3D
from .zoo import hub

README_DATA = 'README.md, section "Data", tells how to get it'
READ = 3  # samples of a list that are read
SHARED_MEMORY = '/dev/shm'  # where workers put their batches
console = Console(highlight=False)


def leaves(dataset: dict, key: str) -> list[tuple[str, dict]]:
    """The datasets inside wrappers such as RepeatDataset and ConcatDataset, by key."""
    if 'dataset' in dataset:
        return leaves(dataset['dataset'], f'{key}.dataset')
    inner = enumerate(dataset.get('datasets', ()))
    nested = [leaf for i, d in inner for leaf in leaves(d, f'{key}.datasets.{i}')]
    return nested or [(key, dataset)]


def _check_places(dataset: dict, key: str) -> None:
    prefix = dataset.get('data_prefix') or {}
    prefixes = prefix.items() if isinstance(prefix, dict) else [('', prefix)]
    places = {'ann_file': dataset.get('ann_file')}
    places |= {f'data_prefix.{name}'.rstrip('.'): path for name, path in prefixes}
    for name, path in places.items():
        # MMEngine's datasets look from data_root; remote storage is theirs to check.
        place = osp.join(dataset.get('data_root') or '', path or '')
        if path and '://' not in place and not osp.exists(place):
            raise FileNotFoundError(f'{place} does not exist ({key}.{name}); {README_DATA}')


def _builds(config: dict, *classes: type) -> bool:
    """Whether the model of a config is of one of these classes."""
    kind = config.get('type')
    kind = MODELS.get(kind) if isinstance(kind, str) else kind
    return isinstance(kind, type) and issubclass(kind, classes)


def check_dataloader(cfg: Config, key: str) -> None:
    """Check the data and the classes that a data loader's config names.

    Args:
        cfg (Config): Config of the run.
        key (str): 'train_dataloader', 'val_dataloader' or 'test_dataloader'.

    Raises:
        FileNotFoundError: If its list or its folder of videos is missing.
        ValueError: If a line of its list is malformed or, in validation, has no
            label; if its classes are not the classifier's; if its batch size is not
            one that ``max_testing_views`` can serve; or if its samples are frames and
            the model takes views.
    """
    loader = cfg.get(key)
    if not loader:
        return
    if not isinstance(loader.get('dataset'), dict):
        raise ValueError(f'{key} has no dataset')
    model = cfg.get('model') or {}
    classes = (model.get('cls_head') or {}).get('num_classes')
    for name, dataset in leaves(loader['dataset'], f'{key}.dataset'):
        _check_places(dataset, name)
        stated = dataset.get('num_classes')
        if None not in (stated, classes) and stated != classes:
            raise ValueError(
                f'{name}.num_classes is {stated}, but model.cls_head.num_classes is {classes}'
            )
        shared = any(step.get('type') == 'ShareFrames' for step in dataset.get('pipeline') or ())
        preprocessor = model.get('data_preprocessor') or {}
        fitting = _builds(model, ClipRecognizer3D, ClipRecognizer2D) and _builds(
            preprocessor, ClipPreprocessor
        )
        if shared and not (fitting and preprocessor.get('crop_size')):
            raise ValueError(
                f'{name}.pipeline sends each frame once (ShareFrames): that takes a model.type of '
                'ClipRecognizer3D or ClipRecognizer2D, and a model.data_preprocessor of type '
                'ClipPreprocessor with a crop_size'
            )
        kind = dataset.get('type')
        kind = DATASETS.get(kind) if isinstance(kind, str) else kind
        if isinstance(kind, type) and issubclass(kind, CheckedList):
            infos = DATASETS.build({**dataset, 'pipeline': [], 'lazy_init': True}).load_data_list()
            unlabeled = sum(info['label'] < 0 for info in infos)
            if unlabeled and key == 'val_dataloader':
                raise ValueError(
                    f'{unlabeled} of {len(infos)} videos of {name}.ann_file have no label, and '
                    'validation needs them'
                )
    views = (model.get('test_cfg') or {}).get('max_testing_views')
    stock = model.get('type') == 'Recognizer3D'
    if key != 'train_dataloader' and stock and views and loader.get('batch_size', 1) != 1:
        raise ValueError(
            f'{key}.batch_size is {loader["batch_size"]}: with model.test_cfg.max_testing_views '
            'set, Recognizer3D tests one video at a time'
        )


def check_settings(cfg: Config) -> None:
    """Check the checkpoint that a run starts from, and what its devices can do.

    Raises:
        OSError: If the checkpoint is missing or cannot be had.
        ValueError: If it was trained on another split, or a setting needs GPUs.
        RuntimeError: If it cannot be loaded.
    """
    checkpoint = osp.expanduser(cfg.get('load_from') or '')
    if checkpoint.startswith(hub.PREFIX):  # downloaded once, before there are many processes
        checkpoint = str(hub.fetch(checkpoint.removeprefix(hub.PREFIX)))
    if checkpoint and '://' not in checkpoint:
        meta = compat.load_from_local(checkpoint, map_location='cpu').get('meta') or {}
        refuse_other_splits(meta, cfg)
    optim_wrapper = (cfg.get('optim_wrapper') or {}).get('type')
    if not torch.cuda.is_available():
        if optim_wrapper == 'AmpOptimWrapper':
            raise ValueError('AmpOptimWrapper (--amp) needs a GPU, and torch sees none')
        if cfg.get('sync_bn') and cfg.get('launcher', 'none') != 'none':
            raise ValueError('sync_bn needs a GPU a process, and torch sees none')


def check(cfg: Config, dataloaders: tuple[str, ...]) -> None:
    """Check what a run needs, without reading samples or building anything.

    Args:
        cfg (Config): Config of the run, complete.
        dataloaders (tuple[str, ...]): Keys of the data loaders it will use.

    Raises:
        SystemExit: With one line, if the data or the config cannot work.
    """
    try:
        init_default_scope(cfg.get('default_scope', 'mmaction'))
        for key in dataloaders:
            check_dataloader(cfg, key)
        check_settings(cfg)
    except (OSError, ValueError, RuntimeError) as error:
        raise SystemExit(f'error: {error}') from None
    except Exception as error:  # whatever wrong types lead to
        raise SystemExit(f'error: {_words(error)}') from error


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
                    fine, message = False, _words(error)
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


def _words(error: Exception) -> str:
    """An error in words; its kind where the words do not say enough."""
    kind = '' if isinstance(error, OSError | ValueError) else type(error).__name__
    return ': '.join(filter(None, (kind, str(error))))


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
