import shutil

import pytest
import torch

from encdec import generate, results, zoo
from encdec.data.parallel import load_phrasebook
from encdec.export import ExportError, export
from encdec.exported import ExportedModel, agreement, load_exported, measure

pytest.importorskip("onnx", reason="the package onnx is not installed")
pytest.importorskip("onnxruntime", reason="the package onnxruntime is not installed")


@pytest.fixture(scope="module")
def pair():
    return zoo.load("translation", "book", announce=False, device="cpu")


@pytest.fixture(scope="module")
def folders(pair, tmp_path_factory):
    root = tmp_path_factory.mktemp("export")
    for bits in (8, 32):
        export(*pair, root / str(bits), bits=bits)
    return root


@pytest.fixture(scope="module")
def sources():
    return list(load_phrasebook())


def test_the_books_model_in_floats_writes_every_token_that_pytorch_writes(pair, folders, sources):
    model, tokenizer = pair
    found = agreement(model, ExportedModel(folders / "32"), tokenizer, sources)
    assert found["tokens"] > 200
    assert found["equal_tokens"] == found["tokens"]
    assert found["equal_sentences"] == found["sentences"] == len(sources)


def test_the_books_model_in_integers_writes_nearly_every_token(pair, folders, sources):
    model, tokenizer = pair
    found = agreement(model, ExportedModel(folders / "8"), tokenizer, sources)
    assert found["equal_tokens"] >= 0.97 * found["tokens"]
    assert found["equal_sentences"] >= 0.85 * found["sentences"]


@pytest.mark.parametrize("name", ["bart-instruct", "t5"])
def test_the_books_other_models_write_every_token_too(name, tmp_path):
    if name not in zoo.available():
        pytest.skip(f"there is no model {name} yet")
    model, tokenizer = zoo.load_folder(zoo.models_folder() / name, device="cpu")
    sources = ["What is the capital of France?", "translate English to French: How are you?"]
    sources += ["Sort these words: pear, apple, fig", "What is the plural of child?", "a " * 60]
    for bits, share in ((32, 1.0), (8, 0.9)):
        export(model, tokenizer, tmp_path / str(bits), bits=bits)
        exported = ExportedModel(tmp_path / str(bits))
        found = agreement(model, exported, tokenizer, sources, max_new_tokens=40)
        assert found["tokens"] > 15
        assert found["equal_tokens"] >= share * found["tokens"]
    assert sum(path.stat().st_size for path in (tmp_path / "8").iterdir()) < 5_200_000


def test_beams_agree_too(pair, folders, sources):
    model, tokenizer = pair
    exported = ExportedModel(folders / "32")
    for source in sources[:5]:
        ids = tokenizer(source, return_tensors="pt").input_ids
        first, second = (generate(m, ids, max_new_tokens=40) for m in (model, exported))
        assert first.sequences.tolist() == second.sequences.tolist()


def test_all_files_are_small_enough_for_a_page(folders):
    assert sum(path.stat().st_size for path in (folders / "8").iterdir()) < 4_200_000


def test_the_tokenizer_travels_with_the_export(pair, folders):
    _, tokenizer = load_exported(folders / "8")
    text = "Where’s  the café?"
    assert tokenizer(text).input_ids == pair[1](text).input_ids


def test_several_sentences_or_padding_are_refused(folders):
    exported = ExportedModel(folders / "8")
    with pytest.raises(ValueError, match="has 2 rows: an exported model reads one sentence"):
        generate(exported, torch.ones(2, 3, dtype=torch.long))
    with pytest.raises(ValueError, match="1 rows with padding"):
        generate(exported, torch.ones(1, 2, dtype=torch.long), torch.tensor([[1, 0]]))


def test_a_prompt_of_several_tokens_is_read_token_by_token(pair, folders):
    ids = pair[1]("How are you?", return_tensors="pt").input_ids
    prompt = pair[1]("Comment", return_tensors="pt").input_ids[:, :-1]
    options = {"decoder_input_ids": prompt, "num_beams": 1, "max_new_tokens": 12}
    first = generate(pair[0], ids, **options).sequences
    assert generate(ExportedModel(folders / "32"), ids, **options).sequences.tolist() == (
        first.tolist()
    )


def test_a_missing_file_is_named(folders, tmp_path):
    shutil.copytree(folders / "8", tmp_path / "part")
    (tmp_path / "part" / "weights.bin").unlink()
    with pytest.raises(ExportError, match="holds no weights.bin"):
        ExportedModel(tmp_path / "part")


def test_without_the_package_the_error_says_how_to_get_it(monkeypatch, folders):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(ExportError, match="pip install onnxruntime"):
        ExportedModel(folders / "8")


def test_the_recorded_run_is_of_this_model_and_proves_both_exports():
    recorded = results.load("export-marian-en-fr")
    floats, integers = (recorded["exports"][name] for name in ("float32", "int8"))
    assert floats["equal_tokens"] == floats["tokens"] > 5000
    assert floats["equal_sentences"] == floats["sentences"]
    assert integers["equal_tokens"] >= 0.98 * integers["tokens"]
    low, high = (integers["chrF"]["original"][side] for side in ("low", "high"))
    assert low < integers["chrF"]["exported"]["value"] < high


def test_measuring_repeats_the_recorded_run(corpora):
    found = measure(zoo.models_folder() / "marian-en-fr", examples=20)
    assert found["exports"]["float32"]["equal_tokens"] == found["exports"]["float32"]["tokens"]
    assert found["exports"]["int8"]["bytes"] < 0.3 * found["exports"]["float32"]["bytes"]
    assert found["provenance"]["command"].startswith("python -m encdec export ")
