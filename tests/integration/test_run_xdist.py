"""Runs over several processes: the same verdicts, the same figures, and a worker that dies costs one pivot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pivot_project import Project

pytest_plugins = ["pivot_project"]


@pytest.fixture(autouse=True)
def _needs_xdist() -> None:
    pytest.importorskip("xdist.plugin")


@pytest.mark.parametrize("dist", ["load", "worksteal", "loadfile", "each"])
def test_the_same_as_in_one_process(project: Project, dist: str) -> None:
    """However the pivots are handed out, each has the outcome that it has in one process, and so has the aggregate."""
    options = project.puppet(project.mixed_rows())
    alone, outcomes = project.run_cases(*options)
    workers = {"each": "--tx=popen", "loadfile": "-n1"}.get(dist, "-n2")
    shared, found = project.run_cases(*options, workers, f"--dist={dist}")
    assert found == outcomes
    assert project.summary(shared) == project.summary(alone)
    assert shared.ret == alone.ret


def test_a_worker_that_dies(project: Project) -> None:
    """A pivot at which the process dies is an error, and every other pivot keeps its verdict."""
    rows: dict[str, tuple[str, str | None]] = {f"pivot-{n}": ("say hello", None) for n in range(12)}
    rows["pivot-3"] = ("say hello", "nothing")
    rows["pivot-7"] = ('call add {"a": 1}', "dies")
    result, outcomes = project.run_cases(*project.puppet(project.rows(rows)), "-n1")
    assert outcomes == dict.fromkeys(rows, "passed") | {"pivot-3": "failure", "pivot-7": "error"}
    result.assert_outcomes(passed=10, failed=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            "errors (no answer to grade)",
            "*1  *crashed while running 'pivots.jsonl::pivot-7'",
            "mean reward 0.9091 *",
            "passed 10, failed 1, errors 1; *",
            "counts agree: pytest's pass rate is the grader's mean reward (11 tests)",
        ]
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize("hook", ["pytest_runtest_teardown(item)", "pytest_runtest_logfinish(nodeid)"])
def test_a_worker_that_dies_after_its_report(project: Project, hook: str) -> None:
    """A pivot whose worker dies between its report and the word that it is over keeps its verdict, in JUnit too."""
    project.pytester.makeconftest(
        f"""
        import os, pathlib, time

        def pytest_runtest_logreport(report):
            if report.nodeid.endswith("::pivot-1") and report.when == "call" and not IN_WORKER:
                pathlib.Path("reported").touch()

        IN_WORKER = "PYTEST_XDIST_WORKER" in os.environ

        def {hook}:
            once = pathlib.Path("died")
            name = {"item.name" if "item" in hook else "nodeid.rpartition('::')[2]"}
            if name == "pivot-1" and IN_WORKER and not once.exists():
                once.touch()
                give_up = time.monotonic() + 60
                while not pathlib.Path("reported").exists() and time.monotonic() < give_up:
                    time.sleep(0.01)
                os._exit(3)
        """
    )
    rows: dict[str, tuple[str, str | None]] = {f"pivot-{n}": ("say hello", None) for n in range(12)}
    result, outcomes = project.run_cases(*project.puppet(project.rows(rows)), "-n1")
    assert outcomes == dict.fromkeys(rows, "passed")
    result.assert_outcomes(passed=12)
    assert (project.path / "died").exists()


def test_stop_at_the_first_failure(project: Project) -> None:
    """-x ends a distributed run early too, with a summary of what was reported."""
    rows = {f"pivot-{n}": ("say hello", "nothing") for n in range(60)}
    result = project.run_here(*project.puppet(project.rows(rows)), "-n2", "-x")
    failed = result.parseoutcomes()["failed"]
    assert 1 <= failed < 60
    result.stdout.fnmatch_lines([f"passed 0, failed {failed}, errors 0, not run {60 - failed} of 60; *"])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--fc-agent=nowhere:answer"], "--fc-agent=nowhere:answer: cannot import nowhere: ModuleNotFoundError"),
        (["--fc-agent=asks", "--fc-data=nowhere.jsonl"], "data file not found: nowhere.jsonl"),
        (["--fc-agent=asks", "--fc-shard=5/4"], "--fc-shard=5/4: shards are numbered from 1"),
    ],
)
def test_bad_options(project: Project, args: list[str], message: str) -> None:
    """A bad option is one message, not one of each worker."""
    result = project.run_here("-n2", *args)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    text = result.stdout.str() + result.stderr.str()
    assert text.count(message) == 1
    assert "Traceback" not in text
    assert "INTERNALERROR" not in text


@pytest.mark.parametrize(
    ("arguments", "model", "shown"),
    [
        pytest.param(["-k", "hello\udcff or \u00e4"], None, "the argument hello\\xff or ä", id="keyword"),
        pytest.param(["tests\udce4/test_mine.py"], None, "the argument tests\\xe4/test_mine.py", id="path"),
        pytest.param([], "latin-\udcfc", "FC_MODEL=latin-\\xfc", id="environment"),
        pytest.param(["--fc-model=half \ud83d"], None, "the argument --fc-model=half \\ud83d", id="half a pair"),
    ],
)
def test_what_cannot_be_sent_to_workers(
    project: Project, monkeypatch: pytest.MonkeyPatch, arguments: list[str], model: str | None, shown: str
) -> None:
    """An argument or option that is not UTF-8 is refused by name before workers start; without workers it is not."""
    if model is not None:
        monkeypatch.setenv("FC_MODEL", model)
    options = [*project.puppet(project.mixed_rows()), *arguments]
    result = project.run_here(*options, "-n2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.errlines[0] == (
        f"ERROR: {shown}: not UTF-8, which is all that pytest-xdist can send to its workers; use UTF-8 there, or run "
        "without workers (-n0)"
    )
    assert not list(project.path.glob("**/run.json"))
    for alone in ("-n0", "-pno:xdist"):
        assert "UTF-8" not in project.run_here(*options, alone).stderr.str()


def test_a_stored_option_that_cannot_be_sent_to_workers(project: Project) -> None:
    """An option that a resumed run has is named as the run's, and the run goes on without workers."""
    begun = project.run_here(*project.puppet(project.mixed_rows()), "--fc-header=X:\udcff", "--fc-run=run", "-n0", "-x")
    assert begun.ret in {pytest.ExitCode.INTERRUPTED, pytest.ExitCode.TESTS_FAILED}
    refused = project.run_here("--fc-resume=run", "-n2")
    assert refused.errlines[0].startswith("ERROR: run.json: --fc-header=X:\\xff: not UTF-8, ")
    assert project.run_here("--fc-resume=run", "-n0").ret == pytest.ExitCode.TESTS_FAILED
