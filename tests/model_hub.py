"""A stand-in of the Hugging Face Hub on 127.0.0.1: what huggingface_hub needs to get single files, and misbehaviour.

    with ModelHub() as hub:
        hub.commit("org/repo", "c" * 40, {"a.gguf": b"..."})
        ...  # HF_ENDPOINT: hub.url

Files are kept as in Git LFS: the repository tells digest and size, and redirects to the content.
"""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import unquote


class Asked(NamedTuple):
    """A request that arrived."""

    method: str
    path: str
    token: str
    range: str


class ModelHub:
    """A context manager. `gated`: repositories and their tokens; `cut`: how much of the next content is sent."""

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, dict[str, bytes]]] = {}
        self.refs: dict[str, dict[str, str]] = {}
        self.gated: dict[str, str] = {}
        self.cut: int | None = None
        self.requests: list[Asked] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._http.daemon_threads = True
        self._http.hub = self
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self.content_url = f"http://localhost:{self._http.server_port}/content"  # another host, as at the Hub

    def commit(self, repo: str, commit: str, files: dict[str, bytes], branch: str = "main") -> None:
        """Add a commit, the newest of its branch."""
        self.repos.setdefault(repo, {})[commit] = files
        self.refs.setdefault(repo, {})[branch] = commit

    def downloads(self) -> list[Asked]:
        """The requests for contents."""
        return [asked for asked in self.requests if asked.path.startswith("/content/")]

    def __enter__(self) -> "ModelHub":
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._http.shutdown()
        self._http.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.respond()

    def do_GET(self):
        self.respond()

    def respond(self):
        hub = self.server.hub
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        hub.requests.append(Asked(self.command, unquote(self.path), token, self.headers.get("Range", "")))
        if self.path.startswith("/content/"):
            self.content(self.path.removeprefix("/content/"))
            return
        repo, _, rest = unquote(self.path).lstrip("/").partition("/resolve/")
        revision, _, name = rest.partition("/")
        revision = hub.refs.get(repo, {}).get(revision, revision)
        files = hub.repos.get(repo, {}).get(revision)
        if repo not in hub.repos:
            self.send(401, {"X-Error-Code": "RepoNotFound"})
        elif repo in hub.gated and token != hub.gated[repo]:
            self.send(403 if token else 401, {"X-Error-Code": "GatedRepo"})
        elif files is None:
            self.send(404, {"X-Error-Code": "RevisionNotFound"})
        elif name not in files:
            self.send(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": revision})
        else:
            sha256 = hashlib.sha256(files[name]).hexdigest()
            linked = {"X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": str(len(files[name]))}
            self.send(302, {"Location": f"{hub.content_url}/{sha256}", "X-Repo-Commit": revision, **linked})

    def content(self, sha256):
        hub = self.server.hub
        every = (data for commits in hub.repos.values() for files in commits.values() for data in files.values())
        data = next(data for data in every if hashlib.sha256(data).hexdigest() == sha256)
        first = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        part = {"Content-Range": f"bytes {first}-{len(data) - 1}/{len(data)}"} if first else {}
        sent, hub.cut = data[first:][: hub.cut], None
        self.send(206 if first else 200, part, sent, len(data) - first)

    def send(self, code, headers, data=b"", length=None):
        self.send_response(code)
        for name, value in {"Content-Length": str(len(data) if length is None else length), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *_arguments):
        """Silence."""
