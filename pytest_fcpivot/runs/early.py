"""Decide a gate before all answers are there: what it would say of the whole run.

The trajectories count in a random order that a seed gives, and only those at its head, all of whose tests have ended.
So what is decided does not depend on how fast answers arrive, and a run that is resumed decides the same.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.words import count_of
from pytest_fcpivot.graders import passes
from pytest_fcpivot.options.gate import Share
from pytest_fcpivot.runs.gate import (
    FAIL,
    INCONCLUSIVE,
    PASS,
    REGRESSION,
    UNTRUSTED,
    RuleVerdict,
    Stopped,
    shown,
    verdict_of,
)
from pytest_fcpivot.runs.standing import Standing
from pytest_fcpivot.stats.stopping import MeanAgainstMark, WordAgainstBaseline, Zone, large_from

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pytest_fcpivot.options.gate import GateOptions, Mark
    from pytest_fcpivot.runs.gate import Verdict
    from pytest_fcpivot.runs.rewards import PivotRewards, Rewards

Bases = dict[tuple[str, str], float]  # the baseline's mean reward of pivots, by place and id


@dataclass(frozen=True, slots=True)
class Order:
    """The trajectories of a run in the order in which they count; the first `large` are there for their size."""

    trajectories: tuple[str, ...]
    large: int


def order_of(sizes: Mapping[str, int], seed: int) -> Order:
    """Return the order of trajectories with these numbers of tests: the large ones first, and otherwise by the seed.

    It depends on nothing but the seed and the ids, so that every process, and a session that resumes the run, finds the
    same.
    """
    limit = large_from(list(sizes.values()))

    def place(trajectory: str) -> tuple[bool, bytes]:
        return sizes[trajectory] < limit, blake2b(f"{seed}:{trajectory}".encode(errors="surrogatepass")).digest()

    ordered = tuple(sorted(sizes, key=place))
    return Order(ordered, sum(sizes[each] >= limit for each in ordered))


class EarlyGate:
    """A gate of a session that stops when it is decided, at `gate.stop_alpha`.

    `everything` has each selected test as a missing answer, `holds` what tells the pivots of each group, and `bases`
    the baseline's mean rewards of the pivots that are compared; None if there is nothing to compare with.
    """

    def __init__(
        self,
        gate: GateOptions,
        seed: int,
        everything: Rewards,
        *,
        pass_mark: float,
        holds: Mapping[str, Callable[[PivotRewards], bool]],
        bases: Bases | None,
    ) -> None:
        assert gate.stop_alpha is not None  # noqa: S101 (there is nothing to do without)
        self._gate = gate
        self._seed = seed
        self._error = gate.stop_alpha
        self._pivots: dict[str, list[PivotRewards]] = defaultdict(list)
        sizes: dict[str, int] = defaultdict(int)
        for pivot in everything:
            self._pivots[pivot.trajectory_id].append(pivot)
            sizes[pivot.trajectory_id] += len(pivot.missing)
        self.order = order_of(sizes, seed)
        self._answers = sum(sizes.values())
        self._seen = self._answers_seen = 0
        rules = len(gate.marks) + (gate.max_drop is not None)
        ordered, large = [self._pivots[each] for each in self.order.trajectories], self.order.large
        # one rule that fails is enough, so each has a part of the error; all of them pass together, or not at all
        of_fail = self._error / rules
        self._rules: list[_OfMark | _OfDrop] = [
            _OfMark(gate, mark, ordered, large, errors=(of_fail, self._error), pass_mark=pass_mark, holds=holds)
            for mark in gate.marks
        ]
        if gate.max_drop is not None:
            self._rules.append(_OfDrop(gate, gate.max_drop, ordered, large, error=of_fail, bases=bases))
        self.verdict: Verdict | None = None

    def see(self, rewards: Rewards) -> bool:
        """Take the next trajectory of the order, all of whose tests have ended; returns whether the gate is decided.

        `rewards` has the results; a test without one is a missing answer.
        """
        pivots = self._pivots[self.order.trajectories[self._seen]]
        self._seen += 1
        results = [(pivot, rewards.get(pivot.place, pivot.pivot_id)) for pivot in pivots]
        for rule in self._rules:
            rule.see(results)
        self._answers_seen += sum(len(pivot.missing) for pivot in pivots)
        if any(rule.fails for rule in self._rules) or all(rule.passes for rule in self._rules):
            self._decide(rewards)
        return self.verdict is not None

    def standings(self) -> list[Standing]:
        """Return where each rule stands by what was seen; one that decides nothing is left out."""
        return [found for rule in self._rules if (found := rule.standing()) is not None]

    def _decide(self, rewards: Rewards) -> None:
        rules = [rule.verdict(f"{self._answers_seen:,} of {self._answers:,} answers") for rule in self._rules]
        stopped = Stopped(
            error=self._error,
            seed=self._seed,
            trajectories=self._seen,
            of_trajectories=len(self.order.trajectories),
            large=min(self._seen, self.order.large),
            answers=self._answers_seen,
            of_answers=self._answers,
        )
        self.verdict = verdict_of(self._gate, rules, sum(len(pivot.missing) for pivot in rewards), stopped)


Results = list[tuple["PivotRewards", "PivotRewards | None"]]


class _OfMark:
    """One mark of the gate, over the pivots that it is for."""

    def __init__(
        self,
        gate: GateOptions,
        mark: Mark,
        ordered: Iterable[Sequence[PivotRewards]],
        large: int,
        *,
        errors: tuple[float, float],
        pass_mark: float,
        holds: Mapping[str, Callable[[PivotRewards], bool]],
    ) -> None:
        self._mark = mark
        self._errors = errors  # of FAIL, and of PASS
        self._by_rate = mark.group.kind == "pass"
        self._whole = mark.group.kind in ("all", "pass")
        self._holds = None if self._whole else holds[mark.group.text]
        self._pass_mark = pass_mark
        sizes, of_large, pivots = [], 0, 0
        for position, trajectory in enumerate(ordered):
            ours = [pivot for pivot in trajectory if self._is_ours(pivot)]
            if ours:
                pivots += len(ours)
                sizes.append(sum(len(pivot.missing) for pivot in ours))
                of_large += position < large
        self._pivots = pivots
        self._missing = 0
        # known from the start: the word is INCONCLUSIVE, whatever the answers
        self._too_few = pivots < gate.min_pivots
        self._fails_anyway = self._too_few and gate.inconclusive == "fail"
        self._least = gate.min_pivots
        self._question = MeanAgainstMark(float(mark.least.value), sizes, of_large)

    def _is_ours(self, pivot: PivotRewards) -> bool:
        return self._holds is None or self._holds(pivot)

    def see(self, results: Results) -> None:
        """Take a trajectory's results, if the group has any of its pivots."""
        total, missing, ours = 0.0, 0, False
        for pivot, found in results:
            if not self._is_ours(pivot):
                continue
            ours = True
            rewards = found.rewards if found is not None else {}
            values = (rewards[repeat] for repeat in pivot.missing if repeat in rewards)
            total += sum(passes(each, self._pass_mark) if self._by_rate else each for each in values)
            missing += sum(repeat not in rewards for repeat in pivot.missing)
        if ours:
            self._missing += missing
            self._question.see(total, total + missing)

    @property
    def fails(self) -> bool:
        """Whether it is decided that this mark is missed."""
        return not self._too_few and self._question.failing >= 1 / self._errors[0]

    @property
    def passes(self) -> bool:
        """Whether it is decided that this mark does not make the gate fail."""
        if not self._pivots:
            return False
        if self._too_few:
            return not self._fails_anyway
        return self._question.passing >= 1 / self._errors[1]

    def standing(self) -> Standing | None:
        """Return where the mark stands; None if it decides nothing, or is over no pivot."""
        if not self._pivots or self._too_few:
            return None
        high = self._question.bounds(self._errors[0])[1]
        low = self._question.bounds(self._errors[1])[0]
        return Standing(rule=self._mark.text, needed=float(self._mark.least.value), low=low, high=high)

    @property
    def _measure(self) -> str:
        return "pass rate" if self._by_rate else "mean reward"

    def _of_nothing(self) -> RuleVerdict:
        """Return the verdict of a mark for a group of which no pivot was selected; at the end it is the same."""
        group, least = self._mark.group.text, self._mark.least
        return RuleVerdict(
            rule=f"--fc-fail-under={self._mark.text}",
            word=UNTRUSTED,
            sentence=f"no pivot of {group} was selected, so the {self._measure} of {group} is unknown",
            fails=True,
            figures={
                "measure": self._measure.replace(" ", "_"),
                "needed": float(least.value),
                "value": None,
                "pivots": 0,
                "missing": 0,
            },
        )

    def verdict(self, after: str) -> RuleVerdict:
        """Return the verdict of this mark; INCONCLUSIVE if it is not decided."""
        mark, needed = self._mark, self._mark.least
        if not self._pivots:
            return self._of_nothing()
        fails, passes_ = self.fails, self.passes and not self._too_few
        error = self._errors[0] if fails else self._errors[1]
        low, high = self._question.bounds(error)
        if fails:
            high = min(high, float(needed.value))
        if passes_:
            low = max(low, float(needed.value))
        measure = self._measure
        name = f"the {measure} of {'the whole run' if self._whole else f'{mark.group.text} in the whole run'}"
        lies = (
            f"between {shown(Fraction(low), needed.value)} and {shown(Fraction(high), needed.value)} "
            f"({sequence_at(error)}, after {after})"
        )
        if self._too_few:
            word = INCONCLUSIVE
            over = f"{count_of(self._pivots, 'pivot')}, fewer than the {self._least} of --fc-min-pivots"
            sentence = f"{name} is over {over}; it lies {lies}, and {needed.text} is needed"
        elif fails:
            word, sentence = FAIL, f"{name} is under the {needed.text} that is needed: it lies {lies}"
        elif passes_:
            word, sentence = PASS, f"{name} is at least the {needed.text} that is needed: it lies {lies}"
        else:
            word = INCONCLUSIVE
            sentence = f"not decided when the session stopped: {name} lies {lies}, and {needed.text} is needed"
        return RuleVerdict(
            rule=f"--fc-fail-under={mark.text}",
            word=word,
            sentence=sentence,
            fails=fails or self._fails_anyway,
            figures={
                "measure": measure.replace(" ", "_"),
                "needed": float(needed.value),
                "sequence_low": low,
                "sequence_high": high,
                "pivots": self._pivots,
                "missing": self._missing,
            },
        )


class _OfDrop:
    """The largest drop that the gate allows, over the pivots that the baseline has an answer to."""

    def __init__(
        self,
        gate: GateOptions,
        drop: Share,
        ordered: Iterable[Sequence[PivotRewards]],
        large: int,
        *,
        error: float,
        bases: Bases | None,
    ) -> None:
        self._drop = drop
        self._error = error
        self._inconclusive = gate.inconclusive
        self._bases = bases or {}
        sizes, base, of_large = [], [], 0
        for position, trajectory in enumerate(ordered):
            ours = [self._bases[key] for pivot in trajectory if (key := (pivot.place, pivot.pivot_id)) in self._bases]
            if ours:
                sizes.append(len(ours))
                base.append(math.fsum(ours))
                of_large += position < large
        self._pairs = sum(sizes)
        self._missing = 0
        self._question = WordAgainstBaseline(
            float(drop.value),
            sizes,
            base,
            of_large,
            alpha=gate.alpha,
            error=error,
            may_miss=float(gate.inconclusive.value) if isinstance(gate.inconclusive, Share) else None,
        )

    def see(self, results: Results) -> None:
        """Take a trajectory's results, if any of its pivots is compared."""
        low, high, ours = [], [], False
        for pivot, found in results:
            base = self._bases.get((pivot.place, pivot.pivot_id))
            if base is None:
                continue
            ours = True
            rewards = found.rewards if found is not None else {}
            total = math.fsum(rewards[repeat] for repeat in pivot.missing if repeat in rewards)
            missing = sum(repeat not in rewards for repeat in pivot.missing)
            self._missing += missing
            low.append(total / len(pivot.missing) - base)
            high.append((total + missing) / len(pivot.missing) - base)
        if ours:
            self._question.see(math.fsum(low), math.fsum(high))

    @property
    def fails(self) -> bool:
        """Whether it is decided that the drop makes the gate fail."""
        zone = self._question.zone
        return zone in (Zone.DROPPED, Zone.OPEN) or (zone is Zone.BETWEEN and self._inconclusive == "fail")

    @property
    def passes(self) -> bool:
        """Whether it is decided that the drop does not make the gate fail."""
        return self._question.zone is not None and not self.fails

    def standing(self) -> Standing | None:
        """Return where the drop stands; None without any pivot to compare."""
        if not self._pairs:
            return None
        low, high = self._question.bounds(self._error)
        needed = -float(self._drop.value)
        return Standing(rule=f"drop {self._drop.text}", needed=needed, low=low, high=high, is_change=True)

    def verdict(self, after: str) -> RuleVerdict:
        """Return the verdict on the drop; INCONCLUSIVE if it is not decided."""
        drop, zone = self._drop, self._question.zone
        low, high = self._question.bounds(self._error)
        lies = (
            f"the change of its mean reward lies between {low:+.4f} and {high:+.4f} ({sequence_at(self._error)}, "
            f"after {after})"
        )
        if zone is Zone.DROPPED:
            word, sentence = REGRESSION, f"the whole run would show a drop of more than {drop.text}: {lies}"
        elif zone is Zone.HELD:
            word, sentence = PASS, f"the whole run would rule out a drop of more than {drop.text}: {lies}"
        elif zone is None:
            word, sentence = INCONCLUSIVE, f"not decided when the session stopped: {lies}; {drop.text} is allowed"
        else:
            word = INCONCLUSIVE
            sentence = f"the whole run would neither show nor rule out a drop of more than {drop.text}: {lies}"
            if zone is Zone.OPEN and isinstance(self._inconclusive, Share):
                sentence += f"; it would not rule out one of more than {self._inconclusive.text} either"
        figures: dict[str, Any] = {
            "measure": "change",
            "allowed_drop": float(drop.value),
            "sequence_low": low,
            "sequence_high": high,
            "pivots": self._pairs,
            "missing": self._missing,
        }
        return RuleVerdict(
            rule=f"--fc-max-drop={drop.text}", word=word, sentence=sentence, fails=self.fails, figures=figures
        )


def sequence_at(error: float) -> str:
    """Return the words for a confidence sequence, of which each end is wrong with at most this probability."""
    return f"confidence sequence, each end {100 * (1 - error):.6g} % sure"
