"""The runs of shards, merged: the same as one run of the whole, to be replayed and gone on with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fcpivot.report.merged import merged_lines
from pytest_fcpivot.runs.merging.merge import merge

if TYPE_CHECKING:
    from counting_agent import Counted
    from pivot_project import Row

    from pytest_fcpivot.runs.merging.merge import Merged

pytest_plugins = ["pivot_project", "counting_agent"]

# Right, wrong, against the schema, silent, and errors: one by one over the pivots.
TOLD: tuple[tuple[str, str | None], ...] = (
    ('call add {"a": 1}', None),
    ("say hello there", None),
    ('call add {"a": 1}', 'call add {"a": 2}'),
    ("say hello", "nothing"),
    ('call book {"city": "Rome"}', 'call book {"city": 3}'),
    ('call find {"filters": []}', "say which filters?"),
    ("say hello", "raises no connection"),
)
# Tells its tokens now and then, and is not there at once for some pivots.
AGENT = """
import counting
from pytest_fcpivot import TransientAgentError

tried = set()

def answer(pivot):
    if pivot.id.endswith("-d1") and (pivot.id, pivot.repeat) not in tried:
        tried.add((pivot.id, pivot.repeat))
        raise TransientAgentError("come back", "overloaded", retry_after=0.01)
    answered = counting.answer(pivot)
    if not isinstance(answered, list):
        return answered
    used = {"input_tokens": 100 + len(pivot.id), "output_tokens": 7, "input_tokens_details": {"cached_tokens": 30}}
    return {"output": answered, "usage": used}
"""
OWN = """
def test_mine(pivot, fc_action, fc_grade):
    fc_grade(fc_action)
    assert pivot.depth != 1, "reward or not"
"""


def _talks(counted: Counted, number: int) -> list[Row]:
    """Return rows in trajectories of one to three pivots, of every kind."""
    rows = []
    for talk in range(number):
        for depth in range(talk % 3 + 1):
            expected, told = TOLD[(talk + 2 * depth) % len(TOLD)]
            info = {"turn": depth, "step": 0, "depth": depth}
            rows.append(counted.project.row(expected, told, trajectory_id=f"talk{talk}", info=info))
    return rows


def _shards(counted: Counted, count: int, *options: str, last: tuple[str, ...] = ()) -> list[Path]:
    """Run each shard, the last one with some more options; return the runs."""
    for number in range(1, count + 1):
        more = last if number == count else ()
        counted.run_here(*options, f"--fc-shard={number}/{count}", f"--fc-run=runs/{number}", *more)
    return sorted(Path("runs").iterdir())


def _lines(run: Path) -> set[str]:
    """Return the results without times."""
    lines = [json.loads(line) for line in (run / "results.jsonl").read_bytes().splitlines()]
    found = {json.dumps(line | {"latency_s": None}, sort_keys=True) for line in lines}
    assert len(found) == len(lines)
    return found


def _summary(counted: Counted, result: pytest.RunResult) -> list[str]:
    """Return a session's summary without where the run is, and times."""
    lines = counted.project.summary(result).splitlines()
    return [line for line in lines if not line.startswith(("run recorded in", "latency:"))]


def _report(counted: Counted, merged: Merged) -> list[str]:
    """Return the same of a merged run."""
    apart = ("run recorded in", "look at a failure:", "latency:", "run the tests that are", "merged: ")
    return [counted.project.redact(line) for line in merged_lines(merged) if not line.startswith(apart)]


def test_four_shards_are_the_whole(counted: Counted) -> None:
    """Four shards, merged, have the lines and the summary of one run, and are replayed and resumed as one."""
    pytest.importorskip("xdist.plugin")
    given = counted.options(_talks(counted, 16))
    counted.project.write("talking.py", AGENT)
    options = [given[0], "--fc-agent=talking:answer", "--fc-retries=2", "--fc-repeats=2", "--fc-price=2/1/8"]
    options += ["--fc-header=x:y", "--fc-timeout=20"]
    whole = counted.run_here(*options, "--fc-run=whole")
    runs = _shards(counted, 4, *options, last=("-n1",))
    merged = merge(runs, Path("merged"))
    assert (merged.missing, merged.notes) == ((), ())
    assert _lines(Path("merged")) == _lines(Path("whole"))
    assert merged.results == len(_lines(Path("whole")))
    assert _report(counted, merged) == _summary(counted, whole)
    for shown in (
        "errors",
        "retries: ",
        "tokens: ",
        "schemas: ",
        "pass@2 ",
        "categories",
        "worst tools",
        "counts agree",
    ):
        assert any(line.startswith(shown) for line in _report(counted, merged)), shown
    assert list(merged_lines(merged))[-1] == f"merged: 4 runs, {merged.results} results"

    described, one = counted.described(Path("merged")), counted.described(Path("whole"))
    own = ("started", "ended", "sessions", "merged", "mark")
    assert {key: described[key] for key in described if key not in own} == {
        key: one[key] for key in one if key not in own
    }
    assert [(run["run"], run["shards"], len(run["sessions"])) for run in described["merged"]] == [
        (str(number), [f"{number}/4"], 1) for number in (1, 2, 3, 4)
    ]
    assert sum(run["results"] for run in described["merged"]) == merged.results

    again = counted.run_here("--fc-replay=merged")
    assert _summary(counted, again) == _summary(counted, whole)
    assert again.ret == whole.ret
    assert not counted.asked()
    counted.run_here("--fc-resume=merged")
    assert {f"pivots.jsonl::{name}" for name in counted.asked()} == {
        line["test"] for line in map(json.loads, _lines(Path("whole"))) if line["outcome"] == "error"
    }


def test_own_tests(counted: Counted) -> None:
    """Shards of the user's own tests, beside the data or not, are merged as well."""
    options = counted.options(_talks(counted, 8))
    counted.project.write("test_mine.py", OWN)
    arguments = ["test_mine.py", "pivots.jsonl", options[1]]
    whole = counted.run_here(*arguments, "--fc-run=whole")
    merged = merge(_shards(counted, 2, *arguments), Path("merged"))
    assert merged.missing == ()
    assert _lines(Path("merged")) == _lines(Path("whole"))
    assert _report(counted, merged) == _summary(counted, whole)
    assert _summary(counted, counted.run_here("--fc-replay=merged")) == _summary(counted, whole)
    assert not counted.asked()


def test_what_is_missing_is_told_and_asked(counted: Counted) -> None:
    """A missing shard and one that stopped are told; the merged run, resumed, asks for just that, and is the whole."""
    options = counted.options(counted.project.trajectories(*[2] * 9), agent="answer")
    runs = _shards(counted, 3, *options)
    cut = runs[2] / "results.jsonl"
    kept = cut.read_bytes().splitlines(keepends=True)
    cut.write_bytes(b"".join(kept[:-1]) + kept[-1][:-20])
    merged = merge([runs[2], runs[0]], Path("merged"))
    assert merged.missing == (
        "shard 2 of 3",
        f"3: {len(kept) - 1} of {len(kept)} tests of pivots.jsonl have a result",
        f"3: its last line is incomplete ({len(kept[-1]) - 20} bytes) and is left out",
    )
    assert merged.notes == ()
    command = next(line for line in merged_lines(merged) if line.startswith("run the tests that are"))
    wanted = {name.partition("::")[2] for name in (*counted.results(runs[1]), json.loads(kept[-1])["test"])}
    result = counted.run_here(*command.partition("pytest ")[2].split())
    assert set(counted.asked()) == wanted
    result.assert_outcomes(passed=18)
    assert len(_lines(Path("merged"))) == 18
