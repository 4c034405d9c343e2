"""Naming an agent: what `module:attribute` may be, and what is said when it cannot be had."""

from __future__ import annotations

import sys
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot import AgentError, Pivot, to_action
from pytest_fcpivot.agents import BUNDLED, load_agent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOOL = {"type": "function", "name": "find", "parameters": {"type": "object"}}
ROW = {
    "responses_create_params": {"input": "Find it.", "tools": [TOOL]},
    "expected_action": {"type": "message", "content": ""},
}
VIEW = Pivot.from_row(ROW).view()


@pytest.fixture(autouse=True)
def clean_imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget what a test imported, and where from."""
    monkeypatch.setattr(sys, "path", sys.path.copy())
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("own_agent"):
            del sys.modules[name]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a module with agents of every kind."""
    (tmp_path / "own_agent.py").write_text(
        dedent("""
            import functools

            count = 0

            def answer(pivot):
                return "function"

            async def answer_async(pivot):
                return "coroutine"

            def with_default(pivot, temperature=0.5):
                return "default"

            def anything(*args, **kwargs):
                return "anything"

            half = functools.partial(lambda mode, pivot: mode, "partial")

            class Plain:
                def __init__(self):
                    global count
                    count += 1
                def __call__(self, pivot):
                    return "object of a class"
                def method(self, pivot):
                    return "method"
                @staticmethod
                def static(pivot):
                    return "static"
                @classmethod
                def of_class(cls, pivot):
                    return "of class"
                class Inner:
                    def __call__(self, pivot):
                        return "inner"

            ready = Plain()
            nested = type("Namespace", (), {"deep": ready})

            class NeedsKey:
                def __init__(self, key):
                    pass
                def __call__(self, pivot):
                    return "has a key"
                def method(self, pivot):
                    return "has a key"

            class Raises:
                def __init__(self):
                    raise RuntimeError("no key in the environment")
                def __call__(self, pivot):
                    return "never"

            class NotCallable:
                def reset(self):
                    pass
                def _private(self, pivot):
                    pass
                limit = 3

            class Talks(NotCallable):
                def __init__(self):
                    self.of_object = len
                def answer(self, pivot):
                    return "answer"
                @staticmethod
                def ask(pivot, times=1):
                    return "ask"
                def both(self, pivot, client):
                    pass

            talks = Talks()

            class MakesAnother:
                def __new__(cls):
                    return answer

            def no_argument():
                pass

            def two_arguments(pivot, model):
                pass

            number = 42
            nothing = None
        """),
        "utf-8",
    )
    (tmp_path / "own_agent_broken.py").write_text("import os\n\nvalue = 1 / 0\n", "utf-8")
    (tmp_path / "own_agent_syntax.py").write_text("def answer(pivot:\n", "utf-8")
    (tmp_path / "own_agent_imports.py").write_text("import a_library_that_is_not_there\n", "utf-8")
    (tmp_path / "own_agent_exits.py").write_text("import sys\nsys.exit('set MY_KEY first')\n", "utf-8")
    (tmp_path / "own_agent_wide.py").write_text("def answer(pivot):\n    return 'wide'\n", "utf-16")
    package = tmp_path / "own_agent_package"
    package.mkdir()
    (package / "__init__.py").write_text("", "utf-8")
    (package / "inner.py").write_text("def answer(pivot):\n    return 'package'\n", "utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("spec", "answer"),
    [
        ("own_agent:answer", "function"),
        ("own_agent:with_default", "default"),
        ("own_agent:anything", "anything"),
        ("own_agent:half", "partial"),
        ("own_agent:ready", "object of a class"),
        ("own_agent:ready.method", "method"),
        ("own_agent:nested.deep.method", "method"),
        ("own_agent:Plain", "object of a class"),
        ("own_agent:Plain.method", "method"),
        ("own_agent:Plain.static", "static"),
        ("own_agent:Plain.of_class", "of class"),
        ("own_agent:Plain.Inner", "inner"),
        ("own_agent:MakesAnother", "function"),
        ("own_agent_package.inner:answer", "package"),
    ],
)
def test_agents(folder: Path, spec: str, answer: str) -> None:
    """Functions, objects, classes and their methods are agents, by the name they have in their module."""
    assert load_agent(spec, [folder])(VIEW) == answer


def test_coroutine_functions(folder: Path) -> None:
    """A coroutine function is an agent as it is."""
    coroutine = load_agent("own_agent:answer_async", [folder])(VIEW)
    with pytest.raises(StopIteration) as stopped:
        coroutine.send(None)
    assert stopped.value.value == "coroutine"


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_agents(name: str) -> None:
    """A bundled agent is named alone, and its answer is an action."""
    to_action(load_agent(name)(VIEW))


@pytest.mark.parametrize(("name", "kind"), [("silent", "none"), ("asks", "message"), ("first_tool", "function_call")])
def test_trivial_agents(name: str, kind: str) -> None:
    """The agents of one line do the one thing they are named for."""
    assert to_action(load_agent(name)(VIEW)).kind == kind


def test_first_tool_without_tools() -> None:
    """Without a tool to call there is no answer."""
    row = {"responses_create_params": {"input": "Hi"}, "expected_action": {"type": "message", "content": ""}}
    assert load_agent("first_tool")(Pivot.from_row(row).view()) is None


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("", ["--fc-agent=", "module:function", "baseline"]),
        ("own_agent", ["--fc-agent=own_agent", "module:function", "baseline"]),
        ("own_agent.py:answer", ["own_agent.py:answer", "without .py", "own_agent:answer"]),
        ("./own_agent:answer", ["./own_agent:answer", "module:function"]),
        ("own-agent:answer", ["own-agent:answer", "module:function"]),
        ("own_agent:", ["own_agent:", "module:function"]),
        (":answer", [":answer", "module:function"]),
        ("own_agent:answer()", ["own_agent:answer()", "module:function"]),
        ("own_agent_missing:answer", ["cannot import own_agent_missing", "ModuleNotFoundError"]),
        ("own_agent_broken:answer", ["cannot import", "ZeroDivisionError", "own_agent_broken.py:3"]),
        ("own_agent_syntax:answer", ["cannot import", "SyntaxError"]),
        ("own_agent_imports:answer", ["a_library_that_is_not_there", "own_agent_imports.py:1"]),
        ("own_agent_exits:answer", ["cannot import", "SystemExit", "set MY_KEY first"]),
        ("own_agent_wide:answer", ["own_agent_wide.py: this file is UTF-16; save it as UTF-8"]),
        ("own_agent_package.other:answer", ["cannot import own_agent_package.other", "looked in", "own_agent_package"]),
        ("own_agent:answr", ["module own_agent", "no 'answr'", "did you mean 'answer'?", "own_agent.py"]),
        ("own_agent:Plain.methd", ["Plain", "no 'methd'", "did you mean 'method'?"]),
        ("own_agent:zzz", ["module own_agent", "no 'zzz'"]),
        ("own_agent:number", ["callable", "int", "42"]),
        ("own_agent:nothing", ["callable", "NoneType"]),
        ("own_agent:NotCallable", ["NotCallable has no __call__", "write def __call__(self, pivot)"]),
        ("own_agent:Talks", ["Talks has no __call__", "did you mean own_agent:Talks.answer or own_agent:Talks.ask?"]),
        ("own_agent:talks", ["callable, not Talks", "did you mean own_agent:talks.answer or own_agent:talks.ask?"]),
        ("own_agent:no_argument", ["one argument", "()"]),
        ("own_agent:two_arguments", ["one argument", "(pivot, model)"]),
        ("own_agent:NeedsKey", ["without arguments", "NeedsKey(key)", "'key'", "fc_agent"]),
        ("own_agent:NeedsKey.method", ["without arguments", "NeedsKey(key)"]),
        ("own_agent:Raises", ["Raises()", "RuntimeError", "no key in the environment"]),
    ],
)
def test_agents_that_cannot_be_had(folder: Path, spec: str, parts: list[str]) -> None:
    """What is wrong with an agent's name, module or signature is said with the option and what to write."""
    with pytest.raises(AgentError) as raised:
        load_agent(spec, [folder])
    for part in [f"--fc-agent={spec}", *parts]:
        assert part in str(raised.value)


def test_where_a_module_was_looked_for(folder: Path) -> None:
    """What cannot be imported is told with the directories that were searched, each once."""
    with pytest.raises(AgentError) as raised:
        load_agent("own_agent_missing:answer", [folder, folder])
    assert f"; looked in {folder}, and then in the " in str(raised.value)


def test_an_early_check_makes_no_instance(folder: Path) -> None:
    """Looked at only, a class is checked for its existence and not instantiated."""
    for spec in ("own_agent:Plain", "own_agent:Plain.method", "own_agent:Raises"):
        load_agent(spec, [folder], instantiate=False)
    assert sys.modules["own_agent"].__dict__["count"] == 1  # the module's own `ready`
    with pytest.raises(AgentError, match="Talks has no __call__"):
        load_agent("own_agent:Talks", [folder], instantiate=False)
    with pytest.raises(AgentError, match="no 'Plan'"):
        load_agent("own_agent:Plan", [folder], instantiate=False)


def test_the_first_directory_wins(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Of two modules of one name, the one in the first directory is taken."""
    other: Any = tmp_path_factory.mktemp("other")
    (other / "own_agent.py").write_text("def answer(pivot):\n    return 'other'\n", "utf-8")
    assert load_agent("own_agent:answer", [other, folder])(VIEW) == "other"
