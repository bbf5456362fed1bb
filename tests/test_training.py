import json
import os
import random
import signal
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    MarianConfig,
    MarianMTModel,
    T5Config,
    T5ForConditionalGeneration,
)

from encdec import DecoderOnly, EncoderDecoder, TransformerConfig, training
from encdec.data.collate import Example, collate, collate_causal
from encdec.recipe import OptimizationRecipe
from encdec.training import (
    CHECKPOINT,
    LOG,
    Trainer,
    TrainingError,
    choose_precision,
    logits_only_at,
    parameter_groups,
    read_log,
    read_safetensors,
    schedule,
    set_dropout,
    write_safetensors,
)

VOCAB = 40


def recipe(**changes):
    values = {"epochs": 3, "max_tokens": 200, "learning_rate": 3e-3, "warmup_steps": 5}
    return OptimizationRecipe(**values | {"precision": "float32", "save_every": 4} | changes)


def model(dropout=0.1, d_model=16):
    torch.manual_seed(0)
    return MarianMTModel(
        MarianConfig(
            vocab_size=VOCAB, d_model=d_model, dropout=dropout, scale_embedding=True,
            encoder_layers=1, decoder_layers=1, encoder_ffn_dim=32, decoder_ffn_dim=32,
            encoder_attention_heads=2, decoder_attention_heads=2, max_position_embeddings=32,
            pad_token_id=VOCAB - 1, eos_token_id=0, decoder_start_token_id=VOCAB - 1,
        )
    )  # fmt: skip


def epoch(number):
    """Copying backwards: the source differs from epoch to epoch, as with BPE-dropout."""
    generator = random.Random(number)
    sources = [
        [generator.randrange(1, VOCAB - 1) for _ in range(generator.randint(2, 9))]
        for _ in range(120)
    ]
    return [Example([*source, 0], [*source[::-1], 0]) for source in sources]


def decoder_only():
    torch.manual_seed(0)
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCAB, n_embd=16, n_layer=1, n_head=2, n_inner=32, n_positions=32,
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
            pad_token_id=VOCAB - 1, eos_token_id=0, bos_token_id=0,
        )
    )  # fmt: skip


def trainer(folder, net=None, batches=None, **changes):
    special = {"pad_token_id": VOCAB - 1, "decoder_start_token_id": VOCAB - 1}
    return Trainer(
        model=net or model(),
        epoch=epoch,
        recipe=recipe(**changes),
        folder=Path(folder),
        seed=0,
        collate=batches or partial(collate, **special),
    )


def weights(folder):
    return read_safetensors(Path(folder) / CHECKPOINT)[0]


def test_training_lowers_the_loss(tmp_path):
    trainer(tmp_path, epochs=12).run()
    log = read_log(tmp_path / LOG)
    assert log[-1]["loss"] < log[0]["loss"] - 0.05
    assert log[-1]["step"] <= log[-1]["of"]


@pytest.mark.parametrize(
    ("theirs", "ours", "batches"),
    [
        (partial(model, dropout=0.0), EncoderDecoder, None),
        (decoder_only, DecoderOnly, partial(collate_causal, pad_token_id=VOCAB - 1)),
    ],
    ids=["encoder-decoder", "decoder-only"],
)
def test_a_model_of_ours_learns_as_the_same_one_of_transformers(tmp_path, theirs, ours, batches):
    theirs().save_pretrained(tmp_path / "first")
    trainer(tmp_path / "theirs", theirs(), batches, epochs=9).run()
    trainer(tmp_path / "ours", ours.from_pretrained(tmp_path / "first"), batches, epochs=9).run()
    logs = [read_log(tmp_path / name / LOG) for name in ("theirs", "ours")]
    losses = [[line["loss"] for line in log] for log in logs]
    assert losses[0][-1] < losses[0][0]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


@pytest.mark.parametrize("parts", [2, 3, 50])
def test_a_batch_learnt_in_parts_is_the_same_batch(tmp_path, parts):
    trainer(tmp_path / "whole", model(dropout=0.0)).run()
    trainer(tmp_path / "parts", model(dropout=0.0), accumulate=parts).run()
    whole, learnt = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    for name in whole.keys() - {"generators"}:
        torch.testing.assert_close(whole[name], learnt[name], atol=1e-3, rtol=1e-2)
    logs = [read_log(tmp_path / name / LOG) for name in ("whole", "parts")]
    assert [line["loss"] for line in logs[0]] == pytest.approx(
        [line["loss"] for line in logs[1]], rel=1e-4
    )


def test_a_batch_is_collated_part_by_part(tmp_path):
    sizes = []
    learner = trainer(tmp_path, accumulate=4, epochs=1)
    collator = learner.collate
    learner.collate = lambda rows: sizes.append(len(rows)) or collator(rows)
    learner.run()
    for batch in learner._batches(0)[1]:
        number = min(4, len(batch))
        parts, sizes = sizes[:number], sizes[number:]
        assert sum(parts) == len(batch)
        assert max(parts) == -(-len(batch) // 4)


@pytest.mark.parametrize("stop_after", [4, 7, 13])
def test_a_resumed_run_ends_with_the_very_same_weights(tmp_path, stop_after):
    trainer(tmp_path / "whole").run()
    trainer(tmp_path / "cut").run(stop_after=stop_after)
    trainer(tmp_path / "cut").run()
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


SCRIPT = textwrap.dedent(
    """
    import sys
    sys.path.insert(0, {folder!r})
    import test_training
    test_training.trainer(sys.argv[1], save_every=2, epochs=200).run()
    """
).format(folder=str(Path(__file__).parent))


def test_a_killed_process_leaves_a_checkpoint_to_resume_from(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path)])
    try:
        while not (tmp_path / CHECKPOINT).exists():
            assert process.poll() is None
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    again = trainer(tmp_path, save_every=2, epochs=200)
    position = json.loads(read_safetensors(tmp_path / CHECKPOINT)[1]["position"])
    assert again.run(stop_after=position["step"] + 3).step == position["step"] + 3
    steps = [line["step"] for line in read_log(tmp_path / LOG)]
    assert steps == sorted(set(steps))


@pytest.mark.slow
def test_two_processes_give_the_loss_curve_of_one(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import test_training as t\n"
        "trainer = t.trainer(sys.argv[1], t.model(dropout=0.0), epochs=12)\n"
        "assert trainer.accelerator.num_processes == 2\n"
        "trainer.run()\n"
    )
    trainer(tmp_path / "one", model(dropout=0.0), epochs=12).run()
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
        str(script), str(tmp_path / "two"),
    ]  # fmt: skip
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stderr[-2000:]
    one, two = read_log(tmp_path / "one" / LOG), read_log(tmp_path / "two" / LOG)
    assert len(one) == len(two) > 2
    for single, double in zip(one, two, strict=True):
        assert single["step"] == double["step"]
        assert single["loss"] == pytest.approx(double["loss"], rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["whole", "shared"])
def test_two_processes_go_on_from_a_checkpoint_whether_or_not_they_share_the_weights(
    tmp_path, kind
):
    trainer(tmp_path / "one", model(dropout=0.0)).run()
    script = Path(__file__).with_name("two_processes.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    result = subprocess.run(
        [*command, "--nproc-per-node=2", script, tmp_path / "two", kind],
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stderr[-2000:]
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert one.keys() == two.keys()
    for name in one.keys() - {"generators"}:
        assert one[name].shape == two[name].shape
        torch.testing.assert_close(one[name], two[name], atol=1e-3, rtol=1e-2)
    # One process reads what two have written.
    alone = trainer(tmp_path / "two", model(dropout=0.0), epochs=4)
    assert alone.run().step > read_log(tmp_path / "one" / LOG)[-1]["step"]


def test_a_loss_that_is_not_a_number_names_step_and_batch(tmp_path):
    net = model()
    with torch.no_grad():
        net.final_logits_bias[0, 3] = float("nan")
    with pytest.raises(TrainingError, match=r"loss is nan at step 1 \(epoch 0, batch 0\)"):
        trainer(tmp_path, net).run()


def test_a_failing_write_leaves_the_previous_checkpoint_whole(tmp_path, monkeypatch):
    trainer(tmp_path).run(stop_after=5)
    before = (tmp_path / CHECKPOINT).read_bytes()

    def full(tensors, path, metadata):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(training, "save_file", full)
    with pytest.raises(TrainingError, match="No space left on device.*untouched"):
        trainer(tmp_path).run()
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    assert not list(tmp_path.glob("*.tmp"))


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    trainer(tmp_path).run(stop_after=4)
    with pytest.raises(TrainingError, match="belongs to a model of another shape"):
        trainer(tmp_path, model(d_model=32)).run()


def test_a_damaged_checkpoint_is_named(tmp_path):
    trainer(tmp_path).run(stop_after=4)
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(TrainingError, match="is damaged .* remove it to start over"):
        trainer(tmp_path).run()


def test_the_schedule_warms_up_and_ends_at_zero():
    r = recipe(learning_rate=1.0, warmup_steps=10)
    rates = [schedule(step, 100, r) for step in range(1, 101)]
    assert rates[9] == max(rates) == 1.0
    assert rates[:10] == sorted(rates[:10])
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] == pytest.approx(0.0)


@pytest.mark.parametrize(("total", "warmup"), [(100, 10), (5, 1), (3, 1), (95, 10)])
def test_a_part_of_the_steps_warms_up_however_few_there_are(total, warmup):
    r = recipe(learning_rate=1.0, warmup_steps=0.1)
    rates = [schedule(step, total, r) for step in range(1, total + 1)]
    assert r.warmup(total) == warmup
    assert max(rates) == rates[warmup - 1] == 1.0


def test_norms_and_biases_are_not_decayed():
    decayed, free = parameter_groups(model(), recipe(weight_decay=0.1))
    assert decayed["weight_decay"] == 0.1
    assert free["weight_decay"] == 0.0
    assert {p.ndim for p in decayed["params"]} == {2}
    assert {p.ndim for p in free["params"]} == {1}
    trained = [p for p in model().parameters() if p.requires_grad]
    assert len(decayed["params"]) + len(free["params"]) == len(trained)


def test_token_vectors_and_queries_may_move_at_rates_of_their_own():
    torch.manual_seed(0)
    sizes = {"vocab_size": VOCAB, "d_model": 16, "d_ff": 32, "num_heads": 2, "d_kv": 8}
    network = T5ForConditionalGeneration(T5Config(num_layers=2, **sizes))
    rates = recipe(embedding_rate=5.0, query_rate=0.5)
    *usual, vectors, queries = parameter_groups(network, rates)
    assert [group["rate"] for group in (*usual, vectors, queries)] == [1.0, 1.0, 5.0, 0.5]
    assert vectors["params"] == [network.get_input_embeddings().weight]
    assert len(queries["params"]) == 2 + 2 * 2  # encoder, decoder and cross-attention
    assert network.decoder.block[1].layer[1].EncDecAttention.q.weight in set(queries["params"])
    together = [p for group in (*usual, vectors, queries) for p in group["params"]]
    assert len(set(together)) == len(together) == len(list(network.parameters()))


@pytest.mark.parametrize("network", [model(dropout=0.0), decoder_only()], ids=["marian", "gpt2"])
def test_logits_of_some_places_are_those_of_all(network):
    ids = torch.randint(1, VOCAB - 1, (3, 7), generator=torch.Generator().manual_seed(0))
    inputs = {"input_ids": ids}
    if network.config.is_encoder_decoder:
        inputs |= {"decoder_input_ids": ids.flip(0), "attention_mask": torch.ones_like(ids)}
    places = ids % 3 == 0
    everywhere = network(**inputs).logits
    with logits_only_at(network, places):
        chosen = network(**inputs).logits
    assert 0 < len(chosen) == places.sum() < ids.numel()
    assert torch.allclose(chosen, everywhere[places], atol=1e-6)
    assert network(**inputs).logits.shape == everywhere.shape  # and afterwards as before


def test_a_model_that_hides_its_last_layer_computes_all_logits():
    sizes = {"vocab_size": VOCAB, "d_model": 16, "num_heads": 2, "d_ff": 32}
    network = DecoderOnly(TransformerConfig.family("gpt2", **sizes))
    ids = torch.arange(1, 9)[None]
    with logits_only_at(network, ids > 4):
        assert network(ids).shape == (1, 8, VOCAB)


@pytest.mark.parametrize(
    "network",
    [
        model(),
        T5ForConditionalGeneration(T5Config(vocab_size=VOCAB, d_model=16, num_layers=1)),
        GPT2LMHeadModel(GPT2Config(vocab_size=VOCAB, n_embd=16, n_layer=1, n_head=2)),
        EncoderDecoder(TransformerConfig.family("t5", vocab_size=VOCAB, d_model=16, dropout=0.1)),
    ],
    ids=["marian", "t5", "gpt2", "own"],
)
def test_a_stage_may_leave_out_less(network):
    ids = torch.arange(1, 9).repeat(2, 1)
    inputs = {"input_ids": ids}
    if not isinstance(network, GPT2LMHeadModel):
        inputs |= {"decoder_input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def logits():
        output = network.train()(**inputs)
        return output if isinstance(output, torch.Tensor) else output.logits

    assert not torch.equal(logits(), logits())  # by chance, until it is turned off
    set_dropout(network, 0.0)
    assert torch.equal(logits(), logits())


def test_dropout_is_left_as_it_is_unless_a_recipe_says_otherwise(tmp_path):
    for rate, kept in ((None, 0.1), (0.0, 0.0)):
        run = trainer(tmp_path / str(rate), dropout=rate)
        assert run.network.model.encoder.layers[0].dropout == kept


def test_precision_is_taken_as_asked_or_chosen():
    assert choose_precision("float16") == "float16"
    assert choose_precision("auto") in ("bfloat16", "float32")


@pytest.mark.parametrize(("precision", "attention"), [("bfloat16", "eager"), ("float32", "sdpa")])
def test_attention_is_computed_the_faster_way(tmp_path, precision, attention):
    network = decoder_only()
    run = trainer(tmp_path, network, partial(collate_causal, pad_token_id=0), precision=precision)
    if run.accelerator.device.type != "cpu":
        pytest.skip("a CPU's")
    assert network.config._attn_implementation == attention


def test_stages_of_one_process_may_have_precisions_of_their_own(tmp_path):
    for number, precision in enumerate(("float32", "bfloat16", "float32")):
        run = trainer(tmp_path / str(number), precision=precision)
        assert run.accelerator.mixed_precision == {"float32": "no"}.get(precision, "bf16")
        assert run.run(stop_after=2).step == 2


def test_safetensors_round_trip(tmp_path):
    tensors = {"a": torch.arange(4.0), "b": torch.eye(2)[:, :1]}
    write_safetensors(tmp_path / "x.safetensors", tensors, {"k": "v"})
    read, metadata = read_safetensors(tmp_path / "x.safetensors")
    assert metadata == {"k": "v"}
    assert all(torch.equal(tensors[name], read[name]) for name in tensors)
