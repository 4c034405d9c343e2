"""`fcpivot compare`: what changed between runs, pivot by pivot."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.cli.say import say
from pytest_fcpivot.cli.shared import add_allow_damaged, add_data, add_grader, named_grader
from pytest_fcpivot.core.errors import DataError, OptionError, RunError

if TYPE_CHECKING:
    from pytest_fcpivot.report.comparison import Report
    from pytest_fcpivot.runs.comparing import Comparison, Side

_FLIPS = 20
_FORMATS = ("text", "json", "markdown")


def add(commands: Any) -> None:
    """Declare the command and its options."""
    command = commands.add_parser(
        "compare",
        help="compare runs pivot by pivot: the change of the mean reward with its interval, and what flipped",
        description="Compares runs of the same data, pivot by pivot: the change of the mean reward with an interval "
        "by trajectory, the largest drop that the data still allow, the pivots that flipped, and where the "
        "change is. With more than two runs, each is compared with the first. Runs of other data, or that were graded "
        "differently, are refused.",
    )
    command.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="the run to compare with, and the others: a run's directory, a saved baseline's file, or its name",
    )
    command.add_argument(
        "--alpha",
        type=_alpha,
        default=0.05,
        metavar="ALPHA",
        help="the interval is one of 1 - ALPHA (default: 0.05, a 95 %% interval)",
    )
    command.add_argument(
        "--max-drop",
        type=_share,
        metavar="DROP",
        help="say whether the mean reward fell by more, and what would settle it",
    )
    command.add_argument(
        "--show-flips",
        nargs="?",
        type=_number,
        const=_FLIPS,
        default=0,
        metavar="N",
        help=f"list the pivots that were lost and won, up to N each way (default: {_FLIPS}), as pytest's node ids",
    )
    command.add_argument(
        "--least-change",
        type=_share,
        metavar="X",
        help="a pivot flips, whether it passes or not, if its mean reward changes by X or more (default: 0.5)",
    )
    add_data(command, of="the runs")
    command.add_argument(
        "--regrade",
        action="store_true",
        help="grade the stored answers of all runs again, by the grader and the settings of the newest run",
    )
    add_grader(command, "grade with this grader in place of the newest run's")
    command.add_argument("--format", choices=_FORMATS, default="text", help="how to write the result (default: text)")
    command.add_argument(
        "--verbose", action="store_true", help="show small groups too, and McNemar's test, which ignores trajectories"
    )
    command.add_argument(
        "--same-agent",
        action="store_true",
        help="take two runs as those of one unchanged agent: measure how many pivots flip from run to run and, with "
        "--fail-under or --max-drop, in how many of four reruns a verdict would turn",
    )
    command.add_argument(
        "--fail-under", type=_share, metavar="MARK", help="with --same-agent: a mark that the mean reward has to reach"
    )
    command.add_argument(
        "--save-baseline",
        metavar="NAME",
        help="do not compare: save the one run that is named as a baseline, in .fcpivot/baselines, or in a file that "
        "ends in .jsonl",
    )
    command.add_argument(
        "--allow-errors", action="store_true", help="with --save-baseline: save a run in which answers are missing"
    )
    add_allow_damaged(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from pytest_fcpivot.runs.baseline import read_side  # noqa: PLC0415 (only for this command)

    _refuse_odd(options)
    sides = [read_side(name, Path.cwd(), allow_damaged=options.allow_damaged) for name in options.runs]
    if options.save_baseline is not None:
        return _save(options, sides[0])
    sides = _comparable(options, sides)
    if options.same_agent:
        return _same_agent(options, *sides)
    return _compare(options, sides)


def _refuse_odd(options: argparse.Namespace) -> None:
    """Raise OptionError for options that do not belong together."""
    count = len(options.runs)
    if options.save_baseline is not None:
        if count > 1:
            raise OptionError(f"--save-baseline={options.save_baseline}: name one run, which is saved, and not {count}")
    elif options.allow_errors:
        raise OptionError("--allow-errors: it belongs to --save-baseline=NAME")
    elif count == 1:
        raise OptionError(f"{options.runs[0]}: name another run, or several, to compare with it")
    if options.same_agent and count != 2:  # noqa: PLR2004 (two runs)
        raise OptionError(f"--same-agent: name two runs of one agent, and not {count}")
    if options.fail_under is not None and not options.same_agent:
        raise OptionError("--fail-under: it belongs to --same-agent; fcpivot gate decides whether a run reaches a mark")
    if named_grader(options) is not None and not options.regrade:
        raise OptionError(
            f"--grader={options.grader}: rewards are compared as they were recorded, unless with --regrade"
        )


def _save(options: argparse.Namespace, side: Side) -> int:
    from pytest_fcpivot.runs.baseline import save  # noqa: PLC0415 (only to save)

    if side.is_baseline:
        raise RunError(f"{side.name}: this is a saved baseline already; copy the file")
    for note in side.notes:
        say(note)
    path = save(options.save_baseline, Path.cwd(), side.description, side.rewards, allow_errors=options.allow_errors)
    say(f"baseline saved in {path}: {len(side.rewards)} pivots")
    return 0


def _comparable(options: argparse.Namespace, sides: list[Side]) -> list[Side]:
    """Return the sides, graded again if that is asked for; raises RunError if they cannot be compared."""
    from pytest_fcpivot.runs.comparing import differences_of, refuse_different  # noqa: PLC0415 (only to compare)

    if options.regrade:
        from pytest_fcpivot.audit.regrading import regrade  # noqa: PLC0415 (only to grade again)

        return regrade(sides, options.data, named_grader(options), allow_damaged=options.allow_damaged)
    for side in sides[1:]:
        try:
            refuse_different(sides[0], side)
        except RunError as error:
            assert list(differences_of(sides[0], side))  # noqa: S101 (nothing else is refused)
            baseline = next((each.name for each in (sides[0], side) if each.is_baseline), None)
            advice = (
                "--regrade grades the answers of all of them again, by the newest one's grader"
                if baseline is None
                else f"{baseline} is a saved baseline, without answers: name the run it was saved from, with --regrade"
            )
            raise RunError(f"{error}\n{advice}") from None
    return sides


def _compare(options: argparse.Namespace, sides: list[Side]) -> int:
    from pytest_fcpivot.report import comparison  # noqa: PLC0415 (only to compare)
    from pytest_fcpivot.runs.comparing import LEAST_CHANGE, compare  # noqa: PLC0415

    least = LEAST_CHANGE if options.least_change is None else options.least_change
    base, *others = sides
    reports = [
        _report(options, compare(base, side, options.alpha, least_change=least), alone=len(others) == 1)
        for side in others
    ]
    if options.format == "json":
        print(json.dumps(comparison.as_builtins(reports), indent=2))
        return 0
    if options.format == "markdown":
        lines = comparison.markdown(reports)
    elif len(reports) == 1:
        lines = comparison.lines(reports[0])
    else:
        lines = comparison.table_lines(reports)
    for line in lines:
        say(line)
    return 0


def _report(options: argparse.Namespace, found: Comparison, *, alone: bool) -> Report:
    from pytest_fcpivot.report.comparison import Report  # noqa: PLC0415 (only to compare)

    groups, why = _groups(options, found) if alone else ((), None)
    return Report(
        found=found,
        groups=groups,
        no_facts=why,
        max_drop=options.max_drop,
        flips=options.show_flips,
        verbose=options.verbose,
    )


def _groups(options: argparse.Namespace, found: Comparison) -> Any:
    """Return the groups, and why there are none by depth and number of tools, if so.

    Raises what opening the data raises if the user names the files.
    """
    from pytest_fcpivot.audit.pivot_facts import facts_of, given_for  # noqa: PLC0415 (only for groups)
    from pytest_fcpivot.audit.regrading import newest_of  # noqa: PLC0415
    from pytest_fcpivot.runs.groups import groups  # noqa: PLC0415

    side = found.base if found.new.is_baseline and not found.base.is_baseline else found.new
    if options.regrade:
        side = newest_of((found.base, found.new))  # whose data all answers were graded against
    facts, why = None, None
    try:
        facts = facts_of(side, given_for(side, options.data) if options.regrade else options.data)
    except (DataError, RunError) as error:
        if options.data:
            raise
        why = str(error).partition("\n")[0]
    return groups(found.pairs, facts), why


def _same_agent(options: argparse.Namespace, first: Side, second: Side) -> int:
    from pytest_fcpivot.report import comparison  # noqa: PLC0415 (only to measure)
    from pytest_fcpivot.runs.comparing import LEAST_CHANGE, compare  # noqa: PLC0415
    from pytest_fcpivot.runs.same_agent import same_agent  # noqa: PLC0415

    least = LEAST_CHANGE if options.least_change is None else options.least_change
    found = compare(first, second, options.alpha, least_change=least)
    if found.identical:
        raise RunError(f"{first.name} and {second.name} are the same run; --same-agent needs two runs of one agent")
    measured = same_agent(found, fail_under=options.fail_under, max_drop=options.max_drop)
    if options.format == "json":
        print(json.dumps(comparison.same_agent_builtins(found, measured), indent=2))
        return 0
    write = comparison.same_agent_markdown if options.format == "markdown" else comparison.same_agent_lines
    for line in write(found, measured):
        say(line)
    return 0


# -------------------------------------------------------------------- values of options


def _share(text: str) -> float:
    """Read a share, as in 0.8 or 80%."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: write a number from 0 to 1, as in 0.02, or a percentage, as in 2%")
    return value


def _alpha(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: write a number between 0 and 1, as in 0.05")
    return value


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(
            f"{text!r}: a number is needed; write --show-flips after the runs, or with a number: --show-flips=50"
        )
    return int(text)
