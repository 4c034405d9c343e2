"""Calls that were written as text: how an expert's message is known to hold one, in whatever dialect.

A message is looked at as it stands in its row, as JSON, so that most are passed at the cost of three searches.
"""

from __future__ import annotations

# The dialects' marks, without the `<` that may be escaped.
_MARKS = (
    b"tool_call>",  # Hermes, Qwen, GLM
    b"tool_calls>",
    b"|tool_call",  # Kimi's and Granite's <|tool_call…
    b"function_call>",
    b"function_calls>",
    b"function=",  # Llama's and Qwen Coder's <function=name>
    b"invoke name=",
    b"|python_tag|",
    b"[TOOL_CALLS]",
    "tool▁call".encode(),  # DeepSeek
    b"tool\\u2581call",
    b"|channel|>commentary to=",
)
_NEEDS_BRACKET = frozenset({b"function=", b"invoke name="})


def looks_like_a_call(content: bytes) -> bool:
    """Tell whether a content, given as JSON, holds a call that was written as text."""
    if b"<" not in content and b"\\u003c" not in content and b"[TOOL_CALLS]" not in content:
        return False
    return any(_is_there(mark, content) for mark in _MARKS)


def _is_there(mark: bytes, content: bytes) -> bool:
    if mark not in _NEEDS_BRACKET:
        return mark in content
    return any(bracket + mark in content for bracket in (b"<", b"\\u003c"))
