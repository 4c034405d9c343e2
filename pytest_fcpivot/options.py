"""The options: command line over environment over ini file over default, checked once, then frozen."""

from __future__ import annotations

import inspect
import json
import os
import re
import shlex
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, cast

from pytest_fcpivot.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pytest

    from pytest_fcpivot.actions import EmptyArguments
    from pytest_fcpivot.data.selection import Condition, Selection


@dataclass(frozen=True, slots=True)
class _Option:
    dest: str
    metavar: str
    help: str
    kind: Literal["text", "list", "flag", "maybe"] = "text"  # maybe: the value may be left out
    # A resumed run takes over what the run was given; of what says what the run is about, it refuses another value.
    of_run: Literal["is about", "takes over", "no"] = "is about"

    @property
    def flag(self) -> str:
        return "--" + self.dest.replace("_", "-")

    @property
    def env(self) -> str:
        return self.dest.upper()


_OPTIONS = (
    _Option(
        "fc_agent", "MODULE:FN", "the agent to ask: module:fn, module:Class, module:Class.method, or a bundled name"
    ),
    _Option("fc_data", "FILE", "data: .jsonl[.gz|.zst], .parquet, or 'sample' (default); may be given again", "list"),
    _Option(
        "fc_grader",
        "NAME",
        "grader: nemo-gym (default: nemo-gym:first-call), nemo-gym:any-order, agentic (default for conversations), "
        "module:fn, or that of an installed package",
    ),
    _Option(
        "fc_grader_option",
        "KEY=VALUE",
        "a setting of the grader, by its own name (nemo-gym: default by the data set); may be given again",
        "list",
    ),
    _Option("fc_pass_mark", "MARK", "the least reward that passes, over 0 and up to 1 (default: 1)"),
    _Option(
        "fc_judge", "MODEL|off", "model that scores messages, for grader agentic (default: gpt-5-mini, with a key)"
    ),
    _Option("fc_judge_base_url", "URL", "the judge's address, when it is not OpenAI's own"),
    _Option("fc_judge_api", "API", "the judge's API: auto (default), responses or chat"),
    _Option(
        "fc_judge_key",
        "VARIABLE",
        "environment variable with the judge's key (default: OPENAI_API_KEY)",
        of_run="takes over",
    ),
    _Option(
        "fc_judge_fallback",
        "error|keyword",
        "a message that the judge does not score is an error (default), or scored by keyword overlap",
    ),
    _Option(
        "fc_judge_concurrency",
        "N",
        "calls of the judge under way at once, in each process (default: as --fc-concurrency)",
        of_run="takes over",
    ),
    _Option("fc_repeats", "K", "ask at each pivot K times (default: 1)"),
    _Option("fc_limit", "N", "run only the first N pivots of what is selected"),
    _Option("fc_split", "NAME", "run only pivots of this split"),
    _Option(
        "fc_where",
        "COLUMN=VALUE",
        "run only pivots that meet this, as in depth>=4; may be given again, all apply",
        "list",
    ),
    _Option("fc_ids", "FILE", "run only the pivots that a file names, one id a line"),
    _Option("fc_stratify", "", "share --fc-sample among messages, calls and batches as they share the data", "flag"),
    _Option("fc_sample", "N", "run N pivots chosen at random by --fc-seed"),
    _Option("fc_seed", "SEED", "seed of --fc-sample (default: 0)"),
    _Option("fc_shard", "I/N", "run shard I of N, from 1; whole trajectories stay together"),
    _Option("fc_concurrency", "N", "calls under way at once, in each process (default: 16)", of_run="takes over"),
    _Option(
        "fc_timeout", "SECONDS", "time limit of one attempt at an answer (default: 300; 0: none)", of_run="takes over"
    ),
    _Option(
        "fc_retries",
        "N",
        "further attempts after a fault of the service (default: 5, or 90 s, for the openai agents, else 0)",
        of_run="takes over",
    ),
    _Option(
        "fc_deadline",
        "SECONDS",
        "time limit of one answer with all attempts (default: 3 times --fc-timeout; 0: none)",
        of_run="takes over",
    ),
    _Option(
        "fc_max_errors",
        "N|P%%",
        "stop when more than N tests, or P percent of them, end in errors",
        of_run="takes over",
    ),
    _Option(
        "fc_max_unread",
        "N|P%%",
        "stop when more than N answers, or P percent of the tests', are malformed, cut off or calls written as text",
        of_run="takes over",
    ),
    _Option("fc_run", "DIR|none", "where to record the run (default: a new directory under .fcpivot)", of_run="no"),
    _Option("fc_resume", "DIR", "go on with a run: the latest, or =DIR", "maybe", of_run="no"),
    _Option("fc_replay", "PATH", "grade the answers of a run, or of NeMo Gym's rollouts.jsonl, again", of_run="no"),
    _Option(
        "fc_allow_damaged",
        "",
        "replay a run whose results have lines that cannot be read, without these",
        "flag",
        of_run="no",
    ),
    _Option("fc_strict_schema", "", "arguments that break their tool's schema earn no reward", "flag"),
    _Option(
        "fc_empty_arguments",
        "text|object",
        'arguments that the model\'s server sent as null, "" or not at all: the empty text, which does not decode '
        "(default), or {}",
    ),
    _Option("fc_bad_rows", "refuse|skip", "broken rows: refuse the file (default), or skip and count them"),
    _Option("fc_model", "NAME", "openai agents: the model"),
    _Option("fc_base_url", "URL", "openai agents: the API's address, when it is not OpenAI's own"),
    _Option("fc_temperature", "T", "openai agents: sampling temperature"),
    _Option("fc_top_p", "P", "openai agents: nucleus sampling"),
    _Option("fc_max_output_tokens", "N", "openai agents: limit of an answer's tokens"),
    _Option("fc_reasoning_effort", "LEVEL", "openai agents: low, medium, high, or what the model knows"),
    _Option("fc_tool_choice", "CHOICE", "openai agents: auto, none, required, or a tool's name"),
    _Option("fc_parallel_tool_calls", "true|false", "openai agents: allow several calls (default: as the pivot says)"),
    _Option("fc_extra_body", "JSON", "openai agents: further fields of the request, as one JSON object"),
    _Option(
        "fc_omit",
        "FIELD",
        "openai agents: leave a field out of the request, as in parallel_tool_calls; may be given again",
        "list",
    ),
    _Option("fc_message_tool", "", "openai agents: offer the tool submit_message, and require a call", "flag"),
    _Option(
        "fc_header",
        "NAME:VALUE",
        "openai agents: a header; $VARIABLE in it is replaced; may be given again",
        "list",
        of_run="takes over",
    ),
    _Option(
        "fc_price",
        "IN/CACHED/OUT",
        "price of a million tokens: input, cached input, output; adds the cost",
        of_run="takes over",
    ),
)
_NAMING_A_RUN = ("fc_agent", "fc_data", "fc_resume", "fc_replay")
KINDS = {option.dest: option.kind for option in _OPTIONS}
ABOUT_THE_RUN = frozenset(option.dest for option in _OPTIONS if option.of_run == "is about")
# Options that any run may bring along, whoever made it. They decide how much is asked and how it is counted, and name
# nothing: no code, address, key or file. SECURITY.md has the reasons.
FROM_ANY_RUN = frozenset(
    (
        *("fc_pass_mark", "fc_repeats", "fc_limit", "fc_split", "fc_where", "fc_stratify", "fc_sample", "fc_seed"),
        *("fc_shard", "fc_concurrency", "fc_timeout", "fc_retries", "fc_deadline", "fc_max_errors", "fc_max_unread"),
        *("fc_strict_schema", "fc_empty_arguments", "fc_bad_rows", "fc_price"),
        *("fc_judge", "fc_judge_api", "fc_judge_fallback", "fc_judge_concurrency"),
        *("fc_model", "fc_temperature", "fc_top_p", "fc_max_output_tokens", "fc_reasoning_effort", "fc_tool_choice"),
        *("fc_parallel_tool_calls", "fc_omit", "fc_message_tool"),
    )
)
# All others, those of tomorrow too, are taken over from a run that was made here alone.
MADE_HERE_ONLY = frozenset(option.dest for option in _OPTIONS if option.of_run != "no") - FROM_ANY_RUN
DEFAULT_PASS_MARK = 1.0
DEFAULT_TIMEOUT_S = 300.0
DEFAULT_CONCURRENCY = 16
_DEADLINE_IN_TIMEOUTS = 3
MOST_REPEATS = 1000
_MOST_CONCURRENCY = 4096
_SECONDS = ("fc_timeout", "fc_deadline")
LATEST = "latest"
NO_RUN = "none"
FROM_RUN = "run.json"  # the name that an option is given under which a stored run was given
_VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for, checked."""

    agent: str | None
    agent_from: str  # the name that it was given under, for messages
    data: tuple[tuple[str, Path], ...]  # each name with the directory that it is relative to
    grader: str | None  # None: as the data ask for
    grader_from: str  # the name that it was given under, for messages
    grader_settings: tuple[tuple[str, Any], ...]
    grader_settings_from: str  # the name that they were given under
    pass_mark: float
    selection: Selection
    seed: int
    timeout: float | None
    strict_schema: bool
    empty_arguments: EmptyArguments
    bad_rows: Literal["refuse", "skip"]
    repeats: int
    concurrency: int
    retries: int | None  # None: as the agent likes it
    deadline: float | None
    max_errors: ErrorBound | None
    max_unread: ErrorBound | None
    run: Path | None
    keep_run: bool  # False: nothing is recorded
    allow_damaged: bool
    model: ModelOptions
    judge: JudgeOptions
    price: Price | None


@dataclass(frozen=True, slots=True)
class ErrorBound:
    """How many tests may end in a certain way: a number, or a share of all."""

    text: str
    number: int | None = None
    share: float = 0.0

    def exceeded(self, count: int, total: int) -> bool:
        """Tell whether so many are more than a run of so many tests may end with."""
        return count > (self.share * total if self.number is None else self.number)


@dataclass(frozen=True, slots=True)
class Price:
    """Prices of a million tokens."""

    input: float
    cached: float
    output: float

    def of(self, read: int, cached: int, written: int) -> float:
        """Return what so many tokens cost; `cached` are among those read."""
        return ((read - cached) * self.input + cached * self.cached + written * self.output) / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """What the openai agents are told; named as their settings are."""

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
    """What is asked of the judge of messages; `model` is None for the default, if there is a key."""

    model: str | None
    model_from: str  # the name that it was given under, for messages
    base_url: str | None
    api: str
    key_variable: str | None
    fallback: bool
    concurrency: int


def register(parser: pytest.Parser) -> None:
    """Declare the options, on the command line and in the ini file."""
    group = parser.getgroup("fcpivot", "function-calling pivots")
    for option in _OPTIONS:
        if option.kind == "flag":
            group.addoption(option.flag, dest=option.dest, action="store_true", default=None, help=option.help)
        elif option.kind == "maybe":
            group.addoption(
                option.flag,
                dest=option.dest,
                nargs="?",
                const=LATEST,
                default=None,
                metavar=option.metavar,
                help=option.help,
            )
        elif option.kind == "list":
            group.addoption(
                option.flag, dest=option.dest, action="append", default=None, metavar=option.metavar, help=option.help
            )
        else:
            group.addoption(option.flag, dest=option.dest, default=None, metavar=option.metavar, help=option.help)
        parser.addini(option.dest, option.help, type="string", default="")


def command_line(config: pytest.Config) -> list[str]:
    """Return the arguments that pytest was called with, those in `@file`s too, but not those of `addopts`."""
    arguments = []
    for argument in map(str, config.invocation_params.args):
        file = Path(config.invocation_params.dir, argument[1:])
        if argument.startswith("@") and file.is_file():
            arguments += file.read_text(encoding="utf-8").splitlines()
        else:
            arguments.append(argument)
    return arguments


def on_command_line(config: pytest.Config) -> bool:
    """Tell whether any option was given on the command line itself, not by `addopts`."""
    return any(argument.startswith("--fc-") for argument in command_line(config))


def told(config: pytest.Config) -> dict[str, Any]:
    """Return what the controller tells this worker of the session; nothing in another process."""
    found: dict[str, Any] = getattr(config, "workerinput", {}).get("fcpivot", {})
    return found


def asked_for(config: pytest.Config) -> bool:
    """Tell whether any option was given in any way."""
    return bool(told(config)) or any(_is_set(config, option) for option in _OPTIONS)


def _is_set(config: pytest.Config, option: _Option) -> bool:
    """Tell whether the command line, be it to nothing, the environment or the ini file sets an option."""
    typed = getattr(config.option, option.dest, None) is not None
    return typed or bool(os.environ.get(option.env) or config.getini(option.dest))


def given_so_far(config: pytest.Config) -> bool:
    """Tell whether an option was given, while pytest still reads its command line and the first conftest files."""
    known = config.known_args_namespace
    return any(getattr(known, option.dest, None) is not None or os.environ.get(option.env) for option in _OPTIONS)


def agent_is_built(config: pytest.Config) -> bool:
    """Tell whether a conftest or a plugin has a fixture `fc_agent` that does not need ours.

    The controller of workers collects no tests, whose fixtures would tell, and has to count their results.
    """
    modules = [plugin for plugin in config.pluginmanager.get_plugins() if isinstance(plugin, ModuleType)]
    found = [vars(module)["fc_agent"] for module in modules if "fc_agent" in vars(module)]
    return any(
        callable(each) and "fc_agent" not in inspect.signature(each).parameters for each in found if not _is_ours(each)
    )


def _is_ours(fixture: Any) -> bool:
    return bool(fixture.__module__ == f"{__package__}.plugin")


def without(arguments: Sequence[str], dest: str) -> list[str]:
    """Return a command line without an option and its value."""
    option = _option(dest)
    kept, position = [], 0
    while position < len(arguments):
        argument = arguments[position]
        position += 1
        if argument == option.flag:
            value_may_follow = option.kind == "maybe" and position < len(arguments)
            if option.kind in ("text", "list") or (value_may_follow and not arguments[position].startswith("-")):
                position += 1
        elif not argument.startswith(f"{option.flag}="):
            kept.append(argument)
    return kept


def as_arguments(dest: str, value: Any) -> list[str]:
    """Write an option's raw value as it would be given on a command line."""
    option = _option(dest)
    if option.kind == "flag":
        return [option.flag] if str(value).lower() in _TRUE else []
    if option.kind == "list":
        return [f"{option.flag}={each}" for each in (value if isinstance(value, list) else _split(str(value)))]
    return [f"{option.flag}={value}"]


def _split(text: str) -> list[str]:
    """Take apart the values of a list, as the environment and ini files have it; one that cannot be is one value."""
    try:
        return shlex.split(text)
    except ValueError:  # a quote without its other half
        return [text]


def is_typed(config: pytest.Config, dest: str) -> bool:
    """Tell whether an option was given on the command line itself."""
    flag = _option(dest).flag
    return any(argument.partition("=")[0] == flag for argument in command_line(config))


def set_beside_command_line(config: pytest.Config, dest: str) -> bool:
    """Tell whether the environment, the ini file or `addopts` set an option, whatever the command line says."""
    option = _option(dest)
    if os.environ.get(option.env) or config.getini(dest):
        return True
    added = [*config.getini("addopts"), *shlex.split(os.environ.get("PYTEST_ADDOPTS", ""))]
    return any(argument.partition("=")[0] == option.flag for argument in added)


def _option(dest: str) -> _Option:
    return next(option for option in _OPTIONS if option.dest == dest)


def names_a_run(config: pytest.Config) -> bool:
    """Tell whether data, an agent or a stored run is named in any way, by option, environment or ini file."""
    return bool(where_named(config))


def where_named(config: pytest.Config) -> list[str]:
    """Return the names under which data, an agent or a stored run are given, such as `FC_AGENT` or `ini fc_data`."""
    reader = OptionReader(config)
    found = [reader.value(dest) for dest in _NAMING_A_RUN]
    return [where for value, where in found if value]


class OptionReader:
    """Reads options: command line over environment over ini file over those of a stored run over defaults.

    Beside a stored run, an option of MADE_HERE_ONLY with an empty value is not set, whatever the run says.
    A worker takes what its controller read: another machine has an environment and an ini file of its own.
    """

    def __init__(self, config: pytest.Config, stored: Mapping[str, Any] | None = None) -> None:
        self._config = config
        self._stored = stored or {}
        self._may_decline = stored is not None
        self._told: dict[str, tuple[Any, str]] | None = told(config).get("options")

    def everything(self) -> dict[str, tuple[Any, str]]:
        """Return the raw value of every option and the name it was given under, for a worker."""
        return {option.dest: self.value(option.dest) for option in _OPTIONS}

    def given(self) -> dict[str, Any]:
        """Return the raw values of the options that were given and that a resumed run takes over."""
        raw = {option.dest: self.value(option.dest)[0] for option in _OPTIONS if option.of_run != "no"}
        return {dest: value for dest, value in raw.items() if value is not None}

    def given_here(self) -> frozenset[str]:
        """Name the options that this session was given, be it to nothing, and not a stored run."""
        return frozenset(option.dest for option in _OPTIONS if _is_set(self._config, option))

    def read(self) -> Options:
        """Read and check all options; raises OptionError naming the option, the value and what is accepted."""
        seconds = self._number("fc_timeout", float, least=0)
        timeout = (DEFAULT_TIMEOUT_S if seconds is None else seconds) or None
        deadline = self._number("fc_deadline", float, least=0)
        if deadline is None and timeout is not None:
            deadline = timeout * _DEADLINE_IN_TIMEOUTS
        from pytest_fcpivot.data.selection import Selection, parse_shard, read_ids  # noqa: PLC0415 (only if asked for)

        shard_text, shard_from = self.value("fc_shard")
        ids, ids_from = self.value("fc_ids")
        seed = self._number("fc_seed", int, least=None) or 0
        run, _ = self.value("fc_run")
        concurrency = self._number("fc_concurrency", int, least=1, most=_MOST_CONCURRENCY) or DEFAULT_CONCURRENCY
        return Options(
            agent=cast("str | None", self.value("fc_agent")[0]),
            agent_from=self.value("fc_agent")[1],
            data=self.data(),
            grader=cast("str | None", self.value("fc_grader")[0]),
            grader_from=self.value("fc_grader")[1],
            grader_settings=self._settings(),
            grader_settings_from=self.value("fc_grader_option")[1],
            pass_mark=self._pass_mark(),
            selection=Selection(
                shard=None if shard_text is None else parse_shard(str(shard_text), shard_from),
                sample=self._number("fc_sample", int, least=1),
                seed=seed,
                limit=self._number("fc_limit", int, least=0),
                stratified=self._truth("fc_stratify") or False,
                conditions=self._conditions(),
                ids=None if ids is None else read_ids(Path(self._config.invocation_params.dir, ids), ids_from),
            ),
            seed=seed,
            timeout=timeout,
            strict_schema=self._truth("fc_strict_schema") or False,
            empty_arguments="object" if self._choice("fc_empty_arguments", "text", "object") == "object" else "text",
            bad_rows="skip" if self._choice("fc_bad_rows", "refuse", "skip") == "skip" else "refuse",
            repeats=self._number("fc_repeats", int, least=1, most=MOST_REPEATS) or 1,
            concurrency=concurrency,
            retries=self._number("fc_retries", int, least=0, most=1000),
            deadline=deadline or None,
            max_errors=self._error_bound("fc_max_errors"),
            max_unread=self._error_bound("fc_max_unread"),
            run=None if run in (None, NO_RUN) else Path(self._config.invocation_params.dir, run).expanduser(),
            keep_run=run != NO_RUN,
            allow_damaged=self._truth("fc_allow_damaged") or False,
            model=self._model(),
            judge=self._judge(concurrency),
            price=self._price(),
        )

    def value(self, dest: str) -> tuple[Any, str]:
        """Return an option's raw value, None if it was not given, and the name it was given under."""
        if self._told is not None:
            return self._told[dest]
        option = _option(dest)
        given = getattr(self._config.option, dest, None)
        if given is not None:
            declines = self._may_decline and dest in MADE_HERE_ONLY and given in ("", [""])
            return None if declines else given, option.flag
        text = os.environ.get(option.env)
        if text:
            return text, option.env
        text = self._config.getini(dest)
        if text:
            return text, f"ini {dest}"
        return self._stored.get(dest), FROM_RUN

    def _number(self, dest: str, kind: Callable[[str], Any], *, least: float | None, most: float | None = None) -> Any:
        text, where = self.value(dest)
        if text is None:
            return None
        wanted = "a whole number" if kind is int else "a number"
        if dest in _SECONDS:
            wanted += " of seconds"
        try:
            number = kind(text)
        except ValueError:
            raise OptionError(f"{where}={text}: {wanted} is needed") from None
        if least is not None and not number >= least:
            raise OptionError(f"{where}={text}: must be {least} or more")
        if most is not None and not number <= most:
            raise OptionError(f"{where}={text}: must be {most} or less")
        return number

    def _judge(self, concurrency: int) -> JudgeOptions:
        return JudgeOptions(
            model=cast("str | None", self.value("fc_judge")[0]),
            model_from=self.value("fc_judge")[1],
            base_url=cast("str | None", self.value("fc_judge_base_url")[0]),
            api=self._choice("fc_judge_api", "auto", "responses", "chat") or "auto",
            key_variable=cast("str | None", self.value("fc_judge_key")[0]),
            fallback=self._choice("fc_judge_fallback", "error", "keyword") == "keyword",
            concurrency=self._number("fc_judge_concurrency", int, least=1, most=_MOST_CONCURRENCY) or concurrency,
        )

    def _pass_mark(self) -> float:
        text, where = self.value("fc_pass_mark")
        if text is None:
            return DEFAULT_PASS_MARK
        mark = float(self._number("fc_pass_mark", float, least=None, most=1))
        if not mark > 0:
            raise OptionError(f"{where}={text}: must be more than 0: every answer would pass")
        return mark

    def _truth(self, dest: str) -> bool | None:
        value, where = self.value(dest)
        if value is None:
            return None
        text = str(value).lower()
        if text not in _TRUE | _FALSE:
            raise OptionError(f"{where}={value}: choose true or false")
        return text in _TRUE

    def _choice(self, dest: str, *choices: str) -> str | None:
        value, where = self.value(dest)
        if value is not None and value not in choices:
            raise OptionError(f"{where}={value}: choose {' or '.join(choices)}")
        return cast("str | None", value)

    def _list(self, dest: str) -> tuple[list[str], str]:
        value, where = self.value(dest)
        if value is None or isinstance(value, list):
            return value or [], where
        try:
            return shlex.split(value), where
        except ValueError as error:
            raise OptionError(f"{where}={value}: {error}") from None

    def data(self) -> tuple[tuple[str, Path], ...]:
        """Return the names of the data that are given, each with the directory that it is relative to."""
        names, where = self._list("fc_data")
        base = self._config.rootpath if where.startswith("ini ") else self._config.invocation_params.dir
        return tuple((name, base) for name in names)

    def _settings(self) -> tuple[tuple[str, Any], ...]:
        return settings_of(*self._list("fc_grader_option"))

    def _conditions(self) -> tuple[Condition, ...]:
        from pytest_fcpivot.data.selection import Condition, parse_condition  # noqa: PLC0415 (only if asked for)

        texts, where = self._list("fc_where")
        conditions = [parse_condition(text, where) for text in texts]
        split, _ = self.value("fc_split")
        if split is not None:
            conditions.append(Condition("split", (), "=", split))
        return tuple(conditions)

    def _error_bound(self, dest: str) -> ErrorBound | None:
        text, where = self.value(dest)
        if text is None:
            return None
        trouble = OptionError(f"{where}={text}: write a number of tests, as in 20, or a share of them, as in 5%")
        try:
            if text.endswith("%"):
                share = float(text[:-1]) / 100
                if not 0 <= share <= 1:
                    raise trouble
                return ErrorBound(text, None, share)
            number = int(text)
        except ValueError:
            raise trouble from None
        if number < 0:
            raise trouble
        return ErrorBound(text, number)

    def _model(self) -> ModelOptions:
        extra_body, where = self.value("fc_extra_body")
        if extra_body is not None:
            try:
                extra_body = json.loads(extra_body)
            except ValueError as error:
                raise OptionError(f"{where}={extra_body}: not JSON: {error}") from None
            if not isinstance(extra_body, dict):
                raise OptionError(f"{where}={json.dumps(extra_body)}: an object is needed")
        return ModelOptions(
            model=self.value("fc_model")[0],
            base_url=self.value("fc_base_url")[0],
            temperature=self._number("fc_temperature", float, least=0),
            top_p=self._number("fc_top_p", float, least=0, most=1),
            max_output_tokens=self._number("fc_max_output_tokens", int, least=1),
            reasoning_effort=self.value("fc_reasoning_effort")[0],
            tool_choice=self.value("fc_tool_choice")[0],
            parallel_tool_calls=self._truth("fc_parallel_tool_calls"),
            extra_body=extra_body,
            headers=self._headers(),
            message_tool=self._truth("fc_message_tool") or False,
            omit=tuple(name.strip() for name in self._list("fc_omit")[0]),
        )

    def _headers(self) -> dict[str, str] | None:
        texts, where = self._list("fc_header")
        headers = {}
        for text in texts:
            name, colon, value = text.partition(":")
            if not colon or not name.strip():
                # the value is not shown: it may be a secret
                raise OptionError(f"{where}: write NAME:VALUE, as in 'api-key:$GATEWAY_KEY'")
            for variable in _VARIABLE.findall(value):
                if variable not in os.environ:
                    raise OptionError(f"{where}={name}: the environment has no variable {variable}")
            headers[name.strip()] = _VARIABLE.sub(lambda found: os.environ[found[1]], value.strip())
        return headers or None

    def _price(self) -> Price | None:
        text, where = self.value("fc_price")
        if text is None:
            return None
        try:
            prices = [float(part) for part in text.split("/")]
        except ValueError:
            prices = []
        if len(prices) not in (2, 3) or any(not 0 <= price < float("inf") for price in prices):
            raise OptionError(
                f"{where}={text}: write the prices of a million tokens as INPUT/CACHED/OUTPUT, as in 1.25/0.125/10, "
                "or INPUT/OUTPUT"
            )
        return Price(prices[0], prices[-2], prices[-1])


def settings_of(texts: Iterable[str], where: str) -> tuple[tuple[str, Any], ...]:
    """Read a grader's settings, each KEY=VALUE; raises OptionError, which begins with `where`, for another text."""
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
    return number if isfinite(number) else text  # JSON, which run.json is, has no other numbers
