"""A grader with partial credit for data prepared from Nemotron-Agentic: half for the name, half for the arguments.

The code of NVIDIA's original is not public. Its description gives the formula; docs/grading.md, section 2, decides the
points that it leaves open, and the comments here repeat these decisions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import lcm
from typing import Any, NamedTuple

from pytest_fcpivot.core.apart import names_apart, values_apart
from pytest_fcpivot.core.errors import GraderError
from pytest_fcpivot.core.jsontext import decoded, json_path, one_line, shown
from pytest_fcpivot.core.model import Action, FunctionCall, Grade
from pytest_fcpivot.graders.arguments import expected_arguments, same_json, why_not_decoded
from pytest_fcpivot.graders.categories import (
    ARGUMENTS_DECODE_ERROR,
    BATCH_LENGTH_DIFFERENT,
    CHAT_MESSAGE_DIFFERENT,
    CHAT_MESSAGE_PARTLY_EXPECTED,
    EXPECTED_CHAT_MESSAGE_FOUND,
    EXPECTED_TOOL_CALL,
    EXPECTED_TOOL_CALL_BATCH,
    OBJECT_KEYS_DIFFERENT,
    UNEXPECTED_TOOL,
    VALUE_DIFFERENT,
    VALUE_TYPE_DIFFERENT,
    all_pairs,
    wrong_kind,
    wrong_number,
)
from pytest_fcpivot.graders.keywords import keyword_overlap, keywords
from pytest_fcpivot.graders.matching import best_assignment

MOST_PATHS = 20

_HALF = 0.5
_BOTH_HALVES = (_HALF, _HALF)
_CALL_MATCHED = Grade(1.0, EXPECTED_TOOL_CALL, halves=_BOTH_HALVES)
_WORDS_SHOWN = 5
# Types whose values match if they are equal; not float, since NaN is not equal to itself in Python.
_EQUAL_IS_ENOUGH = frozenset((str, int, bool, type(None)))
_ABSENT = object()
# The weight of one half in the pairing. Weights are integers, so that rounding cannot decide between pairings; this one
# is a multiple of all numbers up to 30, so that the weights of up to 30 arguments are exact.
_HALF_WEIGHT = lcm(*range(1, 31))

_Steps = tuple[str | int, ...]
# The result of comparing arguments: the number that match, the total (at least 1), and the missing and differing keys.
_Share = tuple[int, int, Sequence[str], Sequence[str]]


class _Broken(NamedTuple):
    """Stands for arguments that are not valid JSON."""

    reason: str


class _Difference(NamedTuple):
    """The first difference: its category, its explanation, and the two values there as short JSON."""

    category: str
    explanation: str
    expected: str | None
    actual: str | None


@dataclass(frozen=True, slots=True)
class AgenticGrader:
    """Grade one action with partial credit: 0.5 x (names equal) + 0.5 x (share of arguments that match).

    The share is the number of matching keys divided by the number of keys on either side. Two values match if they are
    the same JSON, or if both are strings and one contains the other after stripping and case-folding. Several calls are
    paired so that the sum of their rewards is maximal; this sum is divided by the larger of the two numbers of calls. A
    message earns its keyword overlap.

    Expected arguments that are not an object match as a whole or not at all. If an object is expected, arguments of
    the model that are not an object, or not valid JSON, match nothing.
    """

    @property
    def name(self) -> str:
        """The grader's name, as a run records it."""
        return "agentic"

    @property
    def binary(self) -> bool:
        """Whether every reward is 0 or 1: false, since this grader gives partial credit."""
        return False

    def accepts(self, calls: int) -> bool:  # noqa: ARG002 (the protocol's)
        """Return True: an expected action with any number of calls can be graded."""
        return True

    def grade(self, expected: Action, actual: Action) -> Grade:
        """Judge `actual` against `expected`; raises GraderError for a fault of the expected action."""
        if not expected.calls or not actual.calls:
            wrong = wrong_kind(expected, actual)
            if wrong is not None:
                return wrong
            wanted, given = expected.message or "", actual.message or ""
            return self.grade_message(wanted, given, keyword_overlap(wanted, given), _explain_overlap(wanted, given))
        if len(expected.calls) == len(actual.calls) == 1:
            return _grade_call(expected.calls[0], actual.calls[0])
        return _grade_batch(expected, actual)

    def matches(self, expected: Any, actual: Any, steps: Sequence[str | int] = ()) -> bool:
        """Return whether two decoded values count as equal; the `steps` lead to them from the arguments.

        Only the values of the arguments themselves may contain each other as texts; all others must be the same JSON.
        """
        is_argument = len(steps) == 1 and isinstance(steps[0], str)
        return _match(expected, actual) if is_argument else same_json(expected, actual)

    def grade_message(self, expected: str, answer: str, score: float, explanation: str) -> Grade:
        """Make the grade of a message from its score, 0 to 1, which a judge or the keyword overlap has given it.

        A blank answer earns 0, whatever the score. Raises GraderError for a score outside of 0 to 1.
        """
        if not 0.0 <= score <= 1.0:
            raise GraderError(f"the score of a message must be from 0 to 1, not {score!r}")
        if not answer.strip():
            score, explanation = 0.0, "the message is blank"
        category = CHAT_MESSAGE_PARTLY_EXPECTED
        if score in (0.0, 1.0):
            category = EXPECTED_CHAT_MESSAGE_FOUND if score else CHAT_MESSAGE_DIFFERENT
        return Grade(float(score), category, explanation, None, shown(expected), shown(answer))


def _explain_overlap(expected: str, answer: str) -> str:
    wanted, given = keywords(expected), set(keywords(answer))
    if not wanted:
        return "the expected message has no keywords"
    missing = [one_line(word, 40) for word in wanted if word not in given]
    found = f"{len(wanted) - len(missing)} of {len(wanted)} keywords of the expected message found"
    if not missing:
        return found
    return f"{found}; missing: {', '.join(missing[:_WORDS_SHOWN])}{', …' if len(missing) > _WORDS_SHOWN else ''}"


def _grade_call(expected: FunctionCall, actual: FunctionCall) -> Grade:
    wanted = expected_arguments(expected)
    same_name = expected.name == actual.name
    if same_name and expected.arguments == actual.arguments:
        return _CALL_MATCHED
    given = _decoded(actual)
    share = _share(wanted, given)
    matched, keys, _, _ = share
    if same_name and matched == keys:
        return _CALL_MATCHED
    places = _places(wanted, given, share)
    pair = _Compared(expected, actual, wanted, given, share, places)
    paths = _paths(places)
    path = paths[0] if paths else None
    category, explanation, one, other = pair.difference(path or "")
    halves = _HALF * same_name, _HALF * matched / keys
    further = len(places) - len(paths)
    return Grade(pair.reward, category, explanation, path, one, other, paths, further, halves)


def _grade_batch(expected: Action, actual: Action) -> Grade:
    n_expected, n_actual = len(expected.calls), len(actual.calls)
    wanted = [expected_arguments(call) for call in expected.calls]
    given = [_decoded(call) for call in actual.calls]
    shares = [[_share(one, other) for other in given] for one in wanted]
    partner = best_assignment(
        [
            [
                _HALF_WEIGHT * (one.name == other.name) + _HALF_WEIGHT * matched // keys
                for other, (matched, keys, _, _) in zip(actual.calls, row, strict=True)
            ]
            for one, row in zip(expected.calls, shares, strict=True)
        ]
    )
    compared: list[_Compared | None] = []
    for i, j in enumerate(partner):
        if j is None:
            compared.append(None)
            continue
        places = _places(wanted[i], given[j], shares[i][j])
        compared.append(_Compared(expected.calls[i], actual.calls[j], wanted[i], given[j], shares[i][j], places))
    made = [pair for pair in compared if pair is not None]
    shares_made = [pair.share for pair in made]
    same_names, size = sum(pair.same_name for pair in made), max(n_expected, n_actual)
    reward = _mean_reward(same_names, shares_made, size)
    halves = _HALF * same_names / size, _mean_reward(0, shares_made, size)
    pairs = all_pairs(partner, [0.0 if pair is None else pair.reward for pair in compared], n_actual)
    if reward == 1.0:
        return Grade(reward, EXPECTED_TOOL_CALL_BATCH, halves=halves, pairs=pairs)
    places = _batch_places(compared)
    paths = _paths(places)
    path, further = paths[0] if paths else None, len(places) - len(paths)
    category, explanation, one, other = _batch_difference(expected, actual, compared, partner)
    return Grade(reward, category, explanation, path, one, other, paths, further, halves, pairs)


def _paths(places: Sequence[_Steps]) -> tuple[str, ...]:
    return tuple([json_path(steps) for steps in places[:MOST_PATHS]])


def _mean_reward(same_names: int, shares: Sequence[_Share], size: int) -> float:
    """Return the sum of the pairs' rewards divided by `size`, rounded only once, so that the order of calls is moot."""
    common = lcm(*[keys for _, keys, _, _ in shares])
    total = same_names * common + sum(matched * (common // keys) for matched, keys, _, _ in shares)
    return total / (2 * size * common)


def _decoded(call: FunctionCall) -> Any:
    """Decode a model's arguments; returns a _Broken with the reason if they are not valid JSON."""
    try:
        return decoded(call.arguments)
    except (ValueError, RecursionError) as error:
        return _Broken(why_not_decoded(call.arguments, error))


def _share(wanted: Any, given: Any) -> _Share:
    """Count the matching arguments among the keys of both sides; 1 of 1 if neither side has keys."""
    if type(wanted) is not dict:
        return int(same_json(wanted, given)), 1, (), ()
    if type(given) is not dict:
        return 0, 1, (), ()
    missing, different = [], []
    for key, value in wanted.items():
        other = given.get(key, _ABSENT)
        if other is _ABSENT:
            missing.append(key)
        elif not _match(value, other):
            different.append(key)
    keys = len(given) + len(missing)
    return (len(wanted) - len(missing) - len(different), keys, missing, different) if keys else (1, 1, (), ())


def _match(wanted: Any, given: Any) -> bool:
    kind = type(wanted)
    if kind is type(given) and kind in _EQUAL_IS_ENOUGH and wanted == given:
        return True
    if kind is not str or type(given) is not str:
        return same_json(wanted, given)
    one, other = wanted.strip().casefold(), given.strip().casefold()
    return one == other or (bool(one and other) and (one in other or other in one))


def _places(wanted: Any, given: Any, share: _Share) -> list[_Steps]:
    """Return the places where arguments differ: missing keys first, then surplus ones, then differing values."""
    matched, keys, missing, different = share
    if matched == keys:
        return []
    if type(wanted) is not dict or type(given) is not dict:
        return [()]
    surplus = [key for key in given if key not in wanted] if keys > len(wanted) else []
    return [(key,) for key in (*missing, *surplus, *different)]


class _Compared(NamedTuple):
    """An expected call and the actual call that it is paired with, with their decoded arguments."""

    expected: FunctionCall
    actual: FunctionCall
    wanted: Any
    given: Any
    share: _Share
    places: list[_Steps]  # in the arguments

    @property
    def same_name(self) -> bool:
        return self.expected.name == self.actual.name

    @property
    def reward(self) -> float:
        matched, keys, _, _ = self.share
        return (self.same_name * keys + matched) / (2 * keys)

    def difference(self, path: str) -> _Difference:
        """Describe the first difference: the name if it differs, else the first of `places`, whose path is given."""
        inside = self._difference_of_arguments(path) if self.places else None
        if inside is not None and self.same_name:
            return inside
        wanted, given, remark = names_apart(self.expected.name, self.actual.name)
        explanation = f"expected {wanted}, got {given}{remark}"
        if inside is None:
            return _Difference(UNEXPECTED_TOOL, explanation, wanted, given)
        return inside._replace(category=UNEXPECTED_TOOL, explanation=f"{explanation}; {inside.explanation}")

    def _difference_of_arguments(self, path: str) -> _Difference:
        wanted, given, steps = self.wanted, self.given, self.places[0]
        if type(given) is _Broken:
            return _Difference(ARGUMENTS_DECODE_ERROR, given.reason, None, None)
        matched, keys, _, _ = self.share
        remark = ""
        if steps:
            (key,) = steps
            one = shown(wanted[key]) if key in wanted else None
            other = shown(given[key]) if key in given else None
            if one is not None and other is not None:
                one, other, remark = values_apart(wanted[key], given[key])
            category = OBJECT_KEYS_DIFFERENT if one is None or other is None else VALUE_DIFFERENT
            count = f" ({matched} of {keys} arguments match)"
        else:
            (one, other, remark), count = values_apart(wanted, given), ""
            category = VALUE_TYPE_DIFFERENT if type(wanted) is dict else VALUE_DIFFERENT
        text = f"at {path}: expected {one or 'nothing'}, got {other or 'nothing'}{remark}{count}"
        return _Difference(category, text, one, other)


def _batch_places(compared: Sequence[_Compared | None]) -> list[_Steps]:
    """List the places that did not match: relative to the arguments if one call is expected, else to the action."""
    if len(compared) == 1:
        return [] if compared[0] is None else compared[0].places
    places: list[_Steps] = []
    for i, pair in enumerate(compared):
        call: _Steps = ("calls", i)
        if pair is None:
            places.append(call)
            continue
        if not pair.same_name:
            places.append((*call, "name"))
        places += [(*call, "arguments", *steps) for steps in pair.places]
    return places


def _batch_difference(
    expected: Action, actual: Action, compared: Sequence[_Compared | None], partner: Sequence[int | None]
) -> _Difference:
    """Describe the first expected call that did not match fully.

    If there is none, or if all actual calls are paired with others, the difference is the number of calls.
    """
    first = next((i for i, pair in enumerate(compared) if pair is None or pair.reward < 1.0), None)
    pair = None if first is None else compared[first]
    left = set(range(len(actual.calls))).difference(partner)
    if first is None or (pair is None and not left):
        counts = str(len(expected.calls)), str(len(actual.calls))
        return _Difference(BATCH_LENGTH_DIFFERENT, wrong_number(expected, actual), *counts)
    which = f"expected call {first + 1} of {len(compared)}"
    if pair is not None:
        found = pair.difference(json_path(pair.places[0]) if pair.places else "")
        return found._replace(explanation=f"{which}: {found.explanation}")
    wanted, given, remark = names_apart(expected.calls[first].name, actual.calls[min(left)].name)
    explanation = f"{which} has no match: expected {wanted}, got {given}{remark}"
    return _Difference(UNEXPECTED_TOOL, explanation, wanted, given)
