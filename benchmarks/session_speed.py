"""Time a session of pivots against the same number of empty parametrized tests, in the same pytest.

    python benchmarks/session_speed.py [--pivots 10000] [--rounds 5]

Prints medians and ratios. The pivots are the bundled sample's, repeated under other trajectory ids; the agent answers
at once, right or wrong as told, so what is measured is collecting, reading, asking, checking, grading and reporting.
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
from pathlib import Path
from statistics import median

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


def main() -> None:
    """Measure every case in turn, several rounds over, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pivots", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
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
        figures: dict[str, list[tuple[float, float, float]]] = {case: [] for case in cases}
        for _ in range(options.rounds):
            for case, arguments in cases.items():
                figures[case].append(run(directory, arguments))
    seconds = {case: median(run[0] for run in runs) for case, runs in figures.items()}
    resident = {case: median(run[1] for run in runs) for case, runs in figures.items()}
    private = {case: median(run[2] for run in runs) for case, runs in figures.items()}
    for case in cases:
        print(f"{case:24} {seconds[case]:7.2f} s {resident[case]:7.0f} MB resident {private[case]:7.0f} MB private")
    print_ratio("run / empty", seconds["pivots, run"] / seconds["empty tests, run"], 1.0)
    print_ratio("a third fails / empty", seconds["pivots, a third fails"] / seconds["empty tests, run"], 1.5)
    print_ratio("collect / empty", seconds["pivots, collect"] / seconds["empty tests, collect"], 0.8)
    print_ratio("resident memory / empty", resident["pivots, run"] / resident["empty tests, run"], 1.2)
    print_ratio("private memory / empty", private["pivots, run"] / private["empty tests, run"], 1.2)


def print_ratio(name: str, ratio: float, target: float) -> None:
    """Print one ratio beside its target."""
    print(f"{name:24} {ratio:5.2f}   (target: at most {target})")


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


def run(directory: Path, arguments: list[str]) -> tuple[float, float, float]:
    """Run pytest once; return its seconds, its peak resident and its last private memory, in MB."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=directory,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, _, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    private = directory / "private"
    kilobytes = int(private.read_text()) if private.exists() else 0
    return seconds, usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10), kilobytes / 2**10


if __name__ == "__main__":
    main()
