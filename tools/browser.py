"""A browser without a window, and a server on 127.0.0.1: for what looks at the built site."""

import contextlib
import functools
import gzip
import http.server
import shutil
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import address

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name))), None)
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
HOME = f"/{address.address().rpartition('/')[2]}/"  # the site's path on its public server
MISSING = "there is no Chromium here: apt-get install chromium"


@contextlib.contextmanager
def running() -> Iterator[Any]:
    """A browser of playwright's, closed at the end."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server that does not tell of every request, and has the site under its public path, too."""

    def translate_path(self, path: str) -> str:
        """Where a file is."""
        return super().translate_path(path.replace(HOME, "/", 1) if path.startswith(HOME) else path)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@functools.cache
def packed(path: str, changed: float) -> bytes:
    """The content of a file as a server sends it."""
    return gzip.compress(Path(path).read_bytes(), 6)


class Packing(Quiet):
    """The same, and it sends files compressed, to be kept, and several over one connection."""

    protocol_version = "HTTP/1.1"

    def send_head(self) -> BytesIO | BinaryIO | None:
        """Answer a request up to the content."""
        path = Path(self.translate_path(self.path))
        if not path.is_file() or path.suffix in (".png", ".woff2"):
            return super().send_head()
        content = packed(str(path), path.stat().st_mtime)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "max-age=600")
        self.end_headers()
        return BytesIO(content)


@contextlib.contextmanager
def served(folder: Path, kind: type[Quiet] = Quiet) -> Iterator[str]:
    """The address, with a slash at its end, at which a folder is served."""
    handler = functools.partial(kind, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
