"""Exports answers as rollouts of NeMo Gym: the row of the pivot, with the response, its reward and its category."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.actions import SUBMIT_MESSAGE, to_action
from pytest_fcpivot.core.answer_flags import CUT_OFF
from pytest_fcpivot.core.errors import ActionError, RowProblem, RunError
from pytest_fcpivot.core.jsontext import compact
from pytest_fcpivot.core.usage import usage_of
from pytest_fcpivot.core.words import count_of
from pytest_fcpivot.data.gym_rules import fault_of_item
from pytest_fcpivot.data.jsonparts import decoded
from pytest_fcpivot.data.repeated import ROLLOUT_INDEX
from pytest_fcpivot.data.rows import StoredPivot, pivot_from_row
from pytest_fcpivot.graders.categories import SENTENCES
from pytest_fcpivot.options.table import DEFAULT_PASS_MARK
from pytest_fcpivot.runs.damage import Damages, listed, would_be_missing
from pytest_fcpivot.runs.export.columns import FACTS, FORMAT, answered, tokens
from pytest_fcpivot.runs.export.gym import CATEGORY, RESPONSE, REWARD, TASK_INDEX
from pytest_fcpivot.runs.reader import Damage, output_of
from pytest_fcpivot.runs.rollouts import RolloutRepeats, is_without_answer, reward_of, rollouts_in
from pytest_fcpivot.schema.toolset import tool_set

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pytest_fcpivot.core.model import Action, Pivot
    from pytest_fcpivot.core.usage import Usage
    from pytest_fcpivot.runs.export.columns import Row
    from pytest_fcpivot.runs.export.gym import GymRows
    from pytest_fcpivot.runs.export.pivots import Chosen
    from pytest_fcpivot.runs.export.results import RunTable
    from pytest_fcpivot.runs.reader import ResultLine

_ITEMS = frozenset({"message", "function_call", "reasoning"})
# Members of a recorded Response that a rollout keeps.
_KEPT = ("id", "created_at", "model", "status", "incomplete_details")
_CATEGORIES = {sentence: name for name, sentence in SENTENCES.items()}


class RunRollouts:
    """Makes rollouts of a run's graded answers, in the order of its data; counts those that cannot be any."""

    def __init__(self, table: RunTable, description: Mapping[str, Any], gym: GymRows) -> None:
        self._table = table
        self._model = str(description.get("model") or description.get("agent"))
        self._gym = gym
        self.left_out: Counter[str] = Counter()
        self.empty = 0
        self.made = 0

    def lines(self) -> Iterator[bytes]:
        """Yield the rollouts as lines of JSON. Raises RunError if the results change while they are read."""
        tasks: dict[tuple[int, int], int] = {}
        last: tuple[int, int, int] | None = None
        for number, row, line in self._table.in_order(self.left_out):
            place = number, row, line.repeat
            if place == last:
                self.left_out["a second answer to the same repeat of a pivot, by another test"] += 1
                continue
            chosen = self._table.chosen[number]
            pivot = chosen.store.read(row)
            response = self._response(line, pivot)
            if response is None:
                continue
            last = place
            yield self._line(chosen, pivot, line, response, tasks.setdefault((number, row), len(tasks)))

    def _line(self, chosen: Chosen, pivot: Pivot, line: ResultLine, response: dict[str, Any], task: int) -> bytes:
        members = self._gym.members(chosen, pivot)
        category = SENTENCES.get(line.category or "", line.category)
        members |= {
            RESPONSE: compact(response).encode(),
            REWARD: compact(line.reward).encode(),
            CATEGORY: compact(category).encode(),
            TASK_INDEX: b"%d" % task,
            ROLLOUT_INDEX: b"%d" % (line.repeat - 1),
        }
        self.made += 1
        return self._gym.line(members, pivot)

    def _response(self, line: ResultLine, pivot: Pivot) -> dict[str, Any] | None:
        """Return an answer as a Response from which the graded action is read again; None if there is no such one."""
        if line.redacted:
            self.left_out["an answer with *** in place of a secret, which is not what was graded"] += 1
            return None
        names = tool_set(pivot.tools_json).names
        output = output_of(line)
        try:
            graded = line.graded() if line.has_action else to_action(output, names)
        except ActionError:
            self.left_out["an answer that cannot be read"] += 1
            return None
        recorded = output if isinstance(output, dict) and isinstance(output.get("output"), list) else {}
        items = _recorded_items(output, graded)
        if items is None:
            items = _items_of(graded)
        if not graded.calls and graded.message is None:
            self.empty += 1
        params = pivot.params
        response: dict[str, Any] = {
            "id": f"resp_{pivot.id}_{line.repeat - 1}",
            "created_at": 0,
            "model": self._model,
            "status": "incomplete" if CUT_OFF in line.flags else "completed",
            **({"incomplete_details": {"reason": "max_output_tokens"}} if CUT_OFF in line.flags else {}),
            **({} if line.usage is None else {"usage": _usage(line.usage)}),
            **{key: recorded[key] for key in _KEPT if recorded.get(key) is not None},
            **({"usage": recorded["usage"]} if _is_usage(recorded.get("usage")) else {}),
            "object": "response",
            "output": items,
            "parallel_tool_calls": params.get("parallel_tool_calls", True),
            "tool_choice": params.get("tool_choice", "auto"),
            "tools": pivot.tools,
        }
        if not _is_same(response, graded, names):
            self.left_out["an answer that would be read as another action"] += 1
            return None
        return response

    def notes(self) -> Iterator[str]:
        """Yield what is to be told of the answers."""
        for reason, count in self.left_out.most_common():
            yield f"left out: {count_of(count, 'result')}: {reason}"
        if self.empty:
            yield (
                f"{count_of(self.empty, 'answer')} without call and message (malformed ones among them): their "
                "responses have no output items, as NeMo Gym itself gets none"
            )


def _recorded_items(output: Any, graded: Action) -> list[Any] | None:
    """Return the items that were recorded, if they are Responses items of the graded action; None otherwise."""
    items = output.get("output") if isinstance(output, dict) else output
    if not isinstance(items, list) or not items:
        return None
    if not all(isinstance(item, dict) and item.get("type") in _ITEMS for item in items):
        return None
    if any(fault_of_item(item) is not None for item in items):
        return None
    try:
        # a call of submit_message that counted as a message is one to NeMo Gym only if it is written as one
        same = to_action(items, frozenset({SUBMIT_MESSAGE})) == graded
    except ActionError:
        return None
    return items if same else None


def _items_of(action: Action) -> list[dict[str, Any]]:
    """Write an action as Responses items; none for an answer with neither calls nor a message."""
    if action.calls:
        return [
            {
                "type": "function_call",
                "id": f"fc_{number}",
                "call_id": f"call_{number}",
                "name": call.name,
                "arguments": call.arguments,
                "status": "completed",
            }
            for number, call in enumerate(action.calls)
        ]
    if action.message is None:
        return []
    text = {"type": "output_text", "text": action.message, "annotations": []}
    return [{"type": "message", "id": "msg_0", "role": "assistant", "status": "completed", "content": [text]}]


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }


def _is_usage(usage: Any) -> bool:
    """Return whether recorded counts of tokens have the form of the Responses API."""
    return isinstance(usage, dict) and all(
        isinstance(usage.get(name), int) for name in ("input_tokens", "total_tokens")
    )


def _is_same(response: dict[str, Any], graded: Action, names: frozenset[str]) -> bool:
    """Return whether a replay would read the graded action from a response; a malformed one is read as nothing."""
    try:
        action = to_action(decoded(compact(response).encode()), names)
    except ActionError:
        return False
    return (action.calls, action.message) == (graded.calls, graded.message)


class GivenRollouts:
    """NeMo Gym's rollouts in a file; counts the rows that are none. `chosen` are the ids to keep; None keeps all."""

    def __init__(self, path: Path, chosen: frozenset[str] | None, *, allow_damaged: bool) -> None:
        self._path = path
        self._chosen = chosen
        self._allow_damaged = allow_damaged
        self._damages = Damages(of_tests=False)
        self.left_out: Counter[str] = Counter()

    def _rollouts(self) -> Iterator[tuple[Pivot, dict[str, Any], int]]:
        """Yield pivot, row and repeat of each rollout; raises RunError at the end for rows that cannot be read."""
        repeats = RolloutRepeats(self._path)
        for number, _, row in rollouts_in(self._path):
            if isinstance(row, Damage):
                self._damages.add(row)
                continue
            if is_without_answer(row):
                self.left_out["a rollout without an expected action"] += 1
                continue
            try:
                pivot = pivot_from_row(row, number)
            except RowProblem as problem:
                self._damages.add(Damage(self._path, number, problem.reason, 0))
                continue
            if RESPONSE not in row:
                self.left_out["a row without a response"] += 1
                continue
            repeat = repeats.next(pivot.id, row)
            if self._chosen is None or pivot.id in self._chosen:
                yield pivot, row, repeat
        if self._damages and not self._allow_damaged:
            raise RunError(
                f"{self._path}: {would_be_missing(self._damages)}\nexport the file without these lines, or leave them "
                "out with --allow-damaged"
            )

    def lines(self, *, indexes: bool) -> Iterator[bytes]:
        """Yield the rollouts as they are; with `indexes`, with the numbers of task and rollout where they lack them."""
        tasks: dict[str, int] = {}
        for pivot, row, repeat in self._rollouts():
            if row[RESPONSE] is None:
                self.left_out["a rollout whose response is null"] += 1
                continue
            numbers = {TASK_INDEX: tasks.setdefault(pivot.id, len(tasks)), ROLLOUT_INDEX: repeat - 1}
            yield compact({**(numbers if indexes else {}), **row}).encode()

    def rows(self) -> Iterator[Row]:
        """Yield the rollouts as rows of a run's table."""
        for pivot, row, repeat in self._rollouts():
            response, reward, stored = row[RESPONSE], reward_of(row), StoredPivot.of(pivot)
            error = "the rollout has no response" if response is None else None
            if reward is None and error is None:
                error = "the rollout has no reward"
            found = None if error is not None else _read(response, pivot)
            category = row.get(CATEGORY) if isinstance(row.get(CATEGORY), str) else None
            model = response.get("model") if isinstance(response, dict) else None
            yield {
                "format": FORMAT,
                "run": self._path.name,
                "model": model if isinstance(model, str) else None,
                "grader": "NeMo Gym",
                "place": self._path.name,
                "test": f"{self._path.name}::{pivot.id}" + (f"[r{repeat}]" if repeat > 1 else ""),
                "pivot_id": pivot.id,
                "repeat": repeat,
                "trajectory_id": pivot.trajectory_id,
                **{name: getattr(stored, name) for name in FACTS},
                "expected": stored.expected_type,
                "tool": next(iter(stored.expected_names), None),
                **answered(found),
                "outcome": "error" if error else ("passed" if (reward or 0) >= DEFAULT_PASS_MARK else "failed"),
                "reward": None if error else reward,
                "category": None if error or category is None else _CATEGORIES.get(category, category),
                "error": error,
                **tokens("usage", usage_of(response)),
                "output": None if response is None else compact(response),
            }

    def notes(self) -> Iterator[str]:
        """Yield what is to be told of the rows."""
        for reason, count in self.left_out.most_common():
            yield f"left out: {count_of(count, 'row')}: {reason}"
        if self._damages:
            yield f"left out: {self._damages.losses()}"
            yield from (f"  {line}" for line in listed([self._damages]))
        if self._damages.torn is not None:
            yield f"its last line is incomplete and left out: {self._damages.torn.size} bytes"


def _read(response: Any, pivot: Pivot) -> Action | None:
    try:
        return to_action(response, tool_set(pivot.tools_json).names)
    except ActionError:
        return None
