"""Asking agents: synchronous, asynchronous, failing, exiting, late; and asking on after each."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot import AgentError, Pivot
from pytest_fcpivot.lookahead import AgentCaller

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from pytest_fcpivot import PivotView

LONG = 30.0  # never waited for; only a broken caller would
SHORT = 0.2


def view(number: int = 0) -> PivotView:
    """Return a question."""
    row = {
        "id": f"p{number}",
        "responses_create_params": {"input": f"question {number}"},
        "expected_action": {"type": "message", "content": ""},
    }
    return Pivot.from_row(row).view()


@contextmanager
def asking(agent: Callable[[PivotView], Any], timeout: float | None = LONG) -> Iterator[Callable[[int], Any]]:
    """Give a function that asks the agent one question and waits for the answer."""
    caller = AgentCaller(agent, timeout)
    try:
        yield lambda number: caller.finish(caller.start(view(number)))
    finally:
        caller.close()


def synchronous(pivot: PivotView) -> str:
    """Answer at once."""
    return f"answer to {pivot.id}"


async def asynchronous(pivot: PivotView) -> str:
    """Answer after other tasks had their turn."""
    await asyncio.sleep(0)
    return f"answer to {pivot.id}"


def returns_awaitable(pivot: PivotView) -> Awaitable[str]:
    """Return what must be awaited."""
    return asynchronous(pivot)


class AsyncCallable:
    """An object whose call is a coroutine."""

    async def __call__(self, pivot: PivotView) -> str:
        """Answer as `asynchronous` does."""
        return await asynchronous(pivot)


@pytest.mark.parametrize("agent", [synchronous, asynchronous, returns_awaitable, AsyncCallable()])
@pytest.mark.parametrize("timeout", [None, LONG])
def test_answers(agent: Callable[[PivotView], Any], timeout: float | None) -> None:
    """Every kind of agent is asked, with and without a time limit, and its own answer comes back."""
    with asking(agent, timeout) as ask:
        assert [ask(number) for number in range(3)] == [f"answer to p{number}" for number in range(3)]


@pytest.mark.parametrize("agent", [synchronous, asynchronous])
def test_answers_to_calls_started_early(agent: Callable[[PivotView], Any]) -> None:
    """Calls may be started ahead and read later, in any order."""
    caller = AgentCaller(agent, LONG)
    calls = [caller.start(view(number)) for number in range(20)]
    assert [caller.finish(call) for call in reversed(calls)] == [f"answer to p{n}" for n in reversed(range(20))]
    caller.close()


def test_agents_do_not_run_in_the_main_thread() -> None:
    """The agent has a thread of its own, so that a deadline can be kept."""
    with asking(lambda _pivot: threading.current_thread()) as ask:
        assert ask(0) is not threading.main_thread()


@pytest.mark.parametrize("awaits", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(
    "error",
    [
        ValueError("no such city"),
        SystemExit(3),
        KeyboardInterrupt("from inside"),
        asyncio.CancelledError("from inside"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_an_agent_raises_reaches_the_caller(error: BaseException, awaits: bool) -> None:
    """An agent that raises or exits fails its own call only: the next one is answered."""

    def fails_first(pivot: PivotView) -> str:
        if pivot.id == "p0":
            raise error
        return synchronous(pivot)

    async def fails_first_async(pivot: PivotView) -> str:
        return fails_first(pivot)

    with asking(fails_first_async if awaits else fails_first) as ask:
        with pytest.raises((type(error), AgentError)):
            ask(0)
        assert ask(1) == "answer to p1"


def hangs_first(release: threading.Event) -> Callable[[PivotView], str]:
    """Return an agent whose first call blocks its thread until released."""

    def agent(pivot: PivotView) -> str:
        if pivot.id == "p0":
            release.wait(LONG)
        return synchronous(pivot)

    return agent


def blocks_loop_first(release: threading.Event) -> Callable[[PivotView], Any]:
    """Return an agent whose first call blocks its event loop until released."""
    hang = hangs_first(release)

    async def agent(pivot: PivotView) -> str:
        return hang(pivot)

    return agent


def sleeps_first(_release: threading.Event) -> Callable[[PivotView], Any]:
    """Return an agent whose first call sleeps in its event loop."""

    async def agent(pivot: PivotView) -> str:
        if pivot.id == "p0":
            await asyncio.sleep(LONG)
        return synchronous(pivot)

    return agent


def sleeps_stubbornly_first(release: threading.Event) -> Callable[[PivotView], Any]:
    """Return an agent whose first call does not let itself be cancelled."""

    async def agent(pivot: PivotView) -> str:
        while pivot.id == "p0" and not release.is_set():
            try:
                await asyncio.sleep(SHORT / 10)
            except asyncio.CancelledError:
                continue
        return synchronous(pivot)

    return agent


@pytest.mark.parametrize("make", [hangs_first, blocks_loop_first, sleeps_first, sleeps_stubbornly_first])
def test_a_late_agent(make: Callable[[threading.Event], Callable[[PivotView], Any]]) -> None:
    """A call that is late is an AgentError that names the limit, and the agent is asked on as before."""
    release = threading.Event()
    try:
        with asking(make(release), SHORT) as ask:
            with pytest.raises(AgentError, match=r"0\.2 s.*--fc-timeout"):
                ask(0)
            assert [ask(number) for number in (1, 2)] == ["answer to p1", "answer to p2"]
    finally:
        release.set()


def test_a_cancelled_agent_cleans_up() -> None:
    """An asynchronous agent that is late is cancelled, so its own clean-up runs."""
    cleaned = threading.Event()

    async def agent(_pivot: PivotView) -> None:
        try:
            await asyncio.sleep(LONG)
        finally:
            cleaned.set()

    with asking(agent, SHORT) as ask, pytest.raises(AgentError):
        ask(0)
    assert cleaned.wait(LONG)


def test_an_agent_keeps_its_event_loop() -> None:
    """Calls in turn run in one event loop, so that a client's connections can be kept."""

    async def agent(_pivot: PivotView) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    with asking(agent) as ask:
        assert ask(0) is ask(1)


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_hung_agent_does_not_keep_the_process_alive(kind: str) -> None:
    """After a timeout and `close`, a process whose agent still hangs ends by itself."""
    script = f"""
        import threading
        from pytest_fcpivot import AgentError, Pivot
        from pytest_fcpivot.lookahead import AgentCaller

        {kind} agent(pivot):
            threading.Event().wait()

        row = {{"responses_create_params": {{"input": "x"}}, "expected_action": {{"type": "message", "content": ""}}}}
        caller = AgentCaller(agent, 0.1)
        try:
            caller.finish(caller.start(Pivot.from_row(row).view()))
        except AgentError as error:
            print(error)
        caller.close()
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "0.1 s" in done.stdout


def test_closing_twice_and_unused() -> None:
    """A caller may be closed before it was used, and again."""
    caller = AgentCaller(synchronous, None)
    caller.close()
    caller.close()
