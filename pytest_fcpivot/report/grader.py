"""What reports say of the grader's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fcpivot.jsontext import printable

if TYPE_CHECKING:
    from collections.abc import Mapping


def shown_settings(settings: Mapping[str, Any]) -> str:
    """Write settings as --fc-grader-option takes them, one after the other."""
    return printable(" ".join(f"{key}={_plain(value)}" for key, value in settings.items()))


def settings_line(grader: Mapping[str, Any]) -> str | None:
    """Say which settings the grader has, and why; None where they belong to the grader alone."""
    if "cause" not in grader:
        return None
    return f"grader settings: {shown_settings(grader['settings'])} ({printable(str(grader['cause']))})"


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
