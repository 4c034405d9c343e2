"""The settings of an OpenAI agent, which are the same for all pivots: model, endpoint and sampling parameters."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from pytest_fcpivot.core.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# The client refuses to start without a key, although local servers need none.
_NO_KEY = "no-key"
OPENAI_KEY = "OPENAI_API_KEY"
# Azure's hosts for OpenAI's models, in the public and the national clouds; they take a key in a header of its own.
_AZURE = re.compile(
    r"(?:.+\.)?(?:(?:openai|cognitiveservices)\.azure\.(?:com|us|cn)|services\.ai\.azure\.com"
    r"|api\.cognitive\.microsoft\.com)"
)
_AZURE_KEY = "api-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAISettings:
    """The settings of one agent; a field that is None is not sent, so that the server's default applies.

    `tool_choice` is `auto`, `none`, `required` or a tool's name. `tool_choice` and `parallel_tool_calls` override those
    of the pivot; its other parameters are never used, since its model and sampling were the expert's. `seed` is the
    seed of the first repeat, and increases by one with each repeat; the Responses API has no seed. `message_tool`
    offers the shared tool `submit_message` and requires a call. `request_timeout` is in seconds. `omit` lists fields
    that are removed from every request, whichever setting they come from.
    """

    model: str
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    reasoning_effort: str | None = None
    tool_choice: str | None = None
    parallel_tool_calls: bool | None = None
    extra_body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    message_tool: bool = False
    seed: int | None = None
    request_timeout: float | None = None
    omit: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The target of requests: `url` is None for OpenAI itself; `query` is sent with each request, `key` never shown."""

    url: str | None
    query: Mapping[str, str]
    key: str = field(repr=False)

    @classmethod
    def of(
        cls,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        key_variable: str = OPENAI_KEY,
        option: str = "--fc-base-url",
    ) -> Endpoint:
        """Make an endpoint from a base URL and a key; if None, they come from OPENAI_BASE_URL and `key_variable`.

        Raises AgentError for an invalid URL, and for OpenAI itself without a key; `option` is the option for the base
        URL that the message names.
        """
        where = "the base URL"
        if base_url is None:
            base_url, where = os.environ.get("OPENAI_BASE_URL", "").strip() or None, "OPENAI_BASE_URL"
        key = api_key or os.environ.get(key_variable, "").strip()
        if base_url is None:
            if not key:
                raise AgentError(
                    f"{key_variable} is not set; set it, or pass the base URL of a server that needs no key: "
                    f"{option}=http://localhost:8000/v1"
                )
            return cls(None, {}, key)
        try:
            parts = urlsplit(base_url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:  # an invalid port, or an invalid address in brackets
            usable = False
        if not usable:
            raise AgentError(
                f"{where} {base_url!r} is not a URL of a server; write it with http:// or https:// and the path up "
                "to the version, as in http://localhost:8000/v1"
            )
        # The client would append its paths to the query; gateways need their query in every request.
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        return cls(urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")), query, key or _NO_KEY)

    @property
    def is_openai(self) -> bool:
        """Whether this is OpenAI's own service, at OpenAI or at Azure, which supports its newer parameters."""
        host = urlsplit(self.url).hostname or "" if self.url else "api.openai.com"
        return f".{host}".endswith((".openai.com", ".azure.com"))

    def key_headers(self, given: Iterable[str]) -> dict[str, str | None]:
        """Return the headers for a key that is not sent as a bearer token; None marks a header that must not be sent.

        `given` are the names of the headers that the user sets: if they include a key, this key is not sent.
        """
        host = urlsplit(self.url).hostname or "" if self.url else ""
        names = {name.lower() for name in given}
        if not _AZURE.fullmatch(host) or "authorization" in names:
            return {}
        own: dict[str, str | None] = {} if _AZURE_KEY in names else {_AZURE_KEY: self.key}
        return {**own, "Authorization": None}

    def __str__(self) -> str:
        return self.url or "https://api.openai.com/v1"
