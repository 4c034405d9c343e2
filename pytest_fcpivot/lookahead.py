"""Asking the agent: the only code with concurrency in it.

pytest runs one test at a time, so calls are started ahead of their tests: a window of answers is under way or waiting
while pytest reports. Synchronous agents run in a thread, asynchronous ones in one background event loop, one call after
the other; a deadline can be kept for both.
"""

from __future__ import annotations

import inspect
import threading
import time
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.agent_output import AgentOutput, current_output
from pytest_fcpivot.errors import AgentError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from pytest_fcpivot.model import PivotView

# How many pivots may be asked ahead of the one that runs; refilled when half of it is used up, so that neither thread
# wakes the other for every pivot: with an agent that answers at once, 16 made a session of pivots a tenth slower. An
# agent that takes longer than pytest takes for a test never gets this far ahead.
WINDOW = 128
# A thread that hangs cannot be ended. Each costs memory, so after this many the run has to stop.
MAX_HUNG_CALLS = 64
_CANCEL_GRACE_S = 2.0


class AgentTimeoutError(AgentError):
    """The agent gave no answer in time."""


class TooManyHungCallsError(AgentError):
    """So many calls never came back that going on would exhaust the machine."""


class Call:
    """One question to the agent: waiting, under way or answered; `latency_s` is the agent's own time."""

    __slots__ = ("_ended", "_settled", "error", "latency_s", "output", "printed", "started_at", "view")

    def __init__(self, view: PivotView) -> None:
        self.view: PivotView | None = view
        self.output: Any = None
        self.error: BaseException | None = None
        self.printed = AgentOutput()
        self.started_at: float | None = None
        self.latency_s = 0.0
        self._settled = False
        self._ended = threading.Lock()
        self._ended.acquire()

    def begin(self) -> PivotView:
        """Mark the call as under way and return the question."""
        assert self.view is not None  # noqa: S101 (a call begins once)
        view, self.view = self.view, None
        self.started_at = time.perf_counter()
        return view

    def settle(self, output: Any, error: BaseException | None) -> None:
        """Record how the call ended; only the first end counts."""
        if not self._settled:
            self._settled = True
            self.latency_s = time.perf_counter() - (self.started_at or time.perf_counter())
            self.output, self.error = output, error
            self._ended.release()

    @property
    def settled(self) -> bool:
        """Whether the call has ended."""
        return self._settled

    def wait(self, timeout: float | None) -> bool:
        """Wait for the end; False if it did not come in time."""
        return self._ended.acquire(timeout=-1 if timeout is None else max(timeout, 0.0))


class AgentCaller:
    """Asks one agent, one call at a time in the order of `start`, with a time limit in seconds or None."""

    def __init__(self, agent: Callable[[PivotView], Any], timeout: float | None) -> None:
        self._agent = agent
        self._timeout = timeout
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        self._runner: _Runner | None = None
        self._hung = 0

    def start(self, view: PivotView) -> Call:
        """Begin to ask, or queue behind the calls before; the answer is read by `finish`."""
        if self._hung >= MAX_HUNG_CALLS:
            raise TooManyHungCallsError(
                f"{self._hung} calls of the agent never came back; the run stops here. "
                "Give the agent's own client a time limit."
            )
        if self._runner is None:
            self._runner = _Runner(self._agent, self._calls)
        call = Call(view)
        self._calls.put(call)
        return call

    def finish(self, call: Call) -> Any:
        """Return the agent's output; re-raises what it raised, or raises AgentTimeoutError."""
        while not call.wait(self._remaining(call)):
            if self._timeout is not None and self._remaining(call) == 0.0:
                self._abandon(call)
                break
        if self._timeout is not None and (not call.settled or call.latency_s > self._timeout):
            # an answer that came late while nobody waited is as late as one that was waited for
            raise AgentTimeoutError(f"the agent gave no answer within {self._timeout:g} s (--fc-timeout)")
        if call.error is not None:
            raise call.error
        return call.output

    def close(self) -> None:
        """Drop what waits, cancel what can be cancelled, and end the thread.

        A call that hangs is left behind, and does not keep the process alive.
        """
        if self._runner is not None:
            self._runner.stop()
            self._calls.put(None)
        self._runner = None

    def _remaining(self, call: Call) -> float | None:
        """Return the seconds that a call has left; it has all of them until its turn comes."""
        if self._timeout is None:
            return None
        if call.started_at is None:
            return self._timeout
        return max(0.0, self._timeout - (time.perf_counter() - call.started_at))

    def _abandon(self, call: Call) -> None:
        """Give a late call up: cancel it, or leave the thread that hangs in it, and go on in a new one."""
        runner = self._runner
        if runner is not None and runner.cancel(call) and call.wait(_CANCEL_GRACE_S):
            return
        if runner is not None:
            runner.stop()
        self._hung += 1
        self._runner = _Runner(self._agent, self._calls)


class _Runner:
    """A thread that takes calls from the queue and runs the agent; it has an event loop for agents that await."""

    def __init__(self, agent: Callable[[PivotView], Any], calls: SimpleQueue[Call | None]) -> None:
        self._agent = agent
        self._calls = calls
        self._stopped = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: tuple[Call, asyncio.Task[Any]] | None = None
        threading.Thread(target=self._run, name="fc-agent", daemon=True).start()

    def stop(self) -> None:
        """Take no more calls."""
        self._stopped = True
        if self._task is not None:
            self.cancel(self._task[0])

    def cancel(self, call: Call) -> bool:
        """Cancel a call if it is being awaited; False if it cannot be, as with a synchronous agent."""
        task, loop = self._task, self._loop
        if task is None or task[0] is not call or loop is None:
            return False
        with suppress(RuntimeError):  # it ended just now, and its loop with it
            loop.call_soon_threadsafe(task[1].cancel)
        return True

    def _run(self) -> None:
        while not self._stopped and (call := self._calls.get()) is not None:
            token = current_output.set(call.printed)
            try:
                output = self._agent(call.begin())
                if inspect.isawaitable(output):
                    output = self._wait_for(call, output)
            except BaseException as error:  # noqa: BLE001 (sys.exit in an agent must not end the run)
                call.settle(None, error)
            else:
                call.settle(output, None)
            finally:
                current_output.reset(token)
            del call  # an idle thread keeps no conversation alive
        self._close_loop()

    def _wait_for(self, call: Call, awaitable: Any) -> Any:
        import asyncio  # noqa: PLC0415 (many agents do not await, and it takes as long to import as pyarrow)

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        task = self._loop.create_task(_as_coroutine(awaitable))
        self._task = call, task
        try:
            return self._loop.run_until_complete(task)
        except asyncio.CancelledError:
            raise AgentError("the agent's call was cancelled") from None
        finally:
            self._task = None

    def _close_loop(self) -> None:
        if self._loop is None:
            return
        import asyncio  # noqa: PLC0415 (see above)

        with suppress(BaseException):  # tasks that the agent left behind may raise anything
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


async def _as_coroutine(awaitable: Any) -> Any:
    return await awaitable
