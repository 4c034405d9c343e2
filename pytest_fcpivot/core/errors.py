"""The errors of this package: each says what was wrong, where, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_REASON_WIDTH = 600


class FcPivotError(Exception):
    """Base of every error that this package raises on purpose."""


class OptionError(FcPivotError):
    """An option's value cannot be used."""


class DialectError(OptionError, ValueError):
    """A dialect of calls is unknown, or cannot express what was to be written in it."""


class RunError(FcPivotError):
    """A run's directory cannot be used."""


class AgentError(FcPivotError):
    """The agent cannot be loaded, or gave no answer to grade: it raised, timed out or exited."""


class TransientAgentError(AgentError):
    """The agent got no answer this time, but may get one on a retry; an agent may raise this error itself.

    `cause` is a short name under which retries are counted; `retry_after` is the number of seconds that the server
    asked the client to wait, if it did.
    """

    def __init__(self, message: str, cause: str = "transient", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.cause = cause
        self.retry_after = retry_after


class ReplyError(AgentError):
    """A server's reply holds an error in place of an answer, although the SDK raised none (often with status 200).

    `status_code` is the HTTP status of the reply, or the one named in the body of a successful reply; None if it names
    none. `cause` is a short name under which the error is counted, for errors that a retry cannot cure; with None, the
    status decides. `body` is the error as the server wrote it, `headers` are those of the reply.
    """

    def __init__(
        self,
        message: str,
        cause: str | None = None,
        *,
        status_code: int | None = None,
        body: Any = None,
        headers: Any = None,
    ) -> None:
        super().__init__(message)
        self.cause = cause
        self.status_code = status_code
        self.body = body
        self.headers = headers


class FatalAgentError(AgentError):
    """No call of the agent can succeed, so the run stops; an agent may raise this error itself."""


class ActionError(FcPivotError, TypeError):
    """An agent's output has none of the accepted shapes."""


class GraderError(FcPivotError):
    """The grader cannot judge this case: an unknown name or setting, or a fault of the expected action."""


class WrongAction(AssertionError):  # noqa: N818 (it reads as the verdict in pytest's summary)
    """The agent's action did not earn the reward; the message explains it in a few lines."""


# Shown without a module path, as pytest shows its own outcomes.
WrongAction.__module__ = "builtins"


class DataError(FcPivotError):
    """A data file cannot be used; `problems` holds the broken rows, if rows were the reason."""

    def __init__(self, message: str, problems: Sequence[RowProblem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class RowProblem(FcPivotError):  # noqa: N818 (it is collected and listed more often than raised)
    """One broken row of a data file: its 1-based line (or parquet row) and the reason; `where` names the file.

    The reason is one short line, whatever the row holds: there may be millions, and each is listed.
    """

    def __init__(self, line: int, reason: str) -> None:
        from pytest_fcpivot.core.jsontext import one_line  # noqa: PLC0415 (every session of pytest loads this module)

        reason = one_line(reason, _REASON_WIDTH)
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason
        self.where = ""
