"""How a session that cannot go on is ended before its tests are over."""

from __future__ import annotations

from pytest_fcpivot.core.jsontext import one_line


def stopping(reason: str) -> str:
    """Write what pytest says of a session that is stopped, on one line."""
    return f"fcpivot: {one_line(reason, 1000)}"
