"""Merging runs: which lines count, that it is all or nothing, and what it holds in memory."""

from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from runs_to_merge import at_home, described, line, names_in, results, session, two_shards, write

from pytest_fcpivot.cli import main
from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.runs.answers import AnswerBook
from pytest_fcpivot.runs.described import read_with_origin
from pytest_fcpivot.runs.directory import RunDirectory
from pytest_fcpivot.runs.merging.merge import merge
from pytest_fcpivot.runs.trust import Key, Origin, find_key, written

pytestmark = pytest.mark.usefixtures(at_home.__name__)


def test_a_merge_never_raises_trust(tmp_path: Path) -> None:
    """Runs that were made here make one that was; with any other among them it was not, and that is told."""
    key = find_key(make=True)
    runs = two_shards(tmp_path)
    ours = merge(runs, tmp_path / "ours")
    assert ours.notes == ()
    assert read_with_origin(ours.path, key)[1] is Origin.HERE
    for name, content in (
        ("changed", (runs[1] / "run.json").read_bytes().replace(b'"python": "3.11.7"', b'"python": "3.11.8"')),
        ("unmarked", written(described("2/2"))),
        ("another's", written(described("2/2"), Key(b"x" * 32))),
    ):
        (runs[1] / "run.json").write_bytes(content)
        mixed = merge(runs, tmp_path / name)
        assert read_with_origin(mixed.path, key)[1] is Origin.UNMARKED
        assert any(note.startswith("these runs are not marked as made here: two; so") for note in mixed.notes)
        again = merge([mixed.path], tmp_path / f"{name} again")
        assert read_with_origin(again.path, key)[1] is Origin.UNMARKED


def test_two_shards(tmp_path: Path) -> None:
    """The shards' lines stand in the shards' order, and run.json is that of one run which says what it came from."""
    one, two = two_shards(tmp_path, first={"sessions": [session(3), session(5)]}, second={"sessions": [session(1)]})
    merged = merge([two, one], tmp_path / "deep" / "merged")
    assert (merged.missing, merged.notes, merged.results) == ((), (), 4)
    assert names_in(merged.path) == ["a", "b", "c", "d"]
    assert sorted(path.name for path in merged.path.iterdir()) == ["results.jsonl", "run.json"]
    assert os.listdir(tmp_path / "deep") == ["merged"]  # noqa: PTH208 (names)
    found = RunDirectory(merged.path).description()
    assert found == merged.description
    assert found["data"] == [described(selected=4)["data"][0]]
    assert found["options"] == {"fc_agent": "my:agent", "fc_data": ["data.jsonl"]}
    assert found["sessions"] == [session(1), session(3), session(5)]
    assert (found["started"], found["ended"]) == (session(1)["started"], session(5)["ended"])
    assert found["merged"] == [
        {"run": "one", "shards": ["1/2"], "results": 2, "sessions": [session(3), session(5)]},
        {"run": "two", "shards": ["2/2"], "results": 2, "sessions": [session(1)]},
    ]
    assert (found["agent"], found["repeats"], found["replays"]) == ("my:agent", 1, None)


def test_the_last_line_of_a_test_counts(tmp_path: Path) -> None:
    """Of a test that was run again only the last line is taken; a last line that lacks its end alone is whole."""
    one = write(tmp_path / "one", described("1/2"), line("a", "error", error="broken"), line("b"), line("a", "failed"))
    two = write(tmp_path / "two", described("2/2"), line("d"), json.dumps(line("c")).encode())
    merged = merge([one, two], Path("merged"))
    assert [(row["pivot_id"], row["outcome"]) for row in results(merged.path)] == [
        ("b", "passed"),
        ("a", "failed"),
        ("d", "passed"),
        ("c", "passed"),
    ]
    assert (merged.notes, merged.missing) == ((), ())
    assert (merged.tally.passed, merged.tally.failed, merged.tally.errors) == (3, 1, 0)
    assert (merged.path / "results.jsonl").read_bytes().endswith(b"\n")


DAMAGED = [
    (b"{}\n", ":3: test is missing"),
    (b"[" * 100_000 + b"\n", ":4: an object is needed, not a list"),
    (json.dumps(line("b", latency_s="long")).encode() + b"\n", ":5: latency_s: a number is needed, not a string"),
    (json.dumps(line("b", reward=10**400)).encode() + b"\n", ":6: reward: Number out of range"),
    (json.dumps(line("x", outcome="error", reward=0.0)).encode() + b"\n", ":7: an error has a reward"),
    (b"\0" * 500 + b"\n", ":8: nothing but zero bytes"),
    (b"\xff\n", ":9: not JSON"),
]


def test_damaged_lines(tmp_path: Path) -> None:
    """They are refused with file, line and reason, a few of them; left out they are counted, and bring nothing back."""
    lines: list[Any] = [line("a"), line("b"), *(data for data, _ in DAMAGED)]
    runs = [
        write(tmp_path / "one", described("1/2"), *lines),
        write(tmp_path / "two", described("2/2"), line("c"), line("d")),
    ]
    with pytest.raises(RunError) as raised:
        merge(runs, Path("merged"))
    text = str(raised.value)
    assert text.startswith("these runs have lines that cannot be read, whose results would be missing:\n  one: 7 damag")
    shown = [row.partition("one/results.jsonl")[2] for row in text.splitlines() if "results.jsonl" in row]
    assert len(shown) == 5
    assert all(row.startswith(reason) for row, (_, reason) in zip(shown[:3], DAMAGED, strict=False))
    assert "    and 2 more\n" in text
    assert "--fc-resume" in text
    assert "--allow-damaged" in text
    assert not Path("merged").exists()

    merged = merge(runs, Path("merged"), allow_damaged=True)
    assert names_in(merged.path) == ["a", "c", "d"]
    assert merged.missing == ("one: 1 of 2 tests of data.jsonl have a result",)
    assert merged.notes[0].startswith("one: left out: 7 damaged lines (4 of them without a test's name: if ")
    assert merged.notes[-1] == "  and 2 more"
    assert [run.get("damaged") for run in merged.description["merged"]] == [7, None]
    assert merge([merged.path], Path("again")).results == 3


def test_damaged_lines_that_are_made_up_for(tmp_path: Path) -> None:
    """A damaged line whose test has a later result is told, and hinders nothing: the run was gone on with."""
    broken = json.dumps(line("a")).encode()[:-30] + b"\n"
    runs = two_shards(tmp_path)
    (runs[0] / "results.jsonl").write_bytes(broken + (runs[0] / "results.jsonl").read_bytes())
    merged = merge(runs, Path("merged"))
    assert (merged.results, merged.missing) == (4, ())
    assert merged.notes == ("one: damaged lines that lose nothing, because their tests have later results: 1",)


def test_a_torn_last_line(tmp_path: Path) -> None:
    """A run that was killed while it wrote is told as missing something, and the test has not its earlier result."""
    whole = json.dumps(line("a")).encode()
    runs = two_shards(tmp_path)
    with (runs[0] / "results.jsonl").open("ab") as stream:
        stream.write(whole[:-40])
    merged = merge(runs, Path("merged"))
    assert names_in(merged.path) == ["b", "c", "d"]
    assert merged.missing == (
        "one: 1 of 2 tests of data.jsonl have a result",
        f"one: its last line is incomplete ({len(whole) - 40} bytes) and is left out",
    )


def test_kept_answers_that_are_damaged(tmp_path: Path) -> None:
    """Of the answers whose tests did not come, those that can be read are kept, and the others are told."""
    runs = two_shards(tmp_path)
    (runs[0] / "calls").mkdir()
    call = {"ended": "data.jsonl::e", "latency_s": 1.0, "attempts": 1, "retried": [], "output": "x"}
    rows = [
        json.dumps(call),
        json.dumps(call | {"ended": "data.jsonl::f", "retried": 3}),
        "[" * 100_000,
        '{"ended": "x',
    ]
    (runs[0] / "calls" / "main-7.jsonl").write_text("\n".join(rows))
    merged = merge(runs, Path("merged"))
    assert merged.notes == ("one: damaged lines in calls/ are left out: 2; a resumed run asks the agent again",)
    assert (merged.path / "calls" / "0-main-7.jsonl").read_text() == rows[0] + "\n"


def test_a_run_that_was_merged_can_be_merged(tmp_path: Path) -> None:
    """Shards may be joined in steps, and the result is that of one step."""
    runs = [write(tmp_path / name, described(f"{n}/4", selected=1), line(name)) for n, name in enumerate("abcd", 1)]
    first = merge(runs[1:3], Path("bc"))
    assert first.missing == ("shards 1, 4 of 4",)
    merged = merge([runs[3], first.path, runs[0]], Path("abcd"))
    assert merged.missing == ()
    assert sorted(names_in(merged.path)) == ["a", "b", "c", "d"]
    assert merged.description["data"][0]["selected"] == 4
    assert [run["shards"] for run in merged.description["merged"]] == [["1/4"], ["2/4", "3/4"], ["4/4"]]
    with pytest.raises(RunError, match="these runs overlap"):
        merge([merged.path, write(tmp_path / "e", described(), line("a"))], Path("again"))
    with pytest.raises(RunError, match="shard 2 is in b, and together with other shards in bc"):
        merge([runs[1], first.path], Path("again"))


def test_parts_of_one_data_set(tmp_path: Path) -> None:
    """Runs that are no shards are joined if they share no test; how many pivots there are is not added up."""
    one = write(tmp_path / "one", described(selected=4, arguments=["data.jsonl::a"]), line("a"))
    two = write(tmp_path / "two", described(selected=4), line("b"), line("c"))
    merged = merge([one, two], Path("merged"))
    assert merged.missing == ("one, two: 3 of 4 tests of data.jsonl have a result",)
    assert merged.description["data"][0]["selected"] == 4
    assert merged.description["arguments"] == ["data.jsonl::a", "/data/data.jsonl"]
    assert merged.description["merged"][0]["shards"] == []


def test_where_the_data_are(tmp_path: Path) -> None:
    """Of the paths that the machines of the runs had the data at, that which is on this one is kept."""
    (tmp_path / "data.jsonl").write_text("")
    here = str(tmp_path / "data.jsonl")
    one = write(tmp_path / "one", described("1/2", arguments=["/data/data.jsonl"]), line("a"), line("b"))
    two = write(tmp_path / "two", described("2/2", path=here, arguments=[here]), line("c"), line("d"))
    merged = merge([one, two], Path("merged"))
    assert merged.description["data"][0]["path"] == here
    assert merged.description["arguments"] == [here]
    assert merged.missing == ()


def test_what_runs_may_differ_in(tmp_path: Path) -> None:
    """Machines, versions and options that are not about the answers may differ; it is told, and kept run by run."""
    runs = two_shards(
        tmp_path,
        first=described("1/2", options={"fc_concurrency": "4", "fc_grader": "nemo-gym", "fc_timeout": "9"}),
        second=described("2/2", options={"fc_concurrency": "8", "fc_data": ["./data.jsonl"], "fc_timeout": "9"})
        | {"python": "3.13.0", "git": {"commit": "c0ffee"}},
    )
    merged = merge(runs, Path("merged"))
    assert merged.missing == ()
    assert merged.notes == (
        "the runs had different values of --fc-concurrency, and the merged run has none",
        "the runs differ in python, git: run.json has each one's, under merged",
    )
    options = {"fc_agent": "my:agent", "fc_data": ["data.jsonl"], "fc_grader": "nemo-gym", "fc_timeout": "9"}
    assert merged.description["options"] == options
    assert "python" not in merged.description
    assert [(run["python"], run["git"]) for run in merged.description["merged"]] == [
        ("3.11.7", None),
        ("3.13.0", {"commit": "c0ffee"}),
    ]


def test_shards_that_chose_for_themselves(tmp_path: Path) -> None:
    """A limit or sample of each shard is none of the merged run, which could not be replayed with it; it is told."""
    options = {"fc_sample": "2", "fc_seed": "7", "fc_strict_schema": True}
    runs = two_shards(tmp_path, first=described("1/2", options=options), second=described("2/2", options=options))
    merged = merge(runs, Path("merged"))
    kept = {"fc_agent": "my:agent", "fc_data": ["data.jsonl"], "fc_strict_schema": True}
    assert merged.description["options"] == kept
    assert merged.description["selected_by_shard"] == {"fc_sample": "2", "fc_seed": "7"}
    (note,) = merged.notes
    assert note.startswith(
        "--fc-sample=2, --fc-seed=7 selected from each shard separately, which a single run cannot do"
    )
    in_steps = merge([merge(runs[:1], Path("first")).path, runs[1]], Path("steps"))
    assert in_steps.description["options"] == kept
    assert in_steps.description["selected_by_shard"] == merged.description["selected_by_shard"]
    alone = merge([merged.path], Path("alone"))
    assert alone.description["options"] == kept
    limited = merge([write(tmp_path / "all", described(options={"fc_limit": "2"}), line("a"), line("b"))], Path("l"))
    assert limited.description["options"]["fc_limit"] == "2"


def test_answers_that_wait_for_their_tests(tmp_path: Path) -> None:
    """What the runs kept of calls is kept, under names that do not clash, and is found by a resumed run."""
    runs = two_shards(tmp_path)
    for run, pivot in zip(runs, "ef", strict=True):
        (run / "calls").mkdir()
        call = {"ended": f"data.jsonl::{pivot}", "latency_s": 1.0, "attempts": 1, "retried": [], "output": "x"}
        (run / "calls" / "main-7.jsonl").write_text(json.dumps(call) + "\n")
    merged = merge(runs, Path("merged"))
    book = AnswerBook(replays=False)
    book.add_run(RunDirectory(merged.path))
    assert all(book.has(f"data.jsonl::{pivot}", pivot, 1) for pivot in "acdef")
    assert len(book) == 6


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "Ctrl-C"])
def test_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException) -> None:
    """After a failure or an interruption nothing is left, and the same can be done again."""
    runs = two_shards(tmp_path)
    (tmp_path / "out").mkdir()

    def fail(*_: Any) -> None:
        assert list((tmp_path / "out").glob(".merged.*.part/results.jsonl"))
        raise fault

    monkeypatch.setattr(RunDirectory, "write_description", fail)
    with pytest.raises((RunError, KeyboardInterrupt)) as raised:
        merge(runs, tmp_path / "out" / "merged")
    monkeypatch.undo()
    if isinstance(fault, OSError):
        assert str(raised.value).endswith("out/merged: the runs cannot be merged there: No space left on device")
    assert list((tmp_path / "out").iterdir()) == []
    assert merge(runs, tmp_path / "out" / "merged").results == 4


def test_lines_are_not_held_in_memory(tmp_path: Path) -> None:
    """What is held is keys and offsets, however long the lines are."""
    long = "x" * 20_000
    runs = [
        write(
            tmp_path / f"{n}", described(f"{n}/2", selected=500), *(line(f"{n}-{i}", output=long) for i in range(500))
        )
        for n in (1, 2)
    ]
    tracemalloc.start()
    try:
        assert merge(runs, Path("merged")).results == 1000
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_a_fault_of_ours_is_no_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What nobody thought of ends the command with an exit code of its own, a traceback and what to do with it."""

    def fail(*_: Any) -> None:
        raise KeyError("unthought of")

    monkeypatch.setattr(RunDirectory, "write_description", fail)
    assert main(["merge", *map(str, two_shards(tmp_path)), "-o", str(tmp_path / "merged")]) == 3
    told = capsys.readouterr().err
    assert "KeyError: 'unthought of'" in told
    assert "fcpivot: KeyError: this is a bug of fcpivot; please report it" in told
    assert not (tmp_path / "merged").exists()
