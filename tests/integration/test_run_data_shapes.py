"""Runs over data of other people's shapes: what the heading and the summary tell of them, and rows that are repeats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot import load_pivots

if TYPE_CHECKING:
    from pivot_project import Project

pytest_plugins = ["pivot_project"]

CASES = Path(__file__).parents[3] / "shared" / "cases" / "rows"
ASKED = {"role": "user", "content": "Add one."}
TOOLS = [{"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}]


def _talk(own: str, arguments: str) -> dict[str, Any]:
    call = {"function": {"name": "add", "arguments": arguments}}
    turns = [ASKED, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "content": "1"}]
    return {"uuid": own, "messages": [*turns, {"role": "assistant", "content": "One."}], "tools": TOOLS}


def test_what_is_told_of_the_data(project: Project) -> None:
    """Turns that were left out and doubtful answers are told where a run is read: heading, summary and run.json."""
    project.data([_talk("a", "{'a': 1}"), _talk("b", '"{\\"a\\": 1}"')])
    result = project.run_here("--fc-data=pivots.jsonl", "--fc-agent=asks", "--fc-grader=nemo-gym", "--fc-run=run")
    note = (
        "1 assistant turns left out (the arguments of … are not JSON: 1); "
        "1 pivots expect arguments that are JSON encoded twice, which no call matches"
    )
    result.stdout.fnmatch_lines([f"fcpivot: pivots.jsonl: {note}", f"data pivots.jsonl: {note}"])
    assert json.loads((project.path / "run" / "run.json").read_text())["data"][0]["note"] == note


def test_nothing_is_told_of_sound_data(project: Project) -> None:
    """A run over data without a fault says nothing of them."""
    project.data([_talk("a", '{"a": 1}')])
    result = project.run_here("--fc-data=pivots.jsonl", "--fc-agent=asks", "--fc-grader=nemo-gym", "--fc-run=none")
    assert "data pivots.jsonl:" not in result.stdout.str()


def test_rows_that_are_repeats(project: Project) -> None:
    """Rows that NeMo Gym repeated are asked that often, as one pivot; --fc-repeats beside them is refused."""
    row = project.row("say hello")
    project.data([{**row, "_ng_task_index": 0, "_ng_rollout_index": number} for number in range(3)])
    options = ("--fc-data=pivots.jsonl", "--fc-agent=asks", "--fc-run=none")
    result = project.run_here(*options, "-v")
    assert result.ret == 0
    assert result.stdout.str().count(" PASSED ") == 3
    result.stdout.fnmatch_lines(["pass@3 1.0000  pass^3 1.0000  (over 1 pivots)"])
    refused = project.run_here(*options, "--fc-repeats=3")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    assert "--fc-repeats=3: the rows of pivots.jsonl are 3 repeats of each pivot already" in refused.stderr.str()


def test_answers_that_were_read_differently(project: Project) -> None:
    """A replay says how many answers are read as something else than they were graded as, and grades what it reads."""
    rows = [_talk(own, '{"a": 1}') for own in ("a", "b")]
    project.data(rows)
    project.write("right.py", "def answer(pivot):\n    return {'name': 'add', 'arguments': {'a': 1}}\n")
    options = ("--fc-data=pivots.jsonl", "--fc-agent=right:answer", "--fc-grader=nemo-gym", "--fc-run=run")
    project.run_here(*options)
    results = project.path / "run" / "results.jsonl"
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    for line in lines:
        if line["pivot_id"].endswith("-d0"):
            line |= {"action": {"type": "message", "content": "Let me see."}, "reward": 0.0, "outcome": "failed"}
    results.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = project.run_here("--fc-replay=run", "--fc-run=none", "--junitxml=cases.xml")
    result.stdout.fnmatch_lines(
        [
            "*      2  answers read differently than when they were recorded; graded as they are read now",
            "passed 2, failed 2, *",
        ]
    )
    properties = {each.get("name"): each.get("value") for each in project.junit().iter("property")}
    assert properties["fc.read_differently"] == "2"
    assert "read differently" not in project.run_here("--fc-replay=run", "--fc-run=none", "-k", "d1").stdout.str()


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not there")
def test_the_shared_cases() -> None:
    """Every row of the shared cases is read, and no expected call has become a message or lost its tools."""
    for path in sorted(CASES.glob("*.jsonl")):
        pivots = load_pivots(path)
        assert pivots, path
        for pivot in pivots:
            assert pivot.tools, path
            assert not any("tool" in json.dumps(item) and "tool_use" in json.dumps(item) for item in pivot.input), path
        calls = [call.name for pivot in pivots for call in pivot.expected_action.calls]
        if path.stem not in ("own_submit_message_tool", "system_beside_messages", "undecodable_gold_turn"):
            assert calls == ["book_table"], path
