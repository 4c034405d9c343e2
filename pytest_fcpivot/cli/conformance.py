"""`fcpivot conformance`: compare the grader with verdicts of NeMo Gym's verifier."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pytest_fcpivot.cli.say import say
from pytest_fcpivot.core.errors import OptionError

_LISTED = 20


def add(commands: Any) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "conformance", help="grade actions again, and compare with the verdicts that NeMo Gym's verifier gave on them"
    )
    command.add_argument("file", type=Path, help="actions with verdicts, one JSON object a line: .jsonl or .jsonl.gz")
    command.add_argument("--fc-empty-arguments", dest="empty_arguments", help=argparse.SUPPRESS)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from pytest_fcpivot.graders.conformance import check_file  # noqa: PLC0415 (only for this command)

    if options.empty_arguments is not None:
        raise OptionError(
            f"--fc-empty-arguments={options.empty_arguments}: conformance compares with the verifier, which "
            "always reads empty arguments as the empty text; leave the option out"
        )

    found = check_file(options.file)
    for version, outcome in found.versions.items():
        print(
            f"nemo-gym:{version:10}  {outcome.rewards} of {outcome.cases} agree on reward, "
            f"{outcome.categories} of {outcome.cases} on category"
        )
    for line in found.disagreements[:_LISTED]:
        say(line)
    if len(found.disagreements) > _LISTED:
        print(f"… and {len(found.disagreements) - _LISTED} more")
    print(f"{found.agreeing} of {found.cases} cases agree")
    return 0 if found.agreeing == found.cases else 1
