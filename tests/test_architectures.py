import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

import small
from encdec import DecoderOnly, EncoderDecoder, generate
from encdec.architectures import ARCHITECTURES
from encdec.data.collate import IGNORE
from encdec.experiment import Experiment
from encdec.mixture import Encoder

FAMILIES = list(ARCHITECTURES)


@pytest.fixture
def made(corpus, monkeypatch):
    small.use(monkeypatch, corpus)
    translation = {"translation": {"source": "en", "target": "fr"}}

    def make(family):
        return Experiment.from_recipe(small.recipe(family, [translation]))

    return make


def ours_and_theirs(folder, family):
    ours, theirs = (
        (DecoderOnly, AutoModelForCausalLM)
        if family == "gpt2"
        else (EncoderDecoder, AutoModelForSeq2SeqLM)
    )
    return (
        ours.from_pretrained(folder).eval(),
        theirs.from_pretrained(folder, dtype=torch.float32).eval(),
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_both_libraries_load_a_saved_model_and_agree(made, family, tmp_path):
    experiment = made(family)
    experiment.save(tmp_path)
    ours, theirs = ours_and_theirs(tmp_path, family)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    batch = tokenizer(["I see the house.", "Anna"], padding=True, return_tensors="pt")
    assert set(batch) == {"input_ids", "attention_mask"}
    start = {} if family == "gpt2" else {"decoder_input_ids": torch.tensor([[3, 4, 5]] * 2)}
    with torch.inference_mode():
        logits = ours(batch.input_ids, attention_mask=batch.attention_mask, **start)
        positions = (batch.attention_mask.cumsum(1) - 1).clamp(min=0)
        places = {"position_ids": positions} if family == "gpt2" else {}
        expected = theirs(**batch, **start, **places).logits
    real = batch.attention_mask.bool() if family == "gpt2" else slice(None)
    torch.testing.assert_close(logits[real], expected[real], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_both_libraries_write_the_same(made, family, tmp_path):
    made(family).save(tmp_path)
    ours, theirs = ours_and_theirs(tmp_path, family)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    batch = tokenizer(["I see the house.", "Anna"], padding=True, return_tensors="pt")
    options = {"num_beams": 2, "max_new_tokens": 8}
    expected = theirs.generate(**batch, **options)
    output = generate(ours, batch.input_ids, attention_mask=batch.attention_mask, **options)
    assert output.sequences.tolist() == expected.tolist()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_configuration_is_the_recipes(made, family):
    experiment = made(family)
    config, tokenizer = experiment.model.config, experiment.tokenizer
    assert config.hidden_size == 16
    assert config.vocab_size == len(tokenizer)
    assert config.pad_token_id == tokenizer.pad_token_id
    assert config.eos_token_id == tokenizer.eos_token_id
    weights = sum(p.numel() for p in experiment.model.parameters())
    assert weights < 40_000


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_asks_for_every_target_token_where_the_logits_are(made, family, corpus):
    experiment = made(family)
    architecture = ARCHITECTURES[family]
    encoder = Encoder(experiment.tokenizer, architecture.layout, 128)
    examples = encoder.examples(corpus[:5])
    batch = architecture.collate(experiment.model)(examples)
    labels = batch.pop("labels")
    logits = experiment.model(**batch).logits
    assert logits.shape[:2] == labels.shape
    for row, example in zip(labels, examples, strict=True):
        assert row[row != IGNORE].tolist() == example.labels
    # what is to be predicted must not be seen: labels come one place after the input they equal
    inputs = batch.get("decoder_input_ids", batch["input_ids"])
    both = (labels[:, :-1] != IGNORE) & (labels[:, 1:] != IGNORE)
    assert torch.equal(inputs[:, 1:][both], labels[:, :-1][both])


def test_bart_begins_with_the_end(made, corpus):
    experiment = made("bart")
    encoder = Encoder(experiment.tokenizer, ARCHITECTURES["bart"].layout, 128)
    batch = ARCHITECTURES["bart"].collate(experiment.model)(encoder.examples(corpus[:1]))
    tokens = experiment.tokenizer.convert_ids_to_tokens(batch["decoder_input_ids"][0, :2].tolist())
    assert tokens == ["</s>", "<s>"]


def test_special_tokens_stand_where_each_family_expects_them(made):
    expected = {
        "marian": {0: "</s>", 1: "<unk>", -1: "<pad>"},
        "t5": {0: "<pad>", 1: "</s>", 2: "<unk>", -1: "<extra_id_0>", -100: "<extra_id_99>"},
        "bart": {0: "<s>", 1: "<pad>", 2: "</s>", 3: "<unk>", -1: "<mask>"},
        "pegasus": {0: "<pad>", 1: "</s>", 2: "<mask_1>", 3: "<mask_2>", 4: "<unk>"},
        "gpt2": {0: "<|endoftext|>", 1: "<unk>", 2: "<|answer|>"},
    }
    for family, places in expected.items():
        tokenizer = made(family).tokenizer
        for place, token in places.items():
            assert tokenizer.convert_ids_to_tokens(place % len(tokenizer)) == token


def test_a_saved_tokenizer_is_small(made, tmp_path):
    made("t5").save(tmp_path)
    text = (tmp_path / "tokenizer.json").read_text(encoding="utf8")
    assert "\n" not in text.strip()
    assert json.loads(text)["model"]["type"] == "BPE"


@pytest.mark.parametrize("family", ["marian", "pegasus"])
def test_tables_of_sines_are_not_trained(made, family, tmp_path):
    experiment = made(family)
    experiment.model.requires_grad_(True)  # as transformers 5.24 has them
    experiment.trainer(experiment.recipe.stages[0], tmp_path)
    fixed = [n for n, p in experiment.model.named_parameters() if not p.requires_grad]
    assert {name.split(".")[-2] for name in fixed} == {"embed_positions"}
    assert len(fixed) == 2  # the encoder's and the decoder's
