"""What a gate can decide, worked out before the first call."""

from __future__ import annotations

import pytest
from sides import rewards_of

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.options.gate import Share, parse_share
from pytest_fcpivot.options.values import Price
from pytest_fcpivot.report.plan import conclusion, percent, plan_lines
from pytest_fcpivot.runs.planning import Assumed, Planned, Row, Tokens, known_of, plan_drop, plan_mark
from pytest_fcpivot.runs.rewards import Rewards


@pytest.fixture(autouse=True)
def fewer_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate the calls of fewer runs, which makes their mean no other one, and the tests faster."""
    monkeypatch.setattr("pytest_fcpivot.runs.planning._TO_SEE_CALLS", 1000)


def share(text: str) -> Share:
    """Read a number."""
    return parse_share(text, "", "")


def sizes(count: int, size: int = 3) -> dict[str, int]:
    """Return trajectories of equal size."""
    return {f"t{number}": size for number in range(count)}


def test_a_mark() -> None:
    """The farther the true mean is from the mark, the surer is the word, and the fewer calls does it take."""
    planned = plan_mark(sizes(400), share("0.8"), Assumed(), error=0.05, seed=1)
    truths = [row.truth for row in planned.rows]
    assert truths == [0.7, 0.75, 0.78, 0.8, 0.82, 0.85, 0.9]
    fails = [row.words["FAIL"] for row in planned.rows]
    assert fails == sorted(fails, reverse=True)
    assert fails[3] == pytest.approx(0.5)
    assert fails[0] > 0.99
    assert planned.rows[0].asked < 0.3 < planned.rows[3].asked
    assert planned == plan_mark(sizes(400), share("0.8"), Assumed(), error=0.05, seed=1)
    near_one = plan_mark(sizes(50), share("0.97"), Assumed(), error=0.05, seed=1)
    assert max(row.truth for row in near_one.rows) < 1


@pytest.mark.parametrize("count", [100, 400])
def test_a_drop(count: int) -> None:
    """Words add up; a larger drop is seen more often; whether words are counted or worked out makes no difference."""
    planned = plan_drop(sizes(count), share("0.02"), Assumed(), alpha=0.05, error=0.05, seed=1)
    assert (planned.counted is None) == (count == 400)
    assert [row.truth for row in planned.rows] == [0, -0.01, -0.02, -0.05, -0.1]
    for row in planned.rows:
        assert sum(row.words.values()) == pytest.approx(1)
    seen = [row.words["REGRESSION"] for row in planned.rows]
    assert seen[0] < 0.03
    assert seen[2] < 0.08  # a drop that is allowed
    assert seen[4] > 0.9
    assert planned.rows[2].words["PASS"] < 0.06
    assert planned.rows[4].asked <= planned.rows[0].asked


@pytest.mark.parametrize("count", [100, 400])
def test_an_agent_whose_answers_never_differ(count: int) -> None:
    """If no pivot flips between two runs, a run without a change is certain to say one word."""
    planned = plan_drop(sizes(count), share("0.05"), Assumed(flips=0.0), alpha=0.05, error=0.05, seed=1)
    assert planned.rows[0].words == {"REGRESSION": 0, "INCONCLUSIVE": 0, "PASS": 1}


@pytest.mark.parametrize(("allowed", "seen"), [("0.01", 0.05), ("0.03", 0.06), ("0.05", 0.1), ("0.9", 1.0)])
def test_the_drop_that_is_to_be_seen(allowed: str, seen: float) -> None:
    """A gate is not blamed for missing a drop that it allows: the one it should see is at least twice that."""
    planned = plan_drop(sizes(20), share(allowed), Assumed(), alpha=0.05, error=0.05, seed=1)
    assert -seen in [row.truth for row in planned.rows]
    assert conclusion(planned).startswith(f"a drop of {seen:g} is seen in ")


def test_counted_and_worked_out_words_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same simulated runs give nearly the same probabilities in both ways."""
    arguments = sizes(60), share("0.01"), Assumed()
    counted = plan_drop(*arguments, alpha=0.05, error=0.05, seed=2)
    monkeypatch.setattr("pytest_fcpivot.runs.planning._RUNS_TO_COUNT", 1000)
    worked_out = plan_drop(*arguments, alpha=0.05, error=0.05, seed=2)
    assert counted.counted == 200
    assert worked_out.counted is None
    for one, other in zip(counted.rows, worked_out.rows, strict=True):
        for word, probability in one.words.items():
            assert probability == pytest.approx(other.words[word], abs=0.1)


def test_what_a_baseline_says() -> None:
    """Its mean, how much alike a trajectory's rewards are, and how often repeats of a pivot differ."""
    table = {f"t{number}-d{depth}": [float(number % 4 > 0)] * 2 for number in range(40) for depth in range(3)}
    assert known_of(rewards_of(table)) == {"mean": 0.75, "correlation": 0.9, "flips": 0}
    table["t0-d0"] = [0.0, 1.0]
    assert known_of(rewards_of(table))["flips"] == pytest.approx(1 / 120)
    assert known_of(rewards_of({"t0-d0": [1.0], "t1-d0": [0.0, None]})) == {"mean": 0.5}
    with pytest.raises(RunError, match="no graded answer"):
        known_of(Rewards())


def planned(passes: float, seen: float, enough: int | None = None) -> Planned:
    """Return a plan with these chances of PASS without a change, and of seeing a drop of 0.05."""
    rows = [
        Row(truth=0.0, words={"REGRESSION": 0.0, "INCONCLUSIVE": 1 - passes, "PASS": passes}, asked=0.9),
        Row(truth=-0.05, words={"REGRESSION": seen, "INCONCLUSIVE": 1 - seen, "PASS": 0.0}, asked=0.25),
    ]
    return Planned(rule="--fc-max-drop=0.01", rows=tuple(rows), counted=200, enough=enough)


def test_what_it_says() -> None:
    """The last line says what the gate can decide, in words, and how many trajectories it would take."""
    assert conclusion(planned(0.11, 0.79, 12_000)) == (
        "a drop of 0.05 is seen in 79 % of runs, and without a change, PASS is said in 11 %: this gate cannot decide; "
        "about 12,000 trajectories would rule out the drop that is allowed"
    )
    assert conclusion(planned(0.9, 0.9)).endswith("PASS is said in 90 %: this gate can decide")
    assert conclusion(planned(0.9, 0.5)).endswith("this gate can say PASS, but misses such a drop too often")
    assert conclusion(planned(0.5, 0.9)).endswith("this gate sees such a drop, but says PASS too rarely")
    tokens, price = Tokens(answers=2, read=2_000_000, cached=0, written=1_000_000), Price(1.0, 1.0, 4.0)
    assert list(plan_lines(planned(0.11, 0.79), 6000, tokens, price))[:4] == [
        "--fc-max-drop=0.01",
        "   true change    REGRESSION  INCONCLUSIVE          PASS    calls if it stops when decided  their cost",
        "          none           0 %          89 %          11 %                      5,400 (90 %)   16,200.00",
        "         -0.05          79 %          21 %           0 %                      1,500 (25 %)    4,500.00",
    ]


def test_many_trajectories_are_needed_for_a_small_drop() -> None:
    """With few of them, it is told about how many would rule it out; with enough, it is not."""
    few = plan_drop(sizes(40), share("0.01"), Assumed(), alpha=0.05, error=0.05, seed=1)
    assert few.enough is not None
    assert 2000 < few.enough < 4000
    assert plan_drop(sizes(40), share("0.5"), Assumed(), alpha=0.05, error=0.05, seed=1).enough is None


@pytest.mark.parametrize(
    ("value", "written"),
    [(0, "0 %"), (0.001, "<1 %"), (0.005, "0 %"), (0.5, "50 %"), (0.994, "99 %"), (0.999, ">99 %"), (1, "100 %")],
)
def test_percent(value: float, written: str) -> None:
    """What is possible is not shown as impossible, nor as certain."""
    assert percent(value) == written
