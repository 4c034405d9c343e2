"""The rules that every grader must satisfy, as checks that can be run on any grader: a bundled one, or your own.

    import pytest
    from my_graders import close
    from pytest_fcpivot.graders.contract import CONTRACT

    @pytest.mark.parametrize("rule", CONTRACT, ids=str)
    def test_contract(rule):
        rule.check(close)

A rule runs the grader on a fixed set of expected actions and answers; the caller may give other expected actions.
Nothing here needs pytest.
"""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import GraderError
from pytest_fcpivot.core.importing import describe_failure
from pytest_fcpivot.core.jsontext import one_line
from pytest_fcpivot.core.model import Action, FunctionCall, Grade
from pytest_fcpivot.graders import make_grader
from pytest_fcpivot.graders.own import OwnGrader, given_grader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = ["ACTIONS", "ANSWERS", "CONTRACT", "HOSTILE", "ContractError", "Rule"]

_BOOK = FunctionCall("book_table", {"guests": 4, "city": "Lyon", "terrace": True, "tip": 2.5, "note": None})
_FIND = FunctionCall("find", {"filters": [{"key": "date", "values": ["2026-03-01", 7]}], "query": "two or more words"})
_LIST = FunctionCall("list_orders")

# Valid actions that an expert may have taken; for each, a grader's `accepts` says whether it can grade it.
ACTIONS: tuple[Action, ...] = (
    Action((_LIST,)),
    Action((_BOOK,)),
    Action((_FIND,)),
    Action((FunctionCall("суммировать", {"числа": [1, 2, 3], "a b": {"c.d": ""}}),)),
    Action((_BOOK, _FIND)),
    Action((_FIND, _FIND, _LIST)),
    Action(message="Your table in Lyon is booked for four guests."),
    Action(message="Yes"),
    Action(message="桌子已经订好了。"),
)
# Actions that an agent may return for any of them, right or wrong.
ANSWERS: tuple[Action, ...] = (
    *ACTIONS,
    Action(),
    Action(message=""),
    Action(message=" \n"),
    Action(malformed="<function=find{query: 1}"),
    Action(malformed=""),
    Action((FunctionCall("cancel"),)),
    Action((FunctionCall("book_table", {"guests": "4", "city": ["Lyon"], "terrace": 1, "tip": 2, "note": 0}),)),
    Action((FunctionCall("book_table", {"guests": 4}),)),
    Action((FunctionCall("find", {"filters": [], "query": "other words", "page": 1}),)),
    Action((FunctionCall("list_orders", ""),)),
    Action((FunctionCall("list_orders", "{oops"),)),
    Action((FunctionCall("book_table", "[4]"),)),
    Action((_LIST, _BOOK, _FIND)),
    Action((_BOOK, _BOOK)),
    Action((_FIND, _BOOK), message="I book it."),
)
_SURROGATE = "\ud800"
# Hostile actions, for either side: a grader must return a grade or raise GraderError, and nothing else.
HOSTILE: tuple[Action, ...] = (
    Action((FunctionCall("find", "[" * 100_000),)),
    Action((FunctionCall("find", '{"filters":' * 900 + "1" + "}" * 900),)),
    Action((FunctionCall("find", '{"query": "' + "word " * 40_000 + '"}'),)),
    Action((FunctionCall("book_table", '{"guests": ' + "9" * 10_000 + "}"),)),
    Action((FunctionCall("book_table", '{"guests": NaN, "tip": 1e999}'),)),
    Action((FunctionCall("book_table", '{"guests": 4, "guests": 5}'),)),
    Action((FunctionCall("book_table", json.dumps({_SURROGATE: _SURROGATE})),)),
    Action((FunctionCall(_SURROGATE, _SURROGATE),)),
    Action((FunctionCall("", "\x00"),)),
    Action((FunctionCall("find", "null"), FunctionCall("find", "[]"))),
    Action((_FIND, _BOOK, _LIST) * 40),
    Action(message="word " * 40_000),
    Action(message=_SURROGATE),
    Action(message="\x00\x1b[2J"),
    Action(malformed=_SURROGATE),
    Action(),
)
_JSON_PATH = re.compile(r'\$(?:\.[^\W\d][\w-]*|\[\d+\]|\["(?:[^"\\]|\\.|…)*"\])*', re.DOTALL)
_WIDTH = 200


class ContractError(AssertionError):
    """A grader breaks a rule; the message names the rule, the actions, and what the grader did."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule that every grader must satisfy; `str()` gives its name."""

    name: str
    demand: str
    _breaches: Callable[[_Tried], Iterator[str]]

    def check(self, grader: Any, actions: Iterable[Action] = ACTIONS) -> None:
        """Check a grader; raises ContractError if it breaks the rule.

        `grader` is whatever `grade` takes: an object, a class, a function or a name. `actions` are the expected actions
        to check it with; give others for a grader that knows only certain tools. Raises GraderError for an object that
        cannot be a grader.
        """
        tried = _Tried(grader, tuple(actions))
        found = next(self._breaches(tried), None)
        if found is not None:
            raise ContractError(f"grader {tried.name} breaks the rule {self.name!r} ({self.demand}): {found}")

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The outcome of grading: a grade, or the GraderError by which it was refused, or a description of the `fault`.

    `after` are the actions that the grader was given, as they were after grading.
    """

    after: tuple[Action, Action]
    grade: Grade | None = None
    refusal: GraderError | None = None
    fault: str | None = None


class _Tried:
    """A grader being checked; gives access to its raw verdicts, before they are corrected in any way."""

    def __init__(self, grader: Any, actions: Sequence[Action]) -> None:
        made = make_grader(grader)
        own = made if isinstance(made, OwnGrader) else given_grader(made, {}, where="grader", name=made.name)
        self.name = made.name
        self.binary = made.binary
        self.accepts = made.accepts
        self.actions = actions
        self._own = replace(own, binary=False)  # the rule "binary" checks this separately

    def ask(self, expected: Action, actual: Action) -> _Outcome:
        """Grade an answer, given copies of the actions, and check the verdict."""
        given = _copy(expected), _copy(actual)
        try:
            verdict = self._own.judge(*given)
        except GraderError as error:
            return _Outcome(given, refusal=error)
        except Exception as error:  # noqa: BLE001 (this is what is looked for)
            return _Outcome(given, fault=f"it raised {describe_failure(error)}")
        try:
            return _Outcome(given, self._own.checked(verdict))
        except GraderError as error:
            return _Outcome(given, fault=str(error))

    def judged(self, answers: Iterable[Action] = ANSWERS) -> Iterator[tuple[Action, Action, Grade]]:
        """Yield every grade, with the actions: of those expected actions that are accepted."""
        accepted = [expected for expected in self.actions if self.accepts(len(expected.calls))]
        for expected, actual in product(accepted, answers):
            grade = self.ask(expected, actual).grade
            if grade is not None:
                yield expected, actual, grade


def _copy(action: Action) -> Action:
    calls = tuple([FunctionCall(call.name, call.arguments) for call in action.calls])
    return Action(calls, action.message, action.malformed)


def _at(expected: Action, actual: Action, what: str) -> str:
    shown = [one_line(repr(action), _WIDTH) for action in (expected, actual)]
    return f"{what}; expected {shown[0]}, actual {shown[1]}"


def _answers(tried: _Tried) -> Iterator[str]:
    for expected in tried.actions:
        calls = len(expected.calls)
        if not tried.accepts(calls):
            if tried.ask(expected, expected).refusal is None:
                yield _at(expected, expected, f"accepts({calls}) is False, but grade raised no GraderError")
            continue
        for actual in (*ANSWERS, expected):
            outcome = tried.ask(expected, actual)
            if outcome.refusal is not None:
                yield _at(
                    expected, actual, f"accepts({calls}) is True, but grade raised GraderError: {outcome.refusal}"
                )
            if outcome.fault is not None:
                yield _at(expected, actual, outcome.fault)


def _hostile(tried: _Tried) -> Iterator[str]:
    pairs = [*product(tried.actions, HOSTILE), *product(HOSTILE, tried.actions), *zip(HOSTILE, HOSTILE, strict=True)]
    for expected, actual in pairs:
        fault = tried.ask(expected, actual).fault
        if fault is not None:
            yield _at(expected, actual, fault)


def _itself(tried: _Tried) -> Iterator[str]:
    for expected in tried.actions:
        if tried.accepts(len(expected.calls)):
            grade = tried.ask(expected, expected).grade
            if grade is not None and grade.reward != 1.0:
                yield _at(expected, expected, f"it earns {grade.reward:g} ({grade.category}: {grade.explanation})")


def _binary(tried: _Tried) -> Iterator[str]:
    if tried.binary:
        for expected, actual, grade in tried.judged():
            if grade.reward not in (0.0, 1.0):
                yield _at(expected, actual, f"it says that it is binary, but gave a reward of {grade.reward:g}")


def _readable(tried: _Tried) -> Iterator[str]:
    for expected, actual, grade in tried.judged():
        odd = [path for path in (grade.path, *grade.paths) if path is not None and not _JSON_PATH.fullmatch(path)]
        if odd:
            yield _at(expected, actual, f"{odd[0]!r} is not a JSON path such as $.filters[0].date")
        if not grade.category.strip():
            yield _at(expected, actual, "its category is blank")


def _steady(tried: _Tried) -> Iterator[str]:
    before = list(tried.judged())
    random.Random(1).shuffle(before)  # noqa: S311 (an order, not a secret)
    for expected, actual, grade in before:
        again = tried.ask(expected, actual).grade
        if again != grade:
            yield _at(expected, actual, f"graded again, in another order, {grade!r} became {again!r}")


def _harmless(tried: _Tried) -> Iterator[str]:
    for expected, actual in product(tried.actions, ANSWERS):
        outcome = tried.ask(expected, actual)
        if outcome.after != (expected, actual):
            yield _at(expected, actual, f"afterwards they are {one_line(repr(outcome.after), 2 * _WIDTH)}")


# All rules; each can be checked separately.
CONTRACT: tuple[Rule, ...] = (
    Rule("answers", "it gives a reward from 0 to 1 if it accepts an action, else raises GraderError", _answers),
    Rule("hostile", "whatever an action holds, it gives a grade or raises GraderError", _hostile),
    Rule("itself", "the expected action earns 1", _itself),
    Rule("binary", "a binary grader gives only 0 or 1", _binary),
    Rule("readable", "its category is text, and its path a JSON path or None", _readable),
    Rule("steady", "the same actions have the same grade, in whatever order they are graded", _steady),
    Rule("harmless", "grading changes no action", _harmless),
)
