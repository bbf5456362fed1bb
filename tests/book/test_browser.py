"""Every page in a real browser: quiet, self-contained, on a phone, and open to everyone."""

import json

import pytest

import live
from test_site import documents

PAGES = [*documents(), "search"]
THEMES = ("light", "dark")
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def root(site, serve):
    with serve(site) as address:
        yield address


@pytest.fixture(scope="module")
def axe():
    """The rules of axe-core, as a script."""
    try:
        return (live.runtime() / live.AUDIT).read_text(encoding="utf8")
    except live.NotFetchedError as error:
        pytest.skip(f"axe-core can't be fetched and is not cached: {error}")


def opened(browser, watch, root, name, theme="light"):
    context = browser.new_context(viewport=PHONE, color_scheme=theme)
    page, faults = watch(context, root)
    page.goto(f"{root}{name}.html", wait_until="networkidle")
    # All of a page is judged, what lies far below as well.
    page.add_style_tag(content="* { content-visibility: visible !important }")
    return page, faults


def violations(page, axe):
    """What axe-core calls serious or critical, with the first place."""
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [
        f"{rule['id']}: {rule['nodes'][0]['html'][:200]}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
    ]


def widest(page):
    """How wide the page is, in pixels, and what sticks out."""
    return page.evaluate(
        """() => [document.documentElement.scrollWidth, [...document.querySelectorAll('body *')]
            .filter((e) => e.getBoundingClientRect().right > innerWidth + 1
                && !e.closest('pre, table, .output, math, .sd-scroll'))
            .slice(0, 3).map((e) => e.outerHTML.slice(0, 120))]"""
    )


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_quiet_narrow_and_open_to_everyone(name, browser, watch, root, axe):
    for theme in THEMES:
        page, faults = opened(browser, watch, root, name, theme)
        width, culprits = widest(page)
        assert page.evaluate("document.documentElement.dataset.theme") == theme
        assert faults == []
        assert width <= PHONE["width"], culprits
        assert violations(page, axe) == []
        page.context.close()


def test_search_finds_a_word_of_a_chapter(browser, watch, root):
    page, faults = opened(browser, watch, root, "search")
    page.goto(f"{root}search.html?q=teacher+forcing", wait_until="networkidle")
    page.wait_for_selector("#search-results li a")
    links = page.eval_on_selector_all("#search-results li a", "all => all.map(a => a.href)")
    assert any("02-encoder-decoder-architecture" in link for link in links)
    assert faults == []
    page.context.close()


def test_a_link_into_a_chapter_leads_to_its_heading(browser, root):
    page = browser.new_context(viewport=PHONE).new_page()
    page.goto(f"{root}chapters/06-translation.html#further-reading", wait_until="networkidle")
    page.wait_for_timeout(500)  # what came near has been laid out
    assert 0 <= page.locator("#further-reading").bounding_box()["y"] < PHONE["height"] / 2
    page.context.close()


# The checks themselves, on pages made here


def made(browser, body):
    page = browser.new_context(viewport=PHONE).new_page()
    head = '<title>T</title><meta name="viewport" content="width=device-width">'
    page.set_content(f'<html lang="en"><head>{head}</head><body><main>{body}</main></body></html>')
    return page


@pytest.mark.parametrize(
    "body",
    [
        "<h1>T</h1><img src='data:,'>",
        "<h1>T</h1><p style='color: #bbb; background: white'>hardly to be read</p>",
        "<h1>T</h1><button></button>",
    ],
)
def test_a_page_that_shuts_someone_out_is_noticed(body, browser, axe):
    page = made(browser, body)
    assert len(violations(page, axe)) == 1
    page.context.close()


def test_a_page_that_is_too_wide_is_noticed(browser):
    page = made(browser, "<h1>T</h1><div style='width: 600px'>x</div>")
    assert widest(page)[0] > PHONE["width"]
    page.context.close()


def test_noise_and_requests_to_others_are_noticed(browser, watch, tmp_path, serve):
    script = "<script>console.error('oh'); fetch('http://127.0.0.1:9/x').catch(() => 0)</script>"
    (tmp_path / "a.html").write_text(script, encoding="utf8")
    with serve(tmp_path) as address:
        page, faults = opened(browser, watch, address, "a")
    assert {"oh", "http://127.0.0.1:9/x"} <= set(faults), json.dumps(faults)
    page.context.close()
