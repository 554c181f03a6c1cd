"""Work on every video of annotation lists: in processes, resumable, each failure by itself."""

import argparse
import json
import os
import os.path as osp
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path, PurePath

from rich.table import Table

from ..datasets.lists import ListLine, format_line, format_list, read_list, read_text
from ..files import sole_writer, sync, write_whole
from .processes import console, process_all

SHOWN_FAILURES = 20

ListsByFile = dict[Path, list[ListLine]]


def read_lists(paths: list[Path], videos: Path, out: Path) -> ListsByFile:
    """Read lists whose results go to files of the same names in ``out``.

    Raises:
        FileNotFoundError: If a list or the folder of videos is missing.
        ValueError: If a list is malformed, or a result would overwrite a list or
            another result.
    """
    if not videos.is_dir():
        raise FileNotFoundError(f'folder of videos {videos} does not exist')
    lists = {path: read_list(path) for path in paths}
    stems: dict[str, Path] = {}
    for path in lists:
        other = stems.setdefault(path.stem, path)
        if other != path:
            raise ValueError(f'{other} and {path} would both be written to {out / path.name}')
        if (out / path.name).exists() and path.samefile(out / path.name):
            raise ValueError(f'{path} would be overwritten; give another --out-dir than {out}')
    return lists


def output_path(path: str, suffix: str) -> str:
    """Path of what is made of a video: its own with another suffix."""
    return osp.splitext(path)[0] + suffix


def unique_paths(lists: ListsByFile) -> list[str]:
    """Every video of the lists once."""
    return list(dict.fromkeys(line.path for lines in lists.values() for line in lines))


def check_output_paths(paths: list[str], suffix: str) -> None:
    """Check where results go.

    Raises:
        ValueError: If a path leads out of the folder of videos, a list cannot have a
            result, or two videos have the same result or one within the other.
    """
    sources: dict[str, str] = {}
    for path in paths:
        if osp.isabs(path) or '..' in PurePath(path).parts:
            raise ValueError(f'{path} is not a path inside the folder of videos')
        output = output_path(path, suffix)
        format_line(ListLine(output, label=0))
        other = sources.setdefault(osp.normpath(output), path)
        if other != path:
            raise ValueError(f'{other} and {path} would both be written to {output}')
    for output, path in sources.items():
        for folder in map(str, PurePath(output).parents):
            if folder in sources:
                raise ValueError(f'{path} would be written into {folder}, as {sources[folder]} is')


def write_lists(
    lists: ListsByFile,
    out: Path,
    result: Callable[[ListLine], ListLine],
    failures: dict[str, str],
    word: str,
) -> None:
    """Write each list without the failures, and ``<stem>_<word>.txt`` with them, if any.

    The names of classes beside a list come along.
    """
    for path, lines in lists.items():
        results = [result(line) for line in lines if line.path not in failures]
        write_whole(out / path.name, format_list(results))
        failed = dict.fromkeys(line.path for line in lines if line.path in failures)
        place = out / f'{path.stem}_{word}.txt'
        if failed:
            write_whole(place, ''.join(f'{name}\t{failures[name]}\n' for name in failed))
        else:
            place.unlink(missing_ok=True)
        classes = path.with_name('classes.txt')
        if classes.exists():
            write_whole(out / classes.name, read_text(classes))


def keep_settings(out: Path, folder: Path, settings: dict) -> None:
    """Keep in ``settings.json`` what the results in a folder are made with.

    Raises:
        ValueError: If those that are there were made otherwise, or by something else.
    """
    path, settings = out / 'settings.json', json.loads(json.dumps(settings))  # tuples are lists
    if not path.exists():
        other = next((p for p in folder.iterdir() if p.name[0] != '.'), None)
        if other:
            raise ValueError(
                f'{other} is there already and is not the work of this tool, which has left no '
                f'{path}: give another --out-dir'
            )
        return write_whole(path, f'{json.dumps(settings, indent=2)}\n')
    kept = json.loads(path.read_text(encoding='utf-8'))
    differing = [
        f'{key} {kept.get(key)} (now {settings.get(key)})'
        for key in {**kept, **settings}
        if kept.get(key) != settings.get(key)
    ]
    if differing:
        raise ValueError(f'{out} was made with {", ".join(differing)}: give another --out-dir')


def keep_source(folder: Path, videos: Path) -> None:
    """Keep in ``.source`` of a folder of results which folder they are made of.

    Raises:
        ValueError: If they were made of another one.
    """
    path, source = folder / '.source', osp.realpath(videos)
    kept = path.read_text(encoding='utf-8').strip() if path.exists() else source
    if kept != source:
        raise ValueError(
            f'{folder} was made of {kept} (now {source}): give another --out-dir, or delete '
            f'{path} if these are the same videos in another place'
        )
    write_whole(path, f'{source}\n')


@contextmanager
def scratch_folder(folder: Path) -> Iterator[Path]:
    """A folder for unfinished results beside the finished ones.

    Raises:
        ValueError: If another run is writing there.
    """
    with sole_writer(folder):
        scratch = Path(tempfile.mkdtemp(prefix='.part-', dir=folder))
        try:
            # Moved before they are removed: a worker that outlives its killed parent
            # can neither add to them nor finish them.
            for left in set(folder.glob('.part-*')) - {scratch}:
                left.rename(scratch / left.name)
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def report(done: int, there: int, failures: dict[str, str], seconds: float) -> None:
    """Print how a run ended.

    Raises:
        SystemExit: With exit code 1, if there are failures.
    """
    if failures:
        table = Table('video', 'reason')
        for path, reason in islice(failures.items(), SHOWN_FAILURES):
            table.add_row(path, reason)
        console.print(table)
    console.print(
        f'{done} done, {there} already there, {len(failures)} failed, in '
        f'{timedelta(seconds=round(seconds))}'
    )
    if failures:
        raise SystemExit(1)


def _make(
    work: Callable[[Path, Path], None],
    count: Callable[[Path], int] | None,
    videos: Path,
    folder: Path,
    scratch: Path,
    suffix: str,
    path: str,
) -> tuple[int | None, bool]:
    """Make a result if it is not there; its number of frames, and whether it was there."""
    result = folder / output_path(path, suffix)
    there = result.exists()
    if not there:
        with tempfile.TemporaryDirectory(dir=scratch) as unfinished:
            made = Path(unfinished, result.name)
            work(videos / path, made)
            result.parent.mkdir(parents=True, exist_ok=True)
            sync(made)
            os.replace(made, result)
    return count(result) if count else None, there


def prepare(
    args: argparse.Namespace,
    work: Callable[..., None],
    settings: dict,
    suffix: str = '',
    count: Callable[[Path], int] | None = None,
    names: list[str] | None = None,
) -> None:
    """Make something of every video, in a data root shaped like that of the videos.

    Args:
        args (Namespace): ``lists``, ``videos``, ``out_dir``, ``processes``, ``timeout``.
        work (Callable): ``work(video, result, **settings)`` makes a file or folder.
        settings (dict): What the results depend on.
        suffix (str): Of the results' names, in place of the videos' own.
        count (Callable, optional): Number of frames of a result, which lists then state.
        names (list[str], optional): Videos in the folder, where there are no lists of them.

    Raises:
        SystemExit: With one line, if the arguments cannot work or the run is
            stopped; with exit code 1, if a video failed.
    """
    start = time.monotonic()
    folder = args.out_dir / osp.basename(osp.abspath(args.videos))
    try:
        lists = read_lists(args.lists, args.videos, args.out_dir)
        paths = names or unique_paths(lists)
        check_output_paths(paths, suffix)
        if folder.exists() and folder.samefile(args.videos):
            raise ValueError(
                f'--out-dir {args.out_dir} is where the videos are; give another folder'
            )
        folder.mkdir(parents=True, exist_ok=True)
        with scratch_folder(folder) as scratch:
            keep_settings(args.out_dir, folder, settings)
            keep_source(folder, args.videos)
            make = partial(
                _make, partial(work, **settings), count, args.videos, folder, scratch, suffix
            )
            results, failures = process_all(make, paths, args.processes, args.timeout)

        def result(line: ListLine) -> ListLine:
            return ListLine(output_path(line.path, suffix), line.label, results[line.path][0])

        write_lists(lists, args.out_dir, result, failures, 'failed')
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from None
    there = sum(there for _, there in results.values())
    report(len(results) - there, there, failures, time.monotonic() - start)
