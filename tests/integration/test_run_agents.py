"""How an agent is named, found, chosen and overridden, and what it cannot see."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pivot_project import Project

pytest_plugins = ["pivot_project"]

# Every form answers by its own name, so a test can tell which one was asked.
FORMS = """
def answer_as(form):
    return {"name": "which", "arguments": {"form": form}}

def function(pivot):
    return answer_as("function")

async def coroutine_function(pivot):
    return answer_as("coroutine_function")

def gives_coroutine(pivot):
    async def answer():
        return answer_as("gives_coroutine")
    return answer()

class Bot:
    def __init__(self):
        self.form = "class"

    def __call__(self, pivot):
        return answer_as(self.form)

    def method(self, pivot):
        return answer_as(f"method of {self.form}")

    async def coroutine_method(self, pivot):
        return answer_as(f"coroutine method of {self.form}")

    @staticmethod
    def static(pivot):
        return answer_as("static")

    @classmethod
    def of_class(cls, pivot):
        return answer_as(f"of {cls.__name__}")

class AsyncBot:
    async def __call__(self, pivot):
        return answer_as("asynchronous class")

bot = Bot()
bot.form = "instance"
async_bot = AsyncBot()
"""
BY_SPEC = {
    "function": "function",
    "coroutine_function": "coroutine_function",
    "gives_coroutine": "gives_coroutine",
    "Bot": "class",
    "Bot.method": "method of class",
    "Bot.coroutine_method": "coroutine method of class",
    "Bot.static": "static",
    "Bot.of_class": "of Bot",
    "bot": "instance",
    "bot.method": "method of instance",
    "AsyncBot": "asynchronous class",
    "async_bot": "asynchronous class",
}


def _expect(project: Project, form: str, name: str = "pivots.jsonl") -> str:
    """Write a pivot that only the agent of this form gets right, twice, so that nothing is asked only once."""
    rows = [project.row(f'call which {{"form": "{form}"}}', id=f"pivot-{n}") for n in range(2)]
    project.data(rows, name)
    return f"--fc-data={name}"


def _named(form: str) -> str:
    return f'def answer(pivot):\n    return {{"name": "which", "arguments": {{"form": "{form}"}}}}\n'


@pytest.mark.parametrize("spec", BY_SPEC)
def test_forms(project: Project, spec: str) -> None:
    """An agent is a function, a class, an instance or a method of either kind, synchronous or not, in any module."""
    project.write("bots/__init__.py", "")
    project.write("bots/forms.py", FORMS)
    result = project.run_here(_expect(project, BY_SPEC[spec]), f"--fc-agent=bots.forms:{spec}")
    result.assert_outcomes(passed=2)


def test_command_line_over_environment_over_ini(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The option beats FC_AGENT, which beats ini fc_agent."""
    for source in ("line", "env", "ini"):
        project.write(f"by_{source}.py", _named(source))
    project.write("pytest.ini", "[pytest]\nfc_agent = by_ini:answer\n")
    project.run_here(_expect(project, "ini")).assert_outcomes(passed=2)
    monkeypatch.setenv("FC_AGENT", "by_env:answer")
    project.run_here(_expect(project, "env")).assert_outcomes(passed=2)
    project.run_here(_expect(project, "line"), "--fc-agent=by_line:answer").assert_outcomes(passed=2)


@pytest.mark.parametrize("home", ["", "evals"])
def test_found_from_a_subdirectory(
    project: Project, monkeypatch: pytest.MonkeyPatch, workers: list[str], home: str
) -> None:
    """An agent is found from the root directory and from the working directory."""
    project.write("pytest.ini", "[pytest]\n")
    project.write(f"{home or '.'}/mine.py", _named("mine"))
    _expect(project, "mine", "evals/pivots.jsonl")
    monkeypatch.chdir(project.path / "evals")
    result = project.run_here("--fc-data=pivots.jsonl", "--fc-agent=mine:answer", *workers)
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize(("name", "right"), [("asks", {"talks"}), ("silent", set()), ("first_tool", {"acts"})])
def test_bundled(project: Project, name: str, right: set[str]) -> None:
    """A bundled agent goes by its name alone."""
    rows = {"talks": ("say which one?", None), "acts": ("call ping {}", None), "adds": ('call add {"a": 1}', None)}
    project.data(
        [
            project.row(expected, id=key, tools=[{"type": "function", "name": "ping"}])
            for key, (expected, _) in rows.items()
        ]
    )
    result, outcomes = project.run_cases("--fc-data=pivots.jsonl", f"--fc-agent={name}")
    assert {key for key, outcome in outcomes.items() if outcome == "passed"} == right
    result.stdout.fnmatch_lines([f"fcpivot: *; agent {name}; *"])


def test_baseline_on_the_sample(project: Project) -> None:
    """The bundled rules do better on the bundled sample than asking back or calling the first tool."""
    rewards = {}
    for agent in ("baseline", "asks", "first_tool"):
        result = project.run_here(f"--fc-agent={agent}", "--fc-limit=120", "-q", "--tb=no", "--no-summary")
        found = re.search(r"mean reward (0\.\d+)", result.stdout.str())
        assert found
        rewards[agent] = float(found[1])
    assert rewards["baseline"] > max(rewards["asks"], rewards["first_tool"]) + 0.05


@pytest.mark.parametrize("scope", ["session", "module", "function"])
def test_overriding_the_agent(project: Project, scope: str) -> None:
    """A conftest's fc_agent of any scope takes the place of --fc-agent."""
    project.write(
        "conftest.py",
        f"""
import pytest

@pytest.fixture(scope="{scope}")
def fc_agent():
    return lambda pivot: {{"name": "which", "arguments": {{"form": "fixture"}}}}
""",
    )
    project.run_here(_expect(project, "fixture")).assert_outcomes(passed=2)


def test_fixtures_of_every_scope(project: Project, workers: list[str]) -> None:
    """A conftest's autouse fixtures run around pivots in every scope, as they do around other tests."""
    scopes = ["session", "package", "module", "class", "function"]
    made = "\n".join(f"@pytest.fixture(scope={s!r}, autouse=True)\ndef of_{s}(): ...\n" for s in scopes)
    project.write("conftest.py", f"import pytest\n\n{made}")
    project.write("mine.py", _named("mine"))
    project.run_here(_expect(project, "mine"), "--fc-agent=mine:answer", *workers).assert_outcomes(passed=2)


def test_a_fixture_that_another_test_sets_up_anew(project: Project) -> None:
    """A fixture of the session that a test's parameter has replaced is set up again for the pivots after it."""
    project.write(
        "conftest.py",
        """
import pytest

level = []

@pytest.fixture(scope="session")
def chosen(request):
    return getattr(request, "param", "usual")

@pytest.fixture(scope="session", autouse=True)
def setting(chosen):
    level[:] = [chosen]

@pytest.fixture(autouse=True)
def seen(request):
    print("level", request.node.name, level[0])

@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: ["pivot-0", "test_mine[other]", "pivot-1", "test_mine[last]"].index(item.name))
""",
    )
    project.write("mine.py", _named("mine"))
    project.write(
        "test_mine.py",
        "import pytest\n\n@pytest.mark.parametrize('chosen', ['other', 'last'], indirect=True)\n"
        "def test_mine(chosen): ...\n",
    )
    data, *_ = _expect(project, "mine").split("=")[::-1]
    result = project.run_here(data, "test_mine.py", "--fc-agent=mine:answer", "-s", "-p", "no:xdist")
    result.assert_outcomes(passed=4)
    levels = [line.split("level ")[1] for line in result.outlines if "level " in line]
    assert levels == ["pivot-0 usual", "test_mine[other] other", "pivot-1 usual", "test_mine[last] last"]


def test_wrapping_the_agent(project: Project) -> None:
    """A conftest's fc_agent may take the one that it overrides, and be closed after the run."""
    project.write("mine.py", _named("mine"))
    project.write(
        "conftest.py",
        """
import pytest

@pytest.fixture(scope="session")
def fc_agent(fc_agent):
    asked = []
    yield lambda pivot: asked.append(pivot.id) or fc_agent(pivot)
    print(f"asked {sorted(asked)}")
""",
    )
    result = project.run_here(_expect(project, "mine"), "--fc-agent=mine:answer", "-s")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*asked [[]'pivot-0', 'pivot-1'[]]*"])


@pytest.mark.parametrize(
    "fixture",
    [
        """
@pytest.fixture
def fc_action():
    return {"name": "which", "arguments": '{"form": "fixture"}'}
""",
        """
@pytest.fixture
def fc_action(fc_action):
    return Action((FunctionCall("which", {"form": fc_action.message}),))
""",
        """
@pytest.fixture
def fc_grade(fc_grade):
    return lambda action: fc_grade(FunctionCall("which", {"form": action.message}))
""",
        """
@pytest.fixture
def pivot(pivot):
    return dataclasses.replace(pivot, expected_action=Action(message="anything"))
""",
    ],
    ids=["fc_action", "fc_action-wrapped", "fc_grade-wrapped", "pivot-wrapped"],
)
def test_overriding_the_other_fixtures(project: Project, fixture: str) -> None:
    """A conftest may put its own pivot, fc_action or fc_grade between the agent and the verdict."""
    project.write("mine.py", 'def answer(pivot):\n    return "fixture"\n')
    project.write(
        "conftest.py", f"import dataclasses\nimport pytest\nfrom pytest_fcpivot import Action, FunctionCall\n{fixture}"
    )
    result = project.run_here(_expect(project, "fixture"), "--fc-agent=mine:answer")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["counts agree: pytest's pass rate is the grader's mean reward (2 tests)"])


def test_autouse_fixtures_come_first(project: Project) -> None:
    """The agent is asked within the autouse fixtures of the user's conftest."""
    project.write(
        "conftest.py",
        """
import os
import pytest

@pytest.fixture(autouse=True)
def setting(monkeypatch):
    monkeypatch.setenv("MY_SETTING", "set")
""",
    )
    project.write(
        "mine.py",
        """
import os

def answer(pivot):
    return {"name": "which", "arguments": {"form": os.environ["MY_SETTING"]}}
""",
    )
    project.run_here(_expect(project, "set"), "--fc-agent=mine:answer").assert_outcomes(passed=2)


def test_the_answer_is_out_of_sight(project: Project) -> None:
    """Nothing that can be reached from the pivot an agent gets holds the answer or the row's other fields."""
    project.write(
        "spy.py",
        """
def texts(thing, seen):
    if id(thing) in seen:
        return
    seen[id(thing)] = thing
    yield repr(thing)
    if isinstance(thing, str | bytes | int | float | None):
        return
    if isinstance(thing, dict):
        children = [*thing.keys(), *thing.values()]
    elif isinstance(thing, list | tuple | set):
        children = list(thing)
    else:
        children = [getattr(thing, name, None) for name in dir(thing) if not callable(getattr(thing, name, None))]
        children += vars(thing).values() if hasattr(thing, "__dict__") else []
    for child in children:
        yield from texts(child, seen)

def answer(pivot):
    everything = " ".join(texts(pivot, {}))
    assert "the question" in everything and "lookup" in everything  # the spy sees what it may
    found = [secret for secret in ("anSwer-1", "anSwer-2", "thinKing", "p4ss") if secret in everything]
    return {"name": "lookup", "arguments": {"found": found, "type": type(pivot).__name__}}
""",
    )
    extra = {"reasoning": "thinKing", "pass_rate": "p4ss", "meta_info": {"note": "thinKing"}}
    tools = [{"type": "function", "name": "lookup", "parameters": {}}]
    rows = [
        project.row('call lookup {"key": "anSwer-1"}', "the question", tools=tools, id="calls", **extra),
        project.row("say anSwer-2", "the question", tools=tools, id="talks", **extra),
    ]
    rows[0]["responses_create_params"]["metadata"] = {"expert": "thinKing"}
    project.data(rows)
    result = project.run_here("--fc-data=pivots.jsonl", "--fc-agent=spy:answer")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(['  actual:   lookup({"found": [[]], "type": "PivotView"})'] * 2)


def test_an_agent_for_each_test_leaves_no_threads(project: Project) -> None:
    """A fixture that makes an agent for every test does not pile up a thread for every test."""
    project.write(
        "conftest.py",
        """
import threading
import pytest

@pytest.fixture
def fc_agent():
    assert threading.active_count() < 20
    return lambda pivot: {"name": "which", "arguments": {"form": "fixture"}}
""",
    )
    row = project.row('call which {"form": "fixture"}')
    project.data([row | {"id": f"pivot-{number}"} for number in range(60)])
    project.run_here("--fc-data=pivots.jsonl").assert_outcomes(passed=60)
