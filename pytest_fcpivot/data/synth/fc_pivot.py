"""Rows of the shape of nvidia/Nemotron-RL-Agentic-Function-Calling-Pivot-v1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fcpivot.data.synth.catalogue import Tool, catalogue
from pytest_fcpivot.data.synth.draw import Draw, quantiles, weighted
from pytest_fcpivot.data.synth.prose import LANGUAGES, prose

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST_ROW = 111_000  # bytes; a trajectory ends before it
MESSAGE_SHARE = 4_701 / 9_620
OFF_SCHEMA_SHARE = 0.02
UNKNOWN_TOOL_SHARE = 0.003
NO_REASONING_SHARE = 0.05  # of the trajectories
EMPTY_SYSTEM_SHARE = 0.12  # of the trajectories
TEXT_PARTS_SHARE = 0.15  # of the user items
EMPTY_TEXT_SHARE = 0.1  # of the calls, an empty assistant message stands before them
ORPHAN_SHARE = 0.015  # of the results
RAW_OUTPUT_SHARE = 0.04  # of the results
LONG_TRAJECTORY_EVERY = 200  # trajectories

_PIVOTS = weighted({1: 382, 2: 238, 3: 150, 4: 98, 5: 58, 6: 34, 7: 20, 8: 12, 10: 8})  # mean 2.53 = 9,620 / 3,800
_FIRST_DEPTH = weighted({0: 34, 1: 22, 2: 16, 3: 11, 4: 8, 5: 5, 6: 3, 8: 1})
_GAP = weighted({1: 7, 2: 2, 3: 1})  # actions from one pivot to the next
_LONG = 14  # actions before the first pivot of a long trajectory
_LONG_PIVOTS = 12
_TOOLS = quantiles((0, 3), (0.2, 8), (0.5, 12), (0.9, 22), (1, 26))
_POLICY = quantiles((0, 300), (0.3, 3_000), (0.7, 6_500), (1, 12_000))
_MESSAGE = quantiles((0, 60), (0.1, 900), (0.3, 1_720), (0.5, 2_300), (0.8, 3_400), (0.97, 5_500), (1, 9_000))
_USER = quantiles((0, 40), (0.5, 220), (0.9, 600), (1, 1_200))
_THOUGHT = quantiles((0, 100), (0.5, 900), (0.9, 2_000), (1, 4_500))
_RESULT = quantiles((0, 60), (0.5, 500), (0.9, 1_600), (1, 5_000))
_RAW_OUTPUTS = ("null", "true", "false", "0", "42.5", "[]", "{}")


def rows(seed: int) -> Iterator[bytes]:
    """Yield rows without end, the pivots of a trajectory one after another."""
    draw = Draw(f"fc-pivot:{seed}")
    number = trajectory_id = 0
    while True:
        number += 1
        trajectory_id += 1 + int(draw.random() * 3)
        yield from _Trajectory(draw, trajectory_id).rows(
            long=number % LONG_TRAJECTORY_EVERY == LONG_TRAJECTORY_EVERY // 2
        )


class _Trajectory:
    """One conversation, written item by item; `_context` is the inside of the JSON array so far."""

    def __init__(self, draw: Draw, trajectory_id: int) -> None:
        self._draw = draw
        self._id = trajectory_id
        self._prose = prose(ascii_only=True)
        language = draw.of(LANGUAGES)
        self._answers, self._users = self._prose.answers[language], self._prose.users[language]
        self._tools = catalogue().offer(draw, draw.of(_TOOLS))
        self._thinks = not draw.chance(NO_REASONING_SHARE)
        self._turn, self._step, self._depth = -1, 0, 0
        policy = "" if draw.chance(EMPTY_SYSTEM_SHARE) else self._prose.policy.write(draw, draw.of(_POLICY))
        self._context = f'{{"content": "{policy}", "role": "system"}}'
        tools = ", ".join([tool.flat for tool in self._tools])
        parallel = "true" if draw.chance(0.1) else "false"
        self._end_of_params = f'], "tools": [{tools}], "parallel_tool_calls": {parallel}}}, "expected_action": '

    def rows(self, *, long: bool) -> Iterator[bytes]:
        """Yield the pivots of this trajectory, some of its actions."""
        draw = self._draw
        pivots = _LONG_PIVOTS if long else draw.of(_PIVOTS)
        skipped = _LONG if long else draw.of(_FIRST_DEPTH)
        self._user()
        for number in range(pivots):
            for _ in range(skipped if number == 0 else draw.of(_GAP) - 1):
                self._act()
            before, turn, step, depth = self._context, self._turn, self._step, self._depth
            row = (
                f'{{"trajectory_id": {self._id}, "info": {{"turn": {turn}, "step": {step}, "depth": {depth}}}, '
                f'"responses_create_params": {{"input": [{before}{self._end_of_params}{self._act()}, "agent_ref": '
                '{"type": "responses_api_agents", "name": "single_step_tool_use_with_argument_comparison"}}\n'
            ).encode("ascii")
            if len(row) > LARGEST_ROW:
                return
            yield row

    def _act(self) -> str:
        """Let the expert act and the world answer; returns the action as an expected action."""
        self._depth += 1
        self._step += 1
        if self._draw.chance(MESSAGE_SHARE):
            return self._say()
        return self._call()

    def _say(self) -> str:
        draw = self._draw
        text = self._answers.write(draw, draw.of(_MESSAGE))
        self._reason("")
        self._message(text)
        self._user()
        return f'{{"type": "message", "content": "{text}"}}'

    def _call(self) -> str:
        draw, quote = self._draw, self._prose.quote
        tool = draw.of(self._tools)
        name = tool.name
        if draw.chance(UNKNOWN_TOOL_SHARE):
            name += "_v2"
        broken = tool.breakable and draw.chance(OFF_SCHEMA_SHARE)
        arguments = quote(tool.broken_arguments(draw) if broken else tool.arguments(draw))
        self._reason(f" I will call {name} now.")
        if draw.chance(EMPTY_TEXT_SHARE):
            self._message("")
        call_id = "fc_" + draw.hex(32)
        answers = "fc_" + draw.hex(32) if draw.chance(ORPHAN_SHARE) else call_id
        self._context += (
            f', {{"arguments": {arguments}, "call_id": "{call_id}", "name": "{name}", "type": "function_call", '
            f'"id": "{call_id}", "status": "completed"}}, {{"call_id": "{answers}", "output": {self._output(tool)}, '
            '"type": "function_call_output"}'
        )
        return f'{{"type": "function_call", "name": "{name}", "arguments": {arguments}}}'

    def _output(self, tool: Tool) -> str:
        draw = self._draw
        if draw.chance(RAW_OUTPUT_SHARE):
            return draw.of((*_RAW_OUTPUTS, "{" + f'"records": [{self._prose.record(draw, 0)}]' + "}"))
        if draw.chance(0.06):
            return f'"Error in {tool.name}: {self._prose.notice(draw)}."'
        return self._prose.quote(f'{{"success": true, "records": [{self._prose.record(draw, draw.of(_RESULT))}]}}')

    def _user(self) -> None:
        self._turn += 1
        self._step = 0
        draw = self._draw
        text = self._users.write(draw, draw.of(_USER))
        content = f'[{{"text": "{text}", "type": "input_text"}}]' if draw.chance(TEXT_PARTS_SHARE) else f'"{text}"'
        self._context += f', {{"content": {content}, "role": "user"}}'

    def _reason(self, end: str) -> None:
        if self._thinks:
            draw = self._draw
            self._context += (
                f', {{"id": "rs_{draw.hex(32)}", "summary": [{{"text": "\\n'
                f'{self._prose.reasoning.write(draw, draw.of(_THOUGHT))}{end}\\n", "type": "summary_text"}}], '
                '"type": "reasoning", "encrypted_content": null}'
            )

    def _message(self, text: str) -> None:
        self._context += (
            f', {{"id": "msg_{self._draw.hex(32)}", "content": [{{"annotations": [], "text": "{text}", '
            '"type": "output_text"}], "role": "assistant", "status": "completed", "type": "message"}'
        )
