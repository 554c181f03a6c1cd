"""Checks of a run before it starts."""

from . import config, trial_run, resume  # isort: skip  # the order of the checks
from .config import check_config
from .findings import findings
from .table import show_checks

__all__ = ['check_config', 'config', 'findings', 'resume', 'show_checks', 'trial_run']
