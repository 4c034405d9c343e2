"""Damaged files of every kind: each command reads or refuses them, and the lines that are left count as they are."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutate_files import COMMANDS, Rounds

from pytest_fcpivot.runs.answers import AnswerBook
from pytest_fcpivot.runs.described import RUN_FORMAT
from pytest_fcpivot.runs.directory import RunDirectory
from pytest_fcpivot.runs.merging.merge import merge

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def rounds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rounds]:
    """Return what damages copies of a run that was really made, and of data."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("FC_CACHE_DIR", "XDG_STATE_HOME"):
            patch.setenv(name, "")  # to be put back
        patch.setattr("pytest_fcpivot.session.hooks.surroundings", lambda _: {})  # they take the most time
        yield Rounds(tmp_path_factory.mktemp("rounds"), seed=0)


@settings(deadline=None, max_examples=40)
@given(number=st.integers(min_value=0))
def test_damaged_files(rounds: Rounds, number: int) -> None:
    """Whatever is damaged, each command that reads it ends with its own error, or with a result."""
    rounds.one(number)
    assert rounds.faults == []


def test_every_command_has_a_part() -> None:
    """No command that reads files is left out."""
    assert {command for commands in COMMANDS.values() for command in commands} == {
        *(
            "merge",
            "audit",
            "compare",
            "gate",
            "show",
            "export",
            "profile",
            "replay",
            "resume",
            "prepare",
            "info",
            "lint",
            "conformance",
        ),
    }


def line(test: int, outcome: str, number: int) -> bytes:
    """Return a line of results.jsonl."""
    told: dict[str, Any] = {"test": f"d.jsonl::{test}", "pivot_id": str(test), "trajectory_id": "t", "repeat": 1}
    told |= {"expected": "message", "outcome": outcome, "reward": None if outcome == "error" else float(number % 2)}
    return json.dumps(told | {"output": f"answer {number}"}).encode() + b"\n"


DESCRIPTION = {
    "format": RUN_FORMAT,
    "agent": "a",
    "grader": {"name": "nemo-gym:first-call", "settings": {}},
    "data": [{"name": "d.jsonl", "path": "/d.jsonl", "sha256": "ab", "pivots": 4, "selected": 4}],
    "repeats": 1,
    "options": {},
    "sessions": [],
}
WRITTEN = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(("passed", "failed", "error")),
        st.sampled_from(("whole", "whole", "whole", "cut", "mistyped", "zeros")),
        st.floats(0, 1, exclude_max=True),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=40)
@given(written=WRITTEN)
def test_what_is_left_counts_as_it_is(tmp_path_factory: pytest.TempPathFactory, written: list[Any]) -> None:
    """Counts and answers are those of the last line of each test, unless a damaged one of the test comes after it."""
    here = tmp_path_factory.mktemp("left")
    left: dict[int, tuple[str, int]] = {}
    data = []
    for number, (test, outcome, how, share) in enumerate(written):
        whole = line(test, outcome, number)
        if how == "whole":
            left[test] = outcome, number
        elif how != "zeros":  # in which no test can be made out
            left.pop(test, None)
        name_ends = whole.index(b'", "pivot_id') + 1
        data.append(
            {
                "whole": whole,
                "cut": whole[: name_ends + int(share * (len(whole) - name_ends - 3))] + b"\n",
                "mistyped": whole.replace(b'"repeat": 1', b'"repeat": "one"'),
                "zeros": b"\0" * len(whole) + b"\n",
            }[how]
        )
    run = here / "run"
    run.mkdir()
    (run / "run.json").write_text(json.dumps(DESCRIPTION))
    (run / "results.jsonl").write_bytes(b"".join(data))
    merged = merge([run], here / "merged", allow_damaged=True)
    counts = Counter(outcome for outcome, _ in left.values())
    assert merged.results == len(left)
    assert (merged.tally.passed, merged.tally.failed, merged.tally.errors) == (
        counts["passed"],
        counts["failed"],
        counts["error"],
    )
    for path, replays in ((run, True), (run, False), (merged.path, True)):
        book = AnswerBook(replays=replays)
        book.add_run(RunDirectory(path))
        for test in range(4):
            found = book.read(f"d.jsonl::{test}", str(test), 1)
            outcome, number = left.get(test, ("error", -1))
            if number < 0 or (outcome == "error" and not replays):
                assert found is None
            else:
                assert found is not None
                assert found.output == f"answer {number}"
        book.close()
