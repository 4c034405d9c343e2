"""Agents: a callable that gets a pivot without its answer and returns an action. Bundled ones, and the loader.

A bundled agent can be named alone, as in `--fc-agent=baseline`.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Protocol

from pytest_fcpivot.agents.rules import RuleAgent
from pytest_fcpivot.agents.trivial import asks, first_tool, silent
from pytest_fcpivot.errors import AgentError
from pytest_fcpivot.importing import describe_failure, find_attribute, is_spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from pytest_fcpivot.model import PivotView
    from pytest_fcpivot.options import Options

__all__ = ["Agent", "RuleAgent", "asks", "baseline", "first_tool", "load_agent", "silent"]

baseline = RuleAgent()
BUNDLED = ("baseline", "asks", "first_tool", "silent")
OPENAI = ("openai", "openai-chat", "openai-prompt")


class Agent(Protocol):
    """Answers a pivot with an action in any shape that `to_action` reads; may also be a coroutine function."""

    def __call__(self, pivot: PivotView, /) -> Any: ...  # noqa: D102


def load_agent(
    spec: str,
    search: Iterable[Path] = (),
    *,
    where: str = "--fc-agent",
    instantiate: bool = True,
    settings: Options | None = None,
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
        return check_agent(found.value, where)
    if not instantiate:
        return _typed(needed)  # looked at only, never asked
    try:
        agent = found.of(needed())
    except (Exception, SystemExit) as error:
        raise AgentError(
            f"{where}: {needed.__name__}() failed, and an agent's class is instantiated without arguments: "
            f"{describe_failure(error)}"
        ) from error
    return check_agent(agent, where)


def _openai_agent(name: str, settings: Options | None) -> Callable[[PivotView], Any]:
    """Make one of the agents that ask a model through the openai client."""
    from pytest_fcpivot.agents.openai import OPENAI_AGENTS  # noqa: PLC0415 (only when it is asked for)

    if settings is None:
        raise AgentError(f"--fc-agent={name} is made from options; in code, make one of pytest_fcpivot.agents.openai")
    chosen = {field: getattr(settings.model, field) for field in settings.model.__slots__}
    seed = settings.seed if settings.repeats > 1 else None  # repeats are to differ, and to differ in the same way again
    return OPENAI_AGENTS[name](**chosen, seed=seed, request_timeout=settings.timeout)


def check_agent(agent: Any, where: str) -> Callable[[PivotView], Any]:
    """Return the agent if it can be called with one pivot; raises AgentError otherwise."""
    if not callable(agent):
        raise AgentError(f"{where}: an agent must be callable, not {type(agent).__name__} ({agent!r:.80})")
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
