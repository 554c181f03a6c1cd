"""Train a recognizer: tools/train.py CONFIG [--work-dir DIR] [--resume] ..."""

import argparse
import os
from contextlib import ExitStack
from pathlib import Path

from config_arguments import add_config_arguments, parse_run_args


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_config_arguments(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='checkpoint to resume from; without one, the latest in the work dir',
    )
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')
    parser.add_argument('--no-validate', action='store_true', help='do not validate while training')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate with the batch size of all processes',
    )
    parser.add_argument('--seed', type=int, help='random seed')
    parser.add_argument(
        '--deterministic', action='store_true', help='deterministic cuDNN algorithms'
    )
    return parse_run_args(parser)


if __name__ == '__main__':
    ARGS = parse_args()  # before the imports below, which take seconds


from artnet_mm.checkpoints import check_resumable, latest_checkpoint
from artnet_mm.checks import check_config, show_checks
from artnet_mm.engine.launch import load_config, run_config
from artnet_mm.files import sole_writer

from mmengine.config import Config
from mmengine.logging import print_log

DATALOADERS = ('train_dataloader', 'val_dataloader')


def merge_args(cfg: Config, args: argparse.Namespace) -> Config:
    """Lay the arguments of training over the config."""
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if cfg.get('resume') and not cfg.get('load_from'):  # MMEngine's words for --resume
        args.resume = args.resume or 'auto'
    if args.resume:
        try:
            if args.resume == 'auto':
                last = latest_checkpoint(cfg.work_dir)
            else:
                check_resumable(last := args.resume)
        except (OSError, RuntimeError, ValueError) as error:
            raise SystemExit(f'error: {error}') from None
        if not last:
            print_log(f'nothing to resume in {cfg.work_dir}: the run starts anew')
        # As without --resume then, from its own load_from.
        cfg.resume, cfg.load_from = bool(last), str(last or '') or cfg.get('load_from')
    if args.auto_scale_lr:
        if not cfg.get('auto_scale_lr'):
            raise SystemExit('error: --auto-scale-lr needs auto_scale_lr.base_batch_size')
        cfg.auto_scale_lr.enable = True
    if args.seed is not None or args.deterministic:
        given = dict(seed=args.seed, deterministic=args.deterministic or None)
        given = {key: value for key, value in given.items() if value is not None}
        cfg.randomness = {**(cfg.get('randomness') or {}), **given}
    if args.deterministic:  # some releases of torch refuse matrix products on a GPU without it
        os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
    return cfg


def main(args: argparse.Namespace) -> None:
    cfg = merge_args(load_config(args), args)
    names = ('last_checkpoint', 'iter_*.pth', 'epoch_*.pth', 'best_*.pth')
    there = [path for name in names for path in Path(cfg.work_dir).glob(name)]
    if not (cfg.get('resume') or args.resume) and there:
        raise SystemExit(
            f'error: {cfg.work_dir} has the checkpoints of another run: --resume goes on with it, '
            'another --work-dir keeps it, and removing that folder starts anew'
        )
    if args.check:
        show_checks(cfg, DATALOADERS)
        return
    check_config(cfg, DATALOADERS)
    # Once: torchrun.sh has done it, Slurm's and MPI's first process does it.
    ranks = map(os.environ.get, ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK'))
    first = not any(rank and int(rank) for rank in ranks)
    if first and not args.checked:
        show_checks(cfg, DATALOADERS)
    with ExitStack() as held:
        if first:
            try:
                held.enter_context(sole_writer(Path(cfg.work_dir)))
            except ValueError as error:
                raise SystemExit(f'error: {error}: give another --work-dir') from None
        run_config(cfg, 'train')


if __name__ == '__main__':
    main(ARGS)
