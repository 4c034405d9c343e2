"""Options that several commands have."""

from __future__ import annotations

from typing import Any


def add_allow_damaged(command: Any) -> None:
    """Declare the option of commands that read results."""
    command.add_argument(
        "--allow-damaged", action="store_true", help="leave out lines of results that cannot be read, and count them"
    )
