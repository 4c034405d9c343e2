"""The server's ASGI application: the requests of the Open Reward Standard, as both official clients send them.

It keeps nothing but open sessions. Replies to a call are server-sent events (see `events`); everything else is JSON.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import FcPivotError
from pytest_fcpivot.core.jsontext import one_line, shown
from pytest_fcpivot.core.version import __version__
from pytest_fcpivot.serve import events
from pytest_fcpivot.serve.environments import places_of
from pytest_fcpivot.serve.grading import NotGradedError
from pytest_fcpivot.serve.messages import messages
from pytest_fcpivot.serve.problems import CallProblem, RequestProblem
from pytest_fcpivot.serve.request import JSON, GoneError, Receive, Request, Scope, Send
from pytest_fcpivot.serve.secrets import judge_key
from pytest_fcpivot.serve.sessions import NO_SESSION, Sessions, Submission
from pytest_fcpivot.serve.submission import action_of, reply_of, summary_of
from pytest_fcpivot.serve.tools import Mode, shared_tools, tools_reply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from pytest_fcpivot.core.model import Action
    from pytest_fcpivot.serve.environments import Environment
    from pytest_fcpivot.serve.grading import Graded, Grading
    from pytest_fcpivot.serve.pivots import Pivots, Task
    from pytest_fcpivot.serve.sessions import Session

IDLE_S, MOST_SESSIONS = 900.0, 100_000
_REAP_S = 5.0
_PING_S = 10.0
_LONGEST_SEND_S = 60.0  # for one piece of a list, which a client may leave unread
_EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
_DONE = b'{"status":"ok"}'
_ROOT = frozenset(
    {"health", "version", "ping", "list_environments", "create", "delete", "create_session", "delete_session"}
)
# Replies to requests of which a part may not have been read: it would be taken for the next request.
_UNREAD = frozenset({408, 413})
_ANY_NAME = "env"  # what TRL calls an environment for which its user gave no name
_log = logging.getLogger("pytest_fcpivot.serve")


class App:
    """The application; `token` is what clients must send as a bearer token or as X-API-Key, if there is one."""

    def __init__(
        self,
        environments: Mapping[str, Environment],
        mode: Mode,
        pivots: Pivots,
        grading: Grading,
        *,
        token: str | None = None,
        idle_s: float = IDLE_S,
        most_sessions: int = MOST_SESSIONS,
    ) -> None:
        self.environments = {name.lower(): environment for name, environment in environments.items()}
        self.sessions = Sessions(idle_s=idle_s, most=most_sessions)
        self._names = list(environments)
        self._mode: Mode = mode
        self._pivots = pivots
        self._grading = grading
        self._token = None if token is None else token.encode()
        self._tools = json.dumps(tools_reply(shared_tools(mode))).encode()
        self._root: dict[tuple[str, str], Callable[[Request], Awaitable[None]]] = {
            ("GET", "health"): self._health,
            ("GET", "version"): self._version,
            ("POST", "ping"): self._ping,
            ("GET", "list_environments"): self._list_environments,
            ("POST", "create_session"): self._create_session,
            ("POST", "delete_session"): self._close,
            ("POST", "create"): self._create,
            ("POST", "delete"): self._close,
        }
        self._of_environment: dict[tuple[str, str], Callable[[Request], Awaitable[None]]] = {
            ("GET", "tools"): self._list_tools,
            ("GET", "splits"): self._list_splits,
            ("POST", "tasks"): self._list_tasks,
            ("POST", "num_tasks"): self._num_tasks,
            ("POST", "task"): self._get_task,
            ("POST", "task_range"): self._task_range,
            ("GET", "task_tools"): self._task_tools,
            ("GET", "prompt"): self._prompt,
            ("GET", "messages"): self._messages,
            ("POST", "call"): self._call,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's request, or the events of the server's own life."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        started = False

        async def sending(message: dict[str, Any]) -> None:
            nonlocal started
            started = True
            await send(message)

        request = Request(dict(scope["headers"]), receive, sending)
        try:
            self._refuse_strangers(request)
            # A server leaves out the body of a reply to HEAD.
            method = "GET" if scope["method"] == "HEAD" else scope["method"]
            await self._handler(method, scope["path"], request)(request)
        except RequestProblem as problem:
            await self._refuse(request, problem.status, problem.reason, problem.detail)
        except GoneError:
            return
        except asyncio.CancelledError:  # the server ends, and has waited for as long as it does
            if not started:
                await self._refuse(request, 503, "ending", "the server was ended")
        except Exception as error:  # noqa: BLE001 (one request must not end the server)
            # A traceback may quote what a client sent, such as a key, so that only its place is told.
            where = error.__traceback__
            while where is not None and where.tb_next is not None:
                where = where.tb_next
            place = "" if where is None else f" at {where.tb_frame.f_code.co_filename}:{where.tb_lineno}"
            known = f": {error}" if isinstance(error, FcPivotError) else ""
            path = one_line(scope["path"])
            _log.error("%s %s failed: %s%s%s", scope["method"], path, type(error).__name__, place, known)
            if not started:
                await self._refuse(request, 500, "internal", f"the server failed: {type(error).__name__}")

    # ---------------------------------------------------------------- who asks, and for what

    def _refuse_strangers(self, request: Request) -> None:
        if self._token is None:
            return
        scheme, _, given = request.headers.get(b"authorization", b"").partition(b" ")
        tokens = [given.strip() if scheme.lower() == b"bearer" else b"", request.headers.get(b"x-api-key", b"")]
        if not any(hmac.compare_digest(token, self._token) for token in tokens):
            wanted = "send the server's token as Authorization: Bearer, or as X-API-Key"
            raise RequestProblem(401, "unauthorized", wanted)

    def _handler(self, method: str, path: str, request: Request) -> Callable[[Request], Awaitable[None]]:
        first, _, rest = path.strip("/").partition("/")
        handlers = self._root
        if first not in _ROOT or rest:
            handlers = self._of_environment
            if rest or first.lower() in self.environments:
                found = self.environments.get(first.lower())
                if found is None:
                    raise self._unknown(first)
                request.environment, request.named, first = found, True, rest
            else:
                request.environment = self._default(request)
        handler = handlers.get((method, first))
        if handler is None:
            known = any(name == first for _, name in handlers)
            raise (
                RequestProblem(405, "bad_method", "Method Not Allowed")
                if known
                else RequestProblem(404, "not_found", "Not Found")
            )
        return handler

    def _default(self, request: Request) -> Environment:
        """Return the environment of a request that names none in its path.

        It is the first one, as with other servers of the standard, unless the header X-Deployment names another: there
        a client of the hosted service sends what its user asked it for, and its paths have no name. With one
        environment, any name will do, as with those servers. With several, a wrong one would train on other tasks.
        """
        first = next(iter(self.environments.values()))
        named = request.headers.get(b"x-deployment", b"").decode("latin-1").rpartition("/")[2]
        found = self.environments.get(named.lower())
        if found is None and named not in ("", _ANY_NAME) and len(self.environments) > 1:
            raise self._unknown(named)
        return found or first

    def _unknown(self, name: object) -> RequestProblem:
        known = ", ".join(self._names)
        return RequestProblem(404, "no_environment", f"unknown environment {shown(name)}; there are {known}")

    async def _refuse(self, request: Request, status: int, reason: str, detail: str) -> None:
        body = json.dumps({"detail": detail, "reason": reason}).encode()
        await request.reply(body, [*JSON, (b"connection", b"close")] if status in _UNREAD else JSON, status)

    # ---------------------------------------------------------------- the server, and its environments

    async def _health(self, request: Request) -> None:
        await request.reply(_DONE)

    async def _version(self, request: Request) -> None:
        await request.json({"version": __version__, "build_sha": None})

    async def _list_environments(self, request: Request) -> None:
        await request.json(self._names)

    async def _list_tools(self, request: Request) -> None:
        await request.reply(self._tools)

    async def _list_splits(self, request: Request) -> None:
        splits = _of(request).splits.values()
        await request.json([{"name": split.name, "type": split.kind} for split in splits])

    async def _num_tasks(self, request: Request) -> None:
        split = _of(request).split((await request.object("split"))["split"])
        await request.json({"num_tasks": len(split.rows)})

    async def _get_task(self, request: Request) -> None:
        asked, environment = await request.object("split", "index"), _of(request)
        spec = environment.spec(environment.split(asked["split"]), asked["index"])
        await request.json({"task": spec, "env_name": environment.name})

    async def _list_tasks(self, request: Request) -> None:
        split = _of(request).split((await request.object("split"))["split"])
        await self._stream_tasks(request, _of(request).specs(split, range(len(split.rows))))

    async def _task_range(self, request: Request) -> None:
        asked, environment = await request.object("split"), _of(request)
        split = environment.split(asked["split"])
        places = places_of(split, asked.get("start"), asked.get("stop"))
        await self._stream_tasks(request, environment.specs(split, places))

    async def _stream_tasks(self, request: Request, specs: Iterator[bytes]) -> None:
        def following() -> Awaitable[bytes | None]:
            return asyncio.get_running_loop().run_in_executor(None, next, specs, None)

        part = await following()  # what is wrong with the data is told before the reply begins
        await request.send({"type": "http.response.start", "status": 200, "headers": JSON})
        await request.send({"type": "http.response.body", "body": b'{"tasks":', "more_body": True})
        gone = asyncio.ensure_future(request.receive())  # the body has been read: what comes is the end
        try:
            while part is not None:
                if gone.done():
                    raise GoneError
                async with asyncio.timeout(_LONGEST_SEND_S):
                    await request.send({"type": "http.response.body", "body": part, "more_body": True})
                part = await following()
        except TimeoutError:
            raise GoneError from None
        finally:
            gone.cancel()
            with suppress(ValueError):  # a thread still reads, as the server ends
                specs.close()  # type: ignore[attr-defined]
        name = json.dumps(_of(request).name).encode()
        await request.send({"type": "http.response.body", "body": b',"env_name":' + name + b"}"})

    # ---------------------------------------------------------------- sessions

    async def _create_session(self, request: Request) -> None:
        await request.body()
        sid = uuid.uuid4().hex
        await request.reply(events.event("task_id", sid) + events.event("end", ""), _EVENTS)

    async def _create(self, request: Request) -> None:
        asked, sid = await request.object(), request.sid
        name = asked.get("env_name")
        if name is None:
            environment = self._default(request)
        else:
            found = self.environments.get(name.lower()) if isinstance(name, str) else None
            if found is None:
                raise self._unknown(name)
            environment = found
        row = _row_of(environment, asked)
        key = judge_key(request.headers.get(b"x-secrets"), asked.get("secrets"))
        await self._pivots.task(environment, row)  # what is wrong with it is told now
        self.sessions.open(sid, environment, row, key)
        await request.json({"sid": sid})

    async def _ping(self, request: Request) -> None:
        self.sessions.get(request.sid)
        await request.reply(_DONE)

    async def _close(self, request: Request) -> None:
        sid = request.sid
        self.sessions.close(sid)
        await request.json({"sid": sid})

    async def _task(self, request: Request) -> tuple[Session, Task]:
        sid = request.sid
        session = self.sessions.get(sid)
        if request.named and request.environment is not session.environment:
            # The client ors-sdk opens a session by split and index without saying of which environment.
            named, own = _of(request).name, session.environment.name
            raise RequestProblem(
                400,
                "other_environment",
                f"this session is of the environment {own}, not of {named}: send env_name when you create it, or open "
                f"it with a task that {named} listed",
            )
        task = await self._pivots.task(session.environment, session.row)
        if self.sessions.get(sid) is not session:  # it was closed, and another was opened, while the task was read
            raise RequestProblem(404, NO_SESSION, "the session was closed")
        return session, task

    async def _task_tools(self, request: Request) -> None:
        await request.reply((await self._task(request))[1].tools)

    async def _prompt(self, request: Request) -> None:
        await request.reply((await self._task(request))[1].prompt)

    async def _messages(self, request: Request) -> None:
        _, task = await self._task(request)
        await request.json(messages(self._mode, task.pivot.view()))

    # ---------------------------------------------------------------- the one submission

    async def _call(self, request: Request) -> None:
        asked = await request.object("name", "input")
        session, task = await self._task(request)
        name, given, task_id = asked["name"], asked["input"], asked.get("task_id")
        if not isinstance(name, str) or not isinstance(given, dict):
            raise RequestProblem(422, "bad_body", "name must be a string, and input an object")
        if task_id is None:
            submission = self._submit(session, task, name, given)
        else:
            known = session.submitted(task_id)
            if known is None:
                await request.reply(events.error("unknown task_id"), _EVENTS)
                return
            submission = known
        begun = events.event("task_id", submission.task_id)
        if submission.reply is not None:
            await request.reply(begun + submission.reply, _EVENTS)
            return
        await self._reply_later(request, begun, submission)

    def _submit(self, session: Session, task: Task, name: str, given: dict[str, Any]) -> Submission:
        """Grade the session's submission, or begin to; for a second one, and for a bad call, return one that failed."""
        submission, earlier = Submission(uuid.uuid4().hex), session.submission
        problem = None
        if earlier is not None:
            told = f": {earlier.summary}" if earlier.summary else ""
            problem = CallProblem("episode_finished", f"the session has had its one submission{told}")
        else:
            try:
                action = action_of(self._mode, task, name, given)
            except CallProblem as found:
                problem = found
        if problem is not None:
            submission.reply = events.result({"ok": False, "error": problem.detail, "reason": problem.reason})
            session.failed = submission
            return submission
        session.submission = submission
        try:
            graded = self._grading.at_once(session.environment, task, action, session.key)
        except NotGradedError as error:
            _fail(session, submission, str(error))
            return submission
        if graded is not None:
            _settle(submission, graded)
        else:
            submission.working = asyncio.create_task(self._grade(session, submission, task, action))
        return submission

    async def _grade(self, session: Session, submission: Submission, task: Task, action: Action) -> bytes:
        """Grade a submission that takes its time; returns the events for it."""
        try:
            graded = await self._grading.later(session.environment, task, action, session.key)
        except Exception as error:  # noqa: BLE001 (it must not count as a submission)
            known = isinstance(error, NotGradedError)
            return _fail(session, submission, str(error) if known else f"the server failed: {type(error).__name__}")
        finally:
            submission.working = None
            session.seen = time.monotonic()
        return _settle(submission, graded)

    async def _reply_later(self, request: Request, begun: bytes, submission: Submission) -> None:
        """Send the events of a submission that is being graded, and a sign of life while it is."""
        working = submission.working
        assert working is not None  # noqa: S101 (it has no reply yet)
        await request.send({"type": "http.response.start", "status": 200, "headers": _EVENTS})
        await request.send({"type": "http.response.body", "body": begun, "more_body": True})
        try:
            while not (await asyncio.wait({working}, timeout=_PING_S))[0]:
                await request.send({"type": "http.response.body", "body": events.PING, "more_body": True})
            ended = events.error("the session was closed") if working.cancelled() else working.result()
        except asyncio.CancelledError:  # the server ends, and has waited for as long as it does
            ended = events.error("the server was ended")
        await request.send({"type": "http.response.body", "body": ended})

    # ---------------------------------------------------------------- the server's life

    async def _live(self, receive: Receive, send: Send) -> None:
        reaping: asyncio.Task[None] | None = None
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                reaping = asyncio.create_task(self._reap())
                await send({"type": "lifespan.startup.complete"})
            else:
                if reaping is not None:
                    reaping.cancel()
                self.sessions.close_all()
                await self._grading.aclose()
                self._pivots.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _reap(self) -> None:
        while True:
            await asyncio.sleep(_REAP_S)
            self.sessions.close_idle()


def _of(request: Request) -> Environment:
    assert request.environment is not None  # noqa: S101 (found with the handler)
    return request.environment


def _row_of(environment: Environment, asked: dict[str, Any]) -> int:
    """Return the row of the task that a new session is for; raises RequestProblem unless one is named, in one way."""
    spec, split, index = asked.get("task_spec"), asked.get("split"), asked.get("index")
    if (spec is None) == (split is None and index is None) or (split is None) != (index is None):
        raise RequestProblem(422, "bad_body", "Provide either task_spec or both split and index, not both or neither")
    return environment.row_of(spec) if spec is not None else environment.row(environment.split(split), index)


def _settle(submission: Submission, graded: Graded) -> bytes:
    submission.summary = summary_of(graded.grade)
    submission.reply = events.result(reply_of(graded))
    return submission.reply


def _fail(session: Session, submission: Submission, why: str) -> bytes:
    """Let a call that brought no grade not count, so that the session may call again."""
    session.submission, session.failed = None, submission
    submission.reply = events.error(why)
    return submission.reply
