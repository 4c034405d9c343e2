"""Messages that a model judges for sessions: with the server's key, with the session's own, or not at all."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ors_server import rows, serving, write_rows

from pytest_fcpivot.serve import judging
from pytest_fcpivot.serve.judging import JudgeSettings

if TYPE_CHECKING:
    from model_server import ModelServer

sys.path.insert(0, str(Path(__file__).parents[1] / "graders"))

pytest_plugins = ["judge_service"]

EXPECTED = {"type": "message", "content": "Your train leaves from platform nine."}
ANSWER = {"message": "Your train is late."}
SERVERS_KEY, SESSIONS_KEY = "sk-server-0123456789", "sk-session-0123456789"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a file with one pivot that expects a message."""
    return write_rows(tmp_path / "rows.jsonl", rows(EXPECTED))


def settings(server: ModelServer, **given: Any) -> JudgeSettings:
    """Ask the model on loopback."""
    usual = {"key_variable": None, "api": "chat", "fallback": False, "has_key": False}
    return JudgeSettings("m", server.url, **(usual | given))


def asked_with(server: ModelServer) -> list[str]:
    """Return the keys of the requests that the model got."""
    return [headers["authorization"].removeprefix("Bearer ") for headers in server.stats()["headers"]]


def test_a_session_brings_its_key(server: ModelServer, data: Path) -> None:
    """A session's own key is used for its own message, and for no other session's."""
    with serving(data, grader="agentic", judge=settings(server)) as ours, ours.client() as client:
        client.open(split="train", index=0, secrets={"openai_api_key": SESSIONS_KEY})
        judged = client.call("submit_message", ANSWER).result["output"]
        assert (judged["reward"], judged["metadata"]["judge"]) == (0.25, "m")
        assert judged["metadata"]["category"] == "CHAT_MESSAGE_PARTLY_EXPECTED"
        client.open(split="train", index=0)
        assert client.call("submit_message", ANSWER).result["output"]["metadata"]["judge"] == "keyword"
    assert asked_with(server) == [SESSIONS_KEY]


def test_the_server_has_a_key(server: ModelServer, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's key judges for sessions that bring none; what a judge need not see is not sent to it."""
    monkeypatch.setenv("JUDGE_KEY", SERVERS_KEY)
    judge = settings(server, key_variable="JUDGE_KEY", has_key=True)
    with serving(data, grader="agentic", judge=judge) as ours, ours.client() as client:
        for given, reward in ((ANSWER, 0.25), ({"message": " "}, 0.0)):
            client.open(split="train", index=0)
            assert client.call("submit_message", given).result["output"]["reward"] == reward
        client.open(split="train", index=0)
        assert client.call("find", {}).result["output"]["reward"] == 0.0
        client.open(split="train", index=0, secrets={"openai_api_key": SESSIONS_KEY})
        client.call("submit_message", ANSWER)
    assert asked_with(server) == [SERVERS_KEY, SESSIONS_KEY]


def test_a_judge_that_fails(server: ModelServer, data: Path) -> None:
    """No reward is made up: the call is an error, without the key in it, and can be made again."""
    server.configure(key="sk-right-0123456789", keep_bodies=10)
    with serving(data, grader="agentic", judge=settings(server)) as ours, ours.client() as client:
        client.open(split="train", index=0, secrets={"openai_api_key": SESSIONS_KEY})
        reply = client.call("submit_message", ANSWER)
        assert [name for name, _ in reply.events] == ["task_id", "error"]
        assert "the judge gave no verdict" in reply.events[1][1]
        assert SESSIONS_KEY not in reply.body.decode()
        server.configure(keep_bodies=10)
        assert client.call("submit_message", ANSWER).result["output"]["reward"] == 0.25


def test_keywords_where_the_judge_fails(server: ModelServer, data: Path) -> None:
    """With the fallback, a message is scored by keywords if the judge fails, and the result says so."""
    server.configure(key="sk-right-0123456789")
    with serving(data, grader="agentic", judge=settings(server, fallback=True)) as ours, ours.client() as client:
        client.open(split="train", index=0, secrets={"openai_api_key": SESSIONS_KEY})
        output = client.call("submit_message", ANSWER).result["output"]
        assert output["metadata"]["judge"] == "keyword, since the judge failed"


def test_many_keys_at_once(server: ModelServer, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection of a key stays open while it judges, also if the server keeps fewer keys than are used at once."""
    monkeypatch.setattr(judging, "_MOST_KEYS", 1)
    server.configure(meet=4, keep_bodies=20)
    rewards: list[float] = []
    with serving(data, grader="agentic", judge=settings(server)) as ours:

        def play(number: int) -> None:
            with ours.client() as client:
                client.open(split="train", index=0, secrets={"openai_api_key": f"{SESSIONS_KEY}-{number}"})
                rewards.append(client.call("submit_message", ANSWER).result["output"]["reward"])

        threads = [threading.Thread(target=play, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert rewards == [0.25] * 4
    assert sorted(asked_with(server)) == [f"{SESSIONS_KEY}-{number}" for number in range(4)]


def test_a_wrong_key_is_that_of_its_session(server: ModelServer, data: Path) -> None:
    """A session with a wrong key gets an error, and those beside it their verdicts."""
    server.configure(key=SESSIONS_KEY)
    with serving(data, grader="agentic", judge=settings(server)) as ours, ours.client() as client:
        for _ in range(3):
            client.open(split="train", index=0, secrets={"openai_api_key": SERVERS_KEY})
            assert client.call("submit_message", ANSWER).events[1][0] == "error"
            client.open(split="train", index=0, secrets={"openai_api_key": SESSIONS_KEY})
            assert client.call("submit_message", ANSWER).result["output"]["reward"] == 0.25
