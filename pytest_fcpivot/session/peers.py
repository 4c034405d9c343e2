"""Recognise other plugins by the options that they define, and not by the name they are registered under.

The registered name depends on how a plugin is loaded: pytest-xdist is `xdist` by its entry point, but `xdist.plugin`
with `-p xdist.plugin`, which is needed where PYTEST_DISABLE_PLUGIN_AUTOLOAD is set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def has_option(config: pytest.Config, name: str) -> bool:
    """Return whether some plugin defines an option; `name` is the option's `dest`."""
    return hasattr(config.option, name)
