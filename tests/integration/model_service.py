"""The fixture of the tests with a model: a server on loopback that speaks OpenAI's APIs, one process for all tests.

A plugin that the test modules name, as `pivot_project` is.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "fixtures"))

from model_server import ModelServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pivot_project import Project

Result = dict[str, Any]

_RUN = "the-run"
# Enough for every request of a test.
_BODIES_KEPT = 1000


class Model:
    """The server, and sessions that ask it."""

    def __init__(self, server: ModelServer) -> None:
        self._server = server
        self.url = server.url

    def configure(self, **config: Any) -> None:
        """Set the server up anew, keeping requests unless told otherwise; the counts begin again."""
        self._server.configure(**{"keep_bodies": _BODIES_KEPT, **config})

    def stats(self) -> dict[str, Any]:
        """Return what the server has counted."""
        return self._server.stats()

    def options(self, agent: str = "openai", *, run: str = _RUN) -> list[str]:
        """Return the options of a session that asks the server, recorded in the directory that `results` reads."""
        return [f"--fc-agent={agent}", f"--fc-base-url={self.url}", "--fc-model=puppet", f"--fc-run={run}"]

    @staticmethod
    def results(project: Project, run: str = _RUN) -> dict[str, Result]:
        """Read the results of a run by test name, each of which stands there once."""
        lines = (project.path / run / "results.jsonl").read_text(encoding="utf-8").splitlines()
        found: dict[str, Result] = {}
        for line in map(json.loads, lines):
            name = line["test"].rpartition("::")[2]
            assert name not in found, name
            found[name] = line
        return found

    @staticmethod
    def output(result: pytest.RunResult) -> str:
        """Return all that a session wrote."""
        return result.stdout.str() + "\n" + result.stderr.str()

    @classmethod
    def retries(cls, result: pytest.RunResult) -> dict[str, int]:
        """Read the retries of a session by cause from its summary, where they add up; none if there is no line."""
        found = re.search(r"(?m)^retries: (\d+) in \d+ calls \((.*)\)$", cls.output(result))
        if found is None:
            return {}
        causes = {cause.rpartition(" ")[0]: int(cause.rpartition(" ")[2]) for cause in found[2].split(", ")}
        assert sum(causes.values()) == int(found[1])
        return causes


@pytest.fixture(scope="session")
def running_model() -> Iterator[ModelServer]:
    """Run one server for all tests.

    It is asked once from here, so that this process has loaded all of the client before a test's session in it: what
    was loaded later would be dropped after the test, and half of a package loaded again.
    """
    with ModelServer() as server:
        asyncio.run(_ask_for_models(server.url))
        yield server


async def _ask_for_models(url: str) -> None:
    import openai  # noqa: PLC0415 (half a second, for the tests that need it)

    async with openai.AsyncOpenAI(base_url=url, api_key="none") as client:
        await client.models.list()


@pytest.fixture
def model(running_model: ModelServer, monkeypatch: pytest.MonkeyPatch) -> Model:
    """Return the server as it is by default; the environment has no settings of a client."""
    for name in list(os.environ):
        if name.startswith("OPENAI_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    model = Model(running_model)
    model.configure()
    return model
