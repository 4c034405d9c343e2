"""Selection: shards that share nothing, samples that grow, and the same choice in every process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_fcpivot import OptionError
from pytest_fcpivot.data import SAMPLE_PATH, open_store
from pytest_fcpivot.data.selection import Selection, parse_condition, parse_shard, read_ids, stable_hash
from pytest_fcpivot.data.store import IndexEntry

if TYPE_CHECKING:
    from collections.abc import Mapping

PROPERTY = settings(deadline=None, max_examples=100)


def entry(row: int, trajectory: str) -> IndexEntry:
    """Return an entry."""
    return IndexEntry(row, f"p{row}", trajectory, "message", ())


class Hashes:
    """The hashes of entries, as a store has them."""

    def __init__(self, entries: list[IndexEntry]) -> None:
        self.entries = entries

    def __len__(self) -> int:
        return len(self.entries)

    def each(self, column: str) -> list[object]:
        """Return the values of a column."""
        return [getattr(found, "expected_names" if column == "tool" else column) for found in self.entries]

    def trajectory_hashes(self) -> list[int]:
        """Return those of the trajectories."""
        return [stable_hash("shard", found.trajectory_id) for found in self.entries]

    def id_hashes(self) -> list[int]:
        """Return those of the ids."""
        return [stable_hash("sample", found.id) for found in self.entries]


class Table:
    """Rows as a store has them, each given by its columns."""

    def __init__(self, *rows: Mapping[str, object]) -> None:
        self.rows = [{"id": f"p{place}", "trajectory_id": f"t{place}", **row} for place, row in enumerate(rows)]

    def __len__(self) -> int:
        return len(self.rows)

    def each(self, column: str) -> list[object]:
        """Return the values of a column."""
        return [row.get(column) for row in self.rows]

    def trajectory_hashes(self) -> list[int]:
        """Return those of the trajectories."""
        return [stable_hash("shard", str(row["trajectory_id"])) for row in self.rows]

    def id_hashes(self) -> list[int]:
        """Return those of the ids."""
        return [stable_hash("sample", str(row["id"])) for row in self.rows]


def select(selection: Selection, entries: list[IndexEntry]) -> list[IndexEntry]:
    """Return the selected entries."""
    return [entries[row] for row in selection.rows(Hashes(entries))]


def entries_of(trajectories: list[str]) -> list[IndexEntry]:
    """Return entries in file order."""
    return [entry(row, trajectory) for row, trajectory in enumerate(trajectories)]


some_entries = st.lists(st.text(max_size=4), max_size=60).map(entries_of)
MANY = entries_of([f"t{row // 3}" for row in range(3000)])


def test_everything_by_default() -> None:
    """Without options, all pivots run in file order."""
    assert select(Selection(), MANY) == MANY


@PROPERTY
@given(some_entries, st.integers(1, 8))
def test_shards_are_a_partition(entries: list[IndexEntry], count: int) -> None:
    """Shards are disjoint, together they are everything, each keeps file order and trajectories whole."""
    shards = [select(Selection(shard=(index, count)), entries) for index in range(1, count + 1)]
    assert sorted((found for shard in shards for found in shard), key=lambda found: found.row) == entries
    for shard in shards:
        assert [found.row for found in shard] == sorted(found.row for found in shard)
    homes = [{found.trajectory_id for found in shard} for shard in shards]
    assert sum(map(len, homes)) == len(set().union(*homes))


def test_shards_are_of_similar_size() -> None:
    """A quarter is about a quarter."""
    sizes = [len(select(Selection(shard=(index, 4)), MANY)) for index in range(1, 5)]
    assert sum(sizes) == 3000
    assert min(sizes) > 600
    assert max(sizes) < 900


@PROPERTY
@given(some_entries, st.integers(1, 70), st.integers(1, 70), st.integers(0, 5))
def test_a_larger_sample_holds_the_smaller(entries: list[IndexEntry], one: int, other: int, seed: int) -> None:
    """A sample has its size, keeps file order, and only grows with its size."""
    small, large = (select(Selection(sample=size, seed=seed), entries) for size in sorted((one, other)))
    assert len(small) == min(len(entries), one, other)
    assert {found.id for found in small} <= {found.id for found in large}
    assert [found.row for found in large] == sorted(found.row for found in large)


@PROPERTY
@given(st.randoms(use_true_random=False), st.integers(1, 100), st.integers(0, 3))
def test_a_sample_does_not_depend_on_the_order_of_the_file(random: object, size: int, seed: int) -> None:
    """The same pivots are chosen from a file in any order."""
    names = [(found.id, found.trajectory_id) for found in MANY[:300]]
    getattr(random, "shuffle")(names)  # noqa: B009 (hypothesis hides the type)
    shuffled = [IndexEntry(row, id_, trajectory, "message", ()) for row, (id_, trajectory) in enumerate(names)]
    selection = Selection(sample=size, seed=seed)
    assert {found.id for found in select(selection, MANY[:300])} == {found.id for found in select(selection, shuffled)}


def test_another_seed_is_another_sample() -> None:
    """Seeds choose independently: two samples of a tenth share about a tenth."""
    first, second = ({found.id for found in select(Selection(sample=300, seed=seed), MANY)} for seed in (0, 1))
    assert len(first & second) < 60


def test_the_order_of_the_steps() -> None:
    """The shard is taken first, the sample from the shard, and the limit cuts what is left."""
    shard = select(Selection(shard=(2, 4)), MANY)
    sample = select(Selection(shard=(2, 4), sample=50), MANY)
    assert sample == select(Selection(sample=50), shard)
    assert select(Selection(shard=(2, 4), sample=50, limit=7), MANY) == sample[:7]
    assert select(Selection(limit=5), MANY) == MANY[:5]
    assert select(Selection(limit=0), MANY) == []
    assert select(Selection(sample=10_000, limit=10_000), MANY) == MANY


def test_every_process_selects_the_same() -> None:
    """The choice does not depend on Python's hash seed, so workers and machines agree."""
    script = (
        "from pytest_fcpivot.data import SAMPLE_PATH, open_store\n"
        "from pytest_fcpivot.data.selection import Selection\n"
        "selection = Selection(shard=(1, 3), sample=20, seed=5)\n"
        "store = open_store(SAMPLE_PATH)\n"
        "print(*(entry.id for entry in store.index(selection.rows(store))))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    store = open_store(Path(SAMPLE_PATH))
    here = [found.id for found in store.index(Selection(shard=(1, 3), sample=20, seed=5).rows(store))]
    store.close()
    assert outputs == {" ".join(here)}
    assert len(here) == 20


def test_shards_are_the_same_in_every_release() -> None:
    """The shard of a trajectory is pinned: results of shards run at different times can be put together."""
    homes = [
        next(index for index in (1, 2, 3, 4) if select(Selection(shard=(index, 4)), [entry(0, trajectory)]))
        for trajectory in ("1", "12", "4711", "", "é", "6f0e2a54-7d0c-4b8e-9c6f-3f1b5a0c9d21")
    ]
    assert homes == [3, 1, 4, 1, 3, 3]


def test_samples_are_the_same_in_every_release() -> None:
    """The sample of a seed is pinned: results over the same sample can be compared with those of an older release."""
    assert Selection(sample=8, seed=3).rows(Hashes(MANY)) == [493, 680, 1300, 1929, 1951, 2556, 2745, 2802]


def test_odd_ids_have_a_hash() -> None:
    """A half of a surrogate pair, which JSON can hold, does not stop a selection."""
    assert stable_hash("sample", "\ud800") != stable_hash("sample", "\ud801")


KINDS = ("message", "function_call", "function_call_batch", "none")


@pytest.mark.parametrize(
    ("counts", "size", "shares"),
    [
        ((50, 30, 20, 0), 10, (5, 3, 2, 0)),
        ((50, 30, 20, 0), 0, (0, 0, 0, 0)),
        ((50, 30, 20, 0), 1000, (50, 30, 20, 0)),
        # what is left after whole shares goes to the largest remainders: 2.6, 2.6 and 0.8 are 3, 2 and 1 of 6
        ((13, 13, 4, 0), 6, (2, 3, 1, 0)),
        ((10, 10, 10, 10), 2, (0, 1, 1, 0)),  # and of equal ones to the first by name
        ((1, 1, 98, 0), 10, (0, 0, 10, 0)),
        ((3, 3, 4, 0), 1, (0, 0, 1, 0)),
    ],
)
def test_shares_of_a_stratified_sample(counts: tuple[int, ...], size: int, shares: tuple[int, ...]) -> None:
    """Each expected type gets its share, rounded by largest remainders, and its members are those of a plain sample."""
    kinds = [kind for kind, count in zip(KINDS, counts, strict=True) for _ in range(count)]
    table = Table(*({"expected_type": kind} for kind in kinds))
    rows = Selection(sample=size, seed=1, stratified=True).rows(table)
    assert rows == sorted(rows)
    assert tuple(sum(kinds[row] == kind for row in rows) for kind in KINDS) == shares
    for kind, share in zip(KINDS, shares, strict=True):
        members = {row for row in range(len(kinds)) if kinds[row] == kind}
        alone = Selection(sample=share, seed=1, ids=frozenset(f"p{row}" for row in members)).rows(table)
        assert [row for row in rows if row in members] == alone


PIVOTS = Table(
    {"depth": 1, "split": "train", "tool": ["add"], "metadata": '{"level": {"name": "easy"}, "tags": ["a", 1, true]}'},
    {"depth": 2, "split": "train", "tool": [], "metadata": '{"level": {"name": "hard"}, "tags": ["b"]}'},
    {"depth": None, "split": "test", "tool": ["add", "find"], "metadata": '{"level": "hard", "tags": {"c": 1}}'},
    {"depth": 7, "split": None, "tool": ["find"], "metadata": "{}"},
)


@pytest.mark.parametrize(
    ("conditions", "rows"),
    [
        (["depth>=2"], [1, 3]),
        (["depth!=2"], [0, 2, 3]),
        (["split=train"], [0, 1]),
        (["split=train", "depth>1"], [1]),
        (["tool=find"], [2, 3]),
        (["tool!=add"], [1, 3]),
        (["metadata.level.name=hard"], [1]),
        (["metadata.level=hard"], [2]),
        (["metadata.tags=1"], [0]),
        (["metadata.nowhere=1"], []),
    ],
)
def test_rows_that_meet_conditions(conditions: list[str], rows: list[int]) -> None:
    """The pivots that meet all conditions are selected, in file order, and no others."""
    selection = Selection(conditions=tuple(map(parse_condition, conditions)))
    assert selection.rows(PIVOTS) == rows


def test_rows_that_are_named() -> None:
    """The pivots of an ids file are selected in file order, and what it names beside them is passed over."""
    assert Selection(ids=frozenset({"p3", "p0", "p77"})).rows(PIVOTS) == [0, 3]
    assert Selection(ids=frozenset({"p3", "p0"}), conditions=(parse_condition("depth>1"),)).rows(PIVOTS) == [3]


LEVELS = Table(*({"metadata": f'{{"level": "{name}"}}', "turn": n} for n, name in enumerate(["low", "high", "high"])))
MANY_VALUES = Table(*({"split": f"split-{n:02}"} for n in range(12)), *({"split": "most"} for _ in range(3)))
ONE_SHARD = Table(*({"trajectory_id": "1"} for _ in range(3)))  # all of shard 3 of 4


@pytest.mark.parametrize(
    ("table", "selection", "told"),
    [
        (PIVOTS, Selection(), ""),
        (PIVOTS, Selection(conditions=(parse_condition("depth>1"),), limit=1), ""),
        (PIVOTS, Selection(limit=0), "--fc-limit=0 leaves no pivot"),
        (
            PIVOTS,
            Selection(conditions=(parse_condition("depth>9"),)),
            "--fc-where=depth>9 left none of the 4 pivots; their depth is from 1 to 7",
        ),
        (
            PIVOTS,
            Selection(conditions=(parse_condition("split=train"), parse_condition("depth>6.5"))),
            "--fc-where=depth>6.5 left none of the 2 pivots that --fc-split=train left; their depth is from 1 to 2",
        ),
        (
            PIVOTS,
            Selection(conditions=tuple(map(parse_condition, ("depth>0", "split!=test", "tool=fnd")))),
            (
                "--fc-where=tool=fnd left none of the 3 pivots that --fc-where=depth>0 --fc-where=split!=test left; "
                "the values of tool are find, add; did you mean find?"
            ),
        ),
        (
            PIVOTS,
            Selection(conditions=(parse_condition("metadata.tags=d"),)),
            "--fc-where=metadata.tags=d left none of the 4 pivots; the values of metadata.tags are a, 1, true, b, c",
        ),
        (
            PIVOTS,
            Selection(conditions=(parse_condition("metadata.nowhere=1"),)),
            "--fc-where=metadata.nowhere=1 left none of the 4 pivots; none of them has a metadata.nowhere",
        ),
        (
            LEVELS,
            Selection(conditions=(parse_condition("metadata.level=hgih"),)),
            (
                "--fc-where=metadata.level=hgih left none of the 3 pivots; the values of metadata.level are high, low; "
                "did you mean high?"
            ),
        ),
        (
            MANY_VALUES,
            Selection(conditions=(parse_condition("split=other"),)),
            (
                "--fc-split=other left none of the 15 pivots; the values of split are most, split-00, split-01, "
                "split-02, split-03, split-04, split-05, split-06 and 5 more"
            ),
        ),
        (PIVOTS, Selection(ids=frozenset({"nobody"})), "--fc-ids left none of the 4 pivots"),
        (
            ONE_SHARD,
            Selection(ids=frozenset({"p0", "p2"}), shard=(1, 4)),
            (
                "--fc-shard=1/4 left none of the 2 pivots that --fc-ids left: they are of 1 trajectories, and a shard "
                "has whole ones"
            ),
        ),
    ],
)
def test_why_nothing_is_left(table: Table, selection: Selection, told: str) -> None:
    """The first filter that leaves nothing is named as its option, with what was there and what could be asked for."""
    assert selection.why_nothing(table) == told
    assert bool(selection.rows(table)) == (told == "")


@pytest.mark.parametrize(("text", "shard"), [("1/1", (1, 1)), ("1/4", (1, 4)), ("4/4", (4, 4)), (" 2 / 3 ", (2, 3))])
def test_shard_option(text: str, shard: tuple[int, int]) -> None:
    """`I/N` counts from 1."""
    assert parse_shard(text) == shard


@pytest.mark.parametrize("text", ["", "1", "0/4", "5/4", "1/0", "-1/4", "a/b", "1/4/2", "1.0/4", "/", "1/", "²/4"])
def test_shard_option_errors(text: str) -> None:
    """Anything else is an OptionError with the value and an example."""
    with pytest.raises(OptionError) as raised:
        parse_shard(text)
    assert f"--fc-shard={text}" in str(raised.value)
    assert "1/4" in str(raised.value)


@PROPERTY
@given(some_entries, st.integers(0, 70), st.integers(0, 3))
def test_a_stratified_sample_keeps_the_shares(entries: list[IndexEntry], size: int, seed: int) -> None:
    """Each type gets its share of the sample, to the nearest pivot, and the sample has its size."""
    mixed = [
        IndexEntry(found.row, found.id, found.trajectory_id, "message" if found.row % 3 else "function_call", ())
        for found in entries
    ]
    chosen = select(Selection(sample=size, seed=seed, stratified=True), mixed)
    assert len(chosen) == min(size, len(mixed))
    for kind in ("message", "function_call"):
        share = sum(found.expected_type == kind for found in mixed) * len(chosen)
        assert abs(sum(found.expected_type == kind for found in chosen) * len(mixed) - share) < max(1, len(mixed))


@pytest.mark.parametrize(
    ("column", "found", "condition", "met"),
    [
        ("depth", 4, "depth>=4", True),
        ("depth", 3, "depth >= 4", False),
        ("depth", None, "depth<4", False),
        ("depth", None, "depth!=4", True),
        ("n_tools", 0, "n_tools=0", True),
        ("expected_type", "message", "expected_type=message", True),
        ("expected_type", "message", "expected_type!=message", False),
        ("id", "t10-d2", "id>t10-d1", True),
        ("tool", ["a.b", "c"], "tool=a.b", True),
        ("tool", [], "tool!=a.b", True),
        ("metadata", '{"used_in": ["x", "y"]}', "metadata.used_in=y", True),
        ("metadata", '{"pass_rate": 0.25}', "metadata.pass_rate<0.5", True),
        ("metadata", '{"a": {"b": "1.0"}}', "metadata.a.b=1.0", True),
        ("metadata", '{"a": true}', "metadata.a=true", True),
        ("metadata", '{"a": true}', "metadata.a=1", False),
        ("metadata", '{"a": false}', "metadata.a<1", False),
        ("metadata", '{"a": "x"}', "metadata.a.b=x", False),
        ("metadata", '{"a": {"b": 1}}', 'metadata.a={"b": 1}', True),
        ("metadata", '{"a": 7}', "metadata.a=7.0", True),
        ("metadata", '{"a": 7}', "metadata.a=seven", False),
        ("metadata", '{"a": 10}', "metadata.a>9", True),
        ("metadata", '{"a": ["x"]}', "metadata.a!=y", True),
        ("metadata", '{"a": ["x"]}', "metadata.a!=x", False),
        ("tool", ["a.b", "c"], "tool!=a.b", False),
        ("metadata", "{}", "metadata.a=1", False),
        ("metadata", "{}", "metadata.a!=1", True),
    ],
)
def test_conditions(column: str, found: object, condition: str, met: bool) -> None:
    """A condition compares numbers as numbers, text as text, and looks into lists and metadata."""
    parsed = parse_condition(condition)
    assert parsed.column == column
    assert parsed.met_by(found) is met


COLUMNS = "id, split, trajectory_id, expected_type, turn, step, depth, n_tools, source_line, tool, metadata.KEY"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("expected_type", f"write COLUMN=VALUE (or != >= <= > <); columns: {COLUMNS}"),
        ("colour=red", f"there is no column colour; columns: {COLUMNS}"),
        ("depth=deep", "depth is compared with a number"),
        ("tool>=a", "a tool can only be compared by = and !="),
        ("metadata=1", "there is no column metadata"),
    ],
)
def test_conditions_that_cannot_be_used(text: str, told: str) -> None:
    """A condition that cannot be used is refused with what can be."""
    with pytest.raises(OptionError, match=re.escape(f"--fc-where={text}: ") + ".*" + re.escape(told)):
        parse_condition(text)


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("split=train", "--fc-split=train"),
        ("split!=train", "--fc-where=split!=train"),
        ("tool=a.b", "--fc-where=tool=a.b"),
        ("depth >= 4", "--fc-where=depth>=4"),
        ("id=a b", "--fc-where=id=a b"),
        ("metadata.a.b<0.50", "--fc-where=metadata.a.b<0.50"),
    ],
)
def test_a_condition_as_its_option(text: str, option: str) -> None:
    """A condition is written as the option that asks for the same."""
    condition = parse_condition(text)
    assert condition.option == option
    assert parse_condition(option.removeprefix("--fc-where=").removeprefix("--fc-")) == condition


@pytest.mark.parametrize(
    ("content", "ids"),
    [
        (b"a\nb\n", {"a", "b"}),
        (b"  a \r\n\n  \n b", {"a", "b"}),
        (b"# chosen by hand\na\n  # indented\nb # c\n", {"a", "b # c"}),
        (b"\xef\xbb\xbfa\n", {"a"}),
        ("é\n".encode(), {"é"}),
    ],
)
def test_an_ids_file(tmp_path: Path, content: bytes, ids: set[str]) -> None:
    """Ids stand one a line; blank lines and lines that begin with #, indented or not, are passed over."""
    path = tmp_path / "ids.txt"
    path.write_bytes(content)
    assert read_ids(path) == ids


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "no ids in it"),
        (b"\n # only this\n", "no ids in it"),
        (b"a\xff\n", "cannot be read: 'utf-8' codec can't decode byte 0xff in position 1: invalid start byte"),
        ("a\n".encode("utf-16"), "UTF-16"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_an_ids_file_that_cannot_be_used(tmp_path: Path, content: bytes | None, told: str) -> None:
    """An ids file that is empty, is no UTF-8 or is not there is an OptionError that names option and file."""
    path = tmp_path / "ids.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OptionError, match=re.escape(f"--fc-ids={path}: ") + ".*" + re.escape(told)):
        read_ids(path)
