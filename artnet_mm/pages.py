"""Markdown pages of which blocks are generated, each between two comments of its name."""

import re
from collections.abc import Callable
from pathlib import Path

from .files import write_whole

SECTION = re.compile(r'^### ([^\n]*)\n(.*?)(?:\n(?=### )|\Z)', re.DOTALL | re.MULTILINE)


def with_section(text: str, heading: str, body: str) -> str:
    """A text of sections in which that of a heading is new."""
    sections = dict(SECTION.findall(text)) | {heading: body}
    return '\n'.join(f'### {name}\n{section}' for name, section in sections.items())


def with_block(page: str, name: str, new: str | Callable[[str], str]) -> str:
    """A page in which the block ``<!-- NAME -->`` to ``<!-- /NAME -->`` is made anew.

    Args:
        page (str): The page; where it has no such block, one is added at its end.
        name (str): Of the block.
        new (str | Callable): Its text, or what makes it from the old one.

    Raises:
        ValueError: If the block has no end.
    """
    start, end = f'<!-- {name} -->\n', f'<!-- /{name} -->'
    if start not in page:
        page = f'{page}\n{start}{end}\n'.lstrip()
    before, rest = page.split(start, 1)
    if end not in rest:
        raise ValueError(f'a page has {start.strip()} and no {end}')
    old, after = rest.split(end, 1)
    text = new if isinstance(new, str) else new(old)
    return f'{before}{start}{text}{end}{after}'


def renew(path: Path, name: str, new: str | Callable[[str], str]) -> None:
    """Write the block of a page anew, as :func:`with_block` does.

    Raises:
        OSError: If the page cannot be written.
    """
    page = path.read_text(encoding='utf-8') if path.exists() else ''
    write_whole(path, with_block(page, name, new))
