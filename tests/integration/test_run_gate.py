"""A gate: its verdict, its exit code and its traces, however the session is run and however it ends."""

from __future__ import annotations

import json
import re
import shlex
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

if TYPE_CHECKING:
    from counting_agent import Counted
    from pivot_project import Project

pytest_plugins = ["pivot_project", "counting_agent"]

AGENT = """
from pathlib import Path


def answer(pivot):
    told = Path("told.txt").read_text()
    letter = told[int(pivot.id[1:])] if pivot.id[1:].isdecimal() else "w"
    if letter == "a" and not Path("back").exists():
        raise RuntimeError("no connection")
    return None if letter == "w" else "hello"
"""
ENDS = """
import os

def pytest_runtest_setup(item):
    if item.name == "{test}":
        {how}
"""


def write(project: Project, told: str) -> list[str]:
    """Write pivots and an agent; each letter is a pivot: r(ight), w(rong), a(way)."""
    rows = [project.row("say hello", id=f"p{n}", info={"depth": 0}) for n in range(len(told))]
    project.write("told.txt", told)
    project.write("my_agent.py", AGENT)
    project.data(rows)
    return ["--fc-data=pivots.jsonl", "--fc-agent=my_agent:answer", "--fc-run=run", "--fc-concurrency=1"]


def verdict_line(result: pytest.RunResult) -> str:
    """Return the line below the title of the summary."""
    lines: list[str] = result.outlines
    title = next(number for number, line in enumerate(lines) if re.match(r"-+ result -+$", line))
    return lines[title + 1]


def recorded(project: Project, run: str = "run") -> dict[str, Any]:
    """Return the verdict in run.json, which is as its schema says, without any other member."""
    described = json.loads((project.path / run / "run.json").read_text())
    schema = json.loads((files("pytest_fcpivot") / "formats" / "run.schema.json").read_text(encoding="utf-8"))
    verdict = schema["properties"]["verdict"]
    verdict["additionalProperties"] = verdict["properties"]["rules"]["items"]["additionalProperties"] = False
    assert not list(Draft202012Validator(schema).iter_errors(described))
    found: dict[str, Any] = described["verdict"]
    return found


@pytest.mark.parametrize(
    ("told", "marks", "ends"),
    [
        ("r" * 28 + "w" * 7, ["0.80"], (0, "PASS: the mean reward is 0.8000, and 0.80 is needed")),
        ("r" * 40, ["0.8", "type=call:0.5"], (4, "no selected pivot is of the type call")),
        (
            "r" * 28 + "w" * 8 + "aa",
            ["80%", "pass:0.1"],
            (1, "FAIL: whatever the 2 missing answers are: the mean reward is 0.7368 to 0.7895, and 80% is needed"),
        ),
        (
            "r" * 3,
            ["0.8"],
            (0, "INCONCLUSIVE: the mean reward is 1.0000 over 3 pivots, fewer than the 30 of --fc-min-*"),
        ),
        (
            "r" * 28 + "w" * 7 + "a",
            ["0.80"],
            (
                1,
                "UNTRUSTED: 1 answer is missing, and it decides: the mean reward is 0.7778 if wrong, 0.8056 if right*",
            ),
        ),
    ],
    ids=["pass", "unknown-group", "fail", "inconclusive", "untrusted"],
)
def test_words(project: Project, told: str, marks: list[str], ends: tuple[int, str]) -> None:
    """The verdict is the first line of the summary, and decides the exit code, with workers too."""
    status, line = ends
    options = [*write(project, told), *(f"--fc-fail-under={mark}" for mark in marks)]
    if status == pytest.ExitCode.USAGE_ERROR:
        result = project.run_here(*options)
        assert result.ret == status
        assert line in result.stderr.str()
        assert not (project.path / "run").exists()
        return
    result = project.run_here(*options)
    assert result.ret == status
    assert re.fullmatch(re.escape(line).replace(r"\*", ".*"), verdict_line(result)), verdict_line(result)
    found = recorded(project)
    assert (f"{found['word']}: {found['sentence']}", found["fails"]) == (verdict_line(result), bool(status))
    assert len(found["rules"]) == len(marks)


def test_words_with_workers(project: Project) -> None:
    """With workers, the verdict and the exit code are the same."""
    result = project.run_here(*write(project, "r" * 28 + "w" * 7 + "a"), "--fc-fail-under=0.80", "-n2")
    assert (result.ret, recorded(project)["word"]) == (1, "UNTRUSTED")
    assert verdict_line(result).startswith("UNTRUSTED: 1 answer is missing, ")


def test_the_rerun_command_has_no_gate(project: Project) -> None:
    """The command that reruns the failures leaves the gate and the saved baseline of the whole run alone."""
    gate = ["--fc-fail-under=0.4", "--fc-fail-under", "pass:0.4", "--fc-save-baseline=main"]
    result = project.run_here(*write(project, "wr" * 20), *gate)
    saved = project.path / ".fcpivot/baselines/main.jsonl"
    before = saved.read_bytes()
    (line,) = (line for line in result.outlines if line.startswith("rerun the failures:"))
    words = shlex.split(line.partition(":")[2])[1:]
    assert words == ["--fc-data=pivots.jsonl", "--fc-agent=my_agent:answer", "--fc-concurrency=1", "--lf"]
    result, outcomes = project.run_cases(*words)
    assert (result.ret, list(outcomes.values())) == (1, ["failure"] * 20)
    assert saved.read_bytes() == before


def test_the_rerun_command_of_settings_and_a_gate(project: Project) -> None:
    """Where nothing but the gate was typed, the command names the agent, since settings alone start no run."""
    write(project, "wr" * 20)
    project.write("pytest.ini", "[pytest]\nfc_data = pivots.jsonl\nfc_agent = my_agent:answer\n")
    result = project.run_here("--fc-fail-under=0.4")
    (line,) = (line for line in result.outlines if line.startswith("rerun the failures:"))
    words = shlex.split(line.partition(":")[2])[1:]
    assert words == ["--fc-agent=my_agent:answer", "--lf"]
    _, outcomes = project.run_cases(*words)
    assert list(outcomes.values()) == ["failure"] * 20


def test_cases_that_fail_are_xfailed(project: Project, workers: list[str]) -> None:
    """With --fc-gated-cases=xfailed, no wrong answer is a failure for JUnit, -x and --lf; the summary counts them."""
    options = [*write(project, "wrwr" + "r" * 36), "--fc-fail-under=0.9", "--fc-gated-cases=xfailed", "-x"]
    result, outcomes = project.run_cases(*options, *workers)
    assert result.ret == 0
    assert verdict_line(result) == "PASS: the mean reward is 0.9500, and 0.9 is needed"
    result.stdout.fnmatch_lines(["passed 38, failed 2, errors 0; pass rate 0.9500", "*38 passed, 2 xfailed*"])
    assert {name for name, outcome in outcomes.items() if outcome == "skipped"} == {"p0", "p2"}
    assert "rerun the failures" not in result.stdout.str()
    suite = next(project.junit().iter("testsuite"))
    assert (suite.attrib["failures"], suite.attrib["errors"], suite.attrib["skipped"]) == ("0", "0", "2")
    properties = {p.attrib["name"]: p.attrib["value"] for p in suite.findall("properties/property")}
    assert properties["fc.verdict"] == "PASS"
    assert properties["fc.verdict_1"] == "PASS --fc-fail-under=0.9: the mean reward is 0.9500, and 0.9 is needed"
    skipped = next(case for case in suite.iter("testcase") if case.attrib["name"] == "p0").find("skipped")
    assert skipped is not None
    assert skipped.attrib["message"] == "wrong answer: reward 0, NO_ACTION_FOUND"
    lines = [json.loads(line) for line in (project.path / "run" / "results.jsonl").read_text().splitlines()]
    assert sum(line["outcome"] == "failed" for line in lines) == 2


def test_a_mark_hides_no_wrong_answer_from_the_gate(project: Project) -> None:
    """Wrong answers to tests that a mark expects to fail count as failed; those that were never asked do not count."""
    options = [*write(project, "wwwwwwwwww" + "r" * 30 + "w"), "--fc-fail-under=0.9"]
    project.write(
        "conftest.py",
        "import pytest\n\ndef pytest_collection_modifyitems(items):\n    for item in items:\n"
        "        item.add_marker(pytest.mark.xfail(run=item.name != 'p40'))\n",
    )
    result, outcomes = project.run_cases(*options)
    assert verdict_line(result) == "FAIL: the mean reward is 0.7500, under the 0.9 that is needed"
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["passed 30, failed 10, errors 0; pass rate 0.7500; not counted: skipped or expected to fail 1"]
    )
    assert sum(outcome == "skipped" for outcome in outcomes.values()) == 11
    later = project.command("gate", "run")
    assert (later.ret, later.outlines[0]) == (1, verdict_line(result))


def test_a_test_that_skips_when_the_answer_is_wrong_hides_nothing(project: Project, workers: list[str]) -> None:
    """A wrong answer counts although the test that graded it skips; one that is skipped before that does not."""
    options = write(project, "w" * 10 + "r" * 31)
    project.write(
        "test_mine.py",
        "import pytest\n\ndef test_mine(pivot, fc_action, fc_grade):\n    if pivot.id == 'p40':\n"
        "        pytest.skip('another day')\n    try:\n        fc_grade(fc_action)\n    except AssertionError:\n"
        "        pytest.skip('wrong')\n",
    )
    result = project.run_here("test_mine.py", *options[1:], "--fc-data=pivots.jsonl", "--fc-fail-under=0.9", *workers)
    assert verdict_line(result) == "FAIL: the mean reward is 0.7500, under the 0.9 that is needed"
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["passed 30, failed 10, errors 0; pass rate 0.7500; not counted: skipped or expected to fail 1"]
    )


def test_stopped_at_the_first_failure(project: Project) -> None:
    """-x stops at a wrong answer, and what was not run is missing."""
    result = project.run_here(*write(project, "rw" + "r" * 38), "--fc-fail-under=0.5", "-x")
    assert result.ret == 1
    assert verdict_line(result).startswith("UNTRUSTED: 38 answers are missing, and they decide: ")
    assert recorded(project)["missing"] == 38


@pytest.mark.parametrize(
    ("mark", "status", "word"),
    [("0.9", 1, "UNTRUSTED"), ("0.5", 0, "PASS")],
)
def test_tests_that_were_lost(project: Project, mark: str, status: int, word: str) -> None:
    """Tests that no worker is left to run count as missing answers, and the verdict decides the exit code."""
    project.write("conftest.py", ENDS.format(test="p30", how="os._exit(17)"))
    options = [*write(project, "r" * 40), f"--fc-fail-under={mark}", "-n1", "--max-worker-restart=0"]
    result = project.run_here(*options)
    assert result.ret == status
    assert verdict_line(result).startswith(f"{word}: ")
    result.stdout.fnmatch_lines(
        ["ERROR: *selected tests were not run*the verdict counts these tests as missing answers."]
    )


def test_an_interrupt_keeps_its_exit_code(project: Project) -> None:
    """Ctrl-C ends with 2, whatever the verdict is by then."""
    project.write("conftest.py", ENDS.format(test="p35", how="raise KeyboardInterrupt"))
    result = project.run(*write(project, "r" * 36), "--fc-fail-under=0.5")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert verdict_line(result).startswith("PASS: whatever the missing answer is: ")
    result.stdout.fnmatch_lines(["the exit code is 2, whatever the verdict"])


OTHERS = """
def test_another():
    assert {another}

def test_mine(pivot, fc_action, fc_grade):
    assert {mine}
    fc_grade(fc_action)
"""


@pytest.mark.parametrize(
    ("another", "mine", "status"),
    [("True", "True", 0), ("False", "True", 1), ("True", "pivot.id != 'p3'", 1)],
)
def test_other_tests_beside(project: Project, another: str, mine: str, status: int) -> None:
    """A test that fails for another reason than a wrong answer keeps the exit code 1, whatever the verdict."""
    options = write(project, "r" * 38 + "ww")
    project.write("test_mine.py", OTHERS.format(another=another, mine=mine))
    result = project.run_here("test_mine.py", "pivots.jsonl", *options[1:], "--fc-fail-under=0.9")
    assert result.ret == status
    assert verdict_line(result).startswith("PASS: ")
    shown = "the exit code is 1, since tests failed for other reasons than wrong or missing answers" in result.outlines
    assert shown is bool(status)


def test_a_plugin_that_keeps_the_exit_code(project: Project) -> None:
    """A plugin that sets pytest's own exit code again, as syrupy does, does not turn a passing verdict red."""
    options = write(project, "r" * 38 + "ww")
    project.write(
        "conftest.py",
        "def pytest_sessionfinish(session, exitstatus):\n    session.exitstatus |= exitstatus\n",
    )
    assert project.run_here(*options, "--fc-fail-under=0.9").ret == 0


def test_what_is_deselected_is_not_missing(project: Project) -> None:
    """Deselected tests do not count; a group that they leave empty cannot be decided about, and is named."""
    options = write(project, "r" * 40)
    with (project.path / "pivots.jsonl").open("a") as data:
        data.write(json.dumps(project.row('call add {"a": 1}', None, id="call")) + "\n")
    result = project.run_here(*options, "--fc-fail-under=0.9", "--fc-fail-under=tool=add:0.5", "-k", "not call")
    assert result.ret == 1
    assert verdict_line(result) == (
        "UNTRUSTED: no pivot of tool=add was selected, so the mean reward of tool=add is unknown"
    )
    assert recorded(project)["missing"] == 0
    # a condition that one of the pivots meets, in a session without workers and by the command
    result = project.run_here(
        *options[:2], "--fc-fail-under=where:tool=add:0.1", "--fc-fail-under=0.5", "--fc-min-pivots=1", "--fc-run=other"
    )
    assert verdict_line(result).startswith("FAIL: the mean reward of where:tool=add is 0.0000")
    again = project.command("gate", "other", "--fail-under=where:tool=add:0.1")
    assert (again.ret, again.outlines[0]) == (1, verdict_line(result))


def test_resumed_and_replayed(project: Project) -> None:
    """A resumed run decides anew by the mark that it had, a replay by another one, and neither asks for the option."""
    options = [*write(project, "r" * 30 + "aa" + "w" * 3), "--fc-fail-under=0.90"]
    result = project.run_here(*options)
    assert (result.ret, recorded(project)["word"]) == (1, "UNTRUSTED")
    (project.path / "back").touch()
    result = project.run_here("--fc-resume=run")
    assert result.ret == 0
    assert verdict_line(result) == "PASS: the mean reward is 0.9143, and 0.90 is needed"
    assert recorded(project)["word"] == "PASS"
    result = project.run_here("--fc-replay=run", "--fc-fail-under=0.92", "--fc-run=again")
    assert result.ret == 1
    assert verdict_line(result) == "FAIL: the mean reward is 0.9143, under the 0.92 that is needed"
    result = project.run_here("--fc-replay=run", "--fc-fail-under=", "--fc-run=none")
    assert result.ret == 1  # without a gate, for the wrong answers
    assert "PASS" not in verdict_line(result)


def test_a_part_of_a_run_is_replayed(project: Project) -> None:
    """The answers of a run that was stopped say nothing about the rest, be it replayed again or decided about later."""
    project.run_here(*write(project, "r" * 35 + "wwwww"), "-x")
    told = (
        "UNTRUSTED: it replays a run that is not complete: its last session ended early: 4 of its tests were not run; "
        "pytest --fc-resume=run asks for them, and then replay it again"
    )
    result = project.run_here("--fc-replay=run", "--fc-run=again", "--fc-fail-under=0.9", "--fc-save-baseline=best")
    assert (result.ret, verdict_line(result)) == (1, told)
    assert not list(project.path.rglob("best*"))
    result = project.run_here("--fc-replay=run", "--fc-run=last", "--fc-fail-under=0.9", "--fc-stop-when-decided")
    assert (result.ret, verdict_line(result)) == (1, told)
    later = project.command("gate", "last")
    assert later.ret == 1
    assert later.outlines[0].startswith("UNTRUSTED: it replays a run that is not complete: its last session ended ")
    twice = project.run_here("--fc-replay=last", "--fc-run=twice")
    assert (twice.ret, verdict_line(twice).partition(":")[0]) == (1, "UNTRUSTED")
    assert verdict_line(twice).endswith("; resume the run that was replayed first, and replay it again")
    refused = project.run_here("--fc-replay=last", "--fc-run=x", "--fc-baseline=last", "--fc-max-drop=0.1")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR


def test_a_merge_without_a_shard_is_replayed(project: Project) -> None:
    """What is missing is as unknown in a replay as in the merged run itself, which is no baseline either."""
    options = write(project, "r" * 40)
    project.run_here(*options, "--fc-shard=1/2", "--fc-run=one")
    project.command("merge", "one", "--output", "merged")
    result = project.run_here("--fc-replay=merged", "--fc-fail-under=0.5", "--fc-min-pivots=1", "--fc-run=again")
    assert result.ret == 1
    assert verdict_line(result).startswith(
        "UNTRUSTED: it replays a run that is not complete: it was merged without shard 2 of 2; "
    )
    refused = project.run_here(*options[:2], "--fc-baseline=merged", "--fc-max-drop=0.1", "--fc-run=other")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(["*no baseline: it was merged without shard 2 of 2; *"])


def test_a_replay_of_a_run_that_was_resumed_in_part(project: Project) -> None:
    """The last session ran all of its own tests, but others of the run have no result."""
    project.run_here(*write(project, "wwwww" + "r" * 35), "-x")
    project.run_here("--fc-resume=run", "-k", "p1 or p2")
    result = project.run_here("--fc-replay=run", "--fc-fail-under=0.5", "--fc-min-pivots=1", "--fc-run=again")
    assert (result.ret, verdict_line(result).partition(";")[0]) == (
        1,
        "UNTRUSTED: it replays a run that is not complete: 17 tests without a result",
    )


def test_killed_and_resumed(counted: Counted) -> None:
    """A session with workers that is killed decides nothing; resumed with workers, it decides about the whole."""
    pytest.importorskip("xdist.plugin")
    rows: dict[str, tuple[str, str | None]] = {"last": ("say hello", "gated hello"), "wrong": ("say hello", "nothing")}
    rows = {f"p{n}": ("say hello", None) for n in range(38)} | rows
    options = [*counted.table(rows), "--fc-run=run", "--fc-fail-under=0.97", "-n2"]
    results = counted.project.path / "run" / "results.jsonl"
    session = counted.start(*options)
    session.wait_until(lambda: results.exists() and results.read_bytes().count(b"\n") >= 20)
    session.kill()
    later = counted.project.command("gate", "run")
    assert (later.ret, later.outlines) == (2, [])
    assert "nothing can be decided about this run: its last session did not end: killed" in later.stderr.str()
    counted.touch("go")
    result = counted.run_here("--fc-resume=run", "-n2")
    assert result.ret == 0
    assert verdict_line(result) == "PASS: the mean reward is 0.9750, and 0.97 is needed"


def test_merged_shards(project: Project) -> None:
    """`fcpivot gate` decides about shards together, and by the options that they had; not without one of them."""
    options = write(project, "r" * 45 + "w" * 15)
    for number in (1, 2):
        project.run_here(*options, f"--fc-shard={number}/2", f"--fc-run=run-{number}", "--fc-fail-under=0.70")
    project.command("merge", "run-1", "run-2", "-o", "merged")
    result = project.command("gate", "merged")
    assert (result.ret, result.outlines) == (0, ["PASS: the mean reward is 0.7500, and 0.70 is needed"])
    result = project.command("gate", "merged", "--fail-under=0.76", "--format=json")
    assert (result.ret, json.loads(result.stdout.str())["word"]) == (1, "FAIL")
    result = project.command("gate", "merged", "--baseline=merged")
    assert result.outlines[1] == "--baseline decides nothing without --max-drop; fcpivot compare shows what has changed"
    project.command("merge", "run-1", "-o", "half")
    result = project.command("gate", "half")
    assert result.ret == 2
    assert "half: merged without shard 2 of 2; merge all shards before anything is decided" in result.stderr.str()


def test_a_stored_run_that_is_not_complete(project: Project) -> None:
    """`fcpivot gate` counts the tests that were not run, and refuses a run of which it is not known how many are."""
    project.run_here(*write(project, "rw" + "r" * 38), "-x")
    result = project.command("gate", "run", "--fail-under=0.5")
    assert result.ret == 1
    assert len(result.outlines) == 1
    assert result.outlines[0] == (
        "UNTRUSTED: 38 answers are missing, and they decide: the mean reward is 0.0250 if wrong, 0.9750 if right; 0.5 "
        "is needed; pytest --fc-resume=run asks for them"
    )
    project.run_here("--fc-resume=run", "-k", "p3")  # a part of it
    result = project.command("gate", "run", "--fail-under=0.5")
    assert result.outlines[0].startswith("UNTRUSTED: 27 answers are missing")
    described = json.loads((project.path / "run" / "run.json").read_text())
    described["sessions"][-1]["ended"] = None
    del described["counts"]
    (project.path / "run" / "run.json").write_text(json.dumps(described))
    result = project.command("gate", "run", "--fail-under=0.5")
    assert result.ret == 2
    assert "nothing can be decided about this run: its last session did not end" in result.stderr.str()


def baseline_of(project: Project, told: str) -> None:
    """Save a baseline, in place of an earlier one."""
    project.run_here(*write(project, told)[:2], "--fc-run=none", "--fc-save-baseline=main")


def test_the_drop_since_a_baseline(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest baseline decides: a drop is a REGRESSION, and an open question passes with a warning in GitHub."""
    baseline_of(project, "w" * 200)
    baseline_of(project, "r" * 200)
    options = [*write(project, "r" * 160 + "w" * 40)]
    compared = project.run_here(*options[:2], "--fc-run=none", "--fc-baseline=main")
    assert compared.ret == 1  # a comparison decides nothing
    assert "NEW   this run" in compared.stdout.str()
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    result = project.run_here(*options, "--fc-baseline", "--fc-max-drop=0.05")
    assert result.ret == 1
    assert re.match(
        r"REGRESSION: the mean reward changed by -0\.2000: it fell by at least 0\.\d+, and 0\.05 is ",
        verdict_line(result),
    )
    assert "::warning" not in result.stdout.str()
    assert recorded(project)["rules"][0]["allowed_drop"] == 0.05
    result = project.run_here("--fc-resume=run", "--fc-max-drop=0.2")
    assert result.ret == 0
    assert verdict_line(result).startswith("INCONCLUSIVE: the mean reward changed by -0.2000 (95 % interval ")
    assert any(line.startswith("::warning title=pytest-fcpivot::INCONCLUSIVE: ") for line in result.outlines)
    stored = project.command("gate", "run", "--baseline=main", "--max-drop=0.2")
    assert (stored.ret, stored.outlines[0]) == (0, verdict_line(result))
    assert not [line for line in stored.outlines if line.startswith("--baseline decides nothing")]
    result = project.run_here("--fc-resume=run", "--fc-max-drop=0.2", "--fc-inconclusive=fail")
    assert (result.ret, verdict_line(result)[:12]) == (1, "INCONCLUSIVE")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--fc-baseline=nowhere", "--fc-baseline=nowhere: there is no such run"),
        ("--fc-baseline=stopped", "--fc-baseline=stopped: this run is not complete, so it is no baseline: "),
        ("--fc-baseline=elsewhere", "--fc-baseline: elsewhere and this run cannot be compared"),
        ("--fc-fail-under=ad:0.5", "--fc-fail-under=ad:0.5: no selected pivot has a tool, a type or a data file of "),
        ("--fc-fail-under=where:depth>=99:0.5", "no selected pivot meets this condition; their depth is from 0 to 0"),
        ("--fc-save-baseline=a/b", "--fc-save-baseline=a/b: the file of a baseline has to end in .jsonl"),
        ("--fc-save-baseline=a b", "the name of a baseline has letters, digits and"),
    ],
)
def test_refused_before_the_first_call(stopped: Project, option: str, message: str) -> None:
    """What a gate names and is not there, or cannot be compared with, is a usage error before anything is asked."""
    result = stopped.run_here("--fc-data=pivots.jsonl", "--fc-agent=my_agent:answer", "--fc-run=new", option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert message in result.stderr.str()
    assert not (stopped.path / "new").exists()


@pytest.fixture
def stopped(project: Project) -> Project:
    """Return a project with a run that was stopped, and a baseline of other data."""
    project.run_here(*write(project, "wr")[:2], "--fc-run=stopped", "-x")
    rows = [project.row("say hello", "right", id="p0", info={"depth": 1})]
    project.data(rows, "other.jsonl")
    options = ["--fc-data=other.jsonl", "--fc-agent=my_agent:answer", "--fc-run=elsewhere"]
    project.run_here(*options)
    return project


def test_saving_a_baseline(project: Project) -> None:
    """A run with errors is not saved, which the exit code shows, unless that is allowed, nor one that fails."""
    options = write(project, "r" * 39 + "a")[:2]
    saved = project.path / ".fcpivot" / "baselines" / "main.jsonl"
    result = project.run_here(*options, "--fc-run=one", "--fc-save-baseline=main", "--fc-fail-under=0.9")
    assert (result.ret, saved.exists()) == (pytest.ExitCode.INTERNAL_ERROR, False)
    assert verdict_line(result).startswith("PASS: ")
    result.stdout.fnmatch_lines(
        [
            "the exit code is 3, *",
            "ERROR: the baseline main is not saved: 1 answer of the run ended in errors, as *--fc-allow-errors",
        ]
    )
    result = project.run_here(*options, "--fc-run=two", "--fc-save-baseline=main", "--fc-fail-under=0.99")
    assert (result.ret, saved.exists()) == (1, False)
    result.stdout.fnmatch_lines(["ERROR: the baseline main is not saved: the verdict is UNTRUSTED"])
    result = project.run_here(
        *options, "--fc-run=three", "--fc-save-baseline=main", "--fc-allow-errors", "--fc-fail-under=0.9"
    )
    assert (result.ret, saved.exists()) == (0, True)
    result.stdout.fnmatch_lines(["baseline saved in .fcpivot/baselines/main.jsonl"])


def test_a_gate_of_the_ini_file(project: Project) -> None:
    """A gate of the ini file leaves sessions without pivots alone; one that is typed does not."""
    project.write("pytest.ini", "[pytest]\nfc_fail_under = 0.9\n")
    project.write("test_other.py", "def test_it():\n    pass\n")
    assert project.run_here("test_other.py").ret == 0
    result = project.run_here("test_other.py", "--fc-fail-under=0.8")
    assert result.ret == 1
    assert "UNTRUSTED: no pivot was selected, so the mean reward is unknown" in result.outlines


def commands_of_ci() -> tuple[list[str], list[str], list[str], list[str]]:
    """Return the options of docs/ci.md's commands: making the baseline, its gate, recording a run, and replaying it."""
    page = (Path(__file__).parents[2] / "docs" / "ci.md").read_text(encoding="utf-8")
    folded = re.sub(r">-\n +", "", re.sub(r"(?<=\S)\n {10}(?=--)", " ", page))
    found = [
        shlex.split(line) for line in re.findall(r"^(?: *- run: )?(pytest .*--fc-.*)$", folded, flags=re.MULTILINE)
    ]

    def options(part: str) -> list[str]:
        (command,) = [each for each in found if any(word.startswith(part) for word in each)]
        return [word for word in command[1:] if word.startswith("--")]

    return tuple(map(options, ("--fc-save-baseline", "--fc-baseline", "--fc-run=recorded", "--fc-replay")))  # type: ignore[return-value] # four


def test_the_workflows_of_the_page(project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The gates of docs/ci.md pass without a change, fail after one, and need no key of another machine."""
    save, gate, record, replay = commands_of_ci()
    project.data([project.row("say hello", id=f"p{n}", info={"depth": 0}) for n in range(400)], "gate.jsonl")
    project.write("told.txt", "r" * 400)
    project.write("my_agent.py", AGENT)
    assert project.run_here(*save).ret == pytest.ExitCode.OK
    assert (project.path / "baselines" / "main.jsonl").is_file()
    again = project.run_here(*gate)
    assert (again.ret, verdict_line(again).split(":")[0]) == (0, "PASS")
    project.write("told.txt", "r" * 340 + "w" * 60)
    worse = project.run_here(*[option.replace("--fc-run=run", "--fc-run=other") for option in gate])
    assert (worse.ret, verdict_line(worse).split(":")[0]) == (1, "REGRESSION")
    worse.assert_outcomes(passed=340, xfailed=60)
    project.run_here(*record)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    replayed = project.run_here(*replay)
    assert (replayed.ret, verdict_line(replayed).split(":")[0]) == (0, "PASS")
