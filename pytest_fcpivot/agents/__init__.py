"""Agents: a callable that gets a pivot without its answer and returns an action. Bundled ones, and the loader.

A bundled agent can be named alone, as in `--fc-agent=baseline`.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import traceback
from typing import TYPE_CHECKING, Any, Protocol

from pytest_fcpivot.agents.rules import RuleAgent
from pytest_fcpivot.agents.trivial import asks, first_tool, silent
from pytest_fcpivot.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from pytest_fcpivot.model import PivotView
    from pytest_fcpivot.options import Options

__all__ = ["Agent", "RuleAgent", "asks", "baseline", "first_tool", "load_agent", "silent"]

baseline = RuleAgent()
BUNDLED = ("baseline", "asks", "first_tool", "silent")
OPENAI = ("openai", "openai-chat", "openai-prompt")
_SPEC = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.]*")


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
    if not _SPEC.fullmatch(spec):
        bundled = ", ".join(BUNDLED + OPENAI)
        raise AgentError(f"{where}: write module:function, as in my_agent:answer; bundled: {bundled}")
    module_name, _, attribute = spec.partition(":")
    if module_name.endswith(".py"):
        raise AgentError(f"{where}: write the module without .py: {module_name.removesuffix('.py')}:{attribute}")
    for directory in reversed([str(path) for path in search]):
        if directory not in sys.path:
            sys.path.insert(0, directory)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise AgentError(f"{where}: cannot import {module_name}: {_import_failure(error)}") from error
    agent = _resolve(where, module, attribute, instantiate=instantiate)
    if inspect.isclass(agent) and not instantiate:
        return _typed(agent)  # looked at only, never asked
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


def _resolve(where: str, module: Any, attribute: str, *, instantiate: bool) -> Any:
    owner: Any = None
    found: Any = module
    for name in attribute.split("."):
        owner, found = found, getattr(found, name, _MISSING)
        if found is _MISSING:
            raise AgentError(f"{where}: {_called(owner)} has no {name!r}{_suggestion(owner, name)}")
    needs_instance = inspect.isclass(owner) and inspect.isfunction(found) and not _is_static(owner, attribute)
    if not instantiate and (needs_instance or inspect.isclass(found)):
        return owner if needs_instance else found
    try:
        if needs_instance:
            return getattr(owner(), attribute.rpartition(".")[2])
        return found() if inspect.isclass(found) else found
    except (Exception, SystemExit) as error:
        name = (owner if needs_instance else found).__name__
        raise AgentError(
            f"{where}: {name}() failed, and an agent's class is instantiated without arguments: "
            f"{_import_failure(error)}"
        ) from error


_MISSING = object()


def _is_static(owner: type, attribute: str) -> bool:
    return isinstance(inspect.getattr_static(owner, attribute.rpartition(".")[2]), staticmethod)


def _called(owner: Any) -> str:
    return f"module {owner.__name__}" if inspect.ismodule(owner) else getattr(owner, "__qualname__", repr(owner))


def _suggestion(owner: Any, name: str) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 (only for a message)

    close = get_close_matches(name, [other for other in dir(owner) if not other.startswith("_")], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _import_failure(error: BaseException) -> str:
    """Say what an import raised, and where, if it was inside the user's own file."""
    text = f"{type(error).__name__}: {error}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    inner = [frame for frame in frames if frame.filename != __file__]
    if inner and inner[-1].lineno:
        text += f" ({inner[-1].filename}:{inner[-1].lineno})"
    return text
