"""Secrets out of text: what is hidden, and what is left alone."""

from __future__ import annotations

import html
import json
import os
import re
import string
import tracemalloc
from base64 import b64encode, urlsafe_b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fcpivot.core.redact import HIDDEN, Redactor
from pytest_fcpivot.core.secret_values import names_a_secret

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "sk-proj-Ab3dEf6hIj9kLm2nOp"
TOKEN = "eyJhbGciOi.J9eyJzdWIi.OiIxMjM0NTY3"  # noqa: S105 (nobody's)
HEX = "9f86d081884c7d659a2feaa0c55ad015"


@pytest.fixture(autouse=True)
def no_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's own secrets out of the tests."""
    for name in list(os.environ):
        if names_a_secret(name) or "://" in os.environ[name]:
            monkeypatch.delenv(name)


class TestNames:
    """Which variables, headers and parameters hold secrets, by their names."""

    @pytest.mark.parametrize(
        "name",
        [
            *("OPENAI_API_KEY", "MY_APIKEY", "KEY", "GATEWAY_KEY", "KEY_OF_MINE", "gateway_key", "API_KEY_2", "KEY1"),
            *("HF_TOKEN", "AWS_SECRET", "AWS_SECRET_ACCESS_KEY", "DB_PASSWORD", "DB_PASSWD", "SOME_CREDENTIALS"),
            *(
                "SOME_CREDENTIAL",
                "GH_PAT",
                "AZURE_DEVOPS_EXT_PAT",
                "SENTRY_DSN",
                "MYSQL_PWD",
                "PGPASSWORD",
                "SMTP_PASS",
            ),
            *("NPM_AUTH", "npm_config__authToken", "dbPassword", "SSHPASS", "DB_PW", "SESSION_COOKIE", "SLACK_WEBHOOK"),
            *("SLACK_WEBHOOK_URL", "PRIVATE_KEY", "SAS_TOKEN", "STORAGE_SAS", "BEARER", "SESSION_TOKEN", "API_KEYS"),
            *("AZURE_STORAGE_CONNECTION_STRING", "KEY_PASSPHRASE", "CLIENTSECRET", "MY_JWT", "x-api-key", "Cookie"),
            *("Authorization", "Proxy-Authorization", "cf-aig-authorization", "X-Auth-Token", "Helicone-Auth"),
        ],
    )
    def test_of_secrets(self, name: str) -> None:
        """A name that says that it is a key, a token, a password or the like."""
        assert names_a_secret(name)

    @pytest.mark.parametrize(
        "name",
        [
            *("MONKEY", "KEYBOARD", "TOKENS_SEEN", "KEYS", "SECRETARY", "HOME", "MODEL", "PATH", "PATTERN", "PWD"),
            *("OLDPWD", "TOKENIZERS_PARALLELISM", "MAX_TOKENS", "SSH_AUTH_SOCK", "KUBECONFIG", "BYPASS", "COMPASS"),
            *(
                "FC_PASS_MARK",
                "FC_JUDGE_KEY",
                "EOS_TOKEN",
                "KEY_FILE",
                "SECRETS_DIR",
                "AUTH_HOST",
                "AUTHOR",
                "XAUTHORITY",
            ),
            *("PASSENGERS", "content-type", "x-title", "", "42"),
        ],
    )
    def test_of_others(self, name: str) -> None:
        """A name that only looks alike, or says where a secret is."""
        assert not names_a_secret(name)


class TestEnvironment:
    """Secrets that the environment holds."""

    @pytest.mark.parametrize(
        "value",
        [
            "Tr0ub4dor&3-horse",
            "authentication",  # letters only
            "123456789012345",
            "123456",
            "3.14159265358979",
            "the key is at the reception",
            "hunter",
            "/wXalrUtnFEMI/K7MDENG+bPxRfiCY",  # no path: there is no such directory
        ],
    )
    def test_values(self, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        """The value of a variable with the name of a secret is hidden wherever it is shown, whatever it looks like."""
        monkeypatch.setenv("MY_KEY", value)
        assert Redactor()(f"it is {value}, and <{value}>.") == f"it is {HIDDEN}, and <{HIDDEN}>."

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("MY_KEY", ""),
            ("MY_KEY", "short"),
            ("MY_KEY", str(Path(__file__).with_name("id_ed25519"))),
            ("MY_KEY", "~/.config/key.json"),
            ("MY_KEY", "./secrets/key.json"),
            ("MY_KEY", "C:\\Users\\me\\key.json"),
            ("TOKEN_TTL", "360000"),
            ("TOKEN_URL", "https://login.example.com/oauth"),
            ("DATABASE_URL", "postgres://host/customers"),
            ("CITY", "London-Victoria"),
        ],
    )
    def test_values_that_are_none(self, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
        """A short value, the path of a key's file, a lifetime and an address without a password are no secrets."""
        monkeypatch.setenv(name, value)
        text = f"of {value} we speak openly"
        assert Redactor()(text) == text

    @pytest.mark.parametrize(
        ("name", "value", "secrets"),
        [
            ("DATABASE_URL", "postgres://me:p%40ss-word@host:5432/db", ["p%40ss-word", "p@ss-word"]),
            ("HTTPS_PROXY", "http://me:hunter2hunter2@proxy:3128", ["hunter2hunter2"]),
            ("BLOBS", "https://x.example.com/c?sv=2024&sig=Ab%2Fcd%3D99", ["Ab%2Fcd%3D99", "Ab/cd=99"]),
            ("STORE", "AccountName=me;AccountKey=Zm9vYmFyYmF6;Suffix=net", ["Zm9vYmFyYmF6"]),
            ("SENTRY_DSN", "https://9f86d081884c7d65@o1.example.com/4", ["9f86d081884c7d65"]),
            ("SLACK_WEBHOOK_URL", "https://hooks.example.com/services/T00/B00/xyz", ["services/T00/B00/xyz"]),
            ("NPM_AUTH", "me:opensesame", ["me:opensesame", "opensesame"]),
            ("API_KEYS", "first-key, second-key", ["first-key", "second-key"]),
            ("TLS_KEY", "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEF\n-----END", ["hkiG9w0BAQEF"]),
            ("HEADER_AUTH", "Bearer opensesame", ["opensesame"]),
        ],
    )
    def test_parts(self, monkeypatch: pytest.MonkeyPatch, name: str, value: str, secrets: list[str]) -> None:
        """Of an address, a connection string, a list or a file of several lines, its secret parts are known alone."""
        monkeypatch.setenv(name, value)
        for secret in secrets:
            assert Redactor()(f"it was ({secret})") == f"it was ({HIDDEN})"

    def test_what_comes_later(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A variable that is set while the redactor lives is known at once, and what it held before, too."""
        monkeypatch.setenv("MY_KEY", "the-first-value")
        redact = Redactor()
        monkeypatch.setenv("MY_KEY", "the-second-value")
        monkeypatch.setenv("NEW_TOKEN", "a-token-of-today")
        assert redact("the-first-value the-second-value a-token-of-today") == f"{HIDDEN} {HIDDEN} {HIDDEN}"
        monkeypatch.delenv("NEW_TOKEN")
        assert redact("a-token-of-today") == HIDDEN

    def test_what_comes_with_another_test(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is set while another test runs is known too, and so is a password in the name of a test."""
        current = "PYTEST_CURRENT_TEST"  # pytest's own, which it sets at every phase of a test
        monkeypatch.setenv(current, "test_a.py::test_a (setup)")
        redact = Redactor()
        monkeypatch.setenv(current, "test_a.py::test_a (call)")
        assert redact("a-token-of-today") == "a-token-of-today"
        monkeypatch.setenv("NEW_TOKEN", "a-token-of-today")
        monkeypatch.setenv(current, "test_b.py::test_b (setup)")
        assert redact("a-token-of-today") == HIDDEN
        monkeypatch.setenv(current, "test_b.py::test_c[to db://me:pass-of-mine@host now] (setup)")
        assert redact("pass-of-mine") == HIDDEN

    def test_the_longer_one_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A secret that holds another leaves no rest of itself."""
        monkeypatch.setenv("A_KEY", "abcdef-123456")
        monkeypatch.setenv("B_KEY", "abcdef-123456-and-more-7890")
        assert Redactor()("(abcdef-123456-and-more-7890)") == f"({HIDDEN})"

    def test_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Among hundreds of secrets, each one is found, wherever it stands in a long text."""
        secrets = [f"{number:03d}-secret-{'x' * (number % 30)}" for number in range(300)]
        for number, secret in enumerate(secrets):
            monkeypatch.setenv(f"KEY_{number}", secret)
        redact = Redactor()
        text = "".join(f"{'.' * number}{secret} and " for number, secret in enumerate(secrets))
        assert redact(text) == "".join(f"{'.' * number}{HIDDEN} and " for number in range(len(secrets)))

    def test_values_of_its_own(self) -> None:
        """Secrets may be named by their value, whatever they look like."""
        redact = Redactor(["opensesame", "", "tiny"])
        assert redact("say opensesame, tiny one") == f"say {HIDDEN}, tiny one"


ODD = "pä\"ss\\w'o<r>d& 12/+x"
WRITTEN: dict[str, Callable[[str], str]] = {
    "plain": str,
    "JSON": json.dumps,
    "JSON beyond ASCII": lambda text: json.dumps(text, ensure_ascii=False),
    "JSON in JSON": lambda text: json.dumps({"arguments": json.dumps({"city": text})}),
    "repr": repr,
    "repr of a dict": lambda text: repr({"key": f"{text}'\""}),
    "ascii": ascii,
    "bytes": lambda text: repr(text.encode()),
    "JSON in a repr": lambda text: repr(json.dumps({"key": text})),
    "address": lambda text: f"https://host/{quote(text, safe='')}?q=1",
    "path": quote,
    "query": lambda text: urlencode({"q": text}),
    "lower case": lambda text: re.sub("%..", lambda found: found[0].lower(), quote(text, safe="")),
    "HTML": html.escape,
    "XML": escape,
    "XML attribute": quoteattr,
    "base64": lambda text: b64encode(text.encode()).decode(),
    "Basic": lambda text: "Basic " + b64encode(f"me:{text}".encode()).decode(),
    "Basic, longer": lambda text: "Basic " + b64encode(f"user:{text}:x".encode()).decode(),
    "base64 of addresses": lambda text: urlsafe_b64encode(f"name:{text}".encode()).decode(),
}


@pytest.mark.parametrize("secret", [ODD, "plain-secret", "secret", "with  two blanks"])
@pytest.mark.parametrize("write", WRITTEN.values(), ids=WRITTEN.keys())
def test_forms(secret: str, write: Callable[[str], str]) -> None:
    """A known value is hidden in every form that text may have it in, and nothing of it is left."""
    text = f"before {write(secret)} after"
    found = Redactor([secret])(text)
    assert write(secret) not in found
    assert HIDDEN in found
    assert found.startswith("before ")
    assert found.endswith(" after")
    left = found.removeprefix("before ").removesuffix(" after")
    assert not set(re.findall(r"[a-z]{4,}", write(secret))) & set(re.findall(r"[a-z]{4,}", left)) - KEPT


KEPT = {"before", "after", "arguments", "city", "https", "host", "asic"}


@pytest.mark.parametrize("keep", [10, 12, 20])
def test_what_is_left_of_a_shortened_one(keep: int) -> None:
    """Where a report cut a text in the middle of a secret, what is left of it is hidden as well."""
    cut = f"the key {KEY[:keep]}… and …{KEY[-keep:]} at the end"
    assert Redactor([KEY])(cut) == f"the key {HIDDEN}… and …{HIDDEN} at the end"
    word = "correct-horse-battery"
    assert Redactor([word])(f"it was {word[:keep]}") == f"it was {HIDDEN}"


class TestAnswers:
    """The JSON text of answers, which are graded again."""

    @pytest.mark.parametrize("secret", ["London-Victoria", "123456789012345", "Abc1234567", "the key under the mat"])
    def test_ordinary_text(self, secret: str) -> None:
        """A value that an answer may hold for other reasons stays in it, though it is hidden where text is shown."""
        redact, text = Redactor([secret]), json.dumps({"city": secret, "n": 123456789012345})
        assert redact.answer(text) == text
        assert redact(secret) == HIDDEN

    @pytest.mark.parametrize("secret", [KEY, HEX, "Abc123456789", ODD])
    def test_no_ordinary_text(self, secret: str) -> None:
        """A value of twelve characters, letters and digits, is taken out, also of JSON in JSON; the rest stays."""
        arguments = json.dumps({"key": f"<{secret}>", "city": "Rome"})
        text = json.dumps({"name": "find", "arguments": arguments, "n": 1.50})
        found = json.loads(Redactor([secret]).answer(text))
        assert json.loads(found["arguments"]) == {"key": f"<{HIDDEN}>", "city": "Rome"}
        assert (found["name"], found["n"]) == ("find", 1.5)

    def test_what_only_looks_like_it(self) -> None:
        """An escape before a text does not become a part of a secret, and what is no string is not touched."""
        redact = Redactor(["nabc12345678", "12345678901e5"])
        text = json.dumps({"said": "\nabc12345678"}) + " 12345678901e5"
        assert redact.answer(text) == text


def test_within_values() -> None:
    """Of a JSON value, only texts are changed: no key, no number, no shape."""
    redact = Redactor(["fc_key_name", "123456"])
    value = {"fc_key_name": ["123456", 123456, None, True, {"a": "x fc_key_name"}]}
    assert redact.within(value) == {"fc_key_name": [HIDDEN, 123456, None, True, {"a": f"x {HIDDEN}"}]}


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
    lambda text: re.search("[A-Za-z]", text) and re.search("[0-9]", text)
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


def test_a_long_answer_takes_little_memory() -> None:
    """An answer of megabytes is gone through without memory for each of its characters."""
    text = json.dumps({"text": "long " * 200_000 + KEY})
    redact = Redactor([KEY])
    tracemalloc.start()
    try:
        assert redact.answer(text).endswith(f'long {HIDDEN}"}}')
        assert tracemalloc.get_traced_memory()[1] < 10 * len(text)
    finally:
        tracemalloc.stop()


@given(SECRETS, st.text(), st.text())
def test_a_known_value_never_stays(secret: str, before: str, after: str) -> None:
    """A secret known by its value is gone, whatever stands around it."""
    assert secret not in Redactor([secret])(before + secret + after)


@given(SECRETS, JSON)
def test_answers_stay_json(secret: str, value: Any) -> None:
    """JSON stays JSON when the secrets in its strings are hidden, and the rest of it stays the same."""
    text = json.dumps({"before": value, "key": f"<{secret}>", "after": value})
    found = json.loads(Redactor([secret]).answer(text))
    assert found["key"] == f"<{HIDDEN}>"
    if secret not in json.dumps(value):
        assert found["before"] == found["after"] == value
