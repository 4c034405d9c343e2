"""Texts that differ in what is hard to see, shown so that it is seen."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_fcpivot.core.apart import names_apart, nearly_the_same, shown_name, texts_apart, values_apart

PROPERTY = settings(deadline=None)
# Of what people confuse: blanks, case, composed and decomposed letters, joiners, look-alikes.
_CONFUSING = st.text("aA \u00a0\u200b\u200d\u00e9\u0301e\u0435\u0391\u2019'-\u2013_", max_size=12)


@pytest.mark.parametrize(
    ("wanted", "given_name", "shown"),
    [
        ("book_table", " book_table", ('"book_table"', '" book_table"', "white space")),
        ("book_table", "book_table\n", ('"book_table"', '"book_table\\n"', "white space")),
        ("book_table", "book\u00a0table", ("book_table", '"book\\u00a0table"', "")),
        ("book_table", "book_table\u200b", ('"book_table"', '"book_table\\u200b"', "characters that cannot be seen")),
        ("book_table", "\ufeffbook_table", ('"book_table"', '"\\ufeffbook_table"', "characters that cannot be seen")),
        ("book_table", "Book_Table", ("book_table", "Book_Table", "case")),
        (
            "book_table",
            "b\u043e\u043ek_table",
            ('"book_table"', '"b\\u043e\\u043ek_table"', "characters that look alike"),
        ),
        ("book_table", "Book_table ", ('"book_table"', '"Book_table "', "white space and case")),
        ("book", "find", ("book", "find", "")),
    ],
)
def test_names(wanted: str, given_name: str, shown: tuple[str, str, str]) -> None:
    """Names stand as they are, or quoted where there is more to them than is seen, with a word on the difference."""
    one, other, aspect = shown
    assert names_apart(wanted, given_name) == (one, other, f" (they differ only in {aspect})" if aspect else "")


@pytest.mark.parametrize(
    ("wanted", "given_value", "shown"),
    [
        ("café", "cafe\u0301", ('"caf\\u00e9"', '"cafe\\u0301"', "Unicode form")),
        ("São Paulo", "São\u00a0Paulo", ('"São Paulo"', '"São\\u00a0Paulo"', "white space")),
        ("a  b", "a b", ('"a  b"', '"a b"', "white space")),
        ("O'Hare", "O\u2019Hare", ('"O\'Hare"', '"O\\u2019Hare"', "characters that look alike")),
        ("Lyon", "Paris", ('"Lyon"', '"Paris"', "")),
        (1, 2, ("1", "2", "")),
        ({"city": "Lyon "}, {"city": "Lyon"}, ('{"city": "Lyon "}', '{"city": "Lyon"}', "white space")),
        (["caf\u00e9"], ["cafe\u0301"], ('["caf\\u00e9"]', '["cafe\\u0301"]', "Unicode form")),
        ([1, 2], [1, 2, 3], ("[1, 2]", "[1, 2, 3]", "")),
    ],
)
def test_values(wanted: Any, given_value: Any, shown: tuple[str, str, str]) -> None:
    """Values stand as short JSON, with escapes for what would look the same."""
    one, other, aspect = shown
    assert values_apart(wanted, given_value) == (one, other, f" (they differ only in {aspect})" if aspect else "")


def test_a_difference_in_the_middle() -> None:
    """Of long values that differ where a short form would leave them out, the part that differs is shown."""
    one, other, _ = values_apart("x" * 500 + "1" + "z" * 500, "x" * 500 + "2" + "z" * 500)
    assert one.startswith("…xxxxxxxxxxxxxxxxxxxx1")
    assert other.startswith("…xxxxxxxxxxxxxxxxxxxx2")
    assert max(len(one), len(other)) < 100


@PROPERTY
@given(_CONFUSING, _CONFUSING)
def test_unequal_texts_never_look_the_same(one: str, other: str) -> None:
    """Whatever two unequal texts differ in, what is shown of them differs, and nearness is told both ways."""
    if one != other:
        for shown in (names_apart(one, other)[:2], values_apart(one, other)[:2], texts_apart(one, other, 80)):
            assert shown[0] != shown[1]
            assert all(text.replace("\u200d", "").isprintable() for text in shown)
        assert nearly_the_same(one, other) == nearly_the_same(other, one)
        assert nearly_the_same(one, other) == bool(values_apart(one, other)[2])


@pytest.mark.parametrize("name", ["book_table", "calendar.events.create", "größe", "नमस्ते"])
def test_plain_names(name: str) -> None:
    """A name without blanks is not quoted, in any script."""
    assert shown_name(name) == name
