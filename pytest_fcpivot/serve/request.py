"""One HTTP request to the server: its session's id, its body within bounds, and its reply."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.serve.problems import RequestProblem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fcpivot.serve.environments import Environment

MOST_BYTES = 4 << 20  # of a body
LONGEST_BODY_S = 60.0
_LONGEST_ID = 200
JSON = [(b"content-type", b"application/json")]

Scope = dict[str, Any]
Receive = Any
Send = Any


class GoneError(Exception):
    """The client has closed the connection, so that nobody waits for a reply."""


@dataclass(slots=True)
class Request:
    """One request: what was sent, and how to reply."""

    headers: Mapping[bytes, bytes]
    receive: Receive
    send: Send
    environment: Environment | None = None
    named: bool = False  # whether the path names the environment

    @property
    def sid(self) -> str:
        """The session's id; raises RequestProblem for a request that has none, or one that no client makes."""
        raw = self.headers.get(b"x-session-id", b"").strip()
        if not raw:
            raise RequestProblem(400, "no_session_id", "X-Session-ID header is required")
        if len(raw) > _LONGEST_ID or not (raw.isascii() and raw.decode("ascii").isprintable()):
            raise RequestProblem(
                400, "bad_session_id", f"X-Session-ID must have at most {_LONGEST_ID} printable ASCII characters"
            )
        return raw.decode("ascii")

    async def body(self) -> bytes:
        """Return the body; raises RequestProblem if it is too large or too slow."""
        length = self.headers.get(b"content-length", b"0")
        if not length.isdigit() or len(length) > 20 or int(length) > MOST_BYTES:  # noqa: PLR2004
            raise _too_large()
        parts, size = [], 0
        try:
            async with asyncio.timeout(LONGEST_BODY_S):
                while True:
                    message = await self.receive()
                    if message["type"] == "http.disconnect":
                        raise GoneError
                    part = message.get("body", b"")
                    size += len(part)
                    if size > MOST_BYTES:
                        raise _too_large()
                    parts.append(part)
                    if not message.get("more_body"):
                        return b"".join(parts)
        except TimeoutError:
            raise RequestProblem(408, "too_slow", f"the body did not come within {LONGEST_BODY_S:g} s") from None

    async def object(self, *names: str) -> dict[str, Any]:
        """Return the body as an object that has the names; raises RequestProblem if it is none."""
        text = await self.body()
        try:
            value = json.loads(text) if text.strip() else {}
        except RecursionError:
            raise RequestProblem(422, "bad_body", "the body is nested too deep to be read") from None
        except ValueError as error:
            # Python's decoder knows no numbers of more digits than it converts; the error has a type of its own.
            known = isinstance(error, json.JSONDecodeError | UnicodeDecodeError)
            why = "the body must be a JSON object" if known else "the body has a number with too many digits"
            raise RequestProblem(422, "bad_body", why) from None
        if not isinstance(value, dict):
            raise RequestProblem(422, "bad_body", "the body must be a JSON object")
        for name in names:
            if name not in value:
                raise RequestProblem(422, "bad_body", f"the body needs {name!r}")
        return value

    async def reply(self, body: bytes, headers: list[tuple[bytes, bytes]] = JSON, status: int = 200) -> None:
        """Send a whole reply."""
        length = (b"content-length", b"%d" % len(body))
        await self.send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
        await self.send({"type": "http.response.body", "body": body})

    async def json(self, value: Any) -> None:
        """Reply with a value as JSON."""
        await self.reply(json.dumps(value).encode())


def _too_large() -> RequestProblem:
    return RequestProblem(413, "too_large", f"the body may have at most {MOST_BYTES >> 20} MiB")
