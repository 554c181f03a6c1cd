"""Count parameters and multiply-adds into configs/metafiles/, and write model_zoo.md and the
README's tables of experiments and of the demo's runs from there.

With --check fail where these are not up to date; with --list print the models instead.
"""

import argparse
import json
from importlib.util import find_spec
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--check', action='store_true', help='fail if a file is not up to date')
    parser.add_argument('--list', action='store_true', help='print the models and their weights')
    return parser.parse_args()


if __name__ == '__main__':
    ARGS = parse_args()  # before the imports below, which take seconds


from artnet_mm import ROOT
from artnet_mm.evaluation.cost import count
from artnet_mm.evaluation.report import (
    FIGURES,
    LABELS,
    Section,
    markdown,
    metafiles,
    read_catalogue,
    sections_of,
)
from artnet_mm.files import write_whole
from artnet_mm.pages import with_block
from artnet_mm.views import TestProtocol

import numpy as np
from mmengine.config import Config
from mmengine.fileio import dump
from rich.console import Console
from rich.table import Table

HEADER = """# Model zoo

Generated from `configs/metafiles/` by `tools/model_zoo.py`; do not edit.

A section for each table of the paper; an experiment stands in every table that lists it. Tables 2
to 5 are about Kinetics-400, trained from scratch: the validation set, and in Table 5 the test set
too. Table 6 is about UCF101 and HMDB51, from Kinetics weights. Everything is tested with 25 clips x
10 crops of 112 x 112 (clips of 16 frames, and single frames of TSN-ResNet50), or 5 crops where
classes name left and right; the paper's rivals with clips and crops of their own sizes. Avg is the
mean of top-1 and top-5. *Paper* columns quote the paper; *measured* ones stay empty until somebody
trains the model with this code and publishes the weights; those of the demo are the mean of the
runs in the README, on frames of 56 x 56. Parameters and multiply-adds of one view are counted on
the network that the config builds (the paper counts FLOPs a little differently: 19.58 G for
C3D-ResNet18).
"""
SOURCES = ('Reported', 'Measured')
COST = ['Params (M)', 'Multiply-adds (G) x views', 'Weights']
DEMO = ROOT / 'configs/metafiles/demo.jsonl'
"""Lines of the ``results.jsonl`` that tools/demo.py writes."""


def demo_runs() -> dict[tuple, list[dict]]:
    """Runs of the demo that were kept, by config, processor's instructions and threads."""
    runs: dict[tuple, list[dict]] = {}
    for line in DEMO.read_text(encoding='utf-8').splitlines():
        run = json.loads(line)
        runs.setdefault((run['config'], run['instructions'], run['threads']), []).append(run)
    return {key: sorted(runs[key], key=lambda run: run['seed']) for key in sorted(runs)}


def demo_table() -> str:
    """Top-1 of every run of the demo."""
    runs = demo_runs()
    seeds = sorted({run['seed'] for group in runs.values() for run in group})
    rows = []
    for (config, instructions, threads), group in runs.items():
        top1 = {run['seed']: f'{run["top1"]:.1f}' for run in group}
        worst = max(run['cross_entropy'] for run in group)
        row = [f'`{config}`', instructions, str(threads), *(top1.get(seed, '') for seed in seeds)]
        rows.append([*row, f'{worst:.2f}'])
    heads = ['Network', 'Instructions', 'Threads', *(f'Seed {seed}' for seed in seeds)]
    return markdown(rows, [*heads, 'Largest cross-entropy, held-out clips'])


def fill(metafile: dict) -> str:
    """A metafile with the cost of every model, counted, and the mean of the demo's runs."""
    for model in metafile['Models']:
        runs = [
            run for key, group in demo_runs().items() if key[0] == model['Name'] for run in group
        ]
        if 'Demo' in model['Tables']:
            model['Measured'] = {}
        if runs:
            means = {key: np.mean([run[name] for run in runs]) for key, name in FIGURES.items()}
            model['Measured'] = {key: round(float(mean), 1) for key, mean in means.items()}
        cfg = Config.fromfile(ROOT / model['Config'])
        package, _, _ = cfg.model.backbone.type.rpartition('.')
        if package and not find_spec(package):
            print(f'{model["Name"]}: not counted anew, as {package} is not installed')
            continue
        model['Metadata'] = {**count(cfg), 'Views': TestProtocol.of(cfg).num_views}
    style = dict(sort_keys=False, default_flow_style=None, width=100)
    return dump(metafile, file_format='yaml', **style)


def cost(experiment: dict) -> list[str]:
    """Cells under COST; a fusion has none of its own."""
    if 'Config' not in experiment:
        return [''] * len(COST)
    counted = experiment['Metadata']
    weights = f'`{experiment["Weights"]}`' if experiment['Weights'] else ''
    if origin := experiment.get('Converted From'):
        weights += f' from [{Path(origin["Weights"]).name}]({origin["Weights"]})'
    params, multiply_adds = counted['Parameters'] / 1e6, counted['FLOPs'] / 1e9
    return [f'{params:.2f}', f'{multiply_adds:.2f} x {counted["Views"]}', weights]


def named(experiment: dict) -> list[str]:
    """Links to the config, of a fusion to two, and modality."""
    names = experiment.get('Streams') or [experiment['Name']]
    links = ' + '.join(f'[{name}](configs/{name}.py)' for name in names)
    return [links, experiment['Modality']]


def zoo_table(section: Section) -> str:
    rows = [[e['Title'], *named(e), *section.cells(e), *cost(e)] for e in section.experiments]
    table = markdown(rows, ['Model', 'Config', 'Modality', *section.columns(), *COST])
    return f'\n## {section.title}\n\n{table}' + (f'\n{section.remark}\n' if section.remark else '')


def write(files: dict[Path, str], check: bool) -> None:
    """Write texts, or fail where a file has another."""
    for path, text in files.items():
        if not check:
            write_whole(path, text)
        elif not path.exists() or path.read_text(encoding='utf-8') != text:
            raise SystemExit(f'error: {path} is not what tools/model_zoo.py generates; run it')


def main(args: argparse.Namespace) -> None:
    if args.list:
        table = Table('config', 'model', 'modality', 'paper', 'measured', 'weights')
        table.caption = 'Avg; for UCF101 and HMDB51 top-1'
        for e in (e for e in read_catalogue() if 'Config' in e):
            figures = [e[source].get('Avg', e[source].get('Top 1', '')) for source in SOURCES]
            table.add_row(e['Name'], e['Title'], e['Modality'], *map(str, figures), e['Weights'])
        Console().print(table)
        return
    generated = {path: fill(metafile) for path, metafile in metafiles().items()}
    write(generated, args.check)
    experiments = read_catalogue()
    zoo = HEADER + ''.join(map(zoo_table, sections_of(experiments)))
    short = Section('', LABELS, '', [e for e in experiments if e['Reported']])
    rows = [
        [*named(e), ', '.join(map(str, e['Tables'])), *short.cells(e)] for e in short.experiments
    ]
    listed = markdown(rows, ['Config', 'Modality', 'Table', *short.columns()])
    readme = Path(ROOT, 'README.md').read_text(encoding='utf-8')
    for name, text in (('experiments', listed), ('demo', demo_table())):
        readme = with_block(readme, name, text)
    write({ROOT / 'model_zoo.md': zoo, ROOT / 'README.md': readme}, args.check)


if __name__ == '__main__':
    main(ARGS)
