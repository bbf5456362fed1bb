"""The set-up is reproducible and quiet; the doctor finds what is missing."""

import importlib.metadata
import random
import sys
import types
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch
import transformers
from packaging.requirements import Requirement

from encdec import environment, zoo
from encdec.environment import Report, SetupError, doctor, setup


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    monkeypatch.setattr(environment, "_device", None)
    monkeypatch.setenv("ENCDEC_DEVICE", "cpu")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("ENCDEC_DATA", raising=False)
    monkeypatch.setattr(zoo, "available", lambda: ["marian-en-fr"])
    with mpl.rc_context():
        yield


def draws():
    return random.random(), float(np.random.rand()), float(torch.rand(1))  # noqa: NPY002


def test_one_seed_gives_one_sequence():
    setup(seed=3)
    first = draws()
    setup(seed=3)
    assert draws() == first
    setup(seed=4)
    assert all(a != b for a, b in zip(draws(), first, strict=True))


def test_setup_prints_one_line_with_versions_and_device(capsys):
    setup()
    [line] = capsys.readouterr().out.splitlines()
    assert f"torch {importlib.metadata.version('torch')}" in line
    assert "cpu" in line


def test_setup_remembers_the_device():
    assert setup() == environment.device() == torch.device("cpu")


def test_a_gpu_is_taken_if_there_is_one(monkeypatch):
    monkeypatch.delenv("ENCDEC_DEVICE")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert environment.device().type == "cuda"


@pytest.mark.parametrize("name", ["tpu9", "cuda:77"])
def test_an_unknown_device_is_one_sentence(monkeypatch, name):
    monkeypatch.setenv("ENCDEC_DEVICE", name)
    with pytest.raises(SetupError, match=f"ENCDEC_DEVICE='{name}' is not a device"):
        setup()


def test_colab_without_a_gpu_is_told_how_to_select_one(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    setup()
    assert "Change runtime type" in capsys.readouterr().out


def test_checkpoints_go_to_drive_if_it_is_mounted(monkeypatch, tmp_path):
    monkeypatch.setattr(environment, "DRIVE", tmp_path / "MyDrive")
    assert environment.runs_folder() == Path("runs")
    (tmp_path / "MyDrive").mkdir()
    assert environment.runs_folder() == tmp_path / "MyDrive" / "encdec" / "runs"


def test_figures_get_the_look_of_the_book():
    setup()
    assert mpl.rcParams["figure.dpi"] == environment.STYLE["figure.dpi"]


def rows(report):
    return dict(report.rows)


def test_doctor_finds_nothing_wrong_here():
    report = doctor()
    assert report.problems == []
    version, pin = transformers.__version__, environment.tested_versions()["transformers"]
    beside = ", as tested" if version == pin else f" (tested with {pin})"
    assert rows(report)["transformers"] == version + beside
    assert {"Python", "torch", "device", "memory", "network", "models", "data"} <= set(rows(report))


def test_doctor_names_a_missing_package(monkeypatch):
    monkeypatch.setattr(environment, "requirements", lambda: [Requirement("no-such-thing>=2")])
    report = doctor()
    assert report.problems == ["no-such-thing is missing: pip install 'no-such-thing>=2'."]


def test_doctor_names_a_version_outside_the_range(monkeypatch):
    monkeypatch.setattr(environment, "requirements", lambda: [Requirement("numpy<1")])
    [problem] = doctor().problems
    assert "outside the supported range <1" in problem


def test_doctor_tells_tested_versions_from_others(monkeypatch):
    monkeypatch.setattr(environment, "tested_versions", lambda: {"numpy": "0.1"})
    assert "(tested with 0.1)" in rows(doctor())["numpy"]
    monkeypatch.setattr(environment, "tested_versions", dict)
    assert rows(doctor())["numpy"] == importlib.metadata.version("numpy")


def test_a_cpu_build_counts_as_the_tested_version():
    assert environment._beside("2.13.0+cpu", "2.13.0") == ", as tested"


def test_doctor_needs_a_model(monkeypatch):
    monkeypatch.setattr(zoo, "available", list)
    [problem] = doctor().problems
    assert "models" in problem


def test_doctor_reports_data(monkeypatch, tmp_path):
    (tmp_path / "tatoeba").mkdir()
    monkeypatch.setenv("ENCDEC_DATA", str(tmp_path))
    assert rows(doctor())["data"] == "tatoeba"
    monkeypatch.setenv("ENCDEC_DATA", str(tmp_path / "nowhere"))
    [problem] = doctor().problems
    assert "is not a folder" in problem


def test_doctor_reports_scarce_memory(monkeypatch):
    monkeypatch.setattr(environment, "_memory", lambda: 2**30)
    [problem] = doctor().problems
    assert "1.0 GiB" in problem
    monkeypatch.setattr(environment, "_memory", lambda: 0)
    assert rows(doctor())["memory"] == "unknown"


def test_no_network_is_no_problem(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert environment._network("http://127.0.0.1:9", seconds=2).startswith("offline")
    monkeypatch.setattr(environment, "_network", lambda: "offline")
    assert doctor().problems == []


def test_an_answer_with_an_error_status_is_a_network(monkeypatch, tmp_path):
    import http.server
    import threading

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    handler = http.server.BaseHTTPRequestHandler  # answers every method with 501
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert environment._network(f"http://127.0.0.1:{server.server_port}") == "online"


def test_a_report_keeps_rows_and_problems_apart():
    report = Report()
    report.add("network", "online")
    report.add("models", "none", "None is at hand.")
    assert report.rows == [("network", "online"), ("models", "none")]
    assert report.problems == ["None is at hand."]


def test_the_pins_are_read_from_the_checkout():
    assert environment.tested_versions()["torch"].startswith("2.")
