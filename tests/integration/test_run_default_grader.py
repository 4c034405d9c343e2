"""Without --fc-grader the data decide: agentic for turns of conversations, nemo-gym for rows that are pivots."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from pivot_project import Project

pytest_plugins = ["pivot_project"]


def _conversation(own: str) -> dict[str, Any]:
    call = {"function": {"name": "add", "arguments": {"a": 1, "b": 2}}}
    return {
        "uuid": own,
        "messages": [
            {"role": "user", "content": 'call add {"a": 1, "b": 3}'},
            {"role": "assistant", "content": None, "tool_calls": [call]},
        ],
        "tools": [],
    }


@pytest.fixture
def data(project: Project) -> Project:
    """Return a project with the puppet, a file of conversations and one of pivots."""
    project.puppet(project.trajectories(2))
    project.data([_conversation("one"), _conversation("two")], "talks.jsonl")
    return project


def _graders(project: Project) -> set[str]:
    runs = (project.path / ".fcpivot").glob("*/run.json")
    return {json.loads(run.read_text("ascii"))["grader"]["name"] for run in runs}


@pytest.mark.parametrize(
    ("args", "grader", "mean"),
    [
        (["--fc-data=talks.jsonl"], "agentic", "0.7500"),
        (["talks.jsonl"], "agentic", "0.7500"),
        (["--fc-data=pivots.jsonl"], "nemo-gym:first-call", "1.0000"),
        (["--fc-data=talks.jsonl", "--fc-grader=nemo-gym"], "nemo-gym:first-call", "0.0000"),
        (["--fc-data=pivots.jsonl", "--fc-grader=agentic"], "agentic", "1.0000"),
    ],
)
def test_by_the_data(data: Project, args: list[str], grader: str, mean: str) -> None:
    """The header, the summary and run.json name the grader that the data asked for, unless one was named."""
    result = data.run_here(*args, "--fc-agent=puppet:answer")
    result.stdout.fnmatch_lines(
        [f"fcpivot: *; grader {grader}", f"=* | puppet:answer | {grader} =*", f"mean reward {mean} *"]
    )
    assert _graders(data) == {grader}


def test_the_sample(project: Project) -> None:
    """The bundled sample is of pivots."""
    project.run_here("--fc-agent=silent", "--fc-limit=1").stdout.fnmatch_lines(["*; grader nemo-gym:first-call"])


def test_own_tests_over_conversations(data: Project) -> None:
    """Tests of the user's over conversations are graded by agentic too."""
    data.write("test_mine.py", "def test_mine(pivot, fc_action, fc_grade):\n    fc_grade(fc_action)\n")
    options = ["--fc-data=talks.jsonl", "--fc-agent=puppet:answer", "--fc-pass-mark=0.75"]
    data.run_here("test_mine.py", *options).assert_outcomes(passed=2)


def _prepared(project: Project, *names: str) -> str:
    assert project.command("prepare", *names, "-o", "both.parquet").ret == 0
    return "both.parquet"


@pytest.mark.parametrize("as_one", [False, True], ids=["files", "one-file"])
def test_data_that_disagree(data: Project, as_one: bool) -> None:
    """Data that ask for different graders, or one file of both, are refused with the way out, before any call."""
    names = [_prepared(data, "talks.jsonl", "pivots.jsonl")] if as_one else ["talks.jsonl", "pivots.jsonl"]
    options = [f"--fc-data={name}" for name in names]
    data.write("loud.py", 'def answer(pivot):\n    open("asked", "w")\n')
    result = data.run_here(*options, "--fc-agent=loud:answer", *([] if as_one else ["-n2"]))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    message = result.stderr.str()
    assert f"agentic by {names[0]}, and nemo-gym by {names[-1]}; name one for all of them with --fc-grader" in message
    assert "Traceback" not in message
    assert not (data.path / "asked").exists()
    data.run_here(*options, "--fc-agent=puppet:answer", "--fc-grader=agentic").assert_outcomes(passed=2, failed=2)


def test_a_run_that_goes_on(data: Project) -> None:
    """A run whose grader the data chose is replayed and resumed under it, and under no other by mistake."""
    options = ["--fc-data=talks.jsonl", "--fc-agent=puppet:answer"]
    data.run_here(*options, "--fc-run=run", "--fc-limit=2")
    for how in ("--fc-replay=run", "--fc-resume=run"):
        result = data.run_here(how)
        result.stdout.fnmatch_lines(["fcpivot: *; grader agentic", "mean reward 0.7500 *"])
    data.run_here("--fc-resume=run", "--fc-grader=agentic").stdout.fnmatch_lines(["mean reward 0.7500 *"])
    refused = data.run_here("--fc-resume=run", "--fc-grader=nemo-gym")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    assert 'grader: {"name": "agentic", "settings": {}} → {"name": "nemo-gym:first-call"' in refused.stderr.str()


def test_settings_of_another_grader(data: Project) -> None:
    """Settings that the grader of the data does not have are refused, naming it."""
    threshold = "--fc-grader-option=word_count_similarity_threshold=0.3"
    result = data.run_here("--fc-data=talks.jsonl", "--fc-agent=asks", threshold)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "grader agentic has no such setting" in result.stderr.str()


def test_over_gateways(data: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A worker with a directory of its own comes to the same grader."""
    pytest.importorskip("xdist.plugin")
    there: Path = tmp_path_factory.mktemp("there")
    for name in ("talks.jsonl", "puppet.py"):
        (there / name).write_bytes((data.path / name).read_bytes())
    gateways = ["-d", "--tx", f"popen//chdir={there}"]
    result = data.run_here("--fc-data=talks.jsonl", "--fc-agent=puppet:answer", *gateways)
    result.stdout.fnmatch_lines(["fcpivot: *; grader agentic", "mean reward 0.7500 *"])
