"""Pages that show sooner: scripts wait for the text, and so do pictures that are far below."""

import re
import struct
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

# All but the one that scripts within the page ask for at once.
SCRIPT = re.compile(r'<script(?![^>]* (?:defer|async|type)\b)([^>]*) src="(?!\S*documentation_opt)')
PICTURE = re.compile(r'<img (?![^>]*(?:width|loading)=)([^>]*?)src="([^":?]+\.png)"([^>]*)>')
PNG = b"\x89PNG\r\n\x1a\n"


def size(path: Path) -> tuple[int, int] | None:
    """Width and height of a PNG file in pixels, or ``None`` if it is none."""
    try:
        with path.open("rb") as file:
            head = file.read(24)
    except OSError:
        return None
    if len(head) < 24 or not head.startswith(PNG):
        return None
    width, height = struct.unpack(">II", head[16:])
    return width, height


def lighter(page: str, folder: Path) -> str:
    """A page whose scripts and pictures let its text come first.

    Args:
        page: HTML.
        folder: where it lies; pictures are named from there.
    """

    def placed(found: re.Match[str]) -> str:
        pixels = size(folder / found[2])
        if pixels is None:
            return found[0]
        room = f'width="{pixels[0]}" height="{pixels[1]}" loading="lazy"'
        return f'<img {found[1]}src="{found[2]}"{found[3].rstrip(" /")} {room}>'

    return PICTURE.sub(placed, SCRIPT.sub(r'<script defer\1 src="', page))


def lighten(app: Sphinx, exception: Exception | None) -> None:
    """Do so with every page of a finished website; the one for searching needs its scripts."""
    if exception or app.builder.format != "html":
        return
    for path in Path(app.outdir).rglob("*.html"):
        page = path.read_text(encoding="utf8")
        if path.name != "search.html" and (better := lighter(page, path.parent)) != page:
            path.write_text(better, encoding="utf8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect it."""
    app.connect("build-finished", lighten)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
