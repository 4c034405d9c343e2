"""Read how long a service asks its clients to wait, from the headers or the words of an error."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_fcpivot.core.error_bodies import ErrorBody

_QUOTED = re.compile(r"""(?<!\w)(["'`]).*?\1(?!\w)|“.*?”""")
_SHOWN = 60
_RESET, _REMAINING = "x-ratelimit-reset", "x-ratelimit-remaining"
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhd]))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")
# A number without a unit is seconds up to here; a greater one is a Unix timestamp.
_LONGEST_PLAIN_S = 1e6
_AGAIN_IN = re.compile(
    r"\b(?:try again|retry) (?:in|after) (?:(?P<written>(?:\d+(?:\.\d+)?(?:ms|[smhd]))+)(?!\w)"
    r"|(?P<number>\d+(?:\.\d+)?) (?P<unit>second|minute|hour)s?\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Wait:
    """How long a service asks its clients to wait.

    `seconds` is None if it does not ask. `source` quotes the header or words that say so, and `unused` has the headers
    that could not be read. A `firm` request is always obeyed; any other is a hint, ignored if it exceeds the deadline.
    """

    seconds: float | None = None
    source: str = ""
    firm: bool = False
    unused: tuple[str, ...] = ()


def own_words(body: ErrorBody) -> str:
    """Return the reason in an error body without quoted passages, which may come from the conversation."""
    return _QUOTED.sub("…", body.reason)


def wait_of(error: BaseException, body: ErrorBody | None) -> Wait:
    """Read how long to wait: from Retry-After, or else until an exhausted rate limit resets, or else from the words."""
    headers = getattr(getattr(error, "response", error), "headers", None)
    unused: list[str] = []
    if headers is not None and callable(getattr(headers, "get", None)):
        for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
            value = headers.get(name)
            seconds = None if value is None else _asked(str(value), unit)
            if seconds is not None:
                return Wait(seconds, f"{name}: {str(value)[:_SHOWN]}", firm=True)
        resets, unused = _resets(headers)
        if resets:
            seconds, source = max(resets)
            return Wait(seconds, source, unused=tuple(unused))
    said = _AGAIN_IN.search(own_words(body)) if body is not None else None
    if said is not None:
        written, number = said["written"], said["number"]
        seconds = _duration(written.lower()) if written else float(number) * _UNITS[said["unit"][0].lower()]
        return Wait(seconds, f"{said[0]!r}", unused=tuple(unused))
    return Wait(unused=tuple(unused))


def _asked(value: str, unit: float) -> float | None:
    """Read a Retry-After header: a number in `unit` seconds, or a date (RFC 9110, 10.2.3); None if it is neither."""
    try:
        seconds = float(value) * unit
    except ValueError:
        seconds = _seconds_until(value)
    return seconds if 0 <= seconds < float("inf") else None


def _resets(headers: Any) -> tuple[list[tuple[float, str]], list[str]]:
    """Return the seconds until each exhausted rate limit resets, with its header, and the headers not understood."""
    found, unused = [], []
    try:
        pairs = [(str(name).lower(), str(value)) for name, value in headers.items()]
    except (AttributeError, TypeError, ValueError):
        return [], []
    for name, value in pairs:
        if not name.startswith(_RESET) or str(headers.get(_REMAINING + name.removeprefix(_RESET))).strip() != "0":
            continue
        seconds = _duration(value.strip().lower())
        if seconds is None:
            unused.append(f"{name}: {value[:_SHOWN]}")
        else:
            found.append((seconds, f"{name}: {value[:_SHOWN]}"))
    return found, unused


def _duration(text: str) -> float | None:
    """Read a duration such as `3s`, `1m2.5s`, `250ms` or `12` in seconds; None for a timestamp or other text."""
    if _DURATION.fullmatch(text):
        return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0 <= seconds < _LONGEST_PLAIN_S else None


def _seconds_until(date: str) -> float:
    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return -1.0
