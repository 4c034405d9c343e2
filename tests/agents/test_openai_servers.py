"""What servers refuse or leave to the client: fields, later system messages, keys, thoughts and calls in the text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import openai
import pytest
from served import ModelServer, ask, ask_all, tool, view_of

from pytest_fcpivot import Action, AgentError, FunctionCall, to_action
from pytest_fcpivot.agents.openai import OPENAI_AGENTS, ChatAgent, PromptAgent, ResponsesAgent
from pytest_fcpivot.agents.openai.refused_fields import refused_field
from pytest_fcpivot.agents.openai.system_messages import is_refusal, with_one_system_message
from pytest_fcpivot.core.answer_flags import flags_of
from pytest_fcpivot.core.usage import usage_of
from pytest_fcpivot.runs.output import output_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fcpivot.agents.openai.base import OpenAIAgent

EVERY = pytest.mark.parametrize("kind", OPENAI_AGENTS.values(), ids=OPENAI_AGENTS)
WITH_TEXT = pytest.mark.parametrize("kind", [ChatAgent, PromptAgent])
REFUSAL = "System message must be at the beginning."
ADD = tool("add", description="Adds.")


@pytest.fixture(scope="module")
def running() -> Iterator[ModelServer]:
    """Run one server for all tests here."""
    with ModelServer() as server:
        yield server


@pytest.fixture
def server(running: ModelServer) -> ModelServer:
    """Return the server as it is by default, keeping requests."""
    running.configure(keep_bodies=100)
    return running


def reread(answer: dict[str, Any]) -> Any:
    """Return an answer as a replay reads it, from what is stored of it."""
    return json.loads(output_json(answer))


class TestFields:
    """Fields that a server does not take."""

    @EVERY
    def test_left_out(self, kind: type[OpenAIAgent], server: ModelServer) -> None:
        """A field that is to be left out is not sent, whether the settings or the pivot ask for it."""
        server.configure(keep_bodies=1, refuse_params=sorted(kind.fields))
        agent = kind(model="m", base_url=server.url, omit=sorted(kind.fields), temperature=1, tool_choice="auto")
        ask(agent, view_of("say hi", ADD, parallel_tool_calls=False))
        assert server.stats()["bodies"][-1].keys() == {"model", kind.conversation}

    @EVERY
    @pytest.mark.parametrize("name", ["temperature", "top_p"])
    def test_refused(self, kind: type[OpenAIAgent], server: ModelServer, name: str) -> None:
        """The error of a server that refuses a field says how to leave it out."""
        server.configure(refuse_params=[name])
        with pytest.raises(openai.BadRequestError) as caught:
            ask(kind(model="m", base_url=server.url, **{name: 0.5}), view_of("say hi", ADD))
        assert caught.value.__notes__ == [f"the server does not take {name!r}: leave it out with --fc-omit={name}"]

    def test_refused_extra(self, server: ModelServer) -> None:
        """A field that the user added is to be taken out again."""
        server.configure(refuse_params=["top_k"])
        with pytest.raises(openai.BadRequestError) as caught:
            ask(ChatAgent(model="m", base_url=server.url, extra_body={"top_k": 3}), view_of("say hi"))
        assert caught.value.__notes__ == ["the server does not take 'top_k': take it out of --fc-extra-body"]

    @EVERY
    @pytest.mark.parametrize(
        ("name", "message"),
        [
            (
                "model",
                "--fc-omit=model: no request can do without it; of the requests of .*, these fields can be left out",
            ),
            (
                "stop",
                "--fc-omit=stop: no request has it; of the requests of .* can be left out: .*temperature, .*top_p",
            ),
            ("n", "--fc-omit=n: --fc-extra-body has that field; take it out there"),
        ],
    )
    def test_cannot_be_left_out(self, kind: type[OpenAIAgent], name: str, message: str) -> None:
        """What no request has, or none can do without, is refused with the fields that can be left out."""
        with pytest.raises(AgentError, match=message):
            kind(model="m", base_url="http://h/v1", omit=[name], extra_body={"n": 1})


class _RefusalError(Exception):
    """Stands for the client's exception of a status, with what it carries."""

    def __init__(self, body: Any, status: int = 400) -> None:
        super().__init__(f"Error code: {status} - {body}")
        self.status_code = status
        self.body = body.get("error", body) if isinstance(body, dict) else body


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"error": {"message": "No.", "param": "seed", "code": "unsupported_parameter"}}, "seed"),
        ({"error": {"message": "No.", "param": "reasoning.effort", "code": "unsupported_value"}}, "reasoning"),
        ({"error": {"message": "No.", "param": "seed", "code": "invalid_value"}}, None),
        ({"error": {"message": "Unsupported parameter: 'seed' is not supported with this model."}}, "seed"),
        ({"error": {"message": "Unsupported value: 'top_p' does not support 0.5 with this model."}}, "top_p"),
        ({"error": {"message": "Unknown parameter: 'reasoning.effort'."}}, "reasoning"),
        ({"error": {"message": "Unrecognized request argument supplied: seed"}}, "seed"),
        ({"error": {"message": "Unrecognized request arguments supplied: functions, seed"}}, "seed"),
        ({"error": {"message": "property 'seed' is unsupported"}}, "seed"),
        ({"error": {"message": "`seed` is not supported by this model"}}, "seed"),
        ({"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs"}]}, "seed"),
        ({"message": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs"}]}, "seed"),
        ({"detail": [{"type": "extra_forbidden", "loc": ["body", "messages", 0, "seed"]}]}, None),
        ({"detail": [{"type": "missing", "loc": ["body", "seed"]}]}, None),
        ({"object": "error", "message": "[{'type': 'extra_forbidden', 'loc': ('body', 'seed'), 'input': 1}]"}, "seed"),
        ({"error": {"message": "Unsupported parameter: 'messages'"}}, None),
        ({"error": {"message": "seed must be an integer"}}, None),
        ({"error": {"message": 7, "param": ["seed"]}}, None),
        ("Unknown field: seed", "seed"),
        (None, None),
    ],
)
def test_refused_field(body: Any, field: str | None) -> None:
    """Only an error that says a field is not taken names it, and only one that was sent and can be left out."""
    assert refused_field(_RefusalError(body), {"seed", "top_p", "reasoning"}) == field
    assert refused_field(_RefusalError(body, 500), {"seed", "top_p", "reasoning"}) is None


class TestSystemMessages:
    """System messages after the first."""

    LATER: tuple[dict[str, Any], ...] = (
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "developer", "content": "The shop is closed now."},
        {"role": "user", "content": "say hi"},
    )

    @EVERY
    def test_as_it_is(self, kind: type[OpenAIAgent], server: ModelServer) -> None:
        """A server that takes them gets them where they were said."""
        answer = ask(kind(model="m", base_url=server.url), view_of(list(self.LATER)))
        assert "system_messages_moved" not in flags_of(reread(answer), to_action(answer))
        roles = [turn["role"] for turn in server.stats()["bodies"][-1][kind.conversation]]
        assert roles[3] in ("system", "developer")
        assert server.stats()["requests"] == 1

    @EVERY
    def test_mended(self, kind: type[OpenAIAgent], server: ModelServer) -> None:
        """A server that refuses them is asked again once, mended, and then mended at once; others are left alone."""
        server.configure(keep_bodies=100, late_system=REFUSAL)
        agent = kind(model="m", base_url=server.url)
        later, plain = view_of(list(self.LATER)), view_of(list(self.LATER[:3]))
        answers = [ask(agent, view) for view in (later, plain, later)]
        assert server.stats()["statuses"] == {"400": 1, "200": 3}
        moved = [flags_of(reread(answer), to_action(answer)) for answer in answers]
        assert moved == [("system_messages_moved",), (), ("system_messages_moved",)]
        sent = server.stats()["bodies"][1][kind.conversation]
        assert [turn["role"] for turn in sent] == ["system", "user", "assistant", "user"]
        assert sent[0]["content"] == "Be kind."
        assert sent[-1]["content"] == "[system] The shop is closed now.\n\nsay hi"
        assert server.stats()["bodies"][3] == server.stats()["bodies"][1]

    def test_many_at_once(self, server: ModelServer) -> None:
        """What one call learns of the server is known to those that start after it."""
        server.configure(late_system=REFUSAL, latency={"seconds": 0.02})
        agent = ChatAgent(model="m", base_url=server.url)
        assert len(ask_all(agent, [view_of(list(self.LATER))] * 64)) == 64
        assert server.stats()["statuses"]["200"] == 64
        assert server.stats()["statuses"]["400"] <= 16  # those that were under way at first

    def test_refused_again(self, server: ModelServer) -> None:
        """A refusal that goes on is raised with the story, and not a third request is sent."""
        server.configure(faults=[{"kind": "400", "times": -1, "message": "Conversation roles must alternate."}])
        with pytest.raises(openai.BadRequestError) as caught:
            ask(ChatAgent(model="m", base_url=server.url), view_of(list(self.LATER)))
        assert "asked again with its later system messages moved, after: Error code: 400" in caught.value.__notes__[0]
        assert server.stats()["requests"] == 2

    def test_another_refusal(self, server: ModelServer) -> None:
        """Any other refusal is not asked again."""
        server.configure(faults=[{"kind": "400", "times": -1}])
        with pytest.raises(openai.BadRequestError):
            ask(ChatAgent(model="m", base_url=server.url), view_of(list(self.LATER)))
        assert server.stats()["requests"] == 1

    @pytest.mark.parametrize(
        ("roles", "expected"),
        [
            ("s:A u:B a:C", None),
            ("u:A a:B", None),
            ("s:A s:B u:C", "s:A+B u:C"),
            ("s:A d:B s:C u:D", "s:A+B+C u:D"),
            ("u:A s:B", "u:A+[system] B"),
            ("u:A s:B u:C a:D", "u:A+[system] B+C a:D"),
            ("s:A a:B s:C a:D", "s:A a:B u:[system] C a:D"),
            ("s:A a:B s:C s:D u:E u:F", "s:A a:B u:[system] C+[system] D+E u:F"),
            ("s:A t:B s:C", "s:A t:B u:[system] C"),
            ("s:A u:B s: u:C", "s:A u:B u:C"),
        ],
    )
    def test_moved(self, roles: str, expected: str | None) -> None:
        """Each stays where it was said and is told apart, and turns alternate as they did without it."""
        names = {"s": "system", "d": "developer", "u": "user", "a": "assistant", "t": "tool"}
        turns = [part.partition(":")[::2] for part in roles.split()]
        mended = with_one_system_message([{"role": names[role], "content": text} for role, text in turns])
        if expected is None:
            assert mended is None
        else:
            assert mended is not None
            shown = [f"{turn['role'][0]}:{turn['content']}".replace("\n\n", "+") for turn in mended]
            assert " ".join(shown) == expected

    def test_moved_parts(self) -> None:
        """A content of parts keeps them all."""
        part = {"type": "input_text", "text": "A"}
        mended = with_one_system_message(
            [{"role": "user", "content": "B"}, {"role": "system", "content": [part], "type": "message"}]
        )
        mark, said = ({"type": "input_text", "text": text} for text in ("[system]", "B"))
        assert mended == [{"role": "user", "content": [said, mark, part]}]

    @pytest.mark.parametrize(
        ("message", "status", "known"),
        [
            ("System message must be at the beginning.", 400, True),
            ("jinja template rendering failed. System message must be at the beginning.", 400, True),
            ("…eveloper\" %}{{- raise_exception('System message must be at the beginning...", 500, True),
            ("Unexpected role 'system' after role 'tool'", 400, True),
            ("After the optional system message, conversation roles must alternate user/assistant/…", 400, True),
            ("Only user and assistant roles are supported, with the exception of an initial optional system message!",
             400, True),
            ("messages.3: role 'system' must precede an 'assistant' message or end the array", 400, True),
            ("System message must be at the beginning.", 429, False),
            ("The request could not be processed.", 400, False),
        ],
    )  # fmt: skip
    def test_known_refusals(self, message: str, status: int, known: bool) -> None:
        """The refusal is known by the words of templates and services, in quotes or without."""
        assert is_refusal(_RefusalError({"error": {"message": message}}, status)) is known
        assert is_refusal(AgentError(f"a reply without an answer: {message}")) is (known or status == 429)


class TestAzureKey:
    """The key at Azure's addresses, which the server of the fixtures stands for as a proxy."""

    @pytest.mark.parametrize(
        ("host", "headers", "sent"),
        [
            ("mine.openai.azure.com", {}, {"api-key": "k"}),
            ("mine.cognitiveservices.azure.com", {}, {"api-key": "k"}),
            ("mine.services.ai.azure.com", {"X-Team": "blue"}, {"api-key": "k"}),
            ("mine.openai.azure.com", {"authorization": "Bearer token"}, {"authorization": "Bearer token"}),
            ("mine.openai.azure.com", {"API-Key": "other"}, {"api-key": "other"}),
            ("openai.azure.com.example.org", {}, {"authorization": "Bearer k"}),
            ("example.org", {"Authorization": "Basic x"}, {"authorization": "Basic x"}),
        ],
    )
    def test_header(
        self,
        server: ModelServer,
        monkeypatch: pytest.MonkeyPatch,
        host: str,
        headers: dict[str, str],
        sent: dict[str, str],
    ) -> None:
        """There the key is sent in a header of its own, unless the user's headers have one; elsewhere as ever."""
        monkeypatch.setenv("HTTP_PROXY", server.url.removesuffix("/v1"))
        for name in ("NO_PROXY", "no_proxy", "http_proxy"):
            monkeypatch.delenv(name, raising=False)
        url = f"http://{host}/openai/v1?api-version=preview"
        ask(ResponsesAgent(model="m", base_url=url, api_key="k", headers=headers), view_of("say hi"))
        seen = server.stats()["headers"][-1]
        assert seen["host"] == host
        assert {name: seen[name] for name in ("api-key", "authorization") if name in seen} == sent


THOUGHT = "<think>They want a table, so"


class TestThoughts:
    """Answers that end within a thought."""

    @WITH_TEXT
    def test_cut_off(self, kind: type[ChatAgent], server: ModelServer) -> None:
        """A thought that never ends and was cut off is no message; the text is kept, and a replay reads the same."""
        answer = ask(kind(model="m", base_url=server.url), view_of(f"cut {THOUGHT}", ADD))
        assert answer["choices"][0]["message"]["raw_content"] == THOUGHT
        for output in (answer, reread(answer)):
            assert to_action(output) == Action()
            assert flags_of(output, to_action(output)) == ("cut_off",)

    @WITH_TEXT
    @pytest.mark.parametrize(
        "text",
        ["cut I have booked the tab", "cut <think>a</think>I have booked", "cut So <think> it is"],
    )
    def test_other(self, kind: type[ChatAgent], server: ModelServer, text: str) -> None:
        """A message that was cut off, with a thought before it or in it, is a message."""
        action = to_action(ask(kind(model="m", base_url=server.url), view_of(text, ADD)))
        assert action.message is not None
        assert action.message in text

    def test_not_cut_off(self, server: ModelServer) -> None:
        """A thought that never ends and was not cut off is a message with native calling, and none from a prompt."""
        view = view_of(f"say {THOUGHT}", ADD)
        native, prompt = (ask(kind(model="m", base_url=server.url), view) for kind in (ChatAgent, PromptAgent))
        assert to_action(native) == Action(message=THOUGHT)
        assert to_action(prompt) == to_action(reread(prompt)) == Action()

    def test_responses(self, server: ModelServer) -> None:
        """Responses have reasoning items: there the text is a message, as it is for a rollout."""
        answer = ask(ResponsesAgent(model="m", base_url=server.url), view_of(f"cut {THOUGHT}"))
        assert to_action(answer) == Action(message=THOUGHT)
        assert flags_of(reread(answer), to_action(answer)) == ("cut_off",)


class TestCallsInText:
    """Calls that a server left in the text."""

    @pytest.mark.parametrize("kind", [ChatAgent, ResponsesAgent])
    def test_looks_like_call(self, kind: type[OpenAIAgent], server: ModelServer) -> None:
        """With native calling it is graded as the message that it is, and counted."""
        text = '[TOOL_CALLS]add{"a": 1}'
        answer = ask(kind(model="m", base_url=server.url), view_of(f"say {text}", ADD))
        assert to_action(answer) == Action(message=text)
        assert flags_of(reread(answer), to_action(answer), frozenset({"add"})) == ("call_like",)

    def test_read(self, server: ModelServer) -> None:
        """From a prompt it is read as the call that it is, typed by the tool's schema."""
        adds = tool("add", parameters={"type": "object", "properties": {"a": {"type": "integer"}}})
        text = "<function=add><parameter=a>1</parameter></function>"
        answer = ask(PromptAgent(model="m", base_url=server.url), view_of(f"say {text}", adds))
        assert to_action(reread(answer)) == Action((FunctionCall("add", '{"a": 1}'),))
        assert flags_of(answer, to_action(answer)) == ()

    def test_unreadable(self, server: ModelServer) -> None:
        """From a prompt, an attempt at a call of nobody knows what is malformed, with its text and what it cost."""
        text = "<tool_call> add it </tool_call>\n<tool_call>\n{oops}"
        answer = ask(PromptAgent(model="m", base_url=server.url), view_of(f"say {text}", ADD))
        for output in (answer, reread(answer)):
            assert to_action(output) == Action(malformed=text)
            assert flags_of(output, to_action(output)) == ("malformed",)
            assert usage_of(output) is not None
