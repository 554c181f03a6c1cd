"""Files that are there as a whole or not at all, and their hashes."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path


def aside(path: str | Path) -> Path:
    """Temporary path next to ``path``; it keeps the suffix, by which writers choose the format."""
    path = Path(path)
    return path.with_name(f'unfinished_{path.name}')


def sync(path: Path) -> None:
    """Have the disk hold a file, or the files of a folder: a crash then leaves no empty one."""
    for place in path.iterdir() if path.is_dir() else [path]:
        with place.open('rb') as file:
            os.fsync(file.fileno())


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
        sync(place)  # before it gets its name
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


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """A folder that this process alone writes to until the block, or the process, ends.

    Blocks of one process do not exclude each other, and are not to be nested.

    Raises:
        ValueError: If another process does.
    """
    with ExitStack() as held:
        with suppress(OSError):  # what writes there says why, and some file systems know no locks
            folder.mkdir(parents=True, exist_ok=True)
            lock = held.enter_context((folder / '.lock').open('w'))
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # forked workers do not have it
            except (BlockingIOError, PermissionError):
                raise ValueError(f'another run is writing to {folder}') from None
        yield


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex digits."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def identity_of(path: str | Path) -> tuple:
    """What tells a file from others, and from itself after a change."""
    stat = os.stat(path)
    return os.path.realpath(path), stat.st_size, stat.st_mtime_ns
