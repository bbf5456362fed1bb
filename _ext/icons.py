"""The theme's icons as pictures in the page: a dozen drawings instead of a script of 1.5 MB.

The theme marks an icon as ``<i class="fa-solid fa-list">`` or as ``<span>``, and FontAwesome's
script or font, which hold thousands, draws it when the page is read. Here the same drawings are put
in when it is built.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pydata_sphinx_theme
from sphinx.application import Sphinx

SCRIPT = "scripts/fontawesome.js"
THEME = Path(pydata_sphinx_theme.__file__).parent / "theme" / "pydata_sphinx_theme" / "static"
ICON = re.compile(r'<(i|span) class="((?:[^"]* )?fa-[^"]*)"([^>]*)></\1>')
LOADED = re.compile(r"\s*<(?:script|link)\b[^>]*fontawesome[^>]*>(?:</script>)?")
# Names that several sets share stand in the script in this order.
SETS = {"fab": 0, "fa-brands": 0, "fas": -1, "fa-solid": -1}
WORDS = {*SETS, "fa-lg", "fa-fw"}


@cache
def drawings() -> str:
    """FontAwesome's script."""
    return (THEME / SCRIPT).read_text(encoding="utf8")


@cache
def drawing(name: str, place: int) -> tuple[str, str]:
    """Box and path of an icon.

    Args:
        name: ``list`` for ``fa-list``.
        place: which of the sets that have it.

    Raises:
        KeyError: the script has no such icon.
    """
    entry = rf'[,{{]"?{re.escape(name)}"?:\[(\d+),(\d+),\[[^\]]*\],"[0-9a-f]+","([^"]+)"\]'
    found = re.findall(entry, drawings())
    if not found:
        raise KeyError(f"FontAwesome has no icon {name!r}.")
    width, height, path = found[place]
    return f"0 0 {width} {height}", path


def picture(found: re.Match[str]) -> str:
    """The drawing that takes an icon's place; it keeps classes and attributes."""
    classes, attributes = found[2].split(), found[3].rstrip()
    name = next(word for word in classes if word.startswith("fa-") and word not in WORDS)
    place = next((SETS[word] for word in classes if word in SETS), -1)
    box, path = drawing(name.removeprefix("fa-"), place)
    kept = " ".join(["icon", *classes])
    return (
        f'<svg class="{kept}" viewBox="{box}" aria-hidden="true"{attributes}>'
        f'<path d="{path}"/></svg>'
    )


def drawn(page: str) -> str:
    """A page with its icons drawn, which no longer asks for the script."""
    return ICON.sub(picture, LOADED.sub("", page))


def draw_icons(app: Sphinx, exception: Exception | None) -> None:
    """Draw the icons of every page of a finished website and leave the script out."""
    if exception or app.builder.format != "html":
        return
    output = Path(app.outdir)
    for path in output.rglob("*.html"):
        page = path.read_text(encoding="utf8")
        if (better := drawn(page)) != page:
            path.write_text(better, encoding="utf8")
    for path in (output / "_static" / "scripts").glob("fontawesome.js*"):
        path.unlink()


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect it."""
    app.connect("build-finished", draw_icons)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
