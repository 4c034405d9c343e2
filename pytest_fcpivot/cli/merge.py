"""`fcpivot merge`: join the runs of shards into one run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.cli.say import say
from pytest_fcpivot.cli.shared import add_allow_damaged

if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:
    """Declare the command."""
    command = commands.add_parser("merge", help="join the runs of shards into one run")
    command.add_argument("runs", nargs="+", metavar="RUN", type=Path, help="run directories, as given to --fc-run")
    command.add_argument(
        "-o", "--output", required=True, metavar="DIR", type=Path, help="directory of the new run, new or empty"
    )
    command.add_argument("--allow-missing", action="store_true", help="exit with 0 even if shards or tests are missing")
    add_allow_damaged(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from pytest_fcpivot.report.merged import merged_lines, summary_file  # noqa: PLC0415 (only for this command)
    from pytest_fcpivot.runs.merging.merge import merge  # noqa: PLC0415

    merged = merge(options.runs, options.output, allow_damaged=options.allow_damaged, summarize=summary_file)
    for line in merged_lines(merged):
        say(line)
    return 1 if merged.missing and not options.allow_missing else 0
