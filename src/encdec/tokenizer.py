"""The book's tokenizers: byte-pair encoding trained on the training split, and its dropout.

A tokenizer is stored as one ``tokenizer.json`` (the `tokenizers` library's format), which Python,
Rust and the browser read alike. Words carry the mark ``▁`` where a space stood before them, so
that joining the pieces gives the sentence back.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from itertools import pairwise

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

EOS, UNK, PAD = "</s>", "<unk>", "<pad>"
SPACE = "▁"

# A piece is a word with the space before it and an apostrophe after it ("▁l'", "homme"), or one
# other character. Merges never cross a piece, so punctuation never sticks to a word.
_PIECE = Regex(rf"{SPACE}?\w+'?|{SPACE}?[^\w{SPACE}]")


def train_tokenizer(
    texts: Iterable[str], vocab_size: int, *, min_frequency: int = 2
) -> PreTrainedTokenizerFast:
    """Learn a byte-pair encoding with Marian's layout of special tokens.

    ``</s>`` is 0, ``<unk>`` is 1 and ``<pad>`` is last; every encoded text ends with ``</s>``.

    Args:
        texts: the training sentences, all languages together (a joint vocabulary).
        vocab_size: number of tokens including the three special ones.
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
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            normalizers.Replace("’", "'"),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always", split=False),
            pre_tokenizers.Split(_PIECE, behavior="isolated"),
        ]
    )
    tokenizer.decoder = decoders.Metaspace(replacement=SPACE, prepend_scheme="always")
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1,
        min_frequency=min_frequency,
        special_tokens=[EOS, UNK],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([PAD])
    if tokenizer.get_vocab_size() > vocab_size:
        raise ValueError(
            f"vocab_size={vocab_size} can't hold the alphabet of these texts; "
            f"it would need at least {tokenizer.get_vocab_size()}."
        )
    tokenizer.post_processor = TemplateProcessing(
        single=f"$A {EOS}",
        pair=f"$A {EOS} $B {EOS}",
        special_tokens=[(EOS, tokenizer.token_to_id(EOS))],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=EOS,
        unk_token=UNK,
        pad_token=PAD,
        clean_up_tokenization_spaces=False,
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
        """Token ids of one sentence, given as :meth:`pieces`, ending with ``</s>``."""
        ids = [i for piece in pieces for i in self._variants(piece)[self._draw(generator)]]
        return [*ids, self.eos]

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
