"""Changes between two runs: bounds that hold in quiet data too, p-values, and families of comparisons."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_fcpivot.stats.clusters import Totals
from pytest_fcpivot.stats.paired import difference, holm, mcnemar

PROPERTY = settings(deadline=None)

changes = st.lists(
    st.lists(st.sampled_from([-1.0, 0.0, 0.0, 1.0]), min_size=1, max_size=6).map(
        lambda values: Totals(len(values), sum(values))
    ),
    min_size=1,
    max_size=15,
)


@PROPERTY
@given(changes, st.sampled_from([0.01, 0.05, 0.1]))
def test_swapping_the_runs_turns_everything_around(each: list[Totals], alpha: float) -> None:
    """From NEW to BASE, the change and its bounds have the other sign, and the p-value is the same."""
    there = difference(each, alpha)
    back = difference([Totals(t.n, -t.total) for t in each], alpha)
    assert back.change == pytest.approx(-there.change, abs=1e-12)
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low), abs=1e-9)
    assert (back.lowest, back.highest) == pytest.approx((-there.highest, -there.lowest), abs=1e-9)
    assert back.p == pytest.approx(there.p, abs=1e-9)


@PROPERTY
@given(changes)
def test_the_cautious_interval_is_the_wider_one(each: list[Totals]) -> None:
    """All bounds lie in [-1, 1] and hold the change; the cautious ones hold the others."""
    found = difference(each)
    assert -1 <= found.lowest <= found.low <= found.high <= found.highest <= 1
    assert found.low - 1e-12 <= found.change <= found.high + 1e-12
    assert 0 <= found.p <= 1


@PROPERTY
@given(changes)
def test_what_is_shown_says_one_thing(each: list[Totals]) -> None:
    """The interval that is shown excludes zero only together with the shorter one, and only if p is under alpha."""
    found = difference(each)
    for shown, plain in ((found.lowest > 0, found.low > 0), (found.highest < 0, found.high < 0)):
        assert shown == plain
        assert not shown or found.p <= 0.05


def test_five_trajectories_that_differ_are_chance() -> None:
    """If five of 40 trajectories lose everything and the others stay, that may be chance; six of them are not."""
    five, six = (difference([Totals(3, -3.0)] * lost + [Totals(3, 0.0)] * (40 - lost)) for lost in (5, 6))
    assert five.p == 2**-4
    assert five.lowest < five.change < 0 == five.high < five.highest
    assert six.p < 0.05
    assert six.high == six.highest < 0


def test_one_pivot_a_trajectory_is_students_paired_test() -> None:
    """With one pivot a trajectory and many that changed, the p-value is that of Student's t test, to three digits."""
    from scipy.stats import ttest_1samp  # noqa: PLC0415 (a second, where few tests need it)

    values = [-1.0] * 40 + [1.0] * 25 + [0.0] * 60
    found = difference([Totals(1, value) for value in values])
    expected = ttest_1samp(values, 0)
    assert found.p == pytest.approx(expected.pvalue, abs=1e-3)
    low, high = expected.confidence_interval()
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-3)


@pytest.mark.parametrize("clusters", [10, 49, 200, 3800])
def test_no_change_at_all_is_no_certainty(clusters: int) -> None:
    """If no pivot changed, a drop is still allowed: as much as could miss so many trajectories."""
    found = difference([Totals(3, 0)] * clusters)
    assert (found.change, found.low, found.high, found.p) == (0, 0, 0, 1)
    unseen = 1 - 0.025 ** (1 / clusters)  # the share of trajectories lost, of which none is seen once in forty times
    assert unseen < found.allowed_drop < 1.2 * unseen


@pytest.mark.parametrize("clusters", range(1, 6))
def test_few_trajectories_prove_nothing(clusters: int) -> None:
    """Up to five trajectories may all go the same way by chance, however far."""
    found = difference([Totals(10, -10)] * clusters)
    assert (found.change, found.low, found.high) == (-1, -1, 1)
    assert found.p >= 2 ** (1 - clusters)


def test_six_trajectories_that_all_fall_are_a_drop() -> None:
    """From six trajectories on, chance alone is rarer than one in twenty."""
    found = difference([Totals(2, -1.0)] * 6)
    assert found.high == -0.5
    assert found.p == 2**-5


def test_clustered_changes_are_less_certain() -> None:
    """The same flips say less if they come from few trajectories."""
    scattered = difference([Totals(5, -1.0)] * 20 + [Totals(5, 0.0)] * 80)
    together = difference([Totals(5, -5.0)] * 4 + [Totals(5, 0.0)] * 96)
    assert scattered.change == pytest.approx(together.change)
    assert scattered.high < 0 < together.high
    assert scattered.p < 0.01 < together.p


def test_how_many_trajectories_a_drop_needs() -> None:
    """Four times as many trajectories rule out half the drop; a drop of 0 is never ruled out."""
    found = difference([Totals(3, value) for value in [1.0, -1.0] * 20 + [0.0] * 160])
    assert found.trajectories_for(found.allowed_drop) == pytest.approx(200, abs=1)
    assert found.trajectories_for(found.allowed_drop / 2) == pytest.approx(800, abs=1)
    assert found.trajectories_for(0.9) == 200
    assert found.trajectories_for(0) is None
    assert difference([Totals(3, 1.0)]).trajectories_for(0.1) is None


@PROPERTY
@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemars_test_is_that_of_statsmodels(lost: int, won: int) -> None:
    """The exact p-value is statsmodels' own."""
    from statsmodels.stats import contingency_tables  # noqa: PLC0415 (a second, where few tests need it)

    expected = contingency_tables.mcnemar([[0, lost], [won, 0]], exact=True).pvalue if lost + won else 1
    assert mcnemar(lost, won) == pytest.approx(expected, abs=1e-9)


def test_holms_method_is_that_of_statsmodels() -> None:
    """Adjusted p-values are statsmodels' own, in the order given, with ties."""
    from statsmodels.stats.multitest import multipletests  # noqa: PLC0415 (a second, where few tests need it)

    p_values = [0.04, 0.001, 0.2, 0.01, 0.01, 0.9, 0.03, 0.0, 1.0]
    expected = multipletests(p_values, method="holm")[1]
    assert holm(p_values) == pytest.approx(list(expected), abs=1e-12)


@PROPERTY
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.sampled_from([0.01, 0.05, 0.2]))
def test_holms_method_step_by_step(p_values: list[float], alpha: float) -> None:
    """What is rejected is what Holm rejects: the smallest at alpha/m, the next at alpha/(m-1), and so on."""
    rejected, left = set(), sorted(range(len(p_values)), key=p_values.__getitem__)
    while left and p_values[left[0]] * len(left) <= alpha:
        rejected.add(left.pop(0))
    assert {place for place, p in enumerate(holm(p_values)) if p <= alpha} == rejected


def test_an_empty_family_has_nothing_to_adjust() -> None:
    """No comparison, no p-value."""
    assert holm([]) == []
