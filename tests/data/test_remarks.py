"""What is told of data: left-out turns, refused rows, doubtful answers; rows that are repeats, columns, old files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pytest_fcpivot import DataError, load_pivots
from pytest_fcpivot.cli import main
from pytest_fcpivot.data import open_store
from pytest_fcpivot.data.lint import lint
from pytest_fcpivot.data.preparing import prepare
from pytest_fcpivot.data.remarks import Remarks, is_json_in_json, kind_of
from pytest_fcpivot.data.sources import file_source
from pytest_fcpivot.data.store import METADATA_KEY, PivotStore

if TYPE_CHECKING:
    from pathlib import Path

Json = dict[str, Any]
ASKED: Json = {"role": "user", "content": "Hi"}
SAID: Json = {"role": "assistant", "content": "Hello."}


def talk(own: str, arguments: Any = "{}", tools: bool = True, **members: Any) -> Json:
    """Return a conversation of a call with these arguments, and a message."""
    call = {"function": {"name": "f", "arguments": arguments}}
    turns = [ASKED, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "content": "x"}, SAID]
    return {"uuid": own, "messages": turns, "tools": [{"name": "f"}] if tools else [], **members}


def row(index: int | None = None, text: str = "Hi", **members: Any) -> Json:
    """Return a row that is a pivot, for a rollout."""
    number = {} if index is None else {"_ng_task_index": 0, "_ng_rollout_index": index}
    expected = {"type": "message", "content": text}
    return {"id": "p", "responses_create_params": {"input": "Hi"}, "expected_action": expected, **number, **members}


def write(path: Path, *rows: Any) -> Path:
    """Write rows as lines."""
    path.write_text("".join(json.dumps(one) + "\n" for one in rows), "utf-8")
    return path


DOUBTFUL = (
    talk("a", "{'n': 1}"),
    talk("b", '"{\\"n\\": 1}"'),
    talk("c", "{}", tools=False),
    {"messages": [ASKED, {**SAID, "weight": 0}, ASKED, SAID]},
)


def test_prepare_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Shapes, refused rows, left-out turns and doubtful pivots are counted, each reason with its first place."""
    source = write(tmp_path / "rows.jsonl", *DOUBTFUL, {"a": 1}, {"b": 2})
    assert main(["prepare", str(source), "-o", str(tmp_path / "out.parquet")]) == 1
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert "read as: 4 chat; 2 refused" in lines
    assert f"1  turns left out: the arguments of … are not JSON (first: {source}:1)" in lines
    assert f"1  turns left out: marked as not to be learned (first: {source}:4)" in lines
    assert "1  pivots that expect arguments that are JSON encoded twice, which no call matches" in lines
    assert "1  pivots that expect calls, with no tool on offer" in lines
    assert any(line.startswith("1  refused: no responses_create_params object") for line in lines)


def test_info_lint_and_the_store_tell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A prepared file keeps what was told, and `info` and `lint` say it again."""
    target = tmp_path / "out.parquet"
    prepare([file_source(write(tmp_path / "rows.jsonl", *DOUBTFUL))], target)
    store = PivotStore(target)
    note = Remarks.of(store.provenance).note()
    store.close()
    assert note is not None
    assert note.startswith("2 assistant turns left out (")
    assert "1 pivots expect calls, with no tool on offer" in note
    assert main(["info", str(target)]) == 0
    assert "turns left out: the arguments of … are not JSON" in capsys.readouterr().out
    for file in (target, tmp_path / "rows.jsonl"):
        found = lint(file)
        assert (found.counts["unreadable-turn"], found.counts["left-out-turn"]) == (1, 1)
        assert found.ids["unreadable-turn"][0].endswith("rows.jsonl:1")


def test_nothing_to_tell(tmp_path: Path) -> None:
    """Of data without a fault there is nothing to note."""
    store = open_store(write(tmp_path / "rows.jsonl", talk("a")))
    assert Remarks.of(store.provenance).note() is None
    store.close()


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [('"{}"', True), ('"[1]"', True), ('"Lyon"', False), ('"3"', False), ("{}", False), ("{", False), ('"{"', False)],
)
def test_json_in_json(arguments: str, answer: bool) -> None:
    """Arguments are encoded twice if they decode to a text that holds an object or a list."""
    assert is_json_in_json(arguments) is answer


@pytest.mark.parametrize(
    ("arguments", "schema", "doubtful"),
    [
        ({"n": 1, "city": None}, {"properties": {"n": {}}}, True),
        ({"n": 1, "city": None}, {"properties": {"n": {}, "city": None}}, True),
        ({"n": None}, {"properties": {"n": {"type": ["integer", "null"]}}}, False),
        ({"n": "null"}, {"properties": {"n": {}}}, False),
        ({"n": 1, "city": None}, {}, False),
    ],
)
def test_nulls_that_arrow_may_have_added(tmp_path: Path, arguments: Json, schema: Json, doubtful: bool) -> None:
    """Nulls of parameters that the tool does not have are told: columns that were written as lines again add them."""
    row = talk("a", arguments) | {"tools": [{"name": "f", "parameters": schema}]}
    store = open_store(write(tmp_path / "rows.jsonl", row))
    note = Remarks.of(store.provenance).note()
    store.close()
    assert (note is not None and "columns of Arrow" in note) is doubtful


@pytest.mark.parametrize(
    ("number", "kind", "doubtful"),
    [(3.0, "integer", True), (3.5, "integer", False), (3.0, "number", False), (3, "integer", False)],
)
def test_numbers_that_arrow_may_have_made_floats(tmp_path: Path, number: float, kind: str, doubtful: bool) -> None:
    """A column of integers and other numbers holds floats, which by the verifier are not the integers they were."""
    tools = [{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {"n": {"type": kind}}}}]
    row = {
        "responses_create_params": {"input": "x", "tools": tools},
        "expected_action": {"type": "function_call", "name": "f", "arguments": json.dumps({"n": number})},
    }
    (tmp_path / "rows.jsonl").write_text(json.dumps(row), "utf-8")
    audit = prepare([file_source(tmp_path / "rows.jsonl")], tmp_path / "rows.parquet")
    assert audit.remarks.doubtful == ({"arguments-float-for-integer": 1} if doubtful else {})


def test_kinds_of_reasons() -> None:
    """Names and numbers do not make a reason another one."""
    assert kind_of("messages[3]: a role 'x' at 12") == kind_of('messages[0]: a role "it\'s" at 7')


# Rows that are repeats


def test_repeated_rows(tmp_path: Path) -> None:
    """Equal rows with a number each are repeats of one pivot; their number is kept with the data."""
    store = open_store(
        write(tmp_path / "rows.jsonl", row(0), row(1), row(2), row(0, id="q"), row(2, id="q"), row(1, id="q"))
    )
    assert len(store) == 2
    assert store.provenance["each_repeated"] == 3
    store.close()


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([row(0, agent_ref={"name": "a"}), row(1, agent_ref={"name": "b"})], "but other content: not a repeat"),
        ([row(0), row(0)], "duplicate id 'p', with the same _ng_rollout_index 0"),
        ([row(0), row(1, "Bye")], "it has the id 'p' of line 1, but other content"),
        ([row(), row()], "duplicate id 'p', first on line 1"),
    ],
)
def test_rows_that_are_no_repeats(tmp_path: Path, rows: list[Json], reason: str) -> None:
    """Rows that say they are repeats and are not are refused with the reason."""
    with pytest.raises(DataError, match=reason):
        load_pivots(write(tmp_path / "rows.jsonl", *rows))


@pytest.mark.parametrize("other", [row(0, id="q"), row(id="q"), talk("a")])
def test_pivots_that_are_repeated_unequally(tmp_path: Path, other: Json) -> None:
    """A run asks at each pivot equally often: where rows are not repeated so, each is asked once, and it is told."""
    store = open_store(write(tmp_path / "rows.jsonl", row(0), row(1), other))
    note = Remarks.of(store.provenance).note()
    assert "each_repeated" not in store.provenance
    assert note is not None
    assert note.startswith("1 pivots come several times, others less often: each is run once")
    store.close()


# Columns of Arrow


def parquet(path: Path, rows: list[Json], schema: pa.Schema | None = None) -> Path:
    """Write rows as a parquet file with struct columns."""
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return path


def test_structs_of_arrow(tmp_path: Path) -> None:
    """Keys that other rows have are dropped again, and it is told that a null among arguments may have been one."""
    path = parquet(tmp_path / "rows.parquet", [talk("a", {"n": 1, "m": "x"}), talk("b", {"n": 2})])
    pivots = load_pivots(path)
    assert [json.loads(p.expected_action.calls[0].arguments) for p in pivots if p.expected_action.calls] == [
        {"n": 1, "m": "x"},
        {"n": 2},
    ]
    store = open_store(path)
    assert store.provenance["flags"] == {"arrow-nulls-in-arguments": 1}
    store.close()
    assert pivots[2].metadata["flags"] == ["arrow-nulls-in-arguments"]


def test_arguments_that_are_null_in_a_column(tmp_path: Path) -> None:
    """Where a null may be a key that was never there, a call has no arguments, and is no pivot."""
    pivots = load_pivots(parquet(tmp_path / "rows.parquet", [talk("a", "{}"), talk("b", None)]))
    assert [pivot.id for pivot in pivots] == ["a-d0", "a-d1", "b-d1"]


def test_maps_of_arrow(tmp_path: Path) -> None:
    """A column that is or holds a map is refused by name, whatever it is good for."""
    kind = pa.struct([("name", pa.string()), ("arguments", pa.map_(pa.string(), pa.string()))])
    schema = pa.schema([("query", pa.string()), ("answers", pa.list_(kind))])
    rows = [{"query": "x", "answers": [{"name": "f", "arguments": [("a", "1")]}]}]
    path = parquet(tmp_path / "rows.parquet", rows, schema)
    with pytest.raises(DataError, match=r"rows\.parquet: the column answers\.arguments is an Arrow map"):
        load_pivots(path)


# Files that an earlier version prepared


def of_version_2(path: Path, **details: Any) -> Path:
    """Rewrite a store as an earlier version would have written it."""
    table = pq.read_table(path)
    known = json.loads(pq.read_metadata(path).metadata[METADATA_KEY])
    told = {**known, "format_version": 2, "prepared_by": "0.1.0", **details}
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: json.dumps(told)}), path)
    return path


def test_a_file_that_was_misread(tmp_path: Path) -> None:
    """Conversations of unknown origin that an earlier version prepared are refused, with the command that mends it."""
    target = tmp_path / "out.parquet"
    prepare([file_source(write(tmp_path / "my rows.jsonl", talk("a")))], target)
    of_version_2(target)
    with pytest.raises(
        DataError, match=r"prepared by version 0\.1\.0 .*fcpivot prepare 'my rows\.jsonl' -o .*out\.parquet"
    ):
        load_pivots(target)


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("input", json.dumps([{"role": "user", "content": json.dumps([ASKED])}], separators=(",", ":"))),
        ("metadata", json.dumps({"meta_info": {"assistant_depth": 4}})),
        ("metadata", json.dumps({"tools": [{"name": "f"}]})),
        ("metadata", json.dumps({"info": json.dumps({"depth": 2})})),
    ],
)
def test_a_pivot_that_was_misread(tmp_path: Path, column: str, text: str) -> None:
    """What an earlier version took for a user's words or for metadata, and is read now, refuses its file."""
    target = tmp_path / "out.parquet"
    prepare([file_source(write(tmp_path / "rows.jsonl", row()))], target)
    of_version_2(target)
    table = pq.read_table(target)
    place = table.column_names.index(column)
    pq.write_table(table.set_column(place, table.schema.field(place), pa.array([text])), target)
    with pytest.raises(DataError, match="prepare it again"):
        load_pivots(target)


@pytest.mark.parametrize(
    ("rows", "details", "used"),
    [
        ([row()], {}, True),
        ([row(tools=[])], {}, True),
        ([row(0)], {"bad_rows": 2}, False),
        ([row(0)], {}, True),
        ([row(meta_info={"x": 1}, info={"turn": 0, "step": 0, "depth": 0})], {}, True),
        ([talk("a")], {"sources": [{"source": "agentic-v1", "repo": "nvidia/Nemotron-Agentic-v1"}]}, True),
        ([talk("a")], {"sources": [{"source": "x", "repo": "nvidia/Nemotron-Agentic-v1"}, {"source": "y"}]}, False),
        ([talk("a")], {"audit": None, "sources": None}, False),
    ],
)
def test_files_that_were_read_rightly(tmp_path: Path, rows: list[Json], details: Json, used: bool) -> None:
    """What an earlier version read rightly by its provenance is used as it is."""
    target = tmp_path / "out.parquet"
    prepare([file_source(write(tmp_path / "rows.jsonl", *rows))], target)
    of_version_2(target, **details)
    if used:
        assert load_pivots(target)
    else:
        with pytest.raises(DataError, match="prepare it again"):
            load_pivots(target)
