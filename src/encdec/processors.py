"""What the options of `generate` do to the scores, before a token is chosen.

Shape letters: `rows` sequences being written, `written` tokens in each so far, `vocab` tokens that
can be written.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from encdec.config import as_ids
from encdec.options import GenerationOptions

Processor = Callable[[Tensor, Tensor], Tensor]
"""Takes what is written, (rows, written), and the scores, (rows, vocab), which it may change in
place; returns the scores."""


def make_processors(
    options: GenerationOptions,
    prompt_length: int,
    max_length: int,
    device: torch.device,
    padding: Tensor | None = None,
) -> list[Processor]:
    """Build a processor for each option that asks for something, in transformers' order.

    Args:
        options: what was asked for.
        prompt_length: length of the prompt.
        max_length: length limit with the prompt.
        device: where the scores are.
        padding: number of padded positions in front of each prompt, (rows,), or None for none.

    Returns:
        Processors, possibly none.
    """
    eos = as_ids(options.eos_token_id)
    made: list[Processor] = []
    if options.repetition_penalty != 1.0:
        made.append(penalise_repetition(options.repetition_penalty, padding))
    if options.no_repeat_ngram_size:
        made.append(forbid_repeated_ngrams(options.no_repeat_ngram_size))
    words = [tuple(word) for word in options.bad_words_ids]
    if words := [word for word in words if not (len(word) == 1 and word[0] in eos)]:
        made.append(forbid_sequences(words, device))
    least = options.min_length
    if options.min_new_tokens is not None:
        least = prompt_length + options.min_new_tokens
    if least > 0 and eos:
        made.append(only_at(range(least), forbid_tokens(eos, device)))
    if options.forced_bos_token_id is not None:
        made.append(only_at(range(1, 2), force_tokens((options.forced_bos_token_id,), device)))
    if options.forced_eos_token_id is not None:
        ends = as_ids(options.forced_eos_token_id)
        made.append(only_at(range(max_length - 1, max_length), force_tokens(ends, device)))
    if options.suppress_tokens:
        made.append(forbid_tokens(options.suppress_tokens, device))
    if options.do_sample:
        made += make_warpers(options)
    return made


def make_warpers(options: GenerationOptions) -> list[Processor]:
    """Build the processors that act in sampling only.

    Args:
        options: what was asked for.

    Returns:
        Processors, possibly none.
    """
    made: list[Processor] = []
    if options.temperature != 1.0:
        made.append(lambda ids, scores: scores.div_(options.temperature))
    if options.top_k is not None:
        made.append(keep_top_k(options.top_k))
    if options.top_p is not None and options.top_p < 1.0:
        made.append(keep_top_p(options.top_p))
    if options.min_p is not None:
        made.append(keep_min_p(options.min_p))
    return made


def only_at(lengths: range, processor: Processor) -> Processor:
    """Use a processor only while so many tokens are written.

    Args:
        lengths: numbers of tokens, prompt included.
        processor: what to use.

    Returns:
        A processor.
    """
    return lambda ids, scores: processor(ids, scores) if ids.shape[1] in lengths else scores


def forbid_tokens(tokens: Sequence[int], device: torch.device) -> Processor:
    """Make tokens impossible.

    Args:
        tokens: their ids.
        device: where the scores are.

    Returns:
        A processor.
    """
    index = torch.tensor(tokens, dtype=torch.long, device=device)
    return lambda ids, scores: scores.index_fill_(1, index, -torch.inf)


def force_tokens(tokens: Sequence[int], device: torch.device) -> Processor:
    """Make all other tokens impossible.

    Args:
        tokens: ids of those that stay.
        device: where the scores are.

    Returns:
        A processor.
    """
    index = torch.tensor(tokens, dtype=torch.long, device=device)
    return lambda ids, scores: scores.fill_(-torch.inf).index_fill_(1, index, 0.0)


def forbid_sequences(words: Sequence[tuple[int, ...]], device: torch.device) -> Processor:
    """Make the last token of a sequence impossible where the rest of it stands.

    Args:
        words: sequences of token ids.
        device: where the scores are.

    Returns:
        A processor.
    """
    single = forbid_tokens([word[0] for word in words if len(word) == 1], device)
    longer = [(torch.tensor(word[:-1], device=device), word[-1]) for word in words if word[1:]]

    def processor(ids: Tensor, scores: Tensor) -> Tensor:
        for start, last in longer:
            if len(start) <= ids.shape[1]:
                matches = (ids[:, -len(start) :] == start).all(dim=1)  # (rows,)
                scores[:, last].masked_fill_(matches, -torch.inf)
        return single(ids, scores)

    return processor


def forbid_repeated_ngrams(size: int) -> Processor:
    """Make tokens impossible that would complete a sequence that is there already.

    Args:
        size: length of the sequences.

    Returns:
        A processor.

    From "A Deep Reinforced Model for Abstractive Summarization" (Paulus et al., 2018), section 2.5.
    """

    def processor(ids: Tensor, scores: Tensor) -> Tensor:
        written = ids.shape[1]
        if written < size:
            return scores
        start = ids[:, written + 1 - size :]  # (rows, size - 1)
        windows = ids.unfold(1, size, 1)  # (rows, written - size + 1, size)
        same = (windows[:, :, :-1] == start[:, None]).all(dim=2)  # (rows, written - size + 1)
        counts = torch.zeros_like(scores).scatter_add_(1, windows[:, :, -1], same.to(scores.dtype))
        return scores.masked_fill_(counts > 0, -torch.inf)

    return processor


def penalise_repetition(penalty: float, padding: Tensor | None = None) -> Processor:
    """Lower the scores of tokens that are there already.

    Args:
        penalty: above 1 lowers, below 1 raises.
        padding: number of padded positions in front of each row, which do not count, (rows,).

    Returns:
        A processor.

    From "CTRL" (Keskar et al., 2019), section 4.1.
    """

    def processor(ids: Tensor, scores: Tensor) -> Tensor:
        real = torch.ones_like(ids, dtype=scores.dtype)  # (rows, written)
        if padding is not None:
            real *= torch.arange(ids.shape[1], device=ids.device) >= padding[:, None]
        present = torch.zeros_like(scores).scatter_add_(1, ids, real) > 0  # (rows, vocab)
        penalised = torch.where(scores < 0, scores * penalty, scores / penalty)
        return torch.where(present, penalised, scores)

    return processor


def keep_top_k(k: int) -> Processor:
    """Make all but the k best tokens impossible; those as good as the k-th stay.

    Args:
        k: how many.

    Returns:
        A processor.

    From "Hierarchical Neural Story Generation" (Fan et al., 2018), section 5.4.
    """

    def processor(ids: Tensor, scores: Tensor) -> Tensor:
        worst = scores.topk(min(k, scores.shape[1])).values[:, -1:]  # (rows, 1)
        return scores.masked_fill(scores < worst, -torch.inf)

    return processor


def keep_top_p(p: float) -> Processor:
    """Make the least likely tokens impossible that together have at most probability 1 - p.

    Args:
        p: probability that stays.

    Returns:
        A processor.

    From "The Curious Case of Neural Text Degeneration" (Holtzman et al., 2020), section 3.1.
    """

    def processor(ids: Tensor, scores: Tensor) -> Tensor:
        ordered, order = scores.sort(dim=-1)  # 2 × (rows, vocab), worst first
        unlikely = ordered.softmax(dim=-1).cumsum(dim=-1) <= 1 - p
        unlikely[:, -1] = False  # the best token always stays
        return scores.masked_fill(unlikely.scatter(1, order, unlikely), -torch.inf)

    return processor


def keep_min_p(p: float) -> Processor:
    """Make tokens impossible that are less than p times as likely as the likeliest.

    Args:
        p: share of the highest probability.

    Returns:
        A processor.

    From "Turning Up the Heat: Min-p Sampling" (Nguyen et al., 2025), section 3.
    """

    def processor(ids: Tensor, scores: Tensor) -> Tensor:
        probabilities = scores.softmax(dim=-1)  # (rows, vocab)
        highest = probabilities.amax(dim=-1, keepdim=True)  # (rows, 1)
        return scores.masked_fill(probabilities < p * highest, -torch.inf)

    return processor
