"""The reward functions with a judge: a real server on loopback judges messages, and nothing else."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai
import pytest
from call_sites import package, taken
from trainer_rows import AGENTIC, NEMO_GYM, as_text, pivot_with, trl_columns, verl_row

from pytest_fcpivot import DataError, OptionError
from pytest_fcpivot.graders import AgenticGrader
from pytest_fcpivot.integrations import judged, trl, verl

sys.path.insert(0, str(Path(__file__).parents[2] / "fixtures"))

from model_server import ModelServer

if TYPE_CHECKING:
    from collections.abc import Iterator

ANSWER = "The side door is locked, and the fan is off."


@pytest.fixture(scope="module")
def running() -> Iterator[ModelServer]:
    """Run one server for all tests here."""
    with ModelServer() as server:
        yield server


@pytest.fixture
def server(running: ModelServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    """Return the server as it is by default, keeping requests; what asked it is closed at the end."""
    for name in [name for name in os.environ if name.startswith("OPENAI_")]:
        monkeypatch.delenv(name)
    running.configure(keep_bodies=100)
    yield running
    judged._caller(os.getpid(), "any", running.url, None, 16).close()
    judged._caller.cache_clear()


def score(server: ModelServer, row: dict[str, Any], text: str) -> dict[str, Any]:
    """Return what verl is told about a text, judged by the server."""
    return asyncio.run(judged.compute_score(**row, solution_str=text, judge="any", judge_base_url=server.url))


def test_the_judge_scores_a_message(server: ModelServer) -> None:
    """The reward is the judge's score, who was shown the conversation, the expert's message and the policy's."""
    pivot = pivot_with("message")
    row = verl_row(pivot, AGENTIC)
    found = score(server, row, ANSWER)
    (body,) = server.stats()["bodies"]
    shown = str(body)
    assert ANSWER in shown
    asked = next(item["content"] for item in pivot.input if item.get("role") == "user")
    assert str(asked)[:20] in shown
    expected = pivot.expected_action.message or ""
    assert expected[:20] in shown
    by_keywords = verl.compute_score(**row, solution_str=ANSWER)
    assert found["score"] != by_keywords["score"]
    explained = AgenticGrader().grade_message(expected, ANSWER, float(found["score"]), "")
    assert (explained.reward, explained.category) == (found["score"], found["category"])
    assert found.keys() == by_keywords.keys()


def test_all_else_is_not_judged(server: ModelServer) -> None:
    """Calls, blank messages, and messages where a call is expected are graded as without a judge, who is not asked."""
    for kind, text in (("function_call", ANSWER), ("message", " "), ("message", '<tool_call>\n{"name": "a"}')):
        row = verl_row(pivot_with(kind), AGENTIC)
        assert score(server, row, text) == verl.compute_score(**row, solution_str=text)
    call = pivot_with("function_call")
    assert score(server, verl_row(call, AGENTIC), as_text(call.expected_action))["score"] == 1.0
    assert server.stats()["requests"] == 0


def test_a_batch_of_trl(server: ModelServer) -> None:
    """Each completion has its own verdict, in the order of the batch; one that is None has none."""
    message, call = pivot_with("message"), pivot_with("function_call")
    columns = trl_columns(message, call, message, message, grader=AGENTIC)
    texts = [ANSWER, as_text(call.expected_action), None, message.expected_action.message]
    ask = partial(judged.reward, judge="any", judge_base_url=server.url)
    metrics: dict[str, float] = {}
    found = asyncio.run(ask(texts, **columns, log_metric=metrics.__setitem__))
    alone = score(server, verl_row(message, AGENTIC), ANSWER)["score"]
    assert found == [alone, 1.0, None, 1.0]
    assert metrics["fcpivot/calls"] == pytest.approx(1 / 3)
    assert server.stats()["requests"] == 3


def test_no_verdict_is_no_reward(server: ModelServer) -> None:
    """A judge that refuses ends the training with its own error, which says at which pivot."""
    server.configure(faults=[{"kind": "401", "times": -1}])
    pivot = pivot_with("message")
    with pytest.raises(openai.AuthenticationError) as caught:
        score(server, verl_row(pivot, AGENTIC), ANSWER)
    assert f"pivot {pivot.id}" in caught.value.__notes__[-1]


def test_a_grader_without_scores_for_messages(server: ModelServer) -> None:
    """Under nemo-gym there is nothing to judge: to ask for it is an error, and not ignored."""
    with pytest.raises(OptionError, match="nemo-gym:any-order does not score messages"):
        score(server, verl_row(pivot_with("message"), NEMO_GYM), ANSWER)


def test_a_row_without_its_conversation(server: ModelServer) -> None:
    """Rows for another grader lack what the judge has to read: the error names the column."""
    row = verl_row(pivot_with("message"), NEMO_GYM)
    with pytest.raises(DataError, match="conversation_json is missing; export the rows again"):
        score(server, row | {"grader": "agentic"}, ANSWER)


def test_unknown_settings() -> None:
    """A setting that neither function knows is an error before anybody is asked."""
    row = verl_row(pivot_with("message"), AGENTIC)
    with pytest.raises(OptionError, match=r"unknown reward_kwargs: juge; known: .*judge_base_url"):
        asyncio.run(judged.compute_score(**row, solution_str=ANSWER, juge="any"))


def test_trl_takes_it_for_asynchronous() -> None:
    """TRL awaits the function, also with a fixed judge; the plain one it calls."""
    found = taken(package("trl") / "trainer" / "utils.py", "is_async_callable", functools=functools, inspect=inspect)[
        "is_async_callable"
    ]
    assert found(judged.reward)
    assert found(partial(judged.reward, judge="any"))
    assert not found(trl.reward)
