"""Preparing: every row and turn is accounted for, the file is there whole or not at all, and any reader can use it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_fcpivot import DataError, Pivot
from pytest_fcpivot.data import synth
from pytest_fcpivot.data.preparing import Audit, prepare
from pytest_fcpivot.data.rowreader import RowReader
from pytest_fcpivot.data.rows import StoredPivot
from pytest_fcpivot.data.selection import Selection
from pytest_fcpivot.data.sources import file_source, resolve
from pytest_fcpivot.data.store import METADATA_KEY, ROWS_PER_GROUP, PivotStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Json = dict[str, Any]

PIVOTS = 2_000
PATIENCE_S = 90.0
COLUMNS = {
    "id": "string",
    "split": "string",
    "trajectory_id": "string",
    "id_hash": "uint64",
    "trajectory_hash": "uint64",
    "turn": "int32",
    "step": "int32",
    "depth": "int32",
    "expected_type": "string",
    "expected_names": "list<element: string>",
    "n_tools": "int32",
    "expected_action": "string",
    "input": "string",
    "tools": "string",
    "params": "string",
    "metadata": "string",
    "source_line": "int64",
}


def talk(own: str | None, *answers: str) -> Json:
    """Return a conversation whose assistant gives these answers; an empty one is a turn to skip."""
    messages = [
        {"role": role, "content": text}
        for number, answer in enumerate(answers)
        for role, text in (("user", f"Question {number}"), ("assistant", answer))
    ]
    return {"messages": messages, "tools": []} | ({} if own is None else {"uuid": own})


def row(number: int | str, **fields: Any) -> Json:
    """Return a row of the FC-Pivot shape."""
    return {
        "trajectory_id": number,
        "info": {"turn": 0, "step": 0, "depth": 0},
        "responses_create_params": {"input": "Hi", "tools": [{"type": "function", "name": "f"}]},
        "expected_action": {"type": "message", "content": f"m{number}"},
        **fields,
    }


def write(path: Path, *rows: Any) -> Path:
    """Write rows as lines; a text is a line as it is."""
    lines = (one if isinstance(one, str) else json.dumps(one) for one in rows)
    path.write_text("".join(line + "\n" for line in lines), "utf-8")
    return path


def run(target: Path, *files: Path, **how: Any) -> Audit:
    """Prepare files."""
    return prepare([file_source(path) for path in files], target, **how)


def read(path: Path) -> list[Pivot]:
    """Read all pivots of a store."""
    store = PivotStore(path)
    try:
        return [store.read(number) for number in range(len(store))]
    finally:
        store.close()


def listed(path: Path) -> list[Json]:
    """Read an audit file."""
    return [json.loads(line) for line in path.read_text("ascii").splitlines()]


def sound(audit: Audit) -> None:
    """Check that the counts add up."""
    assert audit.rows == audit.pivot_rows + audit.conversations + audit.broken
    of_conversations = audit.turns - audit.skipped
    assert audit.pivots == of_conversations + audit.pivot_rows - audit.repeats
    assert audit.listed == audit.skipped + audit.broken


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path, Audit]]:
    """Return, by shape, a generated source, its store and what became of it."""
    found = {}
    for kind in synth.KINDS:
        source = tmp_path_factory.mktemp(kind) / "rows.jsonl"
        with source.open("wb") as stream:
            synth.write(kind, PIVOTS, 2, stream)
        target = source.with_name("out.parquet")
        found[kind] = source, target, run(target, source)
    return found


def pivots_in(source: Path) -> Iterator[Pivot]:
    """Yield the pivots of a source, row by row, without preparing."""
    with source.open("rb") as stream:
        for line, text in enumerate(stream, 1):
            found = RowReader().read(text, line)
            turns = [found] if isinstance(found, StoredPivot) else found.turns()
            yield from (turn.pivot() for turn in turns if isinstance(turn, StoredPivot))


# What comes out


@pytest.mark.parametrize("kind", synth.KINDS)
def test_counts_of_generated_data(kind: str, made: dict[str, tuple[Path, Path, Audit]]) -> None:
    """All of 2,000 generated pivots arrive, and every row and turn is counted as what it was."""
    source, target, audit = made[kind]
    sound(audit)
    rows = [json.loads(line) for line in source.read_bytes().splitlines()]
    turns = sum(turn["role"] == "assistant" for one in rows for turn in one.get("messages", []))
    assert (audit.rows, audit.pivots, audit.broken, audit.turns) == (len(rows), PIVOTS, 0, turns)
    assert (audit.conversations, audit.pivot_rows) == ((len(rows), 0) if kind == "agentic" else (0, len(rows)))
    kinds = Counter(one.expected_action.kind for one in pivots_in(source))
    assert audit.kinds == kinds
    assert pq.read_metadata(target).num_rows == PIVOTS


@pytest.mark.parametrize("kind", synth.KINDS)
def test_every_column_comes_back(kind: str, made: dict[str, tuple[Path, Path, Audit]]) -> None:
    """Each generated pivot is stored to the letter, in the order of the source."""
    source, target, _ = made[kind]
    count = 0
    for was, found in zip(pivots_in(source), read(target), strict=True):
        for name in Pivot.__slots__:
            if name != "n_tools":
                assert getattr(found, name) == getattr(was, name), name
        count += 1
    assert count == PIVOTS


def test_flags_are_counted(made: dict[str, tuple[Path, Path, Audit]]) -> None:
    """What is odd about conversations is counted in the audit and in the file."""
    _, target, audit = made["agentic"]
    assert audit.flags.keys() >= {"duplicate-tool-names", "results-without-calls", "calls-without-results"}
    assert details_of(target)["flags"] == audit.flags


def details_of(path: Path) -> Json:
    """Read what a store says of itself, with a parquet reader alone."""
    found: Json = json.loads(pq.read_metadata(path).metadata[METADATA_KEY])
    return found


@pytest.mark.parametrize("kind", synth.KINDS)
def test_any_parquet_reader_can_use_it(kind: str, made: dict[str, tuple[Path, Path, Audit]]) -> None:
    """The columns and their types are the documented ones, flat, and their values agree with one another."""
    _, target, audit = made[kind]
    assert {field.name: str(field.type) for field in pq.read_schema(target)} == COLUMNS
    rows = pq.read_table(target).to_pylist()
    assert len({one["id"] for one in rows}) == PIVOTS
    assert Counter(one["expected_type"] for one in rows) == audit.kinds
    for one in rows:
        action = json.loads(one["expected_action"])
        calls = {"message": [], "function_call": [action]}.get(one["expected_type"], action.get("calls"))
        assert (action["type"], [call["name"] for call in calls]) == (one["expected_type"], one["expected_names"])
        assert len(json.loads(one["tools"])) == one["n_tools"]
        assert json.loads(one["input"])
        assert isinstance(json.loads(one["metadata"]), dict)
        assert isinstance(json.loads(one["params"]), dict)
        assert one["source_line"] >= 1
    column = pq.ParquetFile(target).metadata.row_group(0).column(0)
    assert column.compression == "ZSTD"


def test_trajectories_are_adjacent(made: dict[str, tuple[Path, Path, Audit]]) -> None:
    """The rows of one trajectory stand side by side, their hash is the same, and their depths rise."""
    table = pq.read_table(made["agentic"][1], columns=["trajectory_id", "trajectory_hash", "depth"])
    rows = list(zip(*(table.column(name).to_pylist() for name in table.column_names), strict=True))
    seen: dict[str, int] = {}
    for (before, _, depth), (own, number, next_depth) in pairwise(rows):
        if own == before:
            assert next_depth > depth
        else:
            assert own not in seen
        assert seen.setdefault(own, number) == number


def test_what_the_file_says_of_itself(tmp_path: Path) -> None:
    """The file has its format, its sources with their hashes, licence and attribution, and the counts."""
    one = write(tmp_path / "one.jsonl", row(1), row(2))
    two = write(tmp_path / "two.jsonl", talk("a", "Hi.", ""))
    audit = run(tmp_path / "out.parquet", one, two, provenance={"licence": "mine", "made_by": "somebody"})
    details = details_of(tmp_path / "out.parquet")
    assert details["format_version"] == 3
    assert (details["rows"], details["licence"], details["made_by"]) == (3, "mine", "somebody")
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (one, two)]
    assert [(each["file"], each["sha256"]) for each in details["sources"]] == list(
        zip(["one.jsonl", "two.jsonl"], hashes, strict=True)
    )
    assert details["sources"][0].keys() >= {"source", "split", "repo", "commit", "licence", "attribution"}
    assert details["audit"] == audit.counts()
    assert audit.counts() == {
        "rows": 3,
        "pivot_rows": 2,
        "conversations": 1,
        "broken": 0,
        "turns": 2,
        "skipped": 1,
        "repeats": 0,
        "pivots": 3,
        "kinds": {"message": 3},
    }


def test_splits(tmp_path: Path) -> None:
    """A source's split is a column of its rows."""
    write(tmp_path / "train.jsonl", row(1), row(2))
    write(tmp_path / "test.jsonl", row(3))
    target = tmp_path / "out.parquet"
    prepare(resolve(["train.jsonl", "test.jsonl"], tmp_path), target)
    assert pq.read_table(target, columns=["split"]).column(0).to_pylist() == ["train", "train", "test"]
    assert [one.split for one in read(target)] == ["train", "train", "test"]


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    """A store of a later version is refused with both versions and what to do."""
    run(tmp_path / "out.parquet", write(tmp_path / "rows.jsonl", row(1)))
    table = pq.read_table(tmp_path / "out.parquet")
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: b'{"format_version": 4}'}), tmp_path / "new.parquet")
    with pytest.raises(DataError, match=r"new\.parquet: store format 4, this version reads 3; .*install"):
        PivotStore(tmp_path / "new.parquet")


# Rows of any shape, and broken ones


MIXED = (
    row(1),
    talk("talk", "One.", "", "Three."),
    "{",
    row(2, expected_action={"type": "dance"}),
    {"messages": [{"role": "user", "content": "Hi"}]},
    "",
    row(3),
    talk("quiet", ""),
    "[1]",
    row(1),
    talk("talk", "Again."),
)
BROKEN_LINES = [3, 4, 5, 9, 10, 11]


def test_a_mixed_file(tmp_path: Path) -> None:
    """Rows of both shapes are told apart row by row; with "skip", broken ones are counted, listed, and left out."""
    source, target, audit_file = write(tmp_path / "rows.jsonl", *MIXED), tmp_path / "out.parquet", tmp_path / "a.jsonl"
    audit = run(target, source, bad_rows="skip", audit_file=audit_file)
    sound(audit)
    assert [one.id for one in read(target)] == ["t1-d0", "talk-d0", "talk-d2", "t3-d0"]
    assert [one.source_line for one in read(target)] == [1, 2, 2, 7]
    assert (audit.rows, audit.pivot_rows, audit.conversations, audit.broken) == (10, 2, 2, 6)
    assert (audit.turns, audit.skipped, audit.pivots) == (4, 2, 4)
    entries = listed(audit_file)
    assert all(entry["file"] == str(source) for entry in entries)
    places = [(entry["line"], entry["message"]) for entry in entries]
    assert places == [(2, 3), (3, None), (4, None), (5, None), (8, 1), (9, None), (10, None), (11, None)]
    reasons = {entry["line"]: entry["reason"] for entry in entries}
    assert reasons[2] == "neither text nor calls"
    assert "not JSON" in reasons[3]
    assert "'dance'" in reasons[4]
    assert "no assistant turn" in reasons[5]
    assert "an array" in reasons[9]
    assert "first on line 1" in reasons[10]
    assert "duplicate id 'talk-d0'" in reasons[11]
    assert [problem.line for problem in audit.problems] == BROKEN_LINES
    assert details_of(target)["bad_rows"] == 6


def test_broken_rows_are_refused(tmp_path: Path) -> None:
    """By default broken rows are all reported, with file, line and reason, and nothing is left on disk."""
    source = write(tmp_path / "rows.jsonl", *MIXED)
    with pytest.raises(DataError) as raised:
        run(tmp_path / "out.parquet", source, audit_file=tmp_path / "audit.jsonl")
    text = str(raised.value)
    lines = text.splitlines()
    assert [int(line.split(":")[1]) for line in lines[:-1]] == BROKEN_LINES
    assert all(line.startswith(f"{source}:") for line in lines[:-1])
    assert lines[-1].startswith("6 broken rows; ")
    assert [problem.line for problem in raised.value.problems] == BROKEN_LINES
    assert os.listdir(tmp_path) == ["rows.jsonl"]  # noqa: PTH208 (names)


def test_many_broken_rows(tmp_path: Path) -> None:
    """Of thousands of broken rows the first are shown and all are counted, and listed in the audit file."""
    source = write(tmp_path / "rows.jsonl", *["{"] * 3_000, row(1))
    with pytest.raises(DataError, match=r"… and 2990 more\n3000 broken rows"):
        run(tmp_path / "out.parquet", source)
    audit = run(tmp_path / "out.parquet", source, bad_rows="skip", audit_file=tmp_path / "audit.jsonl")
    assert (audit.broken, audit.pivots, len(listed(tmp_path / "audit.jsonl"))) == (3_000, 1, 3_000)
    sound(audit)


def test_no_audit_file_without_entries(tmp_path: Path) -> None:
    """Where nothing was left out, no audit file is made, and one of an earlier time is removed."""
    audit_file, target = tmp_path / "audit.jsonl", tmp_path / "out.parquet"
    source = write(tmp_path / "rows.jsonl", row(1), talk("a", "Hi.", ""))
    run(target, source, audit_file=audit_file)
    assert len(listed(audit_file)) == 1
    write(source, row(1), talk("a", "Hi."))
    assert run(target, source, audit_file=audit_file).listed == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.parquet", "rows.jsonl"]


@pytest.mark.parametrize(
    ("shape", "reason"),
    [("fc-pivot", "2: no responses_create_params object"), ("conversation", "1: no messages")],
)
def test_a_shape_that_is_given(tmp_path: Path, shape: Any, reason: str) -> None:
    """With a shape that the caller names, rows of the other one are broken."""
    source = write(tmp_path / "rows.jsonl", row(1), talk("a", "Hi."))
    with pytest.raises(DataError, match=rf"rows\.jsonl:{reason}"):
        run(tmp_path / "out.parquet", source, shape=shape)
    audit = run(tmp_path / "out.parquet", source, shape=shape, bad_rows="skip")
    assert (audit.pivots, audit.broken) == (1, 1)


def test_a_row_of_both_shapes(tmp_path: Path) -> None:
    """A row that has messages beside its request is read as the shape that is named."""
    both = row(1) | talk("a", "Hi.", "Ho.")
    source = write(tmp_path / "rows.jsonl", both)
    assert run(tmp_path / "out.parquet", source, shape="fc-pivot").pivots == 1
    assert run(tmp_path / "out.parquet", source, shape="conversation").pivots == 2


# The same pivot twice


@pytest.mark.parametrize(
    ("first", "second", "own"),
    [
        (row(7), row(7), "t7-d0"),
        (talk("a", "Hi."), talk("a", "Ho."), "a"),
        (talk(None, "Hi."), talk(None, "Hi."), "c-"),
    ],
    ids=["rows", "conversations", "conversations without ids"],
)
def test_the_same_id_in_two_files(tmp_path: Path, first: Json, second: Json, own: str) -> None:
    """An id that comes again in another file is a problem whose message names both places."""
    one = write(tmp_path / "one.jsonl", row(1), first)
    two = write(tmp_path / "two.jsonl", row(2), row(3), second)
    with pytest.raises(DataError) as raised:
        run(tmp_path / "out.parquet", one, two)
    first_line = str(raised.value).splitlines()[0]
    assert first_line.startswith(f"{two}:3: duplicate id '{own}")
    assert first_line.endswith(f"first on {one}, line 2")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (row(5), talk("5", "Hi.")),
        (talk("5", "Hi."), row(5)),
        (talk("t5", "Hi."), talk("5", "Ho.")),
        (row(5), row("t5")),
    ],
    ids=["row, conversation", "conversation, row", "two conversations", "two rows"],
)
def test_no_two_pivots_have_one_id(tmp_path: Path, first: Json, second: Json) -> None:
    """Whatever the trajectories' names, ids in a store are unique: a second pivot of one id is a broken row."""
    target = tmp_path / "out.parquet"
    audit = run(target, write(tmp_path / "rows.jsonl", first, second), bad_rows="skip")
    sound(audit)
    ids = [one.id for one in read(target)]
    assert len(ids) == len(set(ids))


def test_ids_that_only_look_the_same(tmp_path: Path) -> None:
    """A row's own id and a conversation's id are different things, since pivots of conversations add their depth."""
    alone = row(1)
    del alone["trajectory_id"]
    source = write(tmp_path / "rows.jsonl", {**alone, "id": "a"}, talk("a", "Hi."))
    assert run(tmp_path / "out.parquet", source).pivots == 2


def test_repeats_of_a_rollout(tmp_path: Path) -> None:
    """With "repeat", a pivot that comes again is counted and left out."""
    audit = run(
        tmp_path / "out.parquet", write(tmp_path / "rows.jsonl", row(1), row(2), row(1), row(1)), same_pivot="repeat"
    )
    sound(audit)
    assert (audit.rows, audit.pivots, audit.repeats, audit.broken) == (4, 2, 2, 0)


@pytest.mark.parametrize("shape", ["row", "conversation"])
@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_rows_as_deep_as_can_be(tmp_path: Path, shape: str, opening: str) -> None:
    """Whatever the depth of a row's values, it is read or listed as broken; the other rows are not touched."""
    closing = "]" if opening == "[" else "}"
    rows = []
    for depth in range(850, 1_010):
        flat = json.dumps(row(depth, extra="here") if shape == "row" else talk(None, "Hi.", "here"))
        rows.append(flat.replace('"here"', f"{opening * depth}1{closing * depth}"))
    audit = run(tmp_path / "out.parquet", write(tmp_path / "rows.jsonl", *rows, row(1)), bad_rows="skip")
    sound(audit)
    assert audit.rows == len(rows) + 1
    assert audit.pivots >= 1


# Interrupted


class StopError(Exception):
    """Whatever goes wrong in the middle."""


@pytest.mark.parametrize("error", [KeyboardInterrupt, StopError])
def test_interrupted(tmp_path: Path, error: type[BaseException]) -> None:
    """An interrupted preparation leaves no file, neither whole nor in part, and what was there before stays."""
    target, audit_file = tmp_path / "out.parquet", tmp_path / "audit.jsonl"
    source = write(tmp_path / "rows.jsonl", talk("a", "Hi.", ""), *map(row, range(700)))
    seen: list[tuple[int, int]] = []

    def stop(rows: int, stored: int) -> None:
        seen.append((rows, stored))
        if rows >= 512:
            raise error

    with pytest.raises(error):
        run(target, source, audit_file=audit_file, progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]
    assert seen[0][0] > 0
    run(target, source, audit_file=audit_file)
    before = target.read_bytes(), audit_file.read_bytes()
    with pytest.raises(error):
        run(target, source, audit_file=audit_file, progress=stop)
    assert (target.read_bytes(), audit_file.read_bytes()) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audit.jsonl", "out.parquet", "rows.jsonl"]


def test_progress(tmp_path: Path) -> None:
    """Progress rises, over several files, and ends with all rows and all stored bytes."""
    files = [write(tmp_path / f"{n}.jsonl", *map(row, range(n * 1_000, n * 1_000 + 600))) for n in (1, 2)]
    seen: list[tuple[int, int]] = []
    run(tmp_path / "out.parquet", *files, progress=lambda rows, stored: seen.append((rows, stored)))
    assert seen == sorted(seen)
    assert len(seen) > 3
    assert seen[-1] == (1_200, sum(path.stat().st_size for path in files))


def test_a_damaged_source(tmp_path: Path) -> None:
    """A source that breaks off leaves no store, with "skip" neither; the message names the file."""
    source = tmp_path / "rows.jsonl.gz"
    import gzip  # noqa: PLC0415 (one test needs it)

    source.write_bytes(gzip.compress(b"".join(synth.fc_pivot_lines(30, 1)))[:-2_000])
    with pytest.raises(DataError, match=r"rows\.jsonl\.gz: damaged after line \d+"):
        run(tmp_path / "out.parquet", source, bad_rows="skip")
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl.gz"]


HELD = """
import sys
from pathlib import Path
from pytest_fcpivot.data.preparing import prepare
from pytest_fcpivot.data.sources import file_source

def hold(rows, stored):
    print(rows, flush=True)
    sys.stdin.read()

prepare([file_source(Path("rows.jsonl"))], Path("out.parquet"), audit_file=Path("audit.jsonl"), progress=hold)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_killed(tmp_path: Path) -> None:
    """A preparation that is killed leaves no file of the target's name, and the next one works."""
    source = write(tmp_path / "rows.jsonl", talk("a", "Hi.", ""), *map(row, range(700)))
    held = subprocess.Popen([sys.executable, "-c", HELD], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with held:
        assert held.stdout is not None
        assert int(held.stdout.readline()) > 0
        held.send_signal(signal.SIGKILL)
        assert held.wait(PATIENCE_S) == -signal.SIGKILL
    assert not (tmp_path / "out.parquet").exists()
    assert not (tmp_path / "audit.jsonl").exists()
    assert run(tmp_path / "out.parquet", source).pivots == 701
    assert len(read(tmp_path / "out.parquet")) == 701


LIMITED = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
from pytest_fcpivot.core.errors import FcPivotError
from pytest_fcpivot.data.preparing import prepare
from pytest_fcpivot.data.sources import file_source

try:
    prepare([file_source(Path("rows.jsonl"))], Path(sys.argv[1]), bad_rows="skip", audit_file=Path("audit.jsonl"))
except (OSError, FcPivotError) as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
@pytest.mark.parametrize("full", ["store", "audit"])
def test_a_full_disk(tmp_path: Path, full: str) -> None:
    """Where the disk has no room for the store or for the audit, an error says so, and no half file is left."""
    if full == "store":
        (tmp_path / "rows.jsonl").write_bytes(b"".join(synth.fc_pivot_lines(300, 1)))
    else:
        write(tmp_path / "rows.jsonl", *["{"] * 3_000, row(1))
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, "out.parquet"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "File too large" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


# Memory

MEASURED = """
import resource, sys, tracemalloc
from pathlib import Path
from pytest_fcpivot.data.preparing import prepare
from pytest_fcpivot.data.sources import file_source
import pytest_fcpivot.data.store
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
audit = prepare([file_source(Path(sys.argv[1]))], Path(sys.argv[1] + ".parquet"))
print(audit.pivots, peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs the peak of a process's memory")
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Four times the pivots take about the same memory."""
    peaks = {}
    lines = list(synth.agentic_lines(4_000, 3))
    for times in (1, 4):
        source = tmp_path / f"{times}.jsonl"
        with source.open("wb") as stream:
            for copy in range(times):
                # Another id makes another conversation.
                stream.writelines(line.replace(b'"uuid": "', b'"uuid": "%d' % copy, 1) for line in lines)
        command = [sys.executable, "-c", MEASURED, str(source)]
        printed = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout.split()
        assert int(printed[0]) == 4_000 * times
        peaks[times] = int(printed[1])
    size_kib = sum(map(len, lines)) // 1024
    assert peaks[4] - peaks[1] < max(peaks[1], size_kib)


# Selection on a store


@pytest.fixture(scope="module")
def store(made: dict[str, tuple[Path, Path, Audit]]) -> Iterator[PivotStore]:
    """Return an opened store of 2,000 pivots."""
    opened = PivotStore(made["agentic"][1])
    yield opened
    opened.close()


@pytest.mark.parametrize("count", [1, 2, 7, 64])
def test_shards_are_disjoint_and_complete(store: PivotStore, count: int) -> None:
    """The shards of a store share no row and together are all rows; no trajectory is torn."""
    shards = [list(Selection(shard=(number, count)).rows(store)) for number in range(1, count + 1)]
    assert sorted(row for shard in shards for row in shard) == list(range(PIVOTS))
    whole = store.index()
    homes = [{whole[row].trajectory_id for row in shard} for shard in shards]
    assert sum(map(len, homes)) == len({entry.trajectory_id for entry in whole})


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_an_index_of_rows_is_that_part_of_the_whole(store: PivotStore, data: st.DataObject) -> None:
    """For any rows in order, their index is what the index of all has there."""
    some = st.sets(st.integers(0, PIVOTS - 1), max_size=30).map(sorted)
    spans = st.tuples(st.integers(0, PIVOTS), st.integers(0, PIVOTS)).map(lambda ends: range(min(ends), max(ends)))
    rows = data.draw(some | spans)
    whole = store.index()
    assert store.index(rows) == [whole[number] for number in rows]


selections = st.builds(
    Selection,
    shard=st.none() | st.integers(1, 9).flatmap(lambda count: st.tuples(st.integers(1, count), st.just(count))),
    sample=st.none() | st.integers(0, PIVOTS + 5),
    seed=st.integers(0, 3),
    limit=st.none() | st.integers(0, PIVOTS + 5),
)


@settings(deadline=None, max_examples=40)
@given(selections)
def test_any_selection_of_a_store(store: PivotStore, selection: Selection) -> None:
    """Selected rows rise, are no more than asked for, and their pivots are those of the index."""
    rows = selection.rows(store)
    assert list(rows) == sorted(set(rows))
    assert len(rows) <= min(PIVOTS if limit is None else limit for limit in (selection.sample, selection.limit))
    entries = store.index(rows)
    assert [entry.row for entry in entries] == list(rows)
    for entry in entries[:2]:
        assert store.read(entry.row).id == entry.id


def test_a_limit_reads_only_what_it_needs(tmp_path: Path, made: dict[str, tuple[Path, Path, Audit]]) -> None:
    """The first pivots can be listed and read where all the rest of the file is lost."""
    content = bytearray(made["agentic"][1].read_bytes())
    groups = pq.read_metadata(made["agentic"][1])
    starts = [
        min(groups.row_group(number).column(n).dictionary_page_offset or sys.maxsize for n in range(len(COLUMNS)))
        for number in range(groups.num_row_groups)
    ]
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    content[starts[1] : footer] = b"\xff" * (footer - starts[1])
    path = tmp_path / "lost.parquet"
    path.write_bytes(content)
    lost = PivotStore(path)
    rows = Selection(limit=ROWS_PER_GROUP).rows(lost)
    assert [lost.read(entry.row).id for entry in lost.index(rows)] == [entry.id for entry in lost.index(rows)]
    assert len(rows) == ROWS_PER_GROUP
    with pytest.raises(DataError, match=r"lost\.parquet: cannot read row"):
        lost.index(range(ROWS_PER_GROUP + 1))
    with pytest.raises(DataError, match=r"lost\.parquet"):
        lost.index()
    lost.close()


def test_damage_among_the_hashes(tmp_path: Path, made: dict[str, tuple[Path, Path, Audit]]) -> None:
    """A shard or a sample of a damaged store is an error that names the file."""
    content = bytearray(made["agentic"][1].read_bytes())
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    content[4:footer] = b"\xff" * (footer - 4)
    path = tmp_path / "lost.parquet"
    path.write_bytes(content)
    lost = PivotStore(path)
    for selection in (Selection(shard=(1, 2)), Selection(sample=3)):
        with pytest.raises(DataError, match=r"lost\.parquet: cannot read column"):
            selection.rows(lost)
    lost.close()
