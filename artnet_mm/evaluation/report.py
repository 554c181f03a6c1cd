"""Measured figures beside the paper's, from ``configs/metafile.yml`` and dumped scores."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config

from .. import ROOT
from .fusion import WEIGHTS, WEIGHTS_NOTE, Scores, accuracy, fuse, read_scores

FIGURES = {'Top 1': 'top1', 'Top 5': 'top5', 'Avg': 'avg'}
"""The metafile's names of figures, and those of ``VideoAccuracy``."""
LABELS = {'Top 1': 'top-1', 'Top 5': 'top-5', 'Avg': 'Avg', 'Test Avg': 'test Avg'}
SPLITS = (1, 2, 3)
SECTIONS = {  # title, figures that the table has, remark
    2: ('Table 2: building blocks, Kinetics-400 validation', FIGURES, ''),
    3: ('Table 3: two streams, Kinetics-400 validation', FIGURES, WEIGHTS_NOTE),
    4: ('Table 4: with and without TSN, Kinetics-400 validation', FIGURES, WEIGHTS_NOTE),
    5: (
        'Table 5: Kinetics-400 validation and test',
        ('Avg', 'Test Avg'),
        "The labels of Kinetics' test videos are not public.",
    ),
    6: ('Table 6: UCF101 and HMDB51, mean of three splits', ('Top 1',), ''),
    'MMAction2': (
        "MMAction2's own networks under this data and protocol",
        FIGURES,
        "The paper quotes other people's figures, of other variants.",
    ),
    'Released': (
        "The authors' released networks",
        FIGURES,
        'Their projection shortcuts are 3 x 3 x 3 convolutions, those of the paper 1 x 1 x 1.',
    ),
    'ARTNet': ('The demo: 100 motion clips of artnet_mm.datasets.synthetic', FIGURES, ''),
}
"""By table of the paper; by collection of the metafile for what is in no table."""


class Section(NamedTuple):
    """A table of experiments, models and fusions as the metafile describes them."""

    title: str
    figures: Iterable[str]
    remark: str
    experiments: list[dict]

    @property
    def main(self) -> str:
        """The figure to compare by."""
        return 'Avg' if 'Avg' in self.figures else 'Top 1'

    @property
    def sources(self) -> dict[str, str]:
        """Where figures stand in an experiment, and what their columns are called."""
        paper = {'Paper': 'Paper'} if self.experiments[0]['Paper'] else {}
        return {**paper, 'Metrics': 'Measured'}

    def columns(self) -> list[str]:
        """Headings of the figures."""
        return [f'{name} {LABELS[key]}' for name in self.sources.values() for key in self.figures]

    def cells(self, experiment: dict) -> list[str]:
        """Figures in percent, blank where there is none."""
        found = [experiment[source].get(key) for source in self.sources for key in self.figures]
        return ['' if figure is None else f'{figure:.1f}' for figure in found]

    def measured(self) -> 'Section':
        """The experiments of which the figure to compare by was measured."""
        found = [e for e in self.experiments if self.main in e['Metrics']]
        return self._replace(experiments=found)

    def comparison(self) -> tuple[list[str], list[list[str]]]:
        """Columns and rows of the report: with the difference and the number of videos."""
        key, compared = self.main, 'Paper' in self.sources
        difference = [f'Difference in {LABELS[key]}'] if compared else []
        rows = []
        for experiment in self.experiments:
            paper, metrics = experiment['Paper'], experiment['Metrics']
            row = [f'{experiment["Title"]}, {experiment["Modality"]}', *self.cells(experiment)]
            if compared:  # of what is printed, so that the row agrees with itself
                row += [f'{round(metrics[key], 1) - paper[key]:+.1f}' if key in metrics else '']
            rows.append([*row, metrics.get('Videos', '')])
        return ['Model', *self.columns(), *difference, 'Videos'], rows


def experiments_of(metafile: dict) -> list[dict]:
    """Models of the metafile, and each fusion after its last stream."""
    experiments = []
    for model in metafile['Models']:
        fusions = [f for f in metafile['Fusions'] if f['Streams'][-1] == model['Name']]
        experiments += [model, *fusions]
    return experiments


def sections_of(experiments: Iterable[dict]) -> list[Section]:
    """The tables, in order; an experiment stands in each that lists it."""
    members = {place: [] for place in SECTIONS}
    for experiment in experiments:
        for place in experiment['Paper'].get('Tables') or [experiment['In Collection']]:
            members[place].append(experiment)
    return [Section(*SECTIONS[place], members[place]) for place in SECTIONS if members[place]]


def markdown(rows: Iterable[list[str]], columns: list[str]) -> str:
    """A table in GitHub's markdown."""
    lines = [columns, ['---'] * len(columns), *rows]
    return ''.join(f'| {" | ".join(line)} |\n' for line in lines)


def _config(name: str, split: int | None = None) -> Config:
    """A config; where there are several splits, the environment chooses one."""
    before = os.environ.get('SPLIT')
    os.environ['SPLIT'] = str(split)
    try:
        return Config.fromfile(ROOT / f'configs/{name}.py')
    finally:
        del os.environ['SPLIT']
        if before is not None:
            os.environ['SPLIT'] = before


def _read(dump: Path, cfg: Config) -> Scores:
    scores = read_scores(dump)
    classes, expected = len(next(iter(scores.values()))[0]), cfg.model.cls_head.num_classes
    if classes != expected:
        raise ValueError(
            f'{dump} has scores of {classes} classes, but {Path(cfg.filename).name} has '
            f'{expected}: it is the dump of another experiment'
        )
    return scores


def measure(experiment: dict, work_dirs: Path) -> dict:
    """Figures of an experiment from ``scores.pkl`` in ``work_dirs/<name>``.

    For UCF101 and HMDB51 they are the mean of ``split1`` to ``split3`` in it.
    Only configs whose dumps exist are read.

    Args:
        experiment (dict): Of :func:`experiments_of`.
        work_dirs (Path): Folder of the work dirs.

    Returns:
        dict: Percentages by the metafile's names, and in ``Videos`` how many of how
        many were evaluated. Blank without dumps; no mean where a split is missing.

    Raises:
        ValueError: If a dump cannot be read, or is one of another experiment.
    """
    names = experiment.get('Streams') or [experiment['Name']]
    splits = SPLITS if experiment['Paper'].get('Tables') == [6] else (None,)
    results, metrics, expected = [], {}, 0
    for split in splits:
        folder = f'split{split}' if split else ''
        dumps = {name: work_dirs / name / folder / 'scores.pkl' for name in names}
        if not all(dump.exists() for dump in dumps.values()):
            continue
        configs = {name: _config(name, split) for name in names}
        streams = {dump: _read(dump, configs[name]) for name, dump in dumps.items()}
        # Videos that a stream lacks are left out, and show in the number of videos.
        fused = fuse(streams, WEIGHTS[: len(streams)], allow_missing=True)
        results.append(accuracy(fused))
        expected += configs[names[0]].test_evaluator.get('num_videos') or len(fused)
    if 0 < len(results) < len(splits):
        metrics['Videos'] = f'{len(results)} of {len(splits)} splits'
    elif results:
        metrics['Videos'] = f'{sum(r.get("evaluated", 0) for r in results)} of {expected}'
        for name, key in FIGURES.items():
            if all(results):
                metrics[name] = 100 * sum(result[key] for result in results) / len(results)
    test = work_dirs / names[0] / 'test_scores.pkl'
    if 'Test Avg' in experiment['Paper'] and test.exists():
        if figures := accuracy(_read(test, _config(names[0]))):
            metrics['Test Avg'] = 100 * figures['avg']
    return metrics


def measured_sections(metafile: dict, work_dirs: Path) -> list[Section]:
    """The tables with what was measured in ``work_dirs``; the demo only where it was."""
    measured = [{**e, 'Metrics': measure(e, work_dirs)} for e in experiments_of(metafile)]
    return sections_of(
        e for e in measured if e['Paper'] or e['Metrics'] or e['In Collection'] != 'ARTNet'
    )
