"""The rewards of a run by pivot: what comparisons, gates and baselines are computed from."""

from __future__ import annotations

import hashlib
import math
import re
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.runs.damage import Damages, refuse_losses
from pytest_fcpivot.runs.described import read_description
from pytest_fcpivot.runs.directory import RunDirectory
from pytest_fcpivot.runs.reader import Damage, results_in
from pytest_fcpivot.stats.clusters import Totals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from pytest_fcpivot.data.store import IndexEntry
    from pytest_fcpivot.runs.reader import ResultLine
    from pytest_fcpivot.runs.record import CaseRecord


@dataclass(slots=True)
class PivotRewards:
    """The results of one pivot over its repeats.

    `place` is what ran it: the data file's name in node ids, or a test function of the user's own. `test` is the node
    id of its first repeat. `rewards` has the reward of each repeat that was graded, `categories` their categories, and
    `missing` the repeats without a grade: errors, and tests that were not run.
    """

    place: str
    pivot_id: str
    trajectory_id: str
    expected: str
    tool: str | None
    test: str
    rewards: dict[int, float] = field(default_factory=dict)
    categories: dict[int, str] = field(default_factory=dict)
    missing: set[int] = field(default_factory=set)

    @property
    def total(self) -> float:
        """The sum of the rewards."""
        return math.fsum(self.rewards.values())

    @property
    def mean(self) -> float | None:
        """The mean over the graded repeats; None if there are none."""
        if len(self.rewards) == 1:  # in a tenth of the time
            return next(iter(self.rewards.values()))
        return self.total / len(self.rewards) if self.rewards else None


class Rewards:
    """The results of a run, by place and pivot; a later result of the same repeat replaces an earlier one."""

    def __init__(self) -> None:
        self._pivots: dict[tuple[str, str], PivotRewards] = {}

    def __iter__(self) -> Iterator[PivotRewards]:
        return iter(self._pivots.values())

    def __len__(self) -> int:
        return len(self._pivots)

    def get(self, place: str, pivot_id: str) -> PivotRewards | None:
        """Return the results of a pivot; None if there are none."""
        return self._pivots.get((place, pivot_id))

    @property
    def places(self) -> frozenset[str]:
        """What ran the pivots: data files, and test functions of the user's own."""
        return frozenset(place for place, _ in self._pivots)

    def add(self, result: CaseRecord | ResultLine, test: str) -> None:
        """Add the result of a test (a node id); without a reward, it is an error."""
        pivot = self._pivot(test, result.pivot_id, result.repeat, result.trajectory_id, (result.expected, result.tool))
        if result.reward is None:
            self._take_out(pivot, result.repeat)
            pivot.missing.add(result.repeat)
        else:
            pivot.missing.discard(result.repeat)
            pivot.rewards[result.repeat] = result.reward
            pivot.categories[result.repeat] = result.category or ""

    def add_missing(self, test: str, entry: IndexEntry, repeat: int) -> None:
        """Add a selected test that has no result."""
        tool = entry.expected_names[0] if entry.expected_names else None
        pivot = self._pivot(test, entry.id, repeat, entry.trajectory_id, (entry.expected_type, tool))
        pivot.missing.add(repeat)

    def put(self, pivot: PivotRewards) -> None:
        """Take over the results of a pivot, as they are; raises ValueError if there are any of it already."""
        key = pivot.place, pivot.pivot_id
        if key in self._pivots:
            raise ValueError(f"{pivot.place}: {pivot.pivot_id} is there twice")
        self._pivots[key] = pivot

    def take_out(self, test: str, result: CaseRecord | ResultLine) -> None:
        """Forget the result of a test."""
        self.forget(test, result.pivot_id, result.repeat)

    def forget(self, test: str, pivot_id: str, repeat: int) -> None:
        """Forget the result of a test, which is a repeat of a pivot; the last one takes the pivot with it."""
        key = place_of(test, pivot_id), pivot_id
        pivot = self._pivots.get(key)
        if pivot is not None:
            self._take_out(pivot, repeat)
            if not pivot.rewards and not pivot.missing:
                del self._pivots[key]

    def trajectories(self) -> list[Totals]:
        """Return each trajectory's number of graded answers and the sum of their rewards."""
        return totals_of((pivot.trajectory_id, len(pivot.rewards), pivot.total) for pivot in self if pivot.rewards)

    def fingerprint(self) -> str:
        """Return a hash of all rewards and of what is missing; equal for runs with the same results."""
        found = hashlib.sha256()
        for key in sorted(self._pivots):
            pivot = self._pivots[key]
            found.update(repr((key, sorted(pivot.rewards.items()), sorted(pivot.missing))).encode("utf-8", "replace"))
        return found.hexdigest()

    def _pivot(
        self, test: str, pivot_id: str, repeat: int, trajectory_id: str, about: tuple[str, str | None]
    ) -> PivotRewards:
        """Return the results of a test's pivot, new if there are none; `about` is what is expected, and its tool."""
        key = place_of(test, pivot_id), pivot_id
        pivot = self._pivots.get(key)
        if pivot is None:
            place, trajectory_id = sys.intern(key[0]), sys.intern(trajectory_id)
            pivot = self._pivots[place, pivot_id] = PivotRewards(place, pivot_id, trajectory_id, *about, test)
        elif repeat == 1:
            pivot.test = test
        return pivot

    @staticmethod
    def _take_out(pivot: PivotRewards, repeat: int) -> None:
        pivot.rewards.pop(repeat, None)
        pivot.categories.pop(repeat, None)
        pivot.missing.discard(repeat)


def place_of(test: str, pivot_id: str) -> str:
    """Return what runs a test over a pivot: the data file, or the test function with its other parameters.

    A second data set with a pivot of the same id counts as another parameter, such as @2.
    """
    file, _, name = test.partition("::")
    if name == pivot_id or (name.startswith(f"{pivot_id}[r") and name[len(pivot_id) + 2 : -1].isdecimal()):
        return file
    function, _, parameters = test.partition("[")
    parameters = parameters.removesuffix("]")
    found = re.search(rf"(?:^|-){re.escape(pivot_id)}(@\d+)?(?:\[r\d+\])?(?=-|$)", parameters)
    if found is None:
        return function
    others = [parameters[: found.start()], found[1] or "", parameters[found.end() :].removeprefix("-")]
    shown = "-".join(filter(None, others))
    return f"{function}[{shown}]" if shown else function


def totals_of(values: Iterable[tuple[str, float, float]]) -> list[Totals]:
    """Add up (trajectory, number, sum) by trajectory, in the order of their first appearance."""
    numbers: dict[str, float] = {}
    sums: dict[str, list[float]] = {}
    for trajectory, number, total in values:
        numbers[trajectory] = numbers.get(trajectory, 0) + number
        sums.setdefault(trajectory, []).append(total)
    return [Totals(number, math.fsum(sums[trajectory])) for trajectory, number in numbers.items()]


@dataclass(frozen=True, slots=True)
class RunRewards:
    """A stored run: its description as in run.json, its rewards, and damaged lines that are left out, if any."""

    path: Path
    description: dict[str, Any]
    rewards: Rewards
    damages: Damages


def rewards_of_run(
    path: Path, *, allow_damaged: bool = False, each: Callable[[int, ResultLine | Damage], None] | None = None
) -> RunRewards:
    """Read the rewards of a run; raises RunError for a directory that is not one, and for damaged lines.

    With `allow_damaged`, these are left out. A test whose last line is damaged has no result. `each` is called with the
    offset of each line and the line, if its test is known; later lines of a test replace earlier ones.
    """
    description = read_description(path)
    rewards, damages = Rewards(), Damages()
    last: dict[str, tuple[str, int]] = {}  # by test: the pivot and the repeat of its last line
    results = RunDirectory(path).results
    if results.exists():  # a run that was killed at its start has none
        for offset, line in damages.watch(results_in(results)):
            if line.test is None:
                continue
            if each is not None:
                each(offset, line)
            before = last.pop(line.test, None)
            if before is not None:
                rewards.forget(line.test, *before)
            if not isinstance(line, Damage):
                last[line.test] = line.pivot_id, line.repeat
                rewards.add(line, line.test)
    if not allow_damaged:
        refuse_losses(path, damages)
    return RunRewards(path, description, rewards, damages)
