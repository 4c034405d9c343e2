"""Prepares rows of any known shape into a store: in one stream, with a count of everything that is left out."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from pytest_fcpivot.core.errors import DataError, RowProblem
from pytest_fcpivot.core.version import __version__
from pytest_fcpivot.data.agent_refs import AgentRefs
from pytest_fcpivot.data.conversations import SkippedTurn
from pytest_fcpivot.data.listing import Listing
from pytest_fcpivot.data.remarks import KEY as REMARKS
from pytest_fcpivot.data.remarks import UNEQUAL, Remarks, doubts_of, may_be_doubtful
from pytest_fcpivot.data.repeated import RepeatedRows
from pytest_fcpivot.data.rowreader import RowReader, Shape
from pytest_fcpivot.data.rows import StoredPivot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from pytest_fcpivot.data.conversations import Conversation
    from pytest_fcpivot.data.files import Rows
    from pytest_fcpivot.data.shapes.how import CallsInText
    from pytest_fcpivot.data.shapes.items import Rollout
    from pytest_fcpivot.data.sources import Source

BadRows = Literal["refuse", "skip"]
SamePivot = Literal["problem", "repeat"]
_PROBLEMS_SHOWN = 10
_PROBLEMS_KEPT = 1000
_ROWS_A_REPORT = 256
_MOST_TURNS = (1 << 16) - 1


@dataclass(slots=True)
class Audit:
    """Counts of what became of every row and of every assistant turn.

    `rows` = `pivot_rows` + `conversations` + `broken`; `turns` of conversations = their pivots + `skipped`.
    `flags` counts what is unusual about rows that could be read. `problems` holds the first broken rows. `listed` is
    the number of rows and turns left out; the audit file lists them in `list_lines` lines, except the `unlisted` ones
    beyond its limit. `remarks` counts the rows by shape, and what was left out by reason. `each_repeated` is the
    number of rows for each pivot, if the rows are numbered repeats of it.
    """

    rows: int = 0
    pivot_rows: int = 0
    conversations: int = 0
    broken: int = 0
    turns: int = 0
    skipped: int = 0
    repeats: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    problems: list[RowProblem] = field(default_factory=list)
    sources: list[dict[str, Any]] = field(default_factory=list)
    listed: int = 0
    list_lines: int = 0
    unlisted: int = 0
    remarks: Remarks = field(default_factory=Remarks)
    each_repeated: int = 1

    @property
    def pivots(self) -> int:
        """The number of pivots that were kept."""
        return self.kinds.total()

    def counts(self) -> dict[str, Any]:
        """Return the counts as builtins."""
        names = ("rows", "pivot_rows", "conversations", "broken", "turns", "skipped", "repeats", "pivots")
        return {name: getattr(self, name) for name in names} | {"kinds": dict(sorted(self.kinds.items()))}


def refuse_other_ending(target: Path) -> None:
    """Raise DataError for an output file whose name later commands would not recognise as parquet."""
    if target.suffix != ".parquet":
        raise DataError(f"-o {target}: the name has to end in .parquet")


def refuse_overwriting(sources: Iterable[Source], target: Path, listing: Path) -> None:
    """Raise DataError if an output file is one of the sources, also under another name or through a link."""
    written = {os.path.realpath(target), os.path.realpath(listing)}
    for source in sources:
        if source.path is not None and os.path.realpath(source.path) in written:
            raise DataError(f"-o {target}: this would overwrite a source, {source.label}; name another file")


def prepare(
    sources: Sequence[Source],
    target: Path,
    *,
    bad_rows: BadRows = "refuse",
    same_pivot: SamePivot = "problem",
    shape: Shape = "auto",
    provenance: dict[str, Any] | None = None,
    audit_file: Path | None = None,
    progress: Callable[[int, int], None] = lambda _rows, _bytes: None,
    skip_option: str = "--fc-bad-rows=skip",
    calls_in_text: CallsInText | None = None,
) -> Audit:
    """Read sources into a store at `target`, written in one step; return what became of every row and turn.

    Broken rows and skipped turns are listed in `audit_file`, one JSON object per line with file, line, message and
    reason; there is no such file if there are none. `progress` is called from time to time with the number of rows and
    of stored bytes read so far. `calls_in_text` is the dialect in which the conversations write calls and tools as
    text. Raises DataError if a source is damaged, if there are no pivots or, with `bad_rows` "refuse", if there are
    broken rows.
    """
    from pytest_fcpivot.data.store import write_store  # noqa: PLC0415 (pyarrow is heavy)

    audit = Audit()
    details: dict[str, Any] = {**(provenance or {}), "prepared_by": __version__, "bad_rows": 0, "bad_row_reasons": []}
    if calls_in_text is not None:
        details["calls_in_text"] = calls_in_text
    listing = Listing(audit_file)
    reading = _Reading(
        sources,
        audit,
        listing,
        same_pivot=same_pivot,
        shape=shape,
        progress=progress,
        stop_at_problems=bad_rows == "refuse",
        calls_in_text=calls_in_text,
    )

    def pivots() -> Iterator[StoredPivot]:
        yield from reading.pivots()
        if audit.broken and bad_rows == "refuse":
            raise _refusal(sources, audit, skip_option)
        if not audit.pivots:
            raise _NoPivotsError(_why_none(sources, audit))
        details["bad_rows"] = audit.broken
        details["bad_row_reasons"] = [str(problem) for problem in audit.problems]
        details["sources"], details["audit"] = audit.sources, audit.counts()
        details["flags"] = dict(sorted(audit.flags.items()))
        details.update(reading.agent_refs.to_builtins())
        each = reading.repeated.each()
        if each is None:
            audit.remarks.doubtful[UNEQUAL] = reading.repeated.several()
        elif each > 1:
            audit.each_repeated = details["each_repeated"] = each
        details[REMARKS] = audit.remarks.to_builtins()

    try:
        write_store(target, pivots(), details)
    except _NoPivotsError:
        listing.finish()  # kept, since it shows why
        raise
    except BaseException:
        listing.discard()
        raise
    listing.finish()
    audit.list_lines, audit.unlisted = listing.lines, listing.unlisted
    return audit


class _NoPivotsError(DataError):
    """All rows were left out."""


def _why_none(sources: Sequence[Source], audit: Audit) -> str:
    first = sources[0].label if len(sources) == 1 else f"{sources[0].label} and {len(sources) - 1} more"
    reason = f"; the first: {audit.problems[0]}" if audit.problems else ""
    counts = f"rows: {audit.rows}, broken: {audit.broken}, turns left out: {audit.skipped}"
    return f"{first}: no pivots in it ({counts}{reason})"


class _Reading:
    """Reads the sources one after the other, and fills the audit and the listing."""

    def __init__(
        self,
        sources: Sequence[Source],
        audit: Audit,
        listing: Listing,
        *,
        same_pivot: SamePivot,
        shape: Shape,
        progress: Callable[[int, int], None],
        stop_at_problems: bool,
        calls_in_text: CallsInText | None,
    ) -> None:
        self._sources = sources
        self._audit = audit
        self._listing = listing
        self._same_pivot = same_pivot
        self._shape = shape
        self._progress = progress
        self._stop_at_problems = stop_at_problems
        self._calls_in_text = calls_in_text
        self.repeated = RepeatedRows()
        # Where each id was first seen: the source's number and the line, packed into one integer. There may be millions
        # of ids, so a conversation has a single entry, under their common stem, which also holds their number.
        self._pivots: dict[str, int] = {}
        self._conversations: dict[str, int] = {}
        self.agent_refs = AgentRefs()

    def pivots(self) -> Iterator[StoredPivot]:
        audit, kinds, remarks = self._audit, self._audit.kinds, self._audit.remarks
        reader = RowReader(self._shape, self._calls_in_text)
        done = 0
        for number, source in enumerate(self._sources):
            rows = source.open_lines()
            rows.on_read = partial(self._report_progress, rows, done)
            bad, reason = b"", ""  # the previous row, if it was refused: an equal row is refused for the same reason
            for line, raw in rows:
                audit.rows += 1
                if audit.rows % _ROWS_A_REPORT == 0:
                    self._progress(audit.rows, done + rows.bytes_read)
                if bad and raw == bad:
                    self._broken(source, line, reason)
                    continue
                bad = b""
                try:
                    if isinstance(raw, RowProblem):
                        raise raw
                    read = reader.read(raw, line)
                    found: Iterable[StoredPivot | SkippedTurn]
                    if isinstance(read, StoredPivot):
                        found = self._of_pivot(read, number, line, source)
                    else:
                        found = self._of_conversation(read, number, line, source)
                except RowProblem as problem:
                    bad, reason = raw if isinstance(raw, bytes) else b"", problem.reason
                    self._broken(source, line, reason)
                    continue
                remarks.shapes[reader.found] += 1
                for turn in found:
                    if isinstance(turn, SkippedTurn):
                        self._skipped(source, turn)
                        continue
                    if audit.broken and self._stop_at_problems:
                        continue  # the file will be refused: the rest is only read to report its broken rows
                    kinds[turn.expected_type] += 1
                    self.agent_refs.add(turn.metadata)
                    if turn.expected_names and may_be_doubtful(turn):
                        remarks.doubtful.update(doubts_of(turn))
                    yield turn
                odd = reader.flags if isinstance(read, StoredPivot) else read.flags.union(reader.flags)
                if odd:
                    audit.flags.update(odd)
            done += rows.bytes_read
            facts = source.provenance
            audit.sources.append(
                {
                    "source": facts.source,
                    "file": facts.file,
                    "split": source.split,
                    "repo": facts.repo,
                    "commit": facts.commit,
                    "sha256": facts.sha256 or rows.sha256,
                    "licence": facts.licence,
                    "attribution": facts.attribution,
                }
            )
        self._progress(audit.rows, done)

    def _report_progress(self, rows: Rows, done: int) -> None:
        """Report the progress also while no rows come, as in a run of blank lines or an endless line."""
        self._progress(self._audit.rows, done + rows.bytes_read)

    def _of_pivot(self, pivot: StoredPivot, number: int, line: int, source: Source) -> Iterable[StoredPivot]:
        """Return the row's pivot, or nothing for a repeat; raises RowProblem for a second row with the same id."""
        if self._same_pivot == "repeat" and pivot.id in self._pivots:
            self._audit.pivot_rows += 1
            self._audit.repeats += 1
            return ()
        if self._same_pivot == "problem" and self.repeated.is_one_more(pivot, line):
            self._audit.pivot_rows += 1
            self._audit.repeats += 1
            return ()
        self._note_pivot(pivot.id, number, line)
        self._audit.pivot_rows += 1
        # what a row says of itself is more than what its file's name implies
        return (pivot if source.split is None or pivot.split is not None else pivot._replace(split=source.split),)

    def _of_conversation(
        self, conversation: Conversation | Rollout, number: int, line: int, source: Source
    ) -> Iterable[StoredPivot | SkippedTurn]:
        """Return a conversation's turns as a lazy iterable; raises RowProblem for a second one with the same ids."""
        self._note_conversation(conversation.stem, conversation.n_turns, number, line)
        self.repeated.others = True
        self._audit.conversations += 1
        self._audit.turns += conversation.n_turns
        return conversation.turns(source.split)

    def _note_pivot(self, one: str, number: int, line: int) -> None:
        """Remember where an id was seen; raises RowProblem if it was seen before."""
        place = self._pivots.get(one)
        if place is None and self._conversations:
            stem, _, depth = one.rpartition("-d")
            talk = self._conversations.get(stem)
            if talk is not None and depth.isdecimal() and int(depth) < (talk >> 40 & _MOST_TURNS):
                place = talk
        self._refuse_second(one, place, number, line)
        self._pivots[one] = number << 56 | line

    def _note_conversation(self, stem: str, n_turns: int, number: int, line: int) -> None:
        """Remember, in one entry, where a conversation's ids were seen; raises RowProblem as `_note_pivot` does."""
        place = self._conversations.get(stem)
        if place is None and self._pivots:
            ids = (f"{stem}-d{depth}" for depth in range(n_turns))
            place = next((self._pivots[one] for one in ids if one in self._pivots), None)
        self._refuse_second(f"{stem}-d0", place, number, line)
        self._conversations[stem] = number << 56 | min(n_turns, _MOST_TURNS) << 40 | line

    def _refuse_second(self, one: str, place: int | None, number: int, line: int) -> None:
        if place is not None:
            before, at = place >> 56, place & (1 << 40) - 1
            where = f"line {at}" if before == number else f"{self._sources[before].label}, line {at}"
            raise RowProblem(line, f"duplicate id {one!r}, first on {where}")

    def _skipped(self, source: Source, turn: SkippedTurn) -> None:
        self._audit.skipped += 1
        self._audit.listed += 1
        self._audit.remarks.leave_out(turn.reason, f"{source.label}:{turn.line}")
        self._listing.add(source.label, turn.line, turn.reason, turn.message)

    def _broken(self, source: Source, line: int, reason: str) -> None:
        audit = self._audit
        audit.broken += 1
        audit.listed += 1
        audit.remarks.refuse(reason, f"{source.label}:{line}")
        self._listing.add(source.label, line, reason)
        if len(audit.problems) < _PROBLEMS_KEPT:
            problem = RowProblem(line, reason)  # a new one: the raised one keeps its row alive through its traceback
            problem.where = source.label
            audit.problems.append(problem)


def _refusal(sources: Sequence[Source], audit: Audit, skip_option: str) -> DataError:
    shown = audit.problems[:_PROBLEMS_SHOWN]
    lines = [f"{problem.where}:{problem.line}: {problem.reason}" for problem in shown]
    if audit.broken > len(shown):
        lines.append(f"… and {audit.broken - len(shown)} more")
    rows = "1 broken row" if audit.broken == 1 else f"{audit.broken} broken rows"
    files = "the file" if len(sources) == 1 else "the files"
    lines.append(f"{rows}; correct {files}, or pass {skip_option} to leave such rows out and count them")
    return DataError("\n".join(lines), audit.problems)
