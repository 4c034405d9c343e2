"""The checked values of the options, as immutable dataclasses."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

from pytest_fcpivot.core.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pytest_fcpivot.core.actions import EmptyArguments
    from pytest_fcpivot.data.selection import Selection
    from pytest_fcpivot.options.gate import GateOptions

DEFAULT_CURRENCY = "USD"


@dataclass(frozen=True, slots=True)
class Options:
    """The checked options of a session; times are in seconds. `..._from` is an option's source, for messages."""

    agent: str | None
    agent_from: str  # such as --fc-agent, FC_AGENT or ini fc_agent
    data: tuple[tuple[str, Path], ...]  # each name with the directory to which it is relative
    grader: str | None  # None: the grader that the data ask for
    grader_from: str
    grader_settings: tuple[tuple[str, Any], ...]
    grader_settings_from: str
    pass_mark: float
    selection: Selection
    seed: int
    timeout: float | None
    strict_schema: bool
    empty_arguments: EmptyArguments
    bad_rows: Literal["refuse", "skip"]
    repeats: int
    until_mixed: bool
    concurrency: int
    retries: int | None  # None: the agent's own default
    deadline: float | None
    max_errors: ErrorBound | None
    max_unread: ErrorBound | None
    run: Path | None
    keep_run: bool  # False: nothing is recorded
    html: Path | None  # the file for the report
    allow_damaged: bool
    model: ModelOptions
    judge: JudgeOptions
    price: Price | None
    progress: str | float  # auto, off, or a line in the log every that many seconds
    gate: GateOptions | None

    def openai_settings(self) -> dict[str, Any]:
        """Return the settings of the openai agents, by these agents' own names for them."""
        chosen = {field: getattr(self.model, field) for field in self.model.__slots__}
        seed = self.seed if self.repeats > 1 else None  # repeats must differ from each other, but reproducibly
        return {**chosen, "seed": seed, "request_timeout": self.timeout}


@dataclass(frozen=True, slots=True)
class ErrorBound:
    """A limit on tests with some outcome: a number of tests, or a share of all tests (0 to 1)."""

    text: str
    number: int | None = None
    share: float = 0.0

    def exceeded(self, count: int, total: int) -> bool:
        """Return whether `count` tests out of `total` exceed the limit."""
        return count > (self.share * total if self.number is None else self.number)


@dataclass(frozen=True, slots=True)
class Price:
    """Prices of a million tokens, in a currency that is named by three letters."""

    input: float
    cached: float
    output: float
    currency: str = DEFAULT_CURRENCY

    @classmethod
    def of_text(cls, text: str) -> Price:
        """Read prices written as INPUT/CACHED/OUTPUT, or INPUT/OUTPUT, and a currency such as EUR after them.

        Raises ValueError for another text.
        """
        numbers, _, currency = text.strip().partition(" ")
        currency = currency.strip() or DEFAULT_CURRENCY
        prices = [float(part) for part in numbers.split("/")]
        if len(prices) not in (2, 3) or any(not 0 <= price < float("inf") for price in prices):
            raise ValueError(text)
        if not (len(currency) == len(DEFAULT_CURRENCY) and currency.isascii() and currency.isalpha()):
            raise ValueError(text)
        return cls(prices[0], prices[-2], prices[-1], currency.upper())

    def of(self, read: int, cached: int, written: int) -> float:
        """Return the cost of tokens: `read` of input, of which `cached` came from a cache, and `written` of output."""
        return ((read - cached) * self.input + cached * self.cached + written * self.output) / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """The options of the openai agents; the fields have the names of these agents' settings."""

    model: str | None
    base_url: str | None
    temperature: float | None
    top_p: float | None
    max_output_tokens: int | None
    reasoning_effort: str | None
    tool_choice: str | None
    parallel_tool_calls: bool | None
    extra_body: Mapping[str, Any] | None
    headers: Mapping[str, str] | None
    message_tool: bool
    omit: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeOptions:
    """The options of the judge of messages; `model` is None for the default, which needs an API key."""

    model: str | None
    model_from: str
    base_url: str | None
    api: str
    key_variable: str | None
    fallback: bool
    concurrency: int


def settings_of(texts: Iterable[str], where: str) -> tuple[tuple[str, Any], ...]:
    """Read a grader's settings, each KEY=VALUE; `where` begins the OptionError that is raised for any other text."""
    settings = []
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise OptionError(f"{where}={text}: write KEY=VALUE, as in word_count_similarity_threshold=0.3")
        settings.append((key.strip(), _plain(value.strip())))
    return tuple(settings)


def _plain(text: str) -> bool | float | str:
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    try:
        number = float(text)
    except ValueError:
        return text
    return number if isfinite(number) else text  # run.json is JSON, which has no infinity or NaN
