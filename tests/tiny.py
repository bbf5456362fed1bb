"""Tiny random models of every family, in transformers' code and in ours, with the same weights."""

import functools
import tempfile
from pathlib import Path

import pytest
import torch
import transformers
from packaging.version import Version

from encdec.transformer import DecoderOnly, EncoderDecoder

VOCAB = 37
BART_SIZES = {
    "vocab_size": VOCAB,
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 20,
    "max_position_embeddings": 48,
}
# heads * d_kv = 18 differs from d_model = 16 on purpose
T5_SIZES = {
    "vocab_size": VOCAB,
    "d_model": 16,
    "d_kv": 6,
    "num_heads": 3,
    "d_ff": 24,
    "num_layers": 2,
    "num_decoder_layers": 2,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 12,
    "decoder_start_token_id": 0,
}


def lacks(version):
    """Whether transformers is older than the version that mended something."""
    return Version(transformers.__version__) < Version(version)


def since(version):
    """Skips a comparison with what this version of transformers has mended."""
    reason = f"transformers has mended this in {version}"
    return pytest.mark.skipif(lacks(version), reason=reason)


def _t5():
    config = transformers.T5Config(**{**T5_SIZES, "num_decoder_layers": 1})
    return transformers.T5ForConditionalGeneration(config)


def _t5_v11():
    config = transformers.T5Config(
        **T5_SIZES, feed_forward_proj="gated-gelu", tie_word_embeddings=False
    )
    model = transformers.T5ForConditionalGeneration(config)
    model.lm_head.weight = torch.nn.Parameter(torch.empty(VOCAB, 16))
    return model


def _mt5():
    model = transformers.MT5ForConditionalGeneration(transformers.MT5Config(**T5_SIZES))
    model.lm_head.weight = torch.nn.Parameter(torch.empty(VOCAB, 16))
    return model


def _bart():
    return transformers.BartForConditionalGeneration(transformers.BartConfig(**BART_SIZES))


def _mbart():
    config = transformers.MBartConfig(
        **BART_SIZES, scale_embedding=True, decoder_start_token_id=2, forced_bos_token_id=5
    )
    return transformers.MBartForConditionalGeneration(config)


def _marian():
    config = transformers.MarianConfig(
        **BART_SIZES,
        scale_embedding=True,
        activation_function="swish",
        pad_token_id=VOCAB - 1,
        decoder_start_token_id=VOCAB - 1,
    )
    model = transformers.MarianMTModel(config)
    model.generation_config.bad_words_ids = [[VOCAB - 1]]
    return model


def _marian_two_vocabularies():
    config = transformers.MarianConfig(
        **BART_SIZES,
        scale_embedding=True,
        activation_function="swish",
        share_encoder_decoder_embeddings=False,
        decoder_vocab_size=29,
        pad_token_id=28,
        decoder_start_token_id=28,
    )
    model = transformers.MarianMTModel(config)
    model.generation_config.bad_words_ids = [[28]]
    return model


def _pegasus():
    config = transformers.PegasusConfig(
        **BART_SIZES, scale_embedding=True, activation_function="relu"
    )
    return transformers.PegasusForConditionalGeneration(config)


def _gpt2():
    config = transformers.GPT2Config(
        vocab_size=VOCAB,
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_positions=64,
        bos_token_id=1,
        eos_token_id=1,
        pad_token_id=0,
    )
    return transformers.GPT2LMHeadModel(config)


BUILDERS = {
    "t5": _t5,
    "t5-v1.1": _t5_v11,
    "mt5": _mt5,
    "bart": _bart,
    "mbart": _mbart,
    "marian": _marian,
    "marian-two-vocabularies": _marian_two_vocabularies,
    "pegasus": _pegasus,
    "gpt2": _gpt2,
}
FAMILIES = tuple(BUILDERS)
FOLDERS = tempfile.TemporaryDirectory(prefix="encdec-")  # goes when the tests end
ENCODER_DECODERS = tuple(name for name in FAMILIES if name != "gpt2")


def randomise(model, seed=0):
    """Give a transformers model weights that are far from its initialisation."""
    generator = torch.Generator().manual_seed(seed)

    def noise(tensor):
        return torch.randn(tensor.shape, generator=generator)

    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                scaled = 0.3 * noise(parameter)
                parameter.copy_(scaled if parameter.dim() > 1 else parameter + scaled / 3)
        if hasattr(model, "final_logits_bias"):
            model.final_logits_bias.copy_(noise(model.final_logits_bias))
        # a long row of the output table: the end comes often enough to be tested
        model.get_output_embeddings().weight[model.config.eos_token_id] *= 3
    return model.eval()


@functools.cache
def folder(family, seed=0):
    """Write a random model in transformers' layout, once."""
    path = Path(FOLDERS.name) / f"{family}-{seed}"
    randomise(BUILDERS[family](), seed).save_pretrained(path)
    return path


@functools.cache
def theirs(family, seed=0):
    """The random model in transformers' code, with its readable attention."""
    name = type(BUILDERS[family]()).__name__
    model = getattr(transformers, name).from_pretrained(
        folder(family, seed), dtype=torch.float32, attn_implementation="eager"
    )
    return model.eval()


@functools.cache
def ours(family, seed=0):
    """The same weights in our code."""
    model_class = DecoderOnly if family == "gpt2" else EncoderDecoder
    return model_class.from_pretrained(folder(family, seed))


def batch(family, lengths, seed=0, *, side="right"):
    """Random input ids of given lengths and their mask, padded on one side."""
    generator = torch.Generator().manual_seed(seed)
    pad = ours(family).config.pad_token_id
    top = min(VOCAB, ours(family).config.target_vocab_size) - 2
    width = max(lengths)
    ids = torch.full((len(lengths), width), pad)
    mask = torch.zeros(len(lengths), width, dtype=torch.long)
    for row, length in enumerate(lengths):
        place = slice(0, length) if side == "right" else slice(width - length, width)
        ids[row, place] = torch.randint(3, top, (length,), generator=generator)
        mask[row, place] = 1
    return ids, mask
