"""Downloads datasets of the Hugging Face Hub, through `huggingface_hub` (the extra `hub`) and its cache."""

from __future__ import annotations

import errno
import hashlib
import re
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_fcpivot.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_SHA256 = re.compile(r"[0-9a-f]{64}")
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_CARD = "README.md"
_FILES_SHOWN = 10


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a dataset: its path in the repository, its local path, its size in bytes and its hash."""

    name: str
    path: Path
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class HubFiles:
    """Files of one commit of a data set, sorted by name, and the licence that its card names."""

    commit: str
    files: tuple[HubFile, ...]
    licence: str | None


def fetch(
    repo: str,
    revision: str | None,
    patterns: Sequence[str],
    *,
    sha256: Mapping[str, str] | None = None,
) -> HubFiles:
    """Return the files of a data set that match a pattern (`*` also matches `/`), downloading those not in the cache.

    Without a revision, the head of `main` is used; `commit` of the result records which commit that was. Files in the
    cache are not downloaded again, and an unreachable Hub is not an error if the cache has all the files.
    Each file is hashed. The hash is compared with the one under which the Hub stores the file (known for large files,
    if the cache's file system supports symbolic links), and with the one that `sha256` gives for its name.

    A broken connection is resumed where it broke. A killed download is not: since version 1.20, huggingface_hub
    restarts the unfinished file, by its maintainers' decision; complete files are kept.

    Raises DataError for everything that can go wrong, including a different hash and the absence of matching files.
    """
    try:
        import huggingface_hub as hub  # noqa: PLC0415 (an extra, and heavy)
    except ImportError as error:
        raise DataError(
            f"{_place(repo, revision)}: downloading needs huggingface_hub: pip install 'pytest-fcpivot[hub]'"
        ) from error
    try:
        with _bars_on_terminals_only():
            folder = Path(
                hub.snapshot_download(
                    repo,
                    repo_type="dataset",
                    revision=revision,
                    allow_patterns=list(patterns),
                    library_name="pytest-fcpivot",
                )
            )
    except Exception as error:  # huggingface_hub passes on errors of its HTTP library, which depends on its version
        raise DataError(f"{_place(repo, revision)}: {_reason(error, repo, revision)}") from error
    commit = folder.name
    there = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    names = [name for name in there if any(fnmatch(name, pattern) for pattern in patterns)]
    if not names:
        raise DataError(_nothing_matches(repo, commit, patterns))
    files = tuple(_checked(folder / name, name, _place(repo, commit), sha256 or {}) for name in names)
    return HubFiles(commit, files, _licence(repo, commit))


@contextmanager
def _bars_on_terminals_only() -> Iterator[None]:
    """Keep the library's progress bars out of logs, unless HF_HUB_DISABLE_PROGRESS_BARS decides about them."""
    from huggingface_hub import constants  # noqa: PLC0415 (an extra, and heavy)
    from huggingface_hub.utils import (  # type: ignore[attr-defined, unused-ignore]  # noqa: PLC0415
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    decided = constants.HF_HUB_DISABLE_PROGRESS_BARS is not None or are_progress_bars_disabled()
    if decided or sys.stderr.isatty():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _place(repo: str, revision: str | None) -> str:
    return f"hf://{repo}@{revision}" if revision else f"hf://{repo}"


def _checked(path: Path, name: str, place: str, known: Mapping[str, str]) -> HubFile:
    """Return a downloaded file with its hash; raises DataError if it differs from a published or known hash."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            actual = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{place}: {name} cannot be read in the cache: {error.strerror or error}") from error
    # The cache links to a blob that is named by the ETag, which for a file in large file storage is its sha256.
    stored_as = path.readlink().name if path.is_symlink() else ""
    published = stored_as if _SHA256.fullmatch(stored_as) else None
    for expected, where in ((published, "the Hub has"), (known.get(name), "the known file has")):
        if expected is not None and actual != expected:
            raise DataError(
                f"{place}: {name} is not the published file: sha256 {actual}, {where} {expected}; "
                f"delete {path.resolve()} and run again to fetch it anew"
            )
    return HubFile(name, path, size, actual)


def _nothing_matches(repo: str, commit: str, patterns: Sequence[str]) -> str:
    message = f"{_place(repo, commit)}: no file matches {', '.join(patterns)}"
    names = _listing(repo, commit)
    if names is None:
        return f"{message} in the cache; run again with the network"
    shown = ", ".join(names[:_FILES_SHOWN]) + (f", … ({len(names)} in all)" if len(names) > _FILES_SHOWN else "")
    return f"{message}; its files: {shown or 'none'}"


def _listing(repo: str, commit: str) -> list[str] | None:
    """Return the names of all files of a commit from the cache, which stores the list with the first download."""
    import huggingface_hub as hub  # noqa: PLC0415 (an extra, and heavy)
    from huggingface_hub.errors import CachedRepoTreeNotFoundError  # noqa: PLC0415

    try:
        return sorted(file.path for file in hub.get_cached_repo_tree(repo, repo_type="dataset", revision=commit))
    except CachedRepoTreeNotFoundError:
        return None


def _licence(repo: str, commit: str) -> str | None:
    """Return the licence that the dataset's card names; None without a card, or if it cannot be fetched."""
    import huggingface_hub as hub  # noqa: PLC0415 (an extra, and heavy)

    if _CARD not in (_listing(repo, commit) or ()):  # avoids a request, and half a minute's wait without a network
        return None
    try:
        card = hub.hf_hub_download(repo, _CARD, repo_type="dataset", revision=commit, library_name="pytest-fcpivot")
        licence = hub.DatasetCard.load(card, ignore_metadata_errors=True).data.to_dict().get("license")
    except Exception:  # noqa: BLE001 (the licence is only a note: the data can be used without it)
        return None
    return ", ".join(map(str, licence)) if isinstance(licence, list) else licence and str(licence)


def _reason(error: Exception, repo: str, revision: str | None) -> str:
    """Explain what went wrong and what to do, without repeating any URL or header: they may contain tokens."""
    from huggingface_hub import constants, errors  # noqa: PLC0415 (an extra, and heavy)

    chain = tuple(_chain(error))
    if any(_is_no_space(one) for one in chain):
        return f"no space left on the disk of the cache, {constants.HF_HUB_CACHE}; make room, or set HF_HOME elsewhere"
    if any(isinstance(one, errors.OfflineModeIsEnabled) for one in chain):
        return (
            f"not in the cache, {constants.HF_HUB_CACHE}, or not all of it, and HF_HUB_OFFLINE forbids the network; "
            "run once without HF_HUB_OFFLINE"
        )
    if isinstance(error, errors.HFValidationError):
        return "not a name of a data set; write owner/name"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{repo} has no revision {revision or 'main'}; name a branch, a tag or a commit that it has"
    if isinstance(error, errors.GatedRepoError):
        return "the data set is gated; accept its terms on its page, then set HF_TOKEN to a token of that account"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "no such data set, or a private one; check owner and name, or set HF_TOKEN to a token that may read it"
    status = next((one.response.status_code for one in chain if isinstance(one, errors.HfHubHTTPError)), None)
    if status in (401, 403):
        return f"the Hub refused it (HTTP {status}); check that HF_TOKEN is valid and may read the data set"
    if status is not None:
        return f"the Hub answered HTTP {status}; run again later"
    if isinstance(error, PermissionError):
        return f"the cache, {constants.HF_HUB_CACHE}, cannot be written; set HF_HOME to a directory that can be"
    if isinstance(error, errors.LocalEntryNotFoundError):
        return (
            f"the Hub cannot be reached ({type(chain[-1]).__name__}) and not all of it is in the cache, "
            f"{constants.HF_HUB_CACHE}; check the network, the proxy and HF_ENDPOINT"
        )
    return (
        f"the download failed ({type(error).__name__}); check the network, the proxy and HF_ENDPOINT, and run again: "
        "files that are complete are kept"
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and its chain of causes."""
    seen: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in seen:
        seen.append(following)
        yield following
        following = following.__cause__ or following.__context__


def _is_no_space(error: BaseException) -> bool:
    # hf_xet is not written in Python, and reports a full disk only in the message
    return (isinstance(error, OSError) and error.errno in _NO_SPACE) or "No space left on device" in str(error)
