"""Faults of a service are not wrong answers: which errors are worth another attempt, when, and which end the run.

Errors are known by what they carry and are called (a status code, a class name of the common SDKs, the socket's own
error beneath), not by import: an agent may use any client.
"""

from __future__ import annotations

import random
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_fcpivot.errors import FatalAgentError, TransientAgentError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from tenacity import RetryCallState

RATE_LIMIT, TIMEOUT, CONNECTION, SERVER_ERROR = "rate limit", "timeout", "connection", "server error"
# Status codes that ask for another attempt: request timeout, conflict of locks, too early, too many requests.
_AGAIN = {408: TIMEOUT, 409: SERVER_ERROR, 425: SERVER_ERROR, 429: RATE_LIMIT}
_SERVER = range(500, 600)
_NOT_IMPLEMENTED = 501
_TOO_MUCH = (429, 503, 529)  # the last is Anthropic's "overloaded"
_NO_KEY, _FORBIDDEN, _NOT_FOUND, _TOO_MANY = 401, 403, 404, 429
# Codes in a 429's body that no waiting mends.
_OUT_OF_QUOTA = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
_SDK_TIMEOUTS = frozenset({"APITimeoutError", "TimeoutException", "ServerTimeoutError", "ReadTimeout"})
_SDK_CONNECTIONS = frozenset({"APIConnectionError", "TransportError", "ClientConnectionError", "ProtocolError"})
_SDK_UNREACHABLE = frozenset({"ConnectError", "ClientConnectorError"})
_SDK_STATUS = "APIStatusError"  # the base of status errors in the SDKs of OpenAI and of Anthropic
_LONGEST_WAIT_S = 30.0
_REFUSED_AT_START_RETRIES = 2
_JITTER = 0.1


@dataclass(frozen=True, slots=True)
class Fault:
    """What an error of an agent means for the run.

    `cause` is the name it is counted under; `retry_after` is in seconds; `too_much` tells that the service wants fewer
    calls at once. `fatal` tells that no call can succeed, and `fatal_at_start` that none can unless one has succeeded
    before.
    """

    cause: str
    transient: bool = False
    retry_after: float | None = None
    too_much: bool = False
    fatal: bool = False
    fatal_at_start: bool = False


def fault_of(error: BaseException) -> Fault | None:
    """Classify what an agent raised; None for an error that is the agent's own."""
    if isinstance(error, TransientAgentError):
        return Fault(error.cause, transient=True, retry_after=error.retry_after, too_much=error.cause == RATE_LIMIT)
    if isinstance(error, FatalAgentError):
        return Fault("fatal", fatal=True)
    names = {kind.__name__ for kind in type(error).__mro__}
    status = getattr(error, "status_code", None)
    if not isinstance(status, int):
        status = getattr(getattr(error, "response", None), "status_code", None)  # as httpx and requests have it
    if isinstance(status, int):
        return _fault_of_status(error, status, known_sdk=_SDK_STATUS in names)
    if names & _SDK_TIMEOUTS or isinstance(error, TimeoutError):
        return Fault(TIMEOUT, transient=True)
    if names & _SDK_CONNECTIONS or isinstance(error, ConnectionError):
        return Fault(CONNECTION, transient=True, fatal_at_start=_never_connected(error))
    return None


def _fault_of_status(error: BaseException, status: int, *, known_sdk: bool) -> Fault | None:
    code = getattr(error, "code", None)
    if status == _TOO_MANY and isinstance(code, str) and code in _OUT_OF_QUOTA:
        return Fault("out of quota", fatal=True)
    if status in _AGAIN or (status in _SERVER and status != _NOT_IMPLEMENTED):
        cause = _AGAIN.get(status, SERVER_ERROR)
        return Fault(cause, transient=True, retry_after=_retry_after(error), too_much=status in _TOO_MUCH)
    # An agent may get these from services other than the model's, unless it is a model's client that says so.
    if known_sdk and status == _NO_KEY:
        return Fault("no access", fatal=True)
    if known_sdk and status in (_FORBIDDEN, _NOT_FOUND):
        return Fault("no access" if status == _FORBIDDEN else "not found", fatal_at_start=True)
    return None


def _never_connected(error: BaseException) -> bool:
    """Tell whether nobody listens there; HTTP libraries have their own class for that, not always with a cause."""
    return any(
        isinstance(cause, ConnectionRefusedError | socket.gaierror) or type(cause).__name__ in _SDK_UNREACHABLE
        for cause in causes(error)
    )


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it came from, nearest first."""
    seen: set[int] = set()
    present: BaseException | None = error
    while present is not None and id(present) not in seen:
        seen.add(id(present))
        yield present
        present = present.__cause__ or (None if present.__suppress_context__ else present.__context__)


def _retry_after(error: BaseException) -> float | None:
    """Read how long the service wants to be left alone: seconds, milliseconds or a date (RFC 9110, 10.2.3)."""
    headers = getattr(getattr(error, "response", None), "headers", None)
    if headers is None or not callable(getattr(headers, "get", None)):
        return None
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) * unit
        except ValueError:
            seconds = _seconds_until(str(value))
        if 0 <= seconds < float("inf"):
            return seconds
    return None


def _seconds_until(date: str) -> float:
    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return -1.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a call is made again, and for how long in all: `deadline` seconds from its first attempt, or None."""

    retries: int = 0
    deadline: float | None = None

    def settings(self, on_retry: Callable[[Fault], None], *, started: Callable[[], bool]) -> dict[str, Any]:
        """Return the arguments of a tenacity retrying object; `started` tells whether any call has succeeded yet."""
        from tenacity import stop_after_attempt, stop_before_delay, wait_random_exponential  # noqa: PLC0415

        def is_transient(state: RetryCallState) -> bool:
            fault = _fault_in(state)
            if fault is None or not fault.transient:
                return False
            hopeless = fault.fatal_at_start and not started() and state.attempt_number > _REFUSED_AT_START_RETRIES
            return not hopeless

        back_off = wait_random_exponential(multiplier=0.5, max=_LONGEST_WAIT_S)

        def wait(state: RetryCallState) -> float:
            fault = _fault_in(state)
            asked = None if fault is None else fault.retry_after
            if asked is None:
                return back_off(state)
            return asked * (1 + random.uniform(0, _JITTER))  # noqa: S311 (so that not all come back at once)

        def count(state: RetryCallState) -> None:
            fault = _fault_in(state)
            assert fault is not None  # noqa: S101 (only faults are retried)
            on_retry(fault)

        stop: Any = stop_after_attempt(self.retries + 1)
        if self.deadline is not None:
            stop |= stop_before_delay(self.deadline)
        return {"retry": is_transient, "wait": wait, "stop": stop, "before_sleep": count, "reraise": True}


def _fault_in(state: RetryCallState) -> Fault | None:
    error = state.outcome.exception() if state.outcome is not None else None
    return None if error is None else fault_of(error)


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


class SettingNames(NamedTuple):
    """What the settings are called that decide whether any call can succeed: key, model, address."""

    key: str
    model: str
    address: str


def why_stopped(error: BaseException, fault: Fault, settings: SettingNames) -> str:
    """Say why no call can succeed, and which setting may be wrong."""
    advice = {
        "no access": f"check the key that is used ({settings.key})",
        "not found": f"check the model's name and the API's address ({settings.model}, {settings.address})",
        "connection": f"is the service running there? check the API's address ({settings.address})",
        "out of quota": "the account's quota is used up",
    }.get(fault.cause)
    text = " ".join(str(error).split())[:300] or type(error).__name__
    deepest_first = list(causes(error))[:0:-1]
    reason = next((str(cause) for cause in deepest_first if str(cause)), "")
    if reason and reason not in text:
        text += f" ({reason[:200]})"
    text += "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
    return f"no call can succeed: {text}" + (f"; {advice}" if advice else "")
