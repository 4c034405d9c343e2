"""Measure what the export of a large run takes, in time and memory, by format.

    python benchmarks/export.py [--results 100000]

A run with answers of about 2 KB a line is written, and exported by a process of its own for each format. Prints
seconds, peak resident memory in MB, and the sizes of the files.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DESCRIPTION = {
    "format": 1,
    "agent": "my_agent:answer",
    "grader": {"name": "nemo-gym:first-call", "settings": {}},
    "data": [],
    "repeats": 1,
    "options": {},
    "sessions": [{"started": "2026", "ended": "2026", "exit_status": 1}],
}
WORDS = 60  # of an answer


def write_run(path: Path, results: int) -> None:
    """Write a run with so many results, of which every third is wrong."""
    drawn = random.Random(1)  # noqa: S311 (no secret)
    path.mkdir()
    counts = {"counts": {"selected": results, "not_run": 0}}
    (path / "run.json").write_text(json.dumps(DESCRIPTION | counts))
    usage = {"input_tokens": 1000, "cached_tokens": 400, "output_tokens": 50, "reasoning_tokens": 0}
    with (path / "results.jsonl").open("w") as file:
        for number in range(results):
            text = " ".join(f"word{drawn.randrange(10**6)}" for _ in range(WORDS))
            call = {"type": "function_call", "name": "find", "arguments": json.dumps({"query": text, "n": number})}
            line = {
                "test": f"data.jsonl::t{number // 10}-d{number % 10}",
                "pivot_id": f"t{number // 10}-d{number % 10}",
                "trajectory_id": f"{number // 10}",
                "repeat": 1,
                "expected": "function_call",
                "tool": f"tool{number % 40}",
                "outcome": "passed" if number % 3 else "failed",
                "reward": float(number % 3 > 0),
                "category": "EXPECTED_TOOL_CALL" if number % 3 else "UNEXPECTED_TOOL",
                "usage": usage,
                "latency_s": 1.5,
                "attempts": 1,
                "action": call,
                "output": [call],
            }
            file.write(json.dumps(line) + "\n")


def main() -> None:
    """Write the run, and export it in each format."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=int, default=100_000)
    results = parser.parse_args().results
    with tempfile.TemporaryDirectory() as name:
        run = Path(name) / "run"
        # in a process of its own: this one must stay small, for its memory counts in that of its children
        code = f"from pathlib import Path; from export import write_run; write_run(Path({str(run)!r}), {results})"
        subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent)
        print(f"{results} results, {(run / 'results.jsonl').stat().st_size / 1e6:.0f} MB")
        for to in ("parquet", "csv", "jsonl"):
            target = Path(name) / f"out.{to}"
            command = [sys.executable, "-m", "pytest_fcpivot.cli", "export", str(run), "--to", to, "-o", str(target)]
            began = time.perf_counter()
            with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
                _, status, usage = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
            assert process.returncode == 0
            seconds, size = time.perf_counter() - began, target.stat().st_size / 1e6
            print(f"{to:8} {seconds:5.1f} s {usage.ru_maxrss / 1024:5.0f} MB, {size:.0f} MB on disk", flush=True)


if __name__ == "__main__":
    main()
