"""A small Hub on 127.0.0.1 that the real client talks to, and that misbehaves on demand."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0" * 40
CHUNK = 1 << 14


class Hub(ThreadingHTTPServer):
    """Serves model folders as ``<owner>/<name>``.

    Attributes:
        models: folder of every model.
        status: instead of an answer, for files whose name contains ``of``.
        of: which files have the fault.
        cut: bytes after which the connection is closed.
        pause: seconds before every chunk of a body.
        changed: the body is another one than its checksum says.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.models: dict[str, Path] = {}
        self.requests: list[str] = []
        self.heal()

    def heal(self) -> None:
        """No more faults."""
        self.status, self.cut, self.pause, self.changed, self.of = 0, 0, 0.0, False, ""

    @property
    def url(self) -> str:
        """Its address, for ``HF_ENDPOINT``."""
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """The part of the Hub's API that a download of a public model needs."""

    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        hub, path = self.server, self.path.split("?")[0].lstrip("/")
        hub.requests.append(f"{self.command} /{path}")
        if path.startswith("api/"):
            self.json(hub.status or 200, self.about(path))
            return
        model, _, name = path.partition("/resolve/")
        file = hub.models.get(model, Path("/nowhere")) / name.partition("/")[2]
        faulty = hub.of in file.name
        if hub.status and faulty:
            self.refuse(hub.status)
        elif model not in hub.models:
            self.refuse(401, "RepoNotFound")
        elif not file.is_file():
            self.refuse(404, "EntryNotFound")
        else:
            self.send(file, body=body, faulty=faulty)

    def about(self, path: str) -> object:
        """What the API says about a model: its files, or that it has no discussions."""
        if "discussions" in path:
            return {"discussions": [], "count": 0, "start": 0}
        folder = self.server.models.get("/".join(path.split("/")[2:4]))
        names = sorted(file.name for file in folder.iterdir()) if folder else []
        return (
            [{"type": "file", "path": name, "size": 1, "oid": "0"} for name in names]
            if ("/tree/" in path)
            else {"id": path, "sha": COMMIT, "siblings": [{"rfilename": name} for name in names]}
        )

    def refuse(self, status: int, code: str = "") -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def json(self, status: int, content: object) -> None:
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def send(self, file: Path, *, body: bool, faulty: bool) -> None:
        hub, content = self.server, file.read_bytes()
        span = self.headers.get("Range")
        start = int(span.removeprefix("bytes=").split("-")[0]) if span and body else 0
        self.send_response(206 if start else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if not body:
            return
        if hub.changed and faulty:
            content = content[:-64] + bytes(byte ^ 255 for byte in content[-64:])
        end = min(len(content), start + hub.cut) if hub.cut and faulty else len(content)
        try:
            for place in range(start, end, CHUNK):
                if faulty and hub.pause:
                    time.sleep(hub.pause)
                self.wfile.write(content[place : min(end, place + CHUNK)])
        except OSError:  # the client has gone
            self.close_connection = True
        if end < len(content):
            self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def running() -> Iterator[Hub]:
    """A Hub for the length of a block."""
    with Hub() as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        yield hub
        hub.shutdown()
