"""What the tests of the site share: the built site, a browser, a server on 127.0.0.1."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from browser import CHROMIUM, MISSING, running, served

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def site(tmp_path_factory, worker_id):
    """The site, built anew as `make book` builds it: once, whoever of the workers comes first."""
    parallel = worker_id != "master"
    base = tmp_path_factory.getbasetemp().parent if parallel else tmp_path_factory.mktemp("built")
    output = base / "site"
    with FileLock(base / "site.lock"):
        if not (output / "finished").exists():
            build(output)
            (output / "finished").touch()
    return output / "_build" / "html"


def build(output):
    """Build the book into a folder; no warning is allowed."""
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(ROOT)]
    options = ["--path-output", str(output), "-W", "-n", "--keep-going", "-q"]
    environment = os.environ | {"NO_COLOR": "1"}
    built = subprocess.run([*command, *options], capture_output=True, text=True, env=environment)
    assert built.returncode == 0, built.stdout + built.stderr
    assert "WARNING" not in built.stdout + built.stderr


@pytest.fixture(scope="session")
def browser():
    """A browser without a window."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip(MISSING)
    with running() as found:
        yield found


@pytest.fixture(scope="session")
def serve():
    """To serve a folder for as long as a test needs it."""
    return served


def watched(context, origin):
    """A new tab, and what must stay empty: errors, and requests that leave the site."""
    page = context.new_page()
    page.set_default_timeout(120_000)
    faults = []

    def judge(url):
        if not url.startswith((origin, "data:", "blob:")):
            faults.append(url)

    page.on("console", lambda m: faults.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: judge(request.url))
    return page, faults


@pytest.fixture(scope="session")
def watch():
    """To open a tab and be told of errors and of requests that leave the site."""
    return watched
