"""Lighthouse: bounds on every page, what falls below them is named, and the recorded run holds."""

import gzip
import json
import urllib.request

import pytest

import browser as browsing
import lighthouse
import live
from encdec import results
from test_site import documents

GOOD = {
    "desktop": {"performance": 95, "accessibility": 100, "best-practices": 95, "seo": 95},
    "mobile": {"performance": 80},
}


def test_a_page_at_the_bounds_is_good_enough():
    assert lighthouse.below("a", GOOD) == []


@pytest.mark.parametrize(
    ("preset", "category"), [(p, c) for p, bounds in GOOD.items() for c in bounds]
)
def test_a_page_one_point_below_a_bound_is_named(preset, category):
    judged = {name: dict(scores) for name, scores in GOOD.items()}
    judged[preset][category] -= 1
    [line] = lighthouse.below("a", judged)
    wanted = GOOD[preset][category]
    assert line == f"a: {category} {wanted - 1} ({preset}), not {wanted}"


def test_faults_are_told_the_weightiest_first_and_speed_is_left_out():
    def audit(score):
        return {"title": f"score {score}", "score": score}

    found = {
        "categories": {
            "performance": {"score": 0.5, "auditRefs": [{"id": "slow", "weight": 9}]},
            "seo": {
                "score": 0.876,
                "auditRefs": [{"id": "small", "weight": 1}, {"id": "large", "weight": 3}],
            },
            "accessibility": {"score": 1, "auditRefs": [{"id": "good", "weight": 9}]},
        },
        "audits": {
            "slow": audit(0.1),
            "small": audit(0),
            "large": audit(0.2),
            "good": audit(1),
        },
    }
    assert lighthouse.scores(found) == {"performance": 50, "seo": 88, "accessibility": 100}
    assert lighthouse.faults(found) == ["score 0.2", "score 0"]


def test_all_pages_of_the_sites_map_are_judged(tmp_path):
    home = f"https://example.org{browsing.HOME}"
    pages = ["intro", "chapters/01-a"]
    entries = "".join(f"<url><loc>{home}{page}.html</loc></url>\n" for page in pages)
    (tmp_path / "sitemap.xml").write_text(f"<urlset>{entries}</urlset>")
    assert lighthouse.pages(tmp_path) == pages


def test_the_server_compresses_as_a_public_one_does(tmp_path):
    text = "<p>" + "x" * 5000
    (tmp_path / "a.html").write_text(text)
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    with browsing.served(tmp_path, browsing.Packing) as root:
        with urllib.request.urlopen(f"{root}a.html") as answer:
            content = answer.read()
            assert answer.headers["Content-Encoding"] == "gzip"
        with urllib.request.urlopen(f"{root}a.png") as answer:
            assert answer.headers["Content-Encoding"] is None
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{root}b.html")
    assert len(content) < 100
    assert gzip.decompress(content).decode() == text


def test_a_page_with_a_picture_that_nobody_describes_is_judged(
    browser, tmp_path, capsys, monkeypatch
):
    if not lighthouse.folder().exists():
        pytest.skip("Lighthouse is not cached: `make lighthouse` fetches it")
    head = '<title>T</title><meta name="viewport" content="width=device-width">'
    page = f'<!doctype html><html lang="en"><head>{head}</head><body><img src="data:,"></body>'
    (tmp_path / "a.html").write_text(page)
    monkeypatch.setattr(lighthouse, "PRESETS", {"desktop": lighthouse.PRESETS["desktop"]})
    judged = lighthouse.judge(tmp_path, ["a"])
    assert judged["a"]["desktop"]["accessibility"] < 100
    assert "Image elements do not have `[alt]` attributes" in capsys.readouterr().out


def test_without_the_registry_there_is_one_sentence(monkeypatch, tmp_path):
    def fail(folder):
        raise live.NotFetchedError("no network")

    monkeypatch.setattr(lighthouse, "folder", lambda: tmp_path / "none")
    monkeypatch.setattr(live, "fetch", fail)
    monkeypatch.setattr(lighthouse.browser, "CHROMIUM", "chromium")
    monkeypatch.setattr(lighthouse.sys, "argv", ["lighthouse.py"])
    with pytest.raises(SystemExit, match="No page was judged, for want of Lighthouse: no network"):
        lighthouse.main()


def test_the_lock_file_fits_and_names_no_registry():
    wanted, lock = (json.loads(path.read_text("utf8")) for path in lighthouse.LISTS)
    assert lock["packages"][""]["dependencies"] == wanted["dependencies"]
    packages = [entry for name, entry in lock["packages"].items() if name]
    assert all("integrity" in entry and "resolved" not in entry for entry in packages)


def test_a_recorded_run_is_of_all_pages_and_holds_the_bounds(tmp_path):
    lighthouse.record({"a": GOOD}, tmp_path / "lighthouse.json")
    made = json.loads((tmp_path / "lighthouse.json").read_text())
    assert made["pages"] == {"a": GOOD}
    assert made["provenance"]["command"] == "make lighthouse"
    try:
        judged = results.load("lighthouse")["pages"]
    except results.ResultError:
        pytest.skip("`make lighthouse` has not been run yet")
    assert set(judged) <= set(documents())
    assert [line for name, each in judged.items() for line in lighthouse.below(name, each)] == []
