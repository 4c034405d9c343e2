"""Limit the number of concurrent attempts, and lower the limit while the service reports overload."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio


class CallLimit:
    """Limits how many attempts are in flight at once, by additive increase, multiplicative decrease.

    When the service reports overload, the limit is halved, but only once for all attempts that were in flight at that
    moment. A limit of N grows by one for every N good answers, up to `most` (Chiu & Jain 1989).
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._level = float(most)
        self._under_way = 0
        self._lowered_at = float("-inf")
        self._free = threading.Condition()
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def under_way(self) -> int:
        """How many attempts are in flight now."""
        return self._under_way

    @property
    def lowered_to(self) -> int | None:
        """How many attempts may be in flight, if overload has lowered that; None if it has not."""
        level = int(self._level)
        return level if level < self.most else None

    def enter(self) -> float:
        """Wait for a place, in a thread; return the time at which the attempt begins."""
        with self._free:
            self._free.wait_for(self._has_room)
            self._under_way += 1
        return time.monotonic()

    async def enter_loop(self) -> float:
        """Wait for a place, in the event loop that all attempts run in; return when the attempt begins."""
        while not self._has_room():
            import asyncio  # noqa: PLC0415 (a loop is running, so it is already imported)

            future = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            try:
                await future
            except asyncio.CancelledError:
                self._wake()  # this attempt may have had the free place already; pass it on
                raise
        self._under_way += 1
        return time.monotonic()

    def leave(self, began: float, *, good: bool, too_much: bool = False) -> None:
        """Give the place back, and adapt the limit to how the attempt ended."""
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
