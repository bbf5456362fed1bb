"""A model exported by `encdec.export`, run by onnxruntime; `generate` writes with it as with ours.

Shape letters: `source` tokens of the one sentence that is read, `rows` sequences being written,
`new` tokens since the last step, `layers` decoder layers, `heads` attention heads, `d_kv` width of
one head, `written` tokens that are there already, `vocab` tokens that can be written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from encdec.corpora import Corpora
from encdec.data.parallel import group_references
from encdec.decoding import greedy_search
from encdec.export import FILES, ExportError, export
from encdec.metrics import chrf
from encdec.recipe import TranslationRecipe, load_recipe
from encdec.results import provenance
from encdec.stacks import Record
from encdec.transformer import EncoderDecoder
from encdec.zoo import load_folder

Floats = NDArray[np.float32]


@dataclass
class ExportedCache:
    """What a decoding step needs of the steps before, and of the source.

    Args:
        keys: (layers, rows, heads, written, d_kv).
        values: (layers, rows, heads, written, d_kv).
        cross_keys: (layers, heads, source, d_kv).
        cross_values: (layers, heads, source, d_kv).
    """

    keys: Floats
    values: Floats
    cross_keys: Floats
    cross_values: Floats

    def reorder(self, beam_index: Tensor) -> None:
        """Let row i continue what row `beam_index[i]` has written.

        Args:
            beam_index: (new rows,).
        """
        index = beam_index.cpu().numpy()
        self.keys, self.values = self.keys[:, index], self.values[:, index]

    def repeat(self, times: int) -> None:
        """Repeat every row.

        Args:
            times: how often.
        """
        self.keys = np.repeat(self.keys, times, axis=1)
        self.values = np.repeat(self.values, times, axis=1)


class ExportedModel:
    """Encoder and decoding step as ONNX graphs; one sentence at a time.

    Args:
        folder: what `encdec.export.export` wrote.
        threads: how many onnxruntime computes with.

    Raises:
        ExportError: if a file or the package onnxruntime is missing.
    """

    target_is_separate = True

    def __init__(self, folder: str | Path, *, threads: int = 1) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ExportError(
                "the package onnxruntime is not here, and running an export needs it: "
                "pip install onnxruntime"
            ) from error
        folder = Path(folder)
        for name in FILES:
            if not (folder / name).is_file():
                raise ExportError(
                    f"the folder {folder} holds no {name}: write it with `python -m encdec export`."
                )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        providers = ["CPUExecutionProvider"]
        self.encoder, self.decoder = (
            onnxruntime.InferenceSession(folder / name, options, providers=providers)
            for name in FILES[:2]
        )
        self.description: dict[str, Any] = json.loads((folder / "model.json").read_text("utf8"))
        described = self.description
        ends = described["eos_token_ids"]
        special = ("pad_token_id", "decoder_start_token_id", "forced_bos_token_id")
        self.config = SimpleNamespace(
            **{name: described[name] for name in special},
            eos_token_id=tuple(ends) or None,
            forced_eos_token_id=tuple(described["forced_eos_token_ids"]) or None,
            suppress_tokens=tuple(described["suppress_tokens"]),
            generation=described["generation"],
        )

    def room(self, input_ids: Tensor) -> int | None:
        """Tell that outputs have no limit of their own (part of the protocol of decoding)."""
        return None

    def start(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        prompt: Tensor | None = None,
        max_length: int | None = None,
        record: Record | None = None,
    ) -> tuple[Tensor, ExportedCache]:
        """Read the source (part of the protocol of `encdec.decoding`).

        Args:
            input_ids: (1, source).
            attention_mask: all ones, (1, source), or None.
            prompt: how the target begins, (1, prompt).
            max_length: of no interest here.
            record: of no interest here.

        Returns:
            The prompt, and a cache in which nothing is written yet.

        Raises:
            ValueError: if there is no prompt, or more than one sentence, or one with padding.
        """
        if prompt is None:
            raise ValueError("prompt is None: the decoder needs a token to start from")
        padded = attention_mask is not None and not bool(attention_mask.all())
        if len(input_ids) != 1 or padded:
            raise ValueError(
                f"input_ids has {len(input_ids)} rows{' with padding' * padded}: an exported model "
                "reads one sentence at a time, without padding"
            )
        ids = input_ids[0].numpy().astype(np.int32)  # (source,)
        cross_keys, cross_values = self.encoder.run(None, {"input_ids": ids})
        layers, heads, _, d_kv = cross_keys.shape
        nothing = np.zeros((layers, 1, heads, 0, d_kv), dtype=np.float32)
        return prompt, ExportedCache(nothing, nothing, cross_keys, cross_values)

    def step(self, tokens: Tensor, cache: ExportedCache, record: Record | None = None) -> Tensor:
        """Score the next token (part of the protocol of `encdec.decoding`).

        Args:
            tokens: what was written since the last step, (rows, new).
            cache: what was written before; it grows by the new tokens.
            record: notebook for the weights of cross-attention.

        Returns:
            Logits, (rows, vocab).
        """
        looks = []
        for column in tokens.T.numpy().astype(np.int32):  # (rows,)
            logits, cache.keys, cache.values, look = self.decoder.run(
                None,
                {
                    "tokens": column,
                    "past_keys": cache.keys,
                    "past_values": cache.values,
                    "cross_keys": cache.cross_keys,
                    "cross_values": cache.cross_values,
                },
            )
            looks.append(torch.from_numpy(look))  # (layers, rows, heads, source)
        if record is not None and record.attentions:
            record.cross_attentions += torch.stack(looks, dim=3).unbind(0)
        return torch.from_numpy(logits)


def load_exported(
    folder: str | Path, *, threads: int = 1
) -> tuple[ExportedModel, PreTrainedTokenizerFast]:
    """Load an export and its tokenizer.

    Args:
        folder: what `encdec.export.export` wrote.
        threads: how many onnxruntime computes with.

    Returns:
        The model, and a tokenizer that encodes and decodes as the original does.

    Raises:
        ExportError: if a file or the package onnxruntime is missing.
    """
    model = ExportedModel(folder, threads=threads)
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(Path(folder) / "tokenizer.json"))
    return model, tokenizer


def agreement(
    model: EncoderDecoder,
    exported: ExportedModel,
    tokenizer: PreTrainedTokenizerBase,
    sources: Sequence[str],
    *,
    max_new_tokens: int = 128,
    on_sentence: Callable[[int], None] = lambda done: None,
) -> dict[str, Any]:
    """Compare an export with the model it was made of, token by token, in greedy search.

    A token is equal if the export chooses it after everything that PyTorch wrote before it. So one
    difference counts once, and not for all that follows from it.

    Args:
        model: the original.
        exported: its export.
        tokenizer: the model's.
        sources: what both read.
        max_new_tokens: how much is written at most.
        on_sentence: called after every sentence with the number of those done.

    Returns:
        How many sentences and tokens there were, how many of them are equal, the largest difference
        of two log-probabilities, and both outputs as texts, ``original`` and ``exported``.
    """
    counts = {"sentences": 0, "equal_sentences": 0, "tokens": 0, "equal_tokens": 0}
    farthest = 0.0
    texts: tuple[list[str], list[str]] = ([], [])
    for source in sources:
        ids = tokenizer(source, return_tensors="pt").input_ids  # (1, source)
        first, second = (
            greedy_search(m, ids, max_new_tokens=max_new_tokens) for m in (model, exported)
        )
        wanted = first.sequences[0, 1:].tolist()
        same = first.sequences.tolist() == second.sequences.tolist()
        prompt = first.sequences[:, :-1]
        with torch.no_grad():
            expected = cast(Tensor, model(ids, decoder_input_ids=prompt))[0]  # (target, vocab)
        _, cache = exported.start(ids, prompt=prompt)
        steps = [exported.step(prompt[:, [i]], cache)[0] for i in range(len(wanted))]
        logits = torch.stack(steps)  # (target, vocab)
        equal = sum(a == b for a, b in zip(wanted, logits.argmax(-1).tolist(), strict=True))
        difference = logits.log_softmax(-1) - expected.log_softmax(-1)
        farthest = max(farthest, float(difference.abs().max()))
        counts["sentences"] += 1
        counts["equal_sentences"] += same
        counts["tokens"] += len(wanted)
        counts["equal_tokens"] += equal
        for found, output in zip(texts, (first, second), strict=True):
            found.append(tokenizer.decode(output.sequences[0], skip_special_tokens=True))
        on_sentence(counts["sentences"])
    return {**counts, "farthest": farthest, "original": texts[0], "exported": texts[1]}


def measure(
    folder: Path,
    on_sentence: Callable[[str, int, int], None] = lambda name, of, done: None,
    examples: int = 1000,
) -> dict[str, Any]:
    """Export a model in floats and in integers and compare both with PyTorch on held-out sentences.

    Args:
        folder: a model folder, with the recipe that says what is held out.
        on_sentence: called with the export's name, the number of sentences and of those done.
        examples: how many sentences are read at most, from the start of the test split.

    Returns:
        For each export its size, what `agreement` counts, and chrF of both outputs against the
        references; and where the figures come from.

    Raises:
        EncdecError: the model translates nothing, or its corpus is not at hand.
    """
    recipe = load_recipe(folder / "recipe.yaml")
    kinds = [part.kind for part in recipe.stages[-1].mixture]
    kind = next((kind for kind in kinds if isinstance(kind, TranslationRecipe)), None)
    if kind is None:
        raise ExportError(f"{recipe.name} was not trained to translate: there is nothing to score.")
    groups = group_references(Corpora(recipe.held_out).pairs(kind).test)
    references = list(groups.values())[:examples]
    sources = [kind.prefix + source for source in list(groups)[:examples]]
    model, tokenizer = load_folder(folder, device="cpu")
    found: dict[str, Any] = {"name": recipe.name, "direction": kind.direction, "exports": {}}
    for name, bits in (("float32", 32), ("int8", 8)):
        with TemporaryDirectory() as place:
            sizes = export(model, tokenizer, place, bits=bits)  # type: ignore[arg-type]
            compared = agreement(
                model,  # type: ignore[arg-type]
                ExportedModel(place),
                tokenizer,
                sources,
                on_sentence=partial(on_sentence, name, len(sources)),
            )
        texts = {system: compared.pop(system) for system in ("original", "exported")}
        scores = {system: chrf(answers, references).as_dict() for system, answers in texts.items()}
        found["exports"][name] = {"bytes": sum(sizes.values()), **compared, "chrF": scores}
    target = f"--to exported --report results/export-{recipe.name}.json"
    command = f"python -m encdec export {folder.as_posix()} {target}"
    return found | {"provenance": provenance(command)}
