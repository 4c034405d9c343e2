"""Write the report into its file, whole or not at all."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_fcpivot.core.errors import OptionError
from pytest_fcpivot.core.words import count_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pytest_fcpivot.report.html.building import Built

_ENDINGS = (".html", ".htm")


def refuse_target(target: Path, named: str) -> None:
    """Raise OptionError for a file that cannot be written, or has another ending; `named` is the option with its value.

    By the ending, a run or data that are named by mistake are never overwritten.
    """
    if target.is_dir():
        raise OptionError(f"{named}: this is a directory; name a file in it, as in {target.name or 'out'}/report.html")
    if target.suffix.lower() not in _ENDINGS:
        raise OptionError(f"{named}: the report is a page, so the name of its file ends in .html")
    parent = next((each for each in target.parents if each.exists()), None)
    if parent is None or not parent.is_dir() or not os.access(parent, os.W_OK):
        raise OptionError(f"{named}: nothing can be written into {parent or target.parent}; choose another place")


def write(target: Path, texts: Iterable[str]) -> int:
    """Write the texts of a page into a file, which replaces an earlier report; returns its size in bytes.

    Directories are made as needed. Raises OSError if the file cannot be written; an earlier one is then as it was.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("wb") as stream:
            for text in texts:
                stream.write(text.encode("utf-8", "backslashreplace"))
            size = stream.tell()
        os.replace(part, target)  # noqa: PTH105 (a rename is what makes it atomic)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    return size


def said(target: str, built: Built, size: int) -> Iterator[str]:
    """Yield the lines that say what was written, and what had no room."""
    left = f", {built.not_run} of them not run" if built.not_run else ""
    yield f"report written to {target}: {count_of(built.rows, 'test')}{left}, {size / 1e6:.1f} MB"
    if built.no_data is not None:
        yield f"  without conversations and expected actions, since the data are not at hand: {built.no_data}"
    elif built.left_out:
        yield (
            f"  without the conversations of {count_of(built.left_out, 'result')}, for which there was no room "
            "(--max-size); fcpivot show has them"
        )
    if built.unlisted:
        yield (
            f"  without {count_of(built.unlisted, 'more test')} in its table, since these are too many for a page; the "
            "figures are of all of them"
        )
