"""Runs that are killed and go on as if they had not been, bit for bit.

A killed run has lost the state of every random generator, in its workers too. Here what is random
in a sample depends on the seed of the run and on the position of the sample in it, and what is
random in a step on the seed and the iteration, so that nothing has to be restored.
"""

import logging
import re
import shutil
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import torch
from mmaction.registry import HOOKS, LOOPS
from mmengine.dist import all_reduce_params
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook, Hook
from mmengine.logging import print_log
from mmengine.runner import IterBasedTrainLoop, Runner
from torch.utils.data import DataLoader, Dataset

from . import compat
from .datasets.seeding import RestartableSampler, seed_of
from .files import whole_file


class _UnseenBatches:
    """A training loop's data loader, which starts when the first batch is asked for.

    MMEngine's loop starts the workers before it knows where it resumes, and asks for
    every batch that was seen, which is thrown away: it gets None for these.
    """

    def __init__(self, loop: IterBasedTrainLoop, loader: DataLoader) -> None:
        self._loop, self._loader = loop, loader

    @property
    def dataset(self) -> Dataset:
        """That of the data loader."""
        return self._loader.dataset

    def __iter__(self) -> Iterator[dict | None]:
        sampler, seen, hub = self._loader.sampler, self._loop.iter, self._loop.runner.message_hub
        if isinstance(sampler, RestartableSampler):
            # Of the run that is resumed, whose own seed may have been drawn.
            sampler.seed = hub.runtime_info.get('sampler_seed', sampler.seed)
            hub.update_info('sampler_seed', sampler.seed)
            sampler.start = seen * self._loader.batch_size
            yield from repeat(None, seen)
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

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, **kwargs: object) -> None:
        if isinstance(dataloader, dict):
            differ = (runner.cfg.get('randomness') or {}).get('diff_rank_seed', False)
            dataloader = runner.build_dataloader(dataloader, runner.seed, differ)
        super().__init__(runner, _UnseenBatches(self, dataloader), **kwargs)
        self.dataloader = dataloader

    def run_iter(self, data_batch: dict) -> None:
        """One step, in which all that is random depends on the seed and the iteration."""
        torch.manual_seed(seed_of(self.runner.seed, 1, self.iter, self.runner.rank))
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
    the mean of them first.
    """

    priority = 'BELOW_NORMAL'  # before CheckpointHook

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: object = None
    ) -> None:
        """Average the buffers of all processes where ``CheckpointHook`` saves them."""
        if runner.distributed and any(
            isinstance(hook, CheckpointHook) and self._saves(hook, runner) for hook in runner.hooks
        ):
            all_reduce_params(runner.model.buffers(), op='mean')

    @staticmethod
    def _saves(hook: CheckpointHook, runner: Runner) -> bool:
        due = hook.every_n_train_iters(runner, hook.interval, hook.save_begin)
        return due or (hook.save_last and hook.is_last_train_iter(runner))

    def before_train_epoch(self, runner: Runner) -> None:
        """Make up for the validation that is due."""
        loop = runner.train_loop
        validated = runner.message_hub.runtime_info.get('iter_of_last_validation')
        if isinstance(loop, RestartableTrainLoop) and 0 < loop.iter != validated:
            loop.validate_if_due()

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
        """
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


def latest_checkpoint(work_dir: str | Path) -> Path | None:
    """The last checkpoint of a run that is whole.

    Those that are cut short, as a machine leaves them that loses its power, are
    named and passed over.

    Args:
        work_dir (str | Path): Work dir of the run.

    Returns:
        Path: The checkpoint; None if there are none at all.

    Raises:
        RuntimeError: If none of them can be loaded.
    """
    numbered = {}
    for path in Path(work_dir).glob('*.pth'):
        if found := re.fullmatch(r'(?:iter|epoch)_(\d+)\.pth', path.name):
            numbered[int(found[1])] = path
    marker = Path(work_dir, 'last_checkpoint')
    named = Path(marker.read_text().strip() if marker.exists() else '').name
    # Those beyond the one that is named are of an earlier run.
    last = next((number for number, path in numbered.items() if path.name == named), None)
    candidates = [numbered[n] for n in sorted(numbered, reverse=True) if last is None or n <= last]
    for path in candidates:
        try:
            compat.load_from_local(str(path), map_location='cpu')
        except RuntimeError as error:
            print_log(f'{error}; trying the checkpoint before it', level=logging.WARNING)
        else:
            return path
    if candidates:
        raise RuntimeError(
            f'no checkpoint of {work_dir} can be loaded: remove them, or name another work dir, '
            'to start anew'
        )
    return None
