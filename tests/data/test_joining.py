import random

import pytest

from encdec.data.joining import LINKS, Joiner, link_clauses
from encdec.data.parallel import Pair

PAIRS = [
    Pair("We saw Anna.", "Nous avons vu Anna."),
    Pair("Anna knows that we are late!", "Anna sait que nous sommes en retard !"),
    Pair("Now we are here.", "Maintenant nous sommes ici."),
    Pair("I know now.", "Je sais maintenant."),
    Pair("Are you there?", "Es-tu là ?"),
]


@pytest.mark.parametrize(
    ("first", "second", "link", "expected"),
    [
        ("I see.", "We run.", ", and ", "I see, and we run."),
        ("I see!", "Anna runs.", ", but ", "I see, but Anna runs."),
        ("Is it?", "We run.", "", "Is it? We run."),
        ("Je vois !", "L'ami court.", ", et ", "Je vois, et l'ami court."),
    ],
)
def test_clauses_are_linked(first, second, link, expected):
    assert link_clauses(first, second, link, {"we", "l"}) == expected


def test_names_keep_their_capital_and_other_words_lose_it():
    joiner = Joiner(PAIRS, "en", "fr", 0.5)
    english, french = joiner.lowered
    assert "we" in english
    assert "anna" not in english
    assert {"nous", "maintenant"} <= french


def test_both_languages_get_the_same_link():
    joiner = Joiner(PAIRS, "en", "fr", 0.5)
    english = {link for link in LINKS["en"] if link}
    for seed in range(50):
        joined = joiner.join(PAIRS[0], PAIRS[2], random.Random(seed))
        used = [link for link in english if link.strip(" ,") and link in joined.source]
        for link in used:
            assert LINKS["fr"][LINKS["en"].index(link)] in joined.target


def test_a_question_is_not_made_a_clause():
    joiner = Joiner(PAIRS, "en", "fr", 0.5)
    for seed in range(20):
        joined = joiner.join(PAIRS[4], PAIRS[0], random.Random(seed))
        assert joined.source == "Are you there? We saw Anna."


def test_every_sentence_is_used_once_and_the_share_is_kept(corpus):
    drawn = Joiner(corpus, "en", "fr", 0.6).draw(random.Random(0))
    joined = int(len(corpus) * 0.6) // 2
    assert len(drawn) == len(corpus) - joined
    text = " ".join(pair.source.lower() for pair in drawn)
    for name in ("house", "dog", "sea"):  # no sentence is lost and none is used twice
        wanted = sum(f" {name}" in pair.source for pair in corpus)
        assert text.count(f" {name}") == wanted


def test_a_language_without_links_is_refused():
    with pytest.raises(ValueError, match="'es' can't be joined; known are en, fr, de"):
        Joiner(PAIRS, "en", "es", 0.5)
