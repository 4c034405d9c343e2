"""Rows given as decoded values, read as the lines of a file are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fcpivot.data.conversations import Conversation, SkippedTurn
from pytest_fcpivot.data.rowreader import RowReader

if TYPE_CHECKING:
    from pytest_fcpivot.core.model import Pivot


def pivots_of(row: Any, line: int) -> list[Pivot | SkippedTurn]:
    """Return the pivots of a conversation and the assistant turns that are none, in order."""
    read = RowReader("conversation").read(row, line)
    assert isinstance(read, Conversation)
    return [turn if isinstance(turn, SkippedTurn) else turn.pivot() for turn in read.turns()]
