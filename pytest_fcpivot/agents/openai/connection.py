"""Requests to an OpenAI endpoint and the JSON that comes back: what agents that ask a model share with the judge."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.errors import AgentError, TransientAgentError
from pytest_fcpivot.jsontext import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openai import AsyncOpenAI, RequestOptions

    from pytest_fcpivot.agents.openai.settings import Endpoint

RESPONSES, CHAT_COMPLETIONS = "responses", "chat/completions"
_TIMEOUT_S = 600.0
# A thousand connections opened at once by one loop, with their TLS handshakes, take longer than the client's own 5 s.
_CONNECT_TIMEOUT_S = 20.0
# Many servers close a connection after 5 idle seconds; one that is given up sooner is never used while it closes.
_KEEP_ALIVE_S = 4.0
_FAILED = ("failed", "cancelled")


def require_openai(option: str) -> None:
    """Raise AgentError, naming the option that needs it, unless the openai package can be imported."""
    try:
        import openai  # noqa: F401, PLC0415 (an optional package, and slow to import)
    except ImportError as error:
        raise AgentError(f"{option} needs the openai package: pip install 'pytest-fcpivot[openai]'") from error


class Connection:
    """Sends requests to one endpoint, each once, with a client for the event loop that runs; `timeout` is in seconds.

    The client itself never retries: whoever asks does, since only the caller can wait without holding a place among
    the calls in flight.
    """

    def __init__(
        self, endpoint: Endpoint, *, headers: Mapping[str, str] | None = None, timeout: float | None = None
    ) -> None:
        self._endpoint = endpoint
        # Some versions of the client tell headers apart by case, and would send the key's own beside the user's.
        self._headers = {"Authorization" if k.lower() == "authorization" else k: v for k, v in (headers or {}).items()}
        self._timeout_s = timeout or _TIMEOUT_S
        self._client: AsyncOpenAI | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send one request and return the JSON object of the answer.

        Raises what the openai package raises, and TransientAgentError for a success that is no answer.
        """
        # By path, and with the text decoded here: the method for this endpoint checks the body field by field against
        # the package's types, and turns the answer into its models. That takes up to ten times the rest of the call,
        # and servers that are nearly compatible would not be understood.
        post = partial(self.client().post, f"/{path}", cast_to=str, options=self._options())
        try:
            text = await post(body=body)
        except UnicodeEncodeError:
            # Half of a surrogate pair, which JSON text can hold and a request in UTF-8 cannot.
            text = await post(body=_encodable(body))
        return self._decode(path, text)

    async def aclose(self) -> None:
        """Close what was opened in the running event loop; the connection can be used again."""
        client, self._client = self._client, None
        # Connections belong to their loop: those of another one cannot be closed from here, and ended with it.
        if client is not None and self._loop is asyncio.get_running_loop():
            await client.close()

    def where(self, path: str) -> str:
        """Name the address of a path, for messages."""
        return f"{str(self._endpoint).rstrip('/')}/{path}"

    def client(self) -> AsyncOpenAI:
        """Return the client of the running event loop; it is made at the first call in that loop."""
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._client, self._loop = self._connect(), loop
        return self._client

    def _options(self) -> RequestOptions:
        import openai  # noqa: PLC0415 (the client has been made)

        headers = self._endpoint.key_headers(self._headers)
        if not headers:
            return {}
        return {"headers": {name: openai.Omit() if value is None else value for name, value in headers.items()}}

    def _connect(self) -> AsyncOpenAI:
        import openai  # noqa: PLC0415 (an optional package, and slow to import)

        # The class by way of the package's own constant: which HTTP library it is of depends on the version. How many
        # calls are in flight is the caller's business, so there is no second limit here.
        limits = type(openai.DEFAULT_CONNECTION_LIMITS)(
            max_connections=None, max_keepalive_connections=None, keepalive_expiry=_KEEP_ALIVE_S
        )
        timeout = openai.Timeout(self._timeout_s, connect=min(self._timeout_s, _CONNECT_TIMEOUT_S))
        return openai.AsyncOpenAI(
            api_key=self._endpoint.key,
            base_url=self._endpoint.url,
            default_query=self._endpoint.query,
            default_headers=self._headers,
            max_retries=0,
            timeout=timeout,
            http_client=openai.DefaultAsyncHttpxClient(limits=limits, timeout=timeout),
        )

    def _decode(self, path: str, text: str) -> dict[str, Any]:
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            answer = None
        where = self.where(path)
        if not isinstance(answer, dict):
            raise TransientAgentError(
                f"{where} answered with something else than a JSON object: {one_line(text[:80])!r}", "invalid answer"
            )
        error, status = answer.get("error"), answer.get("status")
        if error or (isinstance(status, str) and status in _FAILED):
            said = (error.get("message") if isinstance(error, dict) else error) or error or "no reason given"
            what = f"status {status}" if isinstance(status, str) else "an error in a successful reply"
            raise TransientAgentError(f"{where} answered with {what}: {one_line(str(said))}", "server error")
        return answer


def _encodable(value: Any) -> Any:
    """Return a JSON value with a replacement character for each half of a surrogate pair."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_encodable(part) for part in value]
    if isinstance(value, dict):
        return {_encodable(key): _encodable(part) for key, part in value.items()}
    return value
