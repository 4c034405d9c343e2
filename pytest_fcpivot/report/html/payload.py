"""Make the payload of a page: the index, which the script reads at once, and the parts, which it reads on a click.

The contract with the script:

- `<script type="application/json" id="fc-meta">`: plain JSON with `format`, `index` (the id of the index' element),
  `parts` (how many), `rows`, `full` (whether each row has its details) and `left_out` (how many have none).
- `<script type="text/plain" id="fc-index">` and `class="fc-part" id="fc-part-K"`: base64 of raw deflate of UTF-8 JSON.
- The index has `strings`, `columns` of equal length, `signatures`, `bins`, `run` and `runs`. Columns of texts have the
  numbers of these in `strings`, -1 for none: `id`, `test`, `cell`, `expected_tool`, `called`, `category`, `schema`,
  `type`, `expected`, `actual` and `cause`; `flags` has lists of such numbers. `flip` is -1 for a pivot that was lost
  since the baseline, and 1 for one that was won.
- A part is `{"shared": true, "blocks": [...]}` or `{"shared": false, "pivots": [...]}`. A pivot has `id`, `trajectory`,
  `conversation` (items, or `{"of": at, "upto": n}`: the first n items of the conversation of pivot `at` in the same
  part), `system` (`[part, block]` or null: the first item of the conversation), `tools` (a `[part, block]` for each
  tool), `params`, `expected`, `note` and `results`.
- A result has `test`, `repeat`, `outcome`, `reward`, `category`, `explanation`, `path`, `paths`, `further_paths`,
  `halves`, `pairs`, `schema`, `judge`, `flags`, `usage`, `cost`, `latency_s`, `attempts`, `retried`, `error`, `cause`,
  `redacted`, `action`, `output` (text), `rows` (as `report.aligned.Row`), `rows_left_out`, `comparators` (reward by
  name; null where one cannot grade), `rerun` and `baseline`.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.jsontext import one_line
from pytest_fcpivot.report.html.bins import BINS, TYPES
from pytest_fcpivot.report.html.parts import encoded

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pytest_fcpivot.report.html.model import Screen
    from pytest_fcpivot.report.html.results import Entry
    from pytest_fcpivot.runs.signatures import Cause, Signature

FORMAT = 1
_KEY = 32  # digits


class _Strings:
    def __init__(self) -> None:
        self.all: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, text: str | None) -> int:
        if text is None:
            return -1
        found = self._numbers.get(text)
        if found is None:
            found = self._numbers[text] = len(self.all)
            self.all.append(text)
        return found


def meta(*, rows: int, parts: int, left_out: int) -> str:
    """Return the text of the element fc-meta; no `<` is in it, which could end the element."""
    value = {
        "format": FORMAT,
        "index": "fc-index",
        "parts": parts,
        "rows": rows,
        "full": left_out == 0,
        "left_out": left_out,
    }
    return json.dumps(value).replace("<", "\\u003c")


def columns(
    entries: Sequence[Entry], signatures: Mapping[Signature, int], steady: Mapping[tuple[str, str], tuple[int, int]]
) -> tuple[list[str], dict[str, list[Any]]]:
    """Return the strings and the columns of the index, but for the places in the parts.

    `steady` has the passed and the graded repeats of each pivot, by place and id.
    """
    strings = _Strings()
    number = strings.number
    found: dict[str, list[Any]] = {
        "id": [number(entry.pivot_id) for entry in entries],
        "repeat": [entry.repeat for entry in entries],
        "test": [number(entry.test) for entry in entries],
        "outcome": [entry.outcome for entry in entries],
        "reward": [entry.reward for entry in entries],
        "before": [entry.before for entry in entries],
        "flip": [entry.flip for entry in entries],
        "signature": [-1 if entry.signature is None else signatures.get(entry.signature, -1) for entry in entries],
        "cell": [number(entry.cell) for entry in entries],
        "expected_tool": [number(entry.tool) for entry in entries],
        "called": [number(entry.called) for entry in entries],
        "category": [number(entry.category) for entry in entries],
        "schema": [number(entry.schema) for entry in entries],
        "type": [number(entry.kind) for entry in entries],
        "expected": [number(_line(entry.expected or entry.tool or entry.wanted)) for entry in entries],
        "actual": [number(entry.actual) for entry in entries],
        "depth": [entry.depth for entry in entries],
        "tools": [entry.tools for entry in entries],
        "context": [entry.context for entry in entries],
        "steady": [steady.get((entry.place, entry.pivot_id)) for entry in entries],
        "flags": [[number(flag) for flag in entry.flags] or None for entry in entries],
        "cause": [number(entry.cause) for entry in entries],
    }
    return strings.all, found


def _line(text: str) -> str:
    return one_line(text)


def about(screen: Screen, path: str, show: str) -> dict[str, Any]:
    """Return what the index says besides its rows: the signatures, the bins, and the run."""
    signatures = [_signature(each.cause, each.state) for each in screen.signatures]
    comparison = screen.comparison
    return {
        "signatures": [*signatures, *(_signature(cause, "gone") for cause in screen.gone)],
        "bins": bins(),
        "run": {
            "name": screen.name,
            "path": path,
            "key": _key(screen),
            "show": show,
            "base": None if comparison is None else comparison.base.name,
            "pass_mark": screen.subject.mark,
            "currency": None if screen.subject.price is None else screen.subject.price.currency,
        },
        "runs": [each.name for each in screen.strip],
    }


def _key(screen: Screen) -> str:
    """Return what tells a run from others in a browser, which keeps all pages of a disk together."""
    described = screen.description
    about = [screen.name, described["agent"], described.get("started"), *(each["sha256"] for each in described["data"])]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:_KEY]


def _signature(cause: Cause, state: str) -> dict[str, Any]:
    signature, gone = cause.signature, state == "gone"
    return {
        "label": one_line(signature.label),
        "category": signature.category,
        "expected": signature.expected,
        "answered": signature.answered,
        "path": signature.path,
        "n": 0 if gone else cause.count,
        "lost": 0.0 if gone else cause.lost,
        "failed": 0 if gone else cause.failed,
        "state": state,
    }


def bins() -> dict[str, list[dict[str, Any]]]:
    """Return the bins for filters; those of the type have neither a low nor a high end."""
    found: dict[str, list[dict[str, Any]]] = {kind: [each._asdict() for each in those] for kind, those in BINS.items()}
    found["type"] = [{"key": key, "label": label, "low": None, "high": None} for key, label in TYPES.items()]
    return found


def index(
    strings: Sequence[str],
    filled: Mapping[str, Sequence[Any]],
    places: Iterable[tuple[int, int]],
    others: Mapping[str, Any],
) -> bytes:
    """Return the index as JSON; `places` has the part of each row and the position in it."""
    part, at = zip(*places, strict=True) if filled["id"] else ((), ())
    return encoded({"strings": strings, "columns": {**filled, "part": part, "at": at}, **others})
