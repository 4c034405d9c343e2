"""Removes the reasoning before a model's answer, for servers that leave it in the text."""

from __future__ import annotations

import re

from pytest_fcpivot.core.dialects.hermes import OPEN, sound_block

BEGIN, END = "<think>", "</think>"
_ANALYSIS = re.compile(
    r"\s*(?:<\|start\|>assistant)?<\|channel\|>analysis<\|message\|>.*?<\|end\|>(?:<\|start\|>assistant)?", re.DOTALL
)
_FINAL = re.compile(
    r"\s*(?:<\|start\|>assistant)?<\|channel\|>final<\|message\|>(.*?)(?:<\|(?:return|end)\|>\s*)?\Z", re.DOTALL
)


def is_endless(text: str) -> bool:
    """Return whether a text begins with reasoning that never ends."""
    return text.lstrip().startswith(BEGIN) and END not in text


def without_thoughts(text: str) -> str | None:
    """Return a text without the reasoning before the answer; None if the reasoning never ends."""
    text = text.lstrip()
    while text.startswith(BEGIN):
        _, closed, text = text.partition(END)
        if not closed:
            return None
        text = text.lstrip()
    while analysis := _ANALYSIS.match(text):
        text = text[analysis.end() :]
    if final := _FINAL.match(text):
        return final[1]
    # The opening tag of the reasoning may be part of the server's prompt template, so that only the closing tag is
    # left. It counts unless it is in a string of a valid call.
    at = 0
    while (end := text.find(END, at)) >= 0:
        block = text.find(OPEN, at)
        at = sound_block(text, block + len(OPEN))[1] if 0 <= block < end else -1
        if at < 0:
            return text[end + len(END) :]
    return text
