"""The summary at the end of a run."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest
from terminal import Terminal

from pytest_fcpivot.runs.ending import UNTRUSTED

if TYPE_CHECKING:
    from pivot_project import Project, Row
    from syrupy.assertion import SnapshotAssertion

pytest_plugins = ["pivot_project"]


def _mixed(project: Project) -> list[Row]:
    """Make rows of every outcome, several to a trajectory."""
    told = [
        ('call add {"a": 1}', None),
        ('call add {"a": 1}', 'call add {"a": 2}'),
        ('call add {"a": 1}', "say which number?"),
        ('call book {"city": "Rome"}', 'call book {"town": "Rome"}'),
        ('call book {"city": "Rome"}', 'call subtract {"city": "Rome"}'),
        ('call find {"filters": []}', None),
        ("say which city?", None),
        ("say which city?", 'call book {"city": "Rome"}'),
        ("say which city?", "nothing"),
        ("say which city?", "raises no connection"),
        ('call add {"a": 1}', "raises no connection"),
        ('call add {"a": 1}', "exits 3"),
    ]
    return [
        project.row(expected, say, trajectory_id=f"talk{n // 3}", info={"turn": n, "step": 0, "depth": n})
        for n, (expected, say) in enumerate(told)
    ]


@pytest.mark.parametrize("plugin_args", ["plain", "-n0", "-n2"], indirect=True)
def test_a_mixed_run(project: Project, plugin_args: list[str], same_snapshot: SnapshotAssertion) -> None:
    """The summary has the mean reward, both rates, confusion, categories, schemas, worst tools and causes of errors."""
    result = project.run_here(*project.puppet(_mixed(project)), *plugin_args)
    assert project.summary(result) == same_snapshot


def test_a_perfect_run(project: Project, same_snapshot: SnapshotAssertion) -> None:
    """A run without failures has a short summary."""
    result = project.run_here(*project.puppet(project.trajectories(3, 2)))
    assert project.summary(result) == same_snapshot
    result.stdout.no_fnmatch_line("rerun the failures:*")


def test_only_errors(project: Project) -> None:
    """A run without any answer has no mean reward, and says why."""
    rows = {"one": ("say hello", "raises no connection"), "two": ("say hello", "exits 3")}
    result = project.run_here(*project.puppet(project.rows(rows)))
    summary = project.summary(result)
    assert "passed 0, failed 0, errors 2" in summary
    assert "of those graded" not in summary  # there are none
    assert "1  RuntimeError at puppet.py:<line> in raises: no connection" in summary
    assert "1  SystemExit at puppet.py:<line> in <lambda>: the agent called sys.exit('3')" in summary
    assert result.ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize("quiet", ["-q", "-qq"])
def test_quiet(project: Project, quiet: str) -> None:
    """The summary is what a run is for: -q leaves it."""
    result = project.run_here(*project.puppet(project.trajectories(3)), quiet)
    result.stdout.fnmatch_lines(["mean reward 1.0000 *", "passed 3, failed 0, errors 0; pass rate 1.0000"])


def test_the_rerun_command(project: Project, plugin_args: list[str]) -> None:
    """The command that the summary shows reruns the failures and errors, word for word."""
    options = project.puppet(_mixed(project), "my data/pivots.jsonl")
    result = project.run_here(*options, *plugin_args, "--fc-grader-option=word_count_similarity_threshold=0.1")
    line = next(line for line in result.outlines if line.startswith("rerun the failures:"))
    program, *words = shlex.split(line.partition(":")[2])
    assert program == "pytest"
    _, outcomes = project.run_cases(*words)
    assert len(outcomes) == 9
    assert "passed" not in outcomes.values()


def test_the_command_that_shows_a_failure(project: Project, plugin_args: list[str]) -> None:
    """The summary has a command that shows a failure, word for word; where nothing failed, there is none."""
    options = project.puppet(
        project.rows({"fine": ("say no", None), "wrong": ("say no", "nothing")}), "my data/p.jsonl"
    )
    result = project.run_here(*options, *plugin_args)
    line = next(line for line in result.outlines if line.startswith("look at a failure:"))
    program, *words = shlex.split(line.partition(":")[2])
    assert program == "fcpivot"
    assert project.command(*words).outlines[0] == "my data/p.jsonl::wrong  FAILED"
    fine = project.run_here(*options, "-k", "fine")
    fine.stdout.no_fnmatch_line("look at a failure:*")
    fine.stdout.fnmatch_lines(["mean reward 1.0000 *1 answer in 1 trajectory)"])


def test_the_rerun_command_of_a_rerun(project: Project) -> None:
    """The command of a rerun asks for --lf once."""
    options = project.puppet(_mixed(project))
    project.run_here(*options)
    result = project.run_here(*options, "--lf")
    line = next(line for line in result.outlines if line.startswith("rerun the failures:"))
    assert shlex.split(line.partition(":")[2])[1:] == [*options, "--lf"]


def test_no_rerun_command_without_a_cache(project: Project) -> None:
    """Where pytest keeps no cache, no command is promised."""
    result = project.run_here(*project.puppet(_mixed(project)), "-p", "no:cacheprovider")
    result.stdout.no_fnmatch_line("rerun the failures:*")


FLIP = """
import pytest

@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "call" and report.failed:
        report.outcome = "passed"
        report.longrepr = None
    return report
"""


def test_a_broken_identity(project: Project, workers: list[str]) -> None:
    """A hook that turns failures into passes is found out: a loud error, and an exit code that is no result's."""
    rows = {"right": ("say hello", None), "wrong": ("say hello", "nothing"), "raises": ("say hello", "raises")}
    options = project.puppet(project.rows(rows))
    project.write("conftest.py", FLIP)
    result = project.run_here(*options, *workers)
    result.assert_outcomes(passed=2, errors=1)
    assert result.ret == UNTRUSTED
    result.stdout.fnmatch_lines(
        ["ERROR: the pass rate is not the mean reward: 2 of 2 pivots passed, but their rewards sum to 1*"]
    )
    result.stdout.no_fnmatch_line("counts agree*")


def test_expected_failures(project: Project) -> None:
    """Pivots that the user marks as expected failures are neither passed nor failed, and the identity holds."""
    rows = {"right": ("say hello", None), "wrong": ("say hello", "nothing")}
    options = project.puppet(project.rows(rows))
    project.write(
        "conftest.py",
        """
import pytest

def pytest_collection_modifyitems(items):
    for item in items:
        if item.name == "wrong":
            item.add_marker(pytest.mark.xfail)
""",
    )
    result = project.run_here(*options)
    result.assert_outcomes(passed=1, xfailed=1)
    result.stdout.fnmatch_lines(
        [
            "passed 1, failed 0, errors 0; *; not counted: skipped or expected to fail 1",
            "counts agree: *",
        ]
    )
    assert result.ret == pytest.ExitCode.OK


def test_many_failures(project: Project, workers: list[str]) -> None:
    """Of many failures a few of each category are shown, and all are counted by their causes, with the figures last."""
    rows = {f"value-{n}": ('call add {"a": 1}', 'call add {"a": 2}') for n in range(40)}
    rows |= {f"message-{n}": ('call add {"a": 1}', "say which number?") for n in range(20)}
    rows |= {f"error-{n}": ("say hello", "raises no connection") for n in range(15)}
    options = project.puppet(project.rows(rows))
    result = project.run_here(*options, *workers)
    result.assert_outcomes(failed=60, errors=15)
    text = result.stdout.str()
    assert text.count("  actual:   add") == 3
    assert text.count("  actual:   message") == 3
    assert text.count("\nthe agent raised RuntimeError") == 3
    assert "short test summary" not in text
    result.stdout.fnmatch_lines(
        [
            "* and 66 more like these; --tb=short shows every one",
            "60 answers lost the reward, the costliest causes first, each with an example",
            "       40  another value in the arguments",
            "              40  add $.a  (pivots.jsonl::value-0)",
            "       20  a message in place of a call",
            "              20  add → a message  (pivots.jsonl::message-0)",
            "errors (no answer to grade)",
            "       15  RuntimeError *",
            "-* result -*",
            "passed 0, failed 60, errors 15; *",
        ]
    )


@pytest.mark.parametrize(
    ("args", "failed", "errors"),
    [(["-rf"], 12, 0), (["-rE"], 0, 1), (["-ra", "--tb=no"], 12, 1), (["--tb=short"], 12, 1), (["--tb=no"], 0, 0)],
    ids=str,
)
def test_a_line_for_each_failure(project: Project, args: list[str], failed: int, errors: int) -> None:
    """A line for each failed test is there if -r or --tb asks for it; --tb=short shows every failure too."""
    rows = {f"value-{n}": ('call add {"a": 1}', 'call add {"a": 2}') for n in range(12)}
    options = project.puppet(project.rows(rows | {"error": ("say hello", "raises no connection")}))
    result = project.run_here(*options, *args)
    lines = result.outlines
    assert sum(line.startswith("FAILED pivots.jsonl::value-") for line in lines) == failed
    assert sum(line.startswith("ERROR pivots.jsonl::error") for line in lines) == errors
    if "--tb=short" in args:
        assert result.stdout.str().count("  actual:   ") == 12
        result.stdout.no_fnmatch_line("*more like these*")


def test_lines_of_other_tests(project: Project) -> None:
    """Tests without a pivot, and such as fail although the answer is right, keep their lines."""
    options = project.puppet(project.rows({"one": ("say hello", None), "two": ("say hello", "nothing")}))
    project.write(
        "test_mine.py",
        """
def test_without():
    assert 1 == 2

def test_over(pivot, fc_action, fc_grade):
    fc_grade(fc_action)
    assert pivot.id != "one"
""",
    )
    result = project.run_here("test_mine.py", "pivots.jsonl", *options)
    result.assert_outcomes(passed=1, failed=4)
    lines = [line.partition(" - ")[0] for line in result.outlines if line.startswith("FAILED ")]
    assert lines == ["FAILED test_mine.py::test_without", "FAILED test_mine.py::test_over[one]"]


@pytest.mark.parametrize("columns", [80, 200])
def test_on_a_terminal(project: Project, columns: int) -> None:
    """On a terminal, lines are wrapped between words, but for commands and paths, which one copies."""
    options = [*project.puppet(_mixed(project)), "--fc-fail-under=0.9", "--fc-min-pivots=1", "-pno:cacheprovider"]
    with Terminal(project, *options, columns=columns, rows=140) as terminal:
        assert terminal.end() == pytest.ExitCode.TESTS_FAILED
        lines = terminal.lines
    start = next(n for n, line in enumerate(lines) if line.strip("= ").startswith("pivots: "))
    ours = [line for line in lines[start + 1 :] if not line.startswith(("run the tests", "rerun", "="))]
    counts = ours.index(next(line for line in ours if line.startswith("passed 3, failed 6")))
    if columns == 80:
        assert ours[counts : counts + 2] == [
            "passed 3, failed 6, errors 3; pass rate 0.3333 of those graded; mean reward",
            "  0.2500 with errors as 0",
        ]
    else:
        assert ours[counts].endswith("; mean reward 0.2500 with errors as 0")
    result = next(n for n, line in enumerate(ours) if line.strip("- ") == "result")
    assert ours[result + 1].startswith("FAIL")


def test_no_failure_summary(project: Project) -> None:
    """--tb=no shows no failing case, and counts them."""
    rows = {f"value-{n}": ('call add {"a": 1}', 'call add {"a": 2}') for n in range(30)}
    result = project.run_here(*project.puppet(project.rows(rows)), "--tb=no", "-r", "N")
    result.assert_outcomes(failed=30)
    assert "  actual: " not in result.stdout.str()
    assert "\nFAILED " not in result.stdout.str()
