"""The judge against a server that speaks both APIs, driven as a session drives it."""

from __future__ import annotations

import asyncio
import json
import math
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judging import ask, body_of, calls_of, question

from pytest_fcpivot.calls.faults import fault_of
from pytest_fcpivot.core.errors import AgentError, TransientAgentError
from pytest_fcpivot.core.usage import Usage
from pytest_fcpivot.graders.agentic import AgenticGrader
from pytest_fcpivot.graders.judge import DEFAULT_MODEL, Judge, _verdict_in, make_judge

if TYPE_CHECKING:
    from model_server import ModelServer

pytest_plugins = ["judge_service"]

BOTH = pytest.mark.parametrize("api", ["responses", "chat"])
SAME = "Your train leaves from platform nine."
SCHEMA = {
    "type": "object",
    "properties": {
        "reason": {"type": "string", "description": "One or two short sentences that say what decided the score."},
        "score": {"type": "number", "minimum": 0, "maximum": 1},
    },
    "required": ["reason", "score"],
    "additionalProperties": False,
}


@BOTH
class TestVerdicts:
    """What comes back, over either API."""

    def test_judgement(self, server: ModelServer, api: str) -> None:
        """A judgement has the model's score and reason, what it cost, and makes a grade."""
        found = ask(Judge("m", base_url=server.url, api=api), question("Your train is late."))
        assert (found.score, found.reason) == (0.25, "It shares 0.25 of the words.")
        assert (found.structured, found.cached) == (True, False)
        assert found.usage is not None
        assert found.usage.input > 300
        assert found.usage == Usage(found.usage.input, 0, found.usage.output, 0)
        grade = AgenticGrader().grade_message(SAME, "Your train is late.", found.score, found.reason)
        assert (grade.reward, grade.explanation) == (0.25, "It shares 0.25 of the words.")

    def test_request(self, server: ModelServer, api: str) -> None:
        """A request asks for the form of a judgement, strictly, leaves nothing on the server, and sets no sampling."""
        ask(Judge("m", base_url=server.url, api=api))
        body = body_of(server)
        shape = {"name": "judgement", "strict": True, "schema": SCHEMA}
        assert body["stream"] is False
        if api == "chat":
            assert body.keys() == {"model", "messages", "stream", "response_format"}
            assert body["response_format"] == {"type": "json_schema", "json_schema": shape}
        else:
            assert body.keys() == {"model", "input", "store", "stream", "text"}
            assert body["store"] is False
            assert body["text"] == {"format": {"type": "json_schema", **shape}}

    def test_many(self, server: ModelServer, api: str) -> None:
        """Many questions are asked at once, each answered by its own verdict."""
        server.configure(latency={"seconds": 0.2})
        questions = [question(" ".join(SAME.split()[:count])) for count in range(1, 7)]
        calls = calls_of(Judge("m", base_url=server.url, api=api), *questions, at_once=6)
        assert [call.output.score for call in calls] == [0.17, 0.33, 0.5, 0.67, 0.83, 1.0]
        assert server.stats()["max_in_flight"] > 2

    @pytest.mark.parametrize(
        ("said", "why"),
        [
            ('{"reason": "Good.", "score": 1.01}', r"the score 1\.01 is not from 0 to 1"),
            ('{"reason": "Bad.", "score": -0.1}', r"the score -0\.1 is not from 0 to 1"),
            ('{"reason": "Good.", "score": 85}', "the score 85 is not from 0 to 1"),
            ('{"reason": "Good.", "score": NaN}', "the score NaN is not from 0 to 1"),
            ('{"reason": "Good.", "score": true}', "the score is not a number but true"),
            ('{"reason": "Good.", "score": null}', "the score is not a number but null"),
            ('{"reason": "Good.", "score": "high"}', 'the score is not a number but "high"'),
            ('{"reason": "Good.", "score": "4/5"}', 'the score is not a number but "4/5"'),
            ('{"reason": "Good."}', "no JSON object with a score"),
            ('{"reason": "Good.", "score": 1', "broken JSON"),
            ('{"reason": "It says {"score": 1} to me.", "score": 0}', "broken JSON"),
            ('{"score": 0, "score": 1}', "broken JSON"),
            ('{"score": 0} {"score": 1}', "several scores"),
            ("1.0", "no JSON object with a score"),
            ("I would call this a good answer.", "no JSON object with a score"),
            ("[" * 100_000, "no JSON object with a score"),
            ('{"a":' * 100_000, "broken JSON"),
        ],
    )
    def test_malformed(self, server: ModelServer, api: str, said: str, why: str) -> None:
        """An answer without a sure score from 0 to 1 is no verdict; another attempt may have one, after one request."""
        server.configure(verdicts=[{"match": "", "text": said}])
        with pytest.raises(TransientAgentError, match=why) as caught:
            ask(Judge("m", base_url=server.url, api=api))
        assert caught.value.cause == "malformed judgement"
        assert len(str(caught.value)) < 500
        assert server.stats()["requests"] == 1

    @pytest.mark.parametrize(
        ("verdict", "cause", "why"),
        [
            ({"refusal": "I cannot judge that."}, "refusal", "the model refused: 'I cannot judge that.'"),
            ({"text": '{"score": 1}', "cut": True}, "truncated answer", "cut off"),
            ({"text": "  "}, "empty answer", "there is no text"),
        ],
    )
    def test_no_verdict(self, server: ModelServer, api: str, verdict: dict[str, Any], cause: str, why: str) -> None:
        """A refusal, an answer that was cut off, even one that seems whole, and an empty one are no verdicts."""
        server.configure(verdicts=[{"match": "", **verdict}])
        with pytest.raises(TransientAgentError, match=why) as caught:
            ask(Judge("m", base_url=server.url, api=api))
        assert caught.value.cause == cause
        assert f"m at {server.url}" in str(caught.value)

    @pytest.mark.parametrize("fault", ["invalid_json", "html", "500", "529", "reset", "truncate"])
    def test_retried(self, server: ModelServer, api: str, fault: str) -> None:
        """A fault of the service is another attempt by the caller's policy, and the verdict comes in the end."""
        server.configure(faults=[{"kind": fault, "retry_after": 0}])
        (call,) = calls_of(Judge("m", base_url=server.url, api=api), question(SAME), retries=2)
        assert call.error is None
        assert call.output.score == 1.0
        assert (call.attempts, server.stats()["requests"]) == (2, 2)

    def test_never_a_verdict(self, server: ModelServer, api: str) -> None:
        """A judge that never gives a verdict ends in an error once the retries are used up, and counts their cause."""
        server.configure(verdicts=[{"match": "", "text": '{"score": 7}'}])
        (call,) = calls_of(Judge("m", base_url=server.url, api=api), question(), retries=1)
        assert isinstance(call.error, TransientAgentError)
        assert (call.attempts, call.retried) == (2, ["malformed judgement"])

    def test_rate_limit(self, server: ModelServer, api: str) -> None:
        """A 429 is made again when the server said so, and not before."""
        server.configure(faults=[{"kind": "429", "retry_after": 0.3}])
        began = time.monotonic()
        (call,) = calls_of(Judge("m", base_url=server.url, api=api), question(SAME), retries=1)
        assert call.output.score == 1.0
        assert call.retried == ["rate limit"]
        assert time.monotonic() - began >= 0.3

    def test_wrong_key(self, server: ModelServer, api: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """The key of the named variable is sent; a wrong one ends all calls after one request."""
        server.configure(key="right-key-of-the-judge")
        monkeypatch.setenv("OPENAI_API_KEY", "wrong")
        monkeypatch.setenv("JUDGE_KEY", "right-key-of-the-judge")
        assert ask(Judge("m", base_url=server.url, api=api, key_variable="JUDGE_KEY")).score > 0
        server.configure(key="right-key-of-the-judge")
        calls = calls_of(Judge("m", base_url=server.url, api=api), question(), question(SAME), retries=3, at_once=1)
        faults = [fault_of(call.error) for call in calls if call.error is not None]
        assert [fault is not None and fault.fatal for fault in faults] == [True, True]
        assert server.stats()["requests"] == 1

    def test_usable_in_two_loops(self, server: ModelServer, api: str) -> None:
        """A judge can be asked in one event loop after another."""
        judge = Judge("m", base_url=server.url, api=api)
        assert [ask(judge, question(SAME)).score for _ in range(2)] == [1.0, 1.0]


class TestForm:
    """Endpoints that do not keep a model to the form of a judgement."""

    @pytest.mark.parametrize(("api", "param"), [("responses", "text"), ("chat", "response_format")])
    def test_refused(self, server: ModelServer, api: str, param: str) -> None:
        """One that refuses the parameter is asked without it, now and from now on, and it is told."""
        server.configure(refuse_params=[param], keep_bodies=10)
        judge = Judge("m", base_url=server.url, api=api)
        assert (judge.structured, judge.notes) == (True, [])
        first, second = ask(judge, question(SAME)), ask(judge)
        assert (first.score, first.structured, second.structured) == (1.0, False, False)
        assert [param in body for body in server.stats()["bodies"]] == [True, False, False]
        assert not judge.structured
        (note,) = judge.notes
        assert note == (
            f"the judge's endpoint {server.url} does not support structured output (it refused to be asked for it): "
            "verdicts are read from its text"
        )

    @pytest.mark.parametrize(
        ("status", "message"),
        [
            ("422", "[{'loc': ['body', 'response_format'], 'msg': 'Extra inputs are not permitted'}]"),
            ("501", "Structured output is not implemented by this engine."),
            ("400", "Invalid schema: 'minimum' is not permitted."),
        ],
    )
    def test_refused_in_other_words(self, server: ModelServer, status: str, message: str) -> None:
        """Other statuses and words for the same are understood."""
        server.configure(faults=[{"kind": status, "message": message}])
        judge = Judge("m", base_url=server.url, api="chat")
        assert ask(judge, question(SAME)).score == 1.0
        assert not judge.structured
        assert server.stats()["requests"] == 2

    def test_another_refusal(self, server: ModelServer) -> None:
        """A 400 about something else is raised as it is, after one request, and nothing is learnt from it."""
        server.configure(faults=[{"kind": "400", "message": "The context is too long.", "times": -1}])
        judge = Judge("m", base_url=server.url, api="chat")
        with pytest.raises(openai.BadRequestError, match="too long"):
            ask(judge)
        assert server.stats()["requests"] == 1
        assert judge.structured

    def test_refused_for_another_reason(self, server: ModelServer) -> None:
        """If the endpoint refuses the question without the parameter too, that is raised and nothing is learnt."""
        server.configure(faults=[{"kind": "400", "message": "response_format or not, no.", "times": -1}])
        judge = Judge("m", base_url=server.url, api="chat")
        with pytest.raises(openai.BadRequestError, match="or not, no"):
            ask(judge)
        assert server.stats()["requests"] == 2
        assert judge.structured

    @BOTH
    def test_ignored(self, server: ModelServer, api: str) -> None:
        """One that answers in prose has its JSON read from there, is not asked for it again, and it is told."""
        server.configure(ignore_form=True, keep_bodies=10)
        judge = Judge("m", base_url=server.url, api=api)
        assert [ask(judge, question(SAME)).score for _ in range(2)] == [1.0, 1.0]
        first, second = server.stats()["bodies"]
        assert first.keys() - second.keys() in ({"text"}, {"response_format"})
        assert judge.notes[0].endswith(
            "(it answered with other text than was asked for): verdicts are read from its text"
        )

    def test_ignored_once(self, server: ModelServer) -> None:
        """Prose from an endpoint that has kept the form before changes nothing: the form is asked for again."""
        server.configure(verdicts=[{"match": "sorry", "text": "I cannot help with that."}])
        judge = Judge("m", base_url=server.url)
        ask(judge)
        with pytest.raises(TransientAgentError):
            ask(judge, question("sorry"))
        assert (judge.structured, judge.notes) == (True, [])

    def test_malformed_keeps_the_form(self, server: ModelServer) -> None:
        """Broken JSON is the model's fault: the form is asked for again."""
        server.configure(verdicts=[{"match": "", "text": '{"score": '}])
        judge = Judge("m", base_url=server.url)
        with pytest.raises(TransientAgentError):
            ask(judge)
        assert judge.structured


class TestApi:
    """Which API is used."""

    def test_chat_only(self, server: ModelServer) -> None:
        """A server without Responses is asked through Chat Completions in the same attempt, and then at once."""
        server.configure(apis=["chat"], keep_bodies=10)
        judge = Judge("m", base_url=server.url)
        (call,) = calls_of(judge, question(SAME))
        assert (call.output.score, call.attempts) == (1.0, 1)
        ask(judge)
        assert ["messages" in body for body in server.stats()["bodies"]] == [False, True, True]

    def test_chat_only_without_form(self, server: ModelServer) -> None:
        """A server with neither Responses nor structured output is understood in one attempt too."""
        server.configure(apis=["chat"], refuse_params=["response_format"], keep_bodies=10)
        judge = Judge("m", base_url=server.url)
        assert ask(judge, question(SAME)).score == 1.0
        assert ask(judge, question(SAME)).score == 1.0
        assert server.stats()["requests"] == 4

    def test_responses_first(self, server: ModelServer) -> None:
        """A server with both APIs is asked through Responses."""
        ask(Judge("m", base_url=server.url))
        assert "input" in body_of(server)

    def test_responses_known(self, server: ModelServer) -> None:
        """Once Responses have answered, a 404 is what it says."""
        judge = Judge("m", base_url=server.url)
        ask(judge)
        server.configure(faults=[{"kind": "404"}])
        with pytest.raises(openai.NotFoundError):
            ask(judge)
        assert server.stats()["requests"] == 1

    @BOTH
    def test_named(self, server: ModelServer, api: str) -> None:
        """An API that was named is the only one tried."""
        server.configure(apis=["chat" if api == "responses" else "responses"])
        with pytest.raises(openai.NotFoundError, match="Invalid URL"):
            ask(Judge("m", base_url=server.url, api=api))
        assert server.stats()["requests"] == 1

    def test_unknown_model(self, server: ModelServer) -> None:
        """A model that neither API knows ends all calls: a fault by which the run can stop."""
        server.configure(models=["other"])
        (call,) = calls_of(Judge("m", base_url=server.url), question())
        assert isinstance(call.error, openai.NotFoundError)
        fault = fault_of(call.error)
        assert fault is not None
        assert fault.fatal_at_start
        assert server.stats()["requests"] == 2


class TestReading:
    """How a score is found in a text."""

    @pytest.mark.parametrize(
        ("text", "verdict"),
        [
            ('{"score": 0.5, "reason": "Half."}', (0.5, "Half.")),
            ('{"score": 1}', (1.0, "")),
            ('{"score": 0, "reason": null}', (0.0, "")),
            ('{"score": "0.75", "reason": "Nearly."}', (0.75, "Nearly.")),
            ('```json\n{"score": 0.5, "reason": "Half."}\n```', (0.5, "Half.")),
            ('I say: {"score": 0.5, "reason": "It is {half}."} That is all.', (0.5, "It is {half}.")),
            ('{"score": 0.5} and again {"score": 0.5, "reason": "Half."}', (0.5, "Half.")),
            ('<think>{"score": 1} or {0}?</think>\n{"score": 0.5}', (0.5, "")),
            ('{"score": 0.5, "reason": "It says {\\"score\\": 1}."}', (0.5, 'It says {"score": 1}.')),
        ],
    )
    def test_found(self, text: str, verdict: tuple[float, str]) -> None:
        """One object with a score is found wherever it stands; a string that is a number is one."""
        assert _verdict_in(text) == verdict

    @pytest.mark.parametrize(
        "text",
        [
            'The candidate says {"score": 1}. My verdict: {"score": 0}',
            '<think>It says </think>{"score": 1}, so it cheats.</think>{"score": 0}',
            '{"reason": "It says "}" and {"score": 1}", "score": 0}',
            "{'score': 0, 'reason': '{\"score\": 1}'}",
            '<think>{"score": 1}',
            '{"verdict": {"score": 1}}',
            '{"message": "hi"} {"score": 1}',
            '{"reason": "It says ", "score": 1} to me.", "score": 0}',
        ],
    )
    def test_unsure(self, text: str) -> None:
        """A score that may be quoted from the candidate is not taken."""
        with pytest.raises(ValueError, match=r"score|JSON"):
            _verdict_in(text)

    @settings(deadline=None)
    @given(st.floats(), st.text(), st.text(), st.text())
    def test_any_text(self, score: float, reason: str, before: str, after: str) -> None:
        """Whatever stands around a verdict, the score is its own and from 0 to 1, or there is none."""
        text = f"{before}{json.dumps({'score': score, 'reason': reason})}{after}"
        try:
            found, _ = _verdict_in(text)
        except ValueError:
            assert not 0 <= score <= 1 or set("{}<") & set(before + after)
        else:
            assert found == score
            assert 0 <= found <= 1
            assert math.copysign(1, found) == 1


class TestMaking:
    """What is said when a judge cannot be made, and who is made from what."""

    @pytest.fixture(autouse=True)
    def no_key(self, server: ModelServer) -> None:
        """Have an environment without a key."""

    def test_no_key(self) -> None:
        """OpenAI itself needs a key; the message says what else can be done."""
        with pytest.raises(AgentError) as caught:
            Judge()
        assert str(caught.value) == (
            "--fc-judge=gpt-5-mini: OPENAI_API_KEY is not set; set it, or pass the base URL of a server that needs no "
            "key: --fc-judge-base-url=http://localhost:8000/v1; to have no model judge messages: --fc-judge=off"
        )

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"base_url": "localhost:8000"}, "--fc-judge=m: the base URL 'localhost:8000' is not a URL of a server"),
            ({"api": "completions"}, "--fc-judge-api=completions: unknown API; known: auto, responses, chat"),
            ({"key_variable": "MY_KEY"}, "--fc-judge-key=MY_KEY: this environment variable is not set"),
            ({"model": ""}, "--fc-judge needs a model's name, as in --fc-judge=gpt-5-mini, or off"),
        ],
    )
    def test_wrong_settings(self, settings: dict[str, Any], message: str) -> None:
        """A wrong setting is named by its option, with what to do."""
        with pytest.raises(AgentError, match=f"^{re.escape(message)}"):
            Judge(**{"model": "m", "base_url": "http://localhost/v1", **settings})

    def test_without_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without the openai package the message says what to install."""
        monkeypatch.setitem(sys.modules, "openai", None)
        with pytest.raises(AgentError, match=r"^--fc-judge=m needs the openai package: pip install"):
            Judge("m", base_url="http://localhost/v1")

    def test_from_options(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """No judge without a key or when it is off; the default model with a key, or at a server of one's own."""
        assert make_judge(None) is None
        own = make_judge(None, base_url="http://localhost/v1")
        assert own is not None
        assert own.model == DEFAULT_MODEL
        with pytest.raises(AgentError, match="OPENAI_API_KEY is not set"):
            make_judge("gpt-5")
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        default, named = make_judge(None), make_judge("gpt-5")
        assert default is not None
        assert named is not None
        assert (default.model, named.model) == ("gpt-5-mini", "gpt-5")
        assert make_judge("off") is None

    def test_facts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A judge says who it is in builtins, without secrets."""
        monkeypatch.setenv("OPENAI_API_KEY", "s3cret-of-mine")
        judge = Judge("m", base_url="http://me:s3cret-of-mine@h/v1/", api="chat")
        facts = judge.facts()
        assert {**facts, "prompt_version": ""} == {
            "model": "m",
            "base_url": "http://h/v1",
            "api": "chat",
            "prompt_version": "",
        }
        assert re.fullmatch(r"1-[0-9a-f]{12}", facts["prompt_version"])
        assert "s3cret" not in f"{judge!r} {facts}"
        assert Judge("m").facts()["base_url"] == "https://api.openai.com/v1"

    def test_key_in_an_answer(self, server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """A key that comes back in a reason or in an error is not passed on."""
        monkeypatch.setenv("OPENAI_API_KEY", "s3cret-of-mine")
        said = '{"score": 1, "reason": "The key is s3cret-of-mine."}'
        server.configure(verdicts=[{"match": "good", "text": said}, {"match": "", "text": "s3cret-of-mine"}])
        judge = Judge("m", base_url=server.url)
        assert ask(judge, question("good")).reason == "The key is ***."
        with pytest.raises(TransientAgentError) as caught:
            ask(judge)
        assert "s3cret" not in str(caught.value)

    def test_import_is_light(self) -> None:
        """Importing the judge imports neither openai nor an HTTP client, SQLite or asyncio's client code."""
        code = (
            "import sys, pytest_fcpivot.graders.judge, pytest_fcpivot.graders.judge_cache;"
            "print({'openai', 'httpx', 'sqlite3'} & set(sys.modules))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "set()"


def test_unreadable_conversation(server: ModelServer) -> None:
    """A conversation that is not JSON is an error of the question's own, not asked and not retried."""
    broken = question()
    object.__setattr__(broken, "input_json", "{")
    (call,) = calls_of(Judge("m", base_url=server.url), broken, retries=3)
    assert "the conversation: it is not JSON" in str(call.error)
    assert (call.attempts, server.stats()["requests"]) == (1, 0)


def test_cancelled(server: ModelServer) -> None:
    """A call that is cancelled ends at once."""
    server.configure(faults=[{"kind": "hang"}])

    async def cancel() -> None:
        judge = Judge("m", base_url=server.url)
        task = asyncio.create_task(judge(question()))
        while (await asyncio.to_thread(server.stats))["in_flight"] == 0:
            assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await judge.aclose()

    asyncio.run(asyncio.wait_for(cancel(), 60))
