"""Whatever a file holds, it is refused in one sentence or shown as text; none of it is run."""

from __future__ import annotations

import gzip
import hashlib
import html
import json
import pickle
import resource
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from targets import TARGETS

from encdec import DecoderOnly, EncoderDecoder, widgets, zoo
from encdec.data.docstrings import first_sentence, plain_text
from encdec.data.files import read_pairs
from encdec.errors import EncdecError
from encdec.recipe import RecipeError, load_recipe
from encdec.summaries import SummaryError
from encdec.summarizer import read_functions

MARIAN = zoo.models_folder() / "marian-en-fr"
GOOD = yaml.safe_load((MARIAN / "recipe.yaml").read_text(encoding="utf8"))
ONE_FOLDER = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Trap:
    """Leaves a mark where its pickle is opened."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def refusal(function, *arguments, **options) -> str:
    """What a function says when it refuses; nothing if it doesn't. Other errors are faults."""
    try:
        function(*arguments, **options)
    except (EncdecError, ValueError, FileNotFoundError) as error:
        return str(error)
    return ""


@pytest.fixture
def mark(tmp_path):
    """A file that must not come into being."""
    path = tmp_path / "the-code-was-run"
    yield path
    assert not path.exists()


# --- recipes -------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.just(10**400) | st.just(float("inf")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner,
                                                               max_size=3),
    max_leaves=6,
)  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:pathlib.Path.touch [[MARK]]",
        "!!python/object/apply:os.system ['touch MARK']",
        "name: !!python/name:os.system",
        "!unknown {a: 1}",
        "a: &a [*a]",
        "name: " + "9" * 5000,
        "[" * 3000,
        "a: " * 2000,
        "\x00",
        "- just\n- a list",
        "? [complex, key]\n: 1",
    ],
    ids=lambda text: text[:24].replace("\x00", "NUL"),
)  # fmt: skip
def test_a_hostile_recipe_is_refused(tmp_path, mark, text):
    path = tmp_path / "recipe.yaml"
    path.write_text(text.replace("MARK", str(mark)), encoding="utf8")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_aliases_that_multiply_use_no_memory(tmp_path):
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 9)]
    path = tmp_path / "recipe.yaml"
    path.write_text("\n".join(["l0: &l0 [ha]", *levels]), encoding="utf8")
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(RecipeError):
        load_recipe(path)
    assert time.process_time() - start < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


@ONE_FOLDER
@given(st.sampled_from(sorted(GOOD)), VALUES)
def test_a_wrong_value_of_any_key_is_a_sentence(tmp_path, key, value):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(GOOD | {key: value}), encoding="utf8")
    assert "\n" not in refusal(load_recipe, path)


# --- tables --------------------------------------------------------------------------------------


@ONE_FOLDER
@given(st.sampled_from(["csv", "tsv", "jsonl"]), st.binary(max_size=300))
@example("csv", b'en,fr\n"' + b"a" * 200_000)
@example("jsonl", b"[" * 20_000)
@example("jsonl", b'{"en": ' + b"9" * 5000 + b"}")
@example("csv", b"en,fr\n\x00,\x00")
@example("jsonl", b'{"en": "\\ud800", "fr": "x"}\n' * 12)
def test_a_table_of_any_bytes_is_read_or_refused(tmp_path, kind, content):
    path = tmp_path / f"pairs.{kind}"
    path.write_bytes(content)
    assert len(refusal(read_pairs, path, "en", "fr")) < 1000


# --- model folders -------------------------------------------------------------------------------


def small_folder(folder: Path, **config: Any) -> Path:
    """A model folder with another configuration."""
    folder.mkdir()
    for name in ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json"):
        (folder / name).write_bytes((MARIAN / name).read_bytes())
    content = json.loads((MARIAN / "config.json").read_text(encoding="utf8")) | config
    (folder / "config.json").write_text(json.dumps(content), encoding="utf8")
    return folder


def test_pickled_weights_are_never_opened(tmp_path, mark):
    folder = small_folder(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    for name in ("pytorch_model.bin", "model.pt", "model.pkl"):
        (folder / name).write_bytes(pickle.dumps(Trap(mark)))
    with pytest.raises(FileNotFoundError, match="never pickled weights"):
        EncoderDecoder.from_pretrained(folder)
    with pytest.raises(zoo.ZooError, match="holds no model.safetensors"):
        zoo.load_folder(folder)


def test_a_pickle_under_the_name_of_safetensors_is_not_opened(tmp_path, mark):
    folder = small_folder(tmp_path / "model")
    (folder / "model.safetensors").write_bytes(pickle.dumps(Trap(mark)))
    with pytest.raises(ValueError, match="is damaged"):
        EncoderDecoder.from_pretrained(folder)


def test_code_in_a_model_folder_is_not_run(tmp_path, mark, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *text: pytest.fail("it asked whether to run it"))
    auto = dict.fromkeys(("AutoConfig", "AutoModel", "AutoTokenizer"), "theirs.Theirs")
    folder = small_folder(tmp_path / "model", auto_map=auto)
    settings_ = {"tokenizer_class": "Theirs", "auto_map": {"AutoTokenizer": ["theirs.T", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings_), encoding="utf8")
    (folder / "theirs.py").write_text(
        f"from pathlib import Path\nPath({str(mark)!r}).touch()\nclass Theirs: pass\nT = Theirs\n",
        encoding="utf8",
    )
    assert "\n" not in refusal(zoo.load_folder, folder, device="cpu")


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "a/b.safetensors", 7, ""])
def test_an_index_can_not_name_files_elsewhere(tmp_path, name):
    folder = small_folder(tmp_path / "model")
    (folder / "model.safetensors").rename(tmp_path / "secret.safetensors")
    index = {"weight_map": {"model.shared.weight": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf8")
    with pytest.raises(ValueError, match="files beside it"):
        EncoderDecoder.from_pretrained(folder)


@ONE_FOLDER
@given(st.sampled_from(["d_model", "vocab_size", "encoder_layers", "model_type", "dropout"]),
       VALUES)  # fmt: skip
def test_a_wrong_configuration_is_a_sentence(tmp_path_factory, key, value):
    folder = small_folder(tmp_path_factory.mktemp("any") / "model", **{key: value})
    for kind in (EncoderDecoder, DecoderOnly):
        assert len(refusal(kind.from_pretrained, folder)) < 2000


# --- archives ------------------------------------------------------------------------------------


def test_archives_are_data_that_must_match_a_checksum(tmp_path, server):
    """Nothing is unpacked: a fetched file is one whose SHA-256 is pinned, or is thrown away."""
    from encdec.data.download import DownloadError, fetch

    bomb = gzip.compress(bytes(50_000_000))
    server.files = {"corpus.gz": bomb}
    with pytest.raises(DownloadError, match="SHA-256 differs"):
        fetch(f"{server.url}/corpus.gz", hashlib.sha256(b"").hexdigest(), "corpus.gz",
              folder=tmp_path)  # fmt: skip
    assert not (tmp_path / "corpus.gz").exists()


def test_the_package_unpacks_no_archive_but_pinned_wheels_and_opens_no_pickle():
    """Path traversal, bombs and pickles need a function that the package doesn't call."""
    banned = ("extractall", "unpack_archive", "torch.load(", "pickle.load", "unsafe_load", "eval(",
              "exec(", "trust_remote_code=True", "shell=True", "os.system")  # fmt: skip
    for path in Path(zoo.__file__).parent.rglob("*.py"):
        text = path.read_text(encoding="utf8").replace(".eval(", "")
        # A wheel whose digest is pinned holds what it held when it was pinned.
        allowed = ["extractall"] if path.name == "libraries.py" else []
        assert [word for word in banned if word in text] == allowed, path


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_in_the_place_of_a_model_is_refused(tmp_path, kind):
    path = tmp_path / f"model.{kind}"
    outside = tmp_path / "outside"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("../outside", "x")
    else:
        with tarfile.open(path, "w") as archive:
            archive.add(__file__, "../outside")
    with pytest.raises(EncdecError, match="no model folder"):
        zoo.load_folder(path)
    assert not outside.exists()


# --- docstrings, source files --------------------------------------------------------------------


@given(st.text(max_size=400))
@example("(" * 5000)
@example("`" * 5000)
@example(":" * 5000 + "a" * 5000)
@example(("*" + " " * 50) * 200)
def test_a_docstring_of_any_text_is_read_in_time(text):
    start = time.process_time()
    first_sentence(text)
    plain_text(text)
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    "source",
    ["(" * 5000, "-" * 100_000 + "1", "def f():\n" * 300, "\x00", "x = " + "[" * 150 + "]" * 150,
     "f" + "(0)" * 50_000],
    ids=["parentheses", "minus", "indents", "nul", "brackets", "calls"],
)  # fmt: skip
def test_source_that_breaks_parsers_is_refused(tmp_path, source):
    path = tmp_path / "code.py"
    path.write_text(source, encoding="utf8")
    with pytest.raises(SummaryError) as caught:
        read_functions(path)
    assert "\n" not in str(caught.value)


def test_source_that_is_summarised_is_not_run(tmp_path, mark):
    path = tmp_path / "code.py"
    path.write_text(
        f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n\n"
        "def read(path):\n    text = path\n    return text\n",
        encoding="utf8",
    )
    assert [function.name for function in read_functions(path)] == ["read"]


# --- what is shown -------------------------------------------------------------------------------

MARKUP = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&</li></style>"


@given(st.text(max_size=30))
@example(MARKUP)
@example("</script>")
@example("{{data}}{{text}}")
def test_tokens_are_shown_as_text(text):
    view = widgets.AlignmentView(
        [widgets.Alignment([text, "b"], [text], torch.tensor([[0.5, 0.5]]))], name="x"
    )
    plain = widgets.AlignmentView(
        [widgets.Alignment(["a", "b"], ["a"], torch.tensor([[0.5, 0.5]]))], name="x"
    )
    shown, expected = view._repr_html_(), plain._repr_html_()
    for tag in ("<script", "</script", "<img", "<style", "</style", "</li"):
        assert shown.lower().count(tag) == expected.lower().count(tag), tag


def test_markup_in_a_notebook_s_metadata_is_no_markup():
    """The chapters carry no script of their own in metadata, attachments or Markdown."""
    for path in sorted((Path(__file__).parents[2] / "chapters").glob("*.ipynb")):
        book = nbformat.read(path, as_version=4)
        cells = [cell.metadata for cell in book.cells]
        assert "<script" not in json.dumps([book.metadata, *cells]).lower(), path.name
        for cell in book.cells:
            if cell.cell_type == "markdown":
                source = html.unescape(cell.source).lower()
                assert "javascript:" not in source, path.name


# --- what the fuzzer runs ------------------------------------------------------------------------


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=40)
@given(data=st.binary(max_size=400))
@example(data=b"")
@example(data=b"\xff" * 50)
def test_the_fuzzer_s_targets_hold_on_random_bytes(name, data):
    TARGETS[name](data)
