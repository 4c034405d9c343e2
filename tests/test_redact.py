"""Secrets out of text: what is hidden, and what is left alone."""

from __future__ import annotations

import json
import os
import re
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fcpivot.redact import HIDDEN, Redactor

KEY = "sk-proj-Ab3dEf6hIj9kLm2nOp"
TOKEN = "eyJhbGciOi.J9eyJzdWIi.OiIxMjM0NTY3"  # noqa: S105 (nobody's)
HEX = "9f86d081884c7d659a2feaa0c55ad015"


@pytest.fixture(autouse=True)
def no_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's own secrets out of the tests."""
    for name in list(os.environ):
        if re.search(r"(?i)key|token|secret|passw|credential", name):
            monkeypatch.delenv(name)


class TestEnvironment:
    """Secrets that the environment holds."""

    @pytest.mark.parametrize(
        "name",
        [
            "OPENAI_API_KEY",
            "MY_APIKEY",
            "KEY",
            "GATEWAY_KEY",
            "KEY_OF_MINE",
            "gateway_key",
            "HF_TOKEN",
            "AWS_SECRET",
            "AWS_SECRET_ACCESS_KEY",
            "DB_PASSWORD",
            "DB_PASSWD",
            "SOME_CREDENTIALS",
            "SOME_CREDENTIAL",
        ],
    )
    def test_by_name(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        """The value of a variable that is called a key, a token or a password is hidden wherever it stands."""
        monkeypatch.setenv(name, "Tr0ub4dor&3-horse")
        redact = Redactor()
        assert redact("it is Tr0ub4dor&3-horse, and Tr0ub4dor&3-horse.") == f"it is {HIDDEN}, and {HIDDEN}."
        assert redact.values_in("xTr0ub4dor&3-horsex") == f"x{HIDDEN}x"

    @pytest.mark.parametrize("name", ["MONKEY", "KEYBOARD", "TOKENS_SEEN", "KEYS", "SECRETARY", "HOME", "MODEL"])
    def test_other_names(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        """A variable whose name only looks alike is not taken for a secret."""
        monkeypatch.setenv(name, "Tr0ub4dor&3-horse")
        assert Redactor()("it is Tr0ub4dor&3-horse") == "it is Tr0ub4dor&3-horse"

    @pytest.mark.parametrize(
        "value",
        [
            "",
            "short-1",
            "authentication",
            "123456789012345",
            "3.14159265358979",
            "/home/me/.ssh/id_ed25519",
            "~/.config/key.json",
            "./secrets/key.json",
            "C:\\Users\\me\\key.json",
            "the key is at the reception",
        ],
    )
    def test_values_that_are_none(self, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        """A value that is a plain word, a number, a path or a sentence would be hidden where it is not meant."""
        monkeypatch.setenv("MY_KEY", value)
        text = f"of {value} we speak openly"
        assert Redactor()(text) == text

    def test_the_longer_one_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A secret that holds another leaves no rest of itself."""
        monkeypatch.setenv("A_KEY", "abcdef-123456")
        monkeypatch.setenv("B_KEY", "abcdef-123456-and-more-7890")
        assert Redactor()("(abcdef-123456-and-more-7890)") == f"({HIDDEN})"

    def test_values_of_its_own(self) -> None:
        """Secrets may be named by their value, whatever they look like."""
        redact = Redactor(["opensesame", "", "tiny"])
        assert redact("say opensesame, tiny one") == f"say {HIDDEN}, tiny one"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (f"Authorization: Bearer {TOKEN}", "Authorization: Bearer ***"),
        (f"authorization: bearer {TOKEN}", "authorization: bearer ***"),
        ("Authorization: Basic dXNlcjpwYXNzd29yZA==", "Authorization: Basic ***"),
        (f"Proxy-Authorization: Bearer {TOKEN}", "Proxy-Authorization: Bearer ***"),
        (f"Authorization: {HEX}", "Authorization: ***"),
        (f"{{'Authorization': 'Bearer {TOKEN}', 'accept': '*/*'}}", None),
        (f'{{"authorization": "{HEX}", "accept": "*/*"}}', None),
        (f"Headers({{'host': 'x', 'authorization': 'Bearer {TOKEN}'}})", None),
        (f"the header Bearer {TOKEN} was refused", "the header Bearer *** was refused"),
        (f"Incorrect API key provided: {KEY}. You can", "Incorrect API key provided: ***. You can"),
        (f"key={KEY}&model=m", "key=***&model=m"),
        (f"?api_key={HEX}&model=m", "?api_key=***&model=m"),
        (f"api-key: {HEX}", "api-key: ***"),
        (f"x-api-key: {HEX}", "x-api-key: ***"),
        (f"{{'x-api-key': '{HEX}'}}", "{'x-api-key': '***'}"),
        (f'{{"apiKey": "{HEX}"}}', '{"apiKey": "***"}'),
        (f"access_token={HEX};", "access_token=***;"),
        (f"secret_key = '{HEX}'", "secret_key = '***'"),
        (f"Ocp-Apim-Subscription-Key: {HEX}", "Ocp-Apim-Subscription-Key: ***"),
        (f"OpenAI(api_key='{HEX}', base_url=None)", "OpenAI(api_key='***', base_url=None)"),
        ("use sk-ant-api03-Zz9yYx8w", "use ***"),
        ("use hf_AbCdEfGhIjKl", "use ***"),
        ("use gsk_AbCdEfGhIjKl", "use ***"),
        ("use ghp_AbCdEfGhIjKl", "use ***"),
        ("https://me:hunter2hunter2@host:8000/v1?a=b", "https://***@host:8000/v1?a=b"),
        ("http://me:pw@127.0.0.1/v1 and http://you:pw2@host/", "http://***@127.0.0.1/v1 and http://***@host/"),
    ],
)
def test_patterns(text: str, clean: str | None) -> None:
    """What looks like a key, a token, an authorization header or a password in a URL is hidden; the rest stays."""
    found = Redactor()(text)
    assert TOKEN not in found
    assert HEX not in found
    assert HIDDEN in found
    if clean is not None:
        assert found == clean


@pytest.mark.parametrize(
    "text",
    [
        "mean reward 0.9091 of 11 pivots, 3 in /home/me/tests/test_keys.py:12",
        "the monkey typed on a keyboard",
        "the key is under the mat, the token in the box",
        "a bearer of good news, a basic idea",
        "risk-free task-based desk-lamps are sold",
        "http://localhost:8000/v1/chat/completions",
        "https://host/a@b?c=d",
        "write to me@example.com",
        "git@github.com:owner/name.git",
        'tokens: 1,284 in (542 cached), 237 out; "max_tokens": 77',
        'call find {"filters": [{"key": "city", "value": "Rome"}]}',
        "C:\\Users\\me\\project\\pivots.jsonl",
        "",
    ],
)
def test_plain_text_is_left_alone(text: str) -> None:
    """Words, paths, figures, addresses and URLs without a password stay as they are."""
    assert Redactor()(text) == text


# Text that can hold no sign: neither @ nor the letters of the words that secrets are told by.
UNSUSPICIOUS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="@kKtTbBzZ-_\u212a"))
SECRETS = st.text(string.ascii_letters + string.digits + "-", min_size=12, max_size=40).filter(
    lambda text: not text.isalpha() and not text.isdigit()
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(), values, max_size=4),
    max_leaves=12,
)


@given(UNSUSPICIOUS)
def test_text_without_signs(text: str) -> None:
    """Text that holds no sign of a secret comes back as it was."""
    assert Redactor()(text) == text


@given(SECRETS, st.text(), st.text())
def test_a_known_value_never_stays(secret: str, before: str, after: str) -> None:
    """A secret known by its value is gone, whatever stands around it."""
    redact = Redactor([secret])
    assert secret not in redact.values_in(before + secret + after)
    assert secret not in redact(before + secret + after)


@given(SECRETS, JSON)
def test_values_in_json(secret: str, value: Any) -> None:
    """JSON stays JSON when the known secrets in its strings are hidden, and the rest of it stays the same."""
    text = json.dumps({"before": value, "key": f"<{secret}>", "after": value})
    found = json.loads(Redactor([secret]).values_in(text))
    assert found["key"] == f"<{HIDDEN}>"
    if secret not in json.dumps(value):
        assert found["before"] == found["after"] == value


@pytest.mark.parametrize("secret", ['pass"word-1234', "pass\\word-1234", "pässwort-12345"])
def test_values_that_json_writes_otherwise(secret: str) -> None:
    """A secret with a quote, a backslash or a letter beyond ASCII is found in JSON text too."""
    text = json.dumps({"said": f"the password is {secret}"})
    assert json.loads(Redactor([secret]).values_in(text)) == {"said": f"the password is {HIDDEN}"}


def test_a_secret_of_digits() -> None:
    """JSON stays JSON when a secret is a number that stands in it as one."""
    found = json.loads(Redactor(["12345678"]).values_in('{"created_at": 12345678, "said": "it is 12345678"}'))
    assert found["said"] == f"it is {HIDDEN}"
