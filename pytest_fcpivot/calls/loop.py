"""Make the calls of a coroutine function: each is a task in one event loop, which has its own thread."""

from __future__ import annotations

import inspect
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.calls.call import DroppedError
from pytest_fcpivot.calls.output import current_output
from pytest_fcpivot.core.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_fcpivot.calls.attempts import Attempts
    from pytest_fcpivot.calls.call import Call
    from pytest_fcpivot.calls.limit import CallLimit

# How long a call that is being cancelled may take to clean up.
_CANCEL_GRACE_S = 1.0


def _closer(function: Any) -> Callable[[], Any] | None:
    """Return the `aclose` of a callable object, or of the object that a method belongs to."""
    for owner in (function, getattr(function, "__self__", None), getattr(function, "func", None)):
        aclose = getattr(owner, "aclose", None)
        if callable(aclose):
            closer: Callable[[], Any] = aclose
            return closer
    return None


class _DaemonThreads(ThreadPoolExecutor):
    """Runs the work that functions pass to `asyncio.to_thread`; a thread that hangs does not keep the process alive."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = function(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 (whoever awaits the future gets it)
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=run, name="fc-agent-work", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Do nothing: daemon threads end with the process."""


class Loop:
    """An event loop in a thread of its own, and the calls in it."""

    def __init__(self, attempts: Attempts, limit: CallLimit) -> None:
        import asyncio  # noqa: PLC0415 (slow to import, and plain functions do not need it)

        self._asyncio = asyncio
        self._attempts = attempts
        self._waiting: deque[tuple[Call, Any]] = deque()
        self._unfinished: dict[Call, Any] = {}
        self._stopped = False
        self._left_behind = False
        self._limit = limit
        self._woken = False
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(_DaemonThreads())
        self._thread = threading.Thread(target=self._run, name="fc-agent-loop", daemon=True)
        self._thread.start()

    def put(self, call: Call, awaitable: Any = None) -> None:
        """Queue a call; `awaitable` is what the function returned, if a thread has already called it."""
        self._waiting.append((call, awaitable))
        if not self._woken:  # one wake-up starts all calls queued since
            self._woken = True
            with suppress(RuntimeError):  # closed
                self._loop.call_soon_threadsafe(self._begin_calls)

    def _begin_calls(self) -> None:
        self._woken = False
        while self._waiting and len(self._unfinished) < self._limit.most and not self._stopped:
            call, awaitable = self._waiting.popleft()
            if not call.settled and not self._attempts.refuses(call):
                self._unfinished[call] = self._loop.create_task(self._make(call, awaitable))

    def drop_waiting(self) -> None:
        """Have the loop's thread end the calls that have not begun, with DroppedError; may be called by any thread."""
        with suppress(RuntimeError):  # closed
            self._loop.call_soon_threadsafe(self._drop_waiting)

    def _drop_waiting(self) -> None:
        begun = deque((call, awaitable) for call, awaitable in self._waiting if awaitable is not None)
        waiting, self._waiting = self._waiting, begun
        for call, awaitable in waiting:
            if awaitable is None and not call.settled:
                call.settle(None, DroppedError())

    async def _make(self, call: Call, awaitable: Any) -> None:
        if self._is_stopped():
            return
        attempts = self._attempts
        current_output.set(call.printed)  # seen by this task alone
        first = [] if awaitable is None else [awaitable]
        output: Any = None
        error: BaseException | None = None
        try:
            if attempts.policy.retries:
                from tenacity import AsyncRetrying  # noqa: PLC0415 (only for functions that are called again)

                retrying = AsyncRetrying(sleep=self._asyncio.sleep, **attempts.retrying(call))
                output = await retrying(self._attempt, call, first)
            else:
                output = await self._attempt(call, first)
        except self._asyncio.CancelledError:
            error = AgentError(f"the {attempts.who}'s call was cancelled")
        except BaseException as raised:  # noqa: BLE001 (sys.exit in a function must not end the run)
            error = raised
        if self._is_stopped():
            if error is None and not self._left_behind:
                attempts.log.ended(call, output, None)  # no test waits for it, but a paid answer is kept
            return
        attempts.settle(call, output, error)
        self._end(call)

    def _is_stopped(self) -> bool:
        return self._stopped

    def _end(self, call: Call) -> None:
        self._unfinished.pop(call, None)
        self._begin_calls()

    async def _attempt(self, call: Call, first: list[Any]) -> Any:
        """Make one attempt; `first` may hold the awaitable of an attempt that a thread began, to be continued here."""
        attempts = self._attempts
        question, timeout = call.question, attempts.timeout
        assert question is not None  # noqa: S101 (a call that has not ended has its question)
        began = await self._limit.enter_loop()
        if first:
            call.attempt_began = began
        else:
            attempts.begin(call, began)
        last_resort = None
        if timeout is not None:
            last_resort = self._loop.call_later(timeout + _CANCEL_GRACE_S, self._give_up, call, began)
        error: BaseException | None = None
        try:
            async with self._asyncio.timeout(timeout) as limit:
                output = first.pop() if first else attempts.function(question)
                if inspect.isawaitable(output):
                    output = await output
                return output
        except TimeoutError as raised:
            error = raised
            if limit.expired() and timeout is not None:
                error = attempts.late()
                raise error from None
            raise
        except BaseException as raised:
            error = raised
            raise
        finally:
            if last_resort is not None:
                last_resort.cancel()
            if not call.settled and not self._stopped:
                attempts.end(call, began, error, self._limit)

    def _give_up(self, call: Call, began: float) -> None:
        """End a call that resists cancellation; its task is abandoned."""
        if self._stopped:
            return
        error = self._attempts.late()
        self._attempts.end(call, began, error, self._limit)
        self._attempts.settle(call, None, error)
        self._end(call)

    def is_blocked(self) -> bool:
        """Return whether a call is so late that the loop, which should have cancelled it, must be blocked."""
        timeout = self._attempts.timeout
        if timeout is None or self._stopped:
            return False
        oldest = min((c.attempt_began for c in list(self._unfinished) if c.attempt_began is not None), default=None)
        return oldest is not None and time.monotonic() - oldest > timeout + 2 * _CANCEL_GRACE_S

    def blocking_call(self) -> Call | None:
        """Return the call whose task the loop is executing; None if it executes another task, or none.

        Another task is, for example, one that such a call has created.
        """
        present = self._asyncio.current_task(self._loop)
        return next((call for call, task in list(self._unfinished.items()) if task is present), None)

    def leave_behind(self) -> list[Call]:
        """Abandon a loop that is blocked; returns its calls in order, those that have begun first."""
        self._stopped = self._left_behind = True
        calls = [*self._unfinished, *(call for call, _ in self._waiting)]
        self._waiting.clear()
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._loop.stop)
        return calls

    def close(self) -> None:
        """Cancel the calls, let the function close its client, and end the loop.

        A loop that a call blocks is abandoned in its daemon thread.
        """
        self._stopped = True
        self._waiting.clear()
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(2 * _CANCEL_GRACE_S)

    def _run(self) -> None:
        self._asyncio.set_event_loop(self._loop)
        while not self._stopped:
            # SystemExit in a task of the function's own stops `run_forever`, and must not end the run
            with suppress(BaseException):
                self._loop.run_forever()
        cleaning = self._loop.create_task(self._clean_up())
        while not cleaning.done():
            # tasks that the function left behind may raise anything, and a loop may have been told twice to stop
            with suppress(BaseException):
                self._loop.run_until_complete(cleaning)
        # asyncio would print a complaint about each task that resisted cancellation.
        self._loop.set_exception_handler(lambda _loop, _context: None)
        self._loop.close()

    async def _clean_up(self) -> None:
        """Cancel the tasks, and close the function's client in the loop in which it was made.

        The calls come first, since each of them cancels what it has begun in its own way: anyio, for one, waits until a
        task that it has just made is running. Whatever is left then belongs to no call.
        """
        await self._cancel(self._unfinished.values)
        await self._cancel(self._asyncio.all_tasks)
        aclose = _closer(self._attempts.function)
        if aclose is not None and not self._left_behind:  # the replacement loop will close it
            closing = aclose()
            if inspect.isawaitable(closing):
                with suppress(Exception):
                    await self._asyncio.wait_for(closing, _CANCEL_GRACE_S)
        await self._loop.shutdown_asyncgens()

    async def _cancel(self, tasks_of: Callable[[], Iterable[Any]]) -> None:
        # Cancelled before its first step, a task could not even close the coroutine that it was given.
        await self._asyncio.sleep(0)
        tasks = [task for task in tasks_of() if not task.done() and task is not self._asyncio.current_task()]
        for task in tasks:
            task.cancel()
        if tasks:
            await self._asyncio.wait(tasks, timeout=_CANCEL_GRACE_S / 2)
