"""Calls of one function, many at once and ahead of their readers; the function may be a plain one or a coroutine's.

Calls are started in order and read in any order. Those of a coroutine function run in one event loop, in a thread of
its own; those of a plain function in as many threads as calls may be under way.
"""

from __future__ import annotations

import inspect
import threading
import time
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.calls.attempts import Attempts
from pytest_fcpivot.calls.call import Call, CallLog, TooManyHungCallsError
from pytest_fcpivot.calls.limit import CallLimit
from pytest_fcpivot.calls.loop import Loop
from pytest_fcpivot.calls.retry import RetryPolicy
from pytest_fcpivot.calls.servers import Server
from pytest_fcpivot.calls.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fcpivot.calls.faults import Fault

# One thread is enough for a function that answers at once, and more would only slow it down. The others are made when
# an answer has been waited for this long.
_GROW_AFTER_S = 0.002
# A thread that hangs cannot be ended. Each costs memory, so after this many the run has to stop.
MAX_HUNG_CALLS = 64
_LOOK_AGAIN_S = 1.0


class Caller:
    """Calls one function, such as an agent or a judge; up to `concurrency` calls are under way at once.

    Calls begin in the order in which they were started. `timeout` is the time limit of one attempt in seconds, or None;
    `policy` tells what is tried again; `who` is the name of the function in error messages. What is known of the
    `server` that it asks is shared with other callers.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        timeout: float | None = None,
        *,
        concurrency: int = 1,
        policy: RetryPolicy | None = None,
        log: CallLog | None = None,
        who: str = "agent",
        server: Server | None = None,
    ) -> None:
        self.policy = policy or RetryPolicy()
        self._attempts = Attempts(
            function, timeout, policy=self.policy, log=log or CallLog(), who=who, server=server or Server()
        )
        self._limit = CallLimit(concurrency)
        self._lock = threading.Lock()
        self._threads: Threads | None = None
        self._loop: Loop | None = None

    def start(self, question: Any, key: str = "", then: Callable[[Any], None] | None = None) -> Call:
        """Begin a call, or queue it behind the calls before; what it ends with is read by `finish`.

        `key` and `then` are those of Call. Raises TooManyHungCallsError if too many calls never came back.
        """
        attempts = self._attempts
        if attempts.hung >= MAX_HUNG_CALLS:
            raise TooManyHungCallsError(
                f"{attempts.hung} calls of the {attempts.who} never came back; the run stops here. "
                f"Give the {attempts.who}'s own client a time limit."
            )
        with self._lock:  # a plain function may turn out to be asynchronous at any moment
            if self._loop is None and self._threads is None:
                if _is_async(attempts.function):
                    self._loop = Loop(attempts, self._limit)
                else:
                    self._threads = Threads(attempts, self._limit, self._to_loop)
            call = Call(question, key, then)
            driver = self._loop or self._threads
            assert driver is not None  # noqa: S101 (one was made above)
            driver.put(call)
        return call

    def finish(self, call: Call) -> Any:
        """Return what the function returned; raises what it raised, or AgentTimeoutError if it was late."""
        self.wait_for(call)
        if call.error is not None:
            raise call.error
        return call.output

    def wait_for(self, call: Call, patience: float = float("inf")) -> bool:
        """Wait until a call has ended, and see to it that it does; False if it did not within so many seconds."""
        if call.settled or call.wait(_GROW_AFTER_S):
            return True
        if self._threads is not None:
            self._threads.grow()
        end = time.monotonic() + patience
        while not call.wait(min(self._look_again_in(call), end - time.monotonic())):
            if self._threads is not None:
                self._threads.abandon_late()
            elif self._loop is not None and self._loop.is_blocked():
                self._replace_loop(call)
            if time.monotonic() >= end:
                return call.settled
        return True

    def is_fatal(self, fault: Fault) -> bool:
        """Tell whether a fault of one call means that no call can succeed."""
        return self._attempts.is_fatal(fault)

    def drop_waiting(self) -> None:
        """End the calls that have not begun, with DroppedError; may be called by any thread."""
        with self._lock:
            threads, loop = self._threads, self._loop
        if threads is not None:
            threads.drop_waiting()
        if loop is not None:
            loop.drop_waiting()

    def close(self) -> None:
        """Drop what waits, cancel what can be cancelled, let the function close its client, and end the threads.

        A call that hangs is left behind, and does not keep the process alive.
        """
        if self._threads is not None:
            self._threads.close()
        if self._loop is not None:
            self._loop.close()
        self._threads = self._loop = None

    def _look_again_in(self, call: Call) -> float:
        """Return when something may have to be done about a call that does not end, in seconds."""
        timeout = self._attempts.timeout
        if timeout is None or call.attempt_began is None:
            return _LOOK_AGAIN_S
        left = timeout - (time.monotonic() - call.attempt_began)
        # the event loop keeps the time itself, unless it is blocked
        return left if self._threads is not None and left > 0 else max(left, 0.0) + _LOOK_AGAIN_S / 10

    def _replace_loop(self, head: Call) -> None:
        """Go on in a new loop: one call blocks this one, and is late; the others are made again."""
        old = self._loop
        assert old is not None  # noqa: S101 (only a loop that is there can be blocked)
        calls = old.leave_behind()
        guilty = old.blocking_call() or head
        self._attempts.hung += 1
        self._limit = CallLimit(self._limit.most)
        self._loop = Loop(self._attempts, self._limit)
        for call in calls:
            if call is guilty:
                call.latency_s = time.monotonic() - (call.attempt_began or time.monotonic())
                self._attempts.settle(call, None, self._attempts.late())
            elif not call.settled:
                call.attempt_began = None
                self._loop.put(call)

    def _to_loop(self, call: Call, awaitable: Any) -> None:
        """Go on in an event loop: a plain function turned out to return what must be awaited."""
        with self._lock:
            threads, self._threads = self._threads, None
            if self._loop is None:
                self._loop = Loop(self._attempts, self._limit)
            self._loop.put(call, awaitable)
            if threads is not None:
                for waiting in threads.take_waiting():
                    self._loop.put(waiting)
                threads.close()


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)
