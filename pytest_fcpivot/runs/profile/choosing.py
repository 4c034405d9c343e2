"""Decides which pivots are mixed, and which of them are kept."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from pytest_fcpivot.core.errors import OptionError
from pytest_fcpivot.data.selection import stable_hash
from pytest_fcpivot.graders import passes
from pytest_fcpivot.graders.base import ROUNDING
from pytest_fcpivot.stats.beta_binomial import BetaBinomial, CannotFitError, fit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_fcpivot.runs.profile.candidates import Candidate, Candidates

Kind = Literal["all-pass", "all-fail", "mixed", "unfinished"]
ALL_PASS: Kind = "all-pass"  # noqa: S105 (no password)
ALL_FAIL: Kind = "all-fail"
MIXED: Kind = "mixed"
UNFINISHED: Kind = "unfinished"
KINDS: tuple[Kind, ...] = (ALL_PASS, ALL_FAIL, MIXED, UNFINISHED)
TRAIN, VALIDATION = "train", "validation"
LEAST_FITTED = 30  # pivots; fewer say too little of how pass rates are distributed
_HASHES = 1 << 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What is kept, and how that is decided.

    `outcome_mark` is the lowest reward of a rollout that passed. A uniform pivot takes `min_rollouts` graded ones.
    `max_mean` is the largest mean reward of a mixed pivot that is kept; `message_share` the largest share of messages
    among those that are kept; `limit` their largest number; `split` the share of trajectories for training.
    """

    keep: Kind = MIXED
    min_rollouts: int = 8
    outcome_mark: float = 1.0
    max_mean: float | None = None
    message_share: Fraction | None = None
    limit: int | None = None
    split: Fraction | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The kept pivots in the order of the data, and after each rule how many were left.

    `kinds` has the kind of each candidate, in their order.
    """

    rules: Rules
    kinds: tuple[Kind, ...]
    kept: tuple[Candidate, ...]
    steps: tuple[tuple[str, int], ...]

    def split_of(self, candidate: Candidate) -> str | None:
        """Return the split of a pivot's trajectory; None if there are no splits."""
        rules = self.rules
        if rules.split is None:
            return None
        drawn = stable_hash(f"profile split {rules.seed}", candidate.trajectory_id)
        return TRAIN if Fraction(drawn, _HASHES) < rules.split else VALIDATION


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a fitted beta-binomial expects: all-fail and mixed pivots, and all-fail ones that would pass if asked again.

    Each pivot is taken to be asked as often again as it was. `all_fail` and `mixed` are what it expects of the finished
    pivots, to be held against their counts.
    """

    fitted: BetaBinomial
    passing_later: float
    all_fail: float
    mixed: float


def kind_of(candidate: Candidate, rules: Rules) -> Kind:
    """Return the kind of a pivot: mixed once some have passed and some failed, whatever is missing.

    Without both, it takes `min_rollouts` graded rollouts to be finished. Errors count as neither.
    """
    passed = candidate.passed(rules.outcome_mark)
    if 0 < passed < candidate.graded:
        return MIXED
    if candidate.graded < rules.min_rollouts:
        return UNFINISHED
    return ALL_PASS if passed else ALL_FAIL


def choose(candidates: Candidates, rules: Rules) -> Chosen:
    """Choose the pivots to keep; the same ones whatever the order of the sources.

    Raises OptionError for a largest mean if rollouts stopped once a pivot was mixed, since that biases the mean.
    """
    stopped = next((source for source in candidates.sources if source.until_mixed), None)
    if rules.max_mean is not None and stopped is not None:
        raise OptionError(
            f"--max-mean: {stopped.name} was recorded with --fc-until-mixed, which stops asking once a pivot has "
            "passed and failed, so that the means of its mixed pivots are biased; record a run without it"
        )
    kinds = tuple(kind_of(candidate, rules) for candidate in candidates.pivots)
    kept = [candidate for candidate, kind in zip(candidates.pivots, kinds, strict=True) if kind == rules.keep]
    steps: list[tuple[str, int]] = [(rules.keep, len(kept))]
    if rules.max_mean is not None:
        kept = [each for each in kept if (each.mean() or 0.0) <= rules.max_mean + ROUNDING]
        steps.append((f"mean reward of at most {rules.max_mean:g}", len(kept)))
    if rules.message_share is not None:
        kept = _with_share(kept, rules.message_share, rules.seed)
        steps.append((f"at most {float(rules.message_share):.4g} of them messages", len(kept)))
    if rules.limit is not None:
        kept = _limited(kept, rules.limit, rules.seed)
        steps.append((f"a sample of at most {rules.limit}", len(kept)))
    return Chosen(rules=rules, kinds=kinds, kept=tuple(kept), steps=tuple(steps))


def mixed_by_agents(candidates: Candidates, chosen: Chosen) -> int:
    """Count the mixed pivots that are so only because agents differ: for each agent alone, none is mixed."""
    found = 0
    for candidate, kind in zip(candidates.pivots, chosen.kinds, strict=True):
        if kind != MIXED:
            continue
        outcomes: dict[str | None, set[bool]] = {}
        for rollout in candidate.rollouts:
            passed = passes(rollout.reward, chosen.rules.outcome_mark)
            outcomes.setdefault(candidates.sources[rollout.source].agent, set()).add(passed)
        found += all(len(each) == 1 for each in outcomes.values())
    return found


def histogram(candidates: Candidates, mark: float) -> dict[int, Counter[int]]:
    """Count pivots by the number of their graded rollouts, and by how many of these passed."""
    found: dict[int, Counter[int]] = {}
    for candidate in candidates.pivots:
        found.setdefault(candidate.graded, Counter())[candidate.passed(mark)] += 1
    return dict(sorted(found.items(), reverse=True))


def expected_by_fit(candidates: Candidates, chosen: Chosen) -> Expected | str:
    """Fit a beta-binomial to all candidates; returns what it expects, or why it cannot be fitted."""
    mark = chosen.rules.outcome_mark
    counts = Counter((each.passed(mark), each.graded) for each in candidates.pivots if each.graded)
    if counts.total() < LEAST_FITTED:
        return f"there are fewer than {LEAST_FITTED} pivots with a graded rollout"
    try:
        fitted = fit(counts)
    except CannotFitError as error:
        return str(error)
    later: list[float] = []
    all_fail: list[float] = []
    mixed: list[float] = []
    known: dict[int, tuple[float, float, float]] = {}
    for candidate, kind in zip(candidates.pivots, chosen.kinds, strict=True):
        if kind == UNFINISHED:
            continue
        # of a pivot that was asked no further once it was mixed, how often it would have been asked
        asked = max(candidate.graded, candidate.planned - candidate.errors) if candidate.stopped else candidate.graded
        if asked not in known:
            none, every = fitted.probability(0, asked), fitted.probability(asked, asked)
            known[asked] = none, max(0.0, 1 - none - every), fitted.passes_later(asked, asked)
        all_fail.append(known[asked][0])
        mixed.append(known[asked][1])
        if kind == ALL_FAIL:
            later.append(known[asked][2])
    return Expected(fitted=fitted, passing_later=math.fsum(later), all_fail=math.fsum(all_fail), mixed=math.fsum(mixed))


def _with_share(pivots: Sequence[Candidate], share: Fraction, seed: int) -> list[Candidate]:
    """Leave out messages, by a seeded sample, until they are at most this share of what is left."""
    messages = [each for each in pivots if each.is_message]
    calls = len(pivots) - len(messages)
    most = len(messages) if share == 1 else min(len(messages), math.floor(share * calls / (1 - share)))
    return _only(pivots, _drawn(messages, most, seed))


def _limited(pivots: Sequence[Candidate], limit: int, seed: int) -> list[Candidate]:
    """Draw a seeded sample with the proportion of messages that there is, rounded down."""
    if limit >= len(pivots):
        return list(pivots)
    messages = [each for each in pivots if each.is_message]
    number = limit * len(messages) // len(pivots)
    calls = [each for each in pivots if not each.is_message]
    return _only(pivots, [*_drawn(messages, number, seed), *_drawn(calls, limit - number, seed)], all_kinds=True)


def _drawn(pivots: Iterable[Candidate], number: int, seed: int) -> list[Candidate]:
    """Draw pivots by a hash of their ids, so that neither their order nor the other ones matter."""
    salt = f"profile sample {seed}"
    return sorted(pivots, key=lambda each: (stable_hash(salt, each.pivot_id), each.place))[:number]


def _only(pivots: Sequence[Candidate], drawn: Sequence[Candidate], *, all_kinds: bool = False) -> list[Candidate]:
    """Return the pivots that were drawn, and the calls unless they were drawn from too, in their order."""
    places = {each.place for each in drawn}
    return [each for each in pivots if each.place in places or not (all_kinds or each.is_message)]
