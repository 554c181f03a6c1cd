"""Test a checkpoint: tools/test.py CONFIG CHECKPOINT [--dump [FILE]] ..."""

import argparse
from pathlib import Path

from config_arguments import DUMP_SUFFIXES, add_config_arguments, parse_run_args


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_config_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--dump',
        nargs='?',
        const=True,
        type=Path,
        help='keep the scores of every video, as MMEngine does (.pkl) or as plain arrays (.npz); '
        'without a name in scores.pkl of the work dir, where tools/report.py finds it',
    )
    parser.add_argument(
        '--deploy',
        action='store_true',
        help='fold BN layers first: the same scores, on a CPU in up to a tenth less time',
    )
    parser.add_argument(
        '--count-broken',
        action='store_true',
        help='go on past videos that cannot be read, count them as wrong and list them',
    )
    args = parse_run_args(parser)
    if args.dump and args.dump is not True and args.dump.suffix not in DUMP_SUFFIXES:
        parser.error(f'--dump writes a {", ".join(DUMP_SUFFIXES)} file, not {args.dump}')
    return args


if __name__ == '__main__':
    ARGS = parse_args()  # before the imports below, which take seconds


from artnet_mm.checks import check_config, show_checks
from artnet_mm.checks.config import leaves
from artnet_mm.engine.launch import load_config, run_config
from artnet_mm.evaluation.dumps import read_dump, write_arrays
from artnet_mm.files import aside

DATALOADERS = ('test_dataloader',)


def main(args: argparse.Namespace) -> None:
    cfg = load_config(args)
    cfg.load_from = args.checkpoint
    if args.deploy:
        # Checkpoints of EMAHook have the average as their weights: it has nothing left to swap.
        hooks = [hook for hook in cfg.get('custom_hooks') or () if hook['type'] != 'EMAHook']
        cfg.custom_hooks = [*hooks, dict(type='DeployHook')]
    if args.count_broken:
        for _, dataset in leaves(cfg.test_dataloader.dataset, ''):
            dataset['count_broken'] = True
    if args.dump:
        dump = Path(cfg.work_dir, 'scores.pkl') if args.dump is True else args.dump
        evaluators = cfg.test_evaluator
        evaluators = [evaluators] if isinstance(evaluators, dict) else list(evaluators)
        unfinished = aside(dump).with_suffix('.pkl')
        dumper = dict(type='DumpResults', out_file_path=str(unfinished))
        cfg.test_evaluator = [*evaluators, dumper]
    if args.check:
        show_checks(cfg, DATALOADERS)
        return
    check_config(cfg, DATALOADERS)
    if args.dump:
        dump.parent.mkdir(parents=True, exist_ok=True)
    if run_config(cfg, 'test') and args.dump:
        if dump.suffix == '.npz':
            write_arrays(read_dump(unfinished), dump)
            unfinished.unlink()
        else:
            unfinished.replace(dump)


if __name__ == '__main__':
    main(ARGS)
