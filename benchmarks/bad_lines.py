"""Measure data files with masses of bad or blank lines: seconds of processor time, peak memory, and what is written.

    python benchmarks/bad_lines.py [--scale 1.0] [--against COMMAND] [--commands prepare,lint,…] [--cases x,newlines,…]

At scale 1: 4 million lines `x`, as many different ones, 256 million newlines, 4 million rows of one id, a line of 1 GB,
each behind one good row, plain and compressed. `--against` is another `fcpivot`, such as that of an earlier version in
an environment of its own, which is run after ours on the same file, with the ratio of their seconds; `--against-scale`
makes its files smaller, and its seconds are then scaled up. Nothing is left behind.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROW = {
    "id": "p1",
    "responses_create_params": {"input": "Hi"},
    "expected_action": {"type": "message", "content": "Hello"},
}
GOOD = json.dumps(ROW).encode() + b"\n"
BLOCK = 1 << 20
LIMIT_S = 3600


def repeated(unit: bytes, times: int) -> Iterator[bytes]:
    """Yield a text many times, in blocks."""
    block = unit * max(1, BLOCK // len(unit))
    whole, rest = divmod(times * len(unit), len(block))
    for _ in range(whole):
        yield block
    yield block[:rest]


def different(times: int) -> Iterator[bytes]:
    """Yield lines that are all broken, and all different."""
    for start in range(0, times, 10_000):
        yield b"".join(b'{"n": %d\n' % number for number in range(start, min(start + 10_000, times)))


CASES: dict[str, Any] = {
    "x": lambda scale: repeated(b"x\n", int(4_000_000 * scale)),
    "different": lambda scale: different(int(4_000_000 * scale)),
    "newlines": lambda scale: repeated(b"\n", int(256_000_000 * scale)),
    "one-id": lambda scale: repeated(GOOD, int(4_000_000 * scale)),
    "one-line": lambda scale: repeated(b"z", int(1_000_000_000 * scale)),
}
FORMS = ("jsonl", "jsonl.gz", "jsonl.zst")
COMMANDS = ("prepare", "lint", "info", "refuse", "skip")


def main() -> None:
    """Write each file, and run each command on it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--against", type=Path, help="another fcpivot")
    parser.add_argument("--against-scale", type=float, help="for the other one (default: the same)")
    parser.add_argument("--commands", default=",".join(COMMANDS))
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--forms", default=",".join(FORMS))
    options = parser.parse_args()
    other = options.against_scale or options.scale
    print(
        f"{'case':22} {'file':>9}  {'command':8} {'exit':>4} {'seconds':>9} {'memory':>8} {'shown':>8} {'listed':>9}",
        end="",
    )
    print(f" {'before':>9} {'ratio':>7}" if options.against else "")
    for case in options.cases.split(","):
        for form in options.forms.split(","):
            with tempfile.TemporaryDirectory() as name:
                path = write(Path(name), case, form, options.scale)
                smaller = path if other == options.scale else write(Path(name, "other"), case, form, other)
                for command in options.commands.split(","):
                    measure(path, smaller, command, options.against, options.scale / other)


def write(directory: Path, case: str, form: str, scale: float) -> Path:
    """Write one file."""
    directory.mkdir(exist_ok=True)
    (directory / "pytest.ini").write_text("[pytest]\n")
    path = directory / f"{case}.{form}"
    with closing(opened(path)) as stream:
        stream.write(GOOD)
        for block in CASES[case](scale):
            stream.write(block)
    return path


def opened(path: Path) -> Any:
    """Open a file that is to be compressed as its name says."""
    if path.suffix == ".gz":
        return gzip.open(path, "wb", compresslevel=1)
    if path.suffix == ".zst":
        import pyarrow as pa  # noqa: PLC0415 (this process must stay small: its memory counts in its children's)

        return pa.CompressedOutputStream(pa.OSFile(str(path), "wb"), "zstd")
    return path.open("wb")


def measure(path: Path, smaller: Path, command: str, against: Path | None, larger: float) -> None:
    """Run a command, and the other version's, and print what they took."""
    ours = run(Path(sys.executable).with_name("fcpivot"), path, command)
    size = f"{path.stat().st_size / 1e6:.1f} MB"
    print(f"{path.name:22} {size:>9}  {command:8} {ours['code']:>4} {ours['seconds']:>7.1f} s", end="")
    print(f" {ours['memory']:>5.0f} MB {ours['shown']:>6} B {ours['listed'] / 1e6:>6.1f} MB", end="", flush=True)
    if against is not None:
        before = run(against, smaller, command)["seconds"] * larger
        print(f" {before:>7.1f} s {before / ours['seconds']:>6.1f}x", end="")
    print(flush=True)


def run(fcpivot: Path, path: Path, command: str) -> dict[str, Any]:
    """Run one command with an empty cache; return what it took."""
    arguments = {
        "prepare": [fcpivot, "prepare", path.name, "-o", "out.parquet"],
        "lint": [fcpivot, "lint", path.name],
        "info": [fcpivot, "info", path.name],
        "refuse": [fcpivot.with_name("pytest"), f"--fc-data={path.name}", "--fc-agent=asks", "--fc-run=none"],
    }
    arguments["skip"] = [*arguments["refuse"], "--fc-bad-rows=skip"]
    with tempfile.TemporaryDirectory(dir=path.parent) as cache, tempfile.TemporaryFile() as shown:
        began = time.monotonic()
        process = subprocess.Popen(
            list(map(str, arguments[command])),
            cwd=path.parent,
            env={**os.environ, "FC_CACHE_DIR": cache},
            stdout=shown,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        shown.seek(0)
        text = shown.read().decode()
    listing = path.parent / "out.audit.jsonl"
    listed = listing.stat().st_size if listing.exists() else 0
    for made in (listing, path.parent / "out.parquet"):
        made.unlink(missing_ok=True)
    assert process.returncode in (0, 1, 2, 4), text
    assert "Traceback" not in text, text
    assert time.monotonic() - began < LIMIT_S
    return {
        "code": process.returncode,
        "seconds": usage.ru_utime + usage.ru_stime,
        "memory": usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10),
        "shown": len(re.sub(r"(?m)^.* rows, .* MB/s$\n?", "", text)),
        "listed": listed,
    }


if __name__ == "__main__":
    main()
