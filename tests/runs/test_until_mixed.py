"""Runs that asked until mixed: which pivots are mixed, and of which figures that leaves."""

from __future__ import annotations

import json
import math
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.runs.directory import ended_early
from pytest_fcpivot.runs.record import CaseRecord
from pytest_fcpivot.runs.tally import Tally
from pytest_fcpivot.runs.until_mixed import is_until_mixed, outcomes_of, refuse_until_mixed

if TYPE_CHECKING:
    from pathlib import Path

OUTCOMES = st.lists(st.sampled_from(["passed", "failed", "error"]), min_size=1, max_size=6)


def _record(repeat: int, outcome: str, pivot: str = "p") -> CaseRecord:
    reward = None if outcome == "error" else float(outcome == "passed")
    return CaseRecord(pivot_id=pivot, trajectory_id=pivot, expected="message", tool=None, repeat=repeat, reward=reward)


def _test(repeat: int, pivot: str = "p") -> str:
    return f"d.jsonl::{pivot}" + (f"[r{repeat}]" if repeat > 1 else "")


@given(st.dictionaries(st.sampled_from("abc"), OUTCOMES, min_size=1))
def test_figures_are_of_first_repeats(pivots: dict[str, list[str]]) -> None:
    """The mean is that of the first repeats, and a pivot counts as mixed once it has passed and failed."""
    tally = Tally(6, until_mixed=True)
    for pivot, outcomes in pivots.items():
        for repeat, outcome in enumerate(outcomes, 1):
            tally.count(_record(repeat, outcome, pivot), _test(repeat, pivot), passed=outcome == "passed")
    mixed = {pivot for pivot, outcomes in pivots.items() if {"passed", "failed"} <= set(outcomes)}
    assert tally.mixed == len(mixed)
    assert {pivot for pivot in pivots if tally.is_mixed(_test(3, pivot), 3)} == mixed
    graded = [outcomes for outcomes in pivots.values() if set(outcomes) != {"error"}]
    assert sum(tally.uniform()) == len(graded) - len(mixed)
    firsts = [float(outcomes[0] == "passed") for outcomes in pivots.values() if outcomes[0] != "error"]
    mean = tally.mean_of_first()
    assert (None if mean is None else mean.mean) == (math.fsum(firsts) / len(firsts) if firsts else None)
    biased = tally.mean_reward(), tally.pass_rate, tally.mean_with_errors(), tally.pass_at(1), tally.noise()
    assert biased == (None,) * 5


@pytest.mark.parametrize("outcomes", list(product(["passed", "failed", "error"], repeat=3)), ids="-".join)
def test_errors_that_are_settled(tmp_path: Path, outcomes: tuple[str, ...]) -> None:
    """Errors of mixed pivots are not asked again, but for the first repeat's; the last line of a test counts."""
    lines = [_record(n, "error").line(_test(n), "error", None) for n in (1, 2, 3)]
    lines += [_record(n, outcome).line(_test(n), outcome, None) for n, outcome in enumerate(outcomes, 1)]
    path = tmp_path / "results.jsonl"
    path.write_text("".join(f"{line.rstrip()}\n" for line in lines))
    found, settled = outcomes_of(path)
    mixed = {"passed", "failed"} <= set(outcomes)
    assert found.is_mixed(_test(1)) == mixed
    errors = {_test(n) for n, outcome in enumerate(outcomes, 1) if outcome == "error" and n > 1}
    assert settled == (errors if mixed else set())


def test_a_run_without_results(tmp_path: Path) -> None:
    """A run that was killed at its start has no outcomes."""
    found, settled = outcomes_of(tmp_path / "results.jsonl")
    assert not found.is_mixed(_test(1))
    assert not settled


@pytest.mark.parametrize(
    ("value", "is_one"), [(True, True), ("true", True), ("1", True), ("false", False), (None, False), (False, False)]
)
def test_how_a_run_says_it(value: Any, is_one: bool) -> None:
    """The option is recorded as it was given, by the command line, the environment or the ini file."""
    about = {"options": {"fc_until_mixed": value}}
    assert is_until_mixed(about) == is_one
    if is_one:
        with pytest.raises(RunError, match=r"^run: a gate needs all repeats, and .* --fc-until-mixed"):
            refuse_until_mixed(about, "run", "a gate")
    else:
        refuse_until_mixed(about, "run", "a gate")
    assert not is_until_mixed({"options": {}})


def test_a_run_is_complete_without_what_is_not_needed() -> None:
    """Tests of mixed pivots are not missing, but others are."""
    counts = {"selected": 9, "passed": 2, "failed": 1, "errors": 0, "not_run": 6, "skipped": 0, "not_run_mixed": 6}
    about = {"sessions": [{"ended": "now", "exit_status": 1}], "counts": counts}
    assert ended_early(json.loads(json.dumps(about))) is None
    counts["not_run_mixed"] = 4
    assert ended_early(about) == "its last session ended early: 2 of its tests were not run"
