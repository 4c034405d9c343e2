"""--fc-grader, --fc-grader-option and --fc-strict-schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pivot_project import Project

pytest_plugins = ["pivot_project"]

_TWO = 'call add {"a": 1} & call add {"a": 2}'
_SWAPPED = 'call add {"a": 2} & call add {"a": 1}'
BATCHES: dict[str, tuple[str, str | None]] = {
    "same": (_TWO, None),
    "swapped": (_TWO, _SWAPPED),
    "half": (_TWO, 'call add {"a": 2}'),
    "wrong": (_TWO, 'call add {"a": 3} & call add {"a": 4}'),
    "single": ('call add {"a": 1}', None),
}


@pytest.mark.parametrize(
    ("grader", "passes"), [("nemo-gym", False), ("nemo-gym:first-call", False), ("nemo-gym:any-order", True)]
)
def test_version(project: Project, grader: str, passes: bool) -> None:
    """nemo-gym judges the first call alone, nemo-gym:any-order all of them; the run says which one it was."""
    options = project.puppet(project.rows({"pivot": ('call add {"a": 1}', _SWAPPED)}))
    result = project.run_here(*options, f"--fc-grader={grader}")
    result.assert_outcomes(passed=passes, failed=not passes)
    full = grader if ":" in grader else f"{grader}:first-call"
    result.stdout.fnmatch_lines([f"fcpivot: *; grader {full}", f"=* pivots: pivots.jsonl | puppet:answer | {full} =*"])


def test_default_version(project: Project) -> None:
    """Without --fc-grader the grader is nemo-gym:first-call."""
    result = project.run_here(*project.puppet(project.trajectories(1)))
    result.stdout.fnmatch_lines(["fcpivot: *; grader nemo-gym:first-call"])


def test_batches_under_first_call(project: Project, workers: list[str]) -> None:
    """Data with several calls expected at once is refused by first-call before a call is paid for, with the way out."""
    project.puppet(project.rows(BATCHES))
    project.write("loud.py", 'def answer(pivot):\n    open("asked", "w")\n')
    result = project.run_here("--fc-data=pivots.jsonl", "--fc-agent=loud:answer", *workers)
    assert result.ret != pytest.ExitCode.OK
    assert "pivots.jsonl: 4 pivots expect several calls at once (the first: same)" in result.stdout.str()
    assert "pass --fc-grader=nemo-gym:any-order" in result.stdout.str()
    assert "Traceback" not in result.stdout.str()
    assert not (project.path / "asked").exists()


def test_batches_that_are_not_selected(project: Project) -> None:
    """first-call refuses only what it would have to judge."""
    rows = {"single": BATCHES["single"], **BATCHES}
    options = project.puppet(project.rows(rows))
    project.run_here(*options, "--fc-limit=1").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("settings", "failing", "mean"),
    [
        ([], {"half", "wrong"}, "0.6000"),
        (["parallel_tool_call_rewarding=true", "allow_subset=true"], {"wrong"}, "0.8000"),
        (
            ["parallel_tool_call_rewarding=true", "allow_subset=true", "parallel_tool_call_reward_mode=f1"],
            {"half", "wrong"},
            "0.7333",
        ),
    ],
    ids=["default", "subset", "f1"],
)
def test_batches_in_any_order(project: Project, settings: list[str], failing: set[str], mean: str) -> None:
    """any-order judges batches, by the settings of --fc-grader-option; fractional rewards below 1 fail."""
    options = [f"--fc-grader-option={setting}" for setting in settings]
    result, outcomes = project.run_cases(
        *project.puppet(project.rows(BATCHES)), "--fc-grader=nemo-gym:any-order", *options
    )
    assert outcomes == {name: "failure" if name in failing else "passed" for name in BATCHES}
    result.stdout.fnmatch_lines([f"mean reward {mean} *"])
    identity = "counts agree: pytest's pass rate is the grader's mean reward (5 tests)"
    assert (identity in result.stdout.str()) == ("f1" not in " ".join(settings))


def test_settings_by_environment_and_ini(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """FC_GRADER_OPTION and ini fc_grader_option hold settings too, in shell words."""
    options = project.puppet(
        project.rows({"pivot": ('call book {"city": "New York"}', 'call book {"city": "new york"}')})
    )
    project.run_here(*options).assert_outcomes(passed=1)
    project.write("pytest.ini", "[pytest]\nfc_grader_option = word_count_similarity_threshold=0.9\n")
    project.run_here(*options).assert_outcomes(failed=1)
    monkeypatch.setenv("FC_GRADER_OPTION", "word_count_similarity_threshold=0.2")
    project.run_here(*options).assert_outcomes(passed=1)


SCHEMAS: dict[str, tuple[str, str | None]] = {
    "valid": ('call add {"a": 1}', None),
    "invalid": ('call add {"a": "one"}', None),
    "unknown": ('call subtract {"a": 1}', None),
    "message": ("say hello", None),
    "wrong": ('call add {"a": 1}', 'call add {"a": "one"}'),
}


def test_schema_verdicts_change_no_reward(project: Project) -> None:
    """What the tools' schemas forbid is counted beside the reward, and does not change it."""
    result, outcomes = project.run_cases(*project.puppet(project.rows(SCHEMAS)))
    assert [name for name, outcome in outcomes.items() if outcome != "passed"] == ["wrong"]
    result.stdout.fnmatch_lines(
        ["schemas: 1 of 4 calls valid under their tool's JSON Schema; invalid 2, unknown-tool 1"]
    )


def test_strict_schema(project: Project) -> None:
    """--fc-strict-schema gives no reward for arguments that break their schema, and names that as the category."""
    result, outcomes = project.run_cases(*project.puppet(project.rows(SCHEMAS)), "--fc-strict-schema")
    assert {name for name, outcome in outcomes.items() if outcome == "failure"} == {"invalid", "unknown", "wrong"}
    result.stdout.fnmatch_lines(["*2  SCHEMA_INVALID", "mean reward 0.4000 *", "counts agree: *"])
    assert "SCHEMA_INVALID: schema: invalid at $.a (type); 'one' is not of type 'integer'" in result.stdout.str()
