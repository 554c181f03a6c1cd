"""Draw the curves of a training run: plot_training.py WORK_DIR OUT.png"""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
from artnet_mm.files import whole_file

import matplotlib.pyplot as plt


def read_scalars(work_dir: Path) -> list[dict]:
    """Every record that a run logged in all its sessions, in order.

    Where sessions overlap (a resumed or repeated run), the later one counts.

    Raises:
        SystemExit: If the folder holds none.
    """
    files = sorted(work_dir.glob('*/vis_data/scalars.json'))
    records = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    if not records:
        raise SystemExit(f'error: no scalars.json of a training run under {work_dir}')
    kept = {(record['step'], 'loss' in record): record for record in records}
    return sorted(kept.values(), key=lambda record: record['step'])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('work_dir', type=Path)
    parser.add_argument('out', type=Path)
    args = parser.parse_args()
    records = read_scalars(args.work_dir)
    train = [r for r in records if 'loss' in r]
    val = [r for r in records if 'acc/top1' in r]

    figure, (losses, accuracies) = plt.subplots(1, 2, figsize=(10, 3.6), layout='constrained')
    losses.plot([r['step'] for r in train], [r['loss'] for r in train], label='training')
    losses.plot([r['step'] for r in val], [r['acc/nll'] for r in val], 'o-', label='validation')
    losses.set(yscale='log', xlabel='iteration', ylabel='cross-entropy')
    for key, name in (('top1', 'top-1'), ('top5', 'top-5')):
        percent = [100 * r[f'acc/{key}'] for r in val]
        accuracies.plot([r['step'] for r in val], percent, 'o-', label=f'validation {name}')
    accuracies.set(ylim=(0, 102), xlabel='iteration', ylabel='accuracy (%), one centre clip')
    for axes in (losses, accuracies):
        axes.legend()
        axes.grid(alpha=0.3)
    with whole_file(args.out) as place:
        figure.savefig(place, dpi=120)


if __name__ == '__main__':
    main()
