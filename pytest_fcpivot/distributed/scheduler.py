"""How pytest-xdist's controller fills the queues of its workers.

A worker can ask ahead only at pivots that stand in its own queue, and a pivot that was taken back would be asked twice.
So queues are kept long enough for the calls that may be under way, and nothing is taken back; xdist's own scheduler
lets a queue run down to two tests near the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fcpivot.distributed.compat import has_all
from pytest_fcpivot.session.queue import window

if TYPE_CHECKING:
    import pytest
    from xdist.scheduler import Scheduling

_BY_US = ("load", "worksteal")
_BY_GROUPS = {
    "loadscope": "LoadScopeScheduling",
    "loadfile": "LoadFileScheduling",
    "loadgroup": "LoadGroupScheduling",
}
_LEAST_QUEUE = 2
# What the schedulers build on, of xdist's own.
LOAD_NEEDS = ("nodes", "pending", "node2pending", "_send_tests")
GROUPS_NEED = ("assigned_work", "registered_collections", "workqueue", "_reschedule")


def make_scheduler(config: pytest.Config, log: Any, concurrency: int) -> Scheduling | None:
    """Return a scheduler for a session of pivots; None for a kind of distribution that is left to xdist as it is.

    So is all distribution of an xdist that does not have what these schedulers build on.
    """
    dist = config.getoption("dist")
    if dist in _BY_GROUPS:
        return _group_scheduler(config, log, _BY_GROUPS[dist])
    if dist not in _BY_US:
        return None
    from xdist.scheduler import LoadScheduling  # noqa: PLC0415 (xdist asks for it)

    enough = window(config, concurrency) + _LEAST_QUEUE

    class PivotScheduling(LoadScheduling):  # type: ignore[misc] # xdist is not typed
        """Keeps enough pivots in every worker's queue, and hands the last ones out evenly."""

        def __init__(self) -> None:
            super().__init__(config, log)
            if config.getoption("maxfail", 0):
                self.maxschedchunk: int | None = min(config.getoption("maxschedchunk") or enough, enough)

        def check_schedule(self, node: Any, duration: float = 0) -> None:  # noqa: ARG002 (its own signature)
            if node.shutting_down:
                return
            if not self.pending:
                node.shutdown()
                return
            outstanding = len(self.pending) + sum(map(len, self.node2pending.values()))
            fair = -(-outstanding // max(1, len(self.node2pending)))
            wanted = max(_LEAST_QUEUE, min(enough, fair))
            present = len(self.node2pending[node])
            if present <= max(_LEAST_QUEUE, wanted * 3 // 4):
                self._send_tests(node, max(wanted, _LEAST_QUEUE) - present)

        def schedule(self) -> None:
            super().schedule()
            for node in self.nodes:
                if self.pending:
                    self.check_schedule(node)

    scheduler: Scheduling = PivotScheduling()
    return scheduler if has_all(scheduler, LOAD_NEEDS) else None


def _group_scheduler(config: pytest.Config, log: Any, name: str) -> Scheduling | None:
    """Return xdist's scheduler that keeps groups of tests together, mended for workers that die.

    As it is, a worker that takes the place of a dead one is given one group of what came back, and waits for ever for a
    second one or the end if that is a single test; groups that were done are handed out again, and waited for; and when
    two workers die at a time, the session ends with an internal error.
    """
    from xdist import scheduler as xdist_schedulers  # noqa: PLC0415 (xdist asks for it)

    class GroupScheduling(getattr(xdist_schedulers, name)):  # type: ignore[misc] # xdist is not typed
        """Hands out what a dead worker left, and nothing else, to workers that know their tests."""

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
