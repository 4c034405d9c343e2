"""`fcpivot prepare`: convert rows of any known shape into one parquet file."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.cli.say import say

if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "prepare",
        help="convert data of any known shape into one parquet file of pivots",
        description="Reads rows of all known shapes, and writes one row for each pivot. Sources: fc-pivot-v1, "
        "conversational-pivot-v1, swe-pivot-v1, agentic-v1, agentic-v1:SPLIT, hf://owner/name@revision, files "
        "(.jsonl, .jsonl.gz, .jsonl.zst, .parquet), directories, globs, or - for standard input.",
    )
    command.add_argument("sources", nargs="+", metavar="SOURCE")
    command.add_argument("-o", "--output", required=True, type=Path, metavar="OUT.parquet")
    command.add_argument(
        "--bad-rows",
        choices=("skip", "refuse"),
        default="skip",
        help="if rows cannot be read: skip them and list them in a file (default), or refuse to write anything",
    )
    command.add_argument(
        "--shape",
        choices=("auto", "fc-pivot", "conversation"),
        default="auto",
        help="shape of the rows (default: auto)",
    )
    command.add_argument(
        "--calls-in-text",
        choices=("hermes",),
        help="format of conversations with tools, calls and results as text; a row is converted completely or refused",
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from pytest_fcpivot.data.preparing import (  # noqa: PLC0415 (only for this command)
        prepare,
        refuse_other_ending,
        refuse_overwriting,
    )
    from pytest_fcpivot.data.progress import Progress  # noqa: PLC0415
    from pytest_fcpivot.data.sources import resolve  # noqa: PLC0415

    target: Path = options.output
    refuse_other_ending(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    gc.disable()  # rows have no reference cycles, and searching for them takes a thirtieth of the time
    listing = target.with_name(f"{target.stem}.audit.jsonl")
    sources = resolve(options.sources, Path(), say=lambda line: say(line, sys.stderr))
    refuse_overwriting(sources, target, listing)
    sizes = [source.size for source in sources]
    with Progress(None if None in sizes else sum(size or 0 for size in sizes)) as progress:
        audit = prepare(
            sources,
            target,
            bad_rows=options.bad_rows,
            shape=options.shape,
            audit_file=listing,
            skip_option="--bad-rows=skip",
            progress=progress,
            calls_in_text=options.calls_in_text,
        )
    say(f"{target}: {audit.pivots} pivots, {target.stat().st_size / 1e6:.1f} MB")
    for kind, count in sorted(audit.kinds.items()):
        print(f"  {count:>9}  {kind}")
    print(
        f"rows {audit.rows}: {audit.pivot_rows} pivots, {audit.conversations} conversations "
        f"with {audit.turns} assistant turns ({audit.skipped} skipped), {audit.broken} broken"
    )
    if audit.each_repeated > 1:
        print(f"each pivot is in the data {audit.each_repeated} times, and will be asked as often")
    for line in audit.remarks.lines():
        say(line)
    for flag, count in sorted(audit.flags.items()):
        say(f"  {count:>9}  {flag}")
    if audit.listed:
        lines = (
            "" if audit.listed == audit.list_lines else f", {audit.listed} rows and turns in {audit.list_lines} lines"
        )
        counted = f"; {audit.unlisted} of them are only counted" if audit.unlisted else ""
        say(f"what was left out is listed in {listing}{lines}{counted}")
    return 1 if audit.broken else 0
