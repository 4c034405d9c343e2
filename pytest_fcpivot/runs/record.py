"""The record of one test's result: how a worker sends it to the controller, and its line in `results.jsonl`."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from math import isfinite
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.actions import MALFORMED_OUTPUT
from pytest_fcpivot.core.jsontext import quoted, well_formed
from pytest_fcpivot.core.usage import Usage
from pytest_fcpivot.graders.categories import OURS
from pytest_fcpivot.runs.output import action_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fcpivot.core.redact import Redactor
    from pytest_fcpivot.data.store import IndexEntry
    from pytest_fcpivot.runs.reader import ResultLine

# Stands among the causes of retries where a plugin ran the test again after an error, and the agent was asked anew.
RUN_AGAIN = "test run again"

# The fields with text that users' code or servers wrote, besides the category and the judge's reason.
_SAID = ("path", "explanation", "error", "cause", "refusal")

Scoring = tuple[str, float | None, str, tuple[int, int, int, int] | None, str | None]


@dataclass(slots=True)
class CaseRecord:
    """One test's result; `reward` is None if there was no answer to grade, and `error` is then the reason.

    `output_json` and `action_json` hold JSON text. `usage` counts the tokens of input, cached input, output and
    reasoning; `latency_s` is in seconds. `retried` has the cause of each attempt before the last one, `cause` the kind
    of fault behind an error. `own`: this is a pivot's own item, and not a user's own test that takes the `pivot`
    fixture. `kept`: the result is in results.jsonl already. `paths`, `further_paths` and `halves` are as in a Grade,
    and in the file only if a grader gives them. `judge` has who scored a message (`asked`, `cached`, or `keyword`
    instead of the judge), the score, the reason, the tokens, and the fault of a judge that gave no score. `flags` names
    oddities of the answer, as `answer_flags` does. `refusal` has the words in which a server refused the request; in
    the file they are the error. `redacted`: a secret in the answer was replaced by ***, so that it cannot be graded
    again. `length` is that of the answer in characters: of the message, or of all arguments; it is not in the file.
    """

    pivot_id: str
    trajectory_id: str
    expected: str
    tool: str | None
    repeat: int = 1
    actual: str | None = None
    reward: float | None = None
    category: str | None = None
    path: str | None = None
    schema: str | None = None
    explanation: str | None = None
    output_json: str | None = None
    action_json: str | None = None
    usage: tuple[int, int, int, int] | None = None
    latency_s: float = 0.0
    attempts: int = 0
    retried: tuple[str, ...] = ()
    error: str | None = None
    cause: str | None = None
    own: bool = True
    kept: bool = False
    paths: tuple[str, ...] = ()
    further_paths: int = 0
    halves: tuple[float, float] | None = None
    judge: Scoring | None = None
    flags: tuple[str, ...] = ()
    refusal: str | None = None
    redacted: bool = False
    length: int | None = None

    @classmethod
    def of_entry(cls, entry: IndexEntry, repeat: int, error: str | None, *, own: bool) -> CaseRecord:
        """Make the record of a test that did not read its pivot: after a crash, a failing fixture, or a skip."""
        tool = entry.expected_names[0] if entry.expected_names else None
        return cls(entry.id, entry.trajectory_id, entry.expected_type, tool, repeat=repeat, error=error, own=own)

    @classmethod
    def of_line(cls, line: ResultLine, *, own: bool) -> CaseRecord:
        """Make a record from a line of `results.jsonl`, with all that is counted, but without the long texts.

        The action, which tells how an answer went wrong, is there only if the reward is not the whole one.
        """
        wrong = line.reward is not None and line.reward < 1.0
        return cls(
            pivot_id=line.pivot_id,
            trajectory_id=line.trajectory_id,
            expected=line.expected,
            tool=line.tool,
            repeat=line.repeat,
            actual="none" if line.kind == MALFORMED_OUTPUT else line.kind,  # as the action's kind is in a session
            reward=line.reward,
            category=line.category,
            path=line.path if wrong else None,
            schema=line.schema,
            action_json=action_json(line.graded()) if wrong and line.has_action else None,
            usage=None if line.usage is None else line.usage.counts(),
            latency_s=line.latency_s,
            attempts=line.attempts,
            retried=tuple(line.retried),
            flags=tuple(line.flags),
            error=line.error,
            cause=line.cause,
            own=own,
            judge=None if line.judge is None else line.judge.scoring(),
            redacted=line.redacted,
            length=line.graded().length if line.has_action else None,
        )

    def to_builtins(self) -> tuple[Any, ...]:
        """Return the record as a tuple of builtins with text that UTF-8 can hold, so that pytest-xdist can send it."""
        values: tuple[Any, ...] = _all_fields(self)
        if (
            self.error is None
            and self.path is None
            and self.judge is None
            and self.trajectory_id.isascii()
            and (self.tool or "").isascii()
        ):
            return values  # quick way: all text is ASCII, as the JSON texts always are
        return tuple(_sendable(value) for value in values)

    @classmethod
    def from_builtins(cls, values: tuple[Any, ...]) -> CaseRecord:
        """Read what `to_builtins` wrote."""
        return cls(*values)

    def hide_secrets(self, redact: Redactor) -> None:
        """Remove secrets from all text of users' code or servers; sets `redacted` if that changes the answer.

        In the answer, which may be graded again, only secrets that ordinary text cannot contain are replaced. The names
        of tests, pivots and tools are left unchanged.
        """
        for name in _SAID:
            text = getattr(self, name)
            if text:
                setattr(self, name, redact(text))
        if self.category is not None:
            self.category = shown_category(self.category, redact)
        if self.paths:
            self.paths = tuple(map(redact, self.paths))
        if self.retried:
            self.retried = tuple(reason if reason == RUN_AGAIN else redact(reason) for reason in self.retried)
        if self.judge is not None:
            by, score, reason, tokens, cause = self.judge
            self.judge = by, score, redact(reason), tokens, None if cause is None else redact(cause)
        if not redact.is_in_answer(self.output_json, self.action_json):
            return  # nearly always, after one look at the environment
        for name in ("output_json", "action_json"):
            text = getattr(self, name)
            clean = text and redact.answer(text)
            if clean != text:
                setattr(self, name, clean)
                self.redacted = True

    def line(self, test: str, outcome: str, cost: float | None = None) -> str:
        """Return the record as one line of `results.jsonl`, without a newline; `test` is the node id."""
        partial: dict[str, Any] = {}
        if self.paths:
            partial["paths"] = self.paths
        if self.further_paths:
            partial["further_paths"] = self.further_paths
        if self.halves is not None:
            partial["halves"] = self.halves
        if self.judge is not None:
            by, score, reason, tokens, cause = self.judge
            judged = {"by": by, "score": score, "reason": reason, "cause": cause}
            partial["judge"] = judged | {"usage": None if tokens is None else Usage(*tokens).to_builtins()}
        if self.flags:
            partial["flags"] = self.flags
        if self.redacted:
            partial["redacted"] = True
        usage = None if self.usage is None else Usage(*self.usage).to_builtins()
        retried = _json(self.retried) if self.retried else "[]"
        # Written member by member, in half the time that the JSON encoder takes for a dict of them.
        return (
            f'{{"pivot_id": {_json(self.pivot_id)}, "repeat": {self.repeat}, "outcome": {_json(outcome)}, '
            f'"reward": {_json(self.reward)}, "category": {_json(self.category)}, "path": {_json(self.path)}, '
            f"{json.dumps(partial)[1:-1] + ', ' if partial else ''}"
            f'"schema": {_json(self.schema)}, "explanation": {_json(self.explanation)}, "usage": {_json(usage)}, '
            f'"cost": {_json(cost)}, "latency_s": {_json(round(self.latency_s, 6))}, "attempts": {self.attempts}, '
            f'"retried": {retried}, "error": {_json(self.error)}, "cause": {_json(self.cause)}, '
            f'"trajectory_id": {_json(self.trajectory_id)}, "expected": {_json(self.expected)}, '
            f'"tool": {_json(self.tool)}, "test": {_json(test)}, '
            f'"action": {self.action_json or "null"}, "output": {self.output_json or "null"}}}'
        )


def _json(value: Any) -> str:
    """Write a value as json.dumps() does, the usual ones in a fraction of the time."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return quoted(value)
    return repr(value) if type(value) is float and isfinite(value) else json.dumps(value)


def shown_category(category: str, redact: Callable[[str], str]) -> str:
    """Return a category without secrets, which a grader of a user's own may put there."""
    return category if category in OURS else redact(category)


def _sendable(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_sendable(part) for part in value)
    return well_formed(value) if isinstance(value, str) else value


_all_fields = attrgetter(*(field.name for field in fields(CaseRecord)))
