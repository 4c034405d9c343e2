"""The Open Reward Standard as `fcpivot serve` speaks it: raw requests, right and wrong."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
from ors_server import Client, Server, events_in, rows, serving, write_rows

from pytest_fcpivot import load_pivots
from pytest_fcpivot.schema import process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIND = {"type": "function", "name": "find", "description": None, "parameters": {"type": "object"}}
CALL = {"type": "function_call", "name": "find", "arguments": '{"city": "Lyon", "seats": 2}'}
HELLO = {"type": "message", "content": "Hello! How can I help?"}
TOKEN = "t0ken-for-clients"  # noqa: S105 (nobody else has this)
OWN_MESSAGE_TOOL = {"type": "function", "name": "submit_message", "parameters": {"type": "object"}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve two tasks, one for a call and one for a message, as the environment `small`."""
    path = write_rows(tmp_path_factory.mktemp("data") / "rows.jsonl", rows(CALL, HELLO, tools=[FIND]))
    with serving(f"small={path}") as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """Connect to it."""
    with server.client() as connected:
        yield connected


def test_what_there_is(client: Client) -> None:
    """Environments, splits, numbers of tasks and the tasks themselves are listed, without answers."""
    assert client.ask("GET", "/list_environments").json == ["small"]
    assert client.ask("GET", "/small/splits").json == [{"name": "train", "type": "train"}]
    assert client.ask("POST", "/small/num_tasks", {"split": "train"}).json == {"num_tasks": 2}
    tasks = [
        {"id": "talk0", "trajectory_id": "talk0", "split": "train", "index": 0},
        {"id": "talk1", "trajectory_id": "talk1", "split": "train", "index": 1},
    ]
    named = [
        {**each, "id": client.ask("POST", "/task", {"split": "train", "index": number}).json["task"]["id"]}
        for number, each in enumerate(tasks)
    ]
    assert client.ask("POST", "/small/tasks", {"split": "train"}).json == {"tasks": named, "env_name": "small"}
    assert client.ask("POST", "/task", {"split": "train", "index": 1}).json == {"task": named[1], "env_name": "small"}
    for start, stop, wanted in (
        (None, None, named),
        (1, None, named[1:]),
        (-1, None, named[1:]),
        (None, -1, named[:1]),
        (0, 99, named),
        (1, 1, []),
        (2, 0, []),
    ):
        asked = {"split": "train", "start": start, "stop": stop}
        assert client.ask("POST", "/SMALL/task_range", asked).json["tasks"] == wanted, asked
    shared = client.ask("GET", "/small/tools").json
    assert [tool["name"] for tool in shared["tools"]] == ["submit_message"]
    assert client.ask("GET", "/health").json == {"status": "ok"}


def test_a_session(client: Client) -> None:
    """A session shows its prompt and its tools, and one call ends it with a reward."""
    client.sid = dict(client.ask("POST", "/create_session", {}).events)["task_id"]
    assert client.ask("POST", "/create", {"split": "train", "index": 0}).json == {"sid": client.sid}
    [block] = client.ask("GET", "/small/prompt").json
    assert block == {
        "type": "text",
        "text": "[user]\nHello?",
        "detail": {"input": [{"role": "user", "content": "Hello?"}]},
    }
    tools = client.ask("GET", "/small/task_tools").json["tools"]
    assert tools[0] == {"name": "find", "description": "", "input_schema": {"type": "object"}}
    assert [tool["name"] for tool in tools] == ["find", "submit_message"]
    assert client.ask("POST", "/ping").json == {"status": "ok"}
    reply = client.call("find", {"seats": 2, "city": "Lyon"})
    assert [name for name, _ in reply.events] == ["task_id", "end"]
    output = reply.result["output"]
    assert (output["reward"], output["finished"]) == (1.0, True)
    assert output["metadata"]["category"] == "EXPECTED_TOOL_CALL"
    assert client.ask("POST", "/delete").json == {"sid": client.sid}
    assert client.ask("POST", "/delete_session").json == {"sid": client.sid}
    assert client.ask("GET", "/small/prompt").status == 404


def test_one_submission(client: Client) -> None:
    """A second call has no reward, whatever it says; the first one's result can be fetched again by its id alone."""
    client.open(split="train", index=0)
    first = client.call("find", {"city": "Paris"})
    assert first.result["output"]["reward"] == 0.0
    again = client.call("find", {"city": "Lyon", "seats": 2})
    assert (again.result["ok"], again.result["reason"]) == (False, "episode_finished")
    resumed = client.call("find", {"city": "Lyon", "seats": 2}, task_id=dict(first.events)["task_id"])
    assert resumed.body == first.body
    assert client.call("find", {}, task_id="another").events == [("error", "unknown task_id")]


def test_two_calls_at_once(server: Server) -> None:
    """Of calls that come at the same moment, one has the reward."""
    with server.client() as first:
        first.open(split="train", index=0)
        replies: list[Any] = []

        def submit() -> None:
            with server.client(X_Session_ID=first.sid) as other:
                replies.append(other.call("find", {"city": "Lyon", "seats": 2}).result)

        threads = [threading.Thread(target=submit) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(reply["ok"] for reply in replies) == [False] * 7 + [True]
    assert {reply.get("reason") for reply in replies} == {None, "episode_finished"}


def test_a_client_that_goes_away(server: Server) -> None:
    """A client that disconnects in mid-call can fetch the result; what it sent counts."""
    with server.client() as client:
        client.open(split="train", index=0)
        body = json.dumps({"name": "find", "input": {"city": "Lyon", "seats": 2}}).encode()
        with socket.create_connection(("127.0.0.1", server.port)) as raw:
            head = (
                f"POST /call HTTP/1.1\r\nHost: x\r\nX-Session-ID: {client.sid}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            raw.sendall(head.encode() + body[:10])
        assert client.call("find", {"city": "Lyon", "seats": 2}).result["output"]["reward"] == 1.0


@pytest.mark.parametrize(
    ("method", "path", "body", "refused"),
    [
        ("POST", "/tasks", {"split": "dev"}, (400, "bad_split")),
        ("POST", "/tasks", {}, (422, "bad_body")),
        ("POST", "/tasks", [], (422, "bad_body")),
        ("POST", "/tasks", b"{", (422, "bad_body")),
        ("POST", "/tasks", b"[" * 100_000, (422, "bad_body")),
        ("POST", "/num_tasks", {"split": 3}, (400, "bad_split")),
        ("POST", "/task", {"split": "train", "index": 2}, (400, "bad_index")),
        ("POST", "/task", {"split": "train", "index": -1}, (400, "bad_index")),
        ("POST", "/task", {"split": "train", "index": True}, (400, "bad_index")),
        ("POST", "/task", {"split": "train", "index": "0"}, (400, "bad_index")),
        ("POST", "/task_range", {"split": "train", "start": 0.5}, (400, "bad_index")),
        ("GET", "/elsewhere/tools", None, (404, "no_environment")),
        ("GET", "/small/nothing", None, (404, "not_found")),
        ("GET", "/nothing", None, (404, "not_found")),
        ("GET", "/call", None, (405, "bad_method")),
        ("POST", "/create", {"split": "train", "index": 0}, (400, "no_session_id")),
        ("GET", "/prompt", None, (400, "no_session_id")),
    ],
)
def test_requests_that_are_wrong(client: Client, method: str, path: str, body: Any, refused: tuple[int, str]) -> None:
    """A wrong request is refused with its reason, and the connection goes on."""
    reply = client.ask(method, path, body)
    assert (reply.status, reply.json["reason"]) == refused, reply.body
    assert reply.json["detail"]
    assert client.ask("GET", "/health").status == 200


@pytest.mark.parametrize(
    ("asked", "status", "reason"),
    [
        ({}, 422, "bad_body"),
        ({"split": "train"}, 422, "bad_body"),
        ({"split": "train", "index": 0, "task_spec": {"id": "talk0"}}, 422, "bad_body"),
        ({"task_spec": "talk0"}, 400, "bad_task_spec"),
        ({"task_spec": {}}, 400, "bad_task_spec"),
        ({"task_spec": {"id": "unknown"}}, 400, "bad_task_spec"),
        ({"task_spec": {"id": "unknown", "split": "train", "index": 0}}, 400, "bad_task_spec"),
        ({"split": "train", "index": 0, "env_name": "elsewhere"}, 404, "no_environment"),
        ({"split": "train", "index": 0, "env_name": 5}, 404, "no_environment"),
        ({"split": "train", "index": 0, "secrets": ["x"]}, 400, "bad_secrets"),
    ],
)
def test_sessions_that_are_wrong(client: Client, asked: Any, status: int, reason: str) -> None:
    """A session needs a task that there is, named in one way."""
    reply = client.open(**asked)
    assert (reply.status, reply.json["reason"]) == (status, reason), reply.body
    assert client.ask("POST", "/ping").status == 404


def test_a_task_by_its_id(client: Client) -> None:
    """A client that only knows a task's id can open it, and one that has its whole spec too."""
    task = client.ask("POST", "/task", {"split": "train", "index": 1}).json["task"]
    for spec in (task, {"id": task["id"]}, {**task, "colour": "blue"}):
        assert client.open(task_spec=spec).status == 200
        assert client.call("submit_message", {"message": "Hi"}).result["output"]["reward"] == 1.0


@pytest.mark.parametrize("sid", ["x" * 201, "\u00e9\u00ff", "a\tb"])
def test_session_ids_that_no_client_makes(server: Server, sid: str) -> None:
    """An id must be short printable ASCII."""
    with server.client(X_Session_ID=sid) as client:
        reply = client.ask("POST", "/create", {"split": "train", "index": 0})
        assert (reply.status, reply.json["reason"]) == (400, "bad_session_id")


def test_the_same_session_id_twice(server: Server) -> None:
    """A client's own id opens one session."""
    with server.client(X_Session_ID="mine") as client:
        assert client.ask("POST", "/create", {"split": "train", "index": 0}).status == 200
        assert client.ask("POST", "/create", {"split": "train", "index": 0}).json["reason"] == "session_exists"
        client.ask("POST", "/delete")


@pytest.mark.parametrize("told", [True, False])
def test_a_body_that_is_too_large(server: Server, told: bool) -> None:
    """10 MB are refused, whether or not their length is told first, and the server goes on."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    large = b'{"name": "find", "input": {"city": "' + b"x" * 10_000_000 + b'"}}'
    try:
        connection.request(
            "POST",
            "/call",
            large if told else iter([large[:5_000_000], large[5_000_000:]]),
            {"X-Session-ID": "any"},
            encode_chunked=not told,
        )
        reply = connection.getresponse()
        assert (reply.status, json.loads(reply.read())["reason"]) == (413, "too_large")
    except (BrokenPipeError, ConnectionResetError):
        pass  # it does not wait for what it will not read
    finally:
        connection.close()
    with server.client() as client:
        assert client.ask("GET", "/health").status == 200


@pytest.mark.parametrize(
    ("name", "given", "reward", "category"),
    [
        ("find", {"city": "Lyon", "seats": 2, "near": "x"}, 0.0, "ARGUMENT_OBJECT_KEYS_DIFFERENT"),
        ("find", {"city": "Lyon"}, 0.0, "ARGUMENT_OBJECT_KEYS_DIFFERENT"),
        ("find", {}, 0.0, "ARGUMENT_OBJECT_KEYS_DIFFERENT"),
        ("unknown", {"city": "Lyon", "seats": 2}, 0.0, "UNEXPECTED_TOOL"),
        ("submit_message", {"message": ""}, 0.0, "NO_EXPECTED_TOOL_CALL"),
    ],
)
def test_answers_that_are_wrong(client: Client, name: str, given: Any, reward: float, category: str) -> None:
    """What the model did wrong is graded: it is no fault of the request."""
    client.open(split="train", index=0)
    output = client.call(name, given).result["output"]
    assert (output["reward"], output["metadata"]["category"]) == (reward, category)


@pytest.mark.parametrize("given", [{}, {"text": "Hi"}, {"message": 5}, {"message": "Hi", "tone": "warm"}])
def test_a_message_without_its_text(client: Client, given: Any) -> None:
    """The shared tool with other arguments than its own is an error, and no submission."""
    client.open(split="train", index=1)
    assert client.call("submit_message", given).result["reason"] == "input_validation"
    assert client.call("submit_message", {"message": "Hi"}).result["output"]["reward"] == 1.0


def test_a_call_that_is_not_one(client: Client) -> None:
    """A call needs a name and an object."""
    client.open(split="train", index=0)
    for body in (
        {"name": "find"},
        {"name": 5, "input": {}},
        {"name": "find", "input": "{}"},
        {"name": "find", "input": []},
    ):
        assert client.ask("POST", "/call", body).status == 422


def test_an_own_tool_of_that_name(tmp_path: Path) -> None:
    """A pivot's own tool named submit_message hides the shared one, once, and is called as a function."""
    expected = {"type": "function_call", "name": "submit_message", "arguments": '{"message": "Hi"}'}
    path = write_rows(tmp_path / "rows.jsonl", rows(expected, tools=[OWN_MESSAGE_TOOL]))
    with serving(path) as server, server.client() as client:
        client.open(split="train", index=0)
        tools = client.ask("GET", "/task_tools").json
        assert [tool["name"] for tool in tools["tools"]] == ["submit_message"]
        assert tools["terminal_tool"] is None
        output = client.call("submit_message", {"message": "Hi"}).result["output"]
        assert output["metadata"]["category"] == "EXPECTED_TOOL_CALL"


def test_nothing_tells_the_answer() -> None:
    """Neither the list of tasks nor a session tells what is expected, before and after the submission."""
    pivots = load_pivots()
    with serving("sample") as server, server.client() as client:
        listed = client.ask("POST", "/tasks", {"split": "train"}).json["tasks"]
        assert [task["id"] for task in listed] == [pivot.id for pivot in pivots]
        assert {frozenset(task) for task in listed} == {frozenset(("id", "trajectory_id", "split", "index"))}
        for index in (0, 1, 2, 3):
            client.open(split="train", index=index)
            shown = client.ask("GET", "/prompt").body + client.ask("GET", "/task_tools").body
            shown += client.call("no_such_function", {}).body
            answer = pivots[index].expected_action
            secret = answer.message or answer.calls[0].arguments
            assert json.dumps(secret)[1:-1].encode() not in shown


def test_a_token() -> None:
    """With a token, requests without it are refused, in either header that clients use."""
    with serving("sample", token=TOKEN) as server:
        for headers, status in (
            ({}, 401),
            ({"Authorization": "Bearer wrong"}, 401),
            ({"Authorization": f"Bearer {TOKEN}"}, 200),
            ({"X_API_Key": TOKEN}, 200),
            ({"X_API_Key": "\u00e9"}, 401),
        ):
            with server.client(**headers) as client:
                assert client.ask("GET", "/list_environments").status == status


def test_sessions_that_are_left_alone() -> None:
    """A session without a sign of life is closed, and one that pings is not."""
    with serving("sample", idle_s=0.0) as server, server.client() as client:
        client.open(split="train", index=0)
        assert server.app.sessions.close_idle() == 1
        assert client.ask("POST", "/ping").status == 404
    with serving("sample", idle_s=60.0) as server, server.client() as client:
        client.open(split="train", index=0)
        assert server.app.sessions.close_idle() == 0
        assert client.ask("POST", "/ping").status == 200


def test_too_many_sessions() -> None:
    """Beyond the most sessions, new ones are refused, for now."""
    with serving("sample", most_sessions=1) as server, server.client() as client:
        client.open(split="train", index=0)
        first = client.sid
        assert client.open(split="train", index=0).status == 503
        client.sid = first
        client.ask("POST", "/delete")
        assert client.open(split="train", index=0).status == 200


def test_the_stream_as_it_is_sent(client: Client) -> None:
    """Events are ASCII lines: each a name and its data."""
    client.open(split="train", index=0)
    body = client.call("find", {"city": "\u2028Lyon"}).body
    assert body.isascii()
    assert body.startswith(b"event: task_id\ndata: ")
    assert body.endswith(b"\n\n")
    assert events_in(body)[-1][0] == "end"


def test_a_schema_that_would_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pattern that takes for ever holds up its own session only."""
    monkeypatch.setattr(process._process, "_deadline_s", 1.0)
    endless = {"type": "object", "properties": {"city": {"type": "string", "pattern": "^(a+)+$"}}}
    path = write_rows(tmp_path / "rows.jsonl", rows(CALL, tools=[{**FIND, "parameters": endless}]))
    with serving(path) as server, server.client() as client, server.client() as other:
        client.open(split="train", index=0)
        body = json.dumps({"name": "find", "input": {"city": "a" * 40 + "!"}}).encode()
        client.connection.request("POST", "/call", body, {"X-Session-ID": client.sid})
        reply = client.connection.getresponse()
        assert reply.readline() == b"event: task_id\n"  # it is being checked
        assert other.ask("GET", "/health").status == 200
        assert server.app.sessions.get(client.sid).at_work
        rest = events_in(reply.read())
        output = json.loads(rest[-1][1])["output"]
        assert (output["metadata"]["schema"], output["reward"]) == ("unusable-schema", 0.0)
