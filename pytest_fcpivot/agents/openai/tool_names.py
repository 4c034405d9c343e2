"""Maps tool names to ones that every endpoint accepts: names in data may contain dots or slashes, or be too long."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_LENGTH = 64
_ALLOWED = re.compile(rf"[a-zA-Z0-9_-]{{1,{_MAX_LENGTH}}}")
_NOT_ALLOWED = re.compile(r"[^a-zA-Z0-9_-]")


class ToolNames:
    """A one-to-one mapping between a pivot's tool names and names that servers allow.

    An allowed name is mapped to itself, and no other name is mapped to it. The mapping depends only on the names and
    their order, so that the requests for a pivot are always the same.
    """

    __slots__ = ("_sent", "_shown")

    def __init__(self, names: Iterable[str]) -> None:
        self._shown: dict[str, str] = {}  # the pivot's name -> the server's, where they differ
        self._sent: dict[str, str] = {}  # and back
        known = dict.fromkeys(names)
        odd = [name for name in known if not _ALLOWED.fullmatch(name)]
        for name in odd:
            stem = _NOT_ALLOWED.sub("_", name)[:_MAX_LENGTH] or "_"
            sent, count = stem, 1
            while sent in known or sent in self._sent:
                count += 1
                suffix = f"_{count}"
                sent = stem[: _MAX_LENGTH - len(suffix)] + suffix
            self._shown[name], self._sent[sent] = sent, name

    def __bool__(self) -> bool:
        """Return whether any name is mapped at all."""
        return bool(self._shown)

    def sent(self, name: str) -> str:
        """Return the name that is sent to the server."""
        return self._shown.get(name, name)

    def own(self, name: str) -> str:
        """Return the pivot's own name for one that the server returned; an unknown name is returned unchanged."""
        return self._sent.get(name, name)
