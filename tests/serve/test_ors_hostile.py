"""Clients that are slow, large, odd or gone: bounds of a request, and the environments that names lead to."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest
from ors_server import Client, Server, rows, serving, write_rows

from pytest_fcpivot.cli import main
from pytest_fcpivot.data.synth import write_file
from pytest_fcpivot.serve import app as serve_app
from pytest_fcpivot.serve import request
from pytest_fcpivot.serve import serving as app_serving
from pytest_fcpivot.serve.environments import Environment
from pytest_fcpivot.serve.protocol import MOST_HEAD_BYTES, BoundedProtocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HELLO = {"type": "message", "content": "Hello! How can I help?"}
SPLIT = b'{"split": "train"}'
LAST = b"Connection: close\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve two environments, of one and of two tasks."""
    place = tmp_path_factory.mktemp("data")
    first = write_rows(place / "first.jsonl", rows(HELLO))
    second = write_rows(place / "second.jsonl", rows(HELLO, HELLO))
    with serving(f"one={first}", f"two={second}") as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """Connect to it."""
    with server.client() as connected:
        yield connected


def sent(server: Server, *parts: bytes) -> bytes:
    """Send bytes as they are; returns all that the server says until it ends the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as raw:
        said = b""
        try:
            for part in parts:
                raw.sendall(part)
            while more := raw.recv(1 << 16):
                said += more
        except ConnectionError:
            pass  # it does not wait for what it will not read
        return said


def post(body: bytes, *headers: bytes) -> bytes:
    """Write a request for a number of tasks."""
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"POST /num_tasks HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n" + body


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (b"HEAD /health HTTP/1.1\r\n" + LAST + b"\r\n", [b"HTTP/1.1 200 OK", b"content-length: 15\r\n"]),
        (b"OPTIONS /health HTTP/1.1\r\n" + LAST + b"\r\n", [b"HTTP/1.1 405 "]),
        (
            b"GET /health HTTP/1.1\r\n\r\n" * 2 + b"GET /version HTTP/1.1\r\n" + LAST + b"\r\n",
            [b"ok", b"ok", b"version"],
        ),
        (
            post(
                b"5\r\n" + SPLIT[:5] + b"\r\nd\r\n" + SPLIT[5:] + b"\r\n0\r\n\r\n",
                LAST[:-2],
                b"Transfer-Encoding: chunked",
            ),
            [b'{"num_tasks": 1}'],
        ),
        (
            post(SPLIT, LAST[:-2], b"Expect: 100-continue", b"Content-Length: 18"),
            [b"100 Continue", b'{"num_tasks": 1}'],
        ),
        (post(b"", b"Expect: 100-continue", b"Content-Length: 99999999"), [b"HTTP/1.1 413 "]),
        (post(SPLIT, b"Content-Length: -3"), [b"HTTP/1.1 400 "]),
        (b"GET /%00 HTTP/1.1\r\n" + LAST + b"\r\n", [b"HTTP/1.1 404 "]),
        (b"GET /%2e%2e/%0atools HTTP/1.1\r\n" + LAST + b"\r\n", [b"HTTP/1.1 404 "]),
        (b"GET //one%2Fsplits HTTP/1.1\r\n" + LAST + b"\r\n", [b'"name": "train"']),
    ],
)
def test_requests_as_other_programs_write_them(server: Server, asked: bytes, said: list[bytes]) -> None:
    """Whatever HTTP allows is understood, and the rest is refused."""
    rest = sent(server, asked)
    for part in said:
        _, found, rest = rest.partition(part)
        assert found, rest


def test_headers_that_never_end(server: Server) -> None:
    """Headers are not read beyond a bound, be they one line or many."""
    for part in (b"x" * (1 << 16), b"x: y\r\n" * 10_000):
        said = sent(server, b"GET /health HTTP/1.1\r\nX-Large: ", *[part] * (4 * MOST_HEAD_BYTES // len(part)))
        assert said.startswith(b"HTTP/1.1 400 ") or not said
    almost = b"X-Large: " + b"x" * (MOST_HEAD_BYTES - 1000) + b"\r\n"
    assert b"200 OK" in sent(server, b"GET /health HTTP/1.1\r\n", almost, LAST, b"\r\n")


def test_clients_that_are_slow(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection without a request, and a request that does not go on, are ended after a while."""
    monkeypatch.setattr(BoundedProtocol, "longest_head_s", 0.05)
    assert sent(server) == b""
    assert sent(server, b"GET /health HTT") == b""
    monkeypatch.setattr(request, "LONGEST_BODY_S", 0.05)
    said = sent(server, post(SPLIT[:3], b"Content-Length: 18"))
    assert said.startswith(b"HTTP/1.1 408 ")
    assert json.loads(said.partition(b"\r\n\r\n")[2])["reason"] == "too_slow"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"split": ' + b"9" * 5000 + b"}", "too many digits"),
        (b'{"split": ' + b"[" * 100_000, "nested too deep"),
        (b"\xff\xff", "must be a JSON object"),
    ],
)
def test_bodies_that_cannot_be_decoded(client: Client, body: bytes, why: str) -> None:
    """The reply says what is wrong with a body."""
    reply = client.ask("POST", "/num_tasks", body)
    assert reply.status == 422
    assert why in reply.json["detail"]


def test_a_session_of_another_environment(client: Client) -> None:
    """A session that was opened without naming its environment is not taken for one of the environment in a path."""
    client.open(split="train", index=0)
    for method, path in (("GET", "/two/prompt"), ("GET", "/two/task_tools"), ("POST", "/two/call")):
        reply = client.ask(method, path, {"name": "submit_message", "input": {"message": "Hi"}})
        assert (reply.status, reply.json["reason"]) == (400, "other_environment")
    assert "of the environment one, not of two: send env_name" in reply.json["detail"]
    assert client.ask("GET", "/one/prompt").status == 200
    client.open(split="train", index=1, env_name="two")
    assert client.ask("GET", "/two/prompt").status == 200
    assert client.ask("GET", "/prompt").status == 200


def test_a_name_that_only_a_header_has(server: Server) -> None:
    """Of several environments, the header names the one; a wrong name is refused, and no name means the first."""
    for named, found in (("two", 2), ("me/TWO", 2), ("", 1), ("env", 1), ("twoo", None), ("\u00e9", None)):
        with server.client(X_Deployment=named) as client:
            reply = client.ask("POST", "/num_tasks", {"split": "train"})
            if found is None:
                assert reply.json["reason"] == "no_environment"
                assert client.open(split="train", index=0).json["reason"] == "no_environment"
            else:
                assert reply.json == {"num_tasks": found}
    with server.client(X_Deployment="twoo") as client:
        assert client.open(split="train", index=0, env_name="two").status == 200


def test_two_creations_at_once(server: Server) -> None:
    """Of several requests that open a session under one id, one does."""
    with server.client() as client:
        sid = dict(client.ask("POST", "/create_session", {}).events)["task_id"]
    body = b'{"split": "train", "index": 1, "env_name": "two"}'
    head = f"POST /create HTTP/1.1\r\nX-Session-ID: {sid}\r\nContent-Length: {len(body)}\r\n".encode() + LAST + b"\r\n"
    connections = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(8)]
    for each in connections:
        each.sendall(head + body)
    said = sorted(each.makefile("rb").read()[:12] for each in connections)
    for each in connections:
        each.close()
    assert said == [b"HTTP/1.1 200"] + [b"HTTP/1.1 400"] * 7


@pytest.mark.parametrize("stays", [False, True])
def test_a_list_that_nobody_reads(server: Server, monkeypatch: pytest.MonkeyPatch, stays: bool) -> None:
    """A list of tasks ends when its client is gone, or does not read on, and not with the last task."""
    monkeypatch.setattr(serve_app, "_LONGEST_SEND_S", 0.05)
    made: list[int] = []

    def endless(*_: Any) -> Iterator[bytes]:
        while True:
            made.append(1)
            yield b"x"

    monkeypatch.setattr(Environment, "specs", endless)
    gone = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if not made:
            return {"type": "http.request", "body": SPLIT}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if len(made) > 3:
            await asyncio.sleep(20 if stays else 0)
            gone.set()
        await asyncio.sleep(0)

    scope = {"type": "http", "method": "POST", "path": "/one/tasks", "headers": []}
    asyncio.run(asyncio.wait_for(server.app(scope, receive, send), 20))
    assert len(made) < 100


def test_a_server_that_ends_under_a_request(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A request that is not whole when the server has waited for as long as it does is refused, without a traceback."""
    monkeypatch.setattr(app_serving, "_LONGEST_WAIT_S", 0.1)
    with serving(server.app.environments["one"].store.path) as other:
        slow = socket.create_connection(("127.0.0.1", other.port), timeout=20)
        slow.sendall(post(SPLIT[:3], b"Content-Length: 18"))
        with other.client() as client:
            assert client.ask("GET", "/health").status == 200
    with slow:
        assert slow.recv(1 << 16).startswith(b"HTTP/1.1 503 ")
    assert "Traceback" not in caplog.text


def test_data_that_are_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that is written anew while it is served is an error, not other tasks under the same names."""
    prepared = []
    for seed in (1, 2):
        source, path = tmp_path / f"{seed}.jsonl", tmp_path / f"{seed}.parquet"
        write_file("fc-pivot", 30, seed, source)
        assert main(["prepare", str(source), "-o", str(path)]) == 0
        prepared.append(path)
    with serving(prepared[0]) as server, server.client() as client:
        prepared[1].replace(prepared[0])
        for where, asked in (("/tasks", {"split": "train"}), ("/create", {"split": "train", "index": 0})):
            reply = client.ask("POST", where, asked, X_Session_ID="mine")
            assert (reply.status, reply.json["reason"]) == (500, "internal")
    assert caplog.text.count("it was written anew while it was in use; start again") == 2
