"""Calls of a function when it is known that none can succeed: the others are not made at all."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from calling import KINDS, SIZE, Counts, answers, calling, in_form, results, start, synchronous, view
from service_errors import APIStatusError, ServiceError

from pytest_fcpivot.calls.faults import fault_of
from pytest_fcpivot.calls.retry import RetryPolicy
from pytest_fcpivot.calls.servers import Server
from pytest_fcpivot.core.errors import FatalAgentError

if TYPE_CHECKING:
    from pytest_fcpivot import PivotView
    from pytest_fcpivot.calls.call import Call


class Fails:
    """An agent that raises an error for some pivots and answers the others; `asked` holds them in order."""

    def __init__(self, error: BaseException, *failing: str) -> None:
        self.error = error
        self.failing = failing
        self.asked: list[str] = []

    def __call__(self, pivot: PivotView) -> str:
        """Raise or answer."""
        self.asked.append(pivot.id)
        if pivot.id in self.failing:
            raise self.error
        return synchronous(pivot)


@pytest.mark.parametrize("form", KINDS)
@pytest.mark.parametrize(
    "error", [FatalAgentError("no licence"), APIStatusError(401), APIStatusError(404)], ids=["fatal", "key", "model"]
)
def test_no_call_is_made_after_a_fatal_fault(form: str, error: Exception) -> None:
    """Calls that wait, and those that are started later, end with the error of the one that showed it."""
    agent = Fails(error, "p0")
    log = Counts()
    with calling(in_form(form, agent), policy=RetryPolicy(2), log=log) as caller:
        calls = [caller.start(view(number), f"p{number}") for number in range(4)]
        assert results(caller, calls) == [type(error)] * 4
        late = start(caller, 2)
        results(caller, late)
    assert all(call.error is error for call in (*calls, *late))
    assert agent.asked == ["p0"]
    assert [call.attempts for call in calls] == [1, 0, 0, 0]
    assert log.told == {"p0": ["began", type(error).__name__]}


@pytest.mark.parametrize("form", KINDS)
@pytest.mark.parametrize(
    "error", [APIStatusError(404), APIStatusError(403), ConnectionRefusedError()], ids=["model", "access", "gone"]
)
def test_a_fault_of_the_start_after_an_answer(form: str, error: Exception) -> None:
    """What is fatal at the start fails only its own call once the function has answered."""
    agent = Fails(error, "p1")
    with calling(in_form(form, agent)) as caller:
        calls = start(caller, 4)
        assert results(caller, calls) == ["answer to p0", type(error), "answer to p2", "answer to p3"]
        fault = fault_of(error)
        assert fault is not None
        assert not caller.is_fatal(fault)


@pytest.mark.parametrize("form", KINDS)
def test_other_faults_stop_nothing(form: str) -> None:
    """An error of the agent's own, or a fault that may pass, leaves the other calls alone."""
    with calling(in_form(form, Fails(ServiceError(500), "p0", "p1")), concurrency=2) as caller:
        calls = start(caller, 4)
        assert results(caller, calls) == [ServiceError, ServiceError, "answer to p2", "answer to p3"]
    with calling(in_form(form, Fails(ValueError("no"), "p0"))) as caller:
        assert results(caller, start(caller, 2)) == [ValueError, "answer to p1"]


def test_an_answer_is_told_to_all_who_ask_the_server() -> None:
    """The server is known to be there from the first answer on, and not from an error."""
    server = Server()
    with calling(Fails(ValueError("no"), "p0"), server=server) as caller:
        results(caller, start(caller, 1))
        assert not server.answered
        results(caller, [caller.start(view(1))])
        assert server.answered


@pytest.mark.parametrize("form", KINDS)
def test_what_follows_an_answer(form: str) -> None:
    """`then` gets each answer before anybody can read it, and no error; what it raises changes nothing."""
    told: list[Any] = []
    lock = threading.Lock()
    calls: list[Call] = []

    def then(output: Any) -> None:
        with lock:
            told.append((output, [call.settled for call in calls if call.output == output]))
        raise ValueError("of the reader's")

    with calling(in_form(form, Fails(KeyError("no"), "p2")), concurrency=SIZE) as caller:
        for number in range(5):
            calls.append(caller.start(view(number), then=then))  # noqa: PERF401 (`then` looks into it meanwhile)
        ends = results(caller, calls)
    assert ends == [*answers(2), KeyError, *answers(5, first=3)]
    assert sorted(told) == [(answer, []) for answer in (*answers(2), *answers(5, first=3))]
    assert all(call.question is None and call.then is None for call in calls)
