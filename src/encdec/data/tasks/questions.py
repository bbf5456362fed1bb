"""What fills the slots of each instruction task, and the right answer.

A function here bears the name of its task in templates.yaml. A *listed* task returns all its
questions at once; a *drawn* one, which has more than anybody would list, draws one. The truth comes
from num2words (number words), Babel (dates), Python itself and the small tables beside this file.
"""

from __future__ import annotations

import csv
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import date, timedelta
from functools import cache
from importlib.resources import files
from itertools import product
from typing import Any, NamedTuple, TypeVar

from babel.dates import format_date, get_day_names, get_month_names
from num2words import num2words


class Question(NamedTuple):
    """What stands in the slots of a template, and what is right."""

    slots: dict[str, str]
    answer: str


Listed = Callable[[], Iterable[Question]]
Drawn = Callable[[random.Random], Question]
Function = TypeVar("Function", bound=Callable[..., Any])

LISTED: dict[str, Listed] = {}
DRAWN: dict[str, Drawn] = {}

NUMBERS = range(101)
FIRST_DATE, DATES = date(2000, 1, 1), 30 * 365 + 8  # until the end of 2029
LONGEST_REVERSED = 5  # letters
CATEGORIES = ("animal", "food", "vehicle", "building", "tool")
NAMES = (
    *("Ada", "Ben", "Clara", "David", "Emma", "Felix", "Hannah", "Ivan", "Julia", "Karim"),
    *("Lena", "Marco", "Nina", "Oscar", "Paula", "Rosa", "Simon", "Tara", "Victor", "Yasmin"),
)
SENTENCES = (
    "On {day} {person} saw {number} birds in {city}.",
    "{person} bought {number} apples in {city} on {day}.",
    "In {city}, {person} met {number} friends on {day}.",
    "{person} will stay in {city} for {number} nights from {day}.",
    "Last {day}, {number} letters from {city} reached {person}.",
)
PRAISE = ("wonderful", "excellent", "lovely", "great", "perfect", "fantastic", "superb", "charming")
BLAME = ("terrible", "awful", "boring", "dreadful", "horrible", "poor", "disappointing", "useless")
REVIEWED = (
    *("film", "book", "soup", "hotel", "concert", "room", "game", "story", "service", "meal"),
    *("song", "trip"),
)
REVIEWS = (
    "The {thing} was {word}.",
    "What a {word} {thing}!",
    "We found the {thing} {word}.",
    "I must say, the {thing} is really {word}.",
)


def listed(function: Function) -> Function:
    """Register the questions of a task that has few."""
    LISTED[function.__name__] = function
    return function


def drawn(function: Function) -> Function:
    """Register how a question of a task is drawn."""
    DRAWN[function.__name__] = function
    return function


@cache
def table(name: str) -> tuple[dict[str, str], ...]:
    """The rows of a table beside this file."""
    with files(__package__).joinpath(f"{name}.tsv").open(encoding="utf8") as file:
        return tuple(csv.DictReader(file, delimiter="\t"))


def pairs(name: str, slot: str, answer: str) -> Iterator[Question]:
    """Questions that ask for one column of a table and give another, named like the slot."""
    return (Question({slot: row[slot]}, row[answer]) for row in table(name))


@cache
def in_words(number: int, language: str) -> str:
    """A number in words."""
    return str(num2words(number, lang=language))


@cache
def words() -> tuple[str, ...]:
    """All English words of the tables, in order."""
    columns = [(row["english"], row["plural"]) for row in table("nouns")]
    columns += [(row["verb"], row["past"]) for row in table("verbs")]
    columns += [(row["adjective"], row["comparative"]) for row in table("adjectives")]
    return tuple(sorted({word for column in columns for word in column}))


@cache
def nouns() -> tuple[str, ...]:
    """The English nouns."""
    return tuple(row["english"] for row in table("nouns"))


# --- numbers --------------------------------------------------------------------------------------


@listed
def number_in_english() -> Iterable[Question]:
    """A number from 0 to 100 in English words."""
    return (Question({"number": str(n)}, in_words(n, "en")) for n in NUMBERS)


@listed
def number_in_french() -> Iterable[Question]:
    """A number from 0 to 100 in French words."""
    return (Question({"number": str(n)}, in_words(n, "fr")) for n in NUMBERS)


@listed
def number_in_german() -> Iterable[Question]:
    """A number from 0 to 100 in German words."""
    return (Question({"number": str(n)}, in_words(n, "de")) for n in NUMBERS)


@listed
def digits_of_words() -> Iterable[Question]:
    """The digits of a number from 0 to 100 in English words."""
    return (Question({"words": in_words(n, "en")}, str(n)) for n in NUMBERS)


@listed
def digits_of_french_words() -> Iterable[Question]:
    """The digits of a number from 0 to 100 in French words."""
    return (Question({"words": in_words(n, "fr")}, str(n)) for n in NUMBERS)


# --- dates ----------------------------------------------------------------------------------------


def draw_date(generator: random.Random) -> date:
    """A day of the years 2000 to 2029."""
    return FIRST_DATE + timedelta(days=generator.randrange(DATES))


@cache
def long_date(day: date, language: str) -> str:
    """A date as it stands in a letter."""
    return format_date(day, "long", locale=language)


@drawn
def date_in_english(generator: random.Random) -> Question:
    """A date such as 2024-03-01, written out in English."""
    day = draw_date(generator)
    return Question({"date": day.isoformat()}, long_date(day, "en"))


@drawn
def date_in_french(generator: random.Random) -> Question:
    """A date such as 2024-03-01, written out in French."""
    day = draw_date(generator)
    return Question({"date": day.isoformat()}, long_date(day, "fr"))


@drawn
def date_in_german(generator: random.Random) -> Question:
    """A date such as 2024-03-01, written out in German."""
    day = draw_date(generator)
    return Question({"date": day.isoformat()}, long_date(day, "de"))


@drawn
def month_of_date(generator: random.Random) -> Question:
    """The name of a date's month."""
    day = draw_date(generator)
    return Question({"date": day.isoformat()}, months()[day.month - 1])


@drawn
def year_of_date(generator: random.Random) -> Question:
    """The year of a date."""
    day = draw_date(generator)
    return Question({"date": day.isoformat()}, str(day.year))


@cache
def months() -> tuple[str, ...]:
    """The names of the months."""
    return tuple(get_month_names("wide", locale="en").values())


@cache
def days() -> tuple[str, ...]:
    """The names of the days, from Monday."""
    return tuple(get_day_names("wide", locale="en").values())


# --- translation ----------------------------------------------------------------------------------


def translations(source: str, target: str) -> Iterator[Question]:
    """Phrases and nouns."""
    for row in (*table("phrases"), *table("nouns")):
        yield Question({"text": row[source]}, row[target])


@listed
def english_to_french() -> Iterable[Question]:
    """A phrase or a noun, from English into French."""
    return translations("english", "french")


@listed
def english_to_german() -> Iterable[Question]:
    """A phrase or a noun, from English into German."""
    return translations("english", "german")


@listed
def french_to_english() -> Iterable[Question]:
    """A phrase or a noun, from French into English."""
    return translations("french", "english")


@listed
def german_to_english() -> Iterable[Question]:
    """A phrase or a noun, from German into English."""
    return translations("german", "english")


@listed
def french_to_german() -> Iterable[Question]:
    """A phrase or a noun, from French into German."""
    return translations("french", "german")


# --- facts ----------------------------------------------------------------------------------------


@listed
def capital_of_country() -> Iterable[Question]:
    """The capital of a country."""
    return pairs("countries", "country", "capital")


@listed
def continent_of_country() -> Iterable[Question]:
    """The continent of a country."""
    return pairs("countries", "country", "continent")


@listed
def language_of_country() -> Iterable[Question]:
    """The language that people speak in a country."""
    return pairs("countries", "country", "language")


@listed
def country_of_capital() -> Iterable[Question]:
    """The country of a capital."""
    return pairs("countries", "capital", "country")


# --- arithmetic and comparison --------------------------------------------------------------------


def two(first: int, second: int, answer: object) -> Question:
    """A question about two numbers."""
    return Question({"first": str(first), "second": str(second)}, str(answer))


@listed
def addition() -> Iterable[Question]:
    """The sum of two numbers up to 20."""
    return (two(a, b, a + b) for a, b in product(range(21), repeat=2))


@listed
def subtraction() -> Iterable[Question]:
    """The difference of two numbers up to 25, never below 0."""
    return (two(a, b, a - b) for a, b in product(range(26), repeat=2) if a >= b)


@listed
def multiplication() -> Iterable[Question]:
    """The product of two numbers up to 10."""
    return (two(a, b, a * b) for a, b in product(range(11), repeat=2))


@listed
def doubling() -> Iterable[Question]:
    """Twice a number up to 100."""
    return (Question({"number": str(n)}, str(2 * n)) for n in NUMBERS)


@listed
def larger_number() -> Iterable[Question]:
    """The larger of two different numbers up to 100."""
    return (two(a, b, max(a, b)) for a, b in product(NUMBERS, repeat=2) if a != b)


@listed
def smaller_number() -> Iterable[Question]:
    """The smaller of two different numbers up to 100."""
    return (two(a, b, min(a, b)) for a, b in product(NUMBERS, repeat=2) if a != b)


@listed
def even_or_odd() -> Iterable[Question]:
    """Whether a number up to 100 is even or odd."""
    return (Question({"number": str(n)}, ("even", "odd")[n % 2]) for n in NUMBERS)


# --- strings and lists ----------------------------------------------------------------------------


@listed
def first_letter() -> Iterable[Question]:
    """The first letter of a word."""
    return (Question({"word": word}, word[0]) for word in words())


@listed
def last_letter() -> Iterable[Question]:
    """The last letter of a word."""
    return (Question({"word": word}, word[-1]) for word in words())


@listed
def upper_case() -> Iterable[Question]:
    """A word in capital letters."""
    return (Question({"word": word}, word.upper()) for word in words())


@listed
def spelling() -> Iterable[Question]:
    """The letters of a word, with spaces between them."""
    return (Question({"word": word}, " ".join(word)) for word in words())


@listed
def reversal() -> Iterable[Question]:
    """A short word, written backwards."""
    short = (word for word in words() if len(word) <= LONGEST_REVERSED)
    return (Question({"word": word}, word[::-1]) for word in short)


@listed
def number_of_letters() -> Iterable[Question]:
    """How many letters a word has, in digits."""
    return (Question({"word": word}, str(len(word))) for word in words())


def draw_list(generator: random.Random, fewest: int = 3, most: int = 4) -> list[str]:
    """Different nouns."""
    return generator.sample(nouns(), generator.randint(fewest, most))


def about(chosen: list[str], answer: object) -> Question:
    """A question about a list."""
    return Question({"list": ", ".join(chosen)}, str(answer))


@drawn
def first_of_list(generator: random.Random) -> Question:
    """The first of three or four nouns."""
    chosen = draw_list(generator)
    return about(chosen, chosen[0])


@drawn
def second_of_list(generator: random.Random) -> Question:
    """The second of three or four nouns."""
    chosen = draw_list(generator)
    return about(chosen, chosen[1])


@drawn
def last_of_list(generator: random.Random) -> Question:
    """The last of three or four nouns."""
    chosen = draw_list(generator)
    return about(chosen, chosen[-1])


@drawn
def length_of_list(generator: random.Random) -> Question:
    """How many nouns a list of two to six has, in digits."""
    chosen = draw_list(generator, fewest=2, most=6)
    return about(chosen, len(chosen))


@drawn
def sorted_list(generator: random.Random) -> Question:
    """Three nouns in alphabetical order."""
    chosen = draw_list(generator, most=3)
    return about(chosen, ", ".join(sorted(chosen)))


@drawn
def reversed_list(generator: random.Random) -> Question:
    """Three nouns from the last to the first."""
    chosen = draw_list(generator, most=3)
    return about(chosen, ", ".join(chosen[::-1]))


@drawn
def list_without_word(generator: random.Random) -> Question:
    """Three or four nouns without one that is named."""
    chosen = draw_list(generator)
    word = generator.choice(chosen)
    left = ", ".join(other for other in chosen if other != word)
    return Question({"list": ", ".join(chosen), "word": word}, left)


# --- inflection and opposites ---------------------------------------------------------------------


@listed
def plural() -> Iterable[Question]:
    """The plural of a noun."""
    return (Question({"noun": row["english"]}, row["plural"]) for row in table("nouns"))


@listed
def past_tense() -> Iterable[Question]:
    """The past tense of a verb."""
    return pairs("verbs", "verb", "past")


@listed
def ing_form() -> Iterable[Question]:
    """The -ing form of a verb."""
    return pairs("verbs", "verb", "ing")


@listed
def comparative() -> Iterable[Question]:
    """The comparative of an adjective."""
    return pairs("adjectives", "adjective", "comparative")


@listed
def opposite() -> Iterable[Question]:
    """The opposite of an adjective that has one only."""
    # "short" is the opposite of "long" and of "tall": what has two answers is not asked.
    named = Counter(row["opposite"] for row in table("adjectives"))
    asked = pairs("adjectives", "adjective", "opposite")
    return (question for question in asked if named[question.slots["adjective"]] <= 1)


# --- classification -------------------------------------------------------------------------------


@listed
def sentiment() -> Iterable[Question]:
    """Whether a review is positive or negative."""
    for answer, choice in (("positive", PRAISE), ("negative", BLAME)):
        for review, thing, word in product(REVIEWS, REVIEWED, choice):
            written = review.format(thing=thing, word=word).replace(" a a", " an a")
            yield Question({"sentence": written.replace(" a e", " an e")}, answer)


@listed
def category_of_word() -> Iterable[Question]:
    """Which of five kinds of thing a noun names."""
    named = (row for row in table("nouns") if row["category"] in CATEGORIES)
    return (Question({"noun": row["english"]}, row["category"]) for row in named)


@listed
def language_of_text() -> Iterable[Question]:
    """The language of a phrase or a noun: English, French or German."""
    languages = ("english", "french", "german")
    rows = (*table("phrases"), *table("nouns"))
    # "train" is English and French, "Hand" in lower case English and German.
    known = Counter(row[language].lower() for row in rows for language in languages)
    for row, language in product(rows, languages):
        if known[row[language].lower()] == 1:
            yield Question({"text": row[language]}, language.capitalize())


@listed
def question_or_statement() -> Iterable[Question]:
    """Whether words without a full stop or question mark ask or state something."""
    # Without the marks that would give the answer away.
    for noun, row in product(REVIEWED, table("adjectives")):
        adjective = row["adjective"]
        yield Question({"sentence": f"is the {noun} {adjective}"}, "question")
        yield Question({"sentence": f"the {noun} is {adjective}"}, "statement")


# --- completion -----------------------------------------------------------------------------------


@listed
def next_day() -> Iterable[Question]:
    """The day of the week after a day."""
    following = zip(days(), (*days()[1:], days()[0]), strict=True)
    return (Question({"day": day}, after) for day, after in following)


@listed
def next_month() -> Iterable[Question]:
    """The month after a month."""
    following = zip(months(), (*months()[1:], months()[0]), strict=True)
    return (Question({"month": month}, after) for month, after in following)


@listed
def next_number() -> Iterable[Question]:
    """What follows three numbers that grow by equal steps."""
    for start, step in product(range(31), range(1, 6)):
        series = ", ".join(str(start + step * i) for i in range(3))
        yield Question({"series": series}, str(start + step * 3))


# --- extraction -----------------------------------------------------------------------------------


def draw_sentence(generator: random.Random, asked: str) -> Question:
    """A sentence that names a person, a city, a number and a day; one of them is asked for."""
    named = {
        "person": generator.choice(NAMES),
        "city": generator.choice(table("countries"))["capital"],
        "number": str(generator.randint(2, 99)),
        "day": generator.choice(days()),
    }
    return Question({"sentence": generator.choice(SENTENCES).format(**named)}, named[asked])


@drawn
def person_in_sentence(generator: random.Random) -> Question:
    """The person in a sentence."""
    return draw_sentence(generator, "person")


@drawn
def city_in_sentence(generator: random.Random) -> Question:
    """The city in a sentence."""
    return draw_sentence(generator, "city")


@drawn
def number_in_sentence(generator: random.Random) -> Question:
    """The number in a sentence."""
    return draw_sentence(generator, "number")


@drawn
def day_in_sentence(generator: random.Random) -> Question:
    """The day of the week in a sentence."""
    return draw_sentence(generator, "day")


# --- several steps --------------------------------------------------------------------------------


@listed
def sum_in_french() -> Iterable[Question]:
    """The sum of two numbers up to 15 in French words."""
    return (two(a, b, in_words(a + b, "fr")) for a, b in product(range(16), repeat=2))


@listed
def sum_in_german() -> Iterable[Question]:
    """The sum of two numbers up to 15 in German words."""
    return (two(a, b, in_words(a + b, "de")) for a, b in product(range(16), repeat=2))


@listed
def capital_in_capitals() -> Iterable[Question]:
    """The capital of a country in capital letters."""
    asked = pairs("countries", "country", "capital")
    return (Question(question.slots, question.answer.upper()) for question in asked)


@drawn
def first_of_sorted_list(generator: random.Random) -> Question:
    """The alphabetically first of three or four nouns."""
    chosen = draw_list(generator)
    return about(chosen, min(chosen))


@listed
def plural_spelled() -> Iterable[Question]:
    """The plural of a noun, its letters with spaces between them."""
    return (Question({"noun": row["english"]}, " ".join(row["plural"])) for row in table("nouns"))


@listed
def last_letter_in_capitals() -> Iterable[Question]:
    """The last letter of a word as a capital letter."""
    return (Question({"word": word}, word[-1].upper()) for word in words())
