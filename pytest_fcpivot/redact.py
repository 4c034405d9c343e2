"""Secrets out of text: what looks like a key, and what the environment holds under the name of one."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

HIDDEN = "***"
_SECRET_NAME = re.compile(r"(?i)(^|_)(api_?key|key|token|secret|password|passwd|credentials?)($|_)")
# Shorter values, and values that are plain words or paths, would be found where they are not meant.
_SHORTEST = 12
_SHORTEST_NAMED = 8  # of values that are secrets for certain
_PLAIN_VALUE = re.compile(r"[A-Za-z]+|[/~.].*|[A-Za-z]:\\.*|\d+(\.\d+)?|.*\s.*", re.DOTALL)
_PATTERNS = (
    re.compile(r"(?i)(\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"(?i)(\b(?:proxy-)?authorization\b['\"]?\s*[:=]\s*['\"]?(?:[a-z]+\s+)?)[^\s'\",;}]+"),
    re.compile(
        r"(?i)(\b(?:x-)?(?:api|access|secret|subscription)[-_]?(?:key|token)\b['\"]?\s*[:=]\s*['\"]?)(?!\$)[^\s'\",;&}]+"
    ),
    re.compile(r"()\b(?:sk|pk|rk|hf|gsk|xai|ghp|glpat)[-_][A-Za-z0-9_*-]{8,}"),
    re.compile(r"(://)[^/\s:@]+:[^/\s@]+(?=@)"),
)
_SIGNS = re.compile(r"(?i)bearer|basic|authorization|[-_]?key|token|\b(?:sk|pk|rk|hf|gsk|xai|ghp|glpat)[-_]|@")


class Redactor:
    """Replaces secrets in text; `values` are secrets known by their value, in addition to the environment's.

    Short values are left alone: they would be found where they are not meant.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        known = {value for name, value in os.environ.items() if names_a_secret(name) and _is_secret(value)}
        named = {value for value in values if len(value) >= _SHORTEST_NAMED}
        known |= named
        known |= {json.dumps(value)[1:-1] for value in known}  # as it stands in JSON text
        self._numbers = sorted((value for value in named if value.isdecimal()), key=len, reverse=True)
        self._values = sorted(known - {*self._numbers}, key=len, reverse=True)

    def values_in(self, text: str) -> str:
        """Replace the known secrets alone, but not where one stands as a number: what was JSON stays JSON."""
        for value in self._values:
            if value in text:
                text = text.replace(value, HIDDEN)
        for value in self._numbers:
            if value in text:
                text = re.sub(rf"(?<![:\[,\s\d.-]){value}|{value}(?![,\]}}\s\d.eE])", HIDDEN, text)
        return text

    def __call__(self, text: str) -> str:
        """Replace the known secrets, and what looks like a key, a token or an authorization header."""
        text = self.values_in(text)
        for value in self._numbers:
            text = text.replace(value, HIDDEN)
        if _SIGNS.search(text):
            for pattern in _PATTERNS:
                text = pattern.sub(rf"\1{HIDDEN}", text)
        return text


def names_a_secret(name: str) -> bool:
    """Tell whether a header or a variable of this name holds a secret."""
    return bool(_SECRET_NAME.search(name.replace("-", "_"))) or "authorization" in name.lower()


def _is_secret(value: str) -> bool:
    return len(value) >= _SHORTEST and not _PLAIN_VALUE.fullmatch(value)
