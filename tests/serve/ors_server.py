"""A real server of pivots on loopback, in a thread of the test's process, and raw requests to it."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import pytest

from pytest_fcpivot.data.selection import Selection
from pytest_fcpivot.serve.serving import Wanted, http_settings, make_app, open_environments

uvicorn = pytest.importorskip("uvicorn")

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pytest_fcpivot.serve.app import App
    from pytest_fcpivot.serve.judging import JudgeSettings
    from pytest_fcpivot.serve.tools import Mode

_PATIENCE_S = 20


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply to one request."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def events(self) -> list[tuple[str, str]]:
        """The body as events, read as both official clients read them."""
        return events_in(self.body)

    @property
    def result(self) -> Any:
        """The result of a call."""
        pieces = [data for name, data in self.events if name in ("chunk", "end")]
        return json.loads("".join(pieces))


def events_in(body: bytes) -> list[tuple[str, str]]:
    """Return the events in a stream: each value without blanks before it, each line without its end."""
    found, name, data = [], "", ""
    for line in body.decode("utf-8", "ignore").split("\n"):
        text = line.rstrip("\r\n")
        if not text:
            if name:
                found.append((name, data))
            name = data = ""
        elif not text.startswith(":"):
            field, _, value = text.partition(":")
            name, data = (value.lstrip(), data) if field == "event" else (name, value.lstrip())
    return found


class Client:
    """One connection to a server; `headers` are sent with each request."""

    def __init__(self, port: int, headers: dict[str, str] | None = None) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_S)
        self.headers = headers or {}
        self.sid = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """Send a request, with the session's id if there is one; a body that is not bytes is sent as JSON."""
        raw = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        own = {"X-Session-ID": self.sid} if self.sid else {}
        sent = own | self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request(method, path, raw, sent)
        reply = self.connection.getresponse()
        return Reply(reply.status, reply.headers, reply.read())

    def open(self, **asked: Any) -> Reply:
        """Open a session of its own on a task, under an id of its own."""
        self.sid = uuid.uuid4().hex
        return self.ask("POST", "/create", asked)

    def call(self, name: str, given: Any, **more: Any) -> Reply:
        """Call a tool."""
        return self.ask("POST", "/call", {"name": name, "input": given, **more})


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    app: App
    port: int

    @property
    def url(self) -> str:
        """The address as clients want it."""
        return f"http://127.0.0.1:{self.port}"

    def client(self, **headers: str) -> Client:
        """Connect."""
        return Client(self.port, {name.replace("_", "-"): value for name, value in headers.items()})


@contextmanager
def serving(
    *data: str | Path,
    mode: Mode = "per-task",
    grader: str | None = None,
    selection: Selection | None = None,
    judge: JudgeSettings | None = None,
    **limits: Any,
) -> Iterator[Server]:
    """Serve data until the context ends."""
    wanted = Wanted([str(each) for each in data], selection or Selection(), mode, grader, {})
    with running(make_app(open_environments(wanted), mode, judge, **limits)) as server:
        yield server


@contextmanager
def running(app: App) -> Iterator[Server]:
    """Run an application until the context ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, **http_settings()))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield Server(app, listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(_PATIENCE_S)
        listener.close()
        assert not thread.is_alive(), "the server did not end"


def rows(*expected: dict[str, Any], tools: Sequence[dict[str, Any]] = (), **more: Any) -> list[dict[str, Any]]:
    """Make rows of data, one for each expected action."""
    return [
        {
            "trajectory_id": f"talk{number}",
            "responses_create_params": {"input": [{"role": "user", "content": "Hello?"}], "tools": list(tools)},
            "expected_action": action,
            **more,
        }
        for number, action in enumerate(expected)
    ]


def write_rows(path: Path, given: Sequence[dict[str, Any]]) -> Path:
    """Write rows as a file of data."""
    path.write_text("".join(f"{json.dumps(row)}\n" for row in given), encoding="utf-8")
    return path
