"""--fc-repeats: the agent is asked several times at each pivot, and the figures show how often it is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_fcpivot.stats.interval import mean_interval

if TYPE_CHECKING:
    from counting_agent import Counted
    from pivot_project import Project, Row

pytest_plugins = ["pivot_project", "counting_agent"]

# Which repeats of each pivot pass: pass@1, @2, @3 by hand, for n = 3 samples and c passes, are c/3, 1 - C(3-c,2)/3 and
# whether c > 0; pass^k are c/3, C(c,2)/3 and whether c = 3.
PASSES = {"always": {1, 2, 3}, "twice": {1, 3}, "once": {2}, "never": set[int]()}
AGENT = """
PASSES = {passes!r}

def answer(pivot):
    import counting
    counting.note(pivot)
    return "hello" if pivot.repeat in PASSES[pivot.id] else None
"""
NAMES = {name if n == 1 else f"{name}[r{n}]": n in passes for name, passes in PASSES.items() for n in (1, 2, 3)}
FIGURES = [
    "passed 6, failed 6, errors 0; pass rate 0.5000",
    "pass@1 0.5000  pass^1 0.5000  (over 4 pivots)",
    "pass@2 0.6667  pass^2 0.3333  (over 4 pivots)",
    "pass@3 0.7500  pass^3 0.2500  (over 4 pivots)",
]


def _options(counted: Counted) -> list[str]:
    options = counted.table(dict.fromkeys(PASSES, ("say hello", None)))
    counted.project.write("moody.py", AGENT.format(passes=PASSES))
    return [options[0], "--fc-agent=moody:answer", "--fc-repeats=3"]


def _figures(result: pytest.RunResult) -> list[str]:
    return [line for line in result.outlines if line.startswith(("passed ", "pass@"))]


def test_every_repeat_is_asked_for_itself(counted: Counted) -> None:
    """Each repeat has its own id, question and verdict, and the figures are those worked out by hand."""
    pytest.importorskip("xdist.plugin")
    result, outcomes = counted.run_cases(*_options(counted), "--fc-run=run", "-n1")
    assert outcomes == {name: "passed" if passes else "failure" for name, passes in NAMES.items()}
    assert counted.asked() == dict.fromkeys(NAMES, 1)
    assert _figures(result) == FIGURES
    interval = mean_interval({name: [float(n in passes) for n in (1, 2, 3)] for name, passes in PASSES.items()})
    assert interval is not None
    shown = f"mean reward 0.5000  (95 % interval {interval.low:.4f} to {interval.high:.4f}, *"
    result.stdout.fnmatch_lines(
        [
            shown,
            "2 pivots passed only sometimes (passed/graded): once 1/3, twice 2/3",
            # 2 pivots with 3 * (1/3) / 12^2 each, of a variance of 3/4 * (1.5^2 + 0.5^2 + 0.5^2 + 1.5^2) / 9^2
            "the model's own noise is 30 % of the variance of the mean reward; no number of repeats would halve *",
        ]
    )
    lines = counted.lines(counted.project.path / "run")
    assert {(line["pivot_id"], line["repeat"], line["test"].partition("::")[2]) for line in lines} == {
        (name.partition("[")[0], int(name[-2]) if "[" in name else 1, name) for name in NAMES
    }
    assert counted.described(counted.project.path / "run")["repeats"] == 3


def test_selecting_repeats(counted: Counted) -> None:
    """A node id names one repeat, or the pivot with all of them; --lf runs the repeats that failed."""
    options = _options(counted)
    counted.run_here("pivots.jsonl::twice[r2]", "pivots.jsonl::once", *options[1:])
    assert set(counted.asked()) == {"twice[r2]", "once", "once[r2]", "once[r3]"}
    counted.run_here(*options).assert_outcomes(passed=6, failed=6)
    counted.run_here(*options, "--lf").assert_outcomes(failed=6)
    assert set(counted.asked()) == {name for name, passes in NAMES.items() if not passes}


def test_own_tests_over_repeats(counted: Counted) -> None:
    """A user's test runs once for each repeat, under names of their own, with the same figures."""
    options = _options(counted)
    counted.project.write("test_mine.py", "def test_mine(pivot, fc_action, fc_grade):\n    fc_grade(fc_action)\n")
    result, outcomes = counted.run_cases("test_mine.py", *options, "--fc-run=run")
    assert outcomes == {f"test_mine[{name}]": "passed" if passes else "failure" for name, passes in NAMES.items()}
    assert counted.asked() == dict.fromkeys(NAMES, 1)
    assert {(line["pivot_id"], line["repeat"]) for line in counted.lines(counted.project.path / "run")} == {
        (name, n) for name in PASSES for n in (1, 2, 3)
    }
    assert _figures(result) == FIGURES


def test_repeats_in_a_run_that_goes_on(counted: Counted) -> None:
    """A resumed run asks for just the missing repeats, without --fc-repeats, and has the figures of the whole run."""
    counted.run_here(*_options(counted), "--fc-run=run")
    path = counted.project.path / "run" / "results.jsonl"
    lines: list[Row] = counted.lines(path.parent)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:5]))
    result = counted.run_here("--fc-resume=run")
    assert {f"pivots.jsonl::{name}" for name in counted.asked()} == {line["test"] for line in lines[5:]}
    assert _figures(result) == FIGURES
    assert counted.verdicts(counted.results(path.parent)) == counted.verdicts({line["test"]: line for line in lines})


def test_errors_among_repeats(project: Project) -> None:
    """A repeat that ended in an error is no sample: the figures are over those that were graded."""
    project.data(project.rows({"whole": ("say hello", None), "part": ("say hello", None)}))
    project.write(
        "moody.py",
        """
def answer(pivot):
    if pivot.id == "part" and pivot.repeat == 2:
        raise RuntimeError("no connection")
    return "hello" if pivot.id == "whole" else None
""",
    )
    result = project.run_here("--fc-data=pivots.jsonl", "--fc-agent=moody:answer", "--fc-repeats=2")
    result.stdout.fnmatch_lines(["mean reward 0.6667 *, 3 answers in 2 trajectories)"])
    assert _figures(result) == [
        "passed 2, failed 1, errors 1; pass rate 0.6667 of those graded; mean reward 0.5000 with errors as 0",
        "pass@1 0.5000  pass^1 0.5000  (over 2 pivots)",
        "pass@2 1.0000  pass^2 1.0000  (over 1 pivots)",
    ]
