"""How long a service asks to be left alone: its headers, and its words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from service_errors import HTTPStatusError, OwnError, RateLimitError, ServiceError, said

from pytest_fcpivot.calls.faults import Fault, fault_of
from pytest_fcpivot.calls.waits import Wait, own_words, wait_of
from pytest_fcpivot.core.error_bodies import ErrorBody


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
def test_retry_after(status: int, headers: dict[str, str], seconds: float | None) -> None:
    """Retry-After is read as seconds, milliseconds or a date; what is none of these is not obeyed."""
    fault = fault_of(ServiceError(status, headers))
    assert fault is not None
    assert fault.retry_after == seconds


def test_retry_after_a_date() -> None:
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
def test_reset_headers(headers: dict[str, str], seconds: float | None) -> None:
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
def test_words_about_waiting(message: str, seconds: float | None) -> None:
    """A duration in the server's words counts where no header has one."""
    fault = fault_of(RateLimitError(429, body=said(message)))
    assert fault is not None
    assert fault.retry_after == seconds
    assert fault.transient


@pytest.mark.parametrize("headers", [None, 3, "retry-after: 3"])
def test_odd_headers(headers: object) -> None:
    """Headers that are no mapping tell nothing, and break nothing."""
    assert fault_of(HTTPStatusError(429, headers)) == Fault("rate limit", transient=True, too_much=True)


USED_UP = {"x-ratelimit-remaining-a": "0", "x-ratelimit-remaining-b": "0"}


@pytest.mark.parametrize(
    ("headers", "message", "wait"),
    [
        ({"retry-after": "7"}, "", Wait(7.0, "retry-after: 7", firm=True)),
        ({"retry-after-ms": "250"}, "", Wait(0.25, "retry-after-ms: 250", firm=True)),
        ({"retry-after": "7" + " " * 80}, "", Wait(7.0, "retry-after: 7" + " " * 59, firm=True)),
        ({"X-RateLimit-Reset-A": "3s", "x-ratelimit-remaining-a": "0"}, "", Wait(3.0, "x-ratelimit-reset-a: 3s")),
        (
            {"x-ratelimit-reset-a": "3s", "x-ratelimit-reset-b": "2026-11-28T16:00:00Z", **USED_UP},
            "try again in 9s",
            Wait(3.0, "x-ratelimit-reset-a: 3s", unused=("x-ratelimit-reset-b: 2026-11-28T16:00:00Z",)),
        ),
        (
            {"x-ratelimit-reset-a": "12:00", **USED_UP},
            "Please TRY AGAIN IN 9S.",
            Wait(9.0, "'TRY AGAIN IN 9S'", unused=("x-ratelimit-reset-a: 12:00",)),
        ),
        ({"x-ratelimit-reset-a": "x" * 70, **USED_UP}, "", Wait(unused=("x-ratelimit-reset-a: " + "x" * 60,))),
        ({"x-ratelimit-reset-a": "0", **USED_UP}, "", Wait(0.0, "x-ratelimit-reset-a: 0")),
        ({"x-ratelimit-reset-a": "1000000", **USED_UP}, "", Wait(unused=("x-ratelimit-reset-a: 1000000",))),
        ({"x-ratelimit-reset-a": "999999", **USED_UP}, "", Wait(999999.0, "x-ratelimit-reset-a: 999999")),
        ({}, "Please try again in 1 hour.", Wait(3600.0, "'try again in 1 hour'")),
        ({}, "no", Wait()),
    ],
)
def test_what_a_wait_is_of(headers: dict[str, str], message: str, wait: Wait) -> None:
    """A wait tells by which words of the service it is, whether it must be kept, and what could not be used."""
    assert wait_of(RateLimitError(429, headers), ErrorBody(message)) == wait


def test_headers_of_an_error_itself() -> None:
    """Headers are read from an error's response, or else from the error; an error may have neither."""
    bare = OwnError("no")
    assert wait_of(bare, None) == Wait()
    bare.headers = {"retry-after": "2"}  # type: ignore[attr-defined] # as some clients have it
    assert wait_of(bare, None) == Wait(2.0, "retry-after: 2", firm=True)


def test_the_own_words_of_a_service() -> None:
    """What a body quotes, in any kind of marks, is left out: it may be of the conversation."""
    body = ErrorBody("The filter found 'try again' and \"wait\" and “no” in it, don't retry")
    assert own_words(body) == "The filter found … and … and … in it, don't retry"
