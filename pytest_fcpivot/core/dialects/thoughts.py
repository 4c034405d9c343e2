"""What a model thought ahead of its answer, where the server leaves it in the text."""

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
    """Tell whether a text begins with a thought that has no end."""
    return text.lstrip().startswith(BEGIN) and END not in text


def without_thoughts(text: str) -> str | None:
    """Cut what a model thought ahead of its answer; None if the last thought has no end."""
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
    # The beginning of the thought may have been part of the server's template. The end of one counts unless it is in a
    # string of a sound call.
    at = 0
    while (end := text.find(END, at)) >= 0:
        block = text.find(OPEN, at)
        at = sound_block(text, block + len(OPEN))[1] if 0 <= block < end else -1
        if at < 0:
            return text[end + len(END) :]
    return text
