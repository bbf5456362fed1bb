import shutil

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import EntryNotFoundError

from encdec import EncoderDecoder, checkpoints, zoo
from encdec.zoo import ZooError

MARIAN = zoo.models_folder() / "marian-en-fr"


RECIPES = zoo.models_folder().parent / "recipes"
AT_HAND = [
    task for task, entries in zoo.CATALOGUE.items() if entries["book"].name in zoo.available()
]


def test_every_model_at_hand_is_in_the_catalogue_and_has_a_recipe():
    names = {entries["book"].name for entries in zoo.CATALOGUE.values()}
    assert set(zoo.available()) <= names
    assert names <= {path.stem for path in RECIPES.glob("*.yaml")}


def test_a_catalogued_model_that_is_not_at_hand_names_those_that_are(monkeypatch):
    monkeypatch.setitem(zoo.CATALOGUE["denoising"], "book", zoo.Entry("not-made-yet", 1, 1))
    with pytest.raises(ZooError, match="no model folder .*not-made-yet; .* at hand are: .*marian"):
        zoo.load("denoising", announce=False)


@pytest.mark.parametrize("task", AT_HAND)
def test_every_model_at_hand_is_loaded_and_writes(task):
    from encdec import DecoderOnly, generate

    model, tokenizer = zoo.load(task, announce=False, device="cpu")
    assert isinstance(model, DecoderOnly) == (task == "language-model")
    ids = tokenizer("Where is the sea?", return_tensors="pt").input_ids
    assert generate(model, ids, max_new_tokens=3).sequences.shape[0] == 1


def test_loading_says_which_model_it_is(capsys):
    model, tokenizer = zoo.load("translation")
    assert "marian-en-fr" in capsys.readouterr().out
    assert isinstance(model, EncoderDecoder)
    assert not model.training
    assert next(model.parameters()).dtype == torch.float32
    assert len(tokenizer) == model.config.vocab_size


@pytest.mark.parametrize("task", AT_HAND)
def test_the_announced_size_is_the_real_one(task):
    entry = zoo.CATALOGUE[task]["book"]
    megabytes = (zoo.models_folder() / entry.name / "model.safetensors").stat().st_size / 1e6
    assert entry.megabytes == round(megabytes)
    model, _ = zoo.load(task, announce=False, device="cpu")
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    assert entry.parameters == pytest.approx(millions, abs=0.15)  # positions may be counted or not


@pytest.fixture
def unreachable(monkeypatch):
    """No Hub, and nothing of it in the cache."""

    def download(name):
        raise checkpoints.refusal(name, OSError("no route"))

    monkeypatch.setattr(checkpoints, "download", download)


def test_without_the_hub_the_books_model_takes_its_place_and_one_sentence_says_so(
    unreachable, capsys
):
    model, tokenizer = zoo.load("text-to-text", source="hub", device="cpu")
    first, second = capsys.readouterr().out.splitlines()
    assert first == (
        "text-to-text: google-t5/t5-small (242 MB, from the Hub, downloaded once; 0.2 GB of memory)"
    )
    assert second == "The Hub can't be reached: the book's own t5 takes its place."
    assert len(tokenizer) == model.config.vocab_size


def test_no_other_model_comes_unannounced(unreachable):
    with pytest.raises(checkpoints.UnreachableError, match="the Hub cannot be reached: go online"):
        zoo.load("text-to-text", source="hub", device="cpu", announce=False)


def test_a_refusal_is_no_reason_for_another_model(monkeypatch):
    def download(name):
        raise ConnectionError(f"{name} was refused")

    monkeypatch.setattr(checkpoints, "download", download)
    with pytest.raises(ConnectionError, match="was refused"):
        zoo.load("text-to-text", source="hub", device="cpu")


JARGON = "expected str, bytes or os.PathLike object, not NoneType"


@pytest.fixture
def without_a_tokenizer(monkeypatch):
    """A Hub whose model has weights and nothing else, and the library's word for it."""

    def fetch(hub_id, name, revision=None):
        if not (name.endswith("config.json") or name == "model.safetensors"):
            raise EntryNotFoundError(name)
        return str(MARIAN / name)

    def load(*args, **options):
        raise TypeError(JARGON)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    monkeypatch.setattr(zoo.AutoTokenizer, "from_pretrained", load)


def test_a_model_without_a_tokenizer_is_named_in_our_own_words(without_a_tokenizer):
    with pytest.raises(ZooError) as found:
        zoo.load("translation", source="hub", device="cpu")
    assert str(found.value) == (
        "Helsinki-NLP/opus-mt-en-fr on the Hub holds no tokenizer, and without one it reads no "
        "text: choose another model."
    )


def test_a_tokenizer_that_is_there_and_broken_is_not_called_missing(
    without_a_tokenizer, monkeypatch
):
    def fetch(hub_id, name, revision=None):
        return str(MARIAN / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    with pytest.raises(ZooError, match=f"damaged: {JARGON}"):
        zoo.load("translation", source="hub", device="cpu")


def test_a_hub_that_is_gone_before_the_tokenizer_came_is_not_blamed_on_the_model(
    without_a_tokenizer, monkeypatch
):
    def fetch(hub_id, name, revision=None):
        if name in checkpoints.TOKENIZERS:
            raise OSError("cable cut")
        return str(MARIAN / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    with pytest.raises(checkpoints.UnreachableError, match="go online"):
        zoo.load("translation", source="hub", device="cpu", announce=False)


def test_the_environment_chooses_the_source(monkeypatch):
    monkeypatch.setenv("ENCDEC_SOURCE", "cloud")
    with pytest.raises(ZooError, match="source='cloud' is unknown; choose book or hub"):
        zoo.load("translation")


def test_an_unknown_task_names_the_known_ones():
    with pytest.raises(ZooError, match="no model for the task 'poetry'; choose one of translation"):
        zoo.load("poetry")


def test_a_missing_folder_names_the_models_at_hand(tmp_path):
    with pytest.raises(ZooError, match="there is no model folder .*marian-en-fr"):
        zoo.load_folder(tmp_path / "nothing")


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_folder_without_a_part_names_the_part(tmp_path, missing):
    folder = tmp_path / "model"
    shutil.copytree(MARIAN, folder)
    (folder / missing).unlink()
    with pytest.raises(ZooError, match=f"holds no {missing}"):
        zoo.load_folder(folder)


def test_transformers_loads_the_same_model():
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    theirs = AutoModelForSeq2SeqLM.from_pretrained(MARIAN, dtype=torch.float32).eval()
    batch = AutoTokenizer.from_pretrained(MARIAN)("Where is the sea?", return_tensors="pt")
    ours, _ = zoo.load("translation", announce=False, device="cpu")
    start = torch.tensor([[ours.config.decoder_start_token_id, 5, 6]])
    with torch.inference_mode():
        expected = theirs(input_ids=batch.input_ids, decoder_input_ids=start).logits
        logits = ours(batch.input_ids, decoder_input_ids=start)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", zoo.available())
def test_the_card_shows_the_recorded_scores(name):
    import json

    from encdec import results
    from encdec.card import model_card
    from encdec.recipe import load_recipe

    folder = zoo.models_folder() / name
    outcome = json.loads((folder / "scores.json").read_text(encoding="utf8"))
    assert outcome == results.load(name)
    card = (folder / "README.md").read_text(encoding="utf8")
    assert card == model_card(load_recipe(folder / "recipe.yaml"), outcome)


@pytest.mark.parametrize("name", zoo.available())
def test_a_model_was_made_by_the_recipe_that_is_kept(name):
    from encdec.recipe import load_recipe

    kept = load_recipe(RECIPES / f"{name}.yaml")
    assert load_recipe(zoo.models_folder() / name / "recipe.yaml") == kept


def test_the_required_sentences_come_out_right():
    """The bar of the first release: correct French, in one of its usual forms."""
    from encdec.text import generate_text

    accepted = {
        "How are you?": {
            "Comment vas-tu ?", "Comment allez-vous ?", "Comment ça va ?",
        },
        "Where is the train station?": {"Où est la gare ?", "Où se trouve la gare ?"},
        "She does not like coffee.": {"Elle n'aime pas le café."},
        "Hello, how are you doing today?": {
            f"{hello}, comment {ask} aujourd'hui ?"
            for hello in ("Bonjour", "Salut")
            for ask in ("allez-vous", "vas-tu", "ça va")
        },
    }  # fmt: skip
    answers = generate_text(
        *zoo.load("translation"), list(accepted), num_beams=5, max_new_tokens=60
    )
    for (english, french), answer in zip(accepted.items(), answers, strict=True):
        assert answer in french, english
