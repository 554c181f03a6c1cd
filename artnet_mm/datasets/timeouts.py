"""Limits of time for the reading of a sample."""

import threading
import time
from collections.abc import Callable
from concurrent import futures
from typing import Any

_thread = threading.local()


def call_within(seconds: float, function: Callable, *args: object) -> Any:
    """Call a function in a thread of its own, and leave it behind when it hangs.

    The thread ends at its next step (:func:`time_check`); what waits for a disk or a pipe cannot be
    interrupted, and waits on.

    Raises:
        TimeoutError: If it takes longer than ``seconds``.
    """
    future: futures.Future = futures.Future()

    def run() -> None:
        _thread.limit, _thread.seconds = time.monotonic() + seconds, seconds
        try:
            future.set_result(function(*args))
        except Exception as error:  # handed to the caller
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        return future.result(timeout=seconds)
    except futures.TimeoutError:  # a class of its own in Python 3.10
        if future.done():  # its own, or done at the last moment
            return future.result()
        raise _over(seconds) from None


def time_check() -> Callable[[], None]:
    """A function to be called between the steps of long work, that ends it in time.

    Made in the thread of the work; under :func:`call_within` it raises TimeoutError once the
    time is over, and elsewhere never.
    """
    limit = getattr(_thread, 'limit', float('inf'))

    def check() -> None:
        if time.monotonic() > limit:
            raise _over(_thread.seconds)

    return check


def _over(seconds: float) -> TimeoutError:
    return TimeoutError(f'it took longer than {seconds:g} s')
