"""`fcpivot lint`: find faults of a data file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.cli.say import say

if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "lint",
        help="find faults of a data file, such as pivots that cannot be answered",
        description="Finds pivots that no agent can answer rightly (error), doubtful (warning) and odd ones (note).",
    )
    command.add_argument("file", metavar="FILE", help="a data file, or sample for the bundled one")
    command.add_argument("--ids", action="store_true", help="print each finding with the pivot's id, before the table")
    command.add_argument("--json", action="store_true", help="print each finding as a line of JSON, then the counts")
    command.add_argument(
        "--fail-on",
        choices=("error", "warning", "note", "never"),
        default="error",
        help="exit with 1 if there is a finding of this severity or a higher one (default: error)",
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from pytest_fcpivot.data import lint  # noqa: PLC0415 (only for this command)
    from pytest_fcpivot.data.progress import Progress  # noqa: PLC0415

    def show(finding: lint.Finding) -> None:
        if options.json:
            print(finding.json())
        elif options.ids:
            say(str(finding))

    with Progress.of_file(Path(options.file)) as progress:
        found = lint.lint(options.file, say=show, progress=progress)
    if options.json:
        print(json.dumps({"summary": found.summary()}))
    else:
        for line in found.table():
            say(line)
    return found.exit_code(options.fail_on)
