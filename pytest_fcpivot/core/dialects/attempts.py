"""Parts shared by the dialects: the type of an attempted call, and the test whether a mark in a text begins one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Call = tuple[str, str]  # a name, and arguments as JSON text

_BLANK_LINE = re.compile(r"[ \t]*(?:\r?\n|\Z)")
_BEGINS_A_CALL = re.compile(r"\s*[\[{]")
_DEEPEST_INDENT = 100
_QUOTES = "`\"'\u201c\u2018\u00ab"


@dataclass(frozen=True, slots=True)
class Attempt:
    """The range of a text that attempts calls, and these calls: none if the intended function cannot be identified.

    If the function of a call is clear but its arguments cannot be read, its arguments are the raw text in their place,
    which is not valid JSON.
    """

    start: int
    end: int
    calls: tuple[Call, ...] = ()


class Tools:
    """The tools that a text may call: their names, and the JSON types of their parameters."""

    __slots__ = ("_parameters", "names")

    def __init__(self, tools: Iterable[Mapping[str, Any]] = ()) -> None:
        self._parameters: dict[str, Any] = {}
        for tool in tools:
            if isinstance(tool.get("name"), str):
                self._parameters.setdefault(tool["name"], tool.get("parameters"))
        self.names = frozenset(self._parameters)

    @classmethod
    def named(cls, names: Iterable[str]) -> Tools:
        """Make tools of which only the names are known."""
        return cls({"name": name} for name in names)

    def schema(self, tool: str, parameter: str) -> Any:
        """Return the schema of a tool's parameter, None if there is none."""
        parameters = self._parameters.get(tool)
        properties = parameters.get("properties") if isinstance(parameters, dict) else None
        return properties.get(parameter) if isinstance(properties, dict) else None


# Finds the first attempted call in a text at or after a position.
Find = Callable[[str, int, Tools], Attempt | None]


def stands(text: str, start: int, inside: int) -> bool:
    """Return whether the mark from `start` to `inside` really begins a call, and is not merely mentioned in a sentence.

    It does if it is not quoted and either JSON follows it, or it is alone on its line.
    """
    if quoted(text, start):
        return False
    if _BEGINS_A_CALL.match(text, inside):
        return True
    return begins_line(text, start) and _BLANK_LINE.match(text, inside) is not None


def begins_line(text: str, start: int) -> bool:
    """Return whether only blanks precede a position in its line."""
    before = text[max(0, start - _DEEPEST_INDENT) : start]
    blanks = len(before) - len(before.rstrip(" \t"))
    return blanks == start or before[: len(before) - blanks].endswith("\n")


def quoted(text: str, start: int) -> bool:
    """Return whether a quotation mark or a backtick directly precedes a position: the text there is an example."""
    return text[max(0, start - 1) : start] in _QUOTES and start > 0
