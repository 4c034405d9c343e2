"""Group errors by the kind of fault, or by the type and place of an exception, instead of by their text."""

from __future__ import annotations

import re

_WIDTH = 120
# As `report.failure.explain_error` writes them: what was raised, and then a line for each frame, the innermost last.
_RAISED = re.compile(
    r"(?:the (?:agent|judge|grader) )?(?:raised (?P<type>\w+)(?:: (?P<text>.*))?|called sys\.exit\(.*)"
)
_OWN_TEST = re.compile(r"(?P<type>[A-Za-z_][\w.]*)(?:: (?P<text>.*))?")
_FRAME = re.compile(r"  (?P<file>.+):(?P<line>\d+) in (?P<name>.+?)(?:: .*)?")
_BECAUSE = "  because of "
_DIFFERS_IN_EACH = re.compile(r"\b0x[0-9a-fA-F]+\b|\b[0-9a-f]{8,}\b|\d+(?:[.,:]\d+)*")


def group_of(cause: str | None, error: str | None) -> tuple[str, str]:
    """Return the name of the group in which an error is counted, and the text of this error beside it (may be "").

    The group is the kind of the service's fault if there is one (`cause`); else the type of the exception and the
    place that it comes from, by the innermost frame that the error shows; else its first line, without numbers.
    """
    first, _, rest = (error or "").strip().partition("\n")
    if cause:
        return cause, ""
    place = _place(rest)
    if place is None:
        return without_numbers(first[:_WIDTH]), first[:_WIDTH]
    found = _RAISED.fullmatch(first)
    if found is not None and found["type"] is None:
        return f"SystemExit at {place}", first[:_WIDTH]
    found = found or _OWN_TEST.fullmatch(first)
    if found is None:
        return f"error at {place}", first[:_WIDTH]
    return f"{found['type']} at {place}", (found["text"] or "")[:_WIDTH]


def without_numbers(text: str) -> str:
    """Replace each number and hexadecimal identifier by N, so that texts that differ only in these become equal."""
    return _DIFFERS_IN_EACH.sub("N", text)


def _place(lines: str) -> str | None:
    """Return the innermost frame as "file:line in function", without the directory; None if there is no frame."""
    found = None
    for line in lines.split("\n"):
        if line.startswith(_BECAUSE):
            break
        found = _FRAME.fullmatch(line) or found
    if found is None:
        return None
    file = re.split(r"[/\\]", found["file"])[-1]
    return f"{file}:{found['line']} in {found['name']}"
