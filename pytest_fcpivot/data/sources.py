"""Resolves the names of sources: known datasets, datasets of the Hub, files, directories, globs, standard input."""

from __future__ import annotations

import glob
import os
import re
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from pytest_fcpivot.core.errors import DataError
from pytest_fcpivot.data.files import LINE_LIMIT, SUFFIXES, LineRows, Rows, open_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

STANDARD_INPUT = "-"
_HUB = "hf://"
_HUB_NAME = re.compile(
    r"(?:datasets/)?(?P<repo>\w[\w.-]*/\w[\w.-]*)"
    r"(?:@(?P<revision>refs/(?:pr|convert)/[^/@]+|[^/@]+))?"
    r"(?:/(?P<path>.*))?"
)
_SHARD = re.compile(r"-\d+-of-\d+$")
_SPLITS = frozenset({"train", "validation", "valid", "val", "dev", "test"})


@dataclass(frozen=True, slots=True)
class Known:
    """A published dataset: its repository, the commit to use, and its files by split (no splits: all data files).

    `sha256` holds the hashes of files that are known in advance; `licence` is None if it is read from the card.
    """

    repo: str
    revision: str | None
    splits: dict[str, str]
    sha256: dict[str, str]
    licence: str | None = None


KNOWN = {
    # No commit of this dataset is pinned: the head of `main` is used, and its commit is recorded in the provenance.
    "fc-pivot-v1": Known(
        "nvidia/Nemotron-RL-Agentic-Function-Calling-Pivot-v1",
        None,
        {"train": "train.jsonl"},
        {},
        "CC-BY-4.0",
    ),
    "conversational-pivot-v1": Known(
        "nvidia/Nemotron-RL-Agentic-Conversational-Tool-Use-Pivot-v1",
        "9643c8103d7bfbc2d7fc4d15991d6739c612ff58",
        {},
        {},
    ),
    "swe-pivot-v1": Known(
        "nvidia/Nemotron-RL-Agentic-SWE-Pivot-v1",
        "4947a3c8ea803413a65f9eca14a96ef521b2ddf5",
        {"train": "train.jsonl"},
        {"train.jsonl": "1586b7a9f90c72ec2a3a2aab3a583d391ee80d3af2947a6791e6dbacda683108"},
    ),
    "agentic-v1": Known(
        "nvidia/Nemotron-Agentic-v1",
        "650d590978ca35c8f1ecea2faf136e5fac421b62",
        {"interactive_agent": "data/interactive_agent.jsonl", "tool_calling": "data/tool_calling.jsonl"},
        {},
        "CC-BY-4.0",
    ),
}


@dataclass(frozen=True, slots=True)
class Provenance:
    """The origin of a source's rows: the name that the user gave, and what is known about the file.

    `sha256` is None unless the file was downloaded; for others, Rows.sha256 has it once the rows have been read.
    """

    source: str
    file: str
    repo: str | None = None
    commit: str | None = None
    sha256: str | None = None
    licence: str | None = None
    attribution: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """One file of rows, or standard input if `path` is None; `size` is that of the stored file in bytes."""

    label: str
    path: Path | None
    split: str | None
    size: int | None
    provenance: Provenance

    def open_lines(self, *, limit: int = LINE_LIMIT) -> Rows:
        """Open the rows, which can be iterated once; see Rows. Standard input can be opened only once.

        Raises DataError if they cannot be opened.
        """
        if self.path is not None:
            return open_rows(self.path, self.label, limit=limit)
        if sys.stdin is None or sys.stdin.closed:
            raise DataError(f"{self.label}: closed, or read already; pipe the rows in, and read them only once")
        return LineRows(sys.stdin.buffer, self.label, limit=limit)


def file_source(path: Path) -> Source:
    """Return a local file as a source without a split."""
    return Source(str(path), path, None, None, Provenance(path.name, path.name))


def resolve(
    names: Sequence[str],
    base: Path,
    *,
    say: Callable[[str], None] = lambda _: None,
) -> list[Source]:
    """Return the sources that names stand for, in the order of the names, each file once; downloads remote ones.

    A name is one of: a known dataset, optionally with `:split`; `hf://owner/name`, optionally with `@revision` and
    `/path` (a file, a directory or a pattern); a file, directory or glob, relative to `base`; `-` for standard input. A
    directory stands for all data files below it, except hidden ones and stores of pivots. A known dataset takes
    precedence over a file of the same name, which can be given as `./name`. `say` is called with a message before each
    download.

    Raises DataError if a name cannot be resolved, or stands for a file that cannot be read.
    """
    sources: dict[str, Source] = {}
    for name in names:
        for source in _resolve_one(name, base, say):
            key = STANDARD_INPUT if source.path is None else os.path.realpath(source.path)
            sources.setdefault(key, source)
    return list(sources.values())


def _resolve_one(name: str, base: Path, say: Callable[[str], None]) -> Iterator[Source]:
    known, _, split = name.partition(":")
    if name == STANDARD_INPUT:
        yield Source("standard input", None, None, None, Provenance(name, "standard input"))
    elif known in KNOWN:
        yield from _from_known(name, KNOWN[known], split, say)
    elif name.startswith(_HUB):
        yield from _from_hub(name, say)
    else:
        for path, label in _local_files(name, base):
            _must_be_readable(path, label)
            yield Source(label, path, _split_of(path.name), path.stat().st_size, Provenance(name, path.name))


def _from_known(name: str, known: Known, split: str, say: Callable[[str], None]) -> Iterator[Source]:
    if split and split not in known.splits:
        raise DataError(
            f"{name}: no split {split!r}; {', '.join(known.splits) or 'there are no splits to choose from'}"
        )
    patterns = [known.splits[split]] if split else list(known.splits.values()) or _data_patterns("")
    yield from _fetched(name, known.repo, known.revision, patterns, say)


def _from_hub(name: str, say: Callable[[str], None]) -> Iterator[Source]:
    parts = _HUB_NAME.fullmatch(name.removeprefix(_HUB))
    if parts is None:
        raise DataError(f"{name}: write hf://owner/name, hf://owner/name@revision or hf://owner/name@revision/path")
    revision = unquote(parts["revision"]) if parts["revision"] else None
    path = (parts["path"] or "").strip("/")
    patterns = [path] if path.endswith(SUFFIXES) or glob.has_magic(path) else _data_patterns(path)
    yield from _fetched(name, parts["repo"], revision, patterns, say)


def _data_patterns(directory: str) -> list[str]:
    return [f"{directory}/*{suffix}".removeprefix("/") for suffix in SUFFIXES]


def _fetched(
    name: str,
    repo: str,
    revision: str | None,
    patterns: list[str],
    say: Callable[[str], None],
) -> Iterator[Source]:
    from pytest_fcpivot.data.hub import fetch  # noqa: PLC0415 (only for what is remote)

    known = next((one for one in KNOWN.values() if one.repo == repo), Known(repo, None, {}, {}))
    pinned = revision is not None and revision == known.revision
    say(f"{name}: fetching {', '.join(patterns)} of {repo} at {revision or 'main'}, unless it is in the cache")
    found = fetch(repo, revision, patterns, sha256=known.sha256 if pinned else None)
    licence = known.licence or found.licence
    owner, title = repo.split("/")
    attribution = f"{title} by {owner}" + (f", licensed under {licence}" if licence else "")
    split_of = {file: split for split, file in known.splits.items()}
    for file in found.files:
        if not file.name.endswith(SUFFIXES):
            continue
        split = split_of.get(file.name) or _split_of(file.name)
        provenance = Provenance(name, file.name, repo, found.commit, file.sha256, licence, attribution)
        yield Source(f"{repo}@{found.commit[:7]}/{file.name}", file.path, split, file.size, provenance)


def _local_files(name: str, base: Path) -> list[tuple[Path, str]]:
    """Return the local files that a name stands for, each with its label for messages."""
    if not name:
        raise DataError("the name of a source is empty; give a file, a directory, or the name of a dataset")
    expanded = os.path.expanduser(name)  # noqa: PTH111 (Path.expanduser raises for a user who is not there)
    path = base / expanded
    if path.is_dir():
        return [(one, os.path.join(name, one.relative_to(path))) for one in _files_below(path, name)]  # noqa: PTH118
    if path.is_file():
        if not name.endswith(SUFFIXES):
            raise DataError(f"{name}: not the name of a data file; known endings: {', '.join(SUFFIXES)}")
        if _is_store(path):
            raise DataError(f"{name}: its pivots were prepared already; use the file as it is, or name its source")
        return [(path, name)]
    if path.exists():
        raise DataError(f"{name}: neither a file nor a directory; pipe it in, with - as the name")
    if glob.has_magic(name):
        return _matching(name, expanded, base)
    raise _not_found(name, path)


def _files_below(directory: Path, name: str) -> list[Path]:
    """Return the data files below a directory, sorted by path; hidden files and directories are skipped."""

    def refuse(error: OSError) -> None:
        raise DataError(f"{name}: {error.filename} cannot be read: {error.strerror or error}") from error

    found: list[Path] = []
    for parent, directories, files in os.walk(directory, onerror=refuse):
        directories[:] = [one for one in directories if not one.startswith(".")]
        found += [Path(parent, one) for one in files if _may_be_data(one)]
    sources = sorted(path for path in found if path.is_file() and not _is_store(path))
    if not sources:
        stores = " except pivots that were prepared already" if found else ""
        raise DataError(f"{name}: no data files in this directory{stores}; known endings: {', '.join(SUFFIXES)}")
    return sources


def _may_be_data(name: str) -> bool:
    """Return whether a file found by a directory or glob may hold rows, by its name; an audit list of `prepare` not."""
    return name.endswith(SUFFIXES) and not name.startswith(".") and not name.endswith(".audit.jsonl")


def _matching(name: str, pattern: str, base: Path) -> list[tuple[Path, str]]:
    matches = sorted(glob.glob(pattern, root_dir=base, recursive=True))  # noqa: PTH207 (relative to a base)
    if not matches:
        raise DataError(
            f"{name}: nothing matches (looked in {base.absolute()}); quote it if the shell should not expand it"
        )
    data = [(base / match, match) for match in matches if _may_be_data(match.rpartition(os.sep)[2])]
    found = [(path, match) for path, match in data if path.is_file() and not _is_store(path)]
    if not found:
        raise DataError(
            f"{name}: none of the {len(matches)} matches is a data file (the first: {matches[0]}); "
            f"known endings: {', '.join(SUFFIXES)}"
        )
    return found


def _is_store(path: Path) -> bool:
    if not path.name.endswith(".parquet"):
        return False
    from pytest_fcpivot.data.store import is_store  # noqa: PLC0415 (pyarrow is heavy)

    return is_store(path)


def _must_be_readable(path: Path, label: str) -> None:
    """Raise DataError for an unreadable file now, rather than after an hour of reading the files before it."""
    try:
        path.open("rb").close()
    except OSError as error:
        raise DataError(f"{label}: cannot be read: {error.strerror or error}; make it readable first") from error


def _not_found(name: str, path: Path) -> DataError:
    looks_like_path = name.endswith(SUFFIXES) or "/" in name or os.sep in name
    there = os.listdir(path.parent) if os.access(path.parent, os.R_OK | os.X_OK) else []  # noqa: PTH208 (names only)
    what = "data file not found" if looks_like_path else "neither a file nor a known data set"
    near = get_close_matches(path.name, there, 1, 0.75) or get_close_matches(name.partition(":")[0].lower(), KNOWN, 1)
    guess = f"; did you mean {near[0]}?" if near else ""
    known = "" if looks_like_path else f"; known data sets: {', '.join(KNOWN)}"
    return DataError(f"{name}: {what} (looked for {path.absolute()}){guess}{known}")


def _split_of(name: str) -> str | None:
    """Return the split that a file's name implies, as in `train-00001-of-00004.parquet`; None if it implies none."""
    stem = _SHARD.sub("", name.rpartition("/")[2].partition(".")[0])
    known = {split for one in KNOWN.values() for split in one.splits}
    return stem if stem in _SPLITS | known else None
