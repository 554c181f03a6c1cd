"""Samples that cannot be read: counted over the workers of a data loader."""

import logging

import torch
from mmengine.dist import all_reduce
from mmengine.logging import print_log
from torch.utils.data import get_worker_info

AT_LEAST = 1000  # samples: of fewer, that many are taken for the share
WRITERS = 1024  # processes that count, each in a row of its own: additions of two may get lost


def _writer() -> int:
    worker = get_worker_info()
    return 0 if worker is None else 1 + worker.id % (WRITERS - 1)


class BrokenSamples:
    """How many samples of a training run were drawn and could not be read, and which.

    The counts lie in shared memory: all workers forked from one process have the same.

    Args:
        size (int): Samples of the data set.
        max_share (float): Of the drawn samples, of which more must not fail.
    """

    def __init__(self, size: int, max_share: float) -> None:
        self.max_share = max_share
        self._counts = torch.zeros((WRITERS, 2), dtype=torch.int64).share_memory_()
        self._named = torch.zeros(size, dtype=torch.bool).share_memory_()
        self._hung = self._named.clone().share_memory_()

    @property
    def drawn(self) -> int:
        """Samples drawn so far."""
        return int(self._counts[:, 0].sum())

    @property
    def failed(self) -> int:
        """Those that could not be read."""
        return int(self._counts[:, 1].sum())

    def draw(self) -> None:
        """Count a sample."""
        self._counts[_writer(), 0] += 1

    def has_hung(self, index: int) -> bool:
        """Whether a sample once took too long, and is not to be tried again."""
        return bool(self._hung[index])

    def fail(self, index: int, problem: str, hung: bool = False) -> None:
        """Count a sample that could not be read; its first time goes into the log.

        Args:
            index (int): Of the sample.
            problem (str): What to say of it.
            hung (bool): Whether it took too long.

        Raises:
            RuntimeError: If these are more than the share.
        """
        self._counts[_writer(), 1] += 1
        self._hung[index] |= hung
        if self.failed > self.max_share * max(self.drawn, AT_LEAST):
            raise RuntimeError(
                f'{problem}; with it {self.failed} of {self.drawn} training samples could not be '
                f'read, more than max_broken={self.max_share:g} of at least {AT_LEAST}'
            )
        if not self._named[index]:
            self._named[index] = True
            print_log(
                f'{problem}; another sample takes its place ({self.failed} of {self.drawn})',
                logger='current',
                level=logging.WARNING,
            )

    def state_dict(self) -> dict:
        """What a checkpoint keeps of them, as plain data."""
        named, hung = (flags.nonzero().flatten().tolist() for flags in (self._named, self._hung))
        return dict(size=len(self._named), counts=[self.drawn, self.failed], named=named, hung=hung)

    def load_state_dict(self, state: dict) -> None:
        """Go on from what a checkpoint kept, where it is of as many samples."""
        if state['size'] == len(self._named):
            self._counts.zero_()[0] = torch.tensor(state['counts'])
            self._named[state['named']] = True
            self._hung[state.get('hung', [])] = True  # none in checkpoints before 0.4

    def share(self) -> list[int]:
        """Tell all processes of a run, in each of them, what cannot be read.

        Returns:
            list[int]: Samples that failed in other processes only, and for the first time.

        Raises:
            RuntimeError: In all processes, if these are more than the share of all.
        """
        mine = self._named.clone()
        flags, counts = torch.stack([mine, self._hung]).to(torch.uint8), self._counts.sum(0)
        all_reduce(flags, 'max')
        all_reduce(counts)
        named, hung = flags.bool()
        self._named |= named
        self._hung |= hung
        drawn, failed = counts.tolist()
        if failed > self.max_share * max(drawn, AT_LEAST):
            raise RuntimeError(
                f'{failed} of {drawn} training samples could not be read in all processes, more '
                f'than max_broken={self.max_share:g} of at least {AT_LEAST}'
            )
        return (named & ~mine).nonzero().flatten().tolist()
