"""Graders turn an expected action and a model's output into a Grade; they can be used without pytest."""

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
    """Return the names of the default graders for data, given the metadata of their store; two for mixed data.

    Turns of conversations, as in Nemotron-Agentic, are graded by `agentic`; rows that were pivots by `nemo-gym`.
    """
    audit = provenance.get("audit") or {}
    of_conversations = {"agentic"} if audit.get("conversations") else set()
    of_pivots = {DEFAULT_GRADER} if audit.get("pivot_rows") or not of_conversations else set()
    return frozenset(of_conversations | of_pivots)


def find_grader(
    spec: str, settings: Mapping[str, Any] | None = None, *, search: Iterable[Path] = (), where: str = "grader"
) -> Grader:
    """Return the grader that a spec names: a bundled one, one from an installed package, or `module:attribute`.

    `settings` are passed to the grader; `search` lists directories to import from; `where` begins the messages about
    users' own graders. Raises GraderError for an unknown name or setting, and for an object that cannot be a grader.
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
    """Return a grader for a spec, as `find_grader` does, or for an object, a class or a function given directly.

    Keyword arguments are the grader's settings. Raises GraderError as `find_grader` does.
    """
    make = _cached_grader if isinstance(spec, str) else _cached_given
    try:
        return make(spec, tuple(config.items()))
    except TypeError:  # not hashable: a setting of a user's own grader, or the grader itself
        return make.__wrapped__(spec, tuple(config.items()))


def describe_grader(grader: Grader, settings: Mapping[str, Any], cause: str | None = None) -> dict[str, Any]:
    """Return a grader's description for run.json; for a user's own, with its spec and the hash of its source file.

    `cause` gives the reason for these settings, if they follow from the data.
    """
    described: dict[str, Any] = {"name": grader.name, "settings": dict(settings)}
    if cause is not None:
        described["cause"] = cause
    facts = getattr(grader, "facts", None)
    return described if facts is None else described | {"binary": grader.binary, **facts}


def meaning_of(described: Any) -> Any:
    """Return a grader's description from run.json in a normal form, for display and for comparison with another.

    The cause of the settings is left out. The settings of `nemo-gym` are reduced to those that differ from its
    defaults, and always include the threshold, which older runs do not record (it was the same for all datasets then).
    """
    if not isinstance(described, dict):
        return described
    plain = {key: value for key, value in described.items() if key != "cause"}
    try:
        grader = bundled_grader(described)
    except (GraderError, KeyError, TypeError, ValueError):
        return plain  # not the description of a bundled grader
    return plain | {"settings": grader.settings} if isinstance(grader, NemoGymGrader) else plain


def is_binary(described: Mapping[str, Any]) -> bool:
    """Return whether a grader described in run.json gives only rewards of 0 and 1; False if that is unknown."""
    if "binary" in described:
        return bool(described["binary"])
    try:
        grader = bundled_grader(described)
    except GraderError:
        return False
    return grader is not None and grader.binary


def bundled_grader(described: Mapping[str, Any]) -> Grader | None:
    """Make the grader described in run.json if its name is exactly that of a bundled one; None for any other.

    A run is untrusted data, so no other code is loaded or searched for because a run names it. Raises GraderError for
    settings that the grader does not have.
    """
    name = described["name"]
    if name not in known_specs() or described.get("spec", name) != name:
        return None
    return find_grader(name, described.get("settings") or {})


def expected_to_action(expected: Any) -> Action:
    """Read an expected action: an Action, FunctionCall or Message, or a dict in the form of the datasets.

    The `type` of such a dict is message, function_call or function_call_batch. Raises GraderError for anything else.
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
        raise GraderError("a PivotView, which the agent gets, holds no expected action; grade against the Pivot itself")
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

    `expected_action` is a Pivot, a dict in the form of the datasets, or an Action, FunctionCall or Message; `output`
    may have any shape that an agent may return. `grader` is the name of a grader, or a grader itself: an object with a
    method `grade`, or a function of the expected and the actual Action that returns a Grade, a number or a bool.
    `config` holds the grader's settings; for a Pivot and `nemo-gym`, settings that are not given are those of the agent
    that the pivot's row names, if it is known. `empty_arguments` is `"text"` or `"object"`, as in `to_action`. A call
    of the shared tool `submit_message` is a message, unless the pivot has a tool of that name; without a Pivot, it is a
    message unless a call of that tool is expected. Raises GraderError for an unknown grader or setting, a faulty
    expected action or an invalid verdict, and ActionError for an output that is not understood.
    """
    if isinstance(expected_action, Pivot) and isinstance(grader, str) and grader.partition(":")[0] == DEFAULT_GRADER:
        from pytest_fcpivot.graders.sets import settings_of_pivot  # noqa: PLC0415 (only needed for a Pivot)

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
