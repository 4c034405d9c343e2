"""Info: counts equal those made by hand from the source's own lines, sizes add up, and provenance is told."""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from pytest_fcpivot import Action, DataError, FunctionCall, Pivot
from pytest_fcpivot.data import SAMPLE, SAMPLE_PATH, file_hash, info, synth
from pytest_fcpivot.data.info import MOST_EXPECTED, describe, facts
from pytest_fcpivot.data.preparing import prepare
from pytest_fcpivot.data.rows import StoredPivot
from pytest_fcpivot.data.sources import file_source
from pytest_fcpivot.data.store import FORMAT_VERSION, ROWS_PER_GROUP, SCHEMA, write_store

if TYPE_CHECKING:
    from collections.abc import Sequence

SAMPLE_ROWS = Path(__file__).resolve().parents[2] / "fixtures" / "sample" / "sample.jsonl"
PIVOTS = 500


@dataclass
class ByHand:
    """What is counted in the lines of a source."""

    trajectories: Counter[Any] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    names: Counter[str] = field(default_factory=Counter)
    batches: Counter[str] = field(default_factory=Counter)
    depths: list[int] = field(default_factory=list)
    tools: list[int] = field(default_factory=list)

    def add(self, trajectory: Any, names: list[str], depth: int, tools: int) -> None:
        """Count a pivot."""
        self.trajectories[trajectory] += 1
        self.kinds["message" if not names else "function_call" if len(names) == 1 else "function_call_batch"] += 1
        self.names.update(names)
        if len(names) > 1:
            self.batches[str(len(names))] += 1
        self.depths.append(depth)
        self.tools.append(tools)


def by_hand(lines: Sequence[bytes]) -> ByHand:
    """Count the rows of either shape, knowing nothing of the package."""
    count = ByHand()
    for line in lines:
        row = json.loads(line)
        if "messages" in row:
            turns = [message for message in row["messages"] if message["role"] == "assistant"]
            for depth, turn in enumerate(turns):
                names = [call["function"]["name"] for call in turn.get("tool_calls") or []]
                if names or turn["content"]:
                    count.add(row["uuid"], names, depth, len(row["tools"]))
        else:
            expected = row["expected_action"]
            calls = expected.get("calls", [expected]) if expected["type"] != "message" else []
            tools = row["responses_create_params"].get("tools") or []
            count.add(row["trajectory_id"], [call["name"] for call in calls], row["info"]["depth"], len(tools))
    return count


def spread(numbers: Sequence[int]) -> dict[str, Any]:
    """Describe numbers by the standard library."""
    return {
        "min": min(numbers),
        "median": statistics.median(numbers),
        "mean": pytest.approx(statistics.fmean(numbers)),
        "p95": sorted(numbers)[math.ceil(0.95 * len(numbers)) - 1],
        "max": max(numbers),
    }


def assert_equal(found: dict[str, Any], count: ByHand) -> None:
    """Compare what was found with what was counted by hand."""
    pivots, calls = count.kinds.total(), count.names.total()
    assert (found["pivots"], found["trajectories"]) == (pivots, len(count.trajectories))
    assert found["splits"] == {"(none)": {"pivots": pivots, "share": 1}}
    assert {kind: part["pivots"] for kind, part in found["expected_types"].items()} == count.kinds
    assert all(part["share"] == part["pivots"] / pivots for part in found["expected_types"].values())
    assert (found["expected_calls"], found["expected_tools"]) == (calls, len(count.names))
    assert found["calls_per_batch"] == count.batches
    most = sorted(count.names.items(), key=lambda entry: (-entry[1], entry[0]))[:MOST_EXPECTED]
    assert [(tool["name"], tool["calls"]) for tool in found["most_expected_tools"]] == most
    assert found["depth"] == spread(count.depths) | {"unknown": 0}
    assert found["tools"] == spread(count.tools)
    assert found["pivots_per_trajectory"] == spread(list(count.trajectories.values()))


def test_the_sample_is_counted_as_by_hand() -> None:
    """The bundled data by the name that every command takes."""
    found = facts(SAMPLE)
    assert_equal(found, by_hand(SAMPLE_ROWS.read_bytes().splitlines()))
    assert found["sizes"]["file_bytes"] == SAMPLE_PATH.stat().st_size
    assert found["provenance"]["source_sha256"] == file_hash(SAMPLE_ROWS)
    assert found["provenance"]["licence"] == "Apache-2.0"


@pytest.mark.parametrize("kind", synth.KINDS)
def test_generated_data_are_counted_as_by_hand(tmp_path: Path, kind: str) -> None:
    """Both shapes, as a source file and as a prepared store: the same counts."""
    source, store = tmp_path / "rows.jsonl", tmp_path / "store.parquet"
    with source.open("wb") as stream:
        synth.write(kind, PIVOTS, 3, stream)
    audit = prepare([file_source(source)], store)
    found = facts(store)
    assert_equal(found, by_hand(source.read_bytes().splitlines()))
    assert found["pivots"] == PIVOTS
    assert found["audit"] == audit.counts()
    assert found["flags"] == dict(sorted(audit.flags.items()))
    assert found["provenance"]["sources"][0]["sha256"] == file_hash(source)
    raw = facts(source)
    assert (raw["source_file"], found["source_file"]) == (True, False)
    assert raw["sizes"]["file_bytes"] == source.stat().st_size
    for key in ("pivots", "trajectories", "expected_types", "most_expected_tools", "depth", "audit", "flags"):
        assert raw[key] == found[key]


def pivot(number: int, **fields: Any) -> Pivot:
    """Return a pivot."""
    given: dict[str, Any] = {"expected_action": Action((FunctionCall(f"f{number % 25}"),)), "depth": number}
    return Pivot(f"p{number}", f"t{number // 3}", input_json='[{"role":"user"}]', **(given | fields))


def test_splits_and_unknown_depths_are_counted(tmp_path: Path) -> None:
    """Splits come with their shares, the largest first; a pivot without a depth is told apart, and not a zero."""
    path = tmp_path / "store.parquet"
    rows = [pivot(n, split="b" if n else "a", depth=n or None) for n in range(4)]
    write_store(path, map(StoredPivot.of, rows), {})
    found = facts(path)
    assert list(found["splits"].items()) == [("b", {"pivots": 3, "share": 0.75}), ("a", {"pivots": 1, "share": 0.25})]
    assert found["depth"] == {"min": 1, "median": 2, "mean": 2, "p95": 3, "max": 3, "unknown": 1}
    assert "(unknown: 1)" in "\n".join(describe(found))


def test_nothing_known_is_a_dash_and_no_error(tmp_path: Path) -> None:
    """A store of messages without depths, written by someone else's code without provenance, is described too."""
    path = tmp_path / "store.parquet"
    write_store(path, map(StoredPivot.of, [pivot(0, depth=None, expected_action=Action(message="Yes."))]), {})
    found = facts(path)
    assert found["depth"] == {"min": None, "median": None, "mean": None, "p95": None, "max": None, "unknown": 1}
    assert (found["audit"], found["most_expected_tools"], found["calls_per_batch"]) == (None, [], {})
    line = next(line for line in describe(found) if line.startswith("depth"))
    assert line.split() == ["depth", "-", "-", "-", "-", "-", "(unknown:", "1)"]


def test_many_row_groups_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts and sizes are over all row groups, some read at a time, and every column of the store has its size."""
    monkeypatch.setattr(info, "_GROUPS_A_READ", 4)
    path, count = tmp_path / "store.parquet", 5 * ROWS_PER_GROUP + 1
    write_store(path, (StoredPivot.of(pivot(number)) for number in range(count)), {})
    found = facts(path)
    assert (found["pivots"], found["expected_tools"], len(found["most_expected_tools"])) == (count, 25, MOST_EXPECTED)
    sizes = found["sizes"]
    assert (sizes["row_groups"], sizes["rows_per_group"]) == (6, ROWS_PER_GROUP)
    assert list(sizes["columns"]) == SCHEMA.names
    footer = pq.read_metadata(path)
    plain = sum(footer.row_group(group).total_byte_size for group in range(6))
    assert sum(size["uncompressed_bytes"] for size in sizes["columns"].values()) == plain
    assert sum(size["stored_bytes"] for size in sizes["columns"].values()) < sizes["file_bytes"]


def test_broken_rows_are_counted_and_named(tmp_path: Path) -> None:
    """A file that a run would refuse is described, with what is broken."""
    good = SAMPLE_ROWS.read_bytes().splitlines()[0]
    source = tmp_path / "rows.jsonl"
    source.write_bytes(b"\n".join([good, *[b"{"] * 7]))
    found = facts(source)
    assert (found["pivots"], found["bad_rows"], found["audit"]["broken"]) == (1, 7, 7)
    text = "\n".join(describe(found))
    assert "audit: rows 8: 1 pivots, 0 conversations with 0 assistant turns (0 skipped), 7 broken" in text
    assert "  line 2: not JSON: " in text
    assert "  … and 2 more" in text


def test_it_is_json_and_text(tmp_path: Path) -> None:
    """All facts are builtins, and what is written for people names provenance, and has no control characters."""
    path = tmp_path / "store.parquet"
    source = {"source": "hf://a/b", "repo": "a/b", "commit": "c0ffee", "sha256": "12ab", "licence": "CC-BY-4.0"}
    provenance = {"sources": [source | {"attribution": None}], "prepared_by": "0.1.0", "flags": {"odd": 2}}
    batch = Action((FunctionCall("f\x1b[31m"), FunctionCall("g"), FunctionCall("g")))
    write_store(path, map(StoredPivot.of, [pivot(0, expected_action=batch)]), provenance)
    found = facts(path)
    assert json.loads(json.dumps(found)) == found
    assert found["provenance"] == {
        "format_version": FORMAT_VERSION,
        "sources": provenance["sources"],
        "prepared_by": "0.1.0",
    }
    lines = describe(found)
    text = "\n".join(lines)
    assert lines[0] == f"{path}: 1 pivots of 1 trajectories"
    for part in (
        "          1  100.00%  function_call_batch",
        "  calls per batch: 3: 1",
        "tools expected in 3 calls: 2 (all):",
        "          2   66.67%  g",
        "  prepared_by: 0.1.0",
        "  - hf://a/b",
        "    commit: c0ffee",
        "    licence: CC-BY-4.0",
        "          2  odd",
    ):
        assert part in lines
    assert "attribution" not in text
    assert "\x1b" not in text


def test_what_is_no_data_is_refused(tmp_path: Path) -> None:
    """A name that means no file, a parquet that is damaged."""
    with pytest.raises(DataError, match="not found"):
        facts("no-such.parquet")
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(SAMPLE_PATH.read_bytes()[:-100])
    with pytest.raises(DataError, match="cannot be read as parquet"):
        facts(damaged)


def test_a_footer_that_ends_arrows_process_is_refused(tmp_path: Path) -> None:
    """A footer over which Arrow ends the process that looks at it is an error as any other."""
    path = tmp_path / "store.parquet"
    write_store(path, [StoredPivot.of(pivot(0))], {})
    optional, required = b"\x25\x02\x18\x04step", b"\x25\x00\x18\x04step"  # whether a column may have nulls
    whole = path.read_bytes()
    assert whole.count(optional) == 1
    path.write_bytes(whole.replace(optional, required))
    with pytest.raises(DataError, match="its footer cannot be read: Definition level"):
        facts(path)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every test a cache of its own."""
    monkeypatch.setenv("FC_CACHE_DIR", str(tmp_path / "cache"))
