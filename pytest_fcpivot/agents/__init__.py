"""Agents: a callable that gets a pivot without its answer and returns an action. Bundled ones, and the loader.

A bundled agent can be named alone, as in `--fc-agent=baseline`.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from types import FunctionType
from typing import TYPE_CHECKING, Any, Protocol

from pytest_fcpivot.core.errors import AgentError
from pytest_fcpivot.core.importing import describe_failure, find_attribute, is_spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from pytest_fcpivot.agents.rules import RuleAgent, baseline
    from pytest_fcpivot.agents.trivial import asks, first_tool, silent
    from pytest_fcpivot.core.model import PivotView

__all__ = ["Agent", "RuleAgent", "asks", "baseline", "first_tool", "load_agent", "silent"]

# Imported when they are asked for: every session loads an agent, and few load one of these.
_HOME = {"RuleAgent": "rules", "baseline": "rules", "asks": "trivial", "first_tool": "trivial", "silent": "trivial"}
BUNDLED = ("baseline", "asks", "first_tool", "silent")
OPENAI = ("openai", "openai-chat", "openai-prompt")
_METHODS_SHOWN = 3


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class Agent(Protocol):
    """Answers a pivot with an action in any shape that `to_action` reads; may also be a coroutine function."""

    def __call__(self, pivot: PivotView, /) -> Any: ...  # noqa: D102


def load_agent(
    spec: str,
    search: Iterable[Path] = (),
    *,
    where: str = "--fc-agent",
    instantiate: bool = True,
    settings: Mapping[str, Any] | None = None,
) -> Callable[[PivotView], Any]:
    """Return the agent that `module:attribute` names, or a bundled one by its name alone.

    `settings` are the options that the openai agents are made from. `search` holds directories to import from, first
    ones first; `where` is the option that errors name. A class is instantiated without arguments, and so is the class
    of a plain method. With `instantiate` off, classes are only looked at, for an early check. Raises AgentError, with
    the import error in its message, if the agent cannot be had or cannot take one argument.
    """
    where = f"{where}={spec}"
    if spec in OPENAI:
        return _openai_agent(spec, settings)
    if spec in BUNDLED:
        spec = f"{__name__}:{spec}"
    if not is_spec(spec):
        bundled = ", ".join(BUNDLED + OPENAI)
        raise AgentError(f"{where}: write module:function, as in my_agent:answer; bundled: {bundled}")
    found = find_attribute(spec, search, where=where, error=AgentError)
    needed = found.to_make
    if needed is None:
        return check_agent(found.value, where, spec)
    _check_class(needed, where, spec, is_agent=needed is found.value)
    if not instantiate:
        return _typed(needed)  # looked at only, never asked
    try:
        agent = found.of(needed())
    except (Exception, SystemExit) as error:
        raise AgentError(
            f"{where}: {needed.__name__}() failed, and an agent's class is instantiated without arguments: "
            f"{describe_failure(error)}"
        ) from error
    return check_agent(agent, where, spec)


def _check_class(needed: type, where: str, spec: str, *, is_agent: bool) -> None:
    """Refuse a class that, as can be seen before one is made of it, makes no agent.

    `is_agent` tells that its objects are to be the agent, and not a method of theirs.
    """
    if _defines("__new__", needed, object) or _defines("__call__", type(needed), type):
        return  # what it makes is only known when it was made
    if is_agent and not _defines("__call__", needed, object):
        raise AgentError(f"{where}: {needed.__name__} has no __call__, {_what_to_name(needed, spec)}")
    try:
        signature = inspect.signature(needed)
    except (TypeError, ValueError):
        return
    try:
        signature.bind()
    except TypeError as error:
        raise AgentError(
            f"{where}: an agent's class is instantiated without arguments, and {needed.__name__}{signature} does not "
            f"take that: {error}; name a function, or override the fixture fc_agent in a conftest.py, to make one"
        ) from error


def _defines(method: str, kind: type, root: type) -> bool:
    """Return whether a class or one above it, up to and without `root`, has a method of its own."""
    mro = kind.__mro__
    return any(method in base.__dict__ for base in mro[: mro.index(root)])


def _what_to_name(kind: type, spec: str | None) -> str:
    """Hint at the methods of a class that can be called with one argument, the pivot, the class's own ones first."""
    names: dict[str, None] = {}
    for base in kind.__mro__[:-1]:
        names |= {name: None for name, value in base.__dict__.items() if _answers_a_pivot(name, value)}
    if not names:
        return "and no method that takes a pivot: write def __call__(self, pivot)"
    ways = [f"{spec}.{name}" if spec else f"its method {name}" for name in [*names][:_METHODS_SHOWN]]
    return f"so it cannot be called; did you mean {' or '.join(ways)}?"


def _answers_a_pivot(name: str, value: Any) -> bool:
    if name.startswith("_") or not isinstance(value, staticmethod | classmethod | FunctionType):
        return False
    own = () if isinstance(value, staticmethod) else (object(),)
    function = value if isinstance(value, FunctionType) else value.__func__
    try:
        inspect.signature(function).bind(*own, object())
    except (TypeError, ValueError):
        return False
    return True


def _openai_agent(name: str, settings: Mapping[str, Any] | None) -> Callable[[PivotView], Any]:
    """Make one of the agents that ask a model through the openai client."""
    from pytest_fcpivot.agents.openai import OPENAI_AGENTS  # noqa: PLC0415 (only when it is asked for)

    if settings is None:
        raise AgentError(f"--fc-agent={name} is made from options; in code, make one of pytest_fcpivot.agents.openai")
    return OPENAI_AGENTS[name](**settings)


def check_agent(agent: Any, where: str, spec: str | None = None) -> Callable[[PivotView], Any]:
    """Return the agent if it can be called with one pivot; raises AgentError otherwise.

    `spec` is how the agent was named, from which hints are made.
    """
    if not callable(agent):
        kind = type(agent)
        text = f"{where}: an agent must be callable, not {kind.__name__} ({agent!r:.80})"
        own = kind.__module__ != "builtins"
        raise AgentError(f"{text}: it has no __call__, {_what_to_name(kind, spec)}" if own else text)
    try:
        signature = inspect.signature(agent)
    except (TypeError, ValueError):
        return _typed(agent)  # a built-in without a signature
    try:
        signature.bind(object())
    except TypeError as error:
        raise AgentError(
            f"{where}: an agent is called with one argument, the pivot; {signature} does not take it: {error}"
        ) from error
    return _typed(agent)


def _typed(agent: Any) -> Callable[[PivotView], Any]:
    function: Callable[[PivotView], Any] = agent
    return function
