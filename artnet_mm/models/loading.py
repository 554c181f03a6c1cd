"""What of a checkpoint a model takes: in one line, and in the form that the checkpoint has."""

import copy
import logging
from collections.abc import Mapping
from typing import NamedTuple

from mmengine.logging import print_log
from torch import Tensor, nn

from .deploy import switch_to_deploy


class Fit(NamedTuple):
    """Tensors of a checkpoint beside those of a model, by name."""

    fits: dict[str, Tensor]
    """Those of the checkpoint that the model takes."""
    counted: list[str]
    """Those of the model, but for BN's counts of batches."""
    new: list[str]
    """Of these, those that stay as initialised."""
    unused: list[str]
    """Those of the checkpoint that the model has not, or in another shape."""

    @classmethod
    def of(cls, state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> 'Fit':
        """Compare the state of a checkpoint with that of a model."""
        fits = {
            key: value
            for key, value in state.items()
            if key in wanted and value.shape == wanted[key].shape
        }
        counted = [key for key in wanted if not key.endswith('num_batches_tracked')]
        new = [key for key in counted if key not in fits]
        return cls(fits, counted, new, [key for key in state if key not in fits])

    def __str__(self) -> str:
        return (
            f'checkpoint: {len(self.counted) - len(self.new)} of {len(self.counted)} tensors '
            f'loaded; left as initialised: {shortened(self.new)}; not used: '
            f'{shortened(self.unused)}'
        )


def shortened(keys: list[str], shown: int = 4) -> str:
    """The first of many names, and how many more there are."""
    more = f' and {len(keys) - shown} more' if len(keys) > shown else ''
    return (', '.join(keys[:shown]) or 'none') + more


def is_deployed(model: nn.Module, state: Mapping[str, Tensor]) -> bool:
    """Whether a state is that of the model's deploy form, while the model is in its plain form."""
    missing = model.state_dict().keys() - state.keys()
    if not any(key.endswith('running_mean') for key in missing):
        return False
    return switch_to_deploy(copy.deepcopy(model)).state_dict().keys() <= state.keys()


def take_form(model: nn.Module, state: Mapping[str, Tensor], prefix: str, *_: object) -> None:
    """Bring a model into the form of what it is to load, and say what does not fit.

    A hook for ``register_load_state_dict_pre_hook``: MMEngine loads what fits, names the rest over
    many lines, and goes on.
    """
    state = {
        key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)
    }
    if is_deployed(model, state):
        switch_to_deploy(model)
    fit = Fit.of(state, model.state_dict())
    if fit.new:
        print_log(str(fit), logger='current', level=logging.WARNING)
