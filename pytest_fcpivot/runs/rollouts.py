"""The only reader of NeMo Gym's rollouts: rows of pivots, each with a response that can be graded again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.core.jsontext import shown
from pytest_fcpivot.data.jsonparts import decoded
from pytest_fcpivot.data.repeated import ROLLOUT_INDEX, rollout_index
from pytest_fcpivot.data.rows import EXPECTED, PARAMS
from pytest_fcpivot.options.table import MOST_REPEATS
from pytest_fcpivot.runs.reader import Damage, DamagedLineError, is_too_deep, lines_of, refuse_depth

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


class RolloutRepeats:
    """Numbers the rollouts of each pivot from 1; `most` is the largest number so far."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: dict[str, int] = {}
        self._taken: set[tuple[str, int]] = set()
        self.most = 0

    def next(self, pivot_id: str, row: Mapping[str, Any]) -> int:
        """Return the repeat of the next rollout of a pivot: by its row's index, or else counted in the file's order.

        Raises RunError if an earlier rollout has the same number, because one of them would be lost, or if the number
        is greater than MOST_REPEATS.
        """
        self._seen[pivot_id] = self._seen.get(pivot_id, 0) + 1
        number = rollout_index(row)
        repeat = self._seen[pivot_id] if number is None else number + 1
        if number is not None and repeat > MOST_REPEATS:
            raise RunError(
                f"{self._path}: a rollout of the pivot {pivot_id!r} is number {shown(number)} by {ROLLOUT_INDEX}; each "
                f"pivot may have up to {MOST_REPEATS} repeats, numbered from 0"
            )
        if (pivot_id, repeat) in self._taken:
            raise RunError(
                f"{self._path}: two rollouts of the pivot {pivot_id!r} are number {repeat - 1} by {ROLLOUT_INDEX}, "
                "or by their order where a row has none; one of them would not be graded. If the file was joined from "
                "several, replay them one at a time, or remove the key from all rows"
            )
        self._taken.add((pivot_id, repeat))
        self.most = max(self.most, repeat)
        return repeat


def is_without_answer(row: Mapping[str, Any]) -> bool:
    """Return whether a rollout has no expected action."""
    return PARAMS in row and EXPECTED not in row


def no_rollouts(without_answer: int) -> str:
    """Explain why a file has no rollouts to grade; `without_answer` rows have a response, but no expected action."""
    if without_answer:
        return (
            f"{without_answer} rollouts without an expected_action, such as those of several turns, which a replay "
            "cannot grade; as data (--fc-data), their turns are pivots"
        )
    return (
        "no rollouts in it: NeMo Gym's have expected_action, responses_create_params and response; data without "
        "responses are asked with --fc-data"
    )


def reward_of(row: Mapping[str, Any]) -> float | None:
    """Return a rollout's recorded reward; None if it has none, or one that is not a number."""
    reward = row.get("reward")
    return None if isinstance(reward, bool) or not isinstance(reward, int | float) else float(reward)


def rollouts_in(path: Path) -> Iterator[tuple[int, int, dict[str, Any] | Damage]]:
    """Yield the number, offset and row of each line; the file may be a link. Raises RunError if it cannot be read."""
    for number, (offset, row) in enumerate(lines_of(path, row_of, None, is_given=True), 1):
        yield number, offset, row


def row_of(data: bytes) -> dict[str, Any]:
    """Read a line of rollouts; raises DamagedLineError for any other bytes, and no other error."""
    if is_too_deep(data):
        refuse_depth()
    try:
        row = decoded(data)
    except (ValueError, RecursionError, MemoryError) as error:
        raise DamagedLineError(f"not JSON: {error}" if data.strip() else "an empty line") from None
    if not isinstance(row, dict):
        raise DamagedLineError("a row must be an object")
    reward = row.get("reward")
    if isinstance(reward, int | float) and not isinstance(reward, bool) and not 0 <= reward <= 1:
        # the mean's interval needs rewards from 0 to 1; this refuses NaN as well
        raise DamagedLineError(f"reward: a number from 0 to 1 is needed, not {shown(reward)}")
    return row
