"""Studies: tables of runs over ordinary configs, and the page that says what they found."""

from .runs import Run, Study, carry_out, choose, prepare

__all__ = ['Run', 'Study', 'carry_out', 'choose', 'prepare']
