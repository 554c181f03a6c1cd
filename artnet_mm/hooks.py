"""What a run may start from, and the form in which a model is tested."""

import logging
from collections.abc import Iterator

from mmaction.registry import HOOKS
from mmengine.config import Config
from mmengine.hooks import EMAHook, Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from .models import switch_to_deploy


def _splits(cfg: Config, *dataloaders: str) -> Iterator[tuple[str, str]]:
    """(data set, split) of data loaders, where their ``metainfo`` says it."""
    nested = [(cfg.get(key) or {}).get('dataset') or {} for key in dataloaders]
    while nested:
        dataset = nested.pop(0)
        nested += [dataset['dataset']] if 'dataset' in dataset else dataset.get('datasets', ())
        if split := (dataset.get('metainfo') or {}).get('split'):
            yield tuple(map(str, split))


def refuse_other_splits(meta: dict, cfg: Config) -> None:
    """Refuse weights that have seen test videos of a run's own split.

    Args:
        meta (dict): ``meta`` of the checkpoint.
        cfg (Config): Config of the run.

    Raises:
        ValueError: If the checkpoint was trained on another split of its data set.
    """
    for name, split in _splits(cfg, 'train_dataloader', 'test_dataloader'):
        others = sorted({s for n, s in trained_on(meta) if n == name and s != split})
        if others:
            raise ValueError(
                f'the checkpoint was trained on split {", ".join(others)} of {name}, which '
                f'holds test videos of split {split}: start from weights that saw no {name}'
            )


def trained_on(meta: dict) -> list[tuple[str, str]]:
    """(data set, split) of all that a checkpoint was trained on, oldest first."""
    return [tuple(map(str, split)) for split in meta.get('trained_on', ())]


def _enumerate(keys: list[str], shown: int = 4) -> str:
    more = f' and {len(keys) - shown} more' if len(keys) > shown else ''
    return (', '.join(keys[:shown]) or 'none') + more


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
            ValueError: If nothing does, or it was trained on another split of the
                data set of this run.
        """
        meta = checkpoint.get('meta') or {}
        refuse_other_splits(meta, runner.cfg)
        self._trained_on = trained_on(meta)
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        wanted = model.state_dict()
        state = checkpoint.get('state_dict', checkpoint)
        state = {key.removeprefix('module.'): value for key, value in state.items()}
        fits = {
            key: value
            for key, value in state.items()
            if key in wanted and value.shape == wanted[key].shape
        }
        counted = [key for key in wanted if not key.endswith('num_batches_tracked')]
        self._new = [key for key in counted if key not in fits]
        if len(self._new) == len(counted):
            raise ValueError(
                f'nothing of the checkpoint fits the model: it holds {_enumerate(list(state))}; '
                f'the model has {_enumerate(counted)}'
            )
        unused = [key for key in state if key not in fits]
        partial = any(key.startswith('backbone.') for key in self._new)
        runner.logger.log(
            logging.WARNING if partial else logging.INFO,
            f'checkpoint: {len(counted) - len(self._new)} of {len(counted)} tensors loaded; '
            f'left as initialised: {_enumerate(self._new)}; not used: {_enumerate(unused)}',
        )
        checkpoint['state_dict'] = {**wanted, **fits}  # so that MMEngine has nothing to add

    def after_train(self, runner: Runner) -> None:
        """What was left as initialised is trained now."""
        self._new = []

    def before_test(self, runner: Runner) -> None:
        """Refuse to test weights of which a part was not loaded.

        Raises:
            ValueError: If that is so.
        """
        if self._new:
            raise ValueError(
                f'the checkpoint lacks, or has in another shape, {_enumerate(self._new)}: a test '
                'with random weights in their place means nothing'
            )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Record the splits that the weights have seen."""
        seen = [*self._trained_on, *_splits(runner.cfg, 'train_dataloader')]
        checkpoint['meta']['trained_on'] = list(dict.fromkeys(seen))


@HOOKS.register_module()
class DeployHook(Hook):
    """Bring the model into its deploy form before a test, after the checkpoint is loaded."""

    def before_test(self, runner: Runner) -> None:
        """Fold the BN layers of the model.

        Raises:
            ValueError: With an ``EMAHook``, which swaps weights at every test.
        """
        if any(isinstance(hook, EMAHook) for hook in runner.hooks):
            raise ValueError('--deploy and EMAHook cannot be used together')
        switch_to_deploy(runner.model)
