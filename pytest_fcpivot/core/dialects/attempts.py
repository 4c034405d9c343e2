"""What the dialects share: an attempt at calls in a text, and when a mark in a text is one."""

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
    """Where a text attempts to call, and the calls: none if it cannot even be told which function was meant.

    A call whose function is known and whose arguments cannot be read has the text that was written in their place,
    which does not decode as JSON.
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
        """Make tools of which nothing is known but their names."""
        return cls({"name": name} for name in names)

    def schema(self, tool: str, parameter: str) -> Any:
        """Return the schema of a tool's parameter, None if there is none."""
        parameters = self._parameters.get(tool)
        properties = parameters.get("properties") if isinstance(parameters, dict) else None
        return properties.get(parameter) if isinstance(properties, dict) else None


# Finds the first attempt in a text at or after a place.
Find = Callable[[str, int, Tools], Attempt | None]


def stands(text: str, start: int, inside: int) -> bool:
    """Tell whether a mark, from `start` up to `inside`, begins a call where it stands, and is not talked about.

    It does if JSON follows, or if it begins its line and has the rest of it to itself.
    """
    if quoted(text, start):
        return False
    if _BEGINS_A_CALL.match(text, inside):
        return True
    return begins_line(text, start) and _BLANK_LINE.match(text, inside) is not None


def begins_line(text: str, start: int) -> bool:
    """Tell whether nothing but blanks stands before a place in its line."""
    before = text[max(0, start - _DEEPEST_INDENT) : start]
    blanks = len(before) - len(before.rstrip(" \t"))
    return blanks == start or before[: len(before) - blanks].endswith("\n")


def quoted(text: str, start: int) -> bool:
    """Tell whether what starts at a place is shown in quotes or as code, so that it is talked about."""
    return text[max(0, start - 1) : start] in _QUOTES and start > 0
