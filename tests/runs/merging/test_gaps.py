"""What a merged run lacks is named: shards, and tests without a result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from runs_to_merge import Row, at_home, described, line, session, write

from pytest_fcpivot.report.merged import merged_lines
from pytest_fcpivot.runs.merging.merge import merge

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.usefixtures(at_home.__name__)


KILLED, EARLY = session() | {"ended": None, "exit_status": None}, session(exit_status=2)
OWN = [line(name, test=f"test_mine.py::test_mine[{name}]") for name in "ab"]
NOT_ENDED = "its last session did not end: killed, or still running"
# The second run's description and lines, and what is told of it.
INCOMPLETE: dict[str, tuple[Row, Sequence[Row], Sequence[str]]] = {
    "whole": (described("2/2"), [line("c"), line("d", "error")], []),
    "killed at the very end": (described("2/2", sessions=[KILLED]), [line("c"), line("d")], []),
    "killed": (
        described("2/2", sessions=[KILLED]),
        [line("c")],
        [f"two: 1 of 2 tests of data.jsonl have a result; {NOT_ENDED}"],
    ),
    "interrupted": (
        described("2/2", sessions=[session(), EARLY]),
        [],
        [
            "two: 0 of 2 tests of data.jsonl have a result; its last session ended early, with exit status 2",
        ],
    ),
    "gone on with": (described("2/2", sessions=[KILLED, session()]), [line("c"), line("d")], []),
    "stopped at a failure": (
        described("2/2", counts={"not_run": 1}),
        [line("d", "failed")],
        ["two: 1 of 2 tests of data.jsonl have a result; its last session ended early: 1 of its tests were not run"],
    ),
    "no sessions": (
        described("2/2", sessions=[]),
        [line("c")],
        [f"two: 1 of 2 tests of data.jsonl have a result; {NOT_ENDED}"],
    ),
    "own tests": (described("2/2", arguments=["/x/test_mine.py"]), OWN[:1], []),
    "own tests, killed": (
        described("2/2", arguments=["/x/test_mine.py"], sessions=[KILLED]),
        OWN,
        [f"two: there may be tests without a result; {NOT_ENDED}"],
    ),
    "own tests, some not run, whatever the exit status says": (
        described("2/2", arguments=["/x/test_mine.py"], counts={"not_run": 3}),
        OWN,
        ["two: there may be tests without a result; its last session ended early: 3 of its tests were not run"],
    ),
    "own tests, and not said how many were left": (
        described("2/2", arguments=["/x/test_mine.py"], counts={}),
        OWN,
        ["two: there may be tests without a result; its last session did not record how many of its tests were left"],
    ),
    "own tests beside the data": (
        described("2/2", arguments=["/x/test_mine.py", "/data/data.jsonl"]),
        OWN,
        ["two: 0 of 2 tests of data.jsonl have a result"],
    ),
    "no data": (described("2/3", data=[]), OWN, ["shard 3 of 3"]),
    "another shard of more": (described("2/7", selected=1), [line("c")], ["shards 3, 4, 5, 6, 7 of 7"]),
    "the others have no pivot": (described("2/7"), [line("c"), line("d")], []),
}


@pytest.mark.parametrize("name", INCOMPLETE)
def test_what_is_missing(tmp_path: Path, name: str) -> None:
    """Shards that are missing and runs with fewer results than tests are told; what is whole is not."""
    second, lines, told = INCOMPLETE[name]
    count = second["options"]["fc_shard"].partition("/")[2]
    first = described(f"1/{count}", data=second["data"] and described()["data"], arguments=second["arguments"] and None)
    runs = [write(tmp_path / "one", first, line("a"), line("b")), write(tmp_path / "two", second, *lines)]
    merged = merge(runs, Path("merged"))
    assert list(merged.missing) == told
    assert [text for text in merged_lines(merged) if text.startswith("missing: ")] == [
        f"missing: {text}" for text in told
    ]
    asks = bool(told) or merged.tally.errors > 0
    assert asks == (
        "run the tests that are missing or ended in an error:  pytest --fc-resume=merged" in merged_lines(merged)
    )


def test_runs_of_the_same_name(tmp_path: Path) -> None:
    """Runs whose directories have one name are told apart by their paths."""
    runs = [write(tmp_path / f"shard-{n}" / "run", described(f"{n}/2"), line(name)) for n, name in ((1, "a"), (2, "b"))]
    merged = merge([run.relative_to(tmp_path) for run in runs], Path("merged"))
    assert [text.partition(":")[0] for text in merged.missing] == ["shard-1/run", "shard-2/run"]
    assert [run["run"] for run in merged.description["merged"]] == ["shard-1/run", "shard-2/run"]


def test_nothing_was_run(tmp_path: Path) -> None:
    """Runs without a result can be merged too."""
    run = write(tmp_path / "run", described("1/2"))
    merged = merge([run], Path("merged"))
    assert next(merged_lines(merged)) == "fcpivot: no pivot was run"
    assert merged.missing == ("shard 2 of 2", "run: 0 of 2 tests of data.jsonl have a result")
