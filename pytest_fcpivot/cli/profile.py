"""`fcpivot profile`: how often an agent solves each pivot, and the pivots that are worth training on."""

from __future__ import annotations

import argparse
import json
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.cli.say import say
from pytest_fcpivot.cli.shared import add_allow_damaged, add_data, add_grader, named_grader
from pytest_fcpivot.core.errors import DataError, OptionError, RunError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_fcpivot.audit.grader import Named
    from pytest_fcpivot.audit.suspects import Suspects
    from pytest_fcpivot.core.model import Action, Pivot
    from pytest_fcpivot.data.store import PivotStore
    from pytest_fcpivot.runs.profile.candidates import Rows
    from pytest_fcpivot.runs.profile.choosing import Rules
    from pytest_fcpivot.runs.profile.sources import Source

_KEEP = ("mixed", "all-fail", "all-pass")
_ROLLOUTS, _DATA = ".jsonl", ".parquet"


def add(commands: Any) -> None:
    """Declare the command and its options."""
    command = commands.add_parser(
        "profile",
        help="count how often an agent solves each pivot, and keep those that it solves sometimes, for training",
        description="Counts from recorded runs with --fc-repeats how often an agent solved each pivot, and writes the "
        "pivots that it solved sometimes as rows of data, for training. Several runs of the same data are counted "
        "together: shards, and further runs of an agent. No agent is called.",
    )
    command.add_argument(
        "runs", nargs="+", metavar="RUN", type=Path, help="runs' directories, or NeMo Gym's rollouts as .jsonl"
    )
    command.add_argument("-o", "--output", metavar="FILE", type=Path, help="write the kept pivots here, as JSON Lines")
    command.add_argument(
        "--keep", choices=_KEEP, default="mixed", help="which pivots to keep (default: mixed, solved sometimes)"
    )
    command.add_argument(
        "--min-rollouts",
        type=partial(_count, least=1),
        default=8,
        metavar="N",
        help="a pivot whose graded rollouts are all alike is finished only if there are N of them (default: 8)",
    )
    command.add_argument(
        "--max-mean", type=_share, metavar="MEAN", help="keep mixed pivots with a mean reward of at most MEAN"
    )
    command.add_argument(
        "--outcome-mark",
        type=_mark,
        default=1.0,
        metavar="MARK",
        help="a rollout passes with a reward of MARK or more (default: 1.0)",
    )
    command.add_argument(
        "--message-share",
        type=_share,
        metavar="SHARE",
        help="leave out pivots where a message is expected, drawn by --seed, until they are at most this share",
    )
    command.add_argument(
        "--limit", type=partial(_count, least=0), metavar="N", help="keep a sample of at most N, drawn by --seed"
    )
    command.add_argument(
        "--split",
        type=_share,
        metavar="SHARE",
        help="write a column split: train for about this share of the trajectories, validation for the others",
    )
    command.add_argument("--seed", type=int, default=0, metavar="SEED", help="seed of samples and split (default: 0)")
    command.add_argument(
        "--table",
        type=Path,
        metavar="FILE",
        help="also write the figures of all pivots as Parquet, by NeMo Gym's names",
    )
    add_data(command, of="the runs")
    add_grader(command, "grade all answers again with this grader")
    command.add_argument("--format", choices=("text", "json"), default="text", help="how to write it (default: text)")
    add_allow_damaged(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from pytest_fcpivot.audit.suspects import suspects  # noqa: PLC0415 (only for this command)
    from pytest_fcpivot.report.profile_text import as_builtins, lines  # noqa: PLC0415
    from pytest_fcpivot.runs.profile.candidates import (  # noqa: PLC0415
        RowsOfData,
        RowsOfRollouts,
        candidates_of_rollouts,
        candidates_of_runs,
    )
    from pytest_fcpivot.runs.profile.choosing import choose  # noqa: PLC0415

    rules = _rules(options)
    sources = _sources(options, named_grader(options))
    stores: list[tuple[str, PivotStore]] = []
    rows: Rows
    try:
        if sources[0].side is None:
            candidates = candidates_of_rollouts(sources)
            rows = RowsOfRollouts(candidates.sources)
        else:
            stores = _open_data(sources, options.data)
            _refuse_source(options, stores)
            candidates, rows = candidates_of_runs(sources, stores), RowsOfData(stores)
        chosen = choose(candidates, rules)
        found = suspects(candidates, chosen, rows)
        if options.output is not None:
            from pytest_fcpivot.runs.profile.keeping import write_kept  # noqa: PLC0415 (only to write)

            write_kept(chosen, rows, options.output)
        if options.table is not None:
            from pytest_fcpivot.runs.profile.keeping import write_table  # noqa: PLC0415 (only to write)

            write_table(candidates, chosen, options.table, _columns(found))
    finally:
        for _, store in stores:
            store.close()
    if options.format == "json":
        print(json.dumps(as_builtins(candidates, chosen, found), indent=2))
        return 0
    for line in lines(candidates, chosen, found, output=None if options.output is None else str(options.output)):
        say(line)
    for line in _behaviour(options, sources):
        say(line)
    return 0


def _behaviour(options: argparse.Namespace, sources: Sequence[Source]) -> list[str]:
    """Return the lines on how several runs answered, in the order in which they are named, beside recorded rewards."""
    from pytest_fcpivot.report.behaviour_text import behaviour_lines  # noqa: PLC0415 (only for several runs)
    from pytest_fcpivot.runs.behaviour import read_all  # noqa: PLC0415

    if len(sources) < 2 or sources[0].side is None or options.grader is not None:  # noqa: PLR2004 (two are compared)
        return []
    found = behaviour_lines(read_all([source.path for source in sources], allow_damaged=options.allow_damaged))
    return ["", *found] if found else []


# -------------------------------------------------------------------- what is read


def _sources(options: argparse.Namespace, named: Named | None) -> list[Source]:
    from pytest_fcpivot.runs.profile.rollouts import read_rollouts  # noqa: PLC0415 (only for this command)
    from pytest_fcpivot.runs.profile.sources import read_run, refuse_unlike, shards_not_given  # noqa: PLC0415

    paths = [_named_path(path) for path in options.runs]
    sources = []
    for path in paths:
        if path.is_file():
            if options.data:
                raise RunError(f"{path}: rollouts bring their own pivots; leave out --data")
            again = None if named is None else (named.spec, _regrade_of(named))
            sources.append(read_rollouts(path, again, allow_damaged=options.allow_damaged))
        else:
            sources.append(read_run(path, allow_damaged=options.allow_damaged))
    refuse_unlike(sources, graded_again=named is not None)
    _refuse_to_replace(options, sources)
    if named is not None and sources[0].side is not None:
        sources = _graded_again(sources, options, named)
    missing = shards_not_given(sources)
    if missing is not None:
        sources[0].notes.append(f"shards that are not given, whose pivots are not among the candidates: {missing}")
    return sources


def _named_path(path: Path) -> Path:
    """Return the directory of a run, for its results too, or a file of rollouts; raises RunError for anything else."""
    from pytest_fcpivot.runs.baseline import is_baseline  # noqa: PLC0415 (only for this command)

    if path.name in ("results.jsonl", "run.json") and path.with_name("run.json").is_file():
        return path.parent
    if path.is_file() and path.suffix == _DATA:
        raise RunError(
            f"{path}: by its name these are data, which have no answers to count; record a run of them, and name its "
            f"directory:  pytest --fc-data={path} --fc-repeats=8 --fc-run=DIR"
        )
    if path.is_file() and path.suffix != _ROLLOUTS:
        raise RunError(f"{path}: name a run's directory, or rollouts as .jsonl (not compressed)")
    if path.is_file() and is_baseline(path):
        raise RunError(f"{path}: a saved baseline, which has no answers; name the run's directory")
    if not path.exists():
        raise RunError(f"{path}: there is no such run; runs are recorded under .fcpivot, or where --fc-run says")
    return path


def _regrade_of(named: Named) -> Any:
    """Return a function that grades a rollout's action; the settings of `nemo-gym` are those of the pivot's set."""
    from pytest_fcpivot.graders import find_grader, grade, is_bundled  # noqa: PLC0415 (only to grade again)

    settings = dict(named.settings or {})
    if is_bundled(named.spec):
        find_grader(named.spec, settings, search=[Path.cwd()], where="--grader")  # refuses what it does not know
        return lambda pivot, action: grade(pivot, action, named.spec, **settings).reward
    grader = find_grader(named.spec, settings, search=[Path.cwd()], where="--grader")

    def again(pivot: Pivot, action: Action) -> float:
        return grader.grade(pivot.expected_action, action).reward

    return again


def _graded_again(sources: list[Source], options: argparse.Namespace, named: Named) -> list[Source]:
    from pytest_fcpivot.audit.regrading import regrade  # noqa: PLC0415 (only to grade again)
    from pytest_fcpivot.runs.profile.sources import with_rewards  # noqa: PLC0415

    sides = [source.side for source in sources if source.side is not None]
    again = regrade(sides, options.data, named, allow_damaged=options.allow_damaged)
    return [with_rewards(source, side) for source, side in zip(sources, again, strict=True)]


def _open_data(sources: Sequence[Source], given: list[str]) -> list[tuple[str, PivotStore]]:
    """Open the data of the runs, which are the same for all, by the hash that a run records, where any run had them."""
    from pytest_fcpivot.audit.pivot_facts import open_data  # noqa: PLC0415 (only for this command)

    first: Exception | None = None
    for source in sources:
        assert source.side is not None  # noqa: S101 (only runs have data)
        try:
            stores = open_data(source.side, given)
        except (DataError, RunError) as error:
            first = first or error
            continue
        hashes = {data["name"]: data["sha256"] for data in source.side.description["data"]}
        return [(hashes[name], store) for name, store in stores]
    assert first is not None  # noqa: S101 (there is a source)
    raise first


def _refuse_source(options: argparse.Namespace, stores: Sequence[tuple[str, PivotStore]]) -> None:
    """Raise RunError for an output that would replace a file from which the data were prepared."""
    from pytest_fcpivot.data import is_source  # noqa: PLC0415 (only for this command)

    if options.output is not None and any(is_source(options.output, store) for _, store in stores):
        raise RunError(f"-o {options.output}: the data of the runs were prepared from this file; name another file")


def _refuse_to_replace(options: argparse.Namespace, sources: Sequence[Source]) -> None:
    """Raise an error for an output that would replace what is read, or the other output."""
    targets = {"-o": options.output, "--table": options.table}
    for flag, target in targets.items():
        if target is None:
            continue
        if target.exists() and not target.is_file():
            raise RunError(f"{flag} {target}: is there, and is not a file; name a file")
        where = target.resolve()
        for source in sources:
            own = source.path.resolve()
            if where == own or (source.side is not None and own in where.parents):
                raise RunError(f"{flag} {target}: this is a file of {source.name} itself; name another file")
            about = [] if source.side is None else source.side.description["data"]
            data = [Path(each["path"]) for each in about] + [Path(name) for name in options.data]
            if where in {each.resolve() for each in data if each.is_absolute() or each.exists()}:
                raise RunError(f"{flag} {target}: this would replace the data of the runs; name another file")
    if options.output is not None and options.table is not None and options.output.resolve() == options.table.resolve():
        raise OptionError(f"--table {options.table}: -o names the same file; name another one")
    if options.table is not None and options.table.suffix != ".parquet":
        raise OptionError(f"--table {options.table}: a table is written as Parquet; name it with .parquet at its end")
    if options.output is not None and options.output.suffix != _ROLLOUTS:
        raise OptionError(f"-o {options.output}: rows are written as JSON Lines; name it with .jsonl at its end")


def _columns(found: Suspects) -> dict[tuple[int, int], dict[str, str]]:
    columns: dict[tuple[int, int], dict[str, str]] = {}
    for each in found.matcher:
        columns.setdefault(each.candidate.place, {})["suspect_matcher"] = each.comparator
    for gold in found.gold:
        columns.setdefault(gold.candidate.place, {})["suspect_gold"] = gold.answer
    return columns


# -------------------------------------------------------------------- values of options


def _rules(options: argparse.Namespace) -> Rules:
    from pytest_fcpivot.runs.profile.choosing import Rules  # noqa: PLC0415 (only for this command)

    if options.max_mean is not None and options.keep != "mixed":
        raise OptionError(f"--max-mean: it belongs to --keep mixed, and not to --keep {options.keep}")
    return Rules(
        keep=options.keep,
        min_rollouts=options.min_rollouts,
        outcome_mark=options.outcome_mark,
        max_mean=None if options.max_mean is None else float(options.max_mean),
        message_share=options.message_share,
        limit=options.limit,
        split=options.split,
        seed=options.seed,
    )


def _share(text: str) -> Fraction:
    """Read a share exactly, as in 0.3 or 30%."""
    try:
        value = Fraction(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except (ValueError, ZeroDivisionError):
        value = Fraction(-1)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: write a number from 0 to 1, as in 0.3, or a percentage, as in 30%")
    return value


def _mark(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: write a reward over 0 and up to 1, as in 1.0")
    return value


def _count(text: str, *, least: int) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 9 or int(text) < least:  # noqa: PLR2004 (digits)
        raise argparse.ArgumentTypeError(f"{text!r}: write a whole number from {least}")
    return int(text)
