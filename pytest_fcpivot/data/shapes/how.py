"""How a row is to be read, and what was seen while it was."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

CallsInText = Literal["hermes"]
CALLS_IN_TEXT: tuple[CallsInText, ...] = ("hermes",)


@dataclass(slots=True)
class How:
    """What is asked of the readers of one row: `odd` is what its file did to it; `shape` is what they found."""

    calls_in_text: CallsInText | None = None
    odd: frozenset[str] = frozenset()
    shape: str = ""
    flags: set[str] = field(default_factory=set)

    def saw(self, shape: str) -> None:
        """Note the shape that the row has; the more special one is told last."""
        self.shape = shape
