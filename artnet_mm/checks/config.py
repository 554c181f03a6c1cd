"""Checks of the config, the data and the machine of a run."""

import copy
import os
import os.path as osp
import shutil
from difflib import get_close_matches
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmaction.engine.optimizers import LearningRateDecayOptimizerConstructor
from mmaction.registry import DATASETS, MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.config import Config
from mmengine.dataset import BaseDataset, ClassBalancedDataset, ConcatDataset, RepeatDataset
from mmengine.logging import MMLogger
from mmengine.registry import Registry, init_default_scope
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from .. import checkpoints
from ..datasets.clip_datasets import ClipDataset, lists_in
from ..models import ClipPreprocessor, ClipRecognizer2D, ClipRecognizer3D
from ..selections import refuse_other_splits
from ..zoo import hub
from .findings import CheckedRun, Doubtful, arrays, check, in_words

NUM_READ = 3
"""Samples of a list that are read."""
SHARED_MEMORY = '/dev/shm'
"""Where workers of a data loader put their batches."""
README_DATA = 'README.md, section "Data", tells how to get it'


def leaves(dataset: dict, key: str) -> list[tuple[str, dict]]:
    """The datasets inside wrappers such as RepeatDataset and ConcatDataset, by key."""
    if 'dataset' in dataset:
        return leaves(dataset['dataset'], f'{key}.dataset')
    inner = enumerate(dataset.get('datasets', ()))
    nested = [leaf for i, d in inner for leaf in leaves(d, f'{key}.datasets.{i}')]
    return nested or [(key, dataset)]


def _check_places(dataset: dict, key: str) -> None:
    prefix = dataset.get('data_prefix') or {}
    prefixes = prefix.items() if isinstance(prefix, dict) else [('', prefix)]
    places = {'ann_file': dataset.get('ann_file')}
    places |= {f'data_prefix.{name}'.rstrip('.'): path for name, path in prefixes}
    for name, path in places.items():
        # MMEngine's datasets look from data_root; remote storage is theirs to check.
        place = osp.join(dataset.get('data_root') or '', path or '')
        if path and '://' not in place and not osp.exists(place):
            raise FileNotFoundError(f'{place} does not exist ({key}.{name}); {README_DATA}')


def builds(config: dict, registry: Registry, *classes: type) -> bool:
    """Whether what a config makes is of one of these classes."""
    kind = config.get('type')
    kind = registry.get(kind) if isinstance(kind, str) else kind
    return isinstance(kind, type) and issubclass(kind, classes)


def check_dataloader(cfg: Config, key: str) -> None:
    """Check the data and the classes that a data loader's config names.

    Args:
        cfg (Config): Config of the run.
        key (str): 'train_dataloader', 'val_dataloader' or 'test_dataloader'.

    Raises:
        FileNotFoundError: If its list or its folder of videos is missing.
        ValueError: If a line of its list is malformed or, in validation, has no
            label; if its classes are not the classifier's; if broken videos are to be
            counted by a metric that cannot; if its batch size is not one that
            ``max_testing_views`` can serve; or if its samples are frames and the model
            takes views.
    """
    loader = cfg.get(key)
    if not loader:
        return
    if not isinstance(loader.get('dataset'), dict):
        raise ValueError(f'{key} has no dataset')
    model = cfg.get('model') or {}
    classes = (model.get('cls_head') or {}).get('num_classes')
    for name, dataset in leaves(loader['dataset'], f'{key}.dataset'):
        _check_places(dataset, name)
        stated = dataset.get('num_classes')
        if None not in (stated, classes) and stated != classes:
            raise ValueError(
                f'{name}.num_classes is {stated}, but model.cls_head.num_classes is {classes}'
            )
        shared = any(step.get('type') == 'ShareFrames' for step in dataset.get('pipeline') or ())
        preprocessor = model.get('data_preprocessor') or {}
        fitting = builds(model, MODELS, ClipRecognizer3D, ClipRecognizer2D) and builds(
            preprocessor, MODELS, ClipPreprocessor
        )
        if shared and not (fitting and preprocessor.get('crop_size')):
            raise ValueError(
                f'{name}.pipeline sends each frame once (ShareFrames): that takes a model.type of '
                'ClipRecognizer3D or ClipRecognizer2D, and a model.data_preprocessor of type '
                'ClipPreprocessor with a crop_size'
            )
        if builds(dataset, DATASETS, ClipDataset):
            repeated = dataset.get('num_repeats', 1) != 1
            joining = (loader.get('collate_fn') or {}).get('type') == 'repeat_pseudo_collate'
            if repeated != joining:
                raise ValueError(
                    f'{name}.num_repeats, which makes a list of clips of a video, and '
                    f"{key}.collate_fn=dict(type='repeat_pseudo_collate') go together"
                )
            bare = dict(pipeline=[], num_repeats=1, lazy_init=True)
            infos = DATASETS.build({**dataset, **bare}).load_data_list()
            unlabeled = sum(info['label'] < 0 for info in infos)
            if unlabeled and key == 'val_dataloader':
                raise ValueError(
                    f'{unlabeled} of {len(infos)} videos of {name}.ann_file have no label, and '
                    'validation needs them'
                )
        evaluators = cfg.get(key.replace('dataloader', 'evaluator')) or ()
        evaluators = [evaluators] if isinstance(evaluators, dict) else evaluators
        others = {e['type'] for e in evaluators} - {'VideoAccuracy', 'DumpResults'}
        if dataset.get('count_broken') and others:
            raise ValueError(
                f'{name}.count_broken (--count-broken) takes VideoAccuracy, which counts broken '
                f'videos as wrong; {", ".join(map(str, others))} would take others for them'
            )
    views = (model.get('test_cfg') or {}).get('max_testing_views')
    stock = model.get('type') == 'Recognizer3D'
    if key != 'train_dataloader' and stock and views and loader.get('batch_size', 1) != 1:
        raise ValueError(
            f'{key}.batch_size is {loader["batch_size"]}: with model.test_cfg.max_testing_views '
            'set, Recognizer3D tests one video at a time'
        )


def check_settings(cfg: Config) -> None:
    """Check the checkpoint that a run starts from, and what its devices can do.

    Raises:
        OSError: If the checkpoint is missing or cannot be had.
        ValueError: If it was trained on another split, or a setting needs GPUs or another
            network.
        RuntimeError: If it cannot be loaded.
    """
    # downloaded once, before there are many processes
    checkpoint = hub.local(osp.expanduser(cfg.get('load_from') or ''))
    if checkpoint and '://' not in checkpoint:
        meta = checkpoints.load_whole(Path(checkpoint)).get('meta') or {}
        refuse_other_splits(meta, cfg)
    optim_wrapper = cfg.get('optim_wrapper') or {}
    constructor = dict(type=optim_wrapper.get('constructor'))
    if builds(constructor, OPTIM_WRAPPER_CONSTRUCTORS, LearningRateDecayOptimizerConstructor):
        raise ValueError(
            "optim_wrapper.constructor: MMAction2's layer-wise decay knows ViT and MViT only, and "
            'no BN; stages have their own rates by optim_wrapper.paramwise_cfg, such as '
            "custom_keys={'backbone.stem': dict(lr_mult=0.1)}"
        )
    if not torch.cuda.is_available():
        if optim_wrapper.get('type') == 'AmpOptimWrapper':
            raise ValueError('AmpOptimWrapper (--amp) needs a GPU, and torch sees none')
        if cfg.get('sync_bn') and cfg.get('launcher', 'none') != 'none':
            raise ValueError('sync_bn needs a GPU per process, and torch sees none')


def can_be_shortened(dataset: dict) -> bool:
    """Whether a data set is one of BaseDataset's kind, maybe in MMEngine's own wrappers."""
    inner = [dataset['dataset']] if 'dataset' in dataset else dataset.get('datasets') or ()
    known = (ConcatDataset, RepeatDataset, ClassBalancedDataset) if inner else (BaseDataset,)
    return builds(dataset, DATASETS, *known) and all(map(can_be_shortened, inner))


def take_one_clip(run: CheckedRun, dataset: dict) -> None:
    """Have one clip per video tested where the device is slow."""
    for _, leaf in leaves(dataset, ''):
        for step in leaf.get('pipeline') or () if not run.cuda else ():
            if 'num_clips' in step:
                step['num_clips'] = 1


def _check_labels(run: CheckedRun, dataset: object) -> None:
    """Check labels of MMAction2's own data sets; ours have checked theirs."""
    classes = (run.cfg.model.get('cls_head') or {}).get('num_classes', float('inf'))
    lists = lists_in(dataset, BaseDataset)
    for part in (part for part in lists if not isinstance(part, ClipDataset)):
        for index in range(len(part)):
            label = part.get_data_info(index).get('label')
            if isinstance(label, int) and label >= classes:
                raise ValueError(
                    f'sample {index} of {part.ann_file} has label {label}, but '
                    f'model.cls_head.num_classes is {classes}'
                )


@check('versions')
def versions(run: CheckedRun) -> str:
    """Releases that are known to be wrong."""
    found = f'torch {torch.__version__}'
    if torch.__version__.startswith('2.9.'):
        raise (RuntimeError if run.cuda else Doubtful)(
            f'{found}: with cuDNN 9.8 to 9.14 its 3D convolutions are slow under mixed '
            'precision, and wrong in places; install another one'
        )
    return found


def mistyped(cfg: Config) -> list[tuple[str, str]]:
    """Top-level keys that nothing reads and that look like one which MMEngine's Runner does."""
    known = {*signature(Runner.__init__).parameters, 'custom_imports'}
    pairs = ((key, get_close_matches(key, known, 1, 0.85)) for key in cfg)
    return [(key, meant[0]) for key, meant in pairs if meant and key not in known]


@check('settings')
def settings(run: CheckedRun) -> str:
    """Checkpoint and devices."""
    init_default_scope(run.cfg.get('default_scope', 'mmaction'))
    MMLogger.get_instance('checks').setLevel('WARNING')
    check_settings(run.cfg)
    if (run.cfg.model.get('cls_head') or {}).get('average_clips') == 'prob':
        raise Doubtful(
            "model.cls_head.average_clips is 'prob': acc/nll, fused streams and the probabilities "
            "that tools print are computed from scores before the softmax, as 'score' gives them"
        )
    if strange := mistyped(run.cfg):
        raise Doubtful('; '.join(f'{key} is read by nothing: {meant}?' for key, meant in strange))
    return f'on {torch.cuda.get_device_name() if run.cuda else "the CPU"}'


@check('{}', each_loader=True)
def samples(run: CheckedRun, key: str) -> str:
    """The list of a data loader and some of its samples."""
    check_dataloader(run.cfg, key)
    config = copy.deepcopy(run.cfg[key].dataset)
    parts = leaves(config, key)
    for _, leaf in parts if can_be_shortened(config) else ():
        leaf['max_refetch'] = NUM_READ
    if key == 'test_dataloader':
        take_one_clip(run, config)
    dataset = DATASETS.build(config)
    if not len(dataset):
        raise ValueError(f'{key}.dataset has no samples')
    _check_labels(run, dataset)
    indices = np.unique(np.linspace(0, len(dataset) - 1, NUM_READ).astype(int)).tolist()
    run.samples[key] = [dataset[index] for index in indices]
    wrapped = parts[0][0] != key
    lists = lists_in(dataset, BaseDataset)
    first_ones = [list(range(min(NUM_READ, len(part)))) for part in lists]
    run.indices[key] = first_ones if wrapped else [indices]
    first, number = run.samples[key][0], len(run.samples[key])
    shapes = ', '.join(' x '.join(map(str, value.shape)) for value in arrays(first))
    message = f'{len(dataset)} samples, of which {number} were read: {shapes}'
    if failed := sum(part.broken_samples.failed for part in lists_in(dataset)):
        raise Doubtful(f'{message}; {failed} others cannot be read, as said above')
    return message


@check('{}: shared memory', each_loader=True)
def shared_memory(run: CheckedRun, key: str) -> str:
    """Room for the batches that the workers of a data loader hold ready."""
    loader = run.cfg[key]
    kept = ('batch_size', 'num_workers', 'persistent_workers', 'prefetch_factor', 'timeout')
    any_data: Any = NUM_READ * [0]
    DataLoader(any_data, **{k: loader[k] for k in kept if k in loader})  # has its own rules
    batches = loader.get('num_workers', 0) * (loader.get('prefetch_factor') or 2)
    if not batches:
        return 'none needed without workers'
    if key not in run.samples:
        raise Doubtful('not tried, as no samples could be read')
    size = max(sum(value.nbytes for value in arrays(s)) for s in run.samples[key])
    processes = int(os.environ.get('LOCAL_WORLD_SIZE', 1))
    needed = size * loader.get('batch_size', 1) * batches * processes
    if not osp.isdir(SHARED_MEMORY):
        return f'there is no {SHARED_MEMORY} that could be too small'
    free = shutil.disk_usage(SHARED_MEMORY).free
    message = f'{needed / 1e6:.0f} MB needed in {SHARED_MEMORY}, {free / 1e6:.0f} MB free'
    if needed > free:
        raise ValueError(
            f'{message}: give the container more (docker run --shm-size or --ipc=host), or '
            f'set a lower {key}.num_workers or prefetch_factor'
        )
    return message


def check_config(cfg: Config, dataloaders: tuple[str, ...]) -> None:
    """Check config, lists and checkpoint of a run, which takes no network and no sample.

    Args:
        cfg (Config): Config of the run, complete.
        dataloaders (tuple[str, ...]): Keys of the data loaders it will use.

    Raises:
        SystemExit: With one line, if the data or the config cannot work.
    """
    try:
        init_default_scope(cfg.get('default_scope', 'mmaction'))
        for key in dataloaders:
            check_dataloader(cfg, key)
        check_settings(cfg)
    except (OSError, ValueError, RuntimeError) as error:
        raise SystemExit(f'error: {error}') from None
    except Exception as error:  # whatever wrong types lead to
        raise SystemExit(f'error: {in_words(error)}') from error
