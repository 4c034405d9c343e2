"""Fields of a request that a server refuses: which one an error means, and what can be done."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_REFUSING = (400, 422)
_CODES = frozenset(("unsupported_parameter", "unknown_parameter", "unsupported_value"))
_EXTRA = "extra_forbidden"  # pydantic's, as vLLM, LiteLLM and Mistral have it
_BY_NAME = re.compile(
    r"(?i)(?:unsupported parameter|unknown parameter|unsupported value|unrecognized request arguments? supplied"
    r"|unknown field|unrecognized field|unexpected keyword argument)s?\s*:?\s*((?:[`'\"]?[\w.]+[`'\"]?(?:,\s*)?)+)"
)
_BY_VERB = re.compile(
    r"(?i)[`'\"]([\w.]+)[`'\"](?: (?:parameter|argument|field|property|option))? (?:is|are)"
    r" (?:not supported|unsupported|not permitted|not allowed|not recognized|unknown|deprecated)"
)
_EXTRA_IN_TEXT = re.compile(rf"{_EXTRA}['\"],\s*['\"]loc['\"]:\s*[\[(]\s*['\"]body['\"],\s*['\"](\w+)['\"]\s*[\])]")
_WORD = re.compile(r"\w+")


def refused_field(error: BaseException, fields: Collection[str]) -> str | None:
    """Name the one of these fields that an error says the server does not take; None if it says no such thing."""
    if getattr(error, "status_code", None) not in _REFUSING:
        return None
    return next((name for name in _named(error) if name in fields), None)


def _named(error: BaseException) -> Iterator[str]:
    """Yield the fields that an error names as refused, the surest first."""
    body = getattr(error, "body", None)
    if isinstance(body, dict):
        param = body.get("param")
        if isinstance(param, str) and body.get("code") in _CODES:
            yield _top(param)
        yield from _extras(body)
    text = f"{error} {getattr(getattr(error, 'response', None), 'text', '')}".replace("\\", "")
    for found in _BY_NAME.finditer(text):
        yield from (_top(name) for name in found[1].replace(" ", "").split(","))
    for pattern in (_BY_VERB, _EXTRA_IN_TEXT):
        yield from (_top(found[1]) for found in pattern.finditer(text))


def _extras(body: dict[str, Any]) -> Iterator[str]:
    for key in ("detail", "message", "errors"):
        for fault in body[key] if isinstance(body.get(key), list) else ():
            where = fault.get("loc") if isinstance(fault, dict) and fault.get("type") == _EXTRA else None
            if isinstance(where, list) and len(where) == 2 and where[0] == "body":  # noqa: PLR2004 (a field of the body)
                yield str(where[1])


def _top(name: str) -> str:
    """Return the field of the body that a name, perhaps of something within it, begins with."""
    found = _WORD.search(name)
    return found[0] if found else ""
