"""Reads the secrets that a client sends with a session, of which one is kept: the key for the judge.

Official clients send them in the header X-Secrets, as base64 of JSON, each with its value and the hosts that may get
it; the specification also has them in the body, as plain texts. Clients send others uninvited, such as the key for
their own service: what is not needed is dropped here, unseen.
"""

from __future__ import annotations

import binascii
import json
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from pytest_fcpivot.serve.problems import RequestProblem

_KEPT = ("openai_api_key", "OPENAI_API_KEY")  # clients know both as the same secret
_REASON = "bad_secrets"


def judge_key(header: bytes | None, body: Any) -> str | None:
    """Return the judge's key among a session's secrets; None if there is none. The header wins.

    Raises RequestProblem for secrets that cannot be read; no text of them is in the message.
    """
    found = None
    for given in (body, _decoded(header)):
        if given is None:
            continue
        if not isinstance(given, Mapping):
            raise RequestProblem(400, _REASON, "secrets must be an object of names and values")
        for name in _KEPT:
            if name in given:
                found = _value(name, given[name])
    return found


def _decoded(header: bytes | None) -> Any:
    if not header:
        return None
    try:
        return json.loads(b64decode(header, validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise RequestProblem(400, _REASON, "the header X-Secrets must be an object as JSON, in base64") from None


def _value(name: str, given: Any) -> str:
    value = given.get("value") if isinstance(given, Mapping) else given
    if not isinstance(value, str) or not value.strip():
        raise RequestProblem(400, _REASON, f"the secret {name} must be a text that is not empty")
    return value.strip()
