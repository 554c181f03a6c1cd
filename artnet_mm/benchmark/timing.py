"""What is compared alternates in one process; ratios are medians over the rounds."""

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import numpy as np
import torch

CUDA = torch.cuda.is_available()


def alternate(actions: Mapping[Any, Callable], rounds: int) -> dict[Any, list[float]]:
    """Seconds of every action in every round, after one round to warm up."""
    seconds: dict[Any, list[float]] = {name: [] for name in actions}
    for number in range(rounds + 1):
        for name, action in actions.items():
            np.random.seed(number)  # the same clips for all
            start = time.perf_counter()
            action()
            if CUDA:
                torch.cuda.synchronize()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(seconds: Mapping[Any, list[float]], name: Any, base: Any) -> str:
    return f'{median(a / b for a, b in zip(seconds[name], seconds[base])):.2f}'
