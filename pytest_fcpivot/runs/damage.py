"""What is told of the lines of a run that cannot be read, and which of them matter.

A later line of a test takes the place of an earlier one. So a damaged line must not bring an earlier one back: the test
that it was about counts as having no result, until a still later line has one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pytest_fcpivot.runs.reader import Damage, ResultLine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_Line = TypeVar("_Line")
SHOWN = 5
_TESTS_KEPT = 10_000


class Damages:
    """The damaged lines of a file.

    `torn` is a last line that was cut short, as a process that is killed leaves it: it is not counted among the
    others. `made_up` counts those whose test has a later result, so that nothing is lost by them.
    """

    def __init__(self) -> None:
        self.torn: Damage | None = None
        self.made_up = 0
        # Those after the last whole line of their tests: the first of each test, and how many there are.
        self._of_tests: dict[str, tuple[Damage, int]] = {}
        self._others: list[Damage] = []
        self._further = 0  # others that are counted alone

    def __len__(self) -> int:
        """Count the lines whose results are lost."""
        return sum(count for _, count in self._of_tests.values()) + self.without_test

    @property
    def without_test(self) -> int:
        """How many do not say which test they were about."""
        return len(self._others) + self._further

    def watch(self, lines: Iterable[tuple[int, _Line]]) -> Iterator[tuple[int, _Line]]:
        """Yield lines and damages as they come, and take note of what is lost, and of what is made up for."""
        for offset, line in lines:
            if isinstance(line, Damage):
                self.add(line)
            elif self._of_tests and isinstance(line, ResultLine):
                self.made_up += self._of_tests.pop(line.test, (None, 0))[1]
            yield offset, line

    def add(self, damage: Damage) -> None:
        """Take note of a line."""
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
        """Return the damaged line that held a test's result, if it is known."""
        if self.torn is not None and self.torn.test == test:
            return self.torn
        return self._of_tests[test][0] if test in self._of_tests else None

    def first(self, limit: int) -> list[Damage]:
        """Return the first of the lines whose results are lost, in the file's order."""
        found = [damage for damage, _ in self._of_tests.values()] + self._others
        return sorted(found, key=lambda damage: damage.number)[:limit]

    def losses(self) -> str:
        """Say how many lines are lost, and what is not known because of them."""
        told = f"{len(self)} damaged line{'s' * (len(self) != 1)}"
        unknown = self.without_test
        if not unknown:
            return told
        if len(self) == 1:
            which = "it does not say its test: if that has an earlier result, this one counts"
        else:
            which = f"{unknown} of them without a test's name: if such a test has an earlier result, this one counts"
        return f"{told} ({which})"


def would_be_missing(damages: Damages) -> str:
    """Say, in several lines, which lines the figures would be without."""
    found = "\n".join(f"  {line}" for line in listed([damages]))
    return f"{damages.losses()} would be missing in the figures:\n{found}"


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
