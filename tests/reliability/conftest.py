"""What the fault tests share: a Hub, a reader, and the table that they fill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hub as hubs
import pytest
from reader import Job, line

from encdec.results import book_folder, provenance, write_json

HERE = Path(__file__).parent
ALL = os.environ.get("FAULTS") == "all"
ROWS: dict[str, dict[str, Any]] = {}
PATIENCE = 300  # seconds, on a machine that does other things too


@dataclass
class Done:
    """A command that ended: its exit status and what it said."""

    status: int
    stdout: str
    stderr: str

    @property
    def sentence(self) -> str:
        """The one line that names the error."""
        assert "Traceback" not in self.stderr, self.stderr[-3000:]
        lines = [each for each in self.stderr.splitlines() if each.startswith("error: ")]
        assert len(lines) == 1, (self.status, self.stdout, self.stderr)
        return lines[0].removeprefix("error: ")


@dataclass
class Running:
    """A command that may still run."""

    folder: Path

    def _read(self, name: str) -> str:
        path = self.folder / name
        return path.read_text(encoding="utf8") if path.exists() else ""

    def wait_for(self, reached: Callable[[], bool]) -> None:
        """Until something has happened; fails when the command ends before."""
        end = time.monotonic() + PATIENCE
        while not reached():
            assert not self._read("status"), self._read("stderr")
            assert time.monotonic() < end, "nothing happened"
            time.sleep(0.005)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the command."""
        self.wait_for(lambda: bool(self._read("pid")))
        os.kill(int(self._read("pid")), number)

    def end(self) -> Done:
        """Wait until it has ended."""
        end = time.monotonic() + PATIENCE
        while not self._read("status"):
            assert time.monotonic() < end, "the command hangs"
            time.sleep(0.01)
        return Done(int(self._read("status")), self._read("stdout"), self._read("stderr"))


@dataclass
class Reader:
    """Starts commands in a folder of its own."""

    process: subprocess.Popen[str]
    home: Path
    env: dict[str, str] = field(default_factory=dict)
    count: int = 0

    def start(
        self, *arguments: object, trouble: str = "", options: dict[str, Any] | None = None
    ) -> Running:
        """Start a command; see `reader.Job` for its troubles."""
        self.count += 1
        folder = self.home.parent / f"{self.home.name}-said-{self.count}"
        folder.mkdir()
        words = [str(argument) for argument in arguments]
        job = Job(str(folder), words, str(self.home), self.env, trouble, options or {})
        assert self.process.stdin
        self.process.stdin.write(line(job))
        self.process.stdin.flush()
        return Running(folder)

    def run(self, *arguments: object, **trouble: Any) -> Done:
        """Run a command to its end."""
        return self.start(*arguments, **trouble).end()


@pytest.fixture(scope="session")
def hub() -> Iterator[hubs.Hub]:
    """One Hub for all tests; each begins with a healthy one."""
    with hubs.running() as running:
        yield running


@pytest.fixture(scope="session")
def reading_process(
    hub: hubs.Hub, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[subprocess.Popen[str]]:
    """The process that forks for every command, with the package imported."""
    env = os.environ | {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path_factory.mktemp("hf")),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DOWNLOAD_TIMEOUT": "2",
        "HF_HUB_ETAG_TIMEOUT": "2",
        "TRANSFORMERS_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "false",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "ENCDEC_DEVICE": "cpu",
        "NO_COLOR": "1",
        "COLUMNS": "200",
    }
    with subprocess.Popen(
        [sys.executable, str(HERE / "reader.py")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env,
    ) as process:  # fmt: skip
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield process
        assert process.stdin
        process.stdin.close()


@pytest.fixture
def reader(reading_process: subprocess.Popen[str], hub: hubs.Hub, tmp_path: Path) -> Reader:
    """A reader with an empty folder and a healthy Hub."""
    hub.heal()
    home = tmp_path / "home"
    home.mkdir()
    return Reader(reading_process, home)


@pytest.fixture
def fault(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Fill a row of the table: ``fault("hub-404", situation=…, …)``."""

    def record(
        name: str, *, situation: str, done: Done, left: str, retry: str = "works", says: str = ""
    ) -> None:
        home = str(request.getfixturevalue("tmp_path"))
        sentence = (says or done.sentence).replace(f"{home}/home/", "").replace(home, "…")
        assert name not in ROWS, f"two rows are called {name}"
        ROWS[name] = {
            "id": name, "situation": situation, "sentence": sentence, "status": done.status,
            "left": left, "retry": retry,
        }  # fmt: skip

    return record


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the table when all of it was run and held; a part of the tests leaves it as it is."""
    path = book_folder("results") / "faults.json"
    known = json.loads(path.read_text(encoding="utf8"))["rows"] if path.exists() else []
    if ALL and not exitstatus and ROWS and {row["id"] for row in known} <= set(ROWS):
        write_json(
            path,
            {"rows": sorted(ROWS.values(), key=lambda row: row["id"])}
            | {"provenance": provenance("make faults")},
        )
