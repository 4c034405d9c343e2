"""Calls are made ahead of their tests, many at once, and nothing else of a session is changed by it."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from noting_agents import agent, names, notes, pivots, processes

if TYPE_CHECKING:
    from pivot_project import Project

pytest_plugins = ["pivot_project"]

_LOAD, _STEAL = ["-n2", "--dist=load"], ["-n2", "--dist=worksteal"]


def _reported(result: pytest.RunResult) -> list[str]:
    """Return the names of the tests in the order of the reports of a verbose session."""
    return re.findall(
        r"(?m)^(?:\[gw\d\].*?)?[\w./]+\.jsonl::(\S+) (?:PASSED|FAILED|ERROR|SKIPPED)", result.stdout.str()
    )


def _one_each(found: list[str], expected: list[str]) -> None:
    assert Counter(found) == Counter(expected)


# The first waits until all others have been asked; all wait until a crowd is under way; every seventh is wrong.
CROWDED = """
crowd = Crowd(SIZE)

def late(pivot):
    if pivot.id == "p0" and SIZE > 1:
        give_up = time.monotonic() + LONG
        while noted("asked") < 61:
            yield 0.01
            assert time.monotonic() < give_up, "the others are not asked"

def result(pivot):
    note("ended", pivot)
    number = int(pivot.id[1:])
    if number % 10 == 4:
        raise RuntimeError("no answer")
    return "wrong" if number % 7 == 3 else right(pivot)

def ask(pivot):
    note("asked", pivot)
    crowd.meet(pivot)
    for seconds in late(pivot):
        time.sleep(seconds)
    return result(pivot)

async def ask_async(pivot):
    note("asked", pivot)
    await crowd.meet_async(pivot)
    for seconds in late(pivot):
        await asyncio.sleep(seconds)
    return result(pivot)
"""


@pytest.mark.parametrize(
    ("kind", "concurrency", "args"),
    [
        ("ask", 1, []),
        ("ask", 8, []),
        ("ask_async", 8, []),
        ("ask_async", 8, _LOAD),
        ("ask", 8, _STEAL),
    ],
    ids=["one-by-one", "sync", "async", "async-load", "sync-worksteal"],
)
def test_many_at_once(project: Project, kind: str, concurrency: int, args: list[str]) -> None:
    """As many calls as allowed are in flight, a slow one delays no other, and outcomes are as without concurrency."""
    if args:
        pytest.importorskip("xdist.plugin")
    data = pivots(project, 61)
    option = agent(project, f"SIZE = {concurrency}\n{CROWDED}\nanswer = {kind}\n")
    result, outcomes = project.run_cases(data, option, f"--fc-concurrency={concurrency}", "-v", *args)
    assert outcomes == {f"p{n}": "error" if n % 10 == 4 else "failure" if n % 7 == 3 else "passed" for n in range(61)}
    _one_each(notes(project, "asked"), names(61))
    assert max(map(int, notes(project, "most"))) == concurrency
    if concurrency > 1:
        assert notes(project, "most").count(str(concurrency)) == len(processes(project)) == (2 if args else 1)
    else:
        assert notes(project, "asked") == names(61)
    if not args:
        assert _reported(result) == names(61)


def test_a_slow_head_while_work_still_comes(project: Project) -> None:
    """A worker whose first call is slow asks ahead at pivots that reach its queue while it waits."""
    pytest.importorskip("xdist.plugin")
    project.write(
        "conftest.py",
        """
import time

def pytest_configure_node(node):
    send = node.send_runtest_some

    def send_slowly(indices):
        send(indices)
        time.sleep(0.2)

    node.send_runtest_some = send_slowly
""",
    )
    code = """
asked = []

def answer(pivot):
    asked.append(pivot)
    give_up = time.monotonic() + LONG
    while pivot.id == "p0" and len(asked) < 12:
        assert time.monotonic() < give_up, f"only {len(asked)} asked"
        time.sleep(0.01)
    return right(pivot)
"""
    result = project.run_here(pivots(project, 40), agent(project, code), "--fc-concurrency=4", "-n2")
    result.assert_outcomes(passed=40)


# ------------------------------------------------------------ who is not asked


@pytest.mark.parametrize("option", ["--collect-only", "--setup-plan", "--setup-only"])
def test_looking_asks_nobody(project: Project, option: str) -> None:
    """A session that runs no test, as with --collect-only, makes no call."""
    data = pivots(project, 4)
    result = project.run_here(data, agent(project, "def answer(pivot):\n    note('asked', pivot)\n"), option)
    assert result.ret == pytest.ExitCode.OK
    assert notes(project, "asked") == []
    assert "p3" in result.stdout.str()


def test_setup_show(project: Project) -> None:
    """--setup-show runs the tests as ever: all are asked once, and their fixtures shown."""
    data = pivots(project, 12)
    code = "async def answer(pivot):\n    note('asked', pivot)\n    return right(pivot)\n"
    result = project.run_here(data, agent(project, code), "--setup-show")
    result.assert_outcomes(passed=12)
    _one_each(notes(project, "asked"), names(12))
    assert "SETUP    F fc_action" in result.stdout.str()


MARKS = """
import pytest

def pytest_collection_modifyitems(items):
    items.reverse()
    for item in items:
        number = int(item.name[1:])
        if number % 5 == 1:
            item.add_marker(pytest.mark.skip(reason="not now"))
        elif number % 5 == 2:
            item.add_marker(pytest.mark.skipif(True, reason="never"))
        elif number % 5 == 3:
            item.add_marker(pytest.mark.skipif(False, reason="never"))
        elif number % 5 == 4:
            item.add_marker(pytest.mark.xfail(run=number % 2 == 0))
"""


def test_marks_and_another_order(project: Project, workers: list[str]) -> None:
    """Tests that a conftest marks are skipped unasked, also in an order of its own; all others are asked once."""
    project.write("conftest.py", MARKS)
    data = pivots(project, 40)
    code = """
def answer(pivot):
    note("asked", pivot)
    return right(pivot) if int(pivot.id[1:]) % 5 != 4 else "wrong"
"""
    result = project.run_here(data, agent(project, code), "--fc-concurrency=4", "-v", *workers)
    result.assert_outcomes(passed=16, skipped=16, xfailed=8)
    runs = [name for number, name in enumerate(names(40)) if number % 5 in (0, 3) or number % 10 == 4]
    _one_each(notes(project, "asked"), runs)
    if not workers:
        shown = [name for name in _reported(result) if name in runs]
        assert shown == [name for name in reversed(runs) if int(name[1:]) % 5 != 4]


ORDERS = {
    "shuffled-late": """
@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    random.Random(3).shuffle(session.items)
""",
    "own-loop": """
@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    if session.config.option.collectonly:
        return None
    order = session.items[::-1]
    for item, nextitem in zip(order, [*order[1:], None]):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=nextitem)
    return True
""",
    "failures-again-at-the-end": """
from _pytest.runner import runtestprotocol

@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    again = []
    for item in session.items:
        reports = runtestprotocol(item, log=False, nextitem=None)
        if any(report.failed for report in reports):
            again.append(item)
        else:
            for report in reports:
                item.ihook.pytest_runtest_logreport(report=report)
    for item in again:
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
    return True
""",
}


@pytest.mark.parametrize("order", ORDERS)
def test_orders_that_come_late(project: Project, order: str) -> None:
    """Whatever order the tests are run in, and by whom, each call is made once for each time that its test runs."""
    project.write("conftest.py", f"import random\nimport pytest\n{ORDERS[order]}")
    data = pivots(project, 20)
    code = """
def answer(pivot):
    note("asked", pivot)
    return "wrong" if pivot.id == "p4" and noted("asked p4") == 1 else right(pivot)
"""
    result = project.run_here(data, agent(project, code), "--fc-concurrency=4")
    again = order == "failures-again-at-the-end"
    result.assert_outcomes(passed=20) if again else result.assert_outcomes(passed=19, failed=1)
    _one_each(notes(project, "asked"), names(20) + ["p4"] * again)


def test_a_rerun_is_a_fresh_call(project: Project) -> None:
    """A plugin that runs failed tests again gets a fresh answer after an error, and the graded one after a failure."""
    project.write(
        "conftest.py",
        """
import pytest
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for last in (False, False, True):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        if last or not any(report.failed for report in reports):
            break
        item._initrequest()
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
""",
    )
    data = pivots(project, 30)
    code = """
async def answer(pivot):
    note("asked", pivot)
    await asyncio.sleep(0)
    if pivot.id == "p7" and noted("asked p7") < 3:
        raise RuntimeError("not yet")
    return "wrong" if pivot.id == "p3" and noted("asked p3") == 1 or pivot.id == "p9" else right(pivot)
"""
    result = project.run_here(data, agent(project, code), "--fc-concurrency=4")
    result.assert_outcomes(passed=28, failed=2)
    _one_each(notes(project, "asked"), [*names(30), "p7", "p7"])


# ------------------------------------------------------------ late calls

LATE_S = 1.0  # which no answer takes that is given at once, on a busy machine either

HANGING = """
def hangs(pivot):
    return int(pivot.id[1:]) in (0, 2, 3, 9)

def by_thread(pivot):
    if hangs(pivot):
        time.sleep(600)
    return right(pivot)

async def by_task(pivot):
    if hangs(pivot):
        await asyncio.sleep(600)
    return right(pivot)

"""


@pytest.mark.parametrize("kind", ["by_thread", "by_task"])
def test_calls_that_hang(project: Project, kind: str) -> None:
    """With --fc-timeout, calls that hang among others are errors, which took the limit; the others pass."""
    data = pivots(project, 14)
    option = agent(project, f"{HANGING}\nanswer = {kind}\n")
    result, outcomes = project.run_cases(data, option, f"--fc-timeout={LATE_S}", "--fc-retries=0", "--fc-concurrency=4")
    late = {f"p{n}": "error" for n in (0, 2, 3, 9)}
    assert outcomes == dict.fromkeys(names(14), "passed") | late
    result.stdout.fnmatch_lines([f"*the agent gave no answer within {LATE_S:g} s (--fc-timeout)"])
    assert result.stderr.str() == ""
    times = {case.attrib["name"]: float(case.attrib["time"]) for case in project.junit().iter("testcase")}
    assert all(times[name] > 0.99 * LATE_S for name in late), times


# ------------------------------------------------------------ output


TALKATIVE = """
crowd = Crowd(4)
log = logging.getLogger("noting")

def say(pivot, when):
    print(f"<{when} {pivot.id}>")
    print(f"<{when} err {pivot.id}>", file=sys.stderr)
    log.warning("<%s log %s>", when, pivot.id)

def by_thread(pivot):
    say(pivot, "before")
    crowd.meet(pivot)
    say(pivot, "after")
    return "wrong"

async def by_task(pivot):
    say(pivot, "before")
    await crowd.meet_async(pivot)
    await asyncio.create_task(asyncio.to_thread(say, pivot, "after"))
    return "wrong"

def by_own_loop(pivot):
    return asyncio.run(by_task(pivot))
"""


def _sections(result: pytest.RunResult, count: int) -> dict[str, str]:
    """Return what the terminal shows of each failed test."""
    parts = re.split(r"(?m)^_{5,} (p\d+) _{5,}$", result.stdout.str().partition("short test summary")[0])
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert list(sections) == names(count)
    return sections


@pytest.mark.parametrize(("capture", "kind"), [("fd", "by_thread"), ("sys", "by_own_loop"), ("no", "by_task")])
def test_output_of_calls_at_once(project: Project, capture: str, kind: str) -> None:
    """What calls at once print and log shows under their own tests, in each mode of capturing, and nowhere else."""
    data = pivots(project, 12)
    option = agent(project, f"{TALKATIVE}\nanswer = {kind}\n")
    result = project.run(data, option, "--fc-concurrency=4", f"--capture={capture}", "-rA", "-v", "--tb=short")
    result.assert_outcomes(failed=12)
    text = result.stdout.str() + result.stderr.str()
    assert result.stderr.str() == "" or capture == "no"
    said = [f"<{when} {channel}{{}}>" for when in ("before", "after") for channel in ("", "err ", "log ")]
    for name, section in _sections(result, 12).items():
        shown = re.findall(r"<(?:before|after) [^>]*>", section)
        expected = [line.format(name) for line in said if capture != "no" or " log " in line]
        _one_each(shown, expected)
        assert all(text.count(line.format(name)) == 1 for line in said)
    if capture == "no":
        live = re.findall(r"<before (p\d+)>", result.stdout.str())
        assert live == names(12)


def test_live_logs(project: Project) -> None:
    """With log_cli, a test's own log shows when the test runs, not when its call was made."""
    data = pivots(project, 4)
    option = agent(project, f"{TALKATIVE}\nanswer = by_thread\n")
    result = project.run_here(data, option, "--fc-concurrency=4", "-olog_cli=true", "--tb=no", "-rN")
    shown = re.findall(r"jsonl::(p\d)|<before log (p\d)>", result.stdout.str().partition("= pivots: ")[0])
    assert [test or log for test, log in shown] == ["p0", "p0", "p1", "p1", "p2", "p2", "p3", "p3"]


# ------------------------------------------------------------ clients


CLIENT = """
class Client:
    def __init__(self):
        note("made", id(self))
        self.lock = self.queue = None

    async def __call__(self, pivot):
        note("loop", id(asyncio.get_running_loop()))
        if self.lock is None:
            self.lock, self.queue = asyncio.Lock(), asyncio.Queue()
        async with self.lock:
            await self.queue.put(pivot.id)
        await asyncio.sleep(0.001)
        async with self.lock:
            assert await self.queue.get()
        return right(pivot)

    async def aclose(self):
        async with self.lock:
            note("closed", id(asyncio.get_running_loop()))
            await asyncio.sleep(0.001)
        note("gone", "now")
"""


def test_a_client_lives_in_one_loop(project: Project) -> None:
    """An agent's client is made once a process, used in one loop, and closed in it once, before the process ends."""
    pytest.importorskip("xdist.plugin")
    data = pivots(project, 30)
    agent(project, CLIENT)
    result = project.run(data, "--fc-agent=noting:Client", "--fc-concurrency=4", "-n2")
    result.assert_outcomes(passed=30)
    assert result.stderr.str() == ""
    count = len(processes(project))
    assert count == 2
    assert len(notes(project, "made")) == len(notes(project, "closed")) == len(notes(project, "gone")) == count
    assert set(notes(project, "closed")) == set(notes(project, "loop"))
    assert len(notes(project, "loop")) == 30


def test_an_agent_of_each_test(project: Project) -> None:
    """A function-scoped fc_agent is asked for its own test only, once."""
    project.write(
        "conftest.py",
        """
import pytest
from noting import note, right

@pytest.fixture
def fc_agent(request):
    def answer(pivot):
        note("asked", pivot)
        assert pivot.id == request.node.name
        return right(pivot)
    return answer
""",
    )
    agent(project, "")
    project.write("pytest.ini", "[pytest]\npythonpath = .\n")
    project.run_here(pivots(project, 12)).assert_outcomes(passed=12)
    assert notes(project, "asked") == names(12)


def test_two_data_files(project: Project) -> None:
    """Over two files, one agent is asked at each pivot once, and the answers go to the right tests."""
    first, second = pivots(project, 10), pivots(project, 10, "more/others.jsonl", "q")
    code = "class Bot:\n    def __call__(self, pivot):\n        note('asked', pivot)\n        return right(pivot)\n"
    agent(project, code)
    result = project.run_here(first, second, "--fc-agent=noting:Bot", "--fc-concurrency=4")
    result.assert_outcomes(passed=20)
    _one_each(notes(project, "asked"), names(10) + names(10, "q"))


@pytest.mark.parametrize("env", [None, "3"])
def test_concurrency_in_files_and_the_environment(
    project: Project, monkeypatch: pytest.MonkeyPatch, env: str | None
) -> None:
    """FC_CONCURRENCY beats ini fc_concurrency, and each sets how many calls are under way at once."""
    project.write("pytest.ini", "[pytest]\nfc_concurrency = 5\n")
    if env is not None:
        monkeypatch.setenv("FC_CONCURRENCY", env)
    code = f"crowd = Crowd({env or 5})\n\ndef answer(pivot):\n    crowd.meet(pivot)\n    return right(pivot)\n"
    result = project.run_here(pivots(project, 20), agent(project, code))
    result.assert_outcomes(passed=20)
    assert notes(project, "most")[-1] == (env or "5")
