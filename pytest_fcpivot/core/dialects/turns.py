"""Removes the marks around an assistant's turn, which are no part of what the model says."""

from __future__ import annotations

import re

_BAR = "[|\uff5c]"
_BEGINNINGS = re.compile(
    rf"""\s*(?:<\|im_start\|>assistant|<\|start_header_id\|>assistant<\|end_header_id\|>
    |<\|im_assistant\|>assistant<\|im_middle\|>|<{_BAR}Assistant{_BAR}>|<\|assistant\|>)\s*""",
    re.VERBOSE,
)
_ENDS = (
    *("<|im_end|>", "<|endoftext|>", "<|end_of_text|>", "<|eot_id|>", "<|eom_id|>", "<|eot|>", "<|eom|>"),
    *("<|finetune_right_pad_id|>", "<\uff5cend\u2581of\u2581sentence\uff5c>", "<|end_of_sentence|>"),
    *("<|return|>", "<|call|>", "<|end|>", "<|user|>", "<|observation|>", "</s>", "[EOS]", "[EOT]"),
)
# A search from the end would cost O(n²) for a text of many marks; the reversed text is read from its beginning.
_ENDS_REVERSED = re.compile(rf"(?:\s*+(?:{'|'.join(re.escape(end[::-1]) for end in _ENDS)}))++")
_LONGEST = max(map(len, _ENDS))


def without_turn_marks(text: str) -> str:
    """Return a text without the marks that begin an assistant's turn, and those that end it or fill it up."""
    if begun := _BEGINNINGS.match(text):
        text = text[begun.end() :]
    rest = text.rstrip()
    if rest.endswith(_ENDS):
        ended = _ENDS_REVERSED.match(rest[::-1])
        if ended and not (rest.endswith("</s>") and "<s>" in rest):  # which HTML has as well
            return rest[: len(rest) - ended.end()]
    return text
