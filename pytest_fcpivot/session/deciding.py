"""Stop a session as soon as its gate is decided, as --fc-stop-when-decided asks.

Every process puts its tests into the same order; the process that receives all results decides.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

from pytest_fcpivot.core.errors import OptionError, RunError
from pytest_fcpivot.options.table import flag_of
from pytest_fcpivot.runs.comparing import matched
from pytest_fcpivot.runs.early import Bases, EarlyGate, order_of
from pytest_fcpivot.runs.rewards import Rewards
from pytest_fcpivot.session.case import CASE
from pytest_fcpivot.session.datasets import Dataset
from pytest_fcpivot.session.items import PivotItem, pivot_of
from pytest_fcpivot.session.test_names import TestNames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pytest

    from pytest_fcpivot.data.store import IndexEntry
    from pytest_fcpivot.runs.comparing import Side
    from pytest_fcpivot.runs.gate import Verdict
    from pytest_fcpivot.runs.rewards import PivotRewards
    from pytest_fcpivot.runs.standing import Standing
    from pytest_fcpivot.session.plan import Plan

STOPS = "fc_stop_when_decided"


def refuse_shard(plan: Plan) -> None:
    """Raise OptionError for a shard: what is decided about it says nothing about the others."""
    if plan.options.selection.shard is not None:
        raise OptionError(
            f"{flag_of(STOPS)} and {flag_of('fc_shard')}: a shard can only decide about itself, and not about the "
            "whole data; run the shards to their end, and decide about the merged run with fcpivot gate"
        )


def arrange(items: list[pytest.Item], seed: int) -> None:
    """Put tests over pivots into the order in which they count, those of a trajectory by depth; all others come first.

    Other tests have to run before the session may stop.
    """
    over = [item for item in items if pivot_of(item) is not None]
    trajectories = [_entry_of(item).trajectory_id for item in over]
    order = order_of(Counter(trajectories), seed).trajectories
    rank = {trajectory: position for position, trajectory in enumerate(order)}
    depths: dict[str, list[int]] = {}

    def place(numbered: tuple[int, pytest.Item]) -> tuple[int, int, int]:
        position, item = numbered
        data, entry = _data_of(item), _entry_of(item)
        if data.label not in depths:
            depths[data.label] = list(data.store.each("depth"))
        return rank[entry.trajectory_id], depths[data.label][entry.row], position

    chosen = {id(item) for item in over}
    others = [item for item in items if id(item) not in chosen]
    items[:] = [*others, *(item for _, item in sorted(enumerate(over), key=place))]


def calls_under_way(items: Iterable[pytest.Item]) -> int:
    """Return how many calls of this process have begun, or have ended, whose tests have not run."""
    cases = (item.stash.get(CASE, None) for item in items)
    return sum(case is not None and case.call is not None and case.call.attempts > 0 for case in cases)


class Deciding:
    """Decides as results arrive.

    `verdict` is set once the gate is decided, `stopped` once the session was stopped for it.
    """

    def __init__(self, plan: Plan) -> None:
        refuse_shard(plan)
        self._plan = plan
        self._names = TestNames(plan)
        self._early: EarlyGate | None = None
        self._trajectory_of: dict[str, str] = {}
        self._left: Counter[str] = Counter()
        self._others: set[str] = set()
        self._next = 0
        self.verdict: Verdict | None = None
        self.stopped = False

    @property
    def begun(self) -> bool:
        """Whether it is known which tests there are."""
        return self._early is not None

    def begin(
        self,
        tests: Iterable[str],
        holds: dict[str, Callable[[PivotRewards], bool]],
        base: Side | None,
        new: Callable[[Rewards], Side],
    ) -> None:
        """Take in which tests were selected, by node id, and the gate's groups.

        `base` is the baseline, None if there is none, and `new` makes this run's side of a comparison.
        """
        gate = self._plan.options.gate
        assert gate is not None  # noqa: S101 (there is nothing to decide without one)
        everything = Rewards()
        for test in tests:
            found = self._names.find(test)
            if found is None:
                self._others.add(test)
            elif test not in self._trajectory_of:
                everything.add_missing(test, found[0], found[1])
                self._trajectory_of[test] = found[0].trajectory_id
        self._left.update(self._trajectory_of.values())
        self._early = EarlyGate(
            gate,
            self._plan.options.seed,
            everything,
            pass_mark=self._plan.options.pass_mark,
            holds=holds,
            bases=None if base is None else _bases(base, new(everything)),
        )

    def saw(self, test: str, rewards: Rewards) -> bool:
        """Take in that a test has ended; returns whether the session should stop now."""
        assert self._early is not None  # noqa: S101 (`begin` comes first)
        self._others.discard(test)
        trajectory = self._trajectory_of.pop(test, None)
        if trajectory is not None:
            self._left[trajectory] -= 1
        order = self._early.order.trajectories
        while self.verdict is None and self._next < len(order) and not self._left[order[self._next]]:
            self._next += 1
            if self._early.see(rewards):
                self.verdict = self._early.verdict
        if self.verdict is None or self._others or not self._trajectory_of or self.stopped:
            return False
        self.stopped = True
        return True

    def standings(self) -> list[Standing]:
        """Return where each rule stands by the trajectories that count so far."""
        return [] if self._early is None else self._early.standings()

    def ends(self, error: BaseException) -> bool:
        """Return whether an interrupt is how pytest, or pytest-xdist, ends the loop of a session that was stopped here.

        Both have exceptions of their own for that. What the user's Ctrl-C raises is none of them.
        """
        return self.stopped and type(error) is not KeyboardInterrupt


def _entry_of(item: pytest.Item) -> IndexEntry:
    over = pivot_of(item)
    assert over is not None  # noqa: S101 (the caller has looked)
    return over[0]


def _data_of(item: pytest.Item) -> Dataset:
    if isinstance(item, PivotItem):
        return item.parent.dataset
    data = item.callspec.params["pivot"][0]  # type: ignore[attr-defined] # pytest's, for a test with parameters
    assert isinstance(data, Dataset)  # noqa: S101 (`pivot_of` has looked)
    return data


def _bases(base: Side, new: Side) -> Bases | None:
    """Return the baseline's mean rewards of the pivots that are compared; None if this may be the baseline itself.

    A run that is compared with itself passes, whatever its rewards.
    """
    replayed = new.description.get("replays")
    if base.path is not None and any(
        other is not None and os.path.realpath(base.path) == os.path.realpath(other) for other in (new.path, replayed)
    ):
        return None
    try:
        pairs, _, _ = matched(base, new)
    except RunError:
        return None  # at the end, the gate says what is wrong
    means = ((pair, pair.base.mean) for pair in pairs)
    return {(pair.new.place, pair.new.pivot_id): mean for pair, mean in means if mean is not None}
