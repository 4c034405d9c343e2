"""Decide whether and when a call is retried after a fault of its service."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.calls.faults import Fault, fault_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenacity import RetryCallState

_LONGEST_WAIT_S = 30.0
_REFUSED_AT_START_RETRIES = 2
_JITTER = 0.1
# How long a service that has answered before is retried while it is away, in seconds: enough time for a restart.
PATIENCE_S = 90.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How many times a call is retried, and for how long in all.

    `deadline` is in seconds from the first attempt; None means no limit. A service that has answered before and is now
    away may be restarting, so it is retried for at least `patience` seconds, however many retries that takes.
    """

    retries: int = 0
    deadline: float | None = None
    patience: float = 0.0

    @classmethod
    def chosen(cls, asked: Any, retries: int | None, deadline: float | None) -> RetryPolicy:
        """Make the policy for a function: its own `default_retries`, unless the user chose the number of `retries`."""
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
            if not asked:  # a wait of 0 s does not limit how often we ask
                return back_off(state)
            seconds = asked * (1 + random.uniform(0, _JITTER))  # noqa: S311 (so that waiting calls do not all return at once)
            # After `retries`, only `patience` ends the retrying, and short waits would flood the server with requests.
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
        """Return the requested wait in seconds; None without one, or if it is only a hint and exceeds the deadline."""
        hint = fault.wait is not None and not fault.wait.firm
        if hint and self.deadline is not None and (fault.retry_after or 0.0) > self.deadline:
            return None
        return fault.retry_after


def _fault_in(state: RetryCallState) -> Fault | None:
    error = state.outcome.exception() if state.outcome is not None else None
    return None if error is None else fault_of(error)
