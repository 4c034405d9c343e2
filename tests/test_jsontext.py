"""JSON as people read it: paths, short values, and text that any terminal and any file can hold."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_fcpivot.jsontext import json_path, one_line, printable, shorten, shown, well_formed

PROPERTY = settings(deadline=None, max_examples=200)
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


@pytest.mark.parametrize(
    ("steps", "path"),
    [
        ([], "$"),
        (["city"], "$.city"),
        (["filters", 2, "date"], "$.filters[2].date"),
        ([0, 0], "$[0][0]"),
        (["x-rate"], "$.x-rate"),
        (["odd key"], '$["odd key"]'),
        ([""], '$[""]'),
        (["0"], '$["0"]'),
        (["a.b", "c"], '$["a.b"].c'),
        (['say "hi"'], '$["say \\"hi\\""]'),
        (["né"], '$["né"]'),
    ],
)
def test_paths(steps: list[str | int], path: str) -> None:
    """Plain keys are joined by dots, elements are numbers, any other key is quoted."""
    assert json_path(steps) == path


@pytest.mark.parametrize("key", ["k " * 10_000, "k" * 10_000])
def test_a_huge_key_does_not_fill_the_screen(key: str) -> None:
    """A path stays short although a key is not."""
    assert len(json_path([key])) < 100


@PROPERTY
@given(*[st.lists(st.one_of(st.integers(0, 20), st.text(max_size=5)), max_size=4)] * 2)
def test_different_ways_have_different_paths(one: list[str | int], other: list[str | int]) -> None:
    """Two ways have the same path only if they are the same."""
    assert (json_path(one) == json_path(other)) == (one == other)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain é 東京 🚲", "plain é 東京 🚲"),
        ("two\nlines\tand\r", "two\nlines\tand\r"),
        ("nul\x00", "nul\\u0000"),
        ("\x1b[31mred", "\\u001b[31mred"),
        ("\x7f\x9b", "\\u007f\\u009b"),
        ("lone \ud800", "lone \\ud800"),
        ("\uffff", "\\uffff"),
    ],
)
def test_printable(text: str, expected: str) -> None:
    """What terminals and XML cannot hold is escaped, all else is left alone."""
    assert printable(text) == expected


@PROPERTY
@given(st.text(st.characters()))
def test_printable_text_can_go_anywhere(text: str) -> None:
    """Printable text encodes as UTF-8 and holds no control characters."""
    found = printable(text)
    found.encode()
    assert not UNPRINTABLE.search(found)


@PROPERTY
@given(st.text(st.characters()))
def test_well_formed_text_can_be_stored(text: str) -> None:
    """Lone surrogates are escaped, and text without them is not touched."""
    found = well_formed(text)
    found.encode()
    if not any("\ud800" <= character <= "\udfff" for character in text):
        assert found == text


@PROPERTY
@given(st.text(max_size=60), st.integers(8, 40))
def test_shortened_text_keeps_both_ends(text: str, limit: int) -> None:
    """A text that fits stays as it is, a longer one fits and keeps its start and its end."""
    found = shorten(text, limit)
    if len(text) <= limit:
        assert found == text
    else:
        assert len(found) == limit
        start, end = found.split("…", 1) if "…" not in text else (found[:2], found[-2:])
        assert text.startswith(start)
        assert text.endswith(end)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a\n\n b\t c ", "a b c"), ("", ""), (" \n ", ""), ("bell\x07", "bell\\u0007")],
)
def test_one_line(text: str, expected: str) -> None:
    """White space is folded, so that a text takes one line of a report."""
    assert one_line(text) == expected


def test_one_line_of_a_huge_text() -> None:
    """Ten megabytes are cut to the limit, with both ends still there."""
    found = one_line("start " + "x " * 5_000_000 + "end", 100)
    assert len(found) <= 100
    assert found.startswith("start")
    assert found.endswith("end")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "null"),
        (True, "true"),
        ("é", '"é"'),
        ({"a": [1, 2.5]}, '{"a": [1, 2.5]}'),
        (float("nan"), "NaN"),
        ("two\nlines", '"two\\nlines"'),
    ],
)
def test_shown(value: Any, expected: str) -> None:
    """A value is written as JSON."""
    assert shown(value) == expected


def deep(levels: int) -> Any:
    """Return arrays in arrays."""
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("x" * 10_000_000, id="long text"),
        pytest.param(list(range(100_000)), id="long array"),
        pytest.param(10**5_000, id="long integer"),
        pytest.param(-(10**5_000), id="long negative integer"),
        pytest.param([10**5_000], id="long integer inside"),
        pytest.param(deep(5_000), id="deep"),
        pytest.param("\ud800\x00\n", id="odd characters"),
        pytest.param({"\ud800": "\x1b"}, id="odd key"),
    ],
)
def test_shown_survives_anything(value: Any) -> None:
    """Values that are huge, deep or odd are still a short line of printable text."""
    found = shown(value)
    assert 0 < len(found) <= 100
    assert "\n" not in found
    assert not UNPRINTABLE.search(found)


@PROPERTY
@given(st.recursive(st.one_of(st.integers(0, 9), st.booleans(), st.none()), lambda x: st.lists(x, max_size=3)))
def test_short_values_are_shown_whole(value: Any) -> None:
    """A value that fits is shown as JSON that decodes to it."""
    if len(json.dumps(value)) <= 80:
        assert json.loads(shown(value)) == value
