"""JSON as people read it in reports: decoded by the verifier's rules, shortened, printable, and paths into it."""

from __future__ import annotations

import json
import re
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_KEY_WIDTH = 60
_JOINERS = "\u200c\u200d"
_LAST_ASCII = 0x7F
_PLAIN_KEY = re.compile(r"[^\W\d][\w-]*", re.ASCII)
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


# Write a string as JSON, in ASCII; json.dumps() takes five times as long for one.
quoted: Callable[[str], str] = encode_basestring_ascii
# Write any JSON value without spaces, in ASCII.
compact: Callable[[Any], str] = json.JSONEncoder(separators=(",", ":")).encode


# Likewise in any script: json.dumps() makes a new encoder for each value.
_encode = json.JSONEncoder(ensure_ascii=False).encode


def json_path(steps: Iterable[str | int]) -> str:
    """Write the way to a value as a JSON path: `$.filters[2].date`, `$["odd key"]`."""
    return "$" + "".join([_step(step) for step in steps])


def _step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    if len(step) <= _KEY_WIDTH and ((step.isascii() and step.isidentifier()) or _PLAIN_KEY.fullmatch(step)):
        return f".{step}"
    return f"[{printable(shorten(_encode(step), _KEY_WIDTH))}]"


def printable(text: str) -> str:
    """Escape what terminals, XML and UTF-8 cannot hold: control characters, lone surrogates."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def well_formed(text: str) -> str:
    """Escape lone surrogates, which UTF-8 cannot hold."""
    return text.encode("utf-8", "backslashreplace").decode()


def shorten(text: str, limit: int) -> str:
    """Cut a text to `limit` characters, keeping both ends, which is where texts differ."""
    if len(text) <= limit:
        return text
    tail = limit // 4
    return f"{text[: limit - tail - 1]}…{text[-tail:]}"


def one_line(text: str, limit: int = 160) -> str:
    """Fold a text's white space, shorten it, and make it printable."""
    if len(text) <= limit and text.isprintable() and "  " not in text:
        return text.strip()  # as below, at half the time
    cut = text if len(text) <= 4 * limit else text[: 3 * limit] + text[-limit:]
    return printable(shorten(" ".join(cut.split()), limit))


def visible(text: str, *, joiners: bool = False) -> str:
    r"""Escape, as JSON does, what a line cannot show: blanks other than the space, and characters without a shape.

    The joiners of emoji and of several scripts are left, unless `joiners` is set. A tab is `\u0009`.
    """
    if text.isprintable():
        return text
    return "".join([each if each.isprintable() else _escaped(each, joiners=joiners) for each in text])


def _escaped(character: str, *, joiners: bool) -> str:
    if character in _JOINERS and not joiners:
        return character
    return quoted(character)[1:-1] if ord(character) > _LAST_ASCII else f"\\u{ord(character):04x}"


def shown(value: Any, limit: int = 80) -> str:
    """Write a decoded JSON value as short JSON, with the blanks that texts in it have."""
    if isinstance(value, str) and len(value) > 2 * limit:
        value = value[: 2 * limit]
    elif isinstance(value, int) and value.bit_length() > 4 * limit:
        return f"an integer of {value.bit_length()} bits"
    try:
        text = str(value) if type(value) is int else _encode(value)
    except (ValueError, RecursionError):
        text = f"<{type(value).__name__}>"
    if len(text) > 4 * limit:
        text = text[: 3 * limit] + text[-limit:]
    return shorten(visible(text), limit)
