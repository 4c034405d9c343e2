"""Runs whose pivots were asked no further once they had passed and failed (--fc-until-mixed).

What was not asked depends on the answers that came. So the mean over all answers is no estimate of anything: a pivot
that passes in one of ten answers, and is found to be mixed, shows a third. The first repeats are asked in any case, so
that their mean is unbiased.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.options.table import TRUE, flag_of
from pytest_fcpivot.runs.reader import ResultLine, results_in

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

UNTIL_MIXED = "fc_until_mixed"
NOT_RUN_MIXED = "not_run_mixed"  # the member of a run's counts
WHY_NO_RATE = "repeats were asked only until a pivot had passed and failed, which biases every mean over them"


def is_until_mixed(description: Mapping[str, Any]) -> bool:
    """Return whether a run, by its run.json, asked at its pivots only until they were mixed."""
    options: Mapping[str, Any] = description.get("options") or {}
    return str(options.get(UNTIL_MIXED)).lower() in TRUE


def refuse_until_mixed(description: Mapping[str, Any], where: str, use: str) -> None:
    """Raise RunError for such a run, which `use` needs unbiased rewards of."""
    if is_until_mixed(description):
        raise RunError(
            f"{where}: {use} needs all repeats, and this run was made with {flag_of(UNTIL_MIXED)}: {WHY_NO_RATE}; "
            "make a run without that option"
        )


def unneeded(description: Mapping[str, Any]) -> int:
    """Return how many tests the last session of a run did not run because their pivots were mixed."""
    counts: Mapping[str, int] = description.get("counts") or {}
    return counts.get(NOT_RUN_MIXED, 0)


def first_test(test: str, repeat: int) -> str:
    """Return the node id of the first repeat, given that of any repeat; it names the pivot among a run's tests."""
    return test if repeat == 1 else test.replace(f"[r{repeat}]", "", 1)


class Outcomes:
    """Which pivots have passed, and which have failed; pivots are named by the node ids of their first repeats."""

    def __init__(self) -> None:
        self._passed: set[str] = set()
        self._failed: set[str] = set()

    def add(self, pivot: str, *, passed: bool) -> None:
        """Take in a graded answer."""
        (self._passed if passed else self._failed).add(pivot)

    def is_mixed(self, pivot: str) -> bool:
        """Return whether a pivot has passed and failed."""
        return pivot in self._passed and pivot in self._failed


def outcomes_of(results: Path) -> tuple[Outcomes, frozenset[str]]:
    """Return the outcomes that a run's results have, and its tests that ended in errors and need not be asked again.

    These are errors at later repeats of mixed pivots. A first repeat is asked again in any case: the mean over the
    first repeats must not leave out errors at mixed pivots alone. Lines that cannot be read do not count.
    """
    last: dict[str, tuple[int, str]] = {}
    for _, line in results_in(results) if results.exists() else ():
        if isinstance(line, ResultLine):
            last[line.test] = line.repeat, line.outcome
    outcomes = Outcomes()
    for test, (repeat, outcome) in last.items():
        if outcome != "error":
            outcomes.add(first_test(test, repeat), passed=outcome == "passed")
    errors = ((test, repeat) for test, (repeat, outcome) in last.items() if outcome == "error" and repeat > 1)
    return outcomes, frozenset(test for test, repeat in errors if outcomes.is_mixed(first_test(test, repeat)))
