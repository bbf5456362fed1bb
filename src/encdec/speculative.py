"""Speculative decoding, greedy: a small model proposes tokens, the large one checks them at once.

Shape letters: `source` tokens of the one sentence that is read, `length` tokens written.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from encdec.cache import EncoderDecoderCache
from encdec.transformer import EncoderDecoder


@dataclass(frozen=True)
class SpeculativeOutput:
    """What was written, and what it took.

    Args:
        sequences: start token and what follows, (1, length).
        calls: how often the large model's decoder was called.
        proposed: tokens that the draft proposed.
        accepted: how many of them the large model would have written too.
    """

    sequences: Tensor
    calls: int
    proposed: int
    accepted: int


@torch.inference_mode()
def speculative_search(
    model: EncoderDecoder,
    draft: EncoderDecoder,
    input_ids: Tensor,
    *,
    ahead: int = 4,
    max_new_tokens: int = 128,
) -> SpeculativeOutput:
    """Write what greedy search with the large model writes, in fewer calls of it.

    Args:
        model: the large model, in evaluation mode.
        draft: a model with the same tokens, in evaluation mode.
        input_ids: one sentence, (1, source).
        ahead: tokens that the draft proposes before the large model checks.
        max_new_tokens: how much is written at most.

    Returns:
        The output.

    Raises:
        ValueError: more than one sentence, different vocabularies, or a number below 1.

    From "Fast Inference from Transformers via Speculative Decoding" (Leviathan et al., 2023),
    for the case without sampling.
    """
    config = model.config
    if len(input_ids) != 1:
        raise ValueError(f"input_ids has {len(input_ids)} rows: one sentence at a time, please.")
    if draft.config.target_vocab_size != config.target_vocab_size:
        raise ValueError(
            f"draft writes {draft.config.target_vocab_size} tokens and model "
            f"{config.target_vocab_size}: they need one vocabulary."
        )
    if ahead < 1 or max_new_tokens < 1:
        raise ValueError(f"ahead={ahead} and max_new_tokens={max_new_tokens} must be at least 1.")
    start = torch.full_like(input_ids[:, :1], config.decoder_start_token_id or 0)
    _, cache = model.start(input_ids, prompt=start, max_length=max_new_tokens + 1)
    _, small = draft.start(input_ids, prompt=start, max_length=max_new_tokens + 1)
    written = start[0].tolist()
    calls = proposed = accepted = 0
    while True:
        room = max_new_tokens + 1 - len(written)
        guesses: list[int] = []
        while len(guesses) < min(ahead, room - 1) and not _ends(guesses, model):
            guesses += _read(draft, small, written + guesses, 1)
        right = _read(model, cache, written + guesses, len(guesses) + 1)
        calls += 1
        same = 0
        while same < len(guesses) and guesses[same] == right[same]:
            same += 1
        proposed, accepted = proposed + len(guesses), accepted + same
        for each in (cache, small):  # forget what was not accepted
            each.self_attention.length = min(each.length, len(written) + same)
        written += right[: same + (not _ends(guesses[:same], model))]
        if len(written) > max_new_tokens or _ends(written[1:], model):
            break
    if len(written) > max_new_tokens and config.forced_eos_token_id is not None:
        forced = config.forced_eos_token_id
        written[-1] = forced if isinstance(forced, int) else forced[0]
    return SpeculativeOutput(input_ids.new_tensor([written]), calls, proposed, accepted)


def _ends(tokens: list[int], model: EncoderDecoder) -> bool:
    return bool(tokens) and tokens[-1] in model.config.eos_token_ids


def _read(
    model: EncoderDecoder, cache: EncoderDecoderCache, tokens: list[int], last: int
) -> list[int]:
    """Read what the cache lacks; the likeliest token after each of the last positions."""
    new = torch.tensor([tokens[cache.length :]], device=model.device)  # (1, new)
    if last == 1:
        logits = model.step(new, cache)  # (1, vocab)
    else:
        logits = model.logits(model.decode(new, cache=cache)[:, -last:])[0]  # (last, vocab)
    never = [*model.config.suppress_tokens]
    never += [ids[0] for ids in model.config.bad_words_ids if len(ids) == 1]
    logits[:, never] = -torch.inf
    return [int(token) for token in logits.argmax(dim=-1)]
