"""The book's tokenizers: byte-pair encoding trained on the training split, and its dropout.

A tokenizer is stored as one ``tokenizer.json`` (the `tokenizers` library's format), which Python,
Rust and the browser read alike. Words carry the mark ``▁`` where a space stood before them, so
that joining the pieces gives the sentence back.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

EOS, UNK, PAD = "</s>", "<unk>", "<pad>"
BOS, MASK, MASK_SENTENCE, TEXT, ANSWER = "<s>", "<mask>", "<mask_1>", "<|endoftext|>", "<|answer|>"
SPACE = "▁"
SENTINELS = tuple(f"<extra_id_{number}>" for number in range(100))  # in the order of their use

Frame = tuple[tuple[str, ...], tuple[str, ...]]  # what stands before and after a text


@dataclass(frozen=True)
class Layout:
    """Where a family keeps its special tokens, and how it frames a text.

    Attributes:
        first: tokens with the lowest ids.
        last: tokens with the highest.
        roles: what transformers calls them, e.g. ``eos_token``.
        source: tokens before and after a source.
        target: tokens before and after a target.
        one_row: whether the target continues the source, as in a decoder alone. Sources are then
            padded on the left, so that all of them end where the answer begins.
    """

    first: tuple[str, ...]
    last: tuple[str, ...]
    roles: dict[str, str]
    source: Frame = ((), (EOS,))
    target: Frame = ((), (EOS,))
    one_row: bool = False


_ROLES = {"eos_token": EOS, "unk_token": UNK, "pad_token": PAD}
LAYOUTS = {
    "marian": Layout((EOS, UNK), (PAD,), _ROLES),
    "t5": Layout((PAD, EOS, UNK), SENTINELS[::-1], _ROLES),  # T5 counts its sentinels downwards
    "bart": Layout(
        (BOS, PAD, EOS, UNK),
        (MASK,),
        _ROLES | {"bos_token": BOS, "mask_token": MASK},
        source=((BOS,), (EOS,)),
        target=((BOS,), (EOS,)),
    ),
    # <mask_1> hides a sentence, <mask_2> a few tokens: transformers calls the second the mask.
    "pegasus": Layout(
        (PAD, EOS, MASK_SENTENCE, "<mask_2>", UNK), (), _ROLES | {"mask_token": "<mask_2>"}
    ),
    # GPT-2 has one token for begin, end and padding. Between question and answer stands <|answer|>.
    "gpt2": Layout(
        (TEXT, UNK, ANSWER),
        (),
        {"bos_token": TEXT, "eos_token": TEXT, "pad_token": TEXT, "unk_token": UNK},
        source=((TEXT,), (ANSWER,)),
        target=((), (TEXT,)),
        one_row=True,
    ),
}


def train_tokenizer(
    texts: Iterable[str],
    vocab_size: int,
    layout: Layout = LAYOUTS["marian"],
    *,
    split_digits: bool = False,
    split_names: bool = False,
    alphabet: int | None = None,
    min_frequency: int = 2,
) -> PreTrainedTokenizerFast:
    """Learn a byte-pair encoding with the special tokens of a family.

    Args:
        texts: the training texts, all languages together (a joint vocabulary).
        vocab_size: number of tokens including the special ones.
        layout: Marian's by default: ``</s>`` is 0, ``<unk>`` is 1, ``<pad>`` is last, and every
            encoded text ends with ``</s>``.
        split_digits: make every digit a piece of its own, so that numbers of any length are made
            of the same ten tokens.
        split_names: cut names of programs after each underscore, so that ``load_model`` is made of
            the pieces of *load* and *model*.
        alphabet: keep so many characters, the most frequent; the others become ``<unk>``.
        min_frequency: a pair seen fewer times is not merged.

    Returns:
        A tokenizer whose ``save_pretrained`` folder `AutoTokenizer` loads.

    Raises:
        ValueError: there is no text, or the vocabulary can't hold the alphabet.

    Source: Sennrich et al. 2016, Neural machine translation of rare words with subword units.
    """
    texts = list(texts)
    if not any(text.strip() for text in texts):
        raise ValueError("texts holds no sentence: a tokenizer needs text to learn from.")
    tokenizer = Tokenizer(models.BPE(unk_token=UNK))
    tokenizer.normalizer = _normalizer(split_names)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always", split=False),
            pre_tokenizers.Split(_pieces(split_digits, split_names), behavior="isolated"),
        ]
    )
    tokenizer.decoder = _decoder(split_names)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(layout.last),
        min_frequency=min_frequency,
        special_tokens=list(layout.first),
        show_progress=False,
        **_alphabet(tokenizer, texts, alphabet),
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens(list(layout.last))
    if tokenizer.get_vocab_size() > vocab_size:
        raise ValueError(
            f"vocab_size={vocab_size} can't hold the alphabet of these texts; "
            f"it would need at least {tokenizer.get_vocab_size()}."
        )
    tokenizer.post_processor = _frame(tokenizer, layout)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **layout.roles,
        padding_side="left" if layout.one_row else "right",
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )


def _normalizer(split_names: bool) -> normalizers.Normalizer:
    """One form for letters, apostrophes and spaces; a gap after underscores, if names are split."""
    steps = [
        normalizers.NFC(),
        normalizers.Replace("’", "'"),
        normalizers.Replace(Regex(r"\s+"), " "),
        normalizers.Strip(),
    ]
    if split_names:  # as if a space followed, so that the next part begins like a word
        steps.append(normalizers.Replace(Regex(r"_(?=[^\W_])"), "_ "))
    return normalizers.Sequence(steps)


def _pieces(split_digits: bool, split_names: bool) -> Regex:
    """What merges never cross, so that punctuation never sticks to a word.

    A piece is a word with the space before it and an apostrophe after it ("▁l'", "homme"), or one
    other character.
    """
    word = r"[^\W_]" if split_names else r"\w"
    letters, digit = (rf"(?:(?!\d){word})", rf"|{SPACE}(?=\d)|\d") if split_digits else (word, "")
    other = rf"{SPACE}?(?:_|[^\w{SPACE}])" if split_names else rf"{SPACE}?[^\w{SPACE}]"
    return Regex(rf"{SPACE}?{letters}+'?{digit}|{other}")


def _decoder(split_names: bool) -> decoders.Decoder:
    words = decoders.Metaspace(replacement=SPACE, prepend_scheme="always")
    if not split_names:
        return words
    return decoders.Sequence([words, decoders.Fuse(), decoders.Replace("_ ", "_")])


def _alphabet(tokenizer: Tokenizer, texts: list[str], size: int | None) -> dict[str, Any]:
    """Which characters the trainer keeps; it would draw lots among those equally frequent."""
    if size is None:
        return {"limit_alphabet": sys.maxunicode}
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(tokenizer.normalizer.normalize_str(text).replace(" ", SPACE))
    kept = sorted(counts, key=lambda character: (-counts[character], character))[:size]
    return {"initial_alphabet": kept, "limit_alphabet": len(kept)}


def _frame(tokenizer: Tokenizer, layout: Layout) -> TemplateProcessing:
    """What stands before and after a source; a second text follows after another end."""
    before, after = (" ".join(tokens) for tokens in layout.source)
    special = sorted({token for tokens in layout.source for token in tokens})
    return TemplateProcessing(
        single=f"{before} $A {after}".strip(),
        pair=f"{before} $A {after} $B {after}".strip(),
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in special],
    )


class BPEDropout:
    """Encode the same sentence differently each time, by leaving merges out at random.

    The `tokenizers` library has this too, but draws from a generator that can't be seeded; a
    training run that is killed and resumed has to see the same segmentations again. Each distinct
    piece gets ``variants`` segmentations once, and an epoch picks among them.

    Args:
        tokenizer: a tokenizer made by :func:`train_tokenizer`.
        dropout: probability that a possible merge is left out; 0 gives the ordinary encoding.
        variants: number of segmentations drawn for each distinct piece.
        seed: the same seed gives the same variants.

    Source: Provilkov et al. 2020, BPE-Dropout: Simple and effective subword regularization.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        dropout: float,
        *,
        variants: int = 12,
        seed: int = 0,
    ) -> None:
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout={dropout} must be at least 0 and less than 1.")
        self.backend = tokenizer.backend_tokenizer
        self.dropout = dropout
        self.variants = variants if dropout else 1
        self.eos = tokenizer.eos_token_id
        self.unk = tokenizer.unk_token_id
        self.vocab = self.backend.get_vocab()
        merges = json.loads(self.backend.to_str())["model"]["merges"]
        self.ranks = {tuple(pair): rank for rank, pair in enumerate(merges)}
        self._seed = seed
        self._cache: dict[str, list[list[int]]] = {}

    def pieces(self, text: str) -> list[str]:
        """Split a text into the pieces within which merges happen."""
        normalized = self.backend.normalizer.normalize_str(text)
        return [piece for piece, _ in self.backend.pre_tokenizer.pre_tokenize_str(normalized)]

    def encode(self, pieces: Sequence[str], generator: random.Random) -> list[int]:
        """Token ids of one sentence, given as :meth:`pieces`, ending with the end token."""
        return [*self.tokens(pieces, generator), self.eos]

    def tokens(self, pieces: Sequence[str], generator: random.Random) -> list[int]:
        """Token ids of one text, given as :meth:`pieces`."""
        return [i for piece in pieces for i in self._variants(piece)[self._draw(generator)]]

    def _draw(self, generator: random.Random) -> int:
        return int(generator.random() * self.variants)

    def _variants(self, piece: str) -> list[list[int]]:
        if piece not in self._cache:
            generator = random.Random(f"{self._seed} {piece}")
            self._cache[piece] = [self._segment(piece, generator) for _ in range(self.variants)]
        return self._cache[piece]

    def _segment(self, piece: str, generator: random.Random) -> list[int]:
        symbols = list(piece)
        while len(symbols) > 1:
            candidates = [
                (rank, i)
                for i, pair in enumerate(pairwise(symbols))
                if (rank := self.ranks.get(pair)) is not None
                and not (self.dropout and generator.random() < self.dropout)
            ]
            if not candidates:
                break
            _, i = min(candidates)
            symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]
        return [self.vocab.get(symbol, self.unk) for symbol in symbols]
