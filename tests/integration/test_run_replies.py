"""What a reply of the model's server means for a run: an answer, a fault, or the end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from model_service import Model
    from pivot_project import Project

pytest_plugins = ["pivot_project", "model_service"]

CALL = '{"name": "add", "arguments": {"a": 1}}'


def _reply(name: str, status: int, error: Any, **fields: Any) -> dict[str, Any]:
    """Return the rule by which the server gives this reply to whoever says the name, every time."""
    return {
        "kind": "reply",
        "match": f"<{name}>",
        "times": -1,
        "status": status,
        "body": json.dumps({"error": error}),
        **fields,
    }


def _groq(message: str, **fields: Any) -> dict[str, Any]:
    return {"message": message, "type": "invalid_request_error", "code": "tool_use_failed", **fields}


def _llama(message: str) -> dict[str, Any]:
    return {"code": 500, "message": message, "type": "server_error"}


REPLIES = [
    _reply("unparsed", 500, _llama("The model produced output that does not match the expected peg-native format")),
    _reply("broken", 400, _groq("Failed to call a function. Please adjust your prompt.", failed_generation="<add{a")),
    _reply("refused", 400, _groq("Tool choice is none, but model called a tool", failed_generation=CALL)),
    _reply("hidden", 400, _groq("Tool choice is none, but model called a tool")),
    _reply("history", 500, _llama("Failed to parse tool call arguments as JSON: unexpected end of input")),
    _reply("daily", 429, {"message": "daily limit"}, headers={"retry-after": "86400"}),
    _reply("list", 422, {"message": "never shown"}, body='[{"error": {"message": "No tools for this model"}}]'),
]
# id: outcome, category, cause
OUTCOMES: dict[str, tuple[str, str | None, str | None]] = {
    "fine": ("passed", "EXPECTED_CHAT_MESSAGE_FOUND", None),
    "unparsed": ("failed", "NO_ACTION_FOUND", None),
    "broken": ("failed", "NO_ACTION_FOUND", None),
    "refused": ("passed", "EXPECTED_TOOL_CALL", None),
    "hidden": ("error", None, "call refused"),
    "history": ("error", None, "history refused"),
    "daily": ("error", None, "rate limit"),
    "list": ("error", None, None),
}
ERRORS = {
    "hidden": "refused the model's call, and its reply does not hold the call",
    "history": "a call in the row's input has arguments that are not JSON",
    "daily": "the server asked for a wait of 1 day, 86400 s (retry-after: 86400), longer than the time limit",
    "list": "Error code: 422 - No tools for this model",
}


def test_replies(project: Project, model: Model) -> None:
    """Malformed output is graded and counted, asked once, and the same in a replay; every error says what came."""
    model.configure(faults=REPLIES)
    told = {name: "hello" if name == "fine" else f"<{name}>" for name in OUTCOMES}
    call = 'call add {"a": 1}'
    rows: dict[str, tuple[str, str | None]] = {
        name: (call if name in ("broken", "refused") else "say hello", f"say {words}") for name, words in told.items()
    }
    project.data(project.rows(rows))
    first, outcomes = project.run_cases("--fc-data=pivots.jsonl", *model.options("openai-chat"))
    found = model.results(project)
    assert {name: (line["outcome"], line["category"], line["cause"]) for name, line in found.items()} == OUTCOMES
    assert {line["attempts"] for line in found.values()} == {1}
    for name, words in ERRORS.items():
        assert words in found[name]["error"]
    assert found["broken"]["output"]["text"] == "<add{a"
    assert found["broken"]["flags"] == found["unparsed"]["flags"] == ["malformed"]
    assert found["broken"]["reward"] == 0
    suite = {item.attrib["name"]: item.attrib["value"] for item in project.junit().iter("property")}
    assert suite["fc.malformed"] == "2"
    assert suite["fc.graded"] == "4"
    counted = [
        "        2  malformed: the calls that the model wrote could not be parsed; graded 0",
        "        1  calls that the server refused, but showed in its error; graded as calls",
    ]
    first.stdout.fnmatch_lines(["odd answers", *counted], consecutive=True)

    asked = model.stats()["requests"]
    again, replayed = project.run_cases("--fc-replay=the-run")
    assert replayed == outcomes
    again.stdout.fnmatch_lines(["odd answers", *counted], consecutive=True)
    assert model.stats()["requests"] == asked


def test_a_reply_that_never_ends(project: Project, model: Model) -> None:
    """A reply that goes on for ever, a byte at a time, ends by the time limit of an attempt."""
    model.configure(faults=[{"kind": "endless", "times": -1}])
    project.data(project.rows({"endless": ("say hello", None)}))
    project.run_here("--fc-data=pivots.jsonl", *model.options("openai-chat"), "--fc-timeout=0.5", "--fc-retries=1")
    line = model.results(project)["endless"]
    assert (line["outcome"], line["cause"], line["attempts"]) == ("error", "timeout", 2)
    assert "gave no answer within 0.5 s (--fc-timeout)" in line["error"]


@pytest.mark.parametrize("args", [[], ["-n2"]], ids=["plain", "-n2"])
def test_the_same_refusal_of_everything(project: Project, model: Model, args: list[str]) -> None:
    """A server that refuses every request in the same way ends the run with one message that has its words."""
    words = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
    model.configure(faults=[{"kind": "reply", "times": -1, "status": 400, "body": json.dumps({"message": words})}])
    project.data(project.trajectories(*[4] * 5))
    result = project.run_here("--fc-data=pivots.jsonl", *model.options("openai-chat"), *args)
    text = model.output(result)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert f"in the same way, and answered none: Error code: 400 - {words}" in text
    assert text.count("answered none") == 1
    assert "INTERNALERROR" not in text


def test_a_refusal_beside_answers(project: Project, model: Model) -> None:
    """If the server answers some requests, refusals of the others are errors of their tests, and do not end the run."""
    refusal = {"kind": "reply", "match": "<no>", "times": -1, "status": 400, "body": '{"message": "too long"}'}
    model.configure(faults=[refusal])
    rows: dict[str, tuple[str, str | None]] = {f"p{n}": ("say hello", f"say <no> {n}") for n in range(20)}
    project.data(project.rows({"fine": ("say hello", None), **rows}))
    result = project.run_here("--fc-data=pivots.jsonl", *model.options("openai-chat"))
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=1, errors=20)
