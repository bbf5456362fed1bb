"""The benchmarks measure what they say: the same weights, inputs and lengths for every system."""

import json

import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration

from benchmarks import decoding, length
from benchmarks.bandwidth import read_bandwidth
from benchmarks.systems import Numbers, Worker, book, transformers
from encdec import results


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("tiny")
    config = T5Config(
        vocab_size=64, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2,
        decoder_start_token_id=0,
    )  # fmt: skip
    T5ForConditionalGeneration(config).save_pretrained(path)
    return path


def test_two_systems_write_the_same_tokens_and_as_many_as_asked_for(folder):
    workers = {"encdec": Worker(book, folder, 1), "transformers": Worker(transformers, folder, 1)}
    sources = [[5, 6, 7, 8], [9, 10, 11, 12]]
    found = decoding.measure(workers, sources, beams=2, tokens=6, repeats=2)
    ids = {name: worker.run(sources, 2, 6).ids for name, worker in workers.items()}
    for worker in workers.values():
        worker.close()
    assert ids["encdec"] == ids["transformers"]
    assert [len(row) for row in ids["encdec"]] == [6, 6]
    for outcome in found.values():
        assert outcome["same_tokens"] == 1.0
        assert 0 < outcome["lowest"] <= outcome["tokens_per_second"] <= outcome["highest"]


def test_a_system_that_fails_is_recorded_and_the_others_go_on(folder):
    workers = {
        "transformers": Worker(transformers, folder, 1),
        "broken": Worker(book, folder, 1, dtype="int8"),
    }
    workers["broken"].process.join(60)  # it can't be built, and ends
    found = decoding.measure(workers, [[5, 6]], beams=1, tokens=2, repeats=1)
    assert "error" in found["broken"]
    assert found["transformers"]["tokens_per_second"] > 0
    workers["transformers"].close()


def test_a_step_reads_the_decoder_and_the_output_layer_but_no_projection_of_the_source(folder):
    model = T5ForConditionalGeneration.from_pretrained(folder)
    self_attention, cross, network = 4 * 16 * 16, 2 * 16 * 16, 2 * 16 * 32
    norms, bias, output = 4 * 16, 32 * 2, 64 * 16
    expected = self_attention + cross + network + norms + bias + output
    assert decoding.bytes_per_step(model) == 4 * expected


def test_memory_is_read_at_a_believable_speed():
    assert 1e9 < read_bandwidth(megabytes=64, repeats=3) < 2e12


def test_words_stand_for_ids(folder):
    numbers = Numbers(T5Config.from_pretrained(folder))
    assert [numbers.get_vocab()[numbers.convert_ids_to_tokens(i)] for i in (0, 1, 63)] == [0, 1, 63]


def test_sizes_are_written_one_by_one(tmp_path):
    path = tmp_path / "run.json"
    decoding.save(path, "book", {"rows": [1]})
    decoding.save(path, "t5-small", {"rows": [2]})
    decoding.save(path, "book", {"rows": [3]})
    sizes = json.loads(path.read_text())["sizes"]
    assert {size: found["rows"] for size, found in sizes.items()} == {"book": [3], "t5-small": [2]}


def test_every_step_of_a_long_output_is_timed(monkeypatch):
    monkeypatch.setattr(length, "LONGEST", 12)
    network = length.model()
    source = torch.randint(5, 4900, (1, 6))
    assert len(length.with_cache(network, source, 2)) == 12
    assert "step" not in vars(network)


def test_the_recorded_run_compares_all_systems_on_equal_terms():
    record = results.load("benchmark-decoding")
    assert set(record["sizes"]) == set(decoding.SIZES)
    for found in record["sizes"].values():
        settings = {(row["batch"], row["num_beams"]) for row in found["rows"]}
        assert settings == {(b, n) for b in decoding.NEW_TOKENS for n in decoding.BEAMS}
        assert found["repeats"] >= 5
        for row in found["rows"]:
            assert row["systems"]["encdec"]["same_tokens"] > 0.99
            if row["batch"] == 1:
                assert set(row["systems"]) == set(decoding.MODES)


def best(systems, family):
    """The recorded speed of a family of systems at its fastest setting."""
    return max(
        found["tokens_per_second"] for name, found in systems.items() if name.startswith(family)
    )


@pytest.mark.parametrize("beams", [1, 4])
@pytest.mark.parametrize(
    ("size", "family", "times"),
    [
        ("book", "transformers", 2.0),
        ("t5-small", "transformers", 1.4),
        ("t5-small", "CTranslate2 float32", 0.8),
    ],
)
def test_the_recorded_run_is_as_fast_as_the_book_says(size, family, times, beams):
    rows = results.load("benchmark-decoding")["sizes"][size]["rows"]
    [row] = (row for row in rows if (row["batch"], row["num_beams"]) == (1, beams))
    ours = row["systems"]["encdec"]["tokens_per_second"]
    assert ours > times * best(row["systems"], family)


def test_a_token_costs_the_same_at_the_end_of_512_as_at_the_beginning():
    """The recorded run, not this machine: a timed test would fail on a busy one."""
    growth = results.load("benchmark-length")["last_to_first"]
    assert growth["greedy"] < 1.5
    assert growth["4 beams"] < 1.5
    assert growth["greedy, no cache"] > 3
