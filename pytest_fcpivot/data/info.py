"""Facts about a data file: counts, distributions, sizes and provenance, read without any conversation."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pytest_fcpivot.core.apart import shown_name
from pytest_fcpivot.core.errors import DataError
from pytest_fcpivot.core.jsontext import one_line
from pytest_fcpivot.data import open_store, resolve_data
from pytest_fcpivot.data.progress import no_progress
from pytest_fcpivot.data.remarks import KEY as REMARKS
from pytest_fcpivot.data.remarks import Remarks
from pytest_fcpivot.data.store import AGAIN, DAMAGED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from pytest_fcpivot.data.progress import Reached
MOST_EXPECTED = 20
_COLUMNS = ["split", "trajectory_hash", "depth", "expected_type", "expected_names", "n_tools"]
_GROUPS_A_READ = 256
_NO_SPLIT = "(none)"
_REASONS_SHOWN = 5
_THOUSAND = 1000
_ADD_UP = "import json, sys; from pytest_fcpivot.data.info import sizes; print(json.dumps(sizes(sys.argv[1])))"
# The entries of the store's metadata that are shown in places of their own, not under `provenance`.
_NOT_PROVENANCE = frozenset({"rows", "audit", "flags", "bad_rows", "bad_row_reasons", REMARKS})


def facts(name: str | Path, *, progress: Reached = no_progress) -> dict[str, Any]:
    """Describe a data file, given by its name, as builtins; broken rows of a source file are counted, not refused.

    `share` is a fraction of the pivots; for tools, of the expected calls. A distribution's `p95` is the smallest value
    that at least 95 % of the pivots, or trajectories, do not exceed. `progress` is as in `prepare`. Raises DataError if
    the file cannot be used.
    """
    path = resolve_data(str(name))
    kept, details = _opened(path, progress)
    try:
        with pq.ParquetFile(kept) as file:
            counted = _counted(file)
    except DAMAGED as error:
        raise DataError(f"{kept}: cannot be read as parquet: {error}") from error
    sizes = _sizes_apart(kept)
    return {
        "file": str(name),
        "source_file": kept != path,
        **counted,
        "sizes": {"file_bytes": path.stat().st_size, "store_bytes": kept.stat().st_size, **sizes},
        "provenance": {key: value for key, value in details.items() if key not in _NOT_PROVENANCE},
        "audit": details.get("audit"),
        "flags": details.get("flags", {}),
        REMARKS: details.get(REMARKS),
        "bad_rows": details.get("bad_rows", 0),
        "bad_row_reasons": details.get("bad_row_reasons", []),
    }


def _opened(path: Path, progress: Reached) -> tuple[Path, dict[str, Any]]:
    """Return the path of a data file's store, prepared now if necessary, and its provenance.

    The store is closed again, because its parsed footer takes as much memory as all that is read here.
    """
    store = open_store(path, bad_rows="skip", progress=progress)
    try:
        return store.path, store.provenance
    finally:
        store.close()


def _counted(file: pq.ParquetFile) -> dict[str, Any]:
    """Compute the counts from the small columns, reading some row groups at a time."""
    splits: Counter[Any] = Counter()
    kinds: Counter[Any] = Counter()
    depths: Counter[Any] = Counter()
    tools: Counter[Any] = Counter()
    names: Counter[Any] = Counter()
    calls: Counter[Any] = Counter()
    trajectories = []
    for start in range(0, file.num_row_groups, _GROUPS_A_READ):
        some = range(start, min(start + _GROUPS_A_READ, file.num_row_groups))
        batch = file.read_row_groups(some, columns=_COLUMNS, use_threads=False).combine_chunks()
        for column, counter in (("split", splits), ("expected_type", kinds), ("depth", depths), ("n_tools", tools)):
            _count(batch.column(column), counter)
        called = batch.column("expected_names")
        _count(pc.list_flatten(called), names)
        _count(pc.list_value_length(called), calls)
        trajectories.append(batch.column("trajectory_hash").combine_chunks())
    pivots = kinds.total()
    made = names.total()
    lengths: Counter[Any] = Counter()
    _count(pc.value_counts(pa.chunked_array(trajectories, pa.uint64())).field("counts"), lengths)
    unknown = depths.pop(None, 0)
    most = sorted(names.items(), key=lambda entry: (-entry[1], entry[0]))[:MOST_EXPECTED]
    return {
        "pivots": pivots,
        "trajectories": lengths.total(),
        "pivots_per_trajectory": _spread(lengths),
        "splits": {split or _NO_SPLIT: _part(count, pivots) for split, count in _by_count(splits)},
        "expected_types": {kind: _part(count, pivots) for kind, count in _by_count(kinds)},
        "expected_calls": made,
        "calls_per_batch": {str(length): count for length, count in sorted(calls.items()) if length > 1},
        "expected_tools": len(names),
        "most_expected_tools": [{"name": name, **_part(count, made, "calls")} for name, count in most],
        "depth": {**_spread(depths), "unknown": unknown},
        "tools": _spread(tools),
    }


def _count(values: Any, counter: Counter[Any]) -> None:
    counts = pc.value_counts(values)
    for value, count in zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True):
        counter[value] += count


def _by_count(counter: Counter[Any]) -> list[tuple[Any, int]]:
    return sorted(counter.items(), key=lambda entry: (-entry[1], str(entry[0])))


def _part(count: int, whole: int, unit: str = "pivots") -> dict[str, Any]:
    return {unit: count, "share": count / whole}


def _spread(counter: Counter[int]) -> dict[str, Any]:
    """Return minimum, median, mean, 95th percentile and maximum of counted numbers; None for each if there are none."""
    total = counter.total()
    if not total:
        return dict.fromkeys(("min", "median", "mean", "p95", "max"))
    values = sorted(counter)
    middle = (_ranked(counter, values, (total + 1) // 2) + _ranked(counter, values, total // 2 + 1)) / 2
    return {
        "min": values[0],
        "median": middle,
        "mean": sum(value * count for value, count in counter.items()) / total,
        "p95": _ranked(counter, values, -(-total * 95 // 100)),
        "max": values[-1],
    }


def _ranked(counter: Counter[int], values: Sequence[int], rank: int) -> int:
    """Return the value at a rank, counted from 1."""
    for value in values:
        rank -= counter[value]
        if rank <= 0:
            return value
    return values[-1]


def _sizes_apart(path: Path) -> dict[str, Any]:
    """Return the result of `sizes`, computed in a child process, since some damaged footers make Arrow abort.

    Raises DataError if that happens.
    """
    command = [sys.executable, "-P", "-c", _ADD_UP, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (a fixed command)
    if done.returncode:
        lines = [line.strip().removeprefix("what():").strip() for line in done.stderr.splitlines() if line.strip()]
        why = one_line(lines[-1], 200) if lines else "Arrow gives no reason"
        raise DataError(f"{path}: damaged: its footer cannot be read: {why}; {AGAIN}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def sizes(path: str | Path) -> dict[str, Any]:
    """Add up the sizes of a store's columns over all row groups."""
    footer = pq.read_metadata(path)
    plain: Counter[str] = Counter()
    stored: Counter[str] = Counter()
    rows = []
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        rows.append(group.num_rows)
        for place in range(group.num_columns):
            column = group.column(place)
            name = column.path_in_schema.partition(".")[0]
            plain[name] += column.total_uncompressed_size
            stored[name] += column.total_compressed_size
    columns = {name: {"uncompressed_bytes": plain[name], "stored_bytes": stored[name]} for name in plain}
    return {"row_groups": len(rows), "rows_per_group": max(rows, default=0), "columns": columns}


def describe(found: Mapping[str, Any]) -> list[str]:
    """Format the result of `facts` as lines of text."""
    return [*_lines(found)]


def _lines(found: Mapping[str, Any]) -> Iterable[str]:
    sizes = found["sizes"]
    yield f"{found['file']}: {found['pivots']} pivots of {found['trajectories']} trajectories"
    for title, key in (("split", "splits"), ("expected", "expected_types")):
        yield ""
        yield f"{title}:"
        yield from (_counted_line(part["pivots"], part["share"], name) for name, part in found[key].items())
    if found["calls_per_batch"]:
        batches = ", ".join(f"{calls}: {count}" for calls, count in found["calls_per_batch"].items())
        yield f"  calls per batch: {batches}"
    if found["most_expected_tools"]:
        yield ""
        some = found["most_expected_tools"]
        which = "all" if len(some) == found["expected_tools"] else f"{len(some)} most expected"
        yield f"tools expected in {found['expected_calls']} calls: {found['expected_tools']} ({which}):"
        yield from (_counted_line(tool["calls"], tool["share"], shown_name(tool["name"])) for tool in some)
    yield ""
    yield f"{'':24}{'min':>8} {'median':>8} {'mean':>8} {'95 %':>8} {'max':>8}"
    for title, key in (
        ("depth", "depth"),
        ("tools on offer", "tools"),
        ("pivots per trajectory", "pivots_per_trajectory"),
    ):
        spread = found[key]
        numbers = " ".join(f"{_number(spread[name]):>8}" for name in ("min", "median", "mean", "p95", "max"))
        unknown = f"  (unknown: {spread['unknown']})" if spread.get("unknown") else ""
        yield f"{title:24}{numbers}{unknown}"
    yield ""
    prepared = f", {_bytes(sizes['store_bytes'])} when prepared" if found["source_file"] else ""
    yield f"size: {_bytes(sizes['file_bytes'])}{prepared}"
    yield f"row groups: {sizes['row_groups']} of up to {sizes['rows_per_group']} rows"
    yield f"{'column':24}{'uncompressed':>14} {'stored':>10}"
    for name, size in sizes["columns"].items():
        yield f"  {name:22}{_bytes(size['uncompressed_bytes']):>14} {_bytes(size['stored_bytes']):>10}"
    yield from _provenance_lines(found)


def _counted_line(count: int, share: float, name: str) -> str:
    return f"  {count:>9}  {share:>7.2%}  {one_line(name, 200)}"


def _provenance_lines(found: Mapping[str, Any]) -> Iterable[str]:
    provenance = found["provenance"]
    yield ""
    yield "provenance:"
    for key, value in provenance.items():
        if key != "sources" and value is not None:
            yield f"  {one_line(key)}: {one_line(str(value))}"
    for source in provenance.get("sources") or ():
        yield f"  - {one_line(str(source.get('source')))}"
        for key, value in source.items():
            if key != "source" and value is not None:
                yield f"    {one_line(key)}: {one_line(str(value))}"
    audit = found["audit"]
    if audit:
        yield ""
        yield (
            f"audit: rows {audit['rows']}: {audit['pivot_rows']} pivots, {audit['conversations']} conversations "
            f"with {audit['turns']} assistant turns ({audit['skipped']} skipped), {audit['broken']} broken"
        )
    elif found["bad_rows"]:
        yield f"broken rows: {found['bad_rows']}"
    yield from map(one_line, Remarks.of(found).lines())
    for reason in found["bad_row_reasons"][:_REASONS_SHOWN]:
        yield f"  {one_line(reason)}"
    if found["bad_rows"] > _REASONS_SHOWN:
        yield f"  … and {found['bad_rows'] - _REASONS_SHOWN} more"
    if found["flags"]:
        yield "rows with something unusual:"
        for flag, count in found["flags"].items():
            yield f"  {count:>9}  {one_line(flag)}"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return str(int(value)) if value == int(value) else f"{value:.1f}"


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < _THOUSAND:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= _THOUSAND
    return f"{size:.1f} TB"
