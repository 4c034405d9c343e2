"""Options that several commands share."""

from __future__ import annotations

from typing import Any


def add_allow_damaged(command: Any) -> None:
    """Declare --allow-damaged, for commands that read results."""
    command.add_argument(
        "--allow-damaged",
        action="store_true",
        help="leave out and count lines of results that cannot be read, instead of refusing the run",
    )
