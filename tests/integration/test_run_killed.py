"""Runs that are killed: the controller or a worker, at random points; nothing is lost, asked again, or blamed."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from counting_agent import Counted, Session
    from pivot_project import Row

pytest_plugins = ["pivot_project", "counting_agent"]

COUNT = 44
PAUSE_S = 0.02
SOME_AT_ONCE = "--fc-concurrency=4"


def _rows(counted: Counted) -> list[Row]:
    told = [None, 'call add {"a": -1}', None, "say hello", None]
    rows = [
        counted.project.row(f'call add {{"a": {n}}}', told[n % len(told)], id=f"p{n}", trajectory_id=f"talk{n // 4}")
        for n in range(COUNT - 4)
    ]
    # A run does not end before the test lets it.
    return rows + [counted.project.row("say hello", "gated hello", id=f"p{COUNT - n}") for n in (4, 3, 2, 1)]


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, Row]:
    """Return the results of a run that nobody disturbs, once the first test has made it."""
    return {}


def _undisturbed(counted: Counted, options: list[str], known: dict[str, Row]) -> dict[str, Row]:
    counted.touch("go")
    if not known:
        counted.run(*options, "--fc-run=undisturbed")
        known |= counted.results(counted.project.path / "undisturbed")
    return known


def _wait_for(session: Session, counted: Counted, number: int) -> None:
    """Wait until so many results stand in the run's file."""
    path = counted.project.path / "run" / "results.jsonl"
    session.wait_until(lambda: path.exists() and path.read_bytes().count(b"\n") >= number)


def test_the_controller_is_killed(counted: Counted, undisturbed: dict[str, Row]) -> None:
    """A run that is killed again and again ends as an undisturbed one, and asks at no pivot that it had reported."""
    _killed_and_resumed(counted, undisturbed, 1, "answer", [], kills=2)


def test_the_controller_of_workers_is_killed(counted: Counted, undisturbed: dict[str, Row]) -> None:
    """The same holds when the calls are made by workers."""
    pytest.importorskip("xdist.plugin")
    _killed_and_resumed(counted, undisturbed, 3, "answer_async", ["-n2"], kills=1)


def _killed_and_resumed(
    counted: Counted, undisturbed: dict[str, Row], seed: int, agent: str, workers: list[str], *, kills: int
) -> None:
    options = counted.options(_rows(counted), agent=agent)
    whole = _undisturbed(counted, options, undisturbed)
    counted.pauses(PAUSE_S)
    run = counted.project.path / "run"
    known: set[str] = set()
    points = sorted(random.Random(seed).sample(range(1, COUNT - 15), kills))  # noqa: S311 (no secret)
    command = [*options, "--fc-run=run"]
    for point in points:
        session = counted.start(*command, SOME_AT_ONCE, *workers)
        _wait_for(session, counted, point)
        session.kill()
        assert not known & {f"pivots.jsonl::{name}" for name in counted.asked()}
        known = set(counted.whole_lines(run))
        assert len(known) >= point
        command = ["--fc-resume=run"]
    result = counted.run("--fc-resume=run", SOME_AT_ONCE, *workers)
    asked = counted.asked()
    assert not known & {f"pivots.jsonl::{name}" for name in asked}
    assert asked.total() == len(asked)
    assert counted.verdicts(counted.results(run)) == counted.verdicts(whole)
    assert len(counted.lines(run)) == COUNT
    passed = sum(row["outcome"] == "passed" for row in whole.values())
    result.assert_outcomes(passed=passed, failed=COUNT - passed)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert not (run / "calls").exists()


def test_a_worker_is_killed_from_outside(counted: Counted, undisturbed: dict[str, Row]) -> None:
    """A worker that dies for no fault of the agent costs nothing: each pivot gets its verdict, once; none is blamed."""
    pytest.importorskip("xdist.plugin")
    options = counted.options(_rows(counted))
    whole = _undisturbed(counted, options, undisturbed)
    counted.pauses(PAUSE_S * 2)
    point = random.Random(4).randrange(1, COUNT - 10)  # noqa: S311 (no secret)
    (counted.project.path / "go").unlink()
    session = counted.start(*options, "--fc-run=run", SOME_AT_ONCE, "-n2", "--junitxml=cases.xml")
    _wait_for(session, counted, point)
    counted.kill(counted.calls()[-1][1])
    counted.touch("go")
    status, text = session.wait()
    run = counted.project.path / "run"
    assert counted.verdicts(counted.results(run)) == counted.verdicts(whole)
    assert len(counted.lines(run)) == COUNT
    passed = sum(row["outcome"] == "passed" for row in whole.values())
    assert f"passed {passed}, failed {COUNT - passed}, errors 0;" in text
    assert status == pytest.ExitCode.TESTS_FAILED
    cases = counted.project.junit()
    assert len(list(cases.iter("testcase"))) == COUNT
    suite = next(cases.iter("testsuite"))
    assert (suite.attrib["tests"], suite.attrib["errors"]) == (str(COUNT), "0")


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
    result = counted.run(*options, "--fc-run=run", SOME_AT_ONCE, "-n2")
    assert len(counted.lines(counted.project.path / "run")) == 12
    result.stdout.fnmatch_lines(["passed 12, failed 0, errors 0; *"])
    assert result.ret == pytest.ExitCode.OK


@pytest.mark.parametrize("dist", ["load", "loadfile"])
def test_one_pivot_ends_its_process_among_concurrent_calls(counted: Counted, dist: str) -> None:
    """The pivot, and of its repeats the one, at which the process dies is the error, and none asked beside it."""
    pytest.importorskip("xdist.plugin")
    rows: dict[str, tuple[str, str | None]] = {f"p{n}": ("say hello", None) for n in range(20)}
    rows["p10"] = ("say hello", "dies_at 2")
    names = [f"{name}{repeat}" for name in rows for repeat in ("", "[r2]")]
    counted.pauses(0.03)
    distributed = ["-n2", f"--dist={dist}"]
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
    """Behind a slow head, answers that had ended are not asked for again after a kill."""
    rows: dict[str, tuple[str, str | None]] = {"head": ("say hello", "gated hello")}
    rows |= {f"p{n}": ("say hello", None) for n in range(12)}
    counted.pauses(0.06)
    session = counted.start(*counted.table(rows), "--fc-run=run", SOME_AT_ONCE)
    kept = counted.project.path / "run" / "calls"
    session.wait_until(lambda: sum(path.read_bytes().count(b"output") for path in kept.glob("main-*")) >= 12)
    session.kill()
    assert set(counted.asked()) == set(rows)
    counted.touch("go")
    result = counted.run("--fc-resume=run")
    assert dict(counted.asked()) == {"head": 1}
    result.assert_outcomes(passed=13)
    assert not kept.exists()
    assert all(row["latency_s"] >= 0.05 for row in counted.lines(counted.project.path / "run"))
