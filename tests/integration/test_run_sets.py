"""The verifier's settings belong to the data set: which are taken, where that is told, and what older runs keep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot.cli import main
from pytest_fcpivot.data.preparing import prepare
from pytest_fcpivot.data.sources import Provenance, Source

if TYPE_CHECKING:
    from pivot_project import Project, Row

pytest_plugins = ["pivot_project"]

TOOLCALL = "toolcall_schema_single_step_tool_use_with_argument_comparison_agent"
SWE = "single_step_tool_use_with_argument_comparison_swe"
THRESHOLD = "word_count_similarity_threshold"
OLDER = "the run is of a version with the same settings for all data sets"
CASES = Path(__file__).parents[3] / "shared" / "cases" / "rows" / "swe_agent_ref.jsonl"
# Two texts without a common word: equal by the threshold 0.0 alone.
TOLD = ('call book {"city": "the old town"}', 'call book {"city": "new york"}')
MESSAGE = ("say hello", None)


def _rows(project: Project, *agents: str | None) -> list[Row]:
    """Return a call for each agent, answered in other words, and a message at last."""
    rows = [project.row(*TOLD, id=f"p{number}") for number in range(len(agents))]
    rows.append(project.row(*MESSAGE, id="message"))
    for row, agent in zip(rows, [*agents, agents[-1]], strict=True):
        row["agent_ref"] = None if agent is None else {"type": "responses_api_agents", "name": agent}
    return rows


def _told(project: Project, run: str) -> Any:
    return json.loads((project.path / run / "run.json").read_text())


def _as_recorded_by_an_older_version(project: Project, run: str) -> None:
    """Take out of a run what 0.1.0 did not write: settings that the user did not give, their cause, and the mark."""
    told = _told(project, run)
    del told["mark"]
    told["grader"] = {"name": told["grader"]["name"], "settings": {}}
    (project.path / run / "run.json").write_text(json.dumps(told))


def _refused(project: Project, *args: str) -> str:
    result = project.run_here(*args)
    text = result.stdout.str() + result.stderr.str()
    assert result.ret == pytest.ExitCode.USAGE_ERROR, text
    assert "Traceback" not in text
    return text


@pytest.mark.parametrize(
    ("agent", "threshold", "cause", "passed", "workers"),
    [
        pytest.param(SWE, "0.0", f"agent_ref {SWE}", 2, [], id="swe"),
        pytest.param(SWE, "0.0", f"agent_ref {SWE}", 2, ["-n1"], id="swe with a worker"),
        pytest.param(TOOLCALL, "0.1", f"agent_ref {TOOLCALL}", 1, [], id="toolcall"),
        pytest.param("Swe", "0.1", "the default: no settings are known for agent_ref Swe", 1, [], id="unknown"),
        pytest.param(None, "0.1", "the default: the data name no set", 1, [], id="none"),
    ],
)
def test_where_it_is_told(
    project: Project, *, agent: str | None, threshold: str, cause: str, passed: int, workers: list[str]
) -> None:
    """The rows' agent decides; settings and cause stand in header, summary, run.json and JUnit, with workers too."""
    options = project.puppet(_rows(project, agent))
    result, _ = project.run_cases(*options, "--fc-run=run", *workers)
    result.assert_outcomes(passed=passed, failed=2 - passed)
    line = f"grader settings: {THRESHOLD}={threshold} ({cause})"
    result.stdout.fnmatch_lines([f"fcpivot: {line}", "=* pivots: *", line, "mean reward *"])
    grader = {"name": "nemo-gym:first-call", "settings": {THRESHOLD: float(threshold)}, "cause": cause}
    assert _told(project, "run")["grader"] == grader
    suite = next(project.junit().iter("testsuite"))
    properties = {p.attrib["name"]: p.attrib["value"] for p in suite.findall("properties/property")}
    assert properties["fc.grader"] == "nemo-gym:first-call"
    assert properties["fc.grader_settings"] == f"{THRESHOLD}={threshold}"
    assert properties["fc.grader_settings_cause"] == cause


@pytest.mark.skipif(not CASES.is_file(), reason="the third-party case is not part of this project")
def test_a_row_of_the_set(project: Project) -> None:
    """A row of the software-engineering set is graded with the set's own threshold."""
    result = project.run_here(f"--fc-data={CASES}", "--fc-agent=silent")
    result.stdout.fnmatch_lines([f"grader settings: {THRESHOLD}=0.0 (agent_ref {SWE})"])


def test_a_set_of_the_hub(project: Project) -> None:
    """Prepared pivots whose rows name no known agent have the settings of the set that they were downloaded from."""
    options = project.puppet(_rows(project, "other"), "train.jsonl")
    repo = "nvidia/Nemotron-RL-Agentic-SWE-Pivot-v1"
    known = Provenance("swe-pivot-v1", "train.jsonl", repo=repo, commit="4947a3c")
    prepare([Source("train.jsonl", project.path / "train.jsonl", None, None, known)], project.path / "swe.parquet")
    result = project.run_here("--fc-data=swe.parquet", options[-1])
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines([f"grader settings: {THRESHOLD}=0.0 (set {repo})"])


def test_what_the_user_sets_wins(project: Project) -> None:
    """A setting that is given takes the place of the set's; others stay, and both causes are told."""
    options = project.puppet(_rows(project, SWE))
    result = project.run_here(*options, f"--fc-grader-option={THRESHOLD}=0.1")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines([f"grader settings: {THRESHOLD}=0.1 (--fc-grader-option)"])
    project.write("pytest.ini", "[pytest]\nfc_grader_option = parallel_tool_call_rewarding=true\n")
    result = project.run_here(*options, "--fc-grader=nemo-gym:any-order")
    result.assert_outcomes(passed=2)
    cause = f"agent_ref {SWE}; parallel_tool_call_rewarding by ini fc_grader_option"
    settings = f"{THRESHOLD}=0.0 parallel_tool_call_rewarding=true"
    result.stdout.fnmatch_lines([f"grader settings: {settings} ({cause})"])


def test_other_graders_have_no_such_settings(project: Project) -> None:
    """Under another grader nothing is said of the verifier's settings, and none are given to it."""
    options = project.puppet(_rows(project, SWE))
    for grader in ("agentic", "own:same"):
        project.write("own.py", "def same(expected, actual):\n    return expected.kind == actual.kind\n")
        result = project.run_here(*options, f"--fc-grader={grader}", f"--fc-run={grader[:3]}")
        assert "grader settings" not in result.stdout.str()
        assert _told(project, grader[:3])["grader"]["settings"] == {}


def test_mixed_settings(project: Project) -> None:
    """Pivots that ask for different settings are refused with the list; a part of them, or settings for all, are run.

    Different names that have the same settings are not mixed.
    """
    options = project.puppet(_rows(project, SWE, TOOLCALL))
    text = _refused(project, *options)
    assert f"{THRESHOLD}=0.0 for 1 of pivots.jsonl (agent_ref {SWE})" in text
    assert f"{THRESHOLD}=0.1 for 2 of pivots.jsonl (agent_ref {TOOLCALL})" in text
    assert f"as with --fc-grader-option={THRESHOLD}=0.0" in text
    project.write("ids.txt", "p0\n")
    result = project.run_here(*options, "--fc-ids=ids.txt")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([f"grader settings: {THRESHOLD}=0.0 (agent_ref {SWE})"])
    result = project.run_here(*options, f"--fc-grader-option={THRESHOLD}=0.0")
    result.assert_outcomes(passed=3)
    assert "mixed" not in _refused(project, *options, "--fc-grader=nemo-gym")  # its name does not settle the threshold
    project.run_here(*options, "--fc-grader=agentic").assert_outcomes(passed=1, failed=2)
    result = project.run_here(*project.puppet(_rows(project, "other", TOOLCALL)))
    first = "the default: no settings are known for agent_ref other"
    result.stdout.fnmatch_lines([f"grader settings: {THRESHOLD}=0.1 (agent_ref {TOOLCALL} and {first})"])


def test_two_files(project: Project) -> None:
    """Files that ask for different settings are refused together, each by its name."""
    options = project.puppet(_rows(project, SWE), "one.jsonl")
    project.data([row | {"id": f"x{row['id']}"} for row in _rows(project, None)], "two.jsonl")
    text = _refused(project, *options, "--fc-data=two.jsonl")
    assert f"{THRESHOLD}=0.0 for 2 of one.jsonl" in text
    assert f"{THRESHOLD}=0.1 for 2 of two.jsonl (the default: the data name no set)" in text


def test_a_named_configuration(project: Project) -> None:
    """`set=parallel` stands for all settings of the parallel set: any order, and rewards with the rate of full ones."""
    batch = 'call add {"a": 1} & call add {"a": 2}'
    options = project.puppet(
        [project.row(batch, id="both"), project.row(batch, 'call add {"a": 2}', id="half"), project.row(*MESSAGE)]
    )
    result = project.run_here(*options, "--fc-grader-option=set=parallel", "--fc-run=run")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        [
            "fcpivot: *; grader nemo-gym:any-order",
            f"grader settings: {THRESHOLD}=0.1 parallel_tool_call_rewarding=true *_mode=f1 (--fc-grader-option)",
            "mean reward 0.8889 *",
            "passed 2, failed 1, errors 0; pass rate at reward ≥ 1: 0.6667",
        ]
    )
    again = project.run_here("--fc-replay=run")
    again.stdout.fnmatch_lines(["fcpivot: *; grader nemo-gym:any-order", "mean reward 0.8889 *"])
    project.run_here("--fc-resume=run").assert_outcomes(passed=2, failed=1)
    assert "set=paralel: no settings of the verifier are known" in _refused(
        project, *options, "--fc-grader-option=set=paralel"
    )
    assert "need nemo-gym:any-order" in _refused(
        project, *options, "--fc-grader=nemo-gym:first-call", "--fc-grader-option=set=parallel"
    )


def test_older_runs_keep_theirs(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that was recorded without its set's settings is resumed, replayed and audited with the first ones."""
    options = project.puppet(_rows(project, SWE))
    project.run_here(*options, "--fc-run=old", f"--fc-grader-option={THRESHOLD}=0.1").assert_outcomes(
        passed=1, failed=1
    )
    _as_recorded_by_an_older_version(project, "old")
    told = _told(project, "old")
    del told["options"]["fc_grader_option"]
    (project.path / "old" / "run.json").write_text(json.dumps(told))
    lines = project.path / "old" / "results.jsonl"
    lines.write_bytes(b"".join(lines.read_bytes().splitlines(keepends=True)[1:]))
    for how in ("--fc-resume=old", "--fc-replay=old", "--fc-replay=old --fc-grader=nemo-gym:any-order"):
        result = project.run_here(*how.split(), *options)
        result.assert_outcomes(passed=1, failed=1)
        result.stdout.fnmatch_lines([f"grader settings: {THRESHOLD}=0.1 ({OLDER})"])
    assert _told(project, "old")["grader"] == {"name": "nemo-gym:first-call", "settings": {}}
    result = project.run_here("--fc-replay=old", "--fc-grader-option=set=swe", *options)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines([f"grader settings: {THRESHOLD}=0.0 (--fc-grader-option)"])
    assert f'"{THRESHOLD}": 0.1' in _refused(
        project, "--fc-resume=old", f"--fc-grader-option={THRESHOLD}=0.0", *options
    )
    capsys.readouterr()
    assert main(["audit", str(project.path / "old")]) == 0
    assert "nemo-gym:first-call gives all 2 answers the reward that was recorded" in capsys.readouterr().out


def test_runs_of_now_keep_theirs(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """A run with its set's settings is resumed, replayed and audited with these, whatever the rows name by then."""
    options = project.puppet(_rows(project, SWE))
    project.run_here(*options, "--fc-run=run").assert_outcomes(passed=2)
    cause = f"agent_ref {SWE}"
    for how in ("--fc-resume=run", "--fc-replay=run", "--fc-replay=run --fc-grader=nemo-gym:any-order"):
        result = project.run_here(*how.split())
        result.assert_outcomes(passed=2)
        result.stdout.fnmatch_lines([f"grader settings: {THRESHOLD}=0.0 ({cause})"])
    capsys.readouterr()
    assert main(["audit", str(project.path / "run")]) == 0
    printed = capsys.readouterr().out
    assert "nemo-gym:first-call gives all 2 answers the reward that was recorded" in printed
    assert f"graded with {THRESHOLD}=0.0; the rungs named nemo-gym have {THRESHOLD}=0.1" in printed
    project.data(_rows(project, None))
    result = project.run_here("--fc-replay=run", "--fc-data=pivots.jsonl")
    result.stdout.fnmatch_lines([f"grader settings: {THRESHOLD}=0.0 ({cause})"])


@pytest.mark.parametrize(("agent", "merges"), [(TOOLCALL, True), (SWE, False)])
def test_merging_with_an_older_run(
    project: Project, capsys: pytest.CaptureFixture[str], *, agent: str, merges: bool
) -> None:
    """Shards of an older version are merged with newer ones if their settings mean the same, and else refused."""
    rows = [row | {"trajectory_id": f"talk{n}"} for n, row in enumerate(_rows(project, agent, agent, agent, agent))]
    options = project.puppet(rows)
    for number in (1, 2):
        project.run_here(*options, f"--fc-shard={number}/2", f"--fc-run=runs/{number}")
    _as_recorded_by_an_older_version(project, "runs/1")
    capsys.readouterr()
    runs = [str(project.path / "runs" / name) for name in ("1", "2")]
    status = main(["merge", *runs, "-o", str(project.path / "merged")])
    printed = capsys.readouterr()
    if merges:
        assert status == 0, printed
        assert "passed 1, failed 4" in printed.out
        project.run_here("--fc-replay=merged", *options).assert_outcomes(passed=1, failed=4)
    else:
        assert status == 2
        assert f'"{THRESHOLD}": 0.1' in printed.err
        assert f'"{THRESHOLD}": 0.0' in printed.err


def test_a_run_whose_grader_is_broken(project: Project) -> None:
    """A run.json whose grader is no grader's description is refused when the run is gone on with."""
    options = project.puppet(_rows(project, SWE))
    project.run_here(*options, "--fc-run=run")
    for grader, message in [
        ({"name": 3}, "run.json: not as pytest-fcpivot writes it: grader"),
        ({"name": "nemo-gym", "settings": []}, "run.json: not as pytest-fcpivot writes it: grader"),
        ({"name": "nemo-gym:first-call", "settings": {"os": 1}}, "grader nemo-gym has no such setting"),
    ]:
        told = _told(project, "run") | {"grader": grader}
        (project.path / "run" / "run.json").write_text(json.dumps(told))
        assert message in _refused(project, "--fc-replay=run", *options)
