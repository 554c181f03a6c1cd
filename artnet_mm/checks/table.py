"""The findings of all checks, as a table."""

from mmengine.config import Config
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from . import trial_run
from .findings import Status, findings

COLORS = {Status.OK: 'green', Status.DOUBTFUL: 'yellow', Status.WRONG: 'red'}
console = Console(highlight=False)


def show_checks(cfg: Config, loaders: tuple[str, ...]) -> None:
    """Make all checks of a run, and show what they found.

    Args:
        cfg (Config): Config of the run, complete.
        loaders (tuple[str, ...]): Keys of the data loaders it will use.

    Raises:
        SystemExit: If something is wrong, with a line for each finding of that kind.
    """
    found = Column('found', overflow='fold')
    seconds = Column('s', justify='right')
    table = Table('', 'before the run', found, seconds, box=None, padding=(0, 2, 0, 0))
    wrong = []
    for finding in findings(cfg, loaders):
        mark = f'[{COLORS[finding.status]}]{finding.status.value}'
        message = 'see below' if finding.status is Status.WRONG else escape(finding.message)
        table.add_row(mark, finding.subject, message, f'{finding.seconds:.1f}')
        wrong += [finding] if finding.status is Status.WRONG else []
    trial_run.free_devices()
    console.print(table)
    if wrong:
        lines = '\n'.join(f'error: {finding.subject}: {finding.message}' for finding in wrong)
        raise SystemExit(lines)
