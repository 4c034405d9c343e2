"""The base class of the OpenAI agents: settings, the connection to the endpoint, and the handling of replies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from pytest_fcpivot.agents.openai import malformed
from pytest_fcpivot.agents.openai.connection import Connection, require_openai
from pytest_fcpivot.agents.openai.refused_fields import refused_field
from pytest_fcpivot.agents.openai.settings import Endpoint, OpenAISettings
from pytest_fcpivot.agents.openai.system_messages import is_refusal, with_one_system_message
from pytest_fcpivot.agents.openai.tools import Offer
from pytest_fcpivot.calls.retry import PATIENCE_S
from pytest_fcpivot.core.answer_flags import AGENT_NOTES, MOVED, SYSTEM_MESSAGES
from pytest_fcpivot.core.errors import AgentError, TransientAgentError
from pytest_fcpivot.core.jsontext import compact, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fcpivot.core.model import PivotView


class OpenAIAgent(ABC):
    """Asks one model; takes the fields of OpenAISettings as keyword arguments.

    A call returns the server's JSON object, with the pivot's own tool names. It raises what the openai package raises,
    and TransientAgentError or ReplyError for a successful reply without an answer. If a server reports in an error that
    the model's output was malformed, the call returns that output; see `malformed`. Making an agent raises AgentError
    if the package, a model, a usable URL, or a required key is missing, and for fields of `extra_body` that request
    another kind of reply.
    """

    name: ClassVar[str]
    path: ClassVar[str]
    conversation: ClassVar[str]  # the field of a request that holds the conversation
    fields: ClassVar[frozenset[str]]  # the fields of a request that can be left out
    # Retries are made by the caller of an agent, and this is their number unless the user chooses another.
    default_retries: ClassVar[int] = 5
    # For at least this many seconds, the caller also waits for a server that answered before and is now unreachable.
    default_patience: ClassVar[float] = PATIENCE_S

    def __init__(self, **settings: Any) -> None:
        require_openai(f"--fc-agent={self.name}")
        self.settings = OpenAISettings(**{"model": "", **settings})
        if not self.settings.model:
            raise AgentError(f"--fc-agent={self.name} needs a model: pass --fc-model=NAME")
        _check_extra_body(self.settings.extra_body or {})
        self._check_omitted()
        self._moves_system_messages = False  # true once the server has refused later system messages unless moved
        self._endpoint = Endpoint.of(self.settings.base_url, self.settings.api_key)
        self._connection = Connection(
            self._endpoint, headers=self.settings.headers, timeout=self.settings.request_timeout
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(model={self.settings.model!r}, base_url={str(self._endpoint)!r})"

    async def __call__(self, pivot: PivotView) -> dict[str, Any]:
        """Ask the model at one pivot, with one request, or with a second one if the first is refused in a known way."""
        offer = self._offer(pivot)
        answer = await self._ask(self._request(pivot, offer), offer)
        if not malformed.is_from_report(answer):
            self._read(answer, offer)
        return answer

    @property
    def server(self) -> str:
        """The address of the server, by which all agents of one server share a limit."""
        return self._connection.server

    async def aclose(self) -> None:
        """Close the connections that were made in the running event loop; the agent can be used again."""
        await self._connection.aclose()

    def _offer(self, pivot: PivotView) -> Offer:
        return Offer.of(pivot, self.settings)

    @abstractmethod
    def _request(self, pivot: PivotView, offer: Offer) -> dict[str, Any]:
        """Return the body of the request for one pivot."""

    @abstractmethod
    def _read(self, answer: dict[str, Any], offer: Offer) -> None:
        """Restore the pivot's own tool names in an answer, in place; raises TransientAgentError without an answer."""

    async def _ask(self, request: dict[str, Any], offer: Offer) -> dict[str, Any]:
        """Send a request; if the server refuses its later system messages, move them, send it again and note that."""
        mended = with_one_system_message(request[self.conversation])
        if mended is None:
            return _noted(await self._send(request, offer))
        refusal = None
        if not self._moves_system_messages:
            try:
                return _noted(await self._send(request, offer))
            except Exception as error:
                if not is_refusal(error):
                    raise
                refusal = str(error)
        try:
            answer = await self._send({**request, self.conversation: mended}, offer)
        except Exception as error:
            if refusal is not None:
                error.add_note(f"asked again with its later system messages moved, after: {one_line(refusal, 200)}")
            raise
        self._moves_system_messages = True
        return _noted(answer, {SYSTEM_MESSAGES: MOVED})

    async def _send(self, request: dict[str, Any], offer: Offer) -> dict[str, Any]:
        extra = self.settings.extra_body or {}
        body = {name: value for name, value in {**request, **extra}.items() if name not in self.settings.omit}
        try:
            answer = await self._connection.post(self.path, body)
        except Exception as error:
            report, usage = malformed.report_in_error(error), None
            refused = refused_field(error, body.keys() & (self.fields | extra.keys()))
            if refused is not None:
                remedy = (
                    "take it out of --fc-extra-body" if refused in extra else f"leave it out with --fc-omit={refused}"
                )
                error.add_note(f"the server does not take {refused!r}: {remedy}")
            if report is None:
                raise
        else:
            report, usage = malformed.report_in_answer(answer), answer.get("usage")
            malformed.take_out(answer)
        if report is None:
            return answer
        return malformed.output_of(report, self._connection.where(self.path), offer.names.own, usage)

    def _check_omitted(self) -> None:
        """Raise AgentError if `omit` names a required field, or one that no request has."""
        for name in self.settings.omit:
            if name in (self.settings.extra_body or {}):
                raise AgentError(f"--fc-omit={name}: --fc-extra-body has that field; take it out there")
            if name not in self.fields:
                what = "no request can do without it" if name in ("model", self.conversation) else "no request has it"
                raise AgentError(
                    f"--fc-omit={name}: {what}; of the requests of {self.name}, these fields can be left out: "
                    f"{', '.join(sorted(self.fields))}"
                )

    def _empty(self, what: str, answer: dict[str, Any]) -> TransientAgentError:
        where, sent = self._connection.where(self.path), one_line(compact(answer), 120)
        return TransientAgentError(f"{where} answered with {what}; there is no answer to grade: {sent}", "empty answer")


def _check_extra_body(extra: Mapping[str, Any]) -> None:
    """Raise AgentError for fields that would make the reply a stream, or several answers."""
    if extra.get("stream"):
        raise AgentError("--fc-extra-body: stream must be false: an answer is read in one piece; leave it out")
    if extra.get("n") not in (None, 1):
        raise AgentError(
            f"--fc-extra-body: n must be 1, not {extra['n']!r}: one answer is graded; to ask several times at each "
            "pivot, pass --fc-repeats"
        )


def _noted(answer: dict[str, Any], notes: dict[str, str] | None = None) -> dict[str, Any]:
    """Add the agent's notes on its request to an answer, replacing anything that a server may have put there."""
    answer.pop(AGENT_NOTES, None)
    if notes:
        answer[AGENT_NOTES] = notes
    return answer
