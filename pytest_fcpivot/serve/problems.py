"""What is wrong with a request, as the reply says it."""

from __future__ import annotations


class RequestProblem(Exception):  # noqa: N818 (it is the client's, and becomes a reply)
    """A request that cannot be served: the HTTP status, a reason that programs can tell apart, and a sentence."""

    def __init__(self, status: int, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail


class CallProblem(Exception):  # noqa: N818 (as above)
    """A call of a tool that is no submission: the session goes on. `reason` is one of those that ORS names."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
