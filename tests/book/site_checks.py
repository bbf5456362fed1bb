"""What can be said of a built site without a browser: its pages, links and what it would fetch."""

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

# The page for what is not there shows at any depth: its links begin with where the site will be.
from browser import HOME

# Elements that make a browser fetch something, and the attribute that says from where.
FETCHING = {
    "audio": "src",
    "embed": "src",
    "iframe": "src",
    "img": "src",
    "link": "href",
    "object": "data",
    "script": "src",
    "source": "src",
    "video": "src",
}
# Links in the head that only state a relation.
STATED = {"canonical", "author", "copyright", "license", "next", "prev", "index", "search"}


@cache
def parsed(page: Path) -> BeautifulSoup:
    """A page as a tree."""
    return BeautifulSoup(page.read_text(encoding="utf8"), "html.parser")


def pages(site: Path) -> list[Path]:
    """All pages of the site."""
    return sorted(p for p in site.rglob("*.html") if "_static" not in p.relative_to(site).parts)


def is_outside(address: str) -> bool:
    """Whether an address leads to another host."""
    return bool(urlsplit(address).netloc)


def broken_links(site: Path) -> list[str]:
    """Links, scripts, styles and pictures of the site that lead nowhere within it."""
    complaints = []
    for page in pages(site):
        tree = parsed(page)
        found = [(a["href"], "a") for a in tree.find_all("a", href=True)]
        found += [
            (element[attribute], name)
            for name, attribute in FETCHING.items()
            for element in tree.find_all(name, attrs={attribute: True})
        ]
        for address, _ in found:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            base = site if parts.path.startswith(HOME) else page.parent
            path = unquote(parts.path.removeprefix(HOME))
            target = (base / path).resolve() if parts.path else page
            if target.is_dir():
                target /= "index.html"
            name = page.relative_to(site)
            if not target.is_file():
                complaints.append(f"{name} leads to {address}, which is not there.")
            elif parts.fragment and target.suffix == ".html" and not has_id(target, parts.fragment):
                complaints.append(f"{name} leads to {address}, but there is no such place.")
    return complaints


def has_id(page: Path, fragment: str) -> bool:
    """Whether a page has the place that a link names."""
    return fragment in ("", "top") or parsed(page).find(id=unquote(fragment)) is not None


def fetched_from_outside(site: Path) -> list[str]:
    """What a browser would fetch from another host when it opens a page."""
    complaints = []
    for page in pages(site):
        name = page.relative_to(site)
        for element_name, attribute in FETCHING.items():
            for element in parsed(page).find_all(element_name, attrs={attribute: True}):
                if element_name == "link" and set(element.get("rel", [])) <= STATED:
                    continue
                if is_outside(element[attribute]):
                    complaints.append(f"{name} fetches {element[attribute]}.")
        inline = " ".join(s.get_text() for s in parsed(page).find_all(["style", "script"]))
        complaints += [f"{name} fetches {u}." for u in styled_addresses(inline) if is_outside(u)]
    for sheet in sorted(site.rglob("*.css")):
        text = sheet.read_text(encoding="utf8")
        name = sheet.relative_to(site)
        complaints += [f"{name} fetches {u}." for u in styled_addresses(text) if is_outside(u)]
    return complaints


def styled_addresses(css: str) -> list[str]:
    """Addresses in ``url(...)`` and ``@import``."""
    css = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    found = re.findall(r"url\(\s*['\"]?((?!data:)[^'\")]+)", css)
    return found + re.findall(r"@import\s+['\"]([^'\"]+)", css)


def undescribed_pictures(site: Path) -> list[str]:
    """Pictures in the text without alternative text, or with a file name in its place."""
    complaints = []
    for page in pages(site):
        article = parsed(page).find("article") or parsed(page)
        for picture in article.find_all("img"):
            alt = (picture.get("alt") or "").strip()
            if not alt or re.search(r"\.(png|svg|jpe?g|webp)$|^_", alt):
                source = picture.get("src")
                complaints.append(f"{page.relative_to(site)}: {source} has the text {alt!r}.")
    return complaints


def badly_headed(site: Path) -> list[str]:
    """Pages without a language, a title or exactly one main heading."""
    complaints = []
    for page in pages(site):
        tree, name = parsed(page), page.relative_to(site)
        if tree.find(
            "meta", attrs={"http-equiv": re.compile("^refresh$", re.IGNORECASE)}
        ):  # leads on to the landing page
            continue
        if not (tree.html and tree.html.get("lang")):
            complaints.append(f"{name} does not say its language.")
        if not (tree.title and tree.title.get_text(strip=True)):
            complaints.append(f"{name} has no title.")
        headings = len((tree.find("article") or tree).find_all("h1"))
        if headings != 1:
            complaints.append(f"{name} has {headings} main headings.")
    return complaints
