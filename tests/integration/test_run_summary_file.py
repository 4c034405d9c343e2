"""summary.json: when it is written, that it says what the terminal says, and when there is none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot import cli

if TYPE_CHECKING:
    from counting_agent import Counted

pytest_plugins = ["pivot_project", "counting_agent"]

TABLE: dict[str, tuple[str, str | None]] = {
    "right": ('call add {"a": 1}', None),
    "wrong": ('call add {"a": 1}', 'call add {"a": 2}'),
    "again": ('call add {"a": 1}', 'call add {"a": 3}'),
    "lost": ("say hello", "flaky hello"),
}


def summary_of(counted: Counted, run: str = "run") -> dict[str, Any]:
    """Return the summary of a run."""
    found: dict[str, Any] = json.loads((counted.project.path / run / "summary.json").read_text("ascii"))
    return found


def test_what_the_terminal_says(counted: Counted, plugin_args: list[str]) -> None:
    """The figures are those that the terminal shows, whatever the number of processes."""
    result = counted.run_here(*counted.table(TABLE), "--fc-run=run", *plugin_args)
    result.stdout.fnmatch_lines(["mean reward 0.3333  *", "passed 1, failed 2, errors 1; *"])
    found = summary_of(counted)
    assert found["counts"] == {"selected": 4, "passed": 1, "failed": 2, "errors": 1, "not_run": 0, "skipped": 0}
    assert found["counts"] == counted.described(counted.project.path / "run")["counts"]
    assert found["mean_reward"]["mean"] == pytest.approx(1 / 3)
    (signature,) = found["signatures"]
    assert signature["label"] == "add $.a: the value differs"
    assert (signature["count"], signature["example"]) == (2, "pivots.jsonl::again")
    assert (found["can_be_completed"], found["verdict"], found["comparison"]) == (True, None, None)


def test_a_run_that_is_gone_on_with(counted: Counted) -> None:
    """A stopped session has a summary; the one of a resumed run is about all of it; a merged run has its own."""
    counted.run_here(*counted.table(TABLE), "--fc-run=run", "--fc-concurrency=1", "--maxfail=1", "-p", "no:xdist")
    stopped = summary_of(counted)
    assert stopped["counts"]["not_run"] == 2
    assert stopped["can_be_completed"]
    counted.touch("mended")
    counted.run_here("--fc-resume=run")
    found = summary_of(counted)
    assert found["counts"] == {"selected": 4, "passed": 2, "failed": 2, "errors": 0, "not_run": 0, "skipped": 0}
    assert found["mean_reward"]["answers"] == 4
    assert not found["can_be_completed"]
    assert cli.main(["merge", "run", "-o", "merged"]) == 0
    merged = summary_of(counted, "merged")
    alike = ("counts", "mean_reward", "signatures", "categories", "decisions", "tools", "agent")
    assert {name: merged[name] for name in alike} == {name: found[name] for name in alike}


def test_beside_a_baseline(counted: Counted) -> None:
    """With a gate over a baseline the verdict, the change and the new signatures are there."""
    counted.touch("mended")
    options = counted.table(TABLE)
    counted.run_here(*options, "--fc-run=before")
    counted.project.write("worse.py", "def answer(pivot):\n    return None\n")
    gate = ["--fc-baseline=before", "--fc-max-drop=0.1"]
    counted.run_here(options[0], "--fc-agent=worse:answer", "--fc-run=now", *gate)
    found = summary_of(counted, "now")
    described = counted.described(counted.project.path / "now")
    assert {name: found["verdict"][name] for name in described["verdict"]} == described["verdict"]
    assert found["comparison"]["base"] == "before"
    assert found["comparison"]["difference"]["change"] == -0.5
    assert {each["label"]: each["new"] for each in found["signatures"]} == {
        "add → nothing: neither a call nor a message": True,
        "a message → nothing: neither a call nor a message": True,
    }
    assert [each["label"] for each in found["gone_signatures"]] == ["add $.a: the value differs"]


def test_a_session_that_is_ended(counted: Counted) -> None:
    """After Ctrl-C there is a summary; a session that is killed leaves none, not even the one of the session before."""
    table: dict[str, tuple[str, str | None]] = {f"p{n}": ("say hello", None) for n in range(3)}
    session = counted.start(*counted.table(table | {"p3": ("say hello", "gated hello")}), "--fc-run=run")
    run = counted.project.path / "run"
    session.wait_until(lambda: (run / "results.jsonl").exists() and len(counted.whole_lines(run)) == 3)
    session.interrupt()
    session.wait()
    assert summary_of(counted)["counts"]["not_run"] == 1
    resumed = counted.start("--fc-resume=run")
    resumed.wait_until(lambda: not (run / "summary.json").exists())
    resumed.kill()
    assert not (run / "summary.json").exists()
    assert len(counted.whole_lines(run)) == 3


def test_no_run(counted: Counted) -> None:
    """A session that is not recorded writes no summary, and neither does one that had no pivot to run."""
    counted.run_here(*counted.table(TABLE), "--fc-run=none")
    counted.run_here(*counted.table(TABLE), "--fc-run=empty", "-k", "nothing")
    assert not list(counted.project.path.rglob("summary.json"))


def test_one_that_cannot_be_written(counted: Counted) -> None:
    """If the summary cannot be written, that is told, and the results are there."""
    options = counted.table(TABLE)
    counted.project.write("conftest.py", IN_THE_WAY)
    result = counted.run_here(*options, "--fc-run=run")
    result.stdout.fnmatch_lines(["*run: summary.json cannot be written: Is a directory*"])
    assert len(counted.results(counted.project.path / "run")) == 4


IN_THE_WAY = """
from pathlib import Path


def pytest_runtest_logreport(report):
    Path("run/summary.json").mkdir(exist_ok=True)
"""
