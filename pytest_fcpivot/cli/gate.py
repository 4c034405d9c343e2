"""`fcpivot gate`: decide about a stored run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.cli.say import say
from pytest_fcpivot.cli.shared import add_allow_damaged, add_data
from pytest_fcpivot.options.table import option_of

if TYPE_CHECKING:
    import argparse

_OPTIONS = ("fc_fail_under", "fc_min_pivots", "fc_baseline", "fc_max_drop", "fc_alpha", "fc_inconclusive")


def add(commands: Any) -> None:
    """Declare the command and its options."""
    command = commands.add_parser(
        "gate",
        help="decide about a stored or merged run, as a session with a gate does at its end",
        description="Decides about a run by its recorded rewards, without calling an agent. What is not given here is "
        "taken from the run, if it was made here. The exit code is 1 for the words FAIL, REGRESSION and UNTRUSTED, and "
        "0 for PASS and, unless --inconclusive says otherwise, INCONCLUSIVE.",
    )
    command.add_argument("run_path", metavar="RUN", type=Path, help="a run's directory (a saved baseline is none)")
    for dest in _OPTIONS:
        option = option_of(dest)
        others: dict[str, Any] = {"action": "append"} if option.kind in ("list", "maybe list") else {}
        if option.bare:
            others |= {"nargs": "?", "const": option.bare}
        flag = option.flag.replace("--fc-", "--")
        text = option.help.removeprefix("gate: ")
        command.add_argument(flag, option.flag, dest=dest, metavar=option.metavar, help=text, **others)
    add_data(command, ", for groups by a condition")
    command.add_argument("--format", choices=("text", "json"), default="text", help="how to write it (default: text)")
    add_allow_damaged(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from pytest_fcpivot.audit.stored_gate import decide_stored  # noqa: PLC0415 (only for this command)
    from pytest_fcpivot.report.verdict import github_warning, rule_lines, verdict_line  # noqa: PLC0415

    given = {dest: getattr(options, dest) for dest in _OPTIONS}
    decided = decide_stored(options.run_path, given, options.data, allow_damaged=options.allow_damaged)
    verdict = decided.verdict
    if options.format == "json":
        print(json.dumps(verdict.to_builtins(), indent=2))
        return int(verdict.fails)
    for line in (verdict_line(verdict), *rule_lines(verdict), *decided.notes):
        say(line)
    warning = github_warning(verdict) if os.environ.get("GITHUB_ACTIONS") == "true" else None
    if warning is not None:
        say(warning)
    return int(verdict.fails)
