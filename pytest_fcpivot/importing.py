"""What `module:attribute` names: agents and graders of the user's own modules."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import traceback
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pytest_fcpivot.errors import FcPivotError

_SPEC = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.]*")
_MISSING = object()


class Attribute(NamedTuple):
    """What a spec names: `value`, by the last part of its name, in `owner`, a module or a class."""

    owner: Any
    name: str
    value: Any

    @property
    def to_make(self) -> type | None:
        """The class that an object is needed of: the value, or the class of a plain method; None if it is none."""
        if inspect.isclass(self.value):
            return self.value
        plain = inspect.isclass(self.owner) and inspect.isfunction(self.value)
        return self.owner if plain and not self._is_static() else None

    def of(self, made: Any) -> Any:
        """Return what is named, given an object of the class `to_make`."""
        return made if inspect.isclass(self.value) else getattr(made, self.name)

    def _is_static(self) -> bool:
        return isinstance(inspect.getattr_static(self.owner, self.name), staticmethod)


def is_spec(text: str) -> bool:
    """Tell whether a text has the form `module:attribute`."""
    return _SPEC.fullmatch(text) is not None


def find_attribute(spec: str, search: Iterable[Path], *, where: str, error: type[FcPivotError]) -> Attribute:
    """Import what `module:attribute` names; `is_spec(spec)` holds.

    `search` holds directories to import from, first ones first. Raises `error`, which begins with `where` and has the
    reason of the module's own inside, if it cannot be had.
    """
    module_name, _, path = spec.partition(":")
    if module_name.endswith(".py"):
        raise error(f"{where}: write the module without .py: {module_name.removesuffix('.py')}:{path}")
    for directory in reversed([str(path) for path in search]):
        if directory not in sys.path:
            sys.path.insert(0, directory)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as failure:
        raise error(f"{where}: cannot import {module_name}: {describe_failure(failure)}") from failure
    found = Attribute(None, module_name, module)
    for name in path.split("."):
        owner = found.value
        found = Attribute(owner, name, getattr(owner, name, _MISSING))
        if found.value is _MISSING:
            raise error(f"{where}: {_called(owner)} has no {name!r}{_suggestion(owner, name)}")
    return found


def _called(owner: Any) -> str:
    return f"module {owner.__name__}" if inspect.ismodule(owner) else getattr(owner, "__qualname__", repr(owner))


def _suggestion(owner: Any, name: str) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 (only for a message)

    close = get_close_matches(name, [other for other in dir(owner) if not other.startswith("_")], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def describe_failure(error: BaseException) -> str:
    """Say what the user's own code raised, and where, if it was inside a file of theirs."""
    text = f"{type(error).__name__}: {error}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    # the first frames are of whoever caught it
    inner = [frame for frame in frames[1:] if frame.filename != __file__]
    if inner and inner[-1].lineno:
        text += f" ({inner[-1].filename}:{inner[-1].lineno})"
    return text
