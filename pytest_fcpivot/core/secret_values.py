"""Which values are secrets: those of environment variables, of headers and of addresses, told by their names."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_plus, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


# The words of a name: SENTRY_DSN, x-api-key and authToken have two, three and two. Digits are no words.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# A name with one of these words, or a word that ends in one of the second kind (PGPASSWORD), is that of a secret.
_ANYWHERE = frozenset(
    (
        *("key", "apikey", "accesskey", "secretkey", "privatekey", "masterkey", "accountkey", "authkey"),
        *("token", "secret", "secrets", "credential", "credentials", "passphrase", "passcode", "passwd"),
        *("authorization", "bearer", "webhook", "dsn", "jwt", "mnemonic"),
    )
)
_ENDINGS = ("password", "passwords", "passwd", "passphrase", "secret", "apikey", "token")
# These are words of much else as well, and mean a secret only as the last one.
_LAST = frozenset(
    ("auth", "cookie", "cookies", "pat", "pass", "pw", "pwd", "sas", "sshpass", "dbpass", "connstr", "creds", "cred")
)
_PAIRS = frozenset(
    (
        *(("api", "keys"), ("secret", "keys"), ("access", "tokens"), ("api", "tokens"), ("auth", "tokens")),
        ("connection", "string"),
    )
)
# A name that ends so says where something is, not what it is.
_PLACES = frozenset(("file", "path", "dir", "directory", "folder", "sock", "socket", "host", "port"))
_ADDRESSES = frozenset(("url", "uri", "endpoint", "address"))
# What a number that is called so counts or measures is none: TOKEN_TTL, KEY_LENGTH.
_MEASURES = frozenset(
    ("ttl", "timeout", "expiry", "expires", "expiration", "length", "size", "count", "limit", "version")
)
# Tokens of language models, not of access.
_OF_MODELS = frozenset(("eos", "bos", "pad", "unk", "sep", "cls", "mask", "stop"))
_NO_SECRETS = frozenset(
    (
        "PWD",  # the directory that one is in
        "OLDPWD",
        "FC_JUDGE_KEY",  # holds the name of a variable
    )
)
# In the query of an address, besides names as above.
_QUERY = frozenset(("sig", "signature", "code", "pwd", "pass", "auth"))
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")
_ASSIGNED = re.compile(r"(?i)(?:password|passwd|pwd|accountkey|sharedaccesskey|sharedaccesssignature)\s*=\s*([^;\s]+)")
_RELATIVE_PATH = re.compile(r"(?:~|\.\.?)[/\\].*|[A-Za-z]:[/\\].*", re.DOTALL)


def names_a_secret(name: str) -> bool:
    """Tell whether a variable, a header or a parameter of this name holds a secret."""
    if name.upper() in _NO_SECRETS:
        return False
    words = [word.lower() for word in _WORD.findall(name)]
    if not words or words[-1] in _PLACES:
        return False
    if len(words) > 1 and words[-1] == "token" and words[-2] in _OF_MODELS:
        return False
    if words[-1] in _LAST or not _PAIRS.isdisjoint(pairwise(words)):
        return True
    return any(word in _ANYWHERE or word.endswith(_ENDINGS) for word in words)


def in_environment(variables: Mapping[str, str]) -> set[str]:
    """Return the secrets that environment variables hold: whole values, and the passwords of addresses in any."""
    found: set[str] = set()
    for name, value in variables.items():
        if may_hold_address(value):
            found.update(in_address(value))
        if names_a_secret(name):
            found.update(_in_variable(name, value))
    return found


def may_hold_address(text: str) -> bool:
    """Tell whether a text may have something that `in_address` looks at."""
    return "://" in text or ";" in text


def _in_variable(name: str, value: str) -> Iterator[str]:
    """Yield what a variable with the name of a secret holds: nothing if it is a path, an address or a count."""
    words = [word.lower() for word in _WORD.findall(name)]
    value = value.strip()
    if _is_path(value) or (words[-1] in _MEASURES and value.isdecimal()):
        return
    if "://" in value and words[-1] in _ADDRESSES and "webhook" not in words and "dsn" not in words:
        return  # where tokens are had, not a token
    yield value
    if "://" in value:
        try:
            parts = urlsplit(value)
        except ValueError:
            return
        yield parts.username or ""  # the key of a DSN
        yield parts.path.strip("/") if "webhook" in words else ""
        return
    if words[-1] in ("keys", "tokens"):
        yield from map(str.strip, value.split(","))
    elif words[-1] in ("auth", "authorization") and ":" in value:
        yield value.partition(":")[2]
    if "\n" in value:  # reports show a text line by line
        yield from (line.strip() for line in value.splitlines() if not line.startswith("-----"))
    scheme, blank, rest = value.partition(" ")
    if blank and scheme.lower() in ("bearer", "basic", "token"):
        yield rest.strip()


def in_address(text: str) -> Iterator[str]:
    """Yield the passwords of the addresses in a text, and what in their queries or in `NAME=VALUE;` is a secret."""
    yield from _ASSIGNED.findall(text)
    for address in _ADDRESS.findall(text):
        try:
            parts = urlsplit(address)
            password = parts.password
        except ValueError:
            continue
        named = [value for name, _, value in _pairs(parts.query) if names_a_secret(name) or name.lower() in _QUERY]
        if password:
            yield from (password, unquote(password))
        yield from (form for value in named for form in (value, unquote_plus(value)))  # as written, and as sent


def _pairs(query: str) -> Iterable[tuple[str, str, str]]:
    return (pair.partition("=") for pair in query.split("&"))


def _is_path(value: str) -> bool:
    """Tell whether a value is the path of a file; a key may begin with a slash too."""
    if _RELATIVE_PATH.fullmatch(value):
        return True
    return value.startswith("/") and Path("/" + value[1:].partition("/")[0]).is_dir()
