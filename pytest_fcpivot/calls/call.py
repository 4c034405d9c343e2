"""One call of a function: its question, its state, and its outcome."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.calls.faults import TIMEOUT
from pytest_fcpivot.calls.output import CallOutput
from pytest_fcpivot.core.errors import AgentError, TransientAgentError

if TYPE_CHECKING:
    from collections.abc import Callable


class AgentTimeoutError(TransientAgentError):
    """The called function (an agent, a judge) gave no answer within its time limit."""

    def __init__(self, seconds: float, who: str = "agent") -> None:
        super().__init__(f"the {who} gave no answer within {seconds:g} s (--fc-timeout)", TIMEOUT)


class DroppedError(AgentError):
    """A queued call was not made because the session is ending."""

    def __init__(self) -> None:
        super().__init__("the session ended before this call was made")


class TooManyHungCallsError(AgentError):
    """Too many calls hang: each holds a thread that cannot be ended, and more would exhaust the machine."""


class Call:
    """One call of a function with a question: waiting, under way or ended.

    `attempts` counts the attempts, `latency_s` is the duration of the last one in seconds, and `retried` has the cause
    of each failed attempt that was followed by another. `key` is the caller's own name for the call. `then` is called
    with the output, in the thread that received it, before the call counts as settled. `printed` holds what the
    function printed and logged.
    """

    __slots__ = (
        "_claimed",
        "_ended",
        "_settled",
        "attempt_began",
        "attempts",
        "error",
        "key",
        "latency_s",
        "output",
        "printed",
        "question",
        "retried",
        "then",
    )

    def __init__(self, question: Any, key: str = "", then: Callable[[Any], None] | None = None) -> None:
        self.key = key
        self.question: Any = question
        self.then = then
        self.output: Any = None
        self.error: BaseException | None = None
        self.printed = CallOutput()
        self.attempt_began: float | None = None
        self.latency_s = 0.0
        self.attempts = 0
        self.retried: list[str] = []
        self._settled = False
        self._claimed = threading.Lock()
        self._ended = threading.Lock()
        self._ended.acquire()

    def claim(self) -> bool:
        """Tell whoever wants to end the call whether nobody has come before, from any thread; True only once."""
        return self._claimed.acquire(blocking=False)

    def settle(self, output: Any, error: BaseException | None) -> None:
        """Record how the call ended, once."""
        self.output, self.error = output, error
        self.question = self.then = None  # a conversation may be large, and many answers may wait to be read
        self._settled = True
        self._ended.release()

    @property
    def settled(self) -> bool:
        """Whether the call has ended."""
        return self._settled

    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds, if it is positive, until the call has ended; returns whether it has."""
        ended = self._ended.acquire(timeout=max(timeout, 0.0))
        if ended:
            self._ended.release()  # for the next reader
        return ended


class CallLog:
    """Receives the begin and the end of calls, in the thread that makes them; by default it ignores both."""

    def began(self, call: Call) -> None:
        """Note that an attempt begins."""

    def ended(self, call: Call, output: Any, error: BaseException | None) -> None:
        """Note that a call has ended, with an answer or an error; `call.settled` is still False."""
