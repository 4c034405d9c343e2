"""The time limit of the sessions that tests run in their own process."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pivot_project import Project

pytest_plugins = ["pivot_project"]


WAITS = "import threading; print('so far so good'); threading.Event().wait()"
HANGING = {
    "test": ("test_it.py", f"def test_it():\n    {WAITS}\n"),
    "agent": ("waits.py", f"def answer(pivot):\n    {WAITS}\n"),
    "conftest": ("conftest.py", f"{WAITS}\n"),
}


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="without a timer, there is no limit")
@pytest.mark.parametrize("where", HANGING)
def test_a_session_that_hangs(project: Project, where: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A session that does not end fails its test, with what it had written by then, and the next session runs."""
    name, code = HANGING[where]
    project.write(name, code)
    options = project.puppet(project.mixed_rows())
    hanging = ["test_it.py"] if where == "test" else [options[0], "--fc-agent=waits:answer"]
    with pytest.raises(pytest.fail.Exception, match=r"had not ended after 1 s, and was interrupted") as failed:
        project.run_here(*hanging, "-s", within_s=1)
    assert "so far so good" in f"{failed.value}{capsys.readouterr().out}"
    (project.path / name).unlink()
    assert project.run_here(*options).ret == pytest.ExitCode.TESTS_FAILED
