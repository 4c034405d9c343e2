"""Merging runs: which lines count, what is refused, what is told, and that it is all or nothing."""

from __future__ import annotations

import json
import os
import re
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot.cli import main
from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.report.merged import merged_lines
from pytest_fcpivot.runs.answers import AnswerBook
from pytest_fcpivot.runs.described import RUN_FORMAT, read_with_origin
from pytest_fcpivot.runs.directory import RunDirectory
from pytest_fcpivot.runs.merge import merge
from pytest_fcpivot.runs.trust import Key, Origin, find_key, written
from pytest_fcpivot.stats.interval import mean_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_fcpivot.runs.merge import Merged

Row = dict[str, Any]


def line(pivot: str, outcome: str = "passed", repeat: int = 1, **more: Any) -> Row:
    """Return a line of results.jsonl."""
    name = pivot if repeat == 1 else f"{pivot}[r{repeat}]"
    known = {"test": f"data.jsonl::{name}", "pivot_id": pivot, "repeat": repeat, "outcome": outcome}
    known |= {"reward": {"passed": 1.0, "failed": 0.0, "error": None}[outcome], "category": "SOME", "schema": "no-call"}
    known |= {"usage": None, "latency_s": 0.5, "attempts": 1, "retried": [], "error": None, "cause": None}
    known |= {"trajectory_id": pivot, "expected": "message", "tool": None}
    return known | {"action": {"type": "message", "content": "hello"}, "output": "hello"} | more


def session(minute: int = 0, **more: Any) -> Row:
    """Return a session of some minute, which ended well."""
    begun = f"2026-01-01T00:{minute:02}"
    return {"started": f"{begun}:00.000000+00:00", "ended": f"{begun}:30.000000+00:00", "exit_status": 1} | more


def described(shard: str | None = None, *, selected: int = 2, pivots: int = 4, **more: Any) -> Row:
    """Return what run.json says of a run over one of the data set's shards."""
    path = more.pop("path", "/data/data.jsonl")
    data = {"name": "data.jsonl", "path": path, "sha256": "ab" * 32, "pivots": pivots, "selected": selected}
    options = {"fc_agent": "my:agent", "fc_data": ["data.jsonl"]} | ({"fc_shard": shard} if shard else {})
    known: Row = {"format": RUN_FORMAT, "agent": "my:agent", "model": None, "repeats": 1, "arguments": None}
    known |= {"grader": {"name": "nemo-gym:first-call", "settings": {}}, "data": [data], "replays": None}
    known |= {"options": options | more.pop("options", {}), "sessions": [session()], "python": "3.11.7"}
    known |= {"counts": {"not_run": 0}}
    return known | more


def write(path: Path, description: Row, *lines: Row | bytes) -> Path:
    """Write a run that was made here, whose lines are rows, or bytes as they are."""
    path.mkdir(parents=True)
    (path / "run.json").write_bytes(written(description, find_key(make=True)))
    data = [x if isinstance(x, bytes) else json.dumps(x).encode() + b"\n" for x in lines]
    (path / "results.jsonl").write_bytes(b"".join(data))
    return path


def two_shards(base: Path, *, first: Row | None = None, second: Row | None = None) -> list[Path]:
    """Write two whole shards; `first` and `second` change what they are about."""
    return [
        write(base / "one", described("1/2") | (first or {}), line("a"), line("b", "failed")),
        write(base / "two", described("2/2") | (second or {}), line("c"), line("d")),
    ]


def results(path: Path) -> list[Row]:
    """Read the lines of a run."""
    return [json.loads(text) for text in (path / "results.jsonl").read_bytes().splitlines()]


def names_in(path: Path) -> list[str]:
    """Return the pivots' names in a run, in order."""
    return [row["test"].partition("::")[2] for row in results(path)]


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty directory, with a key of one's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


# -------------------------------------------------------------------- what is joined


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
        assert any(note.startswith("not made here, or not marked so: two; so the merged") for note in mixed.notes)
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
    assert merged.notes == ("one: damaged lines without a loss, since their tests have later results: 1",)


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
    assert merged.notes == ("one: damaged lines in calls/ are left out: 2; a resumed run asks again",)
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


# -------------------------------------------------------------------- what is not


def _none(base: Path) -> list[Path]:
    return []


def _named_twice(base: Path) -> list[Path]:
    one, two = two_shards(base)
    return [one, two, two.parent / "one" / ".." / "two"]


def _linked(base: Path) -> list[Path]:
    one, _ = two_shards(base)
    (base / "link").symlink_to(one)
    return [one, base / "link"]


def _copied(base: Path) -> list[Path]:
    lines = [line(f"p{n}") for n in range(7)]
    return [write(base / name, described(), *lines) for name in ("one", "copy")]


def _with(**more: Any) -> Callable[[Path], list[Path]]:
    return lambda base: two_shards(base, second=described("2/2", **more))


def _given(**options: Any) -> Callable[[Path], list[Path]]:
    return _with(options=options)


def _three(base: Path) -> list[Path]:
    return [*two_shards(base), write(base / "three", described("3/3"), line("e")), write(base / "all", described())]


def _odd_json(text: str) -> Callable[[Path], list[Path]]:
    def make(base: Path) -> list[Path]:
        runs = two_shards(base)
        for run in runs:
            (run / "run.json").write_text(text)
        return runs

    return make


def _no_results(base: Path) -> list[Path]:
    runs = two_shards(base)
    (runs[1] / "results.jsonl").unlink()
    return runs


MIXED = "these runs are about different things, and would be mixed:\n  "
OTHER_DATA = [described()["data"][0] | {"sha256": "cd" * 32}]
MORE_DATA = [*described()["data"], described()["data"][0] | {"name": "more.jsonl"}]
UNMERGEABLE: dict[str, tuple[Callable[[Path], list[Path]], Sequence[str]]] = {
    "no runs": (_none, ["no runs to merge: name their directories"]),
    "twice": (_named_twice, ["one/../two: named twice, as ", "/two too"]),
    "linked": (_linked, ["link: named twice, as "]),
    "no run": (lambda base: [base / "nothing", base / "none"], ["nothing: not a run's directory", "none: not a run"]),
    "overlap": (
        _copied,
        [
            "these runs overlap:\n  7 tests in one and copy: data.jsonl::p0, data.jsonl::p1, data.jsonl::p2, ",
            "p4, …\nname each part of the data once",
        ],
    ),
    "data": (
        _with(data=OTHER_DATA),
        [f"{MIXED}data data.jsonl:\n    sha256 {'ab' * 8}… in one\n    sha256 {'cd' * 8}… in two\nmerge"],
    ),
    "more data": (_with(data=MORE_DATA), ["data more.jsonl:\n    not set in one\n    sha256 abab"]),
    "agent": (_with(agent="other:agent"), [f'{MIXED}agent:\n    "my:agent" in one\n    "other:agent" in two']),
    "grader": (_with(grader={"name": "nemo-gym:any-order", "settings": {}}), ["  grader:\n", '"nemo-gym:any-order"']),
    "settings": (
        _with(grader={"name": "nemo-gym:first-call", "settings": {"word_count_similarity_threshold": 0.3}}),
        ['"settings": {"word_count_similarity_threshold": 0.3}} in two'],
    ),
    "repeats": (_with(repeats=2), [f"{MIXED}repeats:\n    1 in one\n    2 in two"]),
    "option": (_given(fc_temperature="0.5"), [f'{MIXED}--fc-temperature:\n    not set in one\n    "0.5" in two']),
    "limit": (_given(fc_limit="3"), ['--fc-limit:\n    not set in one\n    "3" in two']),
    "shards": (
        _three,
        [f"{MIXED}--fc-shard:\n    not set in all\n    one of 2 in one, two\n    one of 3 in three\nmerge runs that"],
    ),
    "replay": (
        _with(replays="/runs/one"),
        ["two: this is a replay, which asked no agent; name the run that it"],
    ),
    "format": (
        _with(format=99),
        ["two/run.json: this run was written by a newer version of pytest-fcpivot (format 99, "],
    ),
    "formats": (
        _odd_json('{"format": 0}'),
        ["one/run.json: this run was written by", "two/run.json: this run was written by"],
    ),
    "bare": (
        _odd_json('{"format": 1}'),
        ["one/run.json: not as pytest-fcpivot writes it: agent is missing", "two/run.json: "],
    ),
    "odd": (
        _odd_json(json.dumps(described(repeats="2"))),
        ["run.json: not as pytest-fcpivot writes it: repeats: a whole number from 1 to "],
    ),
    "odd data": (
        _odd_json(json.dumps(described(data=[{}]))),
        ["run.json: not as pytest-fcpivot writes it: data[0].name is missing"],
    ),
    "odd shard": (_odd_json(json.dumps(described("3/2"))), ["not as pytest-fcpivot writes it: --fc-shard=3/2: shards"]),
    "no results": (_no_results, ["two/results.jsonl: cannot be read: No such file or directory"]),
}


@pytest.mark.parametrize("name", UNMERGEABLE)
def test_unmergeable(tmp_path: Path, name: str) -> None:
    """What cannot be joined is refused with what is wrong, run by run, and nothing is made."""
    make, messages = UNMERGEABLE[name]
    runs = make(tmp_path / "runs")
    with pytest.raises(RunError) as raised:
        merge(runs, tmp_path / "merged")
    for message in messages:
        assert message in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] in ([], ["runs"])


def test_a_target_that_is_taken(tmp_path: Path) -> None:
    """A target with anything in it is refused and left alone; an empty directory is used."""
    runs = two_shards(tmp_path)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    for target in (tmp_path / "notes", tmp_path / "notes" / "mine.txt", runs[0]):
        with pytest.raises(RunError, match=re.escape(f"{target}: exists already; name a directory that")):
            merge(runs, target)
    with pytest.raises(RunError, match=r"mine\.txt.below: the runs cannot be merged there: "):
        merge(runs, tmp_path / "notes" / "mine.txt" / "below")
    assert [path.name for path in (tmp_path / "notes").iterdir()] == ["mine.txt"]
    (tmp_path / "empty").mkdir()
    assert names_in(merge(runs, tmp_path / "empty").path) == ["a", "b", "c", "d"]


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


# -------------------------------------------------------------------- what is told

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


def _merged(tmp_path: Path, *lines: Row, **more: Any) -> Merged:
    run = write(tmp_path / "run", described(selected=len(lines), **more), *lines)
    return merge([run], Path("merged"))


def test_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report has the title, the figures with cost and latency, the identity, and what was merged."""
    monkeypatch.setenv("COLUMNS", "70")
    used = {"input_tokens": 1_000_000, "cached_tokens": 0, "output_tokens": 500_000, "reasoning_tokens": 0}
    call: Row = {
        "expected": "function_call",
        "tool": "add",
        "action": {
            "type": "function_call_batch",
            "calls": [{"type": "function_call", "name": "add", "arguments": "{}"}],
        },
        "schema": "valid",
    }
    lines = [line("a", usage=used, retried=["timeout"]), line("b", "failed", **call), line("c", "error", error="no\nx")]
    lines[2] |= {"action": None}
    interval = mean_interval({"a": [1.0], "b": [0.0]})
    assert interval is not None
    merged = _merged(tmp_path, *lines, options={"fc_price": "2/8"})
    assert list(merged_lines(merged)) == [
        "======== pivots: data.jsonl | my:agent | nemo-gym:first-call =========",
        f"mean reward 0.5000  (95 % interval {interval.low:.4f} to {interval.high:.4f}, 2 pivots in 2 trajectories)",
        "passed 1, failed 1, errors 1; pass rate 0.5000 of those graded; mean reward 0.3333 with errors as 0",
        "                        call   message   nothing   (answered)",
        "expected call              1         0         0",
        "expected message           0         1         0",
        "categories",
        "        2  SOME",
        "worst tools (failed/graded): add 1/1",
        "latency: median 0.50 s, 95 % within 0.50 s, longest 0.50 s",
        "retries: 1 in 1 calls (timeout 1)",
        "tokens: 1,000,000 in (0 cached), 500,000 out; cost 6.0000; 2 answers came without token counts",
        "errors",
        "        1  no",
        "pass rate = mean reward: checked over 2 pivots",
        "run recorded in merged",
        "run the tests that are missing or ended in an error:  pytest --fc-resume=merged",
        "merged: 1 run, 3 results",
    ]


def test_a_broken_identity_is_told(tmp_path: Path) -> None:
    """A pivot's outcome that is not its reward is told as a session tells it; one of an own test is no such thing."""
    merged = _merged(tmp_path, line("a", "failed", reward=1.0), line("b", "failed", test="t.py::t[b]", reward=1.0))
    (told,) = [text for text in merged_lines(merged) if "pass rate is" in text]
    assert told.startswith(
        "ERROR: the pass rate is not the mean reward: 0 of 1 pivots passed, but their rewards sum to 1"
    )


def test_graded_in_parts(tmp_path: Path) -> None:
    """Under a grader whose rewards are not 0 or 1 no identity is told."""
    settings = {"parallel_tool_call_rewarding": True, "parallel_tool_call_reward_mode": "f1"}
    merged = _merged(
        tmp_path, line("a", "failed", reward=0.5), grader={"name": "nemo-gym:any-order", "settings": settings}
    )
    assert not [text for text in merged_lines(merged) if "pass rate = mean" in text]
    assert any(text.startswith("mean reward 0.5000") for text in merged_lines(merged))


def test_nothing_was_run(tmp_path: Path) -> None:
    """Runs without a result can be merged too."""
    run = write(tmp_path / "run", described("1/2"))
    merged = merge([run], Path("merged"))
    assert next(merged_lines(merged)) == "fcpivot: no pivot was run"
    assert merged.missing == ("shard 2 of 2", "run: 0 of 2 tests of data.jsonl have a result")


def test_an_unresumable_run_is_told(tmp_path: Path) -> None:
    """Where shards chose for themselves, the report does not offer to resume the merged run."""
    merged = _merged(tmp_path, line("a"), options={"fc_limit": "1", "fc_shard": "1/2"})
    text = "\n".join(merged_lines(merged))
    assert "--fc-resume" not in text
    assert "resume the shards' runs, and merge them again" in text


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
