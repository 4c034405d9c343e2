"""Print lines for people."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pytest_fcpivot.core.jsontext import on_screen

if TYPE_CHECKING:
    from typing import TextIO


def say(text: str, stream: TextIO | None = None) -> None:
    """Print text with control characters escaped, which data, runs or servers may have put into it."""
    print(on_screen(text), file=stream)


def say_error(text: str) -> None:
    """Print an error message to stderr, without secrets."""
    from pytest_fcpivot.core.redact import Redactor  # noqa: PLC0415 (only for an error)

    say(f"fcpivot: {Redactor()(text)}", sys.stderr)
