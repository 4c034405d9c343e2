"""Reads the answers in a run directory for an audit, with their pivots.

Only the offset of each test's last line is kept in memory. Results are read in the order of the data, because reading
neighbouring pivots is cheap.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.audit.answers import Result
from pytest_fcpivot.audit.damage import notes_on, refuse_damaged
from pytest_fcpivot.audit.grader import choose
from pytest_fcpivot.audit.run_data import RunData
from pytest_fcpivot.core.actions import SUBMIT_MESSAGE, to_action
from pytest_fcpivot.core.errors import ActionError, FcPivotError, RunError
from pytest_fcpivot.core.redact import Redactor
from pytest_fcpivot.graders import NemoGymGrader
from pytest_fcpivot.graders.agentic import AgenticGrader
from pytest_fcpivot.graders.sets import FIRST
from pytest_fcpivot.graders.settings_text import shown_settings
from pytest_fcpivot.options.table import DEFAULT_PASS_MARK, TRUE
from pytest_fcpivot.runs.damage import Damages
from pytest_fcpivot.runs.data_of_test import DataOfTests, Told
from pytest_fcpivot.runs.described import read_with_origin
from pytest_fcpivot.runs.directory import RunDirectory, ended_early
from pytest_fcpivot.runs.reader import (
    Damage,
    DamagedLineError,
    ResultLine,
    line_at,
    open_regular,
    output_of,
    result_line,
    results_in,
)
from pytest_fcpivot.runs.trust import Origin, find_key
from pytest_fcpivot.runs.until_mixed import refuse_until_mixed
from pytest_fcpivot.schema.toolset import tool_set

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from pytest_fcpivot.audit.grader import Named
    from pytest_fcpivot.core.actions import EmptyArguments
    from pytest_fcpivot.core.model import Action
    from pytest_fcpivot.graders import Grader


class StoredResults:
    """The results of a run directory, with its data."""

    def __init__(self, path: Path, data: Sequence[str], named: Named | None, *, allow_damaged: bool) -> None:
        description, origin = read_with_origin(path, find_key())
        refuse_until_mixed(description, str(path), "an audit")
        self._allow_damaged = allow_damaged
        self.path = path
        self._results = RunDirectory(path).results
        self._description = description
        self._options: dict[str, Any] = description.get("options", {})
        grader: Any = description.get("grader")
        mark = description.get("pass_mark", DEFAULT_PASS_MARK)
        self.agent = str(description.get("agent"))
        self.grader_name = str(grader["name"])
        self.notes: list[str] = []
        self.errors = 0
        made_here = origin is Origin.HERE
        choice = choose(path, grader, named, made_here=made_here)
        self.grader: Grader | None = choice.grader
        self.notes += map(Redactor(), choice.notes)  # they may quote the run, or an error of a user's grader
        if isinstance(self.grader, NemoGymGrader) and self.grader.settings != FIRST:
            self.notes.append(
                f"the run was graded with {shown_settings(self.grader.settings)}; the rungs named nemo-gym have "
                f"{shown_settings(FIRST)}"
            )
        self.pass_mark = float(mark)
        self.strict_schema = str(self._options.get("fc_strict_schema")).lower() in TRUE
        self._empty_arguments: EmptyArguments = (
            "object" if self._options.get("fc_empty_arguments") == "object" else "text"
        )
        self.scores_messages = self.grader_name == AgenticGrader().name
        judge = description.get("judge")
        self.judged = isinstance(judge, dict) and bool(judge.get("model"))
        end = ended_early(description)
        if end is not None:
            self.notes.append(f"{end}; the audit covers the results that exist")
        self._stores = RunData(path, description, made_here=made_here).open(data)

    # ---------------------------------------------------------------- the results

    def results(self) -> Iterator[Result]:
        """Yield the graded results in the order of the data, each from the last line of its test."""
        try:
            with closing(_Lines(self._results)) as lines:
                found = lines.places()
                places = {test: place for test, place in found.items() if place is not None}
                self.errors = len(found) - len(places)
                refuse_damaged(
                    lines.damages,
                    "resume the run, which runs their tests again (pytest --fc-resume=DIR)",
                    allowed=self._allow_damaged,
                )
                self.notes += [*notes_on(lines.damages), *self._missing(found)]
                yield from self._read(lines, places)
        except OSError as error:
            raise RunError(f"{self._results}: cannot be read: {error.strerror or error}") from error
        finally:
            for _, store in self._stores:
                store.close()

    def _missing(self, found: Iterable[str]) -> Iterator[str]:
        """Yield a note for each data file whose own tests lack results; the number of users' own tests is not known."""
        known = {data["name"]: data.get("selected") for data in self._description.get("data") or ()}
        own = Counter(name for test in found for name in known if test.startswith(f"{name}::"))
        repeats = self._description.get("repeats", 1)
        for name, count in own.items():
            selected = known[name]
            if isinstance(selected, int) and isinstance(repeats, int) and count < selected * repeats:
                yield f"{count} of {selected * repeats} tests of {name} have a result"

    def _read(self, lines: _Lines, places: dict[str, tuple[str, int]]) -> Iterator[Result]:
        found, unknown = self._in_order(lines, places)
        if unknown:
            self.notes.append(f"results left out because the data do not contain their pivots: {unknown}")
        changed = odd = 0
        for number, row, offset, own in found:
            data, line = lines.read(offset)
            pivot = self._stores[number][1].read(row)
            # the pivot's tools are needed only for calls of submit_message; reading them takes longer than the rest
            names = tool_set(pivot.tools_json).names if SUBMIT_MESSAGE.encode() in data else frozenset()
            try:
                action, as_answered = action_of(line, names, self._empty_arguments)
            except FcPivotError:
                odd += 1
                continue
            changed += own and not as_answered and not line.redacted
            yield Result(
                test=line.test,
                name=pivot.id if line.repeat == 1 else f"{pivot.id}[r{line.repeat}]",
                trajectory_id=line.trajectory_id,
                pivot=pivot,
                action=action,
                reward=line.reward,
                category=line.category,
                schema=line.schema,
                repeat=line.repeat,
                redacted=line.redacted,
            )
        if odd:
            self.notes.append(f"results left out because their action cannot be read: {odd}")
        if changed:
            self.notes.append(
                f"answers whose graded action is not the one that their output is read as now: {changed} (a fixture "
                "changed them, or the reading has changed); the audit uses the graded action"
            )

    def _in_order(
        self, lines: _Lines, places: dict[str, tuple[str, int]]
    ) -> tuple[list[tuple[int, int, int, bool]], int]:
        """Return (data file, row, offset, whether it is the pivot's own test), sorted, and the number not found."""
        data = DataOfTests(self._stores, {pivot_id for pivot_id, _ in places.values()})
        found: list[tuple[int, int, int, bool]] = []
        for test, (pivot_id, offset) in places.items():
            place = data.find(test, pivot_id, partial(lines.told, offset))
            if place is not None:
                found.append((*place, offset, data.own_data(test) is not None))
        return sorted(found), len(places) - len(found)


class _Lines:
    """The lines of `results.jsonl`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream = open_regular(path)
        self.damages = Damages()

    def places(self) -> dict[str, tuple[str, int] | None]:
        """Return the pivot and the last line's offset for each test; None for a test that ended in an error."""
        found: dict[str, tuple[str, int] | None] = {}
        for offset, line in self.damages.watch(results_in(self._path)):
            if not isinstance(line, Damage):
                found[line.test] = None if line.is_error else (line.pivot_id, offset)
            elif line.test is not None:
                found.pop(line.test, None)
        return found

    def read(self, offset: int) -> tuple[bytes, ResultLine]:
        data = line_at(self._stream, offset)
        try:
            return data, result_line(data)
        except DamagedLineError as error:
            raise RunError(f"{self._path}: changed while it was read: {error}") from error

    def told(self, offset: int) -> Told:
        """Return what the result of a line tells of its pivot."""
        _, line = self.read(offset)
        return Told(line.trajectory_id, line.expected, line.tool)

    def close(self) -> None:
        self._stream.close()


def action_of(line: ResultLine, names: frozenset[str], empty_arguments: EmptyArguments) -> tuple[Action, bool]:
    """Return the action that was graded, and whether the output, which a replay would grade, is read as the same one.

    It is, unless a user's own test or fixture changed the action. `names` are the names of the pivot's tools;
    `empty_arguments` is the run's setting. Raises ActionError if neither the action nor the output can be read.
    """
    try:
        answered = to_action(output_of(line), names, empty_arguments=empty_arguments)
    except ActionError:
        answered = None
    if not line.has_action:
        if answered is None:
            raise ActionError(f"{line.test}: neither action nor output can be read")
        return answered, True
    graded = line.graded()
    return graded, graded == answered
