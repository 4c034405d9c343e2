"""The `fcpivot` command."""

from __future__ import annotations

import argparse
import signal
import sys
import traceback
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from pytest_fcpivot.cli import audit, conformance, info, lint, merge, prepare, synth
from pytest_fcpivot.cli.say import say_error
from pytest_fcpivot.core.errors import FcPivotError
from pytest_fcpivot.core.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

_OWN_FAULT = 3
_INTERRUPTED = 130  # as shells have it for a process that Ctrl-C ended
_COMMANDS = (conformance, prepare, info, lint, synth, merge, audit)


@cache
def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fcpivot", description="Tools for function-calling pivots.")
    parser.add_argument("--version", action="version", version=f"fcpivot {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns the exit code: 0 well, 1 a finding, 2 a usage or input error, 3 a fault of ours."""
    options = _parser().parse_args(arguments)
    with suppress(ValueError):  # not the main thread, which alone is told
        signal.signal(signal.SIGTERM, _interrupt)  # a job that is cancelled is to leave no half file either
    try:
        code: int = options.run(options)
    except FcPivotError as error:
        say_error(str(error))
        return 2
    except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
        sys.stderr.close()
        return 1
    except OSError as error:
        # what is written goes to a hidden part first, whose name nobody gave
        where = str(error.filename or "")
        where = str(options.output) if where.endswith(".part") else where
        say_error(f"{where}: {error.strerror or error}")
        return 2
    except KeyboardInterrupt:
        print("fcpivot: interrupted; nothing was left half written", file=sys.stderr)
        return _INTERRUPTED
    except Exception as error:  # noqa: BLE001 (Python's own exit code for it would be taken for a finding)
        traceback.print_exc()
        say_error(f"{type(error).__name__}: this is a fault of fcpivot's own; please report it with the lines above")
        return _OWN_FAULT
    return code


def _interrupt(number: int, frame: object) -> None:  # noqa: ARG001 (the signal's own)
    raise KeyboardInterrupt
