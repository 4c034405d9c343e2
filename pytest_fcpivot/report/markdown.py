"""Write texts of any origin into Markdown, as GitHub and GitLab show it, so that nothing in them is markup."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_fcpivot.core.jsontext import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_WIDTH = 200
_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~@&$:^=])")
_BACKTICKS = re.compile(r"`+")


def plain(text: str, limit: int = _WIDTH) -> str:
    """Write a text of one line as prose: every character that could be markup, a link or a mention is escaped."""
    return _MARKUP.sub(r"\\\1", one_line(text, limit))


def code(text: str, limit: int = _WIDTH) -> str:
    """Write a text of one line as code, also inside of a table."""
    text = one_line(text, limit)
    longest = max(map(len, _BACKTICKS.findall(text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest or not text else ""
    return f"{fence}{pad}{text}{pad}{fence}".replace("|", "\\|")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Return the lines of a table with written cells; columns in `right` (from 0) are aligned to the right."""
    rule = ["---:" if number in right else "---" for number in range(len(head))]
    return [f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)]
