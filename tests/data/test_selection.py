"""Selection: shards that share nothing, samples that grow, and the same choice in every process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_fcpivot import OptionError
from pytest_fcpivot.data import SAMPLE_PATH, open_store
from pytest_fcpivot.data.selection import Selection, parse_condition, parse_shard, stable_hash
from pytest_fcpivot.data.store import IndexEntry

PROPERTY = settings(deadline=None)


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
        ("metadata", "{}", "metadata.a=1", False),
        ("metadata", "{}", "metadata.a!=1", True),
    ],
)
def test_conditions(column: str, found: object, condition: str, met: bool) -> None:
    """A condition compares numbers as numbers, text as text, and looks into lists and metadata."""
    parsed = parse_condition(condition)
    assert parsed.column == column
    assert parsed.met_by(found) is met


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("expected_type", "write COLUMN=VALUE"),
        ("colour=red", "there is no column colour; columns: id, split, trajectory_id, expected_type, turn"),
        ("depth=deep", "depth is compared with a number"),
        ("tool>=a", "a tool can only be compared by = and !="),
        ("metadata=1", "there is no column metadata"),
    ],
)
def test_conditions_that_cannot_be_used(text: str, told: str) -> None:
    """A condition that cannot be used is refused with what can be."""
    with pytest.raises(OptionError, match=re.escape(f"--fc-where={text}: ") + ".*" + re.escape(told)):
        parse_condition(text)
