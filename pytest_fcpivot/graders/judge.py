"""A model as the judge of messages; it is asked like an agent, and its verdict on a question is cached.

In code:

    caller = Caller(judge, concurrency=16, policy=RetryPolicy(judge.default_retries))
    judgement = judge.cached(question) or caller.finish(caller.start(question))
    grade = AgenticGrader().grade_message(question.expected, question.candidate, judgement.score, judgement.reason)
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from hashlib import blake2b
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pytest_fcpivot.agents.openai import malformed
from pytest_fcpivot.agents.openai.connection import CHAT_COMPLETIONS, RESPONSES, Connection, require_openai
from pytest_fcpivot.agents.openai.quirks import UNPARSED
from pytest_fcpivot.agents.openai.settings import OPENAI_KEY, Endpoint
from pytest_fcpivot.calls.retry import PATIENCE_S
from pytest_fcpivot.core.chat import content_text
from pytest_fcpivot.core.error_bodies import with_reason
from pytest_fcpivot.core.errors import AgentError, TransientAgentError
from pytest_fcpivot.core.jsontext import one_line, shown
from pytest_fcpivot.core.redact import Redactor
from pytest_fcpivot.core.usage import usage_of
from pytest_fcpivot.graders.base import OFF
from pytest_fcpivot.graders.judge_prompt import Prompt, Question, bundled_prompt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fcpivot.core.usage import Usage
    from pytest_fcpivot.graders.judge_cache import JudgeCache

__all__ = ["APIS", "DEFAULT_MODEL", "OFF", "Judge", "Judgement", "Prompt", "Question", "make_judge"]

DEFAULT_MODEL = "gpt-5-mini"
APIS = ("auto", "responses", "chat")

# Part of the cache key; increase it when the same question is shown to the judge differently under the same prompt.
_SHOWN_AS = 1
_KEY_BYTES = 20
_REASON_WIDTH = 400
_NO_SUCH_PATH = (404, 405, 501)
_NOT_UNDERSTOOD = (400, 422, 501)
# The names that servers use for the parameter, or for structured output, in the errors that refuse it.
_FORMAT_NAMES = ("response_format", "text.format", "'text'", '"text"', "schema", "structured", "guided", "grammar")
_SCHEMA = {
    "type": "object",
    # The model writes the members in this order: a reason that is written first can still influence the score.
    "properties": {
        "reason": {"type": "string", "description": "One or two short sentences that say what decided the score."},
        "score": {"type": "number", "minimum": 0, "maximum": 1},
    },
    "required": ["reason", "score"],
    "additionalProperties": False,
}
_SHAPE = {"name": "judgement", "strict": True, "schema": _SCHEMA}

_Api = Literal["responses", "chat"]
_PATHS: Mapping[_Api, str] = MappingProxyType({"responses": RESPONSES, "chat": CHAT_COMPLETIONS})


@dataclass(frozen=True, slots=True)
class Judgement:
    """The judge's verdict on a message: a score from 0 to 1, and the reason for it.

    `usage` are the tokens it took, None if it was `cached`. `structured` is true if the endpoint constrained the answer
    to the schema of a judgement; otherwise the verdict was read from free text.
    """

    score: float
    reason: str
    usage: Usage | None = None
    structured: bool = True
    cached: bool = False


class Judge:
    """Asks a model how well a message does what the expert's message does; Caller can run it like an agent.

    `base_url` is the URL of a server other than OpenAI's own; its default is OPENAI_BASE_URL. `key_variable` is the
    environment variable that holds the key, by default OPENAI_API_KEY, unless `key` is given itself; only OpenAI itself
    requires a key. `api` is
    `responses`, `chat`, or `auto`: Responses, or Chat Completions if a server that is not OpenAI's does not offer
    Responses. `timeout` is that of a request, in seconds. Verdicts are stored in `cache`, if one is given.

    A call takes a Question and returns a Judgement. It raises what the openai package raises, and TransientAgentError
    for an answer without a verdict, with the `cause` `malformed judgement`, `refusal`, `truncated answer`, or one of
    the openai agents' causes. It sends one request, and a second one only if the first shows what the endpoint does not
    support: without structured output, or through the other API. This is remembered for later calls, and `notes`
    describes it.

    Making a judge raises AgentError without the openai package, a model, a usable URL, or a key where one is needed.
    """

    default_retries: ClassVar[int] = 5
    default_patience: ClassVar[float] = PATIENCE_S

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        base_url: str | None = None,
        key_variable: str | None = None,
        key: str | None = None,
        api: str = "auto",
        timeout: float | None = None,
        cache: JudgeCache | None = None,
        prompt: Prompt | None = None,
    ) -> None:
        option = f"--fc-judge={model}"
        if not model:
            raise AgentError(f"--fc-judge needs a model's name, as in --fc-judge={DEFAULT_MODEL}, or {OFF}")
        if api not in APIS:
            raise AgentError(f"--fc-judge-api={api}: unknown API; known: {', '.join(APIS)}")
        require_openai(option)
        if key is None and key_variable and not os.environ.get(key_variable, "").strip():
            raise AgentError(f"--fc-judge-key={key_variable}: this environment variable is not set; it holds the key")
        try:
            self._endpoint = Endpoint.of(
                base_url, key, key_variable=key_variable or OPENAI_KEY, option="--fc-judge-base-url"
            )
        except AgentError as error:
            raise AgentError(f"{option}: {error}; to have no model judge messages: --fc-judge={OFF}") from error
        self.model = model
        self.prompt = prompt or bundled_prompt()
        self.cache = cache
        self._connection = Connection(self._endpoint, timeout=timeout)
        self._api: _Api = "chat" if api == "chat" else "responses"
        self._api_is_known = api != "auto" or self._endpoint.is_openai
        self._asked_api = api
        self._unstructured: str | None = None
        self._form_was_kept = False  # if it ever was, other text is the model's fault, not the endpoint's
        self._redact = Redactor((self._endpoint.key,))
        self._key = blake2b(digest_size=_KEY_BYTES)
        for text in (str(_SHOWN_AS), model, self._address, self.prompt.version):
            _add(self._key, text)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(model={self.model!r}, base_url={self._address!r})"

    @property
    def server(self) -> str:
        """The address of the server, by which all users of one server share a limit."""
        return self._connection.server

    @property
    def structured(self) -> bool:
        """Whether structured output is requested: true until the endpoint turns out not to support it."""
        return self._unstructured is None

    @property
    def notes(self) -> list[str]:
        """Notes for the report: that the endpoint lacks structured output, that the cache could not be used."""
        notes = (self._unstructured, None if self.cache is None else self.cache.problem)
        return [note for note in notes if note is not None]

    def facts(self) -> dict[str, str]:
        """Return the judge's description for run.json; it does not change during the run."""
        return {
            "model": self.model,
            "base_url": self._address,
            "api": self._asked_api,
            "prompt_version": self.prompt.version,
        }

    def cached(self, question: Question) -> Judgement | None:
        """Return the cached verdict on the same question by the same model, endpoint and prompt; None without one."""
        found = None if self.cache is None else self.cache.get(self._key_of(question))
        return None if found is None else Judgement(found[0], found[1], None, found[2], cached=True)

    async def __call__(self, question: Question) -> Judgement:
        """Ask the model about one message, even if the cache holds a verdict; stores the new one there at once."""
        api, structured, answer = await self._ask(self.prompt.messages(question))
        text = self._text_of(api, answer)
        if structured and not text.lstrip().startswith("{"):
            structured = False
            if not self._form_was_kept:
                self._do_without_structure("answered with other text than was asked for")
        try:
            score, reason = _verdict_in(text)
        except ValueError as error:
            raise self._no_verdict(api, f"{error}: {one_line(text, 120)!r}", "malformed judgement") from None
        self._form_was_kept |= structured
        judgement = Judgement(score, one_line(self._redact(reason), _REASON_WIDTH), usage_of(answer), structured)
        if self.cache is not None:
            self.cache.put(self._key_of(question), judgement.score, judgement.reason, structured=structured)
        return judgement

    async def aclose(self) -> None:
        """Close the connections that were made in the running event loop."""
        await self._connection.aclose()

    def close(self) -> None:
        """Close the cache; verdicts that come later are not kept."""
        if self.cache is not None:
            self.cache.close()

    # ---------------------------------------------------------------- asking

    async def _ask(self, messages: list[dict[str, str]]) -> tuple[_Api, bool, dict[str, Any]]:
        """Send the question in the way that the endpoint is known to understand, or in the first that it does."""
        api, structured = self._api, self.structured
        while True:
            try:
                answer = await self._connection.post(_PATHS[api], self._request(api, messages, structured=structured))
            except Exception as error:
                status = getattr(error, "status_code", None)
                if structured and status in _NOT_UNDERSTOOD and _is_about_form(error):
                    structured = False
                elif api == "responses" and not self._api_is_known and status in _NO_SUCH_PATH:
                    api, structured = "chat", self.structured
                elif (report := malformed.report_in_error(error)) is not None and report.fault == UNPARSED:
                    raise self._no_verdict(api, report.reason, "malformed judgement") from None
                else:
                    raise
                continue
            self._api, self._api_is_known = api, True
            if not structured:
                self._do_without_structure("refused to be asked for it")
            return api, structured, answer

    def _request(self, api: _Api, messages: list[dict[str, str]], *, structured: bool) -> dict[str, Any]:
        if api == "chat":
            form = {"response_format": {"type": "json_schema", "json_schema": _SHAPE}}
            return {"model": self.model, "messages": messages, "stream": False, **(form if structured else {})}
        form = {"text": {"format": {"type": "json_schema", **_SHAPE}}}
        # Nothing of a benchmark should stay on a server.
        request = {"model": self.model, "input": messages, "store": False, "stream": False}
        return {**request, **(form if structured else {})}

    def _do_without_structure(self, what: str) -> None:
        if self._unstructured is None:
            self._unstructured = (
                f"the judge's endpoint {self._address} does not support structured output (it {what}): verdicts are "
                "read from its text"
            )

    # ---------------------------------------------------------------- reading

    def _text_of(self, api: _Api, answer: dict[str, Any]) -> str:
        """Return the model's text; raises TransientAgentError if it refused, was cut off, or wrote nothing."""
        text, refusal, cut = _read_completion(answer) if api == "chat" else _read_response(answer)
        if refusal:
            raise self._no_verdict(api, f"the model refused: {one_line(refusal, 120)!r}", "refusal")
        if cut:
            raise self._no_verdict(api, f"the answer was cut off ({one_line(cut, 40)})", "truncated answer")
        if not text.strip():
            raise self._no_verdict(api, "there is no text in the answer", "empty answer")
        return text

    def _no_verdict(self, api: _Api, why: str, cause: str) -> TransientAgentError:
        where = self._connection.where(_PATHS[api])
        return TransientAgentError(self._redact(f"the judge gave no verdict: {why} ({self.model} at {where})"), cause)

    @property
    def _address(self) -> str:
        """The endpoint without secrets: no user and password from the URL, and a hash in place of its query."""
        url = str(self._endpoint).rstrip("/")
        parts = urlsplit(url)
        shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        if not self._endpoint.query:
            return shown
        # A query may select a deployment, so it must make a difference; it may also hold a key, so it is not shown.
        query = "&".join(f"{name}={value}" for name, value in sorted(self._endpoint.query.items()))
        return f"{shown}?{blake2b(query.encode('utf-8', 'replace'), digest_size=4).hexdigest()}"

    def _key_of(self, question: Question) -> bytes:
        key = self._key.copy()
        for text in (question.input_json, question.expected, question.candidate, str(question.repeat)):
            _add(key, text)
        return key.digest()


def make_judge(
    model: str | None,
    *,
    base_url: str | None = None,
    key_variable: str | None = None,
    api: str = "auto",
    timeout: float | None = None,
    cache: JudgeCache | None = None,
) -> Judge | None:
    """Make the judge that the options request; None if the model is `off`, or no option is set and there is no key.

    Raises AgentError as Judge does.
    """
    if model == OFF:
        return None
    if model is None and base_url is None and key_variable is None and not os.environ.get(OPENAI_KEY, "").strip():
        return None
    model = DEFAULT_MODEL if model is None else model
    return Judge(model, base_url=base_url, key_variable=key_variable, api=api, timeout=timeout, cache=cache)


def _add(key: blake2b, text: str) -> None:
    """Add a text to a hash, preceded by its length, so that different lists of texts give different hashes."""
    raw = text.encode("utf-8", "surrogatepass")
    key.update(b"%d:" % len(raw))
    key.update(raw)


def _is_about_form(error: Exception) -> bool:
    """Return whether an error seems to refuse structured output; a wrong guess only costs one request."""
    text = f"{getattr(error, 'param', None)!r} {with_reason(str(error), error)}".lower()
    return any(name in text for name in _FORMAT_NAMES)


def _read_response(answer: dict[str, Any]) -> tuple[str, str, str]:
    """Return a Response's text, refusal and reason for being cut off."""
    text = refusal = ""
    items = answer.get("output")
    for item in items if isinstance(items, list) else ():
        content = item.get("content") if isinstance(item, dict) and item.get("type") == "message" else None
        if isinstance(content, str):
            text = content
        parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
        # The last message is the answer; earlier ones report progress.
        text = content_text([part for part in parts if part.get("type") != "refusal"]) or text
        refusal = next((str(part.get("refusal")) for part in parts if part.get("type") == "refusal"), refusal)
    cut = ""
    if answer.get("status") == "incomplete":
        details = answer.get("incomplete_details")
        cut = str((details.get("reason") if isinstance(details, dict) else None) or "incomplete")
    return text, refusal or ("content filter" if cut == "content_filter" else ""), cut


def _read_completion(answer: dict[str, Any]) -> tuple[str, str, str]:
    """Return a chat completion's text, refusal and reason for being cut off."""
    choices = answer.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    message = choice.get("message")
    if not isinstance(message, dict):
        return "", "", ""
    ended = choice.get("finish_reason")
    refusal = message.get("refusal") or ("content filter" if ended == "content_filter" else "")
    return content_text(message.get("content")), str(refusal), "length" if ended == "length" else ""


def _verdict_in(text: str) -> tuple[float, str]:
    """Read the score and the reason from the JSON object in a text; raises ValueError unless they are unambiguous.

    The judged message may try to plant a verdict: a judge that quotes it without escaping would then seem to give it.
    So every brace must belong to a valid object, and all objects must have the same score.
    """
    text = text.strip()
    if text.startswith("<think>"):
        text = text.partition("</think>")[2]
    found = _objects(text)
    if not found or not all("score" in value for value in found):
        raise ValueError("no JSON object with a score in the answer")
    if any(shown(other["score"]) != shown(found[0]["score"]) for other in found[1:]):
        raise ValueError("several scores in the answer")
    score, reason = found[-1]["score"], found[-1].get("reason")
    return _score_of(score), reason if isinstance(reason, str) else ""


def _objects(text: str) -> list[dict[str, Any]]:
    """Decode the outermost JSON objects in a text; raises ValueError for a brace that belongs to none of them."""
    objects: list[dict[str, Any]] = []
    end = 0
    while True:
        start = text.find("{", end)
        if "}" in text[end : start if start >= 0 else len(text)]:
            raise ValueError("broken JSON in the answer")
        if start < 0:
            return objects
        try:
            value, end = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            raise ValueError("broken JSON in the answer") from None
        objects.append(value)


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("an object has a key twice")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_unambiguous)


def _score_of(value: Any) -> float:
    """Read a score: a JSON number, or a string that is one, from 0 to 1; raises ValueError for anything else."""
    number = value
    if isinstance(value, str):
        try:
            number = json.loads(value)
        except (ValueError, RecursionError):
            number = None
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise ValueError(f"the score is not a number but {shown(value)}")  # noqa: TRY004 (a fault of the answer)
    if not 0 <= number <= 1:
        raise ValueError(f"the score {shown(value)} is not from 0 to 1")
    return float(number) + 0.0  # no negative zero
