"""One-line agents for tests and documentation, and as a lower bound that a real agent must exceed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fcpivot.core.model import FunctionCall, Message

if TYPE_CHECKING:
    from pytest_fcpivot.core.model import PivotView


def silent(_pivot: PivotView) -> None:
    """Return no action, which earns reward 0 at every pivot."""


def asks(_pivot: PivotView) -> Message:
    """Ask back at every pivot; under nemo-gym, the mean reward is then the share of pivots that expect a message."""
    return Message("Could you tell me a little more about that, please?")


def first_tool(pivot: PivotView) -> FunctionCall | None:
    """Call the first tool on offer without arguments."""
    return FunctionCall(pivot.tools[0]["name"], "{}") if pivot.tools else None
