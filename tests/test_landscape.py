"""Every fact has a source, and what can be checked offline is checked."""

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
from pybtex.database import parse_file

from encdec import landscape, results
from encdec.landscape import DECODER_ONLY, ENCODER_DECODER, Fact, LandscapeError, Source

ENTRIES, SOURCES = landscape.load()
WORKS = parse_file(Path(__file__).parents[1] / "references.bib").entries
T5 = next(entry for entry in ENTRIES if entry.name == "T5")


def test_every_fact_of_the_field_has_a_source_and_contradicts_nothing():
    assert landscape.complaints(ENTRIES, SOURCES) == []
    assert len(ENTRIES) >= 15
    assert {entry.design.value for entry in ENTRIES} == {ENCODER_DECODER, DECODER_ONLY}
    assert len({entry.name for entry in ENTRIES}) == len(ENTRIES)


def test_every_fact_of_the_books_own_models_is_read_from_a_file():
    entries, sources = landscape.own_models()
    assert landscape.complaints(entries, sources) == []
    root = results.book_folder("results").parent
    assert all((root / key).exists() for key in sources)
    own = {entry.name: entry for entry in entries}
    assert own["t5"].design.value == ENCODER_DECODER
    assert own["t5"].objective.value.startswith("span corruption")
    assert all(entry.own and entry.sizes.value[0] > 1e6 for entry in entries)


def test_a_source_is_a_work_of_the_bibliography_or_an_address():
    for key, source in SOURCES.items():
        assert source.url.startswith("https://"), key
        assert (": " in key) != (key in WORKS), key
    raw = json.loads(files("encdec").joinpath("landscape.json").read_text(encoding="utf8"))
    used = {key for model in raw["models"] for fact in model.values() for key in fact[1:]
            if isinstance(fact, list)}  # fmt: skip
    assert used == set(SOURCES)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"licence": Fact("MIT")}, "T5: licence has no source."),
        (
            {"licence": Fact("MIT", ("card: none",))},
            "licence names 'card: none', which is no source",
        ),
        (
            {"year": Fact(2020, ("raffel-2020-t5",))},
            "T5: year is 2020, but its paper says otherwise.",
        ),
        ({"sizes": Fact((11e9, 60e6), ("raffel-2020-t5",))}, "are no range"),
        ({"design": Fact(DECODER_ONLY, ("raffel-2020-t5",))}, "says that it is no decoder-only"),
        ({"design": Fact("hybrid", ("raffel-2020-t5",))}, "'hybrid', which is no design"),
    ],
)
def test_what_is_wrong_is_said(change, complaint):
    [found] = landscape.complaints([replace(T5, **change)], SOURCES)
    assert complaint in found


def test_a_model_without_a_fact_is_refused():
    with pytest.raises(LandscapeError, match="'X' has no entry for year, sizes"):
        landscape.parse({"sources": {}, "models": [{"name": "X"}]})


def test_a_year_is_read_from_the_number_of_a_paper_alone():
    assert landscape.year_of_arxiv("https://arxiv.org/abs/1910.10683") == 2019
    assert landscape.year_of_arxiv("https://example.org/1910.10683") is None


@pytest.mark.parametrize(
    ("parameters", "text"), [(60e6, "60M"), (1550e6, "1.55B"), (2842176, "2.84M"), (11e9, "11B")]
)
def test_sizes_are_written_as_people_write_them(parameters, text):
    assert landscape.readable(parameters) == text


def test_the_table_names_a_source_in_every_cell_and_its_texts_are_text():
    odd = replace(T5, name="<b>", objective=Fact("<i>", ("x",)))
    page = landscape.table([odd], SOURCES | {"x": Source("a & b")})
    assert page.count("<small>") == len(landscape.FACTS)
    assert "<b>" not in page
    assert "&lt;i&gt;<br><small>a &amp; b</small>" in page
    assert "60M–11B" in page
    assert "<a href='https://arxiv.org/abs/1910.10683' " in page
