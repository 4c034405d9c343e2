"""Reads the answers in NeMo Gym's rollouts for an audit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fcpivot.audit.answers import Result
from pytest_fcpivot.audit.damage import notes_on, refuse_damaged
from pytest_fcpivot.core.actions import to_action
from pytest_fcpivot.core.errors import ActionError, RowProblem, RunError
from pytest_fcpivot.data.rows import pivot_from_row
from pytest_fcpivot.options.table import DEFAULT_PASS_MARK
from pytest_fcpivot.runs.damage import Damages
from pytest_fcpivot.runs.reader import Damage
from pytest_fcpivot.runs.rollouts import RolloutRepeats, is_without_answer, no_rollouts, reward_of, rollouts_in
from pytest_fcpivot.schema.toolset import tool_set

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_fcpivot.graders import Grader


class StoredRollouts:
    """NeMo Gym's rollouts: rows that hold a pivot, the model's response, and the reward that the verifier gave it."""

    def __init__(self, path: Path, *, allow_damaged: bool) -> None:
        self.path = path
        self._allow_damaged = allow_damaged
        self._damages = Damages(of_tests=False)
        self.agent = path.name
        self.grader_name = "NeMo Gym"
        self.grader: Grader | None = None  # the rows do not record the verifier's version and settings
        self.pass_mark = DEFAULT_PASS_MARK
        self.strict_schema = False
        self.scores_messages = self.judged = False
        self.errors = 0
        self.notes: list[str] = []
        self._without_answer = 0

    def results(self) -> Iterator[Result]:
        """Yield the rollouts that have a response, in order; several rollouts of one pivot are its repeats."""
        repeats = RolloutRepeats(self.path)
        for number, _, row in rollouts_in(self.path):
            if isinstance(row, Damage):
                self._damages.add(row)
                continue
            result = self._result(row, number, repeats)
            if result is not None:
                yield result
        refuse_damaged(self._damages, "replay them without these lines", allowed=self._allow_damaged)
        if not repeats.most:
            raise RunError(f"{self.path}: {no_rollouts(self._without_answer)}")
        self.notes += notes_on(self._damages)
        if self._without_answer:
            self.notes.append(f"rollouts without an expected action, left out: {self._without_answer}")

    def _result(self, row: dict[str, Any], number: int, repeats: RolloutRepeats) -> Result | None:
        if "response" not in row:
            return None
        if is_without_answer(row):
            self._without_answer += 1
            return None
        try:
            pivot = pivot_from_row(row, number)
        except RowProblem as problem:
            self._damages.add(Damage(self.path, number, problem.reason, 0))
            return None
        repeat = repeats.next(pivot.id, row)
        try:
            action = to_action(row["response"], tool_set(pivot.tools_json).names)
        except ActionError:
            action = None
        if action is None or row["response"] is None:
            self.errors += 1
            return None
        category = row.get("category")
        name = pivot.id if repeat == 1 else f"{pivot.id}[r{repeat}]"
        return Result(
            test=name,
            name=name,
            trajectory_id=pivot.trajectory_id,
            pivot=pivot,
            action=action,
            reward=reward_of(row),
            category=category if isinstance(category, str) else None,
            schema=None,
        )
