"""Sessions that stop as soon as their gate is decided: what is asked, what counts, how they end and are completed."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

if TYPE_CHECKING:
    from collections.abc import Iterable

    from counting_agent import Counted
    from pivot_project import Row

pytest_plugins = ["pivot_project", "counting_agent"]

STOP = ["--fc-stop-when-decided", "--fc-concurrency=4", "--fc-run=run"]
AHEAD = 4 * 4  # calls that may have begun for tests that are not run
COUNT = 150


def rows(counted: Counted, wrong: Iterable[int], *, count: int = COUNT, told: str = 'call add {"a": 1}') -> list[Row]:
    """Return trajectories of two pivots; the agent does both wrong in those whose number ends in one of `wrong`."""
    digits = {*wrong}
    return [
        counted.project.row(
            f"say fine {depth}",
            told if number % 10 in digits else None,
            trajectory_id=f"talk{number}",
            info={"turn": depth, "step": 0, "depth": depth},
        )
        for number in range(count)
        for depth in (1, 0)  # the data need not have them in order
    ]


def recorded(counted: Counted, run: str = "run") -> dict[str, Any]:
    """Return run.json, which is as its schema says."""
    described = counted.described(counted.project.path / run)
    schema = json.loads((files("pytest_fcpivot") / "formats" / "run.schema.json").read_text(encoding="utf-8"))
    assert not list(Draft202012Validator(schema).iter_errors(described))
    return described


def names(lines: Iterable[str]) -> list[str]:
    """Return the trajectories of tests, in their order, each once."""
    return list(dict.fromkeys(line.rpartition("::")[2].partition("-")[0] for line in lines))


# -------------------------------------------------------------------- the end of a session


def test_a_gate_that_is_missed_ends_the_session(counted: Counted) -> None:
    """No call is made beyond the verdict but those that had begun; nothing is lost; a resume completes the run."""
    options = counted.options(rows(counted, [1, 4, 6, 9]))
    counted.pauses(0.06)  # answers that come at once are not worth keeping
    result = counted.run_here(*options, *STOP, "--fc-fail-under=0.8", "--junitxml=cases.xml")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "fcpivot: stops when the gate is decided; trajectories in the random order of seed 0",
            "FAIL: the mean reward of the whole run is under the 0.8 that is needed: it lies between 0.* and 0.7* *",
            "decided after * of 150 trajectories, in the random order of seed 0; wrong * in at most 5 % of runs",
            "* more calls had begun, for tests that were not run; answers that came are kept for a resume",
            "the mean below is biased, since the session stopped because of what it had seen",
            "passed *, failed *, errors 0, not run (decided) * of 300; *",
            "run the tests that are missing or ended in an error:  pytest --fc-resume=run",
            "!* fcpivot: decided: FAIL !*",
        ]
    )
    found = recorded(counted)
    decided, counts = found["decided"], found["counts"]
    assert (decided["seed"], decided["of_trajectories"], decided["of_answers"]) == (0, 150, 300)
    assert counts["passed"] + counts["failed"] == decided["answers"] < 100
    assert counts["not_run"] == 300 - decided["answers"] == found["verdict"]["missing"]
    assert len(counted.asked()) == counted.asked().total() <= decided["answers"] + AHEAD
    lines = [line["test"] for line in counted.lines(counted.project.path / "run")]
    assert lines == [f"pivots.jsonl::{name}-d{depth}" for name in names(lines) for depth in (0, 1)]
    suite = counted.project.junit().find("testsuite")
    assert suite is not None
    properties = {each.attrib["name"]: each.attrib["value"] for each in suite.iter("property")}
    assert (properties["fc.verdict"], properties["fc.not_run"]) == ("FAIL", str(counts["not_run"]))

    later = counted.project.command("gate", "run")
    assert (later.ret, later.outlines[0]) == (1, f"FAIL: {found['verdict']['sentence']}")
    later = counted.project.command("gate", "run", "--fail-under=0.5")
    assert later.ret == 2
    later.stderr.fnmatch_lines(
        ["*run: this run was stopped when its verdict was certain, and no other can be given: leave --fail-under out*"]
    )

    asked = counted.asked()
    counted.pauses(0)
    result = counted.run_here("--fc-resume=run")
    result.stdout.fnmatch_lines(["FAIL: the mean reward is 0.6000, under the 0.8 that is needed"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "decided" not in recorded(counted)
    assert recorded(counted)["counts"]["not_run"] == 0
    again = asked & counted.asked()
    assert again.total() <= 4  # those under way when the first session ended, which had no answer yet


def test_a_gate_that_is_passed_ends_the_session(counted: Counted) -> None:
    """With PASS the exit code is 0 although tests have failed, and the rest is no error; seeds make the order."""
    options = counted.options(rows(counted, [3]))
    page = counted.project.path / "page.md"
    counted.monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    seen = []
    for seed in ("0", "5"):
        run = f"--fc-run=run{seed}"
        result = counted.run_here(*options, *STOP, "--fc-fail-under=0.6", f"--fc-seed={seed}", run)
        assert result.ret == pytest.ExitCode.OK
        result.stdout.fnmatch_lines(["PASS: *", "*passed *, failed *, errors 0, not run (decided) * of 300; *"])
        seen.append(names(line["test"] for line in counted.lines(counted.project.path / f"run{seed}"))[:5])
    assert seen[0] != seen[1]
    assert (
        page.read_text().count("the mean below is biased, since the session stopped because of what it had seen") == 2
    )


def test_workers_decide_the_same(counted: Counted) -> None:
    """With workers the same trajectories decide, and few calls are made beyond; the session does not end as lost."""
    options = counted.options(rows(counted, [1, 4, 6, 9]))
    counted.run_here(*options, *STOP, "--fc-fail-under=0.8")
    alone = recorded(counted)
    result = counted.run_here(*options, *STOP, "--fc-fail-under=0.8", "--fc-run=other", "-n2")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    found = recorded(counted, "other")
    assert (found["decided"], found["verdict"]["sentence"]) == (alone["decided"], alone["verdict"]["sentence"])
    counts = found["counts"]
    assert counts["passed"] + counts["failed"] + counts["not_run"] == 300
    assert counts["not_run"] > 100
    assert counted.asked().total() == len(counted.asked()) < 200
    result.stdout.fnmatch_lines(["* more calls had begun, for tests that were not run; *"])


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["alone", "n2"])
def test_a_killed_session_decides_the_same_when_it_is_resumed(counted: Counted, workers: list[str]) -> None:
    """Killed before the verdict, and resumed: no answer is asked for again, and the same trajectories decide."""
    if workers:
        pytest.importorskip("xdist.plugin")
    table = rows(counted, [1, 4, 6, 9])
    counted.run_here(*counted.options(table), *STOP, "--fc-fail-under=0.8", "--fc-run=whole")
    whole = recorded(counted, "whole")
    counted.pauses(0.06)
    options = [*counted.options(table), *STOP, "--fc-fail-under=0.8", *workers]
    session = counted.start(*options)
    results = counted.project.path / "run" / "results.jsonl"
    session.wait_until(lambda: results.exists() and results.read_bytes().count(b"\n") >= 6)
    session.kill()
    there = set(counted.whole_lines(counted.project.path / "run"))
    assert len(there) < whole["decided"]["answers"]
    counted.pauses(0)
    counted.run_here("--fc-resume=run", "--fc-stop-when-decided", *workers)
    found = recorded(counted)
    assert (found["decided"], found["verdict"]["sentence"]) == (whole["decided"], whole["verdict"]["sentence"])
    assert there.isdisjoint(f"pivots.jsonl::{name}" for name in counted.asked())


# -------------------------------------------------------------------- beside others


def test_other_tests_run_first_and_orders_of_others_change_nothing(counted: Counted) -> None:
    """Tests without a pivot have run when the session stops; in which order answers arrive decides nothing."""
    options = counted.options(rows(counted, [1, 4, 6, 9]))
    counted.run_here(*options, *STOP, "--fc-fail-under=0.8")
    alone = recorded(counted)
    counted.project.write("test_more.py", "def test_one(): pass\ndef test_two(): pass\n")
    counted.project.write(
        "conftest.py",
        "def pytest_collection_finish(session):\n    session.items[40:] = session.items[:39:-1]\n",
    )
    result = counted.run_here(*options, *STOP, "--fc-fail-under=0.8", "--fc-run=other", "pivots.jsonl", "test_more.py")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["test_more.py ..*"])
    found = recorded(counted, "other")
    assert (found["decided"], found["verdict"]["sentence"]) == (alone["decided"], alone["verdict"]["sentence"])
    assert found["counts"]["not_run"] > 0


def test_failures_of_another_run_do_not_come_first(counted: Counted) -> None:
    """With --ff, the order is that of the seed all the same, so that no answer is asked for in vain."""
    options = counted.options(rows(counted, [1, 4, 6, 9]))
    counted.run_here(*options, "--fc-run=whole")
    result = counted.run_here(*options, *STOP, "--fc-fail-under=0.8", "--ff")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    found = recorded(counted)
    assert found["counts"]["passed"] + found["counts"]["failed"] == found["decided"]["answers"] < 100


def test_tests_that_are_left_out_are_no_part_of_the_whole_run(counted: Counted) -> None:
    """With -k the gate is about what was selected, by a user's own tests over pivots as well."""
    options = counted.options(rows(counted, [1, 4, 6, 9]))
    counted.project.write("test_own.py", "def test_own(pivot, fc_action, fc_grade):\n    fc_grade(fc_action)\n")
    result = counted.run_here("test_own.py", *options, *STOP, "--fc-fail-under=0.9", "-k", "talk1", "--fc-repeats=2")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    decided = recorded(counted)["decided"]
    assert (decided["of_trajectories"], decided["of_answers"]) == (61, 244)
    assert recorded(counted)["counts"]["not_run"] > 0
    lines = [line["test"] for line in counted.lines(counted.project.path / "run")]
    assert len(lines) == 4 * len(names(line.partition("[")[2] for line in lines))


def test_a_group_of_which_nothing_is_left_does_not_break_the_verdict(counted: Counted) -> None:
    """With -k that leaves no pivot of a group, another rule still ends the session; the empty one is UNTRUSTED."""
    options = counted.options([*rows(counted, [1, 4, 6, 9]), counted.project.row('call add {"a": 1}', id="tooly")])
    marks = ["--fc-fail-under=0.8", "--fc-fail-under=type=function_call:0.5"]
    result = counted.run_here(*options, *STOP, *marks, "-k", "talk")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["FAIL: the mean reward of the whole run is under the 0.8 *"])
    found = recorded(counted)
    assert found["counts"]["not_run"] > 0
    empty = found["verdict"]["rules"][1]
    assert (empty["word"], empty["fails"]) == ("UNTRUSTED", True)
    assert empty["sentence"].startswith("no pivot of type=function_call was selected, ")


def test_another_failure_keeps_its_exit_code(counted: Counted) -> None:
    """A test that fails for another reason fails the session, although the gate passes early."""
    options = counted.options(rows(counted, [3]))
    counted.project.write("test_more.py", "def test_one(): assert False\n")
    result = counted.run_here(*options, *STOP, "--fc-fail-under=0.6", "pivots.jsonl", "test_more.py")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["PASS: *", "the exit code is 1, since tests failed for other reasons than *"])


def test_errors_never_decide(counted: Counted) -> None:
    """With as many errors as could turn the verdict, the session runs to its end, and is UNTRUSTED."""
    options = counted.options(rows(counted, [1, 4], count=30, told="raises no connection"))
    result = counted.run_here(*options, *STOP, "--fc-fail-under=0.9", "--fc-min-pivots=1", "--fc-retries=0")
    result.stdout.fnmatch_lines(["UNTRUSTED: 12 answers are missing, and they decide: *"])
    assert recorded(counted)["counts"]["not_run"] == 0
    assert "decided" not in recorded(counted)


def test_a_drop_ends_the_session(counted: Counted) -> None:
    """Against a baseline, REGRESSION is decided early; a stopped run is refused as a baseline."""
    options = counted.options(rows(counted, []))
    counted.run_here(*options, "--fc-run=old")
    told = "def answer(pivot):\n    return None if pivot.id.partition('-')[0][-1] in '1469' else 'fine'\n"
    counted.project.write("dropped.py", told)
    dropped = ["--fc-data=pivots.jsonl", "--fc-agent=dropped:answer", "--fc-max-drop=0.01", *STOP]
    result = counted.run_here(*dropped, "--fc-baseline=old")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["REGRESSION: the whole run would show a drop of more than 0.01: the change of its mean reward lies between *"]
    )
    assert recorded(counted)["decided"]["trajectories"] < 120
    result = counted.run_here(*dropped, "--fc-baseline=run", "--fc-run=new")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*stopped when its verdict was certain*--fc-resume=run*"])


def test_a_shard_cannot_stop(counted: Counted) -> None:
    """A shard is refused by name, before any call."""
    options = counted.options(rows(counted, [1], count=20))
    result = counted.run_here(*options, *STOP, "--fc-fail-under=0.8", "--fc-shard=1/2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--fc-stop-when-decided and --fc-shard: a shard can only decide about itself*"])
    assert not counted.asked()
