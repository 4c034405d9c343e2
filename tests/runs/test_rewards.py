"""The rewards of a run by pivot: which results count, and what is missing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.runs.record import CaseRecord
from pytest_fcpivot.runs.rewards import Rewards, place_of, rewards_of_run
from pytest_fcpivot.stats.clusters import Totals

if TYPE_CHECKING:
    from pathlib import Path

DESCRIPTION = {"format": 1, "agent": "a:b", "grader": {"name": "nemo-gym", "settings": {}}, "data": [], "repeats": 2}


def line(pivot: str, reward: float | None, *, repeat: int = 1, trajectory: str = "t", **others: Any) -> str:
    """Return a line of results.jsonl."""
    name = pivot if repeat == 1 else f"{pivot}[r{repeat}]"
    outcome = "error" if reward is None else "passed" if reward == 1 else "failed"
    about = {"pivot_id": pivot, "trajectory_id": trajectory, "expected": "message", "tool": None, "repeat": repeat}
    return json.dumps({"test": f"data.jsonl::{name}", "outcome": outcome, "reward": reward, **about, **others})


def run(path: Path, *lines: str) -> Path:
    """Write a run with these results."""
    path.mkdir()
    (path / "run.json").write_text(json.dumps(DESCRIPTION | {"options": {}}))
    (path / "results.jsonl").write_text("".join(f"{each}\n" for each in lines))
    return path


def test_results_of_a_run(tmp_path: Path) -> None:
    """Repeats of a pivot are together, errors are missing, and the last result of a test counts."""
    path = run(
        tmp_path / "run",
        line("p1", 1.0),
        line("p1", None, repeat=2),
        line("p2", None, trajectory="u"),
        line("p2", 0.5, trajectory="u", category="HALF"),
        line("p1", 0.0),
    )
    first, second = rewards_of_run(path).rewards
    assert (first.pivot_id, first.rewards, first.missing, first.mean) == ("p1", {1: 0.0}, {2}, 0.0)
    assert (second.rewards, second.missing, second.categories) == ({1: 0.5}, set(), {1: "HALF"})
    assert (second.test, second.place, second.trajectory_id) == ("data.jsonl::p2", "data.jsonl", "u")


def test_trajectories_add_up() -> None:
    """A trajectory has the number of its graded answers and the sum of their rewards; errors are in neither."""
    rewards = Rewards()
    for pivot, trajectory, reward in [("a", "t", 1.0), ("b", "t", 0.5), ("c", "u", None), ("d", "v", 0.0)]:
        rewards.add(_record(pivot, trajectory, reward), f"data.jsonl::{pivot}")
    assert rewards.trajectories() == [Totals(2, 1.5), Totals(1, 0.0)]


def test_a_damaged_last_line_leaves_no_result(tmp_path: Path) -> None:
    """A test whose last line is damaged has no earlier result either, and the run is refused unless that is allowed."""
    path = run(
        tmp_path / "run", line("p1", 1.0), line("p2", 1.0), line("p1", 0.0).replace('"reward": 0.0', '"reward": x')
    )
    with pytest.raises(RunError, match=r"results.jsonl:3: .*\n.*--fc-resume=.*--allow-damaged"):
        rewards_of_run(path)
    found = rewards_of_run(path, allow_damaged=True)
    assert [pivot.pivot_id for pivot in found.rewards] == ["p2"]
    assert len(found.damages) == 1


def test_a_run_that_was_killed_at_its_start(tmp_path: Path) -> None:
    """Without a results file there are no rewards."""
    path = run(tmp_path / "run")
    (path / "results.jsonl").unlink()
    assert len(rewards_of_run(path).rewards) == 0


def test_results_can_be_taken_back() -> None:
    """A result that is taken out leaves the others of its pivot."""
    rewards = Rewards()
    for repeat in (1, 2):
        rewards.add(_record("p", "t", 1.0, repeat), f"data.jsonl::p[r{repeat}]")
    rewards.take_out("data.jsonl::p", _record("p", "t", 1.0, 1))
    rewards.take_out("data.jsonl::q", _record("q", "t", 1.0, 1))
    assert [pivot.rewards for pivot in rewards] == [{2: 1.0}]


@pytest.mark.parametrize(
    ("test", "place"),
    [
        ("data/a.parquet::t1-d0", "data/a.parquet"),
        ("data/a.parquet::t1-d0[r3]", "data/a.parquet"),
        ("tests/test_mine.py::test_it[t1-d0]", "tests/test_mine.py::test_it"),
        ("tests/test_mine.py::test_it[t1-d0[r2]]", "tests/test_mine.py::test_it"),
        ("tests/test_mine.py::test_it[t1-d0@2]", "tests/test_mine.py::test_it[@2]"),
        ("tests/test_mine.py::TestIt::test_it[t1-d0-2]", "tests/test_mine.py::TestIt::test_it[2]"),
        ("tests/test_mine.py::test_it[hot-t1-d0[r3]-2]", "tests/test_mine.py::test_it[hot-2]"),
    ],
)
def test_places(test: str, place: str) -> None:
    """A pivot's own test is run by its data file, any other by its function with its other parameters."""
    assert place_of(test, "t1-d0") == place


def test_places_of_pivots_that_are_called_like_tests() -> None:
    """Two test functions over a pivot stay apart, although their names begin as its id does."""
    rewards = Rewards()
    for test, reward in (("test_a", 1.0), ("test_b", 0.0)):
        rewards.add(_record("test", "t", reward), f"test_own.py::{test}[test]")
    rewards.add(_record("test", "t", 1.0, repeat=2), "data.jsonl::test[r2]")
    assert rewards.places == {"test_own.py::test_a", "test_own.py::test_b", "data.jsonl"}


def test_equal_results_have_one_fingerprint() -> None:
    """The order of arrival does not matter; a reward and a missing answer do."""
    orders: list[list[tuple[str, float | None]]] = [
        [("a", 1.0), ("b", 0.0)],
        [("b", 0.0), ("a", 1.0)],
        [("a", 1.0), ("b", 1.0)],
        [("a", 1.0), ("b", None)],
    ]
    found: list[str] = []
    for order in orders:
        rewards = Rewards()
        for pivot, reward in order:
            rewards.add(_record(pivot, "t", reward), f"data.jsonl::{pivot}")
        found.append(rewards.fingerprint())
    assert found[0] == found[1]
    assert len(set(found)) == 3


def _record(pivot: str, trajectory: str, reward: float | None, repeat: int = 1) -> CaseRecord:
    return CaseRecord(pivot, trajectory, "message", None, repeat=repeat, reward=reward)
