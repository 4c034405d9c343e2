"""Processes that die at a chosen point: nothing is lost, asked again, or blamed.

That is so at any other point, too, which tests/fuzz/kill_runs.py tries at random.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from counting_agent import Counted

pytest_plugins = ["pivot_project", "counting_agent"]

SOME_AT_ONCE = "--fc-concurrency=4"


def test_a_worker_dies_between_a_report_and_the_end_of_its_test(counted: Counted) -> None:
    """A pivot whose verdict was reported before its worker died is not run again, counted twice, or called an error."""
    pytest.importorskip("xdist.plugin")
    rows: dict[str, tuple[str, str | None]] = {f"p{n}": ("say hello", None) for n in range(12)}
    options = counted.table(rows)
    counted.project.write(
        "conftest.py",
        """
import os
from pathlib import Path

def pytest_runtest_teardown(item):
    died = Path(__file__).with_name("died")
    if item.name == "p5" and not died.exists():
        died.touch()
        os._exit(1)
""",
    )
    counted.pauses(0.02)
    result = counted.run_here(*options, "--fc-run=run", SOME_AT_ONCE, "-n2")
    assert len(counted.lines(counted.project.path / "run")) == 12
    result.stdout.fnmatch_lines(["passed 12, failed 0, errors 0; *"])
    assert result.ret == pytest.ExitCode.OK


# Without pytest's search for plugins, each has the name by which it is asked for.
BY_MODULE = ["-p", "xdist.plugin", "-p", "pytest_fcpivot.plugin"]


@pytest.mark.parametrize(
    ("dist", "plugins"),
    [("load", []), ("worksteal", BY_MODULE)],
    ids=["load", "worksteal-plugins-by-module"],
)
def test_one_pivot_ends_its_process_among_concurrent_calls(
    counted: Counted, monkeypatch: pytest.MonkeyPatch, dist: str, plugins: list[str]
) -> None:
    """Only the test whose call ends the process is an error, not its other repeats and not the calls made beside it.

    Under whatever names pytest-xdist and this plugin are registered.
    """
    pytest.importorskip("xdist.plugin")
    if plugins:
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    rows: dict[str, tuple[str, str | None]] = {f"p{n}": ("say hello", None) for n in range(20)}
    rows["p10"] = ("say hello", "dies_at 2")
    names = [f"{name}{repeat}" for name in rows for repeat in ("", "[r2]")]
    counted.pauses(0.03)
    distributed = [*plugins, "-n2", f"--dist={dist}"]
    result, outcomes = counted.run_cases(
        *counted.table(rows), "--fc-run=run", "--fc-repeats=2", "--fc-concurrency=8", *distributed
    )
    assert outcomes == dict.fromkeys(names, "passed") | {"p10[r2]": "error"}
    result.stdout.fnmatch_lines(["passed 39, failed 0, errors 1; *"])
    found = Counter(row["outcome"] for row in counted.lines(counted.project.path / "run"))
    assert found == {"passed": 39, "error": 1}
    assert "crashed" in counted.results(counted.project.path / "run")["pivots.jsonl::p10[r2]"]["error"]


def test_an_own_test_ends_its_process(counted: Counted) -> None:
    """A user's test at whose pivot the process dies is an error with a line of its own, as a pivot's own item is."""
    pytest.importorskip("xdist.plugin")
    rows: dict[str, tuple[str, str | None]] = {f"p{n}": ("say hello", None) for n in range(6)}
    rows["p3"] = ("say hello", "dies")
    counted.project.write("test_mine.py", "def test_mine(pivot, fc_action, fc_grade):\n    fc_grade(fc_action)\n")
    result, outcomes = counted.run_cases("test_mine.py", *counted.table(rows), "--fc-run=run", "-n2")
    assert outcomes == {f"test_mine[{name}]": "passed" for name in rows} | {"test_mine[p3]": "error"}
    result.stdout.fnmatch_lines(["passed 5, failed 0, errors 1; *"])
    found = counted.results(counted.project.path / "run")
    assert found["test_mine.py::test_mine[p3]"]["outcome"] == "error"
    assert len(found) == 6


def test_a_killed_run_keeps_answers_whose_tests_had_not_come(counted: Counted) -> None:
    """After a kill, answers that had come while an earlier call was still slow are not asked for again."""
    rows: dict[str, tuple[str, str | None]] = {"head": ("say hello", "gated hello")}
    rows |= {f"p{n}": ("say hello", None) for n in range(12)}
    counted.pauses(0.06)
    session = counted.start(*counted.table(rows), "--fc-run=run", SOME_AT_ONCE)
    kept = counted.project.path / "run" / "calls"
    session.wait_until(lambda: sum(path.read_bytes().count(b"output") for path in kept.glob("main-*")) >= 12)
    session.kill()
    assert set(counted.asked()) == set(rows)
    counted.touch("go")
    result = counted.run_here("--fc-resume=run")
    assert dict(counted.asked()) == {"head": 1}
    result.assert_outcomes(passed=13)
    assert not kept.exists()
    assert all(row["latency_s"] >= 0.05 for row in counted.lines(counted.project.path / "run"))
