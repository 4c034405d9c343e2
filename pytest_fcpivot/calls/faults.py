"""Faults of a service are not wrong answers: which errors are worth another attempt, when, and which end the run.

Errors are known by what they carry and are called (a status code, a class name of the common SDKs, the socket's own
error beneath), not by import: an agent may use any client. What only a model's server means by a status or by the words
of its body is read so for errors that are known to be an SDK's, and for replies of the bundled agents' servers.
"""

from __future__ import annotations

import random
import re
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_fcpivot.core.error_bodies import error_body_of, with_reason
from pytest_fcpivot.core.errors import FatalAgentError, ReplyError, TransientAgentError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from tenacity import RetryCallState

    from pytest_fcpivot.core.error_bodies import ErrorBody

RATE_LIMIT, TIMEOUT, CONNECTION, SERVER_ERROR = "rate limit", "timeout", "connection", "server error"
# Status codes that ask for another attempt: request timeout, conflict of locks, too early, too many requests.
_AGAIN = {408: TIMEOUT, 409: SERVER_ERROR, 425: SERVER_ERROR, 429: RATE_LIMIT}
# Of a model's server: another service failed, no room in a flexible tier, the caller's own gateway hung up.
_AGAIN_OF_MODELS = {424: SERVER_ERROR, 498: SERVER_ERROR, 499: SERVER_ERROR}
_SERVER = range(500, 600)
_REFUSAL = range(400, 500)
_NOT_IMPLEMENTED = 501
_TOO_MUCH = (429, 498, 503, 529)  # the last is Anthropic's "overloaded"
_NO_KEY, _NO_CREDIT, _FORBIDDEN, _NOT_FOUND, _TOO_MANY = 401, 402, 403, 404, 429
# Codes and types of a body that no waiting mends.
_OUT_OF_QUOTA = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
_OUT_OF_QUOTA_TYPES = _OUT_OF_QUOTA | {"billing_error", "insufficient_credits", "insufficient_balance"}
# The same in words. Some servers say them of a limit per minute too, and then say how long to wait.
_QUOTA_WORDS = re.compile(
    r"exceeded your current quota|insufficient[ _](?:quota|credits?|balance|funds)|credit balance is too low"
    r"|used all (?:available|of your) credits|out of credits|monthly spending limit|billing hard limit",
    re.IGNORECASE,
)
_QUOTA_STATUSES = (400, 403, 429)
# A refused request may be quoted in a 400's words, so that only their beginning counts there.
_QUOTA_WORDS_FIRST = re.compile(r"(?:your )?(?:credit balance is too low|insufficient balance)", re.IGNORECASE)
_QUOTED = re.compile(r"""(?<!\w)(["'`]).*?\1(?!\w)|“.*?”""")
_SDK_TIMEOUTS = frozenset({"APITimeoutError", "TimeoutException", "ServerTimeoutError", "ReadTimeout"})
_SDK_CONNECTIONS = frozenset({"APIConnectionError", "TransportError", "ClientConnectionError", "ProtocolError"})
_SDK_UNREACHABLE = frozenset({"ConnectError", "ClientConnectorError"})
_SDK_STATUS = "APIStatusError"  # the base of status errors in the SDKs of OpenAI and of Anthropic
_LONGEST_WAIT_S = 30.0
_REFUSED_AT_START_RETRIES = 2
_JITTER = 0.1
_SHOWN = 60
# How long a service that has answered before may be away: as long as it takes to start again.
PATIENCE_S = 90.0
_RESET, _REMAINING = "x-ratelimit-reset", "x-ratelimit-remaining"
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhd]))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")
# A longer plain number is the time of a clock.
_LONGEST_PLAIN_S = 1e6
_AGAIN_IN = re.compile(
    r"\b(?:try again|retry) (?:in|after) (?:(?P<written>(?:\d+(?:\.\d+)?(?:ms|[smhd]))+)(?!\w)"
    r"|(?P<number>\d+(?:\.\d+)?) (?P<unit>second|minute|hour)s?\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Fault:
    """What an error of an agent means for the run.

    `cause` is the name it is counted under; `retry_after` is in seconds, and `wait` says where the service asked for
    that, and what of its words about waiting could not be used. `too_much` tells that the service wants fewer calls at
    once, `away` that it is not there or broken, and may come back. `fatal` tells that no call can succeed, and
    `fatal_at_start` that none can unless one has succeeded before.
    """

    cause: str
    transient: bool = False
    retry_after: float | None = None
    too_much: bool = False
    fatal: bool = False
    fatal_at_start: bool = False
    wait: Wait | None = field(default=None, compare=False)
    away: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Wait:
    """How long a service wants to be left alone: in seconds, by which of its words, and what else it said of it.

    `firm` tells that no other attempt is wanted before: the others are hints, which are not obeyed past the deadline.
    """

    seconds: float | None = None
    source: str = ""
    firm: bool = False
    unused: tuple[str, ...] = ()


def fault_of(error: BaseException) -> Fault | None:
    """Classify what an agent raised; None for an error that is the agent's own."""
    if isinstance(error, TransientAgentError):
        return Fault(
            str(error.cause),  # of a user's agent
            transient=True,
            retry_after=error.retry_after,
            too_much=error.cause == RATE_LIMIT,
            wait=Wait(error.retry_after, "retry_after", firm=True),
            away=error.cause == SERVER_ERROR,
        )
    if isinstance(error, FatalAgentError):
        return Fault("fatal", fatal=True)
    if isinstance(error, ReplyError):
        if error.cause is not None:
            return Fault(str(error.cause))
        return None if error.status_code is None else _fault_of_status(error, error.status_code, known_sdk=True)
    names = {kind.__name__ for kind in type(error).__mro__}
    status = _status_of(error)
    if status is not None:
        return _fault_of_status(error, status, known_sdk=_SDK_STATUS in names)
    if names & _SDK_TIMEOUTS or isinstance(error, TimeoutError):
        return Fault(TIMEOUT, transient=True)
    if names & _SDK_CONNECTIONS or isinstance(error, ConnectionError):
        return Fault(CONNECTION, transient=True, fatal_at_start=_never_connected(error), away=True)
    return None


def refusal_of(error: BaseException) -> str | None:
    """Return in which words a model's server refused a request that waiting does not mend; None for other errors."""
    known = isinstance(error, ReplyError) or _SDK_STATUS in {kind.__name__ for kind in type(error).__mro__}
    status = _status_of(error)
    if not known or status not in _REFUSAL or fault_of(error) is not None:
        return None
    return " ".join(with_reason(str(error), error).split())


def _status_of(error: BaseException) -> int | None:
    status = getattr(error, "status_code", None)
    if not isinstance(status, int):
        status = getattr(getattr(error, "response", None), "status_code", None)  # as httpx and requests have it
    return status if isinstance(status, int) else None


def _fault_of_status(error: BaseException, status: int, *, known_sdk: bool) -> Fault | None:
    code = getattr(error, "code", None)
    if status == _TOO_MANY and isinstance(code, str) and code in _OUT_OF_QUOTA:
        return Fault("out of quota", fatal=True)
    # What a body says is looked at only where it is a model's.
    body = error_body_of(error) if known_sdk and (status in _REFUSAL or status in _SERVER) else None
    again = _AGAIN | _AGAIN_OF_MODELS if known_sdk else _AGAIN
    transient = status in again or (status in _SERVER and status != _NOT_IMPLEMENTED)
    wait = _wait(error, body) if transient else Wait()
    if known_sdk and (status == _NO_CREDIT or (body is not None and _is_out_of_quota(status, body, wait))):
        return Fault("out of quota", fatal=True)
    if transient:
        return Fault(
            again.get(status, SERVER_ERROR),
            transient=True,
            retry_after=wait.seconds,
            too_much=status in _TOO_MUCH,
            wait=wait,
            away=status in _SERVER,
        )
    # An agent may get these from services other than the model's, unless it is a model's client that says so.
    if known_sdk and status == _NO_KEY:
        return Fault("no access", fatal=True)
    if known_sdk and status in (_FORBIDDEN, _NOT_FOUND):
        return Fault("no access" if status == _FORBIDDEN else "not found", fatal_at_start=True)
    return None


def _is_out_of_quota(status: int, body: ErrorBody, wait: Wait) -> bool:
    if {body.code.lower(), body.type.lower()} & _OUT_OF_QUOTA_TYPES:
        return True
    if status not in _QUOTA_STATUSES or wait.seconds is not None:
        return False
    if status in (_TOO_MANY, _FORBIDDEN):
        return _QUOTA_WORDS.search(_own_words(body)) is not None
    return _QUOTA_WORDS_FIRST.match(body.message) is not None


def _own_words(body: ErrorBody) -> str:
    """Return what a body says without what it quotes: that may be of the conversation."""
    return _QUOTED.sub("…", body.reason)


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


def _wait(error: BaseException, body: ErrorBody | None) -> Wait:
    """Read how long the service wants to be left alone: what it asks for, or else when a limit ends that is used up."""
    headers = getattr(getattr(error, "response", error), "headers", None)
    unused: list[str] = []
    if headers is not None and callable(getattr(headers, "get", None)):
        for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
            value = headers.get(name)
            seconds = None if value is None else _asked(str(value), unit)
            if seconds is not None:
                return Wait(seconds, f"{name}: {str(value)[:_SHOWN]}", firm=True)
        resets, unused = _resets(headers)
        if resets:
            seconds, source = max(resets)
            return Wait(seconds, source, unused=tuple(unused))
    said = _AGAIN_IN.search(_own_words(body)) if body is not None else None
    if said is not None:
        written, number = said["written"], said["number"]
        seconds = _duration(written.lower()) if written else float(number) * _UNITS[said["unit"][0].lower()]
        return Wait(seconds, f"{said[0]!r}", unused=tuple(unused))
    return Wait(unused=tuple(unused))


def _asked(value: str, unit: float) -> float | None:
    """Read a Retry-After: seconds, milliseconds or a date (RFC 9110, 10.2.3)."""
    try:
        seconds = float(value) * unit
    except ValueError:
        seconds = _seconds_until(value)
    return seconds if 0 <= seconds < float("inf") else None


def _resets(headers: Any) -> tuple[list[tuple[float, str]], list[str]]:
    """Read after how many seconds the limits begin anew that are used up; and which headers name no such time."""
    found, unused = [], []
    try:
        pairs = [(str(name).lower(), str(value)) for name, value in headers.items()]
    except (AttributeError, TypeError, ValueError):
        return [], []
    for name, value in pairs:
        if not name.startswith(_RESET) or str(headers.get(_REMAINING + name.removeprefix(_RESET))).strip() != "0":
            continue
        seconds = _duration(value.strip().lower())
        if seconds is None:
            unused.append(f"{name}: {value[:_SHOWN]}")
        else:
            found.append((seconds, f"{name}: {value[:_SHOWN]}"))
    return found, unused


def _duration(text: str) -> float | None:
    """Read a duration such as `3s`, `1m2.5s`, `250ms`, or a number of seconds; None for the time of a clock."""
    if _DURATION.fullmatch(text):
        return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0 <= seconds < _LONGEST_PLAIN_S else None


def _seconds_until(date: str) -> float:
    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return -1.0


def about_waiting(fault: Fault, deadline: float | None) -> str:
    """Say how long the service asked to be left alone, and what was made of that; "" if it did not ask."""
    wait = fault.wait
    if not fault.transient or wait is None:
        return ""
    said = [f"its header {unused} was not used: it is no duration" for unused in wait.unused]
    if wait.seconds is not None:
        asked = f"the server asked to be left alone for {_spell(wait.seconds)} ({wait.source})"
        if deadline is not None and wait.seconds > deadline:
            asked += f", longer than an answer may take (--fc-deadline={deadline:g})"
        said.insert(0, asked)
    return "; ".join(said)


def _spell(seconds: float) -> str:
    """Write a duration as people say it, next to its seconds if they are many."""
    for unit, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 2 * unit or seconds == unit:
            number = seconds / unit
            return f"{number:.3g} {name}{'' if number == 1 else 's'}, {seconds:.0f} s"
    return f"{seconds:.3g} s"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a call is made again, and for how long in all: `deadline` seconds from its first attempt, or None.

    A service that has answered before and then is away is asked again for at least `patience` seconds, however many
    retries that takes: it may be starting again.
    """

    retries: int = 0
    deadline: float | None = None
    patience: float = 0.0

    @classmethod
    def chosen(cls, asked: Any, retries: int | None, deadline: float | None) -> RetryPolicy:
        """Make the policy for an agent or a judge: its own, unless the user chose the number of `retries`."""
        if retries is not None:
            return cls(retries, deadline)
        return cls(getattr(asked, "default_retries", 0), deadline, getattr(asked, "default_patience", 0.0))

    def settings(self, on_retry: Callable[[Fault], None], *, started: Callable[[], bool]) -> dict[str, Any]:
        """Return the arguments of a tenacity retrying object; `started` tells whether the service has answered yet."""
        from tenacity import stop_before_delay, wait_random_exponential  # noqa: PLC0415

        def is_transient(state: RetryCallState) -> bool:
            fault = _fault_in(state)
            if fault is None or not fault.transient:
                return False
            hopeless = fault.fatal_at_start and not started() and state.attempt_number > _REFUSED_AT_START_RETRIES
            return not hopeless

        back_off = wait_random_exponential(multiplier=0.5, max=_LONGEST_WAIT_S)

        def wait(state: RetryCallState) -> float:
            fault = _fault_in(state)
            asked = None if fault is None else self._obeyed(fault)
            if not asked:  # "at once" says nothing of how often
                return back_off(state)
            seconds = asked * (1 + random.uniform(0, _JITTER))  # noqa: S311 (so that not all come back at once)
            # Past the number of retries only time ends them, so that short waits would be a storm of requests.
            return seconds if state.attempt_number <= self.retries else max(seconds, back_off(state))

        def count(state: RetryCallState) -> None:
            fault = _fault_in(state)
            assert fault is not None  # noqa: S101 (only faults are retried)
            on_retry(fault)

        def is_enough(state: RetryCallState) -> bool:
            if state.attempt_number <= self.retries:
                return False
            fault = _fault_in(state)
            if fault is None or not fault.away or not started():
                return True
            return max(state.seconds_since_start or 0.0, state.idle_for) >= self.patience

        stop: Any = is_enough
        if self.deadline is not None:
            in_time = stop_before_delay(self.deadline)

            def stop(state: RetryCallState) -> bool:
                return is_enough(state) or in_time(state)

        return {"retry": is_transient, "wait": wait, "stop": stop, "before_sleep": count, "reraise": True}

    def _obeyed(self, fault: Fault) -> float | None:
        """Return how long the service is left alone as it said; a hint past the deadline is not followed."""
        hint = fault.wait is not None and not fault.wait.firm
        if hint and self.deadline is not None and (fault.retry_after or 0.0) > self.deadline:
            return None
        return fault.retry_after


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
    text = " ".join(with_reason(str(error), error).split())[:300] or type(error).__name__
    deepest_first = list(causes(error))[:0:-1]
    reason = next((str(cause) for cause in deepest_first if str(cause)), "")
    if reason and reason not in text:
        text += f" ({reason[:200]})"
    text += "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
    return f"no call can succeed: {text}" + (f"; {advice}" if advice else "")
