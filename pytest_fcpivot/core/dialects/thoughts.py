"""Removes the reasoning before a model's answer, for servers that leave it in the text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    # Finds the ranges of a text that are readable calls.
    Calls = Callable[[str], Sequence[tuple[int, int]]]

_TAGS = (("<think>", "</think>"), ("[THINK]", "[/THINK]"))
_HEADER = re.compile(r"\s*(?:<\|start\|>assistant)?<\|channel\|>(analysis|commentary|final)\s*<\|message\|>")
_HEADER_CUT_OFF = re.compile(r"\s*(?:<\|start\|>assistant)?<\|channel\|>[a-z]*\Z")
_NEXT_MESSAGE = re.compile(r"<\|end\|>|(?=<\|start\|>|<\|channel\|>)")
_END = re.compile(r"(?:<\|(?:return|end|call)\|>\s*)?\Z")
# What remains of harmony's headers without their special tokens.
_BARE_ANALYSIS = re.compile(r"\s*analysis(?=[^\sa-z.,:;!?)]|\Z)")
_BARE_FINAL, _RECIPIENT = "assistantfinal", "to=functions."
_BARE_CHANNEL = re.compile(r"\s*(?:final|commentary(?=\S))(?! to=| |ly\b|i[sz]|[.,:;!?)])")


def is_endless(text: str) -> bool:
    """Return whether a text is only reasoning, ended or not."""
    return without_thoughts(text) is None


def without_thoughts(text: str, calls: Calls | None = None) -> str | None:
    """Return a text without the reasoning before the answer; None if nothing but reasoning is there.

    `calls` finds the calls in a text: a closing tag in a string of one of them ends no reasoning.
    """
    text = text.lstrip()
    answer = _without_tagged(text)
    if answer is not None:
        answer = _without_analysis(answer)
    if answer is not None:
        for _, end in _TAGS:
            if end in answer:
                answer = _after_end(answer, end, calls)
    if answer is None or (not answer.strip() and len(answer) < len(text) and not _HEADER.match(text)):
        return None
    return answer


def without_channel(text: str) -> str:
    """Return a harmony message without the name of its channel, the special tokens around that being stripped."""
    named = _BARE_CHANNEL.match(text)
    return text[named.end() :] if named else text


def _without_tagged(text: str) -> str | None:
    at = 0
    while True:
        tags = next((tags for tags in _TAGS if text.startswith(tags[0], at)), None)
        if tags is None:
            return text[at:]
        end = text.find(tags[1], at)
        if end < 0:
            return None
        at = end + len(tags[1])
        while at < len(text) and text[at].isspace():
            at += 1


def _without_analysis(text: str) -> str | None:
    """Return a harmony text without its analysis and the headers of its messages to the user."""
    if bare := _BARE_ANALYSIS.match(text):
        final = text.find(_BARE_FINAL)
        if final < 0:
            return text if _RECIPIENT in text else None
        return text[final + len(_BARE_FINAL) :]
    said, at, analysis = [], 0, bool(bare)
    while header := _HEADER.match(text, at):
        analysis = header[1] == "analysis"
        if header[1] == "final":
            end = _END.search(text, header.end())
            said.append(text[header.end() : end.start() if end else len(text)])
            return "\n".join(said)
        following = _NEXT_MESSAGE.search(text, header.end())
        if following is None and analysis:
            return None
        if not analysis:
            said.append(text[header.end() : following.start() if following else len(text)])
        at = following.end() if following else len(text)
    if at == 0:
        return text
    if not said and (_HEADER_CUT_OFF.match(text, at) or text[at:].strip() in ("", "<|start|>assistant")):
        return None
    return "\n".join([*said, text[at:]]) if said else text[at:]


def _after_end(text: str, tag: str, calls: Calls | None) -> str:
    """Return the text after a closing tag of reasoning whose opening tag is part of the server's prompt template."""
    at = text.find(tag)
    for start, end in calls(text) if calls else ():
        if start < at < end:
            at = text.find(tag, end)
    return text[at + len(tag) :] if at >= 0 else text
