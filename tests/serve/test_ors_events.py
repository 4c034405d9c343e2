"""Results as server-sent events, read back as the official clients read them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ors_server import events_in

from pytest_fcpivot.serve import events

BLANKS = st.text(' \t\n\r\u00a0\u2028\u3000x\\"', max_size=40)
LONG = st.lists(st.tuples(BLANKS, st.integers(0, 3000)), min_size=1, max_size=8).map(
    lambda parts: "".join(text * (1 + count // max(1, len(text))) for text, count in parts)
)


def read_back(body: bytes) -> Any:
    """Put the pieces of a result together and decode it, as a client does."""
    found = events_in(body)
    assert [name for name, _ in found] == ["chunk"] * (len(found) - 1) + ["end"]
    assert all(data == data.strip() and data for _, data in found)
    return json.loads("".join(data for _, data in found))


@settings(max_examples=60)
@given(LONG)
def test_results_of_any_length(text: str) -> None:
    """A result comes back to the byte, wherever its blanks are, and in pieces of which each is short."""
    value = {"text": text}
    body = events.result(value)
    assert read_back(body) == value
    assert max(map(len, body.split(b"\n"))) < events.PIECE + 20


@pytest.mark.parametrize("text", ["", " ", " " * 10_000, "\ud800 " * 3000, "\n\n" * 5000, "\x00" * 5000, "😀 " * 3000])
def test_texts_that_streams_cannot_hold(text: str) -> None:
    """Blanks alone, line ends, NUL and halves of characters come back as they were."""
    assert read_back(events.result([text])) == [text]


def test_an_error_has_one_line() -> None:
    """The text of an error cannot end its event."""
    assert events_in(events.error("first\nevent: end\r\ndata: 1 €")) == [("error", "first event: end  data: 1 \\u20ac")]
