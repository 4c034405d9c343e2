"""The three outcomes of a pivot: passed, failed (the model was wrong), error (no answer to grade)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pivot_project import Project

pytest_plugins = ["pivot_project"]

# id: expected action, what the agent does (None: the expected action), outcome, category
TABLE: dict[str, tuple[str, str | None, str, str | None]] = {
    "right-call": ('call add {"a": 1}', None, "passed", "EXPECTED_TOOL_CALL"),
    "right-message": ("say hello there", "say something else", "passed", "EXPECTED_CHAT_MESSAGE_FOUND"),
    "wrong-value": ('call add {"a": 1}', 'call add {"a": 2}', "failure", "ARGUMENT_VALUE_DIFFERENT"),
    "wrong-tool": ('call add {"a": 1}', 'call book {"city": "Rome"}', "failure", "UNEXPECTED_TOOL"),
    "broken-json": ('call add {"a": 1}', 'call add {"a": ', "failure", "ARGUMENTS_DECODE_ERROR"),
    "talks": ('call add {"a": 1}', "say which number?", "failure", "NO_EXPECTED_TOOL_CALL"),
    "acts": ("say which number?", 'call add {"a": 1}', "failure", "NO_EXPECTED_CHAT_MESSAGE"),
    "silent": ("say hello", "nothing", "failure", "NO_ACTION_FOUND"),
    "raises": ("say hello", "raises no connection", "error", None),
    "interrupts": ("say hello", "interrupts", "error", None),
    "exits": ("say hello", "exits 3", "error", None),
    "exits-well": ("say hello", "exits", "error", None),
    "rubbish": ("say hello", "rubbish", "error", None),
    "prints": ("say hello", "prints hello", "passed", "EXPECTED_CHAT_MESSAGE_FOUND"),
    "mutates": ('call add {"a": 1}', 'mutates {"a": 1}', "passed", "EXPECTED_TOOL_CALL"),
    "skips": ("say hello", "skips not today", "skipped", None),
    "last": ("say hello", None, "passed", "EXPECTED_CHAT_MESSAGE_FOUND"),
}
ROWS = {name: (expected, told) for name, (expected, told, _, _) in TABLE.items()}
OUTCOMES = {name: outcome for name, (_, _, outcome, _) in TABLE.items()}


def _categories(project: Project) -> dict[str, str | None]:
    found = {}
    for case in project.junit().iter("testcase"):
        properties = {p.attrib["name"]: p.attrib["value"] for p in case.iter("property")}
        found[case.attrib["name"]] = properties.get("fc.category")
    return found


def test_every_outcome(project: Project, plugin_args: list[str]) -> None:
    """A right action passes, a wrong one fails, and an agent without an answer is an ungraded error."""
    result, outcomes = project.run_cases(*project.puppet(project.rows(ROWS)), *plugin_args)
    assert outcomes == OUTCOMES
    assert _categories(project) == {name: category for name, (_, _, _, category) in TABLE.items()}
    result.assert_outcomes(passed=5, failed=6, errors=5, skipped=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["passed 5, failed 6, errors 5; pass rate 0.4545 of those graded*"])


def test_every_outcome_of_an_asynchronous_agent(project: Project) -> None:
    """A coroutine function has the outcomes of a plain function."""
    options = project.puppet(project.rows(ROWS))
    _, outcomes = project.run_cases(*options, "--fc-agent=puppet:answer_async")
    assert outcomes == OUTCOMES


def test_all_right(project: Project) -> None:
    """A run where every action is right ends with exit code 0."""
    result = project.run(*project.puppet(project.trajectories(3, 2)))
    result.assert_outcomes(passed=5)
    assert result.ret == pytest.ExitCode.OK


def test_an_exception_without_a_text(project: Project) -> None:
    """An exception whose __str__ fails makes its pivot an error, and the others keep their verdicts."""
    rows = {"unshowable": ("say hello", "unshowable"), "after": ("say hello", None)}
    result, outcomes = project.run_cases(*project.puppet(project.rows(rows)))
    assert outcomes == {"unshowable": "error", "after": "passed"}
    result.stdout.fnmatch_lines(["*the agent raised Unshowable: <its text cannot be shown: ValueError>*"])


@pytest.mark.parametrize("agent", ["answer", "answer_async"])
def test_time_limit(project: Project, agent: str) -> None:
    """An agent that hangs is an error after --fc-timeout, and the pivots after it are run."""
    rows = {"before": ("say hello", None), "late": ("say hello", "hangs"), "after": ('call add {"a": 1}', None)}
    options = project.puppet(project.rows(rows))
    result, outcomes = project.run_cases(*options, f"--fc-agent=puppet:{agent}", "--fc-timeout=1")
    assert outcomes == {"before": "passed", "late": "error", "after": "passed"}
    result.stdout.fnmatch_lines(["the agent gave no answer within 1 s (--fc-timeout)"])


@pytest.mark.parametrize("told", ['call add {"a": 2}', "raises no connection"])
@pytest.mark.parametrize(
    ("limit", "outcomes"), [("-x", ["passed", "bad"]), ("--maxfail=2", ["passed", "bad", "passed", "bad"])]
)
def test_stops_early(project: Project, told: str, limit: str, outcomes: list[str]) -> None:
    """-x and --maxfail stop a run after so many failures or errors."""
    wrong = ('call add {"a": 1}', told)
    right = ('call add {"a": 1}', None)
    rows = {"first": right, "second": wrong, "third": right, "fourth": wrong, "fifth": right}
    result, found = project.run_cases(*project.puppet(project.rows(rows)), limit)
    bad = "error" if told.startswith("raises") else "failure"
    assert list(found.values()) == [bad if outcome == "bad" else outcome for outcome in outcomes]
    result.stdout.fnmatch_lines([f"*stopping after {outcomes.count('bad')} failures*"])


def test_an_agent_may_stop_the_run(project: Project) -> None:
    """pytest.exit in an agent ends the run, as it does in a test."""
    rows = {"first": ("say hello", None), "second": ("say hello", "say stop"), "third": ("say hello", None)}
    project.puppet(project.rows(rows))
    project.write(
        "stopper.py",
        """
import pytest

def answer(pivot):
    if pivot.input[-1]["content"] == "say stop":
        pytest.exit("the budget is spent", returncode=7)
    return "hello"
""",
    )
    result, outcomes = project.run_cases("--fc-data=pivots.jsonl", "--fc-agent=stopper:answer")
    assert outcomes == {"first": "passed"}
    assert result.ret == 7
    result.stdout.fnmatch_lines(["*the budget is spent*"])


def test_a_stranger_in_the_conversation(project: Project) -> None:
    """An agent sees its own copy: what it changes in one pivot is whole again for the report and for other pivots."""
    rows = {
        "first": ('call add {"a": 1}', 'mutates {"a": "one"}'),
        "second": ('call add {"a": 1}', 'mutates {"a": 1}'),
    }
    result, outcomes = project.run_cases(*project.puppet(project.rows(rows)))
    assert outcomes == {"first": "failure", "second": "passed"}
    result.stdout.fnmatch_lines(
        ['  user: *mutates {"a": "one"}*', '  actual: *add({"a": "one"})', "  schema: *invalid at $.a (type)*"]
    )
