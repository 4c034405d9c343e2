"""One call: a question to a function, how far it has come, and what it ended with."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.calls.faults import TIMEOUT
from pytest_fcpivot.calls.output import CallOutput
from pytest_fcpivot.core.errors import AgentError, TransientAgentError

if TYPE_CHECKING:
    from collections.abc import Callable


class AgentTimeoutError(TransientAgentError):
    """The agent, or another function that was called, gave no answer in time."""

    def __init__(self, seconds: float, who: str = "agent") -> None:
        super().__init__(f"the {who} gave no answer within {seconds:g} s (--fc-timeout)", TIMEOUT)


class DroppedError(AgentError):
    """A call was not made, for the session ends."""

    def __init__(self) -> None:
        super().__init__("the session ends, and the call was not made")


class TooManyHungCallsError(AgentError):
    """So many calls never came back that going on would exhaust the machine."""


class Call:
    """One call of a function with a question: waiting, under way or ended.

    `latency_s` is the function's own time in the last attempt, `attempts` is their number, and `retried` names why each
    but the last was not enough. `key` is whoever started the call's own name for it; `then` is called with the output,
    in the thread that the output came in, before anybody can read it. `printed` is what the function printed.
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
        self.question = self.then = None  # a conversation may be large, and many answers wait
        self._settled = True
        self._ended.release()

    @property
    def settled(self) -> bool:
        """Whether the call has ended."""
        return self._settled

    def wait(self, timeout: float | None) -> bool:
        """Wait for the end; False if it did not come in time."""
        if not self._ended.acquire(timeout=-1 if timeout is None else max(timeout, 0.0)):
            return False
        self._ended.release()
        return True


class CallLog:
    """What is told of calls as they begin and end, from the thread that they run in; nothing, by default."""

    def began(self, call: Call) -> None:
        """Note that an attempt begins."""

    def ended(self, call: Call, output: Any, error: BaseException | None) -> None:
        """Note that a call has ended, with an answer or an error; the call itself does not show it yet."""
