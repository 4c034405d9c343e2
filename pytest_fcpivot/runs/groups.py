"""Where a comparison's change is: by tool, by what was expected, by depth, by number of tools, and by category.

All groups that are tested are one family, whose p-values are adjusted together by Holm's method.

Categories are the exception among these: they are what an answer got, and not what a pivot is. Pivots chosen by what
they got in BASE change without any change of the agent: those that passed there can only fall. A category is therefore
compared by its share of all answers, before and after.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_fcpivot.runs.rewards import totals_of
from pytest_fcpivot.stats.paired import difference, holm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pytest_fcpivot.runs.comparing import Pair
    from pytest_fcpivot.runs.rewards import PivotRewards
    from pytest_fcpivot.stats.clusters import Totals

LEAST_PIVOTS = 30
LEAST_TRAJECTORIES = 6
TYPE, TOOL, DEPTH, TOOLS, CATEGORY = "type", "tool", "depth", "number of tools", "category"
TYPES = {"message": "message", "function_call": "call", "function_call_batch": "several calls", "none": "nothing"}
_BANDS = ((0, 0), (1, 1), (2, 3), (4, 7), (8, 15), (16, 31), (32, None))

_NOTHING = 1e-12

# A pivot's depth, None if the data do not have it, and its number of tools.
Facts = tuple[int | None, int]


@dataclass(frozen=True, slots=True)
class Group:
    """A group of pairs: its means on both sides (of a category: its shares of the answers), and their change.

    `n` is the number of pairs; of a category, of those with such an answer on either side. `p` and `holm` are None for
    a group that is too small to be tested; `holm` is adjusted for all groups that are tested.
    """

    by: str
    name: str
    n: int
    trajectories: int
    base: float
    new: float
    p: float | None = None
    holm: float | None = None

    @property
    def change(self) -> float:
        """The change of the mean, or of the share."""
        return self.new - self.base

    @property
    def is_tested(self) -> bool:
        """Whether the group is large enough for a test."""
        return self.n >= LEAST_PIVOTS and self.trajectories >= LEAST_TRAJECTORIES


def groups(pairs: Sequence[Pair], facts: Callable[[PivotRewards], Facts | None] | None) -> tuple[Group, ...]:
    """Return the groups of some pairs, those of one kind together; `facts` are the pivots' facts, None if unknown."""
    found = [
        *_of_pivots(TYPE, pairs, lambda pair: TYPES[pair.new.expected]),
        *_of_pivots(TOOL, pairs, lambda pair: pair.new.tool),
    ]
    if facts is not None:
        known = [(pair, fact) for pair in pairs if (fact := facts(pair.new)) is not None]
        of_pivot = {id(pair): fact for pair, fact in known}
        those = [pair for pair, _ in known]
        found += _of_pivots(DEPTH, those, lambda pair: band_of(of_pivot[id(pair)][0]), in_order=True)
        found += _of_pivots(TOOLS, those, lambda pair: band_of(of_pivot[id(pair)][1]), in_order=True)
    found += _of_categories(pairs)
    adjusted = iter(holm([group.p for group in found if group.p is not None]))
    return tuple(group if group.p is None else replace(group, holm=next(adjusted)) for group in found)


def _p_of(totals: Sequence[Totals]) -> float:
    """Return the p-value of there being no change, which is at least that of a sign test on what has changed.

    With few flips in a group, all of them the same way, the variance comes out too small: for five of 40 trajectories
    the p-value is 0.03, although all five go the same way by chance with probability 0.06.
    """
    changed = sum(abs(each.total) > _NOTHING for each in totals)
    return max(difference(totals).p, min(1.0, 2.0 ** (1 - changed)))


def band_of(number: int | None) -> str | None:
    """Return the band of a depth or a number of tools."""
    if number is None:
        return None
    low, high = next((low, high) for low, high in _BANDS if high is None or number <= high)
    return f"{low} or more" if high is None else str(low) if low == high else f"{low} to {high}"


def _of_pivots(
    by: str, pairs: Iterable[Pair], key: Callable[[Pair], str | None], *, in_order: bool = False
) -> list[Group]:
    """Return the groups of pairs with the same key; pairs without a key are in none."""
    together: dict[str, list[Pair]] = {}
    for pair in pairs:
        name = key(pair)
        if name is not None:
            together.setdefault(name, []).append(pair)
    found = []
    for name, those in together.items():
        totals = totals_of((pair.new.trajectory_id, 1, pair.change) for pair in those)
        base = math.fsum(pair.base.mean or 0.0 for pair in those) / len(those)
        new = math.fsum(pair.new.mean or 0.0 for pair in those) / len(those)
        group = Group(by, name, len(those), len(totals), base, new)
        found.append(replace(group, p=_p_of(totals)) if group.is_tested else group)
    if in_order:
        return sorted(found, key=lambda group: int(group.name.partition(" ")[0]))
    return sorted(found, key=lambda group: (-group.n, group.name))


def _of_categories(pairs: Sequence[Pair]) -> list[Group]:
    """Return a group for each category, with its shares of the answers; a pivot's repeats count as one answer."""
    base: dict[str, list[float]] = {}
    new: dict[str, list[float]] = {}
    changes: dict[str, dict[str, list[float]]] = {}
    counts: dict[str, int] = {}
    sizes: dict[str, int] = {}
    for pair in pairs:
        before, after = _shares(pair.base), _shares(pair.new)
        trajectory = pair.new.trajectory_id
        sizes[trajectory] = sizes.get(trajectory, 0) + 1
        for name in before.keys() | after.keys():
            one, other = before.get(name, 0.0), after.get(name, 0.0)
            base.setdefault(name, []).append(one)
            new.setdefault(name, []).append(other)
            counts[name] = counts.get(name, 0) + 1
            changes.setdefault(name, {}).setdefault(trajectory, []).append(other - one)
    found = []
    for name in sorted(changes, key=lambda name: (-counts[name], name)):
        each = changes[name]
        shares = math.fsum(base[name]) / len(pairs), math.fsum(new[name]) / len(pairs)
        group = Group(CATEGORY, name, counts[name], len(each), *shares)
        if group.is_tested:
            totals = totals_of(
                (trajectory, size, math.fsum(each.get(trajectory, ()))) for trajectory, size in sizes.items()
            )
            group = replace(group, p=_p_of(totals))
        found.append(group)
    return found


def _shares(pivot: PivotRewards) -> dict[str, float]:
    """Return each category's share of a pivot's answers."""
    part = 1 / len(pivot.categories)
    found: dict[str, float] = {}
    for name in pivot.categories.values():
        found[name] = found.get(name, 0.0) + part
    return found
