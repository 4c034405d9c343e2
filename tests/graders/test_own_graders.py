"""Users' own graders through the public `grade`, and what a reward is to a pass mark."""

from __future__ import annotations

import enum
import hashlib
import math
import sys
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot import Action, FunctionCall, Grade, Grader, GraderError, Message, grade
from pytest_fcpivot.core.model import Pair
from pytest_fcpivot.graders import AgenticGrader, NemoGymGrader, describe_grader, find_grader, make_grader, passes
from pytest_fcpivot.graders.own import OwnMessageGrader, given_grader

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


async def later(_expected: Action, _actual: Action) -> float:
    """Grade some time."""
    return 1.0


class Fussy:
    """Takes no settings in the end."""

    def __init__(self, **_settings: Any) -> None:
        raise ValueError("too odd")


class Leaving:
    """Ends the program when it is made."""

    def __init__(self) -> None:
        raise SystemExit("bye")


class Shy:
    """Does not tell its name."""

    @property
    def name(self) -> str:
        """Raise."""
        raise LookupError("name")

    def grade(self, _expected: Action, _actual: Action) -> float:
        """Grade anything."""
        return 1.0


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
        (Grade(1.0, "MINE", halves=(1,)), "returned an invalid Grade"),  # type: ignore[arg-type]
        (Grade(1.0, "MINE", pairs=((0, 0),)), "pairs holds"),  # type: ignore[arg-type]
    ],
)
def test_verdicts_that_are_none(verdict: Any, message: str) -> None:
    """What is no reward from 0 to 1 is a GraderError with what it was, never a reward."""
    with pytest.raises(GraderError, match=message):
        grade(CALL, OTHER, lambda *_: verdict)


def test_a_coroutine_is_no_verdict() -> None:
    """A function that turns out to be asynchronous is a GraderError, and its coroutine is not left unawaited."""
    made: list[Any] = []

    async def verdict() -> float:
        return 1.0

    def judge(_expected: Action, _actual: Action) -> Any:
        made.append(verdict())
        return made[0]

    with pytest.raises(GraderError, match="returned <coroutine object"):
        grade(CALL, OTHER, judge)
    assert made[0].cr_frame is None


@pytest.mark.parametrize(
    ("verdict", "message"),
    [
        ("yes", "returned 'yes': return a Grade, or a reward from 0 to 1 as a number or a bool"),
        (2, "gave a reward of 2.0: return a Grade, or a reward from 0 to 1 as a number or a bool"),
        (Grade(1.0, 7), "returned an invalid Grade: category must be text, not int: Grade(reward=1.0, category=7"),  # type: ignore[arg-type]
        (Grade(1.0, "X", 7), "explanation must be text, not int"),  # type: ignore[arg-type]
        (Grade(1.0, "X", expected=7), "expected must be text, not int"),  # type: ignore[arg-type]
        (Grade(1.0, "X", actual=7), "actual must be text, not int"),  # type: ignore[arg-type]
        (Grade(1.0, "X", halves=(1.5, 0.0)), "halves holds (1.5, 0.0)"),
        (Grade(1.0, "X", halves=(0.5, -0.5)), "halves holds (0.5, -0.5)"),
        (Grade(1.0, "X", halves=("a", 0)), "could not convert string to float"),  # type: ignore[arg-type]
        (Grade(1.0, "X", pairs=(Pair(0, 0, 1.0), "b")), "pairs holds 'b'"),  # type: ignore[arg-type]
        (Grade(1.0, "X", further_paths="many"), "invalid literal for int()"),  # type: ignore[arg-type]
    ],
)
def test_what_is_said_of_no_verdict(verdict: Any, message: str) -> None:
    """The error names the grader, what it returned, and what would do."""
    with pytest.raises(GraderError, match=r"^grader test_own_graders:cities ") as raised:
        given_grader(lambda *_: verdict, {}, where="grader", name="test_own_graders:cities").grade(Action(), Action())
    assert message in str(raised.value)


def test_every_part_of_a_grade_comes_through() -> None:
    """What a grader tells beside the reward is what is reported."""
    told = Grade(
        *(0.5, "CLOSE", "nearly", "$.a", "1", "2", ("$.a", "$.b"), 3, (0.5, 0.0), (Pair(0, None, 0.0),)),
    )
    assert grade(CALL, OTHER, lambda *_: told) == told


@pytest.mark.parametrize(
    ("reward", "category"), [(1.0, "EXPECTED_ACTION"), (0.5, "ACTION_PARTLY_EXPECTED"), (0.0, "ACTION_DIFFERENT")]
)
def test_a_blank_category_is_told_by_the_reward(reward: float, category: str) -> None:
    """A Grade without a category has that of a bare reward."""
    assert grade(CALL, OTHER, lambda *_: Grade(reward, " \n")).category == category


def test_a_message_that_somebody_scored() -> None:
    """A grader that makes grades of scored messages is asked for them, and its verdict is checked like any other."""

    class Scoring:
        binary = False

        def grade(self, _expected: Action, _actual: Action) -> float:
            return 0.0

        def grade_message(self, expected: str, answer: str, score: float, explanation: str) -> Any:
            return Grade(score, "SCORED", f"{expected}/{answer}/{explanation}")

    grader = make_grader(Scoring())
    assert isinstance(grader, OwnMessageGrader)
    assert grader.grade_message("a", "b", 0.5, "c") == Grade(0.5, "SCORED", "a/b/c")
    with pytest.raises(GraderError, match="a reward of 7"):
        grader.grade_message("a", "b", 7, "c")
    assert not hasattr(make_grader(cities), "grade_message")


class Accepting:
    """Says what it accepts by a function that it is given."""

    def __init__(self, accepts: Any) -> None:
        self.accepts = accepts

    def grade(self, _expected: Action, _actual: Action) -> bool:
        """Grade anything."""
        return True


def test_what_it_accepts() -> None:
    """What a grader accepts is its own to say, as anything that is true or false; one that does not say takes all."""
    picky = make_grader(Accepting(lambda calls: calls == 1 and "one"))
    assert [picky.accepts(calls) for calls in range(3)] == [False, True, False]
    assert [make_grader(cities).accepts(calls) for calls in range(3)] == [True] * 3


@pytest.mark.parametrize("error", [LookupError("no idea"), SystemExit("no idea")])
def test_accepts_that_raises(error: BaseException) -> None:
    """What `accepts` raises is a GraderError that names the grader and the question."""

    def raises(_calls: int) -> bool:
        raise error

    with pytest.raises(
        GraderError, match=r"Accepting: accepts\(2\) failed: \w+: no idea \(.*test_own_graders.py:\d+\)"
    ):
        make_grader(Accepting(raises)).accepts(2)


def test_a_binary_grader_that_is_not() -> None:
    """A grader that says it is binary and gives something between is found out."""

    class Binary:
        binary = True

        def grade(self, _expected: Action, actual: Action) -> float:
            return 0.5 if actual.message else 1.0

    assert grade(CALL, OTHER, Binary()).reward == 1.0
    with pytest.raises(GraderError, match=r"says that it is binary, but gave a reward of 0\.5"):
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
        (AgenticGrader(), {"weight": 1}, r"^grader: it is an object already, so it takes no settings \(weight\)$"),
        (
            42,
            {},
            r"^grader: a grader is a function of \(expected, actual\), or an object .* `grade`, not int \(42\)$",
        ),
        (later, {}, "^grader: a grader cannot be a coroutine function$"),
        (cities, {"parts": 1, "p": 2}, r"does not take these with the settings parts, p: got an unexpected keyword"),
        (lambda _a, _b, _c: 1, {}, r"; \(_a, _b, _c\) does not take these: missing a required argument: '_c'$"),
        (Fussy, {"weight": 1, "odd": "x"}, r"^grader: Fussy\(weight=1, odd='x'\) failed: ValueError: too odd \("),
        (Leaving, {}, r"^grader: Leaving\(\) failed: SystemExit: bye \("),
        (Shy(), {}, "^grader: its attributes cannot be read: LookupError: name"),
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


@pytest.mark.parametrize(
    ("own_name", "name"),
    [
        ("mine", "mine"),
        ("two\nlines", "two lines"),
        ("", "Told"),
        (7, "Told"),
        (None, "Told"),
        ("nemo-gym:mine", "Told"),
        ("agentic", "Told"),
        ("agentic-mine", "agentic-mine"),
    ],
)
def test_the_name_that_it_has(own_name: Any, name: str) -> None:
    """A name of its own is taken if it is one, in one line; not if it is a bundled grader's, in any version."""

    class Told:
        def grade(self, _expected: Action, _actual: Action) -> bool:
            return True

    told = Told()
    told.name = own_name  # type: ignore[attr-defined]
    assert make_grader(told).name.rpartition(".")[2] == name
    assert given_grader(told, {}, where="grader", name="asked").name == (name if name != "Told" else "asked")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a directory that packages are installed in."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "installed_grader.py").write_text(
        "class Half:\n"
        "    def __init__(self, part=0.5):\n"
        "        self.part = part\n\n"
        "    def grade(self, expected, actual):\n"
        "        return self.part\n",
        encoding="utf-8",
    )
    return tmp_path


def install(site: Path, package: str, *entries: str) -> None:
    """Install a package that brings graders."""
    information = site / f"{package}-1.2.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n", encoding="utf-8")
    (information / "entry_points.txt").write_text("\n".join(["[pytest_fcpivot.graders]", *entries]), encoding="utf-8")


def test_an_installed_grader(site: Path) -> None:
    """A package's grader is found by its name, takes settings, and is recorded with the package and the file."""
    install(site, "halves", "half = installed_grader:Half")
    grader = find_grader("half", {"part": 0.25})
    assert grader.name == "half"
    assert grader.grade(Action(), Action()).reward == 0.25
    assert describe_grader(grader, {"part": 0.25}) == {
        "name": "half",
        "settings": {"part": 0.25},
        "binary": False,
        "spec": "installed_grader:Half",
        "source_sha256": hashlib.sha256((site / "installed_grader.py").read_bytes()).hexdigest(),
        "package": "halves 1.2",
    }
    with pytest.raises(GraderError, match=r"unknown grader 'halve'; known: nemo-gym, .*agentic, half; for one of"):
        find_grader("halve")


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            ["half = installed_grader"],
            "grader=half: the entry point of halves 1.2 is 'installed_grader', not module:attribute",
        ),
        (["half = installed_grader:Whole"], "grader=half: halves 1.2"),
        (["half = no_such_module:Half"], "grader=half: halves 1.2"),
        (["half = installed_grader:Half"], "grader=half: Half(parts=1) failed: TypeError"),
    ],
)
def test_an_installed_grader_that_is_none(site: Path, entries: list[str], message: str) -> None:
    """What a package brings and cannot be used is a GraderError that names the package."""
    install(site, "halves", *entries)
    with pytest.raises(GraderError) as raised:
        find_grader("half", {"parts": 1})
    assert str(raised.value).startswith(message)


def test_a_name_that_two_packages_bring(site: Path) -> None:
    """It is refused with both; the same entry, seen twice, is one."""
    install(site, "halves", "half = installed_grader:Half")
    install(site, "others", "half = elsewhere:Half")
    with pytest.raises(GraderError, match=r"^grader=half: several installed packages provide it: ") as raised:
        find_grader("half")
    for part in (
        "installed_grader:Half of halves 1.2",
        "elsewhere:Half of others 1.2",
        "; name one as module:attribute",
    ):
        assert part in str(raised.value)


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
        (0.0, 1e-10, False),
        (0.5, 0.5, True),
        (2 / 3, 0.67, False),
    ],
)
def test_the_pass_mark(reward: float, mark: float, expected: bool) -> None:
    """A reward passes at the mark and above; the rounding of a sum does not fail it."""
    assert passes(reward, mark) is expected
