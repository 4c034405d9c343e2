"""Read and check the options: the command line beats the environment, the ini file, and the defaults, in this order."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pytest_fcpivot.core.errors import OptionError
from pytest_fcpivot.options.table import (
    DEFAULT_CONCURRENCY,
    DEFAULT_PASS_MARK,
    DEFAULT_TIMEOUT_S,
    FALSE,
    FROM_RUN,
    LOG_EVERY_S,
    MADE_HERE_ONLY,
    MOST_REPEATS,
    NO_RUN,
    OF_GATES,
    OPTIONS,
    TRUE,
    option_of,
)
from pytest_fcpivot.options.values import ErrorBound, JudgeOptions, ModelOptions, Options, Price, settings_of
from pytest_fcpivot.session.options import is_set
from pytest_fcpivot.session.worker_plan import received_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pytest

    from pytest_fcpivot.data.selection import Condition
    from pytest_fcpivot.options.gate import GateOptions

_NAMING_A_RUN = ("fc_agent", "fc_data", "fc_resume", "fc_replay")
_DEADLINE_IN_TIMEOUTS = 3
_MOST_CONCURRENCY = 4096
_SECONDS = ("fc_timeout", "fc_deadline")
_VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")


def names_a_run(config: pytest.Config) -> bool:
    """Return whether data, an agent or a stored run is named in any way, by option, environment or ini file."""
    return bool(where_named(config))


def where_named(config: pytest.Config) -> list[str]:
    """Return the sources that name data, an agent or a stored run, such as `FC_AGENT` or `ini fc_data`."""
    reader = OptionReader(config)
    found = [reader.value(dest) for dest in _NAMING_A_RUN]
    return [where for value, where in found if value]


class OptionReader:
    """Reads options from the command line, the environment, the ini file, or a stored run; earlier sources win.

    With a stored run, an empty value of an option in MADE_HERE_ONLY means that it is not set, whatever the run has. A
    worker takes its controller's values, because another machine has another environment and ini file.
    """

    def __init__(self, config: pytest.Config, stored: Mapping[str, Any] | None = None) -> None:
        self._config = config
        self._stored = stored or {}
        self._may_decline = stored is not None
        received = received_plan(config)
        self._received = None if received is None else received.options

    def everything(self) -> dict[str, tuple[Any, str]]:
        """Return the raw value and the source of each option, for a worker."""
        return {option.dest: self.value(option.dest) for option in OPTIONS}

    def given(self) -> dict[str, Any]:
        """Return the raw values of the options that were given, without those that a resumed run does not take."""
        raw = {option.dest: self.value(option.dest)[0] for option in OPTIONS if option.of_run != "no"}
        return {dest: value for dest, value in raw.items() if value is not None}

    def given_here(self) -> frozenset[str]:
        """Return the options that were given in this session, even if empty, and not only in a stored run."""
        return frozenset(option.dest for option in OPTIONS if is_set(self._config, option))

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
            until_mixed=self._truth("fc_until_mixed") or False,
            concurrency=concurrency,
            retries=self._number("fc_retries", int, least=0, most=1000),
            deadline=deadline or None,
            max_errors=self._error_bound("fc_max_errors"),
            max_unread=self._error_bound("fc_max_unread"),
            run=None if run in (None, NO_RUN) else Path(self._config.invocation_params.dir, run).expanduser(),
            keep_run=run != NO_RUN,
            html=self._html(str(run)),
            allow_damaged=self._truth("fc_allow_damaged") or False,
            model=self._model(),
            judge=self._judge(concurrency),
            price=self._price(),
            progress=self._progress(),
            gate=self._gate(),
        )

    def _html(self, run: str) -> Path | None:
        """Return the file for the report; raises OptionError if there can be none."""
        value, source = self.value("fc_html")
        if value in (None, ""):
            return None
        from pytest_fcpivot.report.html.writing import refuse_target  # noqa: PLC0415 (only if asked for)

        if run == NO_RUN:
            raise OptionError(
                f"{source}={value}: the report is made from the recorded run; leave out --fc-run={NO_RUN}"
            )
        target = Path(self._config.invocation_params.dir, value).expanduser()
        refuse_target(target, f"{source}={value}")
        return target

    def value(self, dest: str) -> tuple[Any, str]:
        """Return an option's raw value (None if it was not given) and its source."""
        if self._received is not None:
            return self._received[dest]
        option = option_of(dest)
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
            raise OptionError(f"{where}={text}: must be more than 0, since every answer would pass")
        return mark

    def _truth(self, dest: str) -> bool | None:
        value, where = self.value(dest)
        if value is None:
            return None
        text = str(value).lower()
        if text not in TRUE | FALSE:
            raise OptionError(f"{where}={value}: choose true or false")
        return text in TRUE

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
        """Return the data files that are named, each with the directory to which it is relative."""
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

    def _progress(self) -> str | float:
        text, where = self.value("fc_progress")
        if text is None or text in ("auto", "off"):
            return text or "auto"
        if text == "log":
            return LOG_EVERY_S
        try:
            seconds = float(text)
        except ValueError:
            seconds = 0.0
        if not 0 < seconds < float("inf"):
            raise OptionError(f"{where}={text}: choose auto, off, log, or a number of seconds, as in 60")
        return seconds

    def _gate(self) -> GateOptions | None:
        values = {dest: self.value(dest) for dest in OF_GATES}
        if all(value is None for value, _ in values.values()):
            return None
        from pytest_fcpivot.options.gate import read_gate  # noqa: PLC0415 (only if asked for)

        return read_gate(values, {dest: self._list(dest)[0] for dest in ("fc_fail_under", "fc_baseline")})

    def _price(self) -> Price | None:
        text, where = self.value("fc_price")
        if text is None:
            return None
        try:
            return Price.of_text(text)
        except ValueError:
            raise OptionError(
                f"{where}={text}: write the prices of a million tokens as INPUT/CACHED/OUTPUT, as in 1.25/0.125/10, "
                "or INPUT/OUTPUT, and after a space a currency of three letters if it is not USD"
            ) from None
