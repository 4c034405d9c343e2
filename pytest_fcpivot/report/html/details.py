"""Write the details of pivots and their results as JSON, for the parts of a page."""

from __future__ import annotations

import re
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pytest_fcpivot.audit.comparators import LADDER
from pytest_fcpivot.audit.one_pivot import OnePivot
from pytest_fcpivot.core.errors import FcPivotError
from pytest_fcpivot.core.jsontext import printable, shorten
from pytest_fcpivot.report.aligned import TEXT_WIDTH, Row, align
from pytest_fcpivot.report.html.parts import Details, encoded
from pytest_fcpivot.report.html.results import OUTCOMES
from pytest_fcpivot.report.rerun_text import rerun_lines
from pytest_fcpivot.runs.output import action_json
from pytest_fcpivot.runs.reader import line_at, open_regular, result_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from pytest_fcpivot.core.model import Action, Pivot
    from pytest_fcpivot.report.html.reading import BaseRead, RunRead
    from pytest_fcpivot.report.html.results import Entry
    from pytest_fcpivot.runs.reader import ResultLine

OUTPUT_WIDTH = 20_000  # characters
_MOST_ROWS = 200
_PLAIN = re.compile(r"[A-Za-z0-9_./:-]+")  # what a shell needs no quotes for
_ID = "FCPIVOT-ID"  # stands for the id in a command until that is known
_RUNGS = tuple(rung.name for rung in LADDER)


class DetailsOf:
    """Writes the details of a run's pivots; reads the results and the data again, a pivot at a time."""

    def __init__(self, run: RunRead, base: BaseRead | None) -> None:
        self._run = run
        self._base = base
        self._reruns: dict[tuple[str, int], str] = {}
        with ExitStack() as streams:
            self._stream = streams.enter_context(open_regular(run.path / "results.jsonl"))
            self._base_stream = None
            if base is not None and base.path is not None:
                self._base_stream = streams.enter_context(open_regular(base.path / "results.jsonl"))
            self._streams = streams.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._streams.close()

    def of(self, key: int, entries: Sequence[Entry]) -> Details:
        """Return the details of one pivot with the results of its repeats."""
        first = entries[0]
        pivot: Pivot | None = None
        note = None
        if first.row >= 0:
            pivot = self._run.stores[first.data][1].read(first.row)
        else:
            note = "The data of the run are not at hand, so that only the result is shown."
        about = {
            "id": first.pivot_id,
            "trajectory": first.trajectory_id,
            "params": None if pivot is None else msgspec.Raw(pivot.params_json.encode()),
            "expected": None if pivot is None else _action(pivot.expected_action),
            "note": note,
            "results": [self._result(entry, pivot) for entry in entries],
        }
        if pivot is None:
            return Details(key, "[]", "[]", encoded(about))
        return Details(key, pivot.input_json, pivot.tools_json, encoded(about))

    def _result(self, entry: Entry, pivot: Pivot | None) -> dict[str, Any]:
        if entry.offset is None:
            return {"test": entry.test, "repeat": entry.repeat, "outcome": OUTCOMES[entry.outcome]}
        line = result_line(line_at(self._stream, entry.offset))
        action = line.graded()
        found: dict[str, Any] = {
            "test": line.test,
            "repeat": line.repeat,
            "outcome": line.outcome,
            "reward": line.reward,
            "category": line.category,
            "explanation": line.explanation,
            "path": line.path,
            "paths": line.paths,
            "further_paths": line.further_paths,
            "halves": line.halves,
            "schema": line.schema,
            "judge": line.judge,
            "flags": line.flags,
            "usage": line.usage,
            "cost": line.cost,
            "latency_s": line.latency_s,
            "attempts": line.attempts,
            "retried": line.retried,
            "error": line.error,
            "cause": line.cause,
            "redacted": line.redacted,
            "action": None if line.has_no_answer else _action(action),
            "output": _output(line),
            "rerun": self._rerun(entry),
            "rows": [],
            "comparators": None,
            "pairs": [],
            "baseline": None,
        }
        if pivot is not None and not line.has_no_answer:
            found |= self._compared(line, pivot, action, entry.rungs)
        if pivot is not None:
            found["baseline"] = self._before(entry, pivot)
        return found

    def _rerun(self, entry: Entry) -> str:
        """Return the commands that run a test again, with what has to be known about them as comments."""
        if not _PLAIN.fullmatch(entry.test) or entry.test != f"{entry.place}::{entry.pivot_id}":
            return self._rerun_of(entry, entry.pivot_id, entry.test)
        key = entry.place, entry.data
        if key not in self._reruns:  # worked out once, since it looks for the data's file
            self._reruns[key] = self._rerun_of(entry, _ID, f"{entry.place}::{_ID}")
        return self._reruns[key].replace(_ID, entry.pivot_id)

    def _rerun_of(self, entry: Entry, pivot_id: str, test: str) -> str:
        paths = {data["name"]: Path(data["path"]) for data in self._run.description["data"]}
        name = self._run.stores[entry.data][0] if entry.row >= 0 else entry.place if entry.place in paths else None
        found = OnePivot(
            pivot_id=pivot_id,
            repeat=entry.repeat,
            test=test,
            run=self._run.path,
            description=self._run.description,
            made_here=self._run.made_here,
            data_name=name,
            data_path=None if name is None else paths.get(name),
        )
        return "\n".join(text if is_command else f"# {text}" for text, is_command in rerun_lines(found))

    def _compared(
        self, line: ResultLine, pivot: Pivot, action: Action, rungs: tuple[float | None, ...] | None
    ) -> dict[str, Any]:
        found: dict[str, Any] = self._rows(line, pivot.expected_action, action)
        if rungs is not None:
            found["comparators"] = dict(zip(_RUNGS, rungs, strict=True))
        if len(pivot.expected_action.calls) > 1 and self._run.grader is not None:
            with suppress(FcPivotError):
                found["pairs"] = self._run.grader.grade(pivot.expected_action, action).pairs
        return found

    def _rows(self, line: ResultLine, expected: Action, action: Action) -> dict[str, Any]:
        """Return both actions side by side."""
        wanted, given = expected.message, action.message
        if line.reward == 1.0 and wanted is not None and given is not None and not expected.calls and not action.calls:
            # the one row that there is, without a search for what is hard to see, which takes half of the time
            one, other = (shorten(printable(text), TEXT_WIDTH) for text in (wanted, given))
            row = Row(0, "message", "$.message", one, other, "equal" if wanted == given else "accepted")
            return {"rows": [row], "rows_left_out": 0}
        rows = align(expected, action, line.grade(), self._run.grader, most_rows=_MOST_ROWS)
        return {"rows": rows.rows, "rows_left_out": rows.left_out}

    def _before(self, entry: Entry, pivot: Pivot) -> dict[str, Any] | None:
        """Return the answer of the baseline to the same repeat of a pivot; None if there is none."""
        base = self._base
        other = None if base is None else base.entry_of(entry)
        if base is None or other is None or other.offset is None or self._base_stream is None:
            return None
        line = result_line(line_at(self._base_stream, other.offset))
        if line.has_no_answer:
            return None
        action = line.graded()
        rows = align(pivot.expected_action, action, line.grade(), self._run.grader, most_rows=_MOST_ROWS)
        return {"action": _action(action), "reward": line.reward, "category": line.category, "rows": rows.rows}


def _action(action: Action) -> Any:
    return msgspec.Raw(action_json(action).encode())


def _output(line: ResultLine) -> str | None:
    if not line.has_output:
        return None
    data = bytes(line.output)
    try:
        text = msgspec.json.format(data, indent=2).decode()
    except msgspec.MsgspecError:
        text = data.decode()
    if len(text) <= OUTPUT_WIDTH:
        return text
    return f"{text[:OUTPUT_WIDTH]}\n… {len(text) - OUTPUT_WIDTH} more characters; results.jsonl has all of it"
