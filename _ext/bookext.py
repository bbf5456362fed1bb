"""Small repairs to what the theme and the extensions put into every page."""

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config


def link_repository(app: Sphinx, config: Config) -> None:
    """Make ``{repository}`text <path>``` a link to a file of the repository."""
    options = config.html_theme_options
    address = f"{options['repository_url']}/blob/{options['repository_branch']}/%s"
    config.extlinks = {"repository": (address, "%s")}


def share_handlers(app: Sphinx) -> None:
    """Let the one-page build know every HTML handler.

    sphinx-exercise registers its handlers for ``singlehtml`` as well; Sphinx then no longer looks
    at those registered for ``html`` alone.
    """
    handlers = app.registry.translation_handlers
    if "singlehtml" in handlers:
        for node, functions in handlers.get("html", {}).items():
            handlers["singlehtml"].setdefault(node, functions)


def drop_scripts(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Remove scripts that no page uses (thebe) and those that stand there twice."""
    seen: set[str] = set()
    kept = []
    for script in context.get("script_files", []):
        body = getattr(script, "attributes", {}).get("body") or ""
        name = str(getattr(script, "filename", script) or "")
        key = body or name
        if "thebe" in name or "THEBE" in body or key in seen:
            continue
        seen.add(key)
        kept.append(script)
    context["script_files"] = kept
    context["css_files"] = [css for css in context.get("css_files", []) if "thebe" not in str(css)]


# Search as the theme prepares it on every page, for those who let it search while they type.
SEARCH = re.compile(
    r'(?:\s*<script src="[./]*(?:_static/)?(?:searchtools|language_data|searchindex)\.js">'
    r"</script>){3}"
)
WIDGETS = '<script type="application/vnd.jupyter.widget-state+json">'
# What the theme writes, and what a reader, with or without eyes and mouse, needs instead.
REPAIRS = [
    # a name that hides the words which everyone else can read
    (re.compile(r'<summary aria-label="Toggle hidden content">'), "<summary>"),
    # titles of the button's three pictures, of which the button's own name says nothing
    (re.compile(r'(<i class="theme-switch [^>]*?) title="[^"]*"'), r"\1"),
    # a table that scrolls sideways on a phone can be reached with the keyboard
    (re.compile(r'<table class="table">'), '<table class="table" tabindex="0">'),
    (re.compile(r'<div class="box">'), '<div class="box" tabindex="0">'),  # of a view
    # a list whose entries say that they are no items of a list
    (re.compile(r'<div role="list" class="citation-list">'), '<div class="citation-list">'),
    # a name that is not what the button shows
    (re.compile(r'(<button class="btn search-button-field[^>]*?) aria-label="Search"'), r"\1"),
    # a role that is no longer one
    (re.compile(r' role="doc-biblioentry"'), ""),
    # the state of widgets, which nothing on a page without a kernel reads
    (re.compile(rf"{re.escape(WIDGETS)}.*?</script>", re.DOTALL), ""),
]


# A link in an output, from one notebook to another (`encdec.places`).
NOTEBOOK = re.compile(r"""href=(?P<mark>["'])(?P<page>\d\d-[a-z0-9-]+)\.ipynb""")


INDEX = "Where each term of this book is explained, and where each chapter uses it first."


def describe_index(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Give the index, which has no text of its own, a description for search engines."""
    if pagename == "genindex":
        context["metatags"] = (
            f'{context.get("metatags", "")}\n<meta name="description" content="{INDEX}" />'
        )


def repaired(page: str, *, one_page: bool = False) -> str:
    """A page as everyone can use it.

    Args:
        page: its HTML.
        one_page: whether all chapters stand in one page.
    """
    for found, meant in REPAIRS:
        page = found.sub(meant, page)
    if one_page:
        return re.sub(NOTEBOOK.pattern + "(?:#[a-z0-9-]*)?", one_page_link, page)
    return NOTEBOOK.sub(r"href=\g<mark>\g<page>.html", page)


def one_page_link(found: re.Match[str]) -> str:
    """A link to the place where a chapter begins; sections may have the same names there."""
    return f"href={found['mark']}#document-chapters/{found['page']}"


def repair_pages(app: Sphinx, exception: Exception | None) -> None:
    """Repair every page of a finished website."""
    if exception or app.builder.format != "html":
        return
    for path in Path(app.outdir).rglob("*.html"):
        page = path.read_text(encoding="utf8")
        better = repaired(page, one_page=app.builder.name == "singlehtml")
        if path.name != "search.html":
            better = SEARCH.sub("", better)
        if better != page:
            path.write_text(better, encoding="utf8")


def map_site(app: Sphinx, exception: Exception | None) -> None:
    """List the pages of a finished website in ``sitemap.xml``, for search engines."""
    home = app.config.html_baseurl
    if exception or app.builder.name != "html" or not home:
        return
    pages = (f"{home}{app.builder.get_target_uri(name)}" for name in sorted(app.env.found_docs))
    entries = "".join(f"<url><loc>{page}</loc></url>\n" for page in pages)
    schema = "http://www.sitemaps.org/schemas/sitemap/0.9"
    text = (
        f'<?xml version="1.0" encoding="utf-8"?>\n<urlset xmlns="{schema}">\n{entries}</urlset>\n'
    )
    (Path(app.outdir) / "sitemap.xml").write_text(text, encoding="utf8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect them."""
    app.connect("config-inited", link_repository, priority=100)
    app.connect("builder-inited", share_handlers)
    app.connect("html-page-context", drop_scripts, priority=900)
    app.connect("html-page-context", describe_index, priority=900)
    app.connect("build-finished", repair_pages)
    app.connect("build-finished", map_site)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
