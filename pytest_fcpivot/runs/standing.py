"""How far a rule of a gate is from decided, while the run goes on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.runs.comparing import matched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pytest_fcpivot.options.gate import GateOptions
    from pytest_fcpivot.runs.comparing import Side
    from pytest_fcpivot.runs.rewards import PivotRewards


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a rule stands: its value `now`, None if that is not known, and what it `needed` at least.

    The value of the whole run lies between `low` and `high`; both are None if nothing is known about that. One of `now`
    and these two is known. `is_change`: the value is the change since the baseline, about which a rule is not decided
    by its value alone.
    """

    rule: str
    needed: float
    now: float | None = None
    low: float | None = None
    high: float | None = None
    is_change: bool = False


@dataclass(frozen=True, slots=True)
class SoFar:
    """The results of a run so far: `passed` of the `graded` answers, the `total` of their rewards, of all `tests`."""

    graded: int
    passed: int
    total: float
    tests: int


def standings(
    gate: GateOptions,
    so_far: SoFar,
    holds: Mapping[str, Callable[[PivotRewards], bool]],
    base: Side | None,
    new: Side,
) -> list[Standing]:
    """Return where each rule of a gate stands; a rule about which nothing is known yet is left out.

    The mean reward of a whole run is certain to lie between that with all further answers wrong, and all of them right;
    the gate reads errors in both ways too. `holds` tells the pivots of each group, and `base` is the baseline. A mark
    over fewer tests than the gate's least number of pivots decides nothing, and is left out.
    """
    found = []
    for mark in gate.marks:
        needed = float(mark.least.value)
        if mark.group.kind in ("all", "pass"):
            total = so_far.passed if mark.group.kind == "pass" else so_far.total
            if so_far.graded and so_far.tests >= gate.min_pivots:
                low = total / so_far.tests
                high = low + (so_far.tests - so_far.graded) / so_far.tests
                now = total / so_far.graded
                found.append(Standing(rule=mark.text, needed=needed, now=now, low=low, high=high))
        else:
            of_group = _mean(pivot for pivot in new.rewards if holds[mark.group.text](pivot))
            if of_group is not None:
                found.append(Standing(rule=mark.text, needed=needed, now=of_group))
    if gate.max_drop is not None and base is not None:
        change = _change(base, new)
        if change is not None:
            rule, needed = f"drop {gate.max_drop.text}", -float(gate.max_drop.value)
            found.append(Standing(rule=rule, needed=needed, now=change, is_change=True))
    return found


def _mean(pivots: Iterable[PivotRewards]) -> float | None:
    rewards = [reward for pivot in pivots for reward in pivot.rewards.values()]
    return math.fsum(rewards) / len(rewards) if rewards else None


def _change(base: Side, new: Side) -> float | None:
    """Return the mean change of the pivots that both runs have an answer to; None if there are none."""
    try:
        pairs, _, _ = matched(base, new)
    except RunError:
        return None  # at the end, the gate says what is wrong
    both = [(pair.base.mean, pair.new.mean) for pair in pairs]
    changes = [after - before for before, after in both if before is not None and after is not None]
    return math.fsum(changes) / len(changes) if changes else None
