"""A stand-in for the Hub on loopback: what `huggingface_hub` asks for when it reads a data set, over real HTTP."""

from __future__ import annotations

import hashlib
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGE = 1000  # bytes; larger files are in large file storage, with a redirect and a sha256


@dataclass
class DataSet:
    """A repository: its files by commit, its branches, and who may read it."""

    commits: dict[str, dict[str, bytes]]
    branches: dict[str, str]
    gated: bool = False


@dataclass(frozen=True)
class Request:
    """A request that the server got."""

    method: str
    path: str
    range: str | None
    token: str | None


@dataclass
class HubStandIn:
    """The server's contents, its faults, and the requests it got."""

    url: str = ""
    storage_url: str = ""  # another host's, by its name: what is for the Hub alone must not be sent to it
    repos: dict[str, DataSet] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    cut_once: set[str] = field(default_factory=set)  # files whose first transfer breaks off halfway
    status: int | None = None  # answer everything so
    valid_token: str | None = None  # any other token is refused
    page: int = 1000  # entries of a listing at a time

    def add(self, repo: str, files: dict[str, bytes], *, gated: bool = False, branch: str = "main") -> str:
        """Add a commit to a repository and return its name."""
        listing = json.dumps([repo, sorted((name, _sha256(data)) for name, data in files.items())])
        commit = hashlib.sha1(listing.encode(), usedforsecurity=False).hexdigest()
        data_set = self.repos.setdefault(repo, DataSet({}, {}, gated=gated))
        data_set.commits[commit] = files
        data_set.branches[branch] = commit
        return commit

    def transfers(self, name: str) -> list[str | None]:
        """Return the ranges in which a file's bytes were asked for, None for all of it."""
        return [one.range for one in self.requests if one.method == "GET" and one.path.endswith(f"/{quote(name)}")]


class _NoAnswer(Exception):  # noqa: N818 (an answer in itself)
    def __init__(self, status: int, code: str = "", message: str = "") -> None:
        self.status = status
        self.code = code
        self.message = message


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: HubStandIn

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class's name)
        pass

    def _answer(self) -> None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
        self.hub.requests.append(Request(self.command, self.path, self.headers.get("Range"), token))
        try:
            if self.hub.status is not None:
                raise _NoAnswer(self.hub.status)  # noqa: TRY301
            if token is not None and token != self.hub.valid_token:
                raise _NoAnswer(401, message="Invalid credentials in Authorization header")  # noqa: TRY301
            self._route(urlsplit(self.path).path.removeprefix("/").split("/"), token)
        except _NoAnswer as refusal:
            headers = {"X-Error-Code": refusal.code, "X-Error-Message": refusal.message}
            self._send(refusal.status, b"{}", {name: value for name, value in headers.items() if value})

    def _route(self, path: list[str], token: str | None) -> None:
        match [unquote(part) for part in path]:
            case ["api", "datasets", owner, name, "revision", revision]:
                self._info(f"{owner}/{name}", revision)
            case ["api", "datasets", owner, name]:
                self._info(f"{owner}/{name}", "main")
            case ["api", "datasets", owner, name, "tree", revision]:
                self._tree(f"{owner}/{name}", revision)
            case ["datasets", owner, name, "resolve", revision, *file]:
                self._resolve(f"{owner}/{name}", revision, "/".join(file), token)
            case ["storage", owner, name, commit, *file]:
                self._content(self.hub.repos[f"{owner}/{name}"].commits[commit]["/".join(file)], {}, "/".join(file))
            case _:
                raise _NoAnswer(404)

    def _commit(self, repo: str, revision: str) -> tuple[DataSet, str]:
        if repo not in self.hub.repos:
            raise _NoAnswer(401, "RepoNotFound", "Repository not found")
        data_set = self.hub.repos[repo]
        commit = data_set.branches.get(revision, revision)
        if commit not in data_set.commits:
            raise _NoAnswer(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return data_set, commit

    def _info(self, repo: str, revision: str) -> None:
        data_set, commit = self._commit(repo, revision)
        siblings = [{"rfilename": name} for name in data_set.commits[commit]]
        self._send_json({"_id": "0", "id": repo, "sha": commit, "siblings": siblings, "gated": data_set.gated})

    def _tree(self, repo: str, revision: str) -> None:
        data_set, commit = self._commit(repo, revision)
        names = sorted(data_set.commits[commit])
        start = int(parse_qs(urlsplit(self.path).query).get("cursor", ["0"])[0])
        entries = [_entry(name, data_set.commits[commit][name]) for name in names[start : start + self.hub.page]]
        headers = {}
        if start + self.hub.page < len(names):
            following = (
                f"{self.hub.url}/api/datasets/{repo}/tree/{commit}?recursive=True&cursor={start + self.hub.page}"
            )
            headers["Link"] = f'<{following}>; rel="next"'
        self._send_json(entries, headers)

    def _resolve(self, repo: str, revision: str, name: str, token: str | None) -> None:
        data_set, commit = self._commit(repo, revision)
        if data_set.gated and token is None:
            raise _NoAnswer(401, "GatedRepo", "Access to this data set is restricted.")
        if name not in data_set.commits[commit]:
            raise _NoAnswer(404, "EntryNotFound", "Entry not found")
        data = data_set.commits[commit][name]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{_git_oid(data)}"'}
        if len(data) <= LARGE:
            self._content(data, headers, name)
            return
        headers["X-Linked-Size"] = str(len(data))
        headers["X-Linked-ETag"] = f'"{_sha256(data)}"'
        headers["Location"] = f"{self.hub.storage_url}/storage/{repo}/{commit}/{quote(name)}"
        self._send(302, b"", headers)

    def _content(self, data: bytes, headers: dict[str, str], name: str) -> None:
        headers = headers | {"Accept-Ranges": "bytes"}
        status, part = 200, data
        asked = self.headers.get("Range")
        if asked:
            start = int(asked.removeprefix("bytes=").split("-")[0])
            status, part = 206, data[start:]
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        cut = self.command == "GET" and name in self.hub.cut_once
        self.hub.cut_once -= {name} if cut else set()
        self._send(status, part, headers, sent=len(part) // 2 if cut else len(part))

    def _send_json(self, content: Any, headers: dict[str, str] | None = None) -> None:
        self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"} | (headers or {}))

    def _send(self, status: int, body: bytes, headers: dict[str, str], *, sent: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:sent])
            self.close_connection = self.close_connection or (sent is not None and sent < len(body))


def _entry(name: str, data: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": name, "size": len(data), "oid": _git_oid(data)}
    if len(data) > LARGE:
        entry["lfs"] = {"oid": _sha256(data), "size": len(data), "pointerSize": 134}
    return entry


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _git_oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@contextmanager
def hub_stand_in() -> Iterator[HubStandIn]:
    """Serve an empty Hub on a free port of the loopback interface."""
    hub = HubStandIn()
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        hub.storage_url = f"http://localhost:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
