"""Schedulers by which pytest-xdist's controller fills the queues of its workers.

A worker can start calls ahead only for pivots in its own queue, and a pivot that is taken out of a queue again may be
asked twice. So queues are kept long enough for all concurrent calls, and nothing is taken back. xdist's own scheduler
would let a queue run down to two tests near the end.

In a session that may stop early, only what is at the head of the tests' order counts, so it has to be run first by all
workers together: the tests are dealt out a few at a time, and queues are shorter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fcpivot.distributed.compat import has_all
from pytest_fcpivot.session.queue import window

if TYPE_CHECKING:
    import pytest
    from xdist.scheduler import Scheduling

BY_US = ("load", "worksteal")
_BY_GROUPS = {
    "loadscope": "LoadScopeScheduling",
    "loadfile": "LoadFileScheduling",
    "loadgroup": "LoadGroupScheduling",
}
_LEAST_QUEUE = 2
# The tests that are dealt out at once in a session that may stop early. With queues of consecutive tests, two workers
# ran twice the tests that counted.
_DEAL = 2
# The attributes of xdist's schedulers that our subclasses use.
LOAD_NEEDS = ("nodes", "pending", "node2pending", "_send_tests")
GROUPS_NEED = ("assigned_work", "registered_collections", "workqueue", "_reschedule")


def make_scheduler(config: pytest.Config, log: Any, concurrency: int, *, in_order: bool) -> Scheduling | None:
    """Return a scheduler for a session over pivots; None to leave the distribution to xdist.

    It is left to xdist for other values of --dist, and if xdist lacks attributes that these schedulers use. `in_order`:
    the tests are run in their order by all workers together, as far as can be.
    """
    dist = config.getoption("dist")
    if dist in _BY_GROUPS:
        return _group_scheduler(config, log, _BY_GROUPS[dist])
    if dist not in BY_US:
        return None
    from xdist.scheduler import LoadScheduling  # noqa: PLC0415 (xdist asks for it)

    enough = window(config, concurrency, may_stop=in_order) + _LEAST_QUEUE

    class PivotScheduling(LoadScheduling):  # type: ignore[misc] # xdist is not typed
        """Keeps enough pivots in each worker's queue, and hands out the last ones evenly."""

        def __init__(self) -> None:
            super().__init__(config, log)
            if config.getoption("maxfail", 0) or in_order:
                most = _DEAL if in_order else enough
                self.maxschedchunk: int | None = min(config.getoption("maxschedchunk") or most, most)

        def check_schedule(self, node: Any, duration: float = 0) -> None:  # noqa: ARG002 (xdist's signature)
            if node.shutting_down:
                return
            if not self.pending:
                node.shutdown()
                return
            outstanding = len(self.pending) + sum(map(len, self.node2pending.values()))
            fair = -(-outstanding // max(1, len(self.node2pending)))
            wanted = max(_LEAST_QUEUE, min(enough, fair))
            present = len(self.node2pending[node])
            if in_order:
                self._deal(node, wanted - present)
            elif present <= max(_LEAST_QUEUE, wanted * 3 // 4):
                self._send_tests(node, max(wanted, _LEAST_QUEUE) - present)

        def _deal(self, node: Any, room: int) -> None:
            if self.pending[0] > self.pending[-1]:  # those of a worker that died are at the end, and come first
                self.pending.sort()
            if room >= _DEAL or (room > 0 and len(self.node2pending[node]) < _LEAST_QUEUE):
                self._send_tests(node, _DEAL)

        def schedule(self) -> None:
            super().schedule()
            for _ in range(enough // _DEAL if in_order else 1):
                for node in self.nodes:
                    if self.pending:
                        self.check_schedule(node)

    scheduler: Scheduling = PivotScheduling()
    return scheduler if has_all(scheduler, LOAD_NEEDS) else None


def _group_scheduler(config: pytest.Config, log: Any, name: str) -> Scheduling | None:
    """Return xdist's scheduler that keeps groups of tests together, with three faults after a worker's death fixed.

    In xdist's own, the replacement of a dead worker gets only one group, and if that has a single test, it waits for
    ever for another group or the end. Groups that have been run are handed out again, and waited for. And if two
    workers die at the same time, the session ends with an internal error.
    """
    from xdist import scheduler as xdist_schedulers  # noqa: PLC0415 (xdist asks for it)

    class GroupScheduling(getattr(xdist_schedulers, name)):  # type: ignore[misc] # xdist is not typed
        """Hands out only what a dead worker left unfinished, and only to workers that have collected their tests."""

        def remove_node(self, node: Any) -> str | None:
            work = self.assigned_work[node]
            for group in [group for group, tests in work.items() if all(tests.values())]:
                del work[group]
            crashed: str | None = super().remove_node(node)
            return crashed

        def _reschedule(self, node: Any) -> None:
            waiting = None
            while node in self.registered_collections and not node.shutting_down and waiting != len(self.workqueue):
                waiting = len(self.workqueue)
                super()._reschedule(node)

    scheduler: Scheduling = GroupScheduling(config, log)
    return scheduler if has_all(scheduler, GROUPS_NEED) else None
