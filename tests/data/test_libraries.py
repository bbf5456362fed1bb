import hashlib
import importlib.metadata
import re
import zipfile
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from encdec.data import libraries as module
from encdec.data.docstrings import corpus_packages, load_docstrings, side
from encdec.data.download import DownloadError
from encdec.data.further import load_further
from encdec.data.libraries import fetch_libraries, libraries
from packages import fill, function

# They build on a held-out package, or share its text.
KIN = "adlfs cattrs dask distributed gcsfs loky mdformat s3fs snoop sortedcollections trio"
SOURCE = function("mean_of", "Return the mean of some values.")


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of wheels, where pip looks instead of PyPI."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


def wheel(index, name, source=SOURCE, more=()):
    """A wheel with a module, a picture and a compiled part; the line that pins it."""
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}/a.py": source,
        f"{name}/logo.png": "a picture",
        f"{name}/fast.so": "machine code",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **dict(more),
    }
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in files)
    path = index / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in files.items():
            archive.writestr(file, content)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"{canonicalize_name(name)}==1.0 --hash=sha256:{digest}"


def pin(tmp_path, *lines):
    path = tmp_path / "pins.txt"
    path.write_text("\n".join(["# Some libraries.", *lines, ""]))
    return path


def test_source_and_metadata_are_kept_and_nothing_else(index, tmp_path):
    pins = pin(tmp_path, wheel(index, "lib_a"))
    [folder] = fetch_libraries(pins, tmp_path / "kept")
    assert folder.name == "lib-a-1.0"
    assert sorted(p.name for p in folder.rglob("*.*") if p.is_file()) == ["a.py"]
    [found] = importlib.metadata.distributions(path=[str(folder)])
    assert found.version == "1.0"
    assert [p.name for p in (tmp_path / "kept").iterdir()] == ["lib-a-1.0"]


def test_nothing_is_written_outside_the_folder(index, tmp_path):
    line = wheel(index, "lib_a", more=[("../../../outside.py", "x = 1"), ("/outside.py", "x = 1")])
    [folder] = fetch_libraries(pin(tmp_path, line), tmp_path / "kept")
    assert list(tmp_path.rglob("outside.py")) == [folder / "outside.py"]
    assert not Path("/outside.py").exists()


def test_what_is_here_is_not_fetched_again(index, tmp_path):
    pins = pin(tmp_path, wheel(index, "lib_a"))
    first = fetch_libraries(pins, tmp_path / "kept")
    (index / "lib_a-1.0-py3-none-any.whl").unlink()
    assert fetch_libraries(pins, tmp_path / "kept") == first


def test_another_wheel_than_the_pinned_one_is_refused(index, tmp_path):
    line = wheel(index, "lib_a")
    wheel(index, "lib_a", source="import os")
    with pytest.raises(DownloadError, match="could not fetch the libraries lib-a to lib-a"):
        fetch_libraries(pin(tmp_path, line), tmp_path / "kept")
    assert list((tmp_path / "kept").iterdir()) == []


def test_those_that_came_before_a_failure_are_kept(index, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", 1)
    pins = pin(tmp_path, wheel(index, "lib_a"), wheel(index, "lib_b"))
    (index / "lib_b-1.0-py3-none-any.whl").unlink()
    with pytest.raises(DownloadError, match=r"lib-b .*\(No matching distribution .*PyPI"):
        fetch_libraries(pins, tmp_path / "kept")
    assert [p.name for p in (tmp_path / "kept").iterdir()] == ["lib-a-1.0"]


def test_their_functions_are_found_but_not_what_a_held_out_one_says_or_does(index, tmp_path, site):
    fill(site)
    said = function("other", "Add up the values of test.")
    copied = function("total_test", "Sum up.")  # the body of the function that is held out
    pins = pin(tmp_path, wheel(index, "lib_a", f"{SOURCE}\n{said}\n{copied}"))
    folders = [str(folder) for folder in fetch_libraries(pins, tmp_path / "kept")]
    packages = [p.name.partition("-")[0] for p in site.glob("*.dist-info")]
    splits = load_docstrings(packages, path=[str(site)], least=1)
    further = load_further(splits, ["lib-a"], path=folders, kinds=("functions",))
    assert [d.summary for d in further.functions] == ["Return the mean of some values."]
    assert further.classes == further.names == []


def test_the_list_pins_libraries_that_have_nothing_to_do_with_those_held_out():
    found = libraries()
    names = [library.name for library in found]
    assert len(names) > 200
    assert names == sorted(set(names))
    for library in found:
        assert re.fullmatch(r"[a-z0-9-]+==[\w.]+ --hash=sha256:[0-9a-f]{64}", library.line)
        assert side(library.name) == "train"
    assert not set(names) & {*map(canonicalize_name, corpus_packages()), *KIN.split()}
