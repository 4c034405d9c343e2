"""Graders: expected action and model output to a Grade. Callable without pytest."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.actions import EMPTY_ARGUMENTS, SUBMIT_MESSAGE, to_action
from pytest_fcpivot.core.errors import GraderError
from pytest_fcpivot.core.importing import is_spec
from pytest_fcpivot.core.model import Action, FunctionCall, Grade, Message, Pivot, PivotView
from pytest_fcpivot.graders.agentic import AgenticGrader
from pytest_fcpivot.graders.base import GRADERS, Grader, SupportsGrade, is_bundled, known_specs, passes, versions_of
from pytest_fcpivot.graders.nemo_gym import NemoGymGrader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

__all__ = [
    "DEFAULT_GRADER",
    "GRADERS",
    "AgenticGrader",
    "Grader",
    "NemoGymGrader",
    "SupportsGrade",
    "bundled_grader",
    "describe_grader",
    "expected_to_action",
    "find_grader",
    "grade",
    "graders_of",
    "is_binary",
    "is_bundled",
    "known_specs",
    "make_grader",
    "meaning_of",
    "passes",
]

DEFAULT_GRADER = "nemo-gym"


def graders_of(provenance: Mapping[str, Any]) -> frozenset[str]:
    """Name the graders that data are judged by, given the metadata of their store; several if it is mixed.

    Turns of conversations, as of Nemotron-Agentic, are judged by `agentic`, rows that were pivots by `nemo-gym`.
    """
    audit = provenance.get("audit") or {}
    of_conversations = {"agentic"} if audit.get("conversations") else set()
    of_pivots = {DEFAULT_GRADER} if audit.get("pivot_rows") or not of_conversations else set()
    return frozenset(of_conversations | of_pivots)


def find_grader(
    spec: str, settings: Mapping[str, Any] | None = None, *, search: Iterable[Path] = (), where: str = "grader"
) -> Grader:
    """Return the grader that a spec names: a bundled one, an installed package's, or `module:attribute`.

    `settings` are the grader's; `search` holds directories to import from, and `where` begins messages about users'
    own graders. Raises GraderError for an unknown name or setting, and for what cannot be a grader.
    """
    settings = dict(settings or {})
    name, _, version = spec.partition(":")
    if is_bundled(spec):
        return _bundled(name, version, settings)
    from pytest_fcpivot.graders import own  # noqa: PLC0415 (most runs have none)

    if is_spec(spec):
        return own.load_grader(spec, settings, search, where=f"{where}={spec}")
    installed = own.installed_graders()
    if spec in installed:
        return own.load_installed(installed[spec], settings, where=f"{where}={spec}")
    raise _unknown(spec, installed)


def _bundled(name: str, version: str, settings: dict[str, Any]) -> Grader:
    if version and not versions_of(name):
        raise _unknown(f"{name}:{version}")
    if version:
        settings["version"] = version
    try:
        return GRADERS[name](**settings)
    except TypeError as error:
        raise GraderError(f"grader {name} has no such setting: {error}") from error


def _unknown(spec: str, installed: Iterable[str] = ()) -> GraderError:
    known = ", ".join([*known_specs(), *sorted(installed)])
    return GraderError(
        f"unknown grader {spec!r}; known: {known}; for one of your own, write module:function, as in my_graders:close"
    )


@lru_cache(maxsize=64)
def _cached_grader(spec: str, config: tuple[tuple[str, Any], ...]) -> Grader:
    return find_grader(spec, dict(config))


@lru_cache(maxsize=64)
def _cached_given(grader: Any, config: tuple[tuple[str, Any], ...]) -> Grader:
    if type(grader) in GRADERS.values() and not config:
        found: Grader = grader
        return found
    from pytest_fcpivot.graders.own import given_grader  # noqa: PLC0415 (most runs have none)

    return given_grader(grader, dict(config), where="grader")


def make_grader(spec: Any = DEFAULT_GRADER, **config: Any) -> Grader:
    """Return the grader that a spec names, as `find_grader` does, or that is given: an object, a class or a function.

    Keyword arguments are the grader's settings. Raises GraderError as `find_grader` does.
    """
    make = _cached_grader if isinstance(spec, str) else _cached_given
    try:
        return make(spec, tuple(config.items()))
    except TypeError:  # what cannot be hashed: a setting that is none of ours, or an object
        return make.__wrapped__(spec, tuple(config.items()))


def describe_grader(grader: Grader, settings: Mapping[str, Any], cause: str | None = None) -> dict[str, Any]:
    """Describe a grader as run.json does; of a user's own, what was named and the hash of its source file too.

    `cause` says why it has these settings, where they belong to the data.
    """
    described: dict[str, Any] = {"name": grader.name, "settings": dict(settings)}
    if cause is not None:
        described["cause"] = cause
    facts = getattr(grader, "facts", None)
    return described if facts is None else described | {"binary": grader.binary, **facts}


def meaning_of(described: Any) -> Any:
    """Return what a grader that run.json describes means, to be compared with another and to be shown.

    Why it has its settings makes no difference. Those of `nemo-gym` are the ones that are not its defaults, and always
    the threshold, which runs were recorded without while it was the same for all data sets.
    """
    if not isinstance(described, dict):
        return described
    plain = {key: value for key, value in described.items() if key != "cause"}
    try:
        grader = bundled_grader(described)
    except (GraderError, KeyError, TypeError, ValueError):
        return plain  # it says something else than a grader of ours
    return plain | {"settings": grader.settings} if isinstance(grader, NemoGymGrader) else plain


def is_binary(described: Mapping[str, Any]) -> bool:
    """Return whether a grader that run.json describes has rewards of 0 and 1 alone; False if that is not known."""
    if "binary" in described:
        return bool(described["binary"])
    try:
        grader = bundled_grader(described)
    except GraderError:
        return False
    return grader is not None and grader.binary


def bundled_grader(described: Mapping[str, Any]) -> Grader | None:
    """Make the grader that run.json describes, if it is a bundled one by its exact name; None for any other.

    A run is data: no other grader is loaded, or looked for, because a run names it. Raises GraderError for settings
    that the grader does not have.
    """
    name = described["name"]
    if name not in known_specs() or described.get("spec", name) != name:
        return None
    return find_grader(name, described.get("settings") or {})


def expected_to_action(expected: Any) -> Action:
    """Read an expected action: a dict of the data sets (`type`: message, function_call, function_call_batch) or ours.

    Raises GraderError for anything else.
    """
    if isinstance(expected, dict):
        if "expected_action" in expected:
            raise GraderError(
                "this is a row of the data, not its expected action; make a pivot of it: Pivot.from_row(row)"
            )
        kind = expected.get("type")
        try:
            if kind == "function_call":
                return Action((_expected_call(expected),))
            if kind == "message":
                content = expected["content"]
                return Action(message=content if isinstance(content, str) else "")
            if kind == "function_call_batch":
                return Action(tuple(_expected_call(call) for call in expected["calls"]))
        except (KeyError, TypeError) as error:
            raise GraderError(f"the expected action of type {kind!r} lacks {error}") from error
        raise GraderError(
            f"unknown type {kind!r} of an expected action; known: message, function_call, function_call_batch"
        )
    if isinstance(expected, Action):
        return expected
    if isinstance(expected, FunctionCall):
        return Action((expected,))
    if isinstance(expected, Message):
        return Action(message=expected.content)
    if isinstance(expected, PivotView):
        raise GraderError("the view of a pivot, as the agent gets it, holds no answer; grade against the Pivot itself")
    raise GraderError(f"cannot read an expected action from {type(expected).__name__}")


def _expected_call(call: dict[str, Any]) -> FunctionCall:
    if not isinstance(call["name"], str):
        raise GraderError(f"the name of an expected call must be a string, not {type(call['name']).__name__}")
    return FunctionCall(call["name"], call["arguments"])


def grade(
    expected_action: Any,
    output: Any,
    grader: str | SupportsGrade | Callable[..., Any] = DEFAULT_GRADER,
    *,
    empty_arguments: Any = "text",  # of any type, so that type checkers allow any `**settings`
    **config: Any,
) -> Grade:
    """Grade a model's output at a pivot, or against an expected action alone.

    `expected_action` is a Pivot, a dict of the data sets or one of our types; `output` is in any shape that an agent
    may return. `grader` names the grader, or is one: an object with a method `grade`, or a function of the expected and
    the actual Action that returns a Grade, a number or a bool. `config` holds its settings; those of `nemo-gym` that it
    does not have are the ones of the agent that the pivot's row names, if that is known. `empty_arguments` is `"text"`
    or `"object"`, as in `to_action`. A call of the shared tool `submit_message` is a message, unless the pivot has a
    tool of that name; an expected action alone does not tell the tools, and then it is a message unless such a call is
    expected. Raises GraderError for an unknown grader or setting, a faulty expected action or a verdict that is none,
    ActionError for an output that is not understood.
    """
    if isinstance(expected_action, Pivot) and isinstance(grader, str) and grader.partition(":")[0] == DEFAULT_GRADER:
        from pytest_fcpivot.graders.sets import settings_of_pivot  # noqa: PLC0415 (it knows the data sets)

        config = settings_of_pivot(expected_action) | config
    judge = make_grader(grader, **config)
    if empty_arguments not in EMPTY_ARGUMENTS:
        raise GraderError(f"empty_arguments={empty_arguments!r}: choose {' or '.join(EMPTY_ARGUMENTS)}")
    if isinstance(expected_action, Pivot):
        from pytest_fcpivot.schema.toolset import tool_set  # noqa: PLC0415 (an expected action alone needs no tools)

        expected, tools = expected_action.expected_action, tool_set(expected_action.tools_json).names
    else:
        expected = expected_to_action(expected_action)
        tools = frozenset(call.name for call in expected.calls if call.name == SUBMIT_MESSAGE)
    return judge.grade(expected, to_action(output, tools, empty_arguments=empty_arguments))
