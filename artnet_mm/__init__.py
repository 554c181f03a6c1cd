"""Appearance-and-Relation Networks (CVPR 2018) as a plugin of MMAction2.

Importing the package registers everything in MMAction2's registries; configs do
so through ``custom_imports``. Where MMAction2 is not installed, units and backbone
(``artnet_mm.models``) can be used with torch alone.
"""

import gc
import importlib.util
import os

from .version import HAS_MMACTION, ROOT, __version__, check_versions


def register() -> None:
    """Register everything, and change what must be changed in MMAction2's stack.

    Raises:
        ImportError: If a package of the stack is outside the supported range.
    """
    check_versions()
    # Threads of OpenMP that wait give their core to others, and to torch's other processes:
    # spinning, two runs beside each other take ten times as long. Read as torch is loaded, so
    # tools import artnet_mm first.
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

    from . import compat

    compat.silence_mmcv_lite()
    compat.provide_importlib_metadata()
    compat.complete_mmaction_localizers()
    compat.import_pose_transforms()
    compat.allow_message_hub_in_checkpoints()
    compat.register_checkpoint_loader()
    compat.format_config_once()
    compat.keep_video_steps_in_inferencer()
    compat.find_models_in_inferencer()

    from . import datasets, engine, evaluation, models  # noqa: F401
    from .models.inflate import Inflated2d
    from .zoo import hub  # noqa: F401

    compat.inflate_units_in_resnet3d(Inflated2d)


if HAS_MMACTION:
    _collects = gc.isenabled()
    gc.disable()  # nearly all that imports make stays: to look through it is a tenth of their time
    try:
        register()
    finally:
        if _collects:
            gc.enable()
elif importlib.util.find_spec('torch') is None:
    check_versions()  # says what to install

__all__ = ['ROOT', '__version__', 'register']
