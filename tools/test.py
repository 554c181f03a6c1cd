"""Test a checkpoint: tools/test.py CONFIG CHECKPOINT [--dump FILE.pkl] ..."""

import argparse

from artnet_mm.launch import build_runner, check, load_config, parse_args

DATALOADERS = ('test_dataloader',)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--dump', help='pickle file for the scores of every video')
    args = parse_args(parser)
    if args.dump and not args.dump.endswith(('.pkl', '.pickle')):
        parser.error(f'--dump writes a .pkl or .pickle file, not {args.dump}')
    cfg = load_config(args)
    cfg.load_from = args.checkpoint
    if args.dump:
        evaluators = cfg.test_evaluator
        evaluators = [evaluators] if isinstance(evaluators, dict) else list(evaluators)
        cfg.test_evaluator = [*evaluators, dict(type='DumpResults', out_file_path=args.dump)]
    if args.check:
        check(cfg, DATALOADERS)
    else:
        build_runner(cfg, DATALOADERS).test()


if __name__ == '__main__':
    main()
