import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from encdec.__main__ import app
from encdec.recipe import dump_recipe, fine_tuning_recipe, load_recipe
from encdec.scoring import skills

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(result):
    """The one sentence that a command ended with."""
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, result.output
    return lines[0]


def test_translate_prints_the_translation_and_nothing_else():
    result = run("translate", "She does not like coffee.")
    assert result.exit_code == 0
    assert result.stdout == "Elle n'aime pas le café.\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([""], "the text is empty"),
        (["word " * 10_000], "send it sentence by sentence"),
        (["Good morning 😀"], "never seen '😀'"),
        (["a\x07b"], "control character U+0007"),
        (["How are you?", "--to", "xx"], "there is no model for English to 'xx'"),
        (["How are you?", "--source", "cloud"], "choose book or hub"),
        (["How are you?", "--num-beams", "0"], "num_beams"),
    ],
)
def test_translate_refuses_bad_input_in_one_sentence(arguments, sentence):
    assert sentence in refused(run("translate", *arguments))


LINES = "Where is the sea?\n\nI found my keys.\n"
TRANSLATED = "Où se trouve la mer ?\n\nJ'ai trouvé mes clés.\n"


def test_translate_writes_a_line_for_each_line_of_a_file(tmp_path):
    path = tmp_path / "phrases à lire.txt"
    path.write_text(LINES, encoding="utf8")
    result = run("translate", "--file", path)
    assert (result.exit_code, result.stdout, result.stderr) == (0, TRANSLATED, "")


def test_translate_reads_standard_input():
    result = CliRunner().invoke(app, ["translate", "-"], input=LINES)
    assert (result.exit_code, result.stdout) == (0, TRANSLATED)


def test_a_line_that_can_not_be_translated_stays_empty_and_is_named():
    result = CliRunner().invoke(app, ["translate", "-"], input=f"Where is 東京?\n{LINES}")
    assert result.stdout == f"\n{TRANSLATED}"
    assert refused(result).startswith("error: 1 of 4 lines could not be translated")
    assert "line 1: this model has never seen '東'" in result.stderr


def test_a_reader_who_has_seen_enough_is_no_error(monkeypatch):
    """As in `translate - | head`."""

    def closed(text):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("typer.echo", closed)
    result = CliRunner().invoke(app, ["translate", "-"], input=LINES)
    assert (result.exit_code, result.output) == (1, "")


@pytest.mark.parametrize("arguments", [(), ("Hello.", "--file", "x.txt"), ("-", "--file", "x.txt")])
def test_translate_wants_one_source(arguments):
    assert "give a sentence, - or --file, and only one of them" in refused(
        run("translate", *arguments)
    )


def test_translate_names_a_file_that_is_missing():
    assert "there is no file nowhere.txt" in refused(run("translate", "--file", "nowhere.txt"))


@pytest.fixture
def summarizer(tmp_path, monkeypatch):
    """A folder of models that holds a tiny one of summaries, its weights random."""
    import torch
    from transformers import PegasusConfig, PegasusForConditionalGeneration

    from encdec.tokenizer import LAYOUTS, train_tokenizer

    words = ["def read(path): return text", "Write the lines of a file, one by one."] * 5
    tokenizer = train_tokenizer(words, 60, LAYOUTS["pegasus"])
    tokenizer.model_max_length = 256
    torch.manual_seed(0)
    config = PegasusConfig(
        vocab_size=len(tokenizer), d_model=16, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16,
        decoder_ffn_dim=16, max_position_embeddings=256, scale_embedding=True,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id, forced_eos_token_id=None,
    )  # fmt: skip
    folder = tmp_path / "models" / "pegasus-docstrings"
    PegasusForConditionalGeneration(config).half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    monkeypatch.setenv("ENCDEC_MODELS", str(folder.parent))
    monkeypatch.chdir(tmp_path)


FILE = "def read(path):\n    text = path\n    return text\n\n\ndef f():\n    pass\n"


def test_summarize_writes_one_line_about_a_text_from_wherever_it_comes(summarizer):
    Path("note.txt").write_text("read the lines\nof a file")
    asked = (["read the lines of a file"], ["--file", "note.txt"])
    found = [run("summarize", *arguments) for arguments in asked]
    found.append(CliRunner().invoke(app, ["summarize"], input="read the lines\nof a file\n"))
    assert [result.exit_code for result in found] == [0, 0, 0], found[0].output
    assert len({result.stdout for result in found}) == 1
    assert len(found[0].stdout.splitlines()) == 1


def test_summarize_writes_a_line_for_every_function_of_a_file_or_a_module(summarizer):
    Path("code.py").write_text(FILE)
    result = run("summarize", "--file", "code.py", "--num-beams", 1)
    assert result.exit_code == 0, result.output
    assert [line.partition(": ")[0] for line in result.stdout.splitlines()] == ["read"]
    result = run("summarize", "--module", "bisect", "--num-beams", 1)
    names = [line.partition(": ")[0] for line in result.stdout.splitlines()]
    assert names == ["insort_right", "bisect_right", "insort_left", "bisect_left"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([""], "the text is empty"),
        (["read " * 400], "at most 256 tokens"),
        (["read 😀"], "never seen '😀'"),
        (["read", "--module", "json"], "only one of them"),
        (["--module", "no_such_module"], "there is no module 'no_such_module'"),
        (["--file", "nothing.txt"], "there is no file nothing.txt"),
        (["--file", "nothing.py"], "can't be read: No such file"),
        (["read", "--num-beams", "0"], "num_beams"),
        (["read", "--source", "cloud"], "choose book or hub"),
    ],
)
def test_summarize_refuses_bad_input_in_one_sentence(summarizer, arguments, sentence):
    assert sentence in refused(run("summarize", *arguments))


@pytest.fixture
def own_data(tmp_path, monkeypatch):
    """A file that the project has never seen, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    rows = [f"Room {n} is free.,La salle {n} est libre." for n in range(10, 50)]
    path = tmp_path / "Hotel_rooms.csv"
    path.write_text("\n".join(["english,french", *rows]), encoding="utf8")
    return path


OWN = ("--source", "english", "--target", "french", "--epochs", 1)


def test_train_tunes_a_model_on_a_file_of_ones_own(own_data):
    result = run("train", "--data", own_data, *OWN)
    assert result.exit_code == 0, result.output
    assert "nearest" in result.stdout
    assert "runs/hotel-rooms/model" in result.stdout
    folder = Path("runs/hotel-rooms")
    outcome = json.loads(Path("results/hotel-rooms.json").read_text())
    assert outcome["test"]["sources"] == 4
    assert "tested on 4 sources" in result.stdout
    assert "results/hotel-rooms.json" in result.stdout
    card = (folder / "model" / "README.md").read_text(encoding="utf8")
    assert "It starts from the weights of marian-en-fr. Stages: fine tuning." in card
    assert "license: other" in card  # it is the file's owner who knows
    again = run("evaluate", folder / "model")
    assert again.exit_code == 0, again.output
    assert run("train", "--data", own_data, *OWN).exit_code == 0  # a finished run is scored again
    other = run("train", "--data", own_data, *OWN[:-1], 2)
    assert "runs/hotel-rooms holds a run with other settings" in refused(other)
    assert not Path("models").exists()


def test_answer_lets_a_model_folder_answer():
    folder = ROOT / "models/bart-instruct"
    result = run("answer", folder, "What is the capital of Italy?", "--num-beams", 1)
    assert result.exit_code == 0, result.output
    assert result.stdout == "Rome\n"


def test_answer_puts_the_prefix_of_the_tuning_before_the_text(tmp_path):
    """Without it, t5 does not know that French is wanted."""
    folder = tmp_path / "model"
    shutil.copytree(ROOT / "models/t5", folder)
    plain = run("answer", folder, "We are late.").stdout
    assert plain != "Nous sommes en retard.\n"
    recipe = fine_tuning_recipe(
        "mine.csv",
        source="english",
        target="french",
        start=load_recipe(folder / "recipe.yaml"),
        name="mine",
        prefix="translate English to French: ",
    )
    (folder / "recipe.yaml").write_text(dump_recipe(recipe), encoding="utf8")
    assert run("answer", folder, "We are late.").stdout == "Nous sommes en retard.\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nowhere", "Hello."), "there is no recipe.yaml in nowhere"),
        ((ROOT / "models/bart-instruct", ""), "the text is empty"),
        ((ROOT / "models/bart-instruct", "word " * 999), "send it sentence by sentence"),
        ((ROOT / "models/bart-instruct", "Hello.", "--num-beams", 0), "num_beams"),
    ],
)
def test_answer_refuses_bad_input_in_one_sentence(arguments, sentence):
    assert sentence in refused(run("answer", *arguments))


def test_a_lost_session_goes_on_from_drive(own_data, tmp_path, monkeypatch):
    drive = tmp_path / "MyDrive"
    drive.mkdir()
    monkeypatch.setattr("encdec.environment.DRIVE", drive)
    result = run("train", "--data", own_data, *OWN)
    folder = drive / "encdec" / "runs" / "hotel-rooms"
    assert (folder / "model").as_posix() in result.stdout.replace("\n", "")
    assert list(folder.glob("*/checkpoint.safetensors"))
    assert not Path("runs").exists()


def test_train_says_which_of_ones_own_pairs_are_lost(own_data):
    long = "A very long and rather tiresome sentence about a hotel. " * 8  # characters, not tokens
    rows = ["Rooms are free ☃.,Les salles sont libres."]
    rows += [f"{long},Salle.", f"{'no ' * 300},Non."]
    with own_data.open("a", encoding="utf8") as file:
        file.write("\n" + "\n".join(rows))
    result = run("train", "--data", own_data, *OWN)
    assert result.exit_code == 0, result.output
    assert "1 of 43 pairs left out, longer than the 256 tokens of marian-en-fr" in result.stderr
    assert (
        "1 of 43 pairs with characters that are new to it, beyond the alphabet of marian-en-fr"
        in result.stderr
    )


def test_train_refuses_pairs_that_are_all_too_long(own_data):
    rows = [f"{n} {'no ' * 300},Non." for n in range(12)]
    own_data.write_text("\n".join(["english,french", *rows]), encoding="utf8")
    assert "all 12 pairs are longer" in refused(run("train", "--data", own_data, *OWN))
    assert not Path("runs").exists()


def test_a_file_may_be_named_in_any_language(own_data):
    other = own_data.rename(own_data.with_name("Hôtel (Zürich).csv"))
    assert run("train", "--data", other, *OWN).exit_code == 0
    assert Path("runs/h-tel-z-rich/model").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "give a recipe, with or without --smoke, or --data"),
        (("x.yaml", "--data", "x.csv"), "give a recipe, with or without --smoke, or --data"),
        (("--data", "x.csv", "--smoke"), "give a recipe, with or without --smoke, or --data"),
        (("--data", "x.csv"), "x.csv does not exist"),
        (("--data", "Hotel_rooms.csv"), "line 2, has no 'source'; it has 'english', 'french'"),
        (
            ("--data", "Hotel_rooms.csv", "--start", "gpt5"),
            "no model 'gpt5' to start from; at hand",
        ),
        (("--data", "Hotel_rooms.csv", *OWN, "--name", "A B"), "name = 'A B' is wrong"),
        (("--data", "Hotel_rooms.csv", *OWN[:-1], 0), "epochs = 0 is wrong"),
    ],
)
def test_train_explains_what_is_wrong_with_ones_own_data(own_data, arguments, sentence):
    assert sentence in refused(run("train", *arguments))
    assert [path.name for path in own_data.parent.iterdir()] == ["Hotel_rooms.csv"]


def test_train_refuses_a_bad_recipe_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = RECIPES[0].read_text(encoding="utf8").replace("epochs:", "epoch:")
    (tmp_path / "bad.yaml").write_text(text, encoding="utf8")
    assert "'stages.0.epoch'" in refused(run("train", "bad.yaml"))
    assert [path.name for path in tmp_path.iterdir()] == ["bad.yaml"]


def test_train_without_data_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENCDEC_DATA", str(tmp_path))
    monkeypatch.setenv("ENCDEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ENCDEC_DATA_URL", "http://127.0.0.1:9")
    assert "Set ENCDEC_DATA to a folder" in refused(
        run("train", ROOT / "recipes/marian-en-fr.yaml")
    )


def test_evaluate_refuses_a_folder_without_weights(tmp_path, corpora):
    folder = tmp_path / "model"
    shutil.copytree(ROOT / "models/marian-en-fr", folder)
    (folder / "model.safetensors").unlink()
    assert "holds no model.safetensors" in refused(run("evaluate", folder))


def test_evaluate_refuses_a_folder_that_is_not_there(tmp_path):
    assert "nothing" in refused(run("evaluate", tmp_path / "nothing"))


MEASURES = {
    "translation": "BLEU",
    "summaries": "ROUGE-1",
    "instructions": "accuracy",
    "denoising": "restored",
    "language": "perplexity",
}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_the_smoke_run_takes_the_whole_path(recipe, tmp_path, monkeypatch, corpora):
    monkeypatch.setenv("ENCDEC_DATA", str(corpora.resolve()))
    monkeypatch.chdir(tmp_path)
    result = run("train", recipe, "--smoke")
    assert result.exit_code == 0, result.output
    for skill in skills(load_recipe(recipe)):
        assert MEASURES[skill.split()[0]] in result.stdout
    name = f"{recipe.stem}-smoke"
    outcome = json.loads((tmp_path / "runs" / name / f"{name}.json").read_text(encoding="utf8"))
    assert outcome["training"]["steps"] > 0
    assert (tmp_path / "runs" / name / "model" / "model.safetensors").exists()
    assert not (tmp_path / "models").exists()
    again = run("train", recipe, "--smoke")  # the run is finished: nothing is trained again
    assert again.exit_code == 0, again.output


@pytest.mark.slow
def test_the_smoke_run_of_the_comparison(tmp_path, monkeypatch, corpora):
    monkeypatch.setenv("ENCDEC_DATA", str(corpora.resolve()))
    monkeypatch.chdir(tmp_path)
    comparison = ROOT / "recipes" / "compare" / "compare.yaml"
    result = run("compare", comparison, "--smoke")
    assert result.exit_code == 0, result.output
    written = tmp_path / "runs" / "compare-smoke" / "compare-smoke.json"
    assert len(json.loads(written.read_text(encoding="utf8"))["systems"]) == 9
    assert not (tmp_path / "results").exists()
    assert "hours on this machine" in run("compare", comparison, "--smoke", "--plan").stdout


def test_compare_refuses_what_is_no_comparison(tmp_path):
    assert "does not exist" in refused(run("compare", tmp_path / "nothing.yaml"))
    assert "unknown key 'architecture'" in refused(
        run("compare", ROOT / "recipes" / "bart.yaml", "--plan")
    )


@pytest.mark.slow
def test_two_processes_take_the_whole_path(tmp_path, corpora):
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
        "-m", "encdec", "train", str(ROOT / "recipes/marian-en-fr.yaml"), "--smoke",
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ENCDEC_DATA": str(corpora.resolve())}
    result = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr[-2000:]
    name = "marian-en-fr-smoke"
    outcome = json.loads((tmp_path / "runs" / name / f"{name}.json").read_text(encoding="utf8"))
    assert outcome["training"]["processes"] == 2


def test_doctor_reports_and_is_content_here():
    result = run("doctor")
    assert result.exit_code == 0, result.output
    for word in ("torch", "marian-en-fr"):
        assert word in result.stdout


def test_the_module_is_the_command_line():
    result = subprocess.run(
        [sys.executable, "-m", "encdec", "--help"], capture_output=True, text=True, check=True
    )
    for command in ("train", "evaluate", "translate", "summarize", "doctor"):
        assert command in result.stdout
