"""The ladder: comparators of an expected and an actual action, from strict to lenient; each one is called a rung.

The order makes neighbours comparable. `exact` to `decoded` are cumulative: each accepts everything that the previous
one does, and more because of one additional rule, so that every flip between them is due to that rule. The verifier's
own comparisons follow, also from strict to lenient: `nemo-gym:first-call`, `nemo-gym:any-order`, `jaccard`. Between
these two groups, pivots flip in both directions: the verifier tolerates different words, but not a different type.
`lenient` combines all rules above. It accepts what any of them accepts, and also calls that need several of them, so a
failure there is the model's fault and not the matcher's. `agentic` is last because it gives partial credit and scores
messages; for all others any message is right, so that they differ only in how they compare arguments.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pytest_fcpivot.audit.places import NOTHING, Place, Schemas, schemas_of
from pytest_fcpivot.core.apart import names_apart
from pytest_fcpivot.core.errors import GraderError
from pytest_fcpivot.core.jsontext import decoded, json_path, shown
from pytest_fcpivot.core.model import Action, FunctionCall, Grade
from pytest_fcpivot.graders import make_grader
from pytest_fcpivot.graders.agentic import AgenticGrader
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
    wrong_kind,
    wrong_number,
)
from pytest_fcpivot.graders.keywords import keyword_overlap
from pytest_fcpivot.graders.matching import maximum_matching

if TYPE_CHECKING:
    from pytest_fcpivot.graders import Grader

_TRUE_JACCARD = 0.1
# The verifier divides by the sum of both sizes, not by the size of the union: 1/11 of the sum equals 1/10 of the union.
_AS_SHARE_OF_THE_SUM = _TRUE_JACCARD / (1 + _TRUE_JACCARD)
_FLOAT_TOLERANCE = 1e-6
_FEWEST_WORDS = 2

# (category, the steps to the value, innermost first, expected value, actual value)
_Difference = tuple[str, list[str | int], Any, Any]


class Case:
    """An expected and an actual action, the pivot's tools, and the message's score, if the run recorded one."""

    __slots__ = ("actual", "expected", "given", "message_score", "tools_json", "wanted")

    def __init__(
        self, expected: Action, actual: Action, tools_json: str = "[]", message_score: float | None = None
    ) -> None:
        self.expected = expected
        self.actual = actual
        self.tools_json = tools_json
        self.message_score = message_score
        # decoded on first use, and shared by all comparators
        self.wanted: list[Any] = [NOTHING] * len(expected.calls)
        self.given: list[Any] = [NOTHING] * len(actual.calls)

    @property
    def schemas(self) -> Schemas:
        """The schemas of the tools' arguments."""
        return schemas_of(self.tools_json)

    def wanted_arguments(self, position: int) -> Any:
        """Decode an expected call's arguments; raises GraderError if they are not JSON, a fault of the data."""
        if self.wanted[position] is NOTHING:
            self.wanted[position] = expected_arguments(self.expected.calls[position])
        return self.wanted[position]

    def given_arguments(self, position: int) -> Any:
        """Decode a model's arguments; returns the ValueError or RecursionError if they cannot be decoded."""
        if self.given[position] is NOTHING:
            try:
                self.given[position] = decoded(self.actual.calls[position].arguments)
            except (ValueError, RecursionError) as error:
                self.given[position] = error
        return self.given[position]


class Comparator(Protocol):
    """One rung: its `name`, its `rule` in a few words, and its grades; `grade` raises GraderError if it has none."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def rule(self) -> str: ...  # noqa: D102
    def grade(self, case: Case) -> Grade: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Equality:
    """Compares calls for equality, except for differences that the rules allow; several calls match in any order.

    Surplus calls are ignored. The rules: `numbers` allows an integer for a float of the same value; `case`, strings
    that are equal when case-folded; `defaults`, a missing argument whose value on the other side is the schema's
    default; `decoded`, a string that contains, as JSON, the object or array that the schema requires; `verifier`,
    everything that the verifier tolerates, but with a true Jaccard index for texts. As for the verifier, any message
    matches any other.
    """

    name: str
    rule: str
    numbers: bool = False
    case: bool = False
    defaults: bool = False
    decoded: bool = False
    verifier: bool = False

    def grade(self, case: Case) -> Grade:
        """Grade a case: 1, or 0 with the first difference of the first expected call that has no match."""
        expected, actual = case.expected, case.actual
        if not expected.calls or not actual.calls:
            return wrong_kind(expected, actual) or _MESSAGE_FOUND
        if len(expected.calls) == len(actual.calls) == 1:
            return self._judge(case, 0, 0) or _CALL_MATCHED
        n_actual = len(actual.calls)
        verdicts = [[self._judge(case, i, j) for j in range(n_actual)] for i in range(len(expected.calls))]
        partner = maximum_matching([[j for j, v in enumerate(row) if v is None] for row in verdicts], n_actual)
        if None not in partner:
            return _CALL_MATCHED if len(partner) == 1 else _BATCH_MATCHED
        if len(partner) - partner.count(None) == n_actual:  # too few calls, and all of them are right
            counts = str(len(partner)), str(n_actual)
            return Grade(0.0, BATCH_LENGTH_DIFFERENT, wrong_number(expected, actual), None, *counts)
        reasons = [verdict for verdict in verdicts[partner.index(None)] if verdict is not None]
        return next((verdict for verdict in reasons if verdict.category != UNEXPECTED_TOOL), reasons[0])

    def _judge(self, case: Case, i: int, j: int) -> Grade | None:
        """Judge one call against one call; None if it matches."""
        expected, actual = case.expected.calls[i], case.actual.calls[j]
        if expected.name != actual.name:
            names = names_apart(expected.name, actual.name)[:2]
            return Grade(0.0, UNEXPECTED_TOOL, "", None, *names)
        wanted, given = case.wanted_arguments(i), case.given_arguments(j)
        if isinstance(given, Exception):
            return _not_decoded(given, actual)
        place = case.schemas.arguments_of(expected.name) if self.defaults or self.decoded else None
        try:
            found = self._difference(wanted, given, place)
        except RecursionError as error:
            return _not_decoded(error, actual)
        if found is None:
            return None
        category, steps, one, other = found
        return Grade(0.0, category, "", json_path(reversed(steps)), _shown(one), _shown(other))

    def _difference(self, wanted: Any, given: Any, place: Place | None) -> _Difference | None:
        """Find the first difference, in the expected value's own order, depth first; None if there is none."""
        if type(wanted) is dict and type(given) is dict:
            found = self._difference_of_objects(wanted, given, place)
        elif type(wanted) is list and type(given) is list:
            found = self._difference_of_arrays(wanted, given, place)
        elif self._same_scalar(wanted, given):
            return None
        else:
            category = VALUE_DIFFERENT if type(wanted) is type(given) else VALUE_TYPE_DIFFERENT
            found = category, [], wanted, given
        if found is not None and self.decoded and place is not None and str in (type(wanted), type(given)):
            one, other = place.decoded(wanted), place.decoded(given)
            if one is not wanted or other is not given:
                return self._difference(one, other, place)
        return found

    def _difference_of_objects(
        self, wanted: dict[str, Any], given: dict[str, Any], place: Place | None
    ) -> _Difference | None:
        if wanted.keys() != given.keys():
            for key in (*[key for key in wanted if key not in given], *[key for key in given if key not in wanted]):
                one, other = wanted.get(key, NOTHING), given.get(key, NOTHING)
                if place is None or not self._is_default(one, other, place.member(key)):
                    return OBJECT_KEYS_DIFFERENT, [key], one, other
        for key, inner in wanted.items():
            if key not in given:
                continue
            found = self._difference(inner, given[key], None if place is None else place.member(key))
            if found is not None:
                found[1].append(key)
                return found
        return None

    def _difference_of_arrays(self, wanted: list[Any], given: list[Any], place: Place | None) -> _Difference | None:
        if len(wanted) != len(given):
            return LIST_LENGTH_DIFFERENT, [], wanted, given
        for index, inner in enumerate(wanted):
            found = self._difference(inner, given[index], None if place is None else place.element(index))
            if found is not None:
                found[1].append(index)
                return found
        return None

    def _is_default(self, wanted: Any, given: Any, place: Place) -> bool:
        """Return whether an argument that is missing on one side has the schema's default on the other."""
        default = place.default() if self.defaults else NOTHING
        if default is NOTHING:
            return False
        one, other = (default, given) if wanted is NOTHING else (wanted, default)
        return self._difference(one, other, place) is None

    def _same_scalar(self, wanted: Any, given: Any) -> bool:
        kind, other = type(wanted), type(given)
        if kind is str and other is str:
            return bool(
                wanted == given
                or (self.case and wanted.casefold() == given.casefold())
                or (self.verifier and _share_words(wanted, given))
            )
        if wanted == given:
            same_number = self.numbers and {kind, other} == {int, float}
            return kind is other or same_number or (self.verifier and isinstance(given, kind))  # it accepts true for 1
        if kind is float and other is float:
            return bool(
                (wanted != wanted and given != given)  # noqa: PLR0124 (true for NaN)
                or (self.verifier and abs(given - wanted) < _FLOAT_TOLERANCE)
            )
        return False


def _share_words(wanted: str, given: str) -> bool:
    """Return whether two texts of at least two words each reach a multiset Jaccard index of _TRUE_JACCARD."""
    words, other_words = wanted.lower().split(), given.lower().split()
    if len(words) < _FEWEST_WORDS or len(other_words) < _FEWEST_WORDS:
        return False
    common = (Counter(words) & Counter(other_words)).total()
    return common / (len(words) + len(other_words) - common) >= _TRUE_JACCARD


def _not_decoded(error: Exception, call: FunctionCall) -> Grade:
    reason = why_not_decoded(call.arguments, error) if isinstance(error, ValueError | RecursionError) else str(error)
    return Grade(0.0, ARGUMENTS_DECODE_ERROR, reason, "$", None, shown(call.arguments))


def _shown(value: Any) -> str | None:
    return None if value is NOTHING else shown(value)


_MESSAGE_FOUND = Grade(1.0, EXPECTED_CHAT_MESSAGE_FOUND)
_CALL_MATCHED = Grade(1.0, EXPECTED_TOOL_CALL)
_BATCH_MATCHED = Grade(1.0, EXPECTED_TOOL_CALL_BATCH)


@dataclass(frozen=True, slots=True)
class Graded:
    """A rung that consists of a grader."""

    name: str
    rule: str
    grader: Grader

    def grade(self, case: Case) -> Grade:
        """Grade a case by the grader alone."""
        return self.grader.grade(case.expected, case.actual)


@dataclass(frozen=True, slots=True)
class Agentic:
    """The rung with partial credit; a message gets the score that the run recorded for it, else its keyword overlap."""

    name: str
    rule: str
    grader: AgenticGrader

    def grade(self, case: Case) -> Grade:
        """Grade a case; no judge is called."""
        expected, actual = case.expected, case.actual
        if expected.calls or actual.calls or expected.message is None or actual.message is None:
            return self.grader.grade(expected, actual)
        score = case.message_score
        if score is None:  # as the grader does, but without the explanation, which would double the time
            score = keyword_overlap(expected.message, actual.message)
        return self.grader.grade_message(expected.message, actual.message, score, "")


EXACT = Equality(
    name="exact", rule="the same tool and the same JSON, types too; calls in any order, surplus ones allowed"
)
_RULES = {
    "numbers": "an integer and a float of one value are equal",
    "case": "strings are equal when case-folded",
    "defaults": "an argument that one side leaves out may have its schema's default on the other",
    "decoded": "a string is decoded where the schema wants the object or array that it holds",
}
# Each rule alone, added to exact.
ALONE: tuple[Equality, ...] = (
    Equality(name="numbers", rule=_RULES["numbers"], numbers=True),
    Equality(name="case", rule=_RULES["case"], case=True),
    Equality(name="defaults", rule=_RULES["defaults"], defaults=True),
    Equality(name="decoded", rule=_RULES["decoded"], decoded=True),
)
NUMBERS = ALONE[0]
CASE = Equality(name="case", rule=_RULES["case"], numbers=True, case=True)
DEFAULTS = Equality(name="defaults", rule=_RULES["defaults"], numbers=True, case=True, defaults=True)
DECODED = Equality(name="decoded", rule=_RULES["decoded"], numbers=True, case=True, defaults=True, decoded=True)
LENIENT = Equality(
    name="lenient",
    rule="all of the above at once, as for a call with a float and other words",
    numbers=True,
    case=True,
    defaults=True,
    decoded=True,
    verifier=True,
)
FIRST_CALL, ANY_ORDER = (make_grader(f"nemo-gym:{version}") for version in ("first-call", "any-order"))
LADDER: tuple[Comparator, ...] = (
    EXACT,
    NUMBERS,
    CASE,
    DEFAULTS,
    DECODED,
    Graded(FIRST_CALL.name, "the verifier before 2026-08-11: only the first call of an answer counts", FIRST_CALL),
    Graded(ANY_ORDER.name, "the verifier since then: calls in any order, surplus ones allowed", ANY_ORDER),
    Graded(
        "jaccard",
        "the same with a true multiset Jaccard of 0.1 for texts (the verifier's is 1/9)",
        make_grader("nemo-gym:any-order", word_count_similarity_threshold=_AS_SHARE_OF_THE_SUM),
    ),
    LENIENT,
    Agentic("agentic", "partial credit: half for the name, half for the arguments", AgenticGrader()),
)
# Each of these accepts everything that the previous one does; LENIENT accepts what any rung but agentic does.
CUMULATIVE: tuple[Equality, ...] = (EXACT, NUMBERS, CASE, DEFAULTS, DECODED)


def grades(case: Case) -> list[Grade | None]:
    """Grade a case by every rung; None for one that cannot grade it, such as first-call for several expected calls."""
    found: list[Grade | None] = []
    passed: Grade | None = None  # of the first Equality that passed; the later ones accept at least as much
    for rung in LADDER:
        if passed is not None and isinstance(rung, Equality):
            found.append(passed)
            continue
        try:
            grade: Grade | None = rung.grade(case)
        except GraderError:
            grade = None
        if grade is not None and grade.reward == 1.0 and isinstance(rung, Equality):
            passed = grade
        found.append(grade)
    return found


def alone(case: Case) -> list[bool]:
    """Return for each rule of ALONE whether a case, which fails under exact, passes with it."""
    return [rule.grade(case).reward == 1.0 for rule in ALONE]
