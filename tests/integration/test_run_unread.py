"""Answers that were not read as what the model meant: counted wherever results are, and bounded by --fc-max-unread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from model_service import Model
    from pivot_project import Project, Row

pytest_plugins = ["pivot_project", "model_service"]

CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'
TOLD = {
    "plain": "say hello",
    "call": f"say {CALL}",
    "broken": "say <tool_call>\noops\n</tool_call>",
    "cut": "cut I have booked the tab",
    "thought": "cut <think>They want a table",
}
# What each agent makes of the same answers: the action's kind, and what is counted.
READ: dict[str, dict[str, tuple[str, list[str]]]] = {
    "openai-chat": {
        "plain": ("message", []),
        "call": ("message", ["call_like"]),
        "broken": ("message", ["call_like"]),
        "cut": ("message", ["cut_off"]),
        "thought": ("none", ["cut_off"]),
    },
    "openai-prompt": {
        "plain": ("message", []),
        "call": ("function_call", []),
        "broken": ("none", ["malformed"]),
        "cut": ("message", ["cut_off"]),
        "thought": ("none", ["cut_off"]),
    },
}
SAID = {
    "malformed": "malformed: the calls that the model wrote could not be parsed; graded 0",
    "cut_off": "cut off at the limit of output tokens; graded as they are",
    "call_like": "messages that look like calls, graded as messages: use the server's tool parser, or "
    "--fc-agent=openai-prompt",
    "system_messages_moved": "asked with later system messages sent as user messages, because the server refused them",
}


def _rows(project: Project) -> list[Row]:
    rows = project.rows({name: ("say hello", told) for name, told in TOLD.items()})
    rows.append(project.row("say hello", id="later"))
    rows[-1]["responses_create_params"]["input"].insert(2, {"role": "developer", "content": "It is late."})
    rows[-1]["responses_create_params"]["input"].append({"role": "user", "content": "say hello"})
    return rows


def _check(project: Project, result: pytest.RunResult, lines: dict[str, Any], expected: dict[str, Any]) -> None:
    """Check what the results, the summary and JUnit say."""
    found = {name: (_kind(line), line.get("flags", [])) for name, line in lines.items()}
    assert found == expected
    rewards = {name: float(kind == "message") for name, (kind, _) in expected.items()}
    assert {name: line["reward"] for name, line in lines.items()} == rewards
    counts = {flag: sum(flag in flags for _, flags in expected.values()) for flag in SAID}
    suite = next(project.junit().iter("testsuite"))
    properties = {p.attrib["name"]: p.attrib["value"] for p in suite.findall("properties/property")}
    for flag, said in SAID.items():
        line = f"  {counts[flag]:>7}  {said}"
        assert (line in result.outlines) is (counts[flag] > 0), flag
        assert properties.get(f"fc.{flag}") == (str(counts[flag]) if counts[flag] else None)


def _kind(line: dict[str, Any]) -> str:
    action = line["action"]
    return "none" if action is None or action["type"] == "malformed_output" else str(action["type"])


@pytest.mark.parametrize("agent", READ)
def test_counted(project: Project, model: Model, agent: str) -> None:
    """Results, summary and JUnit say what was odd about which answers, and a replay of the run says the same."""
    model.configure(late_system="System message must be at the beginning.")
    project.data(_rows(project))
    expected: dict[str, Any] = {**READ[agent], "later": ("message", ["system_messages_moved"])}
    result = project.run_here("--fc-data=pivots.jsonl", *model.options(agent), "--junitxml=cases.xml")
    _check(project, result, model.results(project), expected)
    asked = model.stats()["requests"]
    result = project.run_here("--fc-data=pivots.jsonl", "--fc-replay=the-run", "--fc-run=again", "--junitxml=cases.xml")
    _check(project, result, model.results(project, "again"), expected)
    assert model.stats()["requests"] == asked


@pytest.mark.parametrize(
    ("bound", "stops"), [("--fc-max-unread=2", True), ("--fc-max-unread=30%", True), ("--fc-max-unread=50%", False)]
)
def test_bounded(project: Project, model: Model, bound: str, stops: bool) -> None:
    """More malformed, cut-off and call-like answers together than the bound allows end the run, and it says why."""
    rows = project.rows({f"p{n}": ("say hello", told) for n, told in enumerate([*TOLD.values()] * 2)})
    rows = [row for row in rows if row["id"] not in ("p5", "p6", "p7")]  # call-like twice, cut off three times
    project.data(rows)
    result = project.run_here("--fc-data=pivots.jsonl", *model.options("openai-chat"), bound)
    said = f"3 malformed, cut-off or call-like answers: a run of 7 tests may have no more than {bound}"
    if stops:
        assert result.ret == pytest.ExitCode.INTERRUPTED
        assert said in model.output(result)
    else:
        assert said not in model.output(result)


def test_a_field_to_leave_out(project: Project, model: Model) -> None:
    """A server that refuses a field makes errors that name the option, with which every request is answered."""
    model.configure(refuse_params=["parallel_tool_calls"])
    project.data(project.rows({"calls": ('call add {"a": 1}', None)}))
    result = project.run_here("--fc-data=pivots.jsonl", *model.options("openai-chat"))
    result.assert_outcomes(errors=1)
    remedy = "the server does not take 'parallel_tool_calls': leave it out with --fc-omit=parallel_tool_calls"
    assert remedy in model.output(result)
    assert remedy in model.results(project)["calls"]["error"]
    options = model.options("openai-chat", run="again")
    result = project.run_here("--fc-data=pivots.jsonl", *options, "--fc-omit=parallel_tool_calls", "--fc-omit=seed")
    result.assert_outcomes(passed=1)
