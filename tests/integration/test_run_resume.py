"""--fc-resume: an unfinished run is finished, nothing that was answered is asked again, and nothing is mixed in."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
from typing import TYPE_CHECKING

import pytest

from pytest_fcpivot.runs.directory import ended_early

if TYPE_CHECKING:
    from pathlib import Path

    from counting_agent import Counted
    from pivot_project import Project, Row

pytest_plugins = ["pivot_project", "counting_agent"]

COUNT = 24
# Each third is wrong, and some fail until they are mended.
BROKEN = {"p5", "p13"}


def _table() -> dict[str, tuple[str, str | None]]:
    table: dict[str, tuple[str, str | None]] = {
        f"p{n}": (f'call add {{"a": {n}}}', 'call add {"a": -1}' if n % 3 == 0 else None) for n in range(COUNT)
    }
    return table | dict.fromkeys(BROKEN, ("say hello", "flaky hello"))


def _tests(*names: str) -> set[str]:
    return {f"pivots.jsonl::{name}" for name in names}


def _drop_lines(run: Path, keep: int) -> None:
    """Leave the first lines of a run, as if it had been killed then."""
    path = run / "results.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:keep]))


def _refused(counted: Counted, *args: str) -> str:
    """Run a session that is refused before anybody is asked; return what it says."""
    before = {path: path.read_bytes() for path in counted.project.path.glob("*/*.json*")}
    result = counted.run_here(*args)
    text = result.stdout.str() + result.stderr.str()
    assert result.ret == pytest.ExitCode.USAGE_ERROR, text
    assert "Traceback" not in text
    assert not counted.asked()
    assert {path: path.read_bytes() for path in before} == before
    return text


@pytest.mark.usefixtures("_needs_xdist")
def test_what_is_missing_or_ended_in_an_error_is_asked(counted: Counted) -> None:
    """With --fc-resume alone, the rest is asked, once; records, summary, JUnit and status are those of the whole.

    When nothing is missing, nobody is asked, and nothing is written.
    """
    options = [*counted.table(_table()), "--fc-strict-schema"]
    counted.run_here(*options)
    run = counted.only_run
    counted.touch("mended")
    whole, expected = counted.run_cases(*options, "--fc-run=whole")
    summary = counted.project.summary(whole).replace("recorded in whole", "recorded in .fcpivot/<run>")
    for workers, keep in ([], 15), (["-n1"], 10):
        _drop_lines(run, keep)
        kept = {test for test, line in counted.results(run).items() if line["outcome"] != "error"}
        result, outcomes = counted.run_cases("--fc-resume", *workers)
        assert counted.asked().total() == len(counted.asked())
        assert _tests(*counted.asked()) == _tests(*_table()) - kept
        assert outcomes == expected
        assert counted.project.summary(result) == summary
        assert result.ret == whole.ret == pytest.ExitCode.TESTS_FAILED
        assert counted.verdicts(counted.results(run)) == counted.verdicts(
            counted.results(counted.project.path / "whole")
        )
    before = counted.lines(run)
    result, outcomes = counted.run_cases("--fc-resume")
    assert not counted.asked()
    assert (outcomes, counted.project.summary(result), counted.lines(run)) == (expected, summary, before)
    assert counted.runs == [run]
    assert [session["exit_status"] for session in counted.described(run)["sessions"]] == [1, 1, 1, 1]


@pytest.fixture
def _needs_xdist() -> None:
    pytest.importorskip("xdist.plugin")


def test_a_torn_last_line(counted: Counted) -> None:
    """A last line that was cut short is cut off and its pivot asked again; of several lines of one the last counts."""
    counted.run_here(*counted.table({f"p{n}": ("say hello", "long 200000") for n in range(4)}), "--fc-run=run")
    path = counted.project.path / "run" / "results.jsonl"
    wrong = counted.lines(path.parent)[0] | {"output": None, "action": None, "outcome": "failed", "reward": 0.0}
    path.write_bytes(json.dumps(wrong).encode() + b"\n" + path.read_bytes()[:-7])
    result = counted.run_here("--fc-resume=run")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(
        ["fcpivot: resumes run, 3 answers kept", "fcpivot: the last line of results.jsonl was incomplete (*"]
    )
    assert dict(counted.asked()) == {"p3": 1}
    assert len(counted.lines(path.parent)) == 5


@pytest.mark.parametrize("stops", [["--maxfail=3"], ["--fc-max-errors=1"]], ids=" ".join)
def test_after_a_run_that_stopped(counted: Counted, stops: list[str]) -> None:
    """A run that an option stopped early is completed without that option."""
    counted.run_here(*counted.table(_table()), "--fc-run=run", "--fc-concurrency=1", *stops)
    run = counted.project.path / "run"
    kept = {test for test, line in counted.results(run).items() if line["outcome"] != "error"}
    assert 0 < len(kept) < COUNT
    counted.touch("mended")
    result = counted.run_here("--fc-resume=run", "--fc-max-errors=100")
    assert _tests(*counted.asked()) == _tests(*_table()) - kept
    assert len(counted.results(run)) == COUNT
    result.stdout.fnmatch_lines(["passed 16, failed 8, errors 0; *"])


def test_after_ctrl_c(counted: Counted) -> None:
    """A run that the user interrupts keeps what it has, says how to go on, and is completed by that command."""
    rows: dict[str, tuple[str, str | None]] = {f"p{n}": ("say hello", None) for n in range(8)}
    rows["p4"] = ("say hello", "gated hello")
    session = counted.start(*counted.table(rows), "--fc-run=run", "--fc-concurrency=2")
    run = counted.project.path / "run"
    session.wait_until(lambda: (run / "results.jsonl").exists() and len(counted.whole_lines(run)) == 4)
    session.interrupt()
    status, text = session.wait()
    assert status == pytest.ExitCode.INTERRUPTED
    assert "run the tests that are missing or ended in an error:  pytest --fc-resume=run" in text
    kept = set(counted.results(run))
    counted.touch("go")
    counted.run_here("--fc-resume=run").assert_outcomes(passed=8)
    assert not kept & _tests(*counted.asked())
    assert counted.described(run)["sessions"][0]["exit_status"] == pytest.ExitCode.INTERRUPTED


# Presses Ctrl-C at one moment, and again while pytest's hooks hear of that: the session has exit status 0 then.
TWICE = """
import os
import signal
import time

import pytest

from pytest_fcpivot.runs.directory import ended_early

MOMENT = os.environ.get("CTRL_C_TWICE_AT", "")

def press(moment):
    if MOMENT.endswith(moment):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)

def pytest_collection_modifyitems():
    press("collection")

def pytest_runtest_setup():
    press("test")

@pytest.hookimpl(optionalhook=True)
def pytest_testnodeready():
    press("worker")

def pytest_keyboard_interrupt():
    press("")
"""


def test_answers_that_waited_for_their_tests(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers behind a slow one are kept when the user stops waiting for it, though no test was reported yet.

    They are kept by sessions that a double Ctrl-C ends, too, at any moment: none passes for complete.
    """
    rows: dict[str, tuple[str, str | None]] = {f"p{n}": ("say hello", None) for n in range(10)}
    rows["p0"] = ("say hello", "gated hello")
    counted.pauses(0.06)
    session = counted.start(*counted.table(rows), "--fc-run=run", "--fc-concurrency=5")
    kept = counted.project.path / "run" / "calls"
    session.wait_until(lambda: sum(path.read_bytes().count(b'"output"') for path in kept.glob("*.jsonl")) == 9)
    session.interrupt()
    session.wait()
    counted.project.write("conftest.py", TWICE)
    for moment, workers in (("collection", []), ("test", []), ("worker", ["-n1"])):
        if workers and importlib.util.find_spec("xdist") is None:
            continue
        monkeypatch.setenv("CTRL_C_TWICE_AT", moment)
        assert counted.run("--fc-resume=run", *workers).ret not in (0, 1)
        assert not counted.asked()
        described = counted.described(run := kept.parent)
        assert described["sessions"][-1]["exit_status"] == pytest.ExitCode.INTERRUPTED
        assert "early" in (ended_early(described) or "")
        assert list(kept.glob("*.jsonl"))
    monkeypatch.delenv("CTRL_C_TWICE_AT")
    counted.touch("go")
    result = counted.run_here("--fc-resume=run")
    result.assert_outcomes(passed=10)
    assert dict(counted.asked()) == {"p0": 1}
    assert ended_early(counted.described(run)) is None
    assert not kept.exists()


def test_answers_of_tests_that_a_session_leaves_out_wait_on(counted: Counted) -> None:
    """Kept answers stay when only a part of a run is resumed, also those to tests that once ended in an error."""
    rows: dict[str, tuple[str, str | None]] = dict.fromkeys(["p0", "p1", "p2", "p3"], ("say hello", None))
    rows |= {"p0": ("say hello", "gated hello"), "p1": ("say hello", "flaky hello"), "p2": ("say hello", "flaky hello")}
    counted.pauses(0.06)
    counted.run_here(*counted.table(rows), "--fc-run=run", "-k", "not p0").assert_outcomes(passed=1, errors=2)
    kept = counted.project.path / "run" / "calls"
    assert not kept.exists()
    counted.touch("mended")
    session = counted.start("--fc-resume=run")
    session.wait_until(lambda: sum(path.read_bytes().count(b'"output"') for path in kept.glob("*.jsonl")) == 2)
    session.interrupt()
    session.wait()
    result = counted.run_here("--fc-resume=run", "-k", "p3")
    result.assert_outcomes(passed=1, deselected=3)
    assert list(kept.glob("*.jsonl"))
    counted.touch("go")
    counted.run_here("--fc-resume=run").assert_outcomes(passed=4)
    assert dict(counted.asked()) == {"p0": 1}
    assert not kept.exists()


def test_an_error_is_asked_again_however_long_it_took(counted: Counted) -> None:
    """An output that was no action ended in an error, so it is asked for again, and is not taken for a message."""
    counted.pauses(0.06)
    options = counted.table({"odd": ("say hello", "rubbish"), "bad": ('call add {"a": 1}', "nothing")})
    counted.run_here(*options, "--fc-run=run", "--maxfail=2", "--fc-concurrency=1")
    result = counted.run_here("--fc-resume=run")
    assert counted.asked()["odd"] == 1
    result.assert_outcomes(errors=1, failed=1)


def test_another_run(counted: Counted) -> None:
    """A session about something else is refused with every difference, and the run is left as it is."""
    options = [*counted.table(_table()), "--fc-grader-option=word_count_similarity_threshold=0.3", "--fc-sample=12"]
    counted.run_here(*options, "--fc-model=old", "--fc-run=run", "--maxfail=2")
    setting = "--fc-grader-option=word_count_similarity_threshold=0.5"
    text = _refused(counted, "--fc-resume=run", "--fc-agent=counting:other", setting)
    assert "this run was started differently" in text
    assert re.search('agent: "counting:answer.*" → "counting:other', text)
    assert re.search(r"grader: .*0\.3.* → .*0\.5", text)
    others = ["--fc-agent=asks", "--fc-grader=nemo-gym:any-order", "--fc-model=new", "--fc-temperature=0.5"]
    text = _refused(counted, "--fc-resume=run", *others, "--fc-sample=11", "--fc-seed=3", "--fc-repeats=2")
    for shown in (
        '→ "asks',
        '--fc-model: "old" → "new"',
        '--fc-temperature: not set → "0.5"',
        '--fc-sample: "12" → "11"',
        '--fc-seed: not set → "3"',
        '--fc-repeats: not set → "2"',
    ):
        assert shown in text
    assert re.search(r"grader: .*nemo-gym:first-call.* → .*nemo-gym:any-order", text)
    counted.project.data(counted.project.rows(_table() | {"more": ("say more", None)}))
    assert "data pivots.jsonl: content changed" in _refused(counted, "--fc-resume=run")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--fc-resume", "-n2"], "no run to resume: there is none under"),
        (["--fc-resume=pivots.jsonl"], "pivots.jsonl: not a run's directory, but a file"),
        (
            ["--fc-resume=old"],
            "old/run.json: this run was written by another version of pytest-fcpivot (format 0, this one",
        ),
        (["--fc-resume=torn"], "run.json: damaged, not JSON: "),
        (["--fc-resume=odd"], "run.json: not as pytest-fcpivot writes it: agent is missing"),
        (["--fc-resume", "--fc-replay=old"], "--fc-resume and --fc-replay: choose one"),
    ],
)
def test_no_run(counted: Counted, args: list[str], message: str) -> None:
    """What is no run that this version can go on with is refused with one message."""
    for name, text in [("old", '{"format": 0}'), ("torn", '{"format": 1,'), ("odd", '{"format": 1, "data": {}}')]:
        counted.project.write(f"{name}/run.json", text)
    counted.table({"one": ("say hello", None)})
    assert _refused(counted, *args).count(message) == 1


def test_two_sessions_on_one_run(counted: Counted) -> None:
    """While a session writes a run, another is refused; when it has ended, its run can be gone on with."""
    session = counted.start(*counted.table({"one": ("say hello", "gated hello")}), "--fc-run=run")
    run = counted.project.path / "run"
    session.wait_until(lambda: bool(counted.calls()))
    assert "another session is writing this run; wait for it, or end it" in _refused(counted, "--fc-resume=run")
    counted.touch("go")
    assert session.wait()[0] == pytest.ExitCode.OK
    assert len(counted.lines(run)) == 1


def test_gone_on_with_again_and_again(counted: Counted) -> None:
    """A run may be resumed again and again, also with options that mean the same; run.json lists every session."""
    table: dict[str, tuple[str, str | None]] = {"off": ("say hello", "flaky hello"), "on": ("say hello", None)}
    counted.run_here(*counted.table(table), "--fc-run=run")
    assert counted.run_here("--fc-resume=run").ret == pytest.ExitCode.TESTS_FAILED
    assert dict(counted.asked()) == {"off": 1}
    counted.touch("mended")
    data = f"--fc-data={counted.project.path / 'pivots.jsonl'}"
    same = [data, "--fc-agent=counting:answer", "--fc-grader=nemo-gym", "--fc-concurrency=2", "--fc-timeout=60"]
    assert counted.run_here("--fc-resume=run", *same).ret == pytest.ExitCode.OK
    assert dict(counted.asked()) == {"off": 1}
    run = counted.project.path / "run"
    told: Row = counted.described(run)
    assert [session["exit_status"] for session in told["sessions"]] == [1, 1, 0]
    assert told["started"] == told["sessions"][0]["started"]
    assert told["ended"] == told["sessions"][-1]["ended"]
    assert {test: line["outcome"] for test, line in counted.results(run).items()} == dict.fromkeys(
        _tests("off", "on"), "passed"
    )


def test_from_another_directory(counted: Counted) -> None:
    """A run is resumed from a directory below the project's, where its files have other relative paths."""
    counted.project.write("pytest.ini", "[pytest]\n")
    counted.run_here(
        *counted.table({"one": ("say hello", "flaky hello"), "two": ("say hello", None)}, name="data/p.jsonl")
    )
    counted.touch("mended")
    below = counted.project.path / "below"
    below.mkdir()
    counted.monkeypatch.chdir(below)
    counted.run_here("--fc-resume").assert_outcomes(passed=2)
    assert dict(counted.asked()) == {"one": 1}
    assert len(counted.lines(counted.only_run)) == 3


def test_a_run_of_own_tests(counted: Counted) -> None:
    """The command that a run of own tests ends with goes on with them, and asks at no pivot that was answered."""
    options = counted.table({"one": ("say hello", "flaky hello"), "two": ("say hello", None)})
    counted.project.write("test_mine.py", "def test_mine(pivot, fc_action, fc_grade):\n    fc_grade(fc_action)\n")
    result = counted.run_here("test_mine.py", *options, "--fc-run=run")
    command = next(line for line in result.outlines if line.startswith("run the tests that are missing"))
    counted.touch("mended")
    counted.run_here(*shlex.split(command.partition("pytest ")[2])).assert_outcomes(passed=2)
    assert dict(counted.asked()) == {"one": 1}
    assert set(counted.results(counted.project.path / "run")) == {
        f"test_mine.py::test_mine[{n}]" for n in ("one", "two")
    }


def test_own_tests_of_a_plain_pytest(project: Project) -> None:
    """A run of the user's tests, which no path named, is resumed with these tests, and not with the data alone."""
    project.puppet(project.rows({"right": ("say hello", None), "broken": ("say hello", "raises no connection")}))
    project.write("pytest.ini", "[pytest]\nfc_agent = puppet:answer\nfc_data = pivots.jsonl\n")
    project.write("test_mine.py", "def test_mine(pivot, fc_action, fc_grade):\n    fc_grade(fc_action)\n")
    project.run_here().assert_outcomes(passed=1, errors=1)
    result = project.run_here("--fc-resume")
    result.assert_outcomes(passed=1, errors=1)
    (results,) = (project.path / ".fcpivot").glob("*/results.jsonl")
    tests = [json.loads(line)["test"] for line in results.read_text().splitlines()]
    assert tests == [f"test_mine.py::test_mine[{name}]" for name in ("right", "broken", "broken")]
