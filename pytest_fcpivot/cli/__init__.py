"""The `fcpivot` command."""

from __future__ import annotations

import argparse
import gc
import json
import os
import signal
import sys
import traceback
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import DataError, FcPivotError, OptionError
from pytest_fcpivot.core.jsontext import on_screen
from pytest_fcpivot.core.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

    from pytest_fcpivot.audit.grader import Named

_LISTED = 20
_OWN_FAULT = 3
_INTERRUPTED = 130  # as shells have it for a process that Ctrl-C ended


@cache
def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fcpivot", description="Tools for function-calling pivots.")
    parser.add_argument("--version", action="version", version=f"fcpivot {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    conformance = commands.add_parser(
        "conformance", help="grade a file of verdicts that NeMo Gym's verifier gave, and compare"
    )
    conformance.add_argument("file", type=Path, help="vectors, one JSON object a line: .jsonl or .jsonl.gz")
    conformance.add_argument("--fc-empty-arguments", dest="empty_arguments", help=argparse.SUPPRESS)
    conformance.set_defaults(run=_conformance)
    _add_prepare(commands)
    _add_info(commands)
    _add_lint(commands)
    _add_synth(commands)
    _add_merge(commands)
    _add_audit(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns the exit code: 0 well, 1 a finding, 2 a usage or input error, 3 a fault of ours."""
    options = _parser().parse_args(arguments)
    with suppress(ValueError):  # not the main thread, which alone is told
        signal.signal(signal.SIGTERM, _interrupt)  # a job that is cancelled is to leave no half file either
    try:
        code: int = options.run(options)
    except FcPivotError as error:
        _say_error(str(error))
        return 2
    except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
        sys.stderr.close()
        return 1
    except OSError as error:
        # what is written goes to a hidden part first, whose name nobody gave
        where = str(error.filename or "")
        where = str(options.output) if where.endswith(".part") else where
        _say_error(f"{where}: {error.strerror or error}")
        return 2
    except KeyboardInterrupt:
        print("fcpivot: interrupted; nothing was left half written", file=sys.stderr)
        return _INTERRUPTED
    except Exception as error:  # noqa: BLE001 (Python's own exit code for it would be taken for a finding)
        traceback.print_exc()
        _say_error(f"{type(error).__name__}: this is a fault of fcpivot's own; please report it with the lines above")
        return _OWN_FAULT
    return code


def _say(text: str, stream: TextIO | None = None) -> None:
    """Write lines for people, which may hold what data, runs and servers said."""
    print(on_screen(text), file=stream)


def _say_error(text: str) -> None:
    from pytest_fcpivot.core.redact import Redactor  # noqa: PLC0415 (only for an error)

    _say(f"fcpivot: {Redactor()(text)}", sys.stderr)


def _interrupt(number: int, frame: object) -> None:  # noqa: ARG001 (the signal's own)
    raise KeyboardInterrupt


def _conformance(options: argparse.Namespace) -> int:
    from pytest_fcpivot.graders.conformance import check_file  # noqa: PLC0415 (only for this command)

    if options.empty_arguments is not None:
        raise OptionError(
            f"--fc-empty-arguments={options.empty_arguments}: conformance compares with the verifier, which reads "
            "empty arguments as the text that they are; leave it out"
        )

    found = check_file(options.file)
    for version, outcome in found.versions.items():
        print(
            f"nemo-gym:{version:10}  {outcome.rewards} of {outcome.cases} agree on reward, "
            f"{outcome.categories} of {outcome.cases} on category"
        )
    for line in found.disagreements[:_LISTED]:
        _say(line)
    if len(found.disagreements) > _LISTED:
        print(f"… and {len(found.disagreements) - _LISTED} more")
    print(f"{found.agreeing} of {found.cases} cases agree")
    return 0 if found.agreeing == found.cases else 1


def _add_prepare(commands: Any) -> None:
    command = commands.add_parser(
        "prepare",
        help="read pivots from their sources into one parquet file",
        description="Reads rows of every known shape, and writes one row a pivot. Sources: fc-pivot-v1, "
        "conversational-pivot-v1, swe-pivot-v1, agentic-v1, agentic-v1:SPLIT, hf://owner/name@revision, files "
        "(.jsonl, .jsonl.gz, .jsonl.zst, .parquet), directories, globs, or - for standard input.",
    )
    command.add_argument("sources", nargs="+", metavar="SOURCE")
    command.add_argument("-o", "--output", required=True, type=Path, metavar="OUT.parquet")
    command.add_argument(
        "--bad-rows",
        choices=("skip", "refuse"),
        default="skip",
        help="broken rows: leave them out and list them (default), or write nothing",
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
        help="conversations have tools, calls and results as text: convert them whole, or refuse the row",
    )
    command.set_defaults(run=_prepare)


def _prepare(options: argparse.Namespace) -> int:
    from pytest_fcpivot.data.preparing import prepare  # noqa: PLC0415 (only for this command)
    from pytest_fcpivot.data.progress import Progress  # noqa: PLC0415
    from pytest_fcpivot.data.sources import resolve  # noqa: PLC0415

    target: Path = options.output
    if target.suffix != ".parquet":
        raise DataError(f"-o {target}: the name has to end in .parquet")
    target.parent.mkdir(parents=True, exist_ok=True)
    gc.disable()  # rows hold no cycles, and looking for some takes one part in thirty
    listing = target.with_name(f"{target.stem}.audit.jsonl")
    sources = resolve(options.sources, Path(), say=lambda line: _say(line, sys.stderr))
    written = {os.path.realpath(target), os.path.realpath(listing)}
    for source in sources:
        if source.path is not None and os.path.realpath(source.path) in written:
            raise DataError(f"-o {target}: this would be written over a source, {source.label}; name another file")
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
    _say(f"{target}: {audit.pivots} pivots, {target.stat().st_size / 1e6:.1f} MB")
    for kind, count in sorted(audit.kinds.items()):
        print(f"  {count:>9}  {kind}")
    print(
        f"rows {audit.rows}: {audit.pivot_rows} pivots, {audit.conversations} conversations "
        f"with {audit.turns} assistant turns ({audit.skipped} skipped), {audit.broken} broken"
    )
    if audit.each_repeated > 1:
        print(f"each pivot comes {audit.each_repeated} times, and is asked as often")
    for line in audit.told.lines():
        _say(line)
    for flag, count in sorted(audit.flags.items()):
        _say(f"  {count:>9}  {flag}")
    if audit.listed:
        lines = (
            "" if audit.listed == audit.list_lines else f", {audit.listed} rows and turns in {audit.list_lines} lines"
        )
        counted = f"; {audit.unlisted} of them are only counted" if audit.unlisted else ""
        _say(f"what was left out is listed in {listing}{lines}{counted}")
    return 1 if audit.broken else 0


def _add_info(commands: Any) -> None:
    command = commands.add_parser("info", help="tell what a data file holds: counts, sizes, provenance")
    command.add_argument("file", metavar="FILE", help="a data file, or sample")
    command.add_argument("--json", action="store_true", help="write one JSON object")
    command.set_defaults(run=_info)


def _info(options: argparse.Namespace) -> int:
    from pytest_fcpivot.data import info  # noqa: PLC0415 (only for this command)
    from pytest_fcpivot.data.progress import Progress  # noqa: PLC0415

    with Progress.of_file(Path(options.file)) as progress:
        found = info.facts(options.file, progress=progress)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        for line in info.describe(found):
            _say(line)
    return 0


def _add_lint(commands: Any) -> None:
    command = commands.add_parser(
        "lint",
        help="look for a data file's own faults",
        description="Looks for pivots that cannot be answered rightly (error), are doubtful (warning) or odd (note).",
    )
    command.add_argument("file", metavar="FILE", help="a data file, or sample")
    command.add_argument("--ids", action="store_true", help="write each finding, a line with its id, before the table")
    command.add_argument("--json", action="store_true", help="write each finding as a line of JSON, then the counts")
    command.add_argument(
        "--fail-on",
        choices=("error", "warning", "note", "never"),
        default="error",
        help="exit with 1 if there is a finding as severe as this, or more (default: error)",
    )
    command.set_defaults(run=_lint)


def _lint(options: argparse.Namespace) -> int:
    from pytest_fcpivot.data import lint  # noqa: PLC0415 (only for this command)
    from pytest_fcpivot.data.progress import Progress  # noqa: PLC0415

    def say(finding: lint.Finding) -> None:
        if options.json:
            print(finding.json())
        elif options.ids:
            _say(str(finding))

    with Progress.of_file(Path(options.file)) as progress:
        found = lint.lint(options.file, say=say, progress=progress)
    if options.json:
        print(json.dumps({"summary": found.summary()}))
    else:
        for line in found.table():
            _say(line)
    return found.exit_code(options.fail_on)


def _add_synth(commands: Any) -> None:
    command = commands.add_parser("synth", help="generate data of a published shape, of any size, from a seed")
    command.add_argument("kind", choices=("fc-pivot", "agentic"))
    command.add_argument("--pivots", type=int, required=True, metavar="N")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("-o", "--output", required=True, metavar="FILE.jsonl", help="or - for standard output")
    command.set_defaults(run=_synth)


def _synth(options: argparse.Namespace) -> int:
    from pytest_fcpivot.data import synth  # noqa: PLC0415 (only for this command)

    if options.output == "-":
        synth.write(options.kind, options.pivots, options.seed, sys.stdout.buffer)
        return 0
    target = Path(options.output)
    part = target.with_name(f".{target.name}.part")
    try:
        with part.open("wb") as stream:
            rows = synth.write(options.kind, options.pivots, options.seed, stream)
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _say(f"{target}: {options.pivots} pivots in {rows} rows, {target.stat().st_size / 1e6:.1f} MB")
    return 0


def _add_merge(commands: Any) -> None:
    command = commands.add_parser("merge", help="join the runs of shards into one run")
    command.add_argument(
        "runs", nargs="+", metavar="RUN", type=Path, help="directories of runs, as --fc-run names them"
    )
    command.add_argument(
        "-o", "--output", required=True, metavar="DIR", type=Path, help="a directory that is new or empty"
    )
    command.add_argument("--allow-missing", action="store_true", help="exit with 0 though shards or tests are missing")
    _add_allow_damaged(command)
    command.set_defaults(run=_merge)


def _add_allow_damaged(command: Any) -> None:
    command.add_argument(
        "--allow-damaged", action="store_true", help="leave out lines of results that cannot be read, and count them"
    )


def _merge(options: argparse.Namespace) -> int:
    from pytest_fcpivot.report.merged import merged_lines  # noqa: PLC0415 (only for this command)
    from pytest_fcpivot.runs.merge import merge  # noqa: PLC0415

    merged = merge(options.runs, options.output, allow_damaged=options.allow_damaged)
    for line in merged_lines(merged):
        _say(line)
    return 1 if merged.missing and not options.allow_missing else 0


def _add_audit(commands: Any) -> None:
    command = commands.add_parser(
        "audit",
        help="grade a run again under stricter and more lenient comparators: is it the model or the matcher?",
        description="Grades the stored answers of a run under a ladder of comparators, asking nobody, and tells who "
        "passes under which. Exit code 1: the run's own grader does not give the rewards that were recorded.",
    )
    command.add_argument(
        "run_path", metavar="RUN", type=Path, help="a run's directory, or NeMo Gym's rollouts as .jsonl"
    )
    command.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="FILE",
        help="the run's data, if they are not where they were; may be given again",
    )
    command.add_argument(
        "--grader",
        metavar="SPEC",
        help="check the recorded rewards with this grader, module:fn or that of an installed package: a grader that "
        "only the run names is not loaded",
    )
    command.add_argument(
        "--grader-option",
        action="append",
        metavar="KEY=VALUE",
        help="a setting of that grader, in place of those that the run records; may be given again",
    )
    command.add_argument(
        "--flips",
        type=int,
        default=5,
        metavar="N",
        help="how many pivots to show that flip from one comparator to the next (default: 5)",
    )
    command.add_argument(
        "--json", type=Path, dest="output", metavar="FILE", help="write every result and figure into a file, too"
    )
    _add_allow_damaged(command)
    command.set_defaults(run=_audit)


def _audit(options: argparse.Namespace) -> int:
    from pytest_fcpivot.audit import report  # noqa: PLC0415 (only for this command)
    from pytest_fcpivot.audit.running import audit  # noqa: PLC0415
    from pytest_fcpivot.audit.stored import open_stored  # noqa: PLC0415

    shown = max(0, options.flips)
    stored = open_stored(options.run_path, options.data, _named_grader(options), allow_damaged=options.allow_damaged)
    if options.output is None:
        found = audit(stored, shown)
    else:
        with report.json_file(options.output) as file:
            found = audit(stored, shown, file.add)
            file.end(found.summary())
    for line in report.lines(found, shown):
        _say(line)
    return 1 if found.drifted else 0


def _named_grader(options: argparse.Namespace) -> Named | None:
    from pytest_fcpivot.audit.grader import Named  # noqa: PLC0415 (only for this command)
    from pytest_fcpivot.options.values import settings_of  # noqa: PLC0415

    given: list[str] | None = options.grader_option
    if options.grader is None:
        if given is not None:
            raise OptionError(f"--grader-option={given[0]}: name its grader too: --grader=SPEC")
        return None
    return Named(options.grader, None if given is None else dict(settings_of(filter(None, given), "--grader-option")))
