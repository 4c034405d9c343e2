"""The server's ASGI application: the requests of the Open Reward Standard, as both official clients send them.

It keeps nothing but open sessions. Replies to a call are server-sent events (see `events`); everything else is JSON.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import FcPivotError
from pytest_fcpivot.core.version import __version__
from pytest_fcpivot.serve import events
from pytest_fcpivot.serve.environments import places_of
from pytest_fcpivot.serve.grading import NotGradedError
from pytest_fcpivot.serve.problems import CallProblem, RequestProblem
from pytest_fcpivot.serve.secrets import judge_key
from pytest_fcpivot.serve.sessions import Sessions, Submission
from pytest_fcpivot.serve.submission import action_of, reply_of, summary_of
from pytest_fcpivot.serve.tools import Mode, shared_tools, tools_reply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from pytest_fcpivot.core.model import Action, Grade
    from pytest_fcpivot.serve.environments import Environment
    from pytest_fcpivot.serve.grading import Grading
    from pytest_fcpivot.serve.pivots import Pivots, Task
    from pytest_fcpivot.serve.sessions import Session

MOST_BYTES = 4 << 20  # of a request's body
IDLE_S, MOST_SESSIONS = 900.0, 100_000
_REAP_S = 5.0
_PING_S = 10.0
_LONGEST_ID = 200
_JSON = [(b"content-type", b"application/json")]
_EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
_DONE = b'{"status":"ok"}'
_ROOT = frozenset(
    {"health", "version", "ping", "list_environments", "create", "delete", "create_session", "delete_session"}
)
_log = logging.getLogger("pytest_fcpivot.serve")

Scope = dict[str, Any]
Receive = Any
Send = Any


class _GoneError(Exception):
    """The client has closed the connection, so that nobody waits for a reply."""


@dataclass(slots=True)
class _Request:
    """One request: what was sent, and how to reply."""

    headers: Mapping[bytes, bytes]
    receive: Receive
    send: Send
    environment: Environment | None = None

    @property
    def sid(self) -> str:
        """The session's id; raises RequestProblem for a request that has none, or one that no client makes."""
        raw = self.headers.get(b"x-session-id", b"").strip()
        if not raw:
            raise RequestProblem(400, "no_session_id", "X-Session-ID header is required")
        if len(raw) > _LONGEST_ID or not (raw.isascii() and raw.decode("ascii").isprintable()):
            raise RequestProblem(
                400, "bad_session_id", f"X-Session-ID must have at most {_LONGEST_ID} printable ASCII characters"
            )
        return raw.decode("ascii")

    async def body(self) -> bytes:
        """Return the body; raises RequestProblem if it is too large."""
        length = self.headers.get(b"content-length", b"0")
        if not length.isdigit() or len(length) > 20 or int(length) > MOST_BYTES:  # noqa: PLR2004
            raise _too_large()
        parts, size = [], 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise _GoneError
            part = message.get("body", b"")
            size += len(part)
            if size > MOST_BYTES:
                raise _too_large()
            parts.append(part)
            if not message.get("more_body"):
                return b"".join(parts)

    async def object(self, *names: str) -> dict[str, Any]:
        """Return the body as an object that has the names; raises RequestProblem if it is none."""
        text = await self.body()
        try:
            value = json.loads(text) if text.strip() else {}
        except (ValueError, RecursionError):
            raise RequestProblem(422, "bad_body", "the body must be a JSON object") from None
        if not isinstance(value, dict):
            raise RequestProblem(422, "bad_body", "the body must be a JSON object")
        for name in names:
            if name not in value:
                raise RequestProblem(422, "bad_body", f"the body needs {name!r}")
        return value

    async def reply(self, body: bytes, headers: list[tuple[bytes, bytes]] = _JSON, status: int = 200) -> None:
        """Send a whole reply."""
        length = (b"content-length", b"%d" % len(body))
        await self.send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
        await self.send({"type": "http.response.body", "body": body})

    async def json(self, value: Any) -> None:
        """Reply with a value as JSON."""
        await self.reply(json.dumps(value).encode())


def _too_large() -> RequestProblem:
    return RequestProblem(413, "too_large", f"the body may have at most {MOST_BYTES >> 20} MiB")


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
        self._root: dict[tuple[str, str], Callable[[_Request], Awaitable[None]]] = {
            ("GET", "health"): self._health,
            ("GET", "version"): self._version,
            ("POST", "ping"): self._ping,
            ("GET", "list_environments"): self._list_environments,
            ("POST", "create_session"): self._create_session,
            ("POST", "delete_session"): self._close,
            ("POST", "create"): self._create,
            ("POST", "delete"): self._close,
        }
        self._of_environment: dict[tuple[str, str], Callable[[_Request], Awaitable[None]]] = {
            ("GET", "tools"): self._list_tools,
            ("GET", "splits"): self._list_splits,
            ("POST", "tasks"): self._list_tasks,
            ("POST", "num_tasks"): self._num_tasks,
            ("POST", "task"): self._get_task,
            ("POST", "task_range"): self._task_range,
            ("GET", "task_tools"): self._task_tools,
            ("GET", "prompt"): self._prompt,
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

        request = _Request(dict(scope["headers"]), receive, sending)
        try:
            self._refuse_strangers(request)
            await self._handler(scope["method"], scope["path"], request)(request)
        except RequestProblem as problem:
            await self._refuse(request, problem.status, problem.reason, problem.detail)
        except _GoneError:
            return
        except Exception as error:  # noqa: BLE001 (one request must not end the server)
            # A traceback may quote what a client sent, such as a key, so that only its place is told.
            where = error.__traceback__
            while where is not None and where.tb_next is not None:
                where = where.tb_next
            place = "" if where is None else f" at {where.tb_frame.f_code.co_filename}:{where.tb_lineno}"
            known = f": {error}" if isinstance(error, FcPivotError) else ""
            _log.error("%s %s failed: %s%s%s", scope["method"], scope["path"], type(error).__name__, place, known)
            if not started:
                await self._refuse(request, 500, "internal", f"the server failed: {type(error).__name__}")

    # ---------------------------------------------------------------- who asks, and for what

    def _refuse_strangers(self, request: _Request) -> None:
        if self._token is None:
            return
        scheme, _, given = request.headers.get(b"authorization", b"").partition(b" ")
        tokens = [given.strip() if scheme.lower() == b"bearer" else b"", request.headers.get(b"x-api-key", b"")]
        if not any(hmac.compare_digest(token, self._token) for token in tokens):
            wanted = "send the server's token as Authorization: Bearer, or as X-API-Key"
            raise RequestProblem(401, "unauthorized", wanted)

    def _handler(self, method: str, path: str, request: _Request) -> Callable[[_Request], Awaitable[None]]:
        first, _, rest = path.strip("/").partition("/")
        handlers = self._root
        if first not in _ROOT or rest:
            handlers = self._of_environment
            if rest or first.lower() in self.environments:
                found = self.environments.get(first.lower())
                if found is None:
                    raise RequestProblem(
                        404, "no_environment", f"unknown environment {first!r}; there are {', '.join(self._names)}"
                    )
                request.environment, first = found, rest
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

    def _default(self, request: _Request) -> Environment:
        """Return the environment of a request that names none in its path.

        It is the first one, as with other servers of the standard, unless the header X-Deployment names another: there
        a client of the hosted service sends what its user asked it for, and its paths have no name.
        """
        named = request.headers.get(b"x-deployment", b"").decode("latin-1").rpartition("/")[2].lower()
        return self.environments.get(named) or next(iter(self.environments.values()))

    async def _refuse(self, request: _Request, status: int, reason: str, detail: str) -> None:
        body = json.dumps({"detail": detail, "reason": reason}).encode()
        # What remains of a body that was not read would be taken for the next request.
        await request.reply(body, [*_JSON, (b"connection", b"close")] if status == 413 else _JSON, status)  # noqa: PLR2004

    # ---------------------------------------------------------------- the server, and its environments

    async def _health(self, request: _Request) -> None:
        await request.reply(_DONE)

    async def _version(self, request: _Request) -> None:
        await request.json({"version": __version__, "build_sha": None})

    async def _list_environments(self, request: _Request) -> None:
        await request.json(self._names)

    async def _list_tools(self, request: _Request) -> None:
        await request.reply(self._tools)

    async def _list_splits(self, request: _Request) -> None:
        splits = _of(request).splits.values()
        await request.json([{"name": split.name, "type": split.kind} for split in splits])

    async def _num_tasks(self, request: _Request) -> None:
        split = _of(request).split((await request.object("split"))["split"])
        await request.json({"num_tasks": len(split.rows)})

    async def _get_task(self, request: _Request) -> None:
        asked, environment = await request.object("split", "index"), _of(request)
        spec = environment.spec(environment.split(asked["split"]), asked["index"])
        await request.json({"task": spec, "env_name": environment.name})

    async def _list_tasks(self, request: _Request) -> None:
        split = _of(request).split((await request.object("split"))["split"])
        await self._stream_tasks(request, _of(request).specs(split, range(len(split.rows))))

    async def _task_range(self, request: _Request) -> None:
        asked, environment = await request.object("split"), _of(request)
        split = environment.split(asked["split"])
        places = places_of(split, asked.get("start"), asked.get("stop"))
        await self._stream_tasks(request, environment.specs(split, places))

    async def _stream_tasks(self, request: _Request, specs: Iterator[bytes]) -> None:
        loop = asyncio.get_running_loop()
        await request.send({"type": "http.response.start", "status": 200, "headers": _JSON})
        await request.send({"type": "http.response.body", "body": b'{"tasks":', "more_body": True})
        try:
            while (part := await loop.run_in_executor(None, next, specs, None)) is not None:
                await request.send({"type": "http.response.body", "body": part, "more_body": True})
        finally:
            specs.close()  # type: ignore[attr-defined]
        name = json.dumps(_of(request).name).encode()
        await request.send({"type": "http.response.body", "body": b',"env_name":' + name + b"}"})

    # ---------------------------------------------------------------- sessions

    async def _create_session(self, request: _Request) -> None:
        await request.body()
        sid = uuid.uuid4().hex
        await request.reply(events.event("task_id", sid) + events.event("end", ""), _EVENTS)

    async def _create(self, request: _Request) -> None:
        asked, sid = await request.object(), request.sid
        name = asked.get("env_name")
        environment = self._default(request)
        if name is not None:
            found = self.environments.get(name.lower()) if isinstance(name, str) else None
            if found is None:
                raise RequestProblem(404, "no_environment", f"unknown environment {name!r:.80}")
            environment = found
        row = _row_of(environment, asked)
        key = judge_key(request.headers.get(b"x-secrets"), asked.get("secrets"))
        await self._pivots.task(environment, row)  # what is wrong with it is told now
        self.sessions.open(sid, environment, row, key)
        await request.json({"sid": sid})

    async def _ping(self, request: _Request) -> None:
        self.sessions.get(request.sid)
        await request.reply(_DONE)

    async def _close(self, request: _Request) -> None:
        sid = request.sid
        self.sessions.close(sid)
        await request.json({"sid": sid})

    async def _task(self, request: _Request) -> tuple[Session, Task]:
        session = self.sessions.get(request.sid)
        return session, await self._pivots.task(session.environment, session.row)

    async def _task_tools(self, request: _Request) -> None:
        await request.reply((await self._task(request))[1].tools)

    async def _prompt(self, request: _Request) -> None:
        await request.reply((await self._task(request))[1].prompt)

    # ---------------------------------------------------------------- the one submission

    async def _call(self, request: _Request) -> None:
        asked = await request.object("name", "input")
        session, task = await self._task(request)
        name, given, task_id = asked["name"], asked["input"], asked.get("task_id")
        if not isinstance(name, str) or not isinstance(given, dict):
            raise RequestProblem(422, "bad_body", "name must be a string, and input an object")
        if task_id is None:
            try:
                submission = self._submit(session, task, name, given)
            except CallProblem as problem:
                failed = {"ok": False, "error": problem.detail, "reason": problem.reason}
                await request.reply(events.event("task_id", uuid.uuid4().hex) + events.result(failed), _EVENTS)
                return
        else:
            known = session.submission
            if known is None or known.task_id != task_id:
                await request.reply(events.error("unknown task_id"), _EVENTS)
                return
            submission = known
        begun = events.event("task_id", submission.task_id)
        if submission.reply is not None:
            await request.reply(begun + submission.reply, _EVENTS)
            return
        await self._reply_later(request, begun, submission)

    def _submit(self, session: Session, task: Task, name: str, given: dict[str, Any]) -> Submission:
        """Grade the session's submission, or begin to; raises CallProblem for a second one, and for a bad call."""
        if session.submission is not None:
            earlier = f": {session.submission.summary}" if session.submission.summary else ""
            raise CallProblem("episode_finished", f"the session has had its one submission{earlier}")
        action = action_of(self._mode, task, name, given)
        submission = session.submission = Submission(uuid.uuid4().hex)
        grade = self._grading.at_once(session.environment, task, action, session.key)
        if grade is not None:
            _settle(submission, grade, task, action, self._grading.judged_by(session.environment, task, action))
        else:
            submission.working = asyncio.create_task(self._grade(session, submission, task, action))
        return submission

    async def _grade(self, session: Session, submission: Submission, task: Task, action: Action) -> bytes:
        """Grade a submission that takes its time; returns the events for it."""
        try:
            grade, judged_by = await self._grading.later(session.environment, task, action, session.key)
        except Exception as error:  # noqa: BLE001 (it must not count as a submission)
            session.submission = None
            why = str(error) if isinstance(error, NotGradedError) else f"the grader failed: {type(error).__name__}"
            return events.error(why)
        finally:
            submission.working = None
        return _settle(submission, grade, task, action, judged_by)

    async def _reply_later(self, request: _Request, begun: bytes, submission: Submission) -> None:
        """Send the events of a submission that is being graded, and a sign of life while it is."""
        working = submission.working
        assert working is not None  # noqa: S101 (it has no reply yet)
        await request.send({"type": "http.response.start", "status": 200, "headers": _EVENTS})
        await request.send({"type": "http.response.body", "body": begun, "more_body": True})
        while not (await asyncio.wait({working}, timeout=_PING_S))[0]:
            await request.send({"type": "http.response.body", "body": events.PING, "more_body": True})
        ended = events.error("the session was closed") if working.cancelled() else working.result()
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


def _of(request: _Request) -> Environment:
    assert request.environment is not None  # noqa: S101 (found with the handler)
    return request.environment


def _row_of(environment: Environment, asked: dict[str, Any]) -> int:
    """Return the row of the task that a new session is for; raises RequestProblem unless one is named, in one way."""
    spec, split, index = asked.get("task_spec"), asked.get("split"), asked.get("index")
    if (spec is None) == (split is None and index is None) or (split is None) != (index is None):
        raise RequestProblem(422, "bad_body", "Provide either task_spec or both split and index, not both or neither")
    return environment.row_of(spec) if spec is not None else environment.row(environment.split(split), index)


def _settle(submission: Submission, grade: Grade, task: Task, action: Action, judged_by: str | None) -> bytes:
    submission.summary = summary_of(grade)
    submission.reply = events.result(reply_of(grade, task, action, judged_by))
    return submission.reply
