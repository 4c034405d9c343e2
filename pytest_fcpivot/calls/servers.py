"""Remember which servers have answered, for all functions in this process that call them."""

from __future__ import annotations

from typing import Any


class Server:
    """One server; `answered` turns True when it answers any function of this process."""

    def __init__(self) -> None:
        self.answered = False


class Servers:
    """The servers that the functions of this process call, by name."""

    def __init__(self) -> None:
        self._known: dict[str, Server] = {}

    def of(self, asked: Any) -> Server:
        """Return the server of a function: the shared one that its attribute `server` names, or else a new one."""
        name = getattr(asked, "server", None)
        return self._known.setdefault(name, Server()) if isinstance(name, str) else Server()
