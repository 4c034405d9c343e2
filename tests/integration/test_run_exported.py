"""Runs that are exported as rollouts of NeMo Gym, and replayed from them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_fcpivot.runs.reader import ResultLine, results_in

if TYPE_CHECKING:
    from pivot_project import Project

pytest_plugins = ["pivot_project"]

# Answers in the forms of several APIs, by the pivot's place among the first of the sample.
AGENT = """
import json

SEEN = []

def answer(pivot):
    if pivot.id not in SEEN:
        SEEN.append(pivot.id)
    name = pivot.tools[0]["name"] if pivot.tools else "find"
    call = {"id": "x", "type": "function", "function": {"name": name, "arguments": "{}"}}
    message = {"type": "message", "id": "m", "content": [{"type": "output_text", "text": "So.", "annotations": []}]}
    answers = [
        "What can I do?",
        None,
        {"type": "malformed_output", "text": "<tool_call>{"},
        {"choices": [{"message": {"role": "assistant", "content": "I look.", "tool_calls": [call, call]}}]},
        {"id": "r", "model": "m", "output": [{"type": "reasoning", "id": "t", "summary": []}, message]},
        [{"type": "function_call", "name": "submit_message", "arguments": json.dumps({"message": "Done."})}],
        {"choices": [{"finish_reason": "length", "message": {"role": "assistant", "content": "cut"}}]},
        [{"type": "function_call", "name": name, "arguments": "{"}],
    ]
    if len(SEEN) > len(answers):
        raise RuntimeError("no answer")
    return answers[SEEN.index(pivot.id)]
"""


def verdicts(project: Project, run: str) -> dict[tuple[str, int], tuple[float, str | None]]:
    """Return reward and category of each graded repeat of a run."""
    found = [line for _, line in results_in(project.path / run / "results.jsonl")]
    lines = [line for line in found if isinstance(line, ResultLine)]
    assert len(lines) == len(found)
    return {(each.pivot_id, each.repeat): (each.reward, each.category) for each in lines if each.reward is not None}


@pytest.mark.parametrize("grader", ["nemo-gym", "agentic"])
def test_a_replay_of_exported_rollouts(project: Project, grader: str) -> None:
    """A replay of the rollouts of a run gives each answer the reward and the category that it had in the run."""
    project.write("my_agent.py", AGENT)
    graded = "--fc-data=sample", f"--fc-grader={grader}", "--fc-limit=9"
    project.run_here(*graded, "--fc-agent=my_agent:answer", "--fc-repeats=2", "--fc-retries=0", "--fc-run=run")
    found = project.command("export", "run", "--to", "nemo-gym-rollouts", "-o", "rollouts.jsonl")
    found.stdout.fnmatch_lines(["rollouts.jsonl: 16 rows", "note: left out: 2 results: an error, which has no grade"])
    project.run_here(*graded, "--fc-replay=rollouts.jsonl", "--fc-run=again")
    assert len(verdicts(project, "run")) == 16
    assert verdicts(project, "again") == verdicts(project, "run")
    rows = [json.loads(line) for line in (project.path / "rollouts.jsonl").read_text("utf-8").splitlines()]
    assert {row["_ng_rollout_index"] for row in rows} == {0, 1}
    assert [row["_ng_task_index"] for row in rows] == [number // 2 for number in range(16)]


def test_data_by_way_of_nemo_gym(project: Project) -> None:
    """A session over exported rows has the results that one over the data has, test by test."""
    project.command("export", "sample", "--to", "nemo-gym", "--limit", "20", "-o", "rows.jsonl")
    project.run_here("--fc-data=sample", "--fc-limit=20", "--fc-agent=baseline", "--fc-run=run")
    project.run_here("--fc-data=rows.jsonl", "--fc-agent=baseline", "--fc-run=again")
    assert verdicts(project, "again") == verdicts(project, "run")
