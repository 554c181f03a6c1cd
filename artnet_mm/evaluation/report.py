"""Measured figures beside the paper's, from the catalogue and dumped scores."""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.fileio import load

from ..selections import OFFICIAL_SPLITS, select
from ..version import ROOT
from .fusion import WEIGHTS, WEIGHTS_NOTE, Scores, accuracy, fuse, read_scores

FIGURES = {'Top 1': 'top1', 'Top 5': 'top5', 'Avg': 'avg'}
"""The catalogue's names of figures, and those of ``VideoAccuracy``."""
LABELS = {'Top 1': 'top-1', 'Top 5': 'top-5', 'Avg': 'Avg', 'Test Avg': 'test Avg'}
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
    'Motion': (
        'Something-Something V2, Diving48 and Jester, where motion decides',
        FIGURES,
        'The paper has no figures on them. Nothing is mirrored where classes name left and right.',
    ),
    'MMAction2': (
        "MMAction2's own networks under this data and protocol",
        FIGURES,
        "The paper quotes other people's figures, of other variants.",
    ),
    'Rivals': (
        "The paper's rivals, with inputs of their own, under this data and recipe",
        FIGURES,
        'Table 5 quotes, of their authors: C3D with BN 67.8 and I3D 78.2, test Avg; TSN 77.8, '
        f'Avg. {WEIGHTS_NOTE}',
    ),
    'Released': (
        "The authors' released networks",
        FIGURES,
        'Their projection shortcuts are 3 x 3 x 3 convolutions, those of the paper 1 x 1 x 1.',
    ),
    'Beyond': (
        'Beyond the paper, under its data and protocol',
        FIGURES,
        'All but those with attention or LSTM have bounded responses (docs/study.md).',
    ),
    'Demo': ('The demo: 100 motion clips', FIGURES, ''),
}
"""What the catalogue calls tables: the paper's by number, and others."""
VARIANT = re.compile('^variant = ', re.MULTILINE)
OTHER_VIEWS = re.compile('^other_views = (.*)', re.MULTILINE)
PART = '* On part of the videos: such figures compare with no others.'


class Section(NamedTuple):
    """A table of experiments, models and fusions as the catalogue describes them."""

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
        paper = {'Reported': 'Paper'} if self.experiments[0]['Reported'] else {}
        return {**paper, 'Measured': 'Measured'}

    def columns(self) -> list[str]:
        """Headings of the figures."""
        return [f'{name} {LABELS[key]}' for name in self.sources.values() for key in self.figures]

    def cells(self, experiment: dict) -> list[str]:
        """Figures in percent, blank where there is none."""
        found = [experiment[source].get(key) for source in self.sources for key in self.figures]
        return ['' if figure is None else f'{figure:.1f}' for figure in found]

    def measured(self) -> 'Section':
        """The experiments of which the figure to compare by was measured."""
        found = [e for e in self.experiments if self.main in e['Measured']]
        return self._replace(experiments=found)

    def comparison(self) -> tuple[list[str], list[list[str]]]:
        """Columns and rows of the report: with the difference and the number of videos."""
        key, compared = self.main, 'Reported' in self.sources
        difference = [f'Difference in {LABELS[key]}'] if compared else []
        rows = []
        for experiment in self.experiments:
            paper, metrics = experiment['Reported'], experiment['Measured']
            row = [f'{experiment["Title"]}, {experiment["Modality"]}', *self.cells(experiment)]
            if compared:  # of what is printed, so that the row agrees with itself
                row += [f'{round(metrics[key], 1) - paper[key]:+.1f}' if key in metrics else '']
            rows.append([*row, metrics.get('Videos', ''), metrics.get('List', '')])
        return ['Model', *self.columns(), *difference, 'Videos', 'List'], rows


def metafiles() -> dict[Path, dict]:
    """Files of the catalogue, one a family of models, that ``model-index.yml`` names."""
    index = load(ROOT / 'model-index.yml')
    return {ROOT / name: load(ROOT / name) for name in index['Import']}


def read_catalogue() -> list[dict]:
    """Models of all metafiles, and each fusion after its last stream."""
    experiments = []
    for metafile in metafiles().values():
        for model in metafile['Models']:
            fusions = metafile.get('Fusions', ())
            experiments += [model, *(f for f in fusions if f['Streams'][-1] == model['Name'])]
    return experiments


def sections_of(experiments: Iterable[dict]) -> list[Section]:
    """The tables, in order; an experiment stands in each that lists it."""
    members: dict[object, list[dict]] = {place: [] for place in SECTIONS}
    for experiment in experiments:
        for place in experiment['Tables']:
            members[place].append(experiment)
    return [Section(*SECTIONS[place], members[place]) for place in SECTIONS if members[place]]


def markdown(rows: Iterable[list[str]], columns: list[str]) -> str:
    """A table in GitHub's markdown."""
    lines = [columns, ['---'] * len(columns), *rows]
    return ''.join(f'| {" | ".join(line)} |\n' for line in lines)


def find_dumps(
    work_dirs: Iterable[Path], names: Collection[str]
) -> tuple[dict[tuple[str, str], Path], list[str]]:
    """Dumped scores of finished tests, wherever they lie in some folders.

    A work dir is one of an experiment by its own name, or by the config that
    MMEngine keeps in it, unless that is of another size of views or length of clips.

    Args:
        work_dirs (Iterable[Path]): Work dirs, or folders of them.
        names (Collection[str]): Of the experiments to look for.

    Returns:
        tuple[dict, list[str]]: By experiment, and '', 'split1' to 'split3', or 'test'; and
        remarks: which are of other views than their config tests, and which are left out, as
        their folder keeps the configs of two experiments, or as there are two of one.

    Raises:
        FileNotFoundError: If a folder does not exist.
    """
    every: dict[tuple[str, str], list[Path]] = {}
    remarks = []
    for root in work_dirs:
        if not root.is_dir():
            raise FileNotFoundError(f'folder {root} does not exist')
        for dump in sorted(root.resolve().rglob('*scores.pkl')):
            folder, kind = dump.parent, {'scores.pkl': '', 'test_scores.pkl': 'test'}.get(dump.name)
            if folder.name in {f'split{split}' for split in OFFICIAL_SPLITS} and kind == '':
                kind = folder.name
            owner = folder.parent if kind and kind in folder.name else folder
            kept = sorted(folder.glob('*.py'))
            owners = {name for name in (path.stem for path in kept) if name in names}
            owners = {owner.name} if owner.name in names else owners
            if not owners or kind is None:
                continue
            text = '\n'.join(path.read_text(encoding='utf-8') for path in kept)
            if VARIANT.search(text):
                continue
            if len(owners) > 1:
                of = ' and '.join(sorted(owners))
                remarks.append(f'{dump} is left out: its folder keeps the configs of {of}')
                continue
            if others := OTHER_VIEWS.search(text):
                remarks.append(f'{dump} is of other views than its config tests: {others[1]}')
            if dump not in (dumps := every.setdefault((owners.pop(), kind), [])):
                dumps.append(dump)
    for (name, _), dumps in every.items():
        if len(dumps) > 1:
            of = ' and '.join(map(str, dumps))
            remarks.append(f'{name} is left out: {of} are both of it; name one work dir')
    return {key: dumps[0] for key, dumps in every.items() if len(dumps) == 1}, remarks


def list_hash(scores: Iterable[Scores]) -> str:
    """First 8 hex digits of the SHA-256 of the videos and labels that were evaluated."""
    lines = [f'{video} {label}\n' for part in scores for video, (_, label) in part.items()]
    return hashlib.sha256(''.join(sorted(lines)).encode()).hexdigest()[:8]


def _config(name: str, split: str | None = None) -> Config:
    return select(Config.fromfile(ROOT / f'configs/{name}.py'), split)


def _read(dump: Path, cfg: Config) -> Scores:
    scores = read_scores(dump)
    classes, expected = len(next(iter(scores.values()))[0]), cfg.model.cls_head.num_classes
    if classes != expected:
        raise ValueError(
            f'{dump} has scores of {classes} classes, but {Path(cfg.filename).name} has '
            f'{expected}: it is the dump of another experiment'
        )
    return scores


def measure(experiment: dict, found: Mapping[tuple[str, str], Path]) -> dict:
    """Figures of an experiment; for UCF101 and HMDB51 the mean of their three splits.

    Only configs whose dumps exist are read.

    Args:
        experiment (dict): Of :func:`read_catalogue`.
        found (dict): The dumps of :func:`find_dumps`.

    Returns:
        dict: Percentages by the catalogue's names; in ``Videos`` how many of how many
        were evaluated, marked where these are a part; in ``List`` their hash. Blank
        without dumps; no mean where a split is missing.

    Raises:
        ValueError: If a dump cannot be read, or is one of another experiment.
    """
    names = experiment.get('Streams') or [experiment['Name']]
    splits = OFFICIAL_SPLITS if experiment['Tables'] == [6] else (None,)
    results, fusions, expected = [], [], 0
    metrics: dict[str, Any] = {}
    for split in splits:
        kind = f'split{split}' if split else ''
        if any((name, kind) not in found for name in names):
            continue
        configs = {name: _config(name, split) for name in names}
        dumps = {name: found[name, kind] for name in names}
        streams = {str(dump): _read(dump, configs[name]) for name, dump in dumps.items()}
        # Videos that a stream lacks are left out, and show in the number of videos.
        fusions.append(fuse(streams, WEIGHTS[: len(streams)], allow_missing=True))
        results.append(accuracy(fusions[-1]))
        expected += configs[names[0]].test_evaluator.get('num_videos') or len(fusions[-1])
    if 0 < len(results) < len(splits):
        metrics['Videos'] = f'{len(results)} of {len(splits)} splits'
    elif results:
        evaluated = sum(result.get('evaluated', 0) for result in results)
        metrics['Part'] = evaluated != expected
        metrics['Videos'] = f'{evaluated} of {expected}{"*" * metrics["Part"]}'
        metrics['List'] = list_hash(fusions)
        for name, key in FIGURES.items():
            if all(results):
                metrics[name] = 100 * sum(result[key] for result in results) / len(results)
    test = found.get((names[0], 'test'))
    if 'Test Avg' in experiment['Reported'] and test:
        if figures := accuracy(_read(test, _config(names[0]))):
            metrics['Test Avg'] = 100 * figures['avg']
    return metrics


def measured_sections(work_dirs: Iterable[Path]) -> tuple[list[Section], list[str]]:
    """The tables with what was measured in ``work_dirs``, the demo only where it was; and remarks
    on what is in none."""
    experiments = read_catalogue()
    found, remarks = find_dumps(work_dirs, {e['Name'] for e in experiments if 'Name' in e})
    measured = [{**e, 'Measured': measure(e, found)} for e in experiments]
    sections = sections_of(e for e in measured if e['Measured'] or e['Tables'] != ['Demo'])
    for number, section in enumerate(sections):
        if any(e['Measured'].get('Part') for e in section.experiments):
            remark = f'{section.remark} {PART}'.strip()
            sections[number] = section._replace(remark=remark)
    return sections, remarks
