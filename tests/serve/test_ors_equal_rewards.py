"""An action has the same reward over ORS as in the library, on every pivot, in both kinds of tools."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from ors_server import Client, rows, serving, write_rows

from pytest_fcpivot import grade, load_pivots
from pytest_fcpivot.core.model import Action, FunctionCall
from pytest_fcpivot.data.selection import Selection
from pytest_fcpivot.data.synth import write_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_fcpivot.core.model import Pivot
    from pytest_fcpivot.serve.tools import Mode


def tries(pivot: Pivot) -> Iterator[Action]:
    """Yield what an agent may do at a pivot, right and wrong, as far as one call of a tool can carry it."""
    expected = pivot.expected_action
    yield Action(message="I can help with that.")
    yield Action((FunctionCall("no_such_function", "{}"),))
    if expected.message is not None:
        yield Action(message=expected.message)
        yield Action(message=expected.message[: len(expected.message) // 2])
    for call in expected.calls[:1]:
        arguments = json.loads(call.arguments)
        yield Action((call,))
        if isinstance(arguments, dict):
            yield Action((FunctionCall(call.name, arguments | {"extra": 1}),))
            yield Action((FunctionCall("no_such_function", arguments),))
            for key, value in arguments.items():
                yield Action((FunctionCall(call.name, arguments | {key: [value]}),))
                break


def submit(client: Client, mode: Mode, action: Action) -> dict[str, Any]:
    """Do an action by one call of a tool; returns the result."""
    given = None if action.message is not None else json.loads(action.calls[0].arguments)
    if action.message is not None:
        reply = client.call("submit_message", {"message": action.message})
    elif mode == "generic":
        reply = client.call("call_function", {"name": action.calls[0].name, "arguments": given})
    else:
        reply = client.call(action.calls[0].name, given)
    result: dict[str, Any] = reply.result
    return result


@pytest.mark.parametrize("mode", ["per-task", "generic"])
def test_the_sample(mode: Mode) -> None:
    """Every pivot of the sample: reward and category are those of the library."""
    pivots = load_pivots()
    compared = 0
    with serving("sample", mode=mode) as server, server.client() as client:
        for index, pivot in enumerate(pivots):
            for action in tries(pivot) if index % 8 == 0 else [pivot.expected_action]:
                client.open(split="train", index=index)
                output = submit(client, mode, action)["output"]
                wanted = grade(pivot, action)
                assert (output["reward"], output["metadata"]["category"]) == (wanted.reward, wanted.category), pivot.id
                client.ask("POST", "/delete")
                compared += 1
    assert compared > len(pivots)


def test_conversations(tmp_path: Path) -> None:
    """Turns of conversations, with partial credit: messages by keyword overlap, and several calls expected."""
    source = tmp_path / "talks.jsonl"
    write_file("agentic", 100, 3, source)
    pivots = load_pivots(source)
    with serving(source) as server, server.client() as client:
        assert client.ask("GET", "/list_environments").json == ["agentic"]
        for index, pivot in enumerate(pivots):
            for action in tries(pivot):
                client.open(split="train", index=index)
                output = submit(client, "per-task", action)["output"]
                wanted = grade(pivot, action, "agentic")
                assert (output["reward"], output["metadata"]["category"]) == (wanted.reward, wanted.category), pivot.id
        client.open(split="train", index=next(n for n, each in enumerate(pivots) if not each.expected_action.calls))
        assert client.call("submit_message", {"message": "Yes"}).result["output"]["metadata"]["judge"] == "keyword"


def test_pivots_that_one_call_cannot_answer(tmp_path: Path) -> None:
    """Batches are left out and counted, unless the grader can judge one call."""
    call = {"type": "function_call", "name": "find", "arguments": "{}"}
    batch = {"type": "function_call_batch", "calls": [call, call]}
    path = write_rows(tmp_path / "rows.jsonl", rows(batch, call))
    with serving(path) as server, server.client() as client:
        assert client.ask("POST", "/num_tasks", {"split": "train"}).json == {"num_tasks": 1}
        assert server.app.environments["fcpivot"].left_out == 1
    with serving(path, grader="nemo-gym:any-order") as server, server.client() as client:
        assert client.ask("POST", "/num_tasks", {"split": "train"}).json == {"num_tasks": 2}
        client.open(split="train", index=0)
        output = client.call("find", {}).result["output"]
        wanted = grade(
            load_pivots(path)[0], {"type": "function_call", "name": "find", "arguments": "{}"}, "nemo-gym:any-order"
        )
        assert (output["reward"], output["metadata"]["category"]) == (wanted.reward, wanted.category)


def test_undecodable_arguments_need_the_generic_tools(tmp_path: Path) -> None:
    """Arguments that are not JSON can only be carried as a text, by the generic tool."""
    call = {"type": "function_call", "name": "find", "arguments": "{}"}
    path = write_rows(tmp_path / "rows.jsonl", rows(call))
    with serving(path, mode="generic") as server, server.client() as client:
        client.open(split="train", index=0)
        output = client.call("call_function", {"name": "find", "arguments": '{"city": '}).result["output"]
        assert output["metadata"]["category"] == "ARGUMENTS_DECODE_ERROR"
        client.open(split="train", index=0)
        output = client.call("call_function", {"name": "find", "arguments": "[1]"}).result["output"]
        wanted = grade(load_pivots(path)[0], {"type": "function_call", "name": "find", "arguments": "[1]"})
        assert (output["reward"], output["metadata"]["category"]) == (wanted.reward, wanted.category)


def test_a_part_of_the_data(tmp_path: Path) -> None:
    """The selection of a session selects tasks too, and each split has the rows that name it."""
    message = {"type": "message", "content": "Hello"}
    path = write_rows(tmp_path / "rows.jsonl", rows(*[message] * 6))
    with serving(path, selection=Selection(limit=2)) as server, server.client() as client:
        assert client.ask("POST", "/num_tasks", {"split": "train"}).json == {"num_tasks": 2}
        unselected = load_pivots(path)[5].id
        assert client.open(task_spec={"id": unselected}).json["reason"] == "bad_task_spec"


ODD_ARGUMENTS = [
    "{}",
    '{"n": 1}',
    '{"n": 1.0}',
    '{"n": 1E2}',
    '{"n": 100}',
    '{"n": -0.0}',
    '{"n": 0}',
    '{"n": 1e400}',
    '{"n": -1e400}',
    '{"n": Infinity}',
    '{"n": NaN}',
    '{"n": 0.1000000000000000055511151231257827021181583404541015625}',
    '{"n": 0.1}',
    '{"n": 9007199254740993}',
    '{"n": 9007199254740992}',
    '{"n": ' + "9" * 4300 + "}",
    '{"n": true}',
    '{"n": "1"}',
    '{"n": null}',
    '{"n": "\\ud800"}',
    '{"n": "\\ud83d\\ude00"}',
    '{"n": "\u00e9"}',
    '{"n": "e\u0301"}',
    '{"n": "\\u0000"}',
    '{"n": 2, "n": 1}',
    '{"n": {"n": {"n": [[[{}]]]}}}',
    '{"n": [1, [2, {"a": []}]]}',
    '{"": 1}',
    '{"n": ' + "[" * 300 + "]" * 300 + "}",
]


@pytest.mark.parametrize("grader", ["nemo-gym", "nemo-gym:any-order", "agentic"])
def test_odd_arguments(tmp_path: Path, grader: str) -> None:
    """Arguments are graded as by the library from the same text, although they come inside other JSON."""
    expected = [ODD_ARGUMENTS[number] for number in (0, 1, 5, 7, 10, 13, 20, 22, 26)]
    given = rows(*({"type": "function_call", "name": "find", "arguments": text} for text in expected))
    path = write_rows(tmp_path / "rows.jsonl", given)
    pivots = load_pivots(path)
    assert len(pivots) == len(expected)
    rewards = set()
    with serving(path, grader=grader) as server, server.client() as client:
        for index, pivot in enumerate(pivots):
            client.open(split="train", index=index)
            for text in ODD_ARGUMENTS:
                reply = client.ask("POST", "/call", b'{"name": "find", "input": ' + text.encode() + b"}")
                output = reply.result["output"]
                wanted = grade(pivot, {"type": "function_call", "name": "find", "arguments": text}, grader)
                assert (output["reward"], output["metadata"]["category"]) == (wanted.reward, wanted.category), text
                rewards.add(wanted.reward)
                server.app.sessions.get(client.sid).submission = None  # as if it had not been made
    assert len(rewards) > 1


def test_a_message_as_a_call(tmp_path: Path) -> None:
    """The generic tool with the name of the tool for messages is a message, as it is in pytest."""
    path = write_rows(tmp_path / "rows.jsonl", rows({"type": "message", "content": "Hello there"}))
    with serving(path, mode="generic", grader="agentic") as server, server.client() as client:
        client.open(split="train", index=0)
        given = {"name": "submit_message", "arguments": {"message": "Hello there"}}
        output = client.call("call_function", given).result["output"]
        wanted = grade(load_pivots(path)[0], {"type": "function_call", **given}, "agentic")
        assert (output["reward"], output["metadata"]["category"]) == (wanted.reward, wanted.category)
        assert output["reward"] == 1.0
