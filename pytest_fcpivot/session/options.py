"""Declare the options to pytest, and find out whether any of them was given.

Every pytest session in the environment imports this module, so it imports nothing but the table of options.
"""

from __future__ import annotations

import inspect
import os
import shlex
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.options.table import OPTIONS, Option, option_of

if TYPE_CHECKING:
    import pytest

FIXTURE_HOME = "pytest_fcpivot.plugin"  # the module of the plugin's own fixtures
WORKER_KEY = "fcpivot"  # of what a worker of pytest-xdist and its controller send to each other


def register(parser: pytest.Parser) -> None:
    """Declare the options, on the command line and in the ini file."""
    group = parser.getgroup("fcpivot", "function-calling pivots")
    for option in OPTIONS:
        if option.kind == "flag":
            group.addoption(option.flag, dest=option.dest, action="store_true", default=None, help=option.help)
        elif option.kind in ("maybe", "maybe list"):
            group.addoption(
                option.flag,
                dest=option.dest,
                action="append" if option.kind == "maybe list" else "store",
                nargs="?",
                const=option.bare,
                default=None,
                metavar=option.metavar,
                help=option.help,
            )
        elif option.kind == "list":
            group.addoption(
                option.flag, dest=option.dest, action="append", default=None, metavar=option.metavar, help=option.help
            )
        else:
            group.addoption(option.flag, dest=option.dest, default=None, metavar=option.metavar, help=option.help)
        parser.addini(option.dest, option.help, type="string", default="")


def command_line(config: pytest.Config) -> list[str]:
    """Return the arguments with which pytest was called, including those in an `@file`, but not those of `addopts`."""
    arguments = []
    for argument in map(str, config.invocation_params.args):
        file = Path(config.invocation_params.dir, argument[1:])
        if argument.startswith("@") and file.is_file():
            arguments += file.read_text(encoding="utf-8").splitlines()
        else:
            arguments.append(argument)
    return arguments


def on_command_line(config: pytest.Config) -> bool:
    """Return whether any option was given on the command line itself, not by `addopts`."""
    return any(argument.startswith("--fc-") for argument in command_line(config))


def asked_for(config: pytest.Config) -> bool:
    """Return whether any option was given in any way."""
    return WORKER_KEY in getattr(config, "workerinput", {}) or any(is_set(config, option) for option in OPTIONS)


def is_set(config: pytest.Config, option: Option) -> bool:
    """Return whether an option is set by the command line (even to an empty value), the environment or the ini file."""
    typed = getattr(config.option, option.dest, None) is not None
    return typed or bool(os.environ.get(option.env) or config.getini(option.dest))


def given_so_far(config: pytest.Config) -> bool:
    """Return whether any option was given; for use before pytest has parsed its whole command line."""
    known = config.known_args_namespace
    return any(getattr(known, option.dest, None) is not None or os.environ.get(option.env) for option in OPTIONS)


def agent_is_built(config: pytest.Config) -> bool:
    """Return whether a conftest or a plugin has a fixture `fc_agent` that does without ours.

    This looks at modules instead of collected tests, because the controller of workers, which has to count the results,
    collects none.
    """
    modules = [plugin for plugin in config.pluginmanager.get_plugins() if isinstance(plugin, ModuleType)]
    found = [vars(module)["fc_agent"] for module in modules if "fc_agent" in vars(module)]
    return any(
        callable(each) and "fc_agent" not in inspect.signature(each).parameters for each in found if not _is_ours(each)
    )


def _is_ours(fixture: Any) -> bool:
    return bool(fixture.__module__ == FIXTURE_HOME)


def is_typed(config: pytest.Config, dest: str) -> bool:
    """Return whether an option was given on the command line itself."""
    flag = option_of(dest).flag
    return any(argument.partition("=")[0] == flag for argument in command_line(config))


def set_beside_command_line(config: pytest.Config, dest: str) -> bool:
    """Return whether the environment, the ini file or `addopts` set an option, whatever the command line says."""
    option = option_of(dest)
    if os.environ.get(option.env) or config.getini(dest):
        return True
    added = [*config.getini("addopts"), *shlex.split(os.environ.get("PYTEST_ADDOPTS", ""))]
    return any(argument.partition("=")[0] == option.flag for argument in added)
