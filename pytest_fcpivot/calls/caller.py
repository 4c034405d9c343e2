"""Call one function concurrently, ahead of the tests that read its results.

Calls begin in the order in which they were started, and may be read in any order. Calls of a coroutine function run in
one event loop, which has its own thread; calls of a plain function each run in a thread, at most `concurrency` at once.
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

# A function that answers at once needs only one thread, and more would slow it down. Further threads are started when a
# reader has waited this long for an answer.
_GROW_AFTER_S = 0.002
# Python cannot end a thread that hangs, and each one holds memory, so after this many the run stops.
MAX_HUNG_CALLS = 64
_LOOK_AGAIN_S = 1.0  # how often a reader checks for hung calls while it waits


class Caller:
    """Calls one function, such as an agent or a judge; up to `concurrency` calls are in flight at once.

    Calls begin in the order in which they were started. `timeout` is the time limit of one attempt in seconds, or None
    for no limit; `policy` decides which faults are retried; `who` names the function in error messages. `server` is
    shared by all callers that use the same server: an answer to one of them shows the others that it is reachable.
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
        self._closed = False

    @property
    def limit(self) -> CallLimit:
        """The limit on the attempts in flight, which counts them."""
        return self._limit

    def start(self, question: Any, key: str = "", then: Callable[[Any], None] | None = None) -> Call:
        """Start a call, or queue it behind earlier ones; `finish` returns its result.

        `key` and `then` are those of Call. Raises TooManyHungCallsError once MAX_HUNG_CALLS calls hang.
        """
        attempts = self._attempts
        if attempts.hung >= MAX_HUNG_CALLS:
            raise TooManyHungCallsError(
                f"{attempts.hung} calls of the {attempts.who} never returned; the run stops here. "
                f"Set a time limit in the {attempts.who}'s own client."
            )
        with self._lock:  # a plain function may turn out to be asynchronous at any moment
            self._closed = False
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
        """Wait for a call and return its result; raises the function's error, or AgentTimeoutError if it was late."""
        self.wait_for(call)
        if call.error is not None:
            raise call.error
        return call.output

    def wait_for(self, call: Call, patience: float = float("inf")) -> bool:
        """Wait up to `patience` seconds until a call has ended; returns whether it has.

        While it waits, it starts further threads, gives up calls that are past their time limit, and replaces an event
        loop that one call blocks.
        """
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
        """Return whether a fault of one call means that no call can succeed."""
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
        """Drop queued calls, cancel calls in flight, let the function close its client, and end the threads.

        A call that cannot be cancelled is abandoned in a daemon thread, which does not keep the process alive.
        """
        with self._lock:
            self._closed = True
        if self._threads is not None:
            self._threads.close()
        if self._loop is not None:
            self._loop.close()
        self._threads = self._loop = None

    def _look_again_in(self, call: Call) -> float:
        """Return after how many seconds `wait_for` has to check on a call that has not ended."""
        timeout = self._attempts.timeout
        if timeout is None or call.attempt_began is None:
            return _LOOK_AGAIN_S
        left = timeout - (time.monotonic() - call.attempt_began)
        # An event loop enforces the time limit itself unless a call blocks it, so it gets a little longer.
        return left if self._threads is not None and left > 0 else max(left, 0.0) + _LOOK_AGAIN_S / 10

    def _replace_loop(self, head: Call) -> None:
        """Move the calls to a new event loop because one call blocks the present one.

        The blocking call ends with AgentTimeoutError; the others, which it held up, are made again. If the blocking
        call cannot be found, it is taken to be `head`, the one that is waited for.
        """
        old = self._loop
        assert old is not None  # noqa: S101 (only an existing loop can be blocked)
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
        """Move from threads to an event loop because a plain function returned an awaitable."""
        with self._lock:
            if self._closed:  # the function was still running then, and nobody waits for what it returns
                if inspect.iscoroutine(awaitable):
                    awaitable.close()
                return
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
