"""The demo: motion clips, training, the paper's many-view test, inference, pictures."""

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from config_arguments import add_cfg_options

CONFIG = Path(__file__).resolve().parents[1] / 'configs/artnet_r18_d_toy.py'
NUM_TRAIN, NUM_VAL = 1200, 100


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--config', default=str(CONFIG), help='default: %(default)s')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/demo'))
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--clips', type=int, nargs=2, default=(NUM_TRAIN, NUM_VAL))
    add_cfg_options(parser)  # passed to train and test
    return parser.parse_args()


if __name__ == '__main__':
    ARGS = parse_args()  # before the imports below, which take seconds


from artnet_mm import ROOT
from artnet_mm.compat import prediction_of
from artnet_mm.data_making.motion_clips import CLASSES, write_dataset
from artnet_mm.engine.launch import parse_options, read_config
from artnet_mm.evaluation import VideoAccuracy
from artnet_mm.evaluation.dumps import read_dump
from artnet_mm.evaluation.scalars import read_scalars
from artnet_mm.files import sole_writer
from artnet_mm.inference.recognizer import load_recognizer

import torch
from mmaction.apis import inference_recognizer
from rich.console import Console
from rich.table import Table

PACE = 2  # about two pixels per frame; of slower motions 8 channels see little at first
PROGRESS = re.compile(r'Iter\((train|val|test)\) *\[ *(\d+)/(\d+)\]')
FIGURES = re.compile(r'(eta|loss|acc/top1|acc/avg): +(\S+)')
console = Console(highlight=False)


def run_tool(script: str, *arguments: object, log: Path) -> None:
    """Run a tool, showing its progress here and keeping its whole output in a file.

    Raises:
        SystemExit: If the tool fails, with the end of its output.
    """
    command = [sys.executable, str(ROOT / 'tools' / script), *map(str, arguments)]
    console.print(f'$ tools/{script} {" ".join(command[2:])}', style='bold', soft_wrap=True)
    tail: list[str] = []
    with log.open('a', encoding='utf-8', buffering=1) as file:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for line in process.stdout or ():
            file.write(line)
            tail = [*tail[-20:], line]
            if progress := PROGRESS.search(line):
                mode, step, total = progress.groups()
                figures = '  '.join(f'{k} {v}' for k, v in FIGURES.findall(line))
                console.print(f'  {mode:5s} {step:>4s}/{total}  {figures}')
    if process.wait():
        raise SystemExit(f'error: tools/{script} failed; see {log}\n{"".join(tail)}')


def show_inference(model: Any, videos: list[Path]) -> None:
    """Ask the trained network about single videos, as a user's program would."""
    table = Table('held-out clip', 'answer', 'probability', title='inference_recognizer')
    for video in videos:
        scores, _ = prediction_of(inference_recognizer(model, str(video)).to_dict())
        probabilities = scores.softmax(0)
        best = int(probabilities.argmax())
        table.add_row(video.name, CLASSES[best], f'{100 * float(probabilities[best]):.1f}%')
    console.print(table)


def main(args: argparse.Namespace) -> None:
    start = time.monotonic()
    try:
        data = Path(read_config(args.config).train_dataloader.dataset.data_root)
    except ValueError as error:
        raise SystemExit(f'error: {error}') from None
    work_dir = args.work_dir / Path(args.config).stem / f'seed{args.seed}'
    work_dir.mkdir(parents=True, exist_ok=True)
    log, dump = work_dir / 'output.txt', work_dir / 'scores.pkl'
    options = ['--work-dir', work_dir]
    if args.cfg_options:
        options += ['--cfg-options', *args.cfg_options]

    num_train, num_val = args.clips
    write_dataset(data, num_train, num_val, pace=PACE)
    try:
        with sole_writer(work_dir):  # what is there is an earlier demo's, to be replaced
            for name in ('last_checkpoint', 'iter_*.pth', 'best_*.pth', '*/vis_data'):
                for path in work_dir.glob(name):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
    except ValueError as error:
        raise SystemExit(f'error: {error}') from None
    run_tool('train.py', args.config, '--seed', args.seed, *options, log=log)
    checkpoint = Path((work_dir / 'last_checkpoint').read_text().strip())
    run_tool('test.py', args.config, checkpoint, '--deploy', '--dump', dump, *options, log=log)
    results = read_dump(dump)
    changed = parse_options(args.cfg_options)
    model, _ = load_recognizer(args.config, str(checkpoint), 'cpu', changed)
    show_inference(model, [Path(result['filename']) for result in results[::7]])
    run_tool('analysis/plot_training.py', work_dir, log=log)
    run_tool('analysis/plot_predictions.py', dump, '--classes', data / 'classes.txt', log=log)

    scores, labels = zip(*map(prediction_of, results))
    metrics = VideoAccuracy().calculate([score.numpy() for score in scores], list(labels))
    table = Table('', 'top-1', 'top-5', 'Avg', title=f'{len(labels)} held-out clips')
    table.add_row(
        Path(args.config).stem, *(f'{100 * metrics[k]:.1f}' for k in ('top1', 'top5', 'avg'))
    )
    chance = 100 / len(CLASSES)
    table.add_row('chance', *(f'{v:.1f}' for v in (chance, 5 * chance, 3 * chance)))
    console.print(table)
    pictures = f'{work_dir}/training.png, confusion.png, clips.png'
    console.print(f'pictures: {pictures}', soft_wrap=True)
    console.print(f'{(time.monotonic() - start) / 60:.1f} minutes')
    *_, last = (record for record in read_scalars(work_dir) if 'acc/nll' in record)
    result = dict(
        config=Path(args.config).stem,
        instructions=torch.backends.cpu.get_cpu_capability(),
        threads=torch.get_num_threads(),
        seed=args.seed,
        **{key: round(100 * metrics[key], 1) for key in ('top1', 'top5', 'avg')},
        cross_entropy=round(last['acc/nll'], 4),
    )
    with (args.work_dir / 'results.jsonl').open('a', encoding='utf-8') as file:
        file.write(json.dumps(result) + '\n')


if __name__ == '__main__':
    main(ARGS)
