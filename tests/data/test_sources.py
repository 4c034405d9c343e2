"""Sources: every kind of name finds its files, and their lines come out whole, numbered, and in bounded memory."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import time
import tracemalloc
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_fcpivot.core.errors import DataError, RowProblem
from pytest_fcpivot.data import resolve_data, sources
from pytest_fcpivot.data.files import LineRows
from pytest_fcpivot.data.hub import HubFile, HubFiles
from pytest_fcpivot.data.sources import KNOWN, Source, resolve
from pytest_fcpivot.data.store import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROWS = b'{"n": 1}\n{"n": 2, "t": "\xc3\xa9"}\n'
LINES = [(1, b'{"n": 1}'), (2, b'{"n": 2, "t": "\xc3\xa9"}')]


def zstd(data: bytes) -> bytes:
    """Return data as one zstd frame."""
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "zstd") as stream:
        stream.write(data)
    return bytes(out.getvalue().to_pybytes())


def written(path: Path, content: bytes = ROWS) -> Path:
    """Write a file and the directories it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def only(name: str, base: Path) -> Source:
    """Return the one source that a name means."""
    (source,) = resolve([name], base)
    return source


def found(base: Path, *names: str) -> list[str]:
    """Return the labels of the sources that names mean."""
    return [source.label for source in resolve(names, base)]


def read(source: Source, **options: Any) -> list[tuple[int, Any]]:
    """Return all rows of a source."""
    return list(source.open_lines(**options))


class Stdin:
    """Standard input with given bytes, which come a few at a time as a pipe's may."""

    def __init__(self, data: bytes, most: int = 1 << 20) -> None:
        self.buffer = io.BufferedReader(_Dribble(data, most), 16)

    @property
    def closed(self) -> bool:
        """Tell whether it was read to its end."""
        return self.buffer.closed


class _Dribble(io.RawIOBase):
    def __init__(self, data: bytes, most: int) -> None:
        self._data = io.BytesIO(data)
        self._most = most

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        data = self._data.read(min(self._most, len(target)))
        target[: len(data)] = data
        return len(data)


# Lines


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("rows.jsonl", ROWS, id="plain"),
        pytest.param("rows.jsonl", ROWS.rstrip(b"\n"), id="no newline at the end"),
        pytest.param("rows.jsonl", ROWS.replace(b"\n", b"\r\n"), id="Windows line ends"),
        pytest.param("rows.jsonl", b"\xef\xbb\xbf" + ROWS, id="byte order mark"),
        pytest.param("rows.jsonl.gz", gzip.compress(ROWS), id="gzip"),
        pytest.param("rows.jsonl.gz", gzip.compress(ROWS[:5]) + gzip.compress(ROWS[5:]), id="gzip of two members"),
        pytest.param("rows.jsonl.gz", gzip.compress(ROWS) + bytes(512), id="gzip with padding"),
        pytest.param("rows.jsonl.gz", gzip.compress(b"") + gzip.compress(ROWS), id="gzip with an empty member"),
        pytest.param("rows.jsonl.zst", zstd(ROWS), id="zstd"),
        pytest.param("rows.jsonl.zst", zstd(ROWS[:5]) + zstd(ROWS[5:]), id="zstd of two frames"),
        pytest.param("rows.jsonl.zst", b"\x51\x2a\x4d\x18\x02\0\0\0ab" + zstd(ROWS), id="zstd after a skippable frame"),
        pytest.param("rows.jsonl", gzip.compress(ROWS), id="gzip by its bytes only"),
        pytest.param("rows.jsonl", zstd(ROWS), id="zstd by its bytes only"),
    ],
)
def test_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes) -> None:
    """The same lines come out of every form, from a file and from standard input, with progress and a hash."""
    written(tmp_path / name, content)
    source = only(name, tmp_path)
    assert source.size == len(content)
    rows = source.open_lines()
    assert (rows.bytes_read, rows.sha256, rows.size) == (0, None, len(content))
    assert list(rows) == LINES
    assert (rows.bytes_read, rows.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    monkeypatch.setattr("sys.stdin", Stdin(content, most=3))
    rows = only("-", tmp_path).open_lines()
    assert list(rows) == LINES
    assert (rows.bytes_read, rows.size) == (len(content), None)


def test_line_numbers_count_blank_lines(tmp_path: Path) -> None:
    """Blank lines are passed over and counted, and line separators of Unicode end no line."""
    written(tmp_path / "rows.jsonl", b'\n{"a": 1}\n \t\r\n\r\n{"b": "\xe2\x80\xa8\x0b\x0c\xc2\x85"}\n\n')
    assert read(only("rows.jsonl", tmp_path)) == [(2, b'{"a": 1}'), (5, b'{"b": "\xe2\x80\xa8\x0b\x0c\xc2\x85"}')]


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstd], ids=["plain", "gzip", "zstd"])
def test_lines_across_chunks(compress: Callable[[bytes], bytes]) -> None:
    """Lines of all lengths, from one byte to several chunks, come out whole."""
    lengths = [1, 70_000, 5, 1_048_576, 1_048_575, 2, 3_500_000, 65_536, 1, 1]
    lines = [bytes([65 + index]) * length for index, length in enumerate(lengths)]
    rows = LineRows(io.BytesIO(compress(b"\n".join(lines))), "rows")
    assert list(rows) == list(enumerate(lines, start=1))


@pytest.mark.parametrize("shift", range(4))
def test_characters_across_chunks(shift: int) -> None:
    """Characters of several bytes are UTF-8 wherever a chunk ends; a line that is not is the only problem."""
    lines = [b"x" * shift, *("🙂é".encode() * (20_000 + number) for number in range(30))]
    bad = lines[17] + b"\xf0\x9f"  # the first half of a character, before the line's end
    rows = list(LineRows(io.BytesIO(b"\n".join([*lines[:17], bad, *lines[17:]])), "rows"))
    ((number, problem),) = ((number, row) for number, row in rows if isinstance(row, RowProblem))
    assert (number, problem.reason) == (18, f"not UTF-8: unexpected end of data at byte {len(lines[17])}")
    assert [row for _, row in rows if isinstance(row, bytes)] == [line for line in lines if line]


def test_progress_grows(tmp_path: Path) -> None:
    """The number of bytes read grows while lines are read, and never beyond the file's size."""
    written(tmp_path / "rows.jsonl.gz", gzip.compress(b"".join(b'{"n": "%d"}\n' % (n**9) for n in range(40_000))))
    rows = only("rows.jsonl.gz", tmp_path).open_lines()
    seen = [rows.bytes_read for _ in rows]
    assert seen == sorted(seen)
    assert len(set(seen)) > 3
    assert seen[0] < seen[-1] <= (rows.size or 0)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b'{"t": "\xe9"}', "not UTF-8: invalid continuation byte at byte 7"),
        (b"\xff{\0}\0", "not UTF-8: invalid start byte at byte 0"),
        (b'{"t": "\xed\xa0\x80"}', "not UTF-8: invalid continuation byte at byte 7"),
        (b"x" * 2001, "longer than 2,000 bytes"),
        (b"x" * 5_000_000, "longer than 2,000 bytes"),
        (b" " * 2001, "longer than 2,000 bytes"),
    ],
    ids=["latin-1", "bytes", "surrogate", "long", "very long", "long and blank"],
)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_bad_lines(tmp_path: Path, bad: bytes, reason: str, at: int) -> None:
    """A line that is too long or not UTF-8 is a problem of that line alone, wherever it is."""
    lines = [b'{"n": 1}', b"y" * 2000]
    lines.insert(at, bad)
    written(tmp_path / "rows.jsonl", b"\n".join(lines))
    rows = read(only("rows.jsonl", tmp_path), limit=2000)
    assert [row for _, row in rows if isinstance(row, bytes)] == [b'{"n": 1}', b"y" * 2000]
    assert [number for number, _ in rows] == [1, 2, 3]
    problem = rows[at][1]
    assert isinstance(problem, RowProblem)
    assert (problem.line, problem.reason) == (at + 1, reason)


class Trickle(io.BytesIO):
    """A stream that gives a few bytes at a time, as a pipe may."""

    def read(self, size: int | None = -1) -> bytes:
        """Return seven bytes at most."""
        return super().read(7 if size is None or size < 0 else min(7, size))


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([b"\n", b"\r\n", b" ", b"\t", b"\x0b", b"\x0c", b"{}", b"x", b"\xc3\xa9"]), max_size=60)
)
@pytest.mark.parametrize("stream", [io.BytesIO, Trickle])
def test_blank_lines_are_passed_over(stream: type[io.BytesIO], parts: list[bytes]) -> None:
    """Whatever blank lines are between them, rows come whole and with the number of their line."""
    text = b"".join(parts)
    lines = [(number, line.removesuffix(b"\r")) for number, line in enumerate(text.split(b"\n"), 1)]
    assert list(LineRows(stream(text), "rows")) == [(number, line) for number, line in lines if line.strip()]


def test_masses_of_blank_lines_take_no_time() -> None:
    """Twenty million newlines are passed over in a second or two, where one by one they would take a dozen."""
    rows = LineRows(io.BytesIO(b"{}\n" + b"\n" * 20_000_000 + b" \n{}"), "rows")
    began = time.process_time()
    assert list(rows) == [(1, b"{}"), (20_000_003, b"{}")]
    assert time.process_time() - began < 5


def test_a_line_of_60_mb_takes_no_more_memory_than_the_limit() -> None:
    """Of a line that is too long, compressed or not, less is held than the limit and a few chunks."""
    limit = 8 * 2**20
    data = gzip.compress(b'{"n": 1}\n' + b"x" * 60_000_000 + b"\n" + b"z" * limit + b"\n" + b'{"n": 2}\n', 1)
    rows = LineRows(io.BytesIO(data), "rows", limit=limit)
    tracemalloc.start()
    try:
        got = [(number, row if isinstance(row, RowProblem) else len(row)) for number, row in rows]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [(number, row) for number, row in got if number != 2] == [(1, 8), (3, limit), (4, 8)]
    assert "longer than 8 MB" in str(got[1][1])
    assert peak < 1.2 * limit + 5 * 2**20


NOISE = b"".join(b'{"n": %d, "h": "%s"}\n' % (n, hashlib.sha256(b"%d" % n).hexdigest().encode()) for n in range(9000))


@pytest.mark.parametrize("name", ["rows.jsonl.gz", "rows.jsonl.zst"])
@pytest.mark.parametrize("kept", [0.5, 0.98])
def test_truncated_files(tmp_path: Path, name: str, kept: float) -> None:
    """The rows before the cut are read, and no half row; then the error says how far it got and what to do."""
    content = gzip.compress(NOISE) if name.endswith("gz") else zstd(NOISE)
    size = int(len(content) * kept)
    written(tmp_path / name, content[:size])
    rows = iter(only(name, tmp_path).open_lines())
    got: list[tuple[int, Any]] = []
    with pytest.raises(DataError) as raised:
        got.extend(rows)  # list.extend keeps what came before the error
    lines = NOISE.split(b"\n")
    assert got == [(number, lines[number - 1]) for number in range(1, len(got) + 1)]
    assert kept - 0.3 < len(got) / 9000 < kept + 0.02
    for part in (
        name,
        f"after line {len(got)} ",
        f"{size:,} of {size:,} bytes",
        "end too early",
        "fetch the file again",
    ):
        assert part in str(raised.value)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.jsonl.gz", b"", "empty"),
        ("a.jsonl.zst", b"", "empty"),
        ("a.jsonl.gz", ROWS, "not gzip"),
        ("a.jsonl.zst", ROWS, "not zstd"),
        ("a.jsonl.gz", gzip.compress(ROWS)[:5], "too early"),
        ("a.jsonl.zst", zstd(ROWS)[:5], "too early"),
        ("a.jsonl.gz", gzip.compress(ROWS) + b"garbage", "incorrect header check"),
        ("a.jsonl.gz", gzip.compress(ROWS)[:-8] + bytes(8), "incorrect data check"),
        ("a.jsonl.zst", zstd(ROWS) + b"garbage", "Unknown frame"),
        ("a.jsonl", b"PAR1 and so on", "parquet"),
        ("a.parquet", b"PAR1 and so on", "parquet"),
    ],
    # gzip writes the time into its bytes, and two workers have to agree on the names
    ids=lambda value: "content" if isinstance(value, bytes) else value,
)
def test_damaged_files(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    """A file that is not what its name says is told by name and reason."""
    written(tmp_path / name, content)
    with pytest.raises(DataError) as raised:
        read(only(name, tmp_path))
    assert f"{name}: " in str(raised.value)
    assert reason in str(raised.value)


def test_a_file_without_lines(tmp_path: Path) -> None:
    """A file with nothing in it has no rows, which is for the reader to judge."""
    written(tmp_path / "a.jsonl", b"")
    assert read(only("a.jsonl", tmp_path)) == []


def test_standard_input_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard input named twice is one source, and reading it again is an error."""
    monkeypatch.setattr("sys.stdin", Stdin(ROWS))
    source = only("-", tmp_path)
    assert found(tmp_path, "-", "-") == ["standard input"]
    assert read(source) == LINES
    with pytest.raises(DataError, match=r"standard input: .*read already"):
        source.open_lines()


def test_parquet_of_foreign_rows(tmp_path: Path) -> None:
    """Rows of a foreign parquet file are dicts that JSON can hold, without the fields of other rows."""
    first = {
        "uuid": "a",
        "messages": [{"role": "user", "content": "x", "tool_calls": None}],
        "when": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "raw": b"\xff",
        "price": Decimal("1.5"),
        "ok": True,
        "only_others": None,
    }
    pq.write_table(pa.Table.from_pylist([first, {**first, "uuid": "b"}] * 100), tmp_path / "train.parquet")
    source = only("train.parquet", tmp_path)
    rows = source.open_lines()
    got = list(rows)
    assert [number for number, _ in got] == list(range(1, 201))
    assert json.loads(json.dumps(got[1][1])) == {
        "uuid": "b",
        "messages": [{"role": "user", "content": "x"}],
        "when": "2026-01-02T03:04:05+00:00",
        "raw": "/w==",
        "price": 1.5,
        "ok": True,
        "only_others": None,
    }
    assert (rows.bytes_read, rows.size) == (source.size, source.size)
    assert rows.sha256 == hashlib.sha256((tmp_path / "train.parquet").read_bytes()).hexdigest()


# Names


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a directory with data files, other files, hidden ones and a store of pivots."""
    for name in ("b.jsonl", "a.jsonl", "deep/er/c.jsonl", "notes.txt", ".cache/x.jsonl", ".hidden.jsonl"):
        written(tmp_path / "data" / name)
    written(tmp_path / "data" / "deep" / "d.jsonl.gz", gzip.compress(ROWS))
    written(tmp_path / "data" / "e.jsonl.zst", zstd(ROWS))
    pq.write_table(pa.Table.from_pylist([{"n": 1}]), tmp_path / "data" / "f.parquet")
    store(tmp_path / "data" / "store.parquet")
    written(tmp_path / "we[i]rd.jsonl")
    (tmp_path / "data" / "link.jsonl").symlink_to("a.jsonl")
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    written(tmp_path / "texts" / "notes.txt")
    store(tmp_path / "stores" / "store.parquet")
    return tmp_path


def store(path: Path) -> None:
    """Write an empty store of pivots."""
    path.parent.mkdir(exist_ok=True)
    pq.write_table(SCHEMA.empty_table().replace_schema_metadata({b"fcpivot": b"{}"}), path)


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["data/a.jsonl"], ["data/a.jsonl"]),
        (["./data/b.jsonl", "data/a.jsonl"], ["./data/b.jsonl", "data/a.jsonl"]),
        (["data/a.jsonl", "data/../data/a.jsonl", "data/link.jsonl"], ["data/a.jsonl"]),
        (
            ["data"],
            [
                "data/a.jsonl",
                "data/b.jsonl",
                "data/deep/d.jsonl.gz",
                "data/deep/er/c.jsonl",
                "data/e.jsonl.zst",
                "data/f.parquet",
            ],
        ),
        (["data/deep/", "data/deep"], ["data/deep/d.jsonl.gz", "data/deep/er/c.jsonl"]),
        (["data/*.jsonl"], ["data/a.jsonl", "data/b.jsonl"]),
        (["data/**/*.jsonl", "data/a.jsonl"], ["data/a.jsonl", "data/b.jsonl", "data/deep/er/c.jsonl"]),
        (["data/[bf]*"], ["data/b.jsonl", "data/f.parquet"]),
        (["we[i]rd.jsonl"], ["we[i]rd.jsonl"]),
        ([], []),
    ],
)
def test_local_names(tree: Path, names: list[str], labels: list[str]) -> None:
    """Files, directories and globs give their data files in order, each once."""
    assert found(tree, *names) == labels


def test_names_are_relative_to_the_base_and_the_home(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative name starts at the base, `~` at home, and an absolute one at neither."""
    monkeypatch.setenv("HOME", str(tree / "data"))
    assert [only(name, tree / "data").path for name in ("a.jsonl", "~/a.jsonl", str(tree / "data/a.jsonl"))] == [
        tree / "data" / "a.jsonl"
    ] * 3


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train.jsonl", "train"),
        ("validation-00001-of-00004.jsonl", "validation"),
        ("tool_calling.jsonl.gz", "tool_calling"),
        ("rows.jsonl", None),
        ("trainer.jsonl", None),
    ],
)
def test_the_split_of_a_file(tmp_path: Path, name: str, split: str | None) -> None:
    """A file's name tells its split if it is a usual one."""
    written(tmp_path / name)
    assert only(name, tmp_path).split == split


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("missing.jsonl", ["missing.jsonl: data file not found", "looked for /"]),
        ("data/aa.jsonl", ["data/aa.jsonl: data file not found", "did you mean a.jsonl?"]),
        ("nowhere/a.jsonl", ["nowhere/a.jsonl: data file not found"]),
        ("agentic-v2", ["agentic-v2: neither a file nor a known data set", "did you mean agentic-v1?", "swe-pivot-v1"]),
        ("FC-pivot", ["did you mean fc-pivot-v1?"]),
        ("zzz", ["zzz: neither", "known data sets: fc-pivot-v1, conversational-pivot-v1"]),
        ("agentic-v1:tools", ["agentic-v1:tools: no split 'tools'", "interactive_agent, tool_calling"]),
        ("conversational-pivot-v1:x", ["no split 'x'"]),
        ("data/notes.txt", ["data/notes.txt: not the name of a data file", ".jsonl.zst", ".parquet"]),
        ("data/store.parquet", ["data/store.parquet: its pivots were prepared already"]),
        ("empty", ["empty: no data files in this directory", ".jsonl.gz"]),
        ("texts", ["texts: no data files in this directory"]),
        ("stores", ["stores: no data files", "prepared already"]),
        ("data/*.csv", ["data/*.csv: nothing matches", "looked in /"]),
        ("data/n*", ["data/n*: none of the 1 matches is a data file", "data/notes.txt", ".jsonl"]),
        ("", ["name of a source is empty"]),
        ("a\0b", ["a\0b: neither"]),
        ("~nobody-here/a.jsonl", ["~nobody-here/a.jsonl: data file not found"]),
        ("/dev/null", ["/dev/null: neither a file nor a directory", "-"]),
        ("hf://", ["write hf://owner/name"]),
        ("hf://only", ["hf://only: write hf://owner/name"]),
        ("hf://o/n@", ["write hf://owner/name"]),
        ("hf://o/../n", ["write hf://owner/name"]),
    ],
)
def test_names_that_mean_nothing(tree: Path, name: str, parts: list[str]) -> None:
    """A name without a meaning is an error that says what was looked for, where, and what to do."""
    with pytest.raises(DataError) as raised:
        resolve(["data/a.jsonl", name], tree)
    for part in parts:
        assert part in str(raised.value)


@pytest.mark.parametrize("name", ["data/a.jsonl", "data", "data/*.jsonl"])
def test_files_that_may_not_be_read(tree: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A file that cannot be opened is told before anything is read."""
    forbidden, opened = tree / "data" / "a.jsonl", Path.open

    def guarded(path: Path, *args: Any, **kwargs: Any) -> Any:  # the tests may run as root, who may read everything
        if path == forbidden:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", guarded)
    with pytest.raises(DataError, match=r"^data/a\.jsonl: cannot be read: Permission denied; make it readable"):
        resolve([name], tree)


def test_a_directory_that_may_not_be_listed(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that cannot be listed is told, not passed over."""
    listed = os.scandir

    def guarded(path: Any) -> Any:
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(DataError, match=r"^data: .*deep cannot be read: Permission denied"):
        resolve(["data"], tree)


# Remote names


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Return what is asked of the Hub from here on; it gives two files, and a card where a pattern takes it."""
    calls: list[tuple[Any, ...]] = []

    def fetch(repo: str, revision: str | None, patterns: Sequence[str], *, sha256: Any = None) -> HubFiles:
        calls.append((repo, revision, list(patterns), sha256))
        names = [one for one in patterns if "*" not in one] or ["data/tool_calling.jsonl", "README.md"]
        files = tuple(HubFile(name, written(tmp_path / "hub" / name), len(ROWS), "5a" * 32) for name in names)
        return HubFiles(revision or "c0ffee" * 6 + "c0ff", files, "mit")

    monkeypatch.setattr("pytest_fcpivot.data.hub.fetch", fetch)
    return calls


EVERY = ["*.jsonl", "*.jsonl.gz", "*.jsonl.zst", "*.parquet"]
AGENTIC = KNOWN["agentic-v1"]
SWE = KNOWN["swe-pivot-v1"]


@pytest.mark.parametrize(
    ("name", "call", "splits"),
    [
        (
            "agentic-v1",
            (AGENTIC.repo, AGENTIC.revision, ["data/interactive_agent.jsonl", "data/tool_calling.jsonl"], {}),
            ["interactive_agent", "tool_calling"],
        ),
        (
            "agentic-v1:tool_calling",
            (AGENTIC.repo, AGENTIC.revision, ["data/tool_calling.jsonl"], {}),
            ["tool_calling"],
        ),
        ("swe-pivot-v1", (SWE.repo, SWE.revision, ["train.jsonl"], SWE.sha256), ["train"]),
        ("fc-pivot-v1", (KNOWN["fc-pivot-v1"].repo, None, ["train.jsonl"], None), ["train"]),
        (
            "conversational-pivot-v1",
            (KNOWN["conversational-pivot-v1"].repo, KNOWN["conversational-pivot-v1"].revision, EVERY, {}),
            ["tool_calling"],
        ),
        ("hf://o/n.a-m_e", ("o/n.a-m_e", None, EVERY, None), ["tool_calling"]),
        ("hf://datasets/o/n@main", ("o/n", "main", EVERY, None), ["tool_calling"]),
        ("hf://o/n@v1/x/train.jsonl", ("o/n", "v1", ["x/train.jsonl"], None), ["train"]),
        ("hf://o/n@refs/pr/7/x", ("o/n", "refs/pr/7", [f"x/{one}" for one in EVERY], None), ["tool_calling"]),
        ("hf://o/n@a%2Fb/*.parquet", ("o/n", "a/b", ["*.parquet"], None), ["tool_calling"]),
        (
            f"hf://{SWE.repo}@{SWE.revision}/train.jsonl",
            (SWE.repo, SWE.revision, ["train.jsonl"], SWE.sha256),
            ["train"],
        ),
        (f"hf://{SWE.repo}/train.jsonl", (SWE.repo, None, ["train.jsonl"], None), ["train"]),
    ],
)
def test_remote_names(
    tmp_path: Path, asked: list[tuple[Any, ...]], name: str, call: tuple[Any, ...], splits: list[str]
) -> None:
    """A known name asks for its pinned commit and files, `hf://` for what it says; the card is no source of rows."""
    got = resolve([name], tmp_path)
    assert asked == [call]
    assert [source.split for source in got] == splits
    assert all(read(source) == LINES for source in got)


def test_provenance(tmp_path: Path, asked: list[tuple[Any, ...]]) -> None:
    """A source says where it comes from: by which name, from what commit and file, under which licence."""
    said: list[str] = []
    written(tmp_path / "mine.jsonl")
    names = ["agentic-v1:tool_calling", "hf://o/n/x.jsonl", "mine.jsonl"]
    known, foreign, local = resolve(names, tmp_path, say=said.append)
    assert known.provenance == sources.Provenance(
        source="agentic-v1:tool_calling",
        file="data/tool_calling.jsonl",
        repo="nvidia/Nemotron-Agentic-v1",
        commit="650d590978ca35c8f1ecea2faf136e5fac421b62",
        sha256="5a" * 32,
        licence="CC-BY-4.0",
        attribution="Nemotron-Agentic-v1 by nvidia, licensed under CC-BY-4.0",
    )
    assert known.label == "nvidia/Nemotron-Agentic-v1@650d590/data/tool_calling.jsonl"
    assert (foreign.provenance.commit, foreign.provenance.licence) == ("c0ffee" * 6 + "c0ff", "mit")
    assert foreign.provenance.attribution == "n by o, licensed under mit"
    assert local.provenance == sources.Provenance("mine.jsonl", "mine.jsonl")
    assert len(asked) == len(said) == 2
    assert said[1].startswith("hf://o/n/x.jsonl: fetching x.jsonl of o/n at main")


def test_a_known_name_comes_before_a_file(tmp_path: Path, asked: list[tuple[Any, ...]]) -> None:
    """A directory with the name of a data set is reached with `./`."""
    written(tmp_path / "agentic-v1" / "a.jsonl")
    assert found(tmp_path, "./agentic-v1") == ["./agentic-v1/a.jsonl"]
    assert not asked
    assert len(found(tmp_path, "agentic-v1", "agentic-v1:tool_calling")) == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with a name")
def test_links_and_pipes(tmp_path: Path) -> None:
    """A link to a file is that file, by its own name; a pipe is refused at once, with what to do, and never read."""
    blob = written(tmp_path / "blobs" / "0a1b")
    (tmp_path / "rows.jsonl").symlink_to(blob)
    assert only("rows.jsonl", tmp_path).label == "rows.jsonl"
    assert read(only("rows.jsonl", tmp_path)) == LINES
    assert resolve_data("rows.jsonl", tmp_path) == tmp_path / "rows.jsonl"
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(DataError, match="pipe it in, with - as the name"):
        resolve(["pipe.jsonl"], tmp_path)
    with pytest.raises(DataError, match=r"a pipe or a device, .* prepare - -o data\.parquet"):
        resolve_data("pipe.jsonl", tmp_path)
    (tmp_path / "gone.jsonl").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match="data file not found"):
        resolve_data("gone.jsonl", tmp_path)
