"""What becomes of the secrets that clients send: one is kept for the judge, in its session, and none is ever shown."""

from __future__ import annotations

import base64
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from ors_server import serving

from pytest_fcpivot.serve.problems import RequestProblem
from pytest_fcpivot.serve.secrets import judge_key

if TYPE_CHECKING:
    from pathlib import Path

KEY, OTHER = "sk-judge-0123456789abcdef", "or-uninvited-0123456789abcdef"


def header(value: Any) -> bytes:
    """Write secrets as both official clients do."""
    return base64.b64encode(json.dumps(value).encode())


@pytest.mark.parametrize(
    ("in_header", "in_body", "kept"),
    [
        (None, None, None),
        (b"", {}, None),
        (header({"openai_api_key": {"value": KEY, "allowed_domains": ["api.openai.com"]}}), None, KEY),
        (header({"OPENAI_API_KEY": {"value": KEY}}), None, KEY),
        (header({"openai_api_key": KEY}), None, KEY),
        (None, {"openai_api_key": KEY}, KEY),
        (header({"openai_api_key": {"value": KEY}}), {"openai_api_key": "the body's"}, KEY),
        (header({"api_key": {"value": OTHER}, "OPENREWARD_API_KEY": {"value": OTHER}}), None, None),
        (header({"api_key": 5}), {"OPENREWARD_API_KEY": None}, None),
    ],
)
def test_the_key_that_is_kept(in_header: bytes | None, in_body: Any, kept: str | None) -> None:
    """Only the judge's key is kept, in whichever form it comes; the header wins."""
    assert judge_key(in_header, in_body) == kept


@pytest.mark.parametrize(
    ("in_header", "in_body"),
    [
        (b"not base64 " + KEY.encode(), None),
        (base64.b64encode(b"{" + KEY.encode()), None),
        (header([KEY]), None),
        (header({"openai_api_key": {"key": KEY}}), None),
        (header({"openai_api_key": {"value": [KEY]}}), None),
        (None, [KEY]),
        (None, {"openai_api_key": [KEY]}),
        (None, {"openai_api_key": " "}),
    ],
)
def test_secrets_that_cannot_be_read(in_header: bytes | None, in_body: Any) -> None:
    """What is not understood is refused, without a word of it."""
    with pytest.raises(RequestProblem) as refused:
        judge_key(in_header, in_body)
    assert refused.value.status == 400
    assert KEY not in refused.value.detail


def test_secrets_are_shown_nowhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in a reply, a log, a traceback or a file, even where the server itself fails."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FC_CACHE_DIR", str(tmp_path))
    caplog.set_level(logging.DEBUG)
    secrets = {"openai_api_key": {"value": KEY}, "api_key": {"value": OTHER}}
    with serving("sample") as server, server.client(X_Secrets=header(secrets).decode(), X_API_Key=OTHER) as client:
        shown = client.open(split="train", index=0, secrets={"openai_api_key": KEY, "other": OTHER}).body
        session = server.app.sessions.get(client.sid)
        kept = session.key
        assert kept == KEY
        assert KEY not in repr(session)
        session.row = 10**9  # as if the data had been replaced
        failed = client.ask("GET", "/prompt")
        assert failed.status == 500
        shown += failed.body + client.ask("POST", "/delete").body
        assert session.key is None
    captured = capfd.readouterr()
    texts = [shown.decode(), caplog.text, captured.out, captured.err]
    texts += [path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    assert not [text for text in texts if KEY in text or OTHER in text or KEY[3:20] in text]
    assert "GET /prompt failed" in caplog.text
