"""What is told of faults: waits that were asked for, and why no call can succeed."""

from __future__ import annotations

import pytest
from service_errors import APIStatusError, RateLimitError, ServiceError, said

from pytest_fcpivot.calls.faults import Fault, fault_of
from pytest_fcpivot.calls.reasons import SettingNames, about_waiting, why_stopped
from pytest_fcpivot.calls.waits import Wait
from pytest_fcpivot.core.errors import FatalAgentError


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            RateLimitError(429, {"retry-after": "86400"}),
            (
                "the server asked for a wait of 1 day, 86400 s (retry-after: 86400), longer than the time "
                "limit of one answer (--fc-deadline=900)"
            ),
        ),
        (
            RateLimitError(429, {"x-ratelimit-reset": "5400", "x-ratelimit-remaining": "0"}),
            (
                "the server asked for a wait of 90 minutes, 5400 s (x-ratelimit-reset: 5400), longer than "
                "the time limit of one answer (--fc-deadline=900)"
            ),
        ),
        (
            RateLimitError(429, {"x-ratelimit-reset": "1764345600", "x-ratelimit-remaining": "0"}),
            "its header x-ratelimit-reset: 1764345600 was ignored, because it is not a duration",
        ),
        (
            RateLimitError(429, body=said("try again in 3s")),
            "the server asked for a wait of 3 s ('try again in 3s')",
        ),
        (RateLimitError(429), ""),
        (ServiceError(500), ""),
        (APIStatusError(401), ""),
    ],
)
def test_what_is_told_of_waiting(error: Exception, told: str) -> None:
    """An error reports the wait that the service asked for, and the headers that were not understood."""
    fault = fault_of(error)
    assert fault is not None
    assert about_waiting(fault, 900) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.25, "0.25 s"),
        (59, "59 s"),
        (60, "1 minute, 60 s"),
        (61, "61 s"),
        (119.4, "119 s"),
        (120, "2 minutes, 120 s"),
        (3600, "1 hour, 3600 s"),
        (5400, "90 minutes, 5400 s"),
        (7200, "2 hours, 7200 s"),
        (86400, "1 day, 86400 s"),
        (172800, "2 days, 172800 s"),
    ],
)
def test_durations_in_words(seconds: float, told: str) -> None:
    """A wait is written as people say it, next to its seconds where they are many; no deadline is no limit."""
    fault = Fault("rate limit", transient=True, wait=Wait(seconds, "its words"))
    asked = f"the server asked for a wait of {told} (its words)"
    assert about_waiting(fault, None) == about_waiting(fault, seconds) == asked
    assert (
        about_waiting(fault, seconds / 2)
        == f"{asked}, longer than the time limit of one answer (--fc-deadline={seconds / 2:g})"
    )


def test_what_is_told_of_a_wait_that_cannot_be_used() -> None:
    """What was obeyed comes first, then what was not understood; nothing is told of a fault that is not waited for."""
    wait = Wait(3.0, "retry in 3s", unused=("a: 1", "b: 2"))
    assert about_waiting(Fault("rate limit", transient=True, wait=wait), None) == (
        "the server asked for a wait of 3 s (retry in 3s); its header a: 1 was ignored, because it is not a "
        "duration; its header b: 2 was ignored, because it is not a duration"
    )
    assert about_waiting(Fault("rate limit", wait=wait), None) == ""
    assert about_waiting(Fault("rate limit", transient=True), None) == ""


NAMES = SettingNames("KEY", "--model", "--url")


def _after(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "cause", "told"),
    [
        (APIStatusError(401), "no access", "the service said no; check the key that is used (KEY)"),
        (
            APIStatusError(404, body=said("no such model")),
            "not found",
            "the service said no - no such model; check the model's name and the API's address (--model, --url)",
        ),
        (
            _after(ValueError("cannot connect"), _after(OSError(""), ConnectionRefusedError("nobody listens"))),
            "connection",
            "cannot connect (nobody listens); is the service running there? check the API's address (--url)",
        ),
        (_after(ValueError("cannot connect"), _after(OSError("gone"), OSError(""))), "fatal", "cannot connect (gone)"),
        (_after(OSError("it: nobody listens"), OSError("nobody listens")), "fatal", "it: nobody listens"),
        (APIStatusError(402), "out of quota", "the service said no; the account's quota is used up"),
        (FatalAgentError("no  licence\nhere"), "fatal", "no licence here"),
        (FatalAgentError(""), "fatal", "FatalAgentError"),
        (FatalAgentError("x" * 400), "fatal", "x" * 300),
        (_after(OSError("short"), OSError("y" * 300)), "fatal", f"short ({'y' * 200})"),
    ],
)
def test_why_no_call_can_succeed(error: Exception, cause: str, told: str) -> None:
    """The error's own words, the deepest reason that they lack, and the setting that may be wrong are told."""
    assert why_stopped(error, Fault(cause, fatal=True), NAMES) == f"no call can succeed: {told}"


def test_notes_of_an_error_that_ends_the_run() -> None:
    """What an agent noted on its error is told before the advice."""
    error = APIStatusError(401)
    error.add_note("asked twice")
    error.add_note("both times in vain")
    assert why_stopped(error, Fault("no access", fatal=True), NAMES) == (
        "no call can succeed: the service said no; asked twice; both times in vain; check the key that is used (KEY)"
    )
