"""Count the calls that --fc-until-mixed makes, and time the ways in which it could order them.

    python benchmarks/until_mixed.py [--pivots 200] [--repeats 8] [--concurrency 16] [--latency 0.1] [--rounds 3]
                                     [--only orders savings workers]

`savings`: agents that pass with a known probability p, the same at each pivot, against the arithmetic: a pivot that is
asked up to K times takes as many calls as come before the first answer that differs from the first one, and is asked
on average 1 + sum over k from 1 to K - 1 of p^k + (1 - p)^k times.

`orders`: pivots of which a third always passes, a third never, and a third with p from 0.1 to 0.9, an agent that takes
a fixed time, and several orders of the tests. `unneeded` are calls for repeats after a pivot was mixed. `ideal` is the
number of needed calls times the latency, divided by the calls in flight. The time is that from the beginning of the
first call to the end of the last.

    pivot by pivot     a pivot's repeats are next to each other, and wait for each other
    in blocks          as it is: the first repeats of a block of pivots, then the second ones, and so on
    one block          the same over all pivots
    asked ahead        pivot by pivot, without waiting: a repeat is asked unless its pivot is known to be mixed

`workers`: the same pivots with pytest-xdist.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from pytest_fcpivot.core.jsontext import compact

PARTS = ("savings", "orders", "workers")
AGENT = """
import asyncio
import os
import random
import time

LATENCY_S = float(os.environ["LATENCY_S"])

async def fn(pivot):
    log = os.open(os.environ["ASKED"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    passes = random.Random(f"{pivot.id} {pivot.repeat}").random() < float(pivot.id.partition("-")[0])
    os.write(log, f"{time.time()} {pivot.id} {pivot.repeat} {int(passes)}\\n".encode())
    os.close(log)
    await asyncio.sleep(LATENCY_S)
    return "yes" if passes else None
"""
ORDERS = {
    "pivot by pivot": "ours.UntilMixed.arranged_in = 1",
    "in blocks": "",
    "one block": "ours.UntilMixed.arranged_in = 10**9",
    "asked ahead": "ours.UntilMixed.arranged_in = 1\nours.UntilMixed.may_begin = ours.UntilMixed.is_needed",
}
CHANGE = """
from pytest_fcpivot.session import until_mixed as ours
init = ours.UntilMixed.__init__
def changed(self, block, stored, outcomes):
    init(self, getattr(self, "arranged_in", block), stored, outcomes)
ours.UntilMixed.__init__ = changed
"""


@dataclass
class Took:
    """What one session took: seconds of asking, calls, and calls that were not needed."""

    seconds: float
    calls: int
    unneeded: int


def main() -> None:
    """Measure what was asked for, and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pivots", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--latency", type=float, default=0.1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "agent.py").write_text(AGENT)
        if "savings" in options.only:
            savings(directory, options)
        mixture = [0.0, 1.0, *(n / 10 for n in range(1, 10))]
        rates = [mixture[n % 3 if n % 3 < 2 else 2 + n // 3 % 9] for n in range(options.pivots)]
        write_data(directory, rates)
        if "orders" in options.only:
            print(f"\n{options.pivots} pivots, {options.concurrency} calls of {options.latency:g} s in flight")
            for order, change in ORDERS.items():
                compare(directory, options, order, f"{CHANGE}{change}\n")
        if "workers" in options.only:
            print()
            for workers in (0, 2, 4):
                compare(directory, options, f"{workers or 'no'} workers", "", f"-n{workers}")


def savings(directory: Path, options: argparse.Namespace) -> None:
    """Print the share of calls that is saved by agents of known p, beside the arithmetic."""
    print("   p   calls a pivot, expected   measured   saved")
    for p in (0.0, 0.05, 0.1, 0.2, 0.3, 0.5):
        pivots = 10 * options.pivots
        write_data(directory, [p] * pivots)
        took = run(directory, options, latency=0.0)
        expected = expected_calls(p, options.repeats)
        measured = took.calls / pivots
        print(f"{p:4.2f} {expected:25.3f} {measured:10.3f} {1 - measured / options.repeats:7.1%}")


def expected_calls(p: float, repeats: int) -> float:
    """Return the mean number of calls of a pivot that is asked until it has passed and failed."""
    return 1 + sum(p**k + (1 - p) ** k for k in range(1, repeats))


def compare(directory: Path, options: argparse.Namespace, name: str, change: str, *more: str) -> None:
    """Print what sessions took, by the median of several."""
    (directory / "conftest.py").write_text(change)
    all_took = [run(directory, options, *more, latency=options.latency) for _ in range(options.rounds)]
    seconds = median(took.seconds for took in all_took)
    took = sorted(all_took, key=lambda each: each.calls)[len(all_took) // 2]
    ideal = (took.calls - took.unneeded) * options.latency / options.concurrency
    print(
        f"{name:16} {seconds:6.2f} s, ideal {ideal:5.2f} s; {took.calls} calls, of which {took.unneeded} unneeded"
        f" ({took.calls / options.pivots / options.repeats:.1%} of all)"
    )


def write_data(directory: Path, rates: list[float]) -> None:
    """Write pivots whose ids begin with the rate at which the agent passes."""
    rows = (
        {
            "id": f"{rate}-{number}",
            "responses_create_params": {"input": [{"role": "user", "content": "Well?"}], "tools": []},
            "expected_action": {"type": "message", "content": "yes"},
        }
        for number, rate in enumerate(rates)
    )
    (directory / "data.jsonl").write_text("".join(f"{compact(row)}\n" for row in rows))


def run(directory: Path, options: argparse.Namespace, *more: str, latency: float) -> Took:
    """Run one session, and read what it asked."""
    asked = directory / "asked"
    asked.unlink(missing_ok=True)
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--fc-run=none", "--fc-progress=off"),
        *("--fc-data=data.jsonl", "--fc-agent=agent:fn", f"--fc-repeats={options.repeats}", "--fc-until-mixed"),
        *(f"--fc-concurrency={options.concurrency}", *more),
    ]
    env = {**os.environ, "ASKED": str(asked), "LATENCY_S": str(latency)}
    result = subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True, check=False)
    if result.returncode > 1:
        sys.exit(result.stdout + result.stderr)
    answers: dict[str, dict[int, bool]] = {}
    calls: Counter[tuple[str, int]] = Counter()
    times = []
    for line in asked.read_text().splitlines():
        began, pivot, repeat, passed = line.split()
        times.append(float(began))
        answers.setdefault(pivot, {})[int(repeat)] = passed == "1"
        calls[pivot, int(repeat)] += 1
    twice = sum(count - 1 for count in calls.values())
    seconds = max(times) - min(times) + latency
    return Took(seconds, calls.total(), sum(map(unneeded, answers.values())) + twice)


def unneeded(answers: dict[int, bool]) -> int:
    """Return how many repeats of a pivot were asked after those that had passed and failed."""
    seen: set[bool] = set()
    extra = 0
    for _, passed in sorted(answers.items()):
        extra += len(seen) > 1
        seen.add(passed)
    return extra


if __name__ == "__main__":
    main()
