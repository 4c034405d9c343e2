"""Texts taken apart: by the rules of Python's decoder, whatever the fast way to do it would say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_fcpivot.data.jsonparts import as_string, fields, in_string, is_json, objects, string

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
ODD = [
    '{"a": NaN, "b": [1, -Infinity]}',
    '{"a": "\\ud800", "b": 1}',
    '{"\\udc00": 1}',
    '{"a": 123456789012345678901234567890, "b": 1e999}',
    '{"a": 1, "a": 2}',
    ' { "a" : [ 1 , { "b" : "\\u00e9" } ] } ',
    "[]",
    "[1, 2]",
    '"text"',
    "null",
]
MALFORMED = [
    "",
    "{",
    '{"a": 1,}',
    '{"a": 1} x',
    '{"a": 01}',
    '{"a": .5}',
    '{"a": "\\q"}',
    '{"a": "\t"}',
    "{'a': 1}",
    '{"a": nul}',
    "[1, {]",
    '\ufeff{"a": 1}',
]


def same(one: Any, other: Any) -> bool:
    """Tell whether two decoded values are the same, NaN included."""
    return json.dumps(one) == json.dumps(other)


def check(text: str) -> None:
    """Check the members of a text against what Python decodes."""
    whole = json.loads(text)
    members = fields(text.encode())
    if not isinstance(whole, dict):
        assert members is None
        return
    assert members is not None
    assert same({key: json.loads(value) for key, value in members.items()}, whole)


@pytest.mark.parametrize("text", ODD)
def test_what_python_takes(text: str) -> None:
    """Whatever Python decodes is taken apart into the same values, NaN and lone surrogates included."""
    check(text)


@pytest.mark.parametrize("text", MALFORMED)
def test_what_python_refuses(text: str) -> None:
    """What Python refuses is refused."""
    for take in (fields, objects):
        with pytest.raises(ValueError, match=r"."):
            take(text.encode())
    assert not is_json(text)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=8), json_values, max_size=4), st.booleans())
def test_members_decode_to_what_they_were(value: dict[str, Any], plain: bool) -> None:
    """The members of any object, each decoded, are the object."""
    check(json.dumps(value, ensure_ascii=not plain) if not plain else json.dumps(value))


@settings(deadline=None)
@given(
    st.dictionaries(st.text(max_size=8), json_values, max_size=3),
    st.integers(0, 400),
    st.sampled_from(["", "]", "}", ",", '"', "\\", "0", ":", "e", "-", " ", "\n", "\x01", "NaN", "\\ud83d"]),
    st.integers(0, 2),
)
def test_damaged_texts(value: dict[str, Any], place: int, inserted: str, removed: int) -> None:
    """A text with something put in or taken out is refused exactly if Python refuses it."""
    text = json.dumps(value)
    place %= len(text)
    damaged = text[:place] + inserted + text[place + removed :]
    try:
        json.loads(damaged)
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            fields(damaged.encode())
        assert not is_json(damaged)
    else:
        check(damaged)
        assert is_json(damaged)


@settings(deadline=None)
@given(st.text() | st.text('\ud800a\\"\n\t\x00\x7f'))
def test_strings(text: str) -> None:
    """Any text is written as a JSON string that says the same, lone surrogates included."""
    assert json.loads(as_string(text)) == text
    assert string(as_string(text)) == text


@settings(deadline=None)
@given(json_values, st.sampled_from([None, 1]))
def test_values_as_strings(value: Any, indent: int | None) -> None:
    """Any value's text is written as a JSON string that holds that text."""
    text = json.dumps(value, ensure_ascii=False, indent=indent).encode("utf-8", "replace")
    assert json.loads(in_string(text)) == text.decode()
