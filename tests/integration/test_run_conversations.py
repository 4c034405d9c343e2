"""Raw conversations as data: every assistant turn is a case, as of rows that were made into pivots before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pivot_project import Project

pytest_plugins = ["pivot_project"]

ADD = {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}


def _conversation(own: str) -> dict[str, Any]:
    """Return a conversation in the puppet's language, with a turn that is none and a right, a right and a wrong one."""
    call = {"function": {"name": "add", "arguments": {"a": 1}}}
    return {
        "uuid": own,
        "messages": [
            {"role": "system", "content": ""},
            {"role": "user", "content": 'call add {"a": 1}'},
            {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "I add."},
            {"role": "tool", "content": {"sum": 1}},
            {"role": "user", "content": "say Hello"},
            {"role": "assistant", "content": "", "tool_calls": None},
            {"role": "user", "content": "say Hello"},
            {"role": "assistant", "content": "Hello", "tool_calls": None},
            {"role": "user", "content": "say Bye"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
        ],
        "tools": [{"type": "function", "function": ADD}],
        "license": "CC-BY-4.0",
    }


def test_conversations_with_an_agent_that_only_asks(project: Project) -> None:
    """A file of conversations is run as it is, by the agent that always asks: under nemo-gym, messages pass."""
    project.data([_conversation("one"), _conversation("two")], "conversations.jsonl")
    options = ["--fc-data=conversations.jsonl", "--fc-agent=asks", "--fc-grader=nemo-gym:any-order", "--tb=no"]
    _, outcomes = project.run_cases(*options)
    verdicts = {"d0": "failure", "d2": "passed", "d3": "failure"}
    assert outcomes == {f"{own}-{depth}": verdict for own in ("one", "two") for depth, verdict in verdicts.items()}


def test_conversations_with_a_right_agent(project: Project) -> None:
    """An agent gets the conversation before each turn, and is right where it does as the expert did."""
    project.puppet([])
    project.data([_conversation("one")], "conversations.jsonl.gz")
    _, outcomes = project.run_cases("--fc-data=conversations.jsonl.gz", "--fc-agent=puppet:answer", "--tb=no")
    assert outcomes == {"one-d0": "passed", "one-d2": "passed", "one-d3": "failure"}
