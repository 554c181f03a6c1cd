"""Hook that tests a model in its deploy form."""

from mmaction.registry import HOOKS
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner

from ..models import switch_to_deploy


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
