"""Finds out which field of a request a server refuses, from its error."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.agents.openai.quirks import EXTRA_FIELD, REFUSED_FIELD, FieldCode, FieldNamed, those_with

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_REFUSING = (400, 422)
_WORD = re.compile(r"\w+")


def refused_field(error: BaseException, fields: Collection[str]) -> str | None:
    """Return the first of these fields that an error reports as not supported; None if it reports none of them."""
    if getattr(error, "status_code", None) not in _REFUSING:
        return None
    return next((name for name in _named(error) if name in fields), None)


def _named(error: BaseException) -> Iterator[str]:
    """Yield the fields that an error names as refused, the most certain first."""
    quirks = [quirk.shown_by for quirk in those_with(REFUSED_FIELD)]
    body = getattr(error, "body", None)
    if isinstance(body, dict):
        param, code = body.get("param"), body.get("code")
        if isinstance(param, str) and isinstance(code, str):
            known = any(isinstance(quirk, FieldCode) and code in quirk.codes for quirk in quirks)
            yield from [_top(param)] if known else []
        yield from _extras(body)
    text = f"{error} {getattr(getattr(error, 'response', None), 'text', '')}".replace("\\", "")
    for quirk in quirks:
        if isinstance(quirk, FieldNamed):
            for found in quirk.text.finditer(text):
                yield from (_top(name) for name in found[1].replace(" ", "").split(","))


def _extras(body: dict[str, Any]) -> Iterator[str]:
    for key in ("detail", "message", "errors"):
        for fault in body[key] if isinstance(body.get(key), list) else ():
            where = fault.get("loc") if isinstance(fault, dict) and fault.get("type") == EXTRA_FIELD else None
            if isinstance(where, list) and len(where) == 2 and where[0] == "body":  # noqa: PLR2004 (a field of the body)
                yield str(where[1])


def _top(name: str) -> str:
    """Return the top-level field of a name that may be a path, such as `tools[0].function`."""
    found = _WORD.search(name)
    return found[0] if found else ""
