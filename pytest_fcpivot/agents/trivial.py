"""Agents of one line, for tests, for docs, and as the floor that a real agent must clear."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fcpivot.core.model import FunctionCall, Message

if TYPE_CHECKING:
    from pytest_fcpivot.core.model import PivotView


def silent(_pivot: PivotView) -> None:
    """Answer nothing: reward 0 everywhere."""


def asks(_pivot: PivotView) -> Message:
    """Ask back, always: its reward under nemo-gym is the share of expected messages."""
    return Message("Could you tell me a little more about that, please?")


def first_tool(pivot: PivotView) -> FunctionCall | None:
    """Call the first tool on offer without arguments."""
    return FunctionCall(pivot.tools[0]["name"], "{}") if pivot.tools else None
