"""Captions of imagined photographs with their French translations, made by a small grammar.

"A girl in a green hat is reading a book under a tree." The words are plain, but long sentences of
this shape, with no verb in the past and nobody spoken to, are unlike everyday conversation: the
kind of narrow text that a translator is tuned for. French makes the grammar work: colours,
participles and verbs agree with what they belong to.
"""

from __future__ import annotations

import random
import zlib
from typing import Literal, NamedTuple

from encdec.data.parallel import Pair

KEPT_OUT = 5  # one caption in so many is never in training


class Person(NamedTuple):
    """Who is seen: in both languages, with the ending that agrees in French."""

    english: str
    french: str
    ending: str  # of a participle: "", "e", "s", "es"

    @property
    def are_many(self) -> bool:
        """Whether the verb is a plural."""
        return self.ending.endswith("s")


PEOPLE = (
    Person("a man", "un homme", ""),
    Person("a woman", "une femme", "e"),
    Person("a boy", "un garçon", ""),
    Person("a girl", "une fille", "e"),
    Person("an old man", "un vieil homme", ""),
    Person("a young woman", "une jeune femme", "e"),
    Person("two men", "deux hommes", "s"),
    Person("two women", "deux femmes", "es"),
    Person("three children", "trois enfants", "s"),
    Person("two girls", "deux filles", "es"),
)
# English, French, whether it is feminine
CLOTHES = (
    ("shirt", "chemise", True),
    ("jacket", "veste", True),
    ("dress", "robe", True),
    ("cap", "casquette", True),
    ("hat", "chapeau", False),
    ("coat", "manteau", False),
)
# English, masculine, feminine
COLOURS = (
    ("red", "rouge", "rouge"),
    ("blue", "bleu", "bleue"),
    ("green", "vert", "verte"),
    ("white", "blanc", "blanche"),
    ("black", "noir", "noire"),
    ("yellow", "jaune", "jaune"),
)
# English, French singular, French plural; {} is the ending of a participle
DOINGS = (
    ("sitting", "est assis{}", "sont assis{}"),
    ("standing", "est debout", "sont debout"),
    ("walking", "marche", "marchent"),
    ("running", "court", "courent"),
    ("sleeping", "dort", "dorment"),
    ("jumping", "saute", "sautent"),
    ("reading a book", "lit un livre", "lisent un livre"),
    ("eating an apple", "mange une pomme", "mangent une pomme"),
    ("playing the guitar", "joue de la guitare", "jouent de la guitare"),
    ("taking a picture", "prend une photo", "prennent une photo"),
    ("riding a bicycle", "fait du vélo", "font du vélo"),
)
PLACES = (
    ("on a bench", "sur un banc"),
    ("on the beach", "sur la plage"),
    ("on a bridge", "sur un pont"),
    ("in a park", "dans un parc"),
    ("in the street", "dans la rue"),
    ("in the snow", "dans la neige"),
    ("under a tree", "sous un arbre"),
    ("in front of a house", "devant une maison"),
    ("near a river", "près d'une rivière"),
    ("next to a car", "à côté d'une voiture"),
)


def draw_captions(
    number: int, seed: int, *, split: Literal["train", "test"] = "train"
) -> list[Pair]:
    """Draw captions; no caption of the one split can be drawn for the other.

    Args:
        number: of captions.
        seed: the same seed gives the same captions.
        split: ``"train"`` or ``"test"``.

    Raises:
        ValueError: the number is negative or the split unknown.
    """
    if number < 0:
        raise ValueError(f"number={number}: a number of captions is 0 or more.")
    if split not in ("train", "test"):
        raise ValueError(f"unknown split {split!r}: it is train or test.")
    generator = random.Random(seed)
    found: list[Pair] = []
    while len(found) < number:
        caption = draw(generator)
        kept_out = zlib.crc32(caption.source.encode()) % KEPT_OUT == 0
        if kept_out == (split == "test"):
            found.append(caption)
    return found


def draw(generator: random.Random) -> Pair:
    """Draw one caption."""
    person = generator.choice(PEOPLE)
    dressed = generator.choice((True, True, False))
    worn = clothes(person, generator) if dressed else ("", "")
    doing, singular, plural = generator.choice(DOINGS)
    place, lieu = generator.choice(PLACES)
    verb = (plural if person.are_many else singular).format(participle("assis", person.ending))
    be = "are" if person.are_many else "is"
    return Pair(
        sentence(f"{person.english}{worn[0]} {be} {doing} {place}."),
        sentence(f"{person.french}{worn[1]} {verb} {lieu}."),
    )


def participle(stem: str, ending: str) -> str:
    """What is added to a participle: a stem in -s takes no second one."""
    return ending.removesuffix("s") if stem.endswith("s") and ending == "s" else ending


def clothes(person: Person, generator: random.Random) -> tuple[str, str]:
    """What somebody wears, in both languages."""
    garment, vetement, feminine = generator.choice(CLOTHES)
    colour, *forms = generator.choice(COLOURS)
    article = "une" if feminine else "un"
    english = f" in {colour} {garment}s" if person.are_many else f" in a {colour} {garment}"
    return english, f" vêtu{person.ending} d'{article} {vetement} {forms[feminine]}"


def sentence(text: str) -> str:
    """With a capital at its beginning."""
    return text[0].upper() + text[1:]
