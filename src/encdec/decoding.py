"""Writing text with a model that scores next tokens: greedy search, beam search, sampling.

Any model will do that follows `Decodable`: the Transformers of this package and its recurrent
networks. For every option that transformers' `generate` has too, greedy and beam search give the
same token ids on the same weights.

Shape letters: `batch` inputs, `beams` hypotheses kept for each input, `rows` sequences being
written (batch × beams), `vocab` tokens that can be written, `length` tokens of the longest output.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from encdec.options import DEFAULT_MAX_NEW_TOKENS, GenerationOptions
from encdec.writers import (
    BeamStep,
    BeamWriter,
    Candidate,
    Decodable,
    GenerationAttentions,
    GenerationOutput,
    RowWriter,
    best_token,
)

__all__ = [
    "DEFAULT_MAX_NEW_TOKENS",
    "BeamStep",
    "Candidate",
    "Decodable",
    "GenerationAttentions",
    "GenerationOptions",
    "GenerationOutput",
    "beam_search",
    "generate",
    "greedy_search",
    "sample",
    "stream",
]


def generate(
    model: Decodable,
    input_ids: Tensor,
    attention_mask: Tensor | None = None,
    *,
    decoder_input_ids: Tensor | None = None,
    **options: Any,
) -> GenerationOutput:
    """Write with whichever method the options ask for.

    `do_sample=True` samples, `num_beams` above 1 searches with beams, anything else is greedy.

    Args:
        model: any `Decodable`.
        input_ids: source of an encoder–decoder, or text to continue (then padded on the left),
            (batch, source).
        attention_mask: 1 or True for real tokens, (batch, source); all if not given.
        decoder_input_ids: how the output of an encoder–decoder begins, (batch, prompt); the start
            token is put before it if it is not there.
        **options: fields of `GenerationOptions`.

    Returns:
        The output.

    Raises:
        ValueError: if ids, mask or an option's value are impossible, or the model scores with NaN.
        TypeError: if an option is unknown or of the wrong type.
    """
    asked = GenerationOptions.resolve(model.config, options)
    search = sample if asked.do_sample else beam_search if asked.num_beams > 1 else greedy_search
    return search(model, input_ids, attention_mask, decoder_input_ids=decoder_input_ids, **options)


@torch.no_grad()
def greedy_search(
    model: Decodable,
    input_ids: Tensor,
    attention_mask: Tensor | None = None,
    *,
    decoder_input_ids: Tensor | None = None,
    **options: Any,
) -> GenerationOutput:
    """Write the likeliest token, then the likeliest after that, until all rows have ended.

    Args:
        model: any `Decodable`.
        input_ids: (batch, source).
        attention_mask: 1 or True for real tokens, (batch, source).
        decoder_input_ids: how an encoder–decoder's output begins, (batch, prompt).
        **options: fields of `GenerationOptions`; those of beams and sampling do not matter.

    Returns:
        The output.

    Raises:
        ValueError: if ids, mask or an option's value are impossible, or the model scores with NaN.
        TypeError: if an option is unknown or of the wrong type.
    """
    with evaluating(model):
        writer = RowWriter(model, input_ids, attention_mask, decoder_input_ids, options)
        while not writer.done:
            scores = writer.score_next()  # (rows, vocab)
            writer.append(best_token(scores))
        return writer.finish()


@torch.no_grad()
def sample(
    model: Decodable,
    input_ids: Tensor,
    attention_mask: Tensor | None = None,
    *,
    decoder_input_ids: Tensor | None = None,
    **options: Any,
) -> GenerationOutput:
    """Draw each token at random, likely ones more often.

    Args:
        model: any `Decodable`.
        input_ids: (batch, source).
        attention_mask: 1 or True for real tokens, (batch, source).
        decoder_input_ids: how an encoder–decoder's output begins, (batch, prompt).
        **options: fields of `GenerationOptions`; those of beams do not matter.

    Returns:
        The output, `num_return_sequences` rows for each input.

    Raises:
        ValueError: if ids, mask or an option's value are impossible, or the model scores with NaN.
        TypeError: if an option is unknown or of the wrong type.
    """
    options = {**options, "do_sample": True}
    with evaluating(model):
        writer = RowWriter(model, input_ids, attention_mask, decoder_input_ids, options)
        while not writer.done:
            scores = writer.score_next()  # (rows, vocab)
            writer.append(draw(scores, writer.options.generator))
        return writer.finish()


@torch.no_grad()
def beam_search(
    model: Decodable,
    input_ids: Tensor,
    attention_mask: Tensor | None = None,
    *,
    decoder_input_ids: Tensor | None = None,
    trace: bool = False,
    **options: Any,
) -> GenerationOutput:
    """Keep the best few hypotheses at every step, instead of the best one.

    Every beam is continued by every token; the best continuations of all beams together live on.
    One that ends is set aside, and its score divided by its length to the power of
    `length_penalty`, as log-probabilities fall with every token. Twice as many candidates as beams
    are looked at, so that there are enough to live on even if half of them end.

    Args:
        model: any `Decodable`.
        input_ids: (batch, source).
        attention_mask: 1 or True for real tokens, (batch, source).
        decoder_input_ids: how an encoder–decoder's output begins, (batch, prompt).
        trace: whether to return the tree, as `return_trace` in the options.
        **options: fields of `GenerationOptions`; those of sampling do not matter.

    Returns:
        The output, the `num_return_sequences` best rows for each input, best first.

    Raises:
        ValueError: if ids, mask or an option's value are impossible, or the model scores with NaN.
        TypeError: if an option is unknown or of the wrong type.

    From "Sequence to Sequence Learning with Neural Networks" (Sutskever et al., 2014), section 3.2.
    """
    if trace:
        options = {**options, "return_trace": True}
    with evaluating(model):
        writer = BeamWriter(model, input_ids, attention_mask, decoder_input_ids, options)
        running, finished = writer.fresh_beams()
        improvable = torch.ones_like(running.done[:, :1])  # (batch, 1)
        some_finished = False
        while not writer.done:
            scores = writer.score_next()  # (rows, vocab), log-probabilities
            candidates = writer.extend(running, scores)  # (batch, twice as many as beams)
            some_ended = bool(candidates.done.any())
            kept = candidates.alive(writer.beams, some_ended)  # (batch, beams)
            if some_ended:
                finished = writer.crown(finished, running, candidates, improvable)
                some_finished = True
            running = writer.follow(running, candidates, kept)  # (batch, beams)
            if some_finished:  # until then, every beam may still become the best
                improvable = improvable & writer.can_improve(running, finished)  # (batch, 1)
                full = writer.options.early_stopping is True and bool(finished.done.all())
                writer.done = full or bool(candidates.done.all()) or not bool(improvable.any())
        return writer.finish(finished)


@torch.no_grad()
def stream(
    model: Decodable,
    input_ids: Tensor,
    attention_mask: Tensor | None = None,
    *,
    decoder_input_ids: Tensor | None = None,
    **options: Any,
) -> Iterator[Tensor]:
    """Write greedily or by sampling, and hand out each token as soon as it is there.

    Args:
        model: any `Decodable`.
        input_ids: (batch, source).
        attention_mask: 1 or True for real tokens, (batch, source).
        decoder_input_ids: how an encoder–decoder's output begins, (batch, prompt).
        **options: fields of `GenerationOptions`.

    Yields:
        The next token of each row, (rows,); padding in rows that have ended.

    Raises:
        ValueError: if ids, mask or an option's value are impossible, or the model scores with NaN.
        TypeError: if an option is unknown or of the wrong type.
    """
    asked = GenerationOptions.resolve(model.config, options)
    if asked.num_beams > 1:
        raise ValueError(
            f"num_beams={asked.num_beams} cannot be streamed: which beam wins is known only at the "
            "end"
        )
    with evaluating(model):
        writer = RowWriter(model, input_ids, attention_mask, decoder_input_ids, options)
        while not writer.done:
            scores = writer.score_next()  # (rows, vocab)
            tokens = draw(scores, asked.generator) if asked.do_sample else best_token(scores)
            yield writer.append(tokens)


def draw(scores: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw tokens with the probabilities that scores stand for.

    Args:
        scores: (rows, vocab).
        generator: source of randomness.

    Returns:
        Token ids, (rows,).
    """
    return torch.multinomial(scores.softmax(dim=-1), 1, generator=generator)[:, 0]


@contextmanager
def evaluating(model: Decodable) -> Iterator[None]:
    """Switch dropout off while writing, and back afterwards.

    Args:
        model: any `Decodable`.

    Yields:
        Nothing.
    """
    training = isinstance(model, nn.Module) and model.training
    if training:
        model.eval()  # type: ignore[attr-defined]
    try:
        yield
    finally:
        if training:
            model.train()  # type: ignore[attr-defined]
