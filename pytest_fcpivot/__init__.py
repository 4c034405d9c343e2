"""Run function-calling pivots as pytest cases.

The public names are imported on first use: every pytest session in the environment loads this package as a plugin, and
its import must not slow down sessions that run no pivots.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_fcpivot.core.actions import to_action
    from pytest_fcpivot.core.dialects import DIALECT_NAMES, Tools, parse_text
    from pytest_fcpivot.core.dialects.writing import render, render_action
    from pytest_fcpivot.core.errors import (
        ActionError,
        AgentError,
        DataError,
        DialectError,
        FatalAgentError,
        FcPivotError,
        GraderError,
        OptionError,
        TransientAgentError,
    )
    from pytest_fcpivot.core.model import Action, FunctionCall, Grade, Message, Pivot, PivotView, SchemaVerdict
    from pytest_fcpivot.core.version import __version__
    from pytest_fcpivot.data import load_pivots
    from pytest_fcpivot.graders import Grader, grade
    from pytest_fcpivot.schema.toolset import check_schema

__all__ = [
    "DIALECT_NAMES",
    "Action",
    "ActionError",
    "AgentError",
    "DataError",
    "DialectError",
    "FatalAgentError",
    "FcPivotError",
    "FunctionCall",
    "Grade",
    "Grader",
    "GraderError",
    "Message",
    "OptionError",
    "Pivot",
    "PivotView",
    "SchemaVerdict",
    "Tools",
    "TransientAgentError",
    "__version__",
    "check_schema",
    "grade",
    "load_pivots",
    "parse_text",
    "render",
    "render_action",
    "to_action",
]

_HOMES = {
    "core.actions": ("to_action",),
    "core.dialects": ("DIALECT_NAMES", "Tools", "parse_text"),
    "core.dialects.writing": ("render", "render_action"),
    "data": ("load_pivots",),
    "core.errors": (
        "ActionError",
        "AgentError",
        "DataError",
        "DialectError",
        "FatalAgentError",
        "FcPivotError",
        "GraderError",
        "OptionError",
        "TransientAgentError",
    ),
    "graders": ("Grader", "grade"),
    "core.version": ("__version__",),
    "core.model": ("Action", "FunctionCall", "Grade", "Message", "Pivot", "PivotView", "SchemaVerdict"),
    "schema.toolset": ("check_schema",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
