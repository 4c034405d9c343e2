"""Which pivots run: filter, then shard, then sample, then limit; the same in every process.

Decided on small columns of the store, before anything else of a pivot is read.
"""

from __future__ import annotations

import json
import operator
import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from heapq import nsmallest
from typing import TYPE_CHECKING, Any, Protocol

from pytest_fcpivot.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path


class Index(Protocol):
    """What a selection has to know of a store's rows: one column's values, and stable hashes of the ids, by row."""

    def __len__(self) -> int: ...
    def each(self, column: str) -> Iterable[Any]: ...  # noqa: D102
    def trajectory_hashes(self) -> Sequence[int]: ...  # noqa: D102
    def id_hashes(self) -> Sequence[int]: ...  # noqa: D102


_64_BITS = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Selection:
    """A part of a data set.

    `conditions`: what pivots have to meet, all of it; `ids`: which pivots, by name. `shard` (I, N), from 1: the
    trajectories whose stable hash falls to shard I of N, so shards are disjoint and whole trajectories stay together.
    `sample`: so many pivots, chosen by `seed`, the same in any file order; a larger sample holds the smaller one;
    `stratified`: shared among the expected types as they share what is sampled from. `limit`: the first so many of what
    is left. File order is kept throughout.
    """

    shard: tuple[int, int] | None = None
    sample: int | None = None
    seed: int = 0
    limit: int | None = None
    stratified: bool = False
    conditions: tuple[Condition, ...] = ()
    ids: frozenset[str] | None = None

    def rows(self, index: Index) -> Sequence[int]:
        """Return the selected rows of a store, in file order."""
        rows: Sequence[int] = range(len(index))
        for condition in self.conditions:
            kept = bytearray(map(condition.met_by, index.each(condition.column)))
            rows = [row for row in rows if kept[row]]
        if self.ids is not None:
            named = bytearray(id_ in self.ids for id_ in index.each("id"))
            rows = [row for row in rows if named[row]]
        if self.shard is not None:
            number, count = self.shard
            trajectories = index.trajectory_hashes()
            rows = [row for row in rows if trajectories[row] % count == number - 1]
        if self.sample is not None:
            rows = self._sampled(self.sample, rows, index)
        return rows if self.limit is None else rows[: self.limit]

    def _sampled(self, size: int, rows: Sequence[int], index: Index) -> Sequence[int]:
        salt = stable_hash("seed", str(self.seed))
        ids = index.id_hashes()

        def place(row: int) -> tuple[int, int]:
            return _mixed(ids[row] ^ salt), row

        if not self.stratified:
            return sorted(nsmallest(size, rows, key=place))
        kinds = list(index.each("expected_type"))
        strata: dict[str, list[int]] = {}
        for row in rows:
            strata.setdefault(kinds[row], []).append(row)
        shares = _shares(size, {kind: len(members) for kind, members in strata.items()})
        return sorted(row for kind, members in strata.items() for row in nsmallest(shares[kind], members, key=place))


def _shares(size: int, members: dict[str, int]) -> dict[str, int]:
    """Share a sample among strata as they share the whole, by largest remainders."""
    total = sum(members.values())
    size = min(size, total)
    shares = {kind: size * count // total for kind, count in members.items()}
    by_remainder = sorted(members, key=lambda kind: (-(size * members[kind] % total), kind))
    for kind in by_remainder[: size - sum(shares.values())]:
        shares[kind] += 1
    return shares


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_CONDITION = re.compile(r"\s*([\w.-]+)\s*(!=|>=|<=|=|>|<)\s*(.*?)\s*")
_NUMBERS = ("turn", "step", "depth", "n_tools", "source_line")
_TEXTS = ("id", "split", "trajectory_id", "expected_type")
TOOL, METADATA = "tool", "metadata"


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition on a column: `column` to read, for metadata the `path` in it, the comparison, and the value."""

    column: str
    path: tuple[str, ...]
    comparison: str
    value: Any

    def met_by(self, found: Any) -> bool:
        """Tell whether a column's value meets the condition; a missing one meets only `!=`."""
        if self.column == TOOL:
            return (self.value in found) == (self.comparison == "=")
        if self.column == METADATA:
            found = json.loads(found)
            for key in self.path:
                found = found.get(key) if isinstance(found, dict) else None
        if found is None:
            return self.comparison == "!="
        wanted = self.value
        if isinstance(wanted, str) and not isinstance(found, str):
            if isinstance(found, list):
                return (wanted in map(_as_text, found)) == (self.comparison == "=")
            number = None if isinstance(found, bool | dict) else _number(wanted)
            found, wanted = (found, number) if number is not None else (_as_text(found), wanted)
        return _COMPARISONS[self.comparison](found, wanted)


def parse_condition(text: str, where: str = "--fc-where") -> Condition:
    """Read `column=value`, or with another comparison; raises OptionError, naming the columns there are."""
    found = _CONDITION.fullmatch(text)
    known = (*_TEXTS, *_NUMBERS, TOOL, f"{METADATA}.KEY")
    if found is None:
        raise OptionError(f"{where}={text}: write COLUMN=VALUE (or != >= <= > <); columns: {', '.join(known)}")
    column, comparison, value = found.groups()
    head, _, rest = column.partition(".")
    if head == METADATA and rest:
        return Condition(METADATA, tuple(rest.split(".")), comparison, value)
    if column == TOOL:
        if comparison not in ("=", "!="):
            raise OptionError(f"{where}={text}: a tool can only be compared by = and !=")
        return Condition(TOOL, (), comparison, value)
    if column in _NUMBERS:
        number = _number(value)
        if number is None:
            raise OptionError(f"{where}={text}: {column} is compared with a number")
        return Condition(column, (), comparison, number)
    if column not in _TEXTS:
        raise OptionError(f"{where}={text}: there is no column {column}; columns: {', '.join(known)}")
    return Condition(column, (), comparison, value)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def read_ids(path: Path, where: str = "--fc-ids") -> frozenset[str]:
    """Read pivot ids, one a line, with blank lines and lines that begin with # passed over; raises OptionError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"{where}={path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    ids = frozenset(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))
    if not ids:
        raise OptionError(f"{where}={path}: no ids in it")
    return ids


def parse_shard(text: str, where: str = "--fc-shard") -> tuple[int, int]:
    """Read `I/N`, 1 <= I <= N; raises OptionError otherwise."""
    index, slash, count = text.partition("/")
    if slash and index.strip().isdecimal() and count.strip().isdecimal():
        shard = int(index), int(count)
        if 1 <= shard[0] <= shard[1]:
            return shard
    raise OptionError(f"{where}={text}: shards are numbered from 1, as in 1/4 … 4/4")


def stable_hash(salt: str, text: str) -> int:
    """Return 64 bits that stand for a text, the same on every machine; other salts give independent ones."""
    salted = _salted(salt).copy()  # a third of the time of a new one with these arguments
    salted.update(text.encode("utf-8", "surrogatepass"))
    return int.from_bytes(salted.digest())


@lru_cache(maxsize=64)
def _salted(salt: str) -> blake2b:
    return blake2b(digest_size=8, salt=blake2b(salt.encode(), digest_size=16).digest())


def _mixed(number: int) -> int:
    """Scatter 64 bits so that neighbours are far apart: the finalizer of SplitMix64 (Steele et al. 2014)."""
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & _64_BITS
    number = (number ^ number >> 27) * 0x94D049BB133111EB & _64_BITS
    return number ^ number >> 31
