"""Time a session of pivots against the same number of empty parametrized tests, in the same pytest.

    python benchmarks/session_speed.py [--pivots 10000] [--rounds 5] [--before DIRECTORY] [--only cached ...]

Prints medians and ratios, those of the processor's seconds beside those by the clock: other work on the machine
disturbs them less. They are from two environments, which `startup.py` describes: `cached` and `unwritten`. `--before`
takes a directory that holds another version of the package, to time both in one run.

The pivots are the bundled sample's, repeated under other trajectory ids; the agent answers at once, right or wrong as
told, so what is measured is collecting, reading, asking, checking, grading and reporting.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import median
from typing import NamedTuple

from startup import install, packages

AGENT = """
import json
from pathlib import Path
ANSWERS = json.loads(Path(__file__).with_name("answers.json").read_text())  # by the id in the sample
CALLS = iter(range(10**9))

def right(pivot):
    return ANSWERS[pivot.id.rpartition("-")[0]]

def third_wrong(pivot):
    return None if next(CALLS) % 3 == 0 else right(pivot)
"""
# What a process has to itself: the pages of Arrow's libraries are the file's, shared by all processes that use them.
PRIVATE = """
from pathlib import Path

def pytest_unconfigure():
    rollup = Path("/proc/self/smaps_rollup")
    if rollup.exists():
        kilobytes = next(line.split()[1] for line in rollup.read_text().splitlines() if line.startswith("Anonymous:"))
        Path("private").write_text(kilobytes)
"""
EMPTY = """
import pytest

@pytest.mark.parametrize("i", range({count}))
def test_empty(i):
    pass
"""


ENVIRONMENTS = ("cached", "unwritten")


class Taken(NamedTuple):
    """What one session took: seconds by the clock and of the processor, resident and private memory in MB."""

    seconds: float
    processor: float
    resident: float
    private: float


def main() -> None:
    """Measure every case in turn, several rounds over, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pivots", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--before", type=Path, help="a directory with another pytest_fcpivot")
    parser.add_argument("--only", nargs="+", choices=ENVIRONMENTS, default=ENVIRONMENTS)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        write_inputs(options.write, options.pivots)
        return
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        # in a process of its own: this one must stay small, for its memory counts in that of its children
        writing = [sys.executable, __file__, "--write", name, "--pivots", str(options.pivots)]
        subprocess.run(writing, check=True)
        pivots = ["--fc-data=pivots.parquet"]
        cases = {
            "empty tests, run": ["-q", "test_empty.py"],
            "pivots, run": ["-q", *pivots, "--fc-agent=agent:right"],
            "pivots, a third fails": ["-q", *pivots, "--fc-agent=agent:third_wrong"],
            "empty tests, collect": ["-qq", "--collect-only", "test_empty.py"],
            "pivots, collect": ["-qq", "--collect-only", *pivots, "--fc-agent=agent:right"],
        }
        sides = packages(options.before)
        figures: dict[tuple[str, str, str], list[Taken]] = {}
        sites = {
            (environment, side): install(package, directory / environment / side, environment)
            for environment, (side, package) in product(options.only, sides.items())
        }
        for turn in range(-1, options.rounds):
            for (environment, side), site in sites.items():
                for case, arguments in cases.items():
                    if turn >= 0:
                        taken = run(directory, arguments, environment, site)
                        figures.setdefault((environment, side, case), []).append(taken)
                    elif case == "pivots, collect":
                        run(directory, arguments, environment, site)  # fills the caches that are to be warm
    for environment, side in sites:
        print(f"{environment}, {side}")
        show({case: middle(figures[environment, side, case]) for case in cases})


def show(figures: dict[str, Taken]) -> None:
    """Print what each kind of session took, and the ratios beside their targets."""
    for case, taken in figures.items():
        print(
            f"  {case:24} {taken.seconds:7.2f} s {taken.processor:7.2f} s of the processor "
            f"{taken.resident:7.0f} MB resident {taken.private:7.0f} MB private"
        )
    for case, empty, target in (
        ("pivots, run", "empty tests, run", 0.9),
        ("pivots, a third fails", "empty tests, run", 1.5),
        ("pivots, collect", "empty tests, collect", 0.8),
    ):
        one, other = figures[case], figures[empty]
        by_clock, by_processor = one.seconds / other.seconds, one.processor / other.processor
        ratios = f"{by_clock:5.2f} {by_processor:5.2f} of the processor"
        print(f"  {case + ' / empty':30} {ratios}   (target: at most {target})")
    one, other = figures["pivots, run"], figures["empty tests, run"]
    print(f"  {'resident memory / empty':30} {one.resident / other.resident:5.2f}   (target: at most 1.2)")
    print(f"  {'private memory / empty':30} {one.private / other.private:5.2f}   (target: at most 1.2)")


def middle(taken: list[Taken]) -> Taken:
    """Return the median of each figure."""
    return Taken(*(median(figure) for figure in zip(*taken, strict=True)))


def write_inputs(directory: Path, count: int) -> None:
    """Write the pivots, the answers, the agent and the empty tests."""
    from pytest_fcpivot import load_pivots  # noqa: PLC0415 (see main)
    from pytest_fcpivot.data.rows import StoredPivot, expected_action_json  # noqa: PLC0415
    from pytest_fcpivot.data.store import write_store  # noqa: PLC0415

    sample = load_pivots()
    pivots = [
        replace(sample[i % len(sample)], id=f"{sample[i % len(sample)].id}-{i}", trajectory_id=f"{i // len(sample)}")
        for i in range(count)
    ]
    pivots = [replace(pivot, trajectory_id=f"{pivot.trajectory_id}-{pivot.id.split('-')[0]}") for pivot in pivots]
    write_store(directory / "pivots.parquet", map(StoredPivot.of, pivots), {"source": "benchmark"})
    answers = {}
    for pivot in sample:
        action = json.loads(expected_action_json(pivot.expected_action))
        answers[pivot.id] = action["content"] if action["type"] == "message" else [action]
    (directory / "answers.json").write_text(json.dumps(answers))
    (directory / "agent.py").write_text(AGENT)
    (directory / "conftest.py").write_text(PRIVATE)
    (directory / "test_empty.py").write_text(EMPTY.format(count=count))
    (directory / "pytest.ini").write_text("[pytest]\n")


def run(directory: Path, arguments: list[str], environment: str = "cached", site: Path | None = None) -> Taken:
    """Run pytest once, with the package from a directory, or the installed one."""
    variables = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    if site is not None:
        variables["PYTHONPATH"] = str(site)
    if environment == "cached":
        del variables["PYTHONDONTWRITEBYTECODE"]
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=directory,
        env=variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, _, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    private = directory / "private"
    kilobytes = int(private.read_text()) if private.exists() else 0
    resident = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return Taken(seconds, usage.ru_utime + usage.ru_stime, resident, kilobytes / 2**10)


if __name__ == "__main__":
    main()
