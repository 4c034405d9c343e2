"""Conversations of the shape of nvidia/Nemotron-Agentic-v1, both of its splits.

What is rare in the published set comes once in `RAISED` conversations of a split here, by number and not by chance, so
that it is certain to occur in a small file too.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pytest_fcpivot.data.synth.catalogue import Tool, catalogue, function
from pytest_fcpivot.data.synth.draw import Draw, quantiles, weighted
from pytest_fcpivot.data.synth.prose import LANGUAGES, prose

if TYPE_CHECKING:
    from collections.abc import Iterator

Split = Literal["interactive_agent", "tool_calling"]

# quirk: once in so many conversations. The published counts are per 335,122 conversations, where there are any.
RAISED = {
    "empty_turn": 1_200,  # published: 2 turns in 1,197,896; here 1 in about 4,300
    "list_arguments": 300,  # tool_calling only; published: 7 calls in 668,151; here 1 in about 630
    "most_tools": 1_000,  # 372 tools; published as the maximum
    "most_messages": 1_000,  # 75 messages; published as the maximum
    "required_beside": 250,  # published: 83 functions have `required` beside `parameters`
    "type_string": 250,  # `parameters.type` is "string"; like the next five, published without a count
    "type_missing": 250,
    "empty_parameters": 250,
    "enum_untyped": 250,
    "array_without_items": 250,
    "same_name_twice": 250,
}
INTERACTIVE_SHARE = 19_028 / 335_122  # of the conversations, when both splits are mixed
SEVERAL_CALLS_SHARE = 60_466 / 571_000  # of the call turns of tool_calling
UNBALANCED_SHARE = 6_846 / 571_000  # of the same: more or fewer results than calls
NO_TOOLS_SHARE = 3_637 / 335_122
NO_REASONING_SHARE = 0.01  # of the assistant turns: "on nearly every"
OFF_SCHEMA_SHARE = 0.02  # of the calls
UNKNOWN_TOOL_SHARE = 0.003  # of the calls
MOST_TOOLS = 372
MOST_MESSAGES = 75

_ROOM = 14  # messages that the longest turn and the end need, so that no conversation passes MOST_MESSAGES
_SEVERAL = weighted({2: 65, 3: 20, 4: 8, 5: 4, 6: 2, 8: 1})  # mean 2.6: 157,176 calls in 60,466 turns
_LIST_ITEMS = ("", "{}")


@dataclass(frozen=True, slots=True)
class _Shape:
    """The distributions of a split: rounds are a user's turn, calls and a text."""

    rounds: tuple[int, ...]
    calls: tuple[int, ...]  # call turns in a round
    tools: tuple[int, ...]
    empty_system: float
    system: tuple[int, ...]
    user: tuple[int, ...]
    thought: tuple[int, ...]
    text: tuple[int, ...]
    result: tuple[int, ...]


_SHAPES: dict[Split, _Shape] = {
    # 70,794 turns in 19,028 rows, 42.4 % of them calls; 23,574 bytes a row
    "interactive_agent": _Shape(
        rounds=weighted({1: 403, 2: 293, 3: 170, 4: 78, 5: 33, 6: 14, 8: 7, 10: 2}),
        calls=weighted({0: 462, 1: 385, 2: 113, 3: 30, 4: 10}),
        tools=quantiles((0, 2), (0.3, 5), (0.6, 8), (0.9, 14), (1, 24)),
        empty_system=0.05,
        system=quantiles((0, 800), (0.3, 3_000), (0.7, 5_500), (1, 9_000)),
        user=quantiles((0, 40), (0.5, 250), (0.9, 600), (1, 1_200)),
        thought=quantiles((0, 150), (0.5, 1_430), (0.9, 3_200), (1, 6_800)),
        text=quantiles((0, 60), (0.5, 850), (0.9, 2_700), (1, 6_500)),
        result=quantiles((0, 60), (0.5, 650), (0.9, 2_000), (1, 6_000)),
    ),
    # 1,127,102 turns in 316,094 rows, 50.7 % of them calls; 16,889 bytes a row
    "tool_calling": _Shape(
        rounds=weighted({1: 600, 2: 222, 3: 95, 4: 44, 5: 20, 6: 9, 8: 6, 10: 4}),
        calls=weighted({0: 328, 1: 434, 2: 159, 3: 49, 4: 20, 6: 10}),
        tools=quantiles((0, 1), (0.3, 2), (0.5, 4), (0.7, 6), (0.9, 13), (0.98, 27), (1, 60)),
        empty_system=0.4,
        system=quantiles((0, 60), (0.5, 400), (0.9, 1_500), (1, 4_000)),
        user=quantiles((0, 40), (0.5, 250), (0.9, 700), (1, 1_800)),
        thought=quantiles((0, 100), (0.5, 1_000), (0.9, 2_450), (1, 5_600)),
        text=quantiles((0, 60), (0.5, 1_180), (0.9, 2_950), (1, 7_000)),
        result=quantiles((0, 60), (0.5, 600), (0.9, 2_000), (1, 7_000)),
    ),
}


def rows(seed: int, split: Split | None, pivots: int) -> Iterator[bytes]:
    """Yield conversations until so many pivots are in them; the last one ends with the last pivot."""
    draw = Draw(f"agentic:{split}:{seed}")
    numbers: dict[Split, int] = {"interactive_agent": 0, "tool_calling": 0}
    while pivots > 0:
        own: Split = split or ("interactive_agent" if draw.chance(INTERACTIVE_SHARE) else "tool_calling")
        conversation = _Conversation(draw, own, _due(numbers[own]), pivots)
        numbers[own] += 1
        pivots -= conversation.pivots
        yield conversation.line()


def _due(number: int) -> frozenset[str]:
    """Return the rare quirks that a split's conversation of this number has; phases keep most of them apart."""
    return frozenset(
        quirk for place, (quirk, period) in enumerate(RAISED.items()) if (number + 23 * place) % period == period // 2
    )


class _Conversation:
    """One row, complete when it is made; `pivots` counts the assistant turns that are pivots."""

    def __init__(self, draw: Draw, split: Split, quirks: frozenset[str], most_pivots: int) -> None:
        self._draw = draw
        self._split: Split = split
        self._objects = split == "tool_calling"  # arguments and results are JSON values, not strings
        self._quirks = set(quirks)
        self._most_pivots = most_pivots
        self._shape = _SHAPES[split]
        self._prose = prose(ascii_only=False)
        language = draw.of(LANGUAGES)
        self._answers, self._users = self._prose.answers[language], self._prose.users[language]
        self._call_ids = not self._objects or draw.chance(0.5)
        self._row_id = draw.uuid()
        self._tools, self._tools_json = self._offer()
        self._messages: list[str] = []
        self.pivots = 0
        self._write()

    def line(self) -> bytes:
        """Return the row's line."""
        reasoning = "" if self._objects else ', "reasoning": "on"'
        return (
            f'{{"uuid": "{self._row_id}", "messages": [{", ".join(self._messages)}], "tools": [{self._tools_json}], '
            f'"license": "apache-2.0", "used_in": ["{self._split}"]{reasoning}}}\n'
        ).encode()

    def _offer(self) -> tuple[tuple[Tool, ...], str]:
        draw = self._draw
        if "most_tools" in self._quirks:
            count = MOST_TOOLS
        elif not self._quirks and draw.chance(NO_TOOLS_SHARE):
            return (), ""
        else:
            count = draw.of(self._shape.tools)
        tools = catalogue().offer(draw, count)
        written = [tool.nested for tool in tools]
        for name, spoil in _SPOILT.items():
            if name in self._quirks:
                place = int(draw.random() * len(tools))
                written[place] = json.dumps(spoil(tools[place]))
        if "same_name_twice" in self._quirks and len(written) < MOST_TOOLS:
            written.append(json.dumps(_other_schema(draw.of(tools))))
        return tools, ", ".join(written)

    def _write(self) -> None:
        draw, shape = self._draw, self._shape
        system = "" if draw.chance(shape.empty_system) else self._prose.policy.write(draw, draw.of(shape.system))
        self._messages.append(f'{{"role": "system", "content": "{system}"}}')
        if "most_messages" in self._quirks and self._tools:
            plan = [*(1,) * ((MOST_MESSAGES - 3) // 4), 0]
        else:
            plan = [draw.of(shape.calls) if self._tools else 0 for _ in range(draw.of(shape.rounds))]
        if "list_arguments" in self._quirks and not any(plan):
            plan[0] = 1
        for calls in plan:
            if len(self._messages) > MOST_MESSAGES - _ROOM and "most_messages" not in self._quirks:
                break
            self._add_user()
            for _ in range(calls):
                if len(self._messages) > MOST_MESSAGES - _ROOM and "most_messages" not in self._quirks:
                    break
                results = self._call_turn()
                if self.pivots == self._most_pivots:
                    return
                self._messages += results
            self._add_text()
            if self.pivots == self._most_pivots:
                return
        if "empty_turn" in self._quirks:
            self._add_user()
            self._messages.append(self._assistant("", "", ', "tool_calls": null' if self._objects else ""))

    def _add_user(self) -> None:
        draw = self._draw
        self._messages.append(f'{{"role": "user", "content": "{self._users.write(draw, draw.of(self._shape.user))}"}}')

    def _add_text(self) -> None:
        text = self._answers.write(self._draw, self._draw.of(self._shape.text))
        self._messages.append(self._assistant(text, "", ', "tool_calls": null' if self._objects else ""))
        self.pivots += 1

    def _assistant(self, text: str, thought: str, calls: str) -> str:
        draw = self._draw
        reasoning = ""
        if not draw.chance(NO_REASONING_SHARE):
            thoughts = self._prose.reasoning.write(draw, draw.of(self._shape.thought))
            reasoning = f', "reasoning_content": "{thoughts}{thought}\\n"'
        return f'{{"role": "assistant", "content": "{text}"{reasoning}{calls}}}'

    def _call_turn(self) -> list[str]:
        """Add a turn with calls, and return the messages with their results."""
        draw = self._draw
        even = "most_messages" in self._quirks
        several = self._objects and not even and draw.chance(SEVERAL_CALLS_SHARE)
        tools = [draw.of(self._tools) for _ in range(draw.of(_SEVERAL) if several else 1)]
        ids = ["call_" + draw.hex(24) for _ in tools]
        calls = ", ".join([self._call(tool, call_id) for tool, call_id in zip(tools, ids, strict=True)])
        self._messages.append(
            self._assistant("", f" So the next step is {tools[0].name}.", f', "tool_calls": [{calls}]')
        )
        self.pivots += 1
        results = [self._result(tool, call_id) for tool, call_id in zip(tools, ids, strict=True)]
        if self._objects and not even and draw.chance(UNBALANCED_SHARE):
            if draw.chance(0.5):
                results.pop()
            else:
                results.append(self._result(tools[0], ids[0]))
        return results

    def _call(self, tool: Tool, call_id: str) -> str:
        draw = self._draw
        name = tool.name
        if draw.chance(UNKNOWN_TOOL_SHARE):
            name += "_v2"
        broken = tool.breakable and draw.chance(OFF_SCHEMA_SHARE)
        arguments = tool.broken_arguments(draw) if broken else tool.arguments(draw)
        if not self._objects:
            arguments = self._prose.quote(arguments)
        elif "list_arguments" in self._quirks:
            self._quirks.remove("list_arguments")
            arguments = f"[{draw.of((arguments, *_LIST_ITEMS))}]"
        known = f'"id": "{call_id}", ' if self._call_ids else ""
        return f'{{{known}"type": "function", "function": {{"name": "{name}", "arguments": {arguments}}}}}'

    def _result(self, tool: Tool, call_id: str) -> str:
        draw = self._draw
        share = draw.random()
        if share < 0.06:  # noqa: PLR2004 (shares of the kinds of results, from here on)
            content = f'"Error: {self._prose.notice(draw)}."'
        else:
            records = f"[{self._prose.record(draw, draw.of(self._shape.result))}]"
            value = f'{{"success": true, "tool": "{tool.name}", "records": {records}}}'
            if not self._objects or share < 0.66:  # noqa: PLR2004
                content = self._prose.quote(value)
            elif share < 0.88:  # noqa: PLR2004
                content = value
            else:
                content = records if share < 0.98 else draw.of(("true", "false"))  # noqa: PLR2004
        known = "" if self._objects else f'"tool_call_id": "{call_id}", '
        return f'{{"role": "tool", {known}"content": {content}}}'


def _required_beside(tool: Tool) -> dict[str, Any]:
    schema = {key: value for key, value in tool.schema.items() if key != "required"}
    spoilt = function(tool.name, tool.description, schema)
    spoilt["function"]["required"] = tool.schema.get("required", [])
    return spoilt


def _type_string(tool: Tool) -> dict[str, Any]:
    return function(tool.name, tool.description, tool.schema | {"type": "string"})


def _type_missing(tool: Tool) -> dict[str, Any]:
    return function(tool.name, tool.description, {key: value for key, value in tool.schema.items() if key != "type"})


def _empty_parameters(tool: Tool) -> dict[str, Any]:
    return function(tool.name, tool.description, {})


def _enum_untyped(tool: Tool) -> dict[str, Any]:
    return function(tool.name, tool.description, _with_property(tool, "mode", {"enum": ["brief", "full"]}))


def _array_without_items(tool: Tool) -> dict[str, Any]:
    return function(tool.name, tool.description, _with_property(tool, "filters", {"type": "array"}))


def _other_schema(tool: Tool) -> dict[str, Any]:
    return function(tool.name, tool.description, _with_property(tool, "region", {"type": "string"}))


def _with_property(tool: Tool, name: str, schema: dict[str, Any]) -> dict[str, Any]:
    changed = copy.deepcopy(tool.schema)
    changed.setdefault("properties", {})[name] = schema
    return changed


_SPOILT = {
    "required_beside": _required_beside,
    "type_string": _type_string,
    "type_missing": _type_missing,
    "empty_parameters": _empty_parameters,
    "enum_untyped": _enum_untyped,
    "array_without_items": _array_without_items,
}
