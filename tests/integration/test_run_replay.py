"""--fc-replay: stored answers are graded again, by the same grader or another, and nobody is asked."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from counting_agent import Counted
    from pivot_project import Project, Row

pytest_plugins = ["pivot_project", "counting_agent"]

DATA = Path(__file__).parents[3] / "shared" / "data"
EXAMPLE, ROLLOUTS = DATA / "nemo_gym_example.jsonl", DATA / "nemo_gym_example_rollouts.jsonl"
TABLE: dict[str, tuple[str, str | None]] = {
    "right": ('call add {"a": 1}', None),
    "wrong": ('call add {"a": 1}', 'call add {"a": 2}'),
    "unfit": ('call add {"a": 1}', 'call add {"a": "x"}'),
    "swapped": ('call add {"a": 1}', 'call find {"filters": []} & call add {"a": 1}'),
    "talk": ("say hello", "say hello there"),
    "silent": ("say hello", "nothing"),
    "broken": ("say hello", "raises no connection"),
    "odd": ("say hello", "rubbish"),
}


def _shown(counted: Counted, result: pytest.RunResult) -> list[str]:
    """Return the summary without where the run is."""
    return [line for line in counted.project.summary(result).splitlines() if not line.startswith("run recorded in")]


def _refused(counted: Counted, *args: str) -> str:
    result = counted.run_here(*args)
    text = result.stdout.str() + result.stderr.str()
    assert result.ret == pytest.ExitCode.USAGE_ERROR, text
    assert "Traceback" not in text
    assert not counted.asked()
    return text


def test_the_same_report(counted: Counted) -> None:
    """A replay of a run shows its summary, has its outcomes and status, errors as errors, and asks nobody."""
    pytest.importorskip("xdist.plugin")
    options = counted.table(TABLE)
    counted.pauses(0.06)
    first, outcomes = counted.run_cases(*options, "--fc-run=run", "--fc-concurrency=8")
    assert outcomes["broken"] == outcomes["odd"] == "error"
    before = (counted.project.path / "run" / "results.jsonl").read_bytes()
    (counted.project.path / "counting.py").unlink()
    again, found = counted.run_cases("--fc-replay=run", "-n1")
    assert found == outcomes
    assert _shown(counted, again) == _shown(counted, first)
    assert again.ret == first.ret == pytest.ExitCode.TESTS_FAILED
    assert not counted.asked()
    assert (counted.project.path / "run" / "results.jsonl").read_bytes() == before


def test_a_replay_can_be_recorded(counted: Counted) -> None:
    """What a replay found is recorded where the user wants it, and can be replayed itself, by its file's path too."""
    options = counted.table(TABLE)
    first = counted.run_here(*options, "--fc-run=run")
    counted.run_here("--fc-replay=run/results.jsonl", "--fc-run=again")
    again = counted.project.path / "again"
    assert counted.verdicts(counted.results(again)) == counted.verdicts(counted.results(counted.project.path / "run"))
    result = counted.run_here("--fc-replay=again/results.jsonl")
    assert _shown(counted, result) == _shown(counted, first)
    assert not counted.asked()


def test_another_grader(counted: Counted) -> None:
    """Stored answers are graded anew by the grader that is named."""
    _, outcomes = counted.run_cases(*counted.table(TABLE), "--fc-run=run")
    again, found = counted.run_cases("--fc-replay=run", "--fc-grader=nemo-gym:any-order")
    assert not counted.asked()
    asked, expected = counted.run_cases(*counted.table(TABLE), "--fc-run=other", "--fc-grader=nemo-gym:any-order")
    assert found == expected != outcomes
    assert _shown(counted, again) == _shown(counted, asked)
    assert again.ret == asked.ret


def test_a_part_of_a_run(counted: Counted) -> None:
    """A run that was not finished is replayed as far as it came; an own test without an answer is an error."""
    counted.run_here(*counted.table({f"p{n}": ("say hello", None) for n in range(6)}), "--fc-run=run")
    path = counted.project.path / "run" / "results.jsonl"
    kept = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(kept[:2]) + kept[2][:-20])
    result = counted.run_here("--fc-replay=run")
    result.assert_outcomes(passed=2)
    assert not counted.asked()
    assert path.read_bytes().endswith(kept[2][:-20])
    counted.project.write("test_mine.py", "def test_mine(pivot, fc_action, fc_grade):\n    fc_grade(fc_action)\n")
    result = counted.run_here("test_mine.py", "--fc-replay=run")
    result.assert_outcomes(passed=2, errors=4)
    result.stdout.fnmatch_lines(["*there is no stored answer for this test; it was not part of the run*"])
    assert not counted.asked()


def test_a_replay_of_repeats(counted: Counted) -> None:
    """A run with repeats is replayed with as many, each with its own answer."""
    options = counted.table({"one": ("say hello", None), "two": ('call add {"a": 1}', "nothing")})
    first, outcomes = counted.run_cases(*options, "--fc-repeats=2", "--fc-run=run")
    again, found = counted.run_cases("--fc-replay=run")
    assert found == outcomes
    assert set(found) == {"one", "one[r2]", "two", "two[r2]"}
    assert _shown(counted, again) == _shown(counted, first)


def _rollout(row: Row, *items: Row, **more: Any) -> Row:
    """Return a row of NeMo Gym's rollouts, as its collector writes them."""
    response = {
        "id": "resp_1",
        "created_at": 1768002749.0,
        "error": None,
        "instructions": None,
        "metadata": {},
        "model": "some-model",
        "object": "response",
        "output": list(items),
        "parallel_tool_calls": False,
        "status": "completed",
        "tool_choice": "auto",
        "tools": row["responses_create_params"]["tools"],
        "usage": {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120},
    }
    return row | {"response": response, "reward": 0.0, "category": "as it was"} | more


def _call(arguments: str) -> Row:
    return {"type": "function_call", "name": "add", "arguments": arguments, "call_id": "c1", "status": "completed"}


def _talk(text: str) -> Row:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": [part]}


def _rollouts(project: Project) -> list[Row]:
    """Return rollouts of three pivots: the first was asked three times, the second twice."""
    one = project.row('call add {"a": 1}', id="one")
    two = project.row("say hello", id="two")
    three = project.row('call add {"a": 3}', id="three")
    return [
        _rollout(one, _call('{"a": 1}')),
        _rollout(two, _talk("hello")),
        _rollout(one, _call('{"a": 2}')),
        _rollout(three, _talk("I cannot.")),
        _rollout(one, {"type": "reasoning", "id": "r1", "summary": []}, _call('{"a": 1}'), reward="1"),
        _rollout(two, response=None),
    ]


OF_ROLLOUTS = {
    "one": "passed",
    "one[r2]": "failure",
    "one[r3]": "passed",
    "two": "passed",
    "two[r2]": "error",
    "three": "failure",
}


@pytest.mark.parametrize("how", ["alone", "data"])
def test_rollouts_of_nemo_gym(project: Project, how: str) -> None:
    """Rollouts are graded as they are or over named data; several of one pivot are its repeats."""
    rows = _rollouts(project)
    project.data(rows, "rollouts.jsonl")
    project.data([rows[place] for place in (0, 1, 3)])
    args = {"alone": [], "data": ["--fc-data=pivots.jsonl"]}[how]
    result, outcomes = project.run_cases("--fc-replay=rollouts.jsonl", "--fc-run=run", *args)
    assert outcomes == OF_ROLLOUTS
    result.stdout.fnmatch_lines(
        [
            "rewards equal to the file's own: 2 of 4",
            "  others: one (0 in the file, 1 here), two (0 in the file, 1 here)",
            "rollouts without a recorded reward: 1",
            "passed 3, failed 2, errors 1; *",
            "pass@1 0.5556 *pass^1 0.5556 *(over 3 pivots)",
            "pass@3 1.0000 *pass^3 0.0000 *(over 1 pivots)",
            "tokens: 500 in (0 cached), 100 out*",
        ]
    )
    assert "the rollout has no response" in result.stdout.str()


def test_rewards_that_are_not_the_verifiers(counted: Counted) -> None:
    """Rewards are compared with the file's own under the verifier's graders alone, and not with those of a run."""
    counted.project.data(_rollouts(counted.project), "rollouts.jsonl")
    result = counted.run_here("--fc-replay=rollouts.jsonl", "--fc-grader=agentic", "--fc-run=run")
    assert "the file's own" not in result.stdout.str()
    assert "the file's own" not in counted.run_here("--fc-replay=run", "--fc-grader=nemo-gym").stdout.str()


@pytest.mark.skipif(not ROLLOUTS.is_file(), reason="the third-party example rows are not part of this project")
def test_the_published_rollouts(project: Project) -> None:
    """The published rollouts get the rewards that the original verifier gave them, and the summary says so."""
    result = project.run_here(f"--fc-replay={ROLLOUTS}", "--fc-run=run", f"--fc-data={EXAMPLE}")
    result.assert_outcomes(passed=3, failed=2)
    result.stdout.fnmatch_lines(["rewards equal to the file's own: 5 of 5"])
    lines = (project.path / "run" / "results.jsonl").read_text().splitlines()
    assert [json.loads(line)["reward"] for line in lines] == [1.0, 1.0, 0.0, 1.0, 0.0]


def test_rubbish(counted: Counted) -> None:
    """What holds no stored answers, or is compressed, is refused with the path and what to name."""
    project = counted.project
    counted.table({"one": ("say hello", None)})
    project.write("other/run.json", '{"format": 7}')
    packed = json.dumps(_rollouts(project)[0]).encode() + b"\n"
    (project.path / "rollouts.jsonl.gz").write_bytes(gzip.compress(packed))
    for name, message in [
        ("nowhere", "nowhere: there is no such run or file"),
        ("rollouts.jsonl.gz", "name a run's directory, or rollouts as .jsonl (not compressed)"),
        ("other", "a newer version of pytest-fcpivot (format 7, this one reads 1)"),
    ]:
        assert message in _refused(counted, f"--fc-replay={name}")
    assert "no rollouts in it" in _refused(counted, "--fc-replay=pivots.jsonl")


def test_a_replay_is_no_run_to_go_on_with(counted: Counted) -> None:
    """After a replay, --fc-resume goes on with the run that asked, and does not ask in the replay's name."""
    counted.run_here(*counted.table({"one": ("say hello", "flaky hello")}), "--fc-run=.fcpivot/20000101T000000-aaaaaa")
    counted.project.data(_rollouts(counted.project), "rollouts.jsonl")
    for replayed in (".fcpivot/20000101T000000-aaaaaa", "rollouts.jsonl"):
        counted.run_here(f"--fc-replay={replayed}").stdout.no_fnmatch_line("run the tests that are missing*")
    counted.touch("mended")
    result = counted.run_here("--fc-resume")
    result.stdout.fnmatch_lines(["fcpivot: resumes .fcpivot/20000101T000000-aaaaaa, *"])
    result.assert_outcomes(passed=1)
