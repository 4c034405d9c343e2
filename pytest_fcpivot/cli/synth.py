"""`fcpivot synth`: generate data of a published shape, of any size."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.cli.say import say

if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:
    """Declare the command."""
    command = commands.add_parser("synth", help="generate data of a published shape, of any size, from a seed")
    command.add_argument("kind", choices=("fc-pivot", "agentic"), help="shape of the data")
    command.add_argument("--pivots", type=int, required=True, metavar="N", help="number of pivots")
    command.add_argument("--seed", type=int, default=0, help="seed of the random data (default: 0)")
    command.add_argument("-o", "--output", required=True, metavar="FILE.jsonl", help="or - for standard output")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from pytest_fcpivot.data import synth  # noqa: PLC0415 (only for this command)

    if options.output == "-":
        synth.write(options.kind, options.pivots, options.seed, sys.stdout.buffer)
        return 0
    target = Path(options.output)
    rows = synth.write_file(options.kind, options.pivots, options.seed, target)
    say(f"{target}: {options.pivots} pivots in {rows} rows, {target.stat().st_size / 1e6:.1f} MB")
    return 0
