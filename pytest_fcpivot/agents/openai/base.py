"""What the OpenAI agents share: settings, a client for each event loop, and the reading of what a server sends."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from pytest_fcpivot.agents.openai.settings import Endpoint, OpenAISettings
from pytest_fcpivot.agents.openai.tools import Offer
from pytest_fcpivot.errors import AgentError, TransientAgentError
from pytest_fcpivot.jsontext import one_line

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from pytest_fcpivot.model import PivotView

_TIMEOUT_S = 600.0
# A thousand connections opened at once by one loop, with their TLS handshakes, take longer than the client's own 5 s.
_CONNECT_TIMEOUT_S = 20.0
# Many servers close a connection after 5 idle seconds; one that is given up sooner is never used while it closes.
_KEEP_ALIVE_S = 4.0
_FAILED = ("failed", "cancelled")


class OpenAIAgent(ABC):
    """Asks one model; made with the keywords of OpenAISettings.

    A call returns the server's JSON object, with the pivot's own tool names, or raises what the openai package raises,
    or TransientAgentError for a success that holds no answer. Making an agent raises AgentError without the package, a
    model, a usable URL, or a key where one is needed.
    """

    name: ClassVar[str]
    path: ClassVar[str]
    # The client itself never retries: whoever calls an agent does, with this many retries unless told otherwise, since
    # only the caller can wait without holding a place among the calls in flight.
    default_retries: ClassVar[int] = 5

    def __init__(self, **settings: Any) -> None:
        try:
            import openai  # noqa: F401, PLC0415 (an optional package, and slow to import)
        except ImportError as error:
            raise AgentError(
                f"--fc-agent={self.name} needs the openai package: pip install 'pytest-fcpivot[openai]'"
            ) from error
        self.settings = OpenAISettings(**{"model": "", **settings})
        if not self.settings.model:
            raise AgentError(f"--fc-agent={self.name} needs a model: pass --fc-model=NAME")
        self._endpoint = Endpoint.of(self.settings)
        self._client: AsyncOpenAI | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(model={self.settings.model!r}, base_url={str(self._endpoint)!r})"

    async def __call__(self, pivot: PivotView) -> dict[str, Any]:
        """Ask the model at one pivot; at most one request is sent."""
        offer = self._offer(pivot)
        answer = await self._send(self._request(pivot, offer))
        self._read(answer, offer)
        return answer

    async def aclose(self) -> None:
        """Close the connections that were made in the running event loop; the agent can be used again."""
        client, self._client = self._client, None
        # Connections belong to their loop: those of another one cannot be closed from here, and ended with it.
        if client is not None and self._loop is asyncio.get_running_loop():
            await client.close()

    def _offer(self, pivot: PivotView) -> Offer:
        return Offer.of(pivot, self.settings)

    @abstractmethod
    def _request(self, pivot: PivotView, offer: Offer) -> dict[str, Any]:
        """Return the body of the request for one pivot."""

    @abstractmethod
    def _read(self, answer: dict[str, Any], offer: Offer) -> None:
        """Give the tools of an answer their own names, in place; raises TransientAgentError if there is no answer."""

    def _connected(self) -> AsyncOpenAI:
        """Return the client of the running event loop; it is made at the first call in that loop."""
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._client, self._loop = self._connect(), loop
        return self._client

    def _connect(self) -> AsyncOpenAI:
        import openai  # noqa: PLC0415 (an optional package, and slow to import)

        # The class by way of the package's own constant: which HTTP library it is of depends on the version. How many
        # calls are in flight is the caller's business, so there is no second limit here.
        limits = type(openai.DEFAULT_CONNECTION_LIMITS)(
            max_connections=None, max_keepalive_connections=None, keepalive_expiry=_KEEP_ALIVE_S
        )
        timeout_s = self.settings.request_timeout or _TIMEOUT_S
        timeout = openai.Timeout(timeout_s, connect=min(timeout_s, _CONNECT_TIMEOUT_S))
        return openai.AsyncOpenAI(
            api_key=self._endpoint.key,
            base_url=self._endpoint.url,
            default_query=self._endpoint.query,
            default_headers=self.settings.headers,
            max_retries=0,
            timeout=timeout,
            http_client=openai.DefaultAsyncHttpxClient(limits=limits, timeout=timeout),
        )

    async def _send(self, request: dict[str, Any]) -> dict[str, Any]:
        body = {**request, **(self.settings.extra_body or {})}
        # By path, and with the text decoded here: the method for this endpoint checks the body field by field against
        # the package's types, and turns the answer into its models. That takes up to ten times the rest of the call,
        # and servers that are nearly compatible would not be understood.
        post = partial(self._connected().post, f"/{self.path}", cast_to=str)
        try:
            text = await post(body=body)
        except UnicodeEncodeError:
            # Half of a surrogate pair, which JSON text can hold and a request in UTF-8 cannot.
            text = await post(body=_encodable(body))
        return self._decode(text)

    def _decode(self, text: str) -> dict[str, Any]:
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise TransientAgentError(
                f"{self._where} answered with something else than a JSON object: {one_line(text[:80])!r}",
                "invalid answer",
            )
        error, status = answer.get("error"), answer.get("status")
        if error or (isinstance(status, str) and status in _FAILED):
            said = (error.get("message") if isinstance(error, dict) else error) or error or "no reason given"
            what = f"status {status}" if isinstance(status, str) else "an error in a successful reply"
            raise TransientAgentError(f"{self._where} answered with {what}: {one_line(str(said))}", "server error")
        return answer

    def _empty(self, what: str) -> TransientAgentError:
        return TransientAgentError(f"{self._where} answered with {what}; there is no answer to grade", "empty answer")

    @property
    def _where(self) -> str:
        return f"{str(self._endpoint).rstrip('/')}/{self.path}"


def _encodable(value: Any) -> Any:
    """Return a JSON value with a replacement character for each half of a surrogate pair."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_encodable(part) for part in value]
    if isinstance(value, dict):
        return {_encodable(key): _encodable(part) for key, part in value.items()}
    return value
