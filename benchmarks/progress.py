"""Measure what the line that shows the progress costs, on a terminal and in a log.

    python benchmarks/progress.py [--pivots 10000] [--rounds 5]

Prints the processor's seconds of sessions with and without the line, as medians of interleaved rounds, and the ratios.
The terminal is a pseudo-terminal whose output is read and thrown away. The agent answers at once, so nothing else takes
any time in which the line would cost nothing.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
from contextlib import suppress
from pathlib import Path
from statistics import median

from startup import install, packages

CASES = {
    "plain": (True, ["--fc-agent=agent:right"]),
    "verbose": (True, ["--fc-agent=agent:right", "-v"]),
    "a third fails, and a gate": (True, ["--fc-agent=agent:third_wrong", "--fc-fail-under=0.5"]),
    "in a log": (False, ["--fc-agent=agent:right"]),
}


def main() -> None:
    """Run each case with and without the line, in turn, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pivots", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        speed = Path(__file__).with_name("session_speed.py")
        subprocess.run([sys.executable, speed, "--write", name, "--pivots", str(options.pivots)], check=True)
        site = install(next(iter(packages(None).values())), directory / "site", "cached")
        taken: dict[tuple[str, str], list[float]] = {}
        for turn in range(-1, options.rounds):
            for case in options.only:
                for progress in ("off", "auto"):
                    terminal, arguments = CASES[case]
                    seconds = run(directory, [*arguments, f"--fc-progress={progress}"], site, terminal=terminal)
                    if turn >= 0:  # the first turn fills the caches
                        taken.setdefault((case, progress), []).append(seconds)
        for case in options.only:
            without, with_line = median(taken[case, "off"]), median(taken[case, "auto"])
            ratios = [one / other for one, other in zip(taken[case, "auto"], taken[case, "off"], strict=True)]
            print(
                f"{case:28} {without:6.2f} s without, {with_line:6.2f} s with the line: {with_line / without:.3f}, "
                f"median of each round's {median(ratios):.3f}   (target: at most 1.03)"
            )


def run(directory: Path, arguments: list[str], site: Path, *, terminal: bool) -> float:
    """Run a session, and return the processor's seconds that it took."""
    variables = {**os.environ, "PYTHONPATH": str(site), "TERM": "xterm-256color"}
    for name in ("CI", "BUILD_NUMBER", "COLUMNS", "PYTHONDONTWRITEBYTECODE"):
        variables.pop(name, None)
    ours, theirs = pty.openpty() if terminal else os.pipe()
    if terminal:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [sys.executable, "-m", "pytest", "--fc-data=pivots.parquet", "--fc-run=none", *arguments]
    process = subprocess.Popen(command, cwd=directory, env=variables, stdout=theirs, stderr=theirs)
    os.close(theirs)
    with suppress(OSError):  # a pseudo-terminal ends with an error
        while os.read(ours, 2**16):
            pass
    os.close(ours)
    _, _, usage = os.wait4(process.pid, 0)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
