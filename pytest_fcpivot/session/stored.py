"""The stored run that a session resumes or replays."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import OptionError, RunError
from pytest_fcpivot.core.jsontext import one_line
from pytest_fcpivot.core.redact import HIDDEN, Redactor
from pytest_fcpivot.core.words import count_of
from pytest_fcpivot.data import SAMPLE, SAMPLE_PATH
from pytest_fcpivot.data.files import is_data_file
from pytest_fcpivot.graders import is_bundled, meaning_of
from pytest_fcpivot.options.table import ABOUT_THE_RUN, DEFAULT_PASS_MARK, LATEST, as_arguments, flag_of, without
from pytest_fcpivot.runs import made_here
from pytest_fcpivot.runs.answers import AnswerBook
from pytest_fcpivot.runs.damage import listed, would_be_missing
from pytest_fcpivot.runs.described import read_with_origin
from pytest_fcpivot.runs.directory import COMPARED_BY_MEANING, RunDirectory, judge_of_run
from pytest_fcpivot.runs.trust import Origin, find_key
from pytest_fcpivot.runs.until_mixed import Outcomes, outcomes_of
from pytest_fcpivot.session.options import command_line, is_typed
from pytest_fcpivot.session.worker_plan import received_plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pytest

    from pytest_fcpivot.session.option_reader import OptionReader

_NAMING_A_RUN = ("--fc-resume", "--fc-replay", "--fc-baseline")
_FOR_ASKING = frozenset((*made_here.OF_AGENTS, "fc_model"))


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run that is resumed, or a run or a file of rollouts that is replayed: its answers are graded again."""

    path: Path
    replays: bool
    description: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin = Origin.HERE  # rollouts are named by the user, and name no code or files

    @classmethod
    def named(cls, config: pytest.Config, reader: OptionReader) -> StoredRun | None:
        """Find the run that --fc-resume or --fc-replay names; raises RunError or OptionError if it cannot be used."""
        _refuse_blank(config)
        resume, resume_from = reader.value("fc_resume")
        run, run_from = reader.value("fc_run")
        only_resume_typed = is_typed(config, "fc_resume") and not is_typed(config, "fc_run")
        if resume is not None and run is not None and not only_resume_typed:
            raise OptionError(
                f"{resume_from} and {run_from}: a resumed run is recorded in its own directory; choose one"
            )
        replay, replay_from = reader.value("fc_replay")
        if resume is None and replay is None:
            return None
        if resume is not None and replay is not None:
            raise OptionError(f"{resume_from} and {replay_from}: choose one")
        if replay is not None:
            try:
                found = cls._replayed(Path(config.invocation_params.dir, replay).expanduser(), replay_from)
            except OSError as error:  # for example a directory without access, or a name that is too long
                raise RunError(f"{replay_from}={replay}: cannot be read: {error.strerror or error}") from error
            found.refuse_strangers_choices(config, reader)
            found.refuse_hidden_options(config, reader)
            return found
        received = received_plan(config)
        if received is not None and received.run is not None:
            path = Path(received.run)  # only the controller can find the latest run
        elif resume == LATEST:
            path = RunDirectory.latest(config.rootpath)
        else:
            path = Path(config.invocation_params.dir, resume).expanduser()
        description, origin = read_with_origin(path, find_key())
        if description.get("replays"):
            of = one_line(description["replays"], 200)
            raise RunError(f"{path}: this run is a replay, which asks no agent; resume or replay {of} instead")
        if description.get("selected_by_shard"):
            raise RunError(
                f"{path}: merged from shards that each chose their own pivots (--fc-limit, --fc-sample), which no "
                "single session does; resume the shards' runs, and merge them again"
            )
        found = cls(path, replays=False, description=description, origin=origin)
        found.refuse_strangers_choices(config, reader)
        if resume == LATEST and received is None:
            found._refuse_strangers_latest(config, resume_from)
        found.refuse_hidden_options(config, reader)
        return found

    @classmethod
    def _replayed(cls, path: Path, where: str) -> StoredRun:
        if path.is_dir():
            description, origin = read_with_origin(path, find_key())
            return cls(path, replays=True, description=description, origin=origin)
        if not path.is_file():
            raise RunError(f"{where}={path}: there is no such run or file")
        if path.name == "results.jsonl" and (path.parent / "run.json").is_file():
            return cls._replayed(path.parent, where)
        if path.suffix != ".jsonl":
            raise RunError(f"{where}={path}: name a run's directory, or rollouts as .jsonl (not compressed)")
        return cls(path, replays=True)

    @property
    def is_run(self) -> bool:
        """Whether this is a run of this plugin, and not a file of rollouts."""
        return bool(self.description)

    @property
    def options(self) -> dict[str, Any]:
        """The raw values of the run's options; `fc_data` has the paths that its data had then."""
        if not self.is_run:
            return {"fc_data": [str(self.path)]}
        if self.is_made_here:
            options = dict(self.description.get("options", {}))
            if self.replays:
                options.pop("fc_header", None)  # a replay makes no requests, so the variables in it need not be set
            named = self.description.get("data", ())
        else:
            options = dict(made_here.taken_over(self.description))
            named = [data for data in self.description.get("data", ()) if data["name"] == SAMPLE]
        # the sample is this installation's, wherever it was when the run was made
        options["fc_data"] = [str(SAMPLE_PATH) if data["name"] == SAMPLE else data["path"] for data in named]
        # options have text values; a number here was set by the user's code
        return {name: str(value) if type(value) in (int, float) else value for name, value in options.items() if value}

    @property
    def arguments(self) -> list[str]:
        """The paths of the run; [] if it ran the data alone."""
        if not self.is_made_here:
            return made_here.arguments_taken_over(self.description)
        return [str(argument) for argument in self.description.get("arguments") or ()]

    @property
    def is_made_here(self) -> bool:
        """Whether the code, files, addresses and keys that it names may be used, because this user gave them."""
        return self.origin is Origin.HERE

    def refuse_strangers_choices(self, config: pytest.Config, reader: OptionReader) -> None:
        """Raise RunError for a run that was not made here and names things that this session was not given.

        Workers skip this check: the controller has made it, and another machine lacks the controller's key.
        """
        if self.is_made_here or received_plan(config) is not None:
            return
        named = made_here.named_by(self.description, self._given(config, reader))
        if named:
            shown = os.path.relpath(self.path, config.invocation_params.dir)
            dest = "fc_replay" if self.replays else "fc_resume"
            typed = [Redactor()(argument) for argument in without(command_line(config), dest)]
            why = self.origin.value
            if self.origin is Origin.UNCHECKED:
                why += f" ({find_key().trouble})"
            raise RunError(made_here.refusal(shown, [*as_arguments(dest, shown), *typed], why, named))

    def _refuse_strangers_latest(self, config: pytest.Config, where: str) -> None:
        """Raise RunError if the latest run was not made here: a copied project may contain runs of others.

        If no key for marks can be made, the user's own runs have no mark either, so nothing is refused.
        """
        if self.is_made_here or find_key(make=True).secret is None:
            return
        shown = shlex.quote(os.path.relpath(self.path, config.invocation_params.dir))
        raise RunError(
            f"{where}: the latest run, {shown}, was not made here: {self.origin.value}. If you mean it, name it: "
            f"--fc-resume={shown}"
        )

    def _given(self, config: pytest.Config, reader: OptionReader) -> made_here.Given:
        here, given = config.invocation_params.dir, reader.given_here()
        named = reader.value("fc_grader")[0] if "fc_grader" in given else self.description["options"].get("fc_grader")
        hooks = config.hook.pytest_fcpivot_grader.get_hookimpls()  # they choose the grader if no option names one
        typed = [argument.partition("::")[0] for argument in config.args]
        typed = typed if config.args_source is config.ArgsSource.ARGS else []
        return made_here.Given(
            replays=self.replays,
            options=given,
            data=frozenset(os.path.normpath(Path(base, name).expanduser()) for name, base in reader.data()),
            paths=bool(typed),
            types_data=any(name == SAMPLE or is_data_file(here / name) for name in typed),
            bundled_grader=is_bundled(str(named)) if named else not hooks,
            sample_is_ours=not os.path.lexists(here / SAMPLE),
        )

    def refuse_hidden_options(self, config: pytest.Config, reader: OptionReader) -> None:
        """Raise OptionError for an option of the run that was recorded with *** in place of a secret.

        Workers skip this check: they get the option's value from their controller.
        """
        if received_plan(config) is not None:
            return
        given = reader.given_here()
        for name, value in self.options.items():
            if self.replays and name in _FOR_ASKING:
                continue
            if HIDDEN in json.dumps(value) and name not in given:
                raise OptionError(
                    f"{flag_of(name)}: the run's value has a secret in it, which is not recorded; pass the option again"
                )

    def outcomes(self) -> tuple[Outcomes, frozenset[str]]:
        """Return the outcomes of a run that asks until its pivots are mixed, and its errors that are not asked again.

        A replay has none: it grades all answers.
        """
        return (Outcomes(), frozenset()) if self.replays else outcomes_of(RunDirectory(self.path).results)

    def book(self, *, allow_damaged: bool, settled: frozenset[str] = frozenset()) -> AnswerBook:
        """Read the stored answers; raises RunError in a replay if lines cannot be read, unless `allow_damaged`.

        A resumed run needs no permission, because the tests of such lines are asked again. `settled` are the tests
        that are not asked again although they ended in an error.
        """
        book = AnswerBook(replays=self.replays, settled=settled)
        if self.is_run:
            book.add_run(RunDirectory(self.path))
        else:
            book.add_rollouts(self.path)
        if self.replays and book.damages and not allow_damaged:
            instead = "resume the run, which runs their tests again (--fc-resume), or " if self.is_run else ""
            raise RunError(
                f"{self.path}: {would_be_missing(book.damages)}\n{instead}leave the lines out with --fc-allow-damaged"
            )
        return book

    def remarks(self, book: AnswerBook) -> Iterator[str]:
        """Yield the lines of a session's heading about stored answers that cannot be used."""
        if book.damages:
            what = "left out" if self.replays else "their tests run again"
            yield f"{book.damages.losses()}; {what}:"
            yield from (f"  {line}" for line in listed([book.damages]))
        if book.damages.torn is not None and self.replays:
            yield f"its last line is incomplete ({book.damages.torn.size} bytes) and is left out"
        if book.damaged_calls:
            lines = count_of(len(book.damaged_calls), "damaged line")
            what = "left out" if self.replays else "the agent is asked again"
            yield f"{lines} in calls/; {what}:"
            yield from (f"  {line}" for line in listed([book.damaged_calls]))
        if book.without_answer:
            yield f"{book.without_answer} rollouts without an expected_action are left out"

    def refuse_another(self, facts: Mapping[str, Any]) -> None:
        """Raise RunError, listing the differences, if the run is of other data, options, agent, grader or judge.

        `facts` describes this session as run.json would.
        """
        differences = []
        stored = self.description.get("options", {})
        for name in sorted(ABOUT_THE_RUN - COMPARED_BY_MEANING):
            values = stored.get(name) or None, facts["options"].get(name) or None
            if values[0] != values[1]:
                differences.append("{}: {} → {}".format(flag_of(name), *map(_shown, values)))
        before = {data["name"]: data["sha256"] for data in self.description.get("data", ())}
        present = {data["name"]: data["sha256"] for data in facts["data"]}
        for name in before.keys() | present.keys():
            if before.get(name) != present.get(name):
                what = "content changed" if name in before and name in present else "only in one of them"
                differences.append(f"data {name}: {what}")
        differences += [
            f"{name}: {_shown(self.description.get(name, default))} → {_shown(facts[name])}"
            for name, default in (("agent", None), ("pass_mark", DEFAULT_PASS_MARK))
            if self.description.get(name, default) != facts[name]
        ]
        graders = meaning_of(self.description.get("grader")), meaning_of(facts["grader"])
        if graders[0] != graders[1]:
            differences.append("grader: {} → {}".format(*map(_shown, graders)))
        judges = judge_of_run(self.description), judge_of_run(facts)
        if judges[0] != judges[1]:
            differences.append("judge: {} → {}".format(*map(_shown, judges)))
        if differences:
            listed = "\n".join(f"  {line}" for line in sorted(differences))
            raise RunError(
                f"{self.path}: this run was started differently, and its results would be mixed with those of this "
                f"session:\n{listed}\nresume it without these options, or start a new run"
            )


def _refuse_blank(config: pytest.Config) -> None:
    """Raise OptionError for a run directory that follows its option after a space instead of an equals sign.

    pytest looks for its root directory before it knows our options. It takes the name for a path of tests, and may
    already have read, and acted on, a pytest.ini in the run directory.
    """
    typed = command_line(config)
    for argument, value in pairwise(typed):
        if (
            argument in _NAMING_A_RUN
            and not value.startswith("-")
            and Path(config.invocation_params.dir, value).exists()
        ):
            raise OptionError(
                f"{argument} {value}: write {argument}={value}, with the =; after a space, pytest takes the directory "
                "for one with tests, and reads its settings there"
            )


def _shown(value: Any) -> str:
    return "not set" if value is None else json.dumps(value)
