"""The bibliography: every work is cited or annotated, and every citation leads to a work."""

import codecs
import re
import unicodedata
from collections import Counter
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import latexcodec  # noqa: F401  (registers the codec)
import nbformat
import pytest
from pybtex.database import parse_file

ROOT = Path(__file__).parents[2]
RESOURCES = ROOT / "chapters" / "15-resources.ipynb"
CITED = re.compile(r"\{cite(?::\w+)?\}`([^`]+)`")
ANNOTATED = re.compile(
    r"^- (?P<who>[^{\n]+) \{cite\}`(?P<key>[\w-]+)`, \*(?:easy|medium|hard)\*\. (?P<what>.+)$",
    re.MULTILINE,
)
FEWEST = 40  # annotated works


def markdown(path):
    if path.suffix == ".md":
        return path.read_text(encoding="utf8")
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def works():
    return parse_file(ROOT / "references.bib").entries


def cited():
    """Keys by the pages that cite them."""
    pages = [*sorted((ROOT / "chapters").glob("*.ipynb")), ROOT / "intro.md", ROOT / "glossary.md"]
    return {
        path.stem: {k.strip() for keys in CITED.findall(markdown(path)) for k in keys.split(",")}
        for path in pages
    }


def annotated():
    return {m["key"]: m for m in ANNOTATED.finditer(markdown(RESOURCES))}


def test_every_citation_names_a_work():
    known = set(works())
    assert {name: keys - known for name, keys in cited().items() if keys - known} == {}


def test_every_work_is_cited_or_annotated_in_a_chapter():
    everywhere = set().union(*(keys for name, keys in cited().items() if name[0].isdigit()))
    appendices = [keys for name, keys in cited().items() if name.startswith("appendix-")]
    assert sorted(set(works()) - everywhere.union(*appendices)) == []


def test_at_least_forty_works_are_annotated_once_each():
    found = [m["key"] for m in ANNOTATED.finditer(markdown(RESOURCES))]
    assert len(found) >= FEWEST
    assert [key for key, count in Counter(found).items() if count > 1] == []
    bullets = re.findall(r"(?m)^- .*\{cite\}`", reading_list())
    assert len(bullets) == len(found), "an annotation does not have the form of the others"


def reading_list():
    """The section with the annotations."""
    text = markdown(RESOURCES)
    start = text.index("\n## Further reading, annotated")
    return text[start : text.index("\n## ", start + 1)]


def test_each_theme_begins_with_what_is_easy():
    levels = ["easy", "medium", "hard"]
    themes = re.split(r"(?m)^### ", reading_list())[1:]
    for theme in themes:
        found = [levels.index(level) for level in re.findall(r"\*(easy|medium|hard)\*\.", theme)]
        assert found == sorted(found), theme.splitlines()[0]
        assert len(found) >= 3
    assert len(themes) >= 5


def test_every_annotation_says_what_to_read_it_for():
    for key, entry in annotated().items():
        assert entry["what"].startswith("Read it "), key
        assert len(entry["what"].split()) >= 8, key


def test_every_annotation_names_the_authors_of_its_work():
    known = works()
    for key, entry in annotated().items():
        people = known[key].persons["author"]
        authors = [plain(" ".join(p.prelast_names + p.last_names)) for p in people]
        who = plain(entry["who"])
        assert authors[0] in who, key
        if "others" in who:
            assert len(authors) > 2, key
        else:
            assert all(author in who for author in authors), key


def plain(name):
    """A name without the marks of LaTeX, accents and capitals."""
    letters = unicodedata.normalize("NFKD", codecs.decode(name, "ulatex"))
    return "".join(c for c in letters if c.isalpha() or c in " -").casefold()


def test_every_work_is_described_and_no_two_are_the_same():
    titles = Counter()
    for key, work in works().items():
        fields = work.fields
        assert {"title", "year"} <= set(fields), key
        assert "url" in fields or "doi" in fields, key
        assert work.persons.get("author"), key
        assert fields.get("url", "https://").startswith("https://"), key
        titles[re.sub(r"\W", "", fields["title"].casefold())] += 1
    assert [title for title, count in titles.items() if count > 1] == []


def test_keys_hold_the_first_author_and_the_year():
    for key, work in works().items():
        match = re.fullmatch(r"([a-z-]+)-(\d{4})(?:-[a-z0-9-]+)?", key)
        if match is None:
            assert key == "tatoeba"  # a collection that grows, not a work of a year
            continue
        first = work.persons["author"][0]
        names = plain("".join(first.prelast_names + first.last_names))
        assert names.replace(" ", "").endswith(match[1]), key
        note = work.fields.get("note", "")  # a preprint may be known by an earlier year
        assert match[2] == work.fields["year"] or match[2] in note, key


def test_the_timeline_names_works_of_the_bibliography():
    cells = nbformat.read(RESOURCES, as_version=4).cells
    [source] = [c.source for c in cells if c.source.startswith("works = {")]
    keys = re.findall(r'"([a-z]+-\d{4}(?:-\w+)?)"', source)
    assert len(keys) >= 15
    assert set(keys) <= set(works())


@pytest.mark.parametrize("doubt", ["2109.01652", "decoder-only", "2210.11416"])
def test_the_attribution_of_flan_is_put_right(doubt):
    assert doubt in markdown(RESOURCES)


def test_flan_is_nowhere_called_an_encoder_decoder():
    assert "**decoder-only**" in annotated()["wei-2022-flan"]["what"]
    for name in ("FLAN", "FLAN-T5"):
        definition = markdown(ROOT / "glossary.md").split(f"\n{name}\n", 1)[1].split("\n\n")[0]
        assert ("*decoder-only*" in definition) == (name == "FLAN")


LICENCES = {"Apache-2.0": "apache", "MIT": "mit"}


def test_licences_agree_with_the_packages():
    rows = re.findall(r"(?m)^\| \[([\w-]+)\]\(\S+\) \|.*\| ([\w.-]+) \|$", markdown(RESOURCES))
    checked = 0
    for name, licence in rows:
        try:
            about = metadata(name)
        except PackageNotFoundError:
            continue
        stated = [about.get("License"), about.get("License-Expression")]
        stated += [c for c in about.get_all("Classifier") or [] if c.startswith("License")]
        assert LICENCES[licence] in " ".join(filter(None, stated)).casefold(), name
        checked += 1
    assert checked >= 4
