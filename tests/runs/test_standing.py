"""How far the rules of a gate are from decided, while a run goes on."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from pytest_fcpivot.options.gate import GateOptions, Group, Mark, Share
from pytest_fcpivot.runs.comparing import Side
from pytest_fcpivot.runs.early import EarlyGate
from pytest_fcpivot.runs.gate import Evidence, decide
from pytest_fcpivot.runs.rewards import PivotRewards, Rewards
from pytest_fcpivot.runs.standing import SoFar, Standing, standings

if TYPE_CHECKING:
    from collections.abc import Sequence

LEAST = Share("0.5", Fraction(1, 2))
WHOLE = GateOptions(marks=(Mark(Group("all"), LEAST),), min_pivots=1)


def _rewards(values: Sequence[float | None], trajectory: str = "t") -> Rewards:
    """Return the rewards of pivots of one repeat, in trajectories of their own; None for one that is missing."""
    found = Rewards()
    for number, value in enumerate(values):
        given, missing = ({}, {1}) if value is None else ({1: value}, set[int]())
        name = f"p{number}"
        pivot = PivotRewards("d.jsonl", name, f"{trajectory}{number}", "message", None, name, given, {}, missing)
        found.put(pivot)
    return found


def _side(values: Sequence[float | None]) -> Side:
    return Side("run", None, {}, _rewards(values))


def _so_far(values: Sequence[float | None], tests: int) -> SoFar:
    graded = [value for value in values if value is not None]
    return SoFar(len(graded), sum(value >= 1 for value in graded), sum(graded), tests)


@pytest.mark.parametrize("values", [[1.0, 0.0, None, None], [1.0, 1.0, None, None], [0.0, 0.0, 0.0, None], [0.25] * 4])
def test_a_mark_is_certain_when_the_gate_says_so_whatever_comes(values: list[float | None]) -> None:
    """Both ends are on one side of the mark exactly when the gate decides without the missing answers."""
    (found,) = standings(WHOLE, _so_far(values, 4), {}, None, _side(values))
    assert found.low is not None
    assert found.high is not None
    word = decide(WHOLE, Evidence(rewards=_rewards(values), pass_mark=1.0, holds={})).word
    certain = "PASS" if found.low >= 0.5 else "FAIL" if found.high < 0.5 else "UNTRUSTED"
    assert certain == word


def test_rules_of_each_kind() -> None:
    """The pass rate has ends too; a group and a drop have their value so far; what decides nothing is left out."""
    gate = GateOptions(
        marks=(Mark(Group("pass"), LEAST), Mark(Group("tool", "a"), LEAST), Mark(Group("tool", "b"), LEAST)),
        max_drop=Share("0.1", Fraction(1, 10)),
        min_pivots=4,
    )
    values = [1.0, 0.5, None, None]
    holds = {"tool=a": lambda pivot: pivot.pivot_id in ("p0", "p1"), "tool=b": lambda pivot: pivot.pivot_id == "p9"}
    base, new = _side([1.0, 1.0, 1.0, 1.0]), _side(values)
    assert standings(gate, _so_far(values, 4), holds, base, new) == [
        Standing(rule="pass:0.5", needed=0.5, now=0.5, low=0.25, high=0.75),
        Standing(rule="tool=a:0.5", needed=0.5, now=0.75),
        Standing(rule="drop 0.1", needed=-0.1, now=-0.25, is_change=True),
    ]
    assert [each.rule for each in standings(gate, _so_far(values, 3), holds, None, new)] == ["tool=a:0.5"]
    assert standings(gate, _so_far([], 4), holds, base, _side([])) == []


def test_a_gate_that_may_stop_early() -> None:
    """The ends are those of its confidence sequence: at first nothing is known, and at the stop the mark is outside."""
    gate = GateOptions(marks=(Mark(Group("all"), LEAST),), max_drop=Share("0.1", Fraction(1, 10)), stop_alpha=0.05)
    rewards = _rewards([0.0] * 200)
    everything = _rewards([None] * 200)
    bases = {("d.jsonl", f"p{number}"): 1.0 for number in range(200)}
    early = EarlyGate(gate, 0, everything, pass_mark=1.0, holds={}, bases=bases)
    mark, drop = early.standings()
    assert (mark.rule, mark.low, mark.high) == ("0.5", 0.0, 1.0)
    assert (drop.rule, drop.low, drop.high, drop.is_change) == ("drop 0.1", -1.0, 1.0, True)
    while not early.see(rewards):
        pass
    mark, drop = early.standings()
    assert mark.high is not None
    assert drop.high is not None
    assert min(mark.high - mark.needed, drop.high - drop.needed) < 0
