"""Exports pivots as rows of NeMo Gym, and counts those that break a rule of it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.jsontext import compact
from pytest_fcpivot.core.words import count_of
from pytest_fcpivot.data.agent_refs import AGENT_REF
from pytest_fcpivot.data.gym_rows import gym_members
from pytest_fcpivot.data.gym_rules import AGENT_TYPE, RULES, STRICT_JSON, UNREACHABLE, broken_rules, strict_json
from pytest_fcpivot.data.jsonparts import Fields, decoded, joined
from pytest_fcpivot.data.repeated import ROLLOUT_INDEX
from pytest_fcpivot.graders import NemoGymGrader
from pytest_fcpivot.graders.sets import FIRST, agent_of_set, set_of, settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fcpivot.core.model import Pivot
    from pytest_fcpivot.runs.export.pivots import Chosen, Pivots

TASK_INDEX = "_ng_task_index"
# What NeMo Gym's verifier adds to a row; a pivot that was read from rollouts has it among its metadata.
RESPONSE, REWARD, CATEGORY = "response", "reward", "category"
OF_ROLLOUTS = (RESPONSE, REWARD, CATEGORY, TASK_INDEX, ROLLOUT_INDEX)


class GymRows:
    """Makes rows; while it does, counts those that break a rule of NeMo Gym, and those for which no agent is known.

    `agent` is the name of the agent for rows that name none; by default, it follows from the published data set that a
    file was prepared from, if that is known.
    """

    def __init__(self, agent: str | None = None) -> None:
        self._agent = agent
        self.broken: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self.without_agent = 0
        self.given_agents: Counter[str] = Counter()
        self._graders: dict[str, NemoGymGrader] = {}

    def members(self, chosen: Chosen, pivot: Pivot) -> Fields:
        """Return the members of a pivot's row as JSON texts; raises DataError as `gym_members` does."""
        members = gym_members(pivot)
        if AGENT_REF not in members:
            name = self._agent or agent_of_set(set_of(chosen.store.provenance.get("sources") or ()))
            if name is None:
                self.without_agent += 1
            else:
                self.given_agents[name] += 1
                members[AGENT_REF] = compact({"type": AGENT_TYPE, "name": name}).encode()
        return members

    def line(self, members: Fields, pivot: Pivot) -> bytes:
        """Return a row as a line of JSON, and note the rules that it breaks."""
        text = joined(members)
        try:
            row = strict_json(text)
        except ValueError as error:
            row = decoded(text)
            self._note(STRICT_JSON, pivot, str(error))
        for rule, detail in broken_rules(row):
            self._note(rule, pivot, detail)
        if pivot.expected_action.calls:
            grade = self._grader(row).grade(pivot.expected_action, pivot.expected_action)
            if grade.reward < 1:
                self._note(UNREACHABLE, pivot, grade.explanation)
        return text

    def _note(self, rule: str, pivot: Pivot, detail: str) -> None:
        self.broken[rule] += 1
        self._examples.setdefault(rule, f"{pivot.id}: {detail}")

    def _grader(self, row: dict[str, Any]) -> NemoGymGrader:
        """Return the verifier with the settings of the agent that a row names; with its own ones, if it is unknown."""
        ref = row.get(AGENT_REF)
        name = ref.get("name") if isinstance(ref, dict) else None
        key = name if isinstance(name, str) else ""
        if key not in self._graders:
            self._graders[key] = NemoGymGrader(**{**FIRST, **(settings_for(key) or {}), "version": "any-order"})
        return self._graders[key]

    def lines(self, pivots: Pivots, *, indexes: bool) -> Iterator[bytes]:
        """Yield the row of each pivot as a line; with `indexes`, with the numbers of task and rollout."""
        for number, (chosen, pivot) in enumerate(pivots):
            members = self.members(chosen, pivot)
            if RESPONSE in members:
                members = {key: value for key, value in members.items() if key not in OF_ROLLOUTS}
            if indexes:
                members |= {TASK_INDEX: b"%d" % number, ROLLOUT_INDEX: b"0"}
            yield self.line(members, pivot)

    def notes(self) -> Iterator[str]:
        """Yield what is to be told of the rows."""
        for rule, count in self.broken.most_common():
            yield (
                f"{count_of(count, 'row')} {'breaks' if count == 1 else 'break'} NeMo Gym's rule {rule} "
                f"({RULES[rule]}); the first: {self._examples[rule]}"
            )
        for name, count in self.given_agents.items():
            yield f"{count_of(count, 'row')} named no agent, and {'has' if count == 1 else 'have'} agent_ref {name} now"
        if self.without_agent:
            yield (
                f"{count_of(self.without_agent, 'row')} without agent_ref, since it is not known which agent of NeMo "
                "Gym they are for; name it with --agent-ref, or to NeMo Gym with +agent_name"
            )
