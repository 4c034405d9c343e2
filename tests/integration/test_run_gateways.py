"""Several machines in one session: the commands of docs/machines.md, run as they are written, on loopback."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fcpivot.runs.ending import UNTRUSTED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from counting_agent import Counted, Session
    from pivot_project import Project, Row

pytest_plugins = ["pivot_project", "counting_agent"]

PAGE = Path(__file__).parents[2] / "docs" / "machines.md"
NAMES = ("worker1", "worker2")
DATA = "train.jsonl"
PATIENCE_S = 90.0
# The puppet, which notes what it is asked beside itself. Where there is a file `hangs`, it hangs.
AGENT = """
import os
import time
from pathlib import Path

import puppet

HERE = Path(__file__).parent


def answer(pivot):
    with (HERE / "asked.log").open("a") as log:
        log.write(pivot.id + "\\n")
    while (HERE / "hangs").exists():
        time.sleep(0.01)
    time.sleep(0.01)
    return puppet.answer(pivot)
"""
# Takes the place of ssh: `ssh -C HOST COMMAND` runs in a home and an environment of its own.
SSH = """#!/bin/sh
test "$1" = -C || exit 255
cd "{homes}/$2" 2>/dev/null || exit 255
exec env -i PATH="$PATH" PYTHONPATH="$PYTHONPATH" HOME="$PWD" \\
    FC_CACHE_DIR="$PWD/.cache" PYTEST_ADDOPTS="$PYTEST_ADDOPTS" sh -c "$3"
"""


def _commands(program: str) -> list[str]:
    """Return the page's commands that begin so."""
    blocks = re.findall(r"```sh[^\n]*\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.startswith(program)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@dataclass
class Machines:
    """Two machines with the project's files, each with a directory and a socket server of its own."""

    counted: Counted
    homes: Path
    servers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    @property
    def project(self) -> Project:
        """The project on the controller's machine."""
        return self.counted.project

    def directory(self, name: str) -> Path:
        """Return a machine's copy of the project."""
        return self.homes / name / "pivots"

    def write(self, rows: list[Row]) -> None:
        """Write the data and the agent, here and there."""
        self.project.puppet(rows, DATA)
        self.project.write("my_agent.py", AGENT)
        for name in NAMES:
            self.directory(name).mkdir(parents=True)
            for file in (DATA, "puppet.py", "my_agent.py"):
                shutil.copy(self.project.path / file, self.directory(name))

    def serve(self, *names: str) -> None:
        """Start socket servers by the page's command, and wait until they take connections."""
        (command,) = _commands("python -m execnet")
        written, *arguments = shlex.split(command, comments=True)
        assert (written, arguments[-1]) == ("python", "127.0.0.1:8888")
        for name in names:
            port = self.ports[name] = _free_port()
            # A machine has an environment of its own.
            environment = {key: value for key, value in os.environ.items() if not key.startswith("FC_")}
            environment |= {"FC_CACHE_DIR": str(self.homes / name / "cache"), "PYTHONUNBUFFERED": "1"}
            with (self.homes / name / "server.log").open("wb") as log:
                self.servers[name] = subprocess.Popen(
                    [sys.executable, *arguments[:-1], f"127.0.0.1:{port}"],
                    cwd=self.directory(name),
                    env=environment,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    stdin=subprocess.DEVNULL,
                )
        ends = time.monotonic() + PATIENCE_S
        for name in names:
            # A connection, to see if it is there, would be taken for a session.
            printed = self.homes / name / "server.log"
            while "Entering Accept loop" not in printed.read_text():
                assert time.monotonic() < ends, printed.read_text()
                assert self.servers[name].poll() is None, printed.read_text()
                time.sleep(0.01)

    def lose(self, name: str) -> None:
        """Kill a machine's server, which is its worker too."""
        self.servers[name].kill()
        self.servers[name].wait(PATIENCE_S)

    def end(self) -> None:
        """Kill the servers that still run."""
        for name, server in self.servers.items():
            if server.poll() is None:
                self.lose(name)

    def arguments(self, kind: str) -> list[str]:
        """Return the arguments of the page's pytest command, with the servers' own ports."""
        (command,) = [line for line in _commands("pytest ") if f"--tx {kind}=" in line]
        for written, port in zip((8881, 8882), self.ports.values(), strict=False):
            assert kind != "socket" or command.count(f":{written}//") == 1
            command = command.replace(f":{written}//", f":{port}//")
        return shlex.split(command)[1:]

    def asked(self, name: str) -> list[str]:
        """Return the pivots that a machine's agent was asked at."""
        log = self.directory(name) / "asked.log"
        return log.read_text().split() if log.exists() else []

    def verdicts(self, run: Path) -> dict[str, Row]:
        """Return the results of a run by test, without times, and without the places in an error's text."""
        found = self.counted.verdicts(self.counted.results(run))
        return {test: row | {"error": row["error"] and row["error"].splitlines()[0]} for test, row in found.items()}

    def reported(self, run: Path) -> int:
        """Count the results of a run that goes on."""
        return len(self.counted.whole_lines(run)) if (run / "results.jsonl").exists() else 0

    def start(self, *more: str) -> Session:
        """Begin the page's session in the background."""
        return self.counted.start(*self.arguments("socket"), *more)


@pytest.fixture
def machines(counted: Counted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """Return two machines without files."""
    pytest.importorskip("xdist.plugin")
    made = Machines(counted, tmp_path_factory.mktemp("homes"))
    yield made
    made.end()


def _alone(machines: Machines) -> tuple[pytest.RunResult, dict[str, Row]]:
    """Run the same data in one process; return its session and its results."""
    result = machines.project.run_here("--fc-agent=my_agent:answer", f"--fc-data={DATA}", "--fc-run=alone")
    return result, machines.verdicts(machines.project.path / "alone")


def _summary(machines: Machines, result: pytest.RunResult) -> list[str]:
    """Return the summary without where the run is, and times."""
    lines = machines.project.summary(result).splitlines()
    return [line for line in lines if not line.startswith(("run recorded in", "latency:"))]


def _assert_complete(machines: Machines, run: Path, verdicts: dict[str, Row]) -> None:
    """Check that a run is whole, here, and that no machine has anything of it."""
    assert machines.verdicts(run) == verdicts
    assert len(machines.counted.lines(run)) == len(verdicts)
    described = machines.counted.described(run)
    assert [data["path"] for data in described["data"]] == [str(machines.project.path / DATA)]
    assert not (run / "calls").exists()
    for name in NAMES:
        assert not list(machines.homes.joinpath(name).rglob("run.json"))
        assert not list(machines.homes.joinpath(name).rglob("calls"))


def test_over_sockets(machines: Machines) -> None:
    """The page's session over two socket servers has the verdicts, summary, JUnit and run of one in one process."""
    machines.write(machines.project.mixed_rows())
    alone, verdicts = _alone(machines)
    machines.serve(*NAMES)
    # In a process of its own, as all of these: execnet leaves its sockets to the end of the process.
    shared = machines.project.run(*machines.arguments("socket"), "--fc-run=shared", "--junitxml=cases.xml")
    outcomes = machines.project.outcomes()
    assert _summary(machines, shared) == _summary(machines, alone)
    assert shared.ret == alone.ret == pytest.ExitCode.TESTS_FAILED
    _assert_complete(machines, machines.project.path / "shared", verdicts)
    named = {"passed": "passed", "failed": "failure", "error": "error"}
    assert outcomes == {row["pivot_id"]: named[row["outcome"]] for row in verdicts.values()}
    assert "--lf" not in shared.stdout.str()
    asked = [machines.asked(name) for name in NAMES]
    assert all(asked)
    assert sorted(asked[0] + asked[1]) == sorted(row["pivot_id"] for row in verdicts.values())

    again = machines.project.run(*machines.arguments("socket"))
    assert again.ret == pytest.ExitCode.USAGE_ERROR
    assert "has run another session, whose modules" in again.stderr.str()


def test_over_ssh(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's session over ssh does the same, with options that only the controller's environment and ini file have.

    Its tests are named as here, though the machines have their rootdir elsewhere.
    """
    machines.write(machines.project.mixed_rows(24))
    for name in NAMES:
        (machines.homes / name / "pytest.ini").write_text("[pytest]\n")
    machines.project.write("pytest.ini", "[pytest]\nfc_grader = nemo-gym:any-order\n")
    monkeypatch.setenv("FC_REPEATS", "2")
    alone, verdicts = _alone(machines)
    python = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'
    ssh = machines.project.write("bin/ssh", SSH.format(homes=machines.homes))
    machines.project.path.joinpath("bin/ssh").chmod(0o755)
    for name in NAMES:
        there = machines.directory(name) / ".venv/bin/python"
        there.parent.mkdir(parents=True)
        there.write_text(python)
        there.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ssh.parent}{os.pathsep}{os.environ['PATH']}")
    shared = machines.project.run(*machines.arguments("ssh"), "--fc-run=shared")
    assert _summary(machines, shared) == _summary(machines, alone)
    assert shared.ret == alone.ret
    _assert_complete(machines, machines.project.path / "shared", verdicts)
    assert machines.counted.described(machines.project.path / "shared")["grader"]["name"] == "nemo-gym:any-order"
    assert len(verdicts) == 48
    assert all(machines.asked(name) for name in NAMES)


@pytest.mark.parametrize("when", ["midway", "at the end"])
def test_a_machine_that_is_lost(machines: Machines, when: str) -> None:
    """The other machine runs the tests of a lost one, even if it had finished its own, and no result is lost."""
    lost, other = NAMES
    machines.write(machines.project.mixed_rows(40 if when == "midway" else 4))
    _, verdicts = _alone(machines)
    (machines.directory(lost) / "hangs").touch()
    if when == "midway":
        (machines.directory(other) / "hangs").touch()
    machines.serve(*NAMES)
    session = machines.start("--fc-run=shared")
    session.wait_until(lambda: bool(machines.asked(lost)))
    if when == "midway":
        session.wait_until(lambda: bool(machines.asked(other)))
    else:
        session.wait_until(lambda: machines.reported(machines.project.path / "shared") == 2)
    machines.lose(lost)
    (machines.directory(other) / "hangs").unlink(missing_ok=True)
    status, output = session.wait()
    assert re.search(rf"gw0 \(socket=127\.0\.0\.1:{machines.ports[lost]}\) is lost: .+", output), output
    assert "INTERNALERROR" not in output
    assert status == pytest.ExitCode.TESTS_FAILED, output
    _assert_complete(machines, machines.project.path / "shared", verdicts)
    assert set(machines.asked(other)) == {row["pivot_id"] for row in verdicts.values()}


def test_all_machines_are_lost(machines: Machines) -> None:
    """When all machines are lost, the remaining tests are errors that name them; the resumed run is complete."""
    machines.write(machines.project.mixed_rows())
    _, verdicts = _alone(machines)
    machines.serve(*NAMES)
    session = machines.start("--fc-run=shared", "--fc-concurrency=1")
    run = machines.project.path / "shared"
    session.wait_until(lambda: machines.reported(run) > 2)
    for name in NAMES:
        (machines.directory(name) / "hangs").touch()
        machines.lose(name)
    status, output = session.wait()
    assert status == UNTRUSTED, output
    lost = [
        row for row in machines.counted.results(run).values() if (row["error"] or "").startswith("not run, because no")
    ]
    assert lost
    for number, name in enumerate(NAMES):
        assert f"worker gw{number} (socket=127.0.0.1:{machines.ports[name]}) died" in lost[-1]["error"]
    assert f"ERROR: {len(lost)} of the {len(verdicts)} selected tests were not run: no worker is left;" in output
    assert "pytest --fc-resume=shared" in output
    assert machines.counted.results(run).keys() == verdicts.keys()
    machines.project.run_here("--fc-resume=shared")
    assert machines.verdicts(run) == verdicts


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (
            "other data",
            "train.jsonl: {there}/train.jsonl on the worker and {here}/train.jsonl here are different files (sha256 ",
        ),
        ("no data", "data file not found: train.jsonl (looked for {there}/train.jsonl)"),
        ("no agent", "--fc-agent=my_agent:answer: cannot import my_agent"),
    ],
    ids=["data", "no-data", "no-agent"],
)
def test_a_machine_with_other_files(machines: Machines, harm: str, message: str) -> None:
    """A machine on which the data differ, or something is missing, is refused by name, before anybody is asked."""
    machines.write(machines.project.mixed_rows())
    there = machines.directory(NAMES[1])
    if harm == "other data":
        with (there / DATA).open("a") as stream:
            stream.write("\n")
    else:
        (there / {"no data": DATA, "no agent": "my_agent.py"}[harm]).unlink()
    machines.serve(*NAMES)
    result = machines.project.run(*machines.arguments("socket"))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    expected = message.format(there=there, here=machines.project.path)
    assert f"ERROR: gw1 (socket=127.0.0.1:{machines.ports[NAMES[1]]}): {expected}" in result.stderr.str()
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    assert not any(machines.asked(name) for name in NAMES)
    assert not machines.counted.runs


def test_a_machine_that_cannot_be_reached(machines: Machines) -> None:
    """Without a server there, the session does not begin, and one message names the machine."""
    machines.write(machines.project.mixed_rows())
    machines.ports.update({name: _free_port() for name in NAMES})
    result = machines.project.run(*machines.arguments("socket"))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert re.search(rf"ERROR: gw0 \(socket=127.0.0.1:{machines.ports[NAMES[0]]}\): .*refused", result.stderr.str())
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()
    assert not machines.counted.runs


def test_a_path_is_refused(machines: Machines) -> None:
    """A path argument, which pytest-xdist cannot send to another machine, is refused with what to write instead."""
    machines.write(machines.project.mixed_rows())
    machines.serve(*NAMES)
    result = machines.project.run(*[*machines.arguments("socket")[:-1], DATA])
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "name the data with --fc-data=FILE" in result.stderr.str()
