"""What a worker of pytest-xdist has in its queue.

Nothing public gives it; without it, a worker looks no further than its own test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fcpivot.distributed.compat import interactor_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest


class WorkerQueue:
    """The queue of a worker, which is filled while it runs."""

    grows = True

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def after(self, item: pytest.Item) -> Iterable[pytest.Item]:
        """Return what is in the queue, in order."""
        return self.waiting(item.session)

    def waiting(self, session: pytest.Session) -> Iterable[pytest.Item]:
        """Return what is in the queue, in order."""
        interactor = interactor_of(self._config)
        queue = getattr(interactor, "torun", None)
        if queue is None or not hasattr(queue, "lock"):
            return []
        following = getattr(interactor, "nextitem_index", None)
        with queue.lock() as waiting:
            indices = [following, *waiting]
        return [session.items[index] for index in indices if isinstance(index, int)]
