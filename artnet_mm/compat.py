"""Known gaps between torch, MMEngine, MMCV and MMAction2, one function each.

Every function names where the gap is reported and when it can go.
"""

import copy
import importlib.metadata
import importlib.util
import os
import sys
import types
import warnings
from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from .version import ROOT


def silence_mmcv_lite() -> None:
    """Drop mmcv-lite's warning, on every start, that it has no compiled ops.

    Recognition needs none, and the first line a tool prints should be its own.
    """
    warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')


def _mmaction_folder() -> Path:
    """Where MMAction2 lies, found without importing it."""
    spec: Any = importlib.util.find_spec('mmaction')
    return Path(spec.origin).parent


def provide_importlib_metadata() -> None:
    """Let mmaction2 1.2.0 import the backport it needs but does not require.

    ``mmaction/utils/dependency.py`` imports ``importlib_metadata``; the standard
    library has the same. Goes with a fixed release of mmaction2.
    """
    needs_it = (_mmaction_folder() / 'utils/dependency.py').exists()
    if needs_it and importlib.util.find_spec('importlib_metadata') is None:
        sys.modules['importlib_metadata'] = importlib.metadata


def complete_mmaction_localizers() -> None:
    """Let ``import mmaction.models`` succeed with the wheel of mmaction2 1.2.0.

    That wheel lacks ``mmaction/models/localizers/drn`` but imports DRN from it
    (https://github.com/open-mmlab/mmaction2/issues/2714). A stand-in takes the
    place of the one missing class and says so when somebody builds it. Goes with
    a fixed release of mmaction2.
    """
    localizers = _mmaction_folder() / 'models/localizers'
    imports_drn = 'drn' in (localizers / '__init__.py').read_text(encoding='utf-8')
    if not imports_drn or (localizers / 'drn').is_dir():
        return

    from mmaction.registry import MODELS

    class DRN(torch.nn.Module):
        def __init__(self, *args, **kwargs) -> None:
            raise ImportError(
                'this installation of mmaction2 lacks mmaction.models.localizers.drn '
                '(mmaction2 issue 2714): install mmaction2 from source to use DRN'
            )

    for name in ('mmaction.models.localizers.drn', 'mmaction.models.localizers.drn.drn'):
        module = types.ModuleType(name)
        vars(module)['DRN'] = DRN
        sys.modules.setdefault(name, module)
    MODELS.register_module(module=DRN)


def import_pose_transforms() -> None:
    """Import MMAction2's data sets without ``scipy.stats``, a sixth of all that is imported.

    Its transforms of poses take ``scipy.stats.mode``, which loads the module once it is called.
    Goes when MMAction2 imports it where it is used.
    """
    if 'scipy.stats' in sys.modules:
        return

    def mode(*args: object, **kwargs: object) -> object:
        return importlib.import_module('scipy.stats').mode(*args, **kwargs)

    stand_in: Any = types.ModuleType('scipy.stats')
    stand_in.mode = mode
    sys.modules['scipy.stats'] = stand_in
    try:
        importlib.import_module('mmaction.datasets.transforms.pose_transforms')
    finally:
        del sys.modules['scipy.stats']


def allow_message_hub_in_checkpoints() -> None:
    """Let MMEngine's checkpoints load again under ``weights_only=True``.

    They hold the message hub: HistoryBuffers of NumPy arrays, which pickle their
    statistics as ``getattr(HistoryBuffer, 'mean')``. torch >= 2.6 refuses all of
    these. The names below are allowed; ``getattr`` is answered by
    :func:`_statistic_of_history`, never by the real one. Goes when MMEngine
    writes checkpoints that load with ``weights_only=True`` by itself
    (https://github.com/open-mmlab/mmengine/issues/1655).
    """
    import numpy as np
    from mmengine.logging.history_buffer import HistoryBuffer

    # What NumPy's own pickles name; where these live differs between NumPy 1 and 2.
    reconstruct: Any
    scalar: Any
    reconstruct, scalar = np.zeros(0).__reduce__()[0], np.float64(0).__reduce__()[0]
    array_types = {type(np.dtype(kind)) for kind in ('float64', 'float32', 'int64', 'int32')}
    torch.serialization.add_safe_globals(
        [
            HistoryBuffer,
            (_statistic_of_history, 'builtins.getattr'),
            *(
                (function, f'numpy.{core}.multiarray.{function.__name__}')
                for function in (reconstruct, scalar)
                for core in ('core', '_core')
            ),
            np.ndarray,
            np.dtype,
            *array_types,
        ]
    )


def _statistic_of_history(owner: object, name: str):
    """The only ``getattr`` a checkpoint may ask for."""
    from mmengine.logging.history_buffer import HistoryBuffer

    if owner is HistoryBuffer and name in ('min', 'max', 'current', 'mean'):
        return getattr(HistoryBuffer, name)
    raise ValueError(f'refused getattr({owner!r}, {name!r}) in a checkpoint')


def seconds_to_wait(cfg) -> float:
    """How long the processes of a run wait for one another, by its config or PyTorch's default."""
    return ((cfg.get('env_cfg') or {}).get('dist_cfg') or {}).get('timeout', 1800)


def init_cpu_distributed(cfg) -> None:
    """Let ``launcher='pytorch'`` run on a machine without CUDA.

    MMEngine 0.10 calls ``torch.cuda.set_device`` for every launcher and hands
    LOCAL_RANK to DistributedDataParallel as a device id, which it refuses for
    CPU modules. Goes when MMEngine asks for the device first.

    Args:
        cfg (Config): The run's config; ``model_wrapper_cfg`` is set in it.
    """
    if cfg.get('launcher') != 'pytorch' or torch.cuda.is_available():
        return
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group(
            'gloo',
            rank=int(os.environ['RANK']),
            world_size=int(os.environ['WORLD_SIZE']),
            timeout=timedelta(seconds=seconds_to_wait(cfg)),
        )
    wrapper = dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)
    cfg.model_wrapper_cfg = {**wrapper, **(cfg.get('model_wrapper_cfg') or {})}


def register_checkpoint_loader() -> None:
    """Have MMEngine load every checkpoint with ``weights_only=True``.

    Files go through :func:`checkpoints.load`: MMEngine's own loader leaves
    ``weights_only`` to torch's default and the environment, and torch's errors do
    not name the file. Downloads (http, https, open-mmlab) go through torch.hub,
    whose default is still False. Goes when MMEngine passes ``weights_only=True``.
    """
    from mmengine.runner import checkpoint

    from .checkpoints import load

    def load_from_local(filename: str, map_location: object = None) -> dict:  # as logs name it
        return load(filename, map_location)

    checkpoint.CheckpointLoader.register_scheme(prefixes='', loader=load_from_local, force=True)
    checkpoint.load_url = partial(torch.hub.load_state_dict_from_url, weights_only=True)


def format_config_once() -> None:
    """Have the text of a config formatted once, not anew for every log, file and checkpoint.

    yapf takes a second and more for a text, and a Runner asks for the same one five times, and
    with every checkpoint. Goes when MMEngine's ``Config`` keeps it.
    """
    from mmengine.config import config

    stock = getattr(config, 'FormatCode', None)
    if stock is None:  # onedl-mmengine imports it each time, and formats as often as it did
        return

    @lru_cache(maxsize=4)
    def formatted(text: str, options: tuple) -> tuple:
        style, others = options
        return stock(text, style_config=dict(style), **dict(others))

    def FormatCode(text: str, style_config: dict, **others: object) -> tuple:
        return formatted(text, (tuple(style_config.items()), tuple(others.items())))

    config.FormatCode = FormatCode


def unformatted_copy(cfg):
    """Deep copy of a config whose text is not laid out by yapf, which takes a second and more.

    A Config is told so when it is made, and not later. Goes when it can be, or needs no yapf.
    """
    from mmengine.config import Config

    return Config(copy.deepcopy(cfg._cfg_dict), format_python_code=False)


def keep_video_steps_in_inferencer() -> None:
    """Let ``MMAction2Inferencer`` read videos by the steps of the config, where these are ours.

    It puts ``DecordInit`` and ``DecordDecode`` in the place of whatever opens and decodes
    videos, which give other frames, or none, of files that decord does not read rightly. Goes
    when the inferencer leaves the pipeline of a config alone.
    """
    from mmaction.apis.inferencers import ActionRecogInferencer
    from mmaction.registry import TRANSFORMS
    from mmcv.transforms import Compose

    stock = ActionRecogInferencer._init_pipeline

    def _init_pipeline(self, cfg) -> Compose:
        steps = [dict(step) for step in cfg.test_dataloader.dataset.pipeline]
        pipeline = stock(self, cfg)
        if self.input_format == 'video' and steps[0]['type'] == 'ClipVideoInit':
            for place, step in enumerate(steps, 1):  # behind the step that takes the input
                if step['type'] in ('ClipVideoInit', 'ClipDecode'):
                    pipeline.transforms[place] = TRANSFORMS.build(step)
        return pipeline

    ActionRecogInferencer._init_pipeline = _init_pipeline


def find_models_in_inferencer() -> None:
    """Let ``MMAction2Inferencer(rec=NAME)`` find the models of this package by their names.

    It looks into the model index of MMAction2 alone. Goes when MMEngine's inferencers take
    names of other packages.
    """
    from mmaction.apis.inferencers import ActionRecogInferencer
    from mmengine.config import Config

    stock = ActionRecogInferencer._load_model_from_metafile

    def _load_model_from_metafile(self, model: str) -> tuple[Config, str | None]:
        for ours in self._get_models_from_metafile(str(ROOT)):
            if ours['Name'].lower() == model.lower():
                return Config.fromfile(ROOT / ours['Config']), ours['Weights'] or None
        return stock(self, model)

    ActionRecogInferencer._load_model_from_metafile = _load_model_from_metafile


def inflate_units_in_resnet3d(inflate: Callable[[str], Callable[[torch.nn.Module], None]]) -> None:
    """Let ``ResNet3d(conv_cfg=dict(type='SMARTConv3d'), pretrained2d=True)`` take 2D weights.

    MMAction2 inflates convolutions that have a ``weight``, under torchvision's names alone. Goes
    when it lets a layer inflate itself.

    Args:
        inflate (Callable): Makes what gives a backbone the weights of a file.
    """
    from mmaction.models.backbones.resnet3d import ResNet3d

    stock = ResNet3d._inflate_weights

    def _inflate_weights(self, logger) -> None:
        if any(hasattr(module, 'branches') for module in self.modules()):
            return inflate(self.pretrained)(self)
        return stock(self, logger)

    ResNet3d._inflate_weights = staticmethod(_inflate_weights)


def prediction(scores: torch.Tensor, label: int) -> dict:
    """What :func:`prediction_of` reads, of a tested sample with scores (num_classes,)."""
    from mmaction.structures import ActionDataSample

    sample = ActionDataSample()
    # mmaction2 1.2 and 1.1 name the methods differently.
    (getattr(sample, 'set_pred_score', None) or sample.set_pred_scores)(scores)
    (getattr(sample, 'set_gt_label', None) or sample.set_gt_labels)(label)
    return sample.to_dict()


def prediction_of(sample: dict) -> tuple[torch.Tensor, int]:
    """Scores (num_classes,) and label of a tested sample, as a dict; -1 where there is no label.

    mmaction2 1.1 calls them ``pred_scores.item`` and ``gt_labels.item``, 1.2
    ``pred_score`` and ``gt_label``. Goes with support for 1.1.
    """
    if 'pred_scores' in sample:
        scores, label = sample['pred_scores']['item'], (sample.get('gt_labels') or {}).get('item')
    else:
        scores, label = sample['pred_score'], sample.get('gt_label')
    return scores, -1 if label is None else int(label)
