"""What is told of faults: waits that were asked for, and why no call can succeed."""

from __future__ import annotations

import pytest
from service_errors import APIStatusError, RateLimitError, ServiceError, said

from pytest_fcpivot.calls.faults import fault_of
from pytest_fcpivot.calls.reasons import about_waiting


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
