"""Findings: what the checks say of a run before it starts, and the list of all checks.

A check is one function with :func:`check` over it. It gets a :class:`CheckedRun` (and, where it is
made of each data loader, the key of that), and returns what it found in a few words, or raises
:class:`Doubtful`, or any exception where the run cannot work.
"""

import io
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from mmengine.config import Config

if TYPE_CHECKING:
    from mmengine.runner import Runner


class Status(Enum):
    """How a check ended."""

    OK = 'ok'
    DOUBTFUL = 'doubtful'
    WRONG = 'wrong'


class Doubtful(Exception):
    """What need not be wrong, and should be looked at."""


class Finding(NamedTuple):
    """What a check found."""

    subject: str
    status: Status
    message: str
    seconds: float


@dataclass
class CheckedRun:
    """A run as its checks see it, and what earlier checks leave for later ones.

    Args:
        cfg (Config): Config of the run, complete.
        loaders (list[str]): Keys of the data loaders that it will use.
    """

    cfg: Config
    loaders: list[str]
    samples: dict[str, list[dict]] = field(default_factory=dict)
    """A few samples of each data loader's data set."""
    indices: dict[str, list[list[int]]] = field(default_factory=dict)
    """Places of a few samples in each list of a data loader."""
    scratch: str = ''
    """Folder for the checks, which is thrown away."""
    runner: 'Runner | None' = None
    """The trial run, once it is built."""
    left_out: set[str] = field(default_factory=set)
    """Data loaders that the trial run has not."""
    wrong: bool = False
    """Whether a check has found something wrong."""

    @property
    def cuda(self) -> bool:
        """Whether there is a GPU."""
        return torch.cuda.is_available()

    def trial(self, loader: str = '') -> 'Runner':
        """The Runner of the trial run.

        Raises:
            Doubtful: If an earlier check was wrong, or the run is without that data loader.
        """
        if self.runner is None or self.wrong:
            raise Doubtful('not tried before that is mended')
        if loader in self.left_out:
            raise Doubtful('not tried: of this kind of data set no few samples can be taken')
        return self.runner


class Check(NamedTuple):
    """A check, its subject, and the data loaders and the setting it is for."""

    function: Callable[..., str]
    subject: str
    loader: str | None
    each_loader: bool
    setting: str | None


CHECKS: list[Check] = []
"""All checks, in the order in which they are made."""


def check(
    subject: str, loader: str | None = None, each_loader: bool = False, setting: str | None = None
) -> Callable:
    """Decorator that adds a check.

    Args:
        subject (str): What it looks at; with ``each_loader`` a ``{}`` in it is the loader's key.
        loader (str, optional): Data loader without which it is left out.
        each_loader (bool): Whether it is made of each data loader. Defaults to False.
        setting (str, optional): Key of the config; where that is not set it is left out.
    """

    def add(function: Callable[..., str]) -> Callable[..., str]:
        CHECKS.append(Check(function, subject, loader, each_loader, setting))
        return function

    return add


def in_words(error: Exception) -> str:
    """An error in words; its kind where the words do not say enough."""
    kind = '' if isinstance(error, OSError | ValueError) else type(error).__name__
    return ': '.join(filter(None, (kind, str(error))))


def findings(cfg: Config, loaders: tuple[str, ...]) -> Iterator[Finding]:
    """Make all checks of a run, once and in seconds; nothing of it is written.

    Args:
        cfg (Config): Config of the run, complete.
        loaders (tuple[str, ...]): Keys of the data loaders it will use.

    Yields:
        Finding: One after the other.
    """
    run = CheckedRun(cfg, [key for key in loaders if cfg.get(key)])
    with tempfile.TemporaryDirectory() as run.scratch:
        for check in CHECKS:
            if check.loader and check.loader not in run.loaders:
                continue
            if check.setting and not cfg.get(check.setting):
                continue
            for key in run.loaders if check.each_loader else ['']:
                arguments = (run, key) if check.each_loader else (run,)
                start, status = time.monotonic(), Status.OK
                try:
                    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
                        warnings.simplefilter('ignore')
                        message = check.function(*arguments)
                except Doubtful as doubt:
                    status, message = Status.DOUBTFUL, str(doubt)
                except Exception as error:  # whatever a config can lead to
                    status, message = Status.WRONG, in_words(error)
                run.wrong |= status is Status.WRONG
                yield Finding(check.subject.format(key), status, message, time.monotonic() - start)


def arrays(value: object) -> Iterator[torch.Tensor | np.ndarray]:
    """Arrays in a sample, which it sends through shared memory."""
    if isinstance(value, torch.Tensor | np.ndarray):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from arrays(inner)
    elif isinstance(value, list):  # the clips of a video
        for inner in value:
            yield from arrays(inner)
