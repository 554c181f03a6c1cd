"""Appearance-and-Relation Networks (CVPR 2018) as a plugin of MMAction2.

Importing the package registers everything in MMAction2's registries; configs do
so through ``custom_imports``.
"""

import os
from pathlib import Path

# Threads of OpenMP that wait give their core to others, and to torch's other processes: spinning,
# two runs beside each other take ten times as long. Read as torch is loaded, so tools import
# artnet_mm first.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

from .versions import check_versions

__version__ = '0.2.0'

check_versions()

from . import compat  # noqa: E402

compat.silence_mmcv_lite()
compat.provide_importlib_metadata()
compat.complete_mmaction_localizers()
compat.allow_message_hub_in_checkpoints()
compat.register_checkpoint_loader()

from . import datasets, evaluation, hooks, models, restart  # noqa: E402
from .zoo import hub  # noqa: E402

_installed = Path(__file__).parent / '.mim'
ROOT = _installed if _installed.is_dir() else Path(__file__).parents[1]
"""Folder with ``configs/`` and ``tools/``: of the wheel, or the checkout."""

__all__ = [
    'ROOT',
    '__version__',
    'compat',
    'datasets',
    'evaluation',
    'hooks',
    'hub',
    'models',
    'restart',
]
