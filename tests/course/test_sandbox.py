"""A submission can compute, and nothing else: each case tries something that it should not get."""

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from course.sandbox import Cell, LimitError, Limits, Sandbox, SubmissionError, decode, encode

LIMITS = Limits(seconds=2, memory=256, file_size=64)
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="rests on the kernel of Linux")


def call(code, *arguments, limits=LIMITS, **named):
    with Sandbox([Cell("the answer", code)], limits) as sandbox:
        return sandbox.call("f", *arguments, **named)


def body(*lines):
    return "def f(*arguments):\n" + "".join(f"    {line}\n" for line in lines)


VALUES = [
    *(None, True, 3, 2**80, -0.5, float("inf"), "é", ..., [], (), {}, set()),
    [1, ("a", None), {"x": [2.0], 3: (4,)}],
    {1, "b"},
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_plain_values_go_there_and_come_back(value):
    assert call("def f(x):\n    return x", value) == value
    assert type(decode(encode(value))) is type(value)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(2.5),
        torch.tensor([[True, False]]),
        torch.empty(0, 3),
        torch.randn(2, 3).T,
        torch.ones(2, dtype=torch.bfloat16),
        torch.arange(4, dtype=torch.int8),
    ],
    ids=lambda t: f"{t.dtype}{tuple(t.shape)}",
)
def test_tensors_go_there_and_come_back(tensor):
    result = call("def f(x):\n    return x", tensor)
    assert result.dtype == tensor.dtype
    assert torch.equal(result, tensor)


def test_arrays_stay_arrays_and_scalars_become_numbers():
    result = call("import numpy as np\ndef f(x):\n    return x + 1, np.float32(0.5)", np.zeros(2))
    assert isinstance(result[0], np.ndarray)
    assert result[0].tolist() == [1, 1]
    assert result[1] == 0.5


def test_a_function_among_the_arguments_is_called_on_this_side():
    asked = []

    def double(x):
        asked.append(x)
        return 2 * x

    assert call("def f(g):\n    return g(g(3))", double) == 12
    assert asked == [3, 6]


def test_changes_to_the_arguments_are_seen_on_this_side():
    numbers, table, tensor, nested = [1, 2], {"a": 1}, torch.zeros(2), [torch.ones(1)]
    code = "def f(n, t, x, y):\n    n.append(3)\n    t['b'] = 2\n    x += 1\n    y[0][0] = 7"
    call(code, numbers, table, tensor, nested)
    assert numbers == [1, 2, 3]
    assert table == {"a": 1, "b": 2}
    assert tensor.tolist() == [1, 1]
    assert nested[0].item() == 7


def test_a_cell_that_raises_stops_none_of_the_others():
    cells = [Cell("cell 1", "1 / 0"), Cell("the answer", "def f():\n    return 5")]
    with Sandbox(cells, LIMITS) as sandbox:
        assert sandbox.failed == {"cell 1": "raises ZeroDivisionError: division by zero"}
        assert sandbox.call("f") == 5


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (body("raise ValueError('too small')"), "raises ValueError: too small"),
        (body("raise NotImplementedError"), "is not answered yet"),
        (body("raise SystemExit"), "raises SystemExit"),
        (body("return f()"), "RecursionError"),
        (body("return object()"), "is a object, which is no plain value"),
        (body("x = []", "x.append(x)", "return x"), "RecursionError"),
        (body("return 'x' * (1 << 26)"), "too large"),
        ("g = 1", "no such function"),
        ("import encdec\n" + body("return 1"), "no such function"),
        ("import transformers\n" + body("return 1"), "no such function"),
    ],
)
def test_an_error_is_told_in_words(code, words):
    with pytest.raises(SubmissionError, match=words):
        call(code)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (body("while True: pass"), "more than 1 s"),
        ("while True: pass", "more than 1 s"),
        (
            body(
                "import signal", "signal.signal(signal.SIGXCPU, lambda *a: 0)", "while True: pass"
            ),
            "more than 1 s",
        ),
        (body("return [0] * (1 << 28)"), "more than 256 MiB"),
        (body("import torch", "return torch.ones(1 << 28).sum()"), "more than 256 MiB"),
        (body("import os", "os._exit(3)"), "exit status 3"),
        (body("import os, signal", "os.abort()"), "exit status"),
    ],
)
def test_limits_end_it(code, words):
    start = time.process_time()
    with pytest.raises(LimitError, match=words):
        call(code, limits=Limits(seconds=1, memory=256))
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (body("import os", "return os.fork()"), "processes"),
        (body("import subprocess", "return subprocess.run(['true'])"), "processes"),
        (body("import os", "os.system('true')"), "processes"),
        (body("import os", "os.kill(os.getppid(), 9)"), "processes"),
        (body("import threading", "threading.Thread(target=print).start()"), "new thread"),
        (body("import socket", "socket.socket()"), "network"),
        (body("import socket", "socket.getaddrinfo('localhost', 80)"), "network"),
        (body("return open('/etc/passwd').read()"), "read files"),
        (body("import os", "return os.listdir('/')"), "read files"),
        (body("open('/var/tmp/left-behind', 'w')"), "files of this machine"),
        (body("import os", "os.remove('/var/tmp/left-behind')"), "change files"),
        (body("open('big', 'wb').write(bytes(1 << 20))"), "File too large"),
        (body("kept = [open(f'{i}', 'w') for i in range(99)]"), "Too many open files"),
    ],
)
def test_what_it_does_not_get_is_refused_with_a_sentence(code, words):
    with pytest.raises(SubmissionError, match=words):
        call(code)


def test_it_may_write_to_its_own_folder_which_goes_away():
    code = body("import os", "open('x', 'w').write('1')", "return os.getcwd(), open('x').read()")
    folder, text = call(code)
    assert text == "1"
    assert not Path(folder).exists()


def test_it_does_not_see_the_environment(monkeypatch):
    monkeypatch.setenv("SECRET_OF_A_TEST", "1")
    names = call(body("import os", "return sorted(os.environ)"))
    assert "SECRET_OF_A_TEST" not in names


IN_C = """
import ctypes, struct
C = ctypes.CDLL(None, use_errno=True)
def f(path):
    address = struct.pack("=HH4s8s", 2, 0x3500, bytes([127, 0, 0, 1]), bytes(8))
    plug = C.socket(2, 2, 0)
    return {
        "read": C.open(path.encode(), 0), "write": C.open(b"/var/tmp/left-behind", 0o101, 0o600),
        "memory": C.open(b"/proc/%d/mem" % C.getppid(), 0), "fork": C.fork(),
        "connect": C.connect(plug, address, 16), "signal": C.kill(C.getppid(), 0),
        "trace": C.ptrace(16, C.getppid(), 0, 0),
    }
"""


def test_code_in_c_gets_no_further():
    """The hook in Python is passed by here; what is left is the kernel's."""
    with Sandbox([Cell("the answer", IN_C)], LIMITS) as sandbox:
        if not sandbox.guards["files"] or not sandbox.guards["network"]:
            pytest.skip(f"this system does not give all guards: {sandbox.guards}")
        results = sandbox.call("f", __file__)
    signal = results.pop("signal")
    assert set(results.values()) == {-1}
    assert signal == -1 or os.geteuid() != 0  # older kernels let a user signal the own processes


def test_a_secret_of_the_marking_side_is_not_in_its_memory():
    secret = "known to the tests only " + str(os.getpid())
    code = """
import gc
def f(part):
    found = []
    for thing in gc.get_objects():
        values = thing.values() if isinstance(thing, dict) else thing
        if isinstance(thing, (dict, list, tuple, set)):
            found += [v for v in list(values) if isinstance(v, str) and v.startswith(part)]
    return [text for text in found if text != part]
"""
    assert secret
    assert call(code, "known to the tests") == []
