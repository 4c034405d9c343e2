"""The stored answers that an audit grades again, and what all sources of them have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_fcpivot.core.model import Action, Pivot
    from pytest_fcpivot.graders import Grader


@dataclass(frozen=True, slots=True)
class Result:
    """One graded answer: what was recorded about it, and the pivot and the action to grade again."""

    test: str
    name: str  # the pivot's id, with the repeat
    trajectory_id: str
    pivot: Pivot
    action: Action
    reward: float | None
    category: str | None
    schema: str | None
    repeat: int = 1
    redacted: bool = False  # the action was graded with a secret in it that was removed when it was stored

    @property
    def tool(self) -> str | None:
        """The tool of the first expected call; None if a message is expected."""
        calls = self.pivot.expected_action.calls
        return calls[0].name if calls else None

    @property
    def is_message(self) -> bool:
        """Whether a message was expected and the answer is a message."""
        return not self.pivot.expected_action.calls and not self.action.calls and self.action.message is not None


class Stored(Protocol):
    """A source of graded answers that can be audited.

    `grader` is the run's own grader, None if it cannot be made; `grader_name` is its recorded name. `scores_messages`
    is true if the recorded rewards of messages are scores, and `judged` if a model gave these. `errors` and `notes` are
    complete only after all results have been read.
    """

    path: Path
    agent: str
    grader_name: str
    grader: Grader | None
    pass_mark: float
    strict_schema: bool
    scores_messages: bool
    judged: bool
    errors: int
    notes: list[str]

    def results(self) -> Iterator[Result]: ...  # noqa: D102
