"""When a call is made again, and how long is waited before, with tenacity's own retrying."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from service_errors import APIStatusError, OwnError, RateLimitError, ServiceError
from tenacity import AsyncRetrying, Retrying

from pytest_fcpivot.calls.retry import RetryPolicy
from pytest_fcpivot.core.errors import FatalAgentError, ReplyError, TransientAgentError

if TYPE_CHECKING:
    from pytest_fcpivot.calls.faults import Fault


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


BUSY = TransientAgentError("busy", "overload")


def _retrying(policy: RetryPolicy, *, started: bool = True) -> tuple[Retrying, list[Fault], list[float]]:
    """Return what retries by a policy, and the lists that it fills: of faults, and of waits instead of waiting."""
    retried: list[Fault] = []
    waits: list[float] = []
    settings = policy.settings(retried.append, started=lambda: started)
    return Retrying(sleep=waits.append, **settings), retried, waits


class TestRetryPolicy:
    """When a call is made again, with tenacity's own retrying."""

    @pytest.mark.parametrize(("retries", "faults"), [(0, 0), (1, 1), (3, 2), (5, 5)])
    def test_until_it_is_answered(self, retries: int, faults: int) -> None:
        """A call is made again until it is answered, and each retry is told with its fault."""
        service = Service(*[BUSY] * faults)
        retrying, retried, _ = _retrying(RetryPolicy(retries))
        assert retrying(service) == "answer"
        assert len(service.at) == faults + 1
        assert [fault.cause for fault in retried] == ["overload"] * faults

    @pytest.mark.parametrize("retries", [0, 1, 4])
    def test_no_more_than_so_often(self, retries: int) -> None:
        """After the last retry the service's own error is raised, not one of the retry library."""
        service = Service(*[BUSY] * 100)
        retrying, retried, _ = _retrying(RetryPolicy(retries))
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
        retrying, retried, _ = _retrying(RetryPolicy(5))
        with pytest.raises(type(error)):
            retrying(service)
        assert len(service.at) == 1
        assert retried == []

    def test_retry_after_is_obeyed(self) -> None:
        """The service is left alone for as long as it asked, whatever the back-off would be."""
        retrying, _, waits = _retrying(RetryPolicy(5))
        assert retrying(Service(*[ServiceError(429, {"retry-after-ms": "150"})] * 2)) == "answer"
        assert len(waits) == 2
        assert all(0.15 <= wait <= 0.165 for wait in waits)

    def test_not_all_come_back_at_once(self) -> None:
        """Those who are sent away together for a time do not come back at the same instant."""
        all_waits = set()
        for _ in range(20):
            retrying, _, waits = _retrying(RetryPolicy(1))
            retrying(Service(ServiceError(429, {"retry-after": "10"})))
            all_waits |= set(waits)
        assert len(all_waits) == 20
        assert all(10 <= wait <= 11 for wait in all_waits)

    def test_back_off_grows(self) -> None:
        """Without a word of the service the waits grow, are random, and are bounded."""
        slept: list[list[float]] = []
        for _ in range(50):
            retrying, _, waits = _retrying(RetryPolicy(12))
            retrying(Service(*[ServiceError(500)] * 12))
            slept.append(waits)
        first, last = [waits[0] for waits in slept], [waits[-1] for waits in slept]
        assert 0.2 < max(first) <= 0.5
        assert 20 < max(last) <= 30
        assert len(set(last)) == 50

    def test_a_wait_beyond_the_deadline_is_not_begun(self) -> None:
        """A service that wants to be left alone past the deadline is given up at once."""
        service = Service(ServiceError(429, {"retry-after": "600"}))
        retrying, retried, _ = _retrying(RetryPolicy(5, deadline=60))
        with pytest.raises(ServiceError):
            retrying(service)
        assert len(service.at) == 1
        assert retried == []

    def test_a_hint_beyond_the_deadline_is_not_followed(self) -> None:
        """A limit that begins anew past the deadline leaves the call to the usual waits: it may be another's."""
        service = Service(*[RateLimitError(429, {"x-ratelimit-reset": "600", "x-ratelimit-remaining": "0"})] * 2)
        retrying, _, waits = _retrying(RetryPolicy(5, deadline=60))
        assert retrying(service) == "answer"
        assert max(waits) <= 2

    @pytest.mark.parametrize(
        "error",
        [ConnectionResetError(), ConnectionRefusedError(), ServiceError(503), ReplyError("no", status_code=502)],
    )
    def test_patience(self, error: Exception) -> None:
        """A service that has answered before, and is away, is asked again for so many seconds, and then no more."""
        service = Service(*[error] * 1000)
        retrying, _, waits = _retrying(RetryPolicy(5, patience=90))
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
        retrying, *_ = _retrying(policy, started=started)
        with pytest.raises(type(error)):
            retrying(service)
        assert len(service.at) == attempts

    @pytest.mark.parametrize("asked", ["0", "0.001", "Wed, 21 Oct 2015 07:28:00 GMT"])
    def test_patience_is_no_storm(self, asked: str) -> None:
        """A service that is away and says to come back at once is left alone for longer and longer all the same."""
        service = Service(*[ServiceError(503, {"retry-after": asked})] * 1000)
        retrying, _, waits = _retrying(RetryPolicy(5, patience=90))
        with pytest.raises(ServiceError):
            retrying(service)
        assert sum(waits) >= 90
        assert len(waits) < 100

    @pytest.mark.parametrize("policy", [RetryPolicy(1, 0.4, patience=90), RetryPolicy(1000, 0.4)])
    def test_deadline(self, policy: RetryPolicy) -> None:
        """Retries and patience end with the deadline of the whole call: no wait is begun that would go past it."""
        service = Service(*[ServiceError(500, {"retry-after": "0.1"})] * 1000)
        retrying, _, waits = _retrying(policy)

        def sleep(seconds: float) -> None:
            waits.append(seconds)
            time.sleep(seconds)

        retrying.sleep = sleep
        with pytest.raises(ServiceError):
            retrying(service)
        assert 2 <= len(service.at) <= 4
        assert sum(waits) <= 0.4

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

    def test_refused_at_start(self) -> None:
        """A service that was never there is given up after two retries, whatever is allowed."""
        service = Service(*[ConnectionRefusedError()] * 100)
        retrying, retried, _ = _retrying(RetryPolicy(50), started=False)
        with pytest.raises(ConnectionRefusedError):
            retrying(service)
        assert len(service.at) == 3
        assert len(retried) == 2

    def test_refused_later(self) -> None:
        """A service that has answered before may come back: it is asked as often as allowed."""
        service = Service(*[ConnectionRefusedError()] * 9)
        retrying, *_ = _retrying(RetryPolicy(9), started=True)
        assert retrying(service) == "answer"

    def test_in_an_event_loop(self) -> None:
        """The same settings serve tenacity's asynchronous retrying."""
        service = Service(BUSY, BUSY)
        retried: list[Fault] = []
        waits: list[float] = []

        async def sleep(seconds: float) -> None:
            waits.append(seconds)

        retrying = AsyncRetrying(sleep=sleep, **RetryPolicy(2).settings(retried.append, started=lambda: True))
        assert asyncio.run(retrying(service.asynchronous)) == "answer"
        assert len(service.at) == 3
        assert len(retried) == len(waits) == 2

    @settings(deadline=None)
    @given(st.integers(0, 20), st.integers(0, 20))
    def test_attempts(self, retries: int, faults: int) -> None:
        """There are as many attempts as faults and one, but never more than retries and one."""
        service = Service(*[BUSY] * faults)
        retrying, retried, _ = _retrying(RetryPolicy(retries))
        if faults <= retries:
            assert retrying(service) == "answer"
        else:
            with pytest.raises(TransientAgentError):
                retrying(service)
        assert len(service.at) == min(faults, retries) + 1
        assert len(retried) == min(faults, retries)
