"""Hand out pivots with all of their repeats, for a session that asks only until a pivot has passed and failed.

Whether a repeat is needed depends on those before it. So all repeats of a pivot go to one worker, which decides by
itself; the controller would learn of a result too late. If a worker dies, those who take over its pivots are told what
has become of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fcpivot.distributed.compat import has_all, hear_commands
from pytest_fcpivot.distributed.scheduler import LOAD_NEEDS
from pytest_fcpivot.runs.until_mixed import first_test
from pytest_fcpivot.session.queue import whole_window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pytest
    from xdist.scheduler import Scheduling

    from pytest_fcpivot.session.ledger import Ledger
    from pytest_fcpivot.session.test_names import TestNames

# A worker runs its tests in the order in which it gets them, and each repeat waits for the one before it. So pivots
# have to come many at a time: with three in a batch, only three calls would be under way. This is the least number, as
# a multiple of the calls in flight; the most is the size of a block.
_LEAST_IN_CALLS = 2
_OUTCOMES = "fcpivot_outcomes"  # a command to a worker
_LEAST_QUEUE = 2  # a worker runs a test when it knows the next one


def make_mixed_scheduler(
    config: pytest.Config, log: Any, concurrency: int, ledger: Ledger, names: TestNames
) -> Scheduling | None:
    """Return a scheduler that keeps the repeats of a pivot together; None if xdist lacks attributes that it uses."""
    from xdist.scheduler import LoadScheduling  # noqa: PLC0415 (xdist asks for it)

    least, most = _LEAST_IN_CALLS * concurrency, whole_window(concurrency)
    tally = ledger.tally

    class MixedScheduling(LoadScheduling):  # type: ignore[misc] # xdist is not typed
        """Sends whole pivots, many at a time, and the next ones when most of these are done."""

        def __init__(self) -> None:
            super().__init__(config, log)
            self._pivots: list[str] = []  # by the place of each test in the collection
            self._groups: dict[str, list[int]] | None = None  # the pending tests by pivot; None if they have changed

        def schedule(self) -> None:
            super().schedule()
            for node in self.nodes:
                self.check_schedule(node)

        def check_schedule(self, node: Any, duration: float = 0) -> None:  # noqa: ARG002 (xdist's signature)
            if node.shutting_down:
                return
            if self._open(node) <= concurrency or len(self.node2pending[node]) < _LEAST_QUEUE:
                self._send_share(node, len(self.node2pending))
            if not self.pending:
                node.shutdown()

        def remove_node(self, node: Any) -> str | None:
            self._groups = None
            crashed: str | None = super().remove_node(node)
            self._groups = None
            return crashed

        def mark_test_pending(self, item: str) -> None:
            self._groups = None
            super().mark_test_pending(item)

        def _send_tests(self, node: Any, num: int) -> None:  # noqa: ARG002 (xdist's signature)
            """Send a worker its share when the session begins, which is when xdist calls this."""
            if not self._pivots:
                self._pivots = [_pivot_of(names, test) for test in self.collection]
                self._groups = None
            if not self.node2pending[node]:
                self._send_share(node, sum(not pending for pending in self.node2pending.values()))

        def _send_share(self, node: Any, workers: int) -> None:
            """Send a worker its part of what is left, if so many workers share it."""
            share = -(-len(self._by_pivot()) // max(1, workers))
            self._send_pivots(node, min(most, max(least, share)))

        def _by_pivot(self) -> dict[str, list[int]]:
            if self._groups is None:
                self._groups = {}
                for place in sorted(self.pending):  # those of a worker that died are at the end, and come first
                    self._groups.setdefault(self._pivots[place], []).append(place)
            return self._groups

        def _open(self, node: Any) -> int:
            """Return at how many pivots a worker still has to ask."""
            pivots = {self._pivots[place] for place in self.node2pending[node]}
            return sum(not tally.is_mixed(pivot, 1) for pivot in pivots)

        def _send_pivots(self, node: Any, number: int) -> None:
            groups = self._by_pivot()
            chosen: list[int] = []
            known: dict[str, list[bool]] = {}
            taken: set[int] = set()
            while groups and (number > 0 or not chosen):
                pivot = next(iter(groups))
                places = groups.pop(pivot)
                taken.update(places)
                needed = [place for place in places if not ledger.is_unneeded(self.collection[place])]
                chosen += needed
                number -= bool(needed)
                if outcomes := tally.outcomes(pivot):
                    known[pivot] = list(outcomes)
            self.pending[:] = [place for place in self.pending if place not in taken]
            if known:
                node.sendcommand(_OUTCOMES, outcomes=known)
            if chosen:
                chosen.sort()  # the first repeats first
                self.node2pending[node].extend(chosen)
                node.send_runtest_some(chosen)

    scheduler: Scheduling = MixedScheduling()
    return scheduler if has_all(scheduler, LOAD_NEEDS) else None


def listen_for_outcomes(config: pytest.Config, learn: Callable[[str, Iterable[bool]], None]) -> None:
    """Make a worker call `learn`, in another thread, with a pivot and the outcomes that it had at another worker."""

    def hear(command: dict[str, Any]) -> None:
        for pivot, outcomes in command["outcomes"].items():
            learn(pivot, outcomes)

    hear_commands(config, _OUTCOMES, hear)


def _pivot_of(names: TestNames, test: str) -> str:
    found = names.find(test)
    return test if found is None else first_test(test, found[1])
