"""`fcpivot show`: one pivot and its result, as a person reads it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.cli.shared import add_data, add_grader, named_grader
from pytest_fcpivot.core.errors import OptionError, RunError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pytest_fcpivot.audit.one_pivot import OnePivot

_IN_A_PIPE = 100  # columns where there is no terminal
_FOLLOWS = ("results.jsonl", "run.json")  # files of a run that stand for it


def add(commands: Any) -> None:
    """Declare the command and its options."""
    command = commands.add_parser(
        "show",
        help="show one pivot of a run: its conversation, its tools, both actions side by side, its grade, and why",
        description="Shows one pivot as a person reads it: the conversation, the tools on offer, the expected and the "
        "actual action side by side, the grade, and the command that runs it again. Without RUN, it is the latest run "
        "under .fcpivot, in the present directory or the nearest above it.",
    )
    command.add_argument(
        "source",
        nargs="?",
        metavar="RUN|DATA",
        help="a run's directory, or a data file (sample: the bundled one) for a pivot without a result",
    )
    command.add_argument(
        "pivot",
        metavar="PIVOT",
        help="a pivot's id, or a node id as pytest prints it; [r2] after it picks a repeat",
    )
    add_data(command)
    add_grader(command, "compare the two actions by this grader")
    command.add_argument("--full", action="store_true", help="cut no text, and show every tool and the raw output")
    command.add_argument(
        "--color",
        "--colour",
        dest="colour",
        choices=("auto", "always", "never"),
        default="auto",
        help="when to write in colour (default: auto, on a terminal; NO_COLOR and FORCE_COLOR are obeyed)",
    )
    command.add_argument("--no-pager", action="store_true", help="do not page what is longer than the screen")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from pytest_fcpivot.report.pivot_text import lines_of  # noqa: PLC0415 (only for this command)
    from pytest_fcpivot.report.screen import written  # noqa: PLC0415

    found = _found(options)
    is_terminal = sys.stdout.isatty()
    size = shutil.get_terminal_size((_IN_A_PIPE, 0))
    width = size.columns if is_terminal or os.environ.get("COLUMNS") else _IN_A_PIPE
    lines = lines_of(found, width, full=options.full)
    texts = list(written(lines, colour=_in_colour(options.colour, is_terminal=is_terminal)))
    if is_terminal and not options.no_pager and 0 < size.lines <= len(texts) and _paged(texts):
        return 0
    for text in texts:
        print(text)
    return 0


def _base_of_runs() -> Path:
    """Return the directory under which runs are: the present one, or the nearest above it that has any.

    pytest records runs under its root directory, also if it is called in a folder of the project.
    """
    from pytest_fcpivot.runs.directory import RUNS  # noqa: PLC0415 (only for this command)

    here = Path.cwd()
    return next((each for each in (here, *here.parents) if (each / RUNS).is_dir()), here)


def _found(options: argparse.Namespace) -> OnePivot:
    from pytest_fcpivot.audit.one_pivot import find_in_data, find_in_run  # noqa: PLC0415 (only for this command)
    from pytest_fcpivot.data import SAMPLE  # noqa: PLC0415
    from pytest_fcpivot.data.files import is_data_file  # noqa: PLC0415
    from pytest_fcpivot.runs.baseline import is_baseline  # noqa: PLC0415
    from pytest_fcpivot.runs.directory import RunDirectory  # noqa: PLC0415

    named = named_grader(options)
    if not options.pivot:
        raise OptionError("PIVOT is empty: give a pivot's id, or a node id as pytest prints it")
    if options.source is None:
        if _is_source(options.pivot):
            raise OptionError(
                f"{options.pivot} is a run or a data file: name a pivot too, as in {_command(options.pivot, 'PIVOT')}"
            )
        base = _base_of_runs()
        path = RunDirectory.latest_of_all(base, "no run to show", "fcpivot show RUN PIVOT")
        path = Path(os.path.relpath(path))
        return find_in_run(path, options.pivot, options.data, named, is_latest=True)
    path = Path(options.source).expanduser()
    if path.name in _FOLLOWS and path.with_name("run.json").is_file():
        path = path.parent
    if path.is_dir():
        return find_in_run(path, options.pivot, options.data, named)
    if options.source == SAMPLE or (path.is_file() and is_data_file(path)):
        if options.data or named is not None:
            raise RunError(f"{options.source}: this is a data file, without results; leave out --data and --grader")
        if is_baseline(path):
            raise RunError(
                f"{options.source}: this is a saved baseline, which has no answers; name the run that it was saved from"
            )
        return find_in_data(options.source, options.pivot)
    if _is_source(options.pivot):
        raise OptionError(
            f"{options.pivot} is a run or a data file, and comes first: {_command(options.pivot, options.source)}"
        )
    if path.exists():
        raise RunError(f"{options.source}: name a run's directory, or a data file; this file is neither")
    raise RunError(
        f"{options.source}: there is no such run or data file; runs are recorded under .fcpivot, or where --fc-run says"
    )


def _is_source(text: str) -> bool:
    """Return whether a text that was given for a pivot names a run or a data file."""
    from pytest_fcpivot.data import SAMPLE  # noqa: PLC0415 (only for this command)
    from pytest_fcpivot.data.files import is_data_file  # noqa: PLC0415

    path = Path(text).expanduser()
    try:
        return text == SAMPLE or (path / "run.json").is_file() or (path.is_file() and is_data_file(path))
    except (OSError, ValueError):  # an id that no file can be named by
        return False


def _command(source: str, pivot: str) -> str:
    return shlex.join(["fcpivot", "show", source, pivot])


def _in_colour(wanted: str, *, is_terminal: bool) -> bool:
    """Return whether to write in colour: the option decides, then NO_COLOR and FORCE_COLOR, then the terminal."""
    if wanted != "auto":
        return wanted == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return is_terminal and os.environ.get("TERM") != "dumb"


def _paged(texts: Sequence[str]) -> bool:
    """Show texts in the user's pager, or in less; returns whether there was one."""
    given = os.environ.get("PAGER")
    command = shlex.split(given) if given is not None else ["less"]
    program = shutil.which(command[0]) if command else None
    if program is None or command == ["cat"]:
        return False
    # less shows colours only if it is told to; -F would leave nothing on the screen of some terminals
    surroundings = {"LESS": "-R", **os.environ} if Path(program).name.startswith("less") else None
    if given is None:
        command.append("-R")
    try:
        process = subprocess.Popen(  # noqa: S603 (the user's own pager)
            [program, *command[1:]], stdin=subprocess.PIPE, env=surroundings, text=True, encoding="utf-8"
        )
    except OSError:
        return False
    with process:
        try:
            assert process.stdin is not None  # noqa: S101 (a pipe was asked for)
            process.stdin.write("\n".join(texts) + "\n")
            process.stdin.close()
        except (BrokenPipeError, KeyboardInterrupt):
            pass  # the user has left the pager
        while True:
            try:
                process.wait()
                break
            except KeyboardInterrupt:
                continue  # Ctrl-C is the pager's own, while it is on the screen
    return True
