"""The plan of a session: all decisions that are made once, before any test."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.graders import is_bundled
from pytest_fcpivot.runs.described import REPLAYS_UNFINISHED
from pytest_fcpivot.runs.unfinished import why_unfinished
from pytest_fcpivot.runs.until_mixed import Outcomes
from pytest_fcpivot.session import options
from pytest_fcpivot.session.datasets import Datasets
from pytest_fcpivot.session.grader_choice import choose_grader
from pytest_fcpivot.session.judging import make_judging
from pytest_fcpivot.session.option_reader import OptionReader
from pytest_fcpivot.session.redaction import secrets_in_options
from pytest_fcpivot.session.reruns import Reruns
from pytest_fcpivot.session.same_session import check_same_session
from pytest_fcpivot.session.stored import StoredRun
from pytest_fcpivot.session.worker_plan import received_plan

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pytest

    from pytest_fcpivot.calls.servers import Servers
    from pytest_fcpivot.core.redact import Redactor
    from pytest_fcpivot.graders import Grader
    from pytest_fcpivot.options.values import Options
    from pytest_fcpivot.runs.answers import AnswerBook
    from pytest_fcpivot.session.judging import Judging


_LOOKS = ("collectonly", "setuponly", "setupplan", "showfixtures")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A session's options, data and grader, and the stored run whose answers it uses.

    `given` has the raw values of the options that were given; `raw_options` has those of all options, with the names
    under which they were given. `arguments` are the session's paths, None if it runs the data alone; `stored_arguments`
    are those that come from the stored run, and `outcomes` those of its pivots, if it is resumed and asks until they
    are mixed. `described_grader` and `judge` are as in run.json; `judge` is None for a grader that does not score
    messages. `here` is the directory in which pytest was called. `only_looks`: no test runs,
    as with --collect-only. `only_sets_up`: tests are set up, and go no further.
    """

    options: Options
    given: Mapping[str, Any]
    raw_options: Mapping[str, tuple[Any, str]]
    datasets: Datasets
    arguments: list[str] | None
    stored: StoredRun | None
    book: AnswerBook | None
    outcomes: Outcomes
    stored_arguments: list[str]
    grader: Grader
    described_grader: dict[str, Any]
    judge: dict[str, str | None] | None
    repeats: int
    reruns: Reruns
    redact: Redactor
    here: Path
    only_looks: bool
    only_sets_up: bool

    @property
    def stops_early(self) -> bool:
        """Whether the session stops when its gate is decided."""
        gate = self.options.gate
        return gate is not None and gate.stop_alpha is not None and not self.only_looks

    @property
    def asks_until_mixed(self) -> bool:
        """Whether tests are passed over once their pivots have passed and failed; a replay grades all answers."""
        return self.options.until_mixed and not self.replays

    @property
    def replays(self) -> bool:
        """Whether this is a replay: stored answers are graded again, and no agent is called."""
        return self.stored is not None and self.stored.replays

    @property
    def resumes(self) -> bool:
        """Whether a stored run is resumed."""
        return self.stored is not None and not self.stored.replays

    @property
    def replays_unfinished(self) -> str | None:
        """How the run ended that is replayed, if it is not complete; None otherwise."""
        if self.stored is None or not self.replays or not self.stored.is_run:
            return None
        return why_unfinished(self.stored.description, 0 if self.book is None else len(self.book))

    @property
    def mark(self) -> float | None:
        """The pass mark; None for a grader whose rewards are only 0 and 1, where the mark changes nothing."""
        return None if self.grader.binary else self.options.pass_mark

    @property
    def agent_name(self) -> str:
        """The agent's name in reports; in a replay, the name of the agent that gave the answers."""
        if self.stored is not None and self.replays:
            return self.redact(str(self.stored.description.get("agent") or self.stored.path.name))
        agent, model = self.options.agent or "fc_agent fixture", self.options.model.model
        return self.redact(agent if model is None else f"{agent} {model}")

    @property
    def shown_grader(self) -> dict[str, Any]:
        """The grader as run.json and reports describe it, without secrets, which a user's own grader may have."""
        described = self.described_grader
        if is_bundled(self.grader.name):
            return described
        said = {name: value for name, value in described.items() if name != "source_sha256"}
        return {**described, **self.redact.within(said)}

    @property
    def shown_judge(self) -> dict[str, Any] | None:
        """The judge of messages as run.json and reports describe it, without secrets."""
        shown: dict[str, Any] | None = self.redact.within(self.judge)
        return shown

    def describe(self) -> dict[str, Any]:
        """Return the run's description for run.json, without secrets; the names of files and tests are left alone."""
        return {
            "agent": self.agent_name,
            "model": self.redact.within(self.options.model.model),
            "grader": self.shown_grader,
            "pass_mark": self.options.pass_mark,
            "judge": self.shown_judge,
            "data": [dataset.describe() for dataset in self.datasets],
            "repeats": self.repeats,
            "arguments": self.arguments,
            "replays": str(self.stored.path) if self.stored is not None and self.replays else None,
            **({REPLAYS_UNFINISHED: self.replays_unfinished} if self.replays_unfinished is not None else {}),
            "options": self.redact.within(self.given),
        }

    def shown_path(self, path: Path) -> str:
        """Write a path as the user would type it."""
        try:
            return os.path.relpath(path, self.here)
        except ValueError:  # another drive
            return str(path)


def make_plan(config: pytest.Config, redact: Redactor, servers: Servers) -> tuple[Plan, Judging | None]:
    """Read the options, open the data, choose the grader and the judge; returns the plan, and the Judging if any.

    Raises FcPivotError for what cannot be run, OSError for a file or directory that cannot be reached.
    """
    reader = OptionReader(config)
    stored = StoredRun.named(config, reader)
    if stored is not None:
        reader = OptionReader(config, stored.options)
    chosen = reader.read()
    redact.add(secrets_in_options(chosen))
    given, raw_options = reader.given(), reader.everything()
    stored_arguments = _take_arguments(config, stored)
    is_rollouts = stored is not None and not stored.is_run
    datasets = Datasets(config, chosen, "repeat" if is_rollouts else "problem")
    arguments = _find_data(config, datasets, of_run=bool(stored_arguments))
    received = received_plan(config)
    if received is not None:
        check_same_session(config, received, datasets)
    recorded = None if stored is None else stored.description.get("grader")
    choice = choose_grader(config, chosen, datasets, recorded)
    outcomes, settled = Outcomes(), frozenset[str]()
    if stored is not None and chosen.until_mixed:
        outcomes, settled = stored.outcomes()
    book = None if stored is None else stored.book(allow_damaged=chosen.allow_damaged, settled=settled)
    reruns = Reruns(config, replays=stored is not None and stored.replays)
    repeats = datasets.repeats(chosen.repeats if "fc_repeats" in given else None)
    if book is not None and is_rollouts:
        repeats = max(repeats, book.repeats)  # rollouts have the number of repeats in them
    only_looks = any(config.getoption(name, False) for name in _LOOKS)
    _refuse_until_mixed(chosen, raw_options, repeats, replays=stored is not None and stored.replays)
    judging, judge = (None, None) if only_looks else make_judging(config, chosen, choice.grader, servers, redact)
    plan = Plan(
        options=chosen,
        given=given,
        raw_options=raw_options,
        datasets=datasets,
        arguments=arguments,
        stored=stored,
        book=book,
        outcomes=outcomes,
        stored_arguments=stored_arguments,
        grader=choice.grader,
        described_grader=choice.described,
        judge=judge,
        repeats=repeats,
        reruns=reruns,
        redact=redact,
        here=config.invocation_params.dir,
        only_looks=only_looks,
        only_sets_up=bool(config.getoption("setuponly", False)),
    )
    return plan, judging


def _refuse_until_mixed(
    chosen: Options, raw_options: Mapping[str, tuple[Any, str]], repeats: int, *, replays: bool
) -> None:
    """Raise OptionError for options with which asking until mixed makes no sense."""
    if chosen.until_mixed:
        from pytest_fcpivot.session.until_mixed_options import refuse  # noqa: PLC0415 (only if asked for)

        refuse(raw_options, repeats, replays=replays, gates=chosen.gate is not None)


def _take_arguments(config: pytest.Config, stored: StoredRun | None) -> list[str]:
    """Use the paths of the stored run unless paths are typed; returns them, [] if there are none."""
    if config.args_source is config.ArgsSource.ARGS or not options.on_command_line(config):
        return []
    paths = [] if stored is None else stored.arguments
    if paths:
        config.args, config.args_source = [*paths], config.ArgsSource.ARGS
    return paths


def _find_data(config: pytest.Config, datasets: Datasets, *, of_run: bool) -> list[str] | None:
    """Open the data, and return the session's paths; None if it runs the data alone."""
    typed = [*config.args] if config.args_source is config.ArgsSource.ARGS else None
    datasets.find(of_run=of_run)
    if typed is None and not datasets.are_run:
        typed = config.args  # the directories of the user's own tests, which are the run
    return None if typed is None else [_absolute(argument, config) for argument in typed]


def _absolute(argument: str, config: pytest.Config) -> str:
    """Write a path argument so that it means the same from anywhere; `sample` and the like stay as they are."""
    name, separator, rest = argument.partition("::")
    path = config.invocation_params.dir / name
    return f"{path}{separator}{rest}" if path.exists() else argument
