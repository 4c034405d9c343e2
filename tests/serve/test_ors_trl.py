"""TRL's own adapter for ORS servers, as the documentation calls it; skipped where TRL is not installed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from ors_server import Server, rows, serving, write_rows

from pytest_fcpivot import grade, load_pivots

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore")
pytest.importorskip("openreward", exc_type=ImportError)
pytest.importorskip("datasets", exc_type=ImportError)
OpenRewardSpec = pytest.importorskip("trl.experimental.openreward", exc_type=ImportError).OpenRewardSpec


@pytest.fixture(autouse=True)
def _without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the client from asking the package index for a newer one of itself."""
    monkeypatch.setenv("OPENREWARD_DISABLE_UPDATE_CHECK", "1")


def spec_of(server: Server, monkeypatch: pytest.MonkeyPatch, **asked: Any) -> Any:
    """Return TRL's object for a server, whose client is told by the environment that a server has one address."""
    monkeypatch.setenv("OPENREWARD_SESSION_URL", server.url)
    monkeypatch.setenv("OPENREWARD_API_URL", server.url)
    return OpenRewardSpec(server.url, **asked)


def test_generic_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """TRL binds the two tools once, and gets each task's reward by its index."""
    pivots = load_pivots()
    with serving("sample", mode="generic") as server:
        spec = spec_of(server, monkeypatch, num_tasks=12)
        assert [row["task_index"] for row in spec.train_dataset] == list(range(12))
        assert [row["id"] for row in spec.train_dataset] == [pivot.id for pivot in pivots[:12]]
        environment = spec.environment_factory()
        for row in spec.train_dataset:
            pivot = pivots[row["task_index"]]
            assert environment.reset(**row).startswith("[functions]\n")
            expected = pivot.expected_action
            if expected.calls:
                call = expected.calls[0]
                environment.call_function(name=call.name, arguments=json.loads(call.arguments))
            else:
                environment.submit_message(message=expected.message)
            assert spec.reward_funcs([environment]) == [grade(pivot, expected).reward]
            assert environment.finished
        environment.reset(task_index=0)
        assert spec.reward_funcs([environment]) == [None]
        environment._close()


def test_the_environment_that_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several environments, TRL trains on the one that its user names."""
    message = {"type": "message", "content": "Hello"}
    path = write_rows(tmp_path / "rows.jsonl", rows(message, message))
    with serving("sample", f"small={path}", mode="generic") as server:
        spec = spec_of(server, monkeypatch, env_name="small")
        assert len(spec.train_dataset) == 2
        environment = spec.environment_factory()
        assert environment.reset(task_index=1).endswith("[user]\nHello?")
        environment._close()
        assert len(spec_of(server, monkeypatch).train_dataset) == len(load_pivots())
