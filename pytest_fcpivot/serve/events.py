"""Server-sent events, in which ORS sends the id of a session and the result of a call.

Both official clients strip blanks from the beginning of each piece of data, read lines that end in a line feed, and put
the pieces together again. So texts are ASCII, in pieces that neither begin nor end with a blank.
"""

from __future__ import annotations

import json
from typing import Any

PIECE = 4096  # characters, the size that other servers of the standard use
PING = b":\n\n"  # a comment: clients give up if nothing comes for 30 seconds
_BLANK = "\\u0020"


def event(name: str, data: str) -> bytes:
    """Return one event; the data must be ASCII without line ends."""
    return f"event: {name}\ndata: {data}\n\n".encode("ascii")


def result(value: Any) -> bytes:
    """Return a value as JSON: all events of it, the last of which is `end`."""
    # Without blanks between members, each blank is in a string, where it may also be written as an escape.
    text = json.dumps(value, separators=(",", ":"))
    if len(text) <= PIECE:
        return event("end", text)
    parts = [_without_outer_blanks(text[start : start + PIECE]) for start in range(0, len(text), PIECE)]
    return b"".join([*(event("chunk", part) for part in parts[:-1]), event("end", parts[-1])])


def error(text: str) -> bytes:
    """Return the event for a call that failed; its text is not JSON, and has one line."""
    return event("error", text.encode("ascii", "backslashreplace").decode().replace("\r", " ").replace("\n", " "))


def _without_outer_blanks(part: str) -> str:
    if part.startswith(" "):
        part = _BLANK + part[1:]
    return part[:-1] + _BLANK if part.endswith(" ") else part
