"""Faults of a service: what an error means."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from service_errors import APIStatusError, HTTPStatusError, OwnError, RateLimitError, ServiceError, said

from pytest_fcpivot.calls.faults import Fault, fault_of, refusal_of
from pytest_fcpivot.calls.waits import Wait
from pytest_fcpivot.core.errors import FatalAgentError, ReplyError, TransientAgentError


def _named(name: str, *bases: type[Exception]) -> Exception:
    error: Exception = type(name, bases or (Exception,), {})("no answer")
    return error


def _after(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


def _during(error: Exception, context: BaseException, *, hidden: bool) -> Exception:
    """Return an error that was raised while another one was handled, maybe `from None`."""
    error.__context__ = context
    error.__suppress_context__ = hidden
    return error


def _with_response(error: Exception, status: object) -> Exception:
    """Return an error with a response of this status."""
    error.response = SimpleNamespace(status_code=status)  # type: ignore[attr-defined] # as clients have it
    return error


class TestFaultOf:
    """What an error means."""

    @pytest.mark.parametrize(
        ("error", "fault"),
        [
            (ServiceError(429), Fault("rate limit", transient=True, too_much=True)),
            (ServiceError(503), Fault("server error", transient=True, too_much=True)),
            (ServiceError(529), Fault("server error", transient=True, too_much=True)),
            (ServiceError(500), Fault("server error", transient=True)),
            (ServiceError(502), Fault("server error", transient=True)),
            (ServiceError(599), Fault("server error", transient=True)),
            (ServiceError(409), Fault("server error", transient=True)),
            (ServiceError(425), Fault("server error", transient=True)),
            (ServiceError(408), Fault("timeout", transient=True)),
            (RateLimitError(429), Fault("rate limit", transient=True, too_much=True)),
            (HTTPStatusError(429), Fault("rate limit", transient=True, too_much=True)),
            (HTTPStatusError(500), Fault("server error", transient=True)),
            (RateLimitError(429, code="insufficient_quota"), Fault("out of quota", fatal=True)),
            (ServiceError(429, code="billing_hard_limit_reached"), Fault("out of quota", fatal=True)),
            (RateLimitError(429, code="rate_limit_exceeded"), Fault("rate limit", transient=True, too_much=True)),
            (RateLimitError(429, code=["insufficient_quota"]), Fault("rate limit", transient=True, too_much=True)),
            (APIStatusError(402), Fault("out of quota", fatal=True)),
            (RateLimitError(429, body=said("no", type="insufficient_quota")), Fault("out of quota", fatal=True)),
            (APIStatusError(403, body=said("no", code="insufficient_quota")), Fault("out of quota", fatal=True)),
            (
                RateLimitError(429, body=said("You exceeded your current quota, please check your plan.")),
                Fault("out of quota", fatal=True),
            ),
            (APIStatusError(400, body=said("Your credit balance is too low.")), Fault("out of quota", fatal=True)),
            (
                APIStatusError(403, body=said('Blocked: "I have insufficient funds"')),
                Fault("no access", fatal_at_start=True),
            ),
            (
                RateLimitError(429, body=said("Too many requests like 'you exceeded your current quota'")),
                Fault("rate limit", transient=True, too_much=True),
            ),
            (APIStatusError(424), Fault("server error", transient=True)),
            (APIStatusError(498), Fault("server error", transient=True, too_much=True)),
            (APIStatusError(499), Fault("server error", transient=True)),
            (ReplyError("no", status_code=429), Fault("rate limit", transient=True, too_much=True)),
            (ReplyError("no", status_code=502), Fault("server error", transient=True)),
            (ReplyError("no", status_code=401), Fault("no access", fatal=True)),
            (ReplyError("no", status_code=402), Fault("out of quota", fatal=True)),
            (ReplyError("no", "history refused", status_code=500), Fault("history refused")),
            (APIStatusError(401), Fault("no access", fatal=True)),
            (APIStatusError(403), Fault("no access", fatal_at_start=True)),
            (APIStatusError(404), Fault("not found", fatal_at_start=True)),
            (TimeoutError(), Fault("timeout", transient=True)),
            (_named("APITimeoutError"), Fault("timeout", transient=True)),
            (_named("ReadTimeout", _named("TimeoutException").__class__), Fault("timeout", transient=True)),
            (_named("ServerTimeoutError"), Fault("timeout", transient=True)),
            (ConnectionResetError(), Fault("connection", transient=True)),
            (BrokenPipeError(), Fault("connection", transient=True)),
            (_named("APIConnectionError"), Fault("connection", transient=True)),
            (_named("ReadError", _named("TransportError").__class__), Fault("connection", transient=True)),
            (ConnectionRefusedError(), Fault("connection", transient=True, fatal_at_start=True)),
            (
                _after(_named("APIConnectionError"), _after(OSError("all attempts failed"), ConnectionRefusedError())),
                Fault("connection", transient=True, fatal_at_start=True),
            ),
            (
                _after(_named("APIConnectionError"), socket.gaierror(-2, "Name or service not known")),
                Fault("connection", transient=True, fatal_at_start=True),
            ),
            (
                RateLimitError(429, body=said("You exceeded your current quota. Please retry in 4s.")),
                Fault("rate limit", transient=True, retry_after=4.0, too_much=True),
            ),
            (
                APIStatusError(403, {"retry-after": "5"}, body=said("You exceeded your current quota.")),
                Fault("out of quota", fatal=True),
            ),
            (ServiceError(429, body=said("try again in 3s")), Fault("rate limit", transient=True, too_much=True)),
            (APIStatusError(500, body=said("no", type="insufficient_quota")), Fault("out of quota", fatal=True)),
            (
                _named("ConnectError", _named("TransportError").__class__),
                Fault("connection", transient=True, fatal_at_start=True),
            ),
            (
                _during(_named("APIConnectionError"), ConnectionRefusedError(), hidden=False),
                Fault("connection", transient=True, fatal_at_start=True),
            ),
            (
                _during(_named("APIConnectionError"), ConnectionRefusedError(), hidden=True),
                Fault("connection", transient=True),
            ),
            (_with_response(_named("ReadTimeout"), "none"), Fault("timeout", transient=True)),
            (TransientAgentError("busy"), Fault("transient", transient=True)),
            (TransientAgentError("busy", "overload", 3.0), Fault("overload", transient=True, retry_after=3.0)),
            (TransientAgentError("busy", "rate limit"), Fault("rate limit", transient=True, too_much=True)),
            (FatalAgentError("no licence"), Fault("fatal", fatal=True)),
        ],
    )
    def test_faults(self, error: BaseException, fault: Fault) -> None:
        """A fault is known by its status, its class's name, or the socket's error beneath."""
        assert fault_of(error) == fault

    @pytest.mark.parametrize(
        "error",
        [
            OwnError("timeout"),
            ValueError("429"),
            KeyError("status_code"),
            OSError("no such file"),
            PermissionError(),
            SystemExit(1),
            ServiceError(400),
            ServiceError(422),
            ServiceError(200),
            ServiceError(501),
            ServiceError("429"),
            ServiceError(None),
            ServiceError(401),
            ServiceError(403),
            ServiceError(404),
            HTTPStatusError(404),
            HTTPStatusError(None),
            APIStatusError(400),
            APIStatusError(413),
            APIStatusError(302, body=said("no", type="insufficient_quota")),
            APIStatusError(400, body=said("The user wrote: insufficient balance")),
            ServiceError(402),
            ServiceError(424),
            ServiceError(499),
            ServiceError(403, body=said("no", type="insufficient_quota")),
            ReplyError("no"),
            ReplyError("no", status_code=400),
            _named("TimeoutErrorOfMine"),
        ],
    )
    def test_other_errors(self, error: BaseException) -> None:
        """An error that no service made, or that the same request would meet again, is the agent's own."""
        assert fault_of(error) is None

    @pytest.mark.parametrize(
        ("error", "wait", "away"),
        [
            (TransientAgentError("busy", "server error", 3.0), Wait(3.0, "retry_after", firm=True), True),
            (TransientAgentError("busy", "overload", 3.0), Wait(3.0, "retry_after", firm=True), False),
            (TransientAgentError("busy", "rate limit"), Wait(None, "retry_after", firm=True), False),
            (ServiceError(429, {"retry-after": "7"}), Wait(7.0, "retry-after: 7", firm=True), False),
            (ServiceError(503, {"retry-after": "7"}), Wait(7.0, "retry-after: 7", firm=True), True),
            (ServiceError(500), Wait(), True),
            (APIStatusError(424), Wait(), False),
            (RateLimitError(429, body=said("try again in 3s")), Wait(3.0, "'try again in 3s'"), False),
            (
                ReplyError("no", status_code=429, headers={"retry-after": "7"}),
                Wait(7.0, "retry-after: 7", firm=True),
                False,
            ),
            (ConnectionResetError(), None, True),
            (TimeoutError(), None, False),
        ],
    )
    def test_waits_and_absence(self, error: Exception, wait: Wait | None, *, away: bool) -> None:
        """A fault tells how long its service asked to be left alone, and whether the service is away."""
        fault = fault_of(error)
        assert fault is not None
        assert (fault.wait, fault.away) == (wait, away)
        assert fault.retry_after == (None if wait is None else wait.seconds)

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (APIStatusError(400, body=said("no such tool")), "the service said no - no such tool"),
            (APIStatusError(422), "the service said no"),
            (ReplyError("answered with no", status_code=400), "answered with no"),
            (ReplyError("answered with no"), None),
            (ReplyError("no", "call refused", status_code=400), None),
            (ServiceError(400), None),
            (APIStatusError(429), None),
            (APIStatusError(404), None),
            (APIStatusError(501), None),
            (APIStatusError(402), None),
            (ValueError("400"), None),
        ],
    )
    def test_refusals(self, error: Exception, words: str | None) -> None:
        """A refusal is a status of the 400s from a model's client that is neither worth waiting for nor fatal."""
        assert refusal_of(error) == words

    def test_a_circle_of_causes(self) -> None:
        """Errors that name each other as their cause are read once each."""
        first, second = _named("APIConnectionError"), OSError()
        first.__cause__, second.__cause__ = second, first
        assert fault_of(first) == Fault("connection", transient=True)

    @settings(deadline=None)
    @given(st.integers())
    def test_any_status(self, status: int) -> None:
        """Whatever the number, no status is both worth another attempt and the end of the run."""
        for error in (ServiceError(status), APIStatusError(status), RateLimitError(status, code="insufficient_quota")):
            fault = fault_of(error)
            assert fault is None or not (fault.transient and fault.fatal)
