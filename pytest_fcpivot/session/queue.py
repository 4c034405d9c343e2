"""The tests that a process runs next, as far as they are known, and how far ahead of them calls may be started."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

# How many pivots may be asked ahead of the running test, as a multiple of the concurrency. Latencies have long tails:
# while a test waits for a slow call, the others finish, and their answers are held in the window. With a factor of 2,
# one slow call stalled its worker, and a run with log-normal latencies took 2.4 times as long.
_WINDOW_IN_CALLS = 16
# The smallest window. It is refilled when half is used up, so that the threads do not wake each other for each pivot:
# with an agent that answers at once, a window of 16 made a session a tenth slower. An agent that takes longer than
# pytest takes for a test never gets this far ahead.
_LEAST_WINDOW = 128


# The same in a session that may stop early, where answers that nobody reads are wasted.
_WINDOW_IF_IT_MAY_STOP = 4


def window(config: pytest.Config, concurrency: int, *, may_stop: bool) -> int:
    """Return how many pivots a process may ask ahead; with --maxfail, only as many as may be in flight at once.

    `may_stop`: the session ends when its gate is decided.
    """
    if config.getoption("maxfail", 0):
        return concurrency
    if may_stop:
        return _WINDOW_IF_IT_MAY_STOP * concurrency
    return whole_window(concurrency)


def whole_window(concurrency: int) -> int:
    """Return how many pivots may be asked ahead by a process that nothing is known to stop."""
    return max(_LEAST_WINDOW, _WINDOW_IN_CALLS * concurrency)


class Queue(Protocol):
    """The tests that a process is to run; `grows`: tests are added while it runs."""

    @property
    def grows(self) -> bool: ...  # noqa: D102

    def after(self, item: pytest.Item) -> Iterable[pytest.Item]:
        """Yield the tests after an item, as far as they are known, and were not yielded before."""

    def waiting(self, session: pytest.Session) -> Iterable[pytest.Item]:
        """Yield the queued tests besides the running one; nothing if the queue is all that was collected."""


class CollectedQueue:
    """The queue of a process that runs all that it has collected."""

    grows = False

    def __init__(self) -> None:
        self._cursor = 0  # index of the running test in the session's items
        self._examined = 0  # index of the first item that was not yielded

    def after(self, item: pytest.Item) -> Iterable[pytest.Item]:
        """Yield the tests after an item that were not yielded before."""
        items = item.session.items
        try:
            self._cursor = items.index(item, self._cursor)
        except ValueError:  # it runs again, or in another order than collected
            self._cursor = self._examined = items.index(item)
        return self._examine(items)

    def _examine(self, items: list[pytest.Item]) -> Iterable[pytest.Item]:
        self._examined = max(self._examined, self._cursor + 1)
        for upcoming in islice(items, self._examined, None):
            yield upcoming
            self._examined += 1  # not reached if the reader stops at this item

    def waiting(self, session: pytest.Session) -> Iterable[pytest.Item]:  # noqa: ARG002 (the protocol's)
        """Yield nothing: only workers of pytest-xdist need it."""
        return ()
