"""The audit itself: grades every stored answer by every rung, in one pass that keeps only figures in memory."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.audit.comparators import ALONE, DECODED, EXACT, LADDER, LENIENT, Case, alone, grades
from pytest_fcpivot.core.errors import FcPivotError
from pytest_fcpivot.core.jsontext import one_line, shown
from pytest_fcpivot.core.redact import Redactor
from pytest_fcpivot.graders import is_bundled, passes
from pytest_fcpivot.graders.base import ROUNDING
from pytest_fcpivot.graders.categories import SCHEMA_INVALID
from pytest_fcpivot.runs.record import shown_category
from pytest_fcpivot.stats.interval import Interval, mean_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_fcpivot.audit.answers import Result, Stored
    from pytest_fcpivot.core.model import Action, Grade

_NAMES = tuple(rung.name for rung in LADDER)
_EXACT, _DECODED, _LENIENT = (_NAMES.index(rung.name) for rung in (EXACT, DECODED, LENIENT))
_MESSAGE_WIDTH = 80


@dataclass(slots=True)
class Figures:
    """The figures of one rung: rewards by trajectory, and counts of results; `unjudged` ones it could not grade."""

    rewards: dict[str, array[float]] = field(default_factory=dict)
    judged: int = 0
    passed: int = 0
    unjudged: int = 0

    def add(self, trajectory: str, reward: float, *, passed: bool) -> None:
        """Count one result."""
        self.rewards.setdefault(trajectory, array("d")).append(reward)
        self.judged += 1
        self.passed += passed

    def mean(self) -> Interval | None:
        """Return the mean reward with its interval; None if nothing was graded."""
        return mean_interval(self.rewards)

    @property
    def pass_rate(self) -> float | None:
        """The share of the graded results that passed; None if nothing was graded."""
        return self.passed / self.judged if self.judged else None


@dataclass(frozen=True, slots=True)
class Flip:
    """A result that passes under only one of two neighbouring rungs, and the difference that the other rung finds."""

    name: str
    tool: str | None
    up: bool
    category: str
    path: str | None
    expected: str | None
    actual: str | None


@dataclass(slots=True)
class Step:
    """The comparison of a rung with the next: `gained` is the sum of the changes of the reward, `up`/`down` the flips.

    Only results that both rungs can grade are counted; `judged` is their number.
    """

    judged: int = 0
    gained: float = 0.0
    up: int = 0
    down: int = 0
    messages: int = 0
    examples_up: list[Flip] = field(default_factory=list)
    examples_down: list[Flip] = field(default_factory=list)

    @property
    def change(self) -> float | None:
        """The mean change of the reward, over the results that both rungs can grade; None if there are none."""
        return self.gained / self.judged if self.judged else None


@dataclass(frozen=True, slots=True)
class Drift:
    """A result to which the run's own grader no longer gives the recorded reward."""

    name: str
    recorded: float
    recorded_category: str | None
    now: float | None
    now_category: str


@dataclass(slots=True)
class Verdict:
    """Counts of what is at fault for the recorded failures.

    `matcher` counts failures that pass under lenient, by the first rung that passes them; `model` those that fail there
    too, by lenient's category; `messages` the messages that the run scored below its pass mark. `forgiven` counts
    results that passed as recorded but fail under decoded.
    """

    failed: int = 0
    passed: int = 0
    matcher: Counter[str] = field(default_factory=Counter)
    model: Counter[str] = field(default_factory=Counter)
    messages: int = 0
    forgiven: int = 0


class Audit:
    """The figures of an audit; `kept` is how many examples of each kind are kept."""

    def __init__(self, stored: Stored, kept: int) -> None:
        self.stored = stored
        self.redact = Redactor()
        self._kept = kept
        self.redacted = 0  # results that no rung can grade, because a secret was removed from their answers
        self.recorded = Figures()
        self.rungs = {name: Figures() for name in _NAMES}
        self.steps = [Step() for _ in _NAMES[1:]]
        self.alone: Counter[str] = Counter()
        self.verdict = Verdict()
        self.checked = 0
        self.drifted = 0
        self.drifts: list[Drift] = []

    @property
    def grader_name(self) -> str:
        """The name of the run's grader; without secrets, if a user chose it."""
        name = self.stored.grader_name
        return name if is_bundled(name) else self.redact(name)

    @property
    def results(self) -> int:
        """The number of graded results that were audited."""
        return self.rungs[EXACT.name].judged + self.rungs[EXACT.name].unjudged

    def add(self, result: Result) -> dict[str, Any]:
        """Grade one result by every rung and count it; returns its entry for the JSON file, as builtins.

        A result whose answer was changed when it was stored, because it contained a secret, is not graded; only its
        recorded reward counts.
        """
        if result.redacted:
            return self._add_redacted(result)
        stored, mark = self.stored, self.stored.pass_mark
        score = result.reward if stored.scores_messages and result.is_message else None
        case = Case(result.pivot.expected_action, result.action, result.pivot.tools_json, score)
        found = grades(case)
        passed = [None if grade is None else passes(grade.reward, mark) for grade in found]
        for name, grade in zip(_NAMES, found, strict=True):
            figures = self.rungs[name]
            if grade is None:
                figures.unjudged += 1
            else:
                figures.add(result.trajectory_id, grade.reward, passed=passes(grade.reward, mark))
        flips = [flip for place in range(len(self.steps)) if (flip := self._step(place, result, found, passed))]
        helped = self._alone(case, passed)
        if result.reward is not None:
            self._judge(result, found, passed)
        drift = self._check(result)
        return self._add_recorded(result) | {
            "rewards": {name: None if g is None else g.reward for name, g in zip(_NAMES, found, strict=True)},
            "alone": helped,
            "flips": flips,
            "drift": drift,
        }

    def _add_redacted(self, result: Result) -> dict[str, Any]:
        self.redacted += 1
        return self._add_recorded(result) | {
            "rewards": dict.fromkeys(_NAMES),
            "alone": [],
            "flips": [],
            "drift": None,
            "redacted": True,
        }

    def _add_recorded(self, result: Result) -> dict[str, Any]:
        """Count a result's recorded reward; returns the part of its JSON entry that needs no grading."""
        if result.reward is not None:
            passed = passes(result.reward, self.stored.pass_mark)
            self.recorded.add(result.trajectory_id, result.reward, passed=passed)
        return {
            "test": result.test,
            "result": result.name,
            "trajectory_id": result.trajectory_id,
            "tool": result.tool,
            "recorded": result.reward,
        }

    def _step(
        self, place: int, result: Result, found: list[Grade | None], passed: list[bool | None]
    ) -> dict[str, Any] | None:
        """Compare a rung with the next one; returns the flip's JSON entry, None if the result does not flip."""
        one, other = found[place], found[place + 1]
        if one is None or other is None:
            return None
        step = self.steps[place]
        step.judged += 1
        step.gained += other.reward - one.reward
        up = bool(passed[place + 1])
        if up == bool(passed[place]):
            return None
        failing = one if up else other
        step.up += up
        step.down += not up
        step.messages += result.is_message
        flip = _flip(result, failing, self.redact, up=up)
        examples = step.examples_up if up else step.examples_down
        if len(examples) < self._kept:
            examples.append(flip)
        return {
            "from": _NAMES[place],
            "to": _NAMES[place + 1],
            "direction": "up" if up else "down",
            "category": flip.category,
            "path": flip.path,
            "expected": flip.expected,
            "actual": flip.actual,
        }

    def _alone(self, case: Case, passed: list[bool | None]) -> list[str]:
        # no single rule accepts more than all of them together
        if passed[_EXACT] is not False or not passed[_DECODED]:
            return []
        helped = [rule.name for rule, passes_alone in zip(ALONE, alone(case), strict=True) if passes_alone]
        self.alone.update(helped)
        return helped

    def _judge(self, result: Result, found: list[Grade | None], passed: list[bool | None]) -> None:
        """Attribute a failure to the matcher or the model, and count a pass that rests on the grader's tolerance."""
        verdict, lenient = self.verdict, found[_LENIENT]
        if passes(result.reward or 0.0, self.stored.pass_mark):
            verdict.passed += 1
            verdict.forgiven += passed[_DECODED] is False
            return
        verdict.failed += 1
        if result.is_message:
            verdict.messages += 1
        elif lenient is not None and passed[_LENIENT]:
            verdict.matcher[next(name for name, well in zip(_NAMES, passed, strict=True) if well)] += 1
        else:
            verdict.model["not to be judged" if lenient is None else lenient.category] += 1

    def _check(self, result: Result) -> dict[str, Any] | None:
        """Grade a result again with the run's own grader; returns the drift if it does not give the recorded reward."""
        grader, stored = self.stored.grader, self.stored
        if grader is None or result.reward is None or (stored.judged and result.is_message):
            return None
        try:
            grade = grader.grade(result.pivot.expected_action, result.action)
            now: float | None = grade.reward
            category = grade.category
            if stored.strict_schema and result.schema in ("invalid", "unknown-tool"):
                now, category = 0.0, SCHEMA_INVALID
        except FcPivotError as error:
            now, category = None, self.redact(str(error))
        except Exception as error:  # noqa: BLE001 (a user's own grader may raise anything)
            now, category = None, self.redact(f"{type(error).__name__}: {error}")
        self.checked += 1
        if now is not None and abs(now - result.reward) <= ROUNDING:
            return None
        self.drifted += 1
        before = None if result.category is None else shown_category(result.category, self.redact)
        drift = Drift(result.name, result.reward, before, now, shown_category(category, self.redact))
        if len(self.drifts) < self._kept:
            self.drifts.append(drift)
        return {"recorded": drift.recorded, "now": drift.now, "category": drift.now_category}

    # ---------------------------------------------------------------- as one object

    def summary(self) -> dict[str, Any]:
        """Return the figures as builtins."""
        stored, verdict = self.stored, self.verdict
        rungs = []
        for place, rung in enumerate(LADDER):
            entry: dict[str, Any] = {"name": rung.name, "rule": rung.rule, **_as_builtins(self.rungs[rung.name])}
            if place:
                step = self.steps[place - 1]
                entry |= {"change": step.change, "up": step.up, "down": step.down}
            if rung.name in {rule.name for rule in ALONE}:
                entry["alone"] = self.alone[rung.name]
            rungs.append(entry)
        return {
            "run": str(stored.path),
            "agent": self.redact(stored.agent),
            "grader": self.grader_name,
            "pass_mark": stored.pass_mark,
            "graded": self.results,
            "redacted": self.redacted,
            "errors": stored.errors,
            "recorded": _as_builtins(self.recorded),
            "checked": self.checked,
            "drifted": self.drifted,
            "rungs": rungs,
            "verdict": {
                "failed": verdict.failed,
                "matcher": dict(verdict.matcher),
                "model": dict(verdict.model),
                "messages": verdict.messages,
                "passed": verdict.passed,
                "forgiven": verdict.forgiven,
            },
            "notes": stored.notes,
        }


def audit(stored: Stored, kept: int, each: Callable[[Mapping[str, Any]], None] | None = None) -> Audit:
    """Grade all stored answers; `each` is called with each answer's JSON entry. Raises what reading them raises."""
    found = Audit(stored, kept)
    for result in stored.results():
        entry = found.add(result)
        if each is not None:
            each(entry)
    return found


def _flip(result: Result, failing: Grade, redact: Redactor, *, up: bool) -> Flip:
    expected, actual = failing.expected, failing.actual
    if expected is None and actual is None:
        expected, actual = _in_short(result.pivot.expected_action), _in_short(result.action)
    path, expected, actual = (None if text is None else redact(text) for text in (failing.path, expected, actual))
    return Flip(result.name, result.tool, up, failing.category, path, expected, actual)


def _in_short(action: Action) -> str:
    if action.calls:
        text = ", ".join(f"{one_line(call.name, 40)}({one_line(call.arguments, 40)})" for call in action.calls[:3])
        return one_line(text, _MESSAGE_WIDTH)
    return "nothing" if action.message is None else shown(action.message, _MESSAGE_WIDTH)


def _as_builtins(figures: Figures) -> dict[str, Any]:
    mean = figures.mean()
    return {
        "mean_reward": None if mean is None else mean.mean,
        "interval": None if mean is None else [mean.low, mean.high],
        "judged": figures.judged,
        "unjudged": figures.unjudged,
        "passed": figures.passed,
        "pass_rate": figures.pass_rate,
    }
