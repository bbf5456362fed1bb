"""Fetch a pinned file once and keep it: SHA-256 checked, resumable, with progress.

`pooch` owns the cache and the checksum. What it lacks is resuming, so :class:`ResumingDownloader`
plugs into it and keeps the unfinished bytes beside the target in ``<name>.part``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pooch
import requests
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from encdec.errors import EncdecError

TIMEOUT = (10, 30)  # seconds to connect, seconds between two chunks
CHUNK = 1 << 16  # bytes


class DownloadError(EncdecError):
    """A file could not be fetched; the message is one sentence for the reader."""


class ResumingDownloader:
    """A `pooch` downloader that continues an interrupted transfer.

    Args:
        part: where unfinished bytes are kept between attempts.
        progressbar: draw a progress bar on standard error.
    """

    def __init__(self, part: Path, *, progressbar: bool) -> None:
        self.part = part
        self.progressbar = progressbar

    def __call__(self, url: str, output_file: str, pooch: Any = None) -> None:
        """Download ``url`` into ``output_file``, continuing ``part`` if the server allows it."""
        done = self.part.stat().st_size if self.part.exists() else 0
        headers = {"Range": f"bytes={done}-"} if done else {}
        with requests.get(url, stream=True, timeout=TIMEOUT, headers=headers) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                self.part.unlink()  # the part is not a beginning of this file: start over
                self(url, output_file)
                return
            response.raise_for_status()
            resumed = response.status_code == requests.codes.partial_content
            expected = int(response.headers.get("Content-Length", 0)) + (done if resumed else 0)
            self._receive(response, "ab" if resumed else "wb", done if resumed else 0, expected)
        received = self.part.stat().st_size
        if expected and received < expected:
            raise requests.ConnectionError(f"got {received:,} of {expected:,} bytes")
        self.part.replace(output_file)

    def _receive(self, response: requests.Response, mode: str, done: int, expected: int) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
        )
        name = self.part.name.removesuffix(".part")
        with (
            Progress(*columns, disable=not self.progressbar) as progress,
            self.part.open(mode) as file,
        ):
            task = progress.add_task(name, completed=done, total=expected or None)
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                progress.advance(task, len(chunk))


def _reason(error: requests.RequestException) -> str:
    """A library's error as half a sentence."""
    if error.response is not None:
        return f"the server answered {error.response.status_code} ({error.response.reason})"
    if isinstance(error, requests.Timeout):
        return "the server did not answer in time"
    return str(error) if len(str(error)) < 80 else "the server could not be reached"


def cache_folder() -> Path:
    """The folder that keeps fetched files: ``ENCDEC_CACHE``, else the system's cache folder."""
    return Path(os.environ.get("ENCDEC_CACHE") or pooch.os_cache("encdec"))


def fetch(url: str, sha256: str, name: str, *, folder: Path | None = None) -> Path:
    """Return the local path of ``url``, downloading it if the cache does not hold it yet.

    Args:
        url: where the file lives.
        sha256: the hexadecimal digest that the file must have.
        name: its path inside the cache folder, e.g. ``"tatoeba/eng-fra.tsv.gz"``.
        folder: the cache folder; :func:`cache_folder` when omitted.

    Returns:
        The path of a file whose digest is ``sha256``.

    Raises:
        DownloadError: the server could not be reached, refused, stopped half-way (the part is kept
            and the next call continues it) or sent another file than the pinned one.
    """
    folder = folder or cache_folder()
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    downloader = ResumingDownloader(part, progressbar=sys.stderr.isatty())
    pooch.get_logger().setLevel("WARNING")
    try:
        path = pooch.retrieve(
            url, f"sha256:{sha256}", fname=target.name, path=target.parent, downloader=downloader
        )
    except requests.RequestException as error:
        received = part.stat().st_size if part.exists() else 0
        kept = f" ({received:,} bytes are kept and will be continued)" if received else ""
        raise DownloadError(f"{url} could not be fetched: {_reason(error)}{kept}.") from error
    except ValueError as error:  # pooch's word for a wrong checksum
        raise DownloadError(
            f"{url} is not the file this book was written with: its SHA-256 differs from the "
            f"pinned {sha256[:12]}…; the download was discarded."
        ) from error
    return Path(path)
