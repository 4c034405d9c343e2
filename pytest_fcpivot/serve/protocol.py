"""HTTP connections with a bound on what comes before a request's body: its size, and the time that it may take.

Without, a client that never ends a header would fill the memory, and connections that say nothing would stay open. The
body is bounded in `request`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio

MOST_HEAD_BYTES = 128 << 10
LONGEST_HEAD_S = 60.0


class BoundedProtocol(HttpToolsProtocol):
    """One connection, read by httptools."""

    longest_head_s = LONGEST_HEAD_S
    _in_head = False
    _head_bytes = 0
    _giving_up: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Read what came; refuse a request that does not come to its body."""
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES:
                self.send_400_response("The headers are too large.")
            elif self._giving_up is None:
                self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the wait, if there is one."""
        self._stop_waiting()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Begin a request, as the parser tells."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Go on to the body, as the parser tells."""
        self._in_head, self._head_bytes = False, 0
        self._stop_waiting()
        super().on_headers_complete()

    def _wait(self) -> None:
        self._giving_up = self.loop.call_later(self.longest_head_s, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None
