"""A saved model that answers as its recipe says: framed as in training, with the same search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from encdec.architectures import ARCHITECTURES
from encdec.data.parallel import Pair
from encdec.decoding import generate
from encdec.mixture import Encoder
from encdec.recipe import EvaluationRecipe, Recipe
from encdec.reranking import Utility, minimum_risk
from encdec.zoo import load_folder

Progress = Callable[[str, int, int], None]  # what is being scored, items so far, of how many
Rows = list[list[int]]


def silent(what: str, done: int, total: int) -> None:
    """Report no progress."""


@dataclass
class Answerer:
    """A model with what it needs to answer.

    Args:
        model: an `EncoderDecoder` or a `DecoderOnly`.
        tokenizer: the model's.
        encoder: the model's tokens in the frames that it was trained with.
        settings: how it searches.
        on_batch: called after every batch.
    """

    model: Any
    tokenizer: PreTrainedTokenizerBase
    encoder: Encoder
    settings: EvaluationRecipe
    on_batch: Progress = silent
    what: str = ""

    @classmethod
    def load(cls, folder: Path, recipe: Recipe, on_batch: Progress = silent) -> Answerer:
        """The model of a folder, searching as a recipe says."""
        model, tokenizer = load_folder(folder)
        layout = ARCHITECTURES[recipe.architecture].layout
        encoder = Encoder(tokenizer, layout, tokenizer.model_max_length)
        return cls(model, tokenizer, encoder, recipe.evaluation, on_batch)

    @property
    def options(self) -> dict[str, Any]:
        """How the model searches."""
        settings = self.settings
        found = {
            "num_beams": settings.num_beams,
            "length_penalty": settings.length_penalty,
            "max_new_tokens": settings.max_new_tokens,
        }
        if settings.no_repeat_ngram_size:
            found["no_repeat_ngram_size"] = settings.no_repeat_ngram_size
        return found

    def sources(self, texts: Sequence[str], limit: int | None = None) -> Rows:
        """Token ids of sources, as in training."""
        pairs = [Pair(text, "") for text in texts]
        return [example.input_ids for example in self.encoder.examples(pairs, source_limit=limit)]

    def write(self, rows: Rows, **changes: Any) -> Rows:
        """Answer sources; sources of similar length share a batch.

        Returns:
            Token ids of the answers, without begin and end.
        """
        options = self.options | changes
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        answers: Rows = [[] for _ in rows]
        frame = set(self.tokenizer.all_special_ids)
        device = next(self.model.parameters()).device
        for start in range(0, len(order), self.settings.batch_size):
            chosen = order[start : start + self.settings.batch_size]
            batch = self.tokenizer.pad(
                {"input_ids": [rows[i] for i in chosen]}, return_tensors="pt"
            ).to(device)
            with torch.inference_mode():
                output = generate(
                    self.model,
                    batch["input_ids"],
                    attention_mask=batch["attention_mask"],
                    **options,
                )
            begin = 1 if self.model.target_is_separate else batch["input_ids"].shape[1]
            for index, written in zip(chosen, output.sequences[:, begin:].tolist(), strict=True):
                end = _index(written, self.tokenizer.eos_token_id)
                answers[index] = [token for token in written[:end] if token not in frame]
            self.on_batch(self.what, start + len(chosen), len(order))
        return answers

    def lowest_risk(self, texts: Sequence[str], utility: Utility, limit: int | None = None) -> Rows:
        """Of as many samples as the recipe asks for, the one that most resembles the others."""
        number, rows = self.settings.samples, self.sources(texts, limit)
        samples = self.write(
            [row for row in rows for _ in range(number)],
            num_beams=1,
            do_sample=True,
            temperature=self.settings.temperature,
            generator=torch.Generator(self.model.device).manual_seed(0),
        )
        chosen = []
        for start in range(0, len(samples), number):
            candidates = samples[start : start + number]
            chosen.append(candidates[minimum_risk(self.texts(candidates), utility=utility)])
        return chosen

    def texts(self, rows: Rows) -> list[str]:
        """Answers in words."""
        return list(self.tokenizer.batch_decode(rows, skip_special_tokens=True))

    def answer(self, texts: Sequence[str], limit: int | None = None, **changes: Any) -> list[str]:
        """Text in, text out."""
        return self.texts(self.write(self.sources(texts, limit), **changes))

    def systems(self, texts: Sequence[str], limit: int | None = None) -> dict[str, Rows]:
        """What the model answers with beams, if the recipe asks for some, and greedily."""
        rows, beams = self.sources(texts, limit), self.settings.num_beams
        found = {f"beam {beams}": self.write(rows)} if beams > 1 else {}
        return found | {"greedy": self.write(rows, num_beams=1)}


def _index(row: list[int], token: int) -> int:
    """Where a token stands first; the end of the row if it does not."""
    return row.index(token) if token in row else len(row)
