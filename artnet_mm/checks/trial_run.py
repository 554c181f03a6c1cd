"""Checks by a trial run: one step of all that a run will do, leaving no file behind.

Its steps are those of MMEngine's Runner on a batch of the training list and on a few
samples of the others, in a work dir that is thrown away, without compilation, and
without visualizers but the local one.
"""

import gc
import os
import shutil
import time
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.fileio import LocalBackend, get_file_backend, register_backend
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner

from ..compat import unformatted_copy
from .config import NUM_READ, can_be_shortened, leaves, take_one_clip
from .findings import CheckedRun, Doubtful, check

NAME = 'trial_run'
"""What the experiment names of trial runs begin with."""


class _Enough(Exception):
    """Ends the training of a trial run within an epoch."""


class _OneIteration(Hook):
    """Ends a training after its first iteration, whose losses it keeps."""

    priority = 'LOWEST'
    logged: dict | None = None

    def after_train_iter(self, runner: Runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.logged = outputs
        runner.train_loop.stop_training = True
        if not isinstance(runner.train_loop, IterBasedTrainLoop):
            raise _Enough


@register_backend('nowhere')
class _Nowhere(LocalBackend):
    """Where the checkpoints of a trial run go; keeps the size of the last one."""

    size = 0

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Keep nothing but its size, in bytes."""
        _Nowhere.size = len(obj)


def _reduced(run: CheckedRun) -> Config:
    """Config of the trial run."""
    cfg = unformatted_copy(run.cfg)
    for key in run.loaders:
        # Persistent workers that end with a cycle of garbage take 5 s each to do so.
        cfg[key].persistent_workers = False
        name = key.removesuffix('_dataloader')
        if key == 'train_dataloader':
            if not run.cuda:
                cfg[key].batch_size = min(cfg[key].batch_size, NUM_READ)
        elif can_be_shortened(cfg[key].dataset):
            for (_, leaf), indices in zip(leaves(cfg[key].dataset, key), run.indices[key]):
                leaf['indices'] = indices
        else:
            run.left_out.add(key)
            cfg[key] = cfg[f'{name}_cfg'] = cfg[f'{name}_evaluator'] = None
        if cfg.get(f'{name}_evaluator'):  # whose dumps are files
            evaluators = cfg[f'{name}_evaluator']
            evaluators = [evaluators] if isinstance(evaluators, dict) else evaluators
            kept = [e for e in evaluators if e.get('type') != 'DumpResults']
            cfg[f'{name}_evaluator'] = kept
    if cfg.get('test_dataloader'):
        take_one_clip(run, cfg.test_dataloader.dataset)
    hooks = [*(cfg.get('default_hooks') or {}).values(), *(cfg.get('custom_hooks') or ())]
    for hook in hooks:
        if hook and hook.get('type') == 'CheckpointHook':
            hook.backend_args = dict(backend='nowhere')
            for option in ('out_dir', 'published_keys', 'save_best', 'rule'):
                hook.pop(option, None)
    cfg.work_dir, cfg.launcher, cfg.log_level = run.scratch, 'none', 'ERROR'
    cfg.resume = False
    cfg.pop('compile', None)  # takes minutes
    cfg.model.pop('compile_cfg', None)
    cfg.experiment_name = f'{NAME}_{time.time_ns()}'
    cfg.visualizer = dict(type='ActionVisualizer', vis_backends=[dict(type='LocalVisBackend')])
    return cfg


def _checkpoint_hook(run: CheckedRun) -> dict:
    """Config of the hook that writes the run's checkpoints."""
    return (run.cfg.get('default_hooks') or {}).get('checkpoint') or {}


@check('network')
def network(run: CheckedRun) -> str:
    """The whole run, built around its model, with workers and all."""
    if run.wrong:
        raise Doubtful('not tried before that is mended')
    run.runner = Runner.from_cfg(_reduced(run))
    parameters = sum(p.numel() for p in run.runner.model.parameters())
    return f'{parameters / 1e6:.1f} M parameters'


@check('a training step', loader='train_dataloader')
def training_step(run: CheckedRun) -> str:
    """An iteration of training; on a GPU with a whole batch, for its memory."""
    runner, step = run.trial(), _OneIteration()
    runner.register_hook(step)
    try:
        runner.train()
    except _Enough:
        runner.call_hook('after_train')  # which was not reached
    if step.logged is None:
        raise ValueError('no batch came: the training data has fewer samples than a batch')
    runner.train_loop.dataloader_iterator = None
    losses = {key: torch.as_tensor(value) for key, value in step.logged.items()}
    wrong = [key for key, value in losses.items() if not value.isfinite().all()]
    if wrong:
        raise FloatingPointError(f'{", ".join(wrong)} of real samples is not finite')
    size = runner.train_dataloader.batch_size
    peak = torch.cuda.max_memory_allocated() / 1e9 if run.cuda else 0
    loss = losses['loss'].detach().item()
    return f'{size} samples, loss {loss:.3g}' + f', {peak:.1f} GB' * (peak > 0)


@check('a validation', loader='val_dataloader')
def validation(run: CheckedRun) -> str:
    """A validation on a few samples."""
    runner = run.trial('val_dataloader')
    figures = runner.val()
    best = _checkpoint_hook(run).get('save_best') or []
    lacking = {best} if isinstance(best, str) else set(best)
    lacking -= {'auto', *figures}
    if lacking:
        raise ValueError(
            f'default_hooks.checkpoint.save_best is {best!r}, which val_evaluator does not give, '
            f'but {", ".join(figures)}: name one of these, or take VideoAccuracy'
        )
    return f'{len(runner.val_dataloader.dataset)} samples: {", ".join(figures)}'


@check('a test', loader='test_dataloader')
def test(run: CheckedRun) -> str:
    """A test of a few videos; on the CPU of one clip of each."""
    runner = run.trial('test_dataloader')
    figures = runner.test()
    return f'{len(runner.test_dataloader.dataset)} videos: {", ".join(figures)}'


@check('checkpoints', loader='train_dataloader')
def checkpoints(run: CheckedRun) -> str:
    """Room for those that are kept at a time, and rules under which a restart is exact."""
    hook = _checkpoint_hook(run)
    kept, interval = hook.get('max_keep_ckpts', -1), hook.get('interval', -1)
    folder = place = Path(run.cfg.work_dir)
    get_file_backend(str(folder), backend_args=hook.get('backend_args'))  # was replaced so far
    if out_dir := hook.get('out_dir'):
        if '://' in str(out_dir):
            if (hook.get('backend_args') or {}).get('backend') == 'whole_files':
                raise ValueError(
                    f'default_hooks.checkpoint.out_dir is {out_dir}, and its backend_args name '
                    'the backend of local files: set default_hooks.checkpoint.backend_args=None'
                )
            raise Doubtful(f'{out_dir} is no local folder: its room is not known')
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
    runner = run.trial()
    nowhere = dict(backend='nowhere')
    runner.save_checkpoint(run.scratch, 'whole.pth', by_epoch=False, backend_args=nowhere)
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
    if run.cfg.model.get('memory_format') == 'auto':
        raise Doubtful(
            f"{message}; with model.memory_format='auto' a restart may choose other formats, and "
            'goes on to rounding, not to the bit'
        )
    if interval % run.cfg.optim_wrapper.get('accumulative_counts', 1):
        raise Doubtful(
            f'{message}; default_hooks.checkpoint.interval is no multiple of '
            'optim_wrapper.accumulative_counts: a restart loses accumulated gradients'
        )
    return message


def free_devices() -> None:
    """Leave devices as they were, for the run and the peak that it logs."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
