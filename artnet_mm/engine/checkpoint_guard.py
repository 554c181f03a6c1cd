"""Hook that guards the checkpoint which a run starts from."""

import logging

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, Runner

from ..models.deploy import switch_to_deploy
from ..models.loading import Fit, is_deployed, shortened
from ..selections import refuse_other_splits, splits_of, trained_on


class UnfitCheckpoint(ValueError):
    """A checkpoint that is not one of the model, or not for this run."""


@HOOKS.register_module()
class CheckpointGuardHook(Hook):
    """Say in one line what of a checkpoint is loaded, and refuse one that is wrong.

    MMEngine loads what fits and lists the rest over many lines; a file of which
    nothing fits goes through like any other.

    UCF101 and HMDB51 divide the same videos three times: weights fine-tuned on one
    split have seen test videos of the others. A data set that states
    ``metainfo=dict(split=(name, number))`` has it recorded in its checkpoints
    (``meta['trained_on']``, with those of the checkpoints they started from).
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._trained_on: list[tuple[str, str]] = []
        self._new: list[str] = []

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep of a checkpoint what fits the model.

        Raises:
            UnfitCheckpoint: If nothing does, it is of the deploy form and the run trains, or it
                was trained on another split of the data set of this run.
        """
        meta = checkpoint.get('meta') or {}
        try:
            refuse_other_splits(meta, runner.cfg)
        except ValueError as error:
            raise UnfitCheckpoint(error) from None
        self._trained_on = trained_on(meta)
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        state = checkpoint.get('state_dict', checkpoint)
        state = {key.removeprefix('module.'): value for key, value in state.items()}
        if is_deployed(model, state):
            if isinstance(runner._train_loop, BaseLoop):  # built, so that the run trains
                raise UnfitCheckpoint(
                    'the checkpoint holds the deploy form, whose BN layers are part of the '
                    'convolutions: it is for tests and predictions; train from the one it was '
                    'made of'
                )
            switch_to_deploy(model)
        wanted = model.state_dict()
        fit = Fit.of(state, wanted)
        self._new = fit.new
        if len(fit.new) == len(fit.counted):
            raise UnfitCheckpoint(
                f'nothing of the checkpoint fits the model: it holds {shortened(list(state))}; '
                f'the model has {shortened(fit.counted)}'
            )
        partial = any(key.startswith('backbone.') for key in fit.new)
        runner.logger.log(logging.WARNING if partial else logging.INFO, str(fit))
        checkpoint['state_dict'] = {**wanted, **fit.fits}  # so that MMEngine has nothing to add

    def after_train(self, runner: Runner) -> None:
        """What was left as initialised is trained now."""
        self._new = []

    def before_test(self, runner: Runner) -> None:
        """Refuse to test weights of which a part was not loaded.

        Raises:
            UnfitCheckpoint: If that is so.
        """
        if self._new:
            raise UnfitCheckpoint(
                f'the checkpoint lacks, or has in another shape, {shortened(self._new)}: a test '
                'with random weights in their place means nothing. Test it with its own config, '
                'or train from it first (load_from)'
            )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Record the splits that the weights have seen."""
        seen = [*self._trained_on, *splits_of(runner.cfg, 'train_dataloader')]
        checkpoint['meta']['trained_on'] = list(dict.fromkeys(seen))
