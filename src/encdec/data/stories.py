"""Small stories with questions, drawn from a source whose every probability is known.

"Ada has a red kite . who has the kite ? Ada . what colour is the kite ? red ." After each word the
source says exactly how likely every next word is. So its entropy, the lowest loss that any language
model can reach on it, is known, and a program can tell whether a story that a model wrote is
possible. With one person an answer is a word to be copied; with several the reader has to find out
whose it is.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

END = "<end>"  # starts, ends and pads, as in GPT-2
NAMES = ("Ada", "Ben", "Cleo", "Dev", "Eve", "Finn", "Gus", "Hana")
COLOURS = ("red", "blue", "green", "white", "black", "yellow")
THINGS = ("kite", "drum", "boat", "hat", "lamp", "bike", "bell", "chair")
WHO, WHAT = ("who", "has", "the"), ("what", "colour", "is", "the")
WORDS = (END, ".", "?", "has", "a", "the", "who", "what", "colour", "is", *NAMES, *COLOURS, *THINGS)

_IDS = {word: number for number, word in enumerate(WORDS)}


def next_words(written: Sequence[str], people: int = 1) -> dict[str, float]:
    """Tell how likely each word is to come next.

    Args:
        written: how a story begins, without the token that starts it.
        people: how many there are in a story, up to as many as there are names.

    Returns:
        For each word that is possible its probability; nothing after the end.
    """
    owned: dict[str, tuple[str, str]] = {}  # thing -> name, colour
    asked, sentence = 0, list[str]()
    for word in written:
        sentence.append(word)
        if word == END:
            return {}
        if word == ".":
            if sentence[0] in NAMES:
                owned[sentence[4]] = (sentence[0], sentence[3])
            else:
                asked += 1
            sentence = []
    if not sentence:
        return _openings({name for name, _ in owned.values()}, people, asked)
    if sentence[0] in NAMES:
        unused = [thing for thing in THINGS if thing not in owned]
        return _even((["has"], ["a"], COLOURS, unused, ["."])[len(sentence) - 1])
    begins = WHO if sentence[0] == "who" else WHAT
    if len(sentence) < len(begins):
        return {begins[len(sentence)]: 1.0}
    rest = sentence[len(begins) :]  # the thing, "?", the answer
    answer = [owned[rest[0]][begins == WHAT]] if rest else []
    return _even((list(owned), ["?"], answer, ["."])[len(rest)])


def _openings(named: set[str], people: int, asked: int) -> dict[str, float]:
    """How a sentence may begin: the people, then two to four questions, then the end."""
    if len(named) < people:
        return _even([name for name in NAMES if name not in named])
    if asked == 4:
        return {END: 1.0}
    return {"who": 0.25, "what": 0.25, END: 0.5} if asked >= 2 else _even(["who", "what"])


def _even(words: Sequence[str]) -> dict[str, float]:
    return dict.fromkeys(words, 1 / len(words))


def draw(generator: random.Random, people: int = 1) -> list[str]:
    """Tell a story.

    Args:
        generator: source of randomness.
        people: how many there are in it.

    Returns:
        Words, the last of which is the end.
    """
    words: list[str] = []
    while chances := next_words(words, people):
        words += generator.choices(list(chances), list(chances.values()))
    return words


def chances(words: Sequence[str], people: int = 1) -> list[float]:
    """Give the source's own probability of each word of a text.

    Args:
        words: a text, as `draw` gives it.
        people: how many there are in a story.

    Returns:
        As many probabilities; from the first word on that is impossible, all are 0. The logarithm
        of their product is the best that a language model can expect to reach.
    """
    found: list[float] = []
    for place, word in enumerate(words):
        chance = next_words(words[:place], people).get(word, 0.0)
        if not chance:
            break
        found.append(chance)
    return found + [0.0] * (len(words) - len(found))


def is_possible(words: Sequence[str], people: int = 1) -> bool:
    """Tell whether a text is a whole story, with the right answer to each of its questions.

    Args:
        words: a text.
        people: how many there are in a story.

    Returns:
        Whether the source can write it.
    """
    return bool(words) and words[-1] == END and all(chances(words, people))


def answers(words: Sequence[str]) -> list[int]:
    """Find the answers in a story: the words that follow a question mark.

    Args:
        words: a text.

    Returns:
        Their places.
    """
    return [place for place in range(1, len(words)) if words[place - 1] == "?"]


def encode(words: Iterable[str]) -> list[int]:
    """Turn words into token ids, after the token that starts a story.

    Args:
        words: all of them known.

    Returns:
        One id more than there are words.

    Raises:
        ValueError: if a word is unknown; the message names it.
    """
    words = list(words)
    if unknown := [word for word in words if word not in _IDS]:
        raise ValueError(f"{unknown[0]!r} is not among the {len(WORDS)} words of the stories")
    return [_IDS[END], *(_IDS[word] for word in words)]


def decode(ids: Iterable[int]) -> list[str]:
    """Turn token ids into words, up to the end of the story.

    Args:
        ids: with or without the token that starts a story.

    Returns:
        Words; the last one is the end, if it is among the ids.
    """
    words = [WORDS[i] for i in ids]
    words = words[1:] if words[:1] == [END] else words
    return words[: words.index(END) + 1] if END in words else words
