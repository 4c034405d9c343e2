"""The store: what goes in comes out, ids without payload, atomic files, and a cache that follows the content."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_fcpivot import Action, DataError, FunctionCall, Pivot, load_pivots
from pytest_fcpivot.data import open_store
from pytest_fcpivot.data.preparing import prepare
from pytest_fcpivot.data.rows import StoredPivot
from pytest_fcpivot.data.sources import file_source
from pytest_fcpivot.data.store import METADATA_KEY, ROWS_PER_GROUP, PivotStore, is_store, write_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test a cache of its own."""
    path = tmp_path / "cache"
    monkeypatch.setenv("FC_CACHE_DIR", str(path))
    return path


def pivot(number: int, **fields: Any) -> Pivot:
    """Return a pivot."""
    given_fields: dict[str, Any] = {
        "id": f"p{number}",
        "trajectory_id": f"t{number // 3}",
        "expected_action": Action((FunctionCall("f", {"n": number}),)) if number % 2 else Action(message=f"m{number}"),
        "input_json": json.dumps([{"role": "user", "content": f"Question {number}"}]),
        "source_line": number + 1,
    }
    return Pivot(**(given_fields | fields))


def payload(found: Pivot) -> tuple[Any, ...]:
    """Return all that a pivot holds."""
    # the number of tools is counted when a store is written, if nobody counted before
    return tuple(getattr(found, name) for name in Pivot.__slots__ if name != "n_tools")


def read_all(path: Path) -> list[Pivot]:
    """Read a store from the first row to the last."""
    store = PivotStore(path)
    try:
        return [store.read(number) for number in range(len(store))]
    finally:
        store.close()


def test_many_rows_come_back_in_any_order(tmp_path: Path) -> None:
    """Rows across several groups are read one by one, forwards, backwards and again."""
    path, count = tmp_path / "store.parquet", 3 * ROWS_PER_GROUP + 7
    assert write_store(path, (StoredPivot.of(pivot(number)) for number in range(count)), {}) == count
    store = PivotStore(path)
    assert len(store) == count
    for number in [*range(0, count, 50), *range(count - 1, 0, -60), ROWS_PER_GROUP - 1, ROWS_PER_GROUP, 0, 0]:
        assert payload(store.read(number)) == payload(pivot(number))
    store.close()


def test_the_index_needs_no_payload(tmp_path: Path) -> None:
    """Ids, trajectories and expected names are listed in file order without reading a conversation."""
    path = tmp_path / "store.parquet"
    two = Action((FunctionCall("f"), FunctionCall("g")))
    write_store(path, map(StoredPivot.of, [pivot(0), pivot(1), pivot(2, expected_action=two)]), {})
    store = PivotStore(path)
    entries = list(store.index())
    store.close()
    assert [(e.row, e.id, e.trajectory_id, e.expected_type, e.expected_names) for e in entries] == [
        (0, "p0", "t0", "message", ()),
        (1, "p1", "t0", "function_call", ("f",)),
        (2, "p2", "t0", "function_call_batch", ("f", "g")),
    ]
    assert not hasattr(entries[0], "input_json")


text = st.text(st.characters(), max_size=8)
well_formed_text = st.text(max_size=8)
actions = st.one_of(
    st.builds(Action, message=text),
    st.lists(st.builds(FunctionCall, text, text), min_size=1, max_size=3).map(lambda calls: Action(tuple(calls))),
)
json_text = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), text),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
).map(json.dumps)
positions = st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1))
pivots = st.builds(
    Pivot,
    id=well_formed_text,
    trajectory_id=well_formed_text,
    expected_action=actions,
    input_json=json_text,
    params_json=json_text,
    metadata_json=json_text,
    turn=positions,
    step=positions,
    depth=positions,
    source_line=st.one_of(st.none(), st.integers(1, 2**40)),
)


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(pivots, min_size=1, max_size=5))
def test_what_goes_in_comes_out(tmp_path: Path, written: list[Pivot]) -> None:
    """Any pivot survives storage to the letter: lone surrogates, control characters, broken arguments."""
    path = tmp_path / "store.parquet"
    write_store(path, map(StoredPivot.of, written), {})
    assert [payload(found) for found in read_all(path)] == [payload(found) for found in written]


def test_provenance(tmp_path: Path) -> None:
    """A store says where it comes from, also what was learned while it was written."""
    path = tmp_path / "store.parquet"
    details: dict[str, Any] = {"source": "rows.jsonl"}

    def passing_by() -> Iterator[Pivot]:
        yield pivot(0)
        details["seen"] = 1

    write_store(path, map(StoredPivot.of, passing_by()), details)
    assert is_store(path)
    store = PivotStore(path)
    assert store.provenance.items() >= {"source": "rows.jsonl", "seen": 1, "rows": 1}.items()
    store.close()


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    """If the source fails half-way, neither a store nor a partial file is left, and an old store stays."""
    path = tmp_path / "store.parquet"

    def failing() -> Iterator[Pivot]:
        yield from map(pivot, range(ROWS_PER_GROUP + 1))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_store(path, map(StoredPivot.of, failing()), {})
    assert list(tmp_path.iterdir()) == []
    write_store(path, map(StoredPivot.of, [pivot(5)]), {})
    with pytest.raises(KeyboardInterrupt):
        write_store(path, map(StoredPivot.of, failing()), {})
    assert list(tmp_path.iterdir()) == [path]
    assert [found.id for found in read_all(path)] == ["p5"]


def test_an_unknown_version_is_refused(tmp_path: Path) -> None:
    """A store of another version is refused with both versions and what to do."""
    path = tmp_path / "store.parquet"
    write_store(path, map(StoredPivot.of, [pivot(0)]), {})
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: b'{"format_version": 99}'}), path)
    with pytest.raises(DataError, match=r"99.*reads 3.*prepare the data again"):
        load_pivots(path)


def test_a_damaged_store_is_refused(tmp_path: Path) -> None:
    """Bytes lost inside a store are a DataError that names the file, not a crash."""
    path = tmp_path / "store.parquet"
    write_store(path, (StoredPivot.of(pivot(number)) for number in range(300)), {})
    content = bytearray(path.read_bytes())
    content[4 : len(content) // 2] = b"\xff" * (len(content) // 2 - 4)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"store\.parquet"):
        load_pivots(path)
    store = open_store(path)
    with pytest.raises(DataError, match=r"store\.parquet"):
        list(store.index())
    store.close()


def test_an_empty_store_is_refused(tmp_path: Path) -> None:
    """A store without pivots is nothing to run."""
    path = tmp_path / "store.parquet"
    write_store(path, map(StoredPivot.of, []), {})
    with pytest.raises(DataError, match="no pivots"):
        open_store(path)


# The cache


def source(path: Path, *numbers: int) -> Path:
    """Write a source file."""
    rows = [
        {
            "trajectory_id": number,
            "responses_create_params": {"input": "Hi"},
            "expected_action": {"type": "message", "content": f"m{number}"},
        }
        for number in numbers
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def test_a_source_is_prepared_once(tmp_path: Path, cache: Path) -> None:
    """The second reading of the same content, under whatever name, uses the prepared store."""
    path = source(tmp_path / "rows.jsonl", 1, 2)
    assert len(load_pivots(path)) == 2
    (prepared,) = cache.iterdir()
    stamp = prepared.stat().st_mtime_ns
    assert len(load_pivots(path)) == 2
    assert len(load_pivots(path.rename(tmp_path / "other.jsonl"))) == 2
    assert [found.stat().st_mtime_ns for found in cache.iterdir()] == [stamp]


def test_a_changed_source_is_prepared_anew(tmp_path: Path) -> None:
    """The cache follows the content, not the name or the time."""
    path = source(tmp_path / "rows.jsonl", 1, 2)
    assert len(load_pivots(path)) == 2
    source(path, 1, 2, 3)
    assert len(load_pivots(path)) == 3


def test_a_store_needs_no_cache(tmp_path: Path, cache: Path) -> None:
    """A prepared file is read where it is."""
    path = tmp_path / "store.parquet"
    prepare(
        [file_source(source(tmp_path / "rows.jsonl", 1, 2))], path, bad_rows="refuse", provenance={"licence": "mine"}
    )
    store = open_store(path)
    assert (store.path, store.provenance["licence"], store.provenance["bad_rows"]) == (path, "mine", 0)
    store.close()
    assert not cache.exists()


def test_a_refused_source_leaves_no_store(tmp_path: Path, cache: Path) -> None:
    """A file with broken rows leaves nothing in the cache."""
    path = tmp_path / "rows.jsonl"
    path.write_text("{}\n", "utf-8")
    with pytest.raises(DataError):
        load_pivots(path)
    assert list(cache.iterdir()) == []


def test_several_readers_prepare_at_once(tmp_path: Path, cache: Path) -> None:
    """Readers that start together all get the whole data, and leave one store."""
    path = source(tmp_path / "rows.jsonl", *range(300))
    barrier, counts = threading.Barrier(4), []

    def read() -> None:
        barrier.wait()
        counts.append(len(load_pivots(path)))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [300] * 4
    assert len(list(cache.iterdir())) == 1


def test_a_cache_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache directory that cannot be is a DataError that names it and the variable."""
    blocker = tmp_path / "file"
    blocker.write_text("", "utf-8")
    monkeypatch.setenv("FC_CACHE_DIR", str(blocker / "cache"))
    with pytest.raises(DataError, match="FC_CACHE_DIR") as raised:
        load_pivots(source(tmp_path / "rows.jsonl", 1))
    assert str(blocker / "cache") in str(raised.value)


def test_the_users_cache_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a setting, stores go to the user's cache directory."""
    monkeypatch.delenv("FC_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    load_pivots(source(tmp_path / "rows.jsonl", 1))
    assert len(list((tmp_path / "home" / "pytest-fcpivot").iterdir())) == 1


def test_other_parquet_files_are_not_stores(tmp_path: Path) -> None:
    """A parquet file of anything else is told from a store."""
    path = tmp_path / "other.parquet"
    pq.write_table(pa.table({"id": ["a"]}), path)
    assert not is_store(path)
    with pytest.raises(DataError, match=r"other\.parquet:1: no responses_create_params"):
        load_pivots(path)


@pytest.mark.parametrize(
    "own", ["", "x" * 201, "a::b", "a[r2]", "turned \u202e", "two\nlines", "\x1b[2J", "ze\u200bro"]
)
def test_ids_that_are_no_names_of_tests_are_refused(tmp_path: Path, own: str) -> None:
    """A store that something else wrote is refused by its row if an id cannot be shown in a test's name."""
    path = tmp_path / "store.parquet"
    rows = [pivot(1, id="naïve 東京"), *(pivot(number) for number in range(2, 300)), pivot(300, id=own)]
    write_store(path, map(StoredPivot.of, rows), {})
    store = PivotStore(path)
    assert [entry.id for entry in store.index([0, 1])] == ["naïve 東京", "p2"]
    with pytest.raises(DataError, match=r"row 300: the id .* cannot be a test's name") as raised:
        store.index()
    assert len(str(raised.value)) < 500
    store.close()


def _table(path: Path) -> pa.Table:
    """Read a store as a table, from which it can be written again."""
    details = {METADATA_KEY: pq.read_metadata(path).metadata[METADATA_KEY]}
    return pq.read_table(path).replace_schema_metadata(details)


def test_a_store_without_one_of_its_columns(tmp_path: Path) -> None:
    """A column that is gone is told when the file is opened, not when its first row is read."""
    path = tmp_path / "odd.parquet"
    write_store(path, [StoredPivot.of(pivot(1))], {})
    pq.write_table(_table(path).drop_columns(["input"]), path)
    with pytest.raises(DataError, match=r"odd\.parquet: damaged: it has no column input; prepare the data again"):
        PivotStore(path)


def test_a_row_that_is_damaged(tmp_path: Path) -> None:
    """A text that is no JSON any more is told with its row, and not handed to an agent."""
    path = tmp_path / "store.parquet"
    write_store(path, (StoredPivot.of(pivot(number, input_json="[[[")) for number in range(2)), {})
    store = PivotStore(path)
    with pytest.raises(DataError, match="cannot read row 1: a part of it is not JSON; prepare the data again"):
        store.read(1)
    store.close()


def test_one_row_is_damaged_among_others(tmp_path: Path) -> None:
    """The neighbours of a row whose text is not UTF-8 or is missing can be read, in any order, and it is told alone."""
    path, count = tmp_path / "store.parquet", 12
    write_store(path, (StoredPivot.of(pivot(number)) for number in range(count)), {})
    table = _table(path)
    broken: dict[str, dict[int, bytes | None]] = {
        "input": {3: b'["\xff"]'},
        "params": {5: None},
        "tools": {8: b"[[", 9: None},
    }
    for column, values in broken.items():
        texts = [values.get(row, text.encode()) for row, text in enumerate(table.column(column).to_pylist())]
        unchecked = pa.Array.from_buffers(pa.string(), count, pa.array(texts, pa.binary()).buffers())
        place = table.schema.get_field_index(column)
        table = table.set_column(place, pa.field(column, pa.string()), unchecked)
    pq.write_table(table, path)
    store = PivotStore(path)
    for number in [*range(count), 9, 4, 3, 2, 11]:
        if number in (3, 5, 8, 9):
            with pytest.raises(DataError, match=f"cannot read row {number}: .*; prepare the data again"):
                store.read(number)
        else:
            assert payload(store.read(number)) == payload(pivot(number))
    store.close()


def test_a_store_in_one_large_group(tmp_path: Path) -> None:
    """A store that something else has written in one row group, with rows of megabytes among short ones, is read."""
    path, count = tmp_path / "store.parquet", 300
    rows = [pivot(number) for number in range(count)]
    rows[100] = pivot(100, input_json=json.dumps([{"role": "user", "content": "é" * (3 << 20)}]))
    write_store(path, map(StoredPivot.of, rows), {})
    pq.write_table(_table(path), path, row_group_size=count, use_dictionary=False)
    store = PivotStore(path)
    for number in [*range(90, 110), 299, 0]:
        assert payload(store.read(number)) == payload(rows[number])
    store.close()
