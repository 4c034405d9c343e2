"""Import this package's modules as they are written, past pytest's rewriting of asserts.

pytest rewrites the asserts in every module of a package that brings a plugin, so that they explain themselves when they
fail, and keeps the result in a cache of its own. Where it cannot write that cache, or has not yet, each process reads,
rewrites and compiles all modules anew, although Python has them compiled. For this package, which asserts nothing, that
took longer than all the rest of a session of one pivot. The asserts of users' modules are rewritten as ever.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_PACKAGE = __name__.partition(".")[0] + "."


class AsWritten:
    """A finder that leaves the modules of this package to Python's own, and knows no others."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Find a module of this package where Python would; None for any other."""
        return PathFinder.find_spec(name, path, target) if name.startswith(_PACKAGE) else None


def import_as_written() -> None:
    """Import modules of this package past any finder that is there now; may be called again for those that came since.

    The finder stays when pytest has taken its own away: it changes nothing then.
    """
    if AsWritten in sys.meta_path:
        sys.meta_path.remove(AsWritten)
    sys.meta_path.insert(0, AsWritten)
