"""Asking the agent: the only code with concurrency in it.

pytest runs one test at a time, so calls are started ahead of their tests: some are under way at once, and their answers
wait until pytest comes to them. Asynchronous agents run in one event loop, in a thread of its own; synchronous ones in
as many threads as calls may be under way.
"""

from __future__ import annotations

import inspect
import sys
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.calls.faults import CONNECTION, TIMEOUT, CallLimit, Fault, RetryPolicy, fault_of
from pytest_fcpivot.calls.output import CallOutput, current_output
from pytest_fcpivot.core.errors import AgentError, TransientAgentError

if TYPE_CHECKING:
    from collections.abc import Callable


# Threads for synchronous agents begin with one, which is enough for an agent that answers at once; the others cost such
# an agent more than they bring. They are made when an answer has been waited for this long.
_GROW_AFTER_S = 0.002
# A thread that hangs cannot be ended. Each costs memory, so after this many the run has to stop.
MAX_HUNG_CALLS = 64
# How long a call that is being cancelled may take to clean up.
_CANCEL_GRACE_S = 1.0
_LOOK_AGAIN_S = 1.0


class AgentTimeoutError(TransientAgentError):
    """The agent, or whoever else is asked, gave no answer in time."""

    def __init__(self, seconds: float, who: str = "agent") -> None:
        super().__init__(f"the {who} gave no answer within {seconds:g} s (--fc-timeout)", TIMEOUT)


class DroppedError(AgentError):
    """A call was not made, for the session ends."""

    def __init__(self) -> None:
        super().__init__("the session ends, and the call was not made")


class TooManyHungCallsError(AgentError):
    """So many calls never came back that going on would exhaust the machine."""


class Call:
    """One question to the agent: waiting, under way or answered.

    `latency_s` is the agent's own time in the last attempt, `attempts` their number, and `retried` names why each but
    the last was not enough. `key` is the caller's own name for the question; `then` is called with the output, by the
    thread that it came in, before anybody can read it.
    """

    __slots__ = (
        "_ended",
        "_settled",
        "attempt_began",
        "attempts",
        "error",
        "key",
        "latency_s",
        "output",
        "printed",
        "retried",
        "then",
        "view",
    )

    def __init__(self, view: Any, key: str = "", then: Callable[[Any], None] | None = None) -> None:
        self.key = key
        self.view: Any = view
        self.then = then
        self.output: Any = None
        self.error: BaseException | None = None
        self.printed = CallOutput()
        self.attempt_began: float | None = None
        self.latency_s = 0.0
        self.attempts = 0
        self.retried: list[str] = []
        self._settled = False
        self._ended = threading.Lock()
        self._ended.acquire()

    def settle(self, output: Any, error: BaseException | None) -> None:
        """Record how the call ended, once."""
        self.output, self.error = output, error
        self.view = self.then = None  # a conversation may be large, and many answers wait
        self._settled = True
        self._ended.release()

    @property
    def settled(self) -> bool:
        """Whether the call has ended."""
        return self._settled

    def wait(self, timeout: float | None) -> bool:
        """Wait for the end; False if it did not come in time."""
        if not self._ended.acquire(timeout=-1 if timeout is None else max(timeout, 0.0)):
            return False
        self._ended.release()
        return True


class CallLog:
    """What is told of calls as they begin and end, from the thread that they run in; nothing, by default."""

    def began(self, call: Call) -> None:
        """Note that an attempt begins."""

    def ended(self, call: Call, output: Any, error: BaseException | None) -> None:
        """Note that a call has ended, with an answer or an error; the call itself does not show it yet."""


class Server:
    """What is known in this process of one server, by everybody who asks it."""

    def __init__(self) -> None:
        self.answered = False


class Servers:
    """The servers that a process asks, by the names that agents and judges give theirs."""

    def __init__(self) -> None:
        self._known: dict[str, Server] = {}

    def of(self, asked: Any) -> Server:
        """Return the server that an agent or a judge asks: one of its own unless it says which, as `server`."""
        name = getattr(asked, "server", None)
        return self._known.setdefault(name, Server()) if isinstance(name, str) else Server()


class AgentCaller:
    """Asks one agent, or one judge, up to `concurrency` calls at once, begun in the order of `start`.

    `timeout` is the time limit of one attempt in seconds, or None; `policy` tells what is tried again; `who` is asked,
    in the words of error messages. What is known of the `server` that is asked is shared with its other callers.
    """

    def __init__(
        self,
        agent: Callable[[Any], Any],
        timeout: float | None = None,
        *,
        concurrency: int = 1,
        policy: RetryPolicy | None = None,
        log: CallLog | None = None,
        who: str = "agent",
        server: Server | None = None,
    ) -> None:
        self.agent = agent
        self.who = who
        self.timeout = timeout
        self.concurrency = concurrency
        self.policy = policy or RetryPolicy()
        self.log = log or CallLog()
        self.limit = CallLimit(concurrency)
        self.has_answered = False
        self.server = server or Server()
        self._fatal: BaseException | None = None
        self.hung = 0
        self._lock = threading.Lock()
        self._threads: _Threads | None = None
        self._loop: _Loop | None = None

    def start(self, view: Any, key: str = "", then: Callable[[Any], None] | None = None) -> Call:
        """Begin to ask, or queue behind the calls before; the answer is read by `finish`."""
        if self.hung >= MAX_HUNG_CALLS:
            raise TooManyHungCallsError(
                f"{self.hung} calls of the {self.who} never came back; the run stops here. "
                f"Give the {self.who}'s own client a time limit."
            )
        with self._lock:  # a plain function may turn out to be asynchronous at any moment
            if self._loop is None and self._threads is None:
                if _is_async(self.agent):
                    self._loop = _Loop(self)
                else:
                    self._threads = _Threads(self)
            call = Call(view, key, then)
            driver = self._loop or self._threads
            assert driver is not None  # noqa: S101 (one was made above)
            driver.put(call)
        return call

    def finish(self, call: Call) -> Any:
        """Return the agent's output; re-raises what it raised, or raises AgentTimeoutError."""
        self.wait_for(call)
        if call.error is not None:
            raise call.error
        return call.output

    def wait_for(self, call: Call, patience: float = float("inf")) -> bool:
        """Wait until a call has ended, and see to it that it does; False if it did not within so many seconds."""
        if call.settled or call.wait(_GROW_AFTER_S):
            return True
        if self._threads is not None:
            self._threads.grow()
        end = time.monotonic() + patience
        while not call.wait(min(self._look_again_in(call), end - time.monotonic())):
            if self._threads is not None:
                self._threads.abandon_late()
            elif self._loop is not None and self._loop.is_blocked():
                self._replace_loop(call)
            if time.monotonic() >= end:
                return call.settled
        return True

    def _look_again_in(self, call: Call) -> float:
        """Return when something may have to be done about a call that does not end, in seconds."""
        if self.timeout is None or call.attempt_began is None:
            return _LOOK_AGAIN_S
        left = self.timeout - (time.monotonic() - call.attempt_began)
        # the event loop keeps the time itself, unless it is blocked
        return left if self._threads is not None and left > 0 else max(left, 0.0) + _LOOK_AGAIN_S / 10

    def _replace_loop(self, head: Call) -> None:
        """Go on in a new loop: one call blocks this one, and is late; the others are asked again."""
        old = self._loop
        assert old is not None  # noqa: S101 (only a loop that is there can be blocked)
        assert self.timeout is not None  # noqa: S101 (only a limit can be exceeded)
        calls = old.leave_behind()
        guilty = old.blocking_call() or head
        self.hung += 1
        self.limit = CallLimit(self.concurrency)
        self._loop = _Loop(self)
        for call in calls:
            if call is guilty:
                call.latency_s = time.monotonic() - (call.attempt_began or time.monotonic())
                self.settle(call, None, AgentTimeoutError(self.timeout, self.who))
            elif not call.settled:
                call.attempt_began = None
                self._loop.put(call)

    def drop_waiting(self) -> None:
        """End the calls that have not begun, with DroppedError; may be called by any thread."""
        with self._lock:
            threads, loop = self._threads, self._loop
        for call in threads.take_waiting() if threads is not None else ():
            call.settle(None, DroppedError())
        if loop is not None:
            loop.drop_waiting()

    def close(self) -> None:
        """Drop what waits, cancel what can be cancelled, let the agent close its client, and end the threads.

        A call that hangs is left behind, and does not keep the process alive.
        """
        if self._threads is not None:
            self._threads.close()
        if self._loop is not None:
            self._loop.close()
        self._threads = self._loop = None

    # ------------------------------------------------------------ for the drivers

    def to_loop(self, call: Call, awaitable: Any) -> None:
        """Go on in an event loop: a plain function turned out to return what must be awaited."""
        with self._lock:
            threads, self._threads = self._threads, None
            if self._loop is None:
                self._loop = _Loop(self)
            self._loop.put(call, awaitable)
            if threads is not None:
                for waiting in threads.take_waiting():
                    self._loop.put(waiting)
                threads.close()

    def is_fatal(self, fault: Fault) -> bool:
        """Tell whether no call can succeed."""
        # That a server is there, whoever it answered shows; that the key and the model are right, only an own answer.
        started = self.server.answered if fault.cause == CONNECTION else self.has_answered
        return fault.fatal or (fault.fatal_at_start and not started)

    def refuses(self, call: Call) -> bool:
        """End a call that has not begun, if it is known that none can succeed."""
        if self._fatal is not None:
            call.settle(None, self._fatal)
        return self._fatal is not None

    def settle(self, call: Call, output: Any, error: BaseException | None) -> None:
        """Record the end of a call, once, tell the log of it, and remember whether any was answered."""
        if error is None:
            self.has_answered = self.server.answered = True
        elif (fault := fault_of(error)) is not None and self.is_fatal(fault):
            self._fatal = error
        self.log.ended(call, output, error)
        if call.then is not None and error is None:
            with suppress(Exception):  # whoever reads the call does the same again, and meets the error there
                call.then(output)
        call.settle(output, error)

    def retrying(self, call: Call) -> dict[str, Any]:
        """Return the settings by which a call is tried again."""

        def count(fault: Fault) -> None:
            call.retried.append(fault.cause)

        return self.policy.settings(count, started=lambda: self.server.answered)

    def begin_attempt(self, call: Call, began: float) -> None:
        """Mark an attempt as begun."""
        call.attempts += 1
        call.attempt_began = began
        self.log.began(call)

    def end_attempt(self, call: Call, began: float, error: BaseException | None, limit: CallLimit) -> None:
        """Mark an attempt as ended, and let the number of calls at once adapt."""
        call.latency_s = time.monotonic() - began
        call.attempt_began = None
        fault = None if error is None else fault_of(error)
        limit.leave(began, good=error is None, too_much=fault is not None and fault.too_much)


def _is_async(agent: Any) -> bool:
    return inspect.iscoroutinefunction(agent) or inspect.iscoroutinefunction(type(agent).__call__)


def _closer(agent: Any) -> Callable[[], Any] | None:
    """Return the `aclose` of an agent, or of the object that it is a method of."""
    for owner in (agent, getattr(agent, "__self__", None), getattr(agent, "func", None)):
        aclose = getattr(owner, "aclose", None)
        if callable(aclose):
            closer: Callable[[], Any] = aclose
            return closer
    return None


class _DaemonThreads(ThreadPoolExecutor):
    """Runs what agents give to `asyncio.to_thread`; a thread that hangs does not keep the process alive."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = function(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 (it is the future's)
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=run, name="fc-agent-work", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the threads to themselves."""


class _Threads:
    """Threads that take calls from one queue; a thread that hangs is left behind and replaced."""

    def __init__(self, caller: AgentCaller) -> None:
        self._caller = caller
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._alive = 0
        self._under_way: set[Call] = set()
        self._abandoned: set[Call] = set()

    def put(self, call: Call) -> None:
        self._calls.put(call)
        if not self._alive:
            self._add_thread()

    def grow(self) -> None:
        """Have as many threads as there are calls, up to the number that may be under way."""
        for _ in range(min(self._caller.concurrency - self._alive, self._calls.qsize())):
            self._add_thread()

    def _add_thread(self) -> None:
        with self._lock:
            self._alive += 1
        threading.Thread(target=self._run, name="fc-agent", daemon=True).start()

    def abandon_late(self) -> None:
        """Give up the calls whose time is over, and the threads that hang in them."""
        timeout, caller = self._caller.timeout, self._caller
        if timeout is None:
            return
        with self._lock:
            now = time.monotonic()
            late = [(call, call.attempt_began) for call in self._under_way if call.attempt_began is not None]
            late = [(call, began) for call, began in late if now - began >= timeout]
            for call, _ in late:
                self._under_way.discard(call)
                self._abandoned.add(call)
                self._alive -= 1
        for call, began in late:
            error = AgentTimeoutError(timeout, caller.who)
            caller.hung += 1
            caller.end_attempt(call, began, error, caller.limit)
            caller.settle(call, None, error)
            if not self._stopped.is_set():
                self._add_thread()

    def take_waiting(self) -> list[Call]:
        waiting = []
        with suppress(Empty):
            while True:
                call = self._calls.get_nowait()
                if call is not None:
                    waiting.append(call)
        return waiting

    def close(self) -> None:
        self._stopped.set()
        for _ in range(self._caller.concurrency + self._caller.hung + 1):
            self._calls.put(None)

    def _run(self) -> None:
        while not self._stopped.is_set() and (call := self._calls.get()) is not None:
            if not self._caller.refuses(call) and not self._ask(call):
                return  # it was given up, and another thread has taken this one's place
            del call  # an idle thread keeps no conversation alive

    def _ask(self, call: Call) -> bool:
        """Ask, and ask again as the policy says; False if the call was given up meanwhile."""
        caller = self._caller
        output: Any = None
        error: BaseException | None = None
        token = current_output.set(call.printed)
        try:
            if caller.policy.retries:
                from tenacity import Retrying  # noqa: PLC0415 (only for agents that are asked again)

                output = Retrying(sleep=self._sleep, **caller.retrying(call))(self._attempt, call)
            else:
                output = self._attempt(call)
        except _GivenUpError:
            return False
        except BaseException as raised:  # noqa: BLE001 (sys.exit in an agent must not end the run)
            error = raised
        finally:
            current_output.reset(token)
        if error is None and inspect.isawaitable(output):
            caller.to_loop(call, output)
        else:
            caller.settle(call, output, error)
        return True

    def _sleep(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise AgentError("the run stopped while the call waited to be made again")

    def _attempt(self, call: Call) -> Any:
        caller = self._caller
        view = call.view
        assert view is not None  # noqa: S101 (a call that has not ended has its question)
        began = caller.limit.enter()
        caller.begin_attempt(call, began)
        self._under_way.add(call)
        output: Any = None
        error: BaseException | None = None
        try:
            output = caller.agent(view)
        except BaseException as raised:  # noqa: BLE001 (it is raised below)
            error = raised
        with self._lock:
            if call in self._abandoned:
                self._abandoned.discard(call)
                raise _GivenUpError from None
            self._under_way.discard(call)  # it cannot be given up any more
        caller.end_attempt(call, began, error, caller.limit)
        if error is not None:
            raise error
        if caller.timeout is not None and call.latency_s > caller.timeout:
            # an answer that came late while nobody waited is as late as one that was waited for
            raise AgentTimeoutError(caller.timeout, caller.who)
        return output


class _GivenUpError(Exception):
    """The call has been settled by somebody else."""


class _Loop:
    """An event loop in a thread of its own, and the calls in it."""

    def __init__(self, caller: AgentCaller) -> None:
        import asyncio  # noqa: PLC0415 (many agents do not await, and it takes as long to import as pyarrow)

        self._asyncio = asyncio
        self._caller = caller
        self._waiting: deque[tuple[Call, Any]] = deque()
        self.unfinished: dict[Call, Any] = {}
        self._stopped = False
        self._left_behind = False
        self._limit = caller.limit
        self._woken = False
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(_DaemonThreads())
        self._thread = threading.Thread(target=self._run, name="fc-agent-loop", daemon=True)
        self._thread.start()

    def put(self, call: Call, awaitable: Any = None) -> None:
        self._waiting.append((call, awaitable))
        if not self._woken:  # one wake-up serves all that came since
            self._woken = True
            with suppress(RuntimeError):  # closed
                self._loop.call_soon_threadsafe(self._begin_calls)

    def _begin_calls(self) -> None:
        self._woken = False
        while self._waiting and len(self.unfinished) < self._caller.concurrency and not self._stopped:
            call, awaitable = self._waiting.popleft()
            if not call.settled and not self._caller.refuses(call):
                self.unfinished[call] = self._loop.create_task(self._ask(call, awaitable))

    def drop_waiting(self) -> None:
        with suppress(RuntimeError):  # closed
            self._loop.call_soon_threadsafe(self._drop_waiting)

    def _drop_waiting(self) -> None:
        begun = deque((call, awaitable) for call, awaitable in self._waiting if awaitable is not None)
        waiting, self._waiting = self._waiting, begun
        for call, awaitable in waiting:
            if awaitable is None and not call.settled:
                call.settle(None, DroppedError())

    async def _ask(self, call: Call, awaitable: Any) -> None:
        if self._is_stopped():
            return
        caller = self._caller
        current_output.set(call.printed)  # seen by this task alone
        first = [] if awaitable is None else [awaitable]
        output: Any = None
        error: BaseException | None = None
        try:
            if caller.policy.retries:
                from tenacity import AsyncRetrying  # noqa: PLC0415 (only for agents that are asked again)

                retrying = AsyncRetrying(sleep=self._asyncio.sleep, **caller.retrying(call))
                output = await retrying(self._attempt, call, first)
            else:
                output = await self._attempt(call, first)
        except self._asyncio.CancelledError:
            error = AgentError("the agent's call was cancelled")
        except BaseException as raised:  # noqa: BLE001 (sys.exit in an agent must not end the run)
            error = raised
        if self._is_stopped():
            if error is None and not self._left_behind:
                caller.log.ended(call, output, None)  # nobody waits for it any more, but it is an answer
            return
        caller.settle(call, output, error)
        self._end(call)

    def _is_stopped(self) -> bool:
        return self._stopped

    def _end(self, call: Call) -> None:
        self.unfinished.pop(call, None)
        self._begin_calls()

    async def _attempt(self, call: Call, first: list[Any]) -> Any:
        """Make one attempt; `first` holds what a thread got to await, if this goes on with its attempt."""
        caller = self._caller
        view, timeout = call.view, caller.timeout
        assert view is not None  # noqa: S101 (a call that has not ended has its question)
        began = await self._limit.enter_loop()
        if first:
            call.attempt_began = began
        else:
            caller.begin_attempt(call, began)
        last_resort = None
        if timeout is not None:
            last_resort = self._loop.call_later(timeout + _CANCEL_GRACE_S, self._give_up, call, began)
        error: BaseException | None = None
        try:
            async with self._asyncio.timeout(timeout) as limit:
                output = first.pop() if first else caller.agent(view)
                if inspect.isawaitable(output):
                    output = await output
                return output
        except TimeoutError as raised:
            error = raised
            if limit.expired() and timeout is not None:
                error = AgentTimeoutError(timeout, caller.who)
                raise error from None
            raise
        except BaseException as raised:
            error = raised
            raise
        finally:
            if last_resort is not None:
                last_resort.cancel()
            if not call.settled and not self._stopped:
                caller.end_attempt(call, began, error, self._limit)

    def _give_up(self, call: Call, began: float) -> None:
        """End a call that does not let itself be cancelled; its task is left to itself."""
        if call.settled or self._caller.timeout is None:
            return
        error = AgentTimeoutError(self._caller.timeout, self._caller.who)
        self._caller.end_attempt(call, began, error, self._limit)
        self._caller.settle(call, None, error)
        self._end(call)

    def is_blocked(self) -> bool:
        """Tell whether a call holds the loop up for longer than any may take."""
        timeout = self._caller.timeout
        if timeout is None or self._stopped:
            return False
        oldest = min((c.attempt_began for c in list(self.unfinished) if c.attempt_began is not None), default=None)
        return oldest is not None and time.monotonic() - oldest > timeout + 2 * _CANCEL_GRACE_S

    def blocking_call(self) -> Call | None:
        """Find the call whose code the loop's thread is in."""
        frame = sys._current_frames().get(self._thread.ident or 0)  # noqa: SLF001 (the documented way to look at a thread)
        found: Call | None = None
        while frame is not None:
            if frame.f_code is _Loop._attempt.__code__:
                found = frame.f_locals.get("call")
            frame = frame.f_back
        return found

    def leave_behind(self) -> list[Call]:
        """Stop using a loop that is blocked; returns its calls, begun and waiting, in order."""
        self._stopped = self._left_behind = True
        calls = [*self.unfinished, *(call for call, _ in self._waiting)]
        self._waiting.clear()
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._loop.stop)
        return calls

    def close(self) -> None:
        self._stopped = True
        self._waiting.clear()
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(2 * _CANCEL_GRACE_S)

    def _run(self) -> None:
        self._asyncio.set_event_loop(self._loop)
        while not self._stopped:
            # an agent's own task that exits ends the loop's turn, not the run
            with suppress(BaseException):
                self._loop.run_forever()
        with suppress(BaseException):  # what the agent left behind may raise anything
            self._loop.run_until_complete(self._clean_up())
        self._loop.close()

    async def _clean_up(self) -> None:
        """Cancel what is under way, and let the agent close its client in the loop that it was made in."""
        tasks = self._asyncio.all_tasks() - {self._asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await self._asyncio.wait(tasks, timeout=_CANCEL_GRACE_S)
        aclose = _closer(self._caller.agent)
        if aclose is not None and not self._left_behind:  # the loop that took this one's place will close it
            closing = aclose()
            if inspect.isawaitable(closing):
                with suppress(Exception):
                    await self._asyncio.wait_for(closing, _CANCEL_GRACE_S)
        await self._loop.shutdown_asyncgens()
