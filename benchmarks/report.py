"""What the HTML report costs: the end of a session that writes it, and `fcpivot report` on many results.

Prints seconds of the whole process and of its processor time, the size of the file, and the largest memory. The data
are synthetic (`fcpivot synth`), the agent's answers instant; a third of them fail.

Usage: python benchmarks/report.py [--pivots N] [--rounds N] [--results N]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

AGENT = '''"""Answers two of three pivots as expected, from a table that was made beforehand."""
import json
from pathlib import Path

TABLE = json.loads(Path("answers.json").read_text())


def answer(pivot):
    return TABLE[pivot.id]
'''


def run(command: list[str], directory: Path) -> tuple[float, float, float]:
    """Run a command; returns its seconds, those of the processor, and its largest memory in MB."""
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, used = os.wait4(process.pid, 0)
    return time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def fcpivot(directory: Path, *args: str) -> tuple[float, float, float]:
    """Run the command `fcpivot`."""
    return run([sys.executable, "-m", "pytest_fcpivot.cli", *args], directory)


def prepare(directory: Path, pivots: int) -> None:
    """Make the data, and the table of answers for the agent."""
    from pytest_fcpivot.data.store import PivotStore  # noqa: PLC0415 (after the arguments are read)

    fcpivot(directory, "synth", "fc-pivot", "--pivots", str(pivots), "-o", "data.jsonl")
    fcpivot(directory, "prepare", "data.jsonl", "-o", "data.parquet")
    store = PivotStore(directory / "data.parquet")
    table = {}
    for number, (name, expected) in enumerate(zip(store.each("id"), store.each("expected_action"), strict=True)):
        action = json.loads(expected)
        wrong = {"type": "function_call", "name": "list_all", "arguments": "{}"}
        calls = action["calls"] if action["type"] == "function_call_batch" else [action]
        right = action["content"] if action["type"] == "message" else calls
        table[name] = wrong if number % 3 == 0 else right
    store.close()
    (directory / "answers.json").write_text(json.dumps(table), encoding="utf-8")
    (directory / "tabled.py").write_text(AGENT, encoding="utf-8")


def many(directory: Path, results: int) -> None:
    """Write a run with many results, as repeats of one that is there."""
    source, target = directory / "kept", directory / "many"
    target.mkdir()
    lines = [json.loads(line) for line in (source / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    repeats = -(-results // len(lines))
    with (target / "results.jsonl").open("w", encoding="utf-8") as stream:
        for repeat in range(1, repeats + 1):
            for line in lines:
                name = line["test"] + (f"[r{repeat}]" if repeat > 1 else "")
                stream.write(json.dumps(line | {"repeat": repeat, "test": name}) + "\n")
    about = json.loads((source / "run.json").read_text(encoding="utf-8"))
    (target / "run.json").write_text(json.dumps(about | {"repeats": repeats, "counts": None}), encoding="utf-8")


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pivots", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--results", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        prepare(directory, options.pivots)
        session = [sys.executable, "-m", "pytest", "-q", "-q", "--fc-agent=tabled:answer", "--fc-data=data.parquet"]
        without, with_report = [], []
        for number in range(options.rounds):
            without.append(run([*session, "--fc-run=none"], directory))
            last = "kept" if number == 0 else f"run{number}"
            with_report.append(run([*session, f"--fc-run={last}", "--fc-html=report.html"], directory))
        for label, measured in (("--fc-run=none", without), ("recorded, with --fc-html", with_report)):
            wall, cpu, memory = (statistics.median(each[place] for each in measured) for place in range(3))
            print(f"{label:26} {wall:7.2f} s, processor {cpu:7.2f} s, memory {memory:6.0f} MB")
        print(f"{'report of the session':26} {(directory / 'report.html').stat().st_size / 1e6:7.2f} MB")
        many(directory, options.results)
        wall, cpu, memory = fcpivot(directory, "report", "many", "--data", "data.parquet", "-o", "many.html")
        size = (directory / "many.html").stat().st_size / 1e6
        print(
            f"{f'report, {options.results} results':26} {wall:7.2f} s, processor {cpu:7.2f} s, "
            f"memory {memory:6.0f} MB, {size:.2f} MB"
        )


if __name__ == "__main__":
    main()
