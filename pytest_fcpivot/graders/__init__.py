"""Graders: expected action and model output to a Grade. Callable without pytest."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from pytest_fcpivot.actions import SUBMIT_MESSAGE, to_action
from pytest_fcpivot.errors import GraderError
from pytest_fcpivot.graders.nemo_gym import NemoGymGrader
from pytest_fcpivot.model import Action, FunctionCall, Grade, Message

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEFAULT_GRADER = "nemo-gym"


class Grader(Protocol):
    """Judges one action against the expected one.

    `name` is what a run records; `binary` tells whether every reward is 0 or 1, so that the pass rate is the mean
    reward; `accepts` tells whether an expected action of so many calls (0 for a message) can be judged at all.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def binary(self) -> bool: ...  # noqa: D102
    def accepts(self, calls: int) -> bool: ...  # noqa: D102
    def grade(self, expected: Action, actual: Action) -> Grade: ...  # noqa: D102


GRADERS: Mapping[str, Callable[..., Grader]] = {"nemo-gym": NemoGymGrader}


@lru_cache(maxsize=64)
def _cached_grader(spec: str, config: tuple[tuple[str, Any], ...]) -> Grader:
    name, _, version = spec.partition(":")
    if name not in GRADERS:
        raise GraderError(f"unknown grader {spec!r}; known: nemo-gym, nemo-gym:first-call, nemo-gym:any-order")
    settings = dict(config)
    if version:
        settings["version"] = version
    try:
        return GRADERS[name](**settings)
    except TypeError as error:
        raise GraderError(f"grader {name} has no such setting: {error}") from error


def make_grader(spec: str = DEFAULT_GRADER, **config: Any) -> Grader:
    """Return the grader that a spec names: `nemo-gym`, `nemo-gym:first-call` or `nemo-gym:any-order`.

    Keyword arguments are the grader's settings. Raises GraderError for an unknown name or setting.
    """
    try:
        return _cached_grader(spec, tuple(config.items()))
    except TypeError:  # a setting that cannot be hashed, and so is none of ours
        return _cached_grader.__wrapped__(spec, tuple(config.items()))


def expected_to_action(expected: Any) -> Action:
    """Read an expected action: a dict of the data sets (`type`: message, function_call, function_call_batch) or ours.

    Raises GraderError for anything else.
    """
    if isinstance(expected, dict):
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
    raise GraderError(f"cannot read an expected action from {type(expected).__name__}")


def _expected_call(call: dict[str, Any]) -> FunctionCall:
    if not isinstance(call["name"], str):
        raise GraderError(f"the name of an expected call must be a string, not {type(call['name']).__name__}")
    return FunctionCall(call["name"], call["arguments"])


def grade(expected_action: Any, output: Any, grader: str | Grader = DEFAULT_GRADER, **config: Any) -> Grade:
    """Grade a model's output against the expected action.

    `expected_action` is a dict of the data sets or one of our types; `output` is in any shape that an agent may
    return. `grader` names the grader, `config` holds its settings. A call of the shared tool `submit_message` counts
    as a message unless the expected action itself calls a tool of that name. Raises GraderError for an unknown grader
    or setting or a faulty expected action, ActionError for an output that is not understood.
    """
    judge = make_grader(grader, **config) if isinstance(grader, str) else grader
    expected = expected_to_action(expected_action)
    own_tools = frozenset(call.name for call in expected.calls if call.name == SUBMIT_MESSAGE)
    return judge.grade(expected, to_action(output, own_tools))
