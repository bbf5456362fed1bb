"""Interactive figures on the static pages: no kernel, and they react, and show text as text."""

import functools

import nbformat
import pytest

from test_live import HOSTILE
from test_site import CHAPTERS, ROOT

PHONE = {"width": 390, "height": 844}
VIEW = ".cell_output .output:has(script):has(input, select, button)"
# Moves every control, and gives back those that change nothing. Buttons may be drawn anew by other
# controls, and one of them is pressed already: it is enough that pressing another does something.
STILL = """(view) => {
    const changes = (move) => {
        const before = view.innerHTML;
        move();
        return view.innerHTML !== before;
    };
    const set = (control, value) => () => {
        control.value = value;
        for (const kind of ["input", "change"]) {
            control.dispatchEvent(new Event(kind, { bubbles: true }));
        }
    };
    const values = (control) => {
        if (control.tagName === "SELECT") return [...control.options].map(({ value }) => value);
        if (control.type === "text") return ["other words", ""];
        return [control.min, (Number(control.min) + Number(control.max)) / 2, control.max];
    };
    const moved = (control) =>
        control.type === "checkbox"
            ? changes(() => control.click())
            : values(control).some((value) => changes(set(control, value)));
    const still = [...view.querySelectorAll("input, select")].filter((control) => !moved(control));
    const buttons = [...view.querySelectorAll("button")];
    if (buttons.length && !buttons.some((button) => changes(() => button.click()))) {
        still.push(buttons[0]);
    }
    return still.map((control) => control.outerHTML.slice(0, 120));
}"""


@functools.cache
def views(path):
    """How many interactive figures of its own HTML a chapter has."""
    return sum(
        "<script" in "".join(output.data["text/html"])
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "code" and "remove-output" not in cell.metadata.get("tags", [])
        for output in cell.outputs
        if "text/html" in output.get("data", {})
    )


WITH_VIEWS = [path for path in CHAPTERS if views(path)]
EACH = pytest.mark.parametrize("path", WITH_VIEWS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def root(site, serve):
    with serve(site) as address:
        yield address


@pytest.fixture
def opened(browser, watch, root):
    """To open a chapter on a phone; nothing may go wrong on it until the test is over."""
    context = browser.new_context(viewport=PHONE)
    page, faults = watch(context, root)

    def opened(path):
        page.goto(f"{root}{path.relative_to(ROOT).with_suffix('.html').as_posix()}")
        return page

    yield opened
    context.close()
    assert faults == []


def test_most_chapters_have_an_interactive_figure():
    assert len(WITH_VIEWS) >= 10


@EACH
def test_every_control_changes_its_figure_without_a_kernel(path, opened):
    page = opened(path)
    found = page.locator(VIEW).all()
    assert len(found) == views(path)
    assert [view.evaluate(STILL) for view in found] == [[]] * len(found)


@EACH
def test_every_figure_says_in_text_what_it_shows_and_names_its_controls(path, opened):
    page = opened(path)
    for view in page.locator(VIEW).all():
        assert view.locator("table, details, [role=status], [aria-live]").count()
        unnamed = view.evaluate(
            """(view) => [...view.querySelectorAll("input, select, button")].filter((c) =>
                !(c.textContent.trim() || c.labels?.length || c.ariaLabel || c.title)).length"""
        )
        assert unnamed == 0


@EACH
def test_what_a_reader_types_into_a_figure_is_text(path, opened):
    page = opened(path)
    for field in page.locator(VIEW).locator("input[type=text], textarea").all():
        view = field.locator("xpath=ancestor::div[contains(@class, 'output')][1]")
        before = view.evaluate("(v) => v.querySelectorAll('script, img, b, i, iframe').length")
        for text in HOSTILE.values():
            field.evaluate(
                "(f, text) => {f.value = text; f.dispatchEvent(new Event('input'));"
                "f.dispatchEvent(new Event('change'));}",
                text.encode("utf8", "replace").decode(),
            )
            assert page.evaluate("window.hacked") is None
            after = view.evaluate("(v) => v.querySelectorAll('script, img, b, i, iframe').length")
            assert after == before
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
