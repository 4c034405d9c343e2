"""Write one pivot and its result as a person reads it: the conversation, the tools, both actions, and the grade."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.jsontext import printable, shorten
from pytest_fcpivot.core.redact import Redactor
from pytest_fcpivot.core.words import count_of
from pytest_fcpivot.data import SAMPLE_PATH
from pytest_fcpivot.graders.settings_text import shown_settings
from pytest_fcpivot.report.aligned import align
from pytest_fcpivot.report.merged import price_of
from pytest_fcpivot.report.rerun_text import rerun_lines
from pytest_fcpivot.report.screen import columns, padded, side_by_side, wrapped
from pytest_fcpivot.report.turns import Parameter, argument_lines, parameters_of, readable, signature, turns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pytest_fcpivot.audit.one_pivot import OnePivot
    from pytest_fcpivot.core.model import Grade
    from pytest_fcpivot.report.aligned import Row
    from pytest_fcpivot.report.screen import Line, Style
    from pytest_fcpivot.report.turns import Turn
    from pytest_fcpivot.runs.reader import ResultLine

_LINES = 60  # of a text, unless everything is asked for
_CHARACTERS = 8_000
_MOST = 2_000_000  # characters of a text, even if everything is asked for
_SIDE_BY_SIDE = 100  # columns, from which on the two actions stand beside each other
_LABELS = 30  # columns of the keys, if they stand beside each other
_NARROWEST = 20
_UNFOLDED = ("call", "arguments")  # rows whose inner ones are always shown
_FIELD = 10  # columns of a field's name
_MARKS: Mapping[str, tuple[str, Style]] = {
    "differs": ("≠", "bad"),
    "missing": ("-", "bad"),
    "surplus": ("+", "bad"),
    "accepted": ("~", "warn"),
    "equal": (" ", "plain"),
}
_TITLES: Mapping[str, tuple[str, Style]] = {
    "system": ("", "dim"),
    "user": ("", "name"),
    "assistant": ("", "name"),
    "call": ("assistant calls ", "name"),
    "result": ("result of ", "dim"),
    "reasoning": ("", "dim"),
    "other": ("item of the type ", "warn"),
}
_OUTCOMES: Mapping[str, Style] = {"passed": "good", "failed": "bad", "error": "bad"}


def lines_of(found: OnePivot, width: int, *, full: bool = False) -> list[Line]:
    """Return the lines of a pivot for a screen of `width` columns; with `full`, no text is cut.

    Secrets are hidden, and what cannot be seen is escaped.
    """
    return list(_View(found, max(_NARROWEST, width), full=full).lines())


class _View:
    def __init__(self, found: OnePivot, width: int, *, full: bool) -> None:
        self._found = found
        self._width = width
        self._full = full
        self._redact = Redactor()
        self._cut = False  # a text was cut

    def lines(self) -> Iterator[Line]:
        """Yield all lines."""
        yield from self._heading()
        yield from self._conversation()
        yield from self._tools()
        yield from self._actions()
        yield from self._verdicts()
        yield from self._rerun()
        if self._cut:
            yield ()
            yield from self._text("Some texts are cut; --full shows them whole.", "dim")

    # ---------------------------------------------------------------- parts of lines

    def _clean(self, text: str) -> str:
        """Return a text without secrets, in which all can be seen; it is cut if it is very long."""
        if len(text) > _MOST:
            text = shorten(text, _MOST)
        return printable(self._redact(text))

    def _text(self, text: str, style: Style = "plain", indent: int = 0) -> Iterator[Line]:
        """Yield a text of any length, wrapped."""
        for line in wrapped(self._clean(text), self._width - indent):
            yield ((" " * indent + line, style),)

    def _long_text(self, text: str, style: Style = "plain", indent: int = 2) -> Iterator[Line]:
        """Yield a text of the data, of which the middle is left out if it is long."""
        if not self._full and len(text) > _CHARACTERS:
            self._cut = True
            text = shorten(text, _CHARACTERS)
        lines = list(self._text(text, style, indent))
        if self._full or len(lines) <= _LINES:
            yield from lines
            return
        self._cut = True
        ends = _LINES // 3
        yield from lines[: _LINES - ends]
        yield (((" " * indent) + f"… {count_of(len(lines) - _LINES, 'more line')} …", "dim"),)
        yield from lines[-ends:]

    def _head(self, title: str) -> Iterator[Line]:
        yield ()
        yield ((title, "head"), (" " + "─" * max(0, self._width - columns(title) - 1), "dim"))

    def _field(self, name: str, text: str, style: Style = "plain") -> Iterator[Line]:
        """Yield a short name with its text, which is indented if it is long."""
        lines = wrapped(self._clean(text), self._width - _FIELD)
        for number, line in enumerate(lines or [""]):
            yield ((padded("" if number else name, _FIELD), "dim"), (line, style))

    # ---------------------------------------------------------------- what it is

    def _heading(self) -> Iterator[Line]:
        found, line = self._found, self._found.line
        name = found.test or found.pivot_id
        outcome = "no result" if line is None else line.outcome
        style: Style = "warn" if line is None else _OUTCOMES[line.outcome]
        name_lines = wrapped(self._clean(name), self._width)
        for number, text in enumerate(name_lines):
            if number == len(name_lines) - 1 and columns(text) + len(outcome) + 2 <= self._width:
                yield ((text, "head"), ("  ", "plain"), (outcome.upper(), style))
            else:
                yield ((text, "head"),)
                if number == len(name_lines) - 1:
                    yield ((outcome.upper(), style),)
        grade = found.grade
        if grade is not None:
            explanation = f": {grade.explanation}" if grade.explanation else ""
            yield from self._text(f"reward {grade.reward:.3g}, {grade.category}{explanation}", style)
        elif line is not None and line.error:
            yield from self._text(f"{line.cause or 'error'}: {line.error}".split("\n", 1)[0], style)
        yield from self._about()

    def _about(self) -> Iterator[Line]:
        found = self._found
        if found.run is not None and found.description is not None:
            described = found.description
            grader = described["grader"]
            settings = grader.get("settings") or {}
            yield from self._field("run", f"{found.run}, started {_time(described.get('started'))}")
            model = f", model {described['model']}" if described.get("model") else ""
            yield from self._field("agent", f"{described['agent']}{model}")
            written = f"{grader['name']}" + (f", {shown_settings(settings)}" if settings else "")
            yield from self._field("grader", written)
        if found.data_name is not None:
            path = None if found.data_path is None else str(found.data_path)
            where = "" if path in (None, found.data_name) else f", {path}"
            is_sample = path == str(SAMPLE_PATH)
            yield from self._field("data", "sample, the bundled file" if is_sample else f"{found.data_name}{where}")
        pivot = found.pivot
        if pivot is not None:
            numbers = (("turn", pivot.turn), ("step", pivot.step), ("depth", pivot.depth), ("line", pivot.source_line))
            known = [f"{name} {number}" for name, number in numbers if number is not None]
            yield from self._field("pivot", ", ".join([pivot.id, f"trajectory {pivot.trajectory_id}", *known]))
        for other in found.others:
            reward = "" if other.reward is None else f", reward {other.reward:.3g}"
            yield from self._field(f"repeat {other.repeat}", f"{other.outcome}{reward}", _OUTCOMES[other.outcome])
        for note in found.notes:
            yield from self._field("note", note, "warn")

    # ---------------------------------------------------------------- the conversation and the tools

    def _conversation(self) -> Iterator[Line]:
        pivot = self._found.pivot
        if pivot is None:
            return
        said = turns(pivot.input)
        yield from self._head(f"Conversation: {count_of(len(said), 'item')}")
        for turn in said:
            yield from self._turn(turn)
        if pivot.params:
            yield from self._field("params", ", ".join(f"{name}={value!r}" for name, value in pivot.params.items()))

    def _turn(self, turn: Turn) -> Iterator[Line]:
        before, style = _TITLES[turn.kind]
        title = self._clean(turn.title.replace("\n", " "))
        for line in wrapped(f"{before}{title}", self._width):
            yield ((line, style),)
        if turn.kind == "call":
            for text in argument_lines(turn.text):
                yield from self._long_text(text)
        else:
            text = readable(turn.text).strip("\n")
            yield from self._long_text(text, "dim" if turn.kind in ("reasoning", "system") else "plain")

    def _tools(self) -> Iterator[Line]:
        found = self._found
        if found.pivot is None:
            return
        tools = [tool for tool in found.pivot.tools if isinstance(tool, dict)]
        yield from self._head(f"Tools on offer: {len(tools)}")
        expected = {call.name for call in found.pivot.expected_action.calls}
        called = {call.name for call in found.action.calls} if found.action is not None else set()
        for tool in sorted(tools, key=lambda tool: tool.get("name") not in expected | called):
            name = tool.get("name")
            marks = [mark for names, mark in ((expected, "expected"), (called, "called")) if name in names]
            yield from self._tool(tool, marks, whole=bool(marks) or self._full)

    def _tool(self, tool: dict[str, Any], marks: Sequence[str], *, whole: bool) -> Iterator[Line]:
        parameters = parameters_of(tool)
        written = "".join(part for part, _ in signature(tool, parameters))
        mark = f"  ← {' and '.join(marks)}" if marks else ""
        for line in wrapped(self._clean(written) + mark, self._width):
            yield ((line, "name" if marks else "plain"),)
        if not whole:
            return
        description = tool.get("description")
        if isinstance(description, str) and description.strip():
            yield from self._long_text(description.strip(), "dim")
        for parameter in parameters:
            yield from self._parameter(parameter, self._is_at_fault(parameter, tool))

    def _is_at_fault(self, parameter: Parameter, tool: dict[str, Any]) -> bool:
        """Return whether the schema's verdict names this parameter of a called tool."""
        found = self._found
        if found.verdict is None or found.verdict.path is None or found.action is None:
            return False
        called = any(call.name == tool.get("name") for call in found.action.calls)
        return called and found.verdict.path.startswith(f"$.{parameter.name}")

    def _parameter(self, parameter: Parameter, at_fault: bool) -> Iterator[Line]:
        need = "required" if parameter.required else "optional"
        text = f"{parameter.name}: {parameter.wanted}, {need}"
        text += f" ({' '.join(parameter.description.split())})" if parameter.description.strip() else ""
        if at_fault:
            text += "  ← the schema's verdict is about this one"
        yield from self._long_text(text, "bad" if at_fault else "plain")

    # ---------------------------------------------------------------- both actions

    def _actions(self) -> Iterator[Line]:
        found, line = self._found, self._found.line
        if found.pivot is None:
            yield from self._answer_alone()
            return
        expected = found.pivot.expected_action
        if found.action is None:
            yield from self._head("Expected action")
            yield from self._table(align(expected, expected).rows, only="expected")
            if line is not None:
                yield from self._text("There is no action of the agent to compare it with.", "warn")
            return
        yield from self._head("Expected and actual action")
        grade = None if line is None or line.is_error else found.compared
        aligned = align(expected, found.action, grade, found.grader)
        yield from self._table(aligned.rows)
        if aligned.left_out:
            yield from self._text(f"… and {count_of(aligned.left_out, 'more row')}, which are left out", "dim")
        yield from self._legend(aligned.rows)
        for path in aligned.unplaced:
            yield from self._text(f"the grader also names {path}, which is in neither action", "warn")
        further = 0 if grade is None else grade.further_paths
        if further:
            yield from self._text(f"the grader counts {count_of(further, 'further difference')}", "dim")

    def _answer_alone(self) -> Iterator[Line]:
        """Yield what the results alone say, without the data."""
        found, line = self._found, self._found.line
        if line is None:
            return
        yield from self._head("Actual action, without the expected one, which is in the data")
        kinds = {"none": "nothing", "function_call_batch": "several function calls", "function_call": "a function call"}
        tool = f" of {line.tool}" if line.tool else ""
        yield from self._field("expected", f"{kinds.get(line.expected, 'a message')}{tool}")
        action = found.action
        if action is None:
            yield from self._text("There is no action of the agent.", "warn")
        else:
            yield from self._table(align(action, action).rows, only="actual")

    def _legend(self, rows: Iterable[Row]) -> Iterator[Line]:
        words = {
            "differs": "differs",
            "missing": "only expected",
            "surplus": "only in the answer",
            "accepted": "not the same, but the grader accepts it",
        }
        there = {row.state for row in rows}
        parts = [f"{_MARKS[state][0]} {word}" for state, word in words.items() if state in there]
        if any(row.named for row in rows):
            parts.append("* named by the grader")
        if parts:
            yield from self._text("   ".join(parts), "dim")

    def _table(self, rows: Sequence[Row], only: str | None = None) -> Iterator[Line]:
        """Yield the rows of a comparison, or of one action alone; what is equal inside of arguments is one row."""
        visible, hidden_under = [], None
        for row in rows:
            if hidden_under is not None and row.depth > hidden_under:
                continue
            hidden_under = None
            if row.inner and row.expected is not None and row.actual is not None:
                if only is None and row.state == "equal" and row.folded and row.key not in _UNFOLDED:
                    hidden_under = row.depth
                elif row.key != "call":
                    row = replace(row, expected="", actual="")  # noqa: PLW2901 (the rows under it say more)
            visible.append(row)
        if only is None and self._width >= _SIDE_BY_SIDE:
            yield from self._in_columns(visible)
        else:
            for row in visible:
                yield from self._one_below_the_other(row, only)

    def _in_columns(self, rows: Sequence[Row]) -> Iterator[Line]:
        keys = [self._clean(f"{'  ' * row.depth}{row.key}") for row in rows]
        labels = min(_LABELS, max(map(columns, keys), default=0))
        each = (self._width - labels - 9) // 2
        yield from side_by_side(
            [("", 2, "dim"), ("", labels, "dim"), ("expected", each, "dim"), ("actual", each, "dim")]
        )
        for row, key in zip(rows, keys, strict=True):
            mark, style = _MARKS[row.state]
            cells = [self._clean("" if text is None else text) for text in (row.expected, row.actual)]
            yield from side_by_side(
                [
                    (f"{mark}{'*' if row.named else ' '}", 2, style),
                    (key, labels, "plain"),
                    *((cell, each, style) for cell in cells),
                ]
            )
            if row.remark:
                yield from self._text(row.remark, "dim", 4 + labels)

    def _one_below_the_other(self, row: Row, only: str | None) -> Iterator[Line]:
        mark, style = _MARKS["equal" if only else row.state]
        start = f"{mark}{'*' if row.named and not only else ' '} "
        indent = len(start) + 2 * row.depth
        key = self._clean(row.key)
        one, other = (self._clean("" if text is None else text) for text in (row.expected, row.actual))
        if only or (row.state == "equal" and one == other):
            yield from self._labelled(start, f"{'  ' * row.depth}{key}", one, style)
            return
        if row.expected is None or row.actual is None:
            side = " (only in the answer)" if row.expected is None else " (only expected)"
            yield from self._labelled(start, f"{'  ' * row.depth}{key}", (one or other) + side, style)
            return
        yield ((start, style), ("  " * row.depth + key, style))
        for name, text in (("expected  ", one), ("actual    ", other)) if one or other or not row.inner else ():
            for number, line in enumerate(wrapped(text, self._width - indent - 2 - len(name))):
                yield ((" " * (indent + 2) + ("" if number else name).ljust(len(name)), "dim"), (line, style))
        if row.remark:
            yield from self._text(row.remark, "dim", indent + 2)

    def _labelled(self, start: str, key: str, text: str, style: Style) -> Iterator[Line]:
        before = f"{start}{key}: "
        if not text:
            yield ((f"{start}{key}", style),)
            return
        room = self._width - columns(before)
        if room < _NARROWEST or "\n" in text:
            yield ((before, style),)
            indent = min(6, self._width // 4)
            for line in wrapped(text, self._width - indent):
                yield ((" " * indent + line, style),)
            return
        for number, line in enumerate(wrapped(text, room)):
            yield ((padded("" if number else before, columns(before)), style), (line, style))

    # ---------------------------------------------------------------- what was made of it

    def _verdicts(self) -> Iterator[Line]:
        found, line = self._found, self._found.line
        if line is None:
            return
        yield from self._head("Result")
        if found.grade is not None:
            yield from self._grade(found.grade)
        if line.error:
            yield from self._field("error", line.error, "bad")
            if line.cause:
                yield from self._field("cause", line.cause, "bad")
        yield from self._schema(line)
        yield from self._judge(line)
        yield from self._calls(line)
        output = found.output
        unread = found.action is None or found.action.malformed is not None
        if output is not None and (self._full or line.is_error or unread):
            text = output if isinstance(output, str) else json.dumps(output, indent=2, ensure_ascii=False)
            yield (("output", "dim"),)
            yield from self._long_text(text)

    def _grade(self, grade: Grade) -> Iterator[Line]:
        mark = (self._found.description or {}).get("pass_mark", 1.0)
        halves = "" if grade.halves is None else " (name {:.3g}, arguments {:.3g})".format(*grade.halves)
        passed = "" if mark == 1.0 else f", pass mark {mark:.3g}"
        yield from self._field("reward", f"{grade.reward:.3g}{halves}{passed}")
        yield from self._field("category", grade.category)
        if grade.explanation:
            yield from self._field("why", grade.explanation)

    def _schema(self, line: ResultLine) -> Iterator[Line]:
        verdict = self._found.verdict
        if verdict is not None and (line.schema is None or verdict.status == line.schema.partition(" ")[0]):
            style: Style = "good" if verdict.status == "valid" else "plain" if verdict.status == "no-call" else "bad"
            explanation = f": {verdict.explanation}" if verdict.explanation else ""
            yield from self._field("schema", f"{verdict}{explanation}", style)
        elif line.schema is not None:
            yield from self._field("schema", line.schema)

    def _judge(self, line: ResultLine) -> Iterator[Line]:
        judge = line.judge
        if judge is None:
            return
        score = "no score" if judge.score is None else f"score {judge.score:.3g}"
        yield from self._field("judge", f"{score}, by {judge.by}" + (f": {judge.reason}" if judge.reason else ""))
        if judge.cause:
            yield from self._field("", f"the judge did not answer: {judge.cause}", "bad")

    def _calls(self, line: ResultLine) -> Iterator[Line]:
        usage = line.usage
        parts = [f"{line.latency_s:.2f} s", count_of(line.attempts, "attempt")]
        if usage is not None:
            parts.append(f"{usage.input:,} tokens read, {usage.output:,} written")
        if line.cost is not None:
            price = price_of((self._found.description or {}).get("options") or {})
            parts.append(f"cost {line.cost:.4g}" + ("" if price is None else f" {price.currency}"))
        yield from self._field("call", ", ".join(parts))
        if line.retried:
            yield from self._field("retried", f"because of {', '.join(line.retried)}", "warn")
        if line.flags:
            yield from self._field("flags", ", ".join(line.flags), "warn")

    def _rerun(self) -> Iterator[Line]:
        yield from self._head("Run it again")
        for text, is_command in rerun_lines(self._found):
            clean = self._clean(text)
            if is_command:  # it is not wrapped, so that it can be copied
                yield (("  " + clean, "name"),)
                if clean != text:
                    yield from self._text("(a part of the command is hidden or escaped: put it in again)", "dim", 2)
            else:
                yield from self._text(text, "dim")


def _time(text: str | None) -> str:
    """Write a recorded time to the minute; as it is, if it is not one."""
    if not text:
        return "at an unknown time"
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{when:%Y-%m-%d %H:%M} {when.tzname() or ''}".rstrip()
