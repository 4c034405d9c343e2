"""The contract of graders: every bundled one keeps it, and one that does not is told what is wrong."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot import Action, FunctionCall, Grade, GraderError
from pytest_fcpivot.graders import AgenticGrader, Grader, NemoGymGrader, known_specs, make_grader
from pytest_fcpivot.graders.contract import ACTIONS, ANSWERS, CONTRACT, HOSTILE, ContractError, Rule
from pytest_fcpivot.graders.own import given_grader

if TYPE_CHECKING:
    from collections.abc import Callable

GUIDE = Path(__file__).parents[2] / "docs" / "graders.md"
COUNTED: dict[str, Any] = {"version": "any-order", "parallel_tool_call_rewarding": True}
BUNDLED = [
    *(pytest.param(make_grader(spec), id=spec) for spec in known_specs()),
    pytest.param(NemoGymGrader(word_count_similarity_threshold=0.0), id="threshold 0"),
    pytest.param(NemoGymGrader(word_count_similarity_threshold=0.5), id="threshold 0.5"),
    pytest.param(NemoGymGrader(**COUNTED), id="counted"),
    pytest.param(NemoGymGrader(**COUNTED, allow_subset=True), id="counted, subset"),
    pytest.param(
        NemoGymGrader(**COUNTED, allow_superset=True, parallel_tool_call_reward_mode="fractional"), id="fractional"
    ),
    pytest.param(
        NemoGymGrader(**COUNTED, allow_subset=True, allow_superset=True, parallel_tool_call_reward_mode="f1"), id="f1"
    ),
]
RULES = {rule.name: rule for rule in CONTRACT}


@pytest.mark.parametrize("rule", CONTRACT, ids=str)
@pytest.mark.parametrize("grader", BUNDLED)
def test_bundled_graders(grader: Grader, rule: Rule) -> None:
    """Every bundled grader, in each of its versions and modes, keeps every rule."""
    rule.check(grader)


@pytest.mark.parametrize("grader", BUNDLED)
def test_bundled_graders_need_no_mending(grader: Grader) -> None:
    """Their grades are of builtins and of text that UTF-8 can hold, as users' own grades are made to be."""
    checked = given_grader(grader, {}, where="grader").checked
    for expected, actual in (*product(ACTIONS, (*ANSWERS, *HOSTILE)), *zip(HOSTILE, HOSTILE, strict=True)):
        try:
            grade = grader.grade(expected, actual)
        except GraderError:
            continue
        assert checked(grade) == grade


@pytest.mark.parametrize("name", ["same_tools", "Lenient"])
@pytest.mark.parametrize("rule", CONTRACT, ids=str)
def test_the_guides_graders(name: str, rule: Rule) -> None:
    """The graders that the guide shows keep every rule."""
    found: dict[str, Any] = {}
    for block in re.findall(r"```python\n(# (?:my_graders|lenient)\.py\n.*?)```", GUIDE.read_text("utf-8"), re.DOTALL):
        exec(compile(block, str(GUIDE), "exec"), found)  # noqa: S102 (the project's own guide)
    rule.check(found[name])


def exact(expected: Action, actual: Action) -> bool:
    """Grade well: the same action and nothing else."""
    return expected == actual


class Forgetful:
    """Gives each answer its full reward the first time only."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def grade(self, expected: Action, actual: Action) -> bool:
        """Judge by what came before."""
        known = repr((expected, actual)) in self.seen
        self.seen.add(repr((expected, actual)))
        return expected == actual and not known


class HalfBinary:
    """Says that it is binary, and is not."""

    binary = True

    def grade(self, expected: Action, actual: Action) -> float:
        """Give half for the right kind."""
        return 1.0 if expected == actual else 0.5 * (expected.kind == actual.kind)


class Single:
    """Says that it knows no batches, and grades them all the same."""

    def accepts(self, calls: int) -> bool:
        """Accept single calls and messages."""
        return calls <= 1

    def grade(self, expected: Action, actual: Action) -> bool:
        """Grade anything."""
        return expected == actual


class Refuses(Single):
    """Accepts everything, and refuses batches."""

    def accepts(self, calls: int) -> bool:
        """Accept everything."""
        return calls >= 0

    def grade(self, expected: Action, actual: Action) -> bool:
        """Grade single calls."""
        if len(expected.calls) > 1:
            raise GraderError("I know no batches")
        return expected == actual


def changing(expected: Action, actual: Action) -> bool:
    """Sort the calls in place."""
    object.__setattr__(actual, "calls", tuple(sorted(actual.calls, key=lambda call: call.name)))
    return expected == actual


def always(verdict: Any) -> Callable[[Action, Action], Any]:
    """Make a grader that gives the same verdict to everything."""

    def judge(_expected: Action, _actual: Action) -> Any:
        return verdict

    return judge


def encoding(expected: Action, actual: Action) -> bool:
    """Write the arguments as UTF-8, which cannot hold them all."""
    return [call.arguments.encode() for call in expected.calls] == [call.arguments.encode() for call in actual.calls]


FAULTY = [
    pytest.param(lambda e, a: 2.0 * (e == a), "answers", ["gave a reward of 2.0", "list_orders"], id="2.0"),
    pytest.param(always(float("nan")), "answers", ["gave a reward of nan"], id="nan"),
    pytest.param(always("yes"), "answers", ["returned 'yes'", "reward from 0 to 1"], id="text"),
    pytest.param(lambda e, a: a.calls[0] == e.calls[0], "answers", ["IndexError"], id="raises"),
    pytest.param(Single, "answers", ["accepts(2) is False, but grade raised no GraderError"], id="accepts too little"),
    pytest.param(Refuses, "answers", ["accepts(2) is True", "I know no batches"], id="accepts too much"),
    pytest.param(encoding, "hostile", ["UnicodeEncodeError"], id="surrogate"),
    pytest.param(always(0.5), "itself", ["earns 0.5 (ACTION_PARTLY_EXPECTED", "list_orders"], id="never 1"),
    pytest.param(HalfBinary, "binary", ["binary, but gave a reward of 0.5"], id="half"),
    pytest.param(always(Grade(1.0, "OK", path="city")), "readable", ["'city' is not a JSON path"], id="path"),
    pytest.param(always(Grade(1.0, "OK", paths=("$.a", "$b"))), "readable", ["'$b' is not a JSON path"], id="paths"),
    pytest.param(Forgetful, "steady", ["graded again", "EXPECTED_ACTION"], id="forgetful"),
    pytest.param(changing, "harmless", ["afterwards they are (Action("], id="changing"),
]


@pytest.mark.parametrize(("grader", "broken", "told"), FAULTY)
def test_a_faulty_grader(grader: Any, broken: str, told: list[str]) -> None:
    """A grader that breaks a rule is told which one, at which actions, and what came of it."""
    with pytest.raises(ContractError) as caught:
        RULES[broken].check(grader)
    for part in (f"breaks the rule '{broken}'", RULES[broken].demand, *told):
        assert part in str(caught.value)


@pytest.mark.parametrize("rule", CONTRACT, ids=str)
def test_a_plain_grader_keeps_every_rule(rule: Rule) -> None:
    """A function of two actions that returns a bool is enough."""
    rule.check(exact)


def test_actions_of_ones_own() -> None:
    """A grader that knows certain tools alone is tried with expected actions of its own."""

    def of_one_tool(expected: Action, actual: Action) -> bool:
        if not any(call.name == "ping" for call in expected.calls):
            raise GraderError("I know ping alone")
        return expected == actual

    mine = [Action((FunctionCall("ping", {"host": "a"}),)), Action((FunctionCall("ping"),) * 2)]
    for rule in CONTRACT:
        rule.check(of_one_tool, mine)
    with pytest.raises(ContractError, match="I know ping alone"):
        RULES["answers"].check(of_one_tool)


def test_a_name_or_settings_will_do() -> None:
    """What is tried may be whatever `grade` takes; what can be no grader is refused as it is there."""
    RULES["itself"].check("agentic")
    RULES["itself"].check(AgenticGrader)
    with pytest.raises(GraderError, match="unknown grader 'nemo'"):
        RULES["itself"].check("nemo")


def test_it_needs_no_pytest() -> None:
    """The contract can be tried where pytest is not installed."""
    code = "import sys; sys.modules['pytest'] = None; import pytest_fcpivot.graders.contract"
    subprocess.run([sys.executable, "-c", code], check=True)
