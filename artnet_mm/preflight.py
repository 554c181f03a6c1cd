"""What is wrong with the config or the lists of a run, without building anything."""

import os.path as osp

import torch
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.registry import Registry, init_default_scope

from . import compat
from .datasets.clip_datasets import ClipDataset
from .hooks import refuse_other_splits
from .models import ClipPreprocessor, ClipRecognizer2D, ClipRecognizer3D
from .zoo import hub

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
            infos = DATASETS.build({**dataset, 'pipeline': [], 'lazy_init': True}).load_data_list()
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
        ValueError: If it was trained on another split, or a setting needs GPUs.
        RuntimeError: If it cannot be loaded.
    """
    checkpoint = osp.expanduser(cfg.get('load_from') or '')
    if checkpoint.startswith(hub.PREFIX):  # downloaded once, before there are many processes
        checkpoint = str(hub.fetch(checkpoint.removeprefix(hub.PREFIX)))
    if checkpoint and '://' not in checkpoint:
        meta = compat.load_from_local(checkpoint, map_location='cpu').get('meta') or {}
        refuse_other_splits(meta, cfg)
    optim_wrapper = (cfg.get('optim_wrapper') or {}).get('type')
    if not torch.cuda.is_available():
        if optim_wrapper == 'AmpOptimWrapper':
            raise ValueError('AmpOptimWrapper (--amp) needs a GPU, and torch sees none')
        if cfg.get('sync_bn') and cfg.get('launcher', 'none') != 'none':
            raise ValueError('sync_bn needs a GPU a process, and torch sees none')


def in_words(error: Exception) -> str:
    """An error in words; its kind where the words do not say enough."""
    kind = '' if isinstance(error, OSError | ValueError) else type(error).__name__
    return ': '.join(filter(None, (kind, str(error))))


def check(cfg: Config, dataloaders: tuple[str, ...]) -> None:
    """Check what a run needs, without reading samples or building anything.

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
