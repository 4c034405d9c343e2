"""The only reader of a run's lines: those of `results.jsonl`, and of the call files beside it.

A run directory is data that may have been cut off, edited or made by somebody else. msgspec checks each line
completely, once; an accepted line can be counted, graded and copied without further checks. A refused line is reported
with its file, its number and the reason. Unknown members are ignored, because a newer version may write more of them.

Writers keep to the same limits (see `output.output_json`), so that we never refuse a line of our own.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import msgspec

from pytest_fcpivot.core.actions import MALFORMED_OUTPUT
from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.core.jsontext import one_line
from pytest_fcpivot.core.model import Action, FunctionCall, Grade
from pytest_fcpivot.core.usage import Count, Usage  # noqa: TC001 (msgspec reads the annotations)
from pytest_fcpivot.data.jsonparts import decoded, refuse_long_integers
from pytest_fcpivot.runs.inside import open_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO

LONGEST = 64 << 20  # bytes of a line, the same limit as for a row of data
DEEPEST = 500  # nested values; well below Python's recursion limit, of which pytest's own calls take a part
MOST_REPEATS = 1_000_000
_WIDTH = 200
_AT_ONCE = 1 << 14  # bytes that are read for a line of unknown length

_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Amount = Annotated[float, msgspec.Meta(ge=0, le=1e300)]


class DamagedLineError(ValueError):
    """A line is not as pytest-fcpivot writes it; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A line that cannot be read; `size` is in bytes. `test` is the node id of its test, if that is still readable.

    `torn`: it is an incomplete last line without a newline, as a killed process may leave it.
    """

    path: Path
    number: int
    reason: str
    size: int
    test: str | None = None
    torn: bool = False

    def __str__(self) -> str:
        return f"{self.path}:{self.number}: {self.reason}"


# -------------------------------------------------------------------- what a line holds


class Scored(msgspec.Struct, gc=False):
    """Who scored a message."""

    by: str
    score: _Share | None = None
    reason: str | None = None
    cause: str | None = None
    usage: Usage | None = None

    def scoring(self) -> tuple[str, float | None, str, tuple[int, int, int, int] | None, str | None]:
        """Return the score as a CaseRecord holds it."""
        tokens = None if self.usage is None else self.usage.counts()
        return self.by, self.score, self.reason or "", tokens, self.cause


class _Call(msgspec.Struct, gc=False, tag_field="type", tag="function_call"):
    name: str
    arguments: str

    def action(self) -> Action:
        return Action((FunctionCall(self.name, self.arguments),))


class _Message(msgspec.Struct, gc=False, tag_field="type", tag="message"):
    content: str

    def action(self) -> Action:
        return Action(message=self.content)


class _Batch(msgspec.Struct, gc=False, tag_field="type", tag="function_call_batch"):
    calls: Annotated[list[_Call], msgspec.Meta(min_length=1)]

    def action(self) -> Action:
        return Action(tuple(FunctionCall(call.name, call.arguments) for call in self.calls))


class _Malformed(msgspec.Struct, gc=False, tag_field="type", tag=MALFORMED_OUTPUT):
    text: str

    def action(self) -> Action:
        return Action(malformed=self.text)


_NOT_THERE = msgspec.Raw()


class ResultLine(msgspec.Struct, gc=False):
    """One line of `results.jsonl`: a test's result. `output` is JSON text that is known to be valid.

    `redacted`: a secret in the answer was replaced by ***, so that the line does not have the text that was graded.
    """

    test: str
    pivot_id: str
    trajectory_id: str
    expected: Literal["message", "function_call", "function_call_batch", "none"]
    outcome: Literal["passed", "failed", "error"]
    repeat: Annotated[int, msgspec.Meta(ge=1, le=MOST_REPEATS)]
    reward: _Share | None = None
    category: str | None = None
    path: str | None = None
    paths: list[str] = []
    further_paths: Count = 0
    halves: tuple[_Share, _Share] | None = None
    schema: str | None = None
    explanation: str | None = None
    judge: Scored | None = None
    flags: list[str] = []
    usage: Usage | None = None
    cost: _Amount | None = None
    latency_s: _Amount = 0.0
    attempts: Count = 0
    retried: list[str] = []
    error: str | None = None
    cause: str | None = None
    tool: str | None = None
    redacted: bool = False
    action: _Call | _Message | _Batch | _Malformed | msgspec.UnsetType | None = msgspec.UNSET
    output: msgspec.Raw = _NOT_THERE

    @property
    def is_error(self) -> bool:
        """Whether there is no grade."""
        return self.outcome == "error"

    @property
    def has_no_answer(self) -> bool:
        """Whether this is an error of the agent; after other errors, as of the grader, the answer can be graded."""
        return self.is_error and (self.action is None or self.action is msgspec.UNSET)

    @property
    def has_output(self) -> bool:
        """Whether there is an output other than null; null counts as none, although an agent may return it."""
        return bytes(self.output) not in (b"", b"null")

    @property
    def has_action(self) -> bool:
        """Whether the line has the graded action; lines of early versions do not."""
        return self.action is not msgspec.UNSET

    @property
    def kind(self) -> str | None:
        """The type of the graded action; None if there is none."""
        action = self.action
        return None if action is None or isinstance(action, msgspec.UnsetType) else _KINDS[type(action)]

    @property
    def message(self) -> str | None:
        """The graded message; None if the action was not a message."""
        return self.action.content if isinstance(self.action, _Message) else None

    def grade(self) -> Grade | None:
        """Return the grade as far as it is recorded, which the pairs of calls are not; None for an error."""
        if self.reward is None:
            return None
        return Grade(
            self.reward,
            self.category or "",
            self.explanation or "",
            self.path,
            paths=tuple(self.paths),
            further_paths=self.further_paths,
            halves=self.halves,
        )

    def graded(self) -> Action:
        """Return the graded action; an empty Action if there was none, or the line does not have it."""
        action = self.action
        return Action() if action is None or isinstance(action, msgspec.UnsetType) else action.action()


_KINDS: dict[type, str] = {
    _Call: "function_call",
    _Message: "message",
    _Batch: "function_call_batch",
    _Malformed: MALFORMED_OUTPUT,
}


class CallLine(msgspec.Struct, gc=False):
    """One line of a call file: the begin of a test's call, or its end, with or without the answer as JSON text."""

    began: str | None = None
    ended: str | None = None
    latency_s: _Amount = 0.0
    attempts: Count = 1
    retried: list[str] = []
    usage: Usage | None = None
    output: msgspec.Raw = _NOT_THERE

    @property
    def has_output(self) -> bool:
        """Whether there is an answer."""
        return bool(bytes(self.output))


def output_of(line: ResultLine | CallLine) -> Any:
    """Decode the output of a line that was read; None if there is none."""
    text = bytes(line.output)
    return decoded(text) if text else None


# -------------------------------------------------------------------- reading one line

_results = msgspec.json.Decoder(ResultLine).decode
_calls = msgspec.json.Decoder(CallLine).decode
_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_STRINGS = re.compile(_STRING, re.DOTALL)
_BRACKETS = re.compile(rb"[\[{]|[\]}]")
_OPENING = b"[{"
_LOOKED_AT = 1 << 20
_OF_RESULT, _OF_CALL = (
    re.compile(rb'"(?:' + names + rb')"\s*+:\s*+(' + _STRING + rb")", re.DOTALL) for names in (b"test", b"ended|began")
)
_HALF = re.compile(  # a lone surrogate: one half of a character that JSON escapes as two
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
)


def result_line(data: bytes) -> ResultLine:
    """Read a line of `results.jsonl`; raises DamagedLineError for any bytes that are not one, and no other error."""
    line: ResultLine = _read(data, _results, ResultLine)
    if (line.reward is None) != line.is_error:
        reason = "an error has a reward" if line.is_error else f"{line.outcome} without a reward"
        raise DamagedLineError(reason)
    return line


def call_line(data: bytes) -> CallLine:
    """Read a line of a call file; raises as `result_line` does."""
    line: CallLine = _read(data, _calls, CallLine)
    if (line.began is None) == (line.ended is None):
        raise DamagedLineError("neither the beginning of one call nor its end")
    return line


def _read(data: bytes, decode: Callable[[bytes], Any], kind: Any) -> Any:
    try:
        try:
            line = decode(data)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            if not _HALF.search(data):
                raise
            line = _read_slowly(data, kind)  # lone surrogates: valid JSON for Python, but msgspec refuses them
        if not data.isascii():
            data.decode()
        if is_too_deep(data):
            refuse_depth()
        refuse_long_integers(data)
    except DamagedLineError:
        raise
    except RecursionError:
        refuse_depth()
    except MemoryError:
        raise DamagedLineError("too large for the memory of this process") from None
    except UnicodeDecodeError as error:
        raise DamagedLineError(_not_utf8(error)) from None
    except (ValueError, msgspec.MsgspecError) as error:
        if "UTF-8" in str(error):  # msgspec 0.23 says so, and not where
            try:
                data.decode()
            except UnicodeDecodeError as place:
                raise DamagedLineError(_not_utf8(place)) from None
        raise DamagedLineError(_in_words(data, error)) from None
    return line


def _not_utf8(error: UnicodeDecodeError) -> str:
    return f"not UTF-8 (byte {error.start + 1})"


def refuse_depth() -> NoReturn:
    """Raise DamagedLineError for a text that `is_too_deep`."""
    raise DamagedLineError(f"nested too deep: more than {DEEPEST} values inside each other") from None


def _read_slowly(data: bytes, kind: Any) -> Any:
    if is_too_deep(data):
        refuse_depth()
    value = json.loads(data.decode(), parse_constant=_refuse_constant)
    if isinstance(value, dict) and "output" in value:
        value["output"] = msgspec.Raw(json.dumps(value["output"]).encode())
    return msgspec.convert(value, kind)


def _refuse_constant(name: str) -> NoReturn:
    raise DamagedLineError(f"not JSON: {name}")


def is_too_deep(data: bytes) -> bool:
    """Return whether a JSON text is nested deeper than a line may be."""
    if data.count(b"{") + data.count(b"[") <= DEEPEST:
        return False
    bare = _STRINGS.sub(b"", data)  # brackets inside of strings do not count
    if bare.count(b"{") + bare.count(b"[") <= DEEPEST:
        return False
    depth = 0
    for found in _BRACKETS.finditer(bare):
        depth += 1 if found[0] in _OPENING else -1
        if depth > DEEPEST:
            return True
    return False


_EXPECTED = re.compile(r"Expected `([^`]*)`, got `([^`]*)`(?: - at `(.*)`)?")
_MISSING = re.compile(r"Object missing required field `([^`]*)`(?: - at `(.*)`)?")
_AT_ITS_END = "Input data was truncated"
_ELSE = re.compile(r"(.*?)(?: - at `(.*)`)?")
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a string",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def _in_words(data: bytes, error: Exception) -> str:
    """Reword an error of msgspec or of Python's JSON decoder for readers who know neither."""
    text = str(error)
    if not data.strip():
        return "an empty line"
    if not data.strip(b"\0\r\n"):
        return "nothing but zero bytes, as a crashed machine leaves them"
    if not isinstance(error, msgspec.ValidationError):
        text = text.removeprefix("JSON is malformed: ")
        if text in (_AT_ITS_END, f"invalid character (byte {len(data) - 1})"):
            text = "it ends too early"
        return one_line(f"not JSON: {text}", _WIDTH)
    found = _EXPECTED.fullmatch(text)
    if found is not None:
        wanted, got, at = found.groups()
        return one_line(f"{_at(at)}{_kinds(wanted)} is needed, not {_kinds(got)}", _WIDTH)
    found = _MISSING.fullmatch(text)
    if found is not None:
        return one_line(f"{_at(found[2])}{found[1]} is missing", _WIDTH)
    found = _ELSE.fullmatch(text)
    text, at = (text, None) if found is None else found.groups()
    return one_line(f"{_at(at)}{text.replace('`', '')}", _WIDTH)


def _at(path: str | None) -> str:
    return "" if path is None or path == "$" else f"{path.removeprefix('$.')}: "


def _kinds(names: str) -> str:
    return " or ".join(_WORDS.get(name, name) for name in names.split(" | "))


def _test_in(data: bytes, name: re.Pattern[bytes] | None) -> str | None:
    """Find the test of a damaged line by its name, which is before the answer; None if it cannot be read."""
    found = None if name is None else name.search(data, 0, _LOOKED_AT)
    try:
        return None if found is None else str(decoded(found[1]))
    except ValueError:
        return None


# -------------------------------------------------------------------- reading files


def open_regular(path: Path) -> BinaryIO:
    """Open a file of a run for reading, without following a link or waiting for a pipe.

    Raises RunError for anything but a plain file, OSError if it cannot be opened.
    """
    return os.fdopen(open_plain(path), "rb")


def whole_file(path: Path, most: int) -> bytes | None:
    """Read a small file of a run; None if it has more than `most` bytes. Raises as `open_regular` does."""
    with open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        return None if size > most else stream.read(size)


def results_in(path: Path) -> Iterator[tuple[int, ResultLine | Damage]]:
    """Yield each line of a `results.jsonl` with its offset in bytes; raises RunError if the file cannot be read."""
    return lines_of(path, result_line, _OF_RESULT)


def calls_in(path: Path) -> Iterator[tuple[int, CallLine | Damage]]:
    """Yield each line of a call file, as `results_in` does."""
    return lines_of(path, call_line, _OF_CALL)


def lines_of(
    path: Path, read: Callable[[bytes], Any], name: re.Pattern[bytes] | None, *, is_given: bool = False
) -> Iterator[tuple[int, Any]]:
    """Yield the offset of each line with the result of `read`, or a Damage; `name` finds a damaged line's test.

    A last line that lacks only its newline counts. `is_given`: the user named the file, so that it may be a link or a
    pipe. Raises RunError if the file cannot be read.
    """
    try:
        with path.open("rb") if is_given else open_regular(path) as stream:
            number = offset = 0
            while data := stream.readline(LONGEST + 1):
                number += 1
                size, ended = len(data), data.endswith(b"\n")
                if size > LONGEST and not ended:
                    rest, ended = _pass_line(stream)
                    size += rest
                    reason = f"longer than {LONGEST >> 20} MB ({size >> 20} MB)"
                    yield offset, Damage(path, number, reason, size, _test_in(data, name), torn=not ended)
                else:
                    try:
                        yield offset, read(data)
                    except DamagedLineError as error:
                        reason = str(error) if ended else "cut short"
                        yield offset, Damage(path, number, reason, size, _test_in(data, name), torn=not ended)
                offset += size
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror or error}") from error


def line_at(stream: BinaryIO, offset: int) -> bytes:
    """Return the line at an offset in bytes, without the stream's buffer, which is slow for lines here and there."""
    raw = stream.raw  # type: ignore[attr-defined] # a BufferedReader, as `open` makes them
    raw.seek(offset)
    data: bytes = raw.read(_AT_ONCE)
    end = data.find(b"\n") + 1
    if end:
        return data[:end]
    found = [data]
    size = len(data)
    while data and size <= LONGEST:
        data = raw.read(min(len(data) * 2, LONGEST + 1 - size))
        end = data.find(b"\n") + 1
        found.append(data[:end] if end else data)
        size += len(data)
        if end:
            break
    return b"".join(found)


def _pass_line(stream: BinaryIO) -> tuple[int, bool]:
    """Skip the rest of a line; returns its size in bytes, and whether it ends with a newline."""
    size = 0
    while data := stream.readline(1 << 20):
        size += len(data)
        if data.endswith(b"\n"):
            return size, True
    return size, False
