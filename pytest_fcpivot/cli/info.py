"""`fcpivot info`: describe a data file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.cli.say import say

if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:
    """Declare the command."""
    command = commands.add_parser("info", help="describe a data file: counts, sizes, provenance")
    command.add_argument("file", metavar="FILE", help="a data file, or sample for the bundled one")
    command.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from pytest_fcpivot.data import info  # noqa: PLC0415 (only for this command)
    from pytest_fcpivot.data.progress import Progress  # noqa: PLC0415

    with Progress.of_file(Path(options.file)) as progress:
        found = info.facts(options.file, progress=progress)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        for line in info.describe(found):
            say(line)
    return 0
