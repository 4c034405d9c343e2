"""The quick look at a message for calls that are written in it as text, before `core.dialects` reads it."""

from __future__ import annotations

import re

_BEGINS_LIKE_CALL = re.compile(r"\s*(?:\{|[\w.\-/]+\s*[({:])")


def may_attempt_call(text: str) -> bool:
    """Tell whether a message may attempt a call in any dialect; False for nearly all messages, at hardly any cost."""
    return (
        "<" in text
        or "[" in text
        or "```" in text
        or "to=functions." in text
        or _BEGINS_LIKE_CALL.match(text) is not None
    )
