"""Compare the rewards of a replay with those recorded in the file of rollouts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fcpivot.graders.base import ROUNDING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_fcpivot.runs.record import CaseRecord

_SHOWN = 5


class OwnRewards:
    """Counts the answers of a replay whose reward equals the file's; `recorded` has the file's, by pivot and repeat."""

    def __init__(self, recorded: Mapping[tuple[str, int], float | None]) -> None:
        self._recorded = recorded
        self._equal = 0
        self._compared = 0
        self._missing = 0
        self._differing: list[str] = []

    def add(self, record: CaseRecord) -> None:
        """Count a result; leaves out errors, and the user's own tests, which may grade other actions."""
        place = record.pivot_id, record.repeat
        if not self._recorded or record.reward is None or not record.own or place not in self._recorded:
            return
        recorded = self._recorded[place]
        if recorded is None:
            self._missing += 1
            return
        self._compared += 1
        if abs(record.reward - recorded) <= ROUNDING:
            self._equal += 1
        elif len(self._differing) < _SHOWN:
            repeat = f"[r{record.repeat}]" if record.repeat > 1 else ""
            self._differing.append(f"{record.pivot_id}{repeat} ({recorded:g} in the file, {record.reward:g} here)")

    def lines(self) -> Iterator[str]:
        """Yield lines with the number of equal rewards, the first unequal ones, and the number of those without one."""
        if self._compared:
            yield f"rewards equal to the file's own: {self._equal} of {self._compared}"
        more = self._compared - self._equal - len(self._differing)
        if self._differing:
            yield f"  others: {', '.join(self._differing)}" + (f" and {more} more" if more else "")
        if self._missing:
            yield f"rollouts without a recorded reward: {self._missing}"
