"""What a process runs next, as far as it is known: how far ahead of its tests agents may be asked."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

# How many pivots may be asked ahead of the one that runs, in calls that may be under way at once. Latencies have long
# tails: while the slowest of a thousand calls is waited for, the others go on, and their answers have to be held. With
# 2, a slow head stalled its worker, and a run with log-normal latencies took 2.4 times as long.
_WINDOW_IN_CALLS = 16
# At least so many, refilled when half is used up, so that neither thread wakes the other for every pivot: with an agent
# that answers at once, 16 made a session of pivots a tenth slower. An agent that takes longer than pytest takes for a
# test never gets this far ahead.
_LEAST_WINDOW = 128


def window(config: pytest.Config, concurrency: int) -> int:
    """Return how far a process may look ahead; one that stops at failures keeps its calls under way, and no more."""
    if config.getoption("maxfail", 0):
        return concurrency
    return max(_LEAST_WINDOW, _WINDOW_IN_CALLS * concurrency)


class Queue(Protocol):
    """The tests that a process is to run; `grows` tells that it is given more while it runs."""

    @property
    def grows(self) -> bool: ...  # noqa: D102

    def after(self, item: pytest.Item) -> Iterable[pytest.Item]:
        """Yield what runs after an item, as far as it is known and was not looked at before."""

    def waiting(self, session: pytest.Session) -> Iterable[pytest.Item]:
        """Yield what waits, beside the test that runs; nothing where the queue is all that was collected."""


class CollectedQueue:
    """The queue of a process that runs all that it has collected."""

    grows = False

    def __init__(self) -> None:
        self._cursor = 0  # where in the session's items the present test stands
        self._examined = 0  # up to where they have been looked at

    def after(self, item: pytest.Item) -> Iterable[pytest.Item]:
        """Yield what runs after an item and was not looked at before."""
        items = item.session.items
        try:
            self._cursor = items.index(item, self._cursor)
        except ValueError:  # run again, or in another order than collected
            self._cursor = self._examined = items.index(item)
        return self._examine(items)

    def _examine(self, items: list[pytest.Item]) -> Iterable[pytest.Item]:
        self._examined = max(self._examined, self._cursor + 1)
        for upcoming in islice(items, self._examined, None):
            yield upcoming
            self._examined += 1  # not reached for the one that was too much

    def waiting(self, session: pytest.Session) -> Iterable[pytest.Item]:  # noqa: ARG002 (the protocol's)
        """Yield nothing: nobody asks for it in a process of its own."""
        return ()
