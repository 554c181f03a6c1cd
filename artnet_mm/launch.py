"""What the command-line tools do before MMEngine's Runner takes over."""

import os.path as osp

import torch
from mmengine.config import Config
from mmengine.runner import Runner

from . import compat

README_DATA = 'README.md, section "Data", tells how to get it'


def _rooted(dataset: Config, path: str) -> str:
    """Where MMEngine's datasets look: relative paths start at ``data_root``."""
    return osp.join(dataset.get('data_root') or '', path)


def check_dataloader(cfg: Config, key: str) -> None:
    """Check the data and the classes that a data loader's config names.

    Args:
        cfg (Config): Config of the run.
        key (str): 'train_dataloader', 'val_dataloader' or 'test_dataloader'.

    Raises:
        FileNotFoundError: If its list or its folder of videos is missing.
        ValueError: If its classes are not the classifier's, or its batch size
            is not one that ``max_testing_views`` can serve.
    """
    loader = cfg.get(key)
    if not loader:
        return
    dataset = loader['dataset']
    places = {'ann_file': dataset.get('ann_file')}
    for name, prefix in (dataset.get('data_prefix') or {}).items():
        places[f'data_prefix.{name}'] = prefix
    for name, path in places.items():
        if path and not osp.exists(_rooted(dataset, path)):
            raise FileNotFoundError(
                f'{_rooted(dataset, path)} does not exist ({key}.dataset.{name}); {README_DATA}'
            )
    classes = cfg.model.get('cls_head', {}).get('num_classes')
    if 'num_classes' in dataset and classes is not None and dataset['num_classes'] != classes:
        raise ValueError(
            f'{key}.dataset.num_classes is {dataset["num_classes"]}, but '
            f'model.cls_head.num_classes is {classes}'
        )
    views = (cfg.model.get('test_cfg') or {}).get('max_testing_views')
    if key != 'train_dataloader' and views and loader.get('batch_size', 1) != 1:
        raise ValueError(
            f'{key}.batch_size is {loader["batch_size"]}: with model.test_cfg.max_testing_views '
            'set, Recognizer3D tests one video at a time'
        )


def build_runner(cfg: Config, dataloaders: tuple[str, ...]) -> Runner:
    """Check the data of a run and build its Runner, on several CPU processes too.

    Args:
        cfg (Config): Config of the run, complete.
        dataloaders (tuple[str, ...]): Keys of the data loaders it will use.

    Returns:
        Runner: MMEngine's Runner.

    Raises:
        SystemExit: With one line, if the data or the config cannot work.
    """
    try:
        for key in dataloaders:
            check_dataloader(cfg, key)
        checkpoint = cfg.get('load_from')
        if checkpoint and '://' not in checkpoint and not osp.isfile(checkpoint):
            raise FileNotFoundError(f'checkpoint {checkpoint} does not exist')
        optim_wrapper = (cfg.get('optim_wrapper') or {}).get('type')
        if optim_wrapper == 'AmpOptimWrapper' and not torch.cuda.is_available():
            raise ValueError('AmpOptimWrapper (--amp) needs a GPU, and torch sees none')
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(f'error: {error}') from None
    compat.init_cpu_distributed(cfg)
    return Runner.from_cfg(cfg)
