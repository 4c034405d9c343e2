"""The settings for reading one row, and what the readers found out about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

CallsInText = Literal["hermes"]
CALLS_IN_TEXT: tuple[CallsInText, ...] = ("hermes",)


@dataclass(slots=True)
class How:
    """The settings for reading one row: `odd` holds flags of its file's format; readers set `shape` and `flags`."""

    calls_in_text: CallsInText | None = None
    odd: frozenset[str] = frozenset()
    shape: str = ""
    flags: set[str] = field(default_factory=set)

    def saw(self, shape: str) -> None:
        """Record the row's shape; a reader that recognises a more specific shape calls this last."""
        self.shape = shape
