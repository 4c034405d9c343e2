"""`fcpivot audit`: grade a stored run under several comparators."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.cli.say import say
from pytest_fcpivot.cli.shared import add_allow_damaged, add_data, add_grader, named_grader

if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:
    """Declare the command and its options."""
    command = commands.add_parser(
        "audit",
        help="grade a run again under stricter and more lenient comparators, to see if the model or the matcher fails",
        description="Grades the stored answers of a run under a ladder of comparators, without calling an agent, and "
        "counts which pivots pass under which. The exit code is 1 if the run's own grader does not reproduce the "
        "recorded rewards.",
    )
    command.add_argument(
        "run_path", metavar="RUN", type=Path, help="a run's directory, or NeMo Gym's rollouts as .jsonl"
    )
    add_data(command)
    add_grader(command, "check the recorded rewards with this grader")
    command.add_argument(
        "--flips",
        type=int,
        default=5,
        metavar="N",
        help="number of pivots to show for each change between neighbouring comparators (default: 5)",
    )
    command.add_argument(
        "--json", type=Path, dest="output", metavar="FILE", help="also write all results and figures to this file"
    )
    add_allow_damaged(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from pytest_fcpivot.audit import report  # noqa: PLC0415 (only for this command)
    from pytest_fcpivot.audit.running import audit  # noqa: PLC0415
    from pytest_fcpivot.audit.stored import open_stored  # noqa: PLC0415

    shown = max(0, options.flips)
    stored = open_stored(options.run_path, options.data, named_grader(options), allow_damaged=options.allow_damaged)
    if options.output is None:
        found = audit(stored, shown)
    else:
        with report.json_file(options.output) as file:
            found = audit(stored, shown, file.add)
            file.end(found.summary())
    for line in report.lines(found, shown):
        say(line)
    return 1 if found.drifted else 0
