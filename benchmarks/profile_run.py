"""Time a profile of a large run against decoding the lines of its results, and compare their memory.

    python benchmarks/profile_run.py [--pivots 9620] [--repeats 8] [--rounds 5]

As many pivots as the largest published set of their kind has are generated, and a run of them is written, with the
thoughts of a model in its answers. `fcpivot profile` then counts them and writes the mixed pivots, in a process of its
own; another process does nothing but json.loads for each line. Prints medians of the processor's seconds, peak resident
memory in MB, and the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

PLAIN = "import json, sys\nfor line in open(sys.argv[1], 'rb'):\n    json.loads(line)\n"
WORDS = 120  # of a thought


def write(here: Path, pivots: int, repeats: int) -> None:
    """Write the data and a run of them, in which each pivot has a pass rate of its own."""
    from pytest_fcpivot.data import open_store  # noqa: PLC0415 (not in the process that measures)

    call(["synth", "fc-pivot", f"--pivots={pivots}", "-o", str(here / "data.jsonl")])
    call(["prepare", str(here / "data.jsonl"), "-o", str(here / "data.parquet")])
    drawn = random.Random(1)  # noqa: S311 (no secret)
    store = open_store(here / "data.parquet")
    digest = store.content_hash(here / "data.parquet")
    run = here / "run"
    run.mkdir()
    total = pivots * repeats
    description = {
        "format": 1,
        "agent": "my_agent:answer",
        "grader": {"name": "nemo-gym:first-call", "settings": {}},
        "data": [
            {
                "name": "data.parquet",
                "path": str(here / "data.parquet"),
                "sha256": digest,
                "pivots": pivots,
                "selected": pivots,
            }
        ],
        "repeats": repeats,
        "options": {},
        "sessions": [{"started": "2026", "ended": "2026", "exit_status": 1}],
        "counts": {"selected": total, "not_run": 0},
    }
    (run / "run.json").write_text(json.dumps(description))
    usage = {"input_tokens": 1000, "cached_tokens": 400, "output_tokens": 50, "reasoning_tokens": 0}
    rates = [drawn.betavariate(0.6, 0.5) for _ in range(pivots)]
    with (run / "results.jsonl").open("w") as file:
        for repeat in range(1, repeats + 1):
            for entry in store.index():
                passed = drawn.random() < rates[entry.row]
                thought = " ".join(f"word{drawn.randrange(10**4)}" for _ in range(WORDS))
                name = next(iter(entry.expected_names), "find")
                action = {"type": "function_call", "name": name, "arguments": json.dumps({"n": drawn.randrange(99)})}
                line = {
                    "test": f"data.parquet::{entry.id}" + (f"[r{repeat}]" if repeat > 1 else ""),
                    "pivot_id": entry.id,
                    "trajectory_id": entry.trajectory_id,
                    "repeat": repeat,
                    "expected": entry.expected_type,
                    "tool": next(iter(entry.expected_names), None),
                    "outcome": "passed" if passed else "failed",
                    "reward": float(passed),
                    "category": "EXPECTED_TOOL_CALL" if passed else "ARGUMENT_VALUE_DIFFERENT",
                    "usage": usage,
                    "latency_s": 1.5,
                    "attempts": 1,
                    "action": action,
                    "output": [{"type": "reasoning", "summary": [{"text": thought}]}, action],
                }
                file.write(json.dumps(line) + "\n")
    store.close()


def call(arguments: list[str]) -> None:
    """Run a command of fcpivot."""
    subprocess.run([sys.executable, "-m", "pytest_fcpivot.cli", *arguments], check=True, stdout=subprocess.DEVNULL)


def measured(command: list[str]) -> tuple[float, float]:
    """Run a command; returns the processor's seconds and the peak resident memory in MB."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    """Write the run, and measure both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pivots", type=int, default=9620)
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write is not None:
        write(options.write, options.pivots, options.repeats)
        return
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        # in a process of its own: this one must stay small, for its memory counts in that of its children
        sizes = [f"--pivots={options.pivots}", f"--repeats={options.repeats}"]
        subprocess.run([sys.executable, __file__, "--write", name, *sizes], check=True)
        results = here / "run" / "results.jsonl"
        print(f"{options.pivots * options.repeats} results, {results.stat().st_size / 1e6:.0f} MB")
        profile = [sys.executable, "-m", "pytest_fcpivot.cli", "profile", str(here / "run")]
        commands = {
            "json.loads": [sys.executable, "-c", PLAIN, str(results)],
            "counted": profile,
            "written": [*profile, "-o", str(here / "kept.jsonl")],
            "with a table": [*profile, "-o", str(here / "kept.jsonl"), "--table", str(here / "all.parquet")],
        }
        taken: dict[str, list[tuple[float, float]]] = {case: [] for case in commands}
        for _ in range(options.rounds):
            for case, command in commands.items():
                taken[case].append(measured(command))
        plain = median(seconds for seconds, _ in taken["json.loads"])
        for case, each in taken.items():
            seconds, memory = (median(values) for values in zip(*each, strict=True))
            print(f"{case:14} {seconds:6.2f} s  {seconds / plain:5.2f} of json.loads  {memory:5.0f} MB", flush=True)
        print(f"kept.jsonl: {(here / 'kept.jsonl').stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
