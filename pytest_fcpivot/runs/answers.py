"""Find stored answers, so that tests need not ask the agent: those of our own runs, and of NeMo Gym's rollouts.

Only the file offset of each answer is held in memory; the answer is read when its test runs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from pytest_fcpivot.core.errors import RowProblem, RunError
from pytest_fcpivot.core.usage import usage_of
from pytest_fcpivot.data.rows import pivot_from_row
from pytest_fcpivot.runs.damage import Damages
from pytest_fcpivot.runs.reader import (
    CallLine,
    Damage,
    DamagedLineError,
    ResultLine,
    call_line,
    calls_in,
    line_at,
    output_of,
    result_line,
    results_in,
)
from pytest_fcpivot.runs.rewards import place_of
from pytest_fcpivot.runs.rollouts import (
    RolloutRepeats,
    is_without_answer,
    no_rollouts,
    reward_of,
    rollouts_in,
    row_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_fcpivot.core.model import Action, Grade, SchemaStatus
    from pytest_fcpivot.core.usage import Usage
    from pytest_fcpivot.runs.directory import RunDirectory
    from pytest_fcpivot.runs.record import Scoring


@dataclass(frozen=True, slots=True)
class FirstGrade:
    """The first grade of an answer in which a secret was replaced by ***, given when the answer was complete.

    `action` is the graded action with *** in it, `schema` the status of its schema check, and `scoring` says who scored
    a message.
    """

    grade: Grade
    action: Action
    schema: SchemaStatus
    flags: tuple[str, ...]
    scoring: Scoring | None


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """One answer as it was recorded; `error` is the reason if there is no output.

    `reported`: the answer's test has a result. `judged` then has the message that was graded and who scored it, except
    in a replay. `action` is what was graded, if the line has it. `redacted`: a secret in the output was replaced by
    ***; `first` is then the grade that the answer keeps, if it had one.
    """

    output: Any = None
    usage: Usage | None = None
    latency_s: float = 0.0
    attempts: int = 1
    retried: tuple[str, ...] = ()
    error: str | None = None
    cause: str | None = None
    reported: bool = False
    judged: tuple[str, Scoring] | None = None
    action: Action | None = None
    redacted: bool = False
    first: FirstGrade | None = None


@dataclass(slots=True)
class _Source:
    path: Path
    read: Callable[[bytes], StoredAnswer]
    stream: BinaryIO | None = None


class _DataNamed(NamedTuple):
    """What a node id says of the data set: its name, or for a user's own test the @2 in it, if any."""

    is_own: bool
    data: str


def _data_named(test: str, pivot_id: str) -> _DataNamed:
    place = place_of(test, pivot_id)
    if "::" not in place:
        return _DataNamed(is_own=False, data=place)
    also = re.search(r"(?<=[\[-])@\d+(?=[-\]])", place)
    return _DataNamed(is_own=True, data="" if also is None else also[0])


class AnswerBook:
    """An index of stored answers by test; a later line of a test replaces an earlier one.

    With `replays`, errors of the agent count as answers, and a test without an answer under its node id gets the answer
    of its pivot and repeat, even if the run had that pivot from another file; but not if the run had several pivots of
    that id, from several files. `settled` are tests whose errors count as answers too: they are not asked again.
    """

    def __init__(self, *, replays: bool, settled: frozenset[str] = frozenset()) -> None:
        self._replays = replays
        self._settled = settled
        self._sources: list[_Source] = []
        self._by_test: dict[str, tuple[int, int]] = {}
        self._by_pivot: dict[tuple[str, int], tuple[int, int]] = {}
        self._of_several: set[str] = set()  # ids of pivots in several data sets of a run that is replayed
        # The rewards that the rollouts record for their answers; None where they have none.
        self.own_rewards: dict[tuple[str, int], float | None] = {}
        self.repeats = 1
        self.reported = 0
        self.damages, self.damaged_calls = Damages(), Damages()
        self.without_answer = 0  # rollouts without an expected action
        self._redacted: set[str] = set()

    @property
    def redacted(self) -> int:
        """How many of the stored answers have *** in place of a secret."""
        return len(self._redacted)

    @property
    def waiting(self) -> int:
        """How many of a run's answers belong to tests that have no result yet."""
        return len(self._by_test) - self.reported

    def __len__(self) -> int:
        return len(self._by_test) or len(self._by_pivot)

    # ---------------------------------------------------------------- filling

    def add_run(self, run: RunDirectory) -> None:
        """Add the results of a run, and the answers whose tests have not run."""
        for path in sorted(run.calls.glob("*.jsonl")) if run.calls.is_dir() else ():
            self.add_calls(path)
        if self._replays or run.results.exists():  # a run killed at its start has none, and can be resumed
            self._add_results(run.results)

    def _add_results(self, path: Path) -> None:
        source = len(self._sources)
        self._sources.append(_Source(path, _of_result))
        lost: set[tuple[int, int] | None] = set()
        for offset, line in self.damages.watch(results_in(path)):
            if isinstance(line, Damage):
                if line.test is not None:
                    lost.add(self._by_test.pop(line.test, None))
                    self._redacted.discard(line.test)
                continue
            self._redacted.discard(line.test)
            no_answer = line.has_no_answer or (line.redacted and line.is_error)
            if no_answer and not self._replays and line.test not in self._settled:
                self._forget_error(line, source)
                continue
            if line.redacted and not line.has_no_answer:
                self._redacted.add(line.test)
            before = self._by_test.get(line.test)
            self._by_test[line.test] = source, offset
            if self._replays:
                key = line.pivot_id, line.repeat
                other = self._by_pivot.get(key)
                if other not in (None, before) and self._is_of_other_data(line, other):
                    self._of_several.add(line.pivot_id)
                self._by_pivot[key] = source, offset
            self.repeats = max(self.repeats, line.repeat)
        if lost:
            self._by_pivot = {pivot: place for pivot, place in self._by_pivot.items() if place not in lost}
        self.reported = sum(place[0] == source for place in self._by_test.values())

    def _is_of_other_data(self, line: ResultLine, place: tuple[int, int]) -> bool:
        """Return whether the result at a place is about a pivot of the same id in another data set."""
        other = result_line(line_at(self._stream(place[0]), place[1]))
        one, two = (_data_named(each.test, each.pivot_id) for each in (line, other))
        return one.is_own == two.is_own and one.data != two.data

    def _forget_error(self, line: ResultLine, source: int) -> None:
        """Drop the answer of a test that ended in an error, so that it is asked again, unless a newer one is in calls/.

        An answer with *** in it is useless without a grade. An error without any output did not come from an answer, so
        an answer in calls/ is newer: a later session asked again, and ended before the test ran.
        """
        place = self._by_test.get(line.test)
        if place is not None and (place[0] == source or (line.has_output and not line.redacted)):
            del self._by_test[line.test]

    def add_calls(self, path: Path) -> None:
        """Add the answers in a call file, which a process keeps until their tests run."""
        source = len(self._sources)
        self._sources.append(_Source(path, _of_call))
        for offset, line in self.damaged_calls.watch(calls_in(path)):
            if isinstance(line, Damage):
                if line.test is not None:
                    self._by_test.pop(line.test, None)
            elif line.ended is not None and line.has_output:
                self._by_test[line.ended] = source, offset

    def add_rollouts(self, path: Path) -> None:
        """Add NeMo Gym's rollouts: rows with a response; several rows of one pivot are its repeats.

        The repeat is that of the row's `_ng_rollout_index`, or else counted in the file's order. Raises RunError if the
        file has no rollouts.
        """
        source = len(self._sources)
        self._sources.append(_Source(path, _of_rollout))
        repeats = RolloutRepeats(path)
        for number, offset, row in rollouts_in(path):
            if isinstance(row, Damage):
                self.damages.add(row)
                continue
            if "response" not in row:
                continue
            if is_without_answer(row):
                self.without_answer += 1
                continue
            try:
                pivot_id = pivot_from_row(row, number).id
            except RowProblem as problem:
                self.damages.add(Damage(path, number, problem.reason, 0))
                continue
            place = pivot_id, repeats.next(pivot_id, row)
            self._by_pivot[place] = source, offset
            self.own_rewards[place] = reward_of(row)
        if not repeats.most:
            raise RunError(f"{path}: {no_rollouts(self.without_answer)}")
        self.repeats = repeats.most

    # ---------------------------------------------------------------- reading

    def _place(self, test: str, pivot_id: str, repeat: int) -> tuple[int, int] | None:
        place = self._by_test.get(test)
        if place is not None or self.damages.of_test(test) is not None:
            return place  # the lost answer of this test is not replaced by that of another test over the same pivot
        return None if pivot_id in self._of_several else self._by_pivot.get((pivot_id, repeat))

    def has(self, test: str, pivot_id: str, repeat: int) -> bool:
        """Return whether there is an answer for a test."""
        return self._place(test, pivot_id, repeat) is not None

    def had(self, test: str, pivot_id: str, repeat: int) -> bool:
        """Return whether a test has an answer, or one that cannot be told or read, which a replay reports as an error.

        An incomplete last line does not count: like the tests after it, that one was not recorded before the kill.
        """
        damage = self.damages.of_test(test)
        lost = damage is not None and not damage.torn
        return lost or self.has(test, pivot_id, repeat) or pivot_id in self._of_several

    def read(self, test: str, pivot_id: str, repeat: int) -> StoredAnswer | None:
        """Read the answer for a test, by its node id, or else by its pivot and repeat; None if there is none."""
        place = self._place(test, pivot_id, repeat)
        if place is None:
            return None
        source = self._sources[place[0]]
        try:
            stored = source.read(line_at(self._stream(place[0]), place[1]))
        except DamagedLineError as error:
            stored = StoredAnswer(error=f"{source.path}: changed while it was read: {error}")
        return replace(stored, judged=None) if self._replays else stored

    def _stream(self, number: int) -> BinaryIO:
        source = self._sources[number]
        if source.stream is None:
            source.stream = source.path.open("rb")
        return source.stream

    def why_none(self, test: str, pivot_id: str = "") -> str:
        """Return the reason why a replay has no answer for a test."""
        damage = self.damages.of_test(test)
        if damage is not None:
            return f"its stored answer cannot be read (line {damage.number}): {damage.reason}"
        if pivot_id in self._of_several:
            return (
                "the run that is replayed had several pivots of this id, from several data files, and none of them has "
                "the name of this one; give the data under the names that they had"
            )
        if self.damages:
            return "there is no stored answer for this test that can be read"
        return "there is no stored answer for this test; it was not part of the run that is replayed"

    def take(self, test: str, pivot_id: str, repeat: int) -> StoredAnswer | None:
        """Read the answer for a test; only once, except in a replay, so that a test that runs again is asked again."""
        stored = self.read(test, pivot_id, repeat)
        if self._replays:
            return None if stored is None else replace(stored, reported=False)  # that was in the replayed run
        self._by_test.pop(test, None)
        return replace(stored, reported=True) if stored is not None and test in self._settled else stored

    def close(self) -> None:
        """Close the files."""
        for source in self._sources:
            if source.stream is not None:
                source.stream.close()
                source.stream = None


def _of_result(data: bytes) -> StoredAnswer:
    line = result_line(data)
    return StoredAnswer(
        output=output_of(line),
        usage=line.usage,
        latency_s=line.latency_s,
        attempts=line.attempts,
        retried=tuple(line.retried),
        error=line.error if line.has_no_answer else None,
        cause=line.cause if line.has_no_answer else None,
        reported=not line.is_error,
        judged=_judged(line),
        action=line.graded() if line.has_action and not line.is_error else None,
        redacted=line.redacted,
        first=_first_grade(line) if line.redacted else None,
    )


def _first_grade(line: ResultLine) -> FirstGrade | None:
    grade = line.grade()
    if grade is None or not line.has_action:
        return None
    schema: SchemaStatus = line.schema or "no-call"  # type: ignore[assignment] # shown, and compared with the known ones
    scoring = None if line.judge is None else line.judge.scoring()
    return FirstGrade(grade, line.graded(), schema, tuple(line.flags), scoring)


def _judged(line: ResultLine) -> tuple[str, Scoring] | None:
    if line.is_error or line.judge is None or line.message is None:
        return None
    return line.message, line.judge.scoring()


def _of_call(data: bytes) -> StoredAnswer:
    line: CallLine = call_line(data)
    return StoredAnswer(
        output=output_of(line),
        usage=line.usage,
        latency_s=line.latency_s,
        attempts=line.attempts,
        retried=tuple(line.retried),
    )


def _of_rollout(data: bytes) -> StoredAnswer:
    response = row_of(data)["response"]
    if response is None:
        return StoredAnswer(error="the rollout has no response")
    return StoredAnswer(output=response, usage=usage_of(response))
