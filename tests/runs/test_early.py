"""A gate that decides before all answers are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sides import rewards_of
from test_gate import gate_of

from pytest_fcpivot.runs.early import EarlyGate, order_of
from pytest_fcpivot.runs.gate_groups import Known, find_groups

if TYPE_CHECKING:
    from sides import Table

    from pytest_fcpivot.runs.rewards import Rewards


def expected(table: Table) -> Rewards:
    """Return the tests of a table before any has run."""
    return rewards_of({pivot: [None] * len(values) for pivot, values in table.items()})


def early(table: Table, *marks: str, bases: Table | None = None, seed: int = 0, **given: str) -> EarlyGate:
    """Return a gate that has seen a whole table, or as much of it as it took to decide."""
    drop = {} if bases is None else {"baseline": ["b"], **given}
    gate = gate_of(**({"fail_under": [*marks], **drop} | given | {"stop_when_decided": given.get("error", "0.05")}))
    rewards, tests = rewards_of(table), expected(table)
    found = EarlyGate(
        gate,
        seed,
        tests,
        pass_mark=1.0,
        holds=find_groups(gate, Known.of_results(rewards)),
        bases=None
        if bases is None
        else {("data.jsonl", pivot): sum(filter(None, values)) / len(values) for pivot, values in bases.items()},
    )
    for _ in found.order.trajectories:
        if found.see(rewards):
            break
    return found


def trajectories(count: int, *rewards: float | None) -> Table:
    """Return trajectories that have these rewards each."""
    return {f"t{number}-d{depth}": [reward] for number in range(count) for depth, reward in enumerate(rewards)}


# -------------------------------------------------------------------- the order


@given(st.dictionaries(st.text(max_size=3), st.integers(1, 40), max_size=30), st.integers())
def test_the_order_is_that_of_the_seed(sizes: dict[str, int], seed: int) -> None:
    """It has each trajectory once, the larger ones first, and does not depend on how they were found."""
    found = order_of(sizes, seed)
    assert sorted(found.trajectories) == sorted(sizes)
    assert found == order_of(dict(reversed(sizes.items())), seed)
    large, rest = found.trajectories[: found.large], found.trajectories[found.large :]
    assert not rest or min([sizes[each] for each in large], default=99) > max(sizes[each] for each in rest)


def test_another_seed_is_another_order() -> None:
    """The order of trajectories of equal size changes with the seed, and stays for those that are left."""
    sizes = {f"t{number}": 3 for number in range(50)}
    first = order_of(sizes, 0)
    assert first.large == 0
    assert order_of(sizes, 1) != first
    some = {name: 3 for name in sizes if name > "t2"}
    assert order_of(some, 0).trajectories == tuple(name for name in first.trajectories if name in some)


# -------------------------------------------------------------------- marks


def test_a_gate_is_missed_early() -> None:
    """FAIL is decided by a part of the trajectories, and the sentence says where the whole run's mean lies."""
    found = early(trajectories(300, 1.0, 0.0), "0.8")
    verdict = found.verdict
    assert verdict is not None
    assert verdict.stopped is not None
    assert (verdict.word, verdict.fails, verdict.stopped.of_trajectories) == ("FAIL", True, 300)
    assert verdict.stopped.trajectories < 60
    assert verdict.stopped.answers == 2 * verdict.stopped.trajectories
    (rule,) = verdict.rules
    assert rule.figures["sequence_low"] <= 0.5 <= rule.figures["sequence_high"] < 0.8
    assert verdict.sentence.startswith("the mean reward of the whole run is under the 0.8 that is needed: it lies ")
    assert "each end 95 % sure" in verdict.sentence


def test_a_gate_is_passed_early() -> None:
    """PASS of all marks is decided by a part of the trajectories; the pass rate is one of them."""
    found = early(trajectories(300, 1.0, 1.0, 0.9), "0.6", "pass:0.5", "type=message:0.5")
    verdict = found.verdict
    assert verdict is not None
    assert verdict.stopped is not None
    assert (verdict.word, verdict.fails) == ("PASS", False)
    assert verdict.stopped.trajectories < 100
    assert [rule.word for rule in verdict.rules] == ["PASS"] * 3


def test_one_mark_that_is_missed_is_enough() -> None:
    """The first FAIL of several marks decides, by more evidence than that of a single one; the others are open."""
    table = trajectories(400, 1.0, 0.0)
    alone, one_of_three = (early(table, *marks) for marks in (["0.7"], ["0.7", "pass:0.49", "type=message:0.49"]))
    assert alone.verdict is not None
    assert one_of_three.verdict is not None
    assert [rule.word for rule in one_of_three.verdict.rules] == ["FAIL", "INCONCLUSIVE", "INCONCLUSIVE"]
    assert (one_of_three.verdict.word, one_of_three.verdict.fails) == ("FAIL", True)
    assert one_of_three.verdict.rules[1].sentence.startswith("not decided when the session stopped: the pass rate ")
    assert alone.verdict.stopped is not None
    assert one_of_three.verdict.stopped is not None
    assert alone.verdict.stopped.trajectories < one_of_three.verdict.stopped.trajectories
    assert "each end 98.3333 % sure" in one_of_three.verdict.sentence


def test_errors_are_never_counted_for_a_verdict() -> None:
    """Where missing answers may turn the verdict, nothing is decided; where they may not, it is, and counts them."""
    assert early(trajectories(200, 1.0, None), "0.8").verdict is None
    found = early(trajectories(200, 0.0, 0.0, 0.0, 0.0, None), "0.8").verdict
    assert found is not None
    assert found.stopped is not None
    assert (found.word, found.rules[0].figures["missing"]) == ("FAIL", found.stopped.trajectories)


def test_a_group_of_few_pivots_decides_nothing() -> None:
    """A group under --fc-min-pivots is INCONCLUSIVE from the start: others decide, unless it fails the gate anyway."""
    table = trajectories(200, 1.0)
    few = early(table, "0.5", min_pivots="300").verdict
    assert few is not None
    assert (few.word, few.fails) == ("INCONCLUSIVE", False)
    assert "over 200 pivots, fewer than the 300 of --fc-min-pivots" in few.sentence
    assert early(table, "0.5", min_pivots="300", inconclusive="fail").verdict is None


def test_repeats_belong_to_their_trajectory() -> None:
    """A trajectory counts with all repeats of its pivots, and those of one pivot are not taken as independent."""
    seen = []
    for repeats in (1, 4):
        found = early({f"t{number}-d0": [float(number % 3 > 0)] * repeats for number in range(200)}, "0.9").verdict
        assert found is not None
        assert found.stopped is not None
        assert found.stopped.answers == repeats * found.stopped.trajectories
        seen.append(found.stopped.trajectories)
    assert seen[0] == seen[1]


def test_one_trajectory_that_holds_everything_is_run_whole() -> None:
    """Nothing is decided before its end."""
    found = early({f"t0-d{depth}": [0.0] for depth in range(50)}, "0.8")
    assert found.verdict is not None
    assert found.verdict.stopped is not None
    assert found.verdict.stopped.trajectories == found.verdict.stopped.of_trajectories == 1


# -------------------------------------------------------------------- drops


@pytest.mark.parametrize(
    ("old", "new", "word", "fails"),
    [
        ([1.0, 1.0], [0.0, 1.0], "REGRESSION", True),
        ([0.0, 1.0], [1.0, 1.0], "PASS", False),
    ],
)
def test_a_drop_is_decided_early(old: list[float], new: list[float], word: str, fails: bool) -> None:
    """A drop in half of the trajectories is a REGRESSION, and a rise in half a PASS, long before the end."""
    count = 600
    before, after = trajectories(count, *old), trajectories(count, *old)
    for number in range(0, count, 2):
        after |= {f"t{number}-d{depth}": [reward] for depth, reward in enumerate(new)}
    found = early(after, bases=before, max_drop="0.01").verdict
    assert found is not None
    assert found.stopped is not None
    assert (found.word, found.fails) == (word, fails)
    assert found.stopped.trajectories < 150
    (rule,) = found.rules
    assert rule.figures["sequence_low"] <= (0.25 if fails else -0.25) * -1 <= rule.figures["sequence_high"]


@pytest.mark.parametrize(("inconclusive", "fails"), [("pass", False), ("fail", True), ("0.5", False), ("0.065", True)])
def test_an_unclear_drop_is_decided_too(inconclusive: str, fails: bool) -> None:
    """INCONCLUSIVE is a word that the whole run may say, and what it does to the exit code is decided with it."""
    before, after = trajectories(1500, 1.0), trajectories(1500, 1.0)
    after |= {f"t{number}-d0": [0.0] for number in range(0, 1500, 10)}  # one of ten was lost
    before |= {f"t{number}-d0": [0.0] for number in range(1, 1500, 25)}  # one of 25 was won
    found = early(after, bases=before, max_drop="0.06", inconclusive=inconclusive, error="0.2").verdict
    assert found is not None
    assert found.stopped is not None
    assert (found.word, found.fails) == ("INCONCLUSIVE", fails)
    assert found.stopped.trajectories < 1500


def test_without_a_baseline_to_compare_with_only_marks_stop() -> None:
    """Pivots that the baseline has no answer to are left out; if that is all of them, the drop is never decided."""
    table = trajectories(300, 0.0)
    assert early(table, bases={}, max_drop="0.01").verdict is None
    found = early(table, "0.8", bases={}, max_drop="0.01").verdict
    assert found is not None
    assert [rule.word for rule in found.rules] == ["FAIL", "INCONCLUSIVE"]
