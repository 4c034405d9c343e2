"""Sends requests to an OpenAI endpoint and decodes the JSON replies; used by the openai agents and the judge."""

from __future__ import annotations

import asyncio
import json
import sys
import zlib
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pytest_fcpivot.calls.faults import SERVER_ERROR, causes
from pytest_fcpivot.core.error_bodies import is_error, read_error_body
from pytest_fcpivot.core.errors import AgentError, ReplyError, TransientAgentError
from pytest_fcpivot.core.jsontext import one_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from openai import AsyncOpenAI, RequestOptions

    from pytest_fcpivot.agents.openai.settings import Endpoint

RESPONSES, CHAT_COMPLETIONS = "responses", "chat/completions"
_TIMEOUT_S = 600.0
# A thousand connections opened at once by one loop, with their TLS handshakes, take longer than the client's own 5 s.
_CONNECT_TIMEOUT_S = 20.0
# Many servers close a connection after 5 idle seconds; closing it before that avoids using it just as it is closed.
_KEEP_ALIVE_S = 4.0
# The limit on a reply, which is held in memory; no answer of a model comes near it.
MOST_BYTES = 64 << 20
TOO_LARGE, EVENT_STREAM = "reply too large", "event stream"
_FAILED = ("failed", "cancelled")
_EVENTS = ("data:", "event:", ":", "id:", "retry:")  # how a line of an event stream begins
_ERRORS = range(400, 600)
# Fields that mark a reply as an error if it has no answer.
_WORDS_OF_ERRORS = frozenset(("message", "detail", "msg", "errors", "error_message", "error_msg"))
# The HTTP statuses for the names of errors that servers put into replies with a successful status.
_STATUS_OF_NAME = {
    "invalid_request_error": 400,
    "invalid_argument": 400,
    "failed_precondition": 400,
    "invalid_prompt": 400,
    "bad_request": 400,
    "badrequesterror": 400,
    "invalid_api_key": 401,
    "authentication_error": 401,
    "unauthenticated": 401,
    "unauthorized": 401,
    "payment_required": 402,
    "billing_error": 402,
    "insufficient_quota": 429,
    "permission_denied": 403,
    "permission_error": 403,
    "model_not_found": 404,
    "not_found": 404,
    "not_found_error": 404,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "too_many_requests": 429,
    "resource_exhausted": 429,
    "server_error": 500,
    "api_error": 500,
    "internal": 500,
    "internal_error": 500,
    "internal_server_error": 500,
    "internalservererror": 500,
    "unavailable": 503,
    "service_unavailable": 503,
    "overloaded": 529,
    "overloaded_error": 529,
}


def require_openai(option: str) -> None:
    """Raise AgentError, naming the option that needs it, unless the openai package can be imported."""
    try:
        import openai  # noqa: F401, PLC0415 (an optional package, and slow to import)
    except ImportError as error:
        raise AgentError(f"{option} needs the openai package: pip install 'pytest-fcpivot[openai]'") from error


class Connection:
    """Sends requests to one endpoint, with one client per event loop; `timeout` is in seconds.

    Requests are never retried here: only the caller can wait without occupying a slot among the calls in flight.
    """

    def __init__(
        self, endpoint: Endpoint, *, headers: Mapping[str, str] | None = None, timeout: float | None = None
    ) -> None:
        self._endpoint = endpoint
        # Some versions of the client distinguish headers by case, and would send both the key's header and the user's.
        self._headers = {"Authorization" if k.lower() == "authorization" else k: v for k, v in (headers or {}).items()}
        self._timeout_s = timeout or _TIMEOUT_S
        self._client: AsyncOpenAI | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send one request and return the JSON object of the reply, decoded as UTF-8 whatever its header claims.

        Raises what the openai package raises; ReplyError for an error inside a successful reply (with the status that
        the error names), for an event stream, and for a reply of more than MOST_BYTES; TransientAgentError for any
        other successful reply without an answer.
        """
        # The request is sent by path and the reply decoded here, because the package's method for this endpoint checks
        # the body field by field and converts the answer into its own models. That would take up to ten times as long
        # as the rest of the call, and would fail for servers that are not quite compatible.
        post = partial(self.client().post, f"/{path}", cast_to=_http_library().Response, options=self._options())
        try:
            try:
                reply = await post(body=body)
            except UnicodeEncodeError:
                # A lone surrogate, which JSON can represent but a request in UTF-8 cannot.
                reply = await post(body=_encodable(body))
        except Exception as error:
            large = next((cause for cause in causes(error) if isinstance(cause, _TooLargeError)), None)
            if large is None:
                raise
            message = f"{self.where(path)} sent a reply of {large.size}; no more than {MOST_BYTES >> 20} MiB are read"
            raise ReplyError(message, TOO_LARGE) from None
        return self._decode(path, reply)

    async def aclose(self) -> None:
        """Close the client of the running event loop; this object can be used again."""
        client, self._client = self._client, None
        # Connections belong to their event loop: those of another loop cannot be closed here, and ended with that loop.
        if client is not None and self._loop is asyncio.get_running_loop():
            await client.close()

    def where(self, path: str) -> str:
        """Return the full address of a path, for messages."""
        return f"{str(self._endpoint).rstrip('/')}/{path}"

    @property
    def server(self) -> str:
        """The server's address without a path: scheme, host and port."""
        parts = urlsplit(str(self._endpoint))
        return f"{parts.scheme}://{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"

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

        # The class is taken from the package's own constant, because the HTTP library depends on the package's version.
        # There is no limit on connections here, because the caller limits the calls in flight.
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
            http_client=openai.DefaultAsyncHttpxClient(
                limits=limits, timeout=timeout, event_hooks={"response": [_bound()]}
            ),
        )

    def _decode(self, path: str, reply: Any) -> dict[str, Any]:
        where = self.where(path)
        content: bytes = reply.content
        text = content.decode("utf-8-sig", "replace")
        # Judged by the text, since servers that do not stream may also label their JSON as an event stream.
        if text.lstrip()[:10].startswith(_EVENTS):
            raise ReplyError(
                f"{where} answered with a stream of events, although the request says stream: false; set the server "
                f"to answer in one piece: {one_line(text[:80])!r}",
                EVENT_STREAM,
            )
        try:
            answer = json.loads(content.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            said = read_error_body(answer) if isinstance(answer, list) and answer else None
            if said is not None and said.fields:
                raise _error_inside(f"{where} answered with an error in a successful reply", answer, reply)
            raise TransientAgentError(
                f"{where} answered with something other than a JSON object: {one_line(text[:80])!r}", "invalid answer"
            )
        error, status = answer.get("error"), answer.get("status")
        if isinstance(status, str) and status in _FAILED:
            raise _error_inside(f"{where} answered with status {status}", error or "no reason given", reply)
        if is_error(error) or answer.get("object") == "error":
            raise _error_inside(f"{where} answered with an error in a successful reply", error or answer, reply)
        choices = answer.get("choices")
        if choices is None and answer.get("output") is None and not _WORDS_OF_ERRORS.isdisjoint(answer):
            raise _error_inside(f"{where} answered with an error in a successful reply", answer, reply)
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and (is_error(choice.get("error")) or choice.get("finish_reason") == "error"):
                what = f"{where} answered with an error in a choice"
                raise _error_inside(what, choice.get("error") or "no reason given", reply, choice)
        return answer


class _TooLargeError(Exception):
    """A reply is larger than MOST_BYTES; `size` describes how large it is, as far as that is known."""

    def __init__(self, size: str) -> None:
        super().__init__(size)
        self.size = size


@lru_cache(maxsize=1)
def _http_library() -> Any:
    """Return the HTTP library that the openai package uses, which depends on the package's version."""
    import openai  # noqa: PLC0415 (an optional package, and slow to import)

    return sys.modules[type(openai.DEFAULT_CONNECTION_LIMITS).__module__.partition(".")[0]]


@lru_cache(maxsize=1)
def _bound() -> Callable[[Any], Awaitable[None]]:
    """Return the response hook that limits the size of every reply, including errors, while it is read."""

    class Bounded(_http_library().AsyncByteStream):  # type: ignore[misc] # the library's own, whichever it is
        """The bytes of a reply, up to MOST_BYTES."""

        def __init__(self, stream: Any, unpack: Callable[[bytes, int], bytes] | None) -> None:
            self._stream = stream
            self._unpack = unpack

        async def __aiter__(self) -> AsyncIterator[bytes]:
            size = 0
            async for sent in self._stream:
                try:
                    part = sent if self._unpack is None else self._unpack(sent, MOST_BYTES + 1 - size)
                except zlib.error as error:
                    raise _http_library().DecodingError(str(error)) from error
                size += len(part)
                if size > MOST_BYTES:
                    raise _TooLargeError(f"more than {MOST_BYTES:,} bytes")
                yield part

        async def aclose(self) -> None:
            await self._stream.aclose()

    async def bound(response: Any) -> None:
        length = response.headers.get("content-length", "")
        if length.isdecimal() and int(length) > MOST_BYTES:
            raise _TooLargeError(f"{int(length):,} bytes")
        unpack = None
        if response.headers.get("content-encoding", "").strip().lower() == "gzip":
            # Unpacked here: the library would unpack it without a limit, to up to a thousand times its size.
            del response.headers["content-encoding"]
            unpack = zlib.decompressobj(16 + zlib.MAX_WBITS).decompress
        response.stream = Bounded(response.stream, unpack)

    return bound


def _error_inside(what: str, error: Any, reply: Any, choice: Any = None) -> AgentError:
    """Return the error for a successful reply that holds one, treated as if the reply had the status that it names."""
    said = read_error_body(error)
    message = f"{what}: {said.reason if said is not None else one_line(str(error))}"
    names = () if said is None else (said.code, said.status, said.type)
    numbers = [int(name) for name in names if name.isdecimal() and int(name) in _ERRORS]
    numbers += [_STATUS_OF_NAME[name.lower()] for name in names if name.lower() in _STATUS_OF_NAME]
    if not numbers and choice is None:
        return TransientAgentError(message, SERVER_ERROR)
    body = error if choice is None else {**choice, "error": error}
    # An error of a choice that names no status counts as 500: typically a gateway lost the server behind it.
    return ReplyError(message, status_code=numbers[0] if numbers else 500, body=body, headers=reply.headers)


def _encodable(value: Any) -> Any:
    """Return a JSON value with a replacement character for each lone surrogate."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_encodable(part) for part in value]
    if isinstance(value, dict):
        return {_encodable(key): _encodable(part) for key, part in value.items()}
    return value
