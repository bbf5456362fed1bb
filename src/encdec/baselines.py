"""What a score has to beat: translators that understand nothing."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from encdec.data.parallel import Pair, sentence_key


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
