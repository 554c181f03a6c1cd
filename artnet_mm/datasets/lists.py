"""Annotation lists: the grammar of a line, its parser and its writer.

A list is UTF-8 text with a line per video, ``<path> <label>``, or per folder of frames,
``<path> <frames> <label>``:

- A delimiter is between the fields: a blank, unless a data set says otherwise. Further blanks
  and tabs beside it, and at both ends of a line, do not count.
- ``<path>`` has no control characters, line breaks of Unicode, byte order marks or surrogates.
- ``<frames>`` and ``<label>`` are whole numbers of at most nine ASCII digits, frames from 1 on.
- Test videos may lack the label. Their paths have no white space and no delimiter: a label that
  is mistyped would become part of the path.
- Lines end with a line break of Unix, Windows or old Macs; blank ones are skipped.

Parsing and writing need Python alone.
"""

import os
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

BLANKS = ' \t'
LINE_BREAK = re.compile('\r\n?|\n')
NUMBER = re.compile('[0-9]{1,9}')
# Nobody sees them in a path, they end a line elsewhere, or they are not UTF-8. A byte order mark
# is that of a list that was appended to another.
REFUSED = re.compile('[\0-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]')


class ListLine(NamedTuple):
    """Line of an annotation list: a video, or a folder of so many frames, and its class.

    The label is -1 where a test video has none.
    """

    path: str
    label: int = -1
    frames: int | None = None


def parse_line(
    text: str,
    has_frames: bool = False,
    delimiter: str = ' ',
    num_classes: int | None = None,
    labeled: bool = False,
) -> ListLine:
    """The line that a text is.

    Args:
        text (str): The line.
        has_frames (bool): Whether the number of frames comes before the label.
        delimiter (str): What is between the fields.
        num_classes (int, optional): Labels must be below it.
        labeled (bool): Whether every line must have a label, as in training.

    Raises:
        ValueError: If the line is malformed, saying why.
    """
    path = text.strip(BLANKS)
    numbers: list[int] = []
    while len(numbers) <= has_frames:
        rest, _, word = path.rpartition(delimiter)
        rest, word = rest.rstrip(BLANKS), word.strip(BLANKS)
        if not rest or not NUMBER.fullmatch(word):
            break
        path = rest
        numbers.insert(0, int(word))
    count = numbers.pop(0) if has_frames and numbers else None
    line = ListLine(path, numbers.pop() if numbers else -1, count)
    if refusal := _refusal(line, has_frames, delimiter, num_classes, labeled):
        expected = f'"{delimiter.join(("<path>", *["<frames>"] * has_frames, "<label>"))}"'
        if num_classes is not None:
            expected += f' with a label from 0 to {num_classes - 1} (num_classes={num_classes})'
        got = repr(text.strip(BLANKS))[:200]
        raise ValueError(f'expected {expected}, got {got}: {refusal}')
    return line


def _refusal(
    line: ListLine, has_frames: bool, delimiter: str, num_classes: int | None, labeled: bool
) -> str | None:
    """What is wrong with a line, if anything."""
    if not line.path:
        return 'the path is missing'
    if found := REFUSED.search(line.path):
        return f'no path may have {found[0]!r}, rename the file or put {delimiter!r} there'
    if line.frames == 0 or (has_frames and line.frames is None):
        return 'the number of frames, from 1 on, is missing'
    if line.label < 0 and labeled:
        return 'no label is at its end, which only test videos may lack'
    if line.label < 0 and (delimiter in line.path or any(map(str.isspace, line.path))):
        return 'no label is at its end, and without one a path has no blanks'
    if num_classes is not None and line.label >= num_classes:
        return 'the label is too large'
    return None


def format_line(line: ListLine) -> str:
    """The text of a line, which :func:`parse_line` reads as the same line.

    Raises:
        ValueError: If there is no such text.
    """
    path, label, frames = line
    numbers = [number for number in (frames, label) if number is not None and number >= 0]
    text = ' '.join(map(str, (path, *numbers)))
    try:
        same = parse_line(text, has_frames=frames is not None) == line
    except ValueError:
        same = False
    if not same:
        raise ValueError(f'{text!r} cannot be a line of a list: rename {path!r}')
    return text


def format_list(lines: Iterable[ListLine]) -> str:
    """The text of a list.

    Raises:
        ValueError: If a line cannot be in a list.
    """
    return ''.join(f'{format_line(line)}\n' for line in lines)


def format_classes(names: Iterable[str]) -> str:
    """The text of ``classes.txt``: the names of the classes, one per line.

    Raises:
        ValueError: If a name cannot be a line.
    """
    names = list(names)
    for name in names:
        if not name or name.strip(BLANKS) != name or REFUSED.search(name):
            raise ValueError(f'{name!r} cannot be the name of a class: rename it')
    return ''.join(f'{name}\n' for name in names)


def read_text(file: str | Path) -> str:
    """The text of a UTF-8 file, from wherever MMEngine can read it.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not UTF-8.
    """
    from mmengine.fileio import get  # here, as MMEngine brings torch

    try:
        return get(str(file)).decode('utf-8-sig')
    except FileNotFoundError:
        raise FileNotFoundError(f'file {file} does not exist') from None
    except UnicodeDecodeError as error:
        raise ValueError(f'{file} is not UTF-8: save it as such ({error})') from error


def read_lines(file: str | Path) -> list[tuple[str, str]]:
    """The place, for errors, and the text of each line that is not blank.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not UTF-8.
    """
    lines = (line.strip(BLANKS) for line in LINE_BREAK.split(read_text(file)))
    return [(f'{file}, line {number}', line) for number, line in enumerate(lines, 1) if line]


def read_classes(file: str | Path) -> list[str]:
    """The names of the classes in a ``classes.txt``, by label.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not UTF-8.
    """
    return [name for _, name in read_lines(file)]


_parsed: dict[tuple, list[ListLine]] = {}  # checks and the run read the same lists


def _identity(file: str | Path) -> tuple:
    """What a local file is known by; remote ones are read every time."""
    try:
        stat = os.stat(file)
    except OSError:
        return str(file), time.monotonic()
    return str(file), stat.st_ino, stat.st_size, stat.st_mtime_ns


def read_list(file: str | Path, **rules: Any) -> list[ListLine]:
    """Read an annotation list.

    Args:
        file (str | Path): The list.
        rules: Arguments of :func:`parse_line`.

    Raises:
        FileNotFoundError: If the list does not exist.
        ValueError: If it is not UTF-8 or empty, or a line of it is malformed.
    """
    key = (*_identity(file), *sorted(rules.items()))
    if key in _parsed:
        return list(_parsed[key])
    lines = []
    for place, text in read_lines(file):
        try:
            lines.append(parse_line(text, **rules))
        except ValueError as error:
            raise ValueError(f'{place}: {error}') from None
    if not lines:
        raise ValueError(f'{file} lists no videos')
    if len(_parsed) == 3:  # those of training, validation and testing
        _parsed.clear()
    _parsed[key] = lines
    return list(lines)


def forget() -> None:
    """Drop the lists that are kept for whoever reads them next."""
    _parsed.clear()
