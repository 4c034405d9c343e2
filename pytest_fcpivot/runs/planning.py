"""Plan a gate before the first call: what it can decide with this many trajectories, and what it costs."""

from __future__ import annotations

import random
from dataclasses import dataclass
from statistics import NormalDist, fmean, median
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.runs.directory import RunDirectory
from pytest_fcpivot.runs.early import order_of
from pytest_fcpivot.runs.gate import FAIL, INCONCLUSIVE, PASS, REGRESSION
from pytest_fcpivot.runs.reader import Damage, results_in
from pytest_fcpivot.stats.clusters import Totals
from pytest_fcpivot.stats.imagined import (
    correlation_of,
    deviation_of_change,
    deviation_of_mean,
    imagine_changes,
    imagine_rewards,
)
from pytest_fcpivot.stats.paired import difference
from pytest_fcpivot.stats.stopping import MeanAgainstMark, WordAgainstBaseline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pytest_fcpivot.options.gate import Share
    from pytest_fcpivot.options.values import Price
    from pytest_fcpivot.runs.rewards import Rewards
    from pytest_fcpivot.stats.imagined import Imagined

MEAN, CORRELATION, FLIPS = 0.8, 0.3, 0.12  # what is assumed where nothing is known
SEEN = 0.05  # the drop that a gate is expected to see; twice what is allowed, if that is more
OFTEN = 0.8
_CHANGES = (0.0, -0.01, -0.02, -SEEN, -0.1)
_DISTANCES = (-0.1, -0.05, -0.02, 0.0, 0.02, 0.05, 0.1)

# How many trajectories are simulated for each row, so that it takes some seconds in all.
_TO_SEE_WORDS, _TO_SEE_CALLS = 30_000, 10_000
_MOST_RUNS, _LEAST_RUNS = 200, 8
_RUNS_TO_COUNT = 100  # the words of fewer simulated runs are not counted, but worked out from their widths


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """What a plan assumes: the mean reward, how much alike the rewards of a trajectory are, and the share of flips."""

    mean: float = MEAN
    correlation: float = CORRELATION
    flips: float = FLIPS


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a gate does if the truth is `truth`, a mean reward or its change.

    `words` has the probability of each word, `asked` the mean share of the calls if the session stops when decided.
    """

    truth: float
    words: Mapping[str, float]
    asked: float

    def to_builtins(self) -> dict[str, Any]:
        """Return the row as it is written as JSON."""
        return {"truth": self.truth, "words": dict(self.words), "asked": self.asked}


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What one rule of a gate can decide.

    `counted` is the number of simulated runs whose words were counted; None if the words are worked out from a normal
    distribution. `enough` is about the number of trajectories that would rule out the allowed drop if nothing has
    changed; None for a mark, for a drop of 0, and if there are as many. `seen` is the drop that the gate is expected to
    see.
    """

    rule: str
    rows: tuple[Row, ...]
    counted: int | None = None
    enough: int | None = None
    seen: float = SEEN

    def to_builtins(self) -> dict[str, Any]:
        """Return the plan as it is written as JSON."""
        rows = [row.to_builtins() for row in self.rows]
        return {"rule": self.rule, "rows": rows, "counted": self.counted, "enough": self.enough}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """The tokens that a number of answers took: read, read from a cache (which `read` includes), and written."""

    answers: int
    read: int
    cached: int
    written: int

    def cost(self, calls: float, price: Price) -> float:
        """Return what a number of calls costs."""
        return calls * price.of(self.read, self.cached, self.written) / self.answers


def known_of(rewards: Rewards) -> dict[str, float]:
    """Return what a baseline says about what a plan assumes: its mean, and the others as far as they are known.

    The share of flips is that of two repeats of a pivot, whose rewards differ with the same agent.
    """
    by_trajectory: dict[str, list[float]] = {}
    differ = pairs = 0.0
    for pivot in rewards:
        values = list(pivot.rewards.values())
        by_trajectory.setdefault(pivot.trajectory_id, []).extend(values[:1])
        if len(values) > 1:
            mean = sum(values) / len(values)
            differ += 2 * sum((value - mean) ** 2 for value in values) / (len(values) - 1)
            pairs += 1
    graded = [value for values in by_trajectory.values() for value in values]
    if not graded:
        raise RunError("the baseline has no graded answer")
    found = {"mean": fmean(graded)}
    correlation = correlation_of(by_trajectory.values())
    if correlation is not None:
        found["correlation"] = correlation
    if pairs:
        found["flips"] = differ / pairs
    return found


def tokens_of(run: Path) -> Tokens | None:
    """Return the tokens of a run's answers; None if none of them tells its tokens."""
    results = RunDirectory(run).results
    answers = read = cached = written = 0
    if results.exists():
        for _, line in results_in(results):
            if isinstance(line, Damage) or line.usage is None:
                continue
            answers += 1
            read += line.usage.input
            cached += line.usage.cached
            written += line.usage.output
    return Tokens(answers=answers, read=read, cached=cached, written=written) if answers else None


def plan_mark(sizes: Mapping[str, int], mark: Share, assumed: Assumed, *, error: float, seed: int) -> Planned:
    """Return what a mark of all pivots can decide; `sizes` has the number of pivots of each trajectory.

    `error` is that of a session that stops when decided. The mean of a run is taken to have a normal distribution.
    """
    draw, order = random.Random(seed), _ordered(sizes, seed)  # noqa: S311 (no secret)
    least = float(mark.value)
    rows = []
    for truth in sorted({round(least + distance, 6) for distance in _DISTANCES if 0 < least + distance < 1}):
        misses = NormalDist(truth, deviation_of_mean(order[0], truth, assumed.correlation)).cdf(least)
        asked = [
            _asked_of_mark(order, imagine_rewards(draw, order[0], truth, assumed.correlation), least, error)
            for _ in range(_runs(_TO_SEE_CALLS, sizes))
        ]
        rows.append(Row(truth=truth, words={FAIL: misses, PASS: 1 - misses}, asked=fmean(asked)))
    return Planned(rule=f"--fc-fail-under={mark.text}", rows=tuple(rows))


def plan_drop(
    sizes: Mapping[str, int], drop: Share, assumed: Assumed, *, alpha: float, error: float, seed: int
) -> Planned:
    """Return what a largest drop can decide, against a baseline of the same pivots; `alpha` is that of the interval.

    The words are those of simulated runs. Where trajectories are so many that only few runs can be simulated, their
    intervals have nearly the same widths, and the mean change has a normal distribution about the truth.
    """
    draw, order = random.Random(seed), _ordered(sizes, seed)  # noqa: S311 (no secret)
    allowed = float(drop.value)
    runs = _runs(_TO_SEE_WORDS, sizes)
    rows, enough = [], None
    seen = min(1.0, max(SEEN, round(2 * allowed, 6)))

    def imagined(change: float) -> list[Imagined]:
        return imagine_changes(draw, order[0], assumed.mean, assumed.correlation, flips=assumed.flips, change=change)

    for change in sorted({*_CHANGES, -allowed, -seen}, reverse=True):
        found = [difference([Totals(each.size, each.change) for each in imagined(change)], alpha) for _ in range(runs)]
        deviation = deviation_of_change(order[0], assumed.correlation, flips=assumed.flips, change=change)
        if runs >= _RUNS_TO_COUNT or not deviation:  # without any flip, all runs are the same
            fell = fmean(each.high < -allowed for each in found)
            held = fmean(each.lowest > -allowed for each in found)
        else:
            around = NormalDist(change, deviation)
            fell = fmean(around.cdf(-allowed - (each.high - each.change)) for each in found)
            held = fmean(1 - around.cdf(-allowed + (each.change - each.lowest)) for each in found)
        if change == 0 and allowed > 0:
            # as if exactly nothing had changed in each of these runs
            needed = [sizes_needed for each in found if (sizes_needed := each.trajectories_for(allowed)) is not None]
            about = round(median(needed)) if needed else 0
            enough = about if about > len(sizes) else None
        asked = [
            _asked_of_drop(order, imagined(change), allowed, alpha, error) for _ in range(_runs(_TO_SEE_CALLS, sizes))
        ]
        words = {REGRESSION: fell, INCONCLUSIVE: max(0.0, 1 - fell - held), PASS: held}
        rows.append(Row(truth=change, words=words, asked=fmean(asked)))
    counted = runs if runs >= _RUNS_TO_COUNT else None
    return Planned(rule=f"--fc-max-drop={drop.text}", rows=tuple(rows), counted=counted, enough=enough, seen=seen)


_Order = tuple[list[int], int]  # the sizes of the trajectories in their order, and how many of them are large


def _ordered(sizes: Mapping[str, int], seed: int) -> _Order:
    order = order_of(sizes, seed)
    return [sizes[each] for each in order.trajectories], order.large


def _runs(trajectories: int, sizes: Mapping[str, int]) -> int:
    return max(_LEAST_RUNS, min(_MOST_RUNS, trajectories // len(sizes)))


def _asked_of_mark(order: _Order, run: Sequence[Imagined], mark: float, error: float) -> float:
    sizes, large = order
    question = MeanAgainstMark(mark, sizes, large)
    for each in run:
        question.see(each.base, each.base)
        if max(question.failing, question.passing) >= 1 / error:
            break
    return sum(sizes[: question.seen]) / sum(sizes)


def _asked_of_drop(order: _Order, run: Sequence[Imagined], drop: float, alpha: float, error: float) -> float:
    sizes, large = order
    question = WordAgainstBaseline(drop, sizes, [each.base for each in run], large, alpha=alpha, error=error)
    for each in run:
        question.see(each.change, each.change)
        if question.zone is not None:
            break
    return sum(sizes[: question.seen]) / sum(sizes)
