"""Time what a session costs before and beside its tests, against a plain pytest session of one test, in turns.

    python benchmarks/startup.py [--rounds 11] [--before DIRECTORY] [--only cached ...]

Three kinds of sessions are timed: one test with the plugin switched off, the same test with the plugin installed, and
one pivot, recorded; the last also in a worker of pytest-xdist, where that is installed. What a session costs depends
on what the machine has compiled before, so each kind is timed in four environments:

cached       all modules are compiled, and pytest has its own cache of those that it rewrites
unwritten    PYTHONDONTWRITEBYTECODE=1 in an installation that pip compiled; pytest has no cache, and writes none.
             pytest does the same where it may not write, as in a read-only installation
fresh        the first session after an installation, as every CI job's; pytest's cache is empty, and written
uncompiled   PYTHONDONTWRITEBYTECODE=1 in an installation whose own modules nobody compiled

Seconds of the wall clock are printed, and those of the processor beside them, which other work on the machine disturbs
less. `--before` takes a directory that holds another version of the package, to time both in one run.
"""

from __future__ import annotations

import argparse
import compileall
import os
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import entry_points, version
from importlib.util import find_spec
from pathlib import Path
from statistics import median

Figures = dict[tuple[str, str, str], list[tuple[float, float]]]  # by environment, installation and kind of session

AGENT = """
def answer(pivot):
    return "One moment, please."
"""
TEST = ["test_one.py"]
PIVOT = ["--fc-agent=agent:answer", "--fc-limit=1"]
SESSIONS = {"off": ["-p", "no:fcpivot", *TEST], "unrelated": TEST, "one pivot": PIVOT}
WORKERS = {"off, -n1": ["-n1", "-p", "no:fcpivot", *TEST], "one pivot, -n1": ["-n1", *PIVOT]}
ENVIRONMENTS = ("cached", "unwritten", "fresh", "uncompiled")
# session, the one that it is compared with, and the target: a ratio or milliseconds
COMPARED = (("unrelated", "off", "5 ms"), ("one pivot", "off", "1.7 x"), ("one pivot, -n1", "off, -n1", "1.7 x"))


def main() -> None:
    """Measure every case in turn, several rounds over, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--before", type=Path, help="a directory with another pytest_fcpivot")
    parser.add_argument("--only", nargs="+", choices=ENVIRONMENTS, default=ENVIRONMENTS)
    options = parser.parse_args()
    sides = packages(options.before)
    sessions = SESSIONS | (WORKERS if find_spec("xdist") else {})
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "test_one.py").write_text("def test_one():\n    assert True\n")
        (directory / "agent.py").write_text(AGENT)
        (directory / "pytest.ini").write_text("[pytest]\n")
        sites = {
            (side, environment): install(package, directory / side / environment, environment)
            for side, package in sides.items()
            for environment in options.only
        }
        for turn in range(-1, options.rounds):
            for environment in options.only:
                for side in sides:
                    site = sites[side, environment]
                    for session, arguments in sessions.items():
                        if environment == "fresh":
                            forget(site, directory / "__pycache__")
                        taken = seconds(directory, site, environment, arguments)
                        if turn >= 0:  # the first round fills the caches that are to be warm
                            figures.setdefault((environment, side, session), []).append(taken)
    show(figures, options.only, sides)


def packages(before: Path | None) -> dict[str, Path]:
    """Return the versions of the package to time, by name: this one, and the one in a directory, if one is given."""
    spec = find_spec("pytest_fcpivot")
    assert spec is not None
    assert spec.origin is not None
    now = {"now": Path(spec.origin).parent}
    return now if before is None else now | {"before": before / "pytest_fcpivot"}


def install(package: Path, site: Path, environment: str) -> Path:
    """Install a package as pip does, apart from the environment's own, and return the directory to import from."""
    shutil.copytree(package, site / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    number = version("pytest-fcpivot")
    about = site / f"pytest_fcpivot-{number}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: pytest-fcpivot\nVersion: {number}\n")
    own = next(each for each in entry_points(group="pytest11") if each.name == "fcpivot")
    (about / "entry_points.txt").write_text(f"[pytest11]\n{own.name} = {own.value}\n")
    files = [path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()]
    (about / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    if environment != "uncompiled":
        compileall.compile_dir(site, quiet=1)
    return site


def forget(*directories: Path) -> None:
    """Remove what pytest compiled."""
    for directory in directories:
        for cached in directory.rglob("*-pytest-*.pyc"):
            cached.unlink()


def seconds(directory: Path, site: Path, environment: str, arguments: list[str]) -> tuple[float, float]:
    """Run one session; return the seconds by the clock and those of the processor."""
    variables = {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    if environment in ("cached", "fresh"):
        del variables["PYTHONDONTWRITEBYTECODE"]
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", *arguments], cwd=directory, env=variables, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    taken = time.perf_counter() - start
    assert status == 0, f"pytest {' '.join(arguments)} ended with {status}"
    return taken, usage.ru_utime + usage.ru_stime


def show(figures: Figures, environments: tuple[str, ...], sides: dict[str, Path]) -> None:
    """Print each comparison beside its target."""
    print(
        f"{'environment':11} {'session':15} {'version':7} seconds, with/out processor's, with/out  by clock processor"
    )
    for environment in environments:
        for session, other, target in COMPARED:
            for side in sides:
                if (environment, side, session) not in figures:
                    continue
                wall, cpu = middle(figures[environment, side, session])
                least_wall, least_cpu = middle(figures[environment, side, other])
                in_ms = target.endswith("ms")
                ratios = [
                    f"{(a - b) * 1000:6.1f} ms" if in_ms else f"{a / b:6.2f} x "
                    for a, b in ((wall, least_wall), (cpu, least_cpu))
                ]
                print(
                    f"{environment:11} {session:15} {side:7} {wall:6.3f} / {least_wall:6.3f} "
                    f"{cpu:6.3f} / {least_cpu:6.3f} {ratios[0]} {ratios[1]} (target: {target})"
                )


def middle(taken: list[tuple[float, float]]) -> tuple[float, float]:
    """Return the medians by the clock and of the processor."""
    return median(wall for wall, _ in taken), median(cpu for _, cpu in taken)


if __name__ == "__main__":
    main()
