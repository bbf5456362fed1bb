"""From the ingredients of a stage to its examples, epoch by epoch.

Every ingredient draws its share anew for each epoch; the same seed, stage and epoch give the same
examples, so that a run that was killed sees what it would have seen.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from itertools import chain
from typing import TypeVar

import numpy as np
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from encdec.corpora import Corpora, Document
from encdec.data.collate import Example
from encdec.data.joining import Joiner
from encdec.data.parallel import Pair
from encdec.objectives import (
    causal_lm,
    gap_sentences,
    shuffle_and_infill,
    span_corruption,
    text_infilling,
)
from encdec.recipe import (
    DenoisingRecipe,
    IngredientRecipe,
    InstructionsRecipe,
    PairsRecipe,
    Recipe,
    StageRecipe,
    SummariesRecipe,
    TranslationRecipe,
)
from encdec.tokenizer import MASK_SENTENCE, SENTINELS, BPEDropout, Layout

LEAST_WINDOW = 8  # tokens; shorter windows teach little
CHARACTERS = 5_000_000  # of one kind of text that the tokenizer learns from

Window = list[list[int]]  # token ids of its sentences
Draw = Callable[[random.Random], list[Example]]
Item = TypeVar("Item")


class Encoder:
    """Token ids of texts, framed as a family frames sources and targets.

    Args:
        tokenizer: the model's.
        layout: the family's special tokens.
        max_length: of a source and of a target; of both together where they share one row.
        dropout: BPE-dropout of pairs.
        seed: of the dropout.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        layout: Layout,
        max_length: int,
        *,
        dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.tokenizer, self.max_length = tokenizer, max_length
        self.dropout = BPEDropout(tokenizer, dropout, seed=seed) if dropout else None
        # A text that speaks of "<mask>" means these six characters and hides nothing.
        self.backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self.backend.encode_special_tokens = True
        self._pieces: dict[str, list[str]] = {}
        as_ids = tokenizer.convert_tokens_to_ids
        self.source_frame, self.target_frame = (
            (as_ids(list(before)), as_ids(list(after)))
            for before, after in (layout.source, layout.target)
        )
        self.one_row = layout.one_row

    def encode(self, texts: Sequence[str], generator: random.Random | None = None) -> Window:
        """Token ids of each text, without a frame; segmented at random if a generator is given."""
        if generator is None or self.dropout is None:
            found = self.backend.encode_batch_fast(list(texts), add_special_tokens=False)
            return [encoding.ids for encoding in found]
        return [self.dropout.tokens(self._known_pieces(text), generator) for text in texts]

    def _known_pieces(self, text: str) -> list[str]:
        if self.dropout and text not in self._pieces:
            # words recur: keeping each once saves most of the memory
            self._pieces[text] = [sys.intern(piece) for piece in self.dropout.pieces(text)]
        return self._pieces[text]

    def examples(
        self,
        pairs: Sequence[Pair],
        generator: random.Random | None = None,
        *,
        source_limit: int | None = None,
    ) -> list[Example]:
        """An example for each pair; sources are cut to ``source_limit`` tokens, frame included.

        Raises:
            ValueError: a source or a target is longer than the model can take.
        """
        sources = self.encode([pair.source for pair in pairs], generator)
        targets = self.encode([pair.target for pair in pairs], generator)
        (before, after), (first, last) = self.source_frame, self.target_frame
        room = None if source_limit is None else source_limit - len(before) - len(after)
        found = [
            Example([*before, *source[:room], *after], [*first, *target, *last])
            for source, target in zip(sources, targets, strict=True)
        ]
        for pair, example in zip(pairs, found, strict=True):
            self._check_lengths(pair, example)
        return found

    def fitting(self, pairs: Sequence[Pair]) -> list[Pair]:
        """Pairs that the model can take: in tokens, or in characters if tokens are drawn anew."""
        if self.dropout:
            return within(pairs, self.max_length)
        before, after = (sum(map(len, frame)) for frame in (self.source_frame, self.target_frame))
        sources = self.encode([pair.source for pair in pairs])
        targets = self.encode([pair.target for pair in pairs])
        return [
            pair
            for pair, source, target in zip(pairs, sources, targets, strict=True)
            if self._fits(len(source) + before, len(target) + after)
        ]

    def _fits(self, source: int, target: int) -> bool:
        return (source + target if self.one_row else max(source, target)) <= self.max_length

    def _check_lengths(self, pair: Pair, example: Example) -> None:
        source, target = len(example.input_ids), len(example.labels)
        if not self._fits(source, target):
            raise ValueError(
                f"{pair.source[:40]!r} and its target {pair.target[:40]!r} have {source} + "
                f"{target} tokens, more than max_length={self.max_length}"
                f"{' for both together' * self.one_row}: raise model.max_length or lower the limit "
                "of the source."
            )


class Windows:
    """Windows of plain text and what is asked about them.

    Args:
        recipe: the ingredient.
        documents: texts that are not mixed within a window, each as documents of sentences.
        encoder: of the model.
    """

    def __init__(
        self, recipe: DenoisingRecipe, documents: Iterable[list[Document]], encoder: Encoder
    ) -> None:
        self.recipe, self.encoder = recipe, encoder
        self._texts = list(documents)
        self.ask = denoiser(recipe, encoder)
        # Only sentences of one document have an order that can be restored.
        self.coherent = recipe.objective in ("gap_sentences", "shuffle_and_infill")

    def __call__(self, generator: random.Random) -> list[Example]:
        """The examples of one epoch."""
        windows = sample(self.draw(generator), self.recipe.examples, generator)
        noise = np.random.default_rng(generator.getrandbits(64))
        return [self.ask(window, noise) for window in windows]

    def draw(self, generator: random.Random) -> list[Window]:
        """All windows, cut anew."""
        windows = chain.from_iterable(
            fill(sample(documents, None, generator), self.recipe.window, coherent=self.coherent)
            for documents in self._documents
        )
        fewest = 2 if self.coherent else 1
        return [
            window
            for window in windows
            if sum(map(len, window)) >= LEAST_WINDOW and len(window) >= fewest
        ]

    @cached_property
    def _documents(self) -> list[list[Window]]:
        """Token ids of all sentences."""
        found = []
        for documents in self._texts:
            ids = iter(self.encoder.encode([*chain.from_iterable(documents)]))
            found.append([[next(ids) for _ in document] for document in documents])
        return found


def fill(documents: Iterable[Window], size: int, *, coherent: bool) -> list[Window]:
    """Fill windows with sentences, in order.

    Args:
        documents: token ids of their sentences.
        size: tokens of a window at most; a longer sentence is cut.
        coherent: whether a new document begins a new window.
    """
    windows: list[Window] = []
    window: Window = []
    length = 0
    for document in documents:
        for sentence in document:
            for start in range(0, len(sentence), size):
                part = sentence[start : start + size]
                if length + len(part) > size:
                    windows.append(window)
                    window, length = [], 0
                window.append(part)
                length += len(part)
        if coherent and window:
            windows.append(window)
            window, length = [], 0
    return [*windows, window] if window else windows


def denoiser(
    recipe: DenoisingRecipe, encoder: Encoder
) -> Callable[[Window, np.random.Generator], Example]:
    """The objective of an ingredient, as a function of a window."""
    tokenizer = encoder.tokenizer
    eos, bos = tokenizer.eos_token_id, tokenizer.bos_token_id
    density, span = recipe.density, recipe.mean_span
    if recipe.objective == "gap_sentences":
        hidden = tokenizer.convert_tokens_to_ids(MASK_SENTENCE)
        return lambda window, noise: gap_sentences(
            window, ratio=density, mask_token_id=hidden, eos_token_id=eos
        )
    if recipe.objective == "causal_lm":
        return lambda window, noise: Example(
            [bos], causal_lm([*chain.from_iterable(window)], eos_token_id=eos).labels
        )
    if recipe.objective == "span_corruption":
        sentinels = tokenizer.convert_tokens_to_ids(list(SENTINELS))
        corrupt = partial(
            span_corruption,
            noise_density=density,
            mean_span_length=span,
            sentinels=sentinels,
            eos_token_id=eos,
            roll=True,
        )
        return lambda window, noise: corrupt([*chain.from_iterable(window)], noise)
    frame = {"mask_token_id": tokenizer.mask_token_id, "eos_token_id": eos, "bos_token_id": bos}
    if recipe.objective == "shuffle_and_infill":
        return lambda window, noise: shuffle_and_infill(
            window, noise, noise_density=density, poisson_lambda=span, **frame
        )
    return lambda window, noise: text_infilling(
        [*chain.from_iterable(window)], noise, noise_density=density, poisson_lambda=span, **frame
    )


class Mixture:
    """The examples of a stage: called with the number of an epoch.

    Args:
        recipe: the run.
        stage: one of its stages.
        corpora: where text comes from.
        encoder: of the model.
    """

    def __init__(
        self, recipe: Recipe, stage: StageRecipe, corpora: Corpora, encoder: Encoder
    ) -> None:
        self.key = f"{recipe.seed} {stage.name}"
        self.parts = [ingredient(part, corpora, encoder) for part in stage.mixture]
        self._last: tuple[int, list[Example]] = -1, []

    def __call__(self, epoch: int) -> list[Example]:
        """The examples of epoch 0, 1, …, not shuffled."""
        if self._last[0] != epoch:  # the first one is asked for twice: to count, and to learn from
            self._last = (
                epoch,
                [
                    example
                    for number, part in enumerate(self.parts)
                    for example in part(random.Random(f"{self.key} {number} {epoch}"))
                ],
            )
        return self._last[1]


def ingredient(recipe: IngredientRecipe, corpora: Corpora, encoder: Encoder) -> Draw:
    """What draws the examples of an ingredient."""
    kind = recipe.kind
    if isinstance(kind, DenoisingRecipe):
        return Windows(kind, (corpora.documents(text, "train") for text in kind.texts), encoder)
    if isinstance(kind, PairsRecipe):
        own = encoder.fitting(with_prefix(corpora.file(kind).train, kind.prefix))
        return lambda generator: encoder.examples(sample(own, kind.examples, generator), generator)
    limit = kind.source_limit if isinstance(kind, SummariesRecipe) else None
    draw = pair_source(kind, corpora, encoder.max_length)
    return lambda generator: encoder.examples(draw(generator), generator, source_limit=limit)


def pair_source(
    kind: TranslationRecipe | SummariesRecipe | InstructionsRecipe | PairsRecipe,
    corpora: Corpora,
    max_length: int,
) -> Callable[[random.Random], list[Pair]]:
    """What draws the sources and targets of an ingredient that learns from pairs."""
    if isinstance(kind, TranslationRecipe):
        room = max_length - len(kind.prefix)
        pairs = within(corpora.pairs(kind).train, room // 2 if kind.joined else room)
        joiner = Joiner(pairs, kind.source, kind.target, kind.joined)
        return lambda generator: [
            Pair(kind.prefix + source, target)
            for source, target in sample(joiner.draw(generator), kind.examples, generator)
        ]
    if isinstance(kind, PairsRecipe):
        own = with_prefix(corpora.file(kind).train, kind.prefix)
        return lambda generator: sample(own, kind.examples, generator)
    if isinstance(kind, SummariesRecipe):
        from encdec.data.docstrings import source_text

        train = [docstring for code in kind.code for docstring in corpora.code(code)]
        return lambda generator: [
            Pair(generator.choice(kind.prefixes) + source_text(docstring), docstring.summary)
            for docstring in sample(train, kind.examples, generator)
        ]
    from encdec.data.tasks import draw_items

    return lambda generator: [
        Pair(item.instruction, item.answer)
        for item in draw_items(
            kind.examples,
            generator.getrandbits(32),
            tasks=kind.tasks,
            templates=kind.templates,
            polite=kind.polite,
        )
        if not corpora.leaks(item.instruction, item.answer)
    ]


def with_prefix(pairs: Sequence[Pair], prefix: str) -> list[Pair]:
    """The same pairs, each source behind a prefix."""
    return [Pair(prefix + source, target) for source, target in pairs]


def within(pairs: Sequence[Pair], max_length: int) -> list[Pair]:
    """Pairs that fit the positions even when every character is a token of its own."""
    return [pair for pair in pairs if max(map(len, pair)) + 2 <= max_length]


def sample(items: Sequence[Item], number: int | None, generator: random.Random) -> list[Item]:
    """So many of the items in random order, each as often as any other up to one; all if None."""
    drawn: list[Item] = []
    while number is None or len(drawn) < number:
        drawn += generator.sample(items, len(items))
        if number is None or not items:
            break
    return drawn[:number]


def tokenizer_texts(recipe: Recipe, corpora: Corpora) -> list[str]:
    """What a tokenizer learns from: every kind of text that the stages read or write, once.

    Kinds of which there is much more than of others are cut, so that none crowds out the rest.
    """
    found: dict[str, Iterable[str]] = {}
    for part in recipe.ingredients:
        kind = part.kind
        if isinstance(kind, DenoisingRecipe):
            for text in kind.texts:
                found[text] = chain.from_iterable(corpora.documents(text, "train"))
        elif isinstance(kind, TranslationRecipe):
            plain = kind.model_copy(update={"joined": 0.0, "examples": None})
            name = f"{kind.corpus} {kind.direction}"
            found[name] = chain.from_iterable(corpora.pairs(plain).train)
        else:
            if isinstance(kind, InstructionsRecipe):
                kind = kind.model_copy(update={"polite": 0.0})
            elif isinstance(kind, SummariesRecipe):
                kind = kind.model_copy(update={"code": ("documented",)})
            draw = pair_source(kind, corpora, sys.maxsize)
            found[type(kind).__name__] = chain.from_iterable(draw(random.Random(recipe.seed)))
    return [text for texts in found.values() for text in _at_most(texts, CHARACTERS)]


def _at_most(texts: Iterable[str], characters: int) -> list[str]:
    """All texts, or a random choice of about so many characters."""
    kept = list(texts)
    share = characters / max(1, sum(map(len, kept)))
    generator = random.Random(0)
    return kept if share >= 1 else [text for text in kept if generator.random() < share]
