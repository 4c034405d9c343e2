"""Make the calls of a plain function, each in one of several threads."""

from __future__ import annotations

import inspect
import threading
import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.calls.call import Call, DroppedError
from pytest_fcpivot.calls.output import current_output
from pytest_fcpivot.core.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fcpivot.calls.attempts import Attempts
    from pytest_fcpivot.calls.limit import CallLimit


class Threads:
    """Threads that take calls from one queue; a thread that hangs is abandoned and replaced.

    If the function returns an awaitable, `to_loop` is called with the call and the awaitable.
    """

    def __init__(self, attempts: Attempts, limit: CallLimit, to_loop: Callable[[Call, Any], None]) -> None:
        self._attempts = attempts
        self._limit = limit
        self._to_loop = to_loop
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._alive = 0
        self._under_way: set[Call] = set()
        self._abandoned: set[Call] = set()

    def put(self, call: Call) -> None:
        """Queue a call, and start the first thread if there is none."""
        self._calls.put(call)
        if not self._alive:
            self._add_thread()

    def grow(self) -> None:
        """Start a thread for each queued call, up to the limit of concurrent calls."""
        for _ in range(min(self._limit.most - self._alive, self._calls.qsize())):
            self._add_thread()

    def _add_thread(self) -> None:
        with self._lock:
            self._alive += 1
        threading.Thread(target=self._run, name="fc-agent", daemon=True).start()

    def abandon_late(self) -> None:
        """Settle the calls that are past their time limit as late, and abandon the threads that still run them."""
        timeout, attempts = self._attempts.timeout, self._attempts
        if timeout is None:
            return
        with self._lock:
            now = time.monotonic()
            late = [(call, call.attempt_began) for call in self._under_way if call.attempt_began is not None]
            late = [(call, began) for call, began in late if now - began >= timeout]
            for call, _ in late:
                self._under_way.discard(call)
                self._abandoned.add(call)
                self._alive -= 1
        for call, began in late:
            error = attempts.late()
            attempts.hung += 1
            attempts.end(call, began, error, self._limit)
            attempts.settle(call, None, error)
            if not self._stopped.is_set():
                self._add_thread()

    def take_waiting(self) -> list[Call]:
        """Take the calls that have not begun out of the queue."""
        waiting = []
        with suppress(Empty):
            while True:
                call = self._calls.get_nowait()
                if call is not None:
                    waiting.append(call)
        return waiting

    def drop_waiting(self) -> None:
        """End the calls that have not begun, with DroppedError."""
        for call in self.take_waiting():
            call.settle(None, DroppedError())

    def close(self) -> None:
        """Make no further calls, and end every thread that does not hang."""
        self._stopped.set()
        for _ in range(self._limit.most + self._attempts.hung + 1):
            self._calls.put(None)

    def _run(self) -> None:
        while not self._stopped.is_set() and (call := self._calls.get()) is not None:
            if not self._attempts.refuses(call) and not self._make(call):
                return  # the call was given up, and another thread has replaced this one
            del call  # so that an idle thread does not keep a conversation in memory

    def _make(self, call: Call) -> bool:
        """Make a call, with the retries of the policy; returns False if it was given up meanwhile."""
        attempts = self._attempts
        output: Any = None
        error: BaseException | None = None
        token = current_output.set(call.printed)
        try:
            if attempts.policy.retries:
                from tenacity import Retrying  # noqa: PLC0415 (only for functions that are called again)

                output = Retrying(sleep=self._sleep, **attempts.retrying(call))(self._attempt, call)
            else:
                output = self._attempt(call)
        except _GivenUpError:
            return False
        except BaseException as raised:  # noqa: BLE001 (sys.exit in a function must not end the run)
            error = raised
        finally:
            current_output.reset(token)
        if error is None and inspect.isawaitable(output):
            self._to_loop(call, output)
        else:
            attempts.settle(call, output, error)
        return True

    def _sleep(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise AgentError("the run stopped while this call waited for its next attempt")

    def _attempt(self, call: Call) -> Any:
        attempts = self._attempts
        question = call.question
        assert question is not None  # noqa: S101 (a call that has not ended has its question)
        began = self._limit.enter()
        attempts.begin(call, began)
        self._under_way.add(call)
        output: Any = None
        error: BaseException | None = None
        try:
            output = attempts.function(question)
        except BaseException as raised:  # noqa: BLE001 (it is raised below)
            error = raised
        with self._lock:
            if call in self._abandoned:
                self._abandoned.discard(call)
                raise _GivenUpError from None
            self._under_way.discard(call)  # from here on, it cannot be given up
        attempts.end(call, began, error, self._limit)
        if error is not None:
            raise error
        if attempts.timeout is not None and call.latency_s > attempts.timeout:
            # Only a waiting reader gives up late calls, so the limit is also checked here: both must give one result.
            raise attempts.late()
        return output


class _GivenUpError(Exception):
    """The call was given up as late, and is settled already."""
