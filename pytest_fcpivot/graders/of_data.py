"""Choose the grader that data ask for, and its settings: the same for a session, an export and a server.

The settings of `nemo-gym` depend on the data set (see `graders.sets`). Pivots that ask for different settings are
refused together: they have one mean reward, and one grader by which it is recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pytest_fcpivot.core.errors import OptionError
from pytest_fcpivot.graders import DEFAULT_GRADER, find_grader, graders_of, sets
from pytest_fcpivot.graders.settings_text import shown_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pytest_fcpivot.data.store import PivotStore
    from pytest_fcpivot.graders import Grader


class Selected(Protocol):
    """A data file with its selected rows, in ascending order; `label` is how messages name it."""

    @property
    def label(self) -> str: ...  # noqa: D102
    @property
    def store(self) -> PivotStore: ...  # noqa: D102
    @property
    def rows(self) -> Sequence[int]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of `nemo-gym`, and why it has them."""

    values: dict[str, Any]
    cause: str


def is_nemo_gym(spec: str) -> bool:
    """Return whether a spec names the grader whose settings depend on the data."""
    return spec.partition(":")[0] == DEFAULT_GRADER


def spec_of_data(data: Iterable[Selected], advice: str) -> str:
    """Return the spec of the grader that the data ask for; raises OptionError, with advice, if they ask for several."""
    asked: dict[str, list[str]] = {}
    for each in data:
        for spec in graders_of(each.store.provenance):
            asked.setdefault(spec, []).append(each.label)
    if len(asked) > 1:
        listed = ", and ".join(f"{spec} by {', '.join(labels)}" for spec, labels in sorted(asked.items()))
        raise OptionError(
            "these data ask for different graders (agentic for turns of conversations, nemo-gym for rows that are "
            f"pivots): {listed}; {advice}"
        )
    return next(iter(asked), DEFAULT_GRADER)


def settings_of_data(data: Iterable[Selected], given: dict[str, Any], advice: str, option: str) -> Settings:
    """Return the settings of `nemo-gym` that the data ask for.

    `given` are the settings that the user chose. Raises OptionError, with advice, if the data differ in what the user
    did not choose; `option` is the option that chooses a setting.
    """
    asked = [(each, one) for each in data for one in _asked_by(each)]
    if not asked:
        return Settings(dict(sets.FIRST), sets.NO_SET)
    meanings = {shown_settings(one.settings | given) for _, one in asked}
    if len(meanings) > 1:
        options = [shown_settings(one.settings) for _, one in asked]
        listed = "\n".join(
            f"  {settings} for {one.pivots} of {each.label} ({one.cause})"
            for settings, (each, one) in zip(options, asked, strict=True)
        )
        raise OptionError(
            "these pivots are of data sets for which the verifier has different settings, and a run has one grader:\n"
            f"{listed}\n"
            f"{advice}, or give all of them the same settings, as with {option}={options[0].split()[0]}"
        )
    causes = dict.fromkeys(one.cause for _, one in asked)
    return Settings(dict(asked[0][1].settings), sets.listed(list(causes), "and"))


def choose(
    data: Selected, spec: str | None, given: dict[str, Any], *, where: str = "--grader", search: Iterable[Path] = ()
) -> tuple[Grader, str | None]:
    """Return the grader of one data file, and why it has its settings, if that follows from the data.

    `spec` and `given` are the grader and the settings that the user named; `where` is the option for them, and `search`
    lists directories to import a user's own grader from. Raises GraderError and OptionError.
    """
    spec = spec or spec_of_data([data], f"name one for all of them with {where}")
    if not is_nemo_gym(spec):
        return find_grader(spec, given, search=search, where=where), None
    given = sets.with_those_of_set(given)
    found = settings_of_data([data], given, "select those of one set", f"{where}-option")
    return find_grader(spec, found.values | given, search=search, where=where), found.cause


def _asked_by(data: Selected) -> list[sets.Asked]:
    """Return the settings that the selected pivots of a data file ask for."""
    store, rows = data.store, data.rows
    sources = store.provenance.get("sources") or ()
    if not rows:
        return []
    asked = sets.asked_by(store.agent_refs(), sources)
    if len(asked) > 1 and len(rows) < len(store):
        return sets.asked_by(store.agent_refs(rows), sources)
    return asked
