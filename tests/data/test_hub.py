"""The Hub: data sets come once, whole and verified, from a server that behaves like it, or with a word why not."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hub_stand_in import HubStandIn, hub_stand_in
from huggingface_hub import constants, file_download
from huggingface_hub.utils import _http
from huggingface_hub.utils._http import close_session

from pytest_fcpivot.core.errors import DataError
from pytest_fcpivot.data.hub import fetch
from pytest_fcpivot.data.sources import KNOWN, Known, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SMALL = b'{"n": 1}\n'
LARGE = b"".join(b'{"n": %d}\n' % n for n in range(100_000))
CARD = b"---\nlicense: cc-by-4.0\ntags: [a]\n---\n# A data set\n"
TOKEN = "hf_secretsecretsecret"  # noqa: S105 (of the stand-in)
FILES = {"train.jsonl": LARGE, "data/small one.jsonl": SMALL, "README.md": CARD, "data/x.csv": b"n\n1\n"}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandIn]:
    """Serve a Hub and set the library on it, which reads its environment once, when it is imported."""
    with hub_stand_in() as server:
        for name, value in {
            "ENDPOINT": server.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": server.url + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_CACHE": str(tmp_path / "hub"),
            "HF_TOKEN_PATH": str(tmp_path / "token"),
            "AGENT_HARNESSES_PATH": str(tmp_path / "harnesses"),
            "HF_HUB_OFFLINE": False,
        }.items():
            monkeypatch.setattr(constants, name, value, raising=False)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        for module in (_http, file_download):  # the library waits seconds before it tries again
            monkeypatch.setattr(module, "time", SimpleNamespace(sleep=lambda _: None))
        close_session()
        yield server
        close_session()


def sha256(data: bytes) -> str:
    """Return a hash as the Hub writes it."""
    return hashlib.sha256(data).hexdigest()


def failure(*args: Any, **kwargs: Any) -> str:
    """Return what is said when fetching fails."""
    with pytest.raises(DataError) as raised:
        fetch(*args, **kwargs)
    text = str(raised.value)
    assert "\n" not in text
    assert "http" not in text
    return text


def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the library on a port of this machine that nobody listens on."""
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:9/{repo_id}/{revision}/{filename}")
    close_session()


@pytest.mark.parametrize(("revision", "page"), [(None, 1000), ("main", 1), ("v1", 3), ("commit", 2)])
def test_files_of_a_revision(hub: HubStandIn, revision: str | None, page: int) -> None:
    """The matching files of a branch, tag or commit come with size, hash, commit and licence, sorted."""
    hub.page = page
    commit = hub.add("o/n", FILES)
    hub.add("o/n", FILES, branch="v1")
    found = fetch("o/n", commit if revision == "commit" else revision, ["*.jsonl"])
    assert (found.commit, found.licence) == (commit, "cc-by-4.0")
    assert [(one.name, one.size, one.sha256) for one in found.files] == [
        ("data/small one.jsonl", len(SMALL), sha256(SMALL)),
        ("train.jsonl", len(LARGE), sha256(LARGE)),
    ]
    assert [one.path.read_bytes() for one in found.files] == [SMALL, LARGE]
    assert not hub.transfers("data/x.csv")


def test_a_commit_is_asked_for_once(hub: HubStandIn) -> None:
    """Files of a commit that are in the cache are not asked for again; of a branch, only which commit it is at."""
    first = hub.add("o/n", FILES)
    fetch("o/n", first, ["*.jsonl"])
    hub.requests.clear()
    fetch("o/n", first, ["*.jsonl"])
    # huggingface_hub 1.x asks about the commit itself, 2.x about nothing
    assert {one.path for one in hub.requests} <= {f"/api/datasets/o/n/revision/{first}"}
    hub.requests.clear()
    assert fetch("o/n", None, ["*.jsonl"]).commit == first
    assert [one.path for one in hub.requests] == ["/api/datasets/o/n/revision/main"]
    second = hub.add("o/n", {**FILES, "train.jsonl": LARGE + SMALL})
    moved = fetch("o/n", None, ["*.jsonl"])
    assert (moved.commit, moved.files[1].size) == (second, len(LARGE + SMALL))
    assert fetch("o/n", first, ["*.jsonl"]).files[1].size == len(LARGE)


def test_a_broken_transfer_is_resumed(hub: HubStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the connection breaks halfway, the rest is asked for, and the file is whole."""
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 4096)
    commit = hub.add("o/n", FILES)
    hub.cut_once.add("train.jsonl")
    (found,) = fetch("o/n", commit, ["train.jsonl"]).files
    assert found.sha256 == sha256(LARGE)
    whole, rest = hub.transfers("train.jsonl")
    assert whole is None
    assert rest is not None
    start = int(rest.removeprefix("bytes=").removesuffix("-"))
    assert 0 < start <= len(LARGE) // 2
    assert start > len(LARGE) // 2 - 2 * 4096


def test_a_download_that_failed_is_run_again(hub: HubStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failure the same call completes, keeps the files that were complete, and leaves no half file."""
    commit = hub.add("o/n", FILES)
    fetch("o/n", commit, ["data/*.jsonl"])
    hub.status = 500
    assert "the Hub answered HTTP 500; run again later" in failure("o/n", commit, ["*.jsonl"])
    hub.status = None
    assert len(fetch("o/n", commit, ["*.jsonl"]).files) == 2
    assert len(hub.transfers("data/small one.jsonl")) == 1
    nowhere(monkeypatch)
    assert len(fetch("o/n", commit, ["*.jsonl"]).files) == 2


@pytest.mark.parametrize("revision", [None, "commit"])
@pytest.mark.parametrize("cause", ["offline", "no network", "server down"])
def test_without_the_network(
    hub: HubStandIn, monkeypatch: pytest.MonkeyPatch, cause: str, revision: str | None
) -> None:
    """What is in the cache serves without the network; what is not, or not all of it, is an error that says so."""
    commit = hub.add("o/n", FILES)
    hub.add("o/other", FILES)
    revision = revision and commit
    before = fetch("o/n", revision, ["train.jsonl"])
    hub.requests.clear()
    if cause == "offline":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        close_session()
    elif cause == "no network":
        nowhere(monkeypatch)
    else:
        hub.status = 503
    assert fetch("o/n", revision, ["train.jsonl"]) == before
    for repo, patterns in (("o/other", ["train.jsonl"]), ("o/n", ["*.jsonl"])):
        said = failure(repo, revision, patterns)
        assert said.startswith(f"hf://{repo}")
        for part in {
            "offline": ["not in the cache", str(constants.HF_HUB_CACHE), "run once without HF_HUB_OFFLINE"],
            "no network": [
                "cannot be reached (ConnectionRefusedError)",
                "check the network, the proxy and HF_ENDPOINT",
            ],
            "server down": ["HTTP 503", "run again later"],
        }[cause]:
            assert part in said
    assert cause == "server down" or not hub.requests


@pytest.mark.parametrize(
    ("repo", "revision", "patterns", "parts"),
    [
        ("o/n", "v9", ["*"], ["hf://o/n@v9: o/n has no revision v9", "branch, a tag or a commit"]),
        ("o/n", "0" * 40, ["*"], ["has no revision 00000000", "a commit"]),
        ("o/none", None, ["*"], ["hf://o/none: no such data set, or a private one", "HF_TOKEN"]),
        ("o/none", "0" * 40, ["*"], ["no such data set"]),
        ("o/gated", None, ["*"], ["hf://o/gated: the data set is gated", "accept its terms", "HF_TOKEN"]),
        ("o/n", None, ["*.zip", "x"], ["no file matches *.zip, x", "README.md, data/small one.jsonl"]),
        ("o--n/--", None, ["*"], ["not a name of a data set", "owner/name"]),
    ],
)
def test_what_the_hub_does_not_have(
    hub: HubStandIn, repo: str, revision: str | None, patterns: list[str], parts: list[str]
) -> None:
    """A data set, revision or file that does not exist, or is not for everyone, is told with what to do."""
    hub.add("o/n", FILES)
    hub.add("o/gated", FILES, gated=True)
    said = failure(repo, revision, patterns)
    for part in parts:
        assert part in said


def test_a_token_is_used_and_not_shown(
    hub: HubStandIn, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """HF_TOKEN opens a gated data set, goes to the Hub only, and is in no message, not even when it is refused."""
    commit = hub.add("o/gated", FILES, gated=True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    said = failure("o/gated", None, ["*"])
    assert "HTTP 401" in said
    assert "HF_TOKEN is valid" in said
    hub.valid_token = TOKEN
    assert fetch("o/gated", None, ["train.jsonl"]).commit == commit
    assert {one.token for one in hub.requests if one.path.startswith("/storage/")} == {None}
    assert {one.token for one in hub.requests if one.path.startswith("/api/datasets/")} == {TOKEN}
    assert TOKEN not in said + "".join(capfd.readouterr())


@pytest.mark.parametrize("tampered", ["train.jsonl", None])
def test_a_file_that_is_not_the_published_one(hub: HubStandIn, tampered: str | None) -> None:
    """A file in the cache that differs from what the Hub stores is refused; deleted as told, it is fetched anew."""
    commit = hub.add("o/n", FILES)
    (good,) = fetch("o/n", commit, ["train.jsonl"]).files
    if tampered is None:
        known = {"train.jsonl": "0" * 64}
        said = failure("o/n", commit, ["train.jsonl"], sha256=known)
        assert "the known file has 0000" in said
        return
    good.path.resolve().write_bytes(LARGE.replace(b"7", b"8", 1))
    said = failure("o/n", commit, ["train.jsonl"])
    assert f"the Hub has {sha256(LARGE)}" in said
    assert f"delete {good.path.resolve()} and run again" in said
    good.path.resolve().unlink()
    assert fetch("o/n", commit, ["train.jsonl"]).files == (good,)


@pytest.mark.parametrize(
    ("error", "parts"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), ["no space left", "make room, or set HF_HOME"]),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), ["no space left"]),
        (RuntimeError("I/O error: No space left on device (os error 28)"), ["no space left"]),
        (PermissionError(errno.EACCES, "Permission denied"), ["cannot be written", "HF_HOME"]),
        (ConnectionResetError(errno.ECONNRESET, "reset"), ["the download failed (ConnectionResetError)", "run again"]),
        (RuntimeError(f"Bearer {TOKEN} at a signed address"), ["the download failed (RuntimeError)"]),
    ],
)
def test_a_disk_or_line_that_fails(
    hub: HubStandIn, monkeypatch: pytest.MonkeyPatch, error: Exception, parts: list[str]
) -> None:
    """A full disk, a cache that cannot be written and an error of another kind are told, without their text."""
    commit = hub.add("o/n", FILES)

    def fails(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(file_download, "http_get", fails)
    said = failure("o/n", commit, ["*.jsonl"])
    assert TOKEN not in said
    for part in parts:
        assert part in said


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        (CARD, "cc-by-4.0"),
        (b"---\nlicense: [mit, cc0-1.0]\n---\n", "mit, cc0-1.0"),
        (b"# No front matter\n", None),
        (b"---\nlicense: {: broken\n---\n", None),
        (None, None),
    ],
)
def test_the_licence(hub: HubStandIn, card: bytes | None, licence: str | None) -> None:
    """The licence is the one that the card names; without one, or without a card, the data come all the same."""
    commit = hub.add("o/n", {"a.jsonl": SMALL} | ({} if card is None else {"README.md": card}))
    assert fetch("o/n", commit, ["*.jsonl"]).licence == licence


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, the message says how to install it."""
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert failure("o/n", None, ["*"]).endswith("needs huggingface_hub: pip install 'pytest-fcpivot[hub]'")


def test_known_names(hub: HubStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A known name goes through the Hub to its rows: pinned and verified, or at the head of main where unpinned."""
    head = hub.add("o/fc", {"train.jsonl": LARGE})
    pinned = hub.add("o/swe", {"train.jsonl": LARGE})
    hub.add("o/swe", {"train.jsonl": SMALL})
    monkeypatch.setitem(KNOWN, "fc-pivot-v1", Known("o/fc", None, {"train": "train.jsonl"}, {}))
    known = Known("o/swe", pinned, {"train": "train.jsonl"}, {"train.jsonl": sha256(LARGE)}, "CC-BY-4.0")
    monkeypatch.setitem(KNOWN, "swe-pivot-v1", known)
    sources = resolve(["swe-pivot-v1", "hf://o/swe", "fc-pivot-v1"], tmp_path)
    assert [(one.provenance.commit, one.provenance.sha256, one.split) for one in sources] == [
        (pinned, sha256(LARGE), "train"),
        (hub.repos["o/swe"].branches["main"], sha256(SMALL), "train"),
        (head, sha256(LARGE), "train"),
    ]
    assert [row for _, row in sources[0].open_lines()] == LARGE.splitlines()
    monkeypatch.setitem(KNOWN, "swe-pivot-v1", Known("o/swe", pinned, {"train": "train.jsonl"}, {"train.jsonl": "1"}))
    with pytest.raises(DataError, match=r"train\.jsonl is not the published file: sha256 .*, the known file has 1;"):
        resolve(["swe-pivot-v1"], tmp_path)


FETCH = """
import sys
from pytest_fcpivot.data.hub import fetch
from pytest_fcpivot.core.errors import DataError
assert "huggingface_hub" not in sys.modules
try:
    print(fetch("o/n", None, ["*.jsonl"]).files[1].sha256)
except DataError as error:
    sys.exit(str(error))
"""


def test_the_environment_is_respected(tmp_path: Path) -> None:
    """HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE work as the library's users know them, and logs hold no bars."""

    def run(**settings: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        environment |= {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": url, **settings}
        command = [sys.executable, "-c", FETCH]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)

    with hub_stand_in() as server:
        url = server.url
        server.add("o/n", FILES)
        assert (run().stdout.strip(), run().stderr) == (sha256(LARGE), "")
    assert run(HF_HUB_OFFLINE="1").stdout.strip() == sha256(LARGE)
    elsewhere = run(HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path / "elsewhere"))
    assert elsewhere.returncode == 1
    assert f"not in the cache, {tmp_path / 'elsewhere'}" in elsewhere.stderr
