"""The fixture of the tests of the judge: a server on loopback whose model judges; a plugin that test modules name."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "fixtures"))

from model_server import ModelServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def running_judge() -> Iterator[ModelServer]:
    """Run one server for all tests of the judge."""
    with ModelServer() as running:
        yield running


@pytest.fixture
def server(running_judge: ModelServer, monkeypatch: pytest.MonkeyPatch) -> ModelServer:
    """Return the server as it is by default, keeping requests; the environment has no settings of a client."""
    for name in [name for name in os.environ if name.startswith("OPENAI_")]:
        monkeypatch.delenv(name)
    running_judge.configure(keep_bodies=100)
    return running_judge
