"""Hooks that guard a training: its batch size, its loss, and the samples it cannot read."""

import torch
from mmaction.registry import HOOKS
from mmengine.dist import all_gather_object, all_reduce
from mmengine.hooks import Hook
from mmengine.optim import AmpOptimWrapper
from mmengine.runner import Runner

from ..datasets.clip_datasets import ClipDataset, lists_in
from .checkpoint_guard import shortened


@HOOKS.register_module()
class BatchSizeHook(Hook):
    """Say the effective batch and the rate in force, and where they are not the recipe's.

    The recipe's batch is ``auto_scale_lr['base_batch_size']``. Iterations are MMEngine's, of which
    several make an update where gradients are accumulated.
    """

    def before_train(self, runner: Runner) -> None:
        """Log both once, with a warning where nothing scales the rate."""
        samples = runner.train_dataloader.batch_size
        if samples is None:  # a batch sampler has its own
            return
        steps = (runner.cfg.get('optim_wrapper') or {}).get('accumulative_counts', 1)
        repeats = max((d.num_repeats for d in lists_in(runner.train_dataloader.dataset)), default=1)
        batch = runner.world_size * samples * repeats * steps
        rates = sorted(set(runner.optim_wrapper.get_lr()['lr']))  # biases have their own
        runner.logger.info(
            f'effective batch: {batch} samples = {runner.world_size} processes x {samples} x '
            + f'{repeats} clips of a video x ' * (repeats > 1)
            + f'{steps} accumulated; rates: {", ".join(f"{rate:g}" for rate in rates)}; '
            f'{runner.max_iters} iterations = {runner.max_iters // steps} updates by '
            f'{runner.max_iters // steps * batch} samples'
        )
        scaling = runner.auto_scale_lr or {}
        fitting = scaling.get('base_batch_size', batch)
        if scaling.get('enable'):
            fitting = runner.world_size * samples  # MMEngine leaves out the other factors
        if batch != fitting:
            runner.logger.warning(
                f'the rate is one for batches of {fitting} samples, and nothing scales it to '
                f'{batch}: set optim_wrapper.optimizer.lr, or for the batch '
                'optim_wrapper.accumulative_counts or train_dataloader.batch_size; '
                '--auto-scale-lr scales the rate where nothing is accumulated or repeated. All '
                'that counts iterations stays as it is (docs/scaling.md)'
            )


def _names(data_batch: dict) -> list[str]:
    """The videos of a batch, as far as its samples say."""
    samples = data_batch.get('data_samples') or []
    keys = ('filename', 'frame_dir')
    return [str(next((s.get(key) for key in keys if key in s), '?')) for s in samples]


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stop a training whose loss is not finite, before a checkpoint keeps what it left.

    Under mixed precision such a step is skipped as a whole: the BN statistics are put
    back too, which the forward pass has spoilt for good.

    Args:
        amp_patience (int): With ``AmpOptimWrapper``, which skips steps of infinite
            gradients and lowers its scale, only after so many iterations in a row.
            Defaults to 20.
    """

    priority = 'HIGH'  # before RestartHook averages the buffers of all processes

    def __init__(self, amp_patience: int = 20) -> None:
        self.amp_patience = amp_patience
        self._in_row = 0
        self._buffers: list[torch.Tensor] = []

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Keep the buffers of before the step."""
        if isinstance(runner.optim_wrapper, AmpOptimWrapper):
            self._buffers = [buffer.clone() for buffer in runner.model.buffers()]

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Look at the loss of every process.

        Raises:
            FloatingPointError: In all processes, naming the samples of those where it
                is not finite.
        """
        losses = map(torch.as_tensor, (outputs or {}).values())
        wrong = not all(loss.isfinite().all() for loss in losses)
        anywhere = torch.tensor(float(wrong))
        all_reduce(anywhere, 'max')
        self._in_row = self._in_row + 1 if anywhere else 0
        mixed = isinstance(runner.optim_wrapper, AmpOptimWrapper)
        if self._in_row and mixed:
            for buffer, before in zip(runner.model.buffers(), self._buffers):
                buffer.copy_(before)
        if self._in_row < (self.amp_patience if mixed else 1):
            return
        batches = all_gather_object(_names(data_batch or {}) if wrong else [])
        names = '\n'.join(name for batch in batches for name in batch)
        row = f' for {self._in_row} iterations in a row' if mixed else ''
        raise FloatingPointError(
            f'the loss is not finite at iteration {runner.iter + 1}{row}: training stops, and '
            f'the checkpoints are from before. Samples of the batch:\n{names}'
        )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep weights and statistics that are not finite out of checkpoints.

        Raises:
            FloatingPointError: If there are any, naming them.
        """
        wrong = [
            key
            for key, value in checkpoint['state_dict'].items()
            if isinstance(value, torch.Tensor) and not value.isfinite().all()
        ]
        if wrong:
            raise FloatingPointError(
                f'not finite at iteration {runner.iter + 1}: {shortened(wrong)}; training stops, '
                'and the checkpoints are from before'
            )


@HOOKS.register_module()
class BrokenSamplesHook(Hook):
    """Name in the log what processes other than the first could not read.

    Checkpoints keep it, so that a resumed run counts on and names nothing again.

    Args:
        interval (int): Iterations after which they exchange it. Defaults to 100.
    """

    def __init__(self, interval: int = 100) -> None:
        self.interval = interval
        self._loaded: list[dict] = []

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the counts, for a run that is resumed."""
        self._loaded = checkpoint.get('broken_samples', [])

    def before_train(self, runner: Runner) -> None:
        """Go on from the counts of a run that is resumed."""
        if runner.iter:
            for dataset, state in zip(self._lists(runner), self._loaded):
                dataset.broken_samples.load_state_dict(state)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put the counts into a checkpoint."""
        checkpoint['broken_samples'] = [d.broken_samples.state_dict() for d in self._lists(runner)]

    @staticmethod
    def _lists(runner: Runner) -> list[ClipDataset]:
        return list(lists_in(runner.train_dataloader.dataset))

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: object = None
    ) -> None:
        """Exchange it where several processes train.

        Raises:
            RuntimeError: If that is more than ``max_broken`` of the samples of all.
        """
        last = self.is_last_train_iter(runner)
        if not runner.distributed or not (self.every_n_train_iters(runner, self.interval) or last):
            return
        for dataset in self._lists(runner):
            for index in dataset.broken_samples.share():
                runner.logger.warning(
                    f'cannot read a clip from {dataset.name_of(index)} in another process; '
                    'another sample takes its place'
                )
