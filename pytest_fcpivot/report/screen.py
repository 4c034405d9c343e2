"""Lines of text with styles, for a screen: measured, wrapped, and written with or without colour.

A line is a row of segments, each with the name of a style. Everything is escaped when it is written, so that nothing
in a text of any origin can act on a terminal.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Literal

from pytest_fcpivot.core.jsontext import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Style = Literal["plain", "head", "name", "good", "bad", "warn", "dim"]
Segment = tuple[str, Style]
Line = tuple[Segment, ...]

_CODES: dict[Style, str] = {"head": "1", "name": "36", "good": "32", "bad": "31", "warn": "33", "dim": "2"}
_TAB = 4
_WIDE = frozenset("WF")
_SPACES = re.compile(r"( +)")


def written(lines: Iterable[Line], *, colour: bool) -> Iterator[str]:
    """Yield each line as text; with `colour`, its styles are the escape sequences of terminals."""
    for line in lines:
        parts = []
        for text, style in line:
            clean = printable(text).replace("\n", " ")
            code = _CODES.get(style) if colour and clean.strip() else None
            parts.append(clean if code is None else f"\x1b[{code}m{clean}\x1b[0m")
        yield "".join(parts).rstrip(" ")


def columns(text: str) -> int:
    """Return how many columns of a terminal a printable text takes: two for a wide letter, none for a mark on one."""
    if text.isascii():
        return len(text)
    return sum(_columns_of(character) for character in text)


def _columns_of(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in _WIDE else 1


def wrapped(text: str, width: int) -> list[str]:
    """Break a printable text into lines of at most `width` columns, at blanks if there are any; its own line ends stay.

    A line that is continued keeps its indentation. At least one column is used, whatever the width.
    """
    lines: list[str] = []
    for line in text.expandtabs(_TAB).split("\n"):
        lines += [line] if columns(line) <= width else _broken(line, max(1, width))
    return lines


def _broken(line: str, width: int) -> Iterator[str]:
    indent = line[: len(line) - len(line.lstrip(" "))]
    indent = indent if len(indent) <= width // 2 else ""
    current, used = "", 0
    for part in _SPACES.split(line):
        size = columns(part)
        if used + size <= width:
            current, used = current + part, used + size
            continue
        if part.startswith(" "):  # blanks at the end of a line are not seen
            yield current.rstrip(" ")
            current, used = indent, len(indent)
            continue
        if current.strip(" "):
            yield current.rstrip(" ")
            current, used = indent, len(indent)
        for character in part:  # a word that is longer than a line is cut
            more = _columns_of(character)
            if used + more > width and current.strip(" "):
                yield current
                current, used = indent, len(indent)
            if used + more > width:  # a wide letter beside an indentation
                current, used = "", 0
            current, used = current + character, used + more
    if current.strip(" "):
        yield current.rstrip(" ")


def padded(text: str, width: int) -> str:
    """Fill a text with blanks up to a number of columns."""
    return text + " " * max(0, width - columns(text))


def side_by_side(cells: Sequence[tuple[str, int, Style]], between: str = "  ") -> Iterator[Line]:
    """Yield the lines of a table's row: each cell is its printable text, its width in columns, and its style."""
    broken = [wrapped(text, width) for text, width, _ in cells]
    for number in range(max(map(len, broken))):
        line: list[Segment] = []
        for lines, (_, width, style) in zip(broken, cells, strict=True):
            if line:
                line.append((between, "dim"))
            line.append((padded(lines[number] if number < len(lines) else "", width), style))
        yield tuple(line)
