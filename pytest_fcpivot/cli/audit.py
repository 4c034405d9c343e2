"""`fcpivot audit`: grade a stored run under several comparators."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.cli.say import say
from pytest_fcpivot.cli.shared import add_allow_damaged
from pytest_fcpivot.core.errors import OptionError

if TYPE_CHECKING:
    import argparse

    from pytest_fcpivot.audit.grader import Named


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
    command.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="FILE",
        help="data file of the run, if it was moved; may be given several times",
    )
    command.add_argument(
        "--grader",
        metavar="SPEC",
        help="check the recorded rewards with this grader: module:function, or a name defined by an installed package "
        "(needed for a grader of your own, because one that only the run names is not loaded)",
    )
    command.add_argument(
        "--grader-option",
        action="append",
        metavar="KEY=VALUE",
        help="a setting of that grader, instead of the recorded ones; may be given several times",
    )
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
    stored = open_stored(options.run_path, options.data, _named_grader(options), allow_damaged=options.allow_damaged)
    if options.output is None:
        found = audit(stored, shown)
    else:
        with report.json_file(options.output) as file:
            found = audit(stored, shown, file.add)
            file.end(found.summary())
    for line in report.lines(found, shown):
        say(line)
    return 1 if found.drifted else 0


def _named_grader(options: argparse.Namespace) -> Named | None:
    from pytest_fcpivot.audit.grader import Named  # noqa: PLC0415 (only for this command)
    from pytest_fcpivot.options.values import settings_of  # noqa: PLC0415

    given: list[str] | None = options.grader_option
    if options.grader is None:
        if given is not None:
            raise OptionError(f"--grader-option={given[0]}: name the grader of this setting with --grader=SPEC")
        return None
    return Named(options.grader, None if given is None else dict(settings_of(filter(None, given), "--grader-option")))
