"""What pytest-xdist has and does not publish: each by a function of its own, with what is done where it is gone."""

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


def interactor_of(config: pytest.Config) -> Any | None:
    """Return the plugin by which pytest-xdist runs a worker."""
    return next((plugin for plugin in config.pluginmanager.get_plugins() if hasattr(plugin, "torun")), None)
