"""The state of one test, from its setup to its teardown."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot.core.answer_flags import READ_DIFFERENTLY, flags_of
from pytest_fcpivot.core.usage import usage_of
from pytest_fcpivot.runs.output import action_json, output_json
from pytest_fcpivot.runs.record import RUN_AGAIN, CaseRecord
from pytest_fcpivot.schema.toolset import tool_set

if TYPE_CHECKING:
    from pytest_fcpivot.calls.call import Call
    from pytest_fcpivot.core.model import Action, Grade, Pivot, SchemaVerdict
    from pytest_fcpivot.core.shapes import Reading
    from pytest_fcpivot.runs.answers import StoredAnswer
    from pytest_fcpivot.runs.record import Scoring
    from pytest_fcpivot.session.scoring import Held, Scored

NOT_ASKED = object()

Graded = tuple[Any, ...]
# The parts of a graded case that are kept in case another plugin runs the test again: all but the conversation.
_GRADED = (
    *("stored", "output", "action", "grade", "scored", "verdict"),
    *("latency_s", "attempts", "retried", "cause"),
)
_graded = attrgetter(*_GRADED)


@dataclass(slots=True)
class Case:
    """A test's pivot and repeat, its call or its stored answer, and its grade.

    `judging` is a question that the judge of messages was asked ahead of the test, and `scored` its result. `latency_s`
    is the duration of the last attempt, `waited_s` the time that the test waited, both in seconds. `cause` names the
    fault behind an error, `note` is an explanation shown beside it, and `refusal` has the words in which the model's
    server refused the request. `reading` is what was read of `output`, None if that has to be read again.
    """

    pivot: Pivot
    repeat: int = 1
    call: Call | None = None
    stored: StoredAnswer | None = None
    output: Any = NOT_ASKED
    reading: Reading | None = None
    action: Action | None = None
    grade: Grade | None = None
    judging: Held | None = None
    scored: Scored | None = None
    ungraded: bool = False  # the grader gave no verdict
    verdict: SchemaVerdict | None = None
    latency_s: float = 0.0
    waited_s: float = 0.0
    attempts: int = 0
    retried: tuple[str, ...] = ()
    cause: str | None = None
    note: str | None = None
    refusal: str | None = None
    raised: pytest.ExceptionInfo[BaseException] | None = None  # what ended the setup or the call
    before: tuple[str, ...] | None = None  # why the attempts of earlier runs of this test failed

    def graded(self) -> Graded:
        """Return the values of a graded case that `take` needs."""
        return _graded(self)

    def take(self, graded: Graded) -> None:
        """Take over the answer and the grade that the same test had when it was run before."""
        for name, value in zip(_GRADED, graded, strict=True):
            setattr(self, name, value)

    def reasons(self) -> tuple[str, ...]:
        """Return why each attempt before the last one failed, including those of earlier runs of the same test."""
        return self.retried if self.before is None else (*self.before, RUN_AGAIN, *self.retried)

    def record(self, *, error: str | None, own: bool) -> CaseRecord:
        """Make the record of the case; `error`: why there is no grade; `own`: the test is the pivot's own item."""
        expected, action, grade = self.pivot.expected_action, self.action, self.grade
        stored = self.stored
        output = None if self.output is NOT_ASKED else self.output
        usage = usage_of(output) if stored is None else stored.usage
        return CaseRecord(
            pivot_id=self.pivot.id,
            trajectory_id=self.pivot.trajectory_id,
            expected=expected.kind,
            tool=expected.calls[0].name if expected.calls else None,
            repeat=self.repeat,
            actual=None if action is None else action.kind,
            reward=None if grade is None else grade.reward,
            category=None if grade is None else grade.category,
            path=None if grade is None else grade.path,
            schema=None if self.verdict is None else self.verdict.status,
            explanation=None if grade is None else grade.explanation,
            output_json=None if self.output is NOT_ASKED else output_json(self.output, self.reading),
            action_json=action_json(action),
            usage=None if usage is None else usage.counts(),
            latency_s=self.latency_s,
            attempts=self.attempts + (0 if self.before is None else len(self.before) + 1),
            retried=self.reasons(),
            error=error,
            cause=None if error is None else self.cause,
            own=own,
            kept=stored is not None and stored.reported,
            judge=self._scoring(),
            paths=() if grade is None else grade.paths,
            further_paths=0 if grade is None else grade.further_paths,
            halves=None if grade is None else grade.halves,
            flags=self._flags(),
            refusal=None if error is None else self.refusal,
            redacted=stored is not None and stored.redacted,
            length=None if action is None else action.length,
        )

    def _scoring(self) -> Scoring | None:
        if self.stored is not None and self.stored.first is not None:
            return self.stored.first.scoring
        return None if self.scored is None else self.scored.to_builtins()

    def _flags(self) -> tuple[str, ...]:
        if self.output is NOT_ASKED:
            return ()
        if self.stored is not None and self.stored.redacted:
            return () if self.stored.first is None else self.stored.first.flags
        message = self.action is not None and self.action.message is not None
        names = tool_set(self.pivot.tools_json).names if message else frozenset()
        flags = flags_of(self.output, self.action, names, self.reading)
        recorded = None if self.stored is None else self.stored.action
        return flags if recorded in (None, self.action) else (*flags, READ_DIFFERENTLY)


CASE = pytest.StashKey[Case]()
FIRST_GRADED = pytest.StashKey[Graded]()  # of a test that another plugin may run again
EARLIER_REASONS = pytest.StashKey[tuple[str, ...]]()  # of one that ended in an error


def case_of(node: pytest.Item, pivot: Pivot) -> Case:
    """Return the case of a test, or a new one: a user's own `pivot` fixture may have replaced the pivot."""
    case = node.stash.get(CASE, None)
    if case is None or case.pivot is not pivot:
        case = node.stash[CASE] = Case(pivot)
    return case
