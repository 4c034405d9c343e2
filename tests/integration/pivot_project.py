"""The fixtures of the integration tests: a project in a temporary directory, with data, agents and real sessions.

A plugin that the test modules name, rather than a conftest: the project has one at its root already, and mypy wants
one module of a name.
"""

from __future__ import annotations

import contextlib
import gc
import gzip
import importlib
import importlib.util
import io
import json
import os
import pkgutil
import re
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from remembered import remember_fixtures_of_pytest, remember_what_is_installed
from syrupy.extensions.amber import AmberSnapshotExtension
from time_limit import interrupted_after

from pytest_fcpivot.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from syrupy.assertion import SnapshotAssertion
    from syrupy.location import PyTestLocation

Row = dict[str, Any]

_NOT_OURS = {"CI", "BUILD_NUMBER"}
_BARE = Path(__file__).parent / "bare"
_PATIENCE_S = 120  # for a session that ends, on a machine with much else to do

# An agent that does as the last user turn tells it: `say TEXT`, `call NAME JSON`, several calls joined by ` & `.
PUPPET = '''
"""An agent that does as it is told."""

import asyncio
import os
import sys
import time

import pytest


class Unshowable(Exception):
    def __str__(self):
        raise ValueError("no text")


def answer(pivot):
    told = pivot.input[-1]["content"]
    verb, _, rest = told.partition(" ")
    if verb == "call":
        calls = [part.split(" ", 2)[1:] for part in told.split(" & ")]
        return [{"type": "function_call", "name": name, "arguments": text} for name, text in calls]
    if verb == "say":
        return rest
    if verb == "nothing":
        return None
    return ODD[verb](pivot, rest)


async def answer_async(pivot):
    if pivot.input[-1]["content"].startswith("hang"):
        await asyncio.sleep(600)
    await asyncio.sleep(0)
    return answer(pivot)


def raises(pivot, text):
    raise RuntimeError(text)


def unshowable(pivot, text):
    raise Unshowable


def interrupts(pivot, text):
    raise KeyboardInterrupt


def rubbish(pivot, text):
    return 3.14


def prints(pivot, text):
    print("the agent prints to stdout")
    print("and to stderr", file=sys.stderr)
    return text


def mutates(pivot, text):
    for thing in (pivot.input, pivot.tools, pivot.params, pivot.messages, pivot.chat_tools):
        thing.clear()
    return {"name": "add", "arguments": text}


ODD = {
    "raises": raises,
    "unshowable": unshowable,
    "interrupts": interrupts,
    "exits": lambda pivot, text: sys.exit(text or 0),
    "skips": lambda pivot, text: pytest.skip(text),
    "hangs": lambda pivot, text: time.sleep(600),
    "rubbish": rubbish,
    "prints": prints,
    "mutates": mutates,
    "dies": lambda pivot, text: os._exit(17),
}
'''


def tool(name: str, **properties: str) -> dict[str, Any]:
    """Return a flat function tool; `properties` gives the JSON type of each required argument."""
    return {
        "type": "function",
        "name": name,
        "description": f"The tool {name}.",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {key: {"type": kind} for key, kind in properties.items()},
            "required": list(properties),
        },
    }


TOOLS = [tool("add", a="integer"), tool("find", filters="array"), tool("book", city="string")]


def _expected(text: str) -> dict[str, Any]:
    verb, _, rest = text.partition(" ")
    if verb == "say":
        return {"type": "message", "content": rest}
    calls = []
    for part in text.split(" & "):
        _, name, arguments = part.split(" ", 2)
        calls.append({"type": "function_call", "name": name, "arguments": arguments})
    return calls[0] if len(calls) == 1 else {"type": "function_call_batch", "calls": calls}


# Those of the test extra take twice as long to load as a session of ours takes to run, and others run tests again.
OTHER_PLUGINS = (
    *("syrupy", "hypothesispytest", "anyio"),
    *("rerunfailures", "repeat", "flaky", "pytest-retry", "flakefinder"),
)


@dataclass
class Project:
    """A user's project on disk, and sessions in it."""

    pytester: pytest.Pytester

    @property
    def path(self) -> Path:
        """The project's root directory."""
        return self.pytester.path

    def write(self, name: str, text: str) -> Path:
        """Write a text file."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    @staticmethod
    def row(expected: str, told: str | None = None, *, tools: Sequence[Any] = TOOLS, **fields: Any) -> Row:
        """Make a row of the FC-Pivot shape, in the puppet's language; `told` is right if it is left out."""
        return {
            **fields,
            "responses_create_params": {
                "input": [
                    {"role": "system", "content": "Do as you are told."},
                    {"role": "user", "content": expected if told is None else told},
                ],
                "tools": list(tools),
                "parallel_tool_calls": False,
            },
            "expected_action": _expected(expected),
            "agent_ref": {"type": "responses_api_agents", "name": "expert"},
        }

    def rows(self, table: Mapping[str, tuple[str, str | None]]) -> list[Row]:
        """Make a row with its own id for each entry of a table, id to expected action and what the puppet is told."""
        return [self.row(expected, told, id=name) for name, (expected, told) in table.items()]

    def trajectories(self, *lengths: int) -> list[Row]:
        """Make right rows, in trajectories of these lengths, calls and messages by turns."""
        return [
            self.row(
                f'call add {{"a": {depth}}}' if depth % 2 else f"say this is answer {depth}",
                trajectory_id=f"talk{number}",
                info={"turn": depth, "step": 0, "depth": depth},
            )
            for number, length in enumerate(lengths)
            for depth in range(length)
        ]

    def mixed_rows(self, number: int = 40) -> list[Row]:
        """Return rows of calls and messages, four a trajectory, answered right, wrong, by nothing and by an error."""
        told = [None, 'call add {"a": -1}', "nothing", "raises no connection", "say hello", None]
        return [
            self.row(
                f'call add {{"a": {n}}}' if n % 2 else f"say this is answer {n}",
                told[n % len(told)],
                trajectory_id=f"talk{n // 4}",
                info={"turn": n, "step": 0, "depth": n},
            )
            for n in range(number)
        ]

    def data(self, rows: Iterable[Any], name: str = "pivots.jsonl") -> Path:
        """Write rows as jsonl, jsonl.gz, jsonl.zst or parquet, by the name."""
        rows = list(rows)
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
        if name.endswith(".parquet"):
            import pyarrow as pa  # noqa: PLC0415 (one format needs it)
            import pyarrow.parquet as pq  # noqa: PLC0415

            pq.write_table(pa.Table.from_pylist(rows), path)
        else:
            compressed = {"gz": gzip.compress, "st": _zstd}.get(name[-2:], bytes)
            path.write_bytes(compressed(lines))
        return path

    def puppet(self, rows: Iterable[Row], name: str = "pivots.jsonl") -> list[str]:
        """Write rows and the puppet; return the options that run it on them."""
        self.write("puppet.py", PUPPET)
        self.data(rows, name)
        return [f"--fc-data={name}", "--fc-agent=puppet:answer"]

    @staticmethod
    def process(*args: str) -> list[str]:
        """Return the command of pytest as a process of its own, which imports nothing from where it runs."""
        return [sys.executable, "-P", "-s", "-X", "utf8", "-m", "pytest", *args]

    def run(self, *args: str) -> pytest.RunResult:
        """Run pytest in a process of its own.

        A session with workers skips its test where pytest-xdist is not installed.
        """
        _needs_xdist(args)
        return self.pytester.run(*self.process(*args), timeout=_PATIENCE_S)

    def change(self, run: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Change a run's run.json, which breaks its mark."""
        path = self.path / run / "run.json"
        description = json.loads(path.read_text("utf-8"))
        change(description)
        path.write_text(json.dumps(description), encoding="utf-8")

    def change_lines(self, run: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Change each line of a run's results."""
        path = self.path / run / "results.jsonl"
        lines = list(map(json.loads, path.read_text("utf-8").splitlines()))
        for line in lines:
            change(line)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")

    def run_here(self, *args: str, within_s: float = _PATIENCE_S) -> pytest.RunResult:
        """Run pytest in this process, in a tenth of the time: for what is not about a process's start and end.

        A session that has not ended `within_s` seconds is interrupted, and its test fails with the output so far.
        """
        _needs_xdist(args)
        result: pytest.RunResult | None = None
        with interrupted_after(within_s) as over:
            result = self.pytester.runpytest_inprocess(*args)
        if result is None or over.is_set():
            written = "shown below" if result is None else "\n" + "\n".join([*result.outlines, *result.errlines])
            pytest.fail(f"the session had not ended after {within_s:g} s, and was interrupted; its output: {written}")
        return result

    def command(self, *args: str) -> pytest.RunResult:
        """Run the command `fcpivot` in this process: for what is not about a process's start, signals and end.

        It leaves nothing of the project's own modules behind, so that the next one loads them as a new process would.
        """
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n") for _ in range(2))
        path, terminate, collects = list(sys.path), signal.getsignal(signal.SIGTERM), gc.isenabled()
        began = time.perf_counter()
        try:
            with (
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
                interrupted_after(_PATIENCE_S) as over,
            ):
                status = _exit_status(args)
        finally:
            sys.path[:] = path
            signal.signal(signal.SIGTERM, terminate)
            if collects:
                gc.enable()
            self._forget_modules()
        took = time.perf_counter() - began
        if over.is_set():
            text = _written(out) + _written(err)
            pytest.fail(f"the command had not ended after {_PATIENCE_S} s, and was interrupted; its output:\n{text}")
        return pytest.RunResult(status, _written(out).splitlines(), _written(err).splitlines(), took)

    def _forget_modules(self) -> None:
        here = f"{self.path}{os.sep}"
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None)).startswith(here):
                del sys.modules[name]
        importlib.invalidate_caches()

    def run_cases(self, *args: str) -> tuple[pytest.RunResult, dict[str, str]]:
        """Run pytest in this process and return each case's outcome by its name too, as JUnit has it."""
        result = self.run_here(*args, "--junitxml=cases.xml")
        return result, self.outcomes()

    def outcomes(self) -> dict[str, str]:
        """Return each case's outcome by its name, as a session with `--junitxml=cases.xml` has written it."""
        return {case.attrib["name"]: junit_outcome(case) for case in self.junit().iter("testcase")}

    def junit(self, name: str = "cases.xml") -> ET.Element:
        """Parse a JUnit file, where each case has a name and appears once."""
        root = ET.parse(self.path / name).getroot()  # noqa: S314 (we wrote it)
        names = [(case.attrib["classname"], case.attrib["name"]) for case in root.iter("testcase")]
        assert len(names) == len(set(names)), names
        return root

    def redact(self, text: str) -> str:
        """Leave out of a text what differs from run to run."""
        for path in {str(self.path), os.path.realpath(self.path)}:
            text = text.replace(path, "<project>")
        text = re.sub(r"\bin \d+(\.\d+)?s", "in <time>", text)
        text = re.sub(r"\.fcpivot/\d{8}T\d{6}-[0-9a-f]{6}", ".fcpivot/<run>", text)
        text = re.sub(r"(?m)^(platform|plugins:|cachedir:|rootdir:) .*$", r"\1 …", text)
        return re.sub(r"puppet\.py:\d+", "puppet.py:<line>", text)

    def summary(self, result: pytest.RunResult) -> str:
        """Return the summary of the pivots, without the commands, which have the session's own options.

        Latencies are left out too: a busy machine alone makes them long enough to be told.
        """
        lines = result.outlines
        start = next(number for number, line in enumerate(lines) if re.match(r"=+ pivots: ", line))
        shown = [line for line in lines[start:-1] if not line.startswith(_OF_THE_SESSION)]
        return self.redact("\n".join(shown))


_OF_THE_SESSION = ("rerun the failures:", "look at a failure:", "run the tests that are missing", "latency: ")


def _exit_status(args: Sequence[str]) -> int:
    try:
        return main(args)
    except SystemExit as ended:  # of the command's own parser of arguments
        return int(str(ended.code))


def _written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode("utf-8")


def _needs_xdist(args: Iterable[str]) -> None:
    if any(re.fullmatch(r"-n[1-9]\d*", arg) for arg in args):
        pytest.importorskip("xdist.plugin")


def junit_outcome(case: ET.Element) -> str:
    """Name the outcome of a JUnit case: passed, failure, error or skipped."""
    found = [child.tag for child in case if child.tag in {"failure", "error", "skipped"}]
    assert len(found) < 2, found
    return found[0] if found else "passed"


class _SameForAllArguments(AmberSnapshotExtension):
    """Snapshots that the variants of a parametrized test share."""

    @classmethod
    def get_snapshot_name(cls, *, test_location: PyTestLocation, index: int | str = 0) -> str:
        """Name a snapshot by its test function, without parameters."""
        name = super().get_snapshot_name(test_location=test_location, index=index)
        return name.replace(str(test_location.nodename), test_location.methodname)


@pytest.fixture(scope="session")
def loaded_by_sessions() -> None:
    """Load whatever sessions and commands may load: pytester forgets at the end of a test what came in during it.

    That takes two thirds of a short session's time. What is loaded, and when, is tested in processes of their own.
    """
    # A part of a client that came in twice would raise errors of a class that the rest of it does not know.
    for name in filter(importlib.util.find_spec, _WHOLE_WHERE_THERE):
        for part in pkgutil.walk_packages(importlib.import_module(name).__path__, f"{name}."):
            with contextlib.suppress(ImportError):  # for another event loop, or a command of its own
                importlib.import_module(part.name)
    for name in _LOADED_BY_SESSIONS:
        importlib.import_module(name)
    remember_what_is_installed()
    remember_fixtures_of_pytest()


_WHOLE_WHERE_THERE = ("httpx", "httpx2", "httpcore", "httpcore2", "anyio", "xdist", "_pytest", "pytest_fcpivot")
_LOADED_BY_SESSIONS = ("email.parser", "openai", "pyarrow.compute", "pyarrow.parquet", "sqlite3")


@pytest.fixture
def project(
    loaded_by_sessions: None,
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> Project:
    """Return an empty project, in an environment without settings of the user's."""
    for name in list(os.environ):
        if name.startswith(("FC_", "PYTHON", "PYTEST_XDIST", "PYTEST_DISABLE", "GITHUB_")) or name in _NOT_OURS:
            monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", str(_BARE))
    monkeypatch.setenv("FC_CACHE_DIR", str(tmp_path_factory.mktemp("fc-cache")))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))  # nobody's own key is used, or made
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("PYTEST_ADDOPTS", " ".join(f"-p no:{name}" for name in OTHER_PLUGINS))
    return Project(pytester)


@pytest.fixture(params=["plain", "-n0", "-n1"])
def plugin_args(request: pytest.FixtureRequest) -> list[str]:
    """Return the arguments of a session without xdist, of one with xdist at rest, and of one with a worker.

    A worker costs as much time as twenty sessions in this process. What is asserted of how tests and results cross
    processes shows with one; where it matters that there are several, the test says so by its own parameters.
    """
    if request.param == "plain":
        return []
    pytest.importorskip("xdist.plugin")
    return [request.param]


@pytest.fixture(params=["plain", "-n1"])
def workers(request: pytest.FixtureRequest) -> list[str]:
    """Return the arguments of a session in one process, and of one with a worker, as above."""
    if request.param == "plain":
        return []
    pytest.importorskip("xdist.plugin")
    return [request.param]


@pytest.fixture
def same_snapshot(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    """Return a snapshot that all variants of a test are compared with."""
    return snapshot.use_extension(_SameForAllArguments)


def _zstd(data: bytes) -> bytes:
    import pyarrow as pa  # noqa: PLC0415 (few tests need it)

    found: bytes = pa.Codec("zstd").compress(data, asbytes=True)
    return found
