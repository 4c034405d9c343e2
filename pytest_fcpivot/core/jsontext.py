"""Texts and JSON values prepared for reports: JSON paths, shortening, and escaping of what cannot be printed."""

from __future__ import annotations

import json
import re
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.unseen import ZWJ, ZWNJ, escape_all_unseen, escape_unseen, escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_KEY_WIDTH = 60
_LONGEST_LINE = 4096  # characters: enough for the longest file paths
_FIRST_LINES, _LAST_LINES = 50, 10  # the last lines of a message usually hold the advice
_PLAIN_KEY = re.compile(r"[^\W\d][\w-]*", re.ASCII)
# Signs of Arabic and related scripts that Unicode counts as format characters, although they are visible.
_SEEN_FORMATS = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
_KEPT = frozenset((*_SEEN_FORMATS, ZWJ, ZWNJ))


# Writes a string as ASCII JSON, five times as fast as json.dumps().
quoted: Callable[[str], str] = encode_basestring_ascii
# Writes any JSON value as ASCII JSON without spaces.
compact: Callable[[Any], str] = json.JSONEncoder(separators=(",", ":")).encode
_scan_once: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
# Writes any JSON value without escaping other scripts; json.dumps() would make a new encoder for each value.
_encode = json.JSONEncoder(ensure_ascii=False).encode


def decoded(text: str) -> Any:
    """Decode JSON as `json.loads` does; raises ValueError, or RecursionError if it is nested too deep.

    Text without white space around it, the usual case, takes a faster path.
    """
    try:
        value, end = _scan_once(text, 0)
    except StopIteration:
        return json.loads(text)
    return value if end == len(text) else json.loads(text)


def json_path(steps: Iterable[str | int]) -> str:
    """Write the keys and indexes that lead to a value as a JSON path: `$.filters[2].date`, `$["odd key"]`."""
    return "$" + "".join([_step(step) for step in steps])


def _step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    if len(step) <= _KEY_WIDTH and ((step.isascii() and step.isidentifier()) or _PLAIN_KEY.fullmatch(step)):
        return f".{step}"
    return f"[{_cut(_encode(step), _KEY_WIDTH)}]"


def printable(text: str) -> str:
    """Escape what a reader cannot see, and what terminals, XML and UTF-8 cannot hold; letters of all scripts stay.

    `unseen` says which characters these are. Tabs and line ends stay.
    """
    return escape_unseen(text)


def shows_as_it_is(text: str) -> bool:
    """Return whether a text is one line with nothing in it that `printable` would escape."""
    return (text.isascii() and text.isprintable()) or (
        "\n" not in text and "\t" not in text and text == printable(text)
    )


def on_screen(text: str) -> str:
    """Make any text fit for a screen: printable, with lines of a limited length and a limited number of lines.

    Every text that is shown passes through here last. Texts from data, models and servers are shortened earlier, to the
    room that their place offers; this is the safety net for those that were not.
    """
    lines = text.split("\n", _FIRST_LINES)
    if len(lines) > _FIRST_LINES:
        rest = lines.pop().rsplit("\n", _LAST_LINES)
        more = rest.pop(0).count("\n") + 1 if len(rest) > _LAST_LINES else 0
        lines += [f"… {more} more lines …", *rest] if more else rest
    return "\n".join([_cut(line, _LONGEST_LINE) for line in lines])


def _cut(text: str, limit: int) -> str:
    """Make a text printable and shorten it, without looking at what is left out of a long one."""
    return shorten(escape_unseen(_ends(text, limit)), limit)


def _ends(text: str, limit: int) -> str:
    """Cut the middle from a very long text, keeping more at both ends than `shorten` with this limit will show."""
    return text if len(text) <= 4 * limit else text[: 3 * limit] + text[-limit:]


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
    """Fold a text's white space, make it printable, and shorten it."""
    if len(text) <= limit and text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()  # the same result as below, in half the time
    return shorten(escape_unseen(" ".join(_ends(text, limit).split())), limit)


def visible(text: str, *, joiners: bool = False) -> str:
    r"""Escape, as JSON does, what a line cannot show: blanks other than the space, and invisible characters.

    Invisible characters that their script needs stay (see `core.unseen`), unless `joiners` is true. A tab becomes
    `\u0009`.
    """
    if text.isascii() and text.isprintable():
        return text
    text = escape_all_unseen(text) if joiners else escape_unseen(text)
    return text if text.isprintable() else "".join([e if e.isprintable() or e in _KEPT else escaped(e) for e in text])


def shown(value: Any, limit: int = 80) -> str:
    """Write a decoded JSON value as JSON of at most `limit` characters; blanks inside its texts are kept."""
    if isinstance(value, str) and len(value) > 2 * limit:
        value = value[: 2 * limit]
    elif isinstance(value, int) and value.bit_length() > 4 * limit:
        return f"an integer of {value.bit_length()} bits"
    try:
        text = str(value) if type(value) is int else _encode(value)
    except (ValueError, RecursionError):
        text = f"<{type(value).__name__}>"
    return shorten(visible(_ends(text, limit)), limit)
