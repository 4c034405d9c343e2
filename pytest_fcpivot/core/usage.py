"""Reads the number of tokens that an answer or a judgement used from the object that an SDK returned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from pytest_fcpivot.core.errors import ActionError
from pytest_fcpivot.core.shapes import read_output

MOST = 1 << 53  # the largest count (tokens, attempts, …): up to here, a float holds every whole number
Count = Annotated[int, msgspec.Meta(ge=0, le=MOST)]

# The names that the APIs give to token counts. The counts under `_APART` names come on top of the input or the output
# (Anthropic's cached tokens, Gemini's thoughts); other APIs include them there.
_USAGE_FIELDS = ("usage", "usage_metadata", "usageMetadata")
_READ = (
    *("input_tokens", "prompt_tokens", "inputTokens", "prompt_token_count", "promptTokenCount", "promptTokens"),
    "prompt_eval_count",
)
_WRITTEN = (
    *("output_tokens", "completion_tokens", "outputTokens", "candidates_token_count", "candidatesTokenCount"),
    *("completionTokens", "eval_count"),
)
_CACHED = ("cache_read_tokens", "cached_content_token_count", "cachedContentTokenCount", "cachedInputTokens")
_CACHED_APART = ("cache_read_input_tokens", "cacheReadInputTokens")
_CACHE_WRITTEN_APART = ("cache_creation_input_tokens", "cacheWriteInputTokens")
_CACHED_DETAILS = ("input_tokens_details", "prompt_tokens_details", "input_token_details")
_REASONING_APART = ("thoughts_token_count", "thoughtsTokenCount")
_REASONING_DETAILS = ("output_tokens_details", "completion_tokens_details", "output_token_details")


class Usage(msgspec.Struct, frozen=True, gc=False, rename=lambda name: f"{name}_tokens"):
    """The tokens of one answer; `input` includes `cached`, and `output` includes `reasoning`.

    In JSON, the fields are named `input_tokens` and so on, as in the Responses API.
    """

    input: Count = 0
    cached: Count = 0
    output: Count = 0
    reasoning: Count = 0

    def counts(self) -> tuple[int, int, int, int]:
        """Return the counts in the order of the fields, the form in which a run record keeps them."""
        return self.input, self.cached, self.output, self.reasoning

    def to_builtins(self) -> dict[str, int]:
        """Return the counts as a dict with their JSON names."""
        builtins: dict[str, int] = msgspec.to_builtins(self)
        return builtins


def usage_of(output: Any) -> Usage | None:
    """Read the usage that an SDK's answer carries, as an object or a dict; None without one."""
    if output is None or isinstance(output, str | list | tuple):
        return None
    usage = _first(output, *_USAGE_FIELDS)
    if usage is None:
        answer = _answer(output)
        if answer is not output:
            return usage_of(answer)
        usage = output if _get(output, "eval_count") is not None else None  # Ollama puts the counts beside the message
    if usage is None:
        return None
    read, written = _first(usage, *_READ), _first(usage, *_WRITTEN)
    if not isinstance(read, int) and not isinstance(written, int):
        return None
    details = _first(usage, *_CACHED_DETAILS)
    cached, apart = _count(_first(usage, *_CACHED)), _count(_first(usage, *_CACHED_APART))
    thought = _count(_first(usage, *_REASONING_APART))
    thinking = _first(usage, *_REASONING_DETAILS)
    return Usage(
        _count(read) + apart + _count(_first(usage, *_CACHE_WRITTEN_APART)),
        cached or apart or _count(_first(details, "cached_tokens", "cache_read")),
        _count(written) + thought,
        thought or _count(_first(thinking, "reasoning_tokens", "reasoning")),
    )


def _answer(output: Any) -> Any:
    """Return the SDK's answer inside a wrapper such as a run result; the output itself if it is not understood."""
    try:
        return read_output(output).answer
    except ActionError:
        return output


def _get(thing: Any, key: str) -> Any:
    try:
        return thing.get(key) if isinstance(thing, Mapping) else getattr(thing, key, None)
    except Exception:  # noqa: BLE001 (runs the object's own code; read_output reports the fault)
        return None


def _first(thing: Any, *keys: str) -> Any:
    return next((value for key in keys if (value := _get(thing, key)) is not None), None)


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MOST else 0
