"""How many attempts may be under way at once: fewer while the service says that they are too many."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio


class CallLimit:
    """How many attempts may be under way at once.

    The number is halved when the service says that it gets too much, once for all attempts that were under way then,
    and grows by one for as many good answers as it stands at, up to `most`: additive increase, multiplicative
    decrease (Chiu & Jain 1989).
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._level = float(most)
        self._under_way = 0
        self._lowered_at = float("-inf")
        self._free = threading.Condition()
        self._waiting: deque[asyncio.Future[None]] = deque()

    def enter(self) -> float:
        """Wait for a place, in a thread; return the time at which the attempt begins."""
        with self._free:
            self._free.wait_for(self._has_room)
            self._under_way += 1
        return time.monotonic()

    async def enter_loop(self) -> float:
        """Wait for a place, in the event loop that all attempts run in; return when the attempt begins."""
        while not self._has_room():
            import asyncio  # noqa: PLC0415 (a loop runs, so it is imported)

            future = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            try:
                await future
            except asyncio.CancelledError:
                self._wake()  # the turn may have been this one's, and is the next one's now
                raise
        self._under_way += 1
        return time.monotonic()

    def leave(self, began: float, *, good: bool, too_much: bool = False) -> None:
        """Give the place back, and learn from how the attempt ended."""
        with self._free:
            self._under_way -= 1
            if too_much and began > self._lowered_at:
                self._level = max(1.0, self._level / 2)
                self._lowered_at = time.monotonic()
            elif good and self._level < self.most:
                self._level = min(float(self.most), self._level + 1 / self._level)
            self._free.notify_all()
        self._wake()

    def _wake(self) -> None:
        room = int(self._level) - self._under_way
        while self._waiting and room > 0:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                room -= 1

    def _has_room(self) -> bool:
        return self._under_way < int(self._level)
