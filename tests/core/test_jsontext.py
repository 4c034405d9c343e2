"""JSON as people read it: paths, short values, and text that any terminal and any file can hold."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_fcpivot.core.jsontext import (
    json_path,
    on_screen,
    one_line,
    printable,
    shorten,
    shown,
    shows_as_it_is,
    visible,
    well_formed,
)

PROPERTY = settings(deadline=None)
UNPRINTABLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069\u200b\ufeff]"
)
# What is written with characters that are not seen, in scripts and emoji that need them.
LEGITIMATE = {
    "Persian": "می\u200cخواهم، ه\u200d.",  # noqa: RUF001 (the point of it)
    "Hebrew": "שָׁלוֹם עולם",
    "Arabic": "مرحبا \u0601١٢٣ ۝",  # noqa: RUF001 (the same)
    "Hindi": "क्\u200dष और क्\u200cष",
    "Sinhala": "ශ්\u200dරී",
    "Mongolian": "ᠮᠣᠩᠭᠣᠯ\u180b",
    "family": "👩\u200d👩\u200d👧\u200d👦",
    "heart": "❤\ufe0f\u200d🔥",
    "keycap": "1\ufe0f\u20e3",
    "flag": "🏳\ufe0f\u200d🌈",
    "Scotland": "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "ideograph": "葛\U000e0100城市",
    "no-break space": "12\u202f000\u00a0€",
}


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
        ("two\nlines\tand\r", "two\nlines\tand\\u000d"),
        ("nul\x00", "nul\\u0000"),
        ("\x1b[31mred", "\\u001b[31mred"),
        ("\x7f\x9b", "\\u007f\\u009b"),
        ("lone \ud800", "lone \\ud800"),
        ("\uffff", "\\uffff"),
        ("right \u202eto left", "right \\u202eto left"),
        ("\u2066isolated\u2069", "\\u2066isolated\\u2069"),
        ("\u200e\u200f\u061c", "\\u200e\\u200f\\u061c"),
        ("ze\u200bro\u2060width\ufeff", "ze\\u200bro\\u2060width\\ufeff"),
        ("so\u00adft", "so\\u00adft"),
        ("joined\u200dLatin\u200c", "joined\\u200dLatin\\u200c"),
        ("می\u200c\u200c", "می\u200c\\u200c"),
        ("letter\ufe0f", "letter\\ufe0f"),
        ("❤\ufe0f\ufe0f", "❤\ufe0f\\ufe0f"),
        ("🏴\U000e0068\U000e0069\U000e007f", "🏴\\udb40\\udc68\\udb40\\udc69\\udb40\\udc7f"),
        ("tag\U000e0041", "tag\\udb40\\udc41"),
        ("\ufff9note\ufffaof it\ufffb", "\\ufff9note\\ufffaof it\\ufffb"),
        ("line\u2028paragraph\u2029", "line\\u2028paragraph\\u2029"),
        ("filler\u3164\u115f\u034f", "filler\\u3164\\u115f\\u034f"),
    ],
)
def test_printable(text: str, expected: str) -> None:
    """What terminals and XML cannot hold, and what no reader sees, is escaped; all else is left alone."""
    assert printable(text) == expected
    assert not shows_as_it_is(text) or text == expected


@pytest.mark.parametrize("text", LEGITIMATE.values(), ids=LEGITIMATE)
def test_scripts_and_emoji_stay_readable(text: str) -> None:
    """Letters are never escaped, nor what their script has between them; where texts are compared, it is written."""
    assert printable(text) == text
    assert one_line(text).replace(" ", "") == "".join(text.split())
    assert shows_as_it_is(text)
    unseen = re.findall("[\u200c\u200d\ufe0f\u180b\U000e0000-\U000e0fff]", text)
    assert visible(text, joiners=True).count("\\u") >= len(unseen)


def test_a_screen_is_not_filled() -> None:
    """Of a text of many megabytes a few lines are left, its first and its last, none of them long."""
    text = "\n".join(["the first", *["x\x1b" * 500_000] * 5, *["y"] * 1_000_000, "what to do"])
    lines = on_screen(text).split("\n")
    assert len(lines) < 70
    assert max(map(len, lines)) < 5_000
    assert (lines[0], lines[-1]) == ("the first", "what to do")
    assert "\x1b" not in "".join(lines)
    assert "more lines" in "".join(lines)
    assert on_screen("one\n\ntwo\n") == "one\n\ntwo\n"


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
