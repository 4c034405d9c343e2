"""The reason that pytest shows if we stop a session before all of its tests have run."""

from __future__ import annotations

from pytest_fcpivot.core.jsontext import one_line


def stopping(reason: str) -> str:
    """Write the reason for `session.shouldstop`, shortened to one line."""
    return f"fcpivot: {one_line(reason, 1000)}"
