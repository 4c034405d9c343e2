"""`fcpivot report`: write the report of a run as one HTML file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.cli.say import say
from pytest_fcpivot.cli.shared import add_allow_damaged, add_data
from pytest_fcpivot.core.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_MEGABYTES = 2000


def add(commands: Any) -> None:
    """Declare the command and its options."""
    command = commands.add_parser(
        "report",
        help="write the report of a run as one HTML file",
        description="Writes the report of a run as one HTML file, which needs no network and nothing beside it.",
    )
    command.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="the run to report, which is the last of several; the first of several is what it is compared with, and "
        "how all of them answered is shown in the order given, as of the checkpoints of a training",
    )
    command.add_argument("-o", "--output", required=True, type=Path, metavar="OUT.html", help="the file to write")
    add_data(command)
    command.add_argument(
        "--baseline",
        metavar="BASE",
        help="compare with this run: its directory, or a saved baseline's file or name (default: the first of several "
        "RUNs)",
    )
    command.add_argument(
        "--max-size",
        type=_megabytes,
        default="25",
        metavar="MB",
        help="the most megabytes that the file may have (default: 25): what does not fit is left out, conversations of "
        "passed pivots first",
    )
    add_allow_damaged(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from pytest_fcpivot.report.behaviour_text import lines  # noqa: PLC0415
    from pytest_fcpivot.report.html.building import Asked, build  # noqa: PLC0415 (only for this command)
    from pytest_fcpivot.report.html.writing import refuse_target, said, write  # noqa: PLC0415
    from pytest_fcpivot.runs.baseline import read_side  # noqa: PLC0415
    from pytest_fcpivot.runs.comparing import Side, refuse_different  # noqa: PLC0415
    from pytest_fcpivot.runs.described import read_description  # noqa: PLC0415
    from pytest_fcpivot.runs.rewards import Rewards  # noqa: PLC0415
    from pytest_fcpivot.runs.until_mixed import refuse_until_mixed  # noqa: PLC0415

    target: Path = options.output
    refuse_target(target, f"-o {target}")
    *others, named = options.runs
    path = Path(named)
    if path.name == "results.jsonl":
        path = path.parent
    compared = options.baseline if options.baseline is not None else others[0] if others else None
    base = None if compared is None else read_side(compared, Path.cwd(), allow_damaged=options.allow_damaged)
    if base is not None:
        description = read_description(path)
        refuse_until_mixed(description, named, "a comparison")
        refuse_different(base, Side(named, path, description, Rewards()))
    asked = Asked(
        run=path,
        name=path.resolve().name,
        path=str(path),
        data=options.data,
        allow_damaged=options.allow_damaged,
        max_size=options.max_size,
        base=base,
        others=_directories(others),
    )
    built = build(asked)
    try:
        size = write(target, built.texts)
    except OSError as error:
        raise RunError(f"{target}: cannot be written: {error.strerror or error}") from error
    for line in said(str(target), built, size):
        say(line)
    if built.watched is not None:
        say("")
        for line in lines(built.watched):
            say(line)
    return 0


def _directories(named: Sequence[str]) -> list[Path]:
    """Return the runs among those named; the first may be a saved baseline, which has no answers.

    Raises RunError for another one that is not a directory.
    """
    found = []
    for number, each in enumerate(map(Path, named)):
        path = each.parent if each.name == "results.jsonl" else each
        if path.is_dir():
            found.append(path)
        elif number:
            raise RunError(f"{each}: there is no such run; a saved baseline can only be the first of several")
    return found


def _megabytes(text: str) -> int:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= _MOST_MEGABYTES:
        raise argparse.ArgumentTypeError(f"{text!r}: write a number of megabytes, as in 25")
    return int(value * 1_000_000)
