"""--fc-pass-mark: with partial credit, a test passes when its reward reaches the mark; the mean does not change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot import grade, load_pivots
from pytest_fcpivot.core.errors import FcPivotError
from pytest_fcpivot.report.merged import merged_lines
from pytest_fcpivot.runs.merging.merge import merge

if TYPE_CHECKING:
    from counting_agent import Counted
    from pivot_project import Project
    from syrupy.assertion import SnapshotAssertion

pytest_plugins = ["pivot_project", "counting_agent"]

GUIDE = Path(__file__).parents[2] / "docs" / "graders.md"
_TRIP = 'call book {"city": "Oslo", "nights": 2, "guests": ["Ava"], "note": "sea view", "late": true}'
# The rewards under agentic, by hand: half for the name, half for the share of arguments.
REWARDS = {"all": 1.0, "four": 0.9, "two": 0.7, "none": 0.5, "half-said": 0.5, "other-tool": 0.0, "wrong-type": 0.0}
TABLE: dict[str, tuple[str, str | None]] = {
    "all": (_TRIP, None),
    "four": (_TRIP, _TRIP.replace("2", "3")),
    "two": (_TRIP, 'call book {"city": "Oslo", "nights": 2}'),
    "none": (_TRIP, "call book {}"),
    "half-said": ("say your refund is on its way", "say a refund, yes"),
    "other-tool": ('call add {"a": 1}', 'call find {"b": 1}'),
    "wrong-type": ('call add {"a": 1}', "say which number?"),
}
ERRORS: dict[str, tuple[str, str | None]] = {"broken": ("say hello", "raises no connection")}
# An agent that knows the answers of generated data, and gets some of them partly or wholly wrong.
EXPERT = """
import json
import zlib

from pytest_fcpivot import Action, FunctionCall, load_pivots

ANSWERS = {pivot.id: pivot.expected_action for pivot in load_pivots("data.parquet")}


def answer(pivot):
    expected, mood = ANSWERS[pivot.id], zlib.crc32(pivot.id.encode()) % 4
    if mood == 0:
        return expected
    if not expected.calls:
        return " ".join(expected.message.split()[::mood])
    if mood == 1:
        return expected.calls[-1]
    arguments = json.loads(expected.calls[0].arguments)
    if mood == 2:
        return FunctionCall("something.else", arguments)
    return FunctionCall(expected.calls[0].name, dict(list(arguments.items())[1:], invented=1))
"""


def _options(project: Project, grader: str = "agentic", table: dict[str, tuple[str, str | None]] = TABLE) -> list[str]:
    return [*project.puppet(project.rows(table)), f"--fc-grader={grader}"]


def _properties(project: Project) -> dict[str, str]:
    suite = next(project.junit().iter("testsuite"))
    return {p.attrib["name"]: p.attrib["value"] for p in suite.findall("properties/property")}


def _lines(run: Path) -> dict[str, dict[str, Any]]:
    return {line["test"]: line for line in map(json.loads, (run / "results.jsonl").read_text("ascii").splitlines())}


@pytest.mark.parametrize("mark", [None, "0.7", "0.01"])
def test_what_passes(project: Project, mark: str | None) -> None:
    """Tests whose reward is at least the mark pass; the mean reward is the same at every mark."""
    at = [] if mark is None else [f"--fc-pass-mark={mark}"]
    result, outcomes = project.run_cases(*_options(project), *at)
    least = float(mark or 1)
    passing = {name for name, reward in REWARDS.items() if reward >= least}
    assert {name for name, outcome in outcomes.items() if outcome == "passed"} == passing
    assert set(outcomes.values()) == {"passed", "failure"}
    mean, rate = sum(REWARDS.values()) / len(REWARDS), len(passing) / len(REWARDS)
    result.stdout.fnmatch_lines(
        [
            f"mean reward {mean:.4f}  (95 % interval *",
            f"passed {len(passing)}, failed {7 - len(passing)}, errors 0; pass rate at reward ≥ {least:g}: {rate:.4f}",
        ]
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    found = _properties(project)
    assert float(found["fc.mean_reward"]) == pytest.approx(mean)
    assert float(found["fc.pass_rate"]) == pytest.approx(rate)
    assert float(found["fc.pass_mark"]) == least


def test_the_summary(project: Project, plugin_args: list[str], same_snapshot: SnapshotAssertion) -> None:
    """The summary leads with the mean reward and its interval, and has the pass rate at the mark beside it."""
    result = project.run_here(*_options(project, table=TABLE | ERRORS), "--fc-pass-mark=0.7", *plugin_args)
    assert project.summary(result) == same_snapshot
    result.stdout.fnmatch_lines(["fcpivot: *; grader agentic, pass mark 0.7"])


def test_the_figures_of_the_guide(project: Project) -> None:
    """The figures of docs/graders.md are those of a run."""
    result = project.run_here(*_options(project), "--fc-pass-mark=0.7")
    shown = [line for line in result.outlines if line.startswith(("mean reward", "passed"))]
    assert "\n".join(["```text", *shown, "```"]) in GUIDE.read_text("utf-8")


def test_all_at_the_mark(project: Project) -> None:
    """A run whose tests all reach the mark has passed, though its mean reward is under 1."""
    options = project.puppet(project.rows({name: TABLE[name] for name in ("all", "four", "two")}))
    result = project.run_here(*options, "--fc-grader=agentic", "--fc-pass-mark=0.7")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["mean reward 0.8667 *", "passed 3, *; pass rate at reward ≥ 0.7: 1.0000"])


def test_the_failure_text(project: Project) -> None:
    """A test under the mark shows its reward and the mark."""
    result = project.run_here(*_options(project), "--fc-pass-mark=0.95")
    text = result.stdout.str()
    assert "  reward:   0.9 (name 0.5, arguments 0.4), under the pass mark 0.95" in text
    assert "  reward:   0, under the pass mark 0.95" in text


def test_a_reward_just_under_the_mark(project: Project) -> None:
    """A reward that would be shown as the mark when it is rounded is shown with all its digits."""
    keys = json.dumps({f"k{n}": n for n in range(3_000)})
    rows = project.rows({"one": (f"call add {keys}", f"call add {keys.replace('2999}', '1}')}")})
    result = project.run_here(*project.puppet(rows), "--fc-grader=agentic", "--fc-pass-mark=0.9999")
    assert "  reward:   0.99983" in result.stdout.str()


@pytest.mark.parametrize("mark", [[], ["--fc-pass-mark=0.3"]])
def test_under_a_binary_grader(project: Project, mark: list[str]) -> None:
    """With rewards of 0 and 1 the mark changes nothing: pass rate and mean reward are one figure, and checked."""
    result, outcomes = project.run_cases(*_options(project, "nemo-gym"), *mark)
    assert {name for name, outcome in outcomes.items() if outcome == "passed"} == {"all", "half-said"}
    result.stdout.fnmatch_lines(
        ["fcpivot: *; grader nemo-gym:first-call", "passed 2, failed 5, errors 0; pass rate 0.2857",
         "counts agree: pytest's pass rate is the grader's mean reward (7 tests)"]
    )  # fmt: skip
    assert "  reward: " not in result.stdout.str()
    assert "fc.pass_mark" not in _properties(project)


def test_the_mark_by_environment_and_ini(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """FC_PASS_MARK and ini fc_pass_mark name it too."""
    options = _options(project)
    project.write("pytest.ini", "[pytest]\nfc_pass_mark = 0.9\n")
    project.run_here(*options).assert_outcomes(passed=2, failed=5)
    monkeypatch.setenv("FC_PASS_MARK", "0.7")
    project.run_here(*options).assert_outcomes(passed=3, failed=4)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("0", "--fc-pass-mark=0: must be more than 0, since every answer would pass"),
        ("-0.5", "--fc-pass-mark=-0.5: must be more than 0"),
        ("1.5", "--fc-pass-mark=1.5: must be 1 or less"),
        ("nan", "--fc-pass-mark=nan: must be 1 or less"),
        ("80%", "--fc-pass-mark=80%: a number is needed"),
    ],
)
def test_no_mark(project: Project, value: str, message: str) -> None:
    """What is no mark is refused before a call is made."""
    result = project.run_here("--fc-agent=asks", f"--fc-pass-mark={value}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert message in result.stderr.str()


def test_own_tests(project: Project) -> None:
    """In a test of the user's, fc_grade raises under the mark and returns the grade at it."""
    options = _options(project)
    project.write(
        "test_mine.py",
        "def test_mine(pivot, fc_action, fc_grade):\n    assert fc_grade(fc_action).reward >= 0.7\n",
    )
    result, outcomes = project.run_cases("test_mine.py", *options, "--fc-pass-mark=0.7")
    assert {name for name, outcome in outcomes.items() if outcome == "passed"} == {
        f"test_mine[{name}]" for name, reward in REWARDS.items() if reward >= 0.7
    }
    result.stdout.fnmatch_lines(["* under the pass mark 0.7"])


def test_repeats(project: Project) -> None:
    """With repeats, pass@k and pass^k count a reward of at least the mark as a pass."""
    project.data(project.rows({"one": (_TRIP, None), "two": (_TRIP, None)}))
    project.write(
        "moody.py",
        """
def answer(pivot):
    right = {"city": "Oslo", "nights": 2, "guests": ["Ava"], "note": "sea view", "late": True}
    kept = 5 if pivot.repeat == 1 else 3 if pivot.id == "one" else 0
    return {"name": "book", "arguments": dict(list(right.items())[:kept])}
""",
    )
    options = ["--fc-data=pivots.jsonl", "--fc-agent=moody:answer", "--fc-grader=agentic", "--fc-repeats=2"]
    strict = project.run_here(*options)
    strict.stdout.fnmatch_lines(["pass@1 0.5000  pass^1 0.5000 *", "pass@2 1.0000  pass^2 0.0000 *"])
    lenient = project.run_here(*options, "--fc-pass-mark=0.8")
    lenient.stdout.fnmatch_lines(["pass@1 0.7500  pass^1 0.7500 *", "pass@2 1.0000  pass^2 0.5000 *"])


# -------------------------------------------------------------------- runs on disk


def test_replayed_at_another_mark(counted: Counted) -> None:
    """Stored answers can be held against another mark, with the outcomes of a run at that mark, asking nobody."""
    options = [*counted.table(TABLE), "--fc-grader=agentic"]
    _, strict = counted.run_cases(*options, "--fc-run=run")
    again, found = counted.run_cases("--fc-replay=run", "--fc-pass-mark=0.5")
    assert not counted.asked()
    asked, expected = counted.run_cases(*options, "--fc-pass-mark=0.5", "--fc-run=other")
    assert found == expected != strict
    shown = [
        [line for line in counted.project.summary(result).splitlines() if not line.startswith("run recorded")]
        for result in (again, asked)
    ]
    assert shown[0] == shown[1]
    assert counted.described(counted.project.path / "other")["pass_mark"] == 0.5


def test_resumed_at_another_mark(counted: Counted) -> None:
    """A run is not gone on with at another mark, which would mix two; the same mark in other words is."""
    options = [*counted.table(TABLE | {"off": ("say hello", "flaky hello")}), "--fc-grader=agentic"]
    counted.run_here(*options, "--fc-pass-mark=0.7", "--fc-run=run")
    refused = counted.run_here("--fc-resume=run", "--fc-pass-mark=0.5")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    assert "pass_mark: 0.7 → 0.5" in refused.stderr.str()
    counted.touch("mended")
    counted.run_here("--fc-resume=run", "--fc-pass-mark=.70").assert_outcomes(passed=4, failed=4)
    assert dict(counted.asked()) == {"off": 1}
    before = counted.project.path / "run" / "results.jsonl"
    counted.run_here("--fc-resume=run").assert_outcomes(passed=4, failed=4)
    assert len(_lines(before.parent)) == 8


def _generated(project: Project, *, pivots: int = 80) -> list[str]:
    """Write generated conversations, prepared, and the agent that is partly right; return the options."""
    project.command("synth", "agentic", "--pivots", str(pivots), "--seed", "3", "-o", "data.jsonl")
    assert project.command("prepare", "data.jsonl", "-o", "data.parquet").ret == 0
    project.write("expert.py", EXPERT)
    return ["--fc-data=data.parquet", "--fc-agent=expert:answer"]


def test_generated_conversations(project: Project) -> None:
    """Generated conversations are graded by agentic, with every reward as `grade` gives it and passes at the mark."""
    result = project.run_here(*_generated(project), "--fc-pass-mark=0.5", "--fc-run=run")
    expected = {pivot.id: pivot.expected_action for pivot in load_pivots(project.path / "data.parquet")}
    found = _lines(project.path / "run")
    assert {line["pivot_id"] for line in found.values()} == expected.keys()
    rewards = []
    for line in found.values():
        reward = grade(expected[line["pivot_id"]], line["output"], "agentic").reward
        assert line["reward"] == pytest.approx(reward)
        assert (line["outcome"] == "passed") == (reward >= 0.5)
        rewards.append(reward)
    assert len({round(reward, 3) for reward in rewards}) > 5  # of many kinds
    result.stdout.fnmatch_lines(
        [
            "fcpivot: data.parquet (80 pivots); agent expert:answer; grader agentic, pass mark 0.5",
            f"mean reward {sum(rewards) / len(rewards):.4f} *",
        ]
    )


def test_shards_merged(project: Project) -> None:
    """Two shards under agentic, merged, have the results and the summary of one run; other marks are refused."""
    options = [*_generated(project), "--fc-pass-mark=0.75"]
    whole = project.run_here(*options, "--fc-run=whole")
    for number in (1, 2):
        project.run_here(*options, f"--fc-shard={number}/2", f"--fc-run=shard-{number}")
    merged = merge([project.path / "shard-1", project.path / "shard-2"], project.path / "merged")
    assert merged.missing == ()
    apart = ("run recorded", "look at a failure", "merged: ", "latency")
    report = [line for line in merged_lines(merged) if not line.startswith(apart)]
    summary = project.summary(whole).splitlines()
    assert report == [line for line in summary if not line.startswith(("run recorded", "latency"))]
    assert any("pass rate at reward ≥ 0.75: " in line for line in report)
    project.run_here("--fc-replay=merged").stdout.fnmatch_lines([report[1], report[2]])

    project.run_here(*options[:-1], "--fc-shard=2/2", "--fc-run=other")
    with pytest.raises(FcPivotError, match=r"pass mark:\n +0\.75 in shard-1\n +1\.0 in other"):
        merge([project.path / "shard-1", project.path / "other"], project.path / "mixed")
