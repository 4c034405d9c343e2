"""Refuse texts that pytest-xdist cannot send to its workers: it sends UTF-8, and arguments may have any bytes."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_fcpivot.core.jsontext import on_screen, well_formed
from pytest_fcpivot.options.table import FROM_RUN, option_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fcpivot.session.hooks import PivotSession


def refuse_unsendable(session: PivotSession) -> None:
    """Raise UsageError if an argument, an option or a path of this session cannot be sent to workers."""
    for name, text in _sent(session):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise pytest.UsageError(
                f"{on_screen(session.plan.redact(_with_bytes(name)))}: not UTF-8, which is all that pytest-xdist can "
                "send to its workers; use UTF-8 there, or run without workers (-n0)"
            ) from None


def _sent(session: PivotSession) -> Iterator[tuple[str, str]]:
    """Yield the texts that come from outside and are sent to a starting worker, each behind what it is."""
    for argument in (*session.config.invocation_params.args, *sys.argv):
        yield f"the argument {argument}", str(argument)
    for dest, (value, where) in session.plan.raw_options.items():
        source = f"{where}: {option_of(dest).flag}" if where == FROM_RUN else where
        for text in value if isinstance(value, list) else [value]:
            yield f"{source}={text}", str(text)
    paths = [dataset.describe()["path"] for dataset in session.plan.datasets]
    for path in (*paths, session.ledger.recorder.path, session.calls.directory, *sys.path):
        yield f"the path {path}", str(path)


def _with_bytes(text: str) -> str:
    r"""Escape what is not UTF-8: as the bytes that were given, such as \xff, or as a lone surrogate."""
    try:
        return os.fsencode(text).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return well_formed(text)
