"""The `fcpivot` command."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_fcpivot import __version__
from pytest_fcpivot.errors import FcPivotError

if TYPE_CHECKING:
    from collections.abc import Sequence

_LISTED = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns the exit code: 0 well, 1 a finding, 2 a usage or input error."""
    parser = argparse.ArgumentParser(prog="fcpivot", description="Tools for function-calling pivots.")
    parser.add_argument("--version", action="version", version=f"fcpivot {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    conformance = commands.add_parser(
        "conformance", help="grade a file of verdicts that NeMo Gym's verifier gave, and compare"
    )
    conformance.add_argument("file", type=Path, help="vectors, one JSON object a line: .jsonl or .jsonl.gz")
    conformance.set_defaults(run=_conformance)
    options = parser.parse_args(arguments)
    try:
        code: int = options.run(options)
    except FcPivotError as error:
        print(f"fcpivot: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
        sys.stderr.close()
        return 1
    return code


def _conformance(options: argparse.Namespace) -> int:
    from pytest_fcpivot.graders.conformance import check_file  # noqa: PLC0415 (only for this command)

    found = check_file(options.file)
    for version, outcome in found.versions.items():
        print(
            f"nemo-gym:{version:10}  {outcome.rewards} of {outcome.cases} agree on reward, "
            f"{outcome.categories} of {outcome.cases} on category"
        )
    for line in found.disagreements[:_LISTED]:
        print(line)
    if len(found.disagreements) > _LISTED:
        print(f"… and {len(found.disagreements) - _LISTED} more")
    print(f"{found.agreeing} of {found.cases} cases agree")
    return 0 if found.agreeing == found.cases else 1


if __name__ == "__main__":
    sys.exit(main())
