"""A recorded session, its profile, and a session over the pivots that the profile keeps."""

from __future__ import annotations

import json
import statistics
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

if TYPE_CHECKING:
    from pivot_project import Project

pytest_plugins = ["pivot_project"]

REPEATS = 8
# How many of each pivot's repeats pass; the ids are those of their trajectory and depth.
PASSED = {
    f"talk{number}-d{depth}": (3 * number + 5 * depth) % (REPEATS + 1) for number in range(4) for depth in range(4)
}
AGENT = """
PASSED = {passed!r}

def answer(pivot):
    verb, _, rest = pivot.input[-1]["content"].partition(" ")
    right = rest if verb == "say" else dict(zip(("name", "arguments"), rest.split(" ", 1)))
    return right if pivot.repeat <= PASSED[pivot.id] else None
"""


def test_exactly_the_pivots_that_pass_sometimes_are_kept(project: Project) -> None:
    """From a session with known pass rates, the rates are recounted; the kept rows are run again as the same pivots."""
    project.data(project.trajectories(4, 4, 4, 4))
    project.write("sometimes.py", AGENT.format(passed=PASSED))
    project.run_here("--fc-data=pivots.jsonl", "--fc-agent=sometimes:answer", f"--fc-repeats={REPEATS}", "--fc-run=run")
    mixed = {name: passed for name, passed in PASSED.items() if 0 < passed < REPEATS}
    assert 0 < len(mixed) < len(PASSED)

    result = project.command("profile", "run", "-o", "kept.jsonl", "--table", "table.parquet")
    assert result.ret == 0, result.errlines
    rows = [json.loads(line) for line in (project.path / "kept.jsonl").read_text().splitlines()]
    kept = {f"{row['trajectory_id']}-d{row['info']['depth']}": row["pass_rate"] for row in rows}
    assert kept == {name: passed / REPEATS for name, passed in mixed.items()}
    for row in pq.read_table(project.path / "table.parquet").to_pylist():
        passed = PASSED[row["pivot_id"]]
        rewards = [1.0] * passed + [0.0] * (REPEATS - passed)
        assert row["mean/reward"] == pytest.approx(passed / REPEATS)
        assert row["std/reward"] == pytest.approx(statistics.stdev(rewards))
        assert row["num_rollouts"] == row["expected_num_rollouts"] == REPEATS

    assert project.command("export", "run", "--to=nemo-gym-rollouts", "-o", "rollouts.jsonl").ret == 0
    assert project.command("profile", "rollouts.jsonl", "-o", "same.jsonl").ret == 0
    assert [json.loads(line) for line in (project.path / "same.jsonl").read_text().splitlines()] == rows

    assert project.command("prepare", "kept.jsonl", "-o", "kept.parquet").ret == 0
    for data in ("kept.jsonl", "kept.parquet"):
        result, outcomes = project.run_cases(f"--fc-data={data}", "--fc-agent=sometimes:answer")
        result.assert_outcomes(passed=len(mixed))  # each passes the first time
        assert set(outcomes) == set(mixed)


def test_a_profile_of_shards_is_that_of_the_whole(project: Project) -> None:
    """Two shards of a run give the same rows as one run of everything, and one of them says what is not there."""
    project.data(project.trajectories(4, 4, 4, 4))
    project.write("sometimes.py", AGENT.format(passed=PASSED))
    options = ["--fc-data=pivots.jsonl", "--fc-agent=sometimes:answer", f"--fc-repeats={REPEATS}"]
    project.run_here(*options, "--fc-run=run")
    for shard in (1, 2):
        project.run_here(*options, f"--fc-shard={shard}/2", f"--fc-run=shard{shard}")
    assert project.command("profile", "run", "-o", "whole.jsonl").ret == 0
    assert project.command("profile", "shard2", "shard1", "-o", "parts.jsonl").ret == 0
    assert (project.path / "whole.jsonl").read_bytes() == (project.path / "parts.jsonl").read_bytes()
    result = project.command("profile", "shard1")
    result.stdout.fnmatch_lines(["*shards that are not given, whose pivots are not among the candidates: 2 of 2"])
