"""Moves system messages that come after the first message, because the templates of some models refuse these."""

from __future__ import annotations

import re
from typing import Any

from pytest_fcpivot.agents.openai.quirks import SYSTEM_MESSAGE, Words, those_with
from pytest_fcpivot.core.errors import AgentError

_SYSTEM = ("system", "developer")
_MARK = "[system]"
_REFUSALS = tuple(quirk.shown_by.words for quirk in those_with(SYSTEM_MESSAGE) if isinstance(quirk.shown_by, Words))
_LIKELY_STATUSES = (400, 422, 500)
_QUOTES = re.compile(r"[\\\"'`]")


def with_one_system_message(messages: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """Return a conversation with at most one system message, at its beginning; None if that is so already.

    System messages directly after the first one are joined to it. Each later one becomes user text in the same place,
    marked `[system]`: joined to an adjacent user message, so that roles alternate as before, or else a message of its
    own. Takes chat messages and Responses items.
    """
    kept: list[dict[str, Any]] = []
    changed = after_moved = False
    for message in messages:
        moves = bool(kept) and message.get("role") in _SYSTEM
        changed = changed or moves
        if moves and not message.get("content"):
            continue
        if moves and len(kept) == 1 and kept[0].get("role") in _SYSTEM:
            kept[0] = _joined(kept[0], message)
            continue
        turn = _marked(message) if moves else message
        both_users = bool(kept) and kept[-1].get("role") == turn.get("role") == "user"
        if both_users and (moves or after_moved):
            kept[-1] = _joined(kept[-1], turn)
        else:
            kept.append(turn)
        after_moved = moves
    return kept if changed else None


def is_refusal(error: BaseException) -> bool:
    """Return whether an error is a server's known refusal of a system message that is not the first message."""
    status = getattr(error, "status_code", None)
    if status not in _LIKELY_STATUSES and not isinstance(error, AgentError):
        return False
    said = f"{error} {getattr(getattr(error, 'response', None), 'text', '')}"
    said = " ".join(_QUOTES.sub("", said).lower().split())
    return any(refusal in said for refusal in _REFUSALS)


def _marked(message: dict[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    if isinstance(content, list):
        content = [{"type": "input_text", "text": _MARK}, *content]
    else:
        content = f"{_MARK} {content or ''}".rstrip()
    return {**message, "role": "user", "content": content}


def _joined(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    ahead, behind = first.get("content"), second.get("content")
    if isinstance(ahead, list) or isinstance(behind, list):
        return {**first, "content": [*_parts(ahead), *_parts(behind)]}
    return {**first, "content": "\n\n".join(text for text in (ahead, behind) if text)}


def _parts(content: Any) -> list[Any]:
    if isinstance(content, list):
        return content
    return [{"type": "input_text", "text": content}] if content else []
