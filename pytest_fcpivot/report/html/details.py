"""Write the details of pivots and their results as JSON, for the parts of a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pytest_fcpivot.audit.comparators import LADDER, Case, grades
from pytest_fcpivot.core.model import Grade
from pytest_fcpivot.report.aligned import align
from pytest_fcpivot.report.html.parts import Details, encoded
from pytest_fcpivot.report.html.results import OUTCOMES
from pytest_fcpivot.runs.output import action_json
from pytest_fcpivot.runs.reader import line_at, open_regular, result_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from pytest_fcpivot.core.model import Action, Pivot
    from pytest_fcpivot.report.html.reading import RunRead
    from pytest_fcpivot.report.html.results import Entry
    from pytest_fcpivot.runs.reader import ResultLine

OUTPUT_WIDTH = 20_000  # characters
_MOST_ROWS = 200


class DetailsOf:
    """Writes the details of a run's pivots; reads the results and the data again, a pivot at a time."""

    def __init__(self, run: RunRead) -> None:
        self._run = run
        self._stream = open_regular(run.path / "results.jsonl")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stream.close()

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
            "rows": [],
            "comparators": None,
            "pairs": [],
        }
        if pivot is not None and not line.has_no_answer:
            found |= self._compared(line, pivot, action)
        return found

    def _compared(self, line: ResultLine, pivot: Pivot, action: Action) -> dict[str, Any]:
        grade = None
        if line.reward is not None:
            grade = Grade(line.reward, line.category or "", path=line.path, paths=tuple(line.paths))
        rows = align(pivot.expected_action, action, grade, self._run.grader, most_rows=_MOST_ROWS)
        case = Case(pivot.expected_action, action, pivot.tools_json, line.reward)
        rungs = {
            rung.name: None if graded is None else graded.reward
            for rung, graded in zip(LADDER, grades(case), strict=True)
        }
        return {"rows": rows.rows, "rows_left_out": rows.left_out, "comparators": rungs}


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
