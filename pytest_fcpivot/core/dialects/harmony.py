"""gpt-oss (harmony): `<|channel|>commentary to=functions.find <|constrain|>json<|message|>{"city": "Lyon"}<|call|>`.

If the server strips the special tokens, `commentary to=functions.find json{"city": "Lyon"}` remains.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from pytest_fcpivot.core.dialects.attempts import Attempt, Call, Tools, quoted
from pytest_fcpivot.core.dialects.jsoncalls import after_space, one_object

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "harmony"
MARKS = ("to=functions.",)
_RECIPIENT = re.compile(r"to=functions\.([^\s<{]+)")
_BEFORE = re.compile(r"(?:<\|start\|>[^<\n]*|<\|channel\|>[^<\n]*|(?:assistant)?(?:commentary|analysis)?[ \t]*)\Z")
_TO_MESSAGE = re.compile(r"[^<\n{]{0,100}(?:<\|(?:channel|constrain)\|>[^<\n]{0,100}){0,3}<\|message\|>")
_TO_BARE_ARGUMENTS = re.compile(r"(?:commentary|code|json|[ \t]){0,9}(?=\{)")
_CLOSE = re.compile(r"<\|(?:call|end|return)\|>|(?=<\|start\|>)|\Z")
_LOOK_BACK = 200


def find(text: str, at: int, tools: Tools) -> Attempt | None:
    """Find a message addressed to a function, with the special tokens of its header or with none of them."""
    while recipient := _RECIPIENT.search(text, at):
        start, name = _header(text, at, recipient.start()), recipient[1]
        message = _TO_MESSAGE.match(text, recipient.end())
        bare = None if message else _TO_BARE_ARGUMENTS.match(text, recipient.end())
        read = one_object(text, (message or bare or recipient).end()) if message or bare else None
        if bare and name.removesuffix("commentary") in tools.names:
            name = name.removesuffix("commentary")  # a header word that ran into the name, the tokens being stripped
        closed = _CLOSE.match(text, after_space(text, read[1])) if read else None
        if read and (closed or bare) and not quoted(text, start):
            return Attempt(start, closed.end() if closed else read[1], ((name, json.dumps(read[0])),))
        if bare and not quoted(text, start):
            return Attempt(start, len(text), ((name, text[bare.end() :]),))
        if message:
            stop = _CLOSE.search(text, message.end())
            end = stop.end() if stop else len(text)
            return Attempt(start, end, ((name, text[message.end() : end]),))
        if text.startswith("<|", start) or (_is_header(text, start, recipient.start()) and not quoted(text, start)):
            return Attempt(start, len(text), ((name, text[start:]),))  # cut off within the header
        at = recipient.end()
    return None


def _is_header(text: str, start: int, end: int) -> bool:
    """Return whether a header without special tokens ends with a recipient, which a sentence may also mention."""
    return not text[start:end].isspace() and (start < end or not text[max(0, end - _LOOK_BACK) : end].strip())


def _header(text: str, at: int, end: int) -> int:
    """Return the start of the header that ends with the recipient at `end`."""
    while (before := _BEFORE.search(text, max(at, end - _LOOK_BACK), end)) and before.start() < end:
        end = before.start()
    return end


def write(calls: Sequence[Call], special: bool) -> str:
    """Write each call as a message of its own; its header's marks are special tokens."""
    channel, constrain, message, end = (
        ("<|channel|>", "<|constrain|>", "<|message|>", "<|call|>") if special else ("", "", "", "")
    )
    return ("<|start|>assistant" if special else "assistant").join(
        f"{channel}commentary to=functions.{name} {constrain}json{message}{arguments}{end}" for name, arguments in calls
    )


def write_message(text: str, *, final: bool, special: bool) -> str:
    """Write a message to the user: the answer, or what is said before calls."""
    channel = "final" if final else "commentary"
    if special:
        return f"<|channel|>{channel}<|message|>{text}" + ("" if final else "<|end|><|start|>assistant")
    return f"{channel}{text}" + ("" if final else "assistant")
