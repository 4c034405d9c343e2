"""Asking agents: synchronous, asynchronous, many at once, failing, exiting, late; and asking on after each."""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter, defaultdict
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from calling import (
    GRACE,
    KINDS,
    LONG,
    SHORT,
    SIZE,
    AsyncCallable,
    Counts,
    answers,
    asking,
    asynchronous,
    calling,
    finish,
    in_form,
    join,
    plain,
    results,
    returns_awaitable,
    start,
    synchronous,
    view,
)

import pytest_fcpivot
from pytest_fcpivot import AgentError
from pytest_fcpivot.calls import caller as module
from pytest_fcpivot.calls import loop
from pytest_fcpivot.calls.call import AgentTimeoutError, DroppedError, TooManyHungCallsError
from pytest_fcpivot.calls.caller import Caller
from pytest_fcpivot.calls.faults import Fault, fault_of
from pytest_fcpivot.calls.output import current_output
from pytest_fcpivot.calls.retry import RetryPolicy
from pytest_fcpivot.calls.servers import Servers
from pytest_fcpivot.core.errors import TransientAgentError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from calling import Agent

    from pytest_fcpivot import PivotView


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give calls that do not let themselves be cancelled less time than in a run."""
    monkeypatch.setattr(loop, "_CANCEL_GRACE_S", GRACE)
    monkeypatch.setattr(module, "_LOOK_AGAIN_S", GRACE)


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Return an event that hung agents wait for, set at the test's end."""
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.parametrize("agent", [synchronous, asynchronous, returns_awaitable, AsyncCallable()])
@pytest.mark.parametrize("timeout", [None, LONG])
def test_answers(agent: Agent, timeout: float | None) -> None:
    """Every kind of agent is asked, with and without a time limit, and its own answer comes back."""
    with asking(agent, timeout) as ask:
        assert [ask(number) for number in range(3)] == answers(3)


@pytest.mark.parametrize("agent", [synchronous, asynchronous, returns_awaitable])
@pytest.mark.parametrize("concurrency", [1, SIZE])
def test_answers_to_calls_started_early(agent: Agent, concurrency: int) -> None:
    """Calls may be started ahead and read later, in any order."""
    with calling(agent, concurrency=concurrency) as caller:
        calls = start(caller, 20)
        assert [finish(caller, call) for call in reversed(calls)] == answers(20)[::-1]


def test_agents_do_not_run_in_the_main_thread() -> None:
    """The agent has a thread of its own, so that a deadline can be kept."""
    with asking(lambda _pivot: threading.current_thread()) as ask:
        assert ask(0) is not threading.main_thread()


# ------------------------------------------------------------ many at once


class Meeting:
    """An agent whose calls wait until SIZE of them are under way, and which counts how many are at once."""

    def __init__(self) -> None:
        self.most = 0
        self.under_way = 0
        self.begun: list[str] = []
        self.lock = threading.Lock()
        self.barrier = threading.Barrier(SIZE)
        self.loop_barrier = asyncio.Barrier(SIZE)

    @contextmanager
    def counted(self, pivot: PivotView) -> Iterator[None]:
        """Count a call while it is under way."""
        with self.lock:
            self.begun.append(pivot.id)
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        try:
            yield
        finally:
            with self.lock:
                self.under_way -= 1

    def meet(self, pivot: PivotView) -> str:
        """Wait for the others, in threads."""
        with self.counted(pivot):
            self.barrier.wait(LONG)
            return synchronous(pivot)

    async def meet_async(self, pivot: PivotView) -> str:
        """Wait for the others, in a loop."""
        with self.counted(pivot):
            async with asyncio.timeout(LONG):
                await self.loop_barrier.wait()
            return synchronous(pivot)


class _SyncObject(Meeting):
    def __call__(self, pivot: PivotView) -> str:
        return self.meet(pivot)


class _AsyncObject(Meeting):
    async def __call__(self, pivot: PivotView) -> str:
        return await self.meet_async(pivot)


def _two_arguments(meeting: Meeting, pivot: PivotView) -> str:
    return meeting.meet(pivot)


async def _two_arguments_async(meeting: Meeting, pivot: PivotView) -> str:
    return await meeting.meet_async(pivot)


# Every form of an agent, made of a meeting.
FORMS: dict[str, Callable[[], tuple[Meeting, Agent]]] = {
    "function": lambda: ((m := Meeting()), m.meet),
    "coroutine-function": lambda: ((m := Meeting()), m.meet_async),
    "object": lambda: ((m := _SyncObject()), m),
    "async-object": lambda: ((m := _AsyncObject()), m),
    "returns-awaitable": lambda: ((m := Meeting()), plain(m.meet_async)),
    "partial": lambda: ((m := Meeting()), functools.partial(_two_arguments, m)),
    "async-partial": lambda: ((m := Meeting()), functools.partial(_two_arguments_async, m)),
    "partial-of-async-object": lambda: ((m := _AsyncObject()), functools.partial(m)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("timeout", [None, LONG])
def test_calls_at_once(form: str, timeout: float | None) -> None:
    """As many calls as `concurrency` are under way at once, never more, and each gets its own answer."""
    meeting, agent = FORMS[form]()
    with calling(agent, timeout, concurrency=SIZE) as caller:
        calls = start(caller, 5 * SIZE)
        assert [finish(caller, call) for call in calls] == answers(5 * SIZE)
    assert meeting.most == SIZE
    assert Counter(meeting.begun) == Counter(f"p{number}" for number in range(5 * SIZE))


@pytest.mark.parametrize("kind", ["sync", "async", "returns-awaitable"])
def test_one_at_a_time(kind: str) -> None:
    """With a concurrency of one, calls are made one after another, in the order of their start."""
    meeting = Meeting()

    def agent(pivot: PivotView) -> str:
        with meeting.counted(pivot):
            time.sleep(0.001)
            return synchronous(pivot)

    async def agent_async(pivot: PivotView) -> str:
        with meeting.counted(pivot):
            await asyncio.sleep(0.001)
            return synchronous(pivot)

    chosen: dict[str, Agent] = {"sync": agent, "async": agent_async, "returns-awaitable": plain(agent_async)}
    with calling(chosen[kind]) as caller:
        calls = start(caller, 12)
        assert results(caller, calls[::-1]) == answers(12)[::-1]
    assert meeting.most == 1
    assert meeting.begun == [f"p{number}" for number in range(12)]


@pytest.mark.parametrize("form", ["function", "coroutine-function"])
def test_the_order_of_starts(form: str) -> None:
    """Calls begin in the order of `start`: none begins before those that are SIZE places ahead of it."""
    meeting, agent = FORMS[form]()
    with calling(agent, concurrency=SIZE) as caller:
        results(caller, start(caller, 5 * SIZE))
    for place, name in enumerate(meeting.begun):
        assert abs(place - int(name[1:])) < SIZE, meeting.begun


@pytest.mark.parametrize("awaits", [False, True], ids=["sync", "async"])
def test_answers_that_come_in_reverse(awaits: bool) -> None:
    """Each call may end only after the one that was started after it, and all get their own answers."""
    ended = {f"p{number}": threading.Event() for number in range(SIZE)}

    def after(pivot: PivotView) -> threading.Event | None:
        return ended.get(f"p{int(pivot.id[1:]) + 1}")

    def agent(pivot: PivotView) -> str:
        following = after(pivot)
        assert following is None or following.wait(LONG)
        ended[pivot.id].set()
        return synchronous(pivot)

    async def agent_async(pivot: PivotView) -> str:
        following = after(pivot)
        if following is not None:
            assert await asyncio.to_thread(following.wait, LONG)
        ended[pivot.id].set()
        return synchronous(pivot)

    with calling(agent_async if awaits else agent, concurrency=SIZE) as caller:
        calls = start(caller, SIZE)
        assert [finish(caller, call) for call in calls] == answers(SIZE)


@pytest.mark.parametrize("awaits", [False, True], ids=["sync", "async"])
def test_a_slow_head(awaits: bool) -> None:
    """While the first call is under way, all others are made, by what concurrency is left."""
    others = threading.Semaphore(0)
    count = 60

    def agent(pivot: PivotView) -> str:
        if pivot.id != "p0":
            others.release()
        else:
            for _ in range(count - 1):
                assert others.acquire(timeout=LONG)
        return synchronous(pivot)

    async def agent_async(pivot: PivotView) -> str:
        await (asyncio.to_thread(agent, pivot) if pivot.id == "p0" else asyncio.sleep(0))
        return synchronous(pivot) if pivot.id == "p0" else agent(pivot)

    with calling(agent_async if awaits else agent, concurrency=2) as caller:
        calls = start(caller, count)
        assert finish(caller, calls[0]) == "answer to p0"
        assert results(caller, calls) == answers(count)


class _Gate:
    """Holds calls of either kind, in threads or in a loop, until it is opened; counts those that wait."""

    def __init__(self) -> None:
        self.under_way = threading.Semaphore(0)
        self.go = threading.Event()

    def hold(self) -> None:
        """Wait, in a thread."""
        self.under_way.release()
        assert self.go.wait(LONG)

    async def hold_async(self) -> None:
        """Wait, in a loop."""
        self.under_way.release()
        assert await asyncio.to_thread(self.go.wait, LONG)


@pytest.mark.parametrize("awaits", [False, True], ids=["sync", "async"])
def test_fewer_calls_at_once_when_they_are_too_many(*, awaits: bool) -> None:
    """After the service said that calls are too many, half as many are under way at once."""
    together, loop_together, gate = threading.Barrier(SIZE), asyncio.Barrier(SIZE), _Gate()

    def agent(pivot: PivotView) -> str:
        if int(pivot.id[1:]) < SIZE:
            together.wait(LONG)
            raise TransientAgentError("too many", "rate limit")
        gate.hold()
        return synchronous(pivot)

    async def agent_async(pivot: PivotView) -> str:
        if int(pivot.id[1:]) < SIZE:
            await loop_together.wait()
            raise TransientAgentError("too many", "rate limit")
        await gate.hold_async()
        return synchronous(pivot)

    with calling(agent_async if awaits else agent, concurrency=SIZE) as caller:
        assert results(caller, start(caller, SIZE)) == [TransientAgentError] * SIZE
        calls = [caller.start(view(number)) for number in range(SIZE, 2 * SIZE)]
        assert not caller.wait_for(calls[-1], GRACE)  # there are threads enough
        assert all(gate.under_way.acquire(timeout=LONG) for _ in range(SIZE // 2))
        assert not gate.under_way.acquire(timeout=GRACE)
        gate.go.set()
        assert results(caller, calls) == answers(2 * SIZE, first=SIZE)


@pytest.mark.parametrize("awaits", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(
    "error", [ValueError("its own"), TimeoutError("its own"), None], ids=["error", "late", "answer"]
)
def test_more_calls_at_once_after_good_answers(error: Exception | None, *, awaits: bool) -> None:
    """A good answer brings back a place that was taken away; an error does not, whosever it is."""
    gate = _Gate()

    def first_ones(pivot: PivotView) -> None:
        if pivot.id == "p0":
            raise TransientAgentError("too many", "rate limit")
        if pivot.id == "p1" and error is not None:
            raise error

    def agent(pivot: PivotView) -> str:
        first_ones(pivot)
        if pivot.id != "p1":
            gate.hold()
        return synchronous(pivot)

    async def agent_async(pivot: PivotView) -> str:
        first_ones(pivot)
        if pivot.id != "p1":
            await gate.hold_async()
        return synchronous(pivot)

    with calling(agent_async if awaits else agent, concurrency=2) as caller:
        for number in range(2):
            results(caller, [caller.start(view(number))])
        calls = [caller.start(view(number)) for number in (2, 3)]
        assert not caller.wait_for(calls[-1], GRACE)  # there are threads enough
        assert gate.under_way.acquire(timeout=LONG)
        assert gate.under_way.acquire(timeout=GRACE if error else LONG) is (error is None)
        gate.go.set()
        assert results(caller, calls) == answers(4, first=2)


# ------------------------------------------------------------ failing


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


@pytest.mark.parametrize("where", ["task", "thread"])
@pytest.mark.parametrize("error", [ValueError("no such city"), SystemExit(3)], ids=["error", "exit"])
def test_what_is_raised_in_a_task_or_thread_of_an_agent(where: str, error: BaseException) -> None:
    """What an agent's own task or helper thread raises reaches the agent, and the next call is answered."""

    def fails() -> None:
        raise error

    async def fails_async() -> None:
        fails()

    seen: list[BaseException] = []

    async def agent(pivot: PivotView) -> str:
        if pivot.id == "p0":
            try:
                await (asyncio.create_task(fails_async()) if where == "task" else asyncio.to_thread(fails))
            except BaseException as raised:
                seen.append(raised)
                raise
        return synchronous(pivot)

    with asking(agent) as ask:
        with pytest.raises(type(error)):
            ask(0)
        assert ask(1) == "answer to p1"
    assert seen == [error]


def test_an_agent_that_cancels_its_own_call() -> None:
    """A call that is cancelled from inside is an error that says so, in the words of who was asked."""

    async def agent(_pivot: PivotView) -> None:
        raise asyncio.CancelledError

    with calling(agent, who="judge") as caller, pytest.raises(AgentError, match=r"^the judge's call was cancelled$"):
        finish(caller, caller.start(view()))


@pytest.mark.parametrize("form", ["function", "coroutine-function", "returns-awaitable"])
def test_errors_among_calls_at_once(form: str) -> None:
    """Whatever is raised in one of several calls under way, the others among them are answered."""
    raised: dict[str, BaseException] = {
        "p0": ValueError("no such city"),
        "p2": SystemExit(3),
        "p5": KeyboardInterrupt(),
        "p6": GeneratorExit(),
    }
    meeting, inner = FORMS[form]()

    def outcome(pivot: PivotView, answer: str) -> str:
        if pivot.id in raised:
            raise raised[pivot.id]
        return answer

    def agent(pivot: PivotView) -> str:
        return outcome(pivot, inner(pivot))

    async def agent_async(pivot: PivotView) -> str:
        return outcome(pivot, await inner(pivot))

    chosen: dict[str, Agent] = {"function": agent, "coroutine-function": agent_async}
    with calling(chosen.get(form, plain(agent_async)), concurrency=SIZE) as caller:
        found = results(caller, start(caller, 3 * SIZE))
    assert found == [type(raised[f"p{n}"]) if f"p{n}" in raised else f"answer to p{n}" for n in range(3 * SIZE)]
    assert meeting.most == SIZE


@pytest.mark.parametrize("awaits", [False, True], ids=["sync", "async"])
def test_an_agents_own_timeout(awaits: bool) -> None:
    """A TimeoutError of the agent's own client reaches the caller as it is, and is not called ours."""
    error = TimeoutError("the client's own limit")

    def agent(_pivot: PivotView) -> str:
        raise error

    async def agent_async(pivot: PivotView) -> str:
        return agent(pivot)

    with asking(agent_async if awaits else agent) as ask, pytest.raises(TimeoutError) as caught:
        ask(0)
    assert caught.value is error


def test_an_agents_own_time_limit() -> None:
    """An agent's own asyncio.timeout within our limit raises its own error."""

    async def agent(_pivot: PivotView) -> None:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(LONG)

    with asking(agent) as ask, pytest.raises(TimeoutError) as caught:
        ask(0)
    assert not isinstance(caught.value, AgentError)


# ------------------------------------------------------------ late


def hangs_first(release: threading.Event) -> Callable[[PivotView], str]:
    """Return an agent whose first call blocks its thread until released."""

    def agent(pivot: PivotView) -> str:
        if pivot.id == "p0":
            release.wait(LONG)
        return synchronous(pivot)

    return agent


def blocks_loop_first(release: threading.Event) -> Agent:
    """Return an agent whose first call blocks its event loop until released."""
    hang = hangs_first(release)

    async def agent(pivot: PivotView) -> str:
        return hang(pivot)

    return agent


def sleeps_first(_release: threading.Event) -> Agent:
    """Return an agent whose first call sleeps in its event loop."""

    async def agent(pivot: PivotView) -> str:
        if pivot.id == "p0":
            await asyncio.sleep(LONG)
        return synchronous(pivot)

    return agent


def sleeps_stubbornly_first(release: threading.Event) -> Agent:
    """Return an agent whose first call does not let itself be cancelled."""

    async def agent(pivot: PivotView) -> str:
        while pivot.id == "p0" and not release.is_set():
            try:
                await asyncio.sleep(SHORT / 10)
            except asyncio.CancelledError:
                continue
        return synchronous(pivot)

    return agent


def blocks_loop_by_an_awaitable(release: threading.Event) -> Agent:
    """Return a plain function whose first awaitable blocks the event loop until released."""
    return plain(blocks_loop_first(release))


LATE = [hangs_first, blocks_loop_first, blocks_loop_by_an_awaitable, sleeps_first, sleeps_stubbornly_first]


@pytest.mark.usefixtures("brisk")
@pytest.mark.parametrize("make", LATE)
def test_a_late_agent(make: Callable[[threading.Event], Agent], release: threading.Event) -> None:
    """A call that is late is an AgentError that names the limit, and the agent is asked on as before."""
    with calling(make(release), SHORT) as caller:
        late, *others = start(caller, 3 * SIZE)
        with pytest.raises(AgentTimeoutError, match=rf"{SHORT:g} s.*--fc-timeout"):
            finish(caller, late)
        assert results(caller, others) == answers(3 * SIZE, first=1)
    assert late.attempts == 1
    assert late.latency_s >= SHORT, "a call that was given up has taken its time limit"


@pytest.mark.usefixtures("brisk")
@pytest.mark.parametrize("kind", ["sync", "blocks", "sleeps", "stubborn"])
def test_several_late_calls(kind: str, release: threading.Event) -> None:
    """When several of the calls at once are late, those are errors, and all others are answered."""
    late = {0, 2}

    def agent(pivot: PivotView) -> str:
        if int(pivot.id[1:]) in late:
            release.wait(LONG)
        return synchronous(pivot)

    async def agent_async(pivot: PivotView) -> str:
        if kind == "blocks":
            return agent(pivot)
        while int(pivot.id[1:]) in late and not release.is_set():
            try:
                await asyncio.sleep(LONG if kind == "sleeps" else SHORT / 10)
            except asyncio.CancelledError:
                if kind == "sleeps":
                    raise
        return synchronous(pivot)

    with calling(agent if kind == "sync" else agent_async, SHORT, concurrency=SIZE) as caller:
        calls = start(caller, 8)
        assert results(caller, calls) == [AgentTimeoutError if n in late else f"answer to p{n}" for n in range(8)]


@pytest.mark.usefixtures("brisk")
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_an_answer_behind_calls_that_hang(kind: str, release: threading.Event) -> None:
    """A call whose turn comes before those that hang in all places is answered: they are given up meanwhile."""

    def agent(pivot: PivotView) -> str:
        if pivot.id in ("p0", "p1"):
            release.wait(LONG)
        return synchronous(pivot)

    async def agent_async(pivot: PivotView) -> str:
        if pivot.id in ("p0", "p1"):
            await asyncio.sleep(LONG)
        return synchronous(pivot)

    with calling(agent if kind == "sync" else agent_async, SHORT, concurrency=2) as caller:
        calls = start(caller, 3)
        reader = threading.Thread(target=caller.wait_for, args=[calls[2]], daemon=True)
        reader.start()
        reader.join(LONG)
        assert calls[2].settled
        assert results(caller, calls) == [AgentTimeoutError, AgentTimeoutError, "answer to p2"]


@pytest.mark.usefixtures("brisk")
@pytest.mark.parametrize("make", [hangs_first, blocks_loop_first])
def test_too_many_calls_that_hang(
    make: Callable[[threading.Event], Agent], release: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a number of calls that can never be ended, no more are made, and the error says what to do."""
    monkeypatch.setattr(module, "MAX_HUNG_CALLS", 1)
    with calling(make(release), SHORT) as caller:
        with pytest.raises(AgentTimeoutError):
            finish(caller, caller.start(view()))
        with pytest.raises(TooManyHungCallsError, match=r"1 calls of the agent never returned.*time limit"):
            caller.start(view(1))


@pytest.mark.usefixtures("brisk")
def test_several_loops_that_hang(release: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each loop that a call blocks counts as a call that hangs."""
    monkeypatch.setattr(module, "MAX_HUNG_CALLS", 2)

    async def agent(_pivot: PivotView) -> None:
        release.wait(LONG)

    with calling(agent, GRACE) as caller:
        for _ in range(2):
            assert results(caller, start(caller, 1)) == [AgentTimeoutError]
        with pytest.raises(TooManyHungCallsError, match="2 calls"):
            caller.start(view())


@pytest.mark.usefixtures("brisk")
@pytest.mark.parametrize("make", [sleeps_first, sleeps_stubbornly_first])
def test_cancelled_calls_do_not_hang(
    make: Callable[[threading.Event], Agent], release: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Late calls that do not block their loop do not count as hung, however many they are."""
    monkeypatch.setattr(module, "MAX_HUNG_CALLS", 2)
    with calling(make(release), SHORT / 4) as caller:
        for _ in range(4):
            with pytest.raises(AgentTimeoutError):
                finish(caller, caller.start(view()))
        assert finish(caller, caller.start(view(1))) == "answer to p1"


@pytest.mark.usefixtures("brisk")
def test_which_call_is_blamed_for_a_blocked_loop(release: threading.Event) -> None:
    """The call whose code holds the loop up is late; those that it kept waiting are made again, and counted so."""
    both = asyncio.Barrier(2)
    asked: Counter[str] = Counter()

    async def agent(pivot: PivotView) -> str:
        asked[pivot.id] += 1
        if pivot.id in ("p0", "p1") and asked[pivot.id] == 1:
            await both.wait()
            if pivot.id == "p1":
                release.wait(LONG)
            await asyncio.sleep(LONG)
        return synchronous(pivot)

    log = Counts()
    with calling(agent, SHORT, concurrency=2, log=log) as caller:
        calls = [caller.start(view(number), f"p{number}") for number in range(4)]
        # the reader waits for the first, which is not to blame
        assert results(caller, calls) == ["answer to p0", AgentTimeoutError, "answer to p2", "answer to p3"]
    assert [call.attempts for call in calls] == [2, 1, 1, 1]
    assert [SHORT <= call.latency_s < LONG for call in calls] == [False, True, False, False]
    assert log.told["p1"] == ["began", "AgentTimeoutError"]
    assert log.told["p0"] == ["began", "began", "answer to p0"]


@pytest.mark.usefixtures("brisk")
def test_a_loop_that_is_blocked_by_no_call(release: threading.Event) -> None:
    """If a task that a call created blocks the loop, the call that is waited for is late; the others are answered."""
    asked: Counter[str] = Counter()

    async def blocks() -> None:
        release.wait(LONG)

    async def agent(pivot: PivotView) -> str:
        asked[pivot.id] += 1
        if pivot.id == "p0":
            await asyncio.create_task(blocks())
        return synchronous(pivot)

    with calling(agent, SHORT) as caller:
        assert results(caller, start(caller, 3)) == [AgentTimeoutError, "answer to p1", "answer to p2"]
    assert asked == {"p0": 1, "p1": 1, "p2": 1}


def test_a_late_answer_that_nobody_waited_for() -> None:
    """A plain function that took longer than it may is late, also when its reader came only afterwards."""

    def agent(pivot: PivotView) -> str:
        if pivot.id == "p0":
            time.sleep(2 * GRACE)
        return synchronous(pivot)

    log = Counts()
    with calling(agent, GRACE, log=log) as caller:
        calls = [caller.start(view(number), f"p{number}") for number in range(2)]
        assert calls[1].wait(LONG)
        assert results(caller, calls) == [AgentTimeoutError, "answer to p1"]
    assert calls[0].latency_s > GRACE
    assert log.told == {"p0": ["began", "AgentTimeoutError"], "p1": ["began", "answer to p1"]}


@pytest.mark.usefixtures("brisk")
@pytest.mark.parametrize("make", [hangs_first, blocks_loop_first, sleeps_stubbornly_first])
def test_an_answer_after_the_call_was_given_up(
    make: Callable[[threading.Event], Agent], release: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    """What comes of a call that was given up changes nothing any more, and is told to nobody."""
    before = set(threading.enumerate())
    log = Counts()
    with calling(make(release), SHORT, log=log) as caller:
        call = caller.start(view(), "p0")
        assert results(caller, [call]) == [AgentTimeoutError]
        latency = call.latency_s
        caller._attempts.timeout = LONG  # of the next call
        release.set()
        assert results(caller, [caller.start(view(1), "p1")]) == ["answer to p1"]
        if make is sleeps_stubbornly_first:
            time.sleep(SHORT / 5)  # so that it comes back while the loop runs
    join(before)
    gc.collect()
    assert caplog.messages == []
    assert (call.output, type(call.error), call.attempts, call.latency_s) == (None, AgentTimeoutError, 1, latency)
    assert log.told == {"p0": ["began", "AgentTimeoutError"], "p1": ["began", "answer to p1"]}


@pytest.mark.usefixtures("brisk")
def test_as_many_calls_at_once_after_one_that_hangs(release: threading.Event) -> None:
    """A thread that hangs is replaced: as many calls as before are under way at once."""
    together = threading.Barrier(SIZE)

    def agent(pivot: PivotView) -> str:
        if pivot.id == "p0":
            release.wait(LONG)
        else:
            together.wait(LONG)
        return synchronous(pivot)

    with calling(agent, GRACE, concurrency=SIZE) as caller:
        assert results(caller, start(caller, 1)) == [AgentTimeoutError]
        caller._attempts.timeout = LONG  # of the next calls
        calls = [caller.start(view(number)) for number in range(1, SIZE + 1)]
        assert results(caller, calls) == answers(SIZE + 1, first=1)


@pytest.mark.usefixtures("brisk")
@pytest.mark.parametrize("make", [hangs_first, sleeps_first, sleeps_stubbornly_first])
def test_not_more_calls_at_once_after_a_late_one(
    make: Callable[[threading.Event], Agent], release: threading.Event
) -> None:
    """A call that was late brings back no place that was taken away, however it was ended."""
    hangs, gate, under_way = make(release), _Gate(), Meeting()

    def agent(pivot: PivotView) -> str:
        if pivot.id == "p1":
            raise TransientAgentError("too many", "rate limit")
        if pivot.id == "p0":
            return str(hangs(pivot))
        with under_way.counted(pivot):
            gate.hold()
        return synchronous(pivot)

    async def agent_async(pivot: PivotView) -> str:
        if pivot.id in ("p0", "p1"):
            return str(await hangs(pivot)) if pivot.id == "p0" else agent(pivot)
        with under_way.counted(pivot):
            await gate.hold_async()
        return synchronous(pivot)

    with calling(agent if make is hangs_first else agent_async, concurrency=2) as caller:
        assert results(caller, [caller.start(view(1))]) == [TransientAgentError]
        caller._attempts.timeout = GRACE  # of the late one
        assert results(caller, start(caller, 1)) == [AgentTimeoutError]
        caller._attempts.timeout = LONG
        calls = [caller.start(view(number)) for number in (2, 3)]
        assert not caller.wait_for(calls[-1], GRACE)  # there are threads enough
        gate.go.set()
        assert results(caller, calls) == answers(4, first=2)
    assert under_way.most == 1


@pytest.mark.usefixtures("brisk")
def test_hung_calls_are_counted(release: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call that hangs counts: the limit is reached by the last of so many, in the words of who was asked."""
    monkeypatch.setattr(module, "MAX_HUNG_CALLS", 3)

    def agent(_pivot: PivotView) -> None:
        release.wait(LONG)

    with calling(agent, GRACE, concurrency=3, who="judge") as caller:
        calls = start(caller, 2)
        assert results(caller, calls) == [AgentTimeoutError] * 2
        assert [str(call.error) for call in calls] == [
            f"the judge gave no answer within {GRACE:g} s (--fc-timeout)"
        ] * 2
        assert results(caller, start(caller, 1)) == [AgentTimeoutError]
        with pytest.raises(TooManyHungCallsError) as raised:
            caller.start(view())
    assert str(raised.value) == (
        "3 calls of the judge never returned; the run stops here. Set a time limit in the judge's own client."
    )


@pytest.mark.usefixtures("brisk")
@pytest.mark.parametrize("make", [hangs_first, sleeps_first])
def test_looking_for_an_answer_for_a_while(make: Callable[[threading.Event], Agent], release: threading.Event) -> None:
    """A reader may wait for less time than the call may take, and go on with it later."""
    with calling(make(release), LONG, concurrency=2) as caller:
        slow, quick = start(caller, 2)
        began = time.monotonic()
        assert not caller.wait_for(slow, GRACE)
        assert GRACE <= time.monotonic() - began < LONG / 3
        assert caller.wait_for(quick, LONG)
        assert quick.output == "answer to p1"
        if make is hangs_first:
            release.set()
            assert caller.wait_for(slow, LONG)
            assert slow.output == "answer to p0"


@pytest.mark.usefixtures("brisk")
@pytest.mark.parametrize("awaits", [False, True], ids=["sync", "async"])
def test_waiting_for_an_answer(*, awaits: bool) -> None:
    """A reader waits for an answer that has no time limit, and may read it again; a call without a name has none."""

    def agent(pivot: PivotView) -> str:
        time.sleep(3 * GRACE)  # so that the reader looks for late calls meanwhile
        return synchronous(pivot)

    async def agent_async(pivot: PivotView) -> str:
        return await asyncio.to_thread(agent, pivot)

    with calling(agent_async if awaits else agent, None) as caller:
        call = caller.start(view())
        assert caller.finish(call) == "answer to p0"
        assert caller.wait_for(call)
        assert caller.finish(call) == "answer to p0"
    assert call.key == ""


@pytest.mark.parametrize("awaits", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(
    ("timeout", "elapsed", "plain_function", "coroutine_function"),
    [(None, 4.0, 1.0, 1.0), (10.0, None, 1.0, 1.0), (10.0, 4.0, 6.0, 6.1), (10.0, 9.5, 0.5, 0.6), (10.0, 11, 0.1, 0.1)],
)
def test_when_a_late_call_is_looked_at(
    timeout: float | None, elapsed: float | None, plain_function: float, coroutine_function: float, *, awaits: bool
) -> None:
    """A reader that waits looks when the call's time is over, not before and not much later; a loop keeps it itself."""
    with calling(asynchronous if awaits else synchronous, timeout) as caller:
        call = caller.start(view())
        finish(caller, call)
        call.attempt_began = None if elapsed is None else time.monotonic() - elapsed
        soon = caller._look_again_in(call)
    wanted = coroutine_function if awaits else plain_function
    assert wanted - 0.15 < soon <= wanted


class _BlocksFirst:
    """An agent whose call p0 blocks its loop; the next ones wait until `go`, and those after them meet."""

    def __init__(self, release: threading.Event) -> None:
        self.release = release
        self.go = threading.Event()
        self.queued = threading.Event()
        self.closed: list[asyncio.AbstractEventLoop] = []
        self.asked: defaultdict[str, list[asyncio.AbstractEventLoop]] = defaultdict(list)
        self.meeting = Meeting()

    async def __call__(self, pivot: PivotView) -> str:
        self.asked[pivot.id].append(asyncio.get_running_loop())
        number = int(pivot.id[1:])
        if pivot.id == "p99":
            self.queued.wait(LONG)
            return synchronous(pivot)
        if number == 0:
            self.release.wait(LONG)
        elif number >= SIZE:
            return await self.meeting.meet_async(pivot)
        for _ in range(2000):
            if self.go.is_set():
                break
            await asyncio.sleep(0.01)
        return synchronous(pivot)

    async def aclose(self) -> None:
        """Note the loop."""
        self.closed.append(asyncio.get_running_loop())


@contextmanager
def _come_back(agent: _BlocksFirst) -> Iterator[Caller]:
    """Give a caller whose first loop was blocked, was replaced, and has come back and ended since."""
    before = set(threading.enumerate())
    with calling(agent, SHORT, concurrency=SIZE) as caller:
        caller.start(view(99))  # so that the others begin together
        late = start(caller, SIZE)[0]
        agent.queued.set()
        blocked = set(threading.enumerate()) - before
        with pytest.raises(AgentTimeoutError):
            finish(caller, late)
        caller._attempts.timeout = LONG  # of the calls that have not begun
        agent.release.set()
        for thread in blocked:
            thread.join(LONG)
            assert not thread.is_alive()
        yield caller


@pytest.mark.usefixtures("brisk")
def test_a_loop_that_comes_back(release: threading.Event) -> None:
    """A blocked loop that comes back when another has taken its place asks nobody, and holds no place."""
    agent = _BlocksFirst(release)
    with _come_back(agent) as caller:
        agent.go.set()
        calls = [caller.start(view(number)) for number in range(SIZE, 2 * SIZE)]
        assert results(caller, calls) == answers(2 * SIZE, first=SIZE)
        assert all(len(set(agent.asked[f"p{number}"])) == 1 for number in range(1, SIZE))
    assert agent.meeting.most == SIZE


@pytest.mark.usefixtures("brisk")
def test_a_loop_that_comes_back_closes_nothing(release: threading.Event) -> None:
    """A blocked loop that comes back while the run goes on does not close the client that the run uses."""
    agent = _BlocksFirst(release)
    with _come_back(agent):
        assert agent.closed == []
        agent.go.set()
    assert len(agent.closed) == 1


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


# ------------------------------------------------------------ closing


def test_an_agent_keeps_its_event_loop() -> None:
    """Calls in turn run in one event loop, so that a client's connections can be kept."""

    async def agent(_pivot: PivotView) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    with asking(agent) as ask:
        assert ask(0) is ask(1)


class Client:
    """An asynchronous agent that notes what happens to it, and in which loop."""

    def __init__(self, fate: str = "sleeps") -> None:
        self.fate = fate
        self.events: list[str] = []
        self.loops: set[asyncio.AbstractEventLoop] = set()
        self.under_way = threading.Semaphore(0)

    async def __call__(self, pivot: PivotView) -> str:
        """Do as `fate` says."""
        self.loops.add(asyncio.get_running_loop())
        if self.fate == "answers":
            return await asynchronous(pivot)
        self.under_way.release()
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            self.events.append(f"{pivot.id} cancelled")
            raise
        finally:
            await asyncio.sleep(0)
            self.events.append(f"{pivot.id} cleaned up")
        return ""

    async def aclose(self) -> None:
        """Close, which takes a turn of the loop."""
        await asyncio.sleep(0)
        self.loops.add(asyncio.get_running_loop())
        self.events.append("closed")


def test_closing_cancels_what_is_under_way() -> None:
    """`close` cancels asynchronous calls, which clean up, then closes the client in their loop; the rest is dropped."""
    client, log = Client(), Counts()
    caller = Caller(client, LONG, concurrency=2, log=log)
    calls = [caller.start(view(number), f"p{number}") for number in range(5)]
    for _ in range(2):
        assert client.under_way.acquire(timeout=LONG)
    began = time.monotonic()
    caller.close()
    assert time.monotonic() - began < LONG / 3
    assert sorted(client.events[:2]) == ["p0 cancelled", "p1 cancelled"]
    assert sorted(client.events[2:4]) == ["p0 cleaned up", "p1 cleaned up"]
    assert client.events[4:] == ["closed"]
    assert len(client.loops) == 1
    assert not any(call.settled for call in calls)
    assert log.told == {"p0": ["began"], "p1": ["began"]}


def test_closing_when_a_call_has_just_made_tasks() -> None:
    """`close` leaves no coroutine that was never awaited: anyio, which openai's client uses, makes tasks in a group."""
    anyio = pytest.importorskip("anyio")
    under_way = threading.Event()

    async def agent(_pivot: PivotView) -> None:
        async with anyio.create_task_group() as group:
            while True:
                group.start_soon(anyio.sleep, 0)
                await asyncio.sleep(0)
                under_way.set()

    with calling(agent) as caller:
        start(caller, 2)
        assert under_way.wait(LONG)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        gc.collect()
    assert [str(warning.message) for warning in warned] == []


def test_an_awaitable_after_closing() -> None:
    """A plain function that returns a coroutine after `close` gets no event loop, and no warning is made of it."""
    under_way, release, returned = threading.Event(), threading.Event(), threading.Event()

    async def answer() -> str:
        return "too late"

    def agent(_pivot: PivotView) -> Awaitable[str]:
        under_way.set()
        assert release.wait(LONG)
        returned.set()
        return answer()

    before = set(threading.enumerate())
    with calling(agent) as caller, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        start(caller, 1)
        assert under_way.wait(LONG)
        caller.close()
        release.set()
        assert returned.wait(LONG)
        join(before)
        gc.collect()
        assert caller._loop is None
    assert [str(warning.message) for warning in warned] == []


def test_an_answer_while_closing() -> None:
    """An answer that comes when the caller is closed is told to the log, though nobody reads it any more."""
    under_way = threading.Event()

    async def agent(pivot: PivotView) -> str:
        under_way.set()
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            return synchronous(pivot)
        return ""

    log = Counts()
    with calling(agent, log=log) as caller:
        call = caller.start(view(), "p0")
        assert under_way.wait(LONG)
    assert log.told == {"p0": ["began", "answer to p0"]}
    assert not call.settled


@pytest.mark.parametrize("closes", [True, False], ids=["closes", "fails-to-close"])
def test_generators_end_with_the_loop(*, closes: bool) -> None:
    """An asynchronous generator that an agent left half read is closed when the caller is, also if `aclose` fails."""
    events: list[str] = []

    async def pages() -> AsyncIterator[int]:
        try:
            for page in range(9):
                yield page
        finally:
            await asyncio.sleep(0)
            events.append("closed")

    kept = pages()

    class Reader:
        async def __call__(self, _pivot: PivotView) -> int:
            return await anext(kept)

        async def aclose(self) -> None:
            if not closes:
                raise OSError("already gone")

    with calling(Reader()) as caller:
        assert results(caller, start(caller, 2)) == [0, 1]
        assert events == []
    assert events == ["closed"]


@pytest.mark.parametrize("kind", ["method", "partial"])
def test_the_client_of_a_method_is_closed(kind: str) -> None:
    """The `aclose` of the object behind a method, and of the function behind a partial, is found."""

    class Service(Client):
        async def ask(self, pivot: PivotView) -> str:
            return await self(pivot)

    service = Service("answers")
    with calling(service.ask if kind == "method" else functools.partial(service)) as caller:
        assert results(caller, start(caller, 2)) == answers(2)
    assert service.events == ["closed"]


@pytest.mark.parametrize("kind", ["object", "returns-awaitable"])
def test_a_client_is_closed_in_its_loop(kind: str) -> None:
    """After its answers, an agent's `aclose` runs once, in the loop of its calls, also for a second `close`."""
    client = Client("answers")

    class Wrapper:
        def __call__(self, pivot: PivotView) -> Awaitable[str]:
            return client(pivot)

        def aclose(self) -> Awaitable[None]:
            return client.aclose()

    caller = Caller(client if kind == "object" else Wrapper(), concurrency=SIZE)
    assert results(caller, start(caller, 3 * SIZE)) == answers(3 * SIZE)
    caller.close()
    caller.close()
    assert client.events == ["closed"]
    assert len(client.loops) == 1


@pytest.mark.parametrize("trouble", ["raises", "exits", "hangs", "is no coroutine", "is not callable"])
@pytest.mark.usefixtures("brisk")
def test_an_aclose_that_fails(trouble: str) -> None:
    """Whatever `aclose` does, `close` returns soon and without an error."""

    class Bad(AsyncCallable):
        aclose: Any = None

        async def bad(self) -> None:
            if trouble == "hangs":
                await asyncio.sleep(LONG)
            raise SystemExit(3) if trouble == "exits" else OSError("already gone")

    agent = Bad()
    agent.aclose = {"is no coroutine": lambda: None, "is not callable": 3}.get(trouble, agent.bad)
    began, before = time.monotonic(), set(threading.enumerate())
    with asking(agent) as ask:
        assert ask(0) == "answer to p0"
    assert time.monotonic() - began < LONG / 3
    join(before)


@pytest.mark.usefixtures("brisk")
@pytest.mark.parametrize("make", LATE)
def test_closing_with_calls_that_hang(
    make: Callable[[threading.Event], Agent], release: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    """`close` returns soon, whatever the calls under way do, and no word is logged of tasks that were left alone."""
    inner = make(release)
    under_way = threading.Event()

    def agent(pivot: PivotView) -> Any:
        under_way.set()
        return inner(pivot)

    async def agent_async(pivot: PivotView) -> Any:
        under_way.set()
        return await inner(pivot)

    before = set(threading.enumerate())
    caller = Caller(agent if make is hangs_first else agent_async, None, concurrency=2)
    start(caller, 3)
    assert under_way.wait(LONG)
    began = time.monotonic()
    caller.close()
    assert time.monotonic() - began < LONG / 3
    if make is sleeps_stubbornly_first:
        join(before)
        gc.collect()
        assert caplog.messages == []


def test_what_comes_while_a_loop_closes() -> None:
    """A call that is started, or dropped, just when another thread has closed the loop, is no error and is not made."""
    asked: list[str] = []

    async def agent(pivot: PivotView) -> None:
        asked.append(pivot.id)

    with calling(agent) as caller:
        results(caller, start(caller, 1))
        assert caller._loop is not None
        caller._loop.close()
        caller.start(view(1))
        caller.drop_waiting()
    assert asked == ["p0"]


def test_nothing_is_asked_after_close() -> None:
    """Calls that wait in the queue when the caller is closed are never made, though a place becomes free."""
    asked: list[str] = []
    first, go = threading.Event(), threading.Event()

    def agent(pivot: PivotView) -> None:
        asked.append(pivot.id)
        first.set()
        go.wait(LONG)

    before = set(threading.enumerate())
    caller = Caller(agent, LONG)
    start(caller, 5)
    assert first.wait(LONG)
    caller.close()
    go.set()
    join(before)
    assert asked == ["p0"]


@pytest.mark.parametrize("make", [hangs_first, sleeps_stubbornly_first])
def test_dropping_what_waits(make: Callable[[threading.Event], Agent], release: threading.Event) -> None:
    """Calls that wait can be dropped by another thread; one under way is answered, and so are those begun later."""
    with calling(make(release)) as caller:
        calls = start(caller, 4)
        while not calls[0].attempts:
            time.sleep(SHORT / 100)
        dropping = threading.Thread(target=caller.drop_waiting)
        dropping.start()
        dropping.join()
        assert results(caller, calls[1:]) == [DroppedError] * 3
        release.set()
        assert results(caller, [calls[0], *start(caller, 2)[1:]]) == answers(2)


def test_dropping_what_waits_leaves_what_a_function_returned(release: threading.Event) -> None:
    """A call whose function has returned an awaitable has begun: though it waits for its turn, it is not dropped."""
    under_way = threading.Semaphore(0)
    turn = threading.Event()
    second: list[threading.Thread] = []

    async def answer(pivot: PivotView) -> str:
        under_way.release()
        assert await asyncio.to_thread(release.wait, LONG)
        return synchronous(pivot)

    def agent(pivot: PivotView) -> Awaitable[str]:
        if pivot.id == "p1":
            second.append(threading.current_thread())
            under_way.release()
            assert turn.wait(LONG)
        elif pivot.id == "p0":
            assert under_way.acquire(timeout=LONG)  # so that the second call is under way in a thread
        return answer(pivot)

    with calling(agent, concurrency=2) as caller:
        calls = start(caller, 4)
        assert not caller.wait_for(calls[3], GRACE)  # now there are threads enough, and a loop
        assert under_way.acquire(timeout=LONG)  # the first call has the loop, with the third, which waits
        turn.set()
        second[0].join(LONG)
        assert not second[0].is_alive()
        caller.drop_waiting()
        assert results(caller, calls[3:]) == [DroppedError]
        release.set()
        assert results(caller, calls[:3]) == answers(3)


@pytest.mark.parametrize("agent", [synchronous, asynchronous, returns_awaitable])
def test_close_leaves_no_thread(agent: Agent) -> None:
    """The threads of agents that answer keep no process alive, and are gone after `close`."""
    before = set(threading.enumerate())
    with calling(agent, concurrency=SIZE) as caller:
        results(caller, start(caller, 5 * SIZE))
        assert all(thread.daemon for thread in set(threading.enumerate()) - before)
    join(before)


def test_hung_agents_do_not_keep_the_process_alive() -> None:
    """After timeouts and `close`, a process whose agents still hang ends by itself, and without a word."""
    script = """
import asyncio, threading
from pytest_fcpivot.calls import caller, loop
from pytest_fcpivot.core.errors import AgentError

caller._LOOK_AGAIN_S = loop._CANCEL_GRACE_S = 0.05

def hangs(question):
    threading.Event().wait()

async def blocks_its_loop(question):
    threading.Event().wait()

async def hangs_in_a_thread(question):
    await asyncio.to_thread(threading.Event().wait, 600)

for agent in (hangs, blocks_its_loop, hangs_in_a_thread):
    asked = caller.Caller(agent, 0.1, concurrency=2)
    try:
        asked.finish(asked.start("question"))
    except AgentError as error:
        print(error)
    asked.close()
"""
    command = [sys.executable, "-c", script]
    home = str(Path(pytest_fcpivot.__file__).resolve().parents[1])
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": home},
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * LONG,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == 3 * "the agent gave no answer within 0.1 s (--fc-timeout)\n"


def test_closing_twice_and_unused() -> None:
    """A caller may be closed before it was used, and again."""
    caller = Caller(synchronous, None)
    caller.close()
    caller.close()


# ------------------------------------------------------------ retries


@pytest.mark.parametrize("form", KINDS)
def test_retries(form: str) -> None:
    """A call that meets faults is made again until it is answered; its attempts and their causes are counted."""
    lock = threading.Lock()
    asked: Counter[str] = Counter()

    def agent(pivot: PivotView) -> str:
        with lock:
            asked[pivot.id] += 1
            attempt = asked[pivot.id]
        if pivot.id in ("p0", "p5", "p6") and attempt <= 2:
            raise TransientAgentError("busy", ["server error", "connection"][attempt - 1], retry_after=0.001)
        return synchronous(pivot)

    with calling(in_form(form, agent), concurrency=SIZE, policy=RetryPolicy(2)) as caller:
        calls = start(caller, 8)
        assert results(caller, calls) == answers(8)
    assert [call.attempts for call in calls] == [3, 1, 1, 1, 1, 3, 3, 1]
    assert [call.retried for call in calls if call.attempts > 1] == [["server error", "connection"]] * 3
    assert not any(call.retried for call in calls if call.attempts == 1)


@pytest.mark.parametrize("form", KINDS)
@pytest.mark.parametrize("retries", [0, 2])
def test_retries_that_are_used_up(form: str, retries: int) -> None:
    """When the last attempt fails too, its own error is raised; an error of the agent's own is not tried again."""
    lock = threading.Lock()
    made: Counter[str] = Counter()

    def agent(pivot: PivotView) -> str:
        with lock:
            made[pivot.id] += 1
            attempt = made[pivot.id]
        if pivot.id == "p1":
            raise ValueError("the agent's own")
        if pivot.id == "p3":
            return synchronous(pivot)
        raise TransientAgentError(f"attempt {attempt} of {pivot.id}", "rate limit", retry_after=0.001)

    with calling(in_form(form, agent), concurrency=SIZE, policy=RetryPolicy(retries)) as caller:
        calls = start(caller, 4)
        assert results(caller, calls) == [TransientAgentError, ValueError, TransientAgentError, "answer to p3"]
    assert str(calls[2].error) == f"attempt {retries + 1} of p2"
    assert [call.attempts for call in calls] == [retries + 1, 1, retries + 1, 1]
    assert [len(call.retried) for call in calls] == [retries, 0, retries, 0]


def test_late_attempts_are_made_again() -> None:
    """The time limit is of one attempt: one that is late is cancelled and made again."""
    asked: Counter[str] = Counter()

    async def agent(pivot: PivotView) -> str:
        asked[pivot.id] += 1
        if pivot.id == "p0" and asked["p0"] == 1:
            await asyncio.sleep(LONG)
        return synchronous(pivot)

    with calling(agent, SHORT, concurrency=2, policy=RetryPolicy(1)) as caller:
        calls = start(caller, 4)
        assert results(caller, calls) == answers(4)
    assert [call.attempts for call in calls] == [2, 1, 1, 1]
    assert calls[0].retried == ["timeout"]
    assert calls[0].latency_s < SHORT


@pytest.mark.parametrize("form", KINDS)
def test_a_call_that_waits_for_its_retry(form: str) -> None:
    """While a call waits to be made again, the others are made; closing does not wait for it."""
    failed = threading.Event()
    refused = TransientAgentError("come back later", "rate limit", retry_after=LONG)

    def agent(pivot: PivotView) -> str:
        if pivot.id == "p0":
            failed.set()
            raise refused
        return synchronous(pivot)

    began, before = time.monotonic(), set(threading.enumerate())
    with calling(in_form(form, agent), concurrency=2, policy=RetryPolicy(1)) as caller:
        calls = start(caller, 6)
        assert results(caller, calls[1:]) == answers(6, first=1)
        assert failed.wait(LONG)
    join(before)
    assert time.monotonic() - began < LONG  # when the first would be made again
    if form == "sync":
        assert str(calls[0].error) == "the run stopped while this call waited for its next attempt"


@pytest.mark.usefixtures("brisk")
@pytest.mark.parametrize("form", KINDS)
def test_reading_a_call_that_waits_for_its_retry(form: str) -> None:
    """A reader who looks for late calls while the only one waits to be made again gets its answer in the end."""
    failed = threading.Event()

    def agent(pivot: PivotView) -> str:
        if not failed.is_set():
            failed.set()
            raise TransientAgentError("come back later", "server error", retry_after=3 * GRACE)
        return synchronous(pivot)

    with calling(in_form(form, agent), policy=RetryPolicy(1)) as caller:
        assert results(caller, start(caller, 1)) == answers(1)


# ------------------------------------------------------------ what is told of calls


@pytest.mark.parametrize("form", ["function", "coroutine-function", "returns-awaitable"])
def test_output_belongs_to_its_call(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What calls at once say, before and after waiting for each other and in helper threads, is told apart."""
    _, inner = FORMS[form]()

    def say(pivot: PivotView, what: str) -> None:
        output = current_output.get()
        assert output is not None
        output.hold(("stdout", f"{what} {pivot.id};"))

    def agent(pivot: PivotView) -> str:
        say(pivot, "before")
        answer: str = inner(pivot)
        say(pivot, "after")
        return answer

    async def agent_async(pivot: PivotView) -> str:
        say(pivot, "before")
        answer: str = await inner(pivot)
        await asyncio.to_thread(say, pivot, "after")
        return answer

    chosen = agent if form == "function" else agent_async
    with calling(chosen if form != "returns-awaitable" else plain(agent_async), concurrency=SIZE) as caller:
        calls = start(caller, 3 * SIZE)
        results(caller, calls)
    assert current_output.get() is None
    for number, call in reversed(list(enumerate(calls))):
        call.printed.release([])
        assert capsys.readouterr().out == f"before p{number};after p{number};"


@pytest.mark.usefixtures("brisk")
@pytest.mark.parametrize("form", KINDS)
def test_the_log_of_calls(form: str, release: threading.Event) -> None:
    """The log is told once that each call begins, and once how it ends: answered, failed or late."""

    def fails(pivot: PivotView) -> str:
        if pivot.id == "p2":
            raise ValueError("no such city")
        return synchronous(pivot)

    def hangs(pivot: PivotView) -> str:
        if pivot.id == "p5":
            release.wait(LONG)
        return fails(pivot)

    async def sleeps(pivot: PivotView) -> str:
        if pivot.id == "p5":
            await asyncio.sleep(LONG)
        return fails(pivot)

    agent: dict[str, Agent] = {"sync": hangs, "async": sleeps, "returns-awaitable": plain(sleeps)}
    log = Counts()
    with calling(agent[form], SHORT, concurrency=SIZE, log=log) as caller:
        calls = [caller.start(view(number), f"key {number}") for number in range(10)]
        results(caller, calls)
    release.set()
    ends = [f"answer to p{number}" for number in range(10)]
    ends[2], ends[5] = "ValueError", "AgentTimeoutError"
    assert log.told == {f"key {number}": ["began", end] for number, end in enumerate(ends)}


@pytest.mark.parametrize("form", KINDS)
def test_the_log_of_attempts(form: str) -> None:
    """The log is told of each attempt's begin, and only of the last one's end."""
    failed = threading.Event()

    def agent(pivot: PivotView) -> str:
        if not failed.is_set():
            failed.set()
            raise TransientAgentError("busy", "server error", retry_after=0.001)
        return synchronous(pivot)

    log = Counts()
    with calling(in_form(form, agent), policy=RetryPolicy(1), log=log) as caller:
        assert finish(caller, caller.start(view(), "key")) == "answer to p0"
    assert log.told == {"key": ["began", "began", "answer to p0"]}


@pytest.mark.parametrize("form", ["function", "coroutine-function", "returns-awaitable"])
def test_latencies_are_the_agents_own(form: str) -> None:
    """The latency of a call is the agent's time, not the time that the call waited for its turn or its reader."""
    wanted = 0.05

    def agent(pivot: PivotView) -> str:
        time.sleep(wanted)
        return synchronous(pivot)

    async def agent_async(pivot: PivotView) -> str:
        await asyncio.sleep(wanted)
        return synchronous(pivot)

    chosen: dict[str, Agent] = {"function": agent, "coroutine-function": agent_async}
    with calling(chosen.get(form, plain(agent_async)), concurrency=1) as caller:
        began = time.monotonic()
        calls = start(caller, 4)
        results(caller, calls[::-1])
        took = time.monotonic() - began
    assert all(call.latency_s > 0.9 * wanted for call in calls)
    assert sum(call.latency_s for call in calls) <= took


def _refuses(pivot: PivotView) -> str:
    raise ConnectionRefusedError


@pytest.mark.parametrize(("answered", "fatal"), [(True, False), (False, True)])
def test_a_server_that_answered_somebody_else(*, answered: bool, fatal: bool) -> None:
    """Of a server that has answered one of its callers, a refused connection of another is no fault of the start."""
    servers = Servers()
    agent, judge, other = (SimpleNamespace(server=name) for name in ("http://a", "http://a", "http://b"))
    with (
        calling(synchronous, server=servers.of(agent)) as first,
        calling(_refuses, server=servers.of(judge)) as second,
        calling(_refuses, server=servers.of(other)) as third,
    ):
        if answered:
            finish(first, first.start(view()))
        with pytest.raises(ConnectionRefusedError) as caught:
            finish(second, second.start(view()))
        fault = fault_of(caught.value)
        assert fault is not None
        assert second.is_fatal(fault) is fatal
        assert third.is_fatal(fault)
        unknown_model = Fault("not found", fatal_at_start=True)  # a key or a model may be another one's
        assert second.is_fatal(unknown_model)
