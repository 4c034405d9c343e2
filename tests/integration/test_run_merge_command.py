"""`fcpivot merge`: what it prints, and its exit codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pivot_project import Project

pytest_plugins = ["pivot_project"]


@pytest.fixture
def shards(project: Project) -> Project:
    """Return a project with the runs of both shards of some pivots."""
    options = project.puppet(project.trajectories(*[1] * 12))
    for number in (1, 2):
        project.run_here(*options, f"--fc-shard={number}/2", f"--fc-run=run-{number}")
    return project


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["run-1", "run-2"], 0, "merged: 2 runs, 12 results"),
        (["run-1"], 1, "missing: shard 2 of 2"),
        (["run-1", "--allow-missing"], 0, "missing: shard 2 of 2"),
        (["run-1", "run-1"], 2, "run-1: named twice"),
        (["nowhere"], 2, "nowhere: not a run's directory"),
    ],
)
def test_exit_codes(shards: Project, arguments: list[str], code: int, told: str) -> None:
    """It is 0 for a complete run, 1 if something is missing (unless allowed), and 2 for what cannot be merged."""
    result = shards.command("merge", *arguments, "-o", "merged")
    assert result.ret == code
    assert told in result.stdout.str() + result.stderr.str()
    assert (shards.path / "merged").exists() == (code != 2)
