"""The queue of a pytest-xdist worker, in which it looks ahead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fcpivot.distributed.compat import queue_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest


class WorkerQueue:
    """The queue of a worker, to which the controller adds tests while it runs."""

    grows = True

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def after(self, item: pytest.Item) -> Iterable[pytest.Item]:
        """Return the tests in the queue, in order."""
        return self.waiting(item.session)

    def waiting(self, session: pytest.Session) -> Iterable[pytest.Item]:
        """Return the tests in the queue, in order."""
        return [session.items[place] for place in queue_of(self._config)]
