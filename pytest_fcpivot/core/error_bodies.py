"""Reads the message out of the body of a server's error reply, whatever form that body has.

OpenAI's form is `{"error": {"message", "type", "param", "code"}}`. Other servers send plain text, a list, FastAPI's
`detail`, a flat object with a message, or an HTML page.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_fcpivot.core.jsontext import compact, one_line

_REASON_WIDTH = 300
# A longer body is not decoded: it is hardly an error message, and a run may receive thousands of them.
_LONGEST_BODY = 1 << 20
_LISTED = 3
_TAG = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^<>]*>", re.DOTALL | re.IGNORECASE)
_HTML_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.DOTALL | re.IGNORECASE)
_HTML = re.compile(r"\s*(?:<!doctype html|<html)\b", re.IGNORECASE)
# The fields that may hold the message, the most specific first; an object or a list in one of them is read in turn.
_WORDS = ("message", "detail", "msg", "error_message", "error_description", "errors", "error", "title", "details")
# The fixed message that a gateway (OpenRouter) gives to every error of the servers behind it.
_GATEWAYS_WORDS = "Provider returned error"


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """The content of an error's body: the server's message, and the names and numbers that it gives the error.

    `code`, `type` and `status` are texts, empty if the body has none. `fields` is the object that held the message.
    `upstream` is the error of the server behind this one, if this one is a gateway that passes it on.
    """

    message: str
    code: str = ""
    type: str = ""
    status: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)
    upstream: ErrorBody | None = None

    @property
    def reason(self) -> str:
        """The server's message on one line, with that of the server behind it, if any."""
        text = one_line(self.message, _REASON_WIDTH)
        if self.upstream is None:
            return text
        behind = one_line(self.upstream.message, _REASON_WIDTH)
        return behind if self.message == _GATEWAYS_WORDS else f"{text} ({behind})"


def is_error(value: Any) -> bool:
    """Return whether the field `error` of a reply reports an error: some servers always send it, null or empty."""
    return any(value.values()) if isinstance(value, Mapping) else bool(value)


def read_error_body(body: Any) -> ErrorBody | None:
    """Read the body of an error, given as decoded JSON, text or bytes; None if it holds no message."""
    if isinstance(body, bytes | bytearray):
        body = bytes(body[: _LONGEST_BODY + 1]).decode("utf-8-sig", "replace")
    if isinstance(body, str):
        return _read_text(body)
    if isinstance(body, list):
        return _read_list(body)
    if isinstance(body, Mapping):
        return _read_object(body)
    return None


def error_body_of(error: BaseException) -> ErrorBody | None:
    """Read the body that an SDK's exception carries; None if it has none.

    The raw bytes of the reply are preferred to the decoded body, since they are UTF-8 whatever the header claims.
    """
    try:
        content = getattr(getattr(error, "response", None), "content", None)
    except Exception:  # noqa: BLE001 (a reply whose body was not read raises its library's own error)
        content = None
    found = read_error_body(content) if isinstance(content, bytes) and content else None
    return found or read_error_body(getattr(error, "body", None))


def with_reason(text: str, error: BaseException) -> str:
    """Return `text`, followed by the server's own message unless `text` contains it already."""
    body = error_body_of(error)
    reason = "" if body is None else body.reason
    return text if not reason or reason in text or reason in one_line(text, 4 * _REASON_WIDTH) else f"{text} - {reason}"


def _read_text(text: str) -> ErrorBody | None:
    text = text.removeprefix("\ufeff").strip()
    if not text:
        return None
    if text[0] in "{[" and len(text) <= _LONGEST_BODY:
        try:
            return read_error_body(json.loads(text)) or ErrorBody(one_line(text, _REASON_WIDTH))
        except (ValueError, RecursionError):
            pass
    if _HTML.match(text):
        title = _HTML_TITLE.search(text[:_LONGEST_BODY])
        text = title[1] if title and title[1].strip() else _TAG.sub(" ", text[:_LONGEST_BODY])
    return ErrorBody(one_line(text, _REASON_WIDTH)) if text.strip() else None


def _read_list(items: list[Any]) -> ErrorBody | None:
    found = [body for body in map(_read_item, items[:_LISTED]) if body is not None]
    if len(found) <= 1:
        return found[0] if found else None
    first = found[0]
    more = "" if len(items) <= _LISTED else f"; and {len(items) - _LISTED} more"
    text = "; ".join(body.message for body in found) + more
    return ErrorBody(text, first.code, first.type, first.status, first.fields)


def _read_item(item: Any) -> ErrorBody | None:
    """Read one error of a list; FastAPI's errors also name the field of the request, in `loc`."""
    body = read_error_body(item)
    if body is None or not isinstance(item, Mapping) or not isinstance(item.get("loc"), list | tuple):
        return body
    return ErrorBody(f"{'.'.join(map(str, item['loc']))}: {body.message}", body.code, body.type, body.status, item)


def _read_object(fields: Mapping[str, Any]) -> ErrorBody | None:
    if not fields:
        return None
    names = ("error", *_WORDS) if isinstance(fields.get("error"), Mapping | list) else _WORDS
    for name in names:
        value = fields.get(name)
        if isinstance(value, str) and value.strip():
            return _named(value, fields)
        inner = read_error_body(value) if isinstance(value, Mapping | list) and value else None
        if inner is not None:
            outer = _named("", fields)
            return replace(
                inner,
                code=inner.code or outer.code,
                type=inner.type or outer.type,
                status=inner.status or outer.status,
            )
    return _named(one_line(compact(dict(fields)), _REASON_WIDTH), fields) if _is_json(fields) else None


def _named(message: str, fields: Mapping[str, Any]) -> ErrorBody:
    metadata = fields.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    upstream = read_error_body(raw) if isinstance(raw, str | dict) and raw else None
    return ErrorBody(
        message, _name(fields.get("code")), _name(fields.get("type")), _name(fields.get("status")), fields, upstream
    )


def _name(value: Any) -> str:
    return "" if value is None or isinstance(value, bool) or not isinstance(value, str | int) else str(value)


def _is_json(fields: Mapping[str, Any]) -> bool:
    try:
        compact(dict(fields))
    except (TypeError, ValueError, RecursionError):
        return False
    return True
