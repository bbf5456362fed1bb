"""Learners get the same text and weights, and what is timed is real text."""

import json
import random
from dataclasses import replace

import pytest
import torch
from transformers import AutoTokenizer, MarianConfig, MarianMTModel

from benchmarks import training
from benchmarks.learners import STRETCH, Course, Learner, Stretch, book, library
from encdec import results
from encdec.data.collate import Example
from encdec.recipe import OptimizationRecipe

VOCAB = 5000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("first")
    torch.manual_seed(0)
    config = MarianConfig(
        vocab_size=VOCAB, d_model=16, dropout=0.0, scale_embedding=True, encoder_layers=1,
        decoder_layers=1, encoder_ffn_dim=32, decoder_ffn_dim=32, encoder_attention_heads=2,
        decoder_attention_heads=2, max_position_embeddings=32, pad_token_id=VOCAB - 1,
        eos_token_id=0, decoder_start_token_id=VOCAB - 1,
    )  # fmt: skip
    MarianMTModel(config).save_pretrained(path)
    AutoTokenizer.from_pretrained(results.book_folder("models") / "marian-en-fr").save_pretrained(
        path
    )
    return path


def course(folder, longest, sentences=8 * 3 * STRETCH + 20):
    """Copying: from 2 to ``longest`` tokens and the end."""
    generator = random.Random(0)
    texts = [
        [generator.randrange(1, 60) for _ in range(generator.randint(2, longest))] + [0]
        for _ in range(sentences)
    ]
    recipe = OptimizationRecipe(
        epochs=1, max_tokens=16 * (longest + 1), learning_rate=1e-2, warmup_steps=2,
        precision="float32", save_every=10**9,
    )  # fmt: skip
    examples = [Example(text, text) for text in texts]
    return Course(folder, examples[:-20], examples[-20:], recipe)


def test_learners_get_the_same_text_and_learn_the_same_from_it(folder):
    same_lengths = course(folder, 2)
    assert (same_lengths.steps, same_lengths.sentences) == (3 * STRETCH, 8)
    found = training.measure(same_lengths, 1, {"book": (book, {}), "library": (library, {})})
    ours, theirs = (found[name]["curve"] for name in ("book", "library"))
    assert [point["tokens"] for point in ours] == [8 * 6 * STRETCH * n for n in (1, 2, 3)]
    assert [point["tokens"] for point in ours] == [point["tokens"] for point in theirs]
    assert ours[-1]["loss"] < ours[0]["loss"] - 1
    for mine, other in zip(ours, theirs, strict=True):
        assert mine["loss"] == pytest.approx(other["loss"], rel=0.02)
        # One update less: the library's first one has a learning rate of 0.
        assert mine["held_out"] == pytest.approx(other["held_out"], rel=0.05)
    for row in found.values():
        assert row["useful_share"] == 1.0
        assert 0 < row["lowest"] <= row["tokens_per_second"] <= row["highest"]


def test_sentences_of_all_lengths_are_counted_without_padding(folder):
    mixed = course(folder, 20)
    real = sum(2 * len(example.labels) for example in mixed.examples)
    learner = Learner(book, mixed, 1, own_model=False)
    done = [learner.stretch() for _ in range(mixed.stretches)]
    learner.close()
    # Steps after the last whole stretch are not timed.
    assert 0 <= real - sum(each.tokens for each in done) <= STRETCH * mixed.recipe.max_tokens
    assert all(each.tokens < each.padded for each in done)
    assert sum(each.padded for each in done) <= mixed.steps * mixed.recipe.max_tokens


def test_a_learner_that_fails_says_why(folder, tmp_path):
    without_weights = replace(course(folder, 2), folder=tmp_path)
    learner = Learner(book, without_weights, 1)
    with pytest.raises(RuntimeError, match="holds no config.json"):
        learner.stretch()
    learner.close()


def test_the_first_stretch_is_warm_up():
    slow, usual, fast = (Stretch(seconds, 30, 40, 5.0, 4.0) for seconds in (9.0, 1.0, 0.5))
    found = training.summarise([slow, usual, fast, fast])
    assert (found["lowest"], found["tokens_per_second"], found["highest"]) == (30, 60, 60)
    assert found["useful_share"] == 0.75
    assert found["curve"][0] == {"tokens": 30, "loss": 5.0, "held_out": 4.0}
    assert found["curve"][-1]["tokens"] == 120


def test_the_schedule_of_a_course_is_the_recipes_but_short():
    recipe = training.load_recipe(training.RECIPE)
    short = training.optimization(recipe)
    assert short.epochs == 1
    assert short.max_tokens == recipe.stages[0].max_tokens
    assert short.label_smoothing == recipe.stages[0].label_smoothing


def test_parts_are_written_one_by_one_while_the_course_is_the_same(folder, tmp_path):
    path, same, other = tmp_path / "run.json", course(folder, 4), course(folder, 5)
    training.save(path, same, "2", {"load_before": 0.0})
    training.save(path, same, "1", {"load_before": 1.0})
    assert list(json.loads(path.read_text())["parts"]) == ["1", "2"]
    training.save(path, other, "1", {"load_before": 2.0})
    assert json.loads(path.read_text())["parts"] == {"1": {"load_before": 2.0}}


@pytest.mark.parametrize("threads", ["1", "2"])
def test_the_recorded_run_is_as_fast_as_the_book_says(threads):
    found = results.load("benchmark-training")["parts"][threads]["learners"]
    assert set(found) == set(training.LEARNERS)
    ours = found[training.OURS]["tokens_per_second"]
    assert ours >= 2.0 * found[training.LIBRARY]["tokens_per_second"]
    assert ours >= 1.2 * found[training.GROUPED]["tokens_per_second"]


def test_in_the_recorded_run_the_loop_learns_what_the_library_s_does_from_such_batches():
    record = results.load("benchmark-training")
    ours = record["parts"][training.MIXED]["learners"][training.OURS]["curve"]
    theirs = record["parts"]["1"]["learners"][training.LIBRARY]["curve"]
    assert len(ours) == len(theirs) >= 6
    assert record["stretch"] == STRETCH
    for place, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        assert mine["tokens"] == pytest.approx(other["tokens"], rel=0.02)
        # The library's first update has a learning rate of 0: while losses fall fast, it is behind.
        near = 0.03 if place < len(ours) // 2 else 0.01
        assert mine["held_out"] == pytest.approx(other["held_out"], rel=near)


@pytest.mark.parametrize("threads", ["1", "2"])
def test_in_the_recorded_run_the_book_has_learnt_more_in_the_same_time(threads):
    """Batches of one length teach less per token at first; speed outweighs it."""
    found = results.load("benchmark-training")["parts"][threads]["learners"]
    ours, theirs = found[training.OURS], found[training.LIBRARY]
    seconds = ours["curve"][-1]["tokens"] / ours["tokens_per_second"]
    until_then = [
        point["held_out"]
        for point in theirs["curve"]
        if point["tokens"] / theirs["tokens_per_second"] <= 1.05 * seconds
    ]
    assert ours["curve"][-1]["held_out"] < until_then[-1] - 0.1
