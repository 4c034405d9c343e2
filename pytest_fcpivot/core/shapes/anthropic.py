"""Anthropic's Messages: a message whose content is a list of blocks, and single blocks.

The message itself has the type `message` and the role `assistant`; `openai.read_message` reads it, as for every SDK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.shapes.openai import tool_result
from pytest_fcpivot.core.shapes.reading import Reading, nothing, served_call
from pytest_fcpivot.core.shapes.unknown import refused

if TYPE_CHECKING:
    from pytest_fcpivot.core.shapes.reading import Read

_BESIDE_INPUT = frozenset(("id", "type", "caller", "cache_control", "toolset_name"))


def _read_tool_use(block: Any, read: Read) -> Reading:  # noqa: ARG001 (a Reader)
    return Reading([served_call(block, "name", "input", _BESIDE_INPUT)], answer=block)


_PASSED_OVER = (
    *("thinking", "redacted_thinking", "container_upload", "fallback", "mcp_tool_listing"),
    *("server_tool_use", "mcp_tool_use", "mcp_tool_result", "web_search_tool_result", "web_fetch_tool_result"),
    *("code_execution_tool_result", "bash_code_execution_tool_result", "text_editor_code_execution_tool_result"),
    *("tool_search_tool_result", "advisor_tool_result"),
)
TYPES = {
    "tool_use": _read_tool_use,
    "tool_result": tool_result,
    "error": refused("is an error of the service; raise it, so that the call is retried"),
    **dict.fromkeys(_PASSED_OVER, nothing),
}
