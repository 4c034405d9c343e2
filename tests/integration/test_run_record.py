"""The run on disk: where it is made and where not, what stands in it, and what happens when it cannot be written."""

from __future__ import annotations

import json
import re
import subprocess
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from counting_agent import Counted
    from pivot_project import Project, Row

pytest_plugins = ["pivot_project", "counting_agent"]

TABLE: dict[str, tuple[str, str | None]] = {
    "right": ('call add {"a": 1}', None),
    "wrong": ('call add {"a": 1}', 'call add {"a": 2}'),
    "unfit": ('call add {"a": 1}', 'call add {"a": "x"}'),
    "two": ('call add {"a": 1}', 'call add {"a": 1} & call find {"filters": []}'),
    "talk": ("say hello", "say hello there"),
    "silent": ("say hello", "nothing"),
    "broken": ("say hello", "raises no connection"),
    "odd": ("say hello", "rubbish"),
}
OUTCOMES = {"right": "passed", "two": "passed", "talk": "passed", "broken": "error", "odd": "error"}
KEYS = {
    *("pivot_id", "repeat", "outcome", "reward", "category", "path", "schema", "explanation", "output", "action"),
    *(
        "usage",
        "cost",
        "latency_s",
        "attempts",
        "retried",
        "error",
        "cause",
        "trajectory_id",
        "expected",
        "tool",
        "test",
    ),
}


def _runs(project: Project) -> list[str]:
    place = project.path / ".fcpivot"
    return sorted(path.name for path in place.iterdir() if path.is_dir()) if place.is_dir() else []


def _strictly(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_a_run_by_default(counted: Counted) -> None:
    """Every run is recorded in a new directory, with one line for each pivot; its path is shown even with -q."""
    options = counted.table(TABLE)
    result = counted.run_here(*options, "-q")
    run = counted.only_run
    assert re.fullmatch(r"\d{8}T\d{6}-[0-9a-f]{6}", run.name)
    assert sorted(path.name for path in run.iterdir()) == ["results.jsonl", "run.json", "summary.json"]
    assert "*" in (run.parent / ".gitignore").read_text().splitlines()
    result.stdout.fnmatch_lines([f"run recorded in .fcpivot/{run.name}"])
    found = {line["pivot_id"]: line for line in counted.lines(run)}
    assert len(counted.lines(run)) == len(TABLE)
    assert all(set(line) == KEYS for line in found.values())
    assert {name: line["outcome"] for name, line in found.items()} == {
        name: OUTCOMES.get(name, "failed") for name in TABLE
    }
    assert {name: line["test"] for name, line in found.items()} == {name: f"pivots.jsonl::{name}" for name in TABLE}
    assert all(line["repeat"] == 1 and line["attempts"] == 1 and line["latency_s"] >= 0 for line in found.values())
    wrong = found["wrong"]
    assert (wrong["reward"], wrong["category"], wrong["path"]) == (0.0, "ARGUMENT_VALUE_DIFFERENT", "$.a")
    assert (wrong["expected"], wrong["tool"], wrong["schema"], wrong["error"]) == (
        "function_call",
        "add",
        "valid",
        None,
    )
    assert wrong["action"] == {"type": "function_call", "name": "add", "arguments": '{"a": 2}'}
    assert wrong["output"] == [wrong["action"]]
    assert found["unfit"]["schema"] == "invalid"
    assert found["two"]["action"]["type"] == "function_call_batch"
    assert found["talk"]["action"] == {"type": "message", "content": "hello there"}
    assert (found["silent"]["action"], found["silent"]["output"], found["silent"]["reward"]) == (None, None, 0.0)
    broken = found["broken"]
    assert (broken["reward"], broken["action"], broken["output"]) == (None, None, None)
    assert broken["error"].startswith("the agent raised RuntimeError: no connection")
    assert found["odd"]["error"].startswith("cannot read an action from a float")


def test_the_same_lines_in_any_process(counted: Counted) -> None:
    """One process, xdist without workers and two workers write the same lines, apart from their order and times."""
    pytest.importorskip("xdist.plugin")
    options = counted.table(TABLE)
    for name in ("plain", "-n0", "-n2"):
        counted.run_here(*options, f"--fc-run={name}", *([] if name == "plain" else [name]))
    first, *others = [counted.results(counted.project.path / name) for name in ("plain", "-n0", "-n2")]
    for other in others:
        assert counted.verdicts(other) == counted.verdicts(first)


def test_usage_and_odd_outputs(project: Project) -> None:
    """Tokens are recorded, and no output makes a line that is not one line of JSON."""
    project.write(
        "odd.py",
        r"""
import types

OUTPUTS = {
    "surrogate": "\ud800 \u00e4 \x00 \u2028",
    "huge": "x" * 300_000,
    "numbers": {"name": "add", "arguments": {"a": float("nan")}},
    "object": types.SimpleNamespace(name="add", arguments={"a": 1}, client=object()),
    "set": {1, 2},
    "usage": {"output": [], "usage": {"input_tokens": 9, "output_tokens": 4,
              "input_tokens_details": {"cached_tokens": 3}}, "tools": ["as they were sent"]},
}

def answer(pivot):
    return OUTPUTS[pivot.id]
""",
    )
    names = ("surrogate", "huge", "numbers", "object", "set", "usage")
    project.data(project.rows(dict.fromkeys(names, ('call add {"a": 1}', None))))
    project.run_here("--fc-data=pivots.jsonl", "--fc-agent=odd:answer", "--fc-run=run")
    lines = (project.path / "run" / "results.jsonl").read_bytes().splitlines()
    assert all(line.isascii() for line in lines)
    found = {line["pivot_id"]: line for line in (_strictly(line.decode()) for line in lines)}
    assert set(found) == set(names)
    assert found["surrogate"]["output"] == "\ud800 \u00e4 \x00 \u2028"
    assert found["huge"]["output"] == "x" * 300_000
    assert found["object"]["action"] == {"type": "function_call", "name": "add", "arguments": '{"a": 1}'}
    assert (found["object"]["outcome"], found["set"]["outcome"]) == ("passed", "error")
    assert found["usage"]["usage"] == {
        "input_tokens": 9,
        "cached_tokens": 3,
        "output_tokens": 4,
        "reasoning_tokens": 0,
    }
    assert "tools" not in found["usage"]["output"]


def test_what_a_run_was_about(project: Project) -> None:
    """run.json tells the data and their hash, agent, grader, options, packages, the code's commit, times and status."""
    options = project.puppet(project.rows(TABLE))
    for command in (["init", "-q"], ["add", "puppet.py"], ["commit", "-qm", "first"]):
        identity = ["-c", "user.name=tester", "-c", "user.email=tester@example.org"]
        subprocess.run(["git", *identity, *command], cwd=project.path, check=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=project.path, check=True, capture_output=True, text=True)
    grader = ["--fc-grader=nemo-gym:any-order", "--fc-grader-option=word_count_similarity_threshold=0.3"]
    project.run_here(*options, "--fc-run=one", *grader, "--fc-limit=4")
    told = json.loads((project.path / "one" / "run.json").read_text(encoding="ascii"))
    assert told["agent"] == "puppet:answer"
    settings = {"word_count_similarity_threshold": 0.3}
    assert told["grader"] == {"name": "nemo-gym:any-order", "settings": settings, "cause": "--fc-grader-option"}
    (data,) = told["data"]
    assert (data["name"], data["pivots"], data["selected"]) == ("pivots.jsonl", 8, 4)
    assert re.fullmatch("[0-9a-f]{64}", data["sha256"])
    assert told["options"]["fc_limit"] == "4"
    assert {"pytest", "pytest-fcpivot", "pyarrow"} <= set(told["packages"])
    assert told["git"] == {"commit": commit.stdout.strip(), "changed": False}
    begun, ended = datetime.fromisoformat(told["started"]), datetime.fromisoformat(told["ended"])
    assert begun <= ended
    assert [session["exit_status"] for session in told["sessions"]] == [1]
    project.write("puppet.py", (project.path / "puppet.py").read_text() + "\n# changed\n")
    project.data([*project.rows(TABLE), project.row("say more", id="more")])
    project.run_here(*options, "--fc-run=two", "--fc-limit=1")
    again = json.loads((project.path / "two" / "run.json").read_text(encoding="ascii"))
    assert again["git"]["changed"] is True
    assert again["data"][0]["sha256"] != data["sha256"]
    assert [session["exit_status"] for session in again["sessions"]] == [0]


def test_a_run_where_the_user_wants_it(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """--fc-run and FC_RUN name the directory, and `none` records nothing; the option goes before the variable."""
    options = [*project.puppet(project.trajectories(1))]
    result = project.run_here(*options, "--fc-run=deep/er/run")
    assert (project.path / "deep" / "er" / "run" / "results.jsonl").is_file()
    result.stdout.fnmatch_lines(["fcpivot: run recorded in deep/er/run", "run recorded in deep/er/run"])
    monkeypatch.setenv("FC_RUN", "from-variable")
    project.run_here(*options).assert_outcomes(passed=1)
    assert (project.path / "from-variable" / "results.jsonl").is_file()
    result = project.run_here(*options, "--fc-run=none")
    result.assert_outcomes(passed=1)
    assert "recorded" not in result.stdout.str()
    assert not (project.path / ".fcpivot").exists()


@pytest.mark.parametrize(
    "args",
    [
        ["--collect-only"],
        ["--setup-only"],
        ["--setup-plan"],
        ["--fixtures"],
        ["-k", "no such pivot"],
    ],
    ids=" ".join,
)
def test_no_pivot_no_run(counted: Counted, args: list[str]) -> None:
    """A session in which no pivot runs leaves no directory of a run, and asks nobody."""
    counted.run_here(*counted.table({"one": ("say hello", None)}), *args)
    assert _runs(counted.project) == []
    assert not counted.asked()


def test_a_directory_that_holds_a_run(counted: Counted) -> None:
    """A run is not begun over another: the message says how to go on with it, and nobody is asked."""
    options = counted.table({"one": ("say hello", None)})
    counted.run_here(*options, "--fc-run=run")
    before = counted.lines(counted.project.path / "run")
    result = counted.run_here(*options, "--fc-run=run")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    text = result.stdout.str() + result.stderr.str()
    assert text.count("this directory already holds a run; pass --fc-resume=") == 1
    assert "Traceback" not in text
    assert not counted.asked()
    assert counted.lines(counted.project.path / "run") == before


def test_a_directory_that_cannot_be_made(counted: Counted) -> None:
    """A place that the user named and that cannot be written is refused before anybody is asked."""
    options = counted.table({"one": ("say hello", None)})
    counted.project.write("file", "not a directory")
    result = counted.run_here(*options, "--fc-run=file/run")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "file/run: the run cannot be recorded there: Not a directory" in result.stdout.str() + result.stderr.str()
    assert not counted.asked()


def test_a_default_place_that_cannot_be_made(counted: Counted) -> None:
    """Where the default place cannot be written, the run goes on, and says that it is not recorded and what to do."""
    options = counted.table(TABLE)
    counted.project.write(".fcpivot", "not a directory")
    result = counted.run_here(*options)
    result.assert_outcomes(passed=3, failed=3, errors=2)
    warning = "*the run is not recorded: *: the run cannot be recorded there: *; name a directory with --fc-run"
    result.stdout.fnmatch_lines([f"fcpivot: {warning}", warning])
    result.stdout.no_fnmatch_line("run recorded in*")
    assert (counted.project.path / ".fcpivot").read_text() == "not a directory"


def test_a_disk_that_fills_up(counted: Counted) -> None:
    """When the disk is full the run stops and says so, with whole lines only; with room again, it is completed."""
    pytest.importorskip("resource")
    pytest.importorskip("xdist.plugin")
    rows: dict[str, tuple[str, str | None]] = {f"p{n}": ("say hello", "long 3000") for n in range(120)}
    options = counted.table(rows)
    counted.pauses(0.05)
    limit = counted.project.write(
        "conftest.py",
        """
import resource

def pytest_runtest_logreport(report):
    resource.setrlimit(resource.RLIMIT_FSIZE, (70_000, resource.RLIM_INFINITY))
""",
    )
    # In a process of its own, for it loses the right to write.
    result = counted.run(*options, "--fc-run=run", "-n1", "--fc-concurrency=2", "--junitxml=/dev/full")
    asked = counted.asked()
    assert asked.total() == len(asked) < 100  # workers are told, and do not ask at what is in their queues
    run = counted.project.path / "run"
    kept = counted.results(run)
    assert 5 < len(kept) < 20
    trouble = "run: results cannot be written any more: File too large; earlier ones are kept: make room, and resume "
    assert trouble + "with --fc-resume=" in result.stdout.str()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert result.stderr.str() == ""
    unwritten = "ERROR: the JUnit file /dev/full cannot be written: *"
    result.stdout.fnmatch_lines([f"*{trouble}*", unwritten, f"!* *{trouble}*", "*passed in*"])
    limit.unlink()
    counted.pauses(0)
    result = counted.run_here("--fc-resume=run", "--junitxml=/dev/full")
    result.assert_outcomes(passed=120)
    result.stdout.fnmatch_lines([f"{unwritten}; the results are recorded: *--fc-replay=run --junitxml=FILE*"])
    result.stdout.no_fnmatch_line("*generated xml file*")
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    assert not set(kept) & {f"pivots.jsonl::{name}" for name in counted.asked()}
    assert len(counted.lines(run)) == 120


RERUN = """
import pytest
from _pytest.runner import runtestprotocol

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    for attempt in (1, 2):
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        again = attempt == 1 and any(report.failed for report in reports)
        for report in reports:
            if again and report.failed:
                report.outcome = "rerun"
            item.ihook.pytest_runtest_logreport(report=report)
        if not again:
            break
    return True

def pytest_report_teststatus(report):
    if report.outcome == "rerun":
        return "rerun", "R", "RERUN"
"""


def test_a_plugin_that_runs_failures_again(counted: Counted) -> None:
    """A test that is run again is asked again after an error alone, and has one line: of the outcome which counts."""
    options = counted.table(
        {"good": ("say hello", None), "bad": ("say hello", "nothing"), "off": ("say hi", "raises x")}
    )
    counted.project.write("conftest.py", RERUN)
    counted.run_here(*options, "--fc-run=run")
    found = [(line["pivot_id"], line["outcome"]) for line in counted.lines(counted.project.path / "run")]
    assert found == [("good", "passed"), ("bad", "failed"), ("off", "error")]
    assert counted.asked() == {"good": 1, "bad": 1, "off": 2}


def test_lines_of_own_tests(counted: Counted) -> None:
    """A user's test that takes `pivot` and is graded has lines too, under its own node id."""
    options = counted.table({name: TABLE[name] for name in ("right", "wrong", "broken")})
    counted.project.write("test_mine.py", "def test_mine(pivot, fc_action, fc_grade):\n    fc_grade(fc_action)\n")
    counted.run_here("test_mine.py", *options, "--fc-run=run")
    found: dict[str, Row] = counted.results(counted.project.path / "run")
    assert {test: (line["pivot_id"], line["outcome"]) for test, line in found.items()} == {
        "test_mine.py::test_mine[right]": ("right", "passed"),
        "test_mine.py::test_mine[wrong]": ("wrong", "failed"),
        "test_mine.py::test_mine[broken]": ("broken", "error"),
    }
    assert counted.run_here("test_mine.py", "--fc-resume=run").ret == pytest.ExitCode.TESTS_FAILED
    assert dict(counted.asked()) == {"broken": 1}
