"""Graders that take their time or fail: a user's own, behind the server."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from ors_server import Client, Server, rows, serving, write_rows

from pytest_fcpivot.core.model import Action, Grade
from pytest_fcpivot.serve import serving as app_serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fcpivot.serve.sessions import Sessions

HELLO = {"type": "message", "content": "the secret answer"}


class Held:
    """A user's grader, which waits until it is let go, and is not made for several threads."""

    entered, go = threading.Event(), threading.Event()
    at_once = most_at_once = 0

    def grade(self, expected: Action, actual: Action) -> Any:
        """Give 1, or fail, as the message asks for."""
        kind = type(self)
        kind.at_once += 1
        kind.most_at_once = max(kind.most_at_once, kind.at_once)
        try:
            if actual.message == "wait":
                kind.entered.set()
                assert kind.go.wait(20)
            time.sleep(0.001)  # let other threads in, if there are any
            return self._verdict(expected, actual.message or "")
        finally:
            kind.at_once -= 1

    def _verdict(self, expected: Action, wanted: str) -> Any:
        if wanted == "raise":
            raise KeyError(expected.message)
        if wanted == "exit":
            raise SystemExit(expected.message)
        if wanted == "odd":
            return Grade(7.0, "ODD", expected=expected.message)
        return wanted == "odd" or 0.5


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve one task, graded by it."""
    path = write_rows(tmp_path_factory.mktemp("data") / "rows.jsonl", rows(HELLO))
    with serving(path, grader="test_ors_graders:Held") as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """Open a session."""
    Held.entered.clear()
    Held.go.clear()
    with server.client() as connected:
        connected.open(split="train", index=0)
        yield connected
        Held.go.set()


def begin(server: Server, sid: str) -> tuple[threading.Thread, list[Any]]:
    """Submit a message whose grade waits, in a thread; returns when the grader is at it."""
    found: list[Any] = []

    def submit() -> None:
        with server.client(X_Session_ID=sid) as other:
            found.append(other.call("submit_message", {"message": "wait"}).events)

    thread = threading.Thread(target=submit)
    thread.start()
    assert Held.entered.wait(20)
    return thread, found


@pytest.mark.parametrize(
    ("message", "logged"), [("raise", "the secret answer"), ("exit", "the secret answer"), ("odd", "a reward of 7.0")]
)
def test_a_grader_that_fails(client: Client, message: str, logged: str, caplog: pytest.LogCaptureFixture) -> None:
    """The call is an error that tells no answer, the log says why, and the session may call again."""
    reply = client.call("submit_message", {"message": message})
    (_, task_id), (kind, said) = reply.events
    assert kind == "error"
    assert said == "the grader test_ors_graders:Held failed; the server's log says why"
    assert logged in caplog.text
    assert client.call("submit_message", {}, task_id=task_id).events == reply.events
    assert client.call("submit_message", {"message": "x"}).result["output"]["reward"] == 0.5


def test_a_grader_for_one_thread(server: Server) -> None:
    """A user's grader gets one action after the other, however many come at once."""
    rewards: list[float] = []

    def play() -> None:
        with server.client() as each:
            each.open(split="train", index=0)
            rewards.append(each.call("submit_message", {"message": "x"}).result["output"]["reward"])

    threads = [threading.Thread(target=play) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rewards == [0.5] * 12
    assert Held.most_at_once == 1


def test_a_client_that_leaves_while_it_is_graded(server: Server, client: Client) -> None:
    """A client that is gone before the grade can have it by the call's id, also while it is made."""
    with server.client(X_Session_ID=client.sid) as leaving:
        body = b'{"name": "submit_message", "input": {"message": "wait"}}'
        leaving.connection.request("POST", "/call", body, leaving.headers)
        reply = leaving.connection.getresponse()
        assert reply.readline() == b"event: task_id\n"
        task_id = reply.readline().decode().partition(": ")[2].strip()
    assert Held.entered.wait(20)
    assert client.call("submit_message", {"message": "other"}).result["reason"] == "episode_finished"
    threading.Timer(0.01, Held.go.set).start()
    assert client.call("submit_message", {}, task_id=task_id).result["output"]["reward"] == 0.5


def test_a_session_that_is_closed_while_it_is_graded(server: Server, client: Client) -> None:
    """Closing a session ends the call that waits for its grade, with an error."""
    thread, found = begin(server, client.sid)
    assert client.ask("POST", "/delete").status == 200
    thread.join(20)
    Held.go.set()
    assert found[0][1] == ("error", "the session was closed")
    assert client.ask("POST", "/ping").status == 404


def test_a_session_at_work_is_not_idle(server: Server, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session whose submission is being graded is kept, however long that takes."""
    monkeypatch.setattr(server.app.sessions, "_idle_s", 0.0)
    thread, found = begin(server, client.sid)
    kept: Sessions = server.app.sessions
    kept.close_idle()
    assert client.ask("POST", "/ping").status == 200
    Held.go.set()
    thread.join(20)
    assert found[0][1][0] == "end"
    kept.close_idle()
    assert client.ask("POST", "/ping").status == 404


def test_a_server_that_ends_while_it_grades(server: Server, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that is not graded when the server has waited for as long as it does ends with an error."""
    monkeypatch.setattr(app_serving, "_LONGEST_WAIT_S", 0.1)
    with serving(server.app.environments["fcpivot"].store.path, grader="test_ors_graders:Held") as other:
        with other.client() as opened:
            opened.open(split="train", index=0)
        thread, found = begin(other, opened.sid)
    thread.join(20)
    Held.go.set()
    assert found[0][1] == ("error", "the server was ended")
    assert client.ask("POST", "/ping").status == 200
