"""One call: what is known of it before and after its end, who may end it, and who is told."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from calling import GRACE, LONG, SIZE

from pytest_fcpivot.calls.call import AgentTimeoutError, Call, DroppedError
from pytest_fcpivot.calls.faults import fault_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fcpivot.core.errors import AgentError


@pytest.mark.parametrize(
    ("make", "words", "cause"),
    [
        (lambda: AgentTimeoutError(30.0), "the agent gave no answer within 30 s (--fc-timeout)", "timeout"),
        (lambda: AgentTimeoutError(0.25, "judge"), "the judge gave no answer within 0.25 s (--fc-timeout)", "timeout"),
        (DroppedError, "the session ended before this call was made", None),
    ],
    ids=["late", "late-judge", "dropped"],
)
def test_errors_of_calls(make: Callable[[], AgentError], words: str, cause: str | None) -> None:
    """An error says who gave no answer and why; a call that was late may be made again, under its own cause."""
    error = make()
    assert str(error) == words
    fault = fault_of(error)
    assert (None if fault is None else (fault.cause, fault.transient)) == (None if cause is None else (cause, True))


def test_a_call_that_has_not_begun() -> None:
    """Of a new call only its question is known, and its name if it was given one."""
    call = Call("question")
    assert (call.question, call.key, call.then) == ("question", "", None)
    assert (call.output, call.error, call.attempt_began) == (None, None, None)
    assert (call.attempts, call.latency_s, call.retried) == (0, 0.0, [])
    assert call.settled is False
    assert Call("question", "p0/1", print).key == "p0/1"
    assert Call("question", "p0/1", print).then is print


def test_output_of_a_call(capsys: pytest.CaptureFixture[str]) -> None:
    """What one call prints is kept apart from what another prints."""
    first, second = Call("question"), Call("question")
    first.printed.hold(("stdout", "first"))
    second.printed.release([])
    assert capsys.readouterr().out == ""
    first.printed.release([])
    assert capsys.readouterr().out == "first"


@pytest.mark.parametrize("error", [None, ValueError("no such city")], ids=["answer", "error"])
def test_a_call_that_has_ended(error: Exception | None) -> None:
    """What a call ended with stays, and what was only needed to make it is let go."""
    call = Call("question", then=print)
    call.settle("answer", error)
    assert (call.output, call.error) == ("answer", error)
    assert (call.question, call.then) == (None, None)
    assert call.settled is True
    assert [call.wait(seconds) for seconds in (LONG, 0.0, -1.0)] == [True] * 3


def test_a_call_that_does_not_end() -> None:
    """Who waits for a call is told that it has not ended, also if there is no time left to wait."""
    call = Call("question")
    assert [call.wait(seconds) for seconds in (0.0, -1.0, GRACE / 10)] == [False] * 3
    call.settle("answer", None)
    assert call.wait(0.0)


def test_all_who_wait_are_told() -> None:
    """Everybody who waits for a call goes on when it ends."""
    call = Call("question")
    waiting = threading.Barrier(SIZE + 1)

    def reader() -> bool:
        waiting.wait(LONG)
        return call.wait(LONG)

    with ThreadPoolExecutor(SIZE) as pool:
        readers = [pool.submit(reader) for _ in range(SIZE)]
        waiting.wait(LONG)
        call.settle("answer", None)
        assert all(waiter.result() for waiter in readers)


def test_only_one_may_end_a_call() -> None:
    """Of all who come to end a call at the same time one is told to do it; nobody has to wait for that."""
    call = Call("question")
    together = threading.Barrier(SIZE)
    told: list[bool] = []

    def claim() -> None:
        together.wait(LONG)
        told.append(call.claim())

    threads = [threading.Thread(target=claim, daemon=True) for _ in range(SIZE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert sorted(told) == [False] * (SIZE - 1) + [True]
