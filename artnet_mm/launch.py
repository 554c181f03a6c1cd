"""What the command-line tools do before MMEngine's Runner takes over."""

import argparse
import gc
import os
import os.path as osp
import re
from pathlib import Path

import torch
from mmaction.registry import DATASETS
from mmengine.config import Config, DictAction
from mmengine.dist import is_main_process
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from . import compat
from .datasets.clip_datasets import CheckedList
from .hooks import refuse_other_splits
from .zoo import hub

# What gloo and NCCL say of a process that ended or hangs.
_LOST = re.compile(r'gloo/|NCCL|ProcessGroup|Connection closed by peer')
README_DATA = 'README.md, section "Data", tells how to get it'


def parse_args(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse a tool's arguments and those that all tools share."""
    parser.add_argument('--work-dir', help='folder for logs and checkpoints')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='settings to override in the config, as key=value',
    )
    parser.add_argument('--check', action='store_true', help='check data and config, then stop')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def load_config(args: argparse.Namespace) -> Config:
    """Read ``args.config`` and lay the shared arguments over it.

    The work dir is named after the config, and the split where it has several.
    """
    cfg = Config.fromfile(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    cfg.launcher = args.launcher
    work_dir = Path('work_dirs', Path(args.config).stem)
    if 'split' in cfg:
        work_dir /= f'split{cfg.split}'
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or str(work_dir)
    return cfg


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


def check_dataloader(cfg: Config, key: str) -> None:
    """Check the data and the classes that a data loader's config names.

    Args:
        cfg (Config): Config of the run.
        key (str): 'train_dataloader', 'val_dataloader' or 'test_dataloader'.

    Raises:
        FileNotFoundError: If its list or its folder of videos is missing.
        ValueError: If a line of its list is malformed or, in validation, has no
            label; if its classes are not the classifier's; if its batch size is not
            one that ``max_testing_views`` can serve; or if its samples are frames and
            the model takes views.
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
        crops = (model.get('data_preprocessor') or {}).get('crop_size')
        if shared and not (str(model.get('type')).startswith('ClipRecognizer') and crops):
            raise ValueError(
                f'{name}.pipeline sends each frame once (ShareFrames): that takes a model.type of '
                'ClipRecognizer3D or ClipRecognizer2D, and a model.data_preprocessor of type '
                'ClipPreprocessor with a crop_size'
            )
        kind = dataset.get('type')
        kind = DATASETS.get(kind) if isinstance(kind, str) else kind
        if isinstance(kind, type) and issubclass(kind, CheckedList):
            infos = DATASETS.build({**dataset, 'pipeline': [], 'lazy_init': True}).load_data_list()
            unlabeled = sum(info['label'] < 0 for info in infos)
            if unlabeled and key == 'val_dataloader':
                raise ValueError(
                    f'{unlabeled} of {len(infos)} videos of {name}.ann_file have no label, and '
                    'validation needs them'
                )
    views = (model.get('test_cfg') or {}).get('max_testing_views')
    stock = model.get('type') == 'Recognizer3D'
    if key != 'train_dataloader' and stock and views and loader.get('batch_size', 1) != 1:
        raise ValueError(
            f'{key}.batch_size is {loader["batch_size"]}: with model.test_cfg.max_testing_views '
            'set, Recognizer3D tests one video at a time'
        )


def check(cfg: Config, dataloaders: tuple[str, ...]) -> None:
    """Check what a run needs, in seconds.

    Args:
        cfg (Config): Config of the run, complete.
        dataloaders (tuple[str, ...]): Keys of the data loaders it will use.

    Raises:
        SystemExit: With one line, if the data or the config cannot work.
    """
    init_default_scope(cfg.get('default_scope', 'mmaction'))
    try:
        for key in dataloaders:
            check_dataloader(cfg, key)
        checkpoint = osp.expanduser(cfg.get('load_from') or '')
        if checkpoint.startswith(hub.PREFIX):  # downloaded once, before there are many processes
            checkpoint = str(hub.fetch(checkpoint.removeprefix(hub.PREFIX)))
        if checkpoint and '://' not in checkpoint:
            meta = compat.load_from_local(checkpoint, map_location='cpu').get('meta') or {}
            refuse_other_splits(meta, cfg)
        optim_wrapper = (cfg.get('optim_wrapper') or {}).get('type')
        if optim_wrapper == 'AmpOptimWrapper' and not torch.cuda.is_available():
            raise ValueError('AmpOptimWrapper (--amp) needs a GPU, and torch sees none')
    except (OSError, ValueError, RuntimeError) as error:
        raise SystemExit(f'error: {error}') from None


def run(cfg: Config, dataloaders: tuple[str, ...], method: str) -> bool:
    """Check a run, build its Runner, on several CPU processes too, and let it train or test.

    Args:
        cfg (Config): Config of the run, complete.
        dataloaders (tuple[str, ...]): Keys of the data loaders it will use.
        method (str): Method of MMEngine's Runner, 'train' or 'test'.

    Returns:
        bool: True in the main process of the run, which does what is left to do.

    Raises:
        SystemExit: With one line, if the data or the config cannot work, or another
            process of the run ends or hangs.
    """
    check(cfg, dataloaders)
    compat.init_cpu_distributed(cfg)
    runner = Runner.from_cfg(cfg)
    try:
        getattr(runner, method)()
    except RuntimeError as error:
        if not _LOST.search(str(error)):
            raise
        seconds = cfg.env_cfg.dist_cfg.get('timeout', 1800)
        raise SystemExit(
            f'error: another process of this run ended, or did not answer for {seconds} s '
            f'(env_cfg.dist_cfg.timeout); what it printed before says why. {error}'
        ) from error
    main = is_main_process()
    if torch.distributed.is_initialized():
        # A thread of gloo that drops a tensor while Python finalizes aborts the process; all of
        # them end with the last reference to their group, which the model has.
        del runner
        gc.collect()
        torch.distributed.destroy_process_group()
    return main
