"""The command that asks again what failed: it works as it is printed, where it is printed."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_fcpivot.data import SAMPLE, SAMPLE_PATH
from pytest_fcpivot.options.table import FROM_RUN, as_arguments, without
from pytest_fcpivot.session import options
from pytest_fcpivot.session.peers import has_option

if TYPE_CHECKING:
    import pytest

    from pytest_fcpivot.session.plan import Plan

_LAST_FAILED = ("--lf", "--last-failed")
_FORGETS = "--cache-clear"  # it would forget what failed


def rerun_line(config: pytest.Config, plan: Plan, run: Path | None) -> str | None:
    """Write the line of the summary that says how to run the failures again; None if pytest cannot know them.

    `run` is where the session is recorded.
    """
    if not has_option(config, "lf"):
        return None
    if any("=" in gateway for gateway in config.getoption("tx", None) or ()):
        return None  # a worker elsewhere does not know what failed
    arguments = _again(config, plan, run)
    if arguments is None:
        return None
    command = shlex.join(["pytest", *_options_first(arguments)])
    clean = plan.redact(command)
    note = "" if clean == command else "  (put the secret in again)"
    return f"rerun the failures:  {clean}{note}"


def _options_first(arguments: list[str]) -> list[str]:
    """Put what was added after a `--`, which ends the options, before it."""
    if "--" not in arguments:
        return arguments
    at = arguments.index("--")
    added = [argument for argument in arguments[at + 1 :] if argument.startswith("--")]
    return [*arguments[:at], *added, *(argument for argument in arguments[at:] if argument not in added)]


def _again(config: pytest.Config, plan: Plan, run: Path | None) -> list[str] | None:
    """Return the arguments of the session that runs the failures again."""
    arguments = [argument for argument in options.command_line(config) if argument != _FORGETS]
    if plan.resumes:
        if options.set_beside_command_line(config, "fc_resume"):
            return None
        # resumed once more, the run would only grade its stored answers again: what it was given is written out
        arguments = [*without(arguments, "fc_resume"), *_of_stored_run(config, plan)]
    if run is not None:  # which the next session must not write to
        arguments = without(arguments, "fc_run")
        if options.set_beside_command_line(config, "fc_run"):
            arguments.append(f"--fc-run={plan.shown_path(_free(run))}")
    if not set(_LAST_FAILED) & set(arguments):
        arguments.append("--lf")
    return arguments


def _of_stored_run(config: pytest.Config, plan: Plan) -> list[str]:
    """Write out what a resumed session took over from its run."""
    written = []
    for dest, (value, where) in plan.raw_options.items():
        if where == FROM_RUN and value is not None:
            # a file of that name, which would be taken for it, is rare: the path is shown then
            is_sample = value == [str(SAMPLE_PATH)] and not Path(config.invocation_params.dir, SAMPLE).exists()
            written += as_arguments(dest, [SAMPLE] if dest == "fc_data" and is_sample else value)
    return [*written, *plan.stored_arguments]


def _free(directory: Path) -> Path:
    """Return a path beside a directory where nothing is."""
    number = 2
    while (path := directory.with_name(f"{directory.name}-{number}")).exists():
        number += 1
    return path
