"""What a model is asked while it reads plain text: pre-training objectives over token ids.

Each objective turns a text into an :class:`~encdec.data.collate.Example`, what the model sees and
what it is to write, and remembers where every token came from, so that a figure can show it
(:func:`encdec.plots.masked_tokens`). No model is known here.

Shape letters: ``text`` tokens before corruption, ``input`` and ``target`` tokens after it.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from itertools import chain, pairwise
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encdec.data.collate import IGNORE, Example

MASK = -1  # origin of a token that stands for hidden text: a sentinel or a mask
FRAME = -2  # origin of a token that belongs to no text: begin, end, mode

Positions = NDArray[np.int64]


class Denoised(Example):
    """An example that knows where its tokens stood in the text.

    It equals the plain example with the same ids, and is used like one.

    Attributes:
        input_origin: for every input id its position in the text, or :data:`MASK` or
            :data:`FRAME`; (input,).
        label_origin: the same for every label; (target,).
    """

    input_origin: Positions
    label_origin: Positions

    def __new__(
        cls,
        input_ids: list[int],
        labels: list[int],
        input_origin: Positions | Sequence[int] = (),
        label_origin: Positions | Sequence[int] = (),
    ) -> Denoised:
        """Make an example; without origins it is a plain one."""
        example = super().__new__(cls, input_ids, labels)
        example.input_origin = np.asarray(input_origin, dtype=np.int64)
        example.label_origin = np.asarray(label_origin, dtype=np.int64)
        return example

    @property
    def tokens(self) -> list[int]:
        """The text, put together from what is seen and what is to be written."""
        ids = np.concatenate([self.input_ids, self.labels]).astype(np.int64)
        origin = np.concatenate([self.input_origin, self.label_origin])  # (input + target,)
        text = np.empty(int(origin.max(initial=-1)) + 1, dtype=np.int64)
        text[origin[origin >= 0]] = ids[origin >= 0]
        return text.tolist()

    @property
    def hidden(self) -> list[int]:
        """Positions of the text that the input does not show, in order."""
        return np.setdiff1d(self.label_origin, np.append(self.input_origin, [MASK, FRAME])).tolist()


# --- T5: span corruption --------------------------------------------------------------------------


def span_corruption(
    tokens: Sequence[int],
    generator: np.random.Generator,
    *,
    noise_density: float = 0.15,
    mean_span_length: float = 3.0,
    sentinels: Sequence[int],
    eos_token_id: int,
    roll: bool = False,
) -> Denoised:
    """Replace spans by sentinels; the target names each sentinel and what it stands for.

    ``Thank you <X> me to your party <Y> week`` asks for ``<X> for inviting <Y> last <Z>``.

    Args:
        tokens: ids of a text, without an end, (text,); at least two.
        generator: source of the spans.
        noise_density: share of the text that is hidden, rounded to whole tokens.
        mean_span_length: hidden tokens a span, on average.
        sentinels: ids in the order of their use; one more than there are spans.
        eos_token_id: ends input and target.
        roll: see :func:`noise_mask`; advisable for windows of less than about 30 tokens.

    Returns:
        Input of visible tokens and sentinels, labels of sentinels and hidden tokens.

    Raises:
        ValueError: the text is too short, holds a sentinel, or needs more sentinels than given; or
            an option is out of its range.

    From "Exploring the Limits of Transfer Learning" (Raffel et al., 2020), section 3.1.4.
    """
    text = _ids(tokens, least=2)
    mask = noise_mask(
        len(text),
        generator,
        noise_density=noise_density,
        mean_span_length=mean_span_length,
        roll=roll,
    )
    return _hide_spans(text, mask, sentinels, eos_token_id)


def noise_mask(
    length: int,
    generator: np.random.Generator,
    *,
    noise_density: float = 0.15,
    mean_span_length: float = 3.0,
    roll: bool = False,
) -> NDArray[np.bool_]:
    """Choose the tokens that span corruption hides.

    How many tokens and how many spans is certain, only their places are random: visible and hidden
    stretches take turns, the visible begin, and all such masks are equally likely. So the last
    token is always hidden, and a window that has room for one span only always loses its end.
    Rolling the mask by a random offset mends that; a span that crosses the end becomes two.

    Args:
        length: tokens of the text, at least two.
        generator: source of the places.
        noise_density: share that is hidden, rounded to whole tokens; at least one token is hidden
            and one visible.
        mean_span_length: hidden tokens a span, on average, at least 1.
        roll: whether to roll the mask.

    Returns:
        True where a token is hidden, (text,).

    Raises:
        ValueError: the text is too short, or an option is out of its range.

    Source: ``random_spans_noise_mask`` of Google's t5 library, and its option ``random_roll``.
    Where that would run out of visible tokens between its spans, this makes fewer spans.
    """
    _check_generator(generator)
    hidden = _hidden_tokens(length, noise_density)
    if not 1 <= mean_span_length < float("inf"):
        raise ValueError(
            f"mean_span_length={mean_span_length} must be a finite number of at least 1."
        )
    visible = length - hidden
    spans = min(max(1, round(hidden / mean_span_length)), visible)
    turns = np.empty(2 * spans, dtype=np.int64)
    turns[0::2] = _random_parts(visible, spans, generator)
    turns[1::2] = _random_parts(hidden, spans, generator)
    mask = (np.arange(2 * spans) % 2 == 1).repeat(turns)  # (text,)
    offset = int(generator.integers(length)) if roll else 0
    return np.concatenate([mask[offset:], mask[:offset]]) if offset else mask


def restore_spans(
    input_ids: Sequence[int],
    labels: Sequence[int],
    *,
    sentinels: Sequence[int],
    eos_token_id: int,
    strict: bool = True,
) -> list[int]:
    """Put hidden spans back where their sentinels stand: the inverse of span corruption.

    Args:
        input_ids: visible tokens and sentinels, (input,).
        labels: sentinels, each followed by what it stands for, (target,).
        sentinels: the ids that were given to :func:`span_corruption`.
        eos_token_id: is left out.
        strict: whether a span without an answer is an error; otherwise, as suits the answers of a
            model, it is left empty.

    Returns:
        The text, (text,).

    Raises:
        ValueError: the labels do not fit the input.
    """
    known = set(sentinels)
    before_first: list[int] = []
    current, spans = before_first, dict[int, list[int]]()
    for label in _until_end(labels, eos_token_id, last=strict):
        if label not in known:
            current.append(label)
        elif strict and label in spans:
            raise ValueError(f"labels names the sentinel {label} twice: each has one span.")
        else:
            current = spans.setdefault(label, [])
    source = _until_end(input_ids, eos_token_id, last=True)
    if strict:
        asked, answered = [token for token in source if token in known], list(spans)
        if before_first:
            raise ValueError(f"labels begins with {labels[0]}, but must begin with a sentinel.")
        # One more sentinel may close the labels; after it stands nothing.
        if answered not in (asked, [*asked, *answered[-1:]]) or (answered != asked and current):
            raise ValueError(
                f"labels answers the sentinels {answered}, but input_ids asks for {asked}: the "
                "same must stand in both in the same order, and one more may close the labels."
            )
    parts = (spans.get(token, []) if token in known else [token] for token in source)
    return list(chain.from_iterable(parts))


# --- BART: text infilling and sentence permutation ------------------------------------------------


def text_infilling(
    tokens: Sequence[int],
    generator: np.random.Generator,
    *,
    noise_density: float = 0.3,
    poisson_lambda: float = 3.0,
    mask_token_id: int,
    eos_token_id: int,
    bos_token_id: int | None = None,
) -> Denoised:
    """Replace spans of random length by one mask each; the target is the whole text.

    A span may have length zero: then a mask stands where nothing is missing, and the model has to
    find out how much each mask stands for. Spans do not touch while there is room between them.

    Args:
        tokens: ids of a text, without begin and end, (text,); at least two.
        generator: source of lengths and places.
        noise_density: share of the text that is hidden, rounded to whole tokens; at least one
            token is hidden and one visible.
        poisson_lambda: mean length of a span, at least 0.1. The last span is cut to what is still
            to be hidden.
        mask_token_id: stands for a span.
        eos_token_id: ends input and target.
        bos_token_id: begins input and target if given.

    Returns:
        Input with masks, labels with the whole text.

    Raises:
        ValueError: the text is too short or holds the mask, or an option is out of its range.

    From "BART: Denoising Sequence-to-Sequence Pre-training" (Lewis et al., 2020), section 2.2.
    """
    _check_generator(generator)
    text = _ids(tokens, least=2)
    source, origin = _infill(text, generator, noise_density, poisson_lambda, mask_token_id)
    return _framed(
        source,
        text,
        origin,
        np.arange(len(text)),
        eos_token_id=eos_token_id,
        bos_token_id=bos_token_id,
    )


def sentence_permutation(
    sentences: Sequence[Sequence[int]],
    generator: np.random.Generator,
    *,
    eos_token_id: int,
    bos_token_id: int | None = None,
) -> Denoised:
    """Shuffle the sentences of a text; the target is the text in its order.

    Args:
        sentences: token ids of each sentence, see :func:`split_sentences`; at least one. The order
            of a single sentence can't change.
        generator: source of the order; every order is equally likely, the right one too.
        eos_token_id: ends input and target.
        bos_token_id: begins input and target if given.

    Returns:
        Input with shuffled sentences, labels with the text; ``input_origin`` undoes the shuffle.

    Raises:
        ValueError: there is no sentence, or one is empty.

    From "BART: Denoising Sequence-to-Sequence Pre-training" (Lewis et al., 2020), section 2.2.
    """
    _check_generator(generator)
    text, starts = _join(sentences)
    origin = _shuffled(starts, generator)
    return _framed(
        text[origin],
        text,
        origin,
        np.arange(len(text)),
        eos_token_id=eos_token_id,
        bos_token_id=bos_token_id,
    )


def shuffle_and_infill(
    sentences: Sequence[Sequence[int]],
    generator: np.random.Generator,
    *,
    noise_density: float = 0.3,
    poisson_lambda: float = 3.0,
    mask_token_id: int,
    eos_token_id: int,
    bos_token_id: int | None = None,
) -> Denoised:
    """Shuffle sentences and mask spans of the result: the noise that BART was trained with.

    Args:
        sentences: token ids of each sentence; two tokens at least in all.
        generator: source of order, lengths and places.
        noise_density: as in :func:`text_infilling`.
        poisson_lambda: as in :func:`text_infilling`.
        mask_token_id: stands for a span.
        eos_token_id: ends input and target.
        bos_token_id: begins input and target if given.

    Returns:
        Input of shuffled sentences with masks, labels with the text in its order.

    Raises:
        ValueError: a sentence is empty, the text is too short or holds the mask, or an option is
            out of its range.

    From "BART: Denoising Sequence-to-Sequence Pre-training" (Lewis et al., 2020), section 5.1.
    """
    _check_generator(generator)
    text, starts = _join(sentences)
    order = _shuffled(starts, generator)
    source, origin = _infill(text[order], generator, noise_density, poisson_lambda, mask_token_id)
    return _framed(
        source,
        text,
        np.where(origin >= 0, order[origin], origin),
        np.arange(len(text)),
        eos_token_id=eos_token_id,
        bos_token_id=bos_token_id,
    )


def split_sentences(tokens: Sequence[int], ends: Collection[int]) -> list[list[int]]:
    """Cut a text after every token that ends a sentence.

    Args:
        tokens: ids of a text, (text,).
        ends: ids of full stop, question mark and the like; several in a row stay together.

    Returns:
        The sentences; what follows the last end is one of its own.
    """
    ends = set(ends)
    cuts = [i for i, (a, b) in enumerate(pairwise(tokens), 1) if a in ends and b not in ends]
    return [list(tokens[a:b]) for a, b in pairwise([0, *cuts, len(tokens)]) if a < b]


# --- Pegasus: gap sentences -----------------------------------------------------------------------


def gap_sentences(
    sentences: Sequence[Sequence[int]],
    *,
    ratio: float = 0.3,
    number: int | None = None,
    selection: Literal["independent", "sequential"] = "independent",
    words: Sequence[Sequence[Hashable]] | None = None,
    mask_token_id: int,
    eos_token_id: int,
) -> Denoised:
    """Replace the sentences that say most about the rest; the target is these sentences.

    Nothing is random: a text has one answer, so it can be computed once and kept.

    Args:
        sentences: token ids of each sentence, two sentences at least.
        ratio: share of the sentences to replace, rounded down; at least one is replaced.
        number: how many to replace, instead of ``ratio``.
        selection: ``independent`` takes the sentences with the highest ROUGE-1 F1 against the rest
            of the text (Ind-Orig); ``sequential`` takes one after the other, so that all those
            taken together score highest against what is left (Seq-Orig). Of equals the first.
        words: what to compare instead of token ids, one sequence for each sentence.
        mask_token_id: stands for a sentence.
        eos_token_id: ends input and target.

    Returns:
        Input in which selected sentences are one mask each, labels with the selected sentences in
        the order of the text.

    Raises:
        ValueError: there are too few sentences, one is empty or holds the mask, or an option is
            out of its range.

    From "PEGASUS: Pre-training with Extracted Gap-sentences" (Zhang et al., 2020), section 3.1.
    """
    text, starts = _join(sentences)
    count = len(sentences)
    if count < 2:
        raise ValueError("sentences holds 1 sentence: with it hidden, nothing would be left.")
    if number is None:
        if not 0 < ratio < 1:
            raise ValueError(f"ratio={ratio} must lie between 0 and 1, both excluded.")
        number = max(1, int(count * ratio))
    if not 1 <= number < count:
        raise ValueError(
            f"number={number} sentences can't be hidden: at least 1, and at most "
            f"{count - 1} of these {count}."
        )
    _check_absent((mask_token_id,), text, "mask_token_id")
    selected = _select(sentences if words is None else words, number, selection, count)
    hidden = np.zeros(count, dtype=np.bool_)
    hidden[selected] = True
    is_hidden = hidden.repeat(np.diff(starts))  # (text,)
    keep = ~is_hidden
    keep[starts[:-1]] = True  # a mask goes where a hidden sentence began
    origin = np.where(is_hidden, MASK, np.arange(len(text)))[keep]
    return _framed(
        np.where(is_hidden, mask_token_id, text)[keep],
        text[is_hidden],
        origin,
        is_hidden.nonzero()[0],
        eos_token_id=eos_token_id,
    )


# --- Language models and UL2 ----------------------------------------------------------------------


def causal_lm(tokens: Sequence[int], *, eos_token_id: int | None = None) -> Denoised:
    """Nothing is shown; every token is to be predicted from those before it.

    With the labels shifted right as input, this is what a decoder-only model learns.

    Args:
        tokens: ids of a text, (text,).
        eos_token_id: ends the target; none where a window was cut out of a longer text.

    Returns:
        An empty input, labels with the whole text.

    Raises:
        ValueError: there is no token.

    From "Language Models are Unsupervised Multitask Learners" (Radford et al., 2019), section 2.
    """
    text = _ids(tokens, least=1)
    end = [] if eos_token_id is None else [eos_token_id]
    origin = np.concatenate([np.arange(len(text)), np.full(len(end), FRAME)])
    return Denoised([], [*text.tolist(), *end], [], origin)


def prefix_lm(
    tokens: Sequence[int],
    generator: np.random.Generator,
    *,
    target_ratio: float = 0.5,
    eos_token_id: int,
) -> Denoised:
    """Show the beginning of a text; the target is how it goes on.

    Args:
        tokens: ids of a text, without an end, (text,); at least two.
        generator: source of the split.
        target_ratio: mean share of the target, at most 0.5. Its length is uniform between one
            token and twice that share; with 0.5 every split is equally likely.
        eos_token_id: ends input and target.

    Returns:
        Input with the prefix, labels with the rest.

    Raises:
        ValueError: the text is too short, or ``target_ratio`` is out of its range.

    From "Exploring the Limits of Transfer Learning" (Raffel et al., 2020), section 3.3.1.
    """
    text = _ids(tokens, least=2)
    split = len(text) - _target_length(len(text), target_ratio, generator)
    where = np.arange(len(text))
    return _framed(
        text[:split], text[split:], where[:split], where[split:], eos_token_id=eos_token_id
    )


class Denoiser(NamedTuple):
    """One of the tasks that :func:`mixture_of_denoisers` picks from.

    Attributes:
        mode: ``R`` for regular and ``X`` for extreme span corruption, ``S`` for sequential, where
            one span at the end is hidden.
        noise_density: share of the text that is hidden; the mean share for ``S``.
        mean_span_length: hidden tokens a span, on average; not used for ``S``.
    """

    mode: Literal["R", "S", "X"]
    noise_density: float
    mean_span_length: float | None = None


UL2 = (
    Denoiser("R", 0.15, 3),
    Denoiser("R", 0.15, 8),
    Denoiser("S", 0.25),
    Denoiser("X", 0.5, 3),
    Denoiser("X", 0.5, 8),
    Denoiser("X", 0.15, 64),
    Denoiser("X", 0.5, 64),
)


def mixture_of_denoisers(
    tokens: Sequence[int],
    generator: np.random.Generator,
    *,
    sentinels: Sequence[int],
    eos_token_id: int,
    modes: Mapping[str, int] | None = None,
    denoisers: Sequence[Denoiser] = UL2,
    weights: Sequence[float] | None = None,
    roll: bool = True,
) -> Denoised:
    """Pick one denoiser at random and apply it; a mode token tells the model which kind it was.

    All are span corruption: a prefix language model hides one span, at the end.

    Args:
        tokens: ids of a text, without an end, (text,); at least two.
        generator: source of the choice and of the spans.
        sentinels: ids in the order of their use.
        eos_token_id: ends input and target.
        modes: id of the token that begins the input, for each mode (UL2's are ``[NLU]`` for R,
            ``[S2S]`` for S and ``[NLG]`` for X); no such token if not given.
        denoisers: what to pick from; the seven of the paper by default.
        weights: how often each is picked, in any unit; equally often if not given.
        roll: whether R and X masks are rolled, see :func:`noise_mask`. Without it long spans
            always stand at the end of a short text, and X would be S.

    Returns:
        Input of mode, visible tokens and sentinels, labels of sentinels and hidden tokens.

    Raises:
        ValueError: a mode has no token, the weights do not fit, or as in :func:`span_corruption`.

    From "UL2: Unifying Language Learning Paradigms" (Tay et al., 2023), section 3.1 and table 1.
    """
    text = _ids(tokens, least=2)
    mode, density, mean = _pick(denoisers, weights, generator)
    if modes is not None and mode not in modes:
        raise ValueError(f"modes has no token for {mode!r}, only for {', '.join(modes)}.")
    if mode == "S":
        mask = np.zeros(len(text), dtype=np.bool_)
        mask[len(text) - _target_length(len(text), density, generator) :] = True
    elif mean is None:
        raise ValueError(f"the denoiser {mode!r} has no mean_span_length, which {mode} needs.")
    else:
        mask = noise_mask(
            len(text), generator, noise_density=density, mean_span_length=mean, roll=roll
        )
    first = None if modes is None else modes[mode]
    return _hide_spans(text, mask, sentinels, eos_token_id, first)


def shift_right(labels: Tensor, decoder_start_token_id: int, pad_token_id: int) -> Tensor:
    """Turn a target into the decoder's input: what was written before each token.

    Args:
        labels: target tokens, -100 for padding, (batch, target).
        decoder_start_token_id: what the decoder begins with.
        pad_token_id: takes the place of -100.

    Returns:
        decoder_input_ids, (batch, target).

    Raises:
        ValueError: the labels are not a table.

    From "Attention Is All You Need" (Vaswani et al., 2017), section 3.1.
    """
    if labels.dim() != 2:
        raise ValueError(f"labels has shape {tuple(labels.shape)}, but must be (batch, target).")
    first = torch.full_like(labels[:, :1], decoder_start_token_id)  # (batch, 1)
    shifted = torch.cat([first, labels[:, :-1]], dim=1)  # (batch, target)
    return shifted.masked_fill(shifted == IGNORE, pad_token_id)


# --- parts ----------------------------------------------------------------------------------------


def _hide_spans(
    text: Positions,
    mask: NDArray[np.bool_],
    sentinels: Sequence[int],
    eos_token_id: int,
    first: int | None = None,
) -> Denoised:
    """Span corruption with a given mask; ``first`` begins the input."""
    starts = mask.copy()
    starts[1:] &= ~mask[:-1]
    spans = int(starts.sum())
    if spans + 1 > len(sentinels):
        raise ValueError(
            f"sentinels holds {len(sentinels)} ids, but {spans} spans need {spans + 1}: one each "
            "and one that closes the target."
        )
    used = np.array(sentinels[: spans + 1], dtype=np.int64)
    _check_absent(used.tolist(), text, "sentinels")
    shown = ~mask | starts
    position = np.arange(len(text))
    source, origin = text.copy(), position.copy()
    source[starts], origin[starts] = used[:-1], MASK
    hidden = mask.nonzero()[0]
    place = np.arange(len(hidden)) + starts.cumsum()[hidden]  # each span follows its sentinel
    target = np.empty(len(hidden) + spans + 1, dtype=np.int64)
    target_origin = np.full(len(target), MASK, dtype=np.int64)
    target[place], target_origin[place] = text[hidden], hidden
    target[target_origin == MASK] = used
    return _framed(
        source[shown],
        target,
        origin[shown],
        target_origin,
        eos_token_id=eos_token_id,
        input_first=first,
    )


def _infill(
    text: Positions,
    generator: np.random.Generator,
    noise_density: float,
    poisson_lambda: float,
    mask_token_id: int,
) -> tuple[Positions, Positions]:
    """A text with masks, (input,), and where its tokens come from, (input,)."""
    hidden = _hidden_tokens(len(text), noise_density)
    if not 0.1 <= poisson_lambda < float("inf"):
        raise ValueError(
            f"poisson_lambda={poisson_lambda} must be at least 0.1: with less, next to all masks "
            "would stand for nothing."
        )
    _check_absent((mask_token_id,), text, "mask_token_id")
    lengths = _poisson_lengths(hidden, poisson_lambda, generator)
    visible, spans = len(text) - hidden, len(lengths)
    # A span goes before the visible token with its number, or after the last one. The remainder
    # lets spans touch only when there are more of them than places.
    places = generator.permutation(max(visible + 1, spans))[:spans] % (visible + 1)
    before = np.bincount(places, weights=lengths, minlength=visible + 1).cumsum()
    is_mask = np.zeros(visible + spans, dtype=np.bool_)
    is_mask[np.sort(places) + np.arange(spans)] = True
    origin = np.full(visible + spans, MASK, dtype=np.int64)
    origin[~is_mask] = np.arange(visible) + before[:visible].astype(np.int64)
    return np.where(is_mask, mask_token_id, text[origin]), origin


def _framed(
    input_ids: Positions,
    labels: Positions,
    input_origin: Positions,
    label_origin: Positions,
    *,
    eos_token_id: int,
    bos_token_id: int | None = None,
    input_first: int | None = None,
) -> Denoised:
    """Put begin and end around input and labels."""
    label_first = bos_token_id
    input_first = bos_token_id if input_first is None else input_first
    ids, origins = [], []
    for row, origin, first in (
        (input_ids, input_origin, input_first),
        (labels, label_origin, label_first),
    ):
        before = [] if first is None else [first]
        ids.append([*before, *row.tolist(), eos_token_id])
        framed = np.full(len(ids[-1]), FRAME, dtype=np.int64)
        framed[len(before) : -1] = origin
        origins.append(framed)
    return Denoised(*ids, *origins)


def _until_end(ids: Sequence[int], eos_token_id: int, *, last: bool) -> list[int]:
    """Ids without the end-of-sequence token that is last, or without the first and what follows."""
    row = list(ids)
    if last:
        return row[:-1] if row[-1:] == [eos_token_id] else row
    return row[: row.index(eos_token_id)] if eos_token_id in row else row


def _random_parts(items: int, parts: int, generator: np.random.Generator) -> Positions:
    """Cut a number into so many positive parts, all ways equally likely."""
    cuts = np.empty(parts + 1, dtype=np.int64)
    cuts[0], cuts[-1] = 0, items
    cuts[1:-1] = np.sort(generator.permutation(items - 1)[: parts - 1]) + 1
    return cuts[1:] - cuts[:-1]


def _poisson_lengths(total: int, mean: float, generator: np.random.Generator) -> Positions:
    """Draw lengths until they reach a total; the last is cut to meet it."""
    lengths = generator.poisson(mean, int(1.5 * total / mean) + 4)
    while (reached := lengths.cumsum())[-1] < total:
        lengths = np.concatenate([lengths, generator.poisson(mean, len(lengths))])
    last = int(reached.searchsorted(total))
    lengths = lengths[: last + 1]
    lengths[last] -= reached[last] - total
    return lengths


def _shuffled(starts: Positions, generator: np.random.Generator) -> Positions:
    """Positions of the text, with its sentences in a random order."""
    order = generator.permutation(len(starts) - 1)
    return np.concatenate([np.arange(starts[i], starts[i + 1]) for i in order])


def _select(
    words: Sequence[Sequence[Hashable]], number: int, selection: str, sentences: int
) -> list[int]:
    """Indices of the sentences to hide."""
    if len(words) != sentences:
        raise ValueError(f"words has {len(words)} sequences, but there are {sentences} sentences.")
    counts = _word_counts(words)
    if selection == "independent":
        return np.argsort(-_overlaps(counts, []), kind="stable")[:number].tolist()
    if selection != "sequential":
        raise ValueError(f"selection={selection!r} must be 'independent' or 'sequential'.")
    selected: list[int] = []
    for _ in range(number):
        scores = _overlaps(counts, selected)
        scores[selected] = -1
        selected.append(int(scores.argmax()))
    return selected


def _overlaps(counts: Positions, selected: list[int]) -> Positions:
    """Words that each sentence, with the selected ones, shares with the rest of the text.

    Sentence and rest together always have as many words as the text, so twice this, divided by
    that number, is ROUGE-1 F1, and comparing these whole numbers is comparing the scores.
    """
    taken = counts[selected].sum(axis=0)
    candidates = counts + taken
    candidates[selected] = taken
    return np.minimum(candidates, counts.sum(axis=0) - candidates).sum(axis=1)  # (sentences,)


def _word_counts(sentences: Sequence[Sequence[Hashable]]) -> Positions:
    """How often each sentence has each word, (sentences, words)."""
    numbers: dict[Hashable, int] = {}
    word = [numbers.setdefault(w, len(numbers)) for sentence in sentences for w in sentence]
    sentence = np.arange(len(sentences)).repeat([len(s) for s in sentences])
    size = len(sentences) * len(numbers)
    flat = np.bincount(sentence * len(numbers) + np.array(word, dtype=np.int64), minlength=size)
    return flat.reshape(len(sentences), len(numbers))


def _pick(
    denoisers: Sequence[Denoiser], weights: Sequence[float] | None, generator: np.random.Generator
) -> Denoiser:
    _check_generator(generator)
    if not denoisers:
        raise ValueError("denoisers is empty: there must be at least one to pick.")
    if weights is None:
        return denoisers[int(generator.integers(len(denoisers)))]
    bounds = np.cumsum(weights)
    if len(bounds) != len(denoisers) or min(weights) < 0 or not 0 < bounds[-1] < float("inf"):
        raise ValueError(
            f"weights={list(weights)} must hold a number of at least 0 for each of the "
            f"{len(denoisers)} denoisers, and not only zeros."
        )
    return denoisers[int(bounds.searchsorted(generator.random() * bounds[-1], side="right"))]


def _target_length(length: int, ratio: float, generator: np.random.Generator) -> int:
    """Uniform length of a target, with a mean share of the text."""
    _check_generator(generator)
    if not 0 < ratio <= 0.5:
        raise ValueError(
            f"target_ratio={ratio} must be more than 0 and at most 0.5: lengths are uniform up to "
            "twice the mean, and a token has to be left to see."
        )
    longest = min(length - 1, max(1, round(2 * ratio * length) - 1))
    return int(generator.integers(longest)) + 1


def _hidden_tokens(length: int, noise_density: float) -> int:
    """Number of tokens to hide: at least one, and at least one is left."""
    if not 0 < noise_density < 1:
        raise ValueError(f"noise_density={noise_density} must lie between 0 and 1, both excluded.")
    if length < 2:
        raise ValueError(
            f"length={length} must be at least 2: one token to see and one to predict."
        )
    return min(max(1, round(length * noise_density)), length - 1)


def _ids(tokens: Sequence[int], least: int) -> Positions:
    """Token ids as an array, (text,)."""
    ids = np.asarray(tokens)
    if ids.ndim != 1 or (len(ids) and ids.dtype.kind not in "iu"):
        raise ValueError(
            f"tokens has shape {ids.shape} and type {ids.dtype}, but must be one row of whole "
            "numbers, the ids of one text."
        )
    if len(ids) < least:
        need = "one token to see and one to predict" if least == 2 else "one token to predict"
        raise ValueError(f"tokens has length {len(ids)}, but must hold at least {need}.")
    return ids.astype(np.int64)


def _join(sentences: Sequence[Sequence[int]]) -> tuple[Positions, Positions]:
    """All tokens, (text,), and where sentences begin and the last ends, (sentences + 1,)."""
    if not len(sentences):
        raise ValueError("sentences is empty: there must be at least one.")
    lengths = [len(sentence) for sentence in sentences]
    if not all(lengths):
        raise ValueError(f"sentence {lengths.index(0)} holds no token: leave empty ones out.")
    return _ids([*chain.from_iterable(sentences)], least=1), np.cumsum([0, *lengths])


def _check_absent(special: Sequence[int], text: Positions, name: str) -> None:
    """A sentinel or mask that stands in the text could not be told from a real token."""
    if len(set(special)) < len(special):
        raise ValueError(f"{name} names an id twice in {list(special)}: each must be another one.")
    if not set(special).isdisjoint(text.tolist()):
        wrong = sorted(set(special) & set(text.tolist()))
        raise ValueError(f"tokens holds {wrong}, which {name} keeps for hidden text.")


def _check_generator(generator: np.random.Generator) -> None:
    if not isinstance(generator, np.random.Generator):
        raise TypeError(
            f"generator is a {type(generator).__name__}, but must be a numpy.random.Generator, "
            "such as numpy.random.default_rng(0)."
        )
