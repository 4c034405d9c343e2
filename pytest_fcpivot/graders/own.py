"""Users' own graders: a function, an object or a class, from a module, an installed package, or passed in code.

Attributes that they lack have defaults. What they return is checked, because an invalid reward would otherwise be
counted like a valid one.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from dataclasses import dataclass
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsFloat

from pytest_fcpivot.core.errors import GraderError
from pytest_fcpivot.core.importing import Attribute, describe_failure, find_attribute, is_spec
from pytest_fcpivot.core.jsontext import one_line, well_formed
from pytest_fcpivot.core.model import Action, Grade, Pair
from pytest_fcpivot.graders.base import ROUNDING, is_bundled
from pytest_fcpivot.graders.categories import ACTION_DIFFERENT, ACTION_PARTLY_EXPECTED, EXPECTED_ACTION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from importlib.metadata import EntryPoint

ENTRY_POINTS = "pytest_fcpivot.graders"

_NOT_THEIRS = sys.stdlib_module_names | {__name__.partition(".")[0]}
_WANTED = "return a Grade, or a reward from 0 to 1 as a number or a bool"


@dataclass(frozen=True, slots=True)
class OwnGrader:
    """Wraps a user's grader into the full Grader protocol; raises GraderError for invalid verdicts.

    `judge` is the user's function, `admits` its `accepts`, if it has one; `facts` are recorded in run.json.
    """

    name: str
    binary: bool
    judge: Callable[[Action, Action], Any]
    admits: Callable[[int], Any] | None
    facts: Mapping[str, Any]

    def accepts(self, calls: int) -> bool:
        """Return whether an expected action with this number of calls can be graded; True without an `accepts`.

        Raises GraderError if the user's `accepts` fails.
        """
        if self.admits is None:
            return True
        try:
            return bool(self.admits(calls))
        except (Exception, SystemExit) as error:
            raise GraderError(f"grader {self.name}: accepts({calls}) failed: {describe_failure(error)}") from error

    def grade(self, expected: Action, actual: Action) -> Grade:
        """Grade `actual` against `expected`; exceptions of the user's grader are passed on."""
        return self.checked(self.judge(expected, actual))

    def checked(self, verdict: Any) -> Grade:
        """Turn what the grader returned into a Grade; raises GraderError if that is not a valid verdict."""
        if not isinstance(verdict, Grade):
            reward = self._reward(verdict, verdict)
            return Grade(reward, _category(reward))
        reward = self._reward(verdict.reward, verdict)
        try:
            return _plain(verdict, reward)
        except (TypeError, ValueError) as error:
            raise GraderError(f"grader {self.name} returned an invalid Grade: {error}: {verdict!r:.200}") from error

    def _reward(self, value: Any, verdict: Any) -> float:
        if inspect.iscoroutine(verdict):
            verdict.close()
        if not isinstance(value, SupportsFloat):
            raise GraderError(f"grader {self.name} returned {verdict!r:.80}: {_WANTED}")
        reward = float(value)
        if not -ROUNDING <= reward <= 1.0 + ROUNDING:
            raise GraderError(f"grader {self.name} gave a reward of {reward!r}: {_WANTED}")
        reward = min(1.0, max(0.0, reward))
        if self.binary and reward not in (0.0, 1.0):
            raise GraderError(f"grader {self.name} says that it is binary, but gave a reward of {reward!r}")
        return reward


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnMessageGrader(OwnGrader):
    """A user's grader with a `grade_message`: it also grades messages by a judge's score, as AgenticGrader does."""

    score_message: Callable[[str, str, float, str], Any]

    def grade_message(self, expected: str, answer: str, score: float, explanation: str) -> Grade:
        """Make the grade of a message from its score, 0 to 1; exceptions of the user's grader are passed on."""
        return self.checked(self.score_message(expected, answer, score, explanation))


def _category(reward: float) -> str:
    return EXPECTED_ACTION if reward == 1.0 else ACTION_PARTLY_EXPECTED if reward else ACTION_DIFFERENT


def _plain(grade: Grade, reward: float) -> Grade:
    """Return a grade made only of builtins, with text that UTF-8 can hold: it may be sent to another process."""
    halves = grade.halves
    if halves is not None:
        name, arguments = halves
        halves = float(name), float(arguments)
        if not all(0 <= half <= 1 for half in halves):
            raise ValueError(f"halves holds {halves!r}")
    odd = next((pair for pair in grade.pairs if not isinstance(pair, Pair)), None)
    if odd is not None:
        raise TypeError(f"pairs holds {odd!r:.80}")
    return Grade(
        reward,
        one_line(_text(grade.category, "category")) or _category(reward),
        _text(grade.explanation, "explanation"),
        _maybe_text(grade.path, "path"),
        _maybe_text(grade.expected, "expected"),
        _maybe_text(grade.actual, "actual"),
        tuple([_text(path, "paths") for path in grade.paths]),
        int(grade.further_paths),
        halves,
        tuple(grade.pairs),
    )


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{field} must be text, not {type(value).__name__}")
    return well_formed(value)


def _maybe_text(value: Any, field: str) -> str | None:
    return None if value is None else _text(value, field)


# -------------------------------------------------------------------- from where


def load_grader(spec: str, settings: Mapping[str, Any], search: Iterable[Path] = (), *, where: str) -> OwnGrader:
    """Return the grader that `module:attribute` names.

    `search` lists the directories to import from, in order of preference. Raises GraderError with a message that begins
    with `where`.
    """
    found = find_attribute(spec, search, where=where, error=GraderError)
    return as_grader(found, spec, settings, where=where, facts=_facts(spec, found))


def installed_graders() -> dict[str, list[EntryPoint]]:
    """Return the entry points of graders in installed packages, by name."""
    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=ENTRY_POINTS):
        if entry not in found.setdefault(entry.name, []):
            found[entry.name].append(entry)
    return found


def load_installed(entries: list[EntryPoint], settings: Mapping[str, Any], *, where: str) -> OwnGrader:
    """Return the grader of an entry point; raises GraderError if it cannot be loaded or several share the name."""
    if len(entries) > 1:
        rivals = ", ".join(f"{entry.value} of {_package(entry)}" for entry in entries)
        raise GraderError(f"{where}: several installed packages provide it: {rivals}; name one as module:attribute")
    (entry,) = entries
    package, spec = _package(entry), f"{entry.module}:{entry.attr or ''}"
    if not is_spec(spec):
        raise GraderError(f"{where}: the entry point of {package} is {entry.value!r}, not module:attribute")
    found = find_attribute(spec, (), where=f"{where}: {package}", error=GraderError)
    return as_grader(found, entry.name, settings, where=where, facts=_facts(spec, found) | {"package": package})


def _package(entry: EntryPoint) -> str:
    return "?" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"


def given_grader(value: Any, settings: Mapping[str, Any], *, where: str, name: str | None = None) -> OwnGrader:
    """Return a grader for an object passed in code, named `name` or after its function or class; raises GraderError."""
    defined = inspect.unwrap(value) if inspect.isroutine(value) or inspect.isclass(value) else type(value)
    spec = f"{getattr(defined, '__module__', '?')}:{getattr(defined, '__qualname__', '?')}"
    found = Attribute(None, spec, value)
    return as_grader(found, name or spec, settings, where=where, facts=_facts(spec, found))


def as_grader(
    found: Attribute, name: str, settings: Mapping[str, Any], *, where: str, facts: Mapping[str, Any]
) -> OwnGrader:
    """Make a grader from a function of (expected, actual), an object with such a method `grade`, or a class of such.

    `settings` are keyword arguments for the class or the function. Raises GraderError if that is impossible.
    """
    needed = found.to_make
    value = found.value
    if needed is not None:
        try:
            value = found.of(needed(**settings))
        except (Exception, SystemExit) as error:
            given = ", ".join(f"{key}={setting!r}" for key, setting in settings.items())
            raise GraderError(f"{where}: {needed.__name__}({given}) failed: {describe_failure(error)}") from error
        settings = {}
    try:
        method, own_name = getattr(value, "grade", None), getattr(value, "name", None)
        binary, admits = bool(getattr(value, "binary", False)), getattr(value, "accepts", None)
    except Exception as error:
        raise GraderError(f"{where}: its attributes cannot be read: {describe_failure(error)}") from error
    if settings and method is not None:
        raise GraderError(f"{where}: it is an object already, so it takes no settings ({', '.join(settings)})")
    judge = value if method is None else method
    _check_callable(judge, settings, where)
    score_message = None if method is None else getattr(value, "grade_message", None)
    kind = OwnGrader if score_message is None else partial(OwnMessageGrader, score_message=score_message)
    return kind(
        # A name inherited from a bundled grader is not used: it would be mistaken for that grader.
        name=one_line(own_name) if isinstance(own_name, str) and own_name and not is_bundled(own_name) else name,
        binary=binary,
        judge=partial(judge, **settings) if settings else judge,
        admits=admits,
        facts=facts,
    )


def _check_callable(judge: Any, settings: Mapping[str, Any], where: str) -> None:
    wanted = "a grader is a function of (expected, actual), or an object with such a method `grade`"
    if not callable(judge):
        raise GraderError(f"{where}: {wanted}, not {type(judge).__name__} ({judge!r:.80})")
    if inspect.iscoroutinefunction(judge):
        raise GraderError(f"{where}: a grader cannot be a coroutine function")
    try:
        signature = inspect.signature(judge)
    except (TypeError, ValueError):
        return  # a built-in without a signature
    try:
        signature.bind(object(), object(), **settings)
    except TypeError as error:
        given = f" with the settings {', '.join(settings)}" if settings else ""
        raise GraderError(f"{where}: {wanted}; {signature} does not take these{given}: {error}") from error


def _facts(spec: str, found: Attribute) -> dict[str, Any]:
    """Return what distinguishes two graders of the same name: the spec, and the hash of the defining source file."""
    return {"spec": spec, "source_sha256": _source_hash(found)}


def _source_hash(found: Attribute) -> str | None:
    """Return the hash of the file that defines a grader; None if there is no such file.

    For an object whose class is from this package or the standard library, it is the file that holds the object.
    """
    value = found.value if inspect.isroutine(found.value) or inspect.isclass(found.value) else type(found.value)
    for source in (inspect.unwrap(value), found.owner):
        module = str(getattr(source, "__module__", None) or getattr(source, "__name__", ""))
        if module.partition(".")[0] in _NOT_THEIRS:
            continue
        try:
            return hashlib.sha256(Path(inspect.getsourcefile(source) or "").read_bytes()).hexdigest()
        except (TypeError, OSError):
            continue
    return None
