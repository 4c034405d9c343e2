"""A pivot's conversation as the prompt of a task: a transcript for people and models, and the items for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.report.turns import turns
from pytest_fcpivot.serve.tools import ARGUMENTS, CALL_FUNCTION, NAME, Mode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_fcpivot.core.model import PivotView
    from pytest_fcpivot.report.turns import Turn

_FUNCTIONS = (
    f"The functions that can be called with {CALL_FUNCTION}({NAME}, {ARGUMENTS}), one a line, each with its parameters "
    "as a JSON Schema:"
)


def prompt(mode: Mode, view: PivotView) -> list[dict[str, Any]]:
    """Return the blocks of a task's prompt: one text, whose `detail` has the conversation as Responses items.

    With generic tools, the text begins with the pivot's functions, which are also in `detail`.
    """
    items = view.input
    parts = [_part(turn) for turn in turns(items)]
    detail: dict[str, Any] = {"input": items}
    if mode == "generic":
        detail["tools"] = view.tools
        parts.insert(0, functions(view.tools))
    return [{"text": "\n\n".join(parts), "detail": detail, "type": "text"}]


def functions(tools: Iterable[dict[str, Any]]) -> str:
    """Return the text that describes a pivot's functions to a model that has the generic tools."""
    listed = [json.dumps(_described(tool), ensure_ascii=False) for tool in tools]
    return "\n".join(["[functions]", *([_FUNCTIONS, *listed] if listed else ["There are none."])])


def _part(turn: Turn) -> str:
    heading = {"call": f"assistant calls {turn.title}", "result": f"result of {turn.title}"}.get(turn.kind, turn.title)
    return f"[{heading}]\n{turn.text}"


def _described(tool: dict[str, Any]) -> dict[str, Any]:
    return {key: tool[key] for key in ("name", "description", "parameters") if tool.get(key) is not None}
