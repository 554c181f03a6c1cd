"""Samples whose randomness depends on their position in a run, and on nothing before them."""

import random
from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch
from mmaction.registry import DATA_SAMPLERS
from mmengine.dataset import InfiniteSampler


def seed_of(*numbers: int) -> int:
    """A seed of 32 bits that depends on every one of some numbers from 0 on."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def seed_all(seed: int) -> None:
    """Seed the global generators of Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


class SeededIndex(int):
    """Index of a sample with the seed of what is random in it.

    The wrappers ``RepeatDataset`` and ``ConcatDataset`` take a remainder and a
    difference of it: both keep the seed.
    """

    seed: int

    def __new__(cls, index: int, seed: int) -> 'SeededIndex':
        self = super().__new__(cls, index)
        self.seed = seed
        return self

    def __getnewargs__(self) -> tuple[int, int]:
        return int(self), self.seed

    def __mod__(self, other: int) -> 'SeededIndex':
        return SeededIndex(int(self) % other, self.seed)

    def __sub__(self, other: int) -> 'SeededIndex':
        return SeededIndex(int(self) - other, self.seed)


@DATA_SAMPLERS.register_module()
class RestartableSampler(InfiniteSampler):
    """Stock ``InfiniteSampler`` that starts anywhere, of seeded indices.

    Attributes:
        start (int): Samples of all processes to leave out.
    """

    start = 0

    def __iter__(self) -> Iterator[SeededIndex]:
        """Indices of this process, of the samples from ``start`` on."""
        order = enumerate(self._infinite_indices())
        for position, index in islice(order, self.start + self.rank, None, self.world_size):
            yield SeededIndex(index, seed_of(self.seed, 0, position))
