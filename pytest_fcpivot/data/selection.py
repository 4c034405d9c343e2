"""Which pivots run: shard, then sample, then limit; decided on ids alone, and the same in every process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from heapq import nsmallest
from typing import TYPE_CHECKING, Protocol

from pytest_fcpivot.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Index(Protocol):
    """What a selection has to know of a store's rows: stable hashes of their ids, by row."""

    def __len__(self) -> int: ...
    def trajectory_hashes(self) -> Sequence[int]: ...  # noqa: D102
    def id_hashes(self) -> Sequence[int]: ...  # noqa: D102


_64_BITS = (1 << 64) - 1


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

    def rows(self, index: Index) -> Sequence[int]:
        """Return the selected rows of a store, in file order."""
        rows: Sequence[int] = range(len(index))
        if self.shard is not None:
            number, count = self.shard
            trajectories = index.trajectory_hashes()
            rows = [row for row in rows if trajectories[row] % count == number - 1]
        if self.sample is not None:
            salt = stable_hash("seed", str(self.seed))
            ids = index.id_hashes()
            rows = sorted(nsmallest(self.sample, rows, key=lambda row: (_mixed(ids[row] ^ salt), row)))
        return rows if self.limit is None else rows[: self.limit]


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
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8, salt=_salt(salt)).digest())


@lru_cache(maxsize=64)
def _salt(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=16).digest()


def _mixed(number: int) -> int:
    """Scatter 64 bits so that neighbours are far apart: the finalizer of SplitMix64 (Steele et al. 2014)."""
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & _64_BITS
    number = (number ^ number >> 27) * 0x94D049BB133111EB & _64_BITS
    return number ^ number >> 31
