"""What sets the five families apart in training: configuration, special tokens, batches.

Everything else, from the mixture to the loop, is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    GPT2Config,
    GPT2LMHeadModel,
    MarianConfig,
    MarianMTModel,
    PegasusConfig,
    PegasusForConditionalGeneration,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from encdec.data.collate import collate, collate_causal
from encdec.recipe import ModelRecipe
from encdec.tokenizer import LAYOUTS, Layout
from encdec.training import Collate


@dataclass(frozen=True)
class Architecture:
    """One family.

    Attributes:
        model: transformers' class.
        config: a recipe's sizes as transformers writes them for this family.
        layout: its special tokens.
    """

    model: type[PreTrainedModel]
    config: Callable[[ModelRecipe, PreTrainedTokenizerFast], Any]
    layout: Layout

    def build(self, recipe: ModelRecipe, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
        """A model with fresh weights, drawn from torch's generator."""
        return self.model(self.config(recipe, tokenizer))

    def collate(self, model: PreTrainedModel) -> Collate:
        """How examples become a batch for ``model``."""
        pad = model.config.pad_token_id
        if self.layout.one_row:
            return partial(collate_causal, pad_token_id=pad)
        start = model.config.decoder_start_token_id
        return partial(collate, pad_token_id=pad, decoder_start_token_id=start)


def _special(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    return {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }


def _sizes(recipe: ModelRecipe) -> dict[str, Any]:
    """Sizes in the words that BART, Marian and Pegasus share."""
    return {
        "d_model": recipe.d_model,
        "encoder_layers": recipe.encoder_layers,
        "decoder_layers": recipe.decoder_layers,
        "encoder_attention_heads": recipe.num_heads,
        "decoder_attention_heads": recipe.num_heads,
        "encoder_ffn_dim": recipe.d_ff,
        "decoder_ffn_dim": recipe.d_ff,
        "dropout": recipe.dropout,
        "activation_function": recipe.activation,
        "max_position_embeddings": recipe.max_length,
    }


def marian_config(recipe: ModelRecipe, tokenizer: PreTrainedTokenizerFast) -> MarianConfig:
    """Marian's: sinusoidal positions; padding begins the decoder's input."""
    return MarianConfig(
        **_sizes(recipe),
        **_special(tokenizer),
        scale_embedding=True,
        decoder_start_token_id=tokenizer.pad_token_id,
        forced_eos_token_id=tokenizer.eos_token_id,
    )


def pegasus_config(recipe: ModelRecipe, tokenizer: PreTrainedTokenizerFast) -> PegasusConfig:
    """Pegasus's: as Marian's, with the norm before each sublayer."""
    return PegasusConfig(
        **_sizes(recipe),
        **_special(tokenizer),
        scale_embedding=True,
        decoder_start_token_id=tokenizer.pad_token_id,
        forced_eos_token_id=tokenizer.eos_token_id,
    )


def bart_config(recipe: ModelRecipe, tokenizer: PreTrainedTokenizerFast) -> BartConfig:
    """BART's: learned positions; the decoder begins with ``</s> <s>``."""
    return BartConfig(
        **_sizes(recipe),
        **_special(tokenizer),
        decoder_start_token_id=tokenizer.eos_token_id,
        forced_bos_token_id=tokenizer.bos_token_id,
        forced_eos_token_id=tokenizer.eos_token_id,
    )


def t5_config(recipe: ModelRecipe, tokenizer: PreTrainedTokenizerFast) -> T5Config:
    """T5's first layout: relative positions, one table for input and output, no biases."""
    return T5Config(
        **_special(tokenizer),
        d_model=recipe.d_model,
        d_kv=recipe.d_model // recipe.num_heads,
        d_ff=recipe.d_ff,
        num_layers=recipe.encoder_layers,
        num_decoder_layers=recipe.decoder_layers,
        num_heads=recipe.num_heads,
        dropout_rate=recipe.dropout,
        feed_forward_proj=recipe.activation,
        decoder_start_token_id=tokenizer.pad_token_id,
    )


def gpt2_config(recipe: ModelRecipe, tokenizer: PreTrainedTokenizerFast) -> GPT2Config:
    """GPT-2's: learned positions for source and target together."""
    return GPT2Config(
        **_special(tokenizer),
        n_embd=recipe.d_model,
        n_layer=recipe.decoder_layers,
        n_head=recipe.num_heads,
        n_inner=recipe.d_ff,
        n_positions=recipe.max_length,
        activation_function=recipe.activation,
        resid_pdrop=recipe.dropout,
        embd_pdrop=recipe.dropout,
        attn_pdrop=0.0,
    )


ARCHITECTURES = {
    "marian": Architecture(MarianMTModel, marian_config, LAYOUTS["marian"]),
    "t5": Architecture(T5ForConditionalGeneration, t5_config, LAYOUTS["t5"]),
    "bart": Architecture(BartForConditionalGeneration, bart_config, LAYOUTS["bart"]),
    "pegasus": Architecture(PegasusForConditionalGeneration, pegasus_config, LAYOUTS["pegasus"]),
    "gpt2": Architecture(GPT2LMHeadModel, gpt2_config, LAYOUTS["gpt2"]),
}


def freeze_sinusoids(model: PreTrainedModel) -> None:
    """Keep tables of sines as they are: transformers 5.24 would train them like weights."""
    for module in model.modules():
        if "Sinusoidal" in type(module).__name__:
            module.requires_grad_(False)
