"""Show how often the 95 % intervals of a mean and of a change cover the truth, on simulated clustered rewards.

    python benchmarks/interval_coverage.py [--samples 2000] [--seed 1] [--before DIRECTORY] [--only means ...]

Trajectories have sizes from a geometric distribution with mean 6.4, as in the data sets. In a trajectory, rewards are 0
or 1 with a rate of its own, drawn from a beta distribution with the given correlation (at 0, all have the same rate).
With partial credit, the reward of a pivot that is not right is 0.5 half of the time. Changes are those of pivots that
flip: a share of all, lost or won with a rate of each trajectory's own.

Each cell has the share of samples whose interval covers the truth, and the interval's mean width. Targets: 0.93 to
0.98 for true means from 0.1 to 0.9, from ten trajectories on, and never under 0.92. `--before` takes a directory with
another version of the package, whose intervals of the same samples are shown in a line below.
"""

from __future__ import annotations

import argparse
import importlib
import random
import sys
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from clustered import own_rate

from pytest_fcpivot.stats.clusters import Totals
from pytest_fcpivot.stats.interval import mean_interval
from pytest_fcpivot.stats.paired import difference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MEAN_SIZE = 6.4
RATES = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98)
CORRELATIONS = (0.0, 0.2, 0.6)
TRAJECTORIES = (10, 20, 49, 200)
FLIPS = (0.01, 0.03, 0.12)
DROPS = (0.0, 0.5, 1.0)  # as shares of the flips: none, three lost to one won, all lost

Rewards = dict[str, list[float]]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=2000, help="samples for each cell (default: 2000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--before", type=Path, help="a directory with another pytest_fcpivot")
    parser.add_argument(
        "--only", nargs="+", choices=("means", "partial", "changes"), default=("means", "partial", "changes")
    )
    chosen = parser.parse_args()
    intervals: dict[str, Callable[[Rewards], Any]] = {"now": mean_interval}
    if chosen.before:
        intervals["before"] = other_version(chosen.before)
    for kind in chosen.only:
        draw = random.Random(chosen.seed)  # noqa: S311 (no secret)
        if kind == "changes":
            show_changes(draw, chosen.samples)
        else:
            show_means(draw, chosen.samples, intervals, partial=kind == "partial")


def other_version(directory: Path) -> Callable[[Rewards], Any]:
    """Return the `mean_interval` of another version of the package."""
    ours = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "pytest_fcpivot"}
    for name in ours:
        del sys.modules[name]
    sys.path.insert(0, str(directory))
    try:
        try:
            module = importlib.import_module("pytest_fcpivot.stats.interval")
        except ImportError:
            module = importlib.import_module("pytest_fcpivot.stats")
        other: Callable[[Rewards], Any] = module.mean_interval
    finally:
        sys.path.remove(str(directory))
        for name in [name for name in sys.modules if name.partition(".")[0] == "pytest_fcpivot"]:
            del sys.modules[name]
        sys.modules.update(ours)
    return other


def show_means(
    draw: random.Random, samples: int, intervals: dict[str, Callable[[Rewards], Any]], *, partial: bool
) -> None:
    """Print the table of the mean reward: a line for each number of trajectories and correlation."""
    print("partial credit" if partial else "rewards of 0 and 1", "- coverage/width by true rate of right answers")
    print(f"{'trajectories':>12} {'correlation':>11} {'':7}" + "".join(f"{rate:>13}" for rate in RATES))
    for count in TRAJECTORIES:
        for correlation in CORRELATIONS:
            cells: dict[str, list[str]] = {version: [] for version in intervals}
            for rate in RATES:
                truth = rate + (1 - rate) * 0.25 if partial else rate
                drawn = [rewards(draw, count, rate, correlation, partial=partial) for _ in range(samples)]
                for version, interval in intervals.items():
                    cells[version].append(cell(((i.low, i.high) for i in map(interval, drawn)), truth))
            for version, line in cells.items():
                print(
                    f"{count:>12} {correlation:>11} {version:7}" + "".join(f"{each:>13}" for each in line), flush=True
                )


def show_changes(draw: random.Random, samples: int) -> None:
    """Print the table of changes: coverage and width of the plain interval, and of the cautious one."""
    print("changes - coverage/width of low to high, and of lowest to highest, by true change")
    print(
        f"{'trajectories':>12} {'flips':>6} {'correlation':>11}"
        + "".join(f"{f'-{drop:g} x flips':>28}" for drop in DROPS)
    )
    for count in TRAJECTORIES:
        for flips in FLIPS:
            for correlation in (0.0, 0.3):
                line = f"{count:>12} {flips:>6} {correlation:>11}"
                for drop in DROPS:
                    found = [difference(changes(draw, count, flips, drop, correlation)) for _ in range(samples)]
                    plain = cell(((each.low, each.high) for each in found), -drop * flips)
                    cautious = cell(((each.lowest, each.highest) for each in found), -drop * flips)
                    line += f"{plain:>14}{cautious:>14}"
                print(line, flush=True)


def cell(intervals: Iterable[tuple[float, float]], truth: float) -> str:
    """Return the share of intervals that cover the truth, and their mean width."""
    ends = list(intervals)
    covers = fmean(low - 1e-12 <= truth <= high + 1e-12 for low, high in ends)
    return f"{covers:.3f}/{fmean(high - low for low, high in ends):.3f}"


def size(draw: random.Random) -> int:
    """Draw a trajectory's number of pivots."""
    count = 1
    while draw.random() >= 1 / MEAN_SIZE:
        count += 1
    return count


def rewards(draw: random.Random, count: int, rate: float, correlation: float, *, partial: bool) -> Rewards:
    """Draw the rewards of a run."""
    drawn = {}
    for number in range(count):
        right = own_rate(draw, rate, correlation)
        drawn[str(number)] = [
            1.0 if draw.random() < right else 0.5 if partial and draw.random() < 0.5 else 0.0 for _ in range(size(draw))
        ]
    return drawn


def changes(draw: random.Random, count: int, flips: float, drop: float, correlation: float) -> list[Totals]:
    """Draw the changes between two runs; `drop` is the part of the flips by which the mean falls."""
    drawn = []
    for _ in range(count):
        n, lost = size(draw), own_rate(draw, (1 + drop) / 2, correlation)
        flipped = sum(draw.random() < flips for _ in range(n))
        drawn.append(Totals(n, flipped - 2 * sum(draw.random() < lost for _ in range(flipped))))
    return drawn


if __name__ == "__main__":
    main()
