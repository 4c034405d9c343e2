"""Show how often a gate that stops early contradicts the whole run, and what share of the calls it asks.

    python benchmarks/stopping.py [--samples 300] [--seed 1] [--only marks peeking changes quiet speed]

Trajectories have sizes from a geometric distribution. In a trajectory, rewards are 0 or 1 with a rate of its own, drawn
from a beta distribution with the given correlation; pivots that flip between two runs are lost or won with a rate of
the trajectory's own, which has mean zero where nothing has changed. Each sample is a whole run, whose word is known,
and a random order of its trajectories, in which they are seen until the gate is decided.

For comparison, "peeking" looks at an ordinary interval of the mean after each trajectory from the thirtieth on, and
stops when it excludes the mark.

Each cell has the mean share of the calls that are asked, and the share of samples in which the gate contradicts the
whole run. Targets: contradictions in at most 5 %, everywhere; ten points below the mark, at most 15 % of the calls.
"""

from __future__ import annotations

import argparse
import random
import time
from dataclasses import dataclass
from statistics import fmean

from clustered import own_rate

from pytest_fcpivot.stats.clusters import Totals
from pytest_fcpivot.stats.paired import difference
from pytest_fcpivot.stats.stopping import MeanAgainstMark, WordAgainstBaseline, Zone, large_from

MARK = 0.8
POINTS = (-0.2, -0.1, -0.05, -0.02, 0.0, 0.02, 0.05, 0.1)
CHANGES = (0.02, 0.0, -0.01, -0.02, -0.05, -0.1)


@dataclass(frozen=True)
class Shape:
    """The sizes of a data set: a number of trajectories, their mean size, and one huge trajectory, if any."""

    trajectories: int
    mean_size: float
    huge: int = 0

    def sizes(self, draw: random.Random) -> list[int]:
        """Draw the sizes."""
        sizes = [geometric(draw, self.mean_size) for _ in range(self.trajectories)]
        return [self.huge, *sizes[1:]] if self.huge else sizes

    def __str__(self) -> str:
        return f"{self.trajectories} of {self.mean_size:g}" + (f", one of {self.huge}" if self.huge else "")


SHAPES = (Shape(3800, 2.53), Shape(3800, 2.53, 300), Shape(1000, 6.4), Shape(1000, 6.4, 300), Shape(300, 6.4))


@dataclass(frozen=True)
class Trajectory:
    """One trajectory of a whole run: its pivots, the baseline's sum of rewards, and the change of it."""

    size: int
    base: int
    change: int


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=300, help="samples for each cell (default: 300)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--only",
        nargs="+",
        choices=("marks", "peeking", "changes", "quiet", "speed"),
        default=("marks", "peeking", "changes", "quiet", "speed"),
    )
    chosen = parser.parse_args()
    for kind in chosen.only:
        draw = random.Random(chosen.seed)  # noqa: S311 (no secret)
        if kind in ("marks", "peeking"):
            show_marks(draw, chosen.samples, peeks=kind == "peeking")
        elif kind == "changes":
            show_changes(draw, chosen.samples)
        elif kind == "quiet":
            show_quiet(draw, chosen.samples)
        else:
            show_speed(draw)


def show_marks(draw: random.Random, samples: int, *, peeks: bool) -> None:
    """Print the table of a gate with a mark, by the distance of the true rate from it."""
    print(f"fail-under {MARK:g}{', peeking' if peeks else ''} - share asked/contradictions, by the true rate")
    print(f"{'trajectories':>24} {'correlation':>11}" + "".join(f"{MARK + points:>13.2f}" for points in POINTS))
    for shape in SHAPES[:1] if peeks else SHAPES:
        for correlation in (0.0, 0.3, 0.6):
            line = f"{shape!s:>24} {correlation:>11}"
            for points in POINTS:
                decide = peek if peeks else against_mark
                line += cell([decide(draw, shape, MARK + points, correlation) for _ in range(samples)])
            print(line, flush=True)


def show_changes(draw: random.Random, samples: int) -> None:
    """Print the table of a gate with a baseline, by the true change."""
    print("baseline, 12 % of the pivots flip - share asked/contradictions, by the true change")
    print(
        f"{'trajectories':>24} {'correlation':>11} {'max-drop':>8}" + "".join(f"{change:>+13.2f}" for change in CHANGES)
    )
    for shape in SHAPES:
        for drop in (0.0, 0.01):
            line = f"{shape!s:>24} {0.3:>11} {drop:>8}"
            for change in CHANGES:
                line += cell([against_baseline(draw, shape, 0.12, change, drop) for _ in range(samples)])
            print(line, flush=True)


def show_quiet(draw: random.Random, samples: int) -> None:
    """Print the table of a gate with a baseline where few pivots flip, by the true change as a share of the flips."""
    shares = (0.3, 0.0, -0.3, -0.5, -0.7, -1.0)
    print("baseline, few pivots flip - share asked/contradictions, by the true change in shares of the flips")
    print(f"{'trajectories':>24} {'flips':>11} {'max-drop':>8}" + "".join(f"{share:>+13.1f}" for share in shares))
    for count in (150, 600, 2000):
        for flips, drop in ((0.01, 0.0), (0.01, 0.005), (0.03, 0.01)):
            shape = Shape(count, 4)
            line = f"{shape!s:>24} {flips:>11} {drop:>8}"
            for share in shares:
                line += cell([against_baseline(draw, shape, flips, share * flips, drop) for _ in range(samples)])
            print(line, flush=True)


def show_speed(draw: random.Random) -> None:
    """Print the time of an update at the boundary, where none of the tests is over, and of the printed bounds."""
    for count in (4000, 100_000):
        whole = drawn(draw, Shape(count, 2.53), 0.12, 0.0)
        order, large = put_in_order(draw, whole)
        sizes, base = [each.size for each in order], [each.base for each in order]
        mark = MeanAgainstMark(sum(base) / sum(sizes), sizes, large)
        word = WordAgainstBaseline(0.0, sizes, base, large)
        for question, values in ((mark, base), (word, [each.change for each in order])):
            slowest, began = 0.0, time.perf_counter()
            for value in values[: count * 9 // 10]:
                before = time.perf_counter()
                question.see(value, value)
                slowest = max(slowest, time.perf_counter() - before)
            spent = time.perf_counter() - began
            before = time.perf_counter()
            question.bounds(0.05)
            took = time.perf_counter() - before
            each = spent / (count * 9 // 10) * 1e6
            print(
                f"{type(question).__name__}, {count} trajectories: {each:.0f} microseconds an update "
                f"(at most {slowest * 1000:.1f} ms), {took:.1f} s for the bounds",
                flush=True,
            )


def against_mark(draw: random.Random, shape: Shape, rate: float, correlation: float) -> tuple[float, bool]:
    """Return the share asked in one sample, and whether the gate contradicts the whole run."""
    whole = [Trajectory(n, right(draw, n, rate, correlation), 0) for n in shape.sizes(draw)]
    order, large = put_in_order(draw, whole)
    sizes = [each.size for each in order]
    question = MeanAgainstMark(MARK, sizes, large)
    passes = sum(each.base for each in order) >= MARK * sum(sizes) - 1e-9
    for each in order:
        question.see(each.base, each.base)
        if question.failing >= 20 or question.passing >= 20:
            break
    asked = sum(sizes[: question.seen]) / sum(sizes)
    return asked, (question.failing >= 20 and passes) or (question.passing >= 20 and not passes)


def peek(draw: random.Random, shape: Shape, rate: float, correlation: float) -> tuple[float, bool]:
    """Return the same for a gate that looks at a 95 % interval of the mean again and again."""
    order = [Trajectory(n, right(draw, n, rate, correlation), 0) for n in shape.sizes(draw)]
    draw.shuffle(order)
    n = sum(each.size for each in order)
    passes = sum(each.base for each in order) >= MARK * n - 1e-9
    size = total = squares = 0.0
    for seen, each in enumerate(order, 1):
        over = each.base - MARK * each.size
        size, total, squares = size + each.size, total + over, squares + over * over
        spread = squares - total * total / seen
        if seen >= 30 and total * total > 1.96**2 * spread:
            return size / n, (total > 0) is not passes
    return 1.0, False


def against_baseline(draw: random.Random, shape: Shape, flips: float, change: float, drop: float) -> tuple[float, bool]:
    """Return the share asked in one sample, and whether the gate contradicts the whole run."""
    order, large = put_in_order(draw, drawn(draw, shape, flips, change))
    sizes = [each.size for each in order]
    question = WordAgainstBaseline(drop, sizes, [each.base for each in order], large)
    for each in order:
        question.see(each.change, each.change)
        if question.zone:
            break
    asked = sum(sizes[: question.seen]) / sum(sizes)
    return asked, question.zone not in (None, word_of(order, drop))


def word_of(whole: list[Trajectory], drop: float) -> Zone:
    """Return the word of a whole run."""
    found = difference([Totals(each.size, each.change) for each in whole])
    if found.high < -drop:
        return Zone.DROPPED
    return Zone.HELD if found.lowest > -drop else Zone.BETWEEN


def drawn(draw: random.Random, shape: Shape, flips: float, change: float) -> list[Trajectory]:
    """Draw a baseline in which 80 % of the pivots are right, and the changes from it."""
    whole = []
    for n in shape.sizes(draw):
        lost = own_rate(draw, (1 - change / flips) / 2, 0.3)
        flipped = sum(draw.random() < flips for _ in range(n))
        gone = sum(draw.random() < lost for _ in range(flipped))
        whole.append(Trajectory(n, gone + right(draw, n - flipped, 0.8, 0.3), flipped - 2 * gone))
    return whole


def put_in_order(draw: random.Random, whole: list[Trajectory]) -> tuple[list[Trajectory], int]:
    """Return the trajectories in a random order, the large ones first, and how many these are."""
    limit = large_from([each.size for each in whole])
    draw.shuffle(whole)
    whole.sort(key=lambda each: each.size < limit)
    return whole, sum(each.size >= limit for each in whole)


def right(draw: random.Random, n: int, rate: float, correlation: float) -> int:
    """Draw the number of right answers in a trajectory."""
    own = own_rate(draw, rate, correlation)
    return sum(draw.random() < own for _ in range(n))


def geometric(draw: random.Random, mean: float) -> int:
    """Draw a size of at least 1."""
    count = 1
    while draw.random() >= 1 / mean:
        count += 1
    return count


def cell(samples: list[tuple[float, bool]]) -> str:
    """Return the mean share asked, and the share of contradictions."""
    return f"{fmean(asked for asked, _ in samples):>7.3f}/{fmean(wrong for _, wrong in samples):.3f}"


if __name__ == "__main__":
    main()
