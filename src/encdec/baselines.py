"""What a score has to beat: translators and summarisers that understand nothing."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from encdec.data.docstrings import Docstring
from encdec.data.parallel import Pair, sentence_key

# Capitals in a row, a word with or without one, or digits: "HTTPServer_v2" has four.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def copy_source(sources: Sequence[str]) -> list[str]:
    """Return every sentence untranslated."""
    return list(sources)


class TranslationMemory:
    """Answer with the translation of the most similar training sentence.

    Similarity is the cosine of word counts, each word weighted by its rarity (tf-idf).

    Args:
        pairs: the training pairs; of several translations of a sentence the first is used.
    """

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.pairs = list({sentence_key(pair.source): pair for pair in reversed(pairs)}.values())
        words = [Counter(sentence_key(pair.source).split()) for pair in self.pairs]
        frequency = Counter(word for counts in words for word in counts)
        self.weight = {w: math.log(len(words) / n) + 1 for w, n in frequency.items()}
        self.postings: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for index, counts in enumerate(words):
            norm = math.sqrt(sum((n * self.weight[w]) ** 2 for w, n in counts.items())) or 1.0
            for word, count in counts.items():
                self.postings[word].append((index, count * self.weight[word] / norm))

    def __call__(self, source: str) -> str:
        """The stored translation nearest to ``source``; empty if no word is known."""
        similarity: dict[int, float] = defaultdict(float)
        for word, count in Counter(sentence_key(source).split()).items():
            for index, value in self.postings.get(word, ()):
                similarity[index] += count * self.weight[word] * value
        if not similarity:
            return ""
        nearest = max(similarity, key=lambda index: (similarity[index], -index))
        return self.pairs[nearest].target


def function_name(docstring: Docstring) -> str:
    """Summarise a function by the words of its own name, without its class."""
    return identifier_words(docstring.name.rpartition(".")[2])


def lead_sentence(docstring: Docstring) -> str:
    """Summarise a function by what its source begins with: the words of name and parameters."""
    return identifier_words(signature(docstring.body).partition("def ")[2])


def identifier_words(code: str) -> str:
    """The words that names are made of: ``"BPEDropout.pieces_of"`` has four, in small letters."""
    return " ".join(name_parts(code)).lower()


def name_parts(code: str) -> list[str]:
    """The same words one by one, in the letters in which they are written."""
    return _WORD.findall(code)


def signature(body: str) -> str:
    """A function's source up to the colon that ends its first statement."""
    depth = 0
    for position, character in enumerate(body):
        depth += (character in "([{") - (character in ")]}")
        if character == ":" and not depth:
            return body[:position]
    return body.partition("\n")[0]  # brackets in a text that do not match
