"""Selects the pivots that run: filter, then shard, then sample, then limit, with the same result in every process.

The selection needs only small columns of the store; nothing else of a pivot is read for it.
"""

from __future__ import annotations

import json
import operator
import re
from collections import Counter
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache, partial
from hashlib import blake2b
from heapq import nsmallest
from typing import TYPE_CHECKING, Any, Protocol

from pytest_fcpivot.core.encodings import HEAD, save_as_utf8, wide_encoding
from pytest_fcpivot.core.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path


class Index(Protocol):
    """The interface of a store that a selection needs: the values of a column, and stable hashes of the ids, by row."""

    def __len__(self) -> int: ...
    def each(self, column: str) -> Iterable[Any]: ...  # noqa: D102
    def trajectory_hashes(self) -> Sequence[int]: ...  # noqa: D102
    def id_hashes(self) -> Sequence[int]: ...  # noqa: D102


_64_BITS = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Selection:
    """The part of a dataset that runs.

    `conditions`: a pivot must meet all of them; `ids`: only pivots with these ids. `shard` (I, N), I from 1 to N: only
    the trajectories whose stable hash falls into shard I of N, so shards are disjoint and trajectories stay whole.
    `sample`: this many pivots, chosen by `seed`, whatever their order in the file; a larger sample contains a smaller
    one. `stratified`: the sample has the same proportions of expected types as what it is drawn from. `limit`: the
    first so many of the rest. File order is kept throughout.
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
        for _, keep in self._filters(index):
            rows = keep(rows)
        if self.sample is not None:
            rows = self._sampled(self.sample, rows, index)
        return rows if self.limit is None else rows[: self.limit]

    def why_nothing(self, index: Index) -> str:
        """Explain which filter excluded the last rows, and which values exist; "" if the filters leave some rows."""
        rows: Sequence[int] = range(len(index))
        before: list[str] = []
        for name, keep in self._filters(index):
            kept = keep(rows)
            if not kept:
                whose = f"the {len(rows)} pivots" + (f" that {' '.join(before)} left" if before else "")
                return f"{name} left none of {whose}{self._what_there_is(name, rows, index)}"
            rows = kept
            before.append(name)
        return "--fc-limit=0 leaves no pivot" if self.limit == 0 else ""

    def _filters(self, index: Index) -> Iterator[tuple[str, Callable[[Sequence[int]], Sequence[int]]]]:
        """Yield the filters in the order of their application, each with the command-line option that requests it."""
        for condition in self.conditions:
            yield condition.option, partial(_meeting, condition, index)
        if self.ids is not None:
            yield "--fc-ids", partial(_named, self.ids, index)
        if self.shard is not None:
            yield "--fc-shard={}/{}".format(*self.shard), partial(_of_shard, self.shard, index)

    def _what_there_is(self, option: str, rows: Sequence[int], index: Index) -> str:
        condition = next((each for each in self.conditions if each.option == option), None)
        if condition is not None:
            return f"; {condition.values_among(rows, index)}"
        if self.shard is None:
            return ""
        hashes = index.trajectory_hashes()
        return f": they are of {len({hashes[row] for row in rows})} trajectories, and a shard has whole ones"

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
    """Divide a sample among strata in proportion to their sizes, by the method of largest remainders."""
    total = sum(members.values())
    size = min(size, total)
    shares = {kind: size * count // total for kind, count in members.items()}
    by_remainder = sorted(members, key=lambda kind: (-(size * members[kind] % total), kind))
    for kind in by_remainder[: size - sum(shares.values())]:
        shares[kind] += 1
    return shares


def _meeting(condition: Condition, index: Index, rows: Sequence[int]) -> Sequence[int]:
    kept = bytearray(map(condition.met_by, index.each(condition.column)))
    return [row for row in rows if kept[row]]


def _named(ids: frozenset[str], index: Index, rows: Sequence[int]) -> Sequence[int]:
    named = bytearray(id_ in ids for id_ in index.each("id"))
    return [row for row in rows if named[row]]


def _of_shard(shard: tuple[int, int], index: Index, rows: Sequence[int]) -> Sequence[int]:
    number, count = shard
    trajectories = index.trajectory_hashes()
    return [row for row in rows if trajectories[row] % count == number - 1]


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
TOOL, METADATA, SPLIT = "tool", "metadata", "split"
_VALUES_SHOWN = 8
_MOST_COMPARED = 20_000  # values; a search for the closest match among more of them takes seconds


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition: the column to read, for metadata the `path` of keys in it, the comparison, and the value."""

    column: str
    path: tuple[str, ...]
    comparison: str
    value: Any

    @property
    def option(self) -> str:
        """Write the condition as the option that asks for it."""
        if self.column == SPLIT and self.comparison == "=":
            return f"--fc-split={self.value}"
        column = ".".join((self.column, *self.path))
        value = f"{self.value:g}" if isinstance(self.value, float) else self.value
        return f"--fc-where={column}{self.comparison}{value}"

    def values_among(self, rows: Sequence[int], index: Index) -> str:
        """Describe the values that some rows have in the condition's column: the closest ones, or their range."""
        name = ".".join((self.column, *self.path))
        wanted = set(rows)
        found: Counter[Any] = Counter()
        for row, value in enumerate(index.each(self.column)):
            if row not in wanted:
                continue
            there = self._inside(value) if self.column == METADATA else value
            found.update(map(_as_text, there) if isinstance(there, list | dict) else [there])
        del found[None]
        if not found:
            return f"none of them has a {name}"
        if all(isinstance(value, int | float) for value in found):
            return f"their {name} is from {min(found)} to {max(found)}"
        texts = Counter({_as_text(value): n for value, n in found.items()})
        near = get_close_matches(str(self.value), texts, n=_VALUES_SHOWN) if len(texts) <= _MOST_COMPARED else []
        shown = [*dict.fromkeys((*near, *(text for text, _ in texts.most_common(_VALUES_SHOWN))))][:_VALUES_SHOWN]
        more = len(texts) - len(shown)
        meant = f"; did you mean {near[0]}?" if near else ""
        return f"the values of {name} are {', '.join(shown)}{f' and {more} more' if more else ''}{meant}"

    def _inside(self, metadata: str) -> Any:
        """Return the value at the condition's path in a pivot's metadata, given as JSON; None if there is none."""
        found = json.loads(metadata)
        for key in self.path:
            found = found.get(key) if isinstance(found, dict) else None
        return found

    def met_by(self, found: Any) -> bool:
        """Return whether a column's value meets the condition; a missing value meets only `!=`."""
        if self.column == TOOL:
            return (self.value in found) == (self.comparison == "=")
        if self.column == METADATA:
            found = self._inside(found)
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
    """Parse `column=value` or another comparison; raises OptionError, which lists the columns, for anything else."""
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
    """Read pivot ids from a file, one per line; blank lines and lines that begin with # are skipped.

    Raises OptionError if the file cannot be read or holds no ids.
    """
    try:
        content = path.read_bytes()
        encoding = wide_encoding(content[:HEAD])
        if encoding is not None:
            raise OptionError(f"{where}={path}: {save_as_utf8(encoding)}")
        lines = content.decode("utf-8-sig").splitlines()  # Windows programs may begin UTF-8 with a BOM
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"{where}={path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    ids = frozenset(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))
    if not ids:
        raise OptionError(f"{where}={path}: no ids in it")
    return ids


def parse_shard(text: str, where: str = "--fc-shard") -> tuple[int, int]:
    """Parse `I/N` with 1 <= I <= N; raises OptionError for anything else."""
    index, slash, count = text.partition("/")
    if slash and index.strip().isdecimal() and count.strip().isdecimal():
        shard = int(index), int(count)
        if 1 <= shard[0] <= shard[1]:
            return shard
    raise OptionError(f"{where}={text}: shards are numbered from 1, as in 1/4 … 4/4")


def stable_hash(salt: str, text: str) -> int:
    """Return a 64-bit hash of a text that is the same on every machine; different salts give independent hashes."""
    salted = _salted(salt).copy()  # takes a third of the time of making a new hash object
    salted.update(text.encode("utf-8", "surrogatepass"))
    return int.from_bytes(salted.digest())


@lru_cache(maxsize=64)
def _salted(salt: str) -> blake2b:
    return blake2b(digest_size=8, salt=blake2b(salt.encode(), digest_size=16).digest())


def _mixed(number: int) -> int:
    """Mix 64 bits so that similar inputs give unrelated outputs: the finalizer of SplitMix64 (Steele et al. 2014)."""
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & _64_BITS
    number = (number ^ number >> 27) * 0x94D049BB133111EB & _64_BITS
    return number ^ number >> 31
