"""Files that are there as a whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def aside(path: str | Path) -> Path:
    """Where a file is written before it is whole; with its suffix, which tells writers the form."""
    path = Path(path)
    return path.with_name(f'unfinished_{path.name}')


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A place to write a file to, which is moved to ``path`` when the block ends.

    Its folder is made. If the block raises, what was there before stays.

    Args:
        path (str | Path): The file.

    Yields:
        Path: Where to write it.

    Raises:
        OSError: If it cannot be written.
    """
    place = aside(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield place
        with place.open('rb') as file:
            os.fsync(file.fileno())  # before the name: a crash leaves no empty file
        place.replace(path)
    except BaseException:
        with suppress(OSError):
            place.unlink()
        raise


def write_whole(path: str | Path, text: str) -> None:
    """Write a text in UTF-8, as a whole or not at all.

    Raises:
        OSError: If it cannot be written.
    """
    with whole_file(path) as place:
        place.write_text(text, encoding='utf-8')
