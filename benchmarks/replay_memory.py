"""Measure what replaying a large run takes in memory, against as many empty parametrized tests.

    python benchmarks/replay_memory.py [--pivots 100000]

A run is recorded with an agent that answers at once, then replayed, each in a process of its own. Prints peak resident
memory in MB and the differences.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from session_speed import run


def main() -> None:
    """Record, replay, and run empty tests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pivots", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        # in a process of its own: this one must stay small, for its memory counts in that of its children
        writing = [sys.executable, str(Path(__file__).with_name("session_speed.py")), "--write", name]
        subprocess.run([*writing, "--pivots", str(options.pivots)], check=True)
        cases = {
            "empty tests": ["-q", "test_empty.py"],
            "recorded": ["-q", "--fc-data=pivots.parquet", "--fc-agent=agent:third_wrong", "--fc-run=recorded"],
            "replayed": ["-q", "--fc-replay=recorded", "--fc-run=none"],
            "resumed": ["-q", "--fc-resume=recorded"],
        }
        peaks = {}
        for case, arguments in cases.items():
            seconds, _, peaks[case], _ = run(directory, arguments)
            print(f"{case:12} {seconds:7.1f} s {peaks[case]:6.0f} MB", flush=True)
        size = (directory / "recorded" / "results.jsonl").stat().st_size / 2**20
        print(f"results.jsonl {size:.0f} MB")
        for case in ("recorded", "replayed", "resumed"):
            beyond = peaks[case] - peaks["empty tests"]
            print(f"{case} beyond empty tests: {beyond:.0f} MB (target: less than 400)")


if __name__ == "__main__":
    main()
