"""The rules for calling one function, shared by the two drivers of calls (threads, and an event loop)."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.calls.call import AgentTimeoutError
from pytest_fcpivot.calls.faults import CONNECTION, Fault, fault_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fcpivot.calls.call import Call, CallLog
    from pytest_fcpivot.calls.limit import CallLimit
    from pytest_fcpivot.calls.retry import RetryPolicy
    from pytest_fcpivot.calls.servers import Server


class Attempts:
    """Make calls of `function` under one set of rules, and remember what their outcomes show about its server.

    `timeout` is the time limit of one attempt in seconds, or None for no limit; `policy` decides which faults are
    retried; `who` names the function in error messages. `hung` counts the calls that were abandoned and still run.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        timeout: float | None,
        *,
        policy: RetryPolicy,
        log: CallLog,
        who: str,
        server: Server,
    ) -> None:
        self.function = function
        self.timeout = timeout
        self.policy = policy
        self.log = log
        self.who = who
        self.hung = 0
        self._server = server
        self._has_answered = False
        self._fatal: BaseException | None = None

    def is_fatal(self, fault: Fault) -> bool:
        """Return whether this fault means that no further call can succeed."""
        # An answer to any function shows that the server is reachable. Only an answer to this function shows that its
        # key and its model are right.
        started = self._server.answered if fault.cause == CONNECTION else self._has_answered
        return fault.fatal or (fault.fatal_at_start and not started)

    def refuses(self, call: Call) -> bool:
        """Settle a call with the fatal error if an earlier call had one; returns whether it did."""
        if self._fatal is not None:
            call.settle(None, self._fatal)
        return self._fatal is not None

    def settle(self, call: Call, output: Any, error: BaseException | None) -> None:
        """End a call: write it to the log, run its `then`, and release those who wait for it.

        An answer, or a fatal error, also decides how later calls are treated. Only the first end of a call counts: one
        that was given up may still come back.
        """
        if not call.claim():
            return
        if error is None:
            self._has_answered = self._server.answered = True
        elif (fault := fault_of(error)) is not None and self.is_fatal(fault):
            self._fatal = error
        self.log.ended(call, output, error)
        if call.then is not None and error is None:
            with suppress(Exception):  # the reader of the call repeats this work, and raises the error in its own test
                call.then(output)
        call.settle(output, error)

    def retrying(self, call: Call) -> dict[str, Any]:
        """Return the arguments of a tenacity retrying object that retries this call as the policy says."""

        def count(fault: Fault) -> None:
            call.retried.append(fault.cause)

        return self.policy.settings(count, started=lambda: self._server.answered)

    def begin(self, call: Call, began: float) -> None:
        """Mark an attempt as begun."""
        call.attempts += 1
        call.attempt_began = began
        self.log.began(call)

    def end(self, call: Call, began: float, error: BaseException | None, limit: CallLimit) -> None:
        """Mark an attempt as ended, and let the limit on concurrent calls adapt to its outcome."""
        call.latency_s = time.monotonic() - began
        call.attempt_began = None
        fault = None if error is None else fault_of(error)
        limit.leave(began, good=error is None, too_much=fault is not None and fault.too_much)

    def late(self) -> AgentTimeoutError:
        """Return the error of an attempt that took longer than `timeout`, which is not None."""
        assert self.timeout is not None  # noqa: S101 (only a limit can be exceeded)
        return AgentTimeoutError(self.timeout, self.who)
