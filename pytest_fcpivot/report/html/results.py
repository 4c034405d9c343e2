"""Read a run's results for the report: one small entry for each test, and all figures, in one pass over the file."""

from __future__ import annotations

from dataclasses import dataclass
from sys import intern
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.actions import MALFORMED_OUTPUT
from pytest_fcpivot.core.jsontext import shorten
from pytest_fcpivot.report.failure import describe_action
from pytest_fcpivot.runs.behaviour import Answers
from pytest_fcpivot.runs.damage import Damages
from pytest_fcpivot.runs.data_of_test import Told
from pytest_fcpivot.runs.reader import Damage, ResultLine, results_in
from pytest_fcpivot.runs.record import CaseRecord
from pytest_fcpivot.runs.rewards import Rewards, place_of
from pytest_fcpivot.runs.signatures import Signature, signature_of
from pytest_fcpivot.runs.tally import Tally
from pytest_fcpivot.runs.until_mixed import is_until_mixed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

OUTCOMES = ("passed", "failed", "error", "not run")
NOT_RUN = OUTCOMES.index("not run")
LINE_WIDTH = 160  # characters of an action in a row of the table
CALL, MESSAGE, NOTHING = "call", "message", "nothing"
RIGHT_TOOL, OTHER_TOOL, MALFORMED = "right tool", "other tool", "malformed"
ANSWERS = (RIGHT_TOOL, OTHER_TOOL, MESSAGE, MALFORMED, NOTHING)


@dataclass(slots=True)
class Entry:
    """One test of the run, by its last result.

    `outcome` is the position in OUTCOMES. `kind` is what was expected, as in the data, `tool` the first expected
    function, and `called` the first called one; `answered` is one of ANSWERS, None after an error. `offset` is the
    result's place in results.jsonl, in bytes; None for a test without one. The others come from the data, if these are
    at hand: the number of the data set and the row, the depth, the tools on offer, the characters of the conversation,
    and the expected action in a line. `before` is the mean reward of the pivot in the baseline, `flip` is -1 if the
    pivot was lost since then and 1 if it was won, and
    `rungs` has the reward under each comparator of the audit's ladder.
    """

    test: str
    pivot_id: str
    place: str
    trajectory_id: str
    repeat: int
    outcome: int
    kind: str
    tool: str | None
    offset: int | None = None
    reward: float | None = None
    category: str | None = None
    schema: str | None = None
    called: str | None = None
    answered: str | None = None
    signature: Signature | None = None
    flags: tuple[str, ...] = ()
    cause: str | None = None
    actual: str = ""
    data: int = -1
    row: int = -1
    depth: int | None = None
    tools: int | None = None
    context: int | None = None
    expected: str | None = None
    before: float | None = None
    flip: int = 0
    rungs: tuple[float | None, ...] | None = None

    @property
    def cell(self) -> str | None:
        """The cell of the decision matrix, as in `call/right tool`; None without an answer."""
        return None if self.answered is None else f"{self.wanted}/{self.answered}"

    def told(self) -> Told:
        """Return what the result tells of its pivot."""
        return Told(self.trajectory_id, self.kind, self.tool)

    @property
    def wanted(self) -> str:
        """What was expected: a call, a message, or nothing."""
        return CALL if self.kind.startswith("function_call") else MESSAGE if self.kind == "message" else NOTHING


@dataclass(slots=True)
class Results:
    """The results of a run: an entry for each test, all figures, the rewards by pivot, and what could not be read.

    `answers` has what the answers look like, if that was asked for.
    """

    entries: dict[str, Entry]
    tally: Tally
    rewards: Rewards
    damages: Damages
    answers: Answers | None = None


def read_results(path: Path, about: Mapping[str, Any], *, with_answers: bool = False) -> Results:
    """Read results.jsonl of the run that `about` describes, as run.json does.

    A later line of a test replaces an earlier one. Raises RunError if the file cannot be read.
    """
    answers = Answers() if with_answers else None
    found, again = _pass(path, about, answers, None)
    if again:  # seldom: a resumed run, or another plugin that ran tests again
        last = {test: entry.offset for test, entry in found.entries.items() if entry.offset is not None}
        found, _ = _pass(path, about, None, frozenset(last.values()))
    found.answers = answers
    return found


def _pass(
    path: Path, about: Mapping[str, Any], answers: Answers | None, wanted: frozenset[int] | None
) -> tuple[Results, bool]:
    """Read the file once; returns also whether a test has several lines. `wanted` are the offsets that count."""
    own_places = frozenset(each["name"] for each in about["data"])  # their own tests are told apart from a user's
    tally = Tally(about["repeats"], until_mixed=is_until_mixed(about))
    found = Results({}, tally, Rewards(), Damages())
    again = False
    for offset, line in found.damages.watch(_lines(path)):
        if answers is not None:
            answers.add(line)
        if isinstance(line, Damage):
            if line.test is not None and found.entries.pop(line.test, None) is not None:
                again = True
            continue
        if wanted is not None and offset not in wanted:
            continue
        again |= line.test in found.entries
        entry = _entry(line, offset)
        found.entries[line.test] = entry
        record = CaseRecord.of_line(line, own=entry.place in own_places)
        found.tally.count(record, line.test, passed=line.outcome == "passed")
        found.rewards.add(line, line.test)
    return found, again


def _lines(path: Path) -> Iterator[tuple[int, ResultLine | Damage]]:
    return results_in(path) if path.exists() else iter(())  # a run that was killed at its start has none


def _entry(line: ResultLine, offset: int) -> Entry:
    action = line.graded()
    called = action.calls[0].name if action.calls else None
    return Entry(
        test=line.test,
        pivot_id=line.pivot_id,
        place=intern(place_of(line.test, line.pivot_id)),
        trajectory_id=intern(line.trajectory_id),
        repeat=line.repeat,
        outcome=OUTCOMES.index(line.outcome),
        kind=line.expected,
        tool=None if line.tool is None else intern(line.tool),
        offset=offset,
        reward=line.reward,
        category=None if line.category is None else intern(line.category),
        schema=None if line.schema is None else intern(line.schema),
        called=None if called is None else intern(called),
        answered=_answered(line, [call.name for call in action.calls]),
        signature=signature_of(line),
        flags=tuple(map(intern, line.flags)),
        cause=None if line.cause is None else intern(line.cause),
        actual="" if line.has_no_answer else shorten(describe_action(action), LINE_WIDTH),
    )


def _answered(line: ResultLine, called: list[str]) -> str | None:
    if line.reward is None:
        return None
    if called:
        return RIGHT_TOOL if line.tool in called else OTHER_TOOL
    return {MALFORMED_OUTPUT: MALFORMED, "message": MESSAGE}.get(line.kind or "", NOTHING)


def without_bias(entries: Iterable[Entry], description: Mapping[str, Any]) -> list[Entry]:
    """Return the entries over which a mean may be taken: of a run that asked until mixed, those of first repeats."""
    return [entry for entry in entries if entry.repeat == 1] if is_until_mixed(description) else list(entries)
