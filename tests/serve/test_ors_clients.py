"""Both official clients of the Open Reward Standard against a real server; skipped where they are not installed."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from typing import TYPE_CHECKING, Any

import pytest
from ors_server import Server, rows, serving, write_rows

from pytest_fcpivot import grade, load_pivots
from pytest_fcpivot.serve import submission

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

# What the client's packages warn of is not ours.
pytestmark = pytest.mark.filterwarnings("ignore")
KEY = "sk-judge-0123456789abcdef"
OTHER = "or-other-0123456789abcdef"
CLIENTS = ["ors", "openreward"]
LONG_RESULTS = 200


@pytest.fixture(autouse=True)
def _without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the client from asking the package index for a newer one of itself."""
    monkeypatch.setenv("OPENREWARD_DISABLE_UPDATE_CHECK", "1")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Serve the sample."""
    with serving("sample") as running:
        yield running


def with_environment(client: str, server: Server, do: Callable[[Any], Awaitable[Any]], name: str = "fcpivot") -> Any:
    """Do something with a client's environment, in an event loop of its own."""
    module = pytest.importorskip(
        "ors.client.environment" if client == "ors" else "openreward.api.environments.client", exc_type=ImportError
    )

    async def run() -> Any:
        if client == "ors":
            api = module.AsyncEnvironmentsAPI(server.url, api_key=None)
        else:
            api = module.AsyncEnvironmentsAPI(server.url, api_key="or-uninvited-0123456789", api_base_url=None)
        try:
            return await do(api.get(name) if client == "ors" else api.get(name, base_url=server.url))
        finally:
            for each in api._clients.values():
                await each.close()

    return asyncio.run(run())


@pytest.mark.parametrize("client", CLIENTS)
def test_tasks(client: str, server: Server) -> None:
    """A client sees splits, numbers, single tasks, ranges, and all tasks."""
    pivots = load_pivots()

    async def look(environment: Any) -> None:
        assert await environment.list_splits() == ["train"]
        assert await environment.num_tasks("train") == len(pivots)
        one = await environment.get_task("train", 7)
        assert one.task_spec["id"] == pivots[7].id
        assert [task.task_spec["id"] for task in await environment.list_tasks("train")] == [each.id for each in pivots]
        some = await environment.get_task_range("train", -2)
        assert [task.task_spec["id"] for task in some] == [each.id for each in pivots[-2:]]
        assert [tool.name for tool in await environment.list_tools()] == ["submit_message"]

    with_environment(client, server, look)


@pytest.mark.parametrize("client", CLIENTS)
def test_sessions(client: str, server: Server) -> None:
    """A client opens tasks, reads prompt and tools, and gets the library's rewards."""
    pivots = load_pivots()[::9]

    async def play(environment: Any) -> None:
        tasks = {task.task_spec["id"]: task for task in await environment.list_tasks("train")}
        for pivot in pivots:
            expected = pivot.expected_action
            secrets = {"openai_api_key": KEY}
            async with environment.session(task=tasks[pivot.id], secrets=secrets) as session:
                assert server.app.sessions.get(session.sid).key == KEY
                [block] = await session.get_prompt()
                assert block.detail == {"input": pivot.input}
                assert block.text.startswith("[system]\n")
                names = [tool.name for tool in await session.list_tools()]
                assert names == [*(tool["name"] for tool in pivot.tools), "submit_message"]
                assert len(await session.list_tools(format="openai")) == len(names)
                if expected.calls:
                    call = expected.calls[0]
                    result = await session.call_tool(call.name, json.loads(call.arguments))
                else:
                    result = await session.call_tool("submit_message", {"message": expected.message})
                wanted = grade(pivot, expected)
                assert (result.reward, result.metadata["category"]) == (wanted.reward, wanted.category)
                assert result.finished
                with pytest.raises(Exception, match="one submission"):
                    await session.call_tool("submit_message", {"message": "again"})
        assert len(server.app.sessions) == 0

    with_environment(client, server, play)


@pytest.mark.parametrize("client", CLIENTS)
def test_several_environments(client: str, tmp_path: Path) -> None:
    """A client gets the tasks of the environment that it names, and never those of another in their place."""
    data = write_rows(tmp_path / "rows.jsonl", rows({"type": "message", "content": "Hello"}))

    async def play(environment: Any) -> None:
        assert await environment.num_tasks("train") == 1
        async with environment.session(task=await environment.get_task("train", 0)) as session:
            [block] = await session.get_prompt()
            assert block.text == "[user]\nHello?"
        async with environment.session(split="train", index=0) as session:
            if client == "openreward":
                [block] = await session.get_prompt()
                assert block.text == "[user]\nHello?"
            else:  # it does not say of which environment it wants the task
                with pytest.raises(Exception, match="of the environment other, not of small"):
                    await session.get_prompt()

    with serving("other=sample", f"small={data}") as server:
        with_environment(client, server, play, "small")


@pytest.mark.parametrize(("client", "hosts"), [("ors", None), ("openreward", None), ("openreward", ["api.openai.com"])])
def test_secrets(
    client: str, hosts: Any, server: Server, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A client's key is kept for its session alone, and what else it sends is nowhere, also where the server fails."""
    caplog.set_level(logging.DEBUG)
    secrets = {
        "openai_api_key": (KEY, hosts) if hosts else KEY,
        "other": OTHER if client == "ors" else (OTHER, ["example.com"]),
    }

    async def play(environment: Any) -> None:
        async with environment.session(split="train", index=0, secrets=secrets) as session:
            opened = server.app.sessions.get(session.sid)
            assert opened.key == KEY
            opened.row = 10**9  # as if the data had been damaged
            with pytest.raises(Exception, match="500") as failed:
                await session.get_prompt()
            assert KEY not in str(failed.value)
        assert opened.key is None

    with_environment(client, server, play)
    ours = ("pytest_fcpivot", "uvicorn", "asyncio")
    texts = [record.getMessage() for record in caplog.records if record.name.startswith(ours)]
    assert any("/prompt failed" in text for text in texts)
    assert not [text for text in [*texts, *capfd.readouterr()] if KEY in text or OTHER in text]


def test_a_text_that_is_no_call(server: Server) -> None:
    """A client that knows of a tool for the final text submits a plain answer by it."""

    async def play(environment: Any) -> None:
        async with environment.session(split="train", index=3) as session:
            assert await session.is_assistant_message_final()
            assert (await session.call_terminal_tool("I need the phrase.")).reward == 1.0

    with_environment("openreward", server, play)


def test_messages(server: Server) -> None:
    """A client that asks for messages in the form of Chat Completions gets those that an agent in pytest gets."""
    pivots = load_pivots()

    async def play(environment: Any) -> None:
        for index in range(0, len(pivots), 5):
            async with environment.session(split="train", index=index) as session:
                found = await session.get_messages(format="openai")
                assert _with_values(found) == _with_values(pivots[index].view().messages)
                other = await session.get_messages(format="anthropic")
                assert len(other["messages"]) <= len(found)

    with_environment("openreward", server, play)


def _with_values(messages: list[dict[str, Any]]) -> list[Any]:
    """Decode the arguments of calls, whose blanks a client does not keep."""
    return [
        [
            *(message["role"], message["content"], message.get("tool_call_id")),
            *[
                (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
                for call in message.get("tool_calls", ())
            ],
        ]
        for message in messages
    ]


def test_messages_that_blocks_cannot_hold(tmp_path: Path) -> None:
    """A call whose arguments are no object is in the transcript, which the client takes as one message of the user."""
    broken = {"type": "function_call", "call_id": "c1", "name": "find", "arguments": "{"}
    [row] = rows({"type": "message", "content": "Hello"})
    row["responses_create_params"]["input"].append(broken)
    with serving(write_rows(tmp_path / "rows.jsonl", [row]), mode="generic") as other:

        async def play(environment: Any) -> None:
            async with environment.session(split="train", index=0) as session:
                [message] = await session.get_messages(format="openai")
                assert message["role"] == "user"
                assert "[assistant calls find]\n{" in message["content"]

        with_environment("openreward", other, play)


def test_messages_with_generic_tools(tmp_path: Path) -> None:
    """The functions of a task are in the message of the system, whether or not the conversation has one."""
    talks = rows({"type": "message", "content": "Hello"}, {"type": "message", "content": "Bye"})
    talks[1]["responses_create_params"]["input"].insert(0, {"role": "system", "content": "Be kind."})
    with serving(write_rows(tmp_path / "rows.jsonl", talks), mode="generic") as other, other.client() as client:
        for index, end in ((0, "There are none."), (1, "There are none.\n\nBe kind.")):
            client.open(split="train", index=index)
            first, second = client.ask("GET", "/messages").json
            assert (first["role"], first["blocks"][0]["text"]) == ("system", f"[functions]\n{end}")
            assert (second["role"], second["blocks"][0]["text"]) == ("user", "Hello?")


@pytest.mark.parametrize("client", CLIENTS)
def test_long_results(client: str, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results of any length come back to the byte, wherever their blanks are."""
    chance = random.Random(5)  # noqa: S311 (lengths and places of blanks)
    texts = [
        "".join(
            chance.choice(["x", " ", "   ", "\n", "é", '"', " " * 5000]) for _ in range(chance.randrange(4000, 9000))
        )
        for _ in range(8)
    ]
    texts += ["".join(chance.choices("x ", k=chance.randrange(4000, 30_000))) for _ in range(LONG_RESULTS - len(texts))]
    shown = iter(texts)
    monkeypatch.setattr(submission, "summary_of", lambda _: next(shown))

    async def play(environment: Any) -> None:
        async with environment.session(split="train", index=0) as session:
            for text in texts:
                result = await session.call_tool("submit_message", {"message": "x"})
                assert result.blocks[0].text == text
                server.app.sessions.get(session.sid).submission = None  # as if it had not been made

    with_environment(client, server, play)
