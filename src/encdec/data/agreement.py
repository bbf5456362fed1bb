"""Five-word sentences in which every word says something about another one.

"these old dogs bark slowly": determiner, noun and verb agree in number, each noun has a verb of its
own, each adjective an adverb. So a word that is hidden can be found, but not from every side, which
is what chapter 12 needs to show what a mask lets a model know.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

PAIRS = {  # noun: verb
    "dog": "bark", "cat": "purr", "bird": "sing", "bee": "hum", "frog": "croak", "horse": "trot",
    "duck": "dive", "crow": "caw", "wolf": "howl", "goat": "climb", "hen": "cluck", "seal": "swim",
}  # fmt: skip
MANNERS = {  # adjective: adverb
    "old": "slowly", "young": "quickly", "shy": "quietly",
    "brave": "loudly", "tired": "badly", "happy": "well",
}  # fmt: skip
PAD, BLANK, START, MODES = "<pad>", "___", "<s>", ("[R]", "[S]", "[X]")
LENGTH = 5  # words in a sentence
DETERMINERS = ("this", "these")


def _plural(noun: str) -> str:
    return "wolves" if noun == "wolf" else f"{noun}s"


WORDS = (PAD, BLANK, START, ".", *MODES, *(f"<{n}>" for n in range(12)), "</s>", *DETERMINERS)
WORDS += (*MANNERS, *PAIRS, *map(_plural, PAIRS), *PAIRS.values())
WORDS += (*(f"{verb}s" for verb in PAIRS.values()), *MANNERS.values())
IDS = {word: number for number, word in enumerate(WORDS)}


def sentence(noun: str, adjective: str, *, plural: bool) -> list[str]:
    """Put a sentence together.

    Args:
        noun: one of `PAIRS`.
        adjective: one of `MANNERS`.
        plural: whether there are several.

    Returns:
        Five words.
    """
    verb = PAIRS[noun]
    who = (_plural(noun), verb) if plural else (noun, f"{verb}s")
    return [DETERMINERS[plural], adjective, *who, MANNERS[adjective]]


SENTENCES = tuple(
    tuple(sentence(noun, adjective, plural=plural))
    for noun in PAIRS
    for adjective in MANNERS
    for plural in (False, True)
)


def encode(words: str | Sequence[str]) -> list[int]:
    """Turn words into ids.

    Args:
        words: a list, or a text with spaces between the words.

    Returns:
        Their ids.

    Raises:
        ValueError: if there is a word that these sentences don't have.
    """
    words = words.split() if isinstance(words, str) else words
    unknown = [word for word in words if word not in IDS]
    if unknown:
        raise ValueError(f"unknown word {unknown[0]!r}: the words are {', '.join(WORDS[20:])}")
    return [IDS[word] for word in words]


def decode(ids: Sequence[int]) -> str:
    """Turn ids into words.

    Args:
        ids: token ids.

    Returns:
        The text, with spaces between the words.
    """
    return " ".join(WORDS[i] for i in ids)


def blanks(generator: random.Random, *, solvable: bool = True) -> set[int]:
    """Draw which words of a sentence are hidden: at least one, at most three.

    Args:
        generator: source of the choice.
        solvable: whether the words that are left must tell what is missing; otherwise a noun may be
            hidden with its verb, and an adjective with its adverb.

    Returns:
        Places from 0 to 4.
    """
    while True:
        hidden = set(generator.sample(range(LENGTH), generator.randint(1, 3)))
        if not solvable or not ({2, 3} <= hidden or {1, 4} <= hidden):
            return hidden


def hide(words: Sequence[str], hidden: Collection[int]) -> list[str]:
    """Put blanks into a sentence.

    Args:
        words: the sentence.
        hidden: places of the blanks.

    Returns:
        As many words, some of them `BLANK`.
    """
    return [BLANK if place in hidden else word for place, word in enumerate(words)]


def fits(shown: Sequence[str], words: Sequence[str]) -> bool:
    """Tell whether a sentence agrees with what is shown of one.

    Args:
        shown: words, some of them `BLANK`.
        words: the sentence.

    Returns:
        Whether they are equally long and every word shown stands in the sentence.
    """
    if len(shown) != len(words):
        return False
    return all(word in (BLANK, other) for word, other in zip(shown, words, strict=True))


def noun_of(words: Sequence[str]) -> str:
    """Tell what a sentence is about.

    Args:
        words: one of `SENTENCES`.

    Returns:
        The noun in the singular, one of `PAIRS`.
    """
    return next(noun for noun in PAIRS if words[2] in (noun, _plural(noun)))
