"""Agents, which are callables that take a pivot without its answer and return an action: bundled ones, and the loader.

A bundled agent can be given by its name alone, as in `--fc-agent=baseline`.
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

# Imported on first use, because few sessions use one of these agents.
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
    """Return the agent that `module:attribute` names, or a bundled one for its name alone.

    `settings` are the keyword arguments for the openai agents. `search` lists the directories to import from, in order
    of preference; `where` is the option that error messages name. A class, and the class of a plain method, is
    instantiated without arguments; with `instantiate` false, it is only inspected, for an early check. Raises
    AgentError if the agent cannot be imported (the message includes the import error) or cannot take one argument.
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
        return _typed(needed)  # only inspected, never called
    try:
        agent = found.of(needed())
    except (Exception, SystemExit) as error:
        raise AgentError(
            f"{where}: {needed.__name__}() failed, and an agent's class is instantiated without arguments: "
            f"{describe_failure(error)}"
        ) from error
    return check_agent(agent, where, spec)


def _check_class(needed: type, where: str, spec: str, *, is_agent: bool) -> None:
    """Raise AgentError for a class that cannot be instantiated without arguments, or whose instances are no agents.

    `is_agent` is true if the instance itself is to be the agent, rather than one of its methods.
    """
    if _defines("__new__", needed, object) or _defines("__call__", type(needed), type):
        return  # what it creates is not known in advance
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
            f"{where}: an agent's class is instantiated without arguments, but {needed.__name__}{signature} needs "
            f"some: {error}; name a function, or override the fixture fc_agent in a conftest.py"
        ) from error


def _defines(method: str, kind: type, root: type) -> bool:
    """Return whether a class or one of its bases, except `root`, defines a method."""
    mro = kind.__mro__
    return any(method in base.__dict__ for base in mro[: mro.index(root)])


def _what_to_name(kind: type, spec: str | None) -> str:
    """Return a hint that names methods of a class which can be called with one argument, its own methods first."""
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
    """Make one of the agents that ask a model through the openai package."""
    from pytest_fcpivot.agents.openai import OPENAI_AGENTS  # noqa: PLC0415 (only when it is asked for)

    if settings is None:
        raise AgentError(f"--fc-agent={name} is made from options; in code, use pytest_fcpivot.agents.openai")
    return OPENAI_AGENTS[name](**settings)


def check_agent(agent: Any, where: str, spec: str | None = None) -> Callable[[PivotView], Any]:
    """Return the agent if it can be called with one pivot; raises AgentError otherwise.

    `spec` is the name by which the user gave the agent; hints in messages use it.
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
