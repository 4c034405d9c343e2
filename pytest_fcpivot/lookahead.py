"""Asking the agent: the only code with concurrency in it.

Synchronous agents run in a thread, asynchronous ones in one background event loop, so a deadline can be kept for both.
A call is started by `start` and read by `Call.wait`: whoever knows which pivots come next may start theirs early.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pytest_fcpivot.model import PivotView

# A thread that hangs cannot be ended. Each costs memory, so after this many the run has to stop.
MAX_HUNG_CALLS = 64
_CANCEL_GRACE_S = 2.0


class AgentTimeoutError(AgentError):
    """The agent gave no answer in time."""


class TooManyHungCallsError(AgentError):
    """So many calls never came back that going on would exhaust the machine."""


class Call:
    """One question to the agent, under way or answered; `latency_s` is the agent's own time."""

    __slots__ = ("_ended", "_settled", "cancel", "error", "latency_s", "output", "started_at", "view")

    def __init__(self, view: PivotView) -> None:
        self.view = view
        self.output: Any = None
        self.error: BaseException | None = None
        self.started_at = 0.0
        self.latency_s = 0.0
        self.cancel: Callable[[], object] | None = None
        self._settled = False
        self._ended = threading.Lock()
        self._ended.acquire()

    def settle(self, output: Any, error: BaseException | None) -> None:
        """Record how the call ended; only the first end counts."""
        if not self._settled:
            self._settled = True
            self.latency_s = time.perf_counter() - self.started_at
            self.output, self.error = output, error
            self._ended.release()

    def wait(self, timeout: float | None) -> bool:
        """Wait for the end; False if it did not come in time."""
        return self._ended.acquire(timeout=-1 if timeout is None else timeout)


class AgentCaller:
    """Asks one agent, with a time limit in seconds or None."""

    def __init__(self, agent: Callable[[PivotView], Any], timeout: float | None) -> None:
        self._agent = agent
        self._timeout = timeout
        self._asynchronous = _is_asynchronous(agent)
        self._thread: _WorkerThread | None = None
        self._loop: _LoopThread | None = None
        self._hung = 0

    def start(self, view: PivotView) -> Call:
        """Begin to ask; the answer is read by `finish`."""
        if self._hung >= MAX_HUNG_CALLS:
            raise TooManyHungCallsError(
                f"{self._hung} calls of the agent never came back; the run stops here. "
                "Give the agent's own client a time limit."
            )
        call = Call(view)
        call.started_at = time.perf_counter()
        if self._asynchronous:
            self._in_loop(call, self._agent)
        else:
            if self._thread is None:
                self._thread = _WorkerThread(self._agent, self._in_loop)
            self._thread.jobs.put(call)
        return call

    def finish(self, call: Call) -> Any:
        """Return the agent's output; re-raises what it raised, or raises AgentTimeoutError."""
        if not call.wait(self._timeout):
            self._abandon(call)
            raise AgentTimeoutError(f"the agent gave no answer within {self._timeout:g} s (--fc-timeout)")
        if call.error is not None:
            raise call.error
        return call.output

    def close(self) -> None:
        """End the threads; one that hangs is left behind and does not keep the process alive."""
        if self._thread is not None:
            self._thread.jobs.put(None)
        if self._loop is not None:
            self._loop.stop()
        self._thread = self._loop = None

    def _in_loop(self, call: Call, function: Callable[[PivotView], Awaitable[Any]]) -> None:
        if self._loop is None:
            self._loop = _LoopThread()
        self._loop.run(call, function)

    def _abandon(self, call: Call) -> None:
        """Give a late call up: cancel what can be cancelled, and leave behind the thread of what cannot."""
        if call.cancel is not None:
            call.cancel()
            if call.wait(_CANCEL_GRACE_S):
                return
            self._loop = None
        self._hung += 1
        self._thread = None


def _is_asynchronous(agent: Any) -> bool:
    return inspect.iscoroutinefunction(agent) or inspect.iscoroutinefunction(getattr(agent, "__call__", None))  # noqa: B004


class _WorkerThread:
    """Runs a synchronous agent, one call after the other, outside the main thread."""

    def __init__(
        self,
        agent: Callable[[PivotView], Any],
        in_loop: Callable[[Call, Callable[[PivotView], Awaitable[Any]]], None],
    ) -> None:
        self.jobs: SimpleQueue[Call | None] = SimpleQueue()
        self._agent = agent
        self._in_loop = in_loop
        threading.Thread(target=self._run, name="fc-agent", daemon=True).start()

    def _run(self) -> None:
        while (call := self.jobs.get()) is not None:
            try:
                output = self._agent(call.view)
            except BaseException as error:  # noqa: BLE001 (sys.exit in an agent must not end the run)
                call.settle(None, error)
                continue
            if inspect.isawaitable(output):
                self._in_loop(call, _already_called(output))
            else:
                call.settle(output, None)
            del call, output  # an idle thread keeps no conversation alive


def _already_called(awaitable: Awaitable[Any]) -> Callable[[PivotView], Awaitable[Any]]:
    return lambda _view: awaitable


class _LoopThread:
    """One event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._stopping = False
        threading.Thread(target=self._run, name="fc-agent-loop", daemon=True).start()

    def run(self, call: Call, function: Callable[[PivotView], Awaitable[Any]]) -> None:
        """Begin to await an asynchronous agent's answer."""
        self._loop.call_soon_threadsafe(self._begin, call, function)

    def stop(self) -> None:
        """End the loop after cancelling what is still under way."""
        self._stopping = True
        with suppress(RuntimeError):  # it is closed already
            self._loop.call_soon_threadsafe(self._loop.stop)

    def _begin(self, call: Call, function: Callable[[PivotView], Awaitable[Any]]) -> None:
        task = self._loop.create_task(self._await(call, function))
        call.cancel = lambda: self._loop.call_soon_threadsafe(task.cancel)

    async def _await(self, call: Call, function: Callable[[PivotView], Awaitable[Any]]) -> None:
        try:
            output = await function(call.view)
        except BaseException as error:  # noqa: BLE001 (sys.exit in an agent must not end the loop)
            call.settle(None, error)
        else:
            call.settle(output, None)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        while not self._stopping:
            with suppress(BaseException):  # a task that the agent left behind may raise SystemExit through the loop
                self._loop.run_forever()
        pending = asyncio.all_tasks(self._loop)
        for task in pending:
            task.cancel()
        with suppress(BaseException):
            self._loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()
