"""What is known of the servers that are asked, shared by everybody who asks them."""

from __future__ import annotations

from typing import Any


class Server:
    """What is known in this process of one server, by everybody who asks it."""

    def __init__(self) -> None:
        self.answered = False


class Servers:
    """The servers that a process asks, by the names that the called functions give them."""

    def __init__(self) -> None:
        self._known: dict[str, Server] = {}

    def of(self, asked: Any) -> Server:
        """Return the server that a function asks: one of its own, unless its attribute `server` names it."""
        name = getattr(asked, "server", None)
        return self._known.setdefault(name, Server()) if isinstance(name, str) else Server()
