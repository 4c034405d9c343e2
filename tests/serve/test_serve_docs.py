"""The commands of the documentation of `fcpivot serve`, as they are written there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ors_server import serving

# The commands, and what is shown below them.
SESSION = re.compile(
    r'```sh title="Run by the project.s tests in tests/serve.*?\n(.*?)```.*?```text\n(.*?)```', re.DOTALL
)
PAGE = Path(__file__).parents[2] / "docs" / "serve.md"


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_a_session_with_curl() -> None:
    """The commands open a session and get the result that is shown below them, but for its random id."""
    commands, shown = SESSION.findall(PAGE.read_text(encoding="utf-8"))[0]
    with serving("sample") as server:
        told = commands.replace("localhost:8080", f"127.0.0.1:{server.port}")
        done = subprocess.run(["bash", "-e", "-c", told], capture_output=True, text=True, check=True)
        assert len(server.app.sessions) == 0
    assert "[system]\\nYou control a home." in done.stdout
    assert _without_ids(shown) in _without_ids(done.stdout)


def _without_ids(text: str) -> str:
    return re.sub("[0-9a-f]{32}", "ID", text)
