"""Other plugins of a session, known by what they are and by the options that they define, not by a name.

The name that a plugin is registered under is not its own: `-p xdist.plugin`, which is the way to load it where
PYTEST_DISABLE_PLUGIN_AUTOLOAD is set, names it so, and its entry point `xdist`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest


def has_xdist(config: pytest.Config) -> bool:
    """Tell whether pytest-xdist takes part in a session, be it that it has nothing to do."""
    module = sys.modules.get("xdist.plugin")  # pytest has imported what it has registered
    return module is not None and module in config.pluginmanager.get_plugins()


def xdist_controller(config: pytest.Config) -> Any | None:
    """Return the plugin by which pytest-xdist hands tests to workers; None if this process runs its tests itself.

    It is there from the end of pytest_configure on.
    """
    module = sys.modules.get("xdist.dsession")
    if module is None:
        return None
    return next((each for each in config.pluginmanager.get_plugins() if isinstance(each, module.DSession)), None)


def has_option(config: pytest.Config, name: str) -> bool:
    """Tell whether a plugin has defined an option, by the name that its value has."""
    return hasattr(config.option, name)
