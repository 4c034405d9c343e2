"""Opens the data of a run that is audited, and refuses any that are not what the run used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.data import SAMPLE, SAMPLE_PATH, has_hash, open_store, resolve_data
from pytest_fcpivot.data.files import is_data_file
from pytest_fcpivot.runs.described import read_with_origin
from pytest_fcpivot.runs.trust import Origin, find_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_fcpivot.data.store import PivotStore

_ROLLOUTS = ".jsonl"
_HASH_SHOWN = 16


class RunData:
    """Finds the data of a run for an audit, in the files that the user gives or where the run had them.

    `recorded` is the run's description, and `path` its directory. `made_here`: what the run names may be used.
    """

    def __init__(self, path: Path, recorded: Mapping[str, Any], *, made_here: bool) -> None:
        self._path = path
        self._description = recorded
        self._made_here = made_here

    def open(self, given: Sequence[str]) -> list[tuple[str, PivotStore]]:
        """Open the run's data by name, from the files that the user gives or from where the run had them.

        Raises RunError, which shows the hashes, if a file is not the one that the run used.
        """
        recorded = self._description.get("data") or []
        if not recorded:  # users' own tests without data of their own run over the sample
            recorded = [{"name": SAMPLE, "path": str(SAMPLE_PATH), "sha256": None}]
        offered = {path.absolute(): self._open(path) for path in map(resolve_data, given)}
        stores: list[tuple[str, PivotStore]] = []
        try:
            stores.extend((data["name"], self._find(data, offered)) for data in recorded)
            _refuse_unused(offered, stores)
        except BaseException:
            for store in (*[store for _, store in stores], *[store for store, _ in offered.values()]):
                store.close()
            raise
        return stores

    def _open(self, path: Path) -> tuple[PivotStore, str]:
        skips = self._description.get("options", {}).get("fc_bad_rows") == "skip"
        # a replay of rollouts may use the rollouts themselves as data, which may hold a pivot several times
        repeats = str(self._description.get("replays") or "").endswith(_ROLLOUTS)
        store = open_store(path, bad_rows="skip" if skips else "refuse", same_pivot="repeat" if repeats else "problem")
        return store, store.content_hash(path)

    def _find(self, data: dict[str, Any], offered: dict[Path, tuple[PivotStore, str]]) -> PivotStore:
        """Return the store of one of the run's data files: from the user's files, or from its recorded path."""
        wanted, name, path = data["sha256"], data["name"], Path(data["path"])
        for store, found in offered.values():
            if found == wanted:
                return store
        if name == SAMPLE:
            path = SAMPLE_PATH  # wherever the run had it
        seen = dict(offered)
        gone = f"are not at {path} any more"
        if path not in seen and self._may_be_read(path):
            if self._made_here or name == SAMPLE or has_hash(path, wanted):
                store, found = seen[path] = self._open(path)
                if wanted in (None, found):
                    return store
                store.close()
            else:  # another file of this user: nothing of it may be shown or cached because a foreign run names it
                gone = f"are not what is at {path}, which is not read, since the run was not made here"
        if not seen:
            raise RunError(f"{self._path}: its data {name} {gone}; give the file: --data FILE")
        lines = [f"  the run's {name}: sha256 {_cut(wanted)}, {data.get('pivots', '?')} pivots"]
        lines += [f"  {where}: sha256 {_cut(found)}, {len(store)} pivots" for where, (store, found) in seen.items()]
        listed = "\n".join(lines)
        raise RunError(
            f"{self._path}: these are not the data of the run, so its answers would be graded against other pivots:\n"
            f"{listed}\ngive the file as it was then: --data FILE"
        )

    def _may_be_read(self, path: Path) -> bool:
        """Return whether a path that the run names is a regular file with the name of a data file.

        For a run that was not made here, network paths are not even examined: Windows would log in to the server.
        """
        if not self._made_here and str(path).startswith(("\\\\", "//")):
            return False
        return _is_file(path) and is_data_file(path)


def data_of_run(path: Path, given: Sequence[str]) -> list[tuple[str, PivotStore]]:
    """Open the data of a recorded run by name, as `RunData.open` does; raises as it does."""
    description, origin = read_with_origin(path, find_key())
    return RunData(path, description, made_here=origin is Origin.HERE).open(given)


def _refuse_unused(offered: dict[Path, tuple[PivotStore, str]], stores: list[tuple[str, PivotStore]]) -> None:
    used = {id(store) for _, store in stores}
    for path, (store, _) in offered.items():
        if id(store) not in used:
            names = ", ".join(name for name, _ in stores)
            raise RunError(f"--data {path}: the run does not need it: its data are {names}, and were found")


def _is_file(path: Path) -> bool:
    """Return whether a path is a regular file; False if this user may not look at it."""
    try:
        return path.is_file()
    except OSError:
        return False


def _cut(digest: str | None) -> str:
    return f"{digest[:_HASH_SHOWN]}…" if digest else "unknown"
