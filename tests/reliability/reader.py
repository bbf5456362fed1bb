"""A reader at the command line: every command in a process of its own, without the long import.

The imports take seconds, and the tests want dozens of processes that can be killed, starved or
interrupted. So one process imports the package once and forks for every job that it reads::

    python reader.py    one JSON object a line on standard input, see `Job`

A job's folder gets ``pid``, ``stdout``, ``stderr`` and, at the end, ``status``.
"""

from __future__ import annotations

import builtins
import errno
import json
import os
import resource
import signal
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

GIB = 1 << 30


@dataclass
class Job:
    """One command.

    Attributes:
        folder: for what the process says.
        arguments: after ``python -m encdec``.
        cwd: where it runs.
        env: variables that it has besides those of the test.
        trouble: name of a function below that makes the process's life hard.
        options: of that function.
    """

    folder: str
    arguments: list[str]
    cwd: str
    env: dict[str, str] = field(default_factory=dict)
    trouble: str = ""
    options: dict[str, Any] = field(default_factory=dict)


def small_files(size: int) -> None:
    """No file grows beyond ``size`` bytes: as on a full disk, a write fails half-way."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def no_space(part: str) -> None:
    """Files with ``part`` in their path can be opened, but nothing fits on the disk any more."""
    refuse(part, errno.ENOSPC)


def read_only(part: str) -> None:
    """Files with ``part`` in their path can't be opened for writing."""
    refuse(part, errno.EROFS)


def refuse(part: str, code: int) -> None:
    """Fail whenever such a file is opened for writing or its folder is made."""
    import io

    opened, made = builtins.open, os.mkdir

    def fails(path: object) -> None:
        if part in str(path):
            raise OSError(code, os.strerror(code), str(path))

    def open_(file: Any, mode: str = "r", *more: Any, **options: Any) -> Any:
        if set(mode) & set("wax+"):
            fails(file)
        return opened(file, mode, *more, **options)

    def mkdir(path: Any, *more: Any, **options: Any) -> None:
        fails(path)
        made(path, *more, **options)

    builtins.open = io.open = open_  # type: ignore[assignment]
    os.mkdir = mkdir


def little_memory(extra: int) -> None:
    """The process may take ``extra`` bytes of address space more than it has now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf8").split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + extra
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def full_gpu() -> None:
    """What PyTorch raises on a GPU comes out of the loss."""
    import torch
    import torch.nn.functional as F

    def fail(*args: object, **options: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    F.cross_entropy = fail  # type: ignore[assignment]


def no_waiting() -> None:
    """The Hub's client tries again at once instead of after seconds."""
    time.sleep = lambda seconds: None


def wrong_clock(seconds: float) -> None:
    """The clock on the wall jumps at every look, forth and back."""
    real, looks = time.time, [0]

    def jumping() -> float:
        looks[0] += 1
        return real() + (seconds if looks[0] % 2 else -seconds)

    time.time = jumping


def killed_while_writing(part: str) -> None:
    """The process is killed when such a file has been written, before it is renamed."""
    import pathlib

    for kind in (pathlib.Path, pathlib.PosixPath):
        renamed = kind.replace

        def replace(self: Path, target: Any, renamed: Any = renamed) -> Any:
            if part in str(target):
                os.kill(os.getpid(), signal.SIGKILL)
            return renamed(self, target)

        kind.replace = replace  # type: ignore[method-assign]


def interrupted(at: str) -> None:
    """Ctrl-C comes when the function ``module:name`` is called."""
    import importlib

    module, name = at.split(":")
    loaded = importlib.import_module(module)

    def press(*args: object, **options: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)

    setattr(loaded, name, press)


def use_environment(env: dict[str, str]) -> None:
    """Set variables, and what the Hub's client made of them when it was imported."""
    from huggingface_hub import constants

    os.environ.update(env)
    if cache := env.get("HF_HUB_CACHE"):
        constants.HF_HUB_CACHE = cache
        for module in list(sys.modules.values()):  # transformers took a copy
            for name in ("HF_HUB_CACHE", "TRANSFORMERS_CACHE"):
                if name in vars(module):
                    setattr(module, name, cache)
    if endpoint := env.get("HF_ENDPOINT"):
        constants.ENDPOINT = endpoint
        constants.HUGGINGFACE_CO_URL_TEMPLATE = (
            f"{endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        )


def work(job: Job) -> None:
    """Be the reader's process; never returns."""
    for stream, name in ((1, "stdout"), (2, "stderr")):
        handle = os.open(Path(job.folder) / name, os.O_WRONLY | os.O_CREAT)
        os.dup2(handle, stream)
    os.chdir(job.cwd)
    use_environment(job.env)
    status = 70  # a traceback
    try:
        from encdec.__main__ import app

        signal.signal(signal.SIGINT, signal.default_int_handler)
        if job.trouble:
            globals()[job.trouble](**job.options)
        sys.argv = ["encdec", *job.arguments]
        app()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    except BaseException:
        import traceback

        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def main() -> None:
    """Import everything, then fork for every line of standard input."""
    import torch
    import transformers

    from encdec import compare, experiment, export, scoring, summarizer, text, zoo

    _ = torch, compare, experiment, export, scoring, summarizer, text, zoo
    _ = transformers.AutoTokenizer, transformers.MarianConfig
    torch.set_num_threads(1)
    print("ready", flush=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the middle process
    for line in sys.stdin:
        job = Job(**json.loads(line))
        if os.fork():
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        child = os.fork()
        if not child:
            work(job)
        note(job, "pid", child)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        note(job, "status", status)
        os._exit(0)


def note(job: Job, name: str, number: int) -> None:
    """Write a number into the job's folder, whole or not at all."""
    path = Path(job.folder) / name
    path.with_suffix(".new").write_text(str(number), encoding="utf8")
    path.with_suffix(".new").replace(path)


def line(job: Job) -> str:
    """A job as the process reads it."""
    return json.dumps(asdict(job)) + "\n"


if __name__ == "__main__":
    main()
