"""What pytest-xdist has and does not publish is still there: each fails here first when a new xdist takes it away."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from pytest_fcpivot.distributed import compat

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("xdist", reason="pytest-xdist is not installed: pip install -e '.[test]'")

# Of a session with one worker: what each side finds.
CONFTEST = """
import json
import pathlib
import pytest
from pytest_fcpivot.distributed import compat, scheduler

FACTS = pathlib.Path(__file__).with_name("facts.json")

def pytest_configure(config):
    if hasattr(config, "workerinput"):
        config.heard = []
        compat.hear_commands(config, "test_command", lambda told: config.heard.append(told["word"]))

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report):
    pass

def pytest_runtest_protocol(item):
    config = item.config
    if hasattr(config, "workerinput"):
        config.workeroutput["queue"] = [item.session.items[place].name for place in compat.queue_of(config)]

@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    config = session.config
    if hasattr(config, "workerinput"):
        config.workeroutput["heard"] = config.heard

def pytest_testnodeready(node):
    node.sendcommand("test_command", word="well")

@pytest.hookimpl(tryfirst=True)
def pytest_testnodedown(node, error):
    controller = compat.xdist_controller(node.config)
    FACTS.write_text(json.dumps({
        "queue": node.workeroutput["queue"],
        "heard": node.workeroutput["heard"],
        "workers": len(compat.active_workers(controller)),
        "restarts": compat.replace_restart(controller, lambda node: node) is not None,
        "needs": compat.has_all(controller.sched, scheduler.LOAD_NEEDS),
        "left": compat.has_tests_left(controller.sched, node),
        "puts back": compat.put_back(controller.sched, "test_two.py::test_b"),
        "known": compat.has_xdist(node.config),
    }))
"""


def test_both_sides(pytester: pytest.Pytester) -> None:
    """A worker shows its queue and hears a command; its controller tells its workers, and how they are restarted."""
    pytester.makeconftest(CONFTEST)
    path: Path = pytester.makepyfile(test_two="def test_a(): pass\ndef test_b(): pass\n")
    done = pytester.run(sys.executable, "-m", "pytest", "-n1", "-p", "no:cacheprovider", path)
    assert done.ret == 0
    assert json.loads(pytester.path.joinpath("facts.json").read_text(encoding="utf-8")) == {
        "queue": [],  # at the last test
        "heard": ["well"],
        "workers": 1,
        "restarts": True,
        "needs": True,
        "left": False,
        "puts back": True,
        "known": True,
    }


@pytest.mark.parametrize("kind", ["LoadScopeScheduling", "LoadFileScheduling", "LoadGroupScheduling"])
def test_groups(kind: str) -> None:
    """The schedulers that keep groups together have what ours builds on, in the class or made by it."""
    from xdist import scheduler as xdist_schedulers  # noqa: PLC0415 (it may not be installed)

    from pytest_fcpivot.distributed.scheduler import GROUPS_NEED  # noqa: PLC0415

    option = SimpleNamespace(loadscopereorder=True)
    config = SimpleNamespace(getvalue=lambda name: ["popen"] if name == "tx" else None, option=option)
    made = getattr(xdist_schedulers, kind)(config)
    assert compat.has_all(made, GROUPS_NEED)
    assert compat.runs_crashed_test_again(made)
    assert list(compat.units_of(made, None)) == []
