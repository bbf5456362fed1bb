"""Checkpoints go in and out without a loss, and whatever does not fit is named."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
import torch
import transformers
from huggingface_hub.errors import (
    EntryNotFoundError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)
from safetensors.torch import load_file, save_file

from encdec.config import TransformerConfig
from encdec.stacks import ModelOutput
from encdec.transformer import DecoderOnly, EncoderDecoder, PrefixLM
from tiny import ENCODER_DECODERS, FAMILIES, batch, folder, ours, theirs


@pytest.fixture
def copy_of(tmp_path):
    """A copy of a family's folder, to be spoiled."""

    def make(family):
        target = tmp_path / family
        shutil.copytree(folder(family), target)
        return target

    return make


def edit(path, name="config.json", **changes):
    file = path / name
    content = json.loads(file.read_text())
    content.update(changes)
    file.write_text(json.dumps({key: value for key, value in content.items() if value != "gone"}))


def logits(model, family):
    ids, mask = batch(family, [6, 6])
    target, _ = batch(family, [4, 4], seed=2)
    inputs = {"input_ids": ids, "attention_mask": mask}
    if family != "gpt2":
        inputs["decoder_input_ids"] = target
    with torch.no_grad():
        output = model(**inputs)
    return output if isinstance(output, torch.Tensor | ModelOutput) else output.logits


@pytest.mark.parametrize("family", FAMILIES)
def test_parity_after_saving_transformers_loads_back(family, tmp_path):
    ours(family).save_pretrained(tmp_path)
    again = type(theirs(family)).from_pretrained(tmp_path, attn_implementation="eager").eval()
    assert torch.equal(logits(again, family), logits(theirs(family), family))
    for name in ("pad_token_id", "eos_token_id", "decoder_start_token_id", "forced_eos_token_id"):
        assert getattr(again.generation_config, name) == getattr(
            theirs(family).generation_config, name
        )
    assert again.generation_config.bad_words_ids == theirs(family).generation_config.bad_words_ids


@pytest.mark.parametrize("family", FAMILIES)
def test_a_round_trip_changes_nothing(family, tmp_path):
    model = ours(family)
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert again.config == model.config
    assert not again.training
    state = again.state_dict()
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(state[name], each) for name, each in model.state_dict().items())


@pytest.mark.parametrize("family", ["t5", "marian"])
def test_a_fresh_model_can_be_published(family, tmp_path):
    config = TransformerConfig.family(
        family,
        vocab_size=20,
        d_model=8,
        d_ff=12,
        num_heads=2,
        num_layers=1,
        attention_dropout=0.1,
        activation_dropout=0.1,
    )
    model = EncoderDecoder(config).eval()
    model.save_pretrained(tmp_path, dtype=torch.float16)
    assert {each.dtype for each in load_file(tmp_path / "model.safetensors").values()} == {
        torch.float16
    }
    again = EncoderDecoder.from_pretrained(tmp_path)
    assert {each.dtype for each in again.parameters()} == {torch.float32}
    ids = torch.tensor([[3, 4, 5]])
    loaded = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path, dtype=torch.float32)
    with torch.no_grad():
        wanted = loaded.eval()(input_ids=ids, decoder_input_ids=ids).logits
        torch.testing.assert_close(again(ids, decoder_input_ids=ids), wanted, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(
            again(ids, decoder_input_ids=ids),
            model(ids, decoder_input_ids=ids),
            atol=2e-2,
            rtol=2e-2,
        )


def test_a_file_in_parts_is_read_by_its_index(copy_of):
    path = copy_of("bart")
    tensors = load_file(path / "model.safetensors")
    names = sorted(tensors)
    halves = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in halves.items():
        save_file({name: tensors[name] for name in part}, path / file)
    index = {"weight_map": {name: file for file, part in halves.items() for name in part}}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    (path / "model.safetensors").unlink()
    assert torch.equal(
        logits(EncoderDecoder.from_pretrained(path), "bart"), logits(ours("bart"), "bart")
    )


def rewrite(path, change):
    tensors = load_file(path / "model.safetensors")
    change(tensors)
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("family", "change"),
    [
        ("t5", lambda t: t.update({"lm_head.weight": t["shared.weight"].clone()})),
        ("t5", lambda t: t.update({"encoder.embed_tokens.weight": t.pop("shared.weight")})),
        ("bart", lambda t: t.pop("final_logits_bias")),
        ("bart", lambda t: t.update({"lm_head.weight": t["model.shared.weight"].clone()})),
        (
            "marian",
            lambda t: t.update(
                {
                    f"model.{stack}.embed_positions.weight": theirs("marian")
                    .model.encoder.embed_positions.weight.clone()
                    .half()
                    for stack in ("encoder", "decoder")
                }
            ),
        ),
        ("gpt2", lambda t: t.update({"transformer.h.0.attn.bias": torch.ones(1, 1, 4, 4)})),
    ],
    ids=["tied-twice", "other-name", "no-bias", "tied-output", "stored-sinusoids", "old-mask"],
)
def test_what_a_file_says_twice_or_leaves_to_the_reader_is_understood(copy_of, family, change):
    path = copy_of(family)
    rewrite(path, change)
    model = type(ours(family)).from_pretrained(path)
    expected = logits(ours(family), family)
    if "final_logits_bias" in load_file(folder(family) / "model.safetensors"):
        expected = expected - ours(family).output_bias + model.output_bias
    torch.testing.assert_close(logits(model, family), expected)


def test_files_without_a_prefix_are_read(copy_of):
    for family, prefix in (("bart", "model."), ("gpt2", "transformer.")):
        path = copy_of(family)

        def strip(tensors, prefix=prefix):
            for name in list(tensors):
                tensors[name.removeprefix(prefix)] = tensors.pop(name)

        rewrite(path, strip)
        model = type(ours(family)).from_pretrained(path)
        assert torch.equal(logits(model, family), logits(ours(family), family))


@pytest.mark.parametrize(
    ("family", "change", "complaint"),
    [
        (
            "t5",
            lambda t: t.pop("decoder.block.0.layer.1.EncDecAttention.q.weight"),
            r"lacks decoder\.block\.0\.layer\.1\.EncDecAttention\.q\.weight",
        ),
        (
            "bart",
            lambda t: t.update({"model.encoder.extra": torch.ones(1)}),
            r"holds model\.encoder\.extra.*no place",
        ),
        (
            "bart",
            lambda t: t.update({"lm_head.weight": t["model.shared.weight"] + 1}),
            r"lm_head\.weight differs from the token embeddings",
        ),
        (
            "marian",
            lambda t: t.update({"model.encoder.embed_positions.weight": torch.ones(48, 16)}),
            "other positions than sines followed by cosines",
        ),
        (
            "gpt2",
            lambda t: t.update({"transformer.ln_f.bias": torch.ones(3)}),
            r"decoder\.final_norm\.bias has shape \(3,\).*\(16,\)",
        ),
    ],
    ids=["missing", "unknown", "untied", "other-sinusoids", "shape"],
)
def test_a_tensor_that_does_not_fit_is_named(copy_of, family, change, complaint):
    path = copy_of(family)
    rewrite(path, change)
    with pytest.raises(ValueError, match=complaint):
        type(ours(family)).from_pretrained(path)


@pytest.mark.parametrize(
    ("family", "changes", "complaint"),
    [
        ("t5", {"model_type": "longt5"}, "model_type='longt5' is not supported; supported are t5"),
        ("t5", {"model_type": "gone"}, "model_type=None is not supported"),
        (
            "t5",
            {"architectures": ["T5EncoderModel"]},
            r"architectures=\['T5EncoderModel'\] is not supported",
        ),
        ("t5", {"is_encoder_decoder": False}, "is_encoder_decoder=False in config.json"),
        ("t5", {"feed_forward_proj": "gated-mish"}, "activation='mish' must be one of"),
        ("t5", {"quantization_config": {"bits": 4}}, "quantization_config is set"),
        ("bart", {"encoder_layerdrop": 0.1}, "encoder_layerdrop=0.1 in config.json"),
        ("bart", {"static_position_embeddings": True}, "static_position_embeddings=True"),
        ("bart", {"encoder_attention_heads": 3}, "encoder_attention_heads=3.*must divide"),
        ("marian", {"tie_word_embeddings": False}, "tie_word_embeddings=False in config.json"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx=True"),
        ("gpt2", {"add_cross_attention": True}, "add_cross_attention=True"),
        ("gpt2", {"n_head": 3}, "n_head=3.*must divide n_embd=16"),
    ],
)
def test_a_flag_that_is_not_supported_is_named(copy_of, family, changes, complaint):
    path = copy_of(family)
    edit(path, **changes)
    with pytest.raises(ValueError, match=complaint):
        type(ours(family)).from_pretrained(path)


def test_the_first_mbart_calls_itself_bart_and_says_so_in_flags(copy_of):
    path = copy_of("mbart")
    flags = {"normalize_before": True, "add_final_layer_norm": True, "normalize_embedding": True}
    edit(path, model_type="bart", architectures=["BartForConditionalGeneration"], **flags)
    model = EncoderDecoder.from_pretrained(path)
    assert torch.equal(logits(model, "mbart"), logits(ours("mbart"), "mbart"))


def test_each_class_refuses_the_others_checkpoints():
    with pytest.raises(ValueError, match=r"is a decoder alone.*use DecoderOnly\.from_pretrained"):
        EncoderDecoder.from_pretrained(folder("gpt2"))
    with pytest.raises(ValueError, match=r"encoder–decoder.*use EncoderDecoder\.from_pretrained"):
        DecoderOnly.from_pretrained(folder("t5"))


def test_pickled_weights_are_not_read(copy_of):
    path = copy_of("t5")
    (path / "model.safetensors").rename(path / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match=r"no model\.safetensors.*never pickled"):
        EncoderDecoder.from_pretrained(path)


def test_a_folder_without_a_configuration_is_no_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no config\.json"):
        EncoderDecoder.from_pretrained(tmp_path)


@pytest.mark.parametrize("family", ENCODER_DECODERS)
def test_advice_of_a_checkpoint_is_kept(copy_of, family, tmp_path):
    path = copy_of(family)
    edit(path, "generation_config.json", num_beams=4, length_penalty=0.6, max_length=20)
    model = EncoderDecoder.from_pretrained(path)
    assert model.config.generation["num_beams"] == 4
    assert model.config.generation["max_length"] == 20
    model.save_pretrained(tmp_path / "again")
    advice = json.loads((tmp_path / "again" / "generation_config.json").read_text())
    assert (advice["num_beams"], advice["length_penalty"]) == (4, 0.6)


def test_several_ends_and_no_padding_are_understood(copy_of):
    path = copy_of("gpt2")
    edit(path, pad_token_id=None, eos_token_id=[1, 5])
    edit(path, "generation_config.json", pad_token_id=None, eos_token_id=[1, 5])
    config = DecoderOnly.from_pretrained(path).config
    assert (config.eos_token_ids, config.pad_token_id) == ((1, 5), 1)
    DecoderOnly.from_pretrained(path).save_pretrained(path / "again")
    assert DecoderOnly.from_pretrained(path / "again").config == config


def test_a_model_with_more_than_its_layout_is_refused(tmp_path):
    model = EncoderDecoder(ours("t5").config)
    model.extra = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"extra\.bias, extra\.weight has no place"):
        model.save_pretrained(tmp_path)


def test_old_files_have_their_advice_in_the_configuration(copy_of):
    path = copy_of("bart")
    (path / "generation_config.json").unlink()
    edit(path, num_beams=4, max_length=20, no_repeat_ngram_size=3)
    generation = EncoderDecoder.from_pretrained(path).config.generation
    assert generation == {"num_beams": 4, "no_repeat_ngram_size": 3}


def test_a_model_that_a_layout_cannot_express_is_refused(tmp_path):
    config = replace(ours("bart").config, norm="rms_norm")
    with pytest.raises(ValueError, match="norm='rms_norm' cannot be said in the layout"):
        EncoderDecoder(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="model_type='mine' cannot be saved"):
        EncoderDecoder(replace(config, model_type="mine")).save_pretrained(tmp_path)


def test_models_of_our_own_have_a_layout_of_their_own(tmp_path):
    config = TransformerConfig.family(
        "gpt2",
        vocab_size=20,
        d_model=8,
        d_ff=12,
        num_heads=2,
        num_decoder_layers=1,
        pad_token_id=0,
        decoder_start_token_id=0,
        bad_words_ids=((3, 4),),
    )
    model = PrefixLM(config).eval()
    model.save_pretrained(tmp_path, dtype=torch.bfloat16)
    again = PrefixLM.from_pretrained(tmp_path)
    assert again.config == model.config
    ids = torch.tensor([[3, 4, 5]])
    torch.testing.assert_close(
        again(ids, decoder_input_ids=ids), model(ids, decoder_input_ids=ids), atol=0.1, rtol=0.1
    )
    with pytest.raises(ValueError, match="holds a PrefixLM, but EncoderDecoder was asked for"):
        EncoderDecoder.from_pretrained(tmp_path)


# --- the Hub -------------------------------------------------------------------------------------


class NoRepository(RepositoryNotFoundError):
    def __init__(self):
        """Without the response that the real one wants."""


def test_without_a_network_one_sentence_says_what_to_do(monkeypatch):
    def fail(*args, **options):
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(
        ConnectionError, match=r"google-t5/t5-small.*go online, or name a folder"
    ) as e:
        EncoderDecoder.from_pretrained("google-t5/t5-small")
    assert "\n" not in str(e.value)


def test_the_offline_switch_is_respected(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConnectionError, match="nobody/nothing"):
        EncoderDecoder.from_pretrained("nobody/nothing")


@pytest.mark.parametrize(
    ("error", "complaint"),
    [
        (NoRepository(), "neither a folder here nor a repos"),
        (HFValidationError("no"), "neither a folder here nor a name on the Hub"),
        (
            EntryNotFoundError("no"),
            r"holds no config\.json: it is not a model",
        ),
        (OSError("cable cut"), "cannot be reached"),
    ],
)
def test_what_the_hub_lacks_is_named(monkeypatch, error, complaint):
    def fail(*args, **options):
        raise error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(OSError, match=complaint):
        EncoderDecoder.from_pretrained("some/model")


@pytest.mark.parametrize("parts", [False, True])
def test_only_what_is_needed_comes_from_the_hub(monkeypatch, copy_of, parts):
    path = copy_of("t5")
    if parts:
        (path / "model.safetensors").rename(path / "one.safetensors")
        index = {"weight_map": {"anything": "one.safetensors"}}
        (path / "model.safetensors.index.json").write_text(json.dumps(index))
    asked = []

    def fetch(hub_id, name, revision=None):
        asked.append((hub_id, name, revision))
        if not (path / name).is_file():
            raise EntryNotFoundError("no")
        return str(path / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    model = EncoderDecoder.from_pretrained("some/model", revision="refs/pr/1")
    assert torch.equal(logits(model, "t5"), logits(ours("t5"), "t5"))
    assert {(each[0], each[2]) for each in asked} == {("some/model", "refs/pr/1")}
    names = {each[1] for each in asked}
    assert {"config.json", "generation_config.json", "model.safetensors"} <= names
    assert all(Path(name).suffix in (".json", ".safetensors") for name in names)


@pytest.mark.parametrize("status", ["open", "closed"])
def test_converted_weights_are_found_where_the_main_branch_has_pickles(
    monkeypatch, copy_of, status
):
    path = copy_of("marian")

    def fetch(hub_id, name, revision=None):
        if name == "model.safetensors" and revision != "refs/pr/4":
            raise EntryNotFoundError("no")
        if not (path / name).is_file():
            raise EntryNotFoundError("no")
        if name == "config.json" and revision is None:
            (main := path / "main").mkdir(exist_ok=True)
            (main / name).write_text((path / name).read_text())
            return str(main / name)
        return str(path / name)

    class Request:
        git_reference = "refs/pr/4"

    def discussions(self, hub_id, author, discussion_type):
        assert (author, discussion_type) == ("SFconvertbot", "pull_request")
        Request.status = status
        return iter([Request()])

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    monkeypatch.setattr(huggingface_hub.HfApi, "get_repo_discussions", discussions)
    if status == "open":
        model = EncoderDecoder.from_pretrained("some/model")
        assert torch.equal(logits(model, "marian"), logits(ours("marian"), "marian"))
    else:
        with pytest.raises(FileNotFoundError, match=r"holds no model\.safetensors"):
            EncoderDecoder.from_pretrained("some/model")
