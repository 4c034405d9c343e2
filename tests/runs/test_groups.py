"""Where a change is: groups of pairs, the family of their p-values, and what is not tested."""

from __future__ import annotations

import random

import pytest
from sides import side

from pytest_fcpivot.runs.comparing import Pair, compare
from pytest_fcpivot.runs.groups import CATEGORY, DEPTH, TOOL, TOOLS, TYPE, Facts, Group, groups
from pytest_fcpivot.runs.rewards import PivotRewards
from pytest_fcpivot.stats.clusters import Totals
from pytest_fcpivot.stats.paired import difference, holm

CATEGORIES = {1.0: "RIGHT", 0.0: "WRONG"}


def pair(
    name: str, before: list[float], after: list[float], *, tool: str | None = None, expected: str | None = None
) -> Pair:
    """Return a pair of a pivot such as t1-d0, by the rewards of its repeats; its category is that of its reward."""
    kind = expected or ("message" if tool is None else "function_call")
    sides = []
    for values in (before, after):
        rewards = dict(enumerate(values, 1))
        categories = {repeat: CATEGORIES[reward] for repeat, reward in rewards.items()}
        sides.append(PivotRewards("d", name, name.partition("-")[0], kind, tool, name, rewards, categories))
    return Pair(*sides)


def named(found: tuple[Group, ...], by: str) -> dict[str, Group]:
    """Return the groups of one kind, by name."""
    return {group.name: group for group in found if group.by == by}


def facts(pivot: PivotRewards) -> Facts | None:
    """Return a depth by the pivot's name, unknown for the last ones, and its own number of tools."""
    depth = int(pivot.pivot_id.partition("-d")[2])
    return None if depth == 99 else (None if depth == 50 else depth, depth % 5)


def test_kinds_of_groups() -> None:
    """Pairs are grouped by what was expected, by tool, by bands of depth and of the number of tools, and categories."""
    pairs = [
        pair("t1-d0", [1.0], [0.0]),
        pair("t1-d1", [1.0], [1.0], tool="book"),
        pair("t1-d3", [0.0], [1.0], tool="book", expected="function_call_batch"),
        pair("t2-d40", [1.0, 0.0], [1.0], tool="find"),
        pair("t2-d50", [1.0], [1.0], tool="find"),
        pair("t2-d99", [1.0], [1.0], expected="none"),
    ]
    found = groups(pairs, facts)
    assert {name: group.n for name, group in named(found, TYPE).items()} == {
        "call": 3,
        "message": 1,
        "several calls": 1,
        "nothing": 1,
    }
    assert {name: (group.base, group.new) for name, group in named(found, TOOL).items()} == {
        "book": (0.5, 1.0),
        "find": (0.75, 1.0),
    }
    assert list(named(found, DEPTH)) == ["0", "1", "2 to 3", "32 or more"]
    assert {name: group.n for name, group in named(found, TOOLS).items()} == {"0": 3, "1": 1, "2 to 3": 1}
    wrong = named(found, CATEGORY)["WRONG"]
    assert wrong.n == 3
    assert (wrong.base, wrong.new) == pytest.approx((1.5 / 6, 1 / 6))
    assert not [group for group in groups(pairs, None) if group.by in (DEPTH, TOOLS)]


def test_one_family() -> None:
    """The p-values of all groups that are large enough are adjusted together; small ones are not tested."""
    draw = random.Random(1)  # noqa: S311 (no secret)
    pairs = [
        pair(f"t{n}-d{d}", [float(draw.random() < 0.6)], [float(draw.random() < 0.5)], tool=["book", "find"][d % 2])
        for n in range(40)
        for d in range(3)
    ]
    few = [pair(f"f{n}-d0", [1.0], [0.0], tool="rare") for n in range(29)]
    of_few = [pair(f"o{n % 5}-d{n}", [1.0], [0.0], tool="close") for n in range(40)]
    found = groups([*pairs, *few, *of_few], None)
    tested = [group for group in found if group.p is not None]
    assert [group.holm for group in tested] == holm([group.p for group in tested if group.p is not None])
    assert {group.name for group in found if group.holm is None} == {"rare", "close"}
    assert {group.name for group in tested} == {"call", "book", "find", "RIGHT", "WRONG"}


def test_p_values_are_by_trajectory() -> None:
    """A group's p-value is that of its pivots' changes; a category's is that of its share in all answers."""
    draw = random.Random(4)  # noqa: S311 (no secret)
    pairs = [
        pair(f"t{n}-d{d}", [float(draw.random() < 0.7)], [float(draw.random() < 0.5)], tool=["book", "find"][d % 2])
        for n in range(30)
        for d in range(1 + n % 5)
    ]
    found = groups(pairs, None)
    by: dict[str, list[Pair]] = {}
    for each in pairs:
        by.setdefault(each.new.trajectory_id, []).append(each)
    book = [Totals(len(those), sum(each.change for each in those)) for those in _of_tool(by, "book").values()]
    assert named(found, TOOL)["book"].p == pytest.approx(difference(book).p)
    wrong = [Totals(len(those), -sum(each.change for each in those)) for those in by.values()]
    assert named(found, CATEGORY)["WRONG"].p == pytest.approx(difference(wrong).p)
    assert named(found, CATEGORY)["WRONG"].p != pytest.approx(difference(book).p)
    twice = groups([pair("t1-d0", [0.0, 0.0, 1.0], [1.0])], None)
    assert named(twice, CATEGORY)["WRONG"].base == pytest.approx(2 / 3)


def _of_tool(by: dict[str, list[Pair]], tool: str) -> dict[str, list[Pair]]:
    found = {name: [each for each in those if each.new.tool == tool] for name, those in by.items()}
    return {name: those for name, those in found.items() if those}


def test_the_order_of_groups() -> None:
    """Groups of tools and categories begin with the largest, and bands with the lowest."""
    pairs = [pair(f"t1-d{depth}", [1.0], [0.0 if depth == 20 else 1.0], tool=tool) for depth, tool in _TOOLS]
    found = groups(pairs, facts)
    assert list(named(found, TOOL)) == ["often", "a", "b"]
    assert list(named(found, DEPTH)) == ["2 to 3", "8 to 15", "16 to 31"]
    assert list(named(found, TOOLS)) == ["0", "2 to 3", "4 to 7"]
    assert list(named(found, CATEGORY)) == ["RIGHT", "WRONG"]


_TOOLS = [(20, "b"), (12, "often"), (9, "a"), (2, "often"), (3, "often")]


def test_flips_that_all_go_the_same_way() -> None:
    """Five trajectories that all lose could do so by chance in 1 of 16 cases, and no p-value is lower than that."""
    pairs = [pair(f"t{n}-d0", [1.0], [float(n >= 5)]) for n in range(400)]
    assert named(groups(pairs, None), TYPE)["message"].p == 2**-4


def test_no_group_changes_by_itself() -> None:
    """Categories are compared by their shares, so that an unchanged agent's flips, as many each way, change none."""
    flips = {f"t{n}-d0": ([1.0], [0.0]) if n % 2 else ([0.0], [1.0]) for n in range(60)}
    same = {f"s{n}-d0": ([1.0], [1.0]) for n in range(60)}
    found = groups([pair(name, *values) for name, values in (flips | same).items()], None)
    assert {group.change for group in found} == {0.0}
    assert {group.p for group in found} == {1.0}


def test_swapping_negates_groups() -> None:
    """Swapping the sides negates the change of each group, and leaves its p-value."""
    draw = random.Random(2)  # noqa: S311 (no secret)
    base = {f"t{n}-d{d}": [float(draw.random() < 0.6)] for n in range(30) for d in range(3)}
    new = {name: [float(draw.random() < 0.4)] for name in base}
    one, other = (groups(compare(side(a), side(b)).pairs, facts) for a, b in ((base, new), (new, base)))
    assert {(g.by, g.name): (g.change, g.holm) for g in one} == {(g.by, g.name): (-g.change, g.holm) for g in other}
