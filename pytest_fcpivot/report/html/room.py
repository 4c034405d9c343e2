"""Decide which results have a row in the table, and in which order their details are put into the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fcpivot.data.selection import stable_hash
from pytest_fcpivot.report.html.results import NOT_RUN

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from pytest_fcpivot.report.html.results import Entry

MOST_ROWS = 100_000
# What details are expected to take: characters beside the conversation of a result, and characters of the page for
# each of them, after compression.
_PER_RESULT, _RATIO = 2500, 0.3
_EXAMPLE, _MATTERS, _PASSED = range(3)

Pivots = list[list[int]]  # the numbers of the entries of some pivots, those of one pivot's repeats together


class Order:
    """The entries of the table, and the pivots by trajectory.

    `repeats` has the numbers of the entries of a pivot by the first of them, and `steady` the passed and the graded
    repeats of each pivot that has several, by place and id. A result matters if it failed, ended in an error, lost a
    part of its reward, flipped since the baseline, or has repeats that do not all agree.
    """

    def __init__(
        self,
        entries: list[Entry],
        steady: dict[tuple[str, str], tuple[int, int]],
        matters: Callable[[Entry], bool],
        examples: Collection[str],
    ) -> None:
        self.entries = entries
        self.steady = steady
        pivots: dict[tuple[str, str], list[int]] = {}
        for number, entry in enumerate(entries):
            pivots.setdefault((entry.place, entry.pivot_id), []).append(number)
        self.repeats = {numbers[0]: numbers for numbers in pivots.values()}
        self._trajectories: dict[tuple[str, str], Pivots] = {}
        self._ranks: dict[int, int] = {}
        for first, numbers in self.repeats.items():
            those = [entries[number] for number in numbers]
            self._trajectories.setdefault((those[0].place, those[0].trajectory_id), []).append(numbers)
            example = any(entry.test in examples for entry in those)
            self._ranks[first] = _EXAMPLE if example else _MATTERS if any(map(matters, those)) else _PASSED

    def rounds(self, room: int) -> Iterator[Pivots]:
        """Yield the pivots of one trajectory after another, until the page has no more room.

        Trajectories with the example of a signature come first, then those with another result that matters. If all is
        expected to fit, the pivots of a trajectory stay together, and its conversation is stored once. Otherwise what
        matters goes first, with those pivots whose conversation is a part of it and so takes hardly any room.
        """
        best = {key: min(self._ranks[numbers[0]] for numbers in those) for key, those in self._trajectories.items()}
        ranked = sorted(self._trajectories, key=best.__getitem__)
        if self._expected() <= room:
            yield from (self._trajectories[key] for key in ranked)
            return
        later: list[Pivots] = []
        for key in ranked:
            those = self._trajectories[key]
            wanted = [numbers for numbers in those if self._ranks[numbers[0]] < _PASSED]
            longest = max((self._context(numbers) for numbers in wanted), default=-1)
            now = [n for n in those if self._ranks[n[0]] < _PASSED or self._context(n) <= longest]
            rest = [
                numbers for numbers in those if self._ranks[numbers[0]] == _PASSED and self._context(numbers) > longest
            ]
            if now:
                yield now
            if rest:
                later.append(rest)
        yield from later

    def _context(self, numbers: Sequence[int]) -> int:
        return self.entries[numbers[0]].context or 0

    def _expected(self) -> float:
        longest = sum(max(map(self._context, those)) for those in self._trajectories.values())
        return _RATIO * (longest + _PER_RESULT * len(self.entries))


def order_of(everything: list[Entry], examples: Collection[str], most_rows: int = MOST_ROWS) -> Order:
    """Return the order of a run's results; `examples` are the tests that are shown as examples of signatures.

    Of more than `most_rows` results, those that matter come first, and of each kind a part that is chosen by a hash of
    its name, so that it is the same each time.
    """
    steady = _steady(everything)

    def matters(entry: Entry) -> bool:
        passed, graded = steady.get((entry.place, entry.pivot_id), (0, 0))
        wrong = entry.outcome != 0 or (entry.reward or 0.0) < 1.0
        return (wrong and entry.outcome != NOT_RUN) or entry.flip != 0 or 0 < passed < graded

    return Order(_listed(everything, matters, examples, most_rows), steady, matters, examples)


def _steady(entries: Sequence[Entry]) -> dict[tuple[str, str], tuple[int, int]]:
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for entry in entries:
        key = entry.place, entry.pivot_id
        passed, graded = found.get(key, (0, 0))
        found[key] = passed + (entry.outcome == 0), graded + (entry.reward is not None)
    return {key: counts for key, counts in found.items() if counts[1] > 1}


def _listed(
    everything: list[Entry], matters: Callable[[Entry], bool], examples: Collection[str], most: int
) -> list[Entry]:
    if len(everything) <= most:
        return everything

    def rank(number: int) -> tuple[bool, bool, int]:
        entry = everything[number]
        return entry.test not in examples, not matters(entry), stable_hash("report", entry.test)

    chosen = sorted(range(len(everything)), key=rank)[:most]
    return [everything[number] for number in sorted(chosen)]
