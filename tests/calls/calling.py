"""What the tests of callers share: agents of every form, and short ways to call them."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pytest_fcpivot import Pivot
from pytest_fcpivot.calls.call import Call, CallLog
from pytest_fcpivot.calls.caller import Caller

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from pytest_fcpivot import PivotView

    Agent = Callable[[PivotView], Any]

LONG = 30.0  # never waited for; only a broken caller would
SHORT = 0.5  # what is late is given up after it; what answers at once takes less on a busy machine, too
GRACE = 0.1
SIZE = 4
KINDS = ["sync", "async", "returns-awaitable"]


def view(number: int = 0) -> PivotView:
    """Return a question."""
    row = {
        "id": f"p{number}",
        "responses_create_params": {"input": f"question {number}"},
        "expected_action": {"type": "message", "content": ""},
    }
    return Pivot.from_row(row).view()


@contextmanager
def calling(agent: Agent, timeout: float | None = LONG, **settings: Any) -> Iterator[Caller]:
    """Give a caller, closed in the end."""
    caller = Caller(agent, timeout, **settings)
    try:
        yield caller
    finally:
        caller.close()


@contextmanager
def asking(agent: Agent, timeout: float | None = LONG) -> Iterator[Callable[[int], Any]]:
    """Give a function that asks the agent one question and waits for the answer."""
    with calling(agent, timeout) as caller:
        yield lambda number: finish(caller, caller.start(view(number)))


def start(caller: Caller, count: int) -> list[Call]:
    """Start so many calls."""
    return [caller.start(view(number)) for number in range(count)]


def finish(caller: Caller, call: Call) -> Any:
    """Return the answer or raise the error that a call ended with, as the caller's own `finish`, which has no end."""
    assert caller.wait_for(call, LONG), f"call {call.key} has not ended"
    return caller.finish(call)


def results(caller: Caller, calls: list[Call]) -> list[Any]:
    """Return what each call ended with, its answer or the type of its error."""
    for call in calls:
        assert caller.wait_for(call, LONG), f"call {call.key} has not ended"
        assert call.error is None or call.output is None
    return [call.output if call.error is None else type(call.error) for call in calls]


def answers(count: int, first: int = 0) -> list[str]:
    """Return what `synchronous` answers to these questions."""
    return [f"answer to p{number}" for number in range(first, count)]


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


def plain(coroutine_function: Agent) -> Agent:
    """Make a plain function of a coroutine function, which returns what must be awaited."""

    def agent(pivot: PivotView) -> Any:
        return coroutine_function(pivot)

    return agent


def in_form(form: str, inner: Callable[[PivotView], str]) -> Agent:
    """Make an agent of a form of a function that answers or raises."""

    async def agent_async(pivot: PivotView) -> str:
        await asyncio.sleep(0)
        return inner(pivot)

    return {"sync": inner, "async": agent_async, "returns-awaitable": plain(agent_async)}[form]


class Counts(CallLog):
    """Counts what is told of each call, by its key."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.told: defaultdict[str, list[str]] = defaultdict(list)

    def began(self, call: Call) -> None:
        """Count a begin."""
        with self.lock:
            self.told[call.key].append("began")

    def ended(self, call: Call, output: Any, error: BaseException | None) -> None:
        """Count an end, by what it was."""
        assert not call.settled
        with self.lock:
            self.told[call.key].append(output if error is None else type(error).__name__)


def join(before: set[threading.Thread]) -> None:
    """Wait until all threads that were not there before have ended."""
    for thread in set(threading.enumerate()) - before:
        thread.join(LONG)
        assert not thread.is_alive()
