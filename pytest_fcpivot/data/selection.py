"""Which pivots run: shard, then sample, then limit; decided on ids alone, and the same in every process."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from heapq import nsmallest
from typing import TYPE_CHECKING

from pytest_fcpivot.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_fcpivot.data.store import IndexEntry


@dataclass(frozen=True, slots=True)
class Selection:
    """A part of a data set.

    `shard` (I, N), from 1: the trajectories whose stable hash falls to shard I of N, so shards are disjoint and whole
    trajectories stay together. `sample`: so many pivots, chosen by `seed`, the same in any file order; a larger sample
    holds the smaller one. `limit`: the first so many of what is left. File order is kept throughout.
    """

    shard: tuple[int, int] | None = None
    sample: int | None = None
    seed: int = 0
    limit: int | None = None

    def apply(self, entries: Iterable[IndexEntry]) -> list[IndexEntry]:
        """Return the selected entries in file order."""
        if self.shard is not None:
            index, count = self.shard
            entries = (entry for entry in entries if _hash("shard", entry.trajectory_id) % count == index - 1)
        if self.sample is not None:
            salt = f"sample {self.seed}"
            ranked = nsmallest(self.sample, entries, key=lambda entry: (_hash(salt, entry.id), entry.row))
            entries = sorted(ranked, key=lambda entry: entry.row)
        selected: list[IndexEntry] = []
        for entry in entries:
            if self.limit is not None and len(selected) >= self.limit:
                break
            selected.append(entry)
        return selected


def parse_shard(text: str, where: str = "--fc-shard") -> tuple[int, int]:
    """Read `I/N`, 1 <= I <= N; raises OptionError otherwise."""
    index, slash, count = text.partition("/")
    if slash and index.strip().isdecimal() and count.strip().isdecimal():
        shard = int(index), int(count)
        if 1 <= shard[0] <= shard[1]:
            return shard
    raise OptionError(f"{where}={text}: shards are numbered from 1, as in 1/4 … 4/4")


def _hash(salt: str, text: str) -> int:
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8, salt=blake2b(salt.encode(), digest_size=16).digest()).digest())
