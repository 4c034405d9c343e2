"""Lines for people."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pytest_fcpivot.core.jsontext import on_screen

if TYPE_CHECKING:
    from typing import TextIO


def say(text: str, stream: TextIO | None = None) -> None:
    """Write lines for people, which may hold what data, runs and servers said."""
    print(on_screen(text), file=stream)


def say_error(text: str) -> None:
    """Write why the command ends, without secrets."""
    from pytest_fcpivot.core.redact import Redactor  # noqa: PLC0415 (only for an error)

    say(f"fcpivot: {Redactor()(text)}", sys.stderr)
