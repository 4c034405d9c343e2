"""The gate: decides by the rewards of a whole run, and says why in one sentence.

Missing answers are never guessed. Each rule is read with all of them wrong, and with all of them right; if these
readings lead to different exit codes, the word is UNTRUSTED.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.words import count_of
from pytest_fcpivot.graders import passes
from pytest_fcpivot.options.gate import Share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pytest_fcpivot.options.gate import GateOptions, Mark
    from pytest_fcpivot.runs.comparing import Comparison
    from pytest_fcpivot.runs.rewards import PivotRewards, Rewards
    from pytest_fcpivot.stats.paired import Difference

PASS, INCONCLUSIVE, UNTRUSTED, REGRESSION, FAIL = WORDS = (
    *("PASS", "INCONCLUSIVE", "UNTRUSTED", "REGRESSION", "FAIL"),
)
_LEAST_DIGITS = 4
_SIMPLE = 1000  # the largest denominator of a fraction that a reward is taken to be
_ROUNDING = Fraction(1, 10**12)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleVerdict:
    """The verdict by one rule.

    `rule` is the option that asks for it, `sentence` the reason. `fails`: it makes the exit code 1. `figures` are
    numbers by name, for run.json.
    """

    rule: str
    word: str
    sentence: str
    fails: bool
    figures: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """How a session stopped when its verdict was certain but for the probability `error`.

    `trajectories` were seen of `of_trajectories`, in the random order of `seed`, with `answers` of `of_answers`; the
    first `large` of them had been put first for their size.
    """

    error: float
    seed: int
    trajectories: int
    of_trajectories: int
    large: int
    answers: int
    of_answers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The verdict of a gate: the worst word of its rules, with its sentence; `fails`: the exit code is 1.

    `stopped`: the session stopped when this was certain; None if it is the verdict on all answers.
    """

    word: str
    sentence: str
    fails: bool
    missing: int
    rules: tuple[RuleVerdict, ...]
    stopped: Stopped | None = None

    def to_builtins(self) -> dict[str, Any]:
        """Return the verdict as run.json has it."""
        return {
            "word": self.word,
            "sentence": self.sentence,
            "fails": self.fails,
            "missing": self.missing,
            "rules": [
                {"rule": each.rule, "word": each.word, "sentence": each.sentence, "fails": each.fails, **each.figures}
                for each in self.rules
            ],
        }


def verdict_from(recorded: Mapping[str, Any]) -> Verdict:
    """Return a verdict that run.json has."""
    head = ("rule", "word", "sentence", "fails")
    rules = (
        RuleVerdict(
            rule=each["rule"],
            word=each["word"],
            sentence=each["sentence"],
            fails=each["fails"],
            figures={name: value for name, value in each.items() if name not in head},
        )
        for each in recorded["rules"]
    )
    return Verdict(
        word=recorded["word"],
        sentence=recorded["sentence"],
        fails=recorded["fails"],
        missing=recorded["missing"],
        rules=tuple(rules),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a gate decides by.

    `holds` has, for each group by its text, what tells its pivots. `comparison` is that with the baseline, None if
    there is none, for the reason `incomparable`. `not_run` is the number of missing answers that are not in `rewards`,
    so that their pivots are unknown. `settle` says how to get the missing answers. `unfinished` says why there is
    nothing to decide by: these are a part of the answers of a run that is not complete; "" if they are all.
    """

    rewards: Rewards
    pass_mark: float
    holds: Mapping[str, Callable[[PivotRewards], bool]]
    comparison: Comparison | None = None
    incomparable: str = ""
    not_run: int = 0
    settle: str = ""
    unfinished: str = ""


def decide(gate: GateOptions, evidence: Evidence) -> Verdict:
    """Return the verdict of a gate that has at least one rule."""
    rules = [_by_mark(gate, mark, evidence) for mark in gate.marks]
    if gate.max_drop is not None:
        rules.append(_by_drop(gate, gate.max_drop, evidence))
    if evidence.unfinished:
        sentence = f"{evidence.unfinished}{_how(evidence.settle)}"
        rules = [replace(rule, word=UNTRUSTED, sentence=sentence, fails=True) for rule in rules]
    missing = sum(len(pivot.missing) for pivot in evidence.rewards) + evidence.not_run
    return verdict_of(gate, rules, missing)


def verdict_of(
    gate: GateOptions, rules: Sequence[RuleVerdict], missing: int, stopped: Stopped | None = None
) -> Verdict:
    """Return the verdict of a gate from those of its rules: one that fails comes first, and then the worst word."""
    rules = [_with_option(gate, rule) for rule in rules]
    worst = max(rules, key=lambda rule: (rule.fails, WORDS.index(rule.word)))
    all_hold = worst.word == PASS and len(rules) > 1
    return Verdict(
        word=worst.word,
        sentence=f"all {len(rules)} rules hold" if all_hold else worst.sentence,
        fails=worst.fails,
        missing=missing,
        rules=tuple(rules),
        stopped=stopped,
    )


def _with_option(gate: GateOptions, rule: RuleVerdict) -> RuleVerdict:
    """Say why a verdict fails although it is not clear."""
    if rule.word != INCONCLUSIVE or not rule.fails:
        return rule
    chosen = gate.inconclusive.text if isinstance(gate.inconclusive, Share) else gate.inconclusive
    return replace(rule, sentence=f"{rule.sentence}; --fc-inconclusive={chosen} makes that fail")


# -------------------------------------------------------------------- the lowest mean reward


def _by_mark(gate: GateOptions, mark: Mark, evidence: Evidence) -> RuleVerdict:
    group, least = mark.group, mark.least
    of_rate = group.kind == "pass"
    whole = group.kind in ("all", "pass")
    pivots = list(evidence.rewards if whole else filter(evidence.holds[group.text], evidence.rewards))
    answers = Counter(reward for pivot in pivots for reward in pivot.rewards.values())
    graded = answers.total()
    missing = sum(len(pivot.missing) for pivot in pivots) + evidence.not_run
    if of_rate:
        total = Fraction(sum(count for reward, count in answers.items() if passes(reward, evidence.pass_mark)))
    else:
        total = sum((exact(reward) * count for reward, count in answers.items()), Fraction())
    measure = "pass rate" if of_rate else "mean reward"
    name = f"the {measure}" if whole else f"the {measure} of {group.text}"
    figures: dict[str, Any] = {
        "measure": measure.replace(" ", "_"),
        "needed": float(least.value),
        "value": float(total / graded) if graded else None,
        "pivots": len(pivots),
        "graded": graded,
        "missing": missing,
    }

    def verdict(word: str, sentence: str, *, fails: bool) -> RuleVerdict:
        rule = f"--fc-fail-under={mark.text}"
        return RuleVerdict(rule=rule, word=word, sentence=sentence, fails=fails, figures=figures)

    if not graded + missing:
        whose = "no pivot" if whole else f"no pivot of {group.text}"
        return verdict(UNTRUSTED, f"{whose} was selected, so {name} is unknown", fails=True)
    wrong, right = total / (graded + missing), (total + missing) / (graded + missing)
    if missing:
        figures |= {"if_wrong": float(wrong), "if_right": float(right)}
    if len(pivots) + evidence.not_run < gate.min_pivots:
        values = dict.fromkeys((shown(wrong, least.value), shown(right, least.value)))
        over = f"{count_of(len(pivots), 'pivot')}, fewer than the {gate.min_pivots} of --fc-min-pivots"
        sentence = f"{name} is {' to '.join(values)} over {over}; {least.text} is needed"
        return verdict(INCONCLUSIVE, sentence, fails=gate.inconclusive == "fail")
    if not missing:
        value = shown(wrong, least.value)
        if wrong >= least.value:
            return verdict(PASS, f"{name} is {value}, and {least.text} is needed", fails=False)
        return verdict(FAIL, f"{name} is {value}, under the {least.text} that is needed", fails=True)
    low, high = shown(wrong, least.value), shown(right, least.value)
    if (wrong >= least.value) != (right >= least.value):
        readings = f"{name} is {low} if wrong, {high} if right; {least.text} is needed"
        return verdict(UNTRUSTED, _undecided(missing, readings, evidence.settle), fails=True)
    passed = wrong >= least.value
    sentence = f"whatever {_missing(missing)}: {name} is {low} to {high}, and {least.text} is needed"
    return verdict(PASS if passed else FAIL, sentence, fails=not passed)


# -------------------------------------------------------------------- the largest drop since the baseline


def _by_drop(gate: GateOptions, drop: Share, evidence: Evidence) -> RuleVerdict:
    comparison, not_run = evidence.comparison, evidence.not_run
    figures: dict[str, Any] = {"measure": "change", "allowed_drop": float(drop.value), "pivots": 0, "missing": not_run}

    def verdict(word: str, sentence: str, *, fails: bool) -> RuleVerdict:
        rule = f"--fc-max-drop={drop.text}"
        return RuleVerdict(rule=rule, word=word, sentence=sentence, fails=fails, figures=figures)

    if comparison is None:
        return verdict(UNTRUSTED, f"this run cannot be compared: {evidence.incomparable}", fails=True)
    missing = not_run + sum(len(pivot.missing) for pivot in _compared(comparison))
    figures |= {"pivots": len(comparison.pairs), "missing": missing}
    found = comparison.difference
    if found is not None:
        figures |= _figures(found)
    if comparison.identical:
        return verdict(PASS, f"this is the run {comparison.base.name} itself", fails=False)
    if not_run:
        were = "1 test was" if not_run == 1 else f"{not_run:,} tests were"
        return verdict(UNTRUSTED, f"{were} not run{_how(evidence.settle)}", fails=True)
    readings = [each for each in (comparison.if_wrong, comparison.if_right, found) if each is not None]
    if not readings:
        return verdict(UNTRUSTED, "the baseline has no answer to any pivot of this run", fails=True)
    words = [word_of(each, drop.value) for each in readings]
    failing = [_fails(gate, word, each) for word, each in zip(words, readings, strict=True)]
    if comparison.if_wrong is not None and comparison.if_right is not None:
        figures |= {"if_wrong": _figures(comparison.if_wrong), "if_right": _figures(comparison.if_right)}
    if len(set(failing)) > 1:
        return verdict(UNTRUSTED, _undecided(missing, _both_words(words, found), evidence.settle), fails=True)
    word = words[0] if len(set(words)) == 1 else INCONCLUSIVE
    shortest = found or readings[0]
    sentence = _change(word, shortest, drop)
    if comparison.if_wrong is not None:
        sentence = f"whatever {_missing(missing)}: {sentence}"
    return verdict(word, sentence, fails=failing[0])


def _compared(comparison: Comparison) -> Iterable[PivotRewards]:
    """Return the pivots of NEW that the baseline has an answer to."""
    yield from (pair.new for pair in comparison.pairs)
    errors_base = {id(pivot) for pivot in comparison.errors_base}
    yield from (pivot for pivot in comparison.errors_new if id(pivot) not in errors_base)


def word_of(found: Difference, drop: Fraction | float) -> str:
    """Return the verdict on a drop of the mean reward: it is decided by the interval that is shown."""
    if Fraction(found.high) < -drop:
        return REGRESSION
    return PASS if Fraction(found.lowest) > -drop else INCONCLUSIVE


def _fails(gate: GateOptions, word: str, found: Difference) -> bool:
    if word != INCONCLUSIVE:
        return word == REGRESSION
    if isinstance(gate.inconclusive, Share):
        return Fraction(found.allowed_drop) > gate.inconclusive.value
    return gate.inconclusive == "fail"


def _figures(found: Difference) -> dict[str, Any]:
    return {
        "change": found.change,
        "lowest": found.lowest,
        "highest": found.highest,
        "high": found.high,
        "trajectories": found.clusters,
    }


def _change(word: str, found: Difference, drop: Share) -> str:
    """Return the sentence on a change, with the bound that decides, and what would settle it if none does."""
    percent = f"{100 * (1 - found.alpha):.12g}"
    about = f"the mean reward changed by {found.change:+.4f}"
    if word == PASS:
        if found.lowest > 0:
            return f"{about}: it rose by at least {found.lowest:.4f}"
        ruled_out = shown(Fraction(-found.lowest), drop.value)
        return f"{about}, and a drop of more than {ruled_out} is ruled out; {drop.text} is allowed"
    if word == REGRESSION:
        least = shown(Fraction(-found.high), drop.value)
        return f"{about}: it fell by at least {least}, and {drop.text} is allowed"
    interval = f"{percent} % interval {found.lowest:+.4f} to {found.highest:+.4f}"
    missed = f"a drop of up to {found.allowed_drop:.4f} would not be seen in these {_trajectories(found.clusters)}"
    enough = found.trajectories_for(float(drop.value))
    if found.lowest <= -1:
        advice = "these are too few to rule out anything"
    elif drop.value == 0:
        advice = "no number of trajectories rules out every drop, so allow a small one"
    elif enough is None:
        advice = "more trajectories are needed"
    else:
        advice = f"about {enough:,} would rule out one of {drop.text} if nothing has changed"
    return f"{about} ({interval}): {missed}; {advice}"


def _trajectories(number: int) -> str:
    return f"{number:,} {'trajectory' if number == 1 else 'trajectories'}"


def _both_words(words: Sequence[str], found: Difference | None) -> str:
    wrong, right = words[0], words[1]
    between = "" if found is None or words[2] in (wrong, right) else f", {words[2]} by the answers that there are"
    if wrong == right:
        return f"{wrong} if wrong or right{between}"
    return f"{wrong} if wrong, {right} if right{between}"


# -------------------------------------------------------------------- numbers and words


def _missing(number: int) -> str:
    return "the missing answer is" if number == 1 else f"the {number:,} missing answers are"


def _undecided(missing: int, readings: str, settle: str) -> str:
    decide = (
        "1 answer is missing, and it decides" if missing == 1 else f"{missing:,} answers are missing, and they decide"
    )
    return f"{decide}: {readings}{_how(settle)}"


def _how(settle: str) -> str:
    return f"; {settle}" if settle else ""


@lru_cache(maxsize=4096)
def exact(reward: float) -> Fraction:
    """Return a reward as the number that it was meant to be: a simple fraction such as 1/3, or its decimal digits."""
    simple = Fraction(reward).limit_denominator(_SIMPLE)
    return simple if abs(simple - Fraction(reward)) < _ROUNDING else Fraction(repr(reward))


def shown(value: Fraction, mark: Fraction) -> str:
    """Write a number with four decimals, or with as many as show on which side of the mark it is, a finite decimal."""
    digits = _LEAST_DIGITS
    while True:
        rounded = round(value * 10**digits)
        there = Fraction(rounded, 10**digits)
        if (there > mark) == (value > mark) and (there < mark) == (value < mark):
            sign, whole = "-" if rounded < 0 else "", abs(rounded)
            return f"{sign}{whole // 10**digits}.{whole % 10**digits:0{digits}d}"
        digits += 1
