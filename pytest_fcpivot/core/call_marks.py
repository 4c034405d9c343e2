"""A cheap first test whether a message may contain a call written as text, so that `core.dialects` is rarely needed."""

from __future__ import annotations

import re

_BEGINS_LIKE_CALL = re.compile(r"\s*(?:\{|[\w.\-/]+\s*[({:])")


def may_attempt_call(text: str) -> bool:
    """Return whether a message may hold a call in any dialect; cheaply rules out nearly all messages."""
    return (
        "<" in text
        or "[" in text
        or "```" in text
        or "to=functions." in text
        or _BEGINS_LIKE_CALL.match(text) is not None
    )
