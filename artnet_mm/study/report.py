"""Report of a study: a table and a picture of its results."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ..evaluation.report import markdown, read_catalogue
from ..files import whole_file
from ..pages import renew
from .runs import Run, Study

LEARNS = 0.9
"""Share of the loss at the start below which a network has begun to learn."""

Results = dict[Run, dict]


def groups_of(study: Study) -> list[tuple[str, str]]:
    """Columns of a study, (condition, test); folds are one condition."""
    conditions = [''] if study.settings.get('folds') else list(study.settings['conditions'])
    return [(condition, test) for condition in conditions for test in study.settings['tests']]


def of_row(study: Study, results: Results, row: str, condition: str) -> list[dict]:
    """Results of a row under a condition, or under all of them where these are folds."""
    folds = study.settings.get('folds')
    runs = [run for run in results if run.row == row and (folds or run.condition == condition)]
    return [results[run] for run in sorted(runs)]


def start_of(result: dict) -> float:
    """Iterations until the training loss fell below ``LEARNS`` of what it was at first."""
    curve = result['training']
    reached = [step for step, loss in curve if loss < LEARNS * curve[0][1]]
    return reached[0] if reached else np.inf


def moments(values: list[float]) -> tuple[float, float]:
    """Mean and standard deviation, which is 0 of one value."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def mean_and_spread(values: Iterable[float]) -> str:
    """Mean and standard deviation; of one value that value, of none nothing."""
    values = list(values)
    if not values:
        return ''
    mean, spread = moments(values)
    return f'{mean:.1f} ± {spread:.1f}' if len(values) > 1 else f'{mean:.1f}'


def table(study: Study, results: Results) -> str:
    """Rows of the study with the paper's figure, cost, top-1 and start of learning."""
    reported = {e['Name']: e['Reported'].get('Top 1') for e in read_catalogue() if 'Name' in e}
    groups, rows = groups_of(study), []
    for row, overrides in study.settings['rows'].items():
        found = [result for run, result in results.items() if run.row == row]
        cost = ['', ''] if not found else [
            f'{found[0]["parameters"] / 1e3:.0f}', f'{found[0]["flops"] / 1e6:.1f}'
        ]  # fmt: skip
        cells = []
        for condition, test in groups:
            here = of_row(study, results, row, condition)
            cells.append(mean_and_spread(100 * result['tests'][test]['top1'] for result in here))
        starts = [start_of(result) for result in found]
        start = np.median(starts) if starts else np.nan
        late = '' if np.isnan(start) else 'never' if np.isinf(start) else f'{start:.0f}'
        runs = str(len(found))
        paper = reported.get(overrides.get('paper'))
        rows.append([row, '' if paper is None else f'{paper:.1f}', *cost, *cells, late, runs])
    labels = [', '.join(filter(None, group)) for group in groups]
    heads = ['Network', 'Paper, Kinetics-400 top-1', 'Params (K)', 'Multiply-adds (M)']
    return markdown(rows, [*heads, *labels, 'Learns from iteration', 'Runs'])


def draw(study: Study, results: Results) -> Figure:
    """Training losses of every row, and top-1 of every run with the mean of each row."""
    rows = [row for row in study.settings['rows'] if any(run.row == row for run in results)]
    figure = Figure(figsize=(12, 1.5 + 0.35 * max(len(rows), 8)), layout='constrained')
    losses, accuracies = figure.subplots(1, 2)
    groups = groups_of(study)
    measured = [c for c, _ in groups if any(of_row(study, results, row, c) for row in rows)]
    line = '-' if len({condition for condition, _ in groups}) > 1 else 'none'  # tests have no order
    colors = [f'C{n}' if n < 10 else ['black', 'gold', 'navy', 'lime'][n - 10] for n in range(14)]
    for place, row in enumerate(rows):
        color = colors[place % len(colors)]
        here = of_row(study, results, row, measured[-1])
        if here:
            steps = [step for step, _ in here[0]['training']]
            mean = np.mean([[loss for _, loss in result['training']] for result in here], axis=0)
            losses.plot(steps, mean, color=color, label=row)
        points = [
            [100 * r['tests'][test]['top1'] for r in of_row(study, results, row, condition)]
            for condition, test in groups
        ]
        if len(groups) > 1:
            shift = 0.6 * (place + 0.5) / len(rows) - 0.3  # beside the other rows
            shown = [(x + shift, *moments(values)) for x, values in enumerate(points) if values]
            x, means, spreads = zip(*shown)
            accuracies.errorbar(
                x, means, spreads, fmt='o', linestyle=line, linewidth=1, color=color, markersize=4
            )
        else:
            accuracies.barh(row, np.mean(points[0]), color=color, alpha=0.5)
            accuracies.plot(points[0], [row] * len(points[0]), '.', color=color)
    losses.set(xlabel='iteration', ylabel='training loss, mean of the runs')
    losses.set_title(measured[-1], fontsize=9, loc='left')
    losses.legend(fontsize=7)
    if len(groups) > 1:
        names = [', '.join(filter(None, group)) for group in groups]
        accuracies.set_xticks(range(len(groups)), names, fontsize=8, rotation=15, ha='right')
        accuracies.set(ylabel='top-1 (%), mean and standard deviation of the runs')
    else:
        accuracies.invert_yaxis()
        accuracies.set(xlabel=f'top-1 (%), {groups[0][1]}')
    for axes in (losses, accuracies):
        axes.grid(alpha=0.3)
    return figure


def write_report(studies: list[Study], page: Path) -> None:
    """Put tables and pictures of studies into a page, in place of those of earlier results.

    A table is the block ``study: NAME`` of the page, the picture ``<page>_<NAME>.png``.
    """
    for study in studies:
        name, results = study.config.stem, study.read()
        written = f'### {study.settings["title"]}\n\n{table(study, results)}'
        if len({run.row for run in results}) > 1:  # there is something to compare
            picture = page.with_name(f'{page.stem}_{name}.png')
            with whole_file(picture) as place:
                draw(study, results).savefig(place, dpi=100)
            written += f'\n![Losses and accuracies]({picture.name})\n'
        renew(page, f'study: {name}', written)
