"""What several tests share: a small corpus, a small tokenizer, a server on 127.0.0.1."""

from __future__ import annotations

import functools
import os
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from encdec.data.parallel import Pair

HERE = {"localhost", "", "0.0.0.0", "::", "::1", socket.gethostname()}


def only_this_machine(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: no test reaches for another machine, not even to ask for its address.

    Raises:
        RuntimeError: one does.
    """
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    name = host.decode() if isinstance(host, bytes) else host or ""
    if name not in HERE and not name.startswith("127."):
        raise RuntimeError(f"a test reached for {name}: tests need no network")


sys.addaudithook(only_this_machine)
settings.register_profile("book", deadline=None, derandomize=True)
settings.load_profile("book")

SUBJECTS = {"I": "je", "you": "tu", "we": "nous", "they": "ils", "Anna": "Anna"}
VERBS = {"see": "vois", "want": "veux", "know": "sais", "hear": "entends"}
OBJECTS = {"the house": "la maison", "a dog": "un chien", "the sea": "la mer", "it": "cela"}
ADVERBS = {"": "", " today": " aujourd'hui", " now": " maintenant", " here": " ici"}


@pytest.fixture(scope="session")
def corpus() -> list[Pair]:
    """A few hundred regular sentence pairs."""
    return [
        Pair(f"{s} {v} {o}{a}.", f"{S} {V} {O}{A}.")
        for s, S in SUBJECTS.items()
        for v, V in VERBS.items()
        for o, O in OBJECTS.items()
        for a, A in ADVERBS.items()
    ]


class FileServer(ThreadingHTTPServer):
    """Serves files from memory, counts requests, and misbehaves on demand.

    ``cut`` bytes into a body the connection is closed, ``times`` times; ``status`` replaces 200.
    """

    files: dict[str, bytes]
    requests: list[tuple[str, str | None]]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), functools.partial(_Handler))
        self.files, self.requests = {}, []
        self.cut, self.times, self.status = 0, 0, 200

    @property
    def url(self) -> str:
        """Address of the server's root."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        span = self.headers.get("Range")
        self.server.requests.append((self.path, span))
        body = self.server.files.get(self.path.lstrip("/"))
        if body is None or self.server.status != 200:
            self.send_error(404 if body is None else self.server.status)
            return
        start = int(span.removeprefix("bytes=").rstrip("-")) if span else 0
        if start >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if span else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        end = len(body)
        if self.server.times > 0:
            self.server.times -= 1
            end = start + self.server.cut
        self.wfile.write(body[start:end])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[FileServer]:
    """A server that lives as long as the test."""
    with FileServer() as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()


@pytest.fixture
def corpora() -> Path:
    """The folder of the real corpora; the test is skipped where there is none."""
    folder = Path(os.environ.get("ENCDEC_DATA", ""))
    if not os.environ.get("ENCDEC_DATA") or not folder.is_dir():
        pytest.skip("ENCDEC_DATA is not set to a folder that holds the corpora")
    return folder
