"""The binary reward of FC-Pivot, as given by the verifier of NeMo Gym's single-step tool-use environment.

The source of every rule is NeMo Gym's `single_step_tool_use_with_argument_comparison`; docs/grading.md, section 1,
specifies its behaviour for this project, and the conformance file in `fixtures/` pins it. Its similarity of texts is
often called Jaccard, but is not: see `_texts_match`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from pytest_fcpivot.core.apart import names_apart, values_apart
from pytest_fcpivot.core.errors import GraderError
from pytest_fcpivot.core.jsontext import decoded, json_path, shown
from pytest_fcpivot.core.model import Action, FunctionCall, Grade, Pair
from pytest_fcpivot.graders.arguments import expected_arguments, why_not_decoded
from pytest_fcpivot.graders.categories import (
    ARGUMENTS_DECODE_ERROR,
    BATCH_LENGTH_DIFFERENT,
    EXPECTED_CHAT_MESSAGE_FOUND,
    EXPECTED_TOOL_CALL,
    EXPECTED_TOOL_CALL_BATCH,
    LIST_LENGTH_DIFFERENT,
    OBJECT_KEYS_DIFFERENT,
    UNEXPECTED_TOOL,
    VALUE_DIFFERENT,
    VALUE_TYPE_DIFFERENT,
    all_pairs,
    wrong_kind,
    wrong_number,
)
from pytest_fcpivot.graders.matching import maximum_matching

if TYPE_CHECKING:
    from collections.abc import Sequence

Version = Literal["first-call", "any-order"]
RewardMode = Literal["binary_strict", "fractional", "f1"]

THRESHOLD = "word_count_similarity_threshold"

_FLOAT_TOLERANCE = 1e-6
_FEWEST_WORDS = 2
# The similarity of two identical texts: with a threshold above it, even equal strings of two or more words differ.
_IDENTICAL_TEXTS = 0.5
# Types whose values match if they are equal; not float, since the verifier's rule makes an infinity differ from itself.
_EQUAL_IS_ENOUGH = frozenset({str, int, bool, type(None)})

_CALL_MATCHED = Grade(1.0, EXPECTED_TOOL_CALL)
_MESSAGE_FOUND = Grade(1.0, EXPECTED_CHAT_MESSAGE_FOUND)

# (category, the steps to the value, innermost first, expected value, actual value)
_Difference = tuple[str, list[str | int], Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class NemoGymGrader:
    """Grade one action as NeMo Gym's verifier does; settings keep the verifier's names.

    `version` is `first-call` (the verifier before 2026-08-11: only the first call of an output is judged) or
    `any-order` (since then: several calls match in any order). The switches on parallel calls belong to `any-order`.
    Raises GraderError for settings of a wrong type or name.
    """

    versions: ClassVar[tuple[str, ...]] = get_args(Version)

    version: Version = "first-call"
    word_count_similarity_threshold: float = 0.1
    parallel_tool_call_rewarding: bool = False
    allow_subset: bool = False
    allow_superset: bool = False
    parallel_tool_call_reward_mode: RewardMode = "binary_strict"

    def __post_init__(self) -> None:
        if self.version not in self.versions:
            raise GraderError(f"unknown version {self.version!r} of grader nemo-gym; known: {', '.join(self.versions)}")
        threshold = self.word_count_similarity_threshold
        if isinstance(threshold, bool) or not isinstance(threshold, int | float) or threshold != threshold:  # noqa: PLR0124
            raise GraderError(f"word_count_similarity_threshold must be a number, not {threshold!r}")
        for switch in ("parallel_tool_call_rewarding", "allow_subset", "allow_superset"):
            if not isinstance(getattr(self, switch), bool):
                raise GraderError(f"{switch} must be true or false, not {getattr(self, switch)!r}")
        if self.parallel_tool_call_reward_mode not in get_args(RewardMode):
            raise GraderError(
                f"unknown parallel_tool_call_reward_mode {self.parallel_tool_call_reward_mode!r}; "
                "known: binary_strict, fractional, f1"
            )
        if self.version == "first-call" and (
            self.parallel_tool_call_rewarding or self.allow_subset or self.allow_superset
        ):
            raise GraderError("the switches on parallel calls need nemo-gym:any-order; first-call has none")

    @property
    def name(self) -> str:
        """The grader's name and version, as a run records it."""
        return f"nemo-gym:{self.version}"

    @property
    def binary(self) -> bool:
        """Whether every reward is 0 or 1."""
        return not self.parallel_tool_call_rewarding or self.parallel_tool_call_reward_mode == "binary_strict"

    @property
    def settings(self) -> dict[str, Any]:
        """The threshold, and all settings that differ from their defaults; the version is part of the name."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "version"}
        defaults = {field.name: field.default for field in fields(self)}
        return {name: value for name, value in values.items() if name == THRESHOLD or value != defaults[name]}

    def accepts(self, calls: int) -> bool:
        """Return whether this version can grade an expected action with this number of calls: first-call at most 1."""
        return self.version == "any-order" or calls <= 1

    def grade(self, expected: Action, actual: Action) -> Grade:
        """Judge `actual` against `expected`; raises GraderError for a fault of the expected action."""
        if not expected.calls or not actual.calls:
            return wrong_kind(expected, actual) or _MESSAGE_FOUND
        if len(expected.calls) == 1 and (len(actual.calls) == 1 or self.version == "first-call"):
            return _judge(expected.calls[0], actual.calls[0], self.word_count_similarity_threshold) or _CALL_MATCHED
        if self.version == "first-call":
            raise GraderError(
                f"the expected action has {len(expected.calls)} calls, which nemo-gym:first-call cannot judge; "
                "use --fc-grader=nemo-gym:any-order"
            )
        return self._grade_batch(expected, actual)

    def matches(self, expected: Any, actual: Any, steps: Sequence[str | int] = ()) -> bool:  # noqa: ARG002
        """Return whether two decoded values inside arguments count as equal, wherever the `steps` lead.

        Raises RecursionError for values that are nested too deep.
        """
        return _difference(expected, actual, self.word_count_similarity_threshold) is None

    def _grade_batch(self, expected: Action, actual: Action) -> Grade:
        n_expected, n_actual = len(expected.calls), len(actual.calls)
        counted = self.parallel_tool_call_rewarding
        threshold = self.word_count_similarity_threshold
        verdicts = [[_judge(e, a, threshold) for a in actual.calls] for e in expected.calls]
        partner = maximum_matching([[j for j, v in enumerate(row) if v is None] for row in verdicts], n_actual)
        pairs = all_pairs(partner, [0.0 if j is None else 1.0 for j in partner], n_actual)
        if counted and (
            (n_actual < n_expected and not self.allow_subset) or (n_actual > n_expected and not self.allow_superset)
        ):
            return _wrong_number(0.0, expected, actual, pairs)
        matched = sum(1 for j in partner if j is not None)
        required = min(n_expected, n_actual) if counted and self.allow_subset else n_expected
        reward = self._batch_reward(matched, required, n_expected, n_actual)
        if reward >= 1.0:
            return Grade(1.0, EXPECTED_TOOL_CALL if n_expected == 1 else EXPECTED_TOOL_CALL_BATCH, pairs=pairs)
        if matched in (n_expected, n_actual):
            return _wrong_number(reward, expected, actual, pairs)
        return _first_unmatched(reward, verdicts, partner, pairs)

    def _batch_reward(self, matched: int, required: int, n_expected: int, n_actual: int) -> float:
        if not self.parallel_tool_call_rewarding or self.parallel_tool_call_reward_mode == "binary_strict":
            return 1.0 if matched >= required else 0.0
        if self.parallel_tool_call_reward_mode == "fractional":
            return matched / required
        return 2.0 * matched / (n_expected + n_actual)


def _first_unmatched(
    reward: float, verdicts: list[list[Grade | None]], partner: list[int | None], pairs: tuple[Pair, ...]
) -> Grade:
    """Report the first expected call without a partner, with the first reason that is not just a different name."""
    unmatched = partner.index(None)
    reasons = [verdict for verdict in verdicts[unmatched] if verdict is not None]
    reason = next((verdict for verdict in reasons if verdict.category != UNEXPECTED_TOOL), reasons[0])
    return Grade(
        reward,
        reason.category,
        f"expected call {unmatched + 1} of {len(partner)} has no match: {reason.explanation}",
        reason.path,
        reason.expected,
        reason.actual,
        pairs=pairs,
    )


def _wrong_number(reward: float, expected: Action, actual: Action, pairs: tuple[Pair, ...]) -> Grade:
    counts = str(len(expected.calls)), str(len(actual.calls))
    return Grade(reward, BATCH_LENGTH_DIFFERENT, wrong_number(expected, actual), None, *counts, pairs=pairs)


def _judge(expected: FunctionCall, actual: FunctionCall, threshold: float) -> Grade | None:
    """Judge one call against one call; None if it matches."""
    if expected.name != actual.name:
        wanted_name, given_name, remark = names_apart(expected.name, actual.name)
        explanation = f"expected {wanted_name}, got {given_name}{remark}"
        return Grade(0.0, UNEXPECTED_TOOL, explanation, None, wanted_name, given_name)
    wanted = expected_arguments(expected)
    try:
        given = decoded(actual.arguments)
        found = _difference(wanted, given, threshold)
    except (ValueError, RecursionError) as error:
        return Grade(0.0, ARGUMENTS_DECODE_ERROR, why_not_decoded(actual.arguments, error), "$")
    if found is None:
        return None
    category, steps, wanted_there, given_there = found
    path = json_path(reversed(steps))
    expected_text, actual_text, remark = _shown_pair(category, wanted_there, given_there)
    explanation = f"at {path}: expected {expected_text}, got {actual_text}{remark}"
    return Grade(0.0, category, explanation, path, expected_text, actual_text)


def _shown_pair(category: str, wanted: Any, given: Any) -> tuple[str, str, str]:
    if category == OBJECT_KEYS_DIFFERENT:
        missing = [key for key in wanted if key not in given]
        surplus = [key for key in given if key not in wanted]
        few, many, remark = values_apart(missing, surplus)
        return (
            f"keys {shown(list(wanted))}" + (f" (missing {few})" if missing else ""),
            f"keys {shown(list(given))}" + (f" (unexpected {many})" if surplus else ""),
            remark,
        )
    if category == LIST_LENGTH_DIFFERENT:
        return f"{len(wanted)} elements {shown(wanted)}", f"{len(given)} elements {shown(given)}", ""
    if category == VALUE_TYPE_DIFFERENT:
        return f"{shown(wanted)} ({_json_type(wanted)})", f"{shown(given)} ({_json_type(given)})", ""
    return values_apart(wanted, given)


def _json_type(value: Any) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "float"}
    return names.get(type(value), "null")


def _difference(wanted: Any, given: Any, threshold: float) -> _Difference | None:
    """Return the first difference, depth first in the order of the expected value; None if there is none.

    Its path is built on the way back from the recursion, so that equal values cost nothing for paths.
    """
    if type(wanted) is dict:
        if type(given) is not dict:
            return VALUE_TYPE_DIFFERENT, [], wanted, given
        if wanted.keys() != given.keys():
            return OBJECT_KEYS_DIFFERENT, [], wanted, given
        for key, inner in wanted.items():
            other = given[key]
            kind = type(inner)
            if kind is type(other) and kind in _EQUAL_IS_ENOUGH and inner == other and threshold <= _IDENTICAL_TEXTS:
                continue
            found = _difference(inner, other, threshold)
            if found is not None:
                found[1].append(key)
                return found
        return None
    if type(wanted) is list:
        if type(given) is not list:
            return VALUE_TYPE_DIFFERENT, [], wanted, given
        if len(wanted) != len(given):
            return LIST_LENGTH_DIFFERENT, [], wanted, given
        for index, inner in enumerate(wanted):
            found = _difference(inner, given[index], threshold)
            if found is not None:
                found[1].append(index)
                return found
        return None
    return _scalar_difference(wanted, given, threshold)


def _scalar_difference(wanted: Any, given: Any, threshold: float) -> _Difference | None:
    if not isinstance(given, type(wanted)):  # so an expected 1 accepts true, and 1 and 1.0 never match
        return VALUE_TYPE_DIFFERENT, [], wanted, given
    if isinstance(wanted, str):
        same = _texts_match(wanted, given, threshold)
    elif isinstance(wanted, float):
        same = abs(given - wanted) < _FLOAT_TOLERANCE
    else:
        same = wanted == given
    return None if same else (VALUE_DIFFERENT, [], wanted, given)


def _texts_match(wanted: str, given: str, threshold: float) -> bool:
    """Compare two strings: exactly if either has fewer than two words, else by their share of common words.

    The share is the size of the multiset intersection divided by the *sum* of both sizes (a Jaccard index divides by
    the size of the union), so identical texts score 0.5, and the threshold 0.1 equals a multiset Jaccard of 1/9.
    """
    words, other_words = wanted.lower().split(), given.lower().split()
    if len(words) < _FEWEST_WORDS or len(other_words) < _FEWEST_WORDS:
        return wanted == given
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    common = 0
    for word in other_words:
        left = counts.get(word, 0)
        if left:
            counts[word] = left - 1
            common += 1
    return common / (len(words) + len(other_words)) >= threshold
