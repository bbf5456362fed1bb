"""Beam search that must write given phrases: a term of a glossary, a name, a number.

A ban is easy: the score of a token is set to minus infinity. A demand is harder, since the phrase
may stand anywhere, and the beams would rather put it off. Grid beam search keeps the best
hypotheses *for each number of demanded tokens written so far*, so that those which have begun a
phrase never compete with those which have not.

From "Lexically Constrained Decoding for Sequence Generation Using Grid Beam Search" (Hokamp and
Liu, 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from encdec.config import as_ids
from encdec.decoding import evaluating
from encdec.transformer import EncoderDecoder

Phrase = tuple[int, ...]


@dataclass(frozen=True)
class Hypothesis:
    """A text being written.

    Args:
        tokens: what is written, without the start token.
        log_prob: its log-probability.
        unmet: phrases that are not begun yet.
        rest: tokens of the phrase that was begun and must be finished first.
    """

    tokens: Phrase
    log_prob: float
    unmet: tuple[Phrase, ...]
    rest: Phrase = ()

    @property
    def missing(self) -> int:
        """How many demanded tokens are still to be written."""
        return len(self.rest) + sum(map(len, self.unmet))

    def continuations(self, log_probs: Tensor, best: Sequence[int]) -> list[Hypothesis]:
        """Everything that may come next.

        Args:
            log_probs: of each next token, (vocab,).
            best: tokens that may be written freely.
        """
        if self.rest:
            return [replace(self._with(self.rest[0], log_probs), rest=self.rest[1:])]
        found = [self._with(token, log_probs) for token in best]
        for number, phrase in enumerate(self.unmet):
            others = self.unmet[:number] + self.unmet[number + 1 :]
            begun = self._with(phrase[0], log_probs)
            found.append(replace(begun, unmet=others, rest=phrase[1:]))
        return found

    def _with(self, token: int, log_probs: Tensor) -> Hypothesis:
        log_prob = self.log_prob + float(log_probs[token])
        return replace(self, tokens=(*self.tokens, token), log_prob=log_prob)


@torch.no_grad()
def constrained_beam_search(
    model: EncoderDecoder,
    input_ids: Tensor,
    phrases: Sequence[Sequence[int]],
    *,
    num_beams: int = 4,
    max_new_tokens: int = 64,
    length_penalty: float = 1.0,
) -> Hypothesis:
    """Write the target of one source so that it holds every phrase.

    Args:
        model: reads the source and scores next tokens.
        input_ids: one source, (1, source).
        phrases: token ids of what has to be written, in any order; none for plain beam search.
        num_beams: hypotheses kept for each number of demanded tokens written.
        max_new_tokens: length limit.
        length_penalty: exponent of the length that divides the log-probability of what has ended.

    Returns:
        The best hypothesis that ended and holds all phrases; if none ended within the limit, the
        best one that comes nearest to holding them.

    Raises:
        ValueError: there is more than one source, a phrase is empty, or the limit is too short.
    """
    demanded = tuple(tuple(phrase) for phrase in phrases)
    check(input_ids, demanded, num_beams, max_new_tokens)
    ends = set(as_ids(model.config.eos_token_id))
    with evaluating(model):
        states = model.encode(input_ids)  # (1, source, d_model)
        live, ended = [Hypothesis((), 0.0, demanded)], list[Hypothesis]()
        for _ in range(max_new_tokens):
            scores = next_log_probs(model, live, states)  # (live, vocab)
            banks: dict[int, list[Hypothesis]] = {}
            for hypothesis, row in zip(live, scores, strict=True):
                best = row.topk(min(2 * num_beams, len(row))).indices.tolist()
                for found in hypothesis.continuations(row, best):
                    if found.tokens[-1] not in ends or found.rest:
                        banks.setdefault(found.missing, []).append(found)
                    elif not found.missing:
                        ended.append(found)
            live = [h for bank in banks.values() for h in most_likely(bank, num_beams)]
            if len(ended) >= num_beams:
                break
    if ended:
        return max(ended, key=lambda h: h.log_prob / len(h.tokens) ** length_penalty)
    return min(live, key=lambda h: (h.missing, -h.log_prob))


def next_log_probs(model: EncoderDecoder, live: Sequence[Hypothesis], states: Tensor) -> Tensor:
    """Score the next token of hypotheses, which all have the same length.

    Args:
        model: the model.
        live: hypotheses.
        states: encoder_hidden_states of the one source, (1, source, d_model).

    Returns:
        Log-probabilities, (live, vocab).
    """
    start = model.config.decoder_start_token_id
    ids = torch.tensor([[start, *h.tokens] for h in live], device=states.device)  # (live, target)
    hidden = model.decode(ids, states.expand(len(live), -1, -1))  # (live, target, d_model)
    return model.logits(hidden[:, -1:])[:, 0].log_softmax(dim=-1)  # (live, vocab)


def most_likely(bank: Sequence[Hypothesis], number: int) -> list[Hypothesis]:
    """The likeliest hypotheses; of several that read alike only one."""
    unlike = {(h.tokens, h.unmet, h.rest): h for h in bank}
    return sorted(unlike.values(), key=lambda h: -h.log_prob)[:number]


def check(
    input_ids: Tensor, phrases: Sequence[Phrase], num_beams: int, max_new_tokens: int
) -> None:
    """Refuse what cannot be searched for.

    Raises:
        ValueError: see :func:`constrained_beam_search`.
    """
    if input_ids.ndim != 2 or len(input_ids) != 1:
        raise ValueError(f"input_ids has shape {tuple(input_ids.shape)}: one source, (1, source).")
    if not all(phrases):
        raise ValueError("a phrase without tokens: each needs at least one.")
    if num_beams < 1:
        raise ValueError(f"num_beams={num_beams}: at least one beam is needed.")
    if max_new_tokens <= (needed := sum(map(len, phrases))):
        raise ValueError(
            f"max_new_tokens={max_new_tokens} leaves no room for {needed} demanded tokens and "
            "the end."
        )
