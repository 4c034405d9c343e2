"""Group answers without the whole reward by how they went wrong: signatures, ranked by the reward that they cost."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from pytest_fcpivot.core.actions import MALFORMED_OUTPUT
from pytest_fcpivot.graders import categories as names
from pytest_fcpivot.runs.damage import Damages
from pytest_fcpivot.runs.directory import RunDirectory
from pytest_fcpivot.runs.reader import Damage, ResultLine, results_in
from pytest_fcpivot.runs.rewards import place_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pytest_fcpivot.runs.record import CaseRecord
    from pytest_fcpivot.runs.rewards import PivotRewards

A_MESSAGE, NOTHING, UNREADABLE = "a message", "nothing", "unreadable output"
_MORE = " + …"
_POSITION = re.compile(r"\[\d+\]")
# What went wrong, in words, for the categories that say nothing else than that.
_WORDS = {
    names.NO_EXPECTED_TOOL_CALL: "no call",
    names.NO_EXPECTED_CHAT_MESSAGE: "no message",
    names.UNEXPECTED_TOOL: "another function is called",
    names.ARGUMENTS_DECODE_ERROR: "the arguments are not JSON",
    names.VALUE_TYPE_DIFFERENT: "the value has another type",
    names.OBJECT_KEYS_DIFFERENT: "the object has other keys",
    names.LIST_LENGTH_DIFFERENT: "the list has another length",
    names.VALUE_DIFFERENT: "the value differs",
    names.BATCH_LENGTH_DIFFERENT: "another number of calls",
    names.CHAT_MESSAGE_DIFFERENT: "the message differs",
    names.CHAT_MESSAGE_PARTLY_EXPECTED: "the message is partly as expected",
    names.ACTION_DIFFERENT: "the call differs",
    names.ACTION_PARTLY_EXPECTED: "the call is partly as expected",
    names.SCHEMA_INVALID: "the arguments break the schema",
}


# The same as the heading of a group, where the words beside two names would not be enough.
_HEADINGS = {
    names.NO_EXPECTED_TOOL_CALL: "a message in place of a call",
    names.NO_EXPECTED_CHAT_MESSAGE: "a call in place of a message",
    names.ARGUMENTS_DECODE_ERROR: "arguments that are not JSON",
    names.VALUE_TYPE_DIFFERENT: "a value of another type in the arguments",
    names.OBJECT_KEYS_DIFFERENT: "other keys in the arguments",
    names.LIST_LENGTH_DIFFERENT: "a list of another length in the arguments",
    names.VALUE_DIFFERENT: "another value in the arguments",
    names.CHAT_MESSAGE_DIFFERENT: "a message that differs",
    names.CHAT_MESSAGE_PARTLY_EXPECTED: "a message that is partly as expected",
    names.ACTION_DIFFERENT: "a call that differs",
    names.ACTION_PARTLY_EXPECTED: "a call that is partly as expected",
    names.SCHEMA_INVALID: "arguments that break the schema",
}


class Signature(NamedTuple):
    """How an answer went wrong: the category, what was expected and what came, and where they differ.

    `expected` and `answered` are the name of the function that is called first, followed by " + …" where there are
    several calls, or what else there is: a message, nothing, output that could not be read. `is_call` tells for each of
    the two whether it is the name of a function. `path` is the JSON path of the first difference in the arguments, with
    `*` for each position in a list; None if there is none.
    """

    category: str
    expected: str
    answered: str
    is_call: tuple[bool, bool]
    path: str | None

    @property
    def problem(self) -> str:
        """What went wrong, in a few words; a category of a user's own grader is left as it is."""
        if self.category == names.NO_ACTION_FOUND:
            return "no answer in it" if self.answered == UNREADABLE else "neither a call nor a message"
        return _WORDS.get(self.category, self.category)

    @property
    def heading(self) -> str:
        """What went wrong, whatever the functions and the place: the name of the group that the signature is in."""
        return _HEADINGS.get(self.category, self.problem)

    @property
    def label(self) -> str:
        """The signature on one line; the names in it are as models and data wrote them, and must be made printable."""
        where = self.expected if self.expected == self.answered else f"{self.expected} → {self.answered}"
        return f"{where}{f' {self.path}' if self.path else ''}: {self.problem}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """The answers of one signature: how many there are, the reward that they cost, and how many of them failed.

    `example` is the node id of one of them, the first by its text.
    """

    signature: Signature
    count: int
    lost: float
    failed: int
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseGroup:
    """The causes with one heading, those that cost the most first, and the sums of their figures."""

    heading: str
    count: int
    lost: float
    failed: int
    causes: tuple[Cause, ...]


@dataclass(slots=True)
class _Found:
    lost: list[float] = field(default_factory=list)
    failed: int = 0
    example: str | None = None


class Signatures:
    """Counts answers that were not fully rewarded by their signature; the figures do not depend on the order."""

    def __init__(self) -> None:
        self._found: dict[Signature, _Found] = {}

    def __contains__(self, signature: Signature) -> bool:
        return signature in self._found

    def add(self, result: CaseRecord | ResultLine, test: str, *, passed: bool) -> None:
        """Count the graded answer of a test (a node id), unless it has the whole reward."""
        signature = signature_of(result)
        if signature is not None and result.reward is not None:
            self.count(signature, result.reward, test, passed=passed)

    def count(self, signature: Signature, reward: float, test: str, *, passed: bool) -> None:
        """Count an answer of a signature."""
        found = self._found.setdefault(signature, _Found())
        found.lost.append(1.0 - reward)
        found.failed += not passed
        found.example = test if found.example is None else min(found.example, test)

    def ranked(self) -> tuple[Cause, ...]:
        """Return the causes, those that cost the most first."""
        causes = (
            Cause(
                signature=signature,
                count=len(found.lost),
                lost=math.fsum(found.lost),
                failed=found.failed,
                example=found.example or "",
            )
            for signature, found in self._found.items()
        )
        return tuple(sorted(causes, key=lambda cause: (-cause.lost, -cause.count, *map(str, cause.signature))))


def signature_of(result: CaseRecord | ResultLine) -> Signature | None:
    """Return the signature of a result; None for an error, and for the whole reward."""
    if result.reward is None or result.reward >= 1.0:
        return None
    expects_call = result.tool is not None
    several = _MORE if result.expected == "function_call_batch" else ""
    expected = f"{result.tool}{several}" if expects_call else A_MESSAGE
    answered, is_call = answered_with(result)
    path = None if result.path is None else _POSITION.sub("[*]", result.path)
    return Signature(result.category or "", expected, answered, (expects_call, is_call), path)


def answered_with(result: CaseRecord | ResultLine) -> tuple[str, bool]:
    """Return what an answer is, as a signature has it, and whether that is the name of a function."""
    if isinstance(result, ResultLine):
        action = result.graded()
        if action.calls:
            return f"{action.calls[0].name}{_MORE if len(action.calls) > 1 else ''}", True
        if action.malformed is not None:
            return UNREADABLE, False
        return (NOTHING if action.message is None else A_MESSAGE), False
    # a record has its action as text, which is in the form that the line has
    action = json.loads(result.action_json or "null")
    kind = None if action is None else action["type"]
    if kind == "function_call":
        return action["name"], True
    if kind == "function_call_batch":
        return f"{action['calls'][0]['name']}{_MORE}", True
    return {"message": A_MESSAGE, MALFORMED_OUTPUT: UNREADABLE}.get(str(kind), NOTHING), False


def grouped(causes: Iterable[Cause]) -> tuple[CauseGroup, ...]:
    """Group ranked causes by their headings; the groups that cost the most come first."""
    members: dict[str, list[Cause]] = {}
    for cause in causes:
        members.setdefault(cause.signature.heading, []).append(cause)
    groups = [
        CauseGroup(
            heading=heading,
            count=sum(cause.count for cause in each),
            lost=math.fsum(cause.lost for cause in each),
            failed=sum(cause.failed for cause in each),
            causes=tuple(each),
        )
        for heading, each in members.items()
    ]
    return tuple(sorted(groups, key=lambda group: (-group.lost, -group.count, group.heading)))


Keys = frozenset[tuple[str, str]]  # pivots by what ran them and their ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """The signatures of a run beside those of another one: which are new, and which of the other's are gone.

    A signature is new if the other run has no such answer, and gone if this one has none, on the pivots that both have
    graded answers to. What only one of them was asked about is neither.
    """

    new: frozenset[Signature]
    gone: tuple[Cause, ...]

    @classmethod
    def between(
        cls,
        before: Iterable[Cause],
        now: Iterable[Cause],
        *,
        in_both_before: Iterable[Cause] | None = None,
        in_both_now: Iterable[Cause] | None = None,
    ) -> Changed:
        """Compare the causes of two runs: all, and those on the pivots with graded answers in both (default: all)."""
        before, now = tuple(before), tuple(now)
        known, found = {cause.signature for cause in before}, {cause.signature for cause in now}
        return cls(
            new=frozenset(cause.signature for cause in (now if in_both_now is None else in_both_now)) - known,
            gone=tuple(c for c in (before if in_both_before is None else in_both_before) if c.signature not in found),
        )


def keys_of(pivots: Iterable[PivotRewards]) -> Keys:
    """Return the keys of pivots."""
    return frozenset((pivot.place, pivot.pivot_id) for pivot in pivots)


def signatures_of_run(path: Path, only: Keys | None = None) -> tuple[tuple[Cause, ...], Damages]:
    """Read the causes of a stored run, and what could not be read of it; `only` limits them to some pivots.

    A later line of a test counts in place of an earlier one. Raises RunError if the file of results cannot be read.
    """
    damages = Damages()
    last: dict[str, ResultLine] = {}
    for _, line in damages.watch(_lines(RunDirectory(path).results)):
        if line.test is None:
            continue
        if isinstance(line, Damage) or signature_of(line) is None:
            last.pop(line.test, None)
        elif only is None or (place_of(line.test, line.pivot_id), line.pivot_id) in only:
            last[line.test] = line
    found = Signatures()
    for test, line in last.items():
        found.add(line, test, passed=line.outcome == "passed")
    return found.ranked(), damages


def _lines(path: Path) -> Iterator[tuple[int, ResultLine | Damage]]:
    return results_in(path) if path.exists() else iter(())  # a run that was killed at its start has none
