"""Keep account of a run's damaged lines: which results are lost, and how to report them.

A later line of a test replaces an earlier one. So if the later line is damaged, the earlier one must not count again:
the test has no result, unless a still later line has one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.core.words import count_of
from pytest_fcpivot.runs.reader import Damage, ResultLine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_Line = TypeVar("_Line")
SHOWN = 5
_TESTS_KEPT = 10_000


class Damages:
    """The damaged lines of a file.

    `torn` is an incomplete last line, as a killed process leaves it; it is not counted among the others. `made_up`
    counts damaged lines whose test has a later result, so that nothing is lost. A file of rollouts has no tests.
    """

    def __init__(self, *, of_tests: bool = True) -> None:
        self._has_tests = of_tests
        self.torn: Damage | None = None
        self.made_up = 0
        # For each test, the damaged lines after its last readable line: the first of them, and their number.
        self._of_tests: dict[str, tuple[Damage, int]] = {}
        self._others: list[Damage] = []
        self._further = 0  # further lines, which are only counted

    def __len__(self) -> int:
        """Count the lines whose results are lost."""
        return sum(count for _, count in self._of_tests.values()) + self.without_test

    @property
    def without_test(self) -> int:
        """How many damaged lines have no readable test name."""
        return len(self._others) + self._further

    def watch(self, lines: Iterable[tuple[int, _Line]]) -> Iterator[tuple[int, _Line]]:
        """Yield lines and damages unchanged, and record which results are lost, and which have a later line."""
        for offset, line in lines:
            if isinstance(line, Damage):
                self.add(line)
            elif self._of_tests and isinstance(line, ResultLine):
                self.made_up += self._of_tests.pop(line.test, (None, 0))[1]
            yield offset, line

    def add(self, damage: Damage) -> None:
        """Record a damaged line."""
        if damage.torn:
            self.torn = damage
        elif damage.test is not None and (damage.test in self._of_tests or len(self._of_tests) < _TESTS_KEPT):
            first, count = self._of_tests.get(damage.test, (damage, 0))
            self._of_tests[damage.test] = first, count + 1
        elif len(self._others) < SHOWN:
            self._others.append(damage)
        else:
            self._further += 1

    def of_test(self, test: str) -> Damage | None:
        """Return the damaged line of a test's result; None if there is none, or its test is unknown."""
        if self.torn is not None and self.torn.test == test:
            return self.torn
        return self._of_tests[test][0] if test in self._of_tests else None

    def first(self, limit: int) -> list[Damage]:
        """Return the first of the lines whose results are lost, in the file's order."""
        found = [damage for damage, _ in self._of_tests.values()] + self._others
        return sorted(found, key=lambda damage: damage.number)[:limit]

    def losses(self) -> str:
        """Write how many lines are lost, and what is unknown because of them."""
        lost = count_of(len(self), "damaged line")
        unknown = self.without_test
        if not unknown or not self._has_tests:
            return lost
        if len(self) == 1:
            which = "without a test's name: if the test has an earlier result, that one counts"
        else:
            which = f"{unknown} of them without a test's name: if such a test has an earlier result, that one counts"
        return f"{lost} ({which})"


def would_be_missing(damages: Damages) -> str:
    """Write, on several lines, which damaged lines would be missing from the figures."""
    found = "\n".join(f"  {line}" for line in listed([damages]))
    return f"{damages.losses()} would be missing from the figures:\n{found}"


def refuse_losses(path: Path, damages: Damages) -> None:
    """Raise RunError if results of the run at a path are lost, with the lines, and what to do."""
    if damages:
        raise RunError(
            f"{path}: {would_be_missing(damages)}\nresume the run, which runs the tests of these lines again "
            f"(pytest --fc-resume={path}), or leave the lines out with --allow-damaged"
        )


def listed(damages: Iterable[Damages]) -> Iterator[str]:
    """Yield the first lost lines of some files, with file, line and reason, and how many more there are."""
    room, total = SHOWN, 0
    for each in damages:
        total += len(each)
        shown = each.first(room)
        room -= len(shown)
        yield from map(str, shown)
    more = total - (SHOWN - room)
    if more:
        yield f"and {more} more"
