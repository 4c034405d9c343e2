"""The options: command line over environment over ini file over default, checked once, then frozen."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from pytest_fcpivot.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest


@dataclass(frozen=True, slots=True)
class _Option:
    dest: str
    metavar: str
    help: str
    kind: Literal["text", "list", "flag"] = "text"

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
    _Option("fc_data", "FILE", "data: .jsonl, .jsonl.gz, .parquet, or 'sample' (default); may be given again", "list"),
    _Option("fc_grader", "NAME", "grader: nemo-gym (default: nemo-gym:first-call) or nemo-gym:any-order"),
    _Option("fc_grader_option", "KEY=VALUE", "a setting of the grader, by its own name; may be given again", "list"),
    _Option("fc_limit", "N", "run only the first N pivots of what is selected"),
    _Option("fc_sample", "N", "run N pivots chosen at random by --fc-seed"),
    _Option("fc_seed", "SEED", "seed of --fc-sample (default: 0)"),
    _Option("fc_shard", "I/N", "run shard I of N, from 1; whole trajectories stay together"),
    _Option("fc_timeout", "SECONDS", "time limit of one answer (default: 300; 0: none)"),
    _Option("fc_strict_schema", "", "arguments that break their tool's schema earn no reward", "flag"),
    _Option("fc_bad_rows", "refuse|skip", "broken rows: refuse the file (default), or skip and count them"),
)
DEFAULT_TIMEOUT_S = 300.0
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for, checked."""

    agent: str | None
    agent_from: str  # the name that it was given under, for messages
    data: tuple[tuple[str, Path], ...]  # each name with the directory that it is relative to
    grader: str | None
    grader_settings: tuple[tuple[str, Any], ...]
    limit: int | None
    sample: int | None
    seed: int
    shard: tuple[int, int] | None
    timeout: float | None
    strict_schema: bool
    bad_rows: Literal["refuse", "skip"]


def register(parser: pytest.Parser) -> None:
    """Declare the options, on the command line and in the ini file."""
    group = parser.getgroup("fcpivot", "function-calling pivots")
    for option in _OPTIONS:
        if option.kind == "flag":
            group.addoption(option.flag, dest=option.dest, action="store_true", default=None, help=option.help)
        elif option.kind == "list":
            group.addoption(
                option.flag, dest=option.dest, action="append", default=None, metavar=option.metavar, help=option.help
            )
        else:
            group.addoption(option.flag, dest=option.dest, default=None, metavar=option.metavar, help=option.help)
        parser.addini(option.dest, option.help, type="string", default="")


def on_command_line(config: pytest.Config) -> bool:
    """Tell whether any option was given on the command line itself, not by `addopts`."""
    return any(str(argument).startswith("--fc-") for argument in config.invocation_params.args)


def asked_for(config: pytest.Config) -> bool:
    """Tell whether any option was given in any way."""
    return any(
        getattr(config.option, option.dest, None) is not None
        or os.environ.get(option.env)
        or config.getini(option.dest)
        for option in _OPTIONS
    )


def read(config: pytest.Config) -> Options:
    """Read and check all options; raises OptionError naming the option, the value and what is accepted."""
    limit = _number(config, "fc_limit", int, least=0)
    sample = _number(config, "fc_sample", int, least=1)
    seed = _number(config, "fc_seed", int, least=None)
    seconds = _number(config, "fc_timeout", float, least=0)
    shard_text, shard_from = _value(config, "fc_shard")
    bad_rows, where = _value(config, "fc_bad_rows")
    if bad_rows not in (None, "refuse", "skip"):
        raise OptionError(f"{where}={bad_rows}: choose refuse or skip")
    return Options(
        agent=cast("str | None", _value(config, "fc_agent")[0]),
        agent_from=_value(config, "fc_agent")[1],
        data=_data(config),
        grader=cast("str | None", _value(config, "fc_grader")[0]),
        grader_settings=_settings(config),
        limit=limit,
        sample=sample,
        seed=seed or 0,
        shard=None if shard_text is None else _shard(str(shard_text), shard_from),
        timeout=(DEFAULT_TIMEOUT_S if seconds is None else seconds) or None,
        strict_schema=_truth(config, "fc_strict_schema"),
        bad_rows="skip" if bad_rows == "skip" else "refuse",
    )


def _value(config: pytest.Config, dest: str) -> tuple[Any, str]:
    """Return an option's raw value, None if it was not given, and the name it was given under."""
    option = next(option for option in _OPTIONS if option.dest == dest)
    given = getattr(config.option, dest, None)
    if given is not None:
        return given, option.flag
    text = os.environ.get(option.env)
    if text:
        return text, option.env
    return config.getini(dest) or None, f"ini {dest}"


def _number(config: pytest.Config, dest: str, kind: Callable[[str], Any], *, least: int | None) -> Any:
    text, where = _value(config, dest)
    if text is None:
        return None
    wanted = "a whole number" if kind is int else "a number of seconds"
    try:
        number = kind(text)
    except ValueError:
        raise OptionError(f"{where}={text}: {wanted} is needed") from None
    if least is not None and not number >= least:
        raise OptionError(f"{where}={text}: must be {least} or more")
    return number


def _truth(config: pytest.Config, dest: str) -> bool:
    value, where = _value(config, dest)
    text = str(value or "").lower()
    if text not in _TRUE | _FALSE:
        raise OptionError(f"{where}={value}: choose true or false")
    return text in _TRUE


def _list(config: pytest.Config, dest: str) -> tuple[list[str], str]:
    value, where = _value(config, dest)
    if value is None or isinstance(value, list):
        return value or [], where
    return shlex.split(value), where


def _data(config: pytest.Config) -> tuple[tuple[str, Path], ...]:
    names, where = _list(config, "fc_data")
    base = config.rootpath if where.startswith("ini ") else config.invocation_params.dir
    return tuple((name, base) for name in names)


def _settings(config: pytest.Config) -> tuple[tuple[str, Any], ...]:
    texts, where = _list(config, "fc_grader_option")
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
        return float(text)
    except ValueError:
        return text


def _shard(text: str, where: str) -> tuple[int, int]:
    from pytest_fcpivot.data.selection import parse_shard  # noqa: PLC0415 (only when asked for)

    return parse_shard(text, where)
