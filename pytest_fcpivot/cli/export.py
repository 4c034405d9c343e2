"""`fcpivot export`: write a run as one flat table, for programs that know nothing of runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.cli.say import say
from pytest_fcpivot.cli.shared import add_allow_damaged, add_data
from pytest_fcpivot.core.errors import DataError, OptionError, RunError

if TYPE_CHECKING:
    import argparse

    from pytest_fcpivot.data.store import PivotStore
    from pytest_fcpivot.runs.export.results import RunTable

_TABLES = ("parquet", "csv", "jsonl")
_STDOUT = "-"


def add(commands: Any) -> None:
    """Declare the command and its options."""
    command = commands.add_parser(
        "export",
        help="write a run as one flat table, with a row for each pivot and repeat",
        description="Writes a run as one flat table with a row for each pivot and repeat: Parquet, CSV or JSON Lines, "
        "all with the same columns, whose types do not depend on the rows. The last result of each test counts. A file "
        "that is there is replaced.",
    )
    command.add_argument("run_path", metavar="RUN", type=Path, help="a run's directory")
    command.add_argument("--to", required=True, choices=_TABLES, help="the format of the table")
    command.add_argument(
        "-o", "--output", required=True, metavar="OUT", type=Path, help="the file, or - for standard output"
    )
    add_data(command, ", for the columns about the pivots")
    command.add_argument(
        "--spreadsheet",
        action="store_true",
        help="with --to csv: put an apostrophe before texts that a spreadsheet would take for formulas, and a mark for "
        "UTF-8 at the beginning; other programs then read texts that are not those of the run",
    )
    add_allow_damaged(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from pytest_fcpivot.runs.described import read_description  # noqa: PLC0415 (only for this command)
    from pytest_fcpivot.runs.export.columns import about_run  # noqa: PLC0415
    from pytest_fcpivot.runs.export.files import write_rows, write_stream  # noqa: PLC0415
    from pytest_fcpivot.runs.export.results import RunTable  # noqa: PLC0415

    path = _run_directory(options.run_path)
    description = read_description(path)
    _refuse_odd(options, path, description)
    stores, why_none = _data(path, options.data)
    try:
        table = RunTable(path, description, stores, allow_damaged=options.allow_damaged)
        about = about_run(path.resolve().name, description)
        to_stdout = str(options.output) == _STDOUT
        if to_stdout:
            count = write_stream(table, about, sys.stdout.buffer, options.to, spreadsheets=options.spreadsheet)
        else:
            count = write_rows(table, about, options.output, options.to, spreadsheets=options.spreadsheet)
    finally:
        for _, store in stores:
            store.close()
    stream = sys.stderr if to_stdout else None
    say(f"{options.output}: {_counted(count, table)}", stream)
    for note in _notes(table, why_none):
        say(f"note: {note}", stream)
    return 0


def _run_directory(path: Path) -> Path:
    """Return the directory of a run, for its results too; raises RunError for another file."""
    if path.name == "results.jsonl" and path.with_name("run.json").is_file():
        return path.parent
    if path.is_file():
        raise RunError(f"{path}: not a run's directory, but a file; a saved baseline has no answers to export")
    return path


def _refuse_odd(options: argparse.Namespace, run: Path, description: dict[str, Any]) -> None:
    """Raise an error for options that do not belong together, and for an output that must not be replaced."""
    if options.spreadsheet and options.to != "csv":
        raise OptionError(f"--spreadsheet: it belongs to --to csv, and not to --to {options.to}")
    output: Path = options.output
    if str(output) == _STDOUT:
        if options.to == "parquet" and sys.stdout.isatty():
            raise OptionError("-o -: a terminal cannot show Parquet; name a file, or write it into a pipe")
        return
    ending = output.suffix.removeprefix(".")
    if ending in _TABLES and ending != options.to:
        raise OptionError(f"-o {output}: the name ends in .{ending}, but --to asks for {options.to}")
    if output.exists() and not output.is_file():
        raise RunError(f"-o {output}: is there, and is not a file; name a file")
    where = output.resolve()
    own = run.resolve()
    if (
        where in {own / name for name in ("run.json", "results.jsonl", "summary.json")}
        or own / "calls" in where.parents
    ):
        raise RunError(f"-o {output}: this is a file of the run itself; name another file")
    data = [Path(each["path"]) for each in description["data"]] + [Path(name) for name in options.data]
    if where in {each.resolve() for each in data if each.is_absolute() or each.exists()}:
        raise RunError(f"-o {output}: this would replace the data of the run; name another file")


def _data(path: Path, given: list[str]) -> tuple[list[tuple[str, PivotStore]], str | None]:
    """Open the run's data, or return why they are not at hand; raises if the user names files that cannot be used."""
    from pytest_fcpivot.audit.run_data import data_of_run  # noqa: PLC0415 (only for this command)

    try:
        return data_of_run(path, given), None
    except (DataError, RunError) as error:
        if given:
            raise
        return [], str(error).partition("\n")[0]


def _counted(count: int, table: RunTable) -> str:
    from pytest_fcpivot.core.words import count_of  # noqa: PLC0415 (only for this command)

    if not count:
        return "no rows, since the run has no results"
    return count_of(count, "row") + (f", {table.not_run} of them without a result" if table.not_run else "")


def _notes(table: RunTable, why_no_data: str | None) -> list[str]:
    from pytest_fcpivot.runs.damage import listed  # noqa: PLC0415 (only for this command)
    from pytest_fcpivot.runs.export.columns import FACTS  # noqa: PLC0415

    notes = []
    unfinished = table.why_unfinished()
    if unfinished is not None:
        notes.append(f"the run is not complete: {unfinished}")
    if table.missing_unknown is not None:
        notes.append(table.missing_unknown)
    if table.damages:
        notes += [f"left out: {table.damages.losses()}", *(f"  {line}" for line in listed([table.damages]))]
    if table.damages.torn is not None:
        notes.append(f"its last line is incomplete and left out: {table.damages.torn.size} bytes")
    if why_no_data is not None:
        notes.append(f"{', '.join(FACTS)} are null, since the data are not at hand: {why_no_data}")
    return notes
