"""`fcpivot report`: write the report of a run as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.cli.say import say
from pytest_fcpivot.cli.shared import add_allow_damaged

if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:
    """Declare the command and its options."""
    command = commands.add_parser(
        "report",
        help="write the report of a run as one HTML file",
        description="Writes the report of a run as one HTML file, which needs no network and nothing beside it.",
    )
    command.add_argument("runs", nargs="+", metavar="RUN", help="a run's directory")
    command.add_argument("-o", "--output", required=True, type=Path, metavar="OUT.html")
    command.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="FILE",
        help="data file of the run, if it was moved; may be given several times",
    )
    add_allow_damaged(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from pytest_fcpivot.report.html.building import Asked, build  # noqa: PLC0415 (only for this command)

    path = Path(options.runs[-1])
    asked = Asked(run=path, name=path.name, data=options.data, allow_damaged=options.allow_damaged)
    target: Path = options.output
    with target.open("w", encoding="utf-8", newline="\n") as stream:
        for text in build(asked):
            stream.write(text)
    say(f"{target}: {target.stat().st_size / 1e6:.1f} MB")
    return 0
