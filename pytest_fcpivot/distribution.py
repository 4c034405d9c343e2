"""pytest-xdist: what a worker has in its queue, and how the controller fills it.

A worker can ask ahead only at pivots that stand in its own queue, and a pivot that was taken back would be asked twice.
So queues are kept long enough for the calls that may be under way, and nothing is taken back; xdist's own scheduler
lets a queue run down to two tests near the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest
    from xdist.scheduler import Scheduling

_BY_US = ("load", "worksteal")
# As far as a process looks ahead (see asking.py): with 2, a slow head stalled its worker, and a run with log-normal
# latencies took 2.4 times as long.
_QUEUE_IN_CALLS = 16
_LEAST_QUEUE = 2


def queued_items(config: pytest.Config, session: pytest.Session) -> list[pytest.Item] | None:
    """Return the items in this worker's queue, in order; None if this process is no worker.

    Nothing public gives the queue; without it, a worker looks no further than its own item.
    """
    if not hasattr(config, "workerinput"):
        return None
    interactor = next((p for p in config.pluginmanager.get_plugins() if hasattr(p, "torun")), None)
    queue = getattr(interactor, "torun", None)
    if queue is None or not hasattr(queue, "lock"):
        return []
    following = getattr(interactor, "nextitem_index", None)
    with queue.lock() as waiting:
        indices = [following, *waiting]
    return [session.items[index] for index in indices if isinstance(index, int)]


def make_scheduler(config: pytest.Config, log: Any, concurrency: int) -> Scheduling | None:
    """Return a scheduler for a session of pivots; None for the kinds of distribution that group tests."""
    if config.getoption("dist") not in _BY_US:
        return None
    from xdist.scheduler import LoadScheduling  # noqa: PLC0415 (xdist asks for it)

    class PivotScheduling(LoadScheduling):  # type: ignore[misc] # xdist is not typed
        """Keeps enough pivots in every worker's queue, and hands the last ones out evenly."""

        def check_schedule(self, node: Any, duration: float = 0) -> None:  # noqa: ARG002 (its own signature)
            if node.shutting_down:
                return
            if not self.pending:
                node.shutdown()
                return
            outstanding = len(self.pending) + sum(map(len, self.node2pending.values()))
            fair = -(-outstanding // max(1, len(self.node2pending)))
            wanted = max(_LEAST_QUEUE, min(_QUEUE_IN_CALLS * concurrency, fair))
            present = len(self.node2pending[node])
            if present <= max(_LEAST_QUEUE, wanted * 3 // 4):
                self._send_tests(node, max(wanted, _LEAST_QUEUE) - present)

        def schedule(self) -> None:
            super().schedule()
            for node in self.nodes:
                if self.pending:
                    self.check_schedule(node)

    scheduler: Scheduling = PivotScheduling(config, log)
    return scheduler


def stop_workers(config: pytest.Config, reason: str) -> None:
    """Let the controller end the run; in a session without workers, pytest itself does."""
    controller = config.pluginmanager.getplugin("dsession")
    if controller is not None and hasattr(controller, "shouldstop"):
        controller.shouldstop = reason
