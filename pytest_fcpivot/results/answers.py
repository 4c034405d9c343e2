"""Answers on disk, to be graded again instead of asked again: of our own runs, and of NeMo Gym's rollouts.

Only where each answer stands is held in memory; it is read when its test comes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Any, BinaryIO

from pytest_fcpivot.data.repeated import ROLLOUT_INDEX, rollout_index
from pytest_fcpivot.data.rows import EXPECTED, PARAMS, pivot_from_row
from pytest_fcpivot.errors import FcPivotError, RowProblem
from pytest_fcpivot.results.output import Usage, action_from_json, usage_of
from pytest_fcpivot.results.record import judge_of
from pytest_fcpivot.results.run import RunDirectory, RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from pytest_fcpivot.model import Action
    from pytest_fcpivot.results.record import Scoring


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """One answer as it was recorded; `error` says why there is no output, if there is none.

    `reported` tells that its test was reported too; `judged` then holds the message that was graded, and who scored it,
    unless this is for a replay. `action` is what was graded, if that is on record.
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


@dataclass(slots=True)
class _Source:
    path: Path
    read: Callable[[dict[str, Any]], StoredAnswer]
    stream: BinaryIO | None = None


class RolloutRepeats:
    """Which repeat of its pivot each rollout is, from 1; `most` is the largest number so far."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: dict[str, int] = {}
        self._taken: set[tuple[str, int]] = set()
        self.most = 0

    def next(self, pivot_id: str, row: Mapping[str, Any]) -> int:
        """Return the number of the next rollout of a pivot: what its row says, or how many there were.

        Raises RunError if another one has that number: one of the two would be lost.
        """
        self._seen[pivot_id] = self._seen.get(pivot_id, 0) + 1
        number = rollout_index(row)
        repeat = self._seen[pivot_id] if number is None else number + 1
        if (pivot_id, repeat) in self._taken:
            raise RunError(
                f"{self._path}: two rollouts of the pivot {pivot_id!r} are number {repeat - 1} by {ROLLOUT_INDEX}, "
                "or by their order where a row has none; one of them would not be graded. If the file was joined from "
                "several, replay them one by one, or take the key out of all rows"
            )
        self._taken.add((pivot_id, repeat))
        self.most = max(self.most, repeat)
        return repeat


def is_without_answer(row: Mapping[str, Any]) -> bool:
    """Tell whether a rollout is one that nothing says the right answer of."""
    return PARAMS in row and EXPECTED not in row


def no_rollouts(without_answer: int) -> str:
    """Say why a file holds no rollouts to grade; so many of its rows had a response, and no expected action."""
    if without_answer:
        return (
            f"{without_answer} rollouts without an expected_action, such as those of several turns: nothing can be "
            "graded by them; as data (--fc-data) their turns are pivots"
        )
    return "no rollouts in it: NeMo Gym's have expected_action, responses_create_params and response"


class AnswerBook:
    """Where the stored answers stand, by test; a later line takes the place of an earlier one.

    With `replays`, errors of the agent count as answers, and a test that has none by its node id gets that of its pivot
    and repeat, whatever file the run had the pivot from.
    """

    def __init__(self, *, replays: bool) -> None:
        self._replays = replays
        self._sources: list[_Source] = []
        self._by_test: dict[str, tuple[int, int]] = {}
        self._by_pivot: dict[tuple[str, int], tuple[int, int]] = {}
        # What the rollouts say that each answer earned; None where they do not.
        self.own_rewards: dict[tuple[str, int], float | None] = {}
        self.repeats = 1
        self.reported = 0

    def __len__(self) -> int:
        return len(self._by_test) or len(self._by_pivot)

    # ---------------------------------------------------------------- filling

    def add_run(self, run: RunDirectory) -> None:
        """Add the results of a run, and the answers whose tests did not come."""
        for path in sorted(run.calls.glob("*.jsonl")) if run.calls.is_dir() else ():
            self.add_calls(path)
        if self._replays or run.results.exists():  # a run that was killed at once has none, and can be gone on with
            self._add_results(run.results)

    def _add_results(self, path: Path) -> None:
        source = len(self._sources)
        self._sources.append(_Source(path, _of_result))
        for offset, value in _lines(path):
            test, pivot_id, repeat = value.get("test"), value.get("pivot_id"), value.get("repeat", 1)
            if not isinstance(test, str) or not isinstance(pivot_id, str) or not isinstance(repeat, int):
                continue
            if _no_answer(value) and not self._replays:
                self._by_test.pop(test, None)
                continue
            self._by_test[test] = source, offset
            if self._replays:
                self._by_pivot[pivot_id, repeat] = source, offset
            self.repeats = max(self.repeats, repeat)
        self.reported = sum(place[0] == source for place in self._by_test.values())

    def add_calls(self, path: Path) -> None:
        """Add the answers that a process kept until their tests come."""
        source = len(self._sources)
        self._sources.append(_Source(path, _of_call))
        for offset, value in _lines(path):
            if isinstance(value.get("ended"), str) and "output" in value:
                self._by_test[value["ended"]] = source, offset

    def add_rollouts(self, path: Path) -> None:
        """Add NeMo Gym's rollouts: rows with a response; several of one pivot are its repeats.

        A row says which repeat it is (`_ng_rollout_index`), else they are counted. Raises RunError if there are none.
        """
        source = len(self._sources)
        self._sources.append(_Source(path, _of_rollout))
        repeats = RolloutRepeats(path)
        without_answer = 0
        for number, (offset, row) in enumerate(_lines(path), 1):
            if "response" not in row:
                continue
            try:
                pivot_id = pivot_from_row(row, number).id
            except RowProblem:
                without_answer += is_without_answer(row)
                continue
            place = pivot_id, repeats.next(pivot_id, row)
            self._by_pivot[place] = source, offset
            self.own_rewards[place] = _reward_of(row)
        if not repeats.most:
            raise RunError(f"{path}: {no_rollouts(without_answer)}")
        self.repeats = repeats.most

    # ---------------------------------------------------------------- reading

    def _place(self, test: str, pivot_id: str, repeat: int) -> tuple[int, int] | None:
        return self._by_test.get(test) or self._by_pivot.get((pivot_id, repeat))

    def has(self, test: str, pivot_id: str, repeat: int) -> bool:
        """Tell whether there is an answer for a test."""
        return self._place(test, pivot_id, repeat) is not None

    def read(self, test: str, pivot_id: str, repeat: int) -> StoredAnswer | None:
        """Read the answer for a test, by its node id, or else by its pivot and repeat; None if there is none."""
        place = self._place(test, pivot_id, repeat)
        if place is None:
            return None
        source = self._sources[place[0]]
        if source.stream is None:
            source.stream = source.path.open("rb")
        source.stream.seek(place[1])
        stored = source.read(json.loads(source.stream.readline()))
        return replace(stored, judged=None) if self._replays else stored

    def take(self, test: str, pivot_id: str, repeat: int) -> StoredAnswer | None:
        """Read the answer for a test; once, unless this is a replay: a test that runs again is asked again."""
        stored = self.read(test, pivot_id, repeat)
        if self._replays:
            return None if stored is None else replace(stored, reported=False)  # by the run that is replayed
        self._by_test.pop(test, None)
        return stored

    def close(self) -> None:
        """Close the files."""
        for source in self._sources:
            if source.stream is not None:
                source.stream.close()
                source.stream = None


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each line that holds an object, with the offset where it begins; a torn one is passed over."""
    try:
        stream = path.open("rb")
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror or error}") from error
    with stream:
        offset = 0
        for line in stream:
            try:
                value = json.loads(line)
            except ValueError:
                value = None
            if isinstance(value, dict):
                yield offset, value
            offset += len(line)


def _of_result(line: dict[str, Any]) -> StoredAnswer:
    return StoredAnswer(
        output=line.get("output"),
        usage=Usage.from_builtins(line.get("usage")),
        latency_s=float(line.get("latency_s") or 0.0),
        attempts=int(line.get("attempts") or 0),
        retried=tuple(line.get("retried") or ()),
        error=line.get("error") if _no_answer(line) else None,
        cause=line.get("cause") if _no_answer(line) else None,
        reported=line.get("outcome") != "error",
        judged=_judged(line),
        action=_graded(line),
    )


def _graded(line: dict[str, Any]) -> Action | None:
    """Return the action that a result was graded by; None for an error, or for a line that does not have it."""
    if line.get("outcome") == "error" or "action" not in line:
        return None
    try:
        return action_from_json(line["action"])
    except FcPivotError:
        return None


def _judged(line: dict[str, Any]) -> tuple[str, Scoring] | None:
    action, judge = line.get("action"), judge_of(line.get("judge"))
    message = action.get("content") if isinstance(action, dict) else None
    return (message, judge) if line.get("outcome") != "error" and judge and isinstance(message, str) else None


def _no_answer(line: dict[str, Any]) -> bool:
    """Tell whether a result is an error of the agent's; of others, such as the grader's, the answer can be graded."""
    return line.get("outcome") == "error" and line.get("action") is None


def _of_call(line: dict[str, Any]) -> StoredAnswer:
    return StoredAnswer(
        output=line["output"],
        usage=Usage.from_builtins(line.get("usage")),
        latency_s=float(line.get("latency_s") or 0.0),
        attempts=int(line.get("attempts") or 1),
        retried=tuple(line.get("retried") or ()),
    )


def _reward_of(row: dict[str, Any]) -> float | None:
    """Return the reward that a rollout has on record; None if it has none, or something that is no number."""
    reward = row.get("reward")
    if isinstance(reward, bool) or not isinstance(reward, int | float):
        return None
    try:
        number = float(reward)
    except OverflowError:
        return None
    return number if isfinite(number) else None


def _of_rollout(row: dict[str, Any]) -> StoredAnswer:
    response = row["response"]
    if response is None:
        return StoredAnswer(error="the rollout has no response")
    return StoredAnswer(output=response, usage=usage_of(response))
