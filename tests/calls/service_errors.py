"""Errors as clients of services raise them, for the tests of what they mean."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class OwnError(Exception):
    """An error of an agent's own."""


class ServiceError(Exception):
    """An error with the status of a service, as clients of many services have it."""

    def __init__(
        self,
        status: object = None,
        headers: Mapping[str, str] | None = None,
        code: object = None,
        body: object = None,
    ) -> None:
        super().__init__("the service said no")
        self.status_code = status
        self.code = code
        self.body = body
        self.response = SimpleNamespace(status_code=status, headers=headers or {})


class APIStatusError(ServiceError):
    """An error that is called as in the SDKs of models."""


class RateLimitError(APIStatusError):
    """One of the SDKs' own subclasses."""


def said(message: str, **names: object) -> dict[str, object]:
    """Return the body of an error."""
    return {"message": message, **names}


class HTTPStatusError(Exception):
    """An error whose status stands in its response alone, as in httpx and requests."""

    def __init__(self, status: object, headers: object = None) -> None:
        super().__init__("the service said no")
        self.response = SimpleNamespace(status_code=status, headers=headers)
