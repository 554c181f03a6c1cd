"""Work on many things in processes that may raise, crash or hang, each by itself."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Collection, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, TimeoutError, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from itertools import islice
from typing import Any

import cv2
import torch
from pebble import ProcessExpired, ProcessPool
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LOST = 'lost its process'
console = Console(highlight=False, markup=False)


def _start_worker() -> None:
    # Die at once when told to, as decoders do not return in between.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    cv2.setNumThreads(1)


def _attempt(work: Callable[[Any], Any], name: Any) -> tuple[Any, str | None]:
    """Result, and reason of failure in words: not all exceptions can be pickled."""
    try:
        return work(name), None
    except Exception as error:
        kind = '' if isinstance(error, OSError | ValueError) else f'{type(error).__name__}: '
        return None, ' '.join(f'{kind}{error}'.split())[:300]


@contextmanager
def _silence() -> Iterator[None]:
    """Take stderr from the processes that start within.

    Decoders write thousands of lines to it, and processes that are stopped
    their tracebacks.
    """
    stderr = os.dup(2)
    with open(os.devnull, 'w') as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def _outcome(future: Future, timeout: float) -> tuple[Any, str | None]:
    try:
        return future.result(timeout=0)
    except TimeoutError:
        return None, f'took longer than {timeout:g} s'
    except ProcessExpired as error:
        return None, f'crashed (exit code {error.exitcode})'
    except BrokenProcessPool:
        return None, LOST


def process(
    work: Callable[[Any], Any], names: Collection, processes: int, timeout: float
) -> Generator[tuple[Any, Any, str | None], None, None]:
    """Call a function that may raise, crash or hang for each of many names.

    Args:
        work (Callable): Function of a name, which can be pickled as its results can.
        names (Collection): What to call it with; strings or tuples.
        processes (int): Number of processes, each for one call at a time.
        timeout (float): Seconds after which a call is given up and its process ended.

    Yields:
        tuple[Any, Any, str | None]: Name, result, and None or the reason of failure,
        as they end.
    """
    # A server that forks workers: they start at once, and without the threads of this process.
    context = multiprocessing.get_context('forkserver')
    # What it imports asks for a GPU, after which forked processes cannot use one: pytorch 83973.
    context.set_forkserver_preload([] if torch.cuda.is_available() else [__name__])
    waiting = iter(names)
    running: dict[Future, Any] = {}
    pool = ProcessPool(processes, initializer=_start_worker, context=context)
    try:
        while names:
            with _silence():
                broken = not pool.active
            if broken:  # a process ended before it said what it was working on
                yield from ((name, None, LOST) for name in running.values())
                running.clear()
                pool.join()
                pool = ProcessPool(processes, initializer=_start_worker, context=context)
                continue
            # Few at a time, so that stopping takes no longer than the calls that run.
            for name in islice(waiting, 2 * processes - len(running)):
                running[pool.schedule(_attempt, [work, name], timeout=timeout)] = name
            if not running:
                break
            for future in wait(running, timeout=1, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), *_outcome(future, timeout)
    finally:
        pool.stop()
        pool.join()


def process_all(
    work: Callable[[Any], Any],
    names: Collection,
    processes: int,
    timeout: float,
    on_success: Callable[[Any, Any], object] = lambda name, result: None,
    noun: str = 'videos',
) -> tuple[dict[Any, Any], dict[Any, str]]:
    """Work on videos, or what else, as :func:`process` does, showing the progress.

    Args:
        work (Callable): Function of a name, which can be pickled as its results can.
        names (Collection): Names of the videos.
        processes (int): Number of processes.
        timeout (float): Seconds per video.
        on_success (Callable): Called with the name and the result of every video that did
            not fail.
        noun (str): What the names are of. Defaults to 'videos'.

    Returns:
        tuple[dict[Any, Any], dict[Any, str]]: Results, and reasons of failure, by name.

    Raises:
        SystemExit: On Ctrl-C and SIGTERM, with one line.
    """
    results: dict[Any, Any] = {}
    failures: dict[Any, str] = {}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    columns = [
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(noun + ', {task.fields[failed]} failed, elapsed'),
        TimeElapsedColumn(),
        TextColumn('left'),
        TimeRemainingColumn(),
    ]
    try:
        with (
            closing(process(work, names, processes, timeout)) as outcomes,
            Progress(
                *columns,
                console=console,
                disable=not console.is_terminal,
                speed_estimate_period=3600,
            ) as progress,
        ):
            bar = progress.add_task('', total=len(names), failed=0)
            for number, (name, result, reason) in enumerate(outcomes, 1):
                if reason is None:
                    results[name] = result
                    on_success(name, result)
                else:
                    failures[name] = reason
                progress.update(bar, completed=number, failed=len(failures))
                if not console.is_terminal and number * 20 % len(names) < 20:  # 20 lines
                    console.print(f'{number}/{len(names)} {noun}, {len(failures)} failed')
    except KeyboardInterrupt:
        raise SystemExit(
            f'stopped: {len(results)} of {len(names)} {noun} are finished; the same command goes on'
        ) from None
    return results, failures
