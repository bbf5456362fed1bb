import pytest

import small
from encdec import generate
from encdec.answers import Answerer
from encdec.experiment import Experiment
from encdec.reranking import sentence_rouge
from encdec.text import generate_text

TEXTS = ["I see the house.", "it", "Anna knows a dog today and they hear the sea here."]


@pytest.fixture
def model(corpus, monkeypatch, tmp_path):
    small.use(monkeypatch, corpus)

    def make(family, **settings):
        evaluation = {"num_beams": 2, "max_new_tokens": 7, "batch_size": 2} | settings
        mixture = [{"translation": {"source": "en", "target": "fr"}}]
        recipe = small.recipe(family, mixture, evaluation=evaluation)
        Experiment.from_recipe(recipe).save(tmp_path)
        return Answerer.load(tmp_path, recipe)

    return make


@pytest.mark.parametrize("family", ["marian", "t5", "bart", "pegasus"])
def test_answers_are_what_generate_text_gives(model, family):
    answerer = model(family)
    expected = generate_text(
        answerer.model, answerer.tokenizer, TEXTS, num_beams=2, max_new_tokens=7, batch_size=2
    )
    assert answerer.answer(TEXTS) == expected


def test_a_decoder_alone_answers_without_the_question(model):
    answerer = model("gpt2")
    rows = answerer.sources(TEXTS)
    for row, answer in zip(rows, answerer.write(rows), strict=True):
        alone = answerer.tokenizer.pad({"input_ids": [row]}, return_tensors="pt").input_ids
        output = generate(answerer.model, alone, num_beams=2, max_new_tokens=7).sequences[0]
        end = answerer.tokenizer.eos_token_id
        assert answer == [t for t in output[len(row) :].tolist() if t != end]


def test_answers_come_back_in_the_order_of_the_questions(model):
    answerer = model("t5")
    one_by_one = [answerer.answer([text])[0] for text in TEXTS]
    assert answerer.answer(TEXTS) == one_by_one


def test_answers_hold_no_begin_no_end_and_no_padding(model):
    answerer = model("bart")
    for row in answerer.write(answerer.sources(TEXTS)):
        assert not set(row) & set(answerer.tokenizer.all_special_ids)


def test_greedy_stands_beside_beams_and_alone_without_them(model):
    assert list(model("t5").systems(TEXTS)) == ["beam 2", "greedy"]
    assert list(model("t5", num_beams=1).systems(TEXTS)) == ["greedy"]


def test_the_lowest_risk_is_a_sample_and_always_the_same(model):
    answerer = model("t5", samples=5, temperature=3.0)
    found = answerer.lowest_risk(TEXTS, sentence_rouge)
    assert len(found) == len(TEXTS)
    assert found == answerer.lowest_risk(TEXTS, sentence_rouge)
    assert found != answerer.write(answerer.sources(TEXTS), num_beams=1)


def test_of_many_samples_the_one_with_the_highest_utility_is_taken(model):
    answerer, tried = model("t5", samples=9, temperature=3.0), set()

    def length(candidate, _):
        tried.add(candidate)
        return len(candidate)

    (found,) = answerer.texts(answerer.lowest_risk(TEXTS[:1], length))
    assert len(tried) > 3
    assert len(found) == max(map(len, tried))


def test_progress_is_told_batch_by_batch(model):
    answerer, seen = model("t5"), []
    answerer.what, answerer.on_batch = "x", lambda *progress: seen.append(progress)
    answerer.answer(TEXTS)
    assert seen == [("x", 2, 3), ("x", 3, 3)]


def test_options_are_the_recipes(model):
    assert "no_repeat_ngram_size" not in model("t5").options
    options = model("t5", no_repeat_ngram_size=3, length_penalty=0.5).options
    assert options["no_repeat_ngram_size"] == 3
    assert options["length_penalty"] == 0.5
