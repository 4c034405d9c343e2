"""Other plugins of a session, known by what they are and by the options that they define, not by a name.

The name that a plugin is registered under is not its own: `-p xdist.plugin`, which is the way to load it where
PYTEST_DISABLE_PLUGIN_AUTOLOAD is set, names it so, and its entry point `xdist`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def has_option(config: pytest.Config, name: str) -> bool:
    """Return whether a plugin has defined an option, by the name that its value has."""
    return hasattr(config.option, name)
