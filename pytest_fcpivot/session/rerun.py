"""Write the command that runs the failures again; it can be copied from the summary into the same shell."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_fcpivot.data import SAMPLE, SAMPLE_PATH
from pytest_fcpivot.options.table import FROM_RUN, OF_GATES, as_arguments, without
from pytest_fcpivot.session import options
from pytest_fcpivot.session.peers import has_option

if TYPE_CHECKING:
    import pytest

    from pytest_fcpivot.session.plan import Plan

_LAST_FAILED = ("--lf", "--last-failed")
_FORGETS = "--cache-clear"  # it would forget what failed


def rerun_line(config: pytest.Config, plan: Plan, run: Path | None) -> str | None:
    """Write the summary's line with the command that runs the failures again; None if pytest has no memory of them.

    `run` is where the session is recorded.
    """
    if not has_option(config, "lf"):
        return None
    if any("=" in gateway for gateway in config.getoption("tx", None) or ()):
        return None  # workers on other machines lack pytest's cache of failures
    arguments = _again(config, plan, run)
    if arguments is None:
        return None
    command = shlex.join(["pytest", *_options_first(arguments)])
    clean = plan.redact(command)
    note = "" if clean == command else "  (put the secret in again)"
    return f"rerun the failures:  {clean}{note}"


def _options_first(arguments: list[str]) -> list[str]:
    """Move options that were appended after a `--`, where pytest would read them as paths, before it."""
    if "--" not in arguments:
        return arguments
    at = arguments.index("--")
    added = [argument for argument in arguments[at + 1 :] if argument.startswith("--")]
    return [*arguments[:at], *added, *(argument for argument in arguments[at:] if argument not in added)]


def _again(config: pytest.Config, plan: Plan, run: Path | None) -> list[str] | None:
    """Return the arguments of the command; None if a setting outside of the command line gets in its way."""
    arguments = [argument for argument in options.command_line(config) if argument != _FORGETS]
    if plan.resumes:
        if options.set_beside_command_line(config, "fc_resume"):
            return None
        # to resume it would keep its wrong answers, so the command starts a new run with the stored run's options
        arguments = [*without(arguments, "fc_resume"), *_of_stored_run(config, plan)]
    if run is not None:  # the next session must not write into this session's run directory
        arguments = without(arguments, "fc_run")
        if options.set_beside_command_line(config, "fc_run"):
            arguments.append(f"--fc-run={plan.shown_path(_free(run))}")
    # a gate decides about the whole run, and a baseline of nothing but failures would replace that of the whole
    if options.set_beside_command_line(config, "fc_save_baseline"):
        return None
    starts = any(argument.startswith("--fc-") for argument in arguments)
    # a report of nothing but failures would replace that of the whole
    for dest in (*OF_GATES, "fc_html"):
        arguments = without(arguments, dest)
    if options.set_beside_command_line(config, "fc_html"):
        arguments.append("--fc-html=")
    if starts and not any(argument.startswith("--fc-") for argument in arguments):
        # what only settings name is not run, so the agent is named
        if plan.options.agent is None:
            return None
        arguments += as_arguments("fc_agent", plan.options.agent)
    if not set(_LAST_FAILED) & set(arguments):
        arguments.append("--lf")
    return arguments


def _of_stored_run(config: pytest.Config, plan: Plan) -> list[str]:
    """Write, as arguments, the options and paths that a resumed session took from its stored run."""
    written = []
    for dest, (value, where) in plan.raw_options.items():
        if where == FROM_RUN and value is not None:
            # if a file named `sample` exists, it would be run instead, so the path is written
            is_sample = value == [str(SAMPLE_PATH)] and not Path(config.invocation_params.dir, SAMPLE).exists()
            written += as_arguments(dest, [SAMPLE] if dest == "fc_data" and is_sample else value)
    return [*written, *plan.stored_arguments]


def _free(directory: Path) -> Path:
    """Return an unused path beside a directory: its name with a number."""
    number = 2
    while (path := directory.with_name(f"{directory.name}-{number}")).exists():
        number += 1
    return path
