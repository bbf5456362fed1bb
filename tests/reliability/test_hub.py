"""The Hub misbehaves: one sentence, nothing broken is kept, and the same command works later."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from conftest import ALL
from encdec import zoo

NAME = zoo.CATALOGUE["translation"]["hub"].name
ASK = ("translate", "Where is the sea?", "--source", "hub", "--num-beams", 1)
FAMILIES = {"marian": "marian-en-fr", "t5": "t5", "bart": "bart", "pegasus": "pegasus-docstrings"}
only_all = pytest.mark.skipif(not ALL, reason="`make faults` runs it")


@pytest.fixture
def online(hub, reader):
    """A Hub that has the translator, and a reader whose cache is empty."""
    hub.models = {NAME: zoo.models_folder() / "marian-en-fr"}
    hub.requests.clear()
    reader.env = {"HF_HUB_CACHE": str(reader.home / "hub")}  # see `reader.use_environment`
    return hub


def cached(reader) -> list[str]:
    """Files that the cache holds as whole."""
    found = Path(reader.home / "hub").rglob("snapshots/*/*")
    return sorted(path.name for path in found if path.exists())


def works(reader) -> None:
    """The same command is answered."""
    done = reader.run(*ASK)
    assert (done.status, bool(done.stdout.strip())) == (0, True), done.stderr


STATUS = {
    401: ("the model asks for a log-in", "log in"),
    403: ("the model is not for everyone", "ask for access"),
    429: ("too many requests", "wait some minutes"),
    500: ("a fault of the Hub", "later"),
}


@pytest.mark.parametrize(
    "status", [pytest.param(s, marks=() if s == 401 else only_all) for s in STATUS]
)
def test_a_refusal_names_the_answer_and_a_cure(online, reader, fault, status):
    situation, cure = STATUS[status]
    online.status = status
    done = reader.run(*ASK, trouble="no_waiting")
    assert done.status == 1
    assert str(status) in done.sentence
    assert cure in done.sentence
    assert cached(reader) == []
    online.heal()
    works(reader)
    fault(f"hub-{status}", situation=f"Hub: {situation} ({status})", done=done, left="nothing")


@pytest.mark.parametrize(
    "family", [pytest.param(f, marks=() if f == "t5" else only_all) for f in FAMILIES]
)
def test_no_such_model_then_a_model_of_every_family(online, reader, fault, family):
    online.models = {}
    done = reader.run(*ASK)
    assert done.status == 1
    assert "neither a folder here nor a repository on the Hub" in done.sentence
    online.models = {NAME: zoo.models_folder() / FAMILIES[family]}
    works(reader)
    fault(f"hub-404-{family}", situation=f"Hub: no such model, then one of {family}", done=done,
          left="nothing")  # fmt: skip


@only_all
def test_nobody_answers(online, reader, fault):
    reader.env["HF_ENDPOINT"] = "http://127.0.0.1:9"
    done = reader.run(*ASK, trouble="no_waiting")
    assert done.status == 1
    assert "cannot be reached" in done.sentence
    del reader.env["HF_ENDPOINT"]
    works(reader)
    fault("hub-unreachable", situation="Hub: cannot be reached", done=done, left="nothing")


@only_all
def test_a_slow_hub_is_given_up_on(online, reader, fault):
    online.pause, online.of = 5.0, "config.json"
    done = reader.run(*ASK)
    assert done.status == 1
    assert "the connection broke" in done.sentence
    online.heal()
    works(reader)
    fault("hub-slow", situation="Hub: silent in the middle of an answer", done=done,
          left="nothing broken")  # fmt: skip


def test_a_file_that_ends_too_early_is_not_kept(online, reader, fault):
    online.cut, online.of = 100_000, "model.safetensors"
    done = reader.run(*ASK)
    assert done.status == 1
    assert "model.safetensors" not in cached(reader)
    online.heal()
    works(reader)
    fault("hub-truncated", situation="Hub: the weights end too early", done=done,
          left="the small files; the part is continued")  # fmt: skip


@only_all
def test_a_file_with_another_checksum_is_named(online, reader, fault):
    online.changed, online.of = True, "model.safetensors"
    done = reader.run(*ASK)
    assert done.status == 1
    assert "SHA-256" in done.sentence
    assert "model.safetensors" not in cached(reader)
    online.heal()
    works(reader)
    fault("hub-checksum", situation="Hub: the weights are not what their checksum says",
          done=done, left="the small files")  # fmt: skip


@only_all
def test_a_model_without_a_tokenizer(online, reader, fault, tmp_path):
    folder = tmp_path / "bare"
    folder.mkdir()
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        (folder / name).write_bytes((zoo.models_folder() / "marian-en-fr" / name).read_bytes())
    online.models = {NAME: folder}
    done = reader.run(*ASK)
    assert done.status == 1
    assert f"{NAME} on the Hub holds no tokenizer" in done.sentence
    online.models = {NAME: zoo.models_folder() / "marian-en-fr"}
    works(reader)
    fault("hub-no-tokenizer", situation="Hub: a model without a tokenizer", done=done,
          left="the weights")  # fmt: skip


@only_all
def test_killed_during_a_download_goes_on(online, reader, fault):
    online.pause, online.of = 0.05, "model.safetensors"
    running = reader.start(*ASK)
    running.wait_for(lambda: any("GET" in r and "safetensors" in r for r in online.requests))
    time.sleep(0.5)
    running.send(signal.SIGKILL)
    done = running.end()
    assert done.status == -signal.SIGKILL
    assert "model.safetensors" not in cached(reader)
    online.heal()
    works(reader)
    fault("download-killed", situation="kill -9 during a download", done=done, says="(killed)",
          left="the small files and a part of the weights")  # fmt: skip


@only_all
def test_interrupted_during_a_download(online, reader, fault):
    online.pause, online.of = 0.05, "model.safetensors"
    running = reader.start(*ASK)
    running.wait_for(lambda: any("GET" in r and "safetensors" in r for r in online.requests))
    time.sleep(0.5)
    running.send(signal.SIGINT)
    done = running.end()
    assert done.status == 130
    assert done.stderr.strip() == "interrupted; the same command begins again"
    online.heal()
    works(reader)
    fault("download-interrupted", situation="Ctrl-C during a download", done=done,
          says=done.stderr.strip(), left="the small files and a part of the weights")  # fmt: skip


@only_all
def test_a_disk_that_is_full_during_a_download(online, reader, fault):
    done = reader.run(*ASK, trouble="small_files", options={"size": 1_000_000})
    assert done.status == 1
    assert "File too large" in done.sentence
    works(reader)
    fault("download-disk-full", situation="a full disk during a download", done=done,
          left="the small files")  # fmt: skip
