"""Which callers share a server, and so what is known of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from calling import synchronous

from pytest_fcpivot.calls.servers import Servers


def asked(server: Any) -> SimpleNamespace:
    """Return a function's stand-in that names its server."""
    return SimpleNamespace(server=server)


def test_callers_of_one_server() -> None:
    """Who names the same server learns of its answers, and nobody else does."""
    servers = Servers()
    agent, judge, other = (servers.of(asked(name)) for name in ("http://a", "http://a", "http://b"))
    assert [server.answered for server in (agent, judge, other)] == [False] * 3
    agent.answered = True
    assert [server.answered for server in (agent, judge, other, servers.of(asked("http://a")))] == [
        True,
        True,
        False,
        True,
    ]


@pytest.mark.parametrize("function", [synchronous, asked(None), asked(8000)], ids=["no-name", "none", "no-text"])
def test_callers_that_name_no_server(function: Any) -> None:
    """Who names no server by a text shares none: what answers one says nothing of another."""
    servers = Servers()
    first = servers.of(function)
    first.answered = True
    assert servers.of(function).answered is False
