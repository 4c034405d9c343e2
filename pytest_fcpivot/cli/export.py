"""`fcpivot export`: write data, a run or rollouts in the form that another program reads."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.cli.say import say
from pytest_fcpivot.cli.selecting import SELECTING, add_selection, selection_of
from pytest_fcpivot.cli.shared import add_allow_damaged, add_data, add_grader, named_grader
from pytest_fcpivot.core.errors import DataError, OptionError, RunError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from pytest_fcpivot.data.store import PivotStore
    from pytest_fcpivot.runs.export.results import RunTable
    from pytest_fcpivot.runs.export.source import Source

_TABLES = ("parquet", "csv", "jsonl")
_TRAINERS = ("verl", "trl")
_GYM, _ROLLOUTS = "nemo-gym", "nemo-gym-rollouts"
# The formats of each target; the first one is used where the name of the output does not say which.
_FORMATS = {
    _GYM: ("jsonl",),
    _ROLLOUTS: ("jsonl",),
    **dict.fromkeys(_TRAINERS, ("parquet", "jsonl")),
    **{table: (table,) for table in _TABLES},
}
_STDOUT = "-"
_FINDING = 1
_DIALECT = "hermes"
# Those that can be written, which are loaded only when one of them is used.
_DIALECTS = ("hermes", "qwen3-coder", "llama3", "mistral", "deepseek", "glm", "kimi", "harmony", "pythonic")


def add(commands: Any) -> None:
    """Declare the command and its options."""
    command = commands.add_parser(
        "export",
        help="write data, a run or rollouts for a trainer, NeMo Gym, or as a flat table",
        description="Writes the pivots of data, or the results of a run or of rollouts, in the form that another "
        "program reads: rows or rollouts of NeMo Gym, rows of verl or TRL, or a flat table whose columns do not depend "
        "on the rows. What the input is, is recognised. A file that is there is replaced.",
    )
    command.add_argument(
        "input", metavar="INPUT", help="a data file (or sample), a run's directory, or NeMo Gym's rollouts as .jsonl"
    )
    command.add_argument("--to", required=True, choices=tuple(_FORMATS), help="what to write")
    command.add_argument(
        "-o", "--output", required=True, metavar="OUT", type=Path, help="the file, or - for standard output"
    )
    add_data(command, ", for the pivots and the columns about them")
    add_selection(command, "which pivots of data and of rollouts, as by the options of pytest that begin with --fc-")
    gym = command.add_argument_group("with --to nemo-gym and nemo-gym-rollouts")
    gym.add_argument(
        "--agent-ref", metavar="NAME", help="the agent of NeMo Gym that runs the rows which name none themselves"
    )
    gym.add_argument(
        "--ng-fields", action="store_true", help="write _ng_task_index and _ng_rollout_index, as rollouts of a run have"
    )
    trainer = command.add_argument_group("with --to verl and trl")
    trainer.add_argument(
        "--dialect",
        help=f"how the prompt shows tools and calls: {', '.join(_DIALECTS)} (default: {_DIALECT})",
    )
    add_grader(trainer, "the grader of the rewards (default: that of the run; for data, as a session chooses it)")
    command.add_argument(
        "--spreadsheet",
        action="store_true",
        help="with --to csv: put an apostrophe before texts that a spreadsheet would take for formulas, and a mark for "
        "UTF-8 at the beginning; other programs then read texts that are not those of the run",
    )
    add_allow_damaged(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from pytest_fcpivot.runs.export.source import Kind, recognised  # noqa: PLC0415 (only for this command)

    _refuse_odd(options)
    source = recognised(options.input)
    _refuse_for(options, source)
    with ExitStack() as stack:
        job = (_Run if source.kind is Kind.RUN else _Data)(options, source, stack)
        count = job.write()
        stream = sys.stderr if str(options.output) == _STDOUT else None
        say(f"{options.output}: {job.counted(count)}", stream)
        for note in job.notes():
            say(f"note: {note}", stream)
        return _FINDING if job.broken else 0


# -------------------------------------------------------------------- what is written


class _Job:
    """Writes one input as one target; `broken`: rows break rules of those that they are for."""

    def __init__(self, options: argparse.Namespace, source: Source) -> None:
        from pytest_fcpivot.runs.export.gym import GymRows  # noqa: PLC0415 (only for this command)

        self.options = options
        self.source = source
        self.target: Path | None = None if str(options.output) == _STDOUT else options.output
        self.gym = GymRows(options.agent_ref)
        self.format = _format(options)
        self.noun = "row"
        self.splits: Counter[str | None] = Counter()  # of a trainer's rows
        self.out_of_reach: list[str] = []  # pivots that the dialect has no text for; why, of the first

    @property
    def broken(self) -> bool:
        return bool(self.gym.broken)

    def counted(self, count: int) -> str:
        from pytest_fcpivot.core.words import count_of  # noqa: PLC0415 (only for this command)

        return count_of(count, self.noun)

    def write(self) -> int:
        """Write the target; returns the number of rows."""
        raise NotImplementedError

    def notes(self) -> Iterator[str]:
        """Yield what is to be told after the number of rows."""
        from pytest_fcpivot.core.jsontext import one_line  # noqa: PLC0415 (only for this command)
        from pytest_fcpivot.core.words import count_of  # noqa: PLC0415

        yield from self.gym.notes()
        if len(self.splits) > 1:
            most = self.splits.most_common(4)
            found = ", ".join(f"{one_line(name or 'none', 40)} {number:,}" for name, number in most)
            found += ", …" if len(self.splits) > len(most) else ""
            yield f"the rows are of several splits ({found}), and a trainer takes all rows of a file; see --split"
        if self.out_of_reach:
            yield (
                f"{count_of(len(self.out_of_reach), 'pivot')} whose expected call cannot be written in this dialect, "
                f"so that a policy may never earn the whole reward there; the first: {self.out_of_reach[0]}"
            )

    def write_pivots(self, pivots: Any, recorded: dict[str, Any] | None = None) -> int:
        """Write pivots as rows of NeMo Gym, verl or TRL, or as a table."""
        from pytest_fcpivot.runs.export import files  # noqa: PLC0415 (only for this command)
        from pytest_fcpivot.runs.export.pivots import pivot_rows  # noqa: PLC0415

        options = self.options
        if options.to == _GYM:
            return files.write_lines(self.gym.lines(pivots, indexes=options.ng_fields), self.target)
        if options.to in _TRAINERS:
            rows, schema = _trainer_rows(options, pivots, recorded, self)
            return files.write_rows(rows, files.Layout(schema), self.target, self.format)
        return files.write_rows(
            pivot_rows(pivots), files.PIVOTS, self.target, self.format, spreadsheets=options.spreadsheet
        )


class _Data(_Job):
    """Data, or rollouts, whose rows are pivots too."""

    def __init__(self, options: argparse.Namespace, source: Source, stack: ExitStack) -> None:
        from pytest_fcpivot.data import open_store  # noqa: PLC0415 (only for this command)
        from pytest_fcpivot.data.progress import Progress  # noqa: PLC0415
        from pytest_fcpivot.runs.export.pivots import Chosen, Pivots  # noqa: PLC0415
        from pytest_fcpivot.runs.export.rollouts import GivenRollouts  # noqa: PLC0415
        from pytest_fcpivot.runs.export.source import Kind  # noqa: PLC0415

        super().__init__(options, source)
        self._are_rollouts = source.kind is Kind.ROLLOUTS
        try:
            with Progress.of_file(source.path) as progress:
                store = open_store(
                    source.path,
                    bad_rows="skip" if options.allow_damaged else "refuse",
                    same_pivot="repeat" if self._are_rollouts else "problem",
                    progress=progress,
                )
        except DataError as error:
            raise DataError(str(error).replace("--fc-bad-rows=skip", "--allow-damaged"), error.problems) from None
        stack.callback(store.close)
        _refuse_source(options, [store])
        selection = selection_of(options)
        rows = selection.rows(store)
        if not rows:
            raise DataError(f"{source.path}: {selection.why_nothing(store).replace('--fc-', '--')}")
        self._repeated = int(store.provenance.get("each_repeated", 1))
        self._bad_rows = int(store.provenance.get("bad_rows", 0))
        self._pivots = Pivots([Chosen(source.path.name, store, rows)])
        some = None if len(rows) == len(store) else frozenset(store.some("id", rows))
        self._given = GivenRollouts(source.path, some, allow_damaged=options.allow_damaged)

    def write(self) -> int:
        from pytest_fcpivot.runs.export import files  # noqa: PLC0415 (only for this command)

        options = self.options
        if self._are_rollouts and options.to == _ROLLOUTS:
            return files.write_lines(self._given.lines(indexes=options.ng_fields), self.target)
        if self._are_rollouts and options.to in _TABLES:
            rows = self._given.rows()
            return files.write_rows(rows, files.RESULTS, self.target, self.format, spreadsheets=options.spreadsheet)
        return self.write_pivots(self._pivots)

    def notes(self) -> Iterator[str]:
        from pytest_fcpivot.core.words import count_of  # noqa: PLC0415 (only for this command)

        yield from super().notes()
        yield from self._given.notes()
        if self._bad_rows and not self._are_rollouts:
            yield f"left out: {count_of(self._bad_rows, 'row')} of the data that cannot be read"
        if self._repeated > 1 and not self._are_rollouts:
            yield f"the data repeat each pivot {self._repeated} times; each is written once"


class _Run(_Job):
    """A run, with its data if they are at hand."""

    def __init__(self, options: argparse.Namespace, source: Source, stack: ExitStack) -> None:
        from pytest_fcpivot.runs.described import read_description  # noqa: PLC0415 (only for this command)
        from pytest_fcpivot.runs.export.results import RunTable  # noqa: PLC0415

        super().__init__(options, source)
        path = source.path
        self._description = read_description(path)
        _refuse_data_of_run(options, self._description)
        stores, self._why_no_data = _data_of(path, options.data, needed=options.to not in _TABLES)
        for _, store in stores:
            stack.callback(store.close)
        _refuse_source(options, [store for _, store in stores])
        self._table: RunTable = RunTable(path, self._description, stores, allow_damaged=options.allow_damaged)
        self._rollouts: Any = None
        self._several = 0

    def write(self) -> int:
        from pytest_fcpivot.runs.export import files  # noqa: PLC0415 (only for this command)
        from pytest_fcpivot.runs.export.columns import about_run  # noqa: PLC0415
        from pytest_fcpivot.runs.export.rollouts import RunRollouts  # noqa: PLC0415

        options = self.options
        if options.to in _TABLES:
            about = about_run(self.source.path.resolve().name, self._description)
            rows = (about | row for row in self._table)
            return files.write_rows(rows, files.RESULTS, self.target, self.format, spreadsheets=options.spreadsheet)
        pivots = self._table.pivots()
        self._several = pivots.several()
        if options.to == _ROLLOUTS:
            self._rollouts = RunRollouts(self._table, self._description, self.gym)
            return files.write_lines(self._rollouts.lines(), self.target)
        return self.write_pivots(pivots, self._description["grader"])

    def counted(self, count: int) -> str:
        if not count:
            return "no rows, since the run has no results"
        not_run = self._table.not_run if self.options.to in _TABLES else 0
        return super().counted(count) + (f", {not_run} of them without a result" if not_run else "")

    def notes(self) -> Iterator[str]:
        from pytest_fcpivot.runs.damage import listed  # noqa: PLC0415 (only for this command)
        from pytest_fcpivot.runs.export.columns import FACTS  # noqa: PLC0415

        yield from super().notes()
        if self.options.to in _TRAINERS and self.options.grader is None:
            from pytest_fcpivot.integrations.row_texts import graded_otherwise  # noqa: PLC0415 (only for trainers)

            yield from graded_otherwise(self._description)
        table = self._table
        unfinished = table.why_unfinished()
        if unfinished is not None:
            yield f"the run is not complete: {unfinished}"
        if table.missing_unknown is not None and self.options.to in _TABLES:
            yield table.missing_unknown
        if table.damages:
            yield f"left out: {table.damages.losses()}"
            yield from (f"  {line}" for line in listed([table.damages]))
        if table.damages.torn is not None:
            yield f"its last line is incomplete and left out: {table.damages.torn.size} bytes"
        if self._why_no_data is not None:
            yield f"{', '.join(FACTS)} are null, since the data are not at hand: {self._why_no_data}"
        if self._rollouts is not None:
            yield from self._rollouts.notes()
        if self._several:
            yield (
                f"{self._several} of the pivots' ids are in several data of the run, and a file that has them all is "
                "refused when it is read as data or replayed; export runs of one data file each"
            )


def _trainer_rows(
    options: argparse.Namespace, pivots: Any, recorded: Any, job: _Job
) -> tuple[Iterator[dict[str, Any]], Any]:
    """Return the rows of verl or TRL, and their schema; while rows are made, the job notes splits and what is odd."""
    from pytest_fcpivot.integrations.row_texts import why_out_of_reach  # noqa: PLC0415 (only for this command)
    from pytest_fcpivot.runs.export.graders import GraderOfPivots  # noqa: PLC0415 (only for this command)

    trainer: Any
    if options.to == "verl":
        from pytest_fcpivot.integrations import verl_rows as trainer  # noqa: PLC0415
    else:
        from pytest_fcpivot.integrations import trl_rows as trainer  # noqa: PLC0415
    named = named_grader(options)
    spec, settings = (None, None) if named is None else (named.spec, named.settings)
    graders = GraderOfPivots(spec, settings, recorded, search=(Path.cwd(),))
    dialect = options.dialect or _DIALECT

    def rows() -> Iterator[dict[str, Any]]:
        for index, (chosen, pivot) in enumerate(pivots):
            grader = graders.of(chosen, pivot)
            try:
                yield trainer.row(pivot, dialect=dialect, grader=grader, index=index, split=pivot.split)
            except ValueError as error:  # one that cannot show what a pivot has
                raise OptionError(f"--dialect={dialect}: {error}") from error
            why = why_out_of_reach(pivot, dialect)
            if why is not None:
                job.out_of_reach.append("" if job.out_of_reach else f"{pivot.id}: {why}")
            job.splits[pivot.split] += 1

    return rows(), trainer.SCHEMA


# -------------------------------------------------------------------- what is read


def _data_of(path: Path, given: list[str], *, needed: bool) -> tuple[list[tuple[str, PivotStore]], str | None]:
    """Open a run's data, or return why they are not at hand; raises if they are `needed`, or are not those given."""
    from pytest_fcpivot.audit.run_data import data_of_run  # noqa: PLC0415 (only for this command)

    try:
        return data_of_run(path, given), None
    except (DataError, RunError) as error:
        if given or needed:
            raise
        return [], str(error).partition("\n")[0]


# -------------------------------------------------------------------- what is refused


def _format(options: argparse.Namespace) -> str:
    """Return the format in which the target is written, by the name of the output if there is a choice."""
    formats = _FORMATS[options.to]
    ending = options.output.suffix.removeprefix(".")
    return ending if ending in formats else formats[0]


def _refuse_odd(options: argparse.Namespace) -> None:
    """Raise OptionError for options that do not belong together, and for an output that cannot be written."""
    if options.spreadsheet and options.to != "csv":
        raise OptionError(f"--spreadsheet: it belongs to --to csv, and not to --to {options.to}")
    for name, targets in (
        ("dialect", _TRAINERS),
        ("grader", _TRAINERS),
        ("grader_option", _TRAINERS),
        ("agent_ref", (_GYM, _ROLLOUTS)),
        ("ng_fields", (_GYM, _ROLLOUTS)),
    ):
        if getattr(options, name) and options.to not in targets:
            option = f"--{name.replace('_', '-')}"
            raise OptionError(f"{option}: it belongs to --to {' and '.join(targets)}, and not to --to {options.to}")
    if options.dialect is not None:
        _refuse_unknown_dialect(options.dialect)
    output: Path = options.output
    if str(output) == _STDOUT:
        if _format(options) == "parquet" and sys.stdout.isatty():
            raise OptionError("-o -: a terminal cannot show Parquet; name a file, or write it into a pipe")
        return
    ending = output.suffix.removeprefix(".")
    formats = _FORMATS[options.to]
    if ending not in formats and (ending in _TABLES or options.to in _TRAINERS):
        wanted = options.to if options.to in _TABLES else f"{options.to}, which is written as {' or '.join(formats)}"
        ends = f"ends in .{ending}" if ending else "has no ending"
        raise OptionError(f"-o {output}: the name {ends}, but --to asks for {wanted}")
    if output.exists() and not output.is_file():
        raise RunError(f"-o {output}: is there, and is not a file; name a file")


def _refuse_unknown_dialect(dialect: str) -> None:
    from difflib import get_close_matches  # noqa: PLC0415 (only for this error)

    if dialect not in _DIALECTS:
        near = get_close_matches(dialect, _DIALECTS, n=1, cutoff=0.5)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise OptionError(f"--dialect={dialect}: there is no such dialect; known: {', '.join(_DIALECTS)}{meant}")


def _refuse_for(options: argparse.Namespace, source: Source) -> None:
    """Raise an error for options that the input cannot have, and for an output that would replace the input."""
    from pytest_fcpivot.runs.export.source import Kind  # noqa: PLC0415 (only for this command)

    where = options.output.resolve()
    if source.kind is not Kind.RUN:
        if options.data:
            raise OptionError(f"--data: it is for a run, but {source.path} is {source.kind.value}")
        if str(options.output) != _STDOUT and where == source.path.resolve():
            raise RunError(f"-o {options.output}: this would replace what is exported; name another file")
        if source.kind is Kind.DATA and options.to == _ROLLOUTS:
            raise OptionError(
                f"{source.path}: data have no answers, of which rollouts are made; export a run, or ask for --to {_GYM}"
            )
        return
    chosen = [name for name in SELECTING if getattr(options, name)]
    if chosen:
        raise OptionError(
            f"--{chosen[0]}: {source.path} is a run, which has selected its pivots; select them when it is run, or "
            "export its data"
        )
    own = source.path.resolve()
    files = {own / name for name in ("run.json", "results.jsonl", "summary.json")}
    if where in files or own / "calls" in where.parents:
        raise RunError(f"-o {options.output}: this is a file of the run itself; name another file")


def _refuse_source(options: argparse.Namespace, stores: list[PivotStore]) -> None:
    """Raise RunError for an output that would replace a file from which the pivots were prepared."""
    from pytest_fcpivot.data import is_source  # noqa: PLC0415 (only for this command)

    if any(is_source(options.output, store) for store in stores):
        raise RunError(f"-o {options.output}: the data were prepared from this file; name another file")


def _refuse_data_of_run(options: argparse.Namespace, description: dict[str, Any]) -> None:
    """Raise RunError for an output that would replace the data of a run."""
    data = [Path(each["path"]) for each in description["data"]] + [Path(name) for name in options.data]
    if options.output.resolve() in {each.resolve() for each in data if each.is_absolute() or each.exists()}:
        raise RunError(f"-o {options.output}: this would replace the data of the run; name another file")
