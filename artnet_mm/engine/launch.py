"""Command line of the tools: the config they read, and the Runner they start."""

import argparse
import copy
import errno
import gc
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, DictAction
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from .. import checkpoints, compat
from ..datasets import lists
from ..selections import select
from .checkpoint_guard import UnfitCheckpoint

# What gloo and NCCL say of a process that ended or hangs.
_LOST = re.compile(r'gloo/gloo/|NCCL error|ProcessGroup|Connection closed by peer')
OF_TEST_VIEWS = ('model.data_preprocessor', 'test_pipeline', 'test_dataloader.dataset.pipeline')
"""What the options begin with on which the views of a test depend."""


CONFIG_ENDINGS = ('.py', '.yml', '.yaml', '.json')


def parse_options(words: list[str]) -> dict:
    """``key=value`` words of ``--cfg-options``, read as MMEngine's tools do.

    Raises:
        SystemExit: With one line, if a word has no ``=``.
    """
    wrong = next((word for word in words if '=' not in word), None)
    if wrong:
        raise SystemExit(f'error: --cfg-options takes key=value, not {wrong!r}')
    options = argparse.Namespace(cfg_options={})
    DictAction(['--cfg-options'], 'cfg_options')(argparse.ArgumentParser(), options, words)
    return options.cfg_options


def read_config(path: str | Path) -> Config:
    """A config file, as it is.

    Raises:
        ValueError: That names the file, and the line, if it cannot be read.
    """
    try:
        return Config.fromfile(path)
    except FileNotFoundError as error:
        missing = Path(error.filename or path)
        if missing.suffix not in CONFIG_ENDINGS:
            raise ValueError(f'config {path}: {missing} does not exist') from None
        of = '' if missing == Path(path) else f', which {path} inherits from,'
        raise ValueError(f'config {missing}{of} does not exist') from None
    except SyntaxError as error:
        known = error.filename and error.filename[0] != '<'  # of a module that it imports
        file = error.filename if known else f'config {path}, or one that it inherits from'
        text = (error.text or '').strip()
        raise ValueError(f'{file}, line {error.lineno}: {error.msg}: {text}') from None
    except OSError as error:
        raise ValueError(f'{path} cannot be read as a config (.py, .yml, .json): {error}') from None


def override(cfg: Config, options: Mapping[str, Any]) -> None:
    """Lay ``--cfg-options`` over a config.

    Raises:
        ValueError: If one has no place there.
    """
    failed = KeyError, TypeError, AttributeError
    before = copy.deepcopy(cfg._cfg_dict)
    try:
        cfg.merge_from_dict(copy.deepcopy(dict(options)))
    except failed:
        for key, value in options.items():
            try:
                Config(copy.deepcopy(before)).merge_from_dict({key: value})
            except failed as error:
                reason = str(error.args[0]).split(' [')[0]
                raise ValueError(f'--cfg-options {key}={value}: {reason}') from None
        raise


def load_config(args: argparse.Namespace) -> Config:
    """Read ``args.config`` and lay the shared arguments over it.

    The work dir is named after the config, its size and length if they are others, and the split
    where it has several.

    Raises:
        SystemExit: With one line, if the config cannot be read, or does not offer what is selected.
    """
    # What is imported stays; MMEngine collects garbage for each data set, 0.3 s with all of it.
    if not gc.get_freeze_count():
        gc.freeze()
    options = parse_options(args.cfg_options)
    if 'split' in options:
        raise SystemExit('error: --split N chooses the split, not --cfg-options split=N')
    try:
        cfg = read_config(args.config)
        cfg = select(cfg, args.split, args.frames, args.size, args.clip_len)
        override(cfg, options)
    except ValueError as error:
        raise SystemExit(f'error: {error}') from None
    if others := [key for key in options if key.startswith(OF_TEST_VIEWS)]:
        cfg.other_views = ', '.join(others)  # for tools/report.py
    cfg.launcher = getattr(args, 'launcher', 'none')
    words = [Path(args.config).stem, *filter(None, [cfg.get('variant')])]
    work_dir = Path('work_dirs', '_'.join(words))
    if 'split' in cfg:
        work_dir /= f'split{cfg.split}'
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or str(work_dir)
    return cfg


def _is_of(path: str | None, folder: str) -> bool:
    """Whether a path, which may be that of no file, is in a folder or on the way to it."""
    ends = [Path(place).resolve() for place in (path or '', folder)]
    return bool(path) and (ends[0].is_relative_to(ends[1]) or ends[1].is_relative_to(ends[0]))


class _Forget(Hook):
    """Drops what checks have read for the run, once the run has it."""

    def before_train(self, runner: Runner) -> None:
        checkpoints.forget()
        lists.forget()

    before_test = before_train


def run_config(cfg: Config, method: str) -> bool:
    """Build the Runner of a run, on several CPU processes too, and let it train or test.

    Args:
        cfg (Config): Config of the run, complete and checked.
        method (str): Method of MMEngine's Runner, 'train' or 'test'.

    Returns:
        bool: True in the main process of the run, which does what is left to do.

    Raises:
        SystemExit: With one line, if the checkpoint does not fit, another process of the run
            ends or hangs, or the disk is full or cannot be written to.
    """
    compat.init_cpu_distributed(cfg)
    try:
        runner = Runner.from_cfg(cfg)
        runner.register_hook(_Forget())
        getattr(runner, method)()
    except UnfitCheckpoint as error:
        raise SystemExit(f'error: {error}') from None
    except OSError as error:
        if error.errno in (errno.EROFS, errno.EACCES) and _is_of(error.filename, cfg.work_dir):
            raise SystemExit(f'error: {error}: give another --work-dir') from None
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise SystemExit(
            f'error: {error}. Checkpoints in {cfg.work_dir} stay as they are; --resume goes on '
            'from the last one'
        ) from error
    except RuntimeError as error:
        if not (torch.distributed.is_initialized() and _LOST.search(str(error))):
            raise
        seconds = compat.seconds_to_wait(cfg)
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
