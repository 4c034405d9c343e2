"""The verdict of a gate: its words, its sentences, and what missing answers do to them."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from sides import rewards_of, side, single

from pytest_fcpivot.options.gate import GateOptions, read_gate
from pytest_fcpivot.options.table import OF_GATES, option_of
from pytest_fcpivot.runs.comparing import compare
from pytest_fcpivot.runs.gate import Evidence, Verdict, decide, exact, shown
from pytest_fcpivot.runs.gate_groups import Known, find_groups
from pytest_fcpivot.runs.rewards import Rewards

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sides import Table


def gate_of(**given: Any) -> GateOptions:
    """Read the options of a gate."""
    values = {f"fc_{name}": value for name, value in given.items()}
    read = read_gate(
        {dest: (values.get(dest), option_of(dest).flag) for dest in OF_GATES},
        {dest: values.get(dest, []) for dest in ("fc_fail_under", "fc_baseline")},
    )
    assert read is not None
    return read


def by_marks(*marks: str, rewards: Rewards, min_pivots: int = 1, not_run: int = 0, **others: Any) -> Verdict:
    """Decide by marks."""
    gate = gate_of(fail_under=[*marks], min_pivots=str(min_pivots), **others)
    holds = find_groups(gate, Known.of_results(rewards))
    return decide(gate, Evidence(rewards=rewards, pass_mark=1.0, holds=holds, not_run=not_run, settle="ask"))


def by_drop(base: Table, new: Table, drop: str = "0.01", **others: Any) -> Verdict:
    """Decide by the drop since a baseline."""
    gate = gate_of(baseline=["b"], max_drop=drop, **others)
    before, after = side(base, "before"), side(new, "this run")
    evidence = Evidence(
        rewards=after.rewards, pass_mark=1.0, holds={}, comparison=compare(before, after, gate.alpha), settle="ask"
    )
    return decide(gate, evidence)


# -------------------------------------------------------------------- marks


def test_marks_are_compared_exactly() -> None:
    """A mean that is the mark passes, although no float is 0.7; one that differs in the fifth digit is shown so."""
    exactly = rewards_of(single(*[0.7] * 50))
    assert by_marks("0.7", rewards=exactly).sentence == "the mean reward is 0.7000, and 0.7 is needed"
    assert by_marks("0.70000001", rewards=exactly).sentence == (
        "the mean reward is 0.7000, under the 0.70000001 that is needed"
    )
    thirds = rewards_of(single(*[1 / 3, 2 / 3] * 50))
    assert by_marks("0.5", rewards=thirds).word == "PASS"
    almost = rewards_of(single(*[1.0] * 79_999, *[0.0] * 20_001))
    found = by_marks("0.80", rewards=almost)
    assert (found.word, found.fails) == ("FAIL", True)
    assert found.sentence == "the mean reward is 0.79999, under the 0.80 that is needed"


@pytest.mark.parametrize(
    ("rewards", "marks", "word", "fails", "sentence"),
    [
        ([1, 1, 1, 0], ["0.75"], "PASS", False, "the mean reward is 0.7500, and 0.75 is needed"),
        ([1, 1, 1, 0], ["76%"], "FAIL", True, "the mean reward is 0.7500, under the 76% that is needed"),
        ([0.9, 0.9, 1, 1], ["pass:0.5"], "PASS", False, "the pass rate is 0.5000, and 0.5 is needed"),
        (
            [1, 1, 1, None],
            ["0.75"],
            "PASS",
            False,
            "whatever the missing answer is: the mean reward is 0.7500 to 1.0000, and 0.75 is needed",
        ),
        (
            [1, 0, None, None],
            ["0.9"],
            "FAIL",
            True,
            "whatever the 2 missing answers are: the mean reward is 0.2500 to 0.7500, and 0.9 is needed",
        ),
        (
            [1, 1, 0, None],
            ["0.6"],
            "UNTRUSTED",
            True,
            (
                "1 answer is missing, and it decides: the mean reward is 0.5000 if wrong, 0.7500 if right; 0.6 is "
                "needed; ask"
            ),
        ),
        ([], ["0.6"], "UNTRUSTED", True, "no pivot was selected, so the mean reward is unknown"),
        ([1, 0], ["0.9", "pass:0.1"], "FAIL", True, "the mean reward is 0.5000, under the 0.9 that is needed"),
        ([1, 0, None], ["0.9", "pass:0.4"], "FAIL", True, None),
        ([1, 0], ["0.5", "pass:0.1"], "PASS", False, "all 2 rules hold"),
    ],
)
def test_words(
    rewards: Sequence[float | None], marks: list[str], word: str, *, fails: bool, sentence: str | None
) -> None:
    """The word and the sentence are those of the worst rule; missing answers count both ways."""
    found = by_marks(*marks, rewards=rewards_of(single(*rewards)))
    assert (found.word, found.fails) == (word, fails)
    assert sentence in (found.sentence, None)


def test_groups() -> None:
    """Each group has the mean of its own pivots, by tool, by type and by name."""
    rewards = Rewards()
    for number, (expected, tool, reward) in enumerate(
        [
            ("function_call", "book", 1.0),
            ("function_call_batch", "book", 0.0),
            ("function_call", "find", 1.0),
            ("message", None, 0.5),
        ]
    ):
        for pivot in rewards_of({f"t{number}-d0": [reward]}):
            pivot.expected, pivot.tool = expected, tool
            rewards.put(pivot)
    marks = ["tool=book:0.5", "type=call:0.6", "type=function_call:1", "message:0.5", "find:1", "data=data.jsonl:0.6"]
    found = by_marks(*marks, rewards=rewards)
    assert {rule.rule.removeprefix("--fc-fail-under="): rule.figures["value"] for rule in found.rules} == {
        "tool=book:0.5": 0.5,
        "type=call:0.6": 2 / 3,
        "type=function_call:1": 1.0,
        "message:0.5": 0.5,
        "find:1": 1.0,
        "data=data.jsonl:0.6": 0.625,
    }
    assert found.word == "PASS"


def test_too_few_pivots() -> None:
    """Under --fc-min-pivots the word is INCONCLUSIVE, which passes unless it is to fail."""
    rewards = rewards_of(single(1, 0, None))
    found = by_marks("0.9", rewards=rewards, min_pivots=4)
    assert (found.word, found.fails) == ("INCONCLUSIVE", False)
    assert found.sentence == (
        "the mean reward is 0.3333 to 0.6667 over 3 pivots, fewer than the 4 of --fc-min-pivots; 0.9 is needed"
    )
    failing = by_marks("0.9", rewards=rewards, min_pivots=4, inconclusive="fail")
    assert (failing.fails, failing.sentence) == (True, f"{found.sentence}; --fc-inconclusive=fail makes that fail")
    assert by_marks("0.9", rewards=rewards, min_pivots=4, not_run=1).word == "FAIL"


Answers = st.lists(st.sampled_from([0.0, 0.5, 1.0, 0.1, 1 / 3]), min_size=1, max_size=30)
Marks = st.integers(1, 100).map(lambda percent: f"{percent}%")


@given(Answers, Marks, st.data())
def test_missing_answers_never_help(answers: list[float], mark: str, data: st.DataObject) -> None:
    """Answers that go missing never turn FAIL into PASS; both readings enclose the truth, and so does the word."""
    gone = data.draw(st.sets(st.integers(0, len(answers) - 1)))
    truth = by_marks(mark, rewards=rewards_of(single(*answers)))
    seen = by_marks(
        mark, rewards=rewards_of(single(*(None if n in gone else reward for n, reward in enumerate(answers))))
    )
    assert seen.word in (truth.word, "UNTRUSTED")
    if gone:
        figures = seen.rules[0].figures
        assert figures["if_wrong"] <= truth.rules[0].figures["value"] + 1e-12
        assert truth.rules[0].figures["value"] <= figures["if_right"] + 1e-12


@given(st.fractions(0, 1, max_denominator=10**6), st.decimals(0, 1, places=6))
@example(Fraction(79_999, 100_000), Decimal("0.8"))
@example(Fraction(1, 3), Decimal("0.3333"))
@example(Fraction(1, 4), Decimal("0.25"))
def test_numbers_are_shown_on_their_side(value: Fraction, decimal: Decimal) -> None:
    """A number is written on the side of the mark where it is, with no more digits than that takes, from four on."""
    mark = Fraction(decimal)
    text = shown(value, mark)
    assert (Fraction(text) > mark, Fraction(text) < mark) == (value > mark, value < mark)
    digits = len(text.partition(".")[2])
    assert digits >= 4
    if digits > 4:
        shorter = Fraction(round(value * 10 ** (digits - 1)), 10 ** (digits - 1))
        assert (shorter > mark, shorter < mark) != (value > mark, value < mark)


@pytest.mark.parametrize(
    ("reward", "meant"),
    [
        (0.1 + 0.7, Fraction(4, 5)),
        (1 / 3, Fraction(1, 3)),
        (0.123456789, Fraction(123456789, 10**9)),
        (1.0, Fraction(1)),
    ],
)
def test_rewards_mean_what_they_were_meant(reward: float, meant: Fraction) -> None:
    """A reward is a simple fraction if it is next to one, and otherwise its own digits."""
    assert exact(reward) == meant


# -------------------------------------------------------------------- drops


def flips(trajectories: int, lost: int, won: int) -> tuple[Table, Table]:
    """Return two tables of single pivots, of which so many are lost and won, spread over the trajectories."""
    order = list(range(trajectories))
    base, new = dict.fromkeys(range(trajectories), 1.0), dict.fromkeys(range(trajectories), 1.0)
    new |= dict.fromkeys(order[:lost], 0.0)
    base |= dict.fromkeys(order[lost : lost + won], 0.0)
    return single(*base.values()), single(*new.values())


@pytest.mark.parametrize(
    ("counts", "options", "word", "fails", "sentence"),
    [
        (
            (2000, 40, 38),
            {"drop": "0.02"},
            "PASS",
            False,
            "the mean reward changed by -0.0010, and a drop of more than 0.0098 is ruled out; 0.02 is allowed",
        ),
        (
            (2000, 150, 30),
            {"drop": "0.02"},
            "REGRESSION",
            True,
            "the mean reward changed by -0.0600: it fell by at least 0.0471, and 0.02 is allowed",
        ),
        ((2000, 60, 30), {"drop": "0.01"}, "INCONCLUSIVE", False, None),
        ((2000, 60, 30), {"drop": "0.01", "inconclusive": "fail"}, "INCONCLUSIVE", True, None),
        ((2000, 60, 30), {"drop": "0.01", "inconclusive": "0.02"}, "INCONCLUSIVE", True, None),
        ((2000, 60, 30), {"drop": "0.01", "inconclusive": "0.03"}, "INCONCLUSIVE", False, None),
        ((1, 0, 0), {"drop": "0.5"}, "INCONCLUSIVE", False, None),
        (
            (2000, 0, 100),
            {"drop": "0.01"},
            "PASS",
            False,
            "the mean reward changed by +0.0500: it rose by at least 0.0404",
        ),
    ],
)
def test_drops(
    counts: tuple[int, int, int], options: dict[str, Any], word: str, *, fails: bool, sentence: str | None
) -> None:
    """The printed bounds decide, and what is left open is INCONCLUSIVE with its own exit code."""
    found = by_drop(*flips(*counts), **options)
    assert (found.word, found.fails) == (word, fails)
    assert sentence in (found.sentence, None)


def test_what_would_settle_it() -> None:
    """INCONCLUSIVE says which drop would have been missed, and how many trajectories would do."""
    found = by_drop(*flips(500, 5, 5))
    assert found.sentence == (
        "the mean reward changed by +0.0000 (95 % interval -0.0142 to +0.0142): a drop of up to 0.0142 would not be "
        "seen in these 500 trajectories; about 1,015 would rule out one of 0.01 if nothing has changed"
    )
    assert by_drop(*flips(500, 5, 5), drop="0").sentence.endswith(
        "no number of trajectories rules out every drop, so allow a small one"
    )
    assert by_drop(*flips(5, 0, 0)).sentence.endswith("these are too few to rule out anything")


def test_missing_answers_of_a_new_run() -> None:
    """Missing answers that decide about a drop make the verdict UNTRUSTED; those of the baseline never do."""
    base, new = flips(1000, 5, 5)
    gone: Table = {name: [None] if number < 40 else values for number, (name, values) in enumerate(new.items())}
    found = by_drop(base, gone, drop="0.02")
    assert (found.word, found.fails) == ("UNTRUSTED", True)
    assert found.sentence == "40 answers are missing, and they decide: REGRESSION if wrong, PASS if right; ask"
    few: Table = {name: [None] if number < 2 else values for number, (name, values) in enumerate(new.items())}
    found = by_drop(base, few, drop="0.02")
    assert (found.word, found.fails) == ("PASS", False)
    assert found.sentence.startswith("whatever the 2 missing answers are: the mean reward changed by ")
    assert by_drop(gone, new, drop="0.02").word == "PASS"


def test_the_run_itself() -> None:
    """A run passes against itself, however small it is."""
    about = {"started": "2026-01-01T00:00:00"}
    itself = side(single(1, 0, 1), "before", **about)
    gate = gate_of(baseline=["b"], max_drop="0")
    evidence = Evidence(rewards=itself.rewards, pass_mark=1.0, holds={}, comparison=compare(itself, itself))
    assert decide(gate, evidence).sentence == "this is the run before itself"


@given(
    st.lists(st.sampled_from([(1, 1), (0, 1), *[(1, 0)] * 8]), min_size=12, max_size=60),
    st.sampled_from(["0", "0.05", "0.2"]),
    st.data(),
)
def test_missing_answers_never_hide_a_regression(pairs: list[tuple[int, int]], drop: str, data: st.DataObject) -> None:
    """Answers that go missing never turn REGRESSION into PASS."""
    base, new = (single(*(pair[place] for pair in pairs)) for place in (0, 1))
    assume(by_drop(base, new, drop=drop).word == "REGRESSION")
    gone = data.draw(st.sets(st.integers(0, len(pairs) - 1)))
    seen: Table = {name: [None] if number in gone else values for number, (name, values) in enumerate(new.items())}
    assert by_drop(base, seen, drop=drop).word != "PASS"
