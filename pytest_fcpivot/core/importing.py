"""Imports what `module:attribute` names: agents and graders in the user's own modules."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_fcpivot.core.encodings import encoding_of_file, save_as_utf8

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_fcpivot.core.errors import FcPivotError

_SPEC = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.]*")
_MISSING = object()


class Attribute(NamedTuple):
    """The object that a spec names: `value` is the attribute `name` of `owner`, a module or a class."""

    owner: Any
    name: str
    value: Any

    @property
    def to_make(self) -> type | None:
        """The class that has to be instantiated first: the value itself, or the class of a plain method; else None."""
        if inspect.isclass(self.value):
            return self.value
        plain = inspect.isclass(self.owner) and inspect.isfunction(self.value)
        return self.owner if plain and not self._is_static() else None

    def of(self, made: Any) -> Any:
        """Return what the spec names, given an instance of the class `to_make`: the instance itself or its method."""
        return made if inspect.isclass(self.value) else getattr(made, self.name)

    def _is_static(self) -> bool:
        return isinstance(inspect.getattr_static(self.owner, self.name), staticmethod)


def is_spec(text: str) -> bool:
    """Return whether a text has the form `module:attribute`."""
    return _SPEC.fullmatch(text) is not None


def find_attribute(spec: str, search: Iterable[Path], *, where: str, error: type[FcPivotError]) -> Attribute:
    """Import what `module:attribute` names; the caller has checked that `is_spec(spec)` is true.

    `search` lists the directories to import from, in order of preference; they stay on `sys.path`. Raises `error` if
    the import fails or the attribute is missing; its message begins with `where` and includes the module's own error.
    """
    module_name, _, path = spec.partition(":")
    if module_name.endswith(".py"):
        raise error(f"{where}: write the module without .py: {module_name.removesuffix('.py')}:{path}")
    directories = [*dict.fromkeys(str(path) for path in search)]
    for directory in reversed(directories):
        if directory not in sys.path:
            sys.path.insert(0, directory)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as failure:
        reason = _why_not_imported(module_name, failure, directories)
        raise error(f"{where}: cannot import {module_name}: {reason}") from failure
    found = Attribute(None, module_name, module)
    for name in path.split("."):
        owner = found.value
        found = Attribute(owner, name, getattr(owner, name, _MISSING))
        if found.value is _MISSING:
            raise error(f"{where}: {_called(owner)} has no {name!r}{_suggestion(owner, name)}{_home(module)}")
    return found


def _why_not_imported(module: str, failure: BaseException, directories: Sequence[str]) -> str:
    """Explain why a module cannot be imported, with the directories that were searched if it was not found."""
    reason = describe_failure(failure)
    if isinstance(failure, ModuleNotFoundError) and f"{module}.".startswith(f"{failure.name}."):
        above = failure.name.rpartition(".")[0] if failure.name else ""
        if above in sys.modules:
            places = [str(path) for path in getattr(sys.modules[above], "__path__", ())]
            return f"{reason}; looked in {', '.join(places)}" if places else f"{reason}; {above} is not a package"
        listed = ", ".join(directories) + ", and then in " if directories else ""
        return f"{reason}; looked in {listed}the {len(sys.path) - len(directories)} directories of Python's own path"
    if isinstance(failure, SyntaxError):
        file = _file_of(module)
        encoding = None if file is None else encoding_of_file(file)
        if encoding is not None:
            return f"{file}: {save_as_utf8(encoding)}"
    return reason


def _file_of(module: str) -> Path | None:
    """Return the source file of a module that cannot be imported."""
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return None if found is None or not found.has_location or found.origin is None else Path(found.origin)


def _home(module: Any) -> str:
    """Return the file of a module in parentheses: the user may have meant another module of the same name."""
    file = getattr(module, "__file__", None)
    return f" ({module.__name__} is {file})" if file else ""


def _called(owner: Any) -> str:
    return f"module {owner.__name__}" if inspect.ismodule(owner) else getattr(owner, "__qualname__", repr(owner))


def _suggestion(owner: Any, name: str) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 (only for a message)

    close = get_close_matches(name, [other for other in dir(owner) if not other.startswith("_")], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def describe_failure(error: BaseException) -> str:
    """Return the type and text of an exception from the user's code, with the file and line that raised it if known."""
    text = f"{type(error).__name__}: {error}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    # the first frame is that of our function which caught the exception
    inner = [frame for frame in frames[1:] if frame.filename != __file__]
    if inner and inner[-1].lineno:
        text += f" ({inner[-1].filename}:{inner[-1].lineno})"
    return text
