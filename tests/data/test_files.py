"""Data files: the same pivots from every format, and a plain word on every file that cannot be used."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pytest_fcpivot import DataError, Pivot, load_pivots
from pytest_fcpivot.core.model import Action
from pytest_fcpivot.data import SAMPLE_PATH, open_store, resolve_data

ROWS = Path(__file__).resolve().parents[2] / "fixtures" / "rows"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep prepared files out of the user's cache."""
    monkeypatch.setenv("FC_CACHE_DIR", str(tmp_path / "cache"))


def row(number: int, **fields: Any) -> dict[str, Any]:
    """Return a row."""
    return {
        "trajectory_id": number,
        "info": {"turn": 0, "step": 0, "depth": 0},
        "responses_create_params": {"input": [{"role": "user", "content": f"Question {number}, é"}], "tools": []},
        "expected_action": {"type": "message", "content": f"Answer {number}"},
        **fields,
    }


def lines(*rows: Any) -> str:
    """Return rows as lines of JSON; text stays as it is."""
    return "".join(f"{one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)}\n" for one in rows)


def payload(pivots: list[Pivot]) -> list[tuple[Any, ...]]:
    """Return everything but where the pivots stood."""
    return [
        (p.id, p.trajectory_id, p.expected_action, p.input, p.tools, p.params, p.metadata, p.turn, p.step, p.depth)
        for p in pivots
    ]


def answers(path: Path, **options: Any) -> list[str | None]:
    """Return the expected messages of a file."""
    return [pivot.expected_action.message for pivot in load_pivots(path, **options)]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(lines(row(1), row(2)).encode(), id="plain"),
        pytest.param(lines(row(1), row(2)).rstrip("\n").encode(), id="no newline at the end"),
        pytest.param(lines(row(1), row(2)).replace("\n", "\r\n").encode(), id="Windows line ends"),
        pytest.param(lines(row(1), row(2)).encode("utf-8-sig"), id="byte order mark"),
        pytest.param(lines("", row(1), " \t", row(2), "", "").encode(), id="blank lines"),
        pytest.param(lines(row(1, note="a\u2028b\u0085c"), row(2)).encode(), id="line separators inside text"),
    ],
)
def test_lines(tmp_path: Path, content: bytes) -> None:
    """Lines are read however they end, plain and compressed."""
    plain, compressed = tmp_path / "rows.jsonl", tmp_path / "rows.jsonl.gz"
    plain.write_bytes(content)
    compressed.write_bytes(gzip.compress(content[:50]) + gzip.compress(content[50:]))
    assert answers(plain) == answers(compressed) == ["Answer 1", "Answer 2"]


def test_line_numbers_count_blank_lines(tmp_path: Path) -> None:
    """A pivot knows the line it came from, as an editor counts it."""
    path = tmp_path / "rows.jsonl"
    path.write_text(lines("", row(1), "", row(2)), "utf-8")
    assert [pivot.source_line for pivot in load_pivots(path)] == [2, 4]


def test_every_variation_loads(tmp_path: Path) -> None:
    """All variations of the shape load from lines, compressed lines and a store, each with its own id."""
    source = ROWS / "variations.jsonl"
    compressed = tmp_path / "variations.jsonl.gz"
    compressed.write_bytes(gzip.compress(source.read_bytes()))
    rows = [json.loads(line) for line in source.read_text("utf-8").split("\n") if line]
    loaded = load_pivots(source)
    assert [pivot.metadata["case"] for pivot in loaded] == [one["case"] for one in rows]
    assert payload(loaded) == payload([Pivot.from_row(one) for one in rows])
    assert payload(load_pivots(compressed)) == payload(loaded)
    store = open_store(source)
    store.close()
    assert payload(load_pivots(store.path)) == payload(loaded)


@pytest.mark.parametrize("as_text", [False, True], ids=["nested columns", "JSON text columns"])
def test_parquet_in_the_source_columns(tmp_path: Path, as_text: bool) -> None:
    """A parquet file of rows is read like its lines, whether its columns are nested or JSON text."""
    call = {"type": "function_call", "name": "f", "arguments": '{"n": 1}'}
    rows = [row(1), row(2, expected_action=call, note="x"), {k: v for k, v in row(3).items() if k != "info"}]
    for one in rows:
        one["responses_create_params"]["tools"] = [{"type": "function", "name": "f", "parameters": {"type": "object"}}]
    written = [
        {key: json.dumps(value) if as_text and isinstance(value, dict) else value for key, value in one.items()}
        for one in rows
    ]
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(written, _schema_of(written)), path)
    (tmp_path / "rows.jsonl").write_text(lines(*rows), "utf-8")
    from_parquet, from_lines = load_pivots(path), load_pivots(tmp_path / "rows.jsonl")
    assert [(p.id, p.expected_action, p.input, p.tools, p.depth) for p in from_parquet] == [
        (p.id, p.expected_action, p.input, p.tools, p.depth) for p in from_lines
    ]
    assert [pivot.source_line for pivot in from_parquet] == [1, 2, 3]


def _schema_of(rows: list[dict[str, Any]]) -> Any:
    """Return a schema with every row's columns and fields."""
    schemas = [pa.Table.from_pylist([one]).schema for one in rows]
    return pa.unify_schemas(schemas, promote_options="permissive")


def test_broken_rows_are_listed(tmp_path: Path) -> None:
    """A file with broken rows is refused: the first ten by file and line, the rest counted, all in `problems`."""
    with pytest.raises(DataError) as raised:
        load_pivots(ROWS / "broken.jsonl")
    text = str(raised.value).splitlines()
    assert [problem.line for problem in raised.value.problems] == list(range(2, 33))
    assert text[0].startswith(f"{ROWS / 'broken.jsonl'}:2: not JSON")
    assert len(text) == 12
    assert "21 more" in text[10]
    assert "31 broken rows" in text[11]
    assert "--fc-bad-rows=skip" in text[11]


def test_broken_rows_are_skipped_on_request() -> None:
    """Without its broken rows the file holds what is good, and the store says what was left out."""
    assert [pivot.id for pivot in load_pivots(ROWS / "broken.jsonl", bad_rows="skip")] == ["t1-d0", "t26-d0"]
    store = open_store(ROWS / "broken.jsonl", bad_rows="skip")
    assert store.provenance["bad_rows"] == len(store.provenance["bad_row_reasons"]) == 31
    store.close()
    with pytest.raises(DataError):  # what was skipped once is not forgotten
        load_pivots(ROWS / "broken.jsonl")


def test_the_same_id_twice(tmp_path: Path) -> None:
    """Two rows with one id are told with both lines, and skipping keeps the first."""
    path = tmp_path / "rows.jsonl"
    path.write_text(lines(row(1), row(2), row(1, expected_action={"type": "message", "content": "Again"})), "utf-8")
    with pytest.raises(DataError, match=r"rows\.jsonl:3: .*'t1-d0'.*line 1"):
        load_pivots(path)
    assert answers(path, bad_rows="skip") == ["Answer 1", "Answer 2"]


@pytest.mark.parametrize(
    ("broken", "parts"),
    [
        pytest.param('{"note": "é"}'.encode("latin-1"), ["not UTF-8"], id="latin-1"),
        pytest.param(b"\x00\x00\x00\x00", ["not JSON"], id="zeros"),
        pytest.param(b"[" * 200_000, ["not JSON"], id="deep"),
        pytest.param(b"9" * 5_000, ["not JSON"], id="long integer"),
        pytest.param(b'\xef\xbb\xbf{"a": 1}', ["not JSON"], id="byte order mark inside"),
        pytest.param(b'{"a": 1', ["not JSON"], id="cut"),
    ],
)
def test_lines_that_do_not_decode(tmp_path: Path, broken: bytes, parts: list[str]) -> None:
    """A line that is no JSON costs itself only, and is named."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(lines(row(1)).encode() + broken + b"\n" + lines(row(3)).encode())
    with pytest.raises(DataError, match=r"rows\.jsonl:2: ") as raised:
        load_pivots(path)
    for part in parts:
        assert part in str(raised.value)
    assert answers(path, bad_rows="skip") == ["Answer 1", "Answer 3"]


@pytest.mark.parametrize(
    ("column", "text"),
    [("expected_action", "{oops"), ("responses_create_params", '{"input": '), ("info", "{" * 100_000)],
)
def test_parquet_text_that_does_not_decode(tmp_path: Path, column: str, text: str) -> None:
    """A JSON text column that does not decode breaks its row only, and is named by its row."""
    good = {key: json.dumps(value) if isinstance(value, dict) else value for key, value in row(1).items()}
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist([good, {**good, "trajectory_id": 2, column: text}]), path)
    with pytest.raises(DataError, match=r"rows\.parquet:2: ") as raised:
        load_pivots(path)
    assert "not JSON" in str(raised.value)
    assert answers(path, bad_rows="skip") == ["Answer 1"]


@pytest.mark.parametrize(
    ("key", "number"),
    [("turn", 2**31), ("step", -(2**31) - 1), ("depth", 2**63), ("depth", 10**400)],
    ids=["2^31", "-2^31-1", "2^63", "10^400"],
)
def test_numbers_out_of_range(tmp_path: Path, key: str, number: int) -> None:
    """A position that no column can hold makes a broken row, or is kept; it never ends in another error."""
    path = tmp_path / "rows.jsonl"
    path.write_text(lines(row(1), row(2, info={key: number})), "utf-8")
    assert answers(path, bad_rows="skip")[0] == "Answer 1"
    try:
        assert getattr(load_pivots(path)[1], key) in {number, None}
    except DataError as error:
        assert ":2:" in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("missing.jsonl", None, ["missing.jsonl", "not found", "looked for"]),
        ("rows.csv", b"id\n1\n", ["rows.csv", ".jsonl", ".jsonl.gz", ".parquet"]),
        ("rows.json", b"[]", ["rows.json", ".jsonl"]),
        ("empty.jsonl", b"", ["empty.jsonl", "no pivots"]),
        ("blank.jsonl", b"\n \n", ["blank.jsonl", "no pivots"]),
        ("plain.jsonl.gz", b"{}\n", ["plain.jsonl.gz", "damaged"]),
        (
            "cut.jsonl.gz",
            gzip.compress(lines(*map(row, range(200))).encode())[:-30],
            ["cut.jsonl.gz", "damaged", "again"],
        ),
        ("noise.parquet", b"PAR1 but not really PAR1", ["noise.parquet", "parquet"]),
        ("empty.parquet", b"", ["empty.parquet", "parquet"]),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, name: str, content: bytes | None, parts: list[str]) -> None:
    """A file that is missing, foreign, empty or damaged is a DataError that names it and says why."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as raised:
        load_pivots(path)
    for part in parts:
        assert part in str(raised.value)
    with pytest.raises(DataError):
        load_pivots(path, bad_rows="skip")


def test_a_directory_is_not_a_data_file(tmp_path: Path) -> None:
    """A directory is told from a file, even by a data file's name."""
    (tmp_path / "rows.jsonl").mkdir()
    with pytest.raises(DataError, match="not a file"):
        load_pivots(tmp_path / "rows.jsonl")


def test_names_are_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name is relative to its base, `sample` is the bundled file unless there is a file of that name."""
    path = tmp_path / "here" / "rows.jsonl"
    path.parent.mkdir()
    path.write_text(lines(row(1)), "utf-8")
    assert resolve_data("rows.jsonl", path.parent) == path
    assert resolve_data(str(path)) == path
    assert resolve_data("sample", tmp_path) == SAMPLE_PATH
    monkeypatch.setenv("HOME", str(tmp_path / "here"))
    assert resolve_data("~/rows.jsonl") == path


def test_pivots_do_not_share_objects() -> None:
    """Each access gives fresh objects, so that no reader can change a pivot for another."""
    first, *_ = load_pivots(ROWS / "variations.jsonl")
    first.input.append({"role": "user", "content": "changed"})
    first.tools[0]["name"] = "changed"
    assert "changed" not in json.dumps([first.input, first.tools])
    assert first.expected_action == Action(first.expected_action.calls)
