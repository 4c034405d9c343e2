"""What a server's error says, in every form that its body may have."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fcpivot.core.error_bodies import error_body_of, read_error_body, with_reason

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "message", "detail", "code", "type", "status", "metadata", "raw", "loc", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


class ClientError(Exception):
    """An error of some client, with the reply that it read."""

    def __init__(self, text: str, content: bytes, body: Any = None) -> None:
        super().__init__(text)
        self.response = SimpleNamespace(content=content)
        self.body = body


class UnreadError(Exception):
    """An error whose reply was not read."""

    @property
    def response(self) -> Any:
        """Return a reply whose content cannot be had."""
        return UnreadReply()


class UnreadReply:
    """A reply whose content was not read."""

    @property
    def content(self) -> bytes:
        """Raise as HTTP libraries do."""
        raise RuntimeError("the reply was not read")


@pytest.mark.parametrize(
    ("body", "reason", "names"),
    [
        ({"error": {"message": "no", "type": "t", "code": "c"}}, "no", ("c", "t", "")),
        ({"error": {"message": "no", "code": 402}}, "no", ("402", "", "")),
        ({"error": "no"}, "no", ("", "", "")),
        ({"message": "no", "code": 7}, "no", ("7", "", "")),
        ({"detail": "no"}, "no", ("", "", "")),
        ({"code": 429, "error": {"message": "no"}}, "no", ("429", "", "")),
        ({"status": 429, "error": "Too Many Requests", "message": "no"}, "no", ("", "", "429")),
        (
            [{"error": {"code": 400, "message": "no", "status": "INVALID_ARGUMENT"}}],
            "no",
            ("400", "", "INVALID_ARGUMENT"),
        ),
        (
            {"detail": [{"loc": ["body", "tools", 0], "msg": "field required", "type": "missing"}]},
            "body.tools.0: field required",
            ("", "missing", ""),
        ),
        (
            {"detail": [{"loc": ["a"], "msg": "one"}, {"loc": ["b"], "msg": "two"}]},
            "a: one; b: two",
            ("", "", ""),
        ),
        ({"error": {"code": 429, "message": "no", "details": [{"message": "never"}]}}, "no", ("429", "", "")),
        (
            {"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": '{"message": "no"}'}}},
            "no",
            ("400", "", ""),
        ),
        ({"error": {"message": "Busy", "metadata": {"raw": "no"}}}, "Busy (no)", ("", "", "")),
        ({"odd": 1}, '{"odd":1}', ("", "", "")),
        ("<html><head><title>502 Bad Gateway</title></head><body>x</body></html>", "502 Bad Gateway", ("", "", "")),
        ("<!DOCTYPE html><html><style>p{}</style><body><p>Not <b>here</b></p></body></html>", "Not here", ("", "", "")),
        ("upstream\n connect error", "upstream connect error", ("", "", "")),
        ("[1, 2]", "[1, 2]", ("", "", "")),
        ('\ufeff{"error": "no"}', "no", ("", "", "")),
    ],
)
def test_forms(body: Any, reason: str, names: tuple[str, str, str]) -> None:
    """The server's own words are found, with the names and numbers that it gives the error, as text and as bytes."""
    texts = [body] if isinstance(body, str) else [body, json.dumps(body)]
    for written in [*texts, texts[-1].encode()]:
        found = read_error_body(written)
        assert found is not None
        assert (found.reason, found.code, found.type, found.status) == (reason, *names)


@pytest.mark.parametrize("body", [None, "", "  ", {}, [], 7, b""], ids=repr)
def test_nothing_said(body: Any) -> None:
    """A body without words says nothing."""
    assert read_error_body(body) is None


@given(_JSON)
def test_anything(body: Any) -> None:
    """Whatever a body holds, it is read without an error, and its reason is one short line."""
    for written in (body, json.dumps(body), json.dumps(body).encode()):
        found = read_error_body(written)
        if found is not None:
            assert "\n" not in found.reason
            assert len(found.reason) < 1000


def test_the_reply_itself_comes_first() -> None:
    """The bytes of a reply are read before what a client made of them, which its header may have spoilt."""
    error = ClientError("Error code: 400", '{"error": {"message": "Café"}}'.encode(), {"message": "CafÃ©"})
    assert with_reason(str(error), error) == "Error code: 400 - Café"


def test_a_reason_is_told_once() -> None:
    """What stands in the error's text already is not told again."""
    error = ClientError("Error code: 400 - no  such\ntool", b'{"message": "no such tool"}')
    assert with_reason(str(error), error) == str(error)


def test_an_error_without_a_reply() -> None:
    """An error that carries no reply, or one that was not read, says nothing beside its own text."""
    for error in (ValueError("no"), UnreadError("no")):
        assert error_body_of(error) is None
        assert with_reason("no", error) == "no"
