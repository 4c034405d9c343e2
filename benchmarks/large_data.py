"""Measure preparing generated data of both published shapes, and opening, collecting and reading the agentic one.

    python benchmarks/large_data.py [--pivots 420000] [--rounds 5] [--keep DIRECTORY]

Prints seconds of processor time (of all threads) for preparing against a loop that only decodes each line with the
standard library, one after the other in each round, with the median of the ratios; peak memory, the size of the output
against the source compressed with zstd level 3, sessions that select from the file, and the time to read one pivot in
order and at random.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CLI = [sys.executable, "-m", "pytest_fcpivot.cli"]
# What is selected, how many seconds it may take until the first test, and how many MB.
SELECTIONS: tuple[tuple[list[str], str], ...] = (
    (["--fc-shard=1/64"], "(target of 1.2 million: 5 s, 400 MB)"),
    (["--fc-limit=100"], "(target: 2 s)"),
    (["--fc-sample=1000"], ""),
    (["--fc-limit=10000"], ""),
    (["--fc-limit=100000"], ""),
    ([], "(target of 1.2 million: 60 s, 2,500 MB)"),
)


def main() -> None:
    """Generate, prepare, select and read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pivots", type=int, default=420_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="use and keep the files in this directory")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = options.keep or Path(name)
        store = directory / "store.parquet"
        for kind, pivots, target in (
            ("fc-pivot", 9_620, directory / "pivots.parquet"),
            ("agentic", options.pivots, store),
        ):
            source = directory / f"{kind}.jsonl"
            if not source.exists():
                command = [*CLI, "synth", kind, f"--pivots={pivots}", "-o", str(source)]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            print(f"{kind}, {pivots} pivots")
            prepare(source, target, options.rounds)
        select(directory, store)
        read(store)


def used(command: list[str], directory: Path) -> tuple[float, float, float]:
    """Run a command; return its seconds, its processor's seconds, and its peak memory in MB."""
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    memory = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, memory


def prepare(source: Path, store: Path, rounds: int) -> None:
    """Compare preparing with decoding alone, and the sizes of what comes out and goes in."""
    loop = f"import json\nfor line in open({str(source)!r}, 'rb'): json.loads(line)"
    ratios = []
    print(f"source                  {source.stat().st_size / 1e6:8.0f} MB")
    for _ in range(rounds):
        _, decoding, _ = used([sys.executable, "-c", loop], source.parent)
        seconds, processor, memory = used([*CLI, "prepare", str(source), "-o", str(store)], source.parent)
        ratios.append(processor / decoding)
        print(f"prepare                 {seconds:8.1f} s, {processor:.1f} s of processors, {memory:.0f} MB", end="")
        print(f"; json.loads {decoding:.1f} s: {ratios[-1]:.2f}")
    print(f"prepare / json.loads    {statistics.median(ratios):8.2f}   (median; target: at most 2.0, and 600 MB)")
    print(f"output / zstd of source {store.stat().st_size / compressed(source):8.2f}   (target: at most 1.25)")


ZSTD = """
import sys
import pyarrow as pa

with pa.CompressedOutputStream(pa.OSFile(sys.argv[2], "wb"), "zstd") as out, open(sys.argv[1], "rb") as stream:
    while chunk := stream.read(1 << 20):
        out.write(chunk)
"""


def compressed(source: Path) -> int:
    """Return the size of a file compressed with zstd at the library's own level, 3.

    In a process of its own: this one must stay small, for its memory counts in that of its children.
    """
    target = source.with_suffix(".zst")
    subprocess.run([sys.executable, "-c", ZSTD, str(source), str(target)], check=True)
    size = target.stat().st_size
    target.unlink()
    return size


def select(directory: Path, store: Path) -> None:
    """Collect parts of the file."""
    (directory / "pytest.ini").write_text("[pytest]\n")
    common = ["-qq", "--collect-only", f"--fc-data={store}", "--fc-agent=asks", "--fc-grader=nemo-gym:any-order"]
    for selection, target in SELECTIONS:
        seconds, _, memory = used([sys.executable, "-m", "pytest", *common, *selection], directory)
        print(f"collect {' '.join(selection) or 'all':15} {seconds:8.1f} s {memory:6.0f} MB   {target}")


def read(store: Path) -> None:
    """Read pivots in order and at random."""
    from pytest_fcpivot.data.store import PivotStore  # noqa: PLC0415 (see above)

    opened = PivotStore(store)
    in_order = range(min(5000, len(opened)))
    scattered = random.Random(0).sample(range(len(opened)), min(300, len(opened)))  # noqa: S311 (the same every time)
    for name, rows, target in (("in order", in_order, 0.3), ("at random", scattered, 3.0)):
        start = time.perf_counter()
        for row in rows:
            json.loads(opened.read(row).tools_json)
        print(f"read {name:18} {(time.perf_counter() - start) / len(rows) * 1e3:8.3f} ms   (target: at most {target})")


if __name__ == "__main__":
    main()
