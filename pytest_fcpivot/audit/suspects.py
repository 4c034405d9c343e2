"""Finds pivots that are never solved for a reason that may lie in the comparison, or in the expected action."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from pytest_fcpivot.audit.comparators import LADDER, LENIENT, Agentic, Case
from pytest_fcpivot.audit.stored_results import action_of
from pytest_fcpivot.core.actions import SUBMIT_MESSAGE
from pytest_fcpivot.core.errors import FcPivotError, RunError
from pytest_fcpivot.core.jsontext import compact, decoded, one_line, shown
from pytest_fcpivot.runs.directory import RunDirectory
from pytest_fcpivot.runs.profile.choosing import ALL_FAIL
from pytest_fcpivot.runs.profile.rollouts import action_at
from pytest_fcpivot.runs.reader import DamagedLineError, line_at, open_regular, result_line
from pytest_fcpivot.schema.toolset import tool_set

if TYPE_CHECKING:
    from typing import BinaryIO

    from pytest_fcpivot.core.model import Action, FunctionCall, Pivot
    from pytest_fcpivot.runs.profile.candidates import Candidate, Candidates, Rollout, Rows
    from pytest_fcpivot.runs.profile.choosing import Chosen

_WIDTH = 120
_FULL = 1.0
A_MESSAGE = "a message in place of a call"

_Key = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspectMatcher:
    """A pivot of which no answer passed, and the first comparator that passes one; `passing` of `answers` do."""

    candidate: Candidate
    comparator: str
    passing: int
    answers: int
    answer: str
    expected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspectGold:
    """A pivot that all agents fail with one answer, which more than half of each one's answers are."""

    candidate: Candidate
    answers: int
    of: int
    answer: str
    expected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspects:
    """The suspects in the order of the data; `unread` answers could not be looked at."""

    matcher: tuple[SuspectMatcher, ...]
    gold: tuple[SuspectGold, ...]
    unread: int = 0


def suspects(candidates: Candidates, chosen: Chosen, rows: Rows) -> Suspects:
    """Look at the answers to all pivots of which none passed.

    The comparators are those of the audit, except the one with partial credit. A message in place of the expected
    message is left to the grader, because the others take any message for right. Raises RunError if a run has changed
    since it was read, and what reading the data raises.
    """
    matcher, gold, unread = [], [], 0
    with _Answers(candidates) as answers:
        for candidate, kind in zip(candidates.pivots, chosen.kinds, strict=True):
            if kind != ALL_FAIL:
                continue
            pivot = rows.read(candidate)
            given: dict[int, Action] = {}
            for rollout in candidate.rollouts:
                if rollout.digest not in given:
                    action = answers.read(rollout, pivot)
                    if action is not None:
                        given[rollout.digest] = action
            unread += sum(rollout.digest not in given for rollout in candidate.rollouts)
            found = _matcher(candidate, pivot, given)
            if found is not None:
                matcher.append(found)
            common = _gold(candidates, candidate, pivot, given)
            if common is not None:
                gold.append(common)
    return Suspects(matcher=tuple(matcher), gold=tuple(gold), unread=unread)


def _matcher(candidate: Candidate, pivot: Pivot, given: dict[int, Action]) -> SuspectMatcher | None:
    expected = pivot.expected_action
    passing: dict[int, str] = {}
    for digest, action in given.items():
        if not expected.calls and not action.calls and action.message is not None:
            continue
        case = Case(expected, action, pivot.tools_json)
        if not _passes(LENIENT, case):  # it accepts what any other but the one with partial credit accepts
            continue
        passing[digest] = next(rung.name for rung in LADDER if not isinstance(rung, Agentic) and _passes(rung, case))
    if not passing:
        return None
    names = [rung.name for rung in LADDER]
    counts = Counter(rollout.digest for rollout in candidate.rollouts if rollout.digest in passing)
    first = min(passing, key=lambda digest: (names.index(passing[digest]), -counts[digest], _in_short(given[digest])))
    return SuspectMatcher(
        candidate=candidate,
        comparator=passing[first],
        passing=counts.total(),
        answers=candidate.graded,
        answer=_in_short(given[first]),
        expected=_in_short(expected),
    )


def _passes(rung: object, case: Case) -> bool:
    try:
        return bool(rung.grade(case).reward == _FULL)  # type: ignore[attr-defined] # one of the ladder
    except FcPivotError:  # it cannot judge this case, such as several calls
        return False


def _gold(candidates: Candidates, candidate: Candidate, pivot: Pivot, given: dict[int, Action]) -> SuspectGold | None:
    if len(candidates.agents) < 2:  # noqa: PLR2004 (one agent alone may just be wrong)
        return None
    by_agent: dict[str, Counter[_Key | None]] = {agent: Counter() for agent in candidates.agents}
    keys = {digest: _key(action, pivot) for digest, action in given.items()}
    for rollout in candidate.rollouts:
        agent = candidates.sources[rollout.source].agent
        if agent is not None:
            by_agent[agent][keys.get(rollout.digest)] += 1
    usual = set()
    for counts in by_agent.values():
        key, number = next(iter(counts.most_common(1)), (None, 0))
        usual.add(key if 2 * number > counts.total() else None)
    if len(usual) != 1 or None in usual:
        return None
    (common,) = usual
    example = min(_in_short(given[digest]) for digest, key in keys.items() if key == common)
    return SuspectGold(
        candidate=candidate,
        answers=sum(counts[common] for counts in by_agent.values()),
        of=sum(counts.total() for counts in by_agent.values()),
        answer=A_MESSAGE if common == (A_MESSAGE,) else example,
        expected=_in_short(pivot.expected_action),
    )


def _key(action: Action, pivot: Pivot) -> _Key | None:
    """Return what answers have in common that are the same; None for one that is neither a call nor a message."""
    if action.calls:
        return tuple(sorted(_of_call(call) for call in action.calls))
    if action.message is None:
        return None
    return (A_MESSAGE,) if pivot.expected_action.calls else ("message", action.message)


def _of_call(call: FunctionCall) -> str:
    try:
        return f"{call.name} {compact(_sorted(decoded(call.arguments)))}"
    except (ValueError, RecursionError):
        return f"{call.name} {call.arguments}"


def _sorted(value: object) -> object:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(each) for each in value] if isinstance(value, list) else value


def _in_short(action: Action) -> str:
    if action.calls:
        return one_line(" & ".join(f"{call.name}({call.arguments})" for call in action.calls), _WIDTH)
    if action.malformed is not None:
        return "an output that could not be read"
    return "nothing" if action.message is None else shown(action.message, _WIDTH)


class _Answers:
    """Reads the answers of rollouts from the files of their sources."""

    def __init__(self, candidates: Candidates) -> None:
        self._sources = candidates.sources
        self._streams: dict[int, BinaryIO] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in self._streams.values():
            stream.close()

    def read(self, rollout: Rollout, pivot: Pivot) -> Action | None:
        """Return the action of a rollout; None if it cannot be read, or had a secret taken out of it."""
        source = self._sources[rollout.source]
        if rollout.offset < 0:
            return None
        if source.side is None:
            return action_at(source.path, rollout.offset, pivot)
        results = RunDirectory(source.path).results
        stream = self._streams.get(rollout.source)
        if stream is None:
            stream = self._streams[rollout.source] = open_regular(results)
        try:
            data = line_at(stream, rollout.offset)
            line = result_line(data)
        except DamagedLineError as error:
            raise RunError(f"{results}: changed while it was read: {error}") from error
        except OSError as error:
            raise RunError(f"{results}: cannot be read: {error.strerror or error}") from error
        if line.redacted:
            return None
        if line.has_action:
            return line.graded()
        names = tool_set(pivot.tools_json).names if SUBMIT_MESSAGE.encode() in data else frozenset()
        how = source.side.description["options"].get("fc_empty_arguments")
        try:
            return action_of(line, names, "object" if how == "object" else "text")[0]
        except FcPivotError:
            return None
