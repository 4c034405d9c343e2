"""Classify the errors of a service: which are retried, which end the run, and which are the function's own.

An error is recognised by its status code, its class's name (those of the common SDKs) or the socket error that caused
it. Its class is not imported, because a function may use any client. Some statuses and words have a meaning only when a
model's server sends them, so they are read only in errors that are known to come from one: those of the SDKs, and
ReplyError.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_fcpivot.calls.waits import Wait, own_words, wait_of
from pytest_fcpivot.core.error_bodies import error_body_of, with_reason
from pytest_fcpivot.core.errors import FatalAgentError, ReplyError, TransientAgentError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fcpivot.core.error_bodies import ErrorBody

RATE_LIMIT, TIMEOUT, CONNECTION, SERVER_ERROR = "rate limit", "timeout", "connection", "server error"
# Status codes that ask for another attempt: request timeout, conflict of locks, too early, too many requests.
_AGAIN = {408: TIMEOUT, 409: SERVER_ERROR, 425: SERVER_ERROR, 429: RATE_LIMIT}
# Only from a model's server: a dependency failed (424), a flexible tier has no capacity (498), the caller's own gateway
# closed the connection (499).
_AGAIN_OF_MODELS = {424: SERVER_ERROR, 498: SERVER_ERROR, 499: SERVER_ERROR}
_SERVER = range(500, 600)
_REFUSAL = range(400, 500)
_NOT_IMPLEMENTED = 501
_TOO_MUCH = (429, 498, 503, 529)  # the last is Anthropic's "overloaded"
_NO_KEY, _NO_CREDIT, _FORBIDDEN, _NOT_FOUND, _TOO_MANY = 401, 402, 403, 404, 429
# Codes and types in an error body that mean an empty account, which waiting does not mend.
_OUT_OF_QUOTA = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
_OUT_OF_QUOTA_TYPES = _OUT_OF_QUOTA | {"billing_error", "insufficient_credits", "insufficient_balance"}
# The same in words. Some servers also use these words for a limit per minute, but then they state how long to wait.
_QUOTA_WORDS = re.compile(
    r"exceeded your current quota|insufficient[ _](?:quota|credits?|balance|funds)|credit balance is too low"
    r"|used all (?:available|of your) credits|out of credits|monthly spending limit|billing hard limit",
    re.IGNORECASE,
)
_QUOTA_STATUSES = (400, 403, 429)
# The message of a 400 may quote the refused request, so only its beginning is searched.
_QUOTA_WORDS_FIRST = re.compile(r"(?:your )?(?:credit balance is too low|insufficient balance)", re.IGNORECASE)
_SDK_TIMEOUTS = frozenset({"APITimeoutError", "TimeoutException", "ServerTimeoutError", "ReadTimeout"})
_SDK_CONNECTIONS = frozenset({"APIConnectionError", "TransportError", "ClientConnectionError", "ProtocolError"})
_SDK_UNREACHABLE = frozenset({"ConnectError", "ClientConnectorError"})
_SDK_STATUS = "APIStatusError"  # the base of status errors in the SDKs of OpenAI and of Anthropic


@dataclass(frozen=True, slots=True)
class Fault:
    """What the error of one call means for later calls.

    `cause` is the name under which the fault is counted. A `transient` fault is worth a retry, after `retry_after`
    seconds if the service asked for a wait; `wait` has the source of that figure, and the headers that could not be
    read. `too_much`: the service wants fewer concurrent calls. `away`: the service is unreachable or broken, and may
    come back. `fatal`: no call can succeed. `fatal_at_start`: no call can succeed, unless one has succeeded before.
    """

    cause: str
    transient: bool = False
    retry_after: float | None = None
    too_much: bool = False
    fatal: bool = False
    fatal_at_start: bool = False
    wait: Wait | None = field(default=None, compare=False)
    away: bool = field(default=False, compare=False)


def fault_of(error: BaseException) -> Fault | None:
    """Classify the error that a called function raised; returns None for an error of the function itself."""
    if isinstance(error, TransientAgentError):
        return Fault(
            str(error.cause),  # a user's own text, or an object of another type
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
    """Return a model server's words for refusing a request that a retry cannot mend; None for any other error."""
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
    # The body is read only if a model's server sent it.
    body = error_body_of(error) if known_sdk and (status in _REFUSAL or status in _SERVER) else None
    again = _AGAIN | _AGAIN_OF_MODELS if known_sdk else _AGAIN
    transient = status in again or (status in _SERVER and status != _NOT_IMPLEMENTED)
    wait = wait_of(error, body) if transient else Wait()
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
    # A function may also call other services, so these statuses count only in an error of a model's client.
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
        return _QUOTA_WORDS.search(own_words(body)) is not None
    return _QUOTA_WORDS_FIRST.match(body.message) is not None


def _never_connected(error: BaseException) -> bool:
    """Return whether no connection could be made, by the socket's error or by the HTTP library's own class for that."""
    return any(
        isinstance(cause, ConnectionRefusedError | socket.gaierror) or type(cause).__name__ in _SDK_UNREACHABLE
        for cause in causes(error)
    )


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and then the errors that caused it, nearest first."""
    seen: set[int] = set()
    present: BaseException | None = error
    while present is not None and id(present) not in seen:
        seen.add(id(present))
        yield present
        present = present.__cause__ or (None if present.__suppress_context__ else present.__context__)
