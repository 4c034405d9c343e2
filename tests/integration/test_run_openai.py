"""Runs with the openai agents: what a server is asked, what comes of its answers, and settings that cannot be used."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot import Pivot, load_pivots

if TYPE_CHECKING:
    from model_service import Model, Result
    from pivot_project import Project, Row

pytest_plugins = ["pivot_project", "model_service"]

KEY = "sk-test-0123456789abcdef"
SAMPLED = 140


def _rows(project: Project) -> list[Row]:
    table: dict[str, tuple[str, str | None]] = {
        "calls": ('call add {"a": 1}', None),
        "says": ("say hello there", None),
        "wrong": ('call add {"a": 1}', 'call add {"a": 2}'),
    }
    return project.rows(table)


def _part(body: Any, names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name in names}


NAMES = ["add", "find", "book"]
REQUESTS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "openai": (
        ["--fc-message-tool"],
        {
            "max_output_tokens": 77,
            "reasoning": {"effort": "low"},
            "tool_choice": "required",
            "parallel_tool_calls": True,
            "store": False,
        },
    ),
    "openai-chat": (
        ["--fc-tool-choice=add", "--fc-repeats=2", "--fc-seed=41"],
        {
            "max_tokens": 77,
            "reasoning_effort": "low",
            "tool_choice": {"type": "function", "function": {"name": "add"}},
            "parallel_tool_calls": True,
        },
    ),
    "openai-prompt": ([], {"max_tokens": 77, "reasoning_effort": "low"}),
}


@pytest.mark.parametrize("agent", REQUESTS)
def test_options(project: Project, model: Model, monkeypatch: pytest.MonkeyPatch, agent: str) -> None:
    """What the options and the environment say arrives at the server, in the words of the agent's API."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("TEAM", "evaluation-7")
    monkeypatch.setenv("FC_TOP_P", "0.9")
    monkeypatch.setenv("FC_PARALLEL_TOOL_CALLS", "true")
    project.data(_rows(project))
    more, expected = REQUESTS[agent]
    result = project.run_here(
        "--fc-data=pivots.jsonl",
        *model.options(agent),
        "--fc-temperature=0.3",
        "--fc-max-output-tokens=77",
        "--fc-reasoning-effort=low",
        '--fc-extra-body={"metadata": {"why": "a test"}, "user": "nobody"}',
        "--fc-header=X-Team: ${TEAM}/a",
        "--fc-header=x-plain:1",
        *more,
    )
    repeats = 2 if agent == "openai-chat" else 1
    result.assert_outcomes(passed=2 * repeats, failed=repeats)
    suffixes = ["", "[r2]"][:repeats]
    names = {f"{row}{suffix}" for row in ("calls", "says", "wrong") for suffix in suffixes}
    assert model.results(project).keys() == names
    stats = model.stats()
    bodies, headers = stats["bodies"], stats["headers"]
    assert len(bodies) == len(names)
    everywhere = {"model": "puppet", "stream": False, "temperature": 0.3, "top_p": 0.9}
    everywhere |= {"metadata": {"why": "a test"}, "user": "nobody"}
    expected = everywhere | expected
    conversation = {"input", "messages", "tools", "seed"}
    assert [_part(body, body.keys() - conversation) for body in bodies] == [expected] * len(bodies)
    for sent in headers:
        assert _part(sent, {"authorization", "x-team", "x-plain"}) == {
            "authorization": f"Bearer {KEY}",
            "x-team": "evaluation-7/a",
            "x-plain": "1",
        }
    _check_tools(agent, bodies)


def _check_tools(agent: str, bodies: list[Any]) -> None:
    """Check that the tools are offered in the API's own form, and that the repeats have seeds of their own."""
    tools = [body.get("tools", []) for body in bodies]
    if agent == "openai":
        assert [[tool["name"] for tool in offered] for offered in tools] == [[*NAMES, "submit_message"]] * 3
    elif agent == "openai-chat":
        assert [[tool["function"]["name"] for tool in offered] for offered in tools] == [NAMES] * 6
        seeds: dict[str, set[int]] = {}
        for body in bodies:
            seeds.setdefault(body["messages"][-1]["content"], set()).add(body["seed"])
        assert list(seeds.values()) == [{41, 42}] * 3
    else:
        assert tools == [[]] * 3
        assert all('"name": "book"' in body["messages"][0]["content"] for body in bodies)


def test_tokens_latency_and_cost(project: Project, model: Model) -> None:
    """The server's token counts, its latency and the price of it all are recorded and summed up."""
    model.configure(latency={"seconds": 0.1}, faults=[{"kind": "500", "match": "hello", "retry_after": 0}])
    project.data(_rows(project))
    result = project.run_here("--fc-data=pivots.jsonl", *model.options(), "--fc-price=10000/5000/20000")
    result.assert_outcomes(passed=2, failed=1)
    found = model.results(project)
    # the server counts words: 5 of the system's, then the user's; it has half of what it is asked again in its cache
    assert {name: _tokens(line) for name, line in found.items()} == {
        "calls": (9, 0, 2),
        "says": (8, 4, 2),
        "wrong": (9, 0, 2),
    }
    assert all(0.1 <= line["latency_s"] < 10 for line in found.values())
    assert {name: line["attempts"] for name, line in found.items()} == {"calls": 1, "says": 2, "wrong": 1}
    cost = (22 * 10_000 + 4 * 5_000 + 6 * 20_000) / 1e6
    result.stdout.fnmatch_lines(
        ["latency: median 0.* s, 95 % within * s, longest * s", f"tokens: 26 in (4 cached), 6 out; cost {cost:.4f} USD"]
    )


def _tokens(line: Result) -> tuple[int, int, int]:
    usage = line["usage"]
    return usage["input_tokens"], usage["cached_tokens"], usage["output_tokens"]


# What a user writes who has a client of their own.
OWN_AGENT = """
import os

import openai

client = openai.AsyncOpenAI(base_url=os.environ["SERVER"], api_key="none", max_retries=0)


def sent(name):
    return name.replace(".", "_")


async def answer(pivot):
    tools = pivot.chat_tools
    messages = pivot.messages
    own = {sent(tool["function"]["name"]): tool["function"]["name"] for tool in tools}
    for tool in tools:
        tool["function"]["name"] = sent(tool["function"]["name"])
    for message in messages:
        for call in message.get("tool_calls", ()):
            call["function"]["name"] = sent(call["function"]["name"])
    offer = {"tools": tools} if tools else {}
    completion = await client.chat.completions.create(model="puppet", messages=messages, **offer)
    for call in completion.choices[0].message.tool_calls or ():
        call.function.name = own.get(call.function.name, call.function.name)
    return completion
"""


def _recorded_answers() -> dict[str, Any]:
    """Make an answer for each conversation of the sample's first pivots, right and wrong by turns."""
    from model_server import conversation_key  # noqa: PLC0415 (found by way of model_service)

    answers: dict[str, Any] = {}
    for number, pivot in enumerate(islice(load_pivots(), SAMPLED)):
        answers[conversation_key(pivot.input)] = _answer(pivot, number % 4)
    assert len(answers) == SAMPLED
    return answers


def _answer(pivot: Pivot, kind: int) -> dict[str, Any]:
    expected = pivot.expected_action
    name = pivot.tools[0]["name"] if pivot.tools else "nowhere.to_be_found"
    if kind == 3:  # a call that is wrong, of a tool that the pivot has
        return {"type": "function_call", "name": name, "arguments": '{"unheard": ["of"]}'}
    if not expected.calls:
        return {"type": "message", "content": "Yes, of course."}
    if kind == 2:
        return {"type": "function_call", "name": expected.calls[0].name, "arguments": '{"broken": '}
    calls = [{"type": "function_call", "name": call.name, "arguments": call.arguments} for call in expected.calls]
    return {"type": "function_call_batch", "calls": calls}


def test_the_same_rewards_however_the_model_is_asked(
    project: Project, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By Responses, by Chat Completions and by a client of the user's own, every pivot earns the same reward."""
    answers = project.write("answers.json", json.dumps(_recorded_answers()))
    project.write("own.py", OWN_AGENT)
    monkeypatch.setenv("SERVER", model.url)
    rewards: dict[str, dict[str, float | None]] = {}
    costs: dict[str, float] = {}
    for run, agent in (("first", "openai"), ("second", "openai-chat"), ("third", "own:answer")):
        model.configure(answers=str(answers), identity="key", keep_bodies=0)
        options = [*model.options(agent, run=run), f"--fc-limit={SAMPLED}", "--fc-price=1/0.5/2"]
        # The own agent never closes its client, as few do; in a process of its own, its connections end with that.
        result = project.run(*options) if agent == "own:answer" else project.run_here(*options)
        lines = model.results(project, run)
        rewards[agent] = {name: line["reward"] for name, line in lines.items()}
        tokens = [sum(column) for column in zip(*map(_tokens, lines.values()), strict=True)]
        costs[agent] = (tokens[0] + 2 * tokens[2]) / 1e6
        assert model.stats()["statuses"] == {"200": SAMPLED}
        result.stdout.fnmatch_lines(
            [f"tokens: {tokens[0]:,} in (0 cached), {tokens[2]:,} out; cost {costs[agent]:.4f} USD"]
        )
    assert rewards["openai"] == rewards["openai-chat"] == rewards["own:answer"]
    assert len(rewards["openai"]) == SAMPLED
    assert any("." in line["tool"] and line["reward"] == 1 for line in lines.values() if line["tool"])
    assert sum(reward == 1 for reward in rewards["openai"].values()) > SAMPLED / 4
    assert sum(reward == 0 for reward in rewards["openai"].values()) > SAMPLED / 4
    assert min(costs.values()) > 0.001


def _refused(model: Model, result: pytest.RunResult) -> str:
    """Return the message of a session that was refused before any test, without a crash."""
    text = model.output(result)
    assert result.ret == pytest.ExitCode.USAGE_ERROR, text
    assert "INTERNALERROR" not in text
    assert "Traceback" not in text
    assert "collected" not in text
    return text


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--fc-extra-body={seed: 1}", "--fc-extra-body={seed: 1}: not JSON: "),
        ("--fc-extra-body=[1]", "--fc-extra-body=[1]: an object is needed"),
        ("--fc-header=x-team", "--fc-header: write NAME:VALUE, as in 'api-key:$GATEWAY_KEY'"),
        ("--fc-header=: me", "--fc-header: write NAME:VALUE"),
        ("--fc-header=x-team:$NOBODY_SET_THIS", "--fc-header=x-team: the environment has no variable NOBODY_SET_THIS"),
        ("--fc-price=cheap", "--fc-price=cheap: write the prices of a million tokens as INPUT/CACHED/OUTPUT"),
        ("--fc-price=1", "--fc-price=1: write the prices"),
        ("--fc-price=1/2/3/4", "--fc-price=1/2/3/4: write the prices"),
        ("--fc-price=1/-2/3", "--fc-price=1/-2/3: write the prices"),
        ("--fc-price=1/2 euros", "--fc-price=1/2 euros: write the prices"),
        ("--fc-price=1/2 €", "--fc-price=1/2 €: write the prices"),
        ("--fc-price=nan/1", "--fc-price=nan/1: write the prices"),
        ("--fc-price=inf/1", "--fc-price=inf/1: write the prices"),
        ("--fc-concurrency=0", "--fc-concurrency=0: must be 1 or more"),
        ("--fc-concurrency=many", "--fc-concurrency=many: a whole number is needed"),
        ("--fc-retries=-1", "--fc-retries=-1: must be 0 or more"),
        ("--fc-deadline=-1", "--fc-deadline=-1: must be 0 or more"),
        ("--fc-deadline=soon", "--fc-deadline=soon: a number of seconds is needed"),
        ("--fc-max-errors=x", "--fc-max-errors=x: write a number of tests, as in 20, or a share of them, as in 5%"),
        ("--fc-max-errors=120%", "--fc-max-errors=120%: write a number of tests"),
        ("--fc-max-errors=-1", "--fc-max-errors=-1: write a number of tests"),
        ("--fc-max-errors=%", "--fc-max-errors=%: write a number of tests"),
        ("--fc-max-unread=x", "--fc-max-unread=x: write a number of tests, as in 20, or a share of them, as in 5%"),
        ("--fc-repeats=0", "--fc-repeats=0: must be 1 or more"),
        ("--fc-temperature=hot", "--fc-temperature=hot: a number is needed"),
        ("--fc-top-p=1.5", "--fc-top-p=1.5: must be 1 or less"),
        ("--fc-max-output-tokens=0", "--fc-max-output-tokens=0: must be 1 or more"),
        ("--fc-parallel-tool-calls=perhaps", "--fc-parallel-tool-calls=perhaps: choose true or false"),
    ],
)
def test_a_value_that_cannot_be_used(project: Project, model: Model, option: str, message: str) -> None:
    """A value that cannot be used is named with its option and what is accepted, before anything is asked."""
    assert message in _refused(model, project.run_here("--fc-agent=asks", option))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--fc-model=m"], "OPENAI_API_KEY is not set; set it, or pass the base URL of a server that needs no key"),
        (["--fc-base-url=http://localhost:1/v1"], "--fc-agent=openai needs a model: pass --fc-model=NAME"),
        (["--fc-model=m", "--fc-omit=stop"], "--fc-omit=stop: no request has it; of the requests of openai, these"),
        (["--fc-model=m", "--fc-base-url=localhost:8000/v1"], "the base URL 'localhost:8000/v1' is not a URL"),
        (["--fc-model=m", "--fc-base-url=ftp://localhost/v1"], "write it with http:// or https://"),
        (["--fc-model=m", "--fc-base-url=http://"], "is not a URL of a server"),
        (["--fc-model=m", "--fc-base-url=http://localhost:x/v1"], "is not a URL of a server"),
        (["--fc-model=m", '--fc-extra-body={"stream": true}'], "--fc-extra-body: stream must be false"),
        (
            ["--fc-model=m", '--fc-extra-body={"n": 2}'],
            "n must be 1, not 2: one answer is graded; to ask several times",
        ),
    ],
)
def test_an_endpoint_that_cannot_be_asked(project: Project, model: Model, args: list[str], message: str) -> None:
    """Without a key, a model or a usable URL, or for more than one answer, there is no run; a message says why."""
    assert message in _refused(model, project.run_here("--fc-agent=openai", *args))


def test_the_server_to_try(project: Project) -> None:
    """The line of docs/servers.md starts a server that the line below it asks, with no key, on another port."""
    root = Path(__file__).parents[2]
    page = (root / "docs" / "servers.md").read_text(encoding="utf-8")
    found = re.search(
        r"(?m)^python (fixtures/model_server\.py --port) 8000 &.*\npytest (.*http://localhost:8000/v1.*)$", page
    )
    assert found is not None
    command = [sys.executable, *found[1].split(), "0"]
    with subprocess.Popen(
        command, cwd=root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, encoding="utf-8"
    ) as server:
        try:
            assert server.stdout is not None
            url = re.findall(r"http://localhost:\d+/v1", server.stdout.readline())[0]
            options = found[2].partition("  #")[0].replace("http://localhost:8000/v1", url).split()
            result = project.run_here(*options, "--fc-limit=5")
        finally:
            server.terminate()
    outcomes = result.parseoutcomes()
    assert outcomes.get("passed", 0) + outcomes.get("failed", 0) == 5
    assert "errors 0" in result.stdout.str()


def test_without_the_openai_package(project: Project, model: Model) -> None:
    """Where the openai package is missing, the message says how to install it."""
    project.write("conftest.py", "import sys\n\nsys.modules['openai'] = None  # as if it were not there\n")
    text = _refused(model, project.run("--fc-agent=openai", "--fc-model=m", "--fc-base-url=http://localhost:1/v1"))
    assert "--fc-agent=openai needs the openai package: pip install 'pytest-fcpivot[openai]'" in text


def test_a_server_that_is_not_there(project: Project, model: Model) -> None:
    """A wrong address ends the run early with one message that names it, not with an error for each pivot."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
    more = ["--fc-limit=40", "--fc-retries=1"]
    result = project.run_here(*model.options("openai-chat"), f"--fc-base-url={url}", *more)  # nobody listens any more
    text = model.output(result)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert "no call can succeed" in text
    assert "is the service running there? check the API's address (--fc-base-url)" in text
    assert "INTERNALERROR" not in text
    assert sum(result.parseoutcomes().values()) <= 4
