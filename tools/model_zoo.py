"""Generate model_zoo.md and the README's table of experiments from configs/metafile.yml."""

import argparse
import re
from pathlib import Path

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.fileio import load
from mmengine.registry import init_default_scope
from torch.utils.flop_counter import FlopCounterMode

from artnet_mm import ROOT

HEADER = """# Model zoo

Generated from `configs/metafile.yml` by `tools/model_zoo.py`; do not edit.

Tables of the paper: Kinetics-400 validation, trained from scratch, 16 x 112 x 112 input, 25 clips x
10 crops; Avg is the mean of top-1 and top-5. *Paper* columns quote the paper; *measured* ones stay
empty until somebody trains the model with this code and publishes the weights. Parameters and
multiply-adds of one view are counted on the network that the config builds (the paper counts FLOPs
a little differently: 19.58 G for C3D-ResNet18).
"""
COLUMNS = (
    'Model', 'Config', 'Paper top-1', 'Paper top-5', 'Paper Avg',
    'Measured top-1', 'Measured top-5', 'Measured Avg',
    'Params (M)', 'Multiply-adds (G) x views', 'Weights',
)  # fmt: skip
DEMO = 'The demo: 100 motion clips of artnet_mm.datasets.synthetic, mean of the seeds in the README'
README_TABLE = re.compile('(?<=<!-- experiments -->\n).*(?=<!-- /experiments -->)', re.DOTALL)


def count(cfg: Config) -> tuple[float, float, int]:
    """Parameters in M, multiply-adds of one view in G, and views a video."""
    with torch.device('meta'):
        model = MODELS.build(cfg.model).eval()
    steps = {step['type']: step for step in cfg.test_pipeline}
    sampler, crops = steps['UniformClipSampler'], steps['ClipTenCrop']
    channels = len(cfg.model.data_preprocessor.mean)
    size = crops['crop_size']
    clip = torch.empty(1, 1, channels, sampler['clip_len'], size, size, device='meta')
    with FlopCounterMode(display=False) as counter:
        model(clip, stage='head', mode='tensor')
    params = sum(parameter.numel() for parameter in model.parameters())
    return params / 1e6, counter.get_total_flops() / 2e9, 10 * sampler['num_clips']


def row(model: dict) -> list[str]:
    cfg = Config.fromfile(ROOT / model['Config'])
    init_default_scope(cfg.default_scope)
    params, multiply_adds, views = count(cfg)
    paper, measured = model['Paper'], model['Metrics']
    return [
        model['Title'],
        f'[{model["Name"]}]({model["Config"]})',
        *(
            f'{figures[key]:.1f}' if key in figures else ''
            for figures in (paper, measured)
            for key in ('Top 1', 'Top 5', 'Avg')
        ),
        f'{params:.2f}',
        f'{multiply_adds:.2f} x {views}',
        f'[weights]({model["Weights"]})' if model['Weights'] else '',
    ]


def markdown(rows: list, columns: tuple) -> str:
    lines = [columns, ['---'] * len(columns), *rows]
    return ''.join(f'| {" | ".join(line)} |\n' for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--check', action='store_true', help='fail if a file is not up to date')
    args = parser.parse_args()

    sections: dict[str, list] = {}
    for model in load(ROOT / 'configs/metafile.yml')['Models']:
        title = f'Table {model["Paper"]["Table"]} of the paper' if model['Paper'] else DEMO
        sections.setdefault(title, []).append(row(model))
    zoo = HEADER + ''.join(
        f'\n## {title}\n\n{markdown(rows, COLUMNS)}' for title, rows in sections.items()
    )
    papers = [rows for title, rows in sections.items() if title != DEMO]
    short = markdown([r[:8] for rows in papers for r in rows], COLUMNS[:8])
    readme = Path(ROOT, 'README.md').read_text(encoding='utf-8')
    files = {'model_zoo.md': zoo, 'README.md': README_TABLE.sub(lambda _: short, readme)}
    for name, text in files.items():
        path = Path(ROOT, name)
        if not args.check:
            path.write_text(text, encoding='utf-8')
        elif not path.exists() or path.read_text(encoding='utf-8') != text:
            raise SystemExit(f'error: {name} is not what tools/model_zoo.py generates; run it')


if __name__ == '__main__':
    main()
