"""From a recipe to a trained, scored and saved model: what ``python -m encdec train`` does."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import MarianConfig, MarianMTModel, PreTrainedTokenizerFast

from encdec.data.collate import Example
from encdec.data.parallel import Pair, Splits, load_multi30k, load_tatoeba, split_by_source
from encdec.recipe import DataRecipe, ModelRecipe, Recipe
from encdec.tokenizer import BPEDropout, train_tokenizer
from encdec.training import Report, Trainer


@dataclass
class Experiment:
    """The parts of a run, made from its recipe and from nothing else."""

    recipe: Recipe
    splits: Splits
    tokenizer: PreTrainedTokenizerFast
    model: MarianMTModel

    @classmethod
    def from_recipe(cls, recipe: Recipe, *, limit: int | None = None) -> Experiment:
        """Read the corpus, learn the tokenizer and draw the first weights.

        Args:
            recipe: what to train.
            limit: keep only so many pairs of each split (a smoke run).
        """
        splits = load_splits(recipe.data)
        if limit:
            splits = Splits(*(pairs[:limit] for pairs in vars(splits).values()))
        texts = [text for pair in splits.train for text in pair]
        tokenizer = train_tokenizer(texts, recipe.tokenizer.vocab_size)
        torch.manual_seed(recipe.seed)
        model = MarianMTModel(marian_config(recipe.model, tokenizer))
        return cls(recipe, splits, tokenizer, model)

    def trainer(self, folder: Path, report: Report = lambda line: None) -> Trainer:
        """A trainer that continues the run in ``folder``, or begins one there."""
        encoder = BPEDropout(self.tokenizer, self.recipe.tokenizer.dropout, seed=self.recipe.seed)
        pieces = [
            (encoder.pieces(source), encoder.pieces(target))
            for source, target in within(self.splits.train, self.recipe.model.max_length)
        ]

        def epoch(number: int) -> list[Example]:
            generator = random.Random(f"{self.recipe.seed} {number}")
            return [
                Example(encoder.encode(source, generator), encoder.encode(target, generator))
                for source, target in pieces
            ]

        return Trainer(
            model=self.model,
            epoch=epoch,
            recipe=self.recipe.optimization,
            folder=folder,
            seed=self.recipe.seed,
            pad_token_id=self.model.config.pad_token_id,
            decoder_start_token_id=self.model.config.decoder_start_token_id,
            report=report,
        )


def load_splits(recipe: DataRecipe) -> Splits:
    """The three splits that a recipe asks for."""
    if recipe.corpus == "multi30k":
        return load_multi30k(recipe.source, recipe.target)
    return split_by_source(
        load_tatoeba(recipe.target, recipe.source),
        validation=recipe.validation,
        test=recipe.test,
        seed=recipe.split_seed,
    )


def marian_config(recipe: ModelRecipe, tokenizer: PreTrainedTokenizerFast) -> MarianConfig:
    """A recipe's sizes as transformers writes them."""
    pad = tokenizer.pad_token_id
    return MarianConfig(
        vocab_size=len(tokenizer),
        d_model=recipe.d_model,
        encoder_layers=recipe.encoder_layers,
        decoder_layers=recipe.decoder_layers,
        encoder_attention_heads=recipe.num_heads,
        decoder_attention_heads=recipe.num_heads,
        encoder_ffn_dim=recipe.d_ff,
        decoder_ffn_dim=recipe.d_ff,
        dropout=recipe.dropout,
        activation_function=recipe.activation,
        max_position_embeddings=recipe.max_length,
        scale_embedding=True,
        pad_token_id=pad,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=pad,
        forced_eos_token_id=tokenizer.eos_token_id,
    )


def within(pairs: list[Pair], max_length: int) -> list[Pair]:
    """Pairs that fit the positions even when every character is a token of its own."""
    return [pair for pair in pairs if max(map(len, pair)) + 2 <= max_length]
