"""A user's own tests over the data, and tests that only happen to use our names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pivot_project import Project

pytest_plugins = ["pivot_project"]

OWN = """
def test_graded(pivot, fc_action, fc_grade):
    assert pivot.tools
    fc_grade(fc_action)
"""


def test_own_test(project: Project, workers: list[str]) -> None:
    """A test that takes pivot runs once for each pivot that is selected, and is graded."""
    options = project.puppet(project.trajectories(2, 2))
    project.write("test_mine.py", OWN)
    result, outcomes = project.run_cases("test_mine.py", *options, "--fc-limit=3", *workers)
    assert outcomes == {f"test_graded[{name}]": "passed" for name in ("talk0-d0", "talk0-d1", "talk1-d0")}
    result.stdout.fnmatch_lines(["mean reward 1.0000 *, 3 answers in 2 trajectories)"])


def test_own_test_over_the_sample(project: Project) -> None:
    """Without data the user's test runs over the bundled sample."""
    project.write("test_mine.py", OWN)
    result = project.run_here("test_mine.py", "--fc-agent=asks", "--fc-limit=4", "--collect-only", "-q")
    assert len([line for line in result.outlines if line.startswith("test_mine.py::test_graded[")]) == 4


def test_outcomes_of_an_own_test(project: Project) -> None:
    """In a user's test too a wrong action is a failure that explains itself, and no answer is an error."""
    rows = {
        "right": ("say hello", None),
        "wrong": ('call add {"a": 1}', 'call add {"a": 2}'),
        "broken": ("say hello", "raises no connection"),
    }
    options = project.puppet(project.rows(rows))
    project.write("test_mine.py", OWN)
    result, outcomes = project.run_cases("test_mine.py", *options)
    assert outcomes == {
        "test_graded[right]": "passed",
        "test_graded[wrong]": "failure",
        "test_graded[broken]": "error",
    }
    assert "ARGUMENT_VALUE_DIFFERENT: at $.a: expected 1, got 2" in result.stdout.str()
    assert "/session.py" not in result.stdout.str()
    result.stdout.fnmatch_lines(["passed 1, failed 1, errors 1; *"])


def test_own_assertions_beside_the_grade(project: Project) -> None:
    """A user's test may fail for reasons of its own; the run does not call that a broken identity."""
    options = project.puppet(project.trajectories(3))
    project.write(
        "test_mine.py",
        """
def test_strict(pivot, fc_action, fc_grade):
    grade = fc_grade(fc_action)
    assert grade.reward == 1.0
    assert pivot.depth < 2, "too deep"

def test_ungraded(fc_action):
    assert fc_action.calls or fc_action.message
""",
    )
    result = project.run_here("test_mine.py", *options)
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.no_fnmatch_line("*the pass rate is not the mean reward*")
    result.stdout.fnmatch_lines(["*AssertionError: too deep*"])


def test_own_tests_that_grade_nothing(project: Project) -> None:
    """A test that passes without a grade is no result: it is neither counted nor recorded as an error."""
    project.write("test_look.py", "def test_look(pivot, fc_action):\n    assert fc_action\n")
    options = project.puppet(project.trajectories(3))
    result = project.run_here("test_look.py", *options, "--fc-run=the-run")
    result.assert_outcomes(passed=3)
    results = project.path / "the-run" / "results.jsonl"
    assert not results.exists() or not results.read_text("ascii")


def test_selecting_own_cases(project: Project) -> None:
    """Markers, node ids and --lf work on a user's test as on a pivot's own."""
    rows = project.rows(
        {"talk": ("say hello", None), "call": ('call add {"a": 1}', None), "bad": ("say no", "nothing")}
    )
    options = project.puppet(rows)
    project.write("test_mine.py", OWN)
    project.run_here("test_mine.py", *options, "-m", "function_call").assert_outcomes(passed=1, deselected=2)
    project.run_here("test_mine.py::test_graded[talk]", *options).assert_outcomes(passed=1)
    project.run_here("test_mine.py", *options).assert_outcomes(passed=2, failed=1)
    project.run_here("test_mine.py", *options, "--lf").assert_outcomes(failed=1)


def test_without_an_agent(project: Project) -> None:
    """A test that needs an answer and has no agent says how to name one."""
    project.data(project.trajectories(1))
    project.write("test_mine.py", OWN)
    result = project.run_here("test_mine.py", "--fc-data=pivots.jsonl")
    assert result.ret != pytest.ExitCode.OK
    assert "no agent to ask: pass --fc-agent=module:fn" in result.stdout.str() + result.stderr.str()
    assert "INTERNALERROR" not in result.stdout.str()


def test_without_an_answer(project: Project) -> None:
    """A test that only reads pivots needs no agent, and is not counted as graded."""
    project.data(project.trajectories(2, 1))
    project.write("test_mine.py", "def test_tools(pivot):\n    assert pivot.expected_action.kind != 'none'\n")
    result = project.run_here("test_mine.py", "--fc-data=pivots.jsonl")
    result.assert_outcomes(passed=3)
    result.stdout.no_fnmatch_line("mean reward*")


@pytest.mark.parametrize(
    "source",
    [
        """
import pytest

@pytest.fixture
def pivot():
    return 42

def test_table(pivot):
    assert pivot == 42
""",
        """
import pytest

@pytest.mark.parametrize("pivot", [42])
def test_table(pivot):
    assert pivot == 42
""",
        """
import pytest

@pytest.fixture(params=[42])
def pivot(request):
    return request.param

@pytest.fixture
def row(pivot):
    return [pivot]

def test_table(row):
    assert row == [42]
""",
    ],
    ids=["fixture", "parameter", "parametrized-fixture"],
)
def test_a_pivot_of_the_users(project: Project, source: str) -> None:
    """A project with its own fixture or parameter called pivot is left alone, and pays nothing."""
    project.write("test_mine.py", source)
    project.write(
        "conftest.py",
        """
import sys

def pytest_unconfigure():
    assert "pytest_fcpivot.session.hooks" not in sys.modules
    assert "pyarrow" not in sys.modules
""",
    )
    result = project.run()
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.OK
    assert "fcpivot:" not in result.stdout.str()
    assert "AssertionError" not in result.stderr.str()


def test_data_that_the_grader_cannot_judge(project: Project) -> None:
    """An own test over batches under first-call is refused with the way out and without a traceback of ours."""
    project.data(project.rows({"two": ('call add {"a": 1} & call add {"a": 2}', None)}))
    project.write("test_mine.py", "def test_mine(pivot, fc_action, fc_grade):\n    fc_grade(fc_action)\n")
    result = project.run_here("test_mine.py", "--fc-data=pivots.jsonl", "--fc-agent=asks")
    text = result.stdout.str()
    assert "pass --fc-grader=nemo-gym:any-order" in text
    assert "session.py" not in text
    assert result.ret == pytest.ExitCode.INTERRUPTED


@pytest.mark.parametrize("workers", ["plain", "-n2"], indirect=True)
def test_workers_whose_controller_was_asked_for_nothing(project: Project, workers: list[str]) -> None:
    """Tests that take pivots run where nothing names data or an agent but a fixture, with workers too."""
    project.write(
        "conftest.py",
        "import pytest\n\n@pytest.fixture(scope='session')\ndef fc_agent():\n    return lambda pivot: 'hello'\n",
    )
    project.write("test_mine.py", "def test_mine(pivot, fc_action, fc_grade):\n    assert fc_action.message\n")
    project.run_here("-k", "d0-", *workers).assert_outcomes()
    result = project.run_here("-k", "t3530-d0", *workers)
    assert result.parseoutcomes()["passed"] == 1


@pytest.mark.parametrize("how", ["in sight", "out of sight"])
def test_an_agent_built_by_a_fixture_is_recorded(project: Project, workers: list[str], how: str) -> None:
    """The run is summed up and recorded where a fixture alone brings the agent, or workers say what to name."""
    place = "" if how == "in sight" else "deep/er/"
    project.write(
        f"{place}conftest.py",
        "import pytest\n\n@pytest.fixture(scope='session')\ndef fc_agent():\n    return lambda pivot: 'hello'\n",
    )
    project.write(f"{place}test_mine.py", "def test_mine(pivot, fc_action, fc_grade):\n    fc_grade(fc_action)\n")
    result = project.run_here("-k", "t3530-d0", *workers)
    if workers and how == "out of sight":
        assert result.ret == pytest.ExitCode.INTERRUPTED
        result.stdout.fnmatch_lines(["*name the data as well, in the ini file (fc_data = sample)*"])
        return
    result.stdout.fnmatch_lines(["passed 0, failed 1, errors 0; pass rate 0.0000"])
    (described,) = (project.path / ".fcpivot").glob("*/run.json")
    assert '"name": "sample"' in described.read_text()
