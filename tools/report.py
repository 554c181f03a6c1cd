"""Print what was measured beside what the paper reports: report.py [WORK_DIR...] [--out-dir DIR]

Reads every scores.pkl that tools/test.py --dump has left in work dirs (in split1 to split3
of them for UCF101 and HMDB51), or folders of work dirs.
"""

import argparse
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('work_dirs', nargs='*', type=Path, metavar='WORK_DIR')
    parser.add_argument('--out-dir', type=Path, help='folder for report.md and report.png')
    return parser.parse_args()


if __name__ == '__main__':
    ARGS = parse_args()  # before the imports below, which take seconds


from artnet_mm.evaluation.report import LABELS, Section, markdown, measured_sections
from artnet_mm.files import whole_file, write_whole

from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch
from mmengine.logging import MMLogger
from rich import box
from rich.console import Console
from rich.table import Table

COLORS = {'Reported': 'tab:gray', 'Measured': 'tab:blue'}
HEADER = '# Measured beside the paper\n\nWritten by `tools/report.py`; figures in percent.\n'


def draw(sections: list[Section]) -> Figure:
    """Bars of the figure that each table compares by, of what was measured."""
    rows = [len(section.experiments) for section in sections]
    height = 0.4 * sum(rows) + 0.75 * len(rows) + 0.4
    figure = Figure(figsize=(9, height), layout=ConstrainedLayoutEngine(h_pad=0.1))
    grid = figure.subplots(len(rows), squeeze=False, height_ratios=rows)
    for axes, section in zip(grid[:, 0], sections):
        thickness = 0.76 / len(section.sources)
        for number, source in enumerate(section.sources):
            first = (number + 0.5) * thickness - 0.38
            bars = axes.barh(
                [first + row for row in range(len(section.experiments))],
                [experiment[source][section.main] for experiment in section.experiments],
                height=min(thickness, 0.5),
                color=COLORS[source],
            )
            axes.bar_label(bars, fmt='%.1f', padding=3, fontsize=8)
            for bar, experiment in zip(bars, section.experiments):
                if source == 'Measured' and experiment[source].get('Part'):
                    bar.set(alpha=0.5, hatch='///')  # on part of the videos
        names = [f'{e["Title"]}, {e["Modality"]}' for e in section.experiments]
        axes.set_yticks(range(len(names)), names)
        axes.set(xlim=(0, 108), ylim=(len(names) - 0.5, -0.5))
        axes.tick_params(labelsize=8)
        axes.set_title(f'{section.title}: {LABELS[section.main]} (%)', loc='left', fontsize=9)
        axes.spines[['top', 'right']].set_visible(False)
    handles = [
        Patch(color=color, label=label)
        for label, color in zip(('paper', 'measured'), COLORS.values())
    ]
    part = Patch(facecolor=COLORS['Measured'], alpha=0.5, hatch='///')
    part.set_label('measured on part of the videos')
    handles.append(part)
    figure.legend(handles=handles, loc='outside upper right', ncols=3, fontsize=8)
    return figure


def main(args: argparse.Namespace) -> None:
    args.work_dirs = args.work_dirs or [Path('work_dirs')]
    MMLogger.get_current_instance().setLevel('WARNING')  # not which split a config is read for
    try:
        if args.out_dir:
            args.out_dir.mkdir(parents=True, exist_ok=True)
        sections, remarks = measured_sections(args.work_dirs)
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from None

    console = Console(highlight=False)
    console.width = max(console.width, 128)  # what the widest table needs
    text = HEADER
    for section in sections:
        columns, rows = section.comparison()
        headings = [column.replace(' ', '\n', 1) for column in columns]
        table = Table(*headings, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        for row in rows:
            table.add_row(*row)
        console.print(section.title, table, f'{section.remark}\n' if section.remark else '')
        text += f'\n## {section.title}\n\n{markdown(rows, columns)}'
        text += f'\n{section.remark}\n' if section.remark else ''
    for remark in remarks:
        console.print(remark, soft_wrap=True)
    text += ''.join(f'\n{remark}\n' for remark in remarks)
    shown = [section.measured() for section in sections]
    shown = [section for section in shown if section.experiments]
    if not shown:
        places = ', '.join(map(str, args.work_dirs))
        print(f'nothing was measured yet: no scores.pkl of an experiment under {places}')
    if not args.out_dir:
        return
    if shown:
        with whole_file(args.out_dir / 'report.png') as place:
            draw(shown).savefig(place, dpi=120)
        text += '\n![Bars of the figures](report.png)\n'
    write_whole(args.out_dir / 'report.md', text)


if __name__ == '__main__':
    main(ARGS)
