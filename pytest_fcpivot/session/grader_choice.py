"""Choose a session's grader: the one that an option names, or a hook returns, or the data ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot.core.errors import GraderError, OptionError
from pytest_fcpivot.core.importing import describe_failure, is_spec
from pytest_fcpivot.core.jsontext import well_formed
from pytest_fcpivot.graders import (
    NemoGymGrader,
    describe_grader,
    find_grader,
    is_bundled,
    meaning_of,
    sets,
)
from pytest_fcpivot.graders.of_data import Settings, is_nemo_gym, settings_of_data, spec_of_data
from pytest_fcpivot.options.table import FROM_RUN
from pytest_fcpivot.session.worker_plan import received_plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_fcpivot.graders import Grader
    from pytest_fcpivot.options.values import Options
    from pytest_fcpivot.session.datasets import Dataset

_HOOK = "pytest_fcpivot_grader"
_ONE_GRADER = "name one for all of them with --fc-grader, or run them one at a time"
_ONE_AT_A_TIME = "run them one at a time (--fc-ids chooses pivots)"
_VERSION = "version"
_BEFORE_SETS = "the run is of a version with the same settings for all data sets"


@dataclass(frozen=True, slots=True)
class GraderChoice:
    """The session's grader, and how run.json describes it."""

    grader: Grader
    described: dict[str, Any]


def choose_grader(
    config: pytest.Config, chosen: Options, datasets: Iterable[Dataset], recorded: Mapping[str, Any] | None = None
) -> GraderChoice:
    """Return the session's grader; `recorded` is the grader's description in the run that is resumed or replayed.

    Raises GraderError for an unknown grader or settings that it does not accept; OptionError if no grader is named and
    the data ask for different ones, or if a worker arrives at another grader than its controller.
    """
    settings, cause = dict(chosen.grader_settings), None
    grader = _of_hook(config, chosen.grader, settings)
    if grader is None:
        datasets = list(datasets)
        spec = chosen.grader or spec_of_data(datasets, _ONE_GRADER)
        if is_nemo_gym(spec):
            found = _settings(chosen, datasets, recorded)
            settings, cause = found.values, found.cause
        search = [config.rootpath, config.invocation_params.dir]
        grader = find_grader(spec, settings, search=search, where=chosen.grader_from)
        if isinstance(grader, NemoGymGrader):
            settings = grader.settings
    ours, received = describe_grader(grader, settings, cause), received_plan(config)
    theirs = None if received is None else received.grader
    if theirs is not None and meaning_of(ours) != meaning_of(theirs):
        raise OptionError(
            f"the worker's grader is {ours}, and the controller's {theirs}: copy its file, or install the same package"
        )
    return GraderChoice(grader, ours)


def _of_hook(config: pytest.Config, name: str | None, settings: dict[str, Any]) -> Grader | None:
    if name is not None and (is_bundled(name) or is_spec(name)):
        return None
    try:
        found = config.hook.pytest_fcpivot_grader(config=config, name=name, settings=settings)
    except (pytest.UsageError, GraderError):
        raise
    except Exception as error:
        raise GraderError(f"the hook {_HOOK} failed: {describe_failure(error)}") from error
    if found is None:
        return None
    from pytest_fcpivot.graders.own import given_grader  # noqa: PLC0415 (most runs have none)

    return given_grader(found, {}, where=f"the hook {_HOOK}", name=name)


# -------------------------------------------------------------------- the settings of nemo-gym


def _settings(chosen: Options, datasets: Iterable[Dataset], recorded: Mapping[str, Any] | None) -> Settings:
    """Return the user's settings, completed by those of the stored run, or else by those of the data."""
    given = sets.with_those_of_set(dict(chosen.grader_settings))
    of_run = _of_run(recorded, named=chosen.grader is not None)
    base = of_run or settings_of_data(datasets, given, _ONE_AT_A_TIME, "--fc-grader-option")
    where = chosen.grader_settings_from
    if not given or (of_run is not None and where == FROM_RUN):
        return base
    values = base.values | given
    if given.keys() >= base.values.keys() - {_VERSION}:
        return Settings(values, where)
    return Settings(values, f"{base.cause}; {sets.listed(list(given), 'and')} by {where}")


def _of_run(recorded: Mapping[str, Any] | None, *, named: bool) -> Settings | None:
    """Return the settings that a run was recorded with; None if it was not graded by `nemo-gym`.

    `named`: an option of this session names the grader, and so decides its version instead of the run.
    """
    if recorded is None:
        return None
    name, settings = recorded["name"], recorded["settings"]
    if not is_nemo_gym(name):
        return None
    version = {} if named else {_VERSION: name.partition(":")[2]}
    return Settings({**sets.FIRST, **settings, **version}, well_formed(str(recorded.get("cause", _BEFORE_SETS))))
