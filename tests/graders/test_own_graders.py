"""Users' own graders through the public `grade`, and what a reward is to a pass mark."""

from __future__ import annotations

import enum
import math
import sys
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot import Action, FunctionCall, Grade, Grader, GraderError, Message, grade
from pytest_fcpivot.graders import AgenticGrader, NemoGymGrader, describe_grader, find_grader, make_grader, passes

if TYPE_CHECKING:
    from pathlib import Path

CALL = FunctionCall("book", {"city": "Oslo", "note": "sea"})
OTHER = FunctionCall("book", {"city": "Oslo", "note": "hill"})


def cities(expected: Action, actual: Action, part: float = 1.0) -> float:
    """Give a part of a reward for any call."""
    return part * bool(expected.calls and actual.calls)


class Noteless:
    """Leaves the argument `note` out of what a bundled grader compares."""

    def __init__(self, within: Grader) -> None:
        self.within = within

    def grade(self, expected: Action, actual: Action) -> Grade:
        """Grade without the notes."""
        return self.within.grade(self._without(expected), self._without(actual))

    @staticmethod
    def _without(action: Action) -> Action:
        calls = [FunctionCall(call.name, {"city": "Oslo"} if "Oslo" in call.arguments else {}) for call in action.calls]
        return Action(tuple(calls), action.message)


def test_a_function() -> None:
    """A function grades, and takes settings as keyword arguments."""
    assert grade(CALL, OTHER, cities) == Grade(1.0, "EXPECTED_ACTION")
    assert grade(CALL, OTHER, cities, part=0.25) == Grade(0.25, "ACTION_PARTLY_EXPECTED")
    assert grade(CALL, "no", cities) == Grade(0.0, "ACTION_DIFFERENT")


@pytest.mark.parametrize("within", [NemoGymGrader(), AgenticGrader()])
def test_built_on_a_bundled_grader(within: Grader) -> None:
    """An object that changes the arguments leaves the verdict to a bundled grader."""
    assert grade(CALL, OTHER, within).reward < 1.0
    assert grade(CALL, OTHER, Noteless(within)).category == "EXPECTED_TOOL_CALL"
    assert grade(Message("hello"), "hello", Noteless(within)).reward == 1.0


def test_a_class_and_what_has_no_hash() -> None:
    """A class is made with the settings; an object need not be hashable."""

    @dataclass
    class Weighed:
        weight: float = 1.0

        def grade(self, _expected: Action, _actual: Action) -> float:
            return self.weight

    assert grade(CALL, OTHER, Weighed, weight=0.5).reward == 0.5
    light = Weighed(0.25)
    assert grade(CALL, OTHER, light).reward == 0.25
    light.weight = 0.75
    assert grade(CALL, OTHER, light).reward == 0.75


@pytest.mark.parametrize(
    ("verdict", "reward"),
    [
        (True, 1.0),
        (False, 0.0),
        (1, 1.0),
        (0.5, 0.5),
        (Fraction(1, 4), 0.25),
        (Decimal("0.75"), 0.75),
        (1.0 + 1e-12, 1.0),
        (-1e-12, 0.0),
        (Grade(Fraction(1, 2), "MINE"), 0.5),  # type: ignore[arg-type]
    ],
)
def test_rewards(verdict: Any, reward: float) -> None:
    """Whatever is a number from 0 to 1, but for the rounding of sums, is a reward, and comes out as a float."""
    found = grade(CALL, OTHER, lambda *_: verdict).reward
    assert found == reward
    assert type(found) is float


@pytest.mark.parametrize(
    ("verdict", "message"),
    [
        (None, "returned None"),
        ("1", "returned '1'"),
        ([1.0], r"returned \[1\.0\]"),
        (1.001, r"a reward of 1\.001"),
        (-0.5, r"a reward of -0\.5"),
        (math.nan, "a reward of nan"),
        (math.inf, "a reward of inf"),
        (Decimal("NaN"), "a reward of nan"),
        (Grade(math.nan, "MINE"), "a reward of nan"),
        (Grade("1", "MINE"), "returned Grade"),  # type: ignore[arg-type]
        (Grade(1.0, 7), "category must be text, not int"),  # type: ignore[arg-type]
        (Grade(1.0, "MINE", path=3), "path must be text, not int"),  # type: ignore[arg-type]
        (Grade(1.0, "MINE", paths=(3,)), "paths must be text, not int"),  # type: ignore[arg-type]
        (Grade(1.0, "MINE", halves=(1,)), "returned a Grade that is none"),  # type: ignore[arg-type]
        (Grade(1.0, "MINE", pairs=((0, 0),)), "pairs holds"),  # type: ignore[arg-type]
    ],
)
def test_verdicts_that_are_none(verdict: Any, message: str) -> None:
    """What is no reward from 0 to 1 is a GraderError with what it was, never a reward."""
    with pytest.raises(GraderError, match=message):
        grade(CALL, OTHER, lambda *_: verdict)


def test_a_binary_grader_that_is_not() -> None:
    """A grader that says it is binary and gives something between is found out."""

    class Binary:
        binary = True

        def grade(self, _expected: Action, actual: Action) -> float:
            return 0.5 if actual.message else 1.0

    assert grade(CALL, OTHER, Binary()).reward == 1.0
    with pytest.raises(GraderError, match=r"says that it is binary, and gave a reward of 0\.5"):
        grade(CALL, "no", Binary())


def test_a_grade_comes_out_plain() -> None:
    """A category of an enumeration, and text that UTF-8 cannot hold, come out as text that can go anywhere."""

    class Kind(str, enum.Enum):  # noqa: UP042 (what users have)
        GOOD = "GOOD"

    found = grade(CALL, OTHER, lambda *_: Grade(1, Kind.GOOD, "\ud800", "$.a", paths=["$.a"]))  # type: ignore[arg-type]
    assert (type(found.category), found.category) == (str, "GOOD")
    assert (found.explanation, found.paths) == ("\\ud800", ("$.a",))


def test_what_a_grader_raises_comes_through() -> None:
    """In code, the exception of a grader is the caller's."""

    def raises(expected: Action, actual: Action) -> float:
        raise LookupError(str(actual.kind) + expected.kind)

    with pytest.raises(LookupError, match="function_callfunction_call"):
        grade(CALL, OTHER, raises)


@pytest.mark.parametrize(
    ("grader", "config", "message"),
    [
        (42, {}, "not int"),
        (None, {}, "not NoneType"),
        (lambda _: 1, {}, "does not take these"),
        (cities, {"parts": 1}, "with the settings parts"),
        (Noteless, {}, r"Noteless\(\) failed: TypeError"),
        (AgenticGrader(), {"weight": 1}, "takes no settings"),
    ],
)
def test_no_graders(grader: Any, config: dict[str, Any], message: str) -> None:
    """What cannot be a grader is a GraderError before anything is graded."""
    with pytest.raises(GraderError, match=message):
        grade(CALL, OTHER, grader, **config)


def test_names() -> None:
    """A grader goes by its own name, else by that of its class or function; never by that of a bundled one."""

    class Named(NemoGymGrader):
        pass

    class Posing:
        name = "agentic"

        def grade(self, _expected: Action, _actual: Action) -> bool:
            return True

    assert make_grader(cities).name == f"{__name__}:cities"
    assert make_grader(Named()).name.endswith("Named")
    assert make_grader(Posing()).name.endswith("Posing")
    assert make_grader(AgenticGrader()).name == "agentic"


def test_what_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hash is that of the file that defines a grader, whatever it is made of; other files do not change it."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "defining_it.py").write_text("def fn(expected, actual):\n    return 1\n", encoding="utf-8")
    (tmp_path / "giving_it.py").write_text(
        "from functools import partial\n\n"
        "from pytest_fcpivot.graders import NemoGymGrader\n\n"
        "from defining_it import fn\n\npart, bundled = partial(fn), NemoGymGrader()\n",
        encoding="utf-8",
    )
    described = {
        spec: describe_grader(find_grader(f"giving_it:{spec}"), {})["source_sha256"]
        for spec in ("fn", "part", "bundled")
    }
    assert described["part"] == described["bundled"] != described["fn"] is not None
    assert describe_grader(make_grader(partial(cities, part=1)), {})["source_sha256"] is None
    assert describe_grader(make_grader("agentic"), {}) == {"name": "agentic", "settings": {}}


@pytest.mark.parametrize(
    ("reward", "mark", "expected"),
    [
        (1.0, 1.0, True),
        (0.1 + 0.7, 0.8, True),  # 0.7999999999999999
        (sum([0.1] * 10), 1.0, True),  # 0.9999999999999999
        (0.8 - 1e-6, 0.8, False),
        (0.0, 1e-6, False),
        (0.5, 0.5, True),
        (2 / 3, 0.67, False),
    ],
)
def test_the_pass_mark(reward: float, mark: float, expected: bool) -> None:
    """A reward passes at the mark and above; the rounding of a sum does not fail it."""
    assert passes(reward, mark) is expected
