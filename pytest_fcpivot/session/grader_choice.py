"""Choose a session's grader: the one that an option names, or a hook returns, or the data ask for.

The settings of `nemo-gym` depend on the data set (see `graders.sets`). Pivots that ask for different settings are
refused together: a run has one mean reward, and one grader by which it is recorded, resumed, merged and audited.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot.core.errors import GraderError, OptionError
from pytest_fcpivot.core.importing import describe_failure, is_spec
from pytest_fcpivot.core.jsontext import well_formed
from pytest_fcpivot.graders import (
    DEFAULT_GRADER,
    NemoGymGrader,
    describe_grader,
    find_grader,
    graders_of,
    is_bundled,
    meaning_of,
    sets,
)
from pytest_fcpivot.graders.settings_text import shown_settings
from pytest_fcpivot.options.table import FROM_RUN
from pytest_fcpivot.session.worker_plan import received_plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_fcpivot.graders import Grader
    from pytest_fcpivot.options.values import Options
    from pytest_fcpivot.session.datasets import Dataset

_HOOK = "pytest_fcpivot_grader"
_VERSION = "version"
_BEFORE_SETS = "the run is of a version with the same settings for all data sets"


@dataclass(frozen=True, slots=True)
class GraderChoice:
    """The session's grader, and how run.json describes it."""

    grader: Grader
    described: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Settings:
    """Settings of `nemo-gym`, and why it has them."""

    values: dict[str, Any]
    cause: str


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
        spec = chosen.grader or _of_data(datasets)
        if _is_nemo_gym(spec):
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


def _of_data(datasets: Iterable[Dataset]) -> str:
    """Return the spec of the grader that the data ask for; raises OptionError if they ask for several."""
    asked: dict[str, list[str]] = {}
    for dataset in datasets:
        for spec in graders_of(dataset.store.provenance):
            asked.setdefault(spec, []).append(dataset.label)
    if len(asked) > 1:
        listed = ", and ".join(f"{spec} by {', '.join(labels)}" for spec, labels in sorted(asked.items()))
        raise OptionError(
            "these data ask for different graders (agentic for turns of conversations, nemo-gym for rows that are "
            f"pivots): {listed}; name one for all of them with --fc-grader, or run them one at a time"
        )
    return next(iter(asked), DEFAULT_GRADER)


# -------------------------------------------------------------------- the settings of nemo-gym


def _is_nemo_gym(spec: str) -> bool:
    return spec.partition(":")[0] == DEFAULT_GRADER


def _settings(chosen: Options, datasets: Iterable[Dataset], recorded: Mapping[str, Any] | None) -> _Settings:
    """Return the user's settings, completed by those of the stored run, or else by those of the data."""
    given = dict(chosen.grader_settings)
    if sets.SET in given:
        given = sets.settings_of_set(given.pop(sets.SET)) | given
    of_run = _of_run(recorded, named=chosen.grader is not None)
    base = of_run or _of_sets(datasets, given)
    where = chosen.grader_settings_from
    if not given or (of_run is not None and where == FROM_RUN):
        return base
    values = base.values | given
    if given.keys() >= base.values.keys() - {_VERSION}:
        return _Settings(values, where)
    return _Settings(values, f"{base.cause}; {sets.listed(list(given), 'and')} by {where}")


def _of_run(recorded: Mapping[str, Any] | None, *, named: bool) -> _Settings | None:
    """Return the settings that a run was recorded with; None if it was not graded by `nemo-gym`.

    `named`: an option of this session names the grader, and so decides its version instead of the run.
    """
    if recorded is None:
        return None
    name, settings = recorded["name"], recorded["settings"]
    if not _is_nemo_gym(name):
        return None
    version = {} if named else {_VERSION: name.partition(":")[2]}
    return _Settings({**sets.FIRST, **settings, **version}, well_formed(str(recorded.get("cause", _BEFORE_SETS))))


def _of_sets(datasets: Iterable[Dataset], given: dict[str, Any]) -> _Settings:
    """Return the settings that the data ask for; raises OptionError if they differ in what the user did not set."""
    asked = [(dataset, asked) for dataset in datasets for asked in _asked_by(dataset)]
    if not asked:
        return _Settings(dict(sets.FIRST), sets.NO_SET)
    by_meaning: dict[str, list[tuple[Dataset, sets.Asked]]] = {}
    for dataset, one in asked:
        by_meaning.setdefault(shown_settings(one.settings | given), []).append((dataset, one))
    if len(by_meaning) > 1:
        options = [shown_settings(one.settings) for _, one in asked]
        listed = "\n".join(
            f"  {option} for {one.pivots} of {dataset.label} ({one.cause})"
            for option, (dataset, one) in zip(options, asked, strict=True)
        )
        raise OptionError(
            "these pivots are of data sets for which the verifier has different settings, and a run has one grader:\n"
            f"{listed}\n"
            "run them one at a time (--fc-ids chooses pivots), or give all of them the same settings, as with "
            f"--fc-grader-option={options[0].split()[0]}"
        )
    causes = dict.fromkeys(one.cause for _, one in asked)
    return _Settings(dict(asked[0][1].settings), sets.listed(list(causes), "and"))


def _asked_by(dataset: Dataset) -> list[sets.Asked]:
    """Return the settings that the selected pivots of a data file ask for."""
    store, rows = dataset.store, [entry.row for entry in dataset.entries]
    sources = store.provenance.get("sources") or ()
    if not rows:
        return []
    asked = sets.asked_by(store.agent_refs(), sources)
    if len(asked) > 1 and len(rows) < len(store):
        return sets.asked_by(store.agent_refs(rows), sources)
    return asked
