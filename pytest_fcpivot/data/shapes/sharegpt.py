"""Rows of ShareGPT: `conversations` of `from` and `value`, with LLaMA-Factory's roles, and its `system` and `tools`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fcpivot.data.shapes.chat import read_chat

if TYPE_CHECKING:
    from pytest_fcpivot.data.conversations import Conversation
    from pytest_fcpivot.data.jsonparts import Fields
    from pytest_fcpivot.data.shapes.how import How

KEYS = ("conversations", "conversation")


def read_sharegpt(row: Fields, line: int, how: How) -> Conversation:
    """Read a row; raises RowProblem if it cannot be read completely."""
    key = next(key for key in KEYS if row.get(key, b"null") != b"null")
    return read_chat(row, line, how, key)
