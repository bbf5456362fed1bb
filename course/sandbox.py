"""Call functions of a submission in a process of their own, with little that they can do.

The marking process never runs a submission. It starts a child that does, sends arguments, and gets
back plain values: numbers, texts, lists, dictionaries, tensors. Hidden tests stay on the marking
side; the child is forked from a server process that has never held them.

What holds the child, from the strongest to the weakest:

* limits of the kernel (``resource``): processor time, memory, size of files, open files, and no
  further processes. If the marking runs as root, the child becomes `nobody`;
* no network: a network namespace without interfaces, where the system allows one;
* Landlock, on Linux from 5.13: it reads Python and its packages and writes to one empty folder.
  From 6.7 it opens no TCP connection, from 6.12 it sends no signal out of its sandbox;
* a hook inside Python that refuses other files, network and processes with a sentence. It is all
  there is for files and network on macOS and old kernels, and code written in C gets past it.

Not covered: a fault in the kernel, timing measured from outside, and whether the student is the
author. On Windows nothing of this exists: `Sandbox` refuses to start.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save

NOBODY = 65534
LARGEST_MESSAGE = 1 << 25  # bytes
FORBIDDEN_IMPORTS = ("encdec", "transformers", "sacrebleu", "rouge_score")


class SubmissionError(Exception):
    """A submission's code failed; the message is one sentence about how."""


class LimitError(SubmissionError):
    """A submission's code was stopped: it took too much time or memory, or ended its process."""


@dataclass(frozen=True)
class Limits:
    """What one call sequence may use.

    Attributes:
        seconds: processor time; sleeping counts as well, five times as slowly.
        memory: MiB on top of what Python and PyTorch take.
        file_size: KiB of each file that is written.
        open_files: how many at once.
    """

    seconds: int = 5
    memory: int = 1024
    file_size: int = 1024
    open_files: int = 64


# Plain values ------------------------------------------------------------------------------------


def encode(value: Any, functions: list[Callable] | None = None) -> Any:
    """A value as JSON can hold it.

    Args:
        value: numbers, texts, `None`, `...`, tensors, arrays, and lists, tuples, sets and
            dictionaries of them.
        functions: collects functions, which are sent by number; `None` to refuse them.

    Raises:
        TypeError: it is, or holds, something else.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, np.generic):
        return encode(value.item())
    if isinstance(value, list):
        return [encode(item, functions) for item in value]
    if isinstance(value, tuple | set | frozenset):
        kind_name = "tuple" if isinstance(value, tuple) else "set"
        return {kind_name: [encode(item, functions) for item in value]}
    if isinstance(value, dict):
        pairs = [[encode(key), encode(item, functions)] for key, item in value.items()]
        return {"dict": pairs}
    if isinstance(value, torch.Tensor | np.ndarray):
        kind_name = "array" if isinstance(value, np.ndarray) else "tensor"
        plain = torch.as_tensor(value).detach().cpu().contiguous().clone()
        return {kind_name: base64.b64encode(save({"": plain})).decode()}
    if value is ...:
        return {"open": True}
    if callable(value) and functions is not None:
        functions.append(value)
        return {"function": len(functions) - 1}
    raise TypeError(f"it is a {type(value).__name__}, which is no plain value.")


def decode(data: Any, function: Callable[[int], Callable] | None = None) -> Any:
    """What `encode` was given; ``function`` makes a function from its number.

    Raises:
        ValueError: the data were not made by `encode`.
    """
    if isinstance(data, list):
        return [decode(item, function) for item in data]
    if not isinstance(data, dict):
        return data
    if len(data) != 1:
        raise ValueError("the message was not made by `encode`.")
    [(kind, content)] = data.items()
    if kind == "tuple":
        return tuple(decode(item, function) for item in content)
    if kind == "set":
        return {decode(item, function) for item in content}
    if kind == "dict":
        return {decode(key): decode(item, function) for key, item in content}
    if kind in ("tensor", "array"):
        tensor = load(base64.b64decode(content))[""]
        return tensor if kind == "tensor" else tensor.numpy()
    if kind == "open":
        return ...
    if kind == "function" and function is not None:
        return function(int(content))
    raise ValueError("the message was not made by `encode`.")


# The child ---------------------------------------------------------------------------------------

LIBC = ctypes.CDLL(None, use_errno=True)
KEEP_CAPABILITIES, NO_NEW_PRIVILEGES, PARENT_DEATH_SIGNAL = 8, 38, 1  # prctl
NEW_USER, NEW_NETWORK = 0x10000000, 0x40000000  # unshare
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on all processors
READ = 1 << 2 | 1 << 3  # files, folders
FILE_RIGHTS = 1 << 1 | 1 << 2 | 1 << 14  # write, read, truncate


def readable() -> list[Path]:
    """What a child may read: Python, its packages and the system's libraries."""
    folders = [sys.prefix, sys.base_prefix, "/lib", "/lib64", "/usr/lib"]
    files = ["/etc/ld.so.cache", "/etc/localtime", "/dev/null", "/dev/urandom", "/dev/zero"]
    return [Path(path).resolve() for path in folders + files if Path(path).exists()]


def close_files(scratch: Path) -> bool:
    """Leave what is readable, and one folder to write to. False if there is no Landlock."""
    if sys.platform != "linux":
        return False
    version = LIBC.syscall(CREATE_RULESET, None, 0, 1)
    if version < 1:
        return False
    every = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1
    attributes = (ctypes.c_uint64 * 3)(every, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = LIBC.syscall(CREATE_RULESET, ctypes.byref(attributes), size, 0)
    if ruleset < 0:
        return False
    for path in [*readable(), scratch]:
        rights = every & ~1 if path == scratch else READ  # bit 0: to execute
        if not path.is_dir():
            rights &= FILE_RIGHTS
        try:
            folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:  # what can't be opened can't be read either
            continue
        rule = rights.to_bytes(8, sys.byteorder) + folder.to_bytes(4, sys.byteorder)
        LIBC.syscall(ADD_RULE, ruleset, 1, rule, 0)
        os.close(folder)
    LIBC.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    done = LIBC.syscall(RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    return done == 0


def close_network() -> bool:
    """Enter a network without interfaces, and stop being root. False if the system refuses."""
    if sys.platform != "linux":
        return False
    if os.geteuid() != 0:
        return LIBC.unshare(NEW_USER | NEW_NETWORK) == 0
    closed = LIBC.unshare(NEW_NETWORK) == 0
    # Root may start any number of processes, `nobody` may not. What it keeps is the right to read
    # an environment in root's home; Landlock says which files that concerns.
    landlocked = LIBC.syscall(CREATE_RULESET, None, 0, 1) >= 1
    LIBC.prctl(KEEP_CAPABILITIES, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    kept = 1 << 2 if landlocked else 0  # CAP_DAC_READ_SEARCH
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)(kept, kept, 0, 0, 0, 0)
    LIBC.capset(header, sets)
    return closed


PROCESS_EVENTS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn"}
PROCESS_EVENTS |= {"os.fork", "os.forkpty", "os.kill", "os.killpg", "pty.spawn"}
FILE_EVENTS = {"open", "os.listdir", "os.scandir"}
CHANGE_EVENTS = {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink"}
CHANGE_EVENTS |= {"os.truncate", "os.chmod", "os.chown"}


def watch(scratch: Path) -> None:
    """Refuse network, processes and files with a sentence, as far as Python knows of them."""
    roots = [str(path) for path in readable()]
    own = str(scratch)

    def inside(path: Any, folders: Sequence[str]) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return True
        real = os.path.realpath(os.fsdecode(path))
        return any(real == folder or real.startswith(folder + os.sep) for folder in folders)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith("socket."):
            raise PermissionError("a submission may not use the network")
        if event in PROCESS_EVENTS:
            raise PermissionError("a submission may not start or stop processes")
        if event in FILE_EVENTS and not inside(arguments[0], [*roots, own]):
            raise PermissionError("a submission may not read files of this machine")
        writes = event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if (writes or event in CHANGE_EVENTS) and not inside(arguments[0], [own, "/dev/null"]):
            raise PermissionError("a submission may not change files of this machine")

    sys.addaudithook(hook)


def confine(limits: Limits, scratch: Path) -> dict[str, bool]:
    """Give up for good what a submission does not need; says which guards are the kernel's."""
    import resource

    os.chdir(scratch)
    os.environ.clear()
    os.environ.update({"HOME": str(scratch), "TMPDIR": str(scratch), "OMP_NUM_THREADS": "1"})
    tempfile.tempdir = str(scratch)
    torch.set_num_threads(1)
    with contextlib.suppress(OSError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        LIBC.prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        room = pages * resource.getpagesize() + (limits.memory << 20)
        resource.setrlimit(resource.RLIMIT_AS, (room, room))
    guards = {"network": close_network()}
    bounds = {
        resource.RLIMIT_CPU: limits.seconds,
        resource.RLIMIT_FSIZE: limits.file_size << 10,
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_CORE: 0,
    }
    for what, most in bounds.items():
        above = most + 1 if what == resource.RLIMIT_CPU else most  # SIGXCPU first, then SIGKILL
        resource.setrlimit(what, (most, above))
    guards["files"] = close_files(scratch)
    watch(scratch)
    for name in FORBIDDEN_IMPORTS:
        sys.modules[name] = None  # type: ignore[assignment]
    return guards


def sentence(error: BaseException) -> str:
    """An error of a submission in some words."""
    if isinstance(error, NotImplementedError):
        return "is not answered yet"
    text = " ".join(str(error).split())[:200]
    return f"raises {type(error).__name__}" + (f": {text}" if text else "")


def run(cells: Sequence[Cell], module: types.ModuleType) -> dict[str, str]:
    """Run cells in order, in one module; by label, what each has raised."""
    failed: dict[str, str] = {}
    for cell in cells:
        try:
            exec(compile(cell.code, cell.label, "exec"), module.__dict__)
        except MemoryError:
            raise
        except BaseException as error:
            failed[cell.label] = sentence(error)
    return failed


def serve(channel: Connection, cells: Sequence[Cell], limits: Limits, scratch: Path) -> None:
    """The child: run cells, then call what they define, as long as somebody asks."""
    silence = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(silence, standard)
    send, receive = channel.send_bytes, channel.recv_bytes
    write, read = json.dumps, json.loads
    try:
        guards = confine(limits, scratch)
    except Exception as error:
        send(write({"broken": f"{type(error).__name__}: {error}"}).encode())
        return
    module = types.ModuleType("submission")
    sys.modules["submission"] = module
    send(write({"ready": run(cells, module), "guards": guards}).encode())

    def function(number: int) -> Callable:
        def ask(*arguments: Any) -> Any:
            send(write({"ask": number, "arguments": encode(arguments)}).encode())
            reply = read(receive())
            if "error" in reply:
                raise RuntimeError(reply["error"])
            return decode(reply["result"])

        return ask

    while True:
        request = read(receive())
        try:
            arguments = [decode(item, function) for item in request["arguments"]]
            named = {key: decode(item, function) for key, item in request["named"].items()}
            called = getattr(module, request["call"], None)
            if not callable(called):
                raise NameError("the notebook defines no such function")
            result = called(*arguments, **named)
            kept = [None if callable(item) else item for item in arguments]
            answer = {"result": encode(result), "arguments": [encode(item) for item in kept]}
        except BaseException as error:
            full = isinstance(error, MemoryError) or "can't allocate memory" in str(error)
            answer = {"error": "memory" if full else sentence(error)}
        send(write(answer).encode())


# The marking side --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """Code with a name that messages use for it."""

    label: str
    code: str


class Sandbox:
    """A child that has run some cells; ``call`` calls what they define. Use it in a ``with``.

    Args:
        cells: run in order; one that raises stops none of the others, see ``failed``.
        limits: for all calls together.

    Attributes:
        failed: by label, what a cell raised.
        guards: whether the kernel closes ``"files"`` and ``"network"``, or only the hook in Python.

    Raises:
        LimitError: the cells take too much.
        OSError: this system can't hold a child as it should be held.
    """

    def __init__(self, cells: Sequence[Cell], limits: Limits | None = None) -> None:
        if os.name != "posix":
            raise OSError("Submissions can be marked on Linux and macOS only, or in WSL.")
        self.limits = limits or Limits()
        self.cells = tuple(cells)
        self.failed: dict[str, str] = {}
        self.guards: dict[str, bool] = {}

    def __enter__(self) -> Sandbox:
        """Start the child and wait until its cells have run."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        self._folder = tempfile.TemporaryDirectory(prefix="submission-")
        scratch = Path(self._folder.name).resolve()
        if os.geteuid() == 0:
            os.chown(scratch, NOBODY, NOBODY)
        self._channel, other = context.Pipe()
        self._process = context.Process(
            target=serve, args=(other, self.cells, self.limits, scratch), daemon=True
        )
        # A child begins by importing the main module of its parent: here that would be the tests.
        main, sys.modules["__main__"] = sys.modules["__main__"], types.ModuleType("__main__")
        try:
            self._process.start()
        finally:
            sys.modules["__main__"] = main
        other.close()
        try:
            begun = self._receive()
            if "broken" in begun:
                raise OSError(f"The sandbox can't be set up on this system ({begun['broken']}).")
            self.failed, self.guards = begun["ready"], begun["guards"]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End the child."""
        self._process.kill()
        self._process.join()
        self._channel.close()
        self._folder.cleanup()

    def call(self, name: str, *arguments: Any, **named: Any) -> Any:
        """What a function of the submission returns.

        Lists, dictionaries, tensors and arrays that it changes are changed here as well. A function
        among the positional arguments is called on this side when the submission calls it.

        Raises:
            SubmissionError: it raised, or returned something that is no plain value.
            LimitError: it took too much, or ended its process.
        """
        functions: list[Callable] = []
        request = {
            "call": name,
            "arguments": [encode(item, functions) for item in arguments],
            "named": {key: encode(item, functions) for key, item in named.items()},
        }
        self._send(request)
        while True:
            reply = self._receive()
            if "ask" not in reply:
                break
            self._send(self._answer(functions, reply))
        if "error" in reply:
            if reply["error"] == "memory":
                raise LimitError(f"takes more than {self.limits.memory} MiB of memory")
            raise SubmissionError(str(reply["error"]))
        try:
            for mine, theirs in zip(arguments, reply["arguments"], strict=True):
                carry_over(mine, decode(theirs))
            return decode(reply["result"])
        except Exception as error:
            raise SubmissionError("gives a result that can't be read") from error

    def _answer(self, functions: list[Callable], reply: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"result": encode(functions[reply["ask"]](*decode(reply["arguments"])))}
        except Exception as error:
            return {"error": sentence(error)}

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._channel.send_bytes(json.dumps(message).encode())
        except OSError:
            raise LimitError(self._end()) from None

    def _receive(self) -> dict[str, Any]:
        try:
            if not self._channel.poll(5 * self.limits.seconds + 30):
                raise LimitError(f"takes more than {self.limits.seconds} s")
            reply = json.loads(self._channel.recv_bytes(LARGEST_MESSAGE))
        except (OSError, EOFError) as error:
            if "bad message length" in str(error):
                raise SubmissionError("gives a result that is too large") from None
            raise LimitError(self._end()) from None
        except ValueError:
            raise SubmissionError("gives a result that can't be read") from None
        if not isinstance(reply, dict):
            raise SubmissionError("gives a result that can't be read")
        return reply

    def _end(self) -> str:
        """How the child ended."""
        self._process.join(2)
        code = self._process.exitcode
        if code is None:
            return "gives no result"
        if code in (-signal.SIGXCPU, -signal.SIGKILL):
            return f"takes more than {self.limits.seconds} s: does a loop never end?"
        return f"ends its process (exit status {code})"


def carry_over(mine: Any, theirs: Any) -> None:
    """Change a value as its copy in the child was changed."""
    if isinstance(mine, torch.Tensor):
        mine.data = theirs.to(mine.dtype) if theirs.shape == mine.shape else theirs
    elif isinstance(mine, np.ndarray):
        mine[...] = theirs
    elif isinstance(mine, list):
        if len(mine) == len(theirs):
            for place, item in enumerate(theirs):
                if isinstance(mine[place], torch.Tensor | np.ndarray | list | dict):
                    carry_over(mine[place], item)
                else:
                    mine[place] = item
        else:
            mine[:] = theirs
    elif isinstance(mine, dict):
        mine.clear()
        mine.update(theirs)
    elif isinstance(mine, tuple):
        for a, b in zip(mine, theirs, strict=True):
            carry_over(a, b)
