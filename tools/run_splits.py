"""Fine-tune and test on all splits, print their mean: tools/run_splits.py CONFIG GPUS ..."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from config_arguments import add_cfg_options


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of a data set with splits')
    parser.add_argument('gpus', type=int, help='number of GPUs')
    parser.add_argument('--work-dir', type=Path, help='folder for split1/, split2/ and split3/')
    parser.add_argument('--frames', action='store_true', help='JPEG images instead of videos')
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')
    add_cfg_options(parser)  # passed to training and testing
    return parser.parse_args()


if __name__ == '__main__':
    ARGS = parse_args()  # before the imports below, which take seconds


from artnet_mm import ROOT
from artnet_mm.engine.launch import parse_options, read_config
from artnet_mm.evaluation.fusion import accuracy, read_scores
from artnet_mm.files import write_whole

from rich.console import Console
from rich.table import Table

FIGURES = ('top1', 'top5', 'avg', 'mean1')


def run(script: str, split: str, *arguments: object) -> None:
    """Run a script of this folder on a split; its output goes to the terminal.

    Raises:
        SystemExit: If it fails.
    """
    words = [str(word) for word in arguments]
    words += ['--split', split]
    print(f'$ tools/{script} {" ".join(words)}', flush=True)
    command = [str(ROOT / 'tools' / script), *words]
    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'  # the same python
    result = subprocess.run(command, env={**os.environ, 'PATH': path})
    if result.returncode:
        raise SystemExit(f'error: tools/{script} failed on split {split}; the same command resumes')


def require_same_settings(work_dir: Path, args: argparse.Namespace, begun: bool) -> None:
    """Refuse other settings than those a training was begun with, and keep these.

    Raises:
        SystemExit: If a training was begun with other settings.
    """
    path = work_dir / 'settings.json'
    settings = dict(
        config=Path(args.config).stem,
        frames=args.frames,
        amp=args.amp,
        cfg_options=sorted(args.cfg_options),
    )
    kept = json.loads(path.read_text(encoding='utf-8')) if path.exists() else settings
    if begun and kept != settings:
        raise SystemExit(f'error: {work_dir} was made with {kept}: give another --work-dir')
    write_whole(path, f'{json.dumps(settings, indent=2)}\n')


def main(args: argparse.Namespace) -> None:
    work_dir = args.work_dir or Path('work_dirs', Path(args.config).stem)
    try:
        cfg = read_config(args.config)
    except ValueError as error:
        raise SystemExit(f'error: {error}') from None
    splits = list(cfg.get('selections', {}).get('split', ()))
    if not splits:
        raise SystemExit(f'error: the data set of {args.config} is not divided into splits')
    options = ['--cfg-options', *args.cfg_options] if args.cfg_options else []
    given = parse_options(args.cfg_options)
    iterations = given.get('train_cfg.max_iters', cfg.train_cfg.max_iters)
    amp = ['--amp'] if args.amp else []

    def places(split: str) -> list:
        frames = ['--frames'] if args.frames else []
        return ['--work-dir', folders[split], *frames, *options]

    folders = {split: work_dir / f'split{split}' for split in splits}
    weights = {split: folder / f'iter_{iterations}.pth' for split, folder in folders.items()}
    untrained = [split for split in splits if not weights[split].exists()]
    begun = any((folder / 'last_checkpoint').exists() for folder in folders.values())
    require_same_settings(work_dir, args, begun)
    for split in untrained:  # what cannot work is said before hours of work
        words = [args.config, args.gpus, '--check', '--resume', *amp, *places(split)]
        run('dist_train.sh', split, *words)
    for split in untrained:
        words = [args.config, args.gpus, '--resume', '--checked', *amp, *places(split)]
        run('dist_train.sh', split, *words)

    table = Table('split', 'top-1', 'top-5', 'Avg', 'class mean', 'videos', title=args.config)
    metrics = []
    for split in splits:
        dump = folders[split] / 'scores.pkl'
        if not dump.exists() or dump.stat().st_mtime < weights[split].stat().st_mtime:
            words = [args.config, weights[split], args.gpus, '--dump', *places(split)]
            run('dist_test.sh', split, *words)
        metrics.append(accuracy(read_scores(dump)))
        figures = [f'{100 * metrics[-1][key]:.1f}' for key in FIGURES]
        table.add_row(split, *figures, str(metrics[-1]['evaluated']))
    means = [sum(figures[key] for figures in metrics) / len(metrics) for key in FIGURES]
    table.add_section()
    table.add_row('mean', *(f'{100 * mean:.1f}' for mean in means))
    Console().print(table)


if __name__ == '__main__':
    main(ARGS)
