"""Kill real sessions at random moments, resume them, and check that nothing was lost, repeated or told wrongly.

    python tests/fuzz/kill_runs.py --rounds 500 --seed 1 [--jobs 2] [--first 0] [--keep DIRECTORY] [--python PYTHON]

A round is a run over a few pivots whose agent takes up to 120 ms an answer and writes every call that begins and ends
to a log of its own. Its sessions get signals at moments that the seed chooses; then it is resumed until it is complete.
In some rounds the agent has no answer to every fourth test of a session that is disturbed, and has one later.
After each session it is checked that

- what had been reported was not asked again, nor what was answered in 50 ms or more, or told its tokens;
- the exit code is 0 or 1 only if every test has a result, and `run.json` calls the session ended only then;

and at the end that each test has one result, that all are those of a run that nobody disturbed, that the JUnit file
has one case a test and counts that add up, and that no process is left. Only processes of a round's own sessions are
sent signals: each session has a process group of its own.

A call may end in the very moment in which its process is killed: its agent has returned, and the answer is not on disk
yet. Such an answer is asked again; it is counted apart, as "race", and only if the thread that it came in has done
nothing since. "cheap" are answers that took less than 50 ms and told no tokens, which are not kept.

A round that fails prints what was found, its seed, and the directory, which is kept; the exit code is 1 then. Chances
are drawn from the seed alone; what they meet depends on the machine. Needs Linux (/proc), and pytest-xdist for workers.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from pytest_fcpivot.runs.directory import ended_early

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

FILES, PIVOTS_A_FILE = 4, 6
WORTH_KEEPING_S = 0.05
RACE_S = 0.5  # an answer that was in hand so long before its process ended had time to be written
PATIENCE_S = 180.0  # for a session, on a machine with much else to do
LEFT_BEHIND_S = 30.0
LOOK_AGAIN_S, SEARCH_AGAIN_S = 0.03, 0.3  # at processes that are known, and for others, which costs more
MOST_SESSIONS = 8
WITH_WORKERS = 0.45  # of the rounds, which take three times as long as others
WELL = (0, 1)

AGENT = '''
"""An agent that does as it is told, slowly, and notes every call."""

import asyncio
import json
import os
import threading
import time
import zlib

LOG = os.open(os.environ["ASKED"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def key(pivot):
    return pivot.id if pivot.repeat == 1 else f"{pivot.id}[r{pivot.repeat}]"


def note(event, pivot, took=0.0, tokens=False):
    line = [event, key(pivot), os.getpid(), threading.get_ident(), time.monotonic(), took, tokens]
    os.write(LOG, json.dumps(line).encode() + b"\\n")


def pause(pivot):
    return zlib.crc32(f"{os.environ['LATENCIES']} {key(pivot)}".encode()) % 1000 / 1000 * 0.12


def told(pivot, began):
    outage = os.environ["OUTAGE"]
    if outage and zlib.crc32(f"{outage} {key(pivot)}".encode()) % 4 == 0:
        note("failed", pivot)
        raise RuntimeError("away")
    verb, _, rest = pivot.input[-1]["content"].partition(" ")
    note("ended", pivot, time.monotonic() - began, verb == "pay")
    if verb == "fail":
        raise RuntimeError("no answer")
    if verb == "call":
        return {"name": "add", "arguments": rest}
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": rest}]}
    if verb == "pay":
        usage = {"input_tokens": 3, "output_tokens": 5}
        return {"object": "response", "status": "completed", "output": [message], "usage": usage}
    return rest


def threads(pivot):
    note("began", pivot)
    began = time.monotonic()
    time.sleep(pause(pivot))
    return told(pivot, began)


async def tasks(pivot):
    note("began", pivot)
    began = time.monotonic()
    await asyncio.sleep(pause(pivot))
    return told(pivot, began)
'''
TOOL = {
    "type": "function",
    "name": "add",
    "description": "Adds.",
    "strict": True,
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
}
# Plugins that would only take time, or run tests again.
WITHOUT = ("cacheprovider", "syrupy", "hypothesispytest", "anyio", "rerunfailures", "repeat", "flaky", "pytest-retry")

SIGNALS = {"KILL": signal.SIGKILL, "TERM": signal.SIGTERM, "INT": signal.SIGINT, "HUP": signal.SIGHUP}


# -------------------------------------------------------------------- chances


@dataclass(frozen=True)
class Kill:
    """One signal, or two: what, to whom, and when.

    `moment` is `asked` or `reported`, after which so many calls or results are waited for, and then `delay` seconds; or
    `start`, and only the delay is waited for. A second signal follows after `gap` seconds.
    """

    name: str
    target: str  # controller, group or worker
    moment: str
    count: int
    delay: float
    second: str | None = None
    gap: float = 0.0

    @property
    def label(self) -> str:
        """How the table names it."""
        name = self.name if self.second is None else f"{self.name}+{self.second}"
        return f"{name} {self.target}"


@dataclass(frozen=True)
class Plan:
    """What happens in a round: one tuple of kills for each session that is disturbed."""

    name: str
    dist: str
    agent: str
    right: bool  # every answer is right, so that a complete run ends with 0
    repeats: int
    sessions: tuple[tuple[Kill, ...], ...]
    outages: bool = False  # in each session that is disturbed, the agent has no answer to some, which a later one has

    @property
    def label(self) -> str:
        """How the table names the signals."""
        kinds = dict.fromkeys(kill.label for kills in self.sessions for kill in kills)
        return next(iter(kinds)) if len(kinds) == 1 else "several kinds"


def plan(name: str, *, workers: bool) -> Plan:
    """Draw a round's chances from its name alone."""
    chance = random.Random(name)
    dist = "plain"
    if workers and chance.random() < WITH_WORKERS:
        dist = chance.choice(("load", "worksteal", "loadfile"))
    repeats = chance.choice((1, 1, 2))
    tests = FILES * PIVOTS_A_FILE * repeats
    number = chance.choices((1, 2, 3), (70, 20, 10))[0]
    sessions = []
    for _ in range(number):
        first = _kill(chance, dist, tests)
        more = first.target == "worker" and chance.random() < 0.4
        sessions.append((first, _kill(chance, dist, tests)) if more else (first,))
    agent, right = chance.choice(("threads", "tasks")), chance.random() < 0.5
    return Plan(name, dist, agent, right, repeats, tuple(sessions), outages=chance.random() < 0.4)


def _kill(chance: random.Random, dist: str, tests: int) -> Kill:
    targets = ("controller", "group") if dist == "plain" else ("controller", "controller", "group", "worker", "worker")
    target = chance.choice(targets)
    moment = chance.choices(("start", "asked", "reported", "end"), (15, 25, 35, 25))[0]
    count = {"start": 0, "asked": chance.randrange(1, tests), "reported": chance.randrange(1, tests)}.get(
        moment, tests - chance.choice((0, 0, 1, 2))
    )
    delay = chance.uniform(0, {"start": 1.2, "end": 0.5}.get(moment, 0.1))
    name = chance.choices(("KILL", "TERM", "INT", "HUP"), (30, 15, 50, 5))[0]
    second = None
    if name == "INT" and chance.random() < 0.6:
        second = chance.choices(("INT", "TERM"), (90, 10))[0]
    gap = chance.uniform(0, 0.4)
    return Kill(name, target, "reported" if moment == "end" else moment, count, delay, second, gap)


# -------------------------------------------------------------------- what is found


@dataclass(frozen=True)
class Event:
    """A line of the agent's log."""

    what: str
    key: str
    process: int
    thread: int
    at: float
    took: float
    tokens: bool

    @property
    def kept(self) -> bool:
        """Whether the answer is worth keeping."""
        return self.took >= WORTH_KEEPING_S or self.tokens


@dataclass
class Outcome:
    """What a round came to."""

    plan: Plan
    kills: int = 0
    resumes: int = 0
    cheap: int = 0
    race: int = 0
    violations: list[str] = field(default_factory=list)


def processes_of(group: int) -> set[int]:
    """Return the living processes of a session that leads its own group, whoever their parent is by now."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == group and fields[0] != "Z":
                found.add(int(entry.name))
    return found


def is_alive(pid: int) -> bool:
    """Tell whether a process still runs."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


class Round:
    """One run: killed, resumed, and checked."""

    def __init__(self, plan: Plan, directory: Path, python: str) -> None:
        self.outcome = Outcome(plan)
        self._plan = plan
        self._directory = directory
        self._python = python
        self._run = directory / "run"
        self._log = directory / "asked.log"
        self._died: dict[int, float] = {}  # when each process was last seen
        self._alive: set[int] = set()
        self._looked = self._searched = 0.0
        self._number = self._sessions = 0
        self.tests = write_project(directory, right=plan.right, repeats=plan.repeats)

    def play(self, expected: Mapping[str, tuple[Any, ...]]) -> Outcome:
        """Kill and resume until the run is complete, and compare it with `expected`."""
        status = -1
        for kills in self._plan.sessions:
            status = self._check_session(*self._session(kills))
        last = self._plan.sessions[-1]
        while status not in WELL or self._plan.outages or any(kill.target != "worker" for kill in last):
            status = self._check_session(*self._session(()))
            if status in WELL:
                break
            if self._number >= MOST_SESSIONS:
                self._tell(f"the run is not complete after {self._number} sessions")
                break
        self._check_end(status, expected)
        return self.outcome

    def _tell(self, what: str) -> None:
        self.outcome.violations.append(f"session {self._number}: {what}")

    # ---------------------------------------------------------------- one session

    def _session(self, kills: tuple[Kill, ...]) -> tuple[int, set[str], int]:
        """Run one session to its end; returns its exit code, what was reported before, and where its log begins."""
        self._number += 1
        begins = not (self._run / "run.json").exists()
        self.outcome.resumes += not begins and self._number > 1
        command = [self._python, "-m", "pytest", "--junitxml=cases.xml", "--fc-concurrency=4", "--tb=no", "-q"]
        if begins:
            command += [f"--fc-data=f{number}.jsonl" for number in range(FILES)]
            command += [f"--fc-agent=slow:{self._plan.agent}", "--fc-run=run", f"--fc-repeats={self._plan.repeats}"]
        else:
            command.append("--fc-resume=run")
        if self._plan.dist != "plain":
            command += ["-n2", f"--dist={self._plan.dist}"]
        outage = str(self._number) if kills and self._plan.outages else ""
        reported = self._reported() if self._run.exists() else set()
        logged = len(self._events())
        with (self._directory / f"output-{self._number}.txt").open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=self._directory,
                env=environment(self._directory, self._plan.name, outage),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            for kill in kills:
                self._kill(process, kill, logged)
            ends = time.monotonic() + PATIENCE_S
            while process.poll() is None and time.monotonic() < ends:
                self._see(process)
            if process.poll() is None:
                self._tell(f"it did not end within {PATIENCE_S:g} s")
            self._wait_for_the_last(process)
        finally:
            for pid in processes_of(process.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        return process.wait(), reported, logged

    def _see(self, process: subprocess.Popen[bytes]) -> set[int]:
        """Wait a moment, and note which processes live."""
        time.sleep(0.005)
        now = time.monotonic()
        if now - self._looked > LOOK_AGAIN_S:
            self._looked = now
            if now - self._searched > SEARCH_AGAIN_S:
                self._searched, self._alive = now, processes_of(process.pid)
            self._alive = set(filter(is_alive, self._alive))
            self._died |= dict.fromkeys(self._alive, now)
        return self._alive

    def _wait_for_the_last(self, process: subprocess.Popen[bytes]) -> None:
        ends = time.monotonic() + LEFT_BEHIND_S
        self._alive |= processes_of(process.pid)
        while left := self._see(process) - {process.pid}:
            if time.monotonic() > ends:
                self._tell(f"{len(left)} processes are left behind")
                return

    def _kill(self, process: subprocess.Popen[bytes], kill: Kill, logged: int) -> None:
        if kill.moment != "start":
            ends = time.monotonic() + PATIENCE_S / 2
            while process.poll() is None and time.monotonic() < ends and self._seen(kill, logged) < kill.count:
                self._see(process)
        _wait(process, kill.delay)
        self._send(process, kill.name, kill.target)
        if kill.second is not None:
            _wait(process, kill.gap)
            self._send(process, kill.second, kill.target)

    def _seen(self, kill: Kill, logged: int) -> int:
        path = self._log if kill.moment == "asked" else self._run / "results.jsonl"
        try:
            return path.read_bytes().count(b"\n") - (logged if kill.moment == "asked" else 0)
        except OSError:
            return 0

    def _send(self, process: subprocess.Popen[bytes], name: str, target: str) -> None:
        if process.poll() is not None:
            return
        number = SIGNALS[name]
        workers = sorted(processes_of(process.pid) - {process.pid})
        with suppress(ProcessLookupError):  # it has ended meanwhile
            if target == "group":
                os.killpg(process.pid, number)
            elif target == "controller":
                os.kill(process.pid, number)
            elif workers:
                os.kill(random.Random(f"{self._plan.name} {self._number}").choice(workers), number)
            else:
                return
            self.outcome.kills += 1

    # ---------------------------------------------------------------- checks

    def _events(self) -> list[Event]:
        return [Event(*line) for line in json_lines(self._log)]

    def _lines(self) -> list[dict[str, Any]]:
        return list(json_lines(self._run / "results.jsonl"))

    def _reported(self, *, errors: bool = False) -> set[str]:
        """Return the tests that have a result on disk; without those that ended in an error, unless they are wanted."""
        last = {line["test"]: line for line in self._lines()}
        return {test.rpartition("::")[2] for test, line in last.items() if errors or line["outcome"] != "error"}

    def _check_session(self, status: int, reported: set[str], logged: int) -> int:
        events = self._events()
        for key in sorted({event.key for event in events[logged:] if event.what == "began"} & reported):
            self._tell(f"{key} had been reported, and was asked again")
        self._check_answers(events, logged)
        complete = self._reported(errors=True) == self.tests if self._run.exists() else False
        if not self._began():
            return status or 1  # such as a Ctrl-C that met Python while it imported pytest
        if status in WELL and not complete:
            self._tell(f"exit code {status}, and not every test has a result")
        if status == 0 and not self._plan.right:
            self._tell("exit code 0, and not every answer is right")
        if (self._run / "run.json").exists():
            described = json.loads((self._run / "run.json").read_text(encoding="utf-8"))
            counts = described.get("counts") or {}
            if not complete and ended_early(described) is None:
                last = described["sessions"][-1]
                self._tell(f"run.json says that the session came to its end: {last}, {counts}")
            if counts and counts["selected"] != sum(counts[each] for each in ("passed", "failed", "errors", "not_run")):
                self._tell(f"the counts of run.json do not add up: {counts}")
            if status in WELL and described["sessions"][-1]["exit_status"] != status:
                self._tell(f"run.json says {described['sessions'][-1]}, and the exit code is {status}")
        if status in WELL and (self._run / "calls").exists():
            self._tell("calls/ is left of a complete run")
        return status

    def _began(self) -> bool:
        """Tell whether the session came to write that it begins."""
        try:
            described = json.loads((self._run / "run.json").read_text(encoding="utf-8"))
        except OSError:
            return False
        before, self._sessions = self._sessions, len(described["sessions"])
        return self._sessions > before

    def _check_answers(self, events: list[Event], logged: int) -> None:
        """Look for answers that had come and were asked for again, by calls since `logged`."""
        answered: dict[str, Event] = {}
        raising = {test for test in self.tests if test.partition("[")[0] == RAISES and not self._plan.right}
        last_of_thread = {(event.process, event.thread): number for number, event in enumerate(events)}
        for number, event in enumerate(events):
            before = answered.pop(event.key, None) if event.what == "began" else None
            if event.what == "ended":
                answered[event.key] = event
            if before is None or number < logged or event.key in raising:
                continue
            place = events.index(before)
            idle = last_of_thread[before.process, before.thread] == place
            if not before.kept:
                self.outcome.cheap += 1
            elif idle and self._died.get(before.process, before.at) - before.at < RACE_S:
                self.outcome.race += 1
            else:
                life = self._died.get(before.process, before.at) - before.at
                self._tell(
                    f"{event.key} was answered in {before.took:.3f} s, {life:.3f} s before its process ended, "
                    "and was asked again"
                )

    def _raising(self) -> set[str]:
        """Return the tests at which the agent raises, or raised in a session before: these are asked again."""
        away = {event.key for event in self._events() if event.what == "failed"}
        return away | {test for test in self.tests if test.partition("[")[0] == RAISES and not self._plan.right}

    def _check_end(self, status: int, expected: Mapping[str, tuple[Any, ...]]) -> None:
        wanted = 0 if self._plan.right else 1
        if status != wanted:
            self._tell(f"exit code {status} of a complete run, and not {wanted}")
        found, lines = verdicts(self._run), Counter(line["test"] for line in self._lines())
        if found != expected:
            other = sorted(test for test in found.keys() | expected.keys() if found.get(test) != expected.get(test))
            self._tell(f"{len(other)} results differ from those of an undisturbed run: {', '.join(other[:5])}")
        twice = [test for test, n in lines.items() if n > 1 and test.rpartition("::")[2] not in self._raising()]
        if twice:
            self._tell(f"{len(twice)} tests have several results: {', '.join(twice[:5])}")
        self._check_junit()

    def _check_junit(self) -> None:
        try:
            root = ET.parse(self._directory / "cases.xml").getroot()
        except (OSError, ET.ParseError) as error:
            self._tell(f"the JUnit file: {error}")
            return
        suite = next(root.iter("testsuite"))
        cases = Counter(case.attrib["name"] for case in root.iter("testcase"))
        if cases != Counter(self.tests):
            odd = sorted((cases - Counter(self.tests)) + (Counter(self.tests) - cases))
            self._tell(f"JUnit has other cases than one a test: {', '.join(odd[:5])}")
        for name, tag in (("failures", "failure"), ("errors", "error")):
            if int(suite.attrib[name]) != len(list(root.iter(tag))):
                self._tell(f"JUnit says {suite.attrib[name]} {name}, and has {len(list(root.iter(tag)))}")
        if int(suite.attrib["tests"]) != len(self.tests):
            self._tell(f"JUnit says {suite.attrib['tests']} tests, and there are {len(self.tests)}")


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    ends = time.monotonic() + seconds
    while process.poll() is None and (left := ends - time.monotonic()) > 0:
        time.sleep(min(0.005, left))


def json_lines(path: Path) -> Iterator[Any]:
    """Read the whole lines of a file that may be there."""
    try:
        text = path.read_bytes()
    except OSError:
        return
    for line in text[: text.rfind(b"\n") + 1].splitlines():
        yield json.loads(line)


def verdicts(run: Path) -> dict[str, tuple[Any, ...]]:
    """Return of each test what two runs with the same answers have in common."""
    members = ("outcome", "reward", "category", "path", "schema", "output", "action")
    return {
        line["test"]: tuple(json.dumps(line.get(name), sort_keys=True) for name in members)
        for line in json_lines(run / "results.jsonl")
    }


# -------------------------------------------------------------------- the project

RAISES = "p13"


def write_project(directory: Path, *, right: bool, repeats: int) -> set[str]:
    """Write data and agent; returns the names of the tests. Unless all is `right`, some are not, and one raises."""
    (directory / "slow.py").write_text(AGENT, encoding="utf-8")
    names = set()
    for number in range(FILES):
        rows = []
        for place in range(PIVOTS_A_FILE):
            n = number * PIVOTS_A_FILE + place
            names |= {f"p{n}"} | {f"p{n}[r{repeat}]" for repeat in range(2, repeats + 1)}
            rows.append(_row(n, right=right))
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (directory / f"f{number}.jsonl").write_text(text, encoding="ascii")
    return names


def _row(n: int, *, right: bool) -> dict[str, Any]:
    call = {"type": "function_call", "name": "add", "arguments": json.dumps({"a": n})}
    expected, told = (call, f'call {{"a": {n}}}') if n % 2 else ({"type": "message", "content": "hi"}, "say hi there")
    if n % 4 == 0:
        told = f"pay answer {n}"
    if not right:
        told = {3: 'call {"a": -1}', 5: "say hello"}.get(n % 7, told)
        told = "fail" if f"p{n}" == RAISES else told
    return {
        "id": f"p{n}",
        "responses_create_params": {"input": [{"role": "user", "content": told}], "tools": [TOOL]},
        "expected_action": expected,
    }


def environment(directory: Path, name: str, outage: str) -> dict[str, str]:
    """Return a session's environment: nothing of the user's settings, and a home of its own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("FC_", "PYTEST_", "XDG_", "OPENAI"))}
    addopts = " ".join(f"-p no:{plugin}" for plugin in WITHOUT)
    return kept | {
        "HOME": str(directory),
        "FC_CACHE_DIR": str(directory / "cache"),
        "ASKED": str(directory / "asked.log"),
        "LATENCIES": name,
        "OUTAGE": outage,
        "PYTEST_ADDOPTS": addopts,
    }


def undisturbed(python: str, *, right: bool, repeats: int) -> dict[str, tuple[Any, ...]]:
    """Return the results of a run that nobody disturbs."""
    with tempfile.TemporaryDirectory(prefix="kill-runs-") as made:
        calm = Round(Plan("calm", "plain", "tasks", right, repeats, ()), Path(made), python)
        status, *_ = calm._session(())
        assert status == (0 if right else 1), Path(made, "output-1.txt").read_text(encoding="utf-8")
        return verdicts(Path(made, "run"))


# -------------------------------------------------------------------- all rounds


def play(name: str, python: str, keep: Path | None, expected: Callable[[Plan], dict[str, tuple[Any, ...]]]) -> Outcome:
    """Play one round, in a directory that stays if something was wrong."""
    drawn = plan(name, workers=find_spec("xdist") is not None)
    directory = Path(tempfile.mkdtemp(prefix="kill-runs-", dir=keep))
    played = Round(drawn, directory, python)
    try:
        outcome = played.play(expected(drawn))
    except Exception as error:  # noqa: BLE001 (whatever a check meets in what a killed session left)
        outcome = played.outcome
        outcome.violations.append(f"{type(error).__name__}: {error}")
    if outcome.violations:
        seed, _, number = name.rpartition("/")
        found = "\n  ".join(outcome.violations)
        print(f"--seed {seed} --first {number} --rounds 1, kept in {directory}: {drawn}\n  {found}", flush=True)
    else:
        shutil.rmtree(directory, ignore_errors=True)
    print(".", end="", file=sys.stderr, flush=True)
    return outcome


def table(outcomes: list[Outcome]) -> str:
    """Write what was found, by where and which signals."""
    groups: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.plan.dist, outcome.plan.label].append(outcome)
    lines = [
        "| mode | signals | rounds | kills | resumes | asked again: cheap | race | violations |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    rows = [*sorted(groups.items()), (("all", ""), outcomes)]
    for (dist, label), members in rows:
        mode = dist if dist in ("plain", "all") else f"-n2 {dist}"
        sums = [sum(getattr(each, name) for each in members) for name in ("kills", "resumes", "cheap", "race")]
        figures = [len(members), *sums, sum(len(each.violations) for each in members)]
        lines.append(f"| {mode} | {label} | {' | '.join(map(str, figures))} |")
    return "\n".join(lines)


def main() -> int:
    """Play the rounds that the command line asks for; returns 1 if anything was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--first", type=int, default=0, help="the number of the first round")
    parser.add_argument("--jobs", type=int, default=1, help="rounds at a time")
    parser.add_argument("--keep", type=Path, help="where directories of rounds are made (default: the temporary place)")
    parser.add_argument("--python", default=sys.executable, help="the interpreter of the sessions")
    chosen = parser.parse_args()
    known: dict[tuple[bool, int], dict[str, tuple[Any, ...]]] = {
        (right, repeats): undisturbed(chosen.python, right=right, repeats=repeats)
        for right in (True, False)
        for repeats in (1, 2)
    }
    names = [f"{chosen.seed}/{chosen.first + number}" for number in range(chosen.rounds)]
    outcomes: list[Outcome] = []
    with ThreadPoolExecutor(max(1, chosen.jobs)) as pool:
        rounds = [
            pool.submit(play, name, chosen.python, chosen.keep, lambda p: known[p.right, p.repeats]) for name in names
        ]
        try:
            for played in as_completed(rounds):
                outcomes.append(played.result())  # noqa: PERF401 (what was played before an interrupt is kept)
        except KeyboardInterrupt:  # enough: what was played is told, and the rounds under way are played to their end
            pool.shutdown(wait=False, cancel_futures=True)
    print(table(outcomes))
    return int(any(outcome.violations for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
