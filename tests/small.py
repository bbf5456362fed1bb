"""Small corpora in the place of the real ones, and small recipes that learn from them."""

import random

from encdec import corpora
from encdec.data import docstrings, further, libraries
from encdec.data.docstrings import Docstring, DocstringSplits
from encdec.data.further import Further
from encdec.data.parallel import Pair
from encdec.recipe import Recipe

GERMAN = {"the house": "das Haus", "a dog": "ein Hund", "the sea": "das Meer", "it": "das"}
WORDS = "path name value index label number table line file text".split()
MODEL = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "num_heads": 2, "d_ff": 32}
OPTIMIZATION = {"epochs": 1, "max_tokens": 600, "learning_rate": 1e-3, "warmup_steps": 2}


def german(pairs):
    """Another target language, whose sources are partly the same."""
    found = []
    for number, pair in enumerate(pairs):
        for english, translation in GERMAN.items():
            if english in pair.source and number % 3:
                found.append(Pair(pair.source, f"Satz {number}: {translation}."))
    return found


def functions(number=90):
    """Functions with what they are said to do, in three packages."""
    generator = random.Random(0)
    found = []
    for index in range(number):
        first, second = generator.sample(WORDS, 2)
        found.append(
            Docstring(
                ("alpha", "beta", "gamma")[index % 3],
                f"read_{first}_{index}",
                f"def read_{first}_{index}({second}):\n    {first} = open({second})\n"
                f"    return {first}.strip()",
                f"Read the {first} of a {second} with number {index}.",
                f"Read the {first} of a {second} with number {index}. The {second} is opened. "
                f"Then the {first} is closed again.",
            )
        )
    return found


def use(monkeypatch, pairs):
    """Put small corpora in the place of the real ones."""
    files = {"fr": pairs, "de": german(pairs)}
    monkeypatch.setattr(corpora, "load_tatoeba", lambda target, source="en": files[target])
    found = functions()
    splits = DocstringSplits(
        found[0::3], found[1::3], found[2::3], ["A text of its own. It has two sentences."], {}
    )
    monkeypatch.setattr(docstrings, "load_docstrings", lambda *args, **options: splits)
    more = functions(100)[90:]
    names = [d._replace(name="", summary=further.name_as_sentence(d.name)) for d in more[6:]]
    other = Further(more[:4], more[4:6], names)
    monkeypatch.setattr(further, "load_further", lambda *args, **options: other)
    monkeypatch.setattr(libraries, "fetch_libraries", lambda: [])


def recipe(architecture="marian", mixture=None, **changes):
    """A recipe for a tiny model of a family; of one stage if a mixture is given."""
    content = {
        "name": "tiny",
        "description": "A tiny run",
        "architecture": architecture,
        "held_out": {"validation": 20, "test": 30},
        "tokenizer": {"vocab_size": 400},
        "model": {
            **MODEL,
            "encoder_layers": None if architecture == "gpt2" else 1,
            "max_length": 128,
        },
        "stages": (
            {"name": "training", "mixture": tuple(mixture or ()), **OPTIMIZATION},
        ),
        "evaluation": {"num_beams": 2, "max_new_tokens": 12, "examples": 12},
    }  # fmt: skip
    return Recipe.model_validate(content | changes)
