"""The nouns of the field as frozen data: pivot, action, function call, message, grade, schema verdict."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

ActionKind = Literal["function_call", "function_call_batch", "message", "none"]
SchemaStatus = Literal["valid", "invalid", "unknown-tool", "unusable-schema", "no-call"]


@dataclass(frozen=True, slots=True)
class Message:
    """A message to the user."""

    content: str


@dataclass(frozen=True, slots=True, init=False)
class FunctionCall:
    """A call of one tool.

    `arguments` is JSON text, kept as the model wrote it. A value other than a string is encoded as JSON once, here;
    raises TypeError or ValueError for a value that JSON cannot hold, and TypeError for a name that is not a string.
    """

    name: str
    arguments: str

    def __init__(self, name: str, arguments: Any = "{}") -> None:
        if not isinstance(name, str):
            raise TypeError(f"the name of a called function must be a string, not {type(name).__name__}")
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "arguments", arguments)


@dataclass(frozen=True, slots=True)
class Action:
    """What an agent does at a pivot: function calls in order, or a message, or nothing.

    With calls, the text that came beside them is not part of the action (docs/grading.md, section 1.1). `malformed` is
    the raw text of an output that the model's server reported it could not parse; such an action has neither calls nor
    a message, and every bundled grader gives it 0 with `NO_ACTION_FOUND`.
    """

    calls: tuple[FunctionCall, ...] = ()
    message: str | None = None
    malformed: str | None = None

    @property
    def kind(self) -> ActionKind:
        """Return the type of the action under the name that the FC-Pivot datasets use for it."""
        if self.calls:
            return "function_call" if len(self.calls) == 1 else "function_call_batch"
        return "none" if self.message is None else "message"

    @property
    def length(self) -> int:
        """Return the number of characters: of all calls' arguments, or of the message, or of the malformed text."""
        if self.calls:
            return sum(len(call.arguments) for call in self.calls)
        return len(self.message or self.malformed or "")


@dataclass(frozen=True, slots=True)
class Pair:
    """An expected call and the actual one that it was paired with, by their positions from 0.

    `actual` is None for an expected call that found no partner, `expected` for a surplus call; the reward is then 0.
    """

    expected: int | None
    actual: int | None
    reward: float


@dataclass(frozen=True, slots=True)
class Grade:
    """A grader's verdict on one action.

    `reward` is in [0, 1]; `category` is one of the grader's names for outcomes; `path` is the JSON path of the first
    difference, inside the arguments, with `expected` and `actual` the values there as shortened JSON.

    A grader that gives partial credit may add details. `paths` are the JSON paths of everything that did not match,
    including the first; `further_paths` is the number of mismatches beyond those listed. Where several calls are
    expected, the paths lead into the expected action, as in `$.calls[1].arguments.city`. `halves` are the contributions
    of the name and of the arguments to the reward, at most 0.5 each. `pairs` records which expected call was compared
    with which actual one, if there were several.
    """

    reward: float
    category: str
    explanation: str = ""
    path: str | None = None
    expected: str | None = None
    actual: str | None = None
    paths: tuple[str, ...] = ()
    further_paths: int = 0
    halves: tuple[float, float] | None = None
    pairs: tuple[Pair, ...] = ()


@dataclass(frozen=True, slots=True)
class SchemaVerdict:
    """Whether an action's arguments fit the called tools' schemas; `path` and `keyword` say where they do not."""

    status: SchemaStatus
    path: str | None = None
    keyword: str | None = None
    explanation: str = ""

    def __str__(self) -> str:
        return self.status if self.path is None else f"{self.status} at {self.path} ({self.keyword})"


@dataclass(frozen=True, slots=True, eq=False)
class Pivot:
    """One decision point of an expert's trajectory, with the expert's next action.

    The conversation and the tools are held as JSON text and decoded at each access, so no two users of a pivot share
    an object. `view()` is what an agent gets: the same without the answer.
    """

    id: str
    trajectory_id: str
    expected_action: Action = field(repr=False)
    input_json: str = field(repr=False)
    tools_json: str = field(default="[]", repr=False)
    params_json: str = field(default="{}", repr=False)
    metadata_json: str = field(default="{}", repr=False)
    turn: int | None = None
    step: int | None = None
    depth: int | None = None
    source_line: int | None = None
    split: str | None = None
    n_tools: int | None = None

    @classmethod
    def from_row(cls, row: Mapping[str, Any], line: int = 1) -> Pivot:
        """Read one row of the FC-Pivot shape; raises RowProblem with the reason if the row is broken."""
        # Part of the public interface; the reader is imported late because `core` must not depend on a file format.
        rows: Any = import_module("pytest_fcpivot.data.rows")
        pivot: Pivot = rows.pivot_from_row(row, line)
        return pivot

    @property
    def input(self) -> list[dict[str, Any]]:
        """Decode the conversation so far, as Responses input items."""
        items: list[dict[str, Any]] = json.loads(self.input_json)
        return items

    @property
    def tools(self) -> list[dict[str, Any]]:
        """Decode the tools on offer, as flat function tools."""
        tools: list[dict[str, Any]] = json.loads(self.tools_json)
        return tools

    @property
    def params(self) -> dict[str, Any]:
        """Decode the request's other settings (`parallel_tool_calls`, `tool_choice`, …)."""
        params: dict[str, Any] = json.loads(self.params_json)
        return params

    @property
    def metadata(self) -> dict[str, Any]:
        """Decode the row's further fields; never shown to an agent."""
        metadata: dict[str, Any] = json.loads(self.metadata_json)
        return metadata

    def view(self, repeat: int = 1) -> PivotView:
        """Return the pivot as the agent under test sees it: without the answer and without metadata."""
        return PivotView(self.id, self.input_json, self.tools_json, self.params_json, repeat)


class PivotView:
    """A pivot without its answer: what an agent is called with.

    Each view decodes its own copies, so an agent may change them freely. `repeat` counts from 1.
    """

    __slots__ = ("_decoded", "_id", "_input_json", "_params_json", "_repeat", "_tools_json")

    def __init__(self, pivot_id: str, input_json: str, tools_json: str, params_json: str, repeat: int = 1) -> None:
        self._id = pivot_id
        self._repeat = repeat
        self._input_json = input_json
        self._tools_json = tools_json
        self._params_json = params_json
        self._decoded: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"<pivot {self._id}>"

    @property
    def id(self) -> str:
        """The pivot's id."""
        return self._id

    @property
    def repeat(self) -> int:
        """Which repeat of the pivot this call is, from 1."""
        return self._repeat

    @property
    def input(self) -> list[dict[str, Any]]:
        """The conversation so far: a list of Responses input items."""
        items: list[dict[str, Any]] = self._decode("input", self._input_json)
        return items

    @property
    def tools(self) -> list[dict[str, Any]]:
        """The tools on offer: a list of flat function tools."""
        tools: list[dict[str, Any]] = self._decode("tools", self._tools_json)
        return tools

    @property
    def params(self) -> dict[str, Any]:
        """The other settings that the request sets: `parallel_tool_calls`, `tool_choice` and so on."""
        params: dict[str, Any] = self._decode("params", self._params_json)
        return params

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation so far in Chat Completions form."""
        if "messages" not in self._decoded:
            from pytest_fcpivot.core.chat import chat_messages  # noqa: PLC0415 (only for agents that ask)

            self._decoded["messages"] = chat_messages(json.loads(self._input_json))
        messages: list[dict[str, Any]] = self._decoded["messages"]
        return messages

    @property
    def chat_tools(self) -> list[dict[str, Any]]:
        """The tools on offer in Chat Completions form."""
        if "chat_tools" not in self._decoded:
            from pytest_fcpivot.core.chat import chat_tools  # noqa: PLC0415 (only for agents that ask)

            self._decoded["chat_tools"] = chat_tools(json.loads(self._tools_json))
        tools: list[dict[str, Any]] = self._decoded["chat_tools"]
        return tools

    def _decode(self, name: str, text: str) -> Any:
        if name not in self._decoded:
            self._decoded[name] = json.loads(text)
        return self._decoded[name]
