"""Lines on a screen: how wide they are, where they break, and that nothing in them acts on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_fcpivot.core.jsontext import printable
from pytest_fcpivot.report.screen import columns, side_by_side, wrapped, written

if TYPE_CHECKING:
    from pytest_fcpivot.report.screen import Line


@pytest.mark.parametrize(
    ("text", "width"), [("", 0), ("abc", 3), ("東京", 4), ("e\u0301", 1), ("नमस्ते", 4), ("a\u200db", 2)]
)
def test_columns(text: str, width: int) -> None:
    """Wide letters take two columns, and marks on a letter none."""
    assert columns(text) == width


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("one two three", 7, ["one two", "three"]),
        ("  indented words stay", 12, ["  indented", "  words stay"]),
        ("a\n\nb", 5, ["a", "", "b"]),
        ("abcdefgh", 3, ["abc", "def", "gh"]),
        ("x abcdefgh", 4, ["x", "abcd", "efgh"]),
        ("東京都", 4, ["東京", "都"]),
        ("\ta", 10, ["    a"]),
        ("", 10, [""]),
    ],
)
def test_wrapping(text: str, width: int, lines: list[str]) -> None:
    """Lines break at blanks, words that are too long are cut, and an indentation stays."""
    assert wrapped(text, width) == lines


@given(st.text(max_size=60), st.integers(2, 20))
@example(" \u5b57", 2)  # a wide letter does not fit beside its indentation
def test_nothing_is_lost(text: str, width: int) -> None:
    """Whatever is wrapped keeps all of its letters, and no line is wider than the room."""
    text = printable(text)
    lines = wrapped(text, width)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(columns(line) <= width for line in lines)


def test_cells_side_by_side() -> None:
    """The cells of a row stand in columns, also where one of them takes several lines."""
    lines = list(written(side_by_side([("one two", 3, "plain"), ("b", 1, "bad")]), colour=False))
    assert lines == ["one  b", "two"]


def test_colour_and_escapes() -> None:
    """Styles are escape sequences if colour is wanted; those in the text itself never get through."""
    line: Line = (("red\x1b[5m\u202e", "bad"), (" plain\x07", "plain"))
    (plain,) = written([line], colour=False)
    assert plain == "red\\u001b[5m\\u202e plain\\u0007"
    (coloured,) = written([line], colour=True)
    assert coloured == "\x1b[31mred\\u001b[5m\\u202e\x1b[0m plain\\u0007"
