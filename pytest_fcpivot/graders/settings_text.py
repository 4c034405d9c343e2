"""Write the grader's settings for reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.jsontext import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping


def shown_settings(settings: Mapping[str, Any]) -> str:
    """Return settings as KEY=VALUE separated by spaces, as --fc-grader-option takes them."""
    return " ".join(f"{one_line(key)}={one_line(_plain(value))}" for key, value in settings.items())


def settings_line(grader: Mapping[str, Any]) -> str | None:
    """Return the line about the grader's settings and their cause; None if the settings do not depend on the data."""
    if "cause" not in grader:
        return None
    return f"grader settings: {shown_settings(grader['settings'])} ({one_line(str(grader['cause']), 400)})"


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
