"""Reads files of NeMo Gym's rollouts as the sources of a profile; their rows bring the pivots."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.actions import to_action
from pytest_fcpivot.core.errors import ActionError, FcPivotError, RowProblem, RunError
from pytest_fcpivot.core.jsontext import one_line, shown
from pytest_fcpivot.core.redact import Redactor
from pytest_fcpivot.core.words import count_of
from pytest_fcpivot.data import file_hash
from pytest_fcpivot.data.repeated import ROLLOUT_INDEX, rollout_index
from pytest_fcpivot.data.rows import pivot_from_row
from pytest_fcpivot.runs.damage import Damages, listed, would_be_missing
from pytest_fcpivot.runs.profile.sources import Answer, Source, hash_of, test_of
from pytest_fcpivot.runs.reader import Damage, line_at
from pytest_fcpivot.runs.rewards import PivotRewards, Rewards
from pytest_fcpivot.runs.rollouts import RolloutRepeats, is_without_answer, no_rollouts, reward_of, rollouts_in, row_of
from pytest_fcpivot.schema.toolset import tool_set

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_fcpivot.core.model import Action, Pivot

    Regrade = Callable[[Pivot, Action], float]

_ERROR_WIDTH = 400


def read_rollouts(path: Path, again: tuple[str, Regrade] | None = None, *, allow_damaged: bool = False) -> Source:
    """Read a file of rollouts; with a grader's name and its function `again`, the rewards are those that this gives.

    Raises RunError for damaged lines unless they are allowed, for two rollouts of a pivot with one number, for a pivot
    some of whose rollouts have a number, and for pivots of one id that differ.
    """
    return _Reading(path, *(again or (None, None))).source(allow_damaged=allow_damaged)


def pivot_at(path: Path, offset: int) -> Pivot:
    """Read the pivot of the row that begins at an offset; raises RunError if the file has changed."""
    with path.open("rb") as stream:
        try:
            return pivot_from_row(row_of(line_at(stream, offset)), 0)
        except (ValueError, RowProblem) as error:
            raise RunError(f"{path}: changed while it was read: {error}") from error


def action_at(path: Path, offset: int, pivot: Pivot) -> Action:
    """Read the action of the rollout that begins at an offset; raises RunError if the file has changed."""
    with path.open("rb") as stream:
        try:
            return to_action(row_of(line_at(stream, offset))["response"], tool_set(pivot.tools_json).names)
        except (ValueError, KeyError, ActionError) as error:
            raise RunError(f"{path}: changed while it was read: {error}") from error


class _Reading:
    def __init__(self, path: Path, grader: str | None, regrade: Regrade | None) -> None:
        self._path = path
        self._regrade = regrade
        self._grader = grader
        self._damages = Damages(of_tests=False)
        self._pivots: dict[str, PivotRewards] = {}
        self._contents: dict[str, bytes] = {}
        self._numbered: dict[str, bool] = {}
        self._first: dict[str, int] = {}
        self._answers: dict[str, Answer] = {}
        self._models: set[str] = set()
        self._grader_error: str | None = None
        self._without_answer = self._without_response = self._without_reward = self._unread = 0

    def source(self, *, allow_damaged: bool) -> Source:
        repeats = RolloutRepeats(self._path)
        for number, offset, row in rollouts_in(self._path):
            if isinstance(row, Damage):
                self._damages.add(row)
            else:
                self._add(row, number, offset, repeats)
        if self._damages and not allow_damaged:
            raise RunError(
                f"{would_be_missing(self._damages)}\nprofile the rollouts without these lines, or with --allow-damaged"
            )
        if not self._pivots:
            raise RunError(f"{self._path}: {no_rollouts(self._without_answer)}")
        rewards = Rewards()
        for pivot in self._pivots.values():
            rewards.put(pivot)
        source = Source(
            name=str(self._path),
            path=self._path,
            agent=f"model {next(iter(self._models))}" if len(self._models) == 1 else None,
            rewards=rewards,
            answers=self._answers,
            repeats=repeats.most,
            first_rows=self._first,
            content=file_hash(self._path),
            notes=self._notes(),
        )
        return source if self._grader is None else replace(source, grader=self._grader)

    def _notes(self) -> list[str]:
        found = []
        if self._damages.torn is not None:
            found.append(f"its last line is incomplete and left out: {self._damages.torn.size} bytes")
        if self._damages:
            found += [f"left out: {self._damages.losses()}", *(f"  {line}" for line in listed([self._damages]))]
        for number, what in (
            (self._without_answer, "without an expected action, left out"),
            (self._without_response, "without a response, left out"),
            (self._unread, "whose response cannot be read, counted as errors"),
            (self._without_reward, "without a reward, counted as errors"),
        ):
            if number:
                found.append(f"{count_of(number, 'rollout')} {what}")
        if self._grader_error is not None:
            found.append(f"  the grader raised an error, first for {self._grader_error}")
        return found

    def _add(self, row: dict[str, Any], number: int, offset: int, repeats: RolloutRepeats) -> None:
        if "response" not in row:
            self._without_response += 1
            return
        if is_without_answer(row):
            self._without_answer += 1
            return
        try:
            pivot = pivot_from_row(row, number)
        except RowProblem as problem:
            self._damages.add(Damage(self._path, number, problem.reason, 0))
            return
        self._refuse_unlike(pivot, row, number)
        repeat = repeats.next(pivot.id, row)
        found = self._pivots.get(pivot.id)
        if found is None:
            calls = pivot.expected_action.calls
            tool = calls[0].name if calls else None
            found = self._pivots[pivot.id] = PivotRewards(
                self._path.name, pivot.id, pivot.trajectory_id, pivot.expected_action.kind, tool, pivot.id
            )
            self._first[pivot.id] = offset
        reward = self._reward(row, pivot, found, repeat, offset)
        if reward is None:
            found.missing.add(repeat)
        else:
            found.rewards[repeat] = reward
            found.categories[repeat] = str(row.get("category") or "")

    def _reward(self, row: dict[str, Any], pivot: Pivot, found: PivotRewards, repeat: int, offset: int) -> float | None:
        """Return the reward of a rollout, and note its answer; None, which is counted, if it has none."""
        response = row["response"]
        try:
            action = None if response is None else to_action(response, tool_set(pivot.tools_json).names)
        except ActionError:
            action = None
        if action is None:
            self._unread += 1
            return None
        if isinstance(response, dict) and isinstance(response.get("model"), str):
            self._models.add(response["model"])
        reward = reward_of(row) if self._regrade is None else self._graded_again(pivot, action)
        if reward is None:
            self._without_reward += 1
        else:
            self._answers[test_of(found.place, pivot.id, repeat)] = Answer(hash_of(action), offset)
        return reward

    def _graded_again(self, pivot: Pivot, action: Action) -> float | None:
        assert self._regrade is not None  # noqa: S101 (it is given)
        try:
            return self._regrade(pivot, action)
        except FcPivotError as error:
            text = str(error)
        except Exception as error:  # noqa: BLE001 (a user's own grader may raise anything)
            text = f"{type(error).__name__}: {error}"
        self._grader_error = self._grader_error or f"{pivot.id}: {one_line(Redactor()(text), _ERROR_WIDTH)}"
        return None

    def _refuse_unlike(self, pivot: Pivot, row: dict[str, Any], number: int) -> None:
        content = content_of(pivot)
        if self._contents.setdefault(pivot.id, content) != content:
            raise RunError(
                f"{self._path}:{number}: another rollout of the pivot {shown(pivot.id)} has another conversation, "
                "other tools or another expected action; pivots with one id must be the same"
            )
        numbered = rollout_index(row) is not None
        if self._numbered.setdefault(pivot.id, numbered) != numbered:
            raise RunError(
                f"{self._path}:{number}: of the rollouts of the pivot {shown(pivot.id)}, some have {ROLLOUT_INDEX} and "
                "others do not; give it to all of them, or remove it from all"
            )


def content_of(pivot: Pivot) -> bytes:
    """Return a hash of what a pivot asks, and of what it expects."""
    expected = pivot.expected_action
    digest = blake2b(digest_size=16)
    for text in (pivot.input_json, pivot.tools_json, repr((expected.calls, expected.message))):
        digest.update(text.encode("utf-8", "surrogatepass") + b"\n")
    return digest.digest()
