"""The `fcpivot` command."""

from __future__ import annotations

import argparse
import signal
import sys
import traceback
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from pytest_fcpivot.cli import (
    audit,
    compare,
    conformance,
    export,
    gate,
    info,
    lint,
    merge,
    plan,
    prepare,
    profile,
    report,
    serve,
    show,
    synth,
)
from pytest_fcpivot.cli.say import say_error
from pytest_fcpivot.core.errors import FcPivotError
from pytest_fcpivot.core.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

_OWN_FAULT = 3
_INTERRUPTED = 130  # the exit code of shells for a process that Ctrl-C ended
_COMMANDS = (
    conformance,
    prepare,
    info,
    lint,
    synth,
    merge,
    audit,
    show,
    report,
    compare,
    gate,
    plan,
    export,
    profile,
    serve,
)


@cache
def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fcpivot", description="Tools for function-calling pivots.")
    parser.add_argument("--version", action="version", version=f"fcpivot {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns the exit code: 0 success, 1 a finding, 2 wrong usage or input, 3 a bug of fcpivot."""
    options = _parser().parse_args(arguments)
    with suppress(ValueError):  # only the main thread may set a signal handler
        signal.signal(signal.SIGTERM, _interrupt)  # a cancelled CI job must not leave an incomplete file either
    try:
        code: int = options.run(options)
    except FcPivotError as error:
        say_error(str(error))
        return 2
    except BrokenPipeError:  # the reader of the output, such as head, has closed the pipe
        sys.stderr.close()
        return 1
    except OSError as error:
        # output is first written to a hidden .part file, whose name would mean nothing to the user
        where = str(error.filename or "")
        where = str(options.output) if where.endswith(".part") else where
        say_error(f"{where}: {error.strerror or error}")
        return 2
    except KeyboardInterrupt:
        print("fcpivot: interrupted; no incomplete file was left", file=sys.stderr)
        return _INTERRUPTED
    except Exception as error:  # noqa: BLE001 (Python's exit code for it is 1, which means a finding)
        traceback.print_exc()
        say_error(f"{type(error).__name__}: this is a bug of fcpivot; please report it with the lines above")
        return _OWN_FAULT
    return code


def _interrupt(number: int, frame: object) -> None:  # noqa: ARG001 (a signal handler's signature)
    raise KeyboardInterrupt
