"""Samples whose randomness depends on their position in a run, and on nothing before them."""

import logging
import random
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from mmaction.registry import DATA_SAMPLERS, DATASETS
from mmengine.dataset import ClassBalancedDataset as _ClassBalancedDataset
from mmengine.dataset import ConcatDataset, InfiniteSampler, RepeatDataset
from mmengine.logging import print_log
from torch import Tensor


def seed_of(*numbers: int) -> int:
    """A seed of 32 bits that depends on every one of some numbers from 0 on."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def seed_cpu(seed: int) -> None:
    """Seed the global generators of Python, NumPy and torch, of torch the CPU's alone.

    ``torch.manual_seed`` seeds devices too, and where none is used yet it takes most of a
    millisecond to note down who asked.
    """
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)


class SeededIndex(int):
    """Index of a sample with the seed of what is random in it.

    The wrappers ``RepeatDataset`` and ``ConcatDataset`` take a remainder and a
    difference of it: both keep the seed. So does this project's
    :class:`ClassBalancedDataset`.
    """

    seed: int

    def __new__(cls, index: int, seed: int) -> 'SeededIndex':
        self = super().__new__(cls, index)
        self.seed = seed
        return self

    def __getnewargs__(self) -> Any:
        return int(self), self.seed

    def __mod__(self, other: int) -> 'SeededIndex':
        return SeededIndex(int(self) % other, self.seed)

    def __sub__(self, other: int) -> 'SeededIndex':
        return SeededIndex(int(self) - other, self.seed)


@DATASETS.register_module()
class ClassBalancedDataset(_ClassBalancedDataset):
    """MMEngine's wrapper that takes samples of rare classes more often, with their seeds.

    It takes the place of MMEngine's under the name that configs give; the stock one looks
    samples up in a list of plain indices. Arguments are the stock ones.
    """

    def _get_ori_dataset_idx(self, idx: int) -> int:
        index = super()._get_ori_dataset_idx(idx)
        return SeededIndex(index, idx.seed) if isinstance(idx, SeededIndex) else index


def wrapped_datasets(dataset: object) -> list:
    """The data sets directly inside a wrapper such as RepeatDataset or ConcatDataset."""
    inner = [dataset.dataset] if hasattr(dataset, 'dataset') else []
    return [*inner, *getattr(dataset, 'datasets', ())]


def _losing_seeds(dataset: object) -> Iterator[str]:
    """Names of the wrappers in a data set that are not known to keep the seeds of indices."""
    inner = wrapped_datasets(dataset)
    if inner and not isinstance(dataset, (RepeatDataset, ConcatDataset, ClassBalancedDataset)):
        yield type(dataset).__name__
    for part in inner:
        yield from _losing_seeds(part)


def stratified_order(labels: Tensor, generator: torch.Generator) -> Tensor:
    """A random order of samples in which every stretch has the classes in their shares.

    The k-th of the n samples of a class, in random order, comes at a random place in
    the k-th of n equal parts.

    Args:
        labels (Tensor): Classes, (N,).
        generator (Generator): Source of everything random.

    Returns:
        Tensor: The indices 0 to N - 1, (N,).
    """
    order = torch.randperm(len(labels), generator=generator)
    places = torch.rand(len(labels), generator=generator)
    for label in labels.unique():
        members = labels[order] == label
        places[members] = (places[members] + torch.arange(members.sum())) / members.sum()
    return order[places.argsort()]


@DATA_SAMPLERS.register_module()
class RestartableSampler(InfiniteSampler):
    """Stock ``InfiniteSampler`` that starts anywhere, of seeded indices.

    Args:
        stratified (bool): Shuffle so that every batch, that of all processes together, has the
            classes in the shares that they have in the data set, as near as its size
            allows. Where a batch holds few clips of few classes, chance in its
            composition is much of the noise in the gradient. Defaults to False.
        kwargs: Arguments of ``InfiniteSampler``.

    Attributes:
        start (int): Samples of all processes to leave out.
        skipped (bool): Whether a loop has asked for that, and will ask for no seen batch.

    Raises:
        ValueError: If ``stratified`` is to go without ``shuffle``, or the data set has no
            ``get_data_info``.
    """

    start = 0
    skipped = False

    def __init__(self, *args, stratified: bool = False, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        if stratified and not self.shuffle:
            raise ValueError('a sampler that is stratified shuffles: shuffle=False contradicts it')
        self.stratified = stratified
        for name in _losing_seeds(self.dataset):
            print_log(
                f'{name} may lose the seeds of samples: unless it gives the data set in it the '
                'index that it was given, a run that goes on with --resume is another one',
                logger='current',
                level=logging.WARNING,
            )

    def _infinite_indices(self) -> Iterator[int]:
        if not self.stratified:
            yield from super()._infinite_indices()
        if not hasattr(self.dataset, 'get_data_info'):
            raise ValueError(
                f'sampler.stratified=True needs the labels of {type(self.dataset).__name__}, which '
                'has no get_data_info: set it to False'
            )
        infos = map(self.dataset.get_data_info, range(self.size))
        labels = torch.tensor([info['label'] for info in infos])
        generator = torch.Generator().manual_seed(self.seed)
        while True:
            yield from stratified_order(labels, generator).tolist()

    def skip(self, num_samples: int) -> None:
        """As the loop of onedl-mmengine asks before it iterates; ``start`` says how many."""
        self.skipped = True

    def __iter__(self) -> Iterator[SeededIndex]:
        """Indices of this process, of the samples from ``start`` on."""
        order = enumerate(self._infinite_indices())
        for position, index in islice(order, self.start + self.rank, None, self.world_size):
            yield SeededIndex(index, seed_of(self.seed, 0, position))
