"""Faults of a service: what an error means, when a call is made again, and how many may be under way."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tenacity import AsyncRetrying, Retrying

from pytest_fcpivot.calls.faults import Fault, fault_of, refusal_of
from pytest_fcpivot.calls.limit import CallLimit
from pytest_fcpivot.calls.reasons import about_waiting
from pytest_fcpivot.calls.retry import RetryPolicy
from pytest_fcpivot.core.errors import FatalAgentError, ReplyError, TransientAgentError

if TYPE_CHECKING:
    from collections.abc import Mapping

LONG = 30.0  # never waited for; only a broken limit would


class OwnError(Exception):
    """An error of an agent's own."""


class ServiceError(Exception):
    """An error with the status of a service, as clients of many services have it."""

    def __init__(
        self,
        status: object = None,
        headers: Mapping[str, str] | None = None,
        code: object = None,
        body: object = None,
    ) -> None:
        super().__init__("the service said no")
        self.status_code = status
        self.code = code
        self.body = body
        self.response = SimpleNamespace(status_code=status, headers=headers or {})


class APIStatusError(ServiceError):
    """An error that is called as in the SDKs of models."""


class RateLimitError(APIStatusError):
    """One of the SDKs' own subclasses."""


def _said(message: str, **names: object) -> dict[str, object]:
    return {"message": message, **names}


class HTTPStatusError(Exception):
    """An error whose status stands in its response alone, as in httpx and requests."""

    def __init__(self, status: object, headers: object = None) -> None:
        super().__init__("the service said no")
        self.response = SimpleNamespace(status_code=status, headers=headers)


def _named(name: str, *bases: type[Exception]) -> Exception:
    error: Exception = type(name, bases or (Exception,), {})("no answer")
    return error


def _after(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


class TestFaultOf:
    """What an error means."""

    @pytest.mark.parametrize(
        ("error", "fault"),
        [
            (ServiceError(429), Fault("rate limit", transient=True, too_much=True)),
            (ServiceError(503), Fault("server error", transient=True, too_much=True)),
            (ServiceError(529), Fault("server error", transient=True, too_much=True)),
            (ServiceError(500), Fault("server error", transient=True)),
            (ServiceError(502), Fault("server error", transient=True)),
            (ServiceError(599), Fault("server error", transient=True)),
            (ServiceError(409), Fault("server error", transient=True)),
            (ServiceError(425), Fault("server error", transient=True)),
            (ServiceError(408), Fault("timeout", transient=True)),
            (RateLimitError(429), Fault("rate limit", transient=True, too_much=True)),
            (HTTPStatusError(429), Fault("rate limit", transient=True, too_much=True)),
            (HTTPStatusError(500), Fault("server error", transient=True)),
            (RateLimitError(429, code="insufficient_quota"), Fault("out of quota", fatal=True)),
            (ServiceError(429, code="billing_hard_limit_reached"), Fault("out of quota", fatal=True)),
            (RateLimitError(429, code="rate_limit_exceeded"), Fault("rate limit", transient=True, too_much=True)),
            (RateLimitError(429, code=["insufficient_quota"]), Fault("rate limit", transient=True, too_much=True)),
            (APIStatusError(402), Fault("out of quota", fatal=True)),
            (RateLimitError(429, body=_said("no", type="insufficient_quota")), Fault("out of quota", fatal=True)),
            (APIStatusError(403, body=_said("no", code="insufficient_quota")), Fault("out of quota", fatal=True)),
            (
                RateLimitError(429, body=_said("You exceeded your current quota, please check your plan.")),
                Fault("out of quota", fatal=True),
            ),
            (APIStatusError(400, body=_said("Your credit balance is too low.")), Fault("out of quota", fatal=True)),
            (
                APIStatusError(403, body=_said('Blocked: "I have insufficient funds"')),
                Fault("no access", fatal_at_start=True),
            ),
            (
                RateLimitError(429, body=_said("Too many requests like 'you exceeded your current quota'")),
                Fault("rate limit", transient=True, too_much=True),
            ),
            (APIStatusError(424), Fault("server error", transient=True)),
            (APIStatusError(498), Fault("server error", transient=True, too_much=True)),
            (APIStatusError(499), Fault("server error", transient=True)),
            (ReplyError("no", status_code=429), Fault("rate limit", transient=True, too_much=True)),
            (ReplyError("no", status_code=502), Fault("server error", transient=True)),
            (ReplyError("no", status_code=401), Fault("no access", fatal=True)),
            (ReplyError("no", status_code=402), Fault("out of quota", fatal=True)),
            (ReplyError("no", "history refused", status_code=500), Fault("history refused")),
            (APIStatusError(401), Fault("no access", fatal=True)),
            (APIStatusError(403), Fault("no access", fatal_at_start=True)),
            (APIStatusError(404), Fault("not found", fatal_at_start=True)),
            (TimeoutError(), Fault("timeout", transient=True)),
            (_named("APITimeoutError"), Fault("timeout", transient=True)),
            (_named("ReadTimeout", _named("TimeoutException").__class__), Fault("timeout", transient=True)),
            (_named("ServerTimeoutError"), Fault("timeout", transient=True)),
            (ConnectionResetError(), Fault("connection", transient=True)),
            (BrokenPipeError(), Fault("connection", transient=True)),
            (_named("APIConnectionError"), Fault("connection", transient=True)),
            (_named("ReadError", _named("TransportError").__class__), Fault("connection", transient=True)),
            (ConnectionRefusedError(), Fault("connection", transient=True, fatal_at_start=True)),
            (
                _after(_named("APIConnectionError"), _after(OSError("all attempts failed"), ConnectionRefusedError())),
                Fault("connection", transient=True, fatal_at_start=True),
            ),
            (
                _after(_named("APIConnectionError"), socket.gaierror(-2, "Name or service not known")),
                Fault("connection", transient=True, fatal_at_start=True),
            ),
            (TransientAgentError("busy"), Fault("transient", transient=True)),
            (TransientAgentError("busy", "overload", 3.0), Fault("overload", transient=True, retry_after=3.0)),
            (TransientAgentError("busy", "rate limit"), Fault("rate limit", transient=True, too_much=True)),
            (FatalAgentError("no licence"), Fault("fatal", fatal=True)),
        ],
    )
    def test_faults(self, error: BaseException, fault: Fault) -> None:
        """A fault is known by its status, its class's name, or the socket's error beneath."""
        assert fault_of(error) == fault

    @pytest.mark.parametrize(
        "error",
        [
            OwnError("timeout"),
            ValueError("429"),
            KeyError("status_code"),
            OSError("no such file"),
            PermissionError(),
            SystemExit(1),
            ServiceError(400),
            ServiceError(422),
            ServiceError(200),
            ServiceError(501),
            ServiceError("429"),
            ServiceError(None),
            ServiceError(401),
            ServiceError(403),
            ServiceError(404),
            HTTPStatusError(404),
            HTTPStatusError(None),
            APIStatusError(400),
            APIStatusError(413),
            APIStatusError(400, body=_said("The user wrote: insufficient balance")),
            ServiceError(402),
            ServiceError(424),
            ServiceError(499),
            ServiceError(403, body=_said("no", type="insufficient_quota")),
            ReplyError("no"),
            ReplyError("no", status_code=400),
            _named("TimeoutErrorOfMine"),
        ],
    )
    def test_other_errors(self, error: BaseException) -> None:
        """An error that no service made, or that the same request would meet again, is the agent's own."""
        assert fault_of(error) is None

    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ({"retry-after": "7"}, 7.0),
            ({"retry-after": "0"}, 0.0),
            ({"retry-after": "0.25"}, 0.25),
            ({"retry-after-ms": "1500"}, 1.5),
            ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
            ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
            ({"retry-after-ms": "-5", "retry-after": "9"}, 9.0),
            ({"retry-after": "-3"}, None),
            ({"retry-after": "soon"}, None),
            ({"retry-after": ""}, None),
            ({"retry-after": "inf"}, None),
            ({"retry-after": "nan"}, None),
            ({"retry-after": "Wed, 99 Foo 2015 07:28:00 GMT"}, None),
            ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
            ({}, None),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("status", [429, 503])
    def test_retry_after(self, status: int, headers: dict[str, str], seconds: float | None) -> None:
        """Retry-After is read as seconds, milliseconds or a date; what is none of these is not obeyed."""
        fault = fault_of(ServiceError(status, headers))
        assert fault is not None
        assert fault.retry_after == seconds

    def test_retry_after_a_date(self) -> None:
        """A date to come is so many seconds away."""
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
        fault = fault_of(HTTPStatusError(429, {"retry-after": date}))
        assert fault is not None
        assert fault.retry_after is not None
        assert 60 < fault.retry_after <= 100

    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ({"x-ratelimit-reset-requests": "3s", "x-ratelimit-remaining-requests": "0"}, 3.0),
            ({"x-ratelimit-reset-tokens": "1m2.5s", "x-ratelimit-remaining-tokens": "0"}, 62.5),
            ({"x-ratelimit-reset-tokens": "250ms", "x-ratelimit-remaining-tokens": "0"}, 0.25),
            ({"x-ratelimit-reset-tokens": "1h", "x-ratelimit-remaining-tokens": " 0 "}, 3600.0),
            ({"x-ratelimit-reset": "45", "x-ratelimit-remaining": "0"}, 45.0),
            ({"x-ratelimit-reset": "1764345600", "x-ratelimit-remaining": "0"}, None),
            ({"x-ratelimit-reset": "1764345600000", "x-ratelimit-remaining": "0"}, None),
            ({"x-ratelimit-reset": "2026-11-28T16:00:00Z", "x-ratelimit-remaining": "0"}, None),
            ({"x-ratelimit-reset": "-3", "x-ratelimit-remaining": "0"}, None),
            ({"x-ratelimit-reset": "nan", "x-ratelimit-remaining": "0"}, None),
            ({"x-ratelimit-reset-requests": "3s", "x-ratelimit-remaining-requests": "7"}, None),
            ({"x-ratelimit-reset-requests": "3s"}, None),
            (
                {
                    "x-ratelimit-reset-requests": "3s",
                    "x-ratelimit-remaining-requests": "7",
                    "x-ratelimit-reset-tokens": "5s",
                    "x-ratelimit-remaining-tokens": "0",
                },
                5.0,
            ),
            (
                {
                    "x-ratelimit-reset-a": "3s",
                    "x-ratelimit-remaining-a": "0",
                    "x-ratelimit-reset-b": "5s",
                    "x-ratelimit-remaining-b": "0",
                },
                5.0,
            ),
            ({"retry-after": "2", "x-ratelimit-reset": "45", "x-ratelimit-remaining": "0"}, 2.0),
        ],
        ids=str,
    )
    def test_reset_headers(self, headers: dict[str, str], seconds: float | None) -> None:
        """Of the limits that are used up, the last to begin anew counts; a time of a clock is no duration."""
        fault = fault_of(RateLimitError(429, headers))
        assert fault is not None
        assert fault.retry_after == seconds

    @pytest.mark.parametrize(
        ("message", "seconds"),
        [
            ("Rate limit reached. Please try again in 3s.", 3.0),
            ("Please try again in 1m2.5s. Visit the site.", 62.5),
            ("try again in 250ms", 0.25),
            ("Please retry in 35.5s.", 35.5),
            ("Please retry after 10 seconds.", 10.0),
            ("Try again in 2 minutes", 120.0),
            ("You exceeded your current quota. Please retry in 4s.", 4.0),
            ("Please try again in a moment.", None),
            ("The filter stopped on 'try again in 20 minutes'.", None),
            ("The server's template failed on \"retry after 3s\", its user's words.", None),
            ("Please try again in 2026-11-28.", None),
            ("Please try again in 3 attempts.", None),
        ],
    )
    def test_words_about_waiting(self, message: str, seconds: float | None) -> None:
        """A duration in the server's words counts where no header has one."""
        fault = fault_of(RateLimitError(429, body=_said(message)))
        assert fault is not None
        assert fault.retry_after == seconds
        assert fault.transient

    @pytest.mark.parametrize(
        ("error", "told"),
        [
            (
                RateLimitError(429, {"retry-after": "86400"}),
                (
                    "the server asked to be left alone for 1 day, 86400 s (retry-after: 86400), longer than an answer "
                    "may take (--fc-deadline=900)"
                ),
            ),
            (
                RateLimitError(429, {"x-ratelimit-reset": "5400", "x-ratelimit-remaining": "0"}),
                (
                    "the server asked to be left alone for 90 minutes, 5400 s (x-ratelimit-reset: 5400), longer than "
                    "an answer may take (--fc-deadline=900)"
                ),
            ),
            (
                RateLimitError(429, {"x-ratelimit-reset": "1764345600", "x-ratelimit-remaining": "0"}),
                "its header x-ratelimit-reset: 1764345600 was not used: it is no duration",
            ),
            (
                RateLimitError(429, body=_said("try again in 3s")),
                "the server asked to be left alone for 3 s ('try again in 3s')",
            ),
            (RateLimitError(429), ""),
            (ServiceError(500), ""),
            (APIStatusError(401), ""),
        ],
    )
    def test_what_is_told_of_waiting(self, error: Exception, told: str) -> None:
        """An error says how long the service asked to be left alone, and which of its words were not understood."""
        fault = fault_of(error)
        assert fault is not None
        assert about_waiting(fault, 900) == told

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (APIStatusError(400, body=_said("no such tool")), "the service said no - no such tool"),
            (APIStatusError(422), "the service said no"),
            (ReplyError("answered with no", status_code=400), "answered with no"),
            (ReplyError("answered with no"), None),
            (ReplyError("no", "call refused", status_code=400), None),
            (ServiceError(400), None),
            (APIStatusError(429), None),
            (APIStatusError(404), None),
            (APIStatusError(501), None),
            (APIStatusError(402), None),
            (ValueError("400"), None),
        ],
    )
    def test_refusals(self, error: Exception, words: str | None) -> None:
        """A refusal is a status of the 400s from a model's client that is neither worth waiting for nor fatal."""
        assert refusal_of(error) == words

    @pytest.mark.parametrize("headers", [None, 3, "retry-after: 3"])
    def test_odd_headers(self, headers: object) -> None:
        """Headers that are no mapping tell nothing, and break nothing."""
        assert fault_of(HTTPStatusError(429, headers)) == Fault("rate limit", transient=True, too_much=True)

    def test_a_circle_of_causes(self) -> None:
        """Errors that name each other as their cause are read once each."""
        first, second = _named("APIConnectionError"), OSError()
        first.__cause__, second.__cause__ = second, first
        assert fault_of(first) == Fault("connection", transient=True)

    @given(st.integers())
    def test_any_status(self, status: int) -> None:
        """Whatever the number, no status is both worth another attempt and the end of the run."""
        for error in (ServiceError(status), APIStatusError(status), RateLimitError(status, code="insufficient_quota")):
            fault = fault_of(error)
            assert fault is None or not (fault.transient and fault.fatal)


class Service:
    """A function that fails with the errors it was given, then answers; `at` holds when each attempt came."""

    def __init__(self, *errors: BaseException) -> None:
        self._errors = list(errors)
        self.at: list[float] = []

    def __call__(self) -> str:
        """Fail or answer."""
        self.at.append(time.monotonic())
        if self._errors:
            raise self._errors.pop(0)
        return "answer"

    async def asynchronous(self) -> str:
        """Do the same in an event loop."""
        await asyncio.sleep(0)
        return self()


BUSY = TransientAgentError("busy", "overload", 0.0)  # "at once": nothing here waits for the back-off


def _retrying(policy: RetryPolicy, *, started: bool = True) -> tuple[Retrying, list[Fault]]:
    retried: list[Fault] = []
    return Retrying(**policy.settings(retried.append, started=lambda: started)), retried


class TestRetryPolicy:
    """When a call is made again, with tenacity's own retrying."""

    @pytest.mark.parametrize(("retries", "faults"), [(0, 0), (1, 1), (3, 2), (5, 5)])
    def test_until_it_is_answered(self, retries: int, faults: int) -> None:
        """A call is made again until it is answered, and each retry is told with its fault."""
        service = Service(*[BUSY] * faults)
        retrying, retried = _retrying(RetryPolicy(retries))
        assert retrying(service) == "answer"
        assert len(service.at) == faults + 1
        assert [fault.cause for fault in retried] == ["overload"] * faults

    @pytest.mark.parametrize("retries", [0, 1, 4])
    def test_no_more_than_so_often(self, retries: int) -> None:
        """After the last retry the service's own error is raised, not one of the retry library."""
        service = Service(*[BUSY] * 100)
        retrying, retried = _retrying(RetryPolicy(retries))
        with pytest.raises(TransientAgentError, match="busy") as caught:
            retrying(service)
        assert caught.value is BUSY
        assert len(service.at) == retries + 1
        assert len(retried) == retries

    @pytest.mark.parametrize(
        "error",
        [OwnError(), FatalAgentError("no licence"), APIStatusError(401), APIStatusError(404), ServiceError(400)],
    )
    def test_what_waiting_does_not_mend(self, error: Exception) -> None:
        """An error of the agent's own, or one that ends the run, is raised at once."""
        service = Service(error)
        retrying, retried = _retrying(RetryPolicy(5))
        with pytest.raises(type(error)):
            retrying(service)
        assert len(service.at) == 1
        assert retried == []

    def test_retry_after_is_obeyed(self) -> None:
        """The service is left alone for as long as it asked, whatever the back-off would be."""
        service = Service(*[ServiceError(429, {"retry-after-ms": "150"})] * 2)
        retrying, _ = _retrying(RetryPolicy(5))
        assert retrying(service) == "answer"
        assert [later - earlier >= 0.15 for earlier, later in pairwise(service.at)] == [True, True]

    def test_not_all_come_back_at_once(self) -> None:
        """Those who are sent away together for a time do not come back at the same instant."""
        waits = set()
        for _ in range(20):
            retrying, _ = _retrying(RetryPolicy(1))
            slept: list[float] = []
            retrying.sleep = slept.append
            retrying(Service(ServiceError(429, {"retry-after": "10"})))
            waits |= set(slept)
        assert len(waits) == 20
        assert all(10 <= wait <= 15 for wait in waits)

    def test_back_off_grows(self) -> None:
        """Without a word of the service the waits grow, are random, and are bounded."""
        slept: list[list[float]] = []
        for _ in range(50):
            retrying, _ = _retrying(RetryPolicy(12))
            waits: list[float] = []
            retrying.sleep = waits.append
            retrying(Service(*[ServiceError(500)] * 12))
            slept.append(waits)
        first, last = [waits[0] for waits in slept], [waits[-1] for waits in slept]
        assert max(first) <= 1
        assert sum(last) > 4 * sum(first)
        assert max(last) <= 30
        assert len(set(last)) == 50

    def test_a_wait_beyond_the_deadline_is_not_begun(self) -> None:
        """A service that wants to be left alone past the deadline is given up at once."""
        service = Service(ServiceError(429, {"retry-after": "600"}))
        retrying, retried = _retrying(RetryPolicy(5, deadline=60))
        with pytest.raises(ServiceError):
            retrying(service)
        assert len(service.at) == 1
        assert retried == []

    def test_a_hint_beyond_the_deadline_is_not_followed(self) -> None:
        """A limit that begins anew past the deadline leaves the call to the usual waits: it may be another's."""
        service = Service(*[RateLimitError(429, {"x-ratelimit-reset": "600", "x-ratelimit-remaining": "0"})] * 2)
        retrying, _ = _retrying(RetryPolicy(5, deadline=60))
        waits: list[float] = []
        retrying.sleep = waits.append
        assert retrying(service) == "answer"
        assert max(waits) <= 2

    @pytest.mark.parametrize(
        "error",
        [ConnectionResetError(), ConnectionRefusedError(), ServiceError(503), ReplyError("no", status_code=502)],
    )
    def test_patience(self, error: Exception) -> None:
        """A service that has answered before, and is away, is asked again for so many seconds, and then no more."""
        waits: list[float] = []
        service = Service(*[error] * 1000)
        retrying, _ = _retrying(RetryPolicy(5, patience=90))
        retrying.sleep = waits.append
        with pytest.raises(type(error)):
            retrying(service)
        assert sum(waits) >= 90
        assert sum(waits[:-1]) < 90
        assert len(waits) >= 5

    @pytest.mark.parametrize(
        ("error", "policy", "started", "attempts"),
        [
            (ServiceError(500), RetryPolicy(5, patience=90), False, 6),
            (ConnectionRefusedError(), RetryPolicy(5, patience=90), False, 3),
            (ServiceError(500), RetryPolicy(5), True, 6),
            (RateLimitError(429), RetryPolicy(5, patience=90), True, 6),
            (TimeoutError(), RetryPolicy(5, patience=90), True, 6),
            (TransientAgentError("no", "empty answer"), RetryPolicy(5, patience=90), True, 6),
        ],
        ids=["at start", "refused at start", "chosen", "rate limit", "timeout", "no answer"],
    )
    def test_no_patience(self, error: Exception, policy: RetryPolicy, *, started: bool, attempts: int) -> None:
        """At the start, with a chosen number of retries, and for other faults, the number of retries counts alone."""
        service = Service(*[error] * 1000)
        retrying, _ = _retrying(policy, started=started)
        retrying.sleep = lambda _: None
        with pytest.raises(type(error)):
            retrying(service)
        assert len(service.at) == attempts

    @pytest.mark.parametrize("asked", ["0", "0.001", "Wed, 21 Oct 2015 07:28:00 GMT"])
    def test_patience_is_no_storm(self, asked: str) -> None:
        """A service that is away and says to come back at once is left alone for longer and longer all the same."""
        waits: list[float] = []
        service = Service(*[ServiceError(503, {"retry-after": asked})] * 1000)
        retrying, _ = _retrying(RetryPolicy(5, patience=90))
        retrying.sleep = waits.append
        with pytest.raises(ServiceError):
            retrying(service)
        assert sum(waits) >= 90
        assert len(waits) < 100

    def test_patience_within_the_deadline(self) -> None:
        """Patience ends with the deadline of the whole call."""
        service = Service(*[ServiceError(500, {"retry-after": "0.05"})] * 1000)
        retrying, _ = _retrying(RetryPolicy(1, deadline=0.4, patience=90))
        with pytest.raises(ServiceError):
            retrying(service)
        assert service.at[-1] - service.at[0] <= 0.4

    @pytest.mark.parametrize(
        ("asked", "retries", "policy"),
        [
            (SimpleNamespace(default_retries=5, default_patience=90.0), None, RetryPolicy(5, 60, 90.0)),
            (SimpleNamespace(default_retries=5, default_patience=90.0), 3, RetryPolicy(3, 60)),
            (SimpleNamespace(default_retries=5, default_patience=90.0), 0, RetryPolicy(0, 60)),
            (len, None, RetryPolicy(0, 60)),
            (len, 2, RetryPolicy(2, 60)),
        ],
    )
    def test_chosen(self, asked: object, retries: int | None, policy: RetryPolicy) -> None:
        """An agent brings its own policy, unless the user chose the number of retries."""
        assert RetryPolicy.chosen(asked, retries, 60) == policy

    def test_deadline(self) -> None:
        """Retries end when the deadline of the whole call has come, however many are left."""
        service = Service(*[ServiceError(500, {"retry-after": "0.05"})] * 1000)
        retrying, _ = _retrying(RetryPolicy(1000, deadline=0.4))
        with pytest.raises(ServiceError):
            retrying(service)
        assert 2 <= len(service.at) <= 8
        assert service.at[-1] - service.at[0] <= 0.4

    def test_refused_at_start(self) -> None:
        """A service that was never there is given up after two retries, whatever is allowed."""
        service = Service(*[ConnectionRefusedError()] * 100)
        retrying, retried = _retrying(RetryPolicy(50), started=False)
        retrying.sleep = lambda _: None
        with pytest.raises(ConnectionRefusedError):
            retrying(service)
        assert len(service.at) == 3
        assert len(retried) == 2

    def test_refused_later(self) -> None:
        """A service that has answered before may come back: it is asked as often as allowed."""
        service = Service(*[ConnectionRefusedError()] * 9)
        retrying, _ = _retrying(RetryPolicy(9), started=True)
        retrying.sleep = lambda _: None
        assert retrying(service) == "answer"

    def test_in_an_event_loop(self) -> None:
        """The same settings serve tenacity's asynchronous retrying."""
        service = Service(BUSY, BUSY)
        retried: list[Fault] = []
        retrying = AsyncRetrying(**RetryPolicy(2).settings(retried.append, started=lambda: True))
        assert asyncio.run(retrying(service.asynchronous)) == "answer"
        assert len(service.at) == 3
        assert len(retried) == 2

    @given(st.integers(0, 20), st.integers(0, 20))
    def test_attempts(self, retries: int, faults: int) -> None:
        """There are as many attempts as faults and one, but never more than retries and one."""
        service = Service(*[BUSY] * faults)
        retrying, retried = _retrying(RetryPolicy(retries))
        retrying.sleep = lambda _: None
        if faults <= retries:
            assert retrying(service) == "answer"
        else:
            with pytest.raises(TransientAgentError):
                retrying(service)
        assert len(service.at) == min(faults, retries) + 1
        assert len(retried) == min(faults, retries)


def _room(limit: CallLimit) -> int:
    """Count how many places can be had now, and give them back without a word."""
    begun: list[float] = []

    async def fill() -> None:
        while True:
            begun.append(await asyncio.wait_for(limit.enter_loop(), 0.01))

    with pytest.raises(TimeoutError):
        asyncio.run(fill())
    for began in begun:
        limit.leave(began, good=False)
    return len(begun)


def _storm(limit: CallLimit, calls: int) -> None:
    """Let so many calls, begun together, be told that they are too many."""
    for began in [limit.enter() for _ in range(calls)]:
        limit.leave(began, good=False, too_much=True)


class TestCallLimit:
    """How many attempts may be under way at once."""

    def test_halved_once_for_calls_begun_together(self) -> None:
        """However many of the calls under way are too much, the number is halved once for them all."""
        limit = CallLimit(16)
        _storm(limit, 16)
        assert _room(limit) == 8
        _storm(limit, 8)
        assert _room(limit) == 4

    def test_never_below_one(self) -> None:
        """One call may always be made."""
        limit = CallLimit(5)
        for _ in range(10):
            _storm(limit, 1)
        assert _room(limit) == 1

    def test_grows_back_to_the_most(self) -> None:
        """Good answers bring the number back, by one for as many as it stands at, and no further than the most."""
        limit = CallLimit(8)
        _storm(limit, 1)
        assert _room(limit) == 4
        grown: list[int] = []
        for _ in range(60):
            limit.leave(limit.enter(), good=True)
            grown.append(_room(limit) if len(grown) < 8 else 0)
        assert grown[2] == 4
        assert grown[7] == 5
        assert _room(limit) == 8

    def test_a_bad_answer_teaches_nothing(self) -> None:
        """An error that has nothing to do with load leaves the number where it is."""
        limit = CallLimit(8)
        _storm(limit, 1)
        for _ in range(50):
            limit.leave(limit.enter(), good=False)
        assert _room(limit) == 4

    @given(st.integers(1, 40), st.lists(st.sampled_from(["good", "bad", "too much"]), max_size=60))
    def test_bounds(self, most: int, ends: list[str]) -> None:
        """Whatever the calls come to, the number stays between one and the most, and no place is lost."""
        limit = CallLimit(most)
        for end in ends:
            limit.leave(limit.enter(), good=end == "good", too_much=end == "too much")
            assert 1 <= limit._level <= most
        assert limit._under_way == 0

    @given(st.integers(2, 64), st.integers(1, 64))
    def test_halving(self, most: int, together: int) -> None:
        """Calls begun before the number was lowered do not lower it again."""
        limit = CallLimit(most)
        begun = [limit.enter() for _ in range(min(together, most))]
        for began in begun:
            limit.leave(began, good=False, too_much=True)
        assert limit._level == max(1.0, most / 2)

    @pytest.mark.parametrize("most", [1, 3, 8])
    def test_threads(self, most: int) -> None:
        """Threads that enter at once are never more than the number, and all of them get their turn."""
        limit = CallLimit(most)
        full = threading.Barrier(most)
        lock = threading.Lock()
        inside: list[int] = []
        present = done = 0

        def call() -> None:
            nonlocal present, done
            began = limit.enter()
            with lock:
                present += 1
                inside.append(present)
            full.wait(LONG)  # nobody leaves before all places are taken
            with lock:
                present -= 1
                done += 1
            limit.leave(began, good=True)

        threads = [threading.Thread(target=call, daemon=True) for _ in range(most * 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONG)
        assert done == most * 5
        assert max(inside) == most

    def test_threads_wait_while_it_is_lowered(self) -> None:
        """Places that were taken away are not given to those who wait for one."""
        limit = CallLimit(4)
        begun = [limit.enter() for _ in range(4)]
        entered = threading.Semaphore(0)

        def call() -> None:
            limit.enter()
            entered.release()

        for _ in range(4):
            threading.Thread(target=call, daemon=True).start()
        for began in begun[:2]:
            limit.leave(began, good=False, too_much=True)
        assert not entered.acquire(timeout=0.1)  # two are under way, and two may be
        limit.leave(begun[2], good=False)
        assert entered.acquire(timeout=LONG)
        limit.leave(begun[3], good=False)
        assert entered.acquire(timeout=LONG)
        assert not entered.acquire(timeout=0.1)

    @pytest.mark.parametrize("ends", ["good", "too much", "mixed"])
    def test_event_loop(self, ends: str) -> None:
        """Tasks of an event loop are never more than the number, and all of them get their turn."""
        limit = CallLimit(6)
        inside: list[int] = []
        present = 0

        async def call(number: int) -> None:
            nonlocal present
            began = await limit.enter_loop()
            present += 1
            inside.append(present)
            await asyncio.sleep(0)
            present -= 1
            too_much = ends == "too much" or (ends == "mixed" and number % 5 == 0)
            limit.leave(began, good=not too_much, too_much=too_much)

        async def all_calls() -> None:
            await asyncio.wait_for(asyncio.gather(*map(call, range(200))), LONG)

        asyncio.run(all_calls())
        assert len(inside) == 200
        assert max(inside) == 6
        if ends == "too much":
            assert inside[-1] == 1

    @pytest.mark.parametrize("when", ["while it waits", "when its turn has come"])
    def test_a_cancelled_task_takes_no_place(self, when: str) -> None:
        """A task that is cancelled before it has its place leaves it to the next."""
        limit = CallLimit(1)

        async def calls() -> None:
            began = await limit.enter_loop()
            first, second = (asyncio.create_task(limit.enter_loop()) for _ in range(2))
            await asyncio.sleep(0)
            if when == "while it waits":
                first.cancel()
                await asyncio.sleep(0)
            limit.leave(began, good=True)
            first.cancel()
            await asyncio.wait_for(second, LONG)

        asyncio.run(calls())
