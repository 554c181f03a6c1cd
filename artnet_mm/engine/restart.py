"""Runs that are killed and go on as if they had not been, bit for bit.

A killed run has lost the state of every random generator, in its workers too. Here what is random
in a sample depends on the seed of the run and on the position of the sample in it, and what is
random in a step on the seed and the iteration, so that nothing has to be restored.
"""

import re
import shutil
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import torch
from mmaction.registry import HOOKS, LOOPS
from mmengine.dataset import InfiniteSampler
from mmengine.dist import all_reduce_params
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook, EMAHook, Hook
from mmengine.logging import MessageHub
from mmengine.runner import BaseLoop, IterBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from ..datasets.seeding import RestartableSampler, seed_cpu, seed_of
from ..files import whole_file


class _UnseenBatches:
    """A training loop's data loader, which starts when the first batch is asked for.

    MMEngine's loop starts the workers before it knows where it resumes, and asks for
    every batch that was seen, which is thrown away: it gets None for these. That of
    onedl-mmengine has the sampler skip them.
    """

    def __init__(self, loop: 'RestartableTrainLoop', loader: DataLoader) -> None:
        self._loop, self._loader = loop, loader

    def __getattr__(self, name: str) -> object:
        """The data set, the sampler and so on of the data loader."""
        return getattr(self._loader, name)

    def __iter__(self) -> Iterator[dict | None]:
        sampler, runner = self._loader.sampler, self._loop.runner
        if isinstance(sampler, RestartableSampler):
            # Of the run that is resumed, whose own seed may have been drawn.
            known = runner.message_hub.runtime_info
            sampler.seed = known.get('sampler_seed', sampler.seed)
            sampler.start = known.get('samples_seen', self._loop.iter * self._loop.batch)
            there = sampler.size
            if there != (then := known.get('samples', there)):
                runner.logger.warning(
                    f'the training data has {there} samples, and had {then}: some of what was '
                    'seen may come again before the rest'
                )
            state = dict(sampler_seed=sampler.seed, samples_seen=sampler.start, samples=there)
            runner.message_hub.update_info_dict(state)
            yield from repeat(None, 0 if sampler.skipped else self._loop.iter)
        yield from self._loader


@LOOPS.register_module()
class RestartableTrainLoop(IterBasedTrainLoop):
    """Stock ``IterBasedTrainLoop`` whose resumed runs are those that were never interrupted.

    Goes with ``RestartableSampler`` and ``RestartHook``. With another sampler a
    resumed run decodes what was seen, as the stock loop does.

    Args:
        runner (Runner): MMEngine's Runner.
        dataloader (DataLoader | dict): Data loader of batches of samples.
        kwargs: As for ``IterBasedTrainLoop``.
    """

    def __init__(self, runner: Runner, dataloader: Any, **kwargs: object) -> None:
        if isinstance(dataloader, dict):
            differ = (runner.cfg.get('randomness') or {}).get('diff_rank_seed', False)
            dataloader = runner.build_dataloader(dataloader, runner.seed, differ)
        super().__init__(runner, _UnseenBatches(self, dataloader), **kwargs)
        self.dataloader: Any = dataloader

    @property
    def batch(self) -> int:
        """Samples of an iteration, in all processes."""
        return self.dataloader.batch_size * self.runner.world_size

    def run_iter(self, data_batch: dict) -> None:
        """One step, in which all that is random depends on the seed and the iteration."""
        seed = seed_of(self.runner.seed, 1, self.iter, self.runner.rank)
        seed_cpu(seed)
        torch.manual_seed(seed)
        hub = self.runner.message_hub
        if 'samples_seen' in hub.runtime_info:
            hub.update_info('samples_seen', hub.get_info('samples_seen') + self.batch)
        super().run_iter(data_batch)

    def validate_if_due(self) -> None:
        """Validate as the loop does after an iteration."""
        self._decide_current_val_interval()
        due = self.iter % self.val_interval == 0 or self.iter == self.max_iters
        if self.runner.val_loop is not None and self.iter >= self.val_begin and due:
            self.runner.val_loop.run()


@HOOKS.register_module()
class RestartHook(Hook):
    """Put into checkpoints what a resumed run needs, and make up for what they lack.

    Checkpoints are written before the validation of their iteration, and again after
    it only where that brought the best one: a resumed run validates first where its
    checkpoint is not a validated one. They hold the buffers of one process: all get
    the mean of them first, also of those that ``EMAHook`` averages, and before validations,
    so that one network is validated and kept. They name other checkpoints by their paths at
    the time, and a work dir may be moved or copied.
    """

    priority = 'ABOVE_NORMAL'  # before EMAHook copies the buffers, and CheckpointHook saves

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: object = None
    ) -> None:
        """Average the buffers of all processes where ``CheckpointHook`` saves them."""
        if runner.distributed and any(
            isinstance(hook, CheckpointHook) and self._saves(hook, runner) for hook in runner.hooks
        ):
            self._average_buffers(runner)

    def before_val_epoch(self, runner: Runner) -> None:
        """Average them in a training, so that all processes validate one network."""
        if runner.distributed and isinstance(runner._train_loop, BaseLoop):
            self._average_buffers(runner)

    @staticmethod
    def _average_buffers(runner: Runner) -> None:
        averages = [hook.ema_model.module for hook in runner.hooks if isinstance(hook, EMAHook)]
        for model in (runner.model, *averages):
            all_reduce_params(model.buffers(), op='mean')

    @staticmethod
    def _saves(hook: CheckpointHook, runner: Runner) -> bool:
        due = hook.every_n_train_iters(runner, hook.interval, hook.save_begin)
        due |= hook.save_last and hook.is_last_train_iter(runner)
        return due and not hook.by_epoch  # after epochs SyncBuffersHook averages

    def before_train(self, runner: Runner) -> None:
        """Refuse epochs that would not end.

        Raises:
            ValueError: If the loop counts epochs, and the sampler gives samples without end.
        """
        loop = runner.train_loop
        endless = isinstance(loop.dataloader.sampler, InfiniteSampler)
        if endless and not isinstance(loop, IterBasedTrainLoop):
            kind = type(loop.dataloader.sampler).__name__
            raise ValueError(
                f'train_cfg counts epochs, and train_dataloader.sampler, a {kind}, never ends one: '
                "give it sampler=dict(_delete_=True, type='DefaultSampler', shuffle=True), with "
                'which a restart is not exact, or count iterations (max_iters, by_epoch=False)'
            )

    def before_train_epoch(self, runner: Runner) -> None:
        """Find the checkpoints of a resumed run, and make up for the validation that is due."""
        loop = runner.train_loop
        for hook in runner.hooks:
            if isinstance(hook, CheckpointHook) and loop.iter:
                self._find_checkpoints(hook, runner.message_hub)
        validated = runner.message_hub.runtime_info.get('iter_of_last_validation')
        if isinstance(loop, RestartableTrainLoop) and 0 < loop.iter != validated:
            loop.validate_if_due()

    @staticmethod
    def _find_checkpoints(hook: CheckpointHook, hub: MessageHub) -> None:
        for key, path in hub.runtime_info.items():
            if path and re.match('last_ckpt$|best_ckpt(_|$)', key):
                hub.update_info(key, hook.file_backend.join_path(hook.out_dir, Path(path).name))
        hook.last_ckpt = hub.runtime_info.get('last_ckpt')
        if hook.save_best and len(hook.key_indicators) == 1:
            hook.best_ckpt_path = hub.runtime_info.get('best_ckpt')
        elif hook.save_best:
            hook.best_ckpt_path_dict = {
                key: hub.runtime_info.get(f'best_ckpt_{key}') for key in hook.key_indicators
            }

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Keep in checkpoints which iteration was validated."""
        runner.message_hub.update_info('iter_of_last_validation', runner.iter)


@register_backend('whole_files')
class WholeFileBackend(LocalBackend):
    """Local files that are there as a whole or not at all, for ``CheckpointHook.backend_args``."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write aside, then rename.

        Raises:
            OSError: If the file cannot be written; what was there before stays.
            ValueError: If it is a remote one.
        """
        if '://' in str(filepath):
            raise ValueError(f'{filepath} is no local file, and whole_files writes no others')
        path = Path(filepath)
        try:
            with whole_file(path) as place:
                place.write_bytes(obj)
        except OSError as error:
            raise OSError(
                error.errno,
                f'{path} cannot be written: {error.strerror} ({len(obj) / 1e6:.0f} MB; '
                f'{shutil.disk_usage(path.parent).free / 1e6:.0f} MB of the disk are free)',
            ) from error
