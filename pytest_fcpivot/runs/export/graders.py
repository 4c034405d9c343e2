"""Finds the grader for each exported pivot: the one that is named, that of the run, or the one of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import OptionError
from pytest_fcpivot.data.agent_refs import agent_of
from pytest_fcpivot.graders import NemoGymGrader, describe_grader, find_grader, is_bundled
from pytest_fcpivot.graders.of_data import is_nemo_gym, spec_of_data
from pytest_fcpivot.graders.sets import FIRST, asked_by, settings_for, with_those_of_set

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_fcpivot.core.model import Pivot
    from pytest_fcpivot.graders import Grader
    from pytest_fcpivot.runs.export.pivots import Chosen

Described = dict[str, Any]


class GraderOfPivots:
    """Describes the grader of each pivot, as run.json does, without the cause.

    `spec` and `settings` are what the user names. Otherwise `recorded` is the grader of the run, or None for data.
    Those choose as in a session: turns of conversations have `agentic`, pivots `nemo-gym` with the settings of the
    agent that their row names, or else of the set that they are from.
    """

    def __init__(
        self,
        spec: str | None,
        settings: Mapping[str, Any] | None,
        recorded: Mapping[str, Any] | None = None,
        *,
        search: tuple[Path, ...] = (),
    ) -> None:
        self._spec = spec
        self._given = with_those_of_set(settings or {})
        self._recorded = None if recorded is None else {key: recorded[key] for key in recorded if key != "cause"}
        self._search = search
        self._specs: dict[int, str] = {}
        self._found: dict[tuple[str, str], tuple[Described, Grader]] = {}
        self._others: dict[int, Mapping[str, Any]] = {}

    def of(self, chosen: Chosen, pivot: Pivot) -> Described:
        """Return the grader of a pivot.

        Raises OptionError if the data do not tell, or if the grader cannot judge the pivot, as a session refuses it,
        and GraderError as `find_grader`.
        """
        if self._spec is None and self._recorded is not None:
            return dict(self._recorded)
        described, grader = self._of(chosen, pivot)
        if not grader.accepts(len(pivot.expected_action.calls)):
            expects = {"message": "a message", "function_call": "one call"}.get(pivot.expected_action.kind)
            advice = "--grader=nemo-gym:any-order" if is_bundled(grader.name) else "another --grader"
            raise OptionError(
                f"{pivot.id}: it expects {expects or 'several calls at once'}, which {grader.name} cannot judge, so "
                f"that a training would end with an error there; name {advice}"
            )
        return described

    def _of(self, chosen: Chosen, pivot: Pivot) -> tuple[Described, Grader]:
        spec = self._spec or self._spec_of(chosen)
        if not is_nemo_gym(spec):
            return self._described(spec, self._given, "")
        agent = agent_of(pivot.metadata_json.encode())
        settings: Mapping[str, Any] | None = None if agent is None else settings_for(agent)
        if settings is None:
            agent = f"set {id(chosen.store)}"
            settings = self._of_others(chosen)
        return self._described(spec, {**settings, **self._given}, str(agent))

    def _described(self, spec: str, settings: Mapping[str, Any], why: str) -> tuple[Described, Grader]:
        if (spec, why) not in self._found:
            grader = find_grader(spec, settings, search=self._search, where="--grader")
            used = grader.settings if isinstance(grader, NemoGymGrader) else settings
            self._found[spec, why] = describe_grader(grader, used), grader
        return self._found[spec, why]

    def _spec_of(self, chosen: Chosen) -> str:
        key = id(chosen.store)
        if key not in self._specs:
            self._specs[key] = spec_of_data([chosen], "name one for all of them with --grader")
        return self._specs[key]

    def _of_others(self, chosen: Chosen) -> Mapping[str, Any]:
        """Return the settings of the pivots of a data file whose row names no known agent."""
        key = id(chosen.store)
        if key not in self._others:
            asked = asked_by({None: 1}, chosen.store.provenance.get("sources") or ())
            found = [each.settings for each in asked] or [dict(FIRST)]
            if any(each != found[0] for each in found):
                raise OptionError(
                    f"{chosen.label}: it is of several data sets for which the verifier has different settings, and "
                    "rows that name no agent do not tell which is theirs; give all of them the same settings, as with "
                    "--grader-option=word_count_similarity_threshold=0.1, or export the sets one at a time"
                )
            self._others[key] = found[0]
        return self._others[key]
