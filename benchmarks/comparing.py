"""Show how often comparisons of two runs are wrong, on simulated runs, and how long a comparison of large runs takes.

    python benchmarks/comparing.py [--samples N] [--seed 1] [--only no-change seen false-pass groups identity]
    python benchmarks/comparing.py --speed

Trajectories have sizes from a geometric distribution with mean 6.4, as in the data sets. A share of all pivots flips.
Each trajectory has its own probability that a flip of it is a loss, drawn from a beta distribution: flips of one
trajectory go the same way with the given correlation, and on average the mean changes as much as is said. (If flips
were independent, a test that ignores trajectories would pass unnoticed.)

- no-change: nothing changes on average. REGRESSION has to be said in at most 3.5 % (5 % two-sided is 2.5 % on the side
  of drops), at a drop of 0.
- seen: with 9,620 pivots in about 3,800 trajectories, as in the pivot data set, and 12 % flips, a drop of 2 points has
  to be REGRESSION in at least 95 % up to a correlation of 0.3.
- false-pass: the true drop equals the one that is allowed. PASS has to be said in at most 5 %.
- groups: nothing changes. Any group may have p (Holm) < 0.05 in at most 5 %; what testing the categories that pivots
  had in BASE would do instead.
- identity: how often two runs have equal rewards although the true drop is the one that is allowed, which is why equal
  rewards do not make two runs the same.

`--speed` writes two runs of 100,000 results, and compares them in a process of its own, with its time and memory.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clustered import own_rate

from pytest_fcpivot.runs.comparing import Pair
from pytest_fcpivot.runs.gate import PASS, REGRESSION, word_of
from pytest_fcpivot.runs.groups import groups
from pytest_fcpivot.runs.rewards import PivotRewards
from pytest_fcpivot.stats.clusters import Totals
from pytest_fcpivot.stats.paired import difference, mcnemar

if TYPE_CHECKING:
    from collections.abc import Iterator

MEAN_SIZE = 6.4
PIVOTS, TRAJECTORIES = 9620, 3800
FLIPS = (0.01, 0.03, 0.12)
CORRELATIONS = (0.0, 0.3, 0.6)
KINDS = ("no-change", "seen", "false-pass", "groups", "identity")


def main() -> None:
    """Print the tables, or the time of a comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=3000, help="runs for each cell (default: 3000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--speed", action="store_true", help="measure time and memory instead")
    chosen = parser.parse_args()
    if chosen.speed:
        measure_speed()
        return
    for kind in chosen.only:
        draw = random.Random(chosen.seed)  # noqa: S311 (no secret)
        began = time.perf_counter()
        SHOW[kind](draw, chosen.samples)
        print(f"({time.perf_counter() - began:.0f} s)\n", flush=True)


# -------------------------------------------------------------------- simulated changes


def size(draw: random.Random, mean: float = MEAN_SIZE) -> int:
    """Draw a trajectory's number of pivots."""
    count, more = 1, 1 - 1 / mean
    while draw.random() < more:
        count += 1
    return count


def changes(
    draw: random.Random, sizes: list[int], flips: float, drop: float, correlation: float
) -> tuple[list[Totals], int, int]:
    """Draw the changes between two runs whose mean falls by `drop` on average; also the numbers of lost and won."""
    lost_rate = (1 + drop / flips) / 2
    drawn: list[Totals] = []
    all_lost = all_won = 0
    uniform = draw.random
    for n in sizes:
        flipped = 0
        for _ in range(n):
            flipped += uniform() < flips
        change = 0
        if flipped:
            rate = own_rate(draw, lost_rate, correlation)
            lost = sum(uniform() < rate for _ in range(flipped))
            change = flipped - 2 * lost
            all_lost += lost
            all_won += flipped - lost
        drawn.append(Totals(n, change))
    return drawn, all_lost, all_won


def sizes_of(draw: random.Random, count: int, mean: float = MEAN_SIZE) -> list[int]:
    """Draw the sizes of some trajectories."""
    return [size(draw, mean) for _ in range(count)]


def cell(hits: int, samples: int) -> str:
    """Write a share of samples."""
    return f"{hits / samples:>7.2%}"


def show_no_change(draw: random.Random, samples: int) -> None:
    """Print how often a change is seen although nothing changes on average."""
    print(f"no change - REGRESSION at a drop of 0, and McNemar's p < 0.05 (two-sided), of {samples} runs")
    print(f"{'trajectories':>12} {'correlation':>11}" + "".join(f"{f'{flips:.0%} flips':>17}" for flips in FLIPS))
    for count in (10, 20, 49, 200):
        for correlation in CORRELATIONS:
            line = ""
            for flips in FLIPS:
                hits = alarms = 0
                for _ in range(samples):
                    totals, lost, won = changes(draw, sizes_of(draw, count), flips, 0.0, correlation)
                    hits += word_of(difference(totals), 0.0) == REGRESSION
                    alarms += mcnemar(lost, won) < 0.05
                line += f" {cell(hits, samples)} {cell(alarms, samples)}"
            print(f"{count:>12} {correlation:>11}{line}", flush=True)


def show_seen(draw: random.Random, samples: int) -> None:
    """Print how often a drop is seen in data of the size of the pivot data set."""
    samples = max(1, samples // 15)
    print(f"seen - REGRESSION at a drop of 0, with {PIVOTS} pivots in {TRAJECTORIES} trajectories, of {samples} runs")
    print(f"{'correlation':>11}" + "".join(f"{f'{drop:.0%} true drop':>15}" for drop in (0.0, 0.01, 0.02, 0.05)))
    for correlation in CORRELATIONS:
        line = ""
        for drop in (0.0, 0.01, 0.02, 0.05):
            hits = 0
            for _ in range(samples):
                totals, _, _ = changes(
                    draw, sizes_of(draw, TRAJECTORIES, PIVOTS / TRAJECTORIES), 0.12, drop, correlation
                )
                hits += word_of(difference(totals), 0.0) == REGRESSION
            line += f"{cell(hits, samples):>15}"
        print(f"{correlation:>11}{line}", flush=True)


def show_false_pass(draw: random.Random, samples: int) -> None:
    """Print how often PASS is said although the true drop is the one that is allowed."""
    print("false PASS - at a true drop that equals --max-drop: all flips are losses, or three of four are")
    print(f"{'trajectories':>12} {'runs':>5} {'correlation':>11}" + "".join(f"{f'{f:.0%} flips':>17}" for f in FLIPS))
    for count in (10, 20, 49, 200, 1000, 4000):
        runs = max(1, min(samples, samples * 500 // count))
        for correlation in (0.0, 0.3):
            line = ""
            for flips in FLIPS:
                for share in (1.0, 0.5):
                    drop = flips * share
                    hits = 0
                    for _ in range(runs):
                        totals, _, _ = changes(draw, sizes_of(draw, count), flips, drop, correlation)
                        hits += word_of(difference(totals), drop) == PASS
                    line += f" {cell(hits, runs)}"
            print(f"{count:>12} {runs:>5} {correlation:>11}{line}", flush=True)


def show_identity(draw: random.Random, samples: int) -> None:
    """Print how often two runs have equal rewards although the mean falls by as much as is allowed."""
    print(f"equal rewards at a true drop that equals --max-drop, all flips being losses, of {samples} runs")
    print(f"{'trajectories':>12}" + "".join(f"{f'{flips:.0%} flips':>12}" for flips in FLIPS))
    for count in (10, 20, 49, 200):
        line = ""
        for flips in FLIPS:
            hits = 0
            for _ in range(samples):
                _, lost, won = changes(draw, sizes_of(draw, count), flips, flips, 0.0)
                hits += not lost + won
            line += f"{cell(hits, samples):>12}"
        print(f"{count:>12}{line}", flush=True)


# -------------------------------------------------------------------- simulated runs, for groups


def show_groups(draw: random.Random, samples: int) -> None:
    """Print how often any group is reported although nothing changes."""
    samples = max(1, samples // 10)
    print(
        f"groups - nothing changes: any p (Holm) < 0.05 among all groups, of {samples} runs; and beside it, if pivots"
    )
    print("were grouped by the category that they had in BASE")
    print(f"{'trajectories':>12} {'correlation':>11}" + "".join(f"{f'{flips:.0%} flips':>17}" for flips in FLIPS))
    for count in (49, 200):
        for correlation in (0.0, 0.3):
            line = ""
            for flips in FLIPS:
                hits = by_category = 0
                for _ in range(samples):
                    pairs = pairs_of(draw, count, flips, correlation)
                    found = groups(pairs, lambda pivot: FACTS[pivot.pivot_id])
                    hits += any(group.holm is not None and group.holm < 0.05 for group in found)
                    by_category += any(alarms_of_base_categories(pairs))
                line += f" {cell(hits, samples)} {cell(by_category, samples)}"
            print(f"{count:>12} {correlation:>11}{line}", flush=True)


FACTS: dict[str, tuple[int | None, int]] = {}


def pairs_of(draw: random.Random, count: int, flips: float, correlation: float) -> list[Pair]:
    """Draw the pairs of two runs: half of all pivots pass, and as many are lost as won on average."""
    pairs = []
    FACTS.clear()
    for number in range(count):
        trajectory = f"t{number}"
        lost = own_rate(draw, 0.5, correlation)
        for depth in range(size(draw)):
            flipped = draw.random() < flips
            before = draw.random() < (lost if flipped else 0.5)
            after = before != flipped
            name = f"{trajectory}-d{depth}"
            FACTS[name] = depth, draw.choice((4, 12, 20))
            tool = None if draw.random() < 0.5 else f"tool{draw.randrange(8)}"
            sides = [
                PivotRewards("d", name, trajectory, "message" if tool is None else "function_call", tool, name)
            ] * 2
            pairs.append(Pair(*(result(each, draw, passed=p) for each, p in zip(sides, (before, after), strict=True))))
    return pairs


def result(pivot: PivotRewards, draw: random.Random, *, passed: bool) -> PivotRewards:
    """Return a pivot with one answer that passed or failed, in one of three categories."""
    category = "RIGHT" if passed else draw.choice(("OTHER_TOOL", "OTHER_VALUE"))
    return PivotRewards(
        pivot.place,
        pivot.pivot_id,
        pivot.trajectory_id,
        pivot.expected,
        pivot.tool,
        pivot.test,
        {1: float(passed)},
        {1: category},
    )


def alarms_of_base_categories(pairs: list[Pair]) -> Iterator[bool]:
    """Yield, for each category of BASE, whether its pivots seem to change."""
    together: dict[str, list[Pair]] = {}
    for pair in pairs:
        together.setdefault(pair.base.categories[1], []).append(pair)
    for those in together.values():
        totals: dict[str, list[float]] = {}
        for pair in those:
            totals.setdefault(pair.new.trajectory_id, []).append(pair.change)
        found = difference([Totals(len(values), sum(values)) for values in totals.values()])
        yield found.p * len(together) < 0.05


SHOW = {
    "no-change": show_no_change,
    "seen": show_seen,
    "false-pass": show_false_pass,
    "groups": show_groups,
    "identity": show_identity,
}


# -------------------------------------------------------------------- speed

RESULTS = 100_000
ABOUT: dict[str, Any] = {
    "format": 1,
    "agent": "a:b",
    "grader": {"name": "nemo-gym:first-call", "settings": {"word_count_similarity_threshold": 0.1}},
    "data": [{"name": "data.jsonl", "path": "data.jsonl", "sha256": "a" * 64, "pivots": RESULTS, "selected": RESULTS}],
    "repeats": 1,
    "options": {},
}
ANSWER = {"type": "message", "role": "assistant", "content": "A message of some length, as agents write them. " * 12}


def measure_speed() -> None:
    """Write two runs, and compare them by the command and by a saved baseline."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        for seed, name in enumerate(("base", "new")):
            write_run(here / name, random.Random(seed))  # noqa: S311 (no secret)
        size = sum(path.stat().st_size for path in here.rglob("results.jsonl")) / 1e6
        print(f"two runs of {RESULTS} results, {size:.0f} MB together")
        timed(here, "compare", "base", "new", "--show-flips=10")
        timed(here, "compare", "base", "--save-baseline=base.jsonl", "--allow-errors")
        bytes_each = (here / "base.jsonl").stat().st_size / RESULTS
        print(f"the baseline has {bytes_each:.0f} bytes a pivot")
        timed(here, "compare", "base.jsonl", "new", "--format=json")


def write_run(path: Path, draw: random.Random) -> None:
    """Write a run: half of all pivots pass, 6 % more or fewer by chance, and one in a thousand is an error."""
    path.mkdir()
    session = {"started": f"2026-01-01T00:00:0{path.name == 'new'}", "ended": "2026-01-01T01:00:00", "exit_status": 1}
    counts = {"selected": RESULTS, "passed": 0, "failed": RESULTS, "errors": 0, "not_run": 0, "skipped": 0}
    described = ABOUT | {"started": session["started"], "sessions": [session], "counts": counts}
    (path / "run.json").write_text(json.dumps(described))
    answer = json.dumps(ANSWER)
    with (path / "results.jsonl").open("w", encoding="ascii") as stream:
        for number in range(RESULTS):
            trajectory, depth = divmod(number, 6)
            passed = (number % 2 == 0) != (draw.random() < 0.06)
            about = {
                "pivot_id": f"t{trajectory}-d{depth}",
                "repeat": 1,
                "outcome": "passed" if passed else "failed",
                "reward": float(passed),
                "category": "EXPECTED_TOOL_CALL" if passed else "ARGUMENT_VALUE_DIFFERENT",
                "trajectory_id": f"{trajectory}",
                "expected": "function_call",
                "tool": f"tool_{number % 50}",
                "test": f"data.jsonl::t{trajectory}-d{depth}",
            }
            if draw.random() < 0.001:
                about |= {"outcome": "error", "reward": None, "error": "no connection"}
            stream.write(f'{json.dumps(about)[:-1]}, "action": {answer}, "output": {answer}}}\n')


def timed(here: Path, *arguments: str) -> None:
    """Run a command in a process of its own, and print its time and its memory."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "pytest_fcpivot.cli", *arguments], cwd=here, capture_output=True, text=True, check=False
    )
    took = time.perf_counter() - began
    assert done.returncode == 0, done.stderr
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    print(
        f"fcpivot {' '.join(arguments)}: {took:.1f} s, {busy:.1f} s of a processor's time; at most "
        f"{used.ru_maxrss / 1024:.0f} MB so far",
        flush=True,
    )


if __name__ == "__main__":
    main()
