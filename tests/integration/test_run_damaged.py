"""Sessions over a run with damaged lines: replays refuse them or say what is left out, resumed runs ask again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from pivot_project import Project

pytest_plugins = ["pivot_project"]

TABLE: dict[str, tuple[str, str | None]] = {f"p{n}": (f"say this is {n}", None) for n in range(6)}
DEEP = b"[" * 100_000 + b"\n"


@pytest.fixture
def damaged(project: Project) -> Path:
    """Return the results of a run of six right answers, of which two lines are damaged and the last is torn."""
    project.run_here(*project.puppet(project.rows(TABLE)), "--fc-run=run")
    path = project.path / "run" / "results.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = DEEP
    lines[3] = json.dumps(json.loads(lines[3]) | {"retried": 3}).encode() + b"\n"
    lines[5] = lines[5][:-30]
    path.write_bytes(b"".join(lines))
    return path


def told(result: pytest.RunResult) -> str:
    """Return what a session showed."""
    return result.stdout.str() + result.stderr.str()


def test_a_replay_refuses_damaged_lines(project: Project, damaged: Path) -> None:
    """It says which they are and what to do, runs nothing, and with leave says what its figures lack."""
    result = project.run_here("--fc-replay=run")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    text = told(result)
    assert "run: 2 damaged lines (1 of them without a test's name: if such a test has an earlier" in text
    assert "results.jsonl:2: an object is needed, not a list" in text
    assert "results.jsonl:4: retried: a list is needed, not a whole number" in text
    assert "--fc-resume" in text
    assert "--fc-allow-damaged" in text

    result = project.run_here("--fc-replay=run", "--fc-allow-damaged", "--fc-run=again")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "fcpivot: 2 damaged lines (1 of them *; left out:",
            "fcpivot:   *run/results.jsonl:2: an object is needed, not a list",
            "fcpivot:   *run/results.jsonl:4: retried: a list is needed, not a whole number",
            "fcpivot: its last line is incomplete (* bytes) and is left out",
            "errors (no answer to grade)",
            "*its stored answer cannot be read (line 4): retried: a list is needed, not a whole number",
            "passed 3, failed 0, errors 1; *",
            "left out of these figures: 2 damaged lines *",
        ]
    )


def test_a_resumed_run_asks_again(project: Project, damaged: Path) -> None:
    """What was in damaged lines is asked again, which is said; then the run is whole, but for a line without a test."""
    calls = project.path / "run" / "calls"
    calls.mkdir()
    (calls / "main-1.jsonl").write_bytes(DEEP)
    result = project.run_here("--fc-resume=run")
    assert result.ret == 0, told(result)
    result.stdout.fnmatch_lines(
        [
            "fcpivot: resumes run, 3 answers kept",
            "fcpivot: 2 damaged lines (1 of them *; their tests run again:",
            "fcpivot:   *run/results.jsonl:2: an object is needed, not a list",
            "fcpivot:   *run/results.jsonl:4: retried: a list is needed, not a whole number",
            "fcpivot: 1 damaged line in calls/; the agent is asked again:",
            "fcpivot:   *main-1.jsonl:1: an object is needed, not a list",
            "fcpivot: the last line of results.jsonl was incomplete (* bytes, *); its test runs again",
            "passed 6, failed 0, errors 0; pass rate 1.0000",
        ]
    )
    lines = [line for line in damaged.read_bytes().splitlines() if line.startswith(b"{")]
    assert len({json.loads(line)["test"] for line in lines}) == 6


@pytest.mark.parametrize("changed", [{"repeats": 10**400}, {"data": [{"name": "x"}]}, {"options": {"fc_data": 3}}])
def test_a_damaged_description(project: Project, changed: dict[str, Any]) -> None:
    """A run.json with a member that cannot be is a usage error that names it, to go on with it and to replay it."""
    (project.path / "run").mkdir()
    known = {"format": 1, "agent": "a", "grader": {"name": "nemo-gym", "settings": {}}, "data": [], "repeats": 1}
    project.write("run/run.json", json.dumps(known | {"options": {}} | changed))
    for option in ("--fc-resume=run", "--fc-replay=run"):
        result = project.run_here(option)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert f"run.json: not as pytest-fcpivot writes it: {next(iter(changed))}" in told(result)
