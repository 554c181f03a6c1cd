"""Command lines, restarts and hooks round MMEngine's Runner."""

from ..version import check_versions

check_versions()

from . import checkpoint_guard, deploy_hook, restart, training_guards  # noqa: E402

__all__ = ['checkpoint_guard', 'deploy_hook', 'restart', 'training_guards']
