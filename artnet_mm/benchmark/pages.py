"""The pages into which a benchmark is written."""

import re
from collections.abc import Callable
from pathlib import Path

from ..files import write_whole

SECTION = re.compile(r'^### ([^\n]*)\n(.*?)(?:\n(?=### )|\Z)', re.DOTALL | re.MULTILINE)
GENERATED = re.compile('(?<=<!-- generated -->\n).*(?=<!-- /generated -->)', re.DOTALL)


def with_section(text: str, heading: str, body: str) -> str:
    """A text of sections in which that of a heading is new."""
    sections = dict(SECTION.findall(text)) | {heading: body}
    return '\n'.join(f'### {name}\n{section}' for name, section in sections.items())


def renew(path: Path, change: Callable[[str], str]) -> None:
    """Write what is generated in a page anew."""
    page = path.read_text(encoding='utf-8') if path.exists() else ''
    page = page if GENERATED.search(page) else '<!-- generated -->\n<!-- /generated -->\n'
    write_whole(path, GENERATED.sub(lambda found: change(found[0]), page))
