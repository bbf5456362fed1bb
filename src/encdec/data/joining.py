"""Longer sentences out of short ones: two pairs become one, joined alike in both languages.

A corpus of short sentences teaches a model to stop early. Joining unrelated sentences teaches it to
carry on to the end of the source, though nothing about how sentences hang together.

Source: Kondo et al. 2021, Sentence concatenation approach to data augmentation for neural machine
translation; the conjunctions are this book's addition.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from encdec.data.parallel import Pair

# What may stand between two clauses; the empty link leaves them as two sentences.
LINKS = {
    "en": ("", ", ", ", and ", ", but "),
    "fr": ("", ", ", ", et ", ", mais "),
    "de": ("", ", ", ", und ", ", aber "),
}
_FIRST_WORD = re.compile(r"\w+")
_WORD_INSIDE = re.compile(r"(?<=[\w,;] )\w+|(?<=')\w+")


class Joiner:
    """Joins a share of the pairs of a corpus two by two.

    Args:
        pairs: the corpus; it tells which words keep their capital inside a sentence.
        source: language of the sources, a key of :data:`LINKS`.
        target: language of the targets.
        share: of the pairs that are joined to another one, between 0 and 1.

    Raises:
        ValueError: there are no links for a language.
    """

    def __init__(self, pairs: Sequence[Pair], source: str, target: str, share: float) -> None:
        for language in (source, target):
            if language not in LINKS:
                raise ValueError(
                    f"sentences in {language!r} can't be joined; known are {', '.join(LINKS)}."
                )
        self.pairs, self.share = pairs, share
        self.links = list(zip(LINKS[source], LINKS[target], strict=True))
        self.lowered = (
            _lowered(pair.source for pair in pairs),
            _lowered(pair.target for pair in pairs),
        )

    def draw(self, generator: random.Random) -> list[Pair]:
        """All pairs once, the chosen share of them joined."""
        order = list(self.pairs)
        generator.shuffle(order)
        joined = int(len(order) * self.share) // 2 * 2
        couples = zip(order[0:joined:2], order[1:joined:2], strict=True)
        return [*(self.join(a, b, generator) for a, b in couples), *order[joined:]]

    def join(self, first: Pair, second: Pair, generator: random.Random) -> Pair:
        """One pair out of two, with a link drawn at random."""
        links = generator.choice(self.links)
        if not all(text.endswith((".", "!")) for text in first):
            links = self.links[0]  # a question stays a sentence of its own
        return Pair(
            *(
                link_clauses(a, b, link, lowered)
                for a, b, link, lowered in zip(first, second, links, self.lowered, strict=True)
            )
        )


def link_clauses(first: str, second: str, link: str, lowered: set[str]) -> str:
    """Put two sentences into one; with an empty link, side by side.

    Args:
        first: ends with a full stop or an exclamation mark if there is a link.
        second: its first letter is lowered if its first word is in ``lowered``.
        link: what stands between them.
        lowered: words that are written small inside a sentence.
    """
    if not link:
        return f"{first} {second}"
    word = _FIRST_WORD.match(second)
    if word and word.group().lower() in lowered:
        second = second[:1].lower() + second[1:]
    return first.rstrip(".! ") + link + second


def _lowered(sentences: Iterable[str]) -> set[str]:
    """Words that inside sentences are written small more often than with a capital."""
    inside = Counter(word for sentence in sentences for word in _WORD_INSIDE.findall(sentence))
    return {word for word in inside if word.islower() and inside[word] > inside[word.capitalize()]}
