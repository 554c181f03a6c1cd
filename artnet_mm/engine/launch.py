"""Command line of the tools: the config they read, and the Runner they start."""

import argparse
import errno
import gc
import re
from pathlib import Path

import torch
from mmengine.config import Config, DictAction
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from .. import checkpoints, compat
from ..datasets import lists
from ..selections import select

# What gloo and NCCL say of a process that ended or hangs.
_LOST = re.compile(r'gloo/gloo/|NCCL error|ProcessGroup|Connection closed by peer')
OF_TEST_VIEWS = ('model.data_preprocessor', 'test_pipeline', 'test_dataloader.dataset.pipeline')
"""What the options begin with on which the views of a test depend."""


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


def load_config(args: argparse.Namespace) -> Config:
    """Read ``args.config`` and lay the shared arguments over it.

    The work dir is named after the config, its size and length if they are others, and the split
    where it has several.

    Raises:
        SystemExit: With one line, if the config does not offer what is selected.
    """
    # What is imported stays; MMEngine collects garbage for each data set, 0.3 s with all of it.
    if not gc.get_freeze_count():
        gc.freeze()
    options = parse_options(args.cfg_options)
    if 'split' in options:
        raise SystemExit('error: --split N chooses the split, not --cfg-options split=N')
    try:
        cfg = select(
            Config.fromfile(args.config), args.split, args.frames, args.size, args.clip_len
        )
    except ValueError as error:
        raise SystemExit(f'error: {error}') from None
    if options:
        cfg.merge_from_dict(options)
    if others := [key for key in options if key.startswith(OF_TEST_VIEWS)]:
        cfg.other_views = ', '.join(others)  # for tools/report.py
    cfg.launcher = getattr(args, 'launcher', 'none')
    words = [Path(args.config).stem, *filter(None, [cfg.get('variant')])]
    work_dir = Path('work_dirs', '_'.join(words))
    if 'split' in cfg:
        work_dir /= f'split{cfg.split}'
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or str(work_dir)
    return cfg


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
        SystemExit: With one line, if another process of the run ends or hangs, or the
            disk is full.
    """
    compat.init_cpu_distributed(cfg)
    runner = Runner.from_cfg(cfg)
    runner.register_hook(_Forget())
    try:
        getattr(runner, method)()
    except OSError as error:
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
