"""How calls of one function are made, whichever driver makes them, and what is learned from how they end."""

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
    """The rules by which calls of `function` are made.

    `timeout` is the time limit of one attempt in seconds, or None; `policy` tells what is tried again; `who` is the
    name of the function in error messages. `hung` is the number of calls that were given up and cannot be ended.
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
        """Tell whether no call can succeed."""
        # An answer to anybody shows that the server is there; only one to this function that key and model are right.
        started = self._server.answered if fault.cause == CONNECTION else self._has_answered
        return fault.fatal or (fault.fatal_at_start and not started)

    def refuses(self, call: Call) -> bool:
        """End a call that has not begun, if it is known that none can succeed."""
        if self._fatal is not None:
            call.settle(None, self._fatal)
        return self._fatal is not None

    def settle(self, call: Call, output: Any, error: BaseException | None) -> None:
        """Record the end of a call, tell the log of it, and remember whether any was answered.

        Only the first end counts: a call that was given up may still come back.
        """
        if not call.claim():
            return
        if error is None:
            self._has_answered = self._server.answered = True
        elif (fault := fault_of(error)) is not None and self.is_fatal(fault):
            self._fatal = error
        self.log.ended(call, output, error)
        if call.then is not None and error is None:
            with suppress(Exception):  # whoever reads the call does the same again, and meets the error there
                call.then(output)
        call.settle(output, error)

    def retrying(self, call: Call) -> dict[str, Any]:
        """Return the arguments of the tenacity object that makes a call again as the policy says."""

        def count(fault: Fault) -> None:
            call.retried.append(fault.cause)

        return self.policy.settings(count, started=lambda: self._server.answered)

    def begin(self, call: Call, began: float) -> None:
        """Mark an attempt as begun."""
        call.attempts += 1
        call.attempt_began = began
        self.log.began(call)

    def end(self, call: Call, began: float, error: BaseException | None, limit: CallLimit) -> None:
        """Mark an attempt as ended, and let the number of calls at once adapt."""
        call.latency_s = time.monotonic() - began
        call.attempt_began = None
        fault = None if error is None else fault_of(error)
        limit.leave(began, good=error is None, too_much=fault is not None and fault.too_much)

    def late(self) -> AgentTimeoutError:
        """Return the error of an attempt that took longer than `timeout`, which is not None."""
        assert self.timeout is not None  # noqa: S101 (only a limit can be exceeded)
        return AgentTimeoutError(self.timeout, self.who)
