"""Training and model folders under bad luck: nothing is lost, and the same command goes on."""

from __future__ import annotations

import json
import shutil
import signal

import pytest
import yaml

from conftest import ALL
from encdec import zoo
from encdec.__main__ import app

PAIRS = [f"Room {n} is free.,La salle {n} est libre." for n in range(10, 50)]
RECIPE = {
    "name": "rooms",
    "description": "Forty sentences about rooms",
    "architecture": "marian",
    "tokenizer": {"vocab_size": 120},
    "model": {
        "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "num_heads": 2, "d_ff": 32,
        "max_length": 64,
    },
    "stages": [
        {
            "name": "training",
            "mixture": [{"pairs": {"file": "rooms.csv", "source": "en", "target": "fr"}}],
            "epochs": 4, "max_tokens": 400, "learning_rate": 0.001, "warmup_steps": 2,
            "save_every": 2, "precision": "float32",
        }
    ],
    "evaluation": {"num_beams": 1, "max_new_tokens": 12, "examples": 4},
}  # fmt: skip
TRAIN = ("train", "rooms.yaml")
CHECKPOINT = "runs/rooms/training/checkpoint.safetensors"
only_all = pytest.mark.skipif(not ALL, reason="`make faults` runs it")


@pytest.fixture
def rooms(reader):
    """A reader with a file of pairs and a recipe."""
    prepare(reader.home)
    return reader


def prepare(home, d_ff=32, **changes):
    """Put a file of pairs and a recipe into a folder."""
    (home / "rooms.csv").write_text("\n".join(["en,fr", *PAIRS]), encoding="utf8")
    model = RECIPE["model"] | {"d_ff": d_ff}
    recipe = RECIPE | {"model": model, "stages": [RECIPE["stages"][0] | changes]}
    (home / "rooms.yaml").write_text(yaml.safe_dump(recipe), encoding="utf8")


def works(reader) -> dict:
    """The same command trains to the end; returns what it measured."""
    done = reader.run(*TRAIN)
    assert done.status == 0, done.stderr
    return json.loads((reader.home / "results" / "rooms.json").read_text(encoding="utf8"))


def steps(reader) -> list[int]:
    """Steps in the log."""
    lines = (reader.home / "runs/rooms/training/log.jsonl").read_text(encoding="utf8")
    return [json.loads(line)["step"] for line in lines.splitlines()]


ENDS = {signal.SIGKILL: "kill -9", signal.SIGINT: "Ctrl-C", signal.SIGTERM: "kill"}


@pytest.mark.parametrize(
    "how", [pytest.param(s, marks=() if s == signal.SIGINT else only_all) for s in ENDS]
)
def test_a_training_that_is_stopped_goes_on(rooms, fault, how):
    prepare(rooms.home, epochs=300)
    running = rooms.start(*TRAIN)
    running.wait_for((rooms.home / CHECKPOINT).exists)
    running.send(how)
    done = running.end()
    assert done.status == (130 if how == signal.SIGINT else -how)
    says = "(killed)"
    if how == signal.SIGINT:
        says = done.stderr.strip()
        assert (
            says == "interrupted; the last checkpoint is kept and the same command goes on from it"
        )
    prepare(rooms.home, epochs=4)  # fewer, for the sake of time: it goes on, and ends at once
    works(rooms)
    name = {signal.SIGINT: "interrupted", signal.SIGTERM: "stopped", signal.SIGKILL: "killed"}[how]
    fault(f"training-{name}", situation=f"{ENDS[how]} during training", done=done, says=says,
          left="the last checkpoint")  # fmt: skip


@only_all
def test_killed_while_a_checkpoint_is_written(rooms, fault):
    done = rooms.run(*TRAIN, trouble="killed_while_writing", options={"part": "checkpoint"})
    assert done.status == -signal.SIGKILL
    assert not (rooms.home / CHECKPOINT).exists()
    works(rooms)
    assert not list(rooms.home.rglob("*.tmp"))
    fault("checkpoint-killed", situation="kill -9 while a checkpoint is written", done=done,
          says="(killed)", left="the checkpoint before")  # fmt: skip


@only_all
@pytest.mark.parametrize("part", ["results", "model.new"])
def test_a_disk_that_is_full_at_the_end(rooms, fault, part):
    done = rooms.run(*TRAIN, trouble="no_space", options={"part": part})
    assert done.status == 1
    assert "No space left on device" in done.sentence
    assert (rooms.home / CHECKPOINT).exists()
    assert not list(rooms.home.rglob("*.tmp"))
    works(rooms)
    fault(f"disk-full-{part.replace('.', '-')}", situation=f"a full disk when {part} is written",
          done=done, left="all checkpoints")  # fmt: skip


@only_all
def test_a_disk_that_is_full_at_a_checkpoint(rooms, fault):
    done = rooms.run(*TRAIN, trouble="small_files", options={"size": 20_000})
    assert done.status == 1
    assert "could not be written" in done.sentence
    assert not list(rooms.home.rglob("*.tmp"))
    works(rooms)
    fault("disk-full-checkpoint", situation="a full disk when a checkpoint is written", done=done,
          left="the checkpoint before")  # fmt: skip


@only_all
def test_a_folder_that_is_read_only(rooms, fault):
    done = rooms.run(*TRAIN, trouble="read_only", options={"part": "runs"})
    assert done.status == 1
    assert "Read-only file system" in done.sentence
    works(rooms)
    fault("read-only", situation="a folder that can't be written to", done=done, left="nothing")


def test_a_second_training_in_the_same_folder_is_refused(rooms, fault):
    prepare(rooms.home, epochs=300)
    first = rooms.start(*TRAIN)
    first.wait_for((rooms.home / CHECKPOINT).exists)
    done = rooms.run(*TRAIN)
    assert done.status == 1
    assert "another training goes on" in done.sentence
    first.send(signal.SIGINT)
    assert first.end().status == 130
    prepare(rooms.home)
    works(rooms)
    fault("two-trainings", situation="a second training in the same folder", done=done,
          left="the first training, untouched", retry="works when the first has ended")  # fmt: skip


def test_a_batch_that_the_gpu_does_not_hold(rooms, fault):
    done = rooms.run(*TRAIN, trouble="full_gpu")
    assert done.status == 1
    assert "accumulate: 2" in done.sentence
    assert "max_tokens: 200 instead of 400" in done.sentence
    prepare(rooms.home, accumulate=2)
    works(rooms)
    fault("gpu-memory", situation="a batch that the GPU's memory doesn't hold", done=done,
          left="the last checkpoint", retry="works with either change")  # fmt: skip


@only_all
def test_a_batch_that_the_memory_does_not_hold(rooms, fault):
    prepare(rooms.home, d_ff=2048, max_tokens=2_000_000)
    lines = [f"{n} {'x ' * 20},{n} {'y ' * 20}" for n in range(4000)]
    (rooms.home / "rooms.csv").write_text("\n".join(["en,fr", *lines]), encoding="utf8")
    done = rooms.run(*TRAIN, trouble="little_memory", options={"extra": 600 << 20})
    assert done.status == 1
    assert "accumulate: 2" in done.sentence
    prepare(rooms.home)
    shutil.rmtree(rooms.home / "runs")
    works(rooms)
    fault("memory", situation="a batch that the memory doesn't hold", done=done,
          left="the last checkpoint", retry="works with either change")  # fmt: skip


@only_all
def test_nothing_to_learn_from(rooms, fault):
    lines = [f"{n},{'y ' * 200}" for n in range(40)]
    (rooms.home / "rooms.csv").write_text("\n".join(["en,fr", *lines]), encoding="utf8")
    done = rooms.run(*TRAIN)
    assert done.status == 1
    assert "no example is left to learn from" in done.sentence
    shutil.rmtree(rooms.home / "runs")
    prepare(rooms.home)
    works(rooms)
    fault("nothing-to-learn", situation="all pairs are too long", done=done, left="nothing",
          retry="works with shorter ones")  # fmt: skip


@only_all
def test_a_clock_that_jumps_changes_nothing(rooms, fault):
    done = rooms.run(*TRAIN, trouble="wrong_clock", options={"seconds": 1e7})
    assert done.status == 0, done.stderr
    first = json.loads((rooms.home / "results/rooms.json").read_text(encoding="utf8"))
    assert 0 <= first["training"]["minutes"] < 10
    assert works(rooms)["training"]["steps"] == first["training"]["steps"]
    fault("clock", situation="the clock is set a hundred days forth and back", done=done,
          says="(nothing)", left="everything")  # fmt: skip


@only_all
def test_accents_and_spaces_in_a_path_and_a_plain_locale(rooms, fault):
    home = rooms.home / "élève à l’été"
    home.mkdir()
    prepare(home)
    rooms.home = home
    rooms.env = {"LANG": "C", "LC_ALL": "C"}
    works(rooms)
    done = rooms.run("evaluate", "runs/rooms/model")
    assert done.status == 0, done.stderr
    fault("locale", situation="LANG=C, a path with spaces and accents", done=done,
          says="(nothing)", left="everything")  # fmt: skip


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGE = {
    "weights-cut": ("the weights are half a file", "model.safetensors", cut),
    "config-cut": ("the configuration is half a file", "config.json", cut),
    "tokenizer-cut": ("the tokenizer is half a file", "tokenizer.json", cut),
    "weights-missing": ("no weights", "model.safetensors", lambda path: path.unlink()),
    "config-missing": ("no configuration", "config.json", lambda path: path.unlink()),
    "tokenizer-missing": ("no tokenizer", "tokenizer.json", lambda path: path.unlink()),
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n == "weights-cut" else only_all) for n in DAMAGE]
)
def test_a_damaged_model_folder_is_named(reader, fault, name):
    situation, part, damage = DAMAGE[name]
    folder = reader.home / "models" / "marian-en-fr"
    shutil.copytree(zoo.models_folder() / "marian-en-fr", folder)
    reader.env = {"ENCDEC_MODELS": str(folder.parent)}
    whole = (folder / part).read_bytes()
    damage(folder / part)
    ask = ("translate", "Where is the sea?", "--num-beams", 1)
    done = reader.run(*ask)
    assert done.status == 1
    assert "marian-en-fr" in done.sentence
    (folder / part).write_bytes(whole)
    assert reader.run(*ask).status == 0
    fault(f"model-{name}", situation=f"a model folder: {situation}", done=done,
          left="the folder as it was", retry="works once the file is back")  # fmt: skip


CTRL_C = {
    "translate": (("translate", "Hello."), "encdec.zoo:load"),
    "summarize": (("summarize", "def f(): pass"), "encdec.zoo:load"),
    "answer": (
        ("answer", str(zoo.models_folder() / "bart-instruct"), "Hello."),
        "encdec.recipe:load_recipe",
    ),
    "evaluate": (("evaluate", "models/none"), "encdec.scoring:evaluate"),
    "export": (("export", "models/none", "--to", "out"), "encdec.zoo:load_folder"),
    "compare": (("compare", "none.yaml"), "encdec.compare:run"),
    "doctor": (("doctor",), "encdec.environment:doctor"),
}


def test_no_command_is_forgotten():
    """Training is interrupted in tests of its own."""
    known = {command.callback.__name__ for command in app.registered_commands}
    assert known == {*CTRL_C, "train"}


@only_all
@pytest.mark.parametrize("command", CTRL_C)
def test_ctrl_c_in_every_command(reader, fault, command):
    arguments, at = CTRL_C[command]
    done = reader.run(*arguments, trouble="interrupted", options={"at": at})
    assert done.status == 130
    assert "Traceback" not in done.stderr
    [says] = done.stderr.splitlines()
    assert says.startswith("interrupted; ")
    assert not list(reader.home.iterdir())
    fault(f"interrupted-{command}", situation=f"Ctrl-C in {command}", done=done, says=says,
          left="nothing" if command != "compare" else "the finished runs")  # fmt: skip
