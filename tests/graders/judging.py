"""What tests of the judge share: questions, and asking them as a session does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.calls.caller import Caller
from pytest_fcpivot.calls.retry import RetryPolicy
from pytest_fcpivot.graders.judge import Judge, Judgement, Question

if TYPE_CHECKING:
    from collections.abc import Sequence

    from model_server import ModelServer

    from pytest_fcpivot.calls.call import Call

TALK = [{"role": "user", "content": "Where is my train?"}]
EXPECTED = "Your train leaves from platform nine."


def question(candidate: str = "It leaves from platform nine.", expected: str = EXPECTED, **fields: Any) -> Question:
    """Return a question about a message in a short conversation."""
    talk = fields.pop("talk", TALK)
    return Question(json.dumps(talk), expected, candidate, **fields)


def calls_of(judge: Judge, *questions: Question, retries: int = 0, at_once: int = 8) -> list[Call]:
    """Ask as a session does, many at once; return the calls, ended."""
    agent: Any = judge
    asked: Sequence[Any] = questions
    caller = Caller(agent, 30.0, concurrency=at_once, policy=RetryPolicy(retries, 60.0))
    try:
        calls = [caller.start(one) for one in asked]
        for call in calls:
            assert caller.wait_for(call, 60.0)
        return calls
    finally:
        caller.close()


def ask(judge: Judge, asked: Question | None = None, *, retries: int = 0) -> Judgement:
    """Ask one question and return the judgement; raises what the call ended with."""
    (call,) = calls_of(judge, question() if asked is None else asked, retries=retries)
    if call.error is not None:
        raise call.error
    judgement: Judgement = call.output
    return judgement


def body_of(server: ModelServer, place: int = -1) -> dict[str, Any]:
    """Return the body of a request that the server got, the latest by default."""
    body: dict[str, Any] = server.stats()["bodies"][place]
    return body


def prompt_of(body: dict[str, Any]) -> str:
    """Return the user's message of a request."""
    text: str = body["messages" if "messages" in body else "input"][-1]["content"]
    return text
