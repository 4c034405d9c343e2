"""Comparing two runs: what pairs, what leaves the pairs, what flips, and what may be compared at all."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sides import ABOUT, Table, rewards_of, side, single

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.runs.comparing import Side, compare, pool, refuse_different, same_run
from pytest_fcpivot.runs.rewards import PivotRewards, Rewards

if TYPE_CHECKING:
    from pathlib import Path

REWARD = st.sampled_from([0.0, 0.25, 0.5, 1.0])
ANSWER = st.one_of(st.none(), REWARD)


@st.composite
def tables(draw: st.DrawFn, answer: st.SearchStrategy[float | None] = ANSWER) -> Table:
    """Draw the results of a run: up to 12 trajectories of up to 3 pivots, with up to 3 repeats."""
    repeats = draw(st.integers(1, 3))
    return {
        f"t{trajectory}-d{depth}": [draw(answer) for _ in range(repeats)]
        for trajectory in range(draw(st.integers(1, 12)))
        for depth in range(draw(st.integers(1, 3)))
    }


def many(values: list[float]) -> Rewards:
    """Return many single answers in 20,000 trajectories."""
    rewards = Rewards()
    for number, reward in enumerate(values):
        name = str(number)
        rewards.put(PivotRewards("d", name, str(number % 20_000), "message", None, name, {1: reward}, {1: ""}))
    return rewards


# What pairs


def test_pivots_pair_by_id() -> None:
    """The change is that of the pivots that both have, by the mean over their repeats; the others are named."""
    found = compare(
        side({"t1-d0": [1.0, 0.0], "t1-d1": [1.0], "gone-d0": [1.0]}),
        side({"t1-d1": [0.0], "t1-d0": [1.0], "come-d0": [1.0]}),
    )
    assert found.difference is not None
    assert found.difference.change == pytest.approx((0.5 - 1.0) / 2)
    assert found.means == (0.75, 0.5)
    assert [pivot.pivot_id for pivot in found.only_base] == ["gone-d0"]
    assert [pivot.pivot_id for pivot in found.only_new] == ["come-d0"]
    narrow = compare(side(single(*[1.0] * 9)), side(single(*[1.0] * 8, 0.0)), 0.5).difference
    assert narrow is not None
    assert narrow.alpha == 0.5


def test_a_data_file_that_moved() -> None:
    """With one place on each side, ids pair alone, and the flips have the node ids of NEW."""
    found = compare(side(single(1.0), place="old/data.jsonl"), side(single(0.0), place="data.jsonl"))
    assert [flip.test for flip in found.lost] == ["data.jsonl::t0-d0"]


def test_several_places() -> None:
    """With several places, a pivot pairs with that of its own place, and a place of one side with none."""
    both = side(single(1.0), place="a.jsonl")
    for pivot in rewards_of(single(0.0), place="b.jsonl"):
        both.rewards.put(pivot)
    found = compare(both, side(single(1.0), place="a.jsonl"))
    assert found.difference is not None
    assert found.difference.change == 0
    assert [pivot.place for pivot in found.only_base] == ["b.jsonl"]


def test_errors_leave_the_pairs() -> None:
    """A pivot without a graded answer on either side is no pair, and is named; other repeats of a pivot still count."""
    found = compare(
        side({"t1-d0": [1.0], "t2-d0": [None], "t3-d0": [1.0], "t4-d0": [1.0, None]}),
        side({"t1-d0": [1.0], "t2-d0": [1.0], "t3-d0": [None], "t4-d0": [0.0, None]}),
    )
    assert [pair.new.pivot_id for pair in found.pairs] == ["t1-d0", "t4-d0"]
    assert [pivot.pivot_id for pivot in found.errors_base] == ["t2-d0"]
    assert [pivot.pivot_id for pivot in found.errors_new] == ["t3-d0"]
    assert (found.partly_base, found.partly_new, found.unchanged) == (1, 1, 1)
    assert compare(side(single(1.0)), side(single(1.0))).if_wrong is None
    assert found.if_wrong is not None
    assert found.if_right is not None
    # t3 counts as missing too; t2, an error of BASE, does not
    assert found.if_wrong.change == pytest.approx((0 - 1 - 1) / 3)
    assert found.if_right.change == pytest.approx((0 + 0 - 0.5) / 3)


def test_nothing_in_common() -> None:
    """Runs without a common pivot are refused, with what each of them has."""
    with pytest.raises(RunError, match=r"a and b have no pivot in common: 1 pivot of x, and 2 pivots of data\.jsonl"):
        compare(side({"t9-d0": [1.0]}, "a", place="x"), side(single(1.0, 0.0), "b"))


def test_nothing_but_errors() -> None:
    """Without a pair there is no difference, and no mean."""
    found = compare(side(single(1.0)), side(single(None)))
    assert (found.difference, found.means, len(found.errors_new)) == (None, None, 1)


def test_another_trajectory() -> None:
    """A pivot that belongs to another trajectory on the other side is refused by name."""
    other = side(single(1.0))
    next(iter(other.rewards)).trajectory_id = "else"
    with pytest.raises(RunError, match=r'data\.jsonl::t0-d0: it belongs to trajectory "t0" in a and to "else"'):
        compare(side(single(1.0), "a"), other)


# What comparisons elsewhere got wrong


def test_a_run_compared_with_itself() -> None:
    """A run is the same as itself by its id, with no change; others with equal rewards are not the same run."""
    run = side(single(*[1.0, 0.0] * 10), started="2026-01-01T00:00:00")
    found = compare(run, run)
    assert found.identical
    assert found.difference is not None
    assert (found.difference.change, found.difference.p, found.lost, found.won) == (0, 1, (), ())
    assert not compare(run, side(single(*[1.0, 0.0] * 10), started="2026-01-01T00:00:01")).identical
    assert not compare(run, side(single(*[0.0, 1.0] * 10), started="2026-01-01T00:00:00")).identical
    assert not compare(side(single(1.0)), side(single(1.0))).identical


def test_as_many_flips_each_way() -> None:
    """With 500 flips each way in 100,000 there is no change, and a drop of over 0.001 is ruled out."""
    before = [1.0] * 50_000 + [0.0] * 50_000
    after = [0.0] * 500 + [1.0] * 49_500 + [1.0] * 500 + [0.0] * 49_500
    base, new = (Side("run", None, ABOUT, many(rewards)) for rewards in (before, after))
    found = compare(base, new)
    assert found.difference is not None
    assert found.difference.change == 0
    assert found.difference.allowed_drop < 0.001
    assert (len(found.lost), len(found.won)) == (500, 500)


def test_missing_pivots_are_counted() -> None:
    """With 400 of 1,000 pivots, 600 are in one side only; with 600 errors, they are taken as wrong and as right."""
    full = single(*[1.0] * 1000)
    found = compare(side(full), side({name: full[name] for name in list(full)[:400]}))
    assert (len(found.pairs), len(found.only_base)) == (400, 600)
    found = compare(side(full), side(full | {name: [None] for name in list(full)[400:]}))
    assert (len(found.pairs), len(found.errors_new)) == (400, 600)
    assert found.if_wrong is not None
    assert found.if_right is not None
    assert (found.if_wrong.change, found.if_right.change) == (-0.6, 0.0)


def test_every_answer_falls() -> None:
    """Every reward falling from 1.0 to 0.1 is a drop of 0.9, and flips, even where 0.1 passes."""
    about: dict[str, Any] = {"grader": {"name": "agentic", "settings": {}}, "pass_mark": 0.1}
    found = compare(side(single(*[1.0] * 40), **about), side(single(*[0.1] * 40), **about))
    assert found.difference is not None
    assert found.difference.change == pytest.approx(-0.9)
    assert found.difference.high < -0.8
    assert len(found.lost) == 40
    assert not any(flip.by_mark for flip in found.lost)


def test_two_of_three_repeats_are_wrong() -> None:
    """Two wrong repeats of three are two thirds of a drop and a flip; one of three is a third and no flip."""
    base = side({f"t{n}-d0": [1.0, 1.0, 1.0] for n in range(8)})
    found = compare(base, side({f"t{n}-d0": [1.0, 0.0, 0.0] for n in range(8)}))
    assert found.difference is not None
    assert found.difference.change == pytest.approx(-2 / 3)
    assert [flip.passed for flip in found.lost] == [(1.0, 1 / 3)] * 8
    assert compare(base, side({f"t{n}-d0": [1.0, 1.0, 0.0] for n in range(8)})).lost == ()


def test_one_pivot_decides_nothing() -> None:
    """With one pivot, or any number of pivots of one trajectory, the interval is everything."""
    for table in (single(1.0), {f"t1-d{n}": [1.0] for n in range(100)}):
        found = compare(side(table), side(table)).difference
        assert found is not None
        assert (found.lowest, found.highest, found.p) == (-1, 1, 1)


# Flips


def test_partial_credit_flips() -> None:
    """A pivot flips by the pass mark, or by a change of the mean of at least the least change; the largest is first."""
    about: dict[str, Any] = {"grader": {"name": "agentic", "settings": {}}, "pass_mark": 0.75}
    base, new = single(1.0, 0.75, 0.6, 0.5, 0.0), single(0.5, 0.5, 0.1, 0.25, 0.75)
    found = compare(side(base, **about), side(new, **about))
    assert [(flip.pair.new.pivot_id, flip.by_mark) for flip in found.lost] == [
        ("t0-d0", True),
        ("t2-d0", False),
        ("t1-d0", True),
    ]
    assert [flip.pair.new.pivot_id for flip in found.won] == ["t4-d0"]
    close = compare(side(base, **about), side(new, **about), least_change=0.25)
    assert (len(close.lost), close.least_change) == (4, 0.25)
    back = compare(side(new, **about), side(base, **about))
    assert [flip.pair.new.pivot_id for flip in back.won] == ["t0-d0", "t2-d0", "t1-d0"]


# Properties


@given(tables(), st.data())
def test_swapping_negates(table: Table, data: st.DataObject) -> None:
    """Swapping BASE and NEW negates the change and its intervals, and exchanges the flips and what is missing."""
    other = {name: [data.draw(ANSWER) for _ in values] for name, values in table.items()}
    there, back = compare(side(table), side(other)), compare(side(other), side(table))
    assert {flip.test for flip in there.lost} == {flip.test for flip in back.won}
    assert len(there.errors_base) == len(back.errors_new)
    if there.difference is None:
        assert back.difference is None
        return
    one, two = there.difference, back.difference
    assert two is not None
    assert one.change == pytest.approx(-two.change, abs=1e-12)
    assert (one.low, one.lowest) == pytest.approx((-two.high, -two.highest), abs=1e-9)
    assert one.p == pytest.approx(two.p)


@given(tables(REWARD), st.data())
def test_errors_never_hide_a_regression(table: Table, data: st.DataObject) -> None:
    """Where all answers show a drop of more than a bound, no missing ones of NEW let both readings rule that drop out.

    The reading in which they are wrong is never above what all answers show, and the other one never below.
    """
    new: Table = {name: [data.draw(REWARD) for _ in values] for name, values in table.items()}
    erred: Table = {
        name: [None if data.draw(st.booleans()) else reward for reward in values] for name, values in new.items()
    }
    whole, found = compare(side(table), side(new)).difference, compare(side(table), side(erred))
    assert whole is not None
    if found.if_wrong is None or found.if_right is None:
        assert erred == new
        return
    assert found.if_wrong.change <= whole.change + 1e-12
    assert found.if_right.change >= whole.change - 1e-12
    drop = data.draw(st.floats(0, 0.5))
    if whole.high < -drop:
        assert found.if_wrong.lowest <= -drop


@given(tables())
def test_identical_runs(table: Table) -> None:
    """A run with the same results has no change and no flip, and whatever interval it has, 0 is in it."""
    found = compare(side(table), side(table))
    assert (found.lost, found.won) == ((), ())
    if found.difference is not None:
        assert found.difference.change == 0
        assert found.difference.lowest <= 0 <= found.difference.highest


# What may be compared


@pytest.mark.parametrize(
    ("about", "told"),
    [
        (
            {"data": [ABOUT["data"][0] | {"sha256": "b" * 64}]},
            r"data: data\.jsonl \(sha256 a{16}…\) → data\.jsonl \(sha256 b{16}…\)",
        ),
        ({"grader": {"name": "nemo-gym:any-order", "settings": {}}}, r"grader: .*first-call.* → .*any-order"),
        ({"grader": ABOUT["grader"] | {"settings": {"word_count_similarity_threshold": 0.2}}}, r"grader: .*0\.2"),
        ({"options": {"fc_strict_schema": "true"}}, r"--fc-strict-schema: false → true"),
        ({"options": {"fc_empty_arguments": "object"}}, r"--fc-empty-arguments: text → object"),
        ({"options": {"fc_judge_fallback": "keyword"}}, r"--fc-judge-fallback: error → keyword"),
        ({"judge": {"model": "m"}}, r'judge: null → \{"model": "m"\}'),
    ],
)
def test_what_is_refused(about: dict[str, Any], told: str) -> None:
    """Other data, graders, settings and judges are refused, and each difference is named."""
    with pytest.raises(RunError, match=rf"(?s)base and run cannot be compared.*\n  {told}"):
        refuse_different(side(single(1.0), "base"), side(single(1.0), **about))


def test_every_difference_is_named() -> None:
    """All differences are named at once; another pass mark matters only with partial credit."""
    one = side(single(1.0), "base", grader={"name": "agentic", "settings": {}}, judge={"model": "a"})
    two = side(single(1.0), grader={"name": "agentic", "settings": {}}, pass_mark=0.5)
    with pytest.raises(RunError) as caught:
        refuse_different(one, two)
    assert re.findall(r"\n  (.*):", str(caught.value).replace('"model":', "")) == ["judge", "pass mark"]
    refuse_different(side(single(1.0)), side(single(1.0), pass_mark=0.5))


def test_what_may_differ() -> None:
    """Another agent, model, number of repeats or choice of pivots, and another path of the data, are compared."""
    data = [ABOUT["data"][0] | {"name": "moved.jsonl", "path": "moved.jsonl", "selected": 3}]
    about: dict[str, Any] = {"agent": "other", "model": "m", "repeats": 3, "data": data, "options": {"fc_limit": "3"}}
    refuse_different(side(single(1.0)), side(single(1.0), **about))


def test_several_data_sets() -> None:
    """Of several data sets those in common have to be the same, and some have to be in common."""
    first = ABOUT["data"][0]
    second = first | {"name": "b.jsonl", "sha256": "b" * 64}
    refuse_different(side(single(1.0), data=[first, second]), side(single(1.0)))
    for others, told in (
        ([second | {"sha256": "c" * 64}, first], "data b.jsonl"),
        ([first | {"name": "c"}, second | {"name": "d"}], "data: "),
        ([], r"data: data\.jsonl \(.*\), b\.jsonl \(.*\) → sample"),
    ):
        with pytest.raises(RunError, match=told):
            refuse_different(side(single(1.0), data=[first, second]), side(single(1.0), data=others))


def test_tests_without_data_of_their_own() -> None:
    """A run that names no data ran over the sample, and is compared with others over it."""
    sample = [ABOUT["data"][0] | {"name": "sample"}]
    refuse_different(side(single(1.0), data=[]), side(single(1.0), data=[]))
    refuse_different(side(single(1.0), data=[]), side(single(1.0), data=sample))


# Several baselines


def test_pooled_baselines() -> None:
    """Several baselines are repeats of each other: a pivot's mean is over all of them."""
    pooled = pool([side(single(1.0, 1.0), "a"), side(single(0.0, None), "b"), side(single(0.0), "c")])
    assert [pivot.rewards for pivot in pooled.rewards] == [{1: 1.0, 2: 0.0, 3: 0.0}, {1: 1.0}]
    assert (pooled.name, pooled.description["repeats"]) == ("a + b + c", 3)
    found = compare(pooled, side(single(1.0, 1.0)))
    assert found.difference is not None
    assert found.difference.change == pytest.approx(1 / 3)


def test_pooled_results_of_all_kinds() -> None:
    """Categories and missing answers move to the new repeats; a data file may have moved; remarks name their run."""
    first = side({"t0-d0": [None, 1.0], "t1-d0": [0.0, None]}, "a", place="old/data.jsonl")
    second = side({"t1-d0": [None, 1.0], "t0-d0": [0.0], "t2-d0": [1.0, None, None]}, "b", started="2026-01-01")
    for each, word in ((first, "A"), (second, "B")):
        for pivot in each.rewards:
            pivot.categories = dict.fromkeys(pivot.rewards, word)
    second = Side("b", None, second.description, second.rewards, notes=("cut short",))
    pooled = pool([first, second])
    by_id = {pivot.pivot_id: pivot for pivot in pooled.rewards}
    assert by_id["t0-d0"].rewards == {2: 1.0, 3: 0.0}
    assert by_id["t0-d0"].categories == {2: "A", 3: "B"}
    assert by_id["t1-d0"].missing == {2, 3}
    assert pooled.rewards.places == {"old/data.jsonl"}
    assert (pooled.notes, pooled.run_id, pooled.description["repeats"]) == (("b: cut short",), None, 5)
    unchanged = [(pivot.rewards, pivot.categories, pivot.missing) for pivot in first.rewards]
    assert unchanged == [({2: 1.0}, {2: "A"}, {1}), ({1: 0.0}, {1: "A"}, {2})]
    assert pool([second, first]).run_id is None
    found = compare(pooled, side(single(1.0, 1.0)))
    assert found.difference is not None
    assert found.difference.change == pytest.approx(0.5)


def test_pooled_places() -> None:
    """Where a run has several places, pivots are pooled by place."""
    both = side(single(1.0), "a", place="a.jsonl")
    for pivot in rewards_of(single(0.0), place="b.jsonl"):
        both.rewards.put(pivot)
    pooled = pool([both, side(single(0.5), "b", place="a.jsonl")])
    assert {pivot.place: pivot.rewards for pivot in pooled.rewards} == {
        "a.jsonl": {1: 1.0, 2: 0.5},
        "b.jsonl": {1: 0.0},
    }


def test_what_is_not_pooled() -> None:
    """The same run twice is refused, and so are runs that cannot be compared with each other."""
    run = side(single(1.0), "a", started="2026-01-01T00:00:00")
    with pytest.raises(RunError, match="a and a are the same run, which would count twice"):
        pool([run, run])
    with pytest.raises(RunError, match="cannot be compared"):
        pool([run, side(single(1.0), judge={"model": "m"})])
    assert pool([run]) is run
    other = side(single(0.0), "b")
    next(iter(other.rewards)).trajectory_id = "else"
    with pytest.raises(RunError, match=r"data\.jsonl::t0-d0: it belongs to another trajectory in b"):
        pool([run, other])


def test_pivots_of_one_side_between_others() -> None:
    """A pivot that only NEW has does not keep those after it from pairing."""
    found = compare(side(single(1.0, 1.0)), side({"x-d0": [1.0], **single(1.0, 0.0)}))
    assert (len(found.pairs), len(found.only_new)) == (2, 1)


def test_the_same_directory(tmp_path: Path) -> None:
    """A run without the time of its start is the same as itself by its path, and a replay of it by what it names."""
    table = single(1.0, 0.0)
    one, two = (Side("run", tmp_path, ABOUT, rewards_of(table)) for _ in range(2))
    assert same_run(one, two)
    assert not same_run(one, Side("run", tmp_path / "else", ABOUT, rewards_of(table)))
    assert same_run(one, side(table, replays=str(tmp_path)))
    assert not same_run(one, side(single(1.0, 1.0), replays=str(tmp_path)))
