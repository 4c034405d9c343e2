"""Time a session in an unrelated project with the plugin and without it (`-p no:fcpivot`), in turns.

python benchmarks/startup.py [--rounds 21]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median


def main() -> None:
    """Measure and print the difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "test_one.py").write_text("def test_one():\n    pass\n")
        (directory / "pytest.ini").write_text("[pytest]\n")
        with_plugin, without = [], []
        for _ in range(options.rounds):
            with_plugin.append(seconds(directory))
            without.append(seconds(directory, "-p", "no:fcpivot"))
    difference = (median(with_plugin) - median(without)) * 1000
    print(f"with the plugin     {median(with_plugin) * 1000:7.1f} ms")
    print(f"without             {median(without) * 1000:7.1f} ms")
    print(f"difference          {difference:7.1f} ms   (target: at most 20)")
    print(f"ratio               {median(with_plugin) / median(without):7.3f}")


def seconds(directory: Path, *arguments: str) -> float:
    """Time one session."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *arguments], cwd=directory, check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
