"""The pages of the documentation, and the fenced blocks in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
}
_FENCE = re.compile(r'^( *)```(\w+)(?: title="([^"\n]*)")?\n(.*?)^\1```$', flags=re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, the title that readers see above it, and its text without indentation."""

    language: str
    title: str
    text: str


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page in their order."""
    text = PAGES[page].read_text(encoding="utf-8")
    found = [
        Block(language, title, "".join(line.removeprefix(indent) for line in body.splitlines(keepends=True)))
        for indent, language, title, body in _FENCE.findall(text)
    ]
    assert text.count("```") == 2 * len(found), f"{page}: a fence that is not read here"
    return found
