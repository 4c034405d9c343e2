"""Beside plugins that run tests again, or several times: an agent is never asked again until its answer is right."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from counting_agent import Counted

pytest_plugins = ["pivot_project", "counting_agent"]

MODULES = {"pytest-retry": "pytest_retry", "flaky": "flaky"}
ROWS: dict[str, tuple[str, str | None]] = {
    "right": ("say hello", None),
    "wrong": ("say hello", "improves 3"),
    "breaks": ("say hello", "recovers 2"),
    "broken": ("say hello", "raises no connection"),
    "breaks-wrong": ("say hello", "recovers_wrong 2"),
}
# Answers that depend on how often was asked: right from the nth time on; an error before the nth time.
CHANGING = """
import counting
import puppet

seen = {}

def times(pivot):
    seen[pivot.id] = seen.get(pivot.id, 0) + 1
    return seen[pivot.id]

def improves(pivot, text):
    return "hello" if times(pivot) >= int(text) else None

def recovers(pivot, text):
    if times(pivot) < int(text):
        raise RuntimeError("not yet")
    return "hello"

def recovers_wrong(pivot, text):
    recovers(pivot, text)
    return None if seen[pivot.id] == int(text) else "hello"

puppet.ODD.update(improves=improves, recovers=recovers, recovers_wrong=recovers_wrong)
answer = counting.answer
"""


def _options(counted: Counted) -> list[str]:
    options = counted.table(ROWS)
    counted.project.write("changing.py", CHANGING)
    return [options[0], "--fc-agent=changing:answer", "--fc-run=run", "--junitxml=cases.xml"]


def _beside(plugin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load one of the other plugins in the sessions to come."""
    pytest.importorskip(MODULES.get(plugin, f"pytest_{plugin}"), reason=f"the plugin {plugin} is not installed")
    options = os.environ["PYTEST_ADDOPTS"]
    assert f" -p no:{plugin}" in options
    monkeypatch.setenv("PYTEST_ADDOPTS", options.replace(f" -p no:{plugin}", ""))


def _check(counted: Counted, result: pytest.RunResult, prefix: str = "") -> None:
    """Check that each pivot has the grade of its first graded answer, in one line and one case."""
    found = {row["pivot_id"]: row for row in counted.lines(counted.project.path / "run")}
    rewards = {"right": 1.0, "wrong": 0.0, "breaks": 1.0, "broken": None, "breaks-wrong": 0.0}
    assert {name: row["reward"] for name, row in found.items()} == rewards
    assert len(counted.lines(counted.project.path / "run")) == len(ROWS)
    assert counted.asked() == {"right": 1, "wrong": 1, "breaks": 2, "broken": 3, "breaks-wrong": 2}
    assert found["broken"]["attempts"] == 3
    assert found["broken"]["retried"] == ["test run again"] * 2
    outcomes = {"right": "passed", "wrong": "failure", "breaks": "passed", "broken": "error", "breaks-wrong": "failure"}
    names = {f"{prefix}[{name}]" if prefix else name: outcome for name, outcome in outcomes.items()}
    assert counted.project.outcomes() == names
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["mean reward 0.5000 *", "passed 2, failed 2, errors 1; *"])
    if not prefix:
        assert "counts agree: pytest's pass rate is the grader's mean reward (4 tests)" in result.outlines


@pytest.mark.parametrize("how", ["option", "ini", "workers", "own test"])
def test_rerunfailures(counted: Counted, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """With pytest-rerunfailures the agent is asked anew after errors alone, and the summary says so."""
    _beside("rerunfailures", monkeypatch)
    options = _options(counted)
    asked = "requested by --reruns=2; "
    if how == "ini":
        counted.project.write("pytest.ini", "[pytest]\nreruns = 2\n")
        asked = "requested by reruns = 2 in the ini file; "
    elif how == "own test":
        counted.project.write(
            "test_mine.py",
            "import pytest\n\n@pytest.mark.flaky(reruns=2)\ndef test_mine(pivot, fc_action, fc_grade):\n"
            "    fc_grade(fc_action)\n",
        )
        asked = ""
        options.append("test_mine.py")
    else:
        options.append("--reruns=2")
    result = counted.run_here(*options, *(["-n1"] if how == "workers" else ["-p", "no:xdist"]))
    _check(counted, result, "test_mine" if how == "own test" else "")
    line = f"reruns: {asked}a wrong answer is never run again; 4 errors were run again"
    assert line in result.outlines


def test_kept_exceptions_keep_no_conversations(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exceptions of failures, which pytest-rerunfailures keeps, do not keep the conversations of their tests."""
    _beside("rerunfailures", monkeypatch)
    counted.project.write(
        "conftest.py",
        """
import gc

def pytest_sessionfinish(session):
    gc.collect()
    pivots = [thing for thing in gc.get_objects() if type(thing).__name__ == "Pivot"]
    kept = [item for item in session.items if getattr(item, "_rerun_condition_excinfos", None)]
    # Python itself keeps the last traceback, for a debugger
    print(f"kept: {len(kept)} exceptions, {max(0, len(pivots) - 1)} pivots")
""",
    )
    rows = {f"{how}-{n}": ("say hello", told) for n in range(8) for how, told in (("wrong", "nothing"), ("odd", "odd"))}
    options = counted.table(rows)
    result = counted.run_here(*options, "-p", "no:xdist", "-s")
    assert result.parseoutcomes() == {"failed": 8, "errors": 8}
    result.stdout.fnmatch_lines(["*kept: 16 exceptions, 0 pivots*"])


def test_an_own_test_that_fails_for_another_reason(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test of the user's that is run again gets the answer and the grade that it had, whatever it grades then."""
    _beside("rerunfailures", monkeypatch)
    options = _options(counted)
    counted.project.write(
        "test_mine.py",
        """
import pytest

runs = []

@pytest.mark.flaky(reruns=2)
def test_mine(pivot, fc_action, fc_grade):
    runs.append(pivot.id)
    with pytest.raises(AssertionError):
        fc_grade("hello" if len(runs) > 1 else None)
    assert len(runs) > 1
""",
    )
    result = counted.run_here(*options, "test_mine.py", "-k", "right", "-p", "no:xdist")
    result.assert_outcomes(passed=1)
    assert counted.asked() == {"right": 1}
    (line,) = counted.lines(counted.project.path / "run")
    assert line["reward"] == 0.0


def test_a_replay(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a replay nothing is run again: a stored error stays what it was."""
    _beside("rerunfailures", monkeypatch)
    counted.run_here(*_options(counted), "-p", "no:xdist", "-k", "right or broken")
    result = counted.run_here("--fc-replay=run", "--fc-run=none", "--reruns=2", "-p", "no:xdist")
    result.stdout.fnmatch_lines(["the agent raised RuntimeError: no connection", "* 0 errors were run again"])
    result.assert_outcomes(passed=1, errors=1)


def test_a_worker_dies(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pivot that ends its worker is put back by one plugin, not by both: it is asked once more, and is one error."""
    pytest.importorskip("xdist.plugin")
    _beside("rerunfailures", monkeypatch)
    rows: dict[str, tuple[str, str | None]] = {f"p{n}": ("say hello", None) for n in range(6)}
    rows["p2"] = ("say hello", "dies")
    monkeypatch.setenv("PAUSE_S", "0.2")  # the tests before it end before it dies, or one is run again by its plugin
    options = [*counted.table(rows), "--fc-run=run", "--junitxml=cases.xml", "--reruns=3", "-n1", "--fc-concurrency=1"]
    result = counted.run_here(*options)
    assert counted.project.outcomes() == dict.fromkeys(rows, "passed") | {"p2": "error"}
    assert len(counted.lines(counted.project.path / "run")) == 6
    result.stdout.fnmatch_lines(["passed 5, failed 0, errors 1; *"])
    assert counted.asked()["p2"] == 2


def test_flaky(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test of the user's with the mark of the plugin flaky keeps the grade of the first graded answer."""
    _beside("flaky", monkeypatch)
    options = _options(counted)
    counted.project.write(
        "test_mine.py",
        "import pytest\n\n@pytest.mark.flaky(max_runs=3)\ndef test_mine(pivot, fc_action, fc_grade):\n"
        "    fc_grade(fc_action)\n",
    )
    _check(counted, counted.run_here(*options, "test_mine.py", "-p", "no:xdist"), "test_mine")


@pytest.mark.parametrize(
    ("plugin", "args", "message"),
    [
        ("repeat", ["--count=3"], "--count=3 (pytest-repeat): * pass --fc-repeats=3 instead"),
        ("flaky", ["--force-flaky"], "--force-flaky (flaky): a wrong answer would be asked again until it is right; *"),
        ("pytest-retry", ["--retries=2"], "--retries=2 (pytest-retry): a wrong answer would be asked again *"),
        ("pytest-retry", ["-oretries=2"], "retries = 2 in the ini file (pytest-retry): a wrong answer *"),
        ("flakefinder", ["--flake-finder"], "--flake-finder (pytest-flakefinder): * pass --fc-repeats=K *"),
        ("", ["--dist=each", "-n2"], "--dist=each with 2 workers: each of them would run every pivot, *--dist=load*"),
    ],
)
def test_refused(counted: Counted, monkeypatch: pytest.MonkeyPatch, plugin: str, args: list[str], message: str) -> None:
    """An option that would count answers several times, or only the right ones, is refused with what to write."""
    if plugin:
        _beside(plugin, monkeypatch)
    else:
        pytest.importorskip("xdist.plugin")
    result = counted.run_here(*_options(counted), *args)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}"])
    assert not counted.asked()


@pytest.mark.parametrize(
    ("plugin", "mark", "message"),
    [
        (
            "repeat",
            "repeat(3)",
            "test_mine: the mark repeat (pytest-repeat): each repeat would be counted as another *",
        ),
        ("pytest-retry", "flaky(retries=2)", "the mark flaky, which pytest-retry follows: a wrong answer *"),
    ],
)
def test_refused_marks(counted: Counted, monkeypatch: pytest.MonkeyPatch, plugin: str, mark: str, message: str) -> None:
    """A mark that would do the same makes errors of the user's tests over pivots, and nobody is asked."""
    _beside(plugin, monkeypatch)
    options = _options(counted)
    counted.project.write(
        "test_mine.py",
        f"import pytest\n\n@pytest.mark.{mark}\ndef test_mine(pivot, fc_action, fc_grade):\n    fc_grade(fc_action)\n",
    )
    result = counted.run_here(*options, "test_mine.py", "-p", "no:xdist")
    assert result.ret != pytest.ExitCode.OK
    result.stdout.fnmatch_lines([message])
    assert not counted.asked()
