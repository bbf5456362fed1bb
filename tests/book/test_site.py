"""The site is built from the stored outputs under -W -n, is complete, and leads nowhere wrong."""

import re
from pathlib import Path

import pytest
import yaml

import address
import chapters
import site_checks

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))


def documents():
    """What the table of contents lists."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf8"))

    def walk(node):
        if isinstance(node, list):
            for item in node:
                yield from walk(item)
        elif isinstance(node, dict):
            yield from (node[key] for key in ("root", "file") if key in node)
            yield from walk([node.get(key) for key in ("parts", "chapters", "sections")])

    return list(walk(toc))


def test_every_chapter_is_in_the_table_of_contents():
    listed = [name for name in documents() if name.startswith("chapters/")]
    assert listed == [path.relative_to(ROOT).with_suffix("").as_posix() for path in CHAPTERS]


def test_the_site_is_complete(site):
    for name in [*documents(), "index", "search"]:
        assert (site / f"{name}.html").is_file()


def test_internal_links_resolve(site):
    assert site_checks.broken_links(site) == []


def test_nothing_is_fetched_from_outside(site):
    assert site_checks.fetched_from_outside(site) == []


def test_every_picture_is_described(site):
    assert site_checks.undescribed_pictures(site) == []


def test_every_page_has_a_language_a_title_and_one_main_heading(site):
    assert site_checks.badly_headed(site) == []


def test_every_page_shows_the_repository(site):
    for name in documents():
        links = {
            a["href"] for a in site_checks.parsed(site / f"{name}.html").find_all("a", href=True)
        }
        assert address.address() in links


def test_a_link_to_a_page_shows_what_the_page_is_about(site):
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf8"))
    home = config["html"]["baseurl"]
    assert config["sphinx"]["config"]["ogp_site_url"] == home
    assert home.endswith(site_checks.HOME)
    for name in documents():
        if name == "genindex":
            continue  # made by Sphinx, of no text of its own
        page = site_checks.parsed(site / f"{name}.html")
        said = {tag["property"]: tag["content"] for tag in page.select("meta[property^='og:']")}
        assert said["og:title"]
        assert said["og:url"] == f"{home}{name}.html"
        assert len(said["og:description"]) > 40, name
        picture = said["og:image"]
        assert picture.startswith(home)
        assert (site / picture.removeprefix(home)).stat().st_size > 1000


def test_search_engines_are_told_the_pages_and_what_they_are_about(site):
    home = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf8"))["html"]["baseurl"]
    listed = re.findall("<loc>(.+?)</loc>", (site / "sitemap.xml").read_text(encoding="utf8"))
    pages = {name: f"{home}{name}.html" for name in documents()}
    assert sorted(listed) == sorted(pages.values())
    for name, where in pages.items():
        page = site_checks.parsed(site / f"{name}.html")
        assert page.find("link", rel="canonical")["href"] == where
        assert len(page.find("meta", attrs={"name": "description"})["content"]) > 40, name


def test_the_first_page_leads_to_every_chapter_and_says_what_it_asks(site):
    page = site_checks.parsed(site / "intro.html")
    cards = {card.a["href"]: card.get_text(" ") for card in page.select(".chapters .sd-card")}
    assert list(cards) == [f"{name}.html" for name in documents() if name.startswith("chapters/")]
    assert all("?" in text and "to read" in text for text in cards.values())
    for path in CHAPTERS:
        chapter = chapters.read_chapter(ROOT, path.relative_to(ROOT).with_suffix("").as_posix())
        assert chapter.numbered in cards[f"{chapter.name}.html"]


def test_the_first_page_leads_readers_practitioners_and_teachers_on(site):
    paths = site_checks.parsed(site / "intro.html").select(".paths .sd-card")
    assert len(paths) == 3
    assert all(card.find("a", href=True) for card in paths)
    assert paths[2].find("a", href="course/index.html")


def test_the_first_page_says_how_to_cite_the_book(site):
    text = site_checks.parsed(site / "intro.html").select_one("#cite-this-book").get_text()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf8"))
    assert chapters.bibtex(citation) in text


def test_the_list_of_contents_shows_the_numbers_of_chapters(site):
    for name in ("intro", "chapters/06-translation", "live"):
        page = site_checks.parsed(site / f"{name}.html")
        entries = [a.get_text(strip=True) for a in page.select(".bd-links a")]
        numbers = [found[1] for entry in entries if (found := re.match(r"(\d+)\. ", entry))]
        assert numbers == [f"{int(path.name[:2])}" for path in CHAPTERS if path.name[0].isdigit()]


def test_there_is_a_page_for_what_is_not_there(site):
    page = site_checks.parsed(site / "404.html")
    links = {a["href"] for a in page.select("article a[href]")}
    assert {f"{site_checks.HOME}{name}.html" for name in ("intro", "search")} <= links


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_chapter_opens_in_colab_and_can_be_downloaded(site, path):
    name = path.relative_to(ROOT)
    page = site_checks.parsed(site / name.with_suffix(".html"))
    links = {a["href"] for a in page.find_all("a", href=True)}
    assert address.colab(name.as_posix()) in links
    assert any(link.endswith(f"_sources/{name.as_posix()}") for link in links)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_chapter_links_its_terms_to_the_glossary(site, path):
    page = site_checks.parsed(site / path.relative_to(ROOT).with_suffix(".html"))
    targets = [a["href"] for a in page.select("article a[href*='glossary.html#term-']")]
    assert len(targets) >= (1 if path.stem.startswith("appendix") else 5)
    assert len(targets) == len(set(targets)), "a term is linked twice"


def test_the_index_lists_every_term_and_every_linked_use(site):
    index = site_checks.parsed(site / "genindex.html")
    listed = {a["href"] for a in index.select("article a[href*='.html#']")}
    terms = site_checks.parsed(site / "glossary.html").select("article dt[id^=term-]")
    assert {f"glossary.html#{term['id']}" for term in terms} <= listed
    for path in CHAPTERS:
        name = path.relative_to(ROOT).with_suffix(".html").as_posix()
        uses = site_checks.parsed(site / name).select("article [id^=use-of-]")
        assert {f"{name}#{use['id']}" for use in uses} <= listed


# The checks themselves, on pages made here


def page(folder, body, head="", name="index.html"):
    start = f'<html lang="en"><head><title>T</title>{head}</head><body><article>'
    (folder / name).write_text(f"{start}<h1>T</h1>{body}</article></body></html>", encoding="utf8")
    return folder


CHECKS = [
    site_checks.broken_links,
    site_checks.fetched_from_outside,
    site_checks.undescribed_pictures,
    site_checks.badly_headed,
]


def test_a_good_page_passes(tmp_path):
    (tmp_path / "a.png").touch()
    body = (
        '<h2 id="part">P</h2><a href="#part">p</a><a href="https://example.org/x">out</a>'
        '<a href="other.html#part">o</a><img src="a.png" alt="A tree in the wind">'
    )
    page(tmp_path, body, name="other.html")
    page(tmp_path, body, '<link rel="canonical" href="https://example.org/">')
    assert [check(tmp_path) for check in CHECKS] == [[]] * len(CHECKS)


@pytest.mark.parametrize(
    ("check", "body"),
    [
        (site_checks.broken_links, '<a href="gone.html">x</a>'),
        (site_checks.broken_links, '<a href="#nowhere">x</a>'),
        (site_checks.broken_links, '<img src="gone.png" alt="A tree in the wind">'),
        (site_checks.fetched_from_outside, '<script src="https://example.org/a.js"></script>'),
        (site_checks.fetched_from_outside, '<img src="//example.org/a.png" alt="A tree">'),
        (site_checks.fetched_from_outside, '<link rel="stylesheet" href="https://example.org/a">'),
        (site_checks.fetched_from_outside, "<style>@import 'https://example.org/a';</style>"),
        (site_checks.fetched_from_outside, "<style>a{b:url(https://example.org/c)}</style>"),
        (site_checks.undescribed_pictures, '<img src="a.png">'),
        (site_checks.undescribed_pictures, '<img src="a.png" alt="_images/a.png">'),
        (site_checks.badly_headed, "<h1>Another</h1>"),
    ],
)
def test_a_bad_page_is_noticed(tmp_path, check, body):
    assert len(check(page(tmp_path, body))) == 1


def test_a_page_without_title_and_language_is_noticed(tmp_path):
    (tmp_path / "index.html").write_text("<html><body><p>x</p></body></html>", encoding="utf8")
    assert len(site_checks.badly_headed(tmp_path)) == 3


def test_a_style_sheet_that_fetches_is_noticed(tmp_path):
    (tmp_path / "a.css").write_text("/* url(https://no.org) */ a{b:url('//example.org/c')}")
    assert len(site_checks.fetched_from_outside(tmp_path)) == 1
