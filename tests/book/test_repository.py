"""What must hold of the repository as a whole: its files, pins, licences and promises."""

import ast
import os
import re
import socket
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import address
import install
import rules

ROOT = Path(__file__).parents[2]
MEGABYTE = 10**6
LARGEST_FILE = 8.5 * MEGABYTE
LARGEST_MODEL = 8 * MEGABYTE
ALL_MODELS = 40 * MEGABYTE
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX"]) + r")\b")
INDEX_OPTION = re.compile(r"--(?:extra-)?index-url|--find-links|--trusted-host")


@pytest.fixture(scope="module")
def texts():
    """The text files of the repository by their names; notebooks have rules of their own."""
    found = {}
    for path in address.tracked_files():
        if path.suffix == ".ipynb":
            continue
        try:
            found[path.relative_to(ROOT).as_posix()] = path.read_text(encoding="utf8")
        except UnicodeDecodeError:
            continue
    return found


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]


def pins():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf8").splitlines()
    return [
        Requirement(line) for line in lines if line.strip() and not line.lstrip().startswith("#")
    ]


def test_no_text_names_a_folder_of_one_machine(texts):
    found = {
        name: match.group()
        for name, text in texts.items()
        if (match := rules.MACHINE_PATH.search(text))
    }
    assert found == {}


# What services hand out begins so that it can be found: the beginning, and what follows.
SECRET_KINDS = [
    ("-----BEGIN ", r"[A-Z ]*PRIVATE KEY"),
    ("AKIA", r"[0-9A-Z]{16}\b"),  # Amazon
    ("AIza", r"[\w-]{35}\b"),  # Google
    ("ghp_", r"[A-Za-z0-9]{36}\b"),
    ("github_pat_", r"\w{50,}"),
    ("glpat-", r"[\w-]{20}"),
    ("hf_", r"[A-Za-z]{34}\b"),  # the Hub
    ("npm_", r"[A-Za-z0-9]{36}\b"),
    ("pypi-AgEI", r"[\w-]{50,}"),
    ("sk-", r"[\w-]{40,}"),
    ("xox", r"[abprs]-[\w-]{10,}"),
    ("eyJ", r"[\w-]{15,99}\.eyJ[\w-]{15,}\."),  # a web token
    ("://", r"[^\s/:@\"'<>{}]{1,60}:[^\s/:@\"'<>{}]{1,60}@[\w.-]+"),  # a password in an address
]
SECRETS = (
    "-----BEGIN OPENSSH " + "PRIVATE KEY-----",
    "AKIA" + "Q" * 16,
    "AIza" + "b" * 35,
    "ghp_" + "c1" * 18,
    "hf_" + "d" * 34,
    "pypi-AgEI" + "e" * 60,
    "sk-ant-" + "f" * 40,
    "xoxb-" + "1" * 12,
    "://reader:" + "word@example.org",
)


def secret_in(text):
    """The first words of a secret in a text, or nothing."""
    for start, rest in SECRET_KINDS:
        if start in text and (found := re.search(re.escape(start) + rest, text)):
            return found.group()[:12]
    return ""


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret[:6])
def test_a_secret_would_be_found(secret):
    assert secret.startswith(secret_in(f"token = '{secret}'"))
    assert secret_in(f"token = '{secret}'")


def test_no_file_holds_a_secret():
    """Notebooks too; weights and fonts are no text."""
    found = {
        path.relative_to(ROOT).as_posix(): secret
        for path in address.tracked_files()
        if (secret := secret_in(path.read_bytes().decode("utf8", "ignore")))
        and path.suffix not in (".safetensors", ".woff2")
    }
    assert found == {}


@pytest.mark.parametrize("host", ["example.org", "192.0.2.1"])
def test_tests_reach_no_other_machine(host):
    with pytest.raises(RuntimeError, match=f"a test reached for {host}: tests need no network"):
        socket.create_connection((host, 80), timeout=1)


def test_nothing_is_left_unfinished(texts):
    written = {n: t for n, t in texts.items() if not n.endswith("/tokenizer.json")}  # by people
    assert [name for name, text in written.items() if UNFINISHED.search(text)] == []


def test_the_address_is_the_same_everywhere(texts):
    here = address.address()
    owner_and_name = here.removeprefix("https://github.com/")
    name = owner_and_name.rpartition("/")[2]
    pattern = re.compile(r"github\.com/([\w.-]+/" + re.escape(name) + r")(?![\w-])")
    found = {m for text in texts.values() for m in pattern.findall(text)}
    assert found == {owner_and_name}
    config = yaml.safe_load(texts["_config.yml"])
    owner = owner_and_name.partition("/")[0]
    assert config["html"]["baseurl"] == f"https://{owner}.github.io/{name}/"


def test_moving_the_address_changes_every_mention(tmp_path, monkeypatch):
    page, picture = tmp_path / "page.md", tmp_path / "picture.png"
    page.write_text("see https://old.example/book/issues")
    picture.write_bytes(b"\x89PNG\xff https://old.example/book")
    monkeypatch.setattr(address, "tracked_files", lambda: [page, picture])
    assert address.move("https://old.example/book") == [page]
    assert page.read_text() == f"see {address.address()}/issues"


def test_no_file_is_large():
    large = [path.name for path in address.tracked_files() if path.stat().st_size > LARGEST_FILE]
    assert large == []


def test_models_are_small():
    sizes = {
        folder.name: sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        for folder in (ROOT / "models").iterdir()
        if folder.is_dir()
    }
    assert [name for name, size in sizes.items() if size > LARGEST_MODEL] == []
    assert sum(sizes.values()) <= ALL_MODELS


def test_models_hold_no_pickle_and_have_a_card():
    for folder in (path for path in (ROOT / "models").iterdir() if path.is_dir()):
        assert (folder / "README.md").is_file()
        assert not [
            f.name for f in folder.rglob("*") if f.suffix in (".bin", ".pt", ".pkl", ".ckpt")
        ]


def test_every_requirement_is_pinned_exactly():
    for pin in pins():
        assert [specifier.operator for specifier in pin.specifier] == ["=="], str(pin)
        assert pin.url is None


def hashed():
    """Every pin of requirements-hashes.txt and its hashes."""
    text = (ROOT / "requirements-hashes.txt").read_text(encoding="utf8")
    blocks = re.split(r"\n(?=\S)", text.replace("\\\n", ""))
    lines = [block.partition("--hash=") for block in blocks if not block.startswith("#")]
    return [(Requirement(pin), ("--hash=" + rest).split()) for pin, _, rest in lines]


def test_every_pin_has_hashes():
    assert [str(pin) for pin, _ in hashed()] == [str(pin) for pin in pins()], "run `make lock`"
    for pin, found in hashed():
        assert found, str(pin)
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each) for each in found), str(pin)


def test_the_installation_asks_for_the_hashes(monkeypatch, tmp_path):
    calls = []
    versions = {"torch": f"{next(p for p in pins() if p.name == 'torch').specifier}"[2:] + "+cpu"}
    monkeypatch.setattr(install, "say", lambda line: None)
    monkeypatch.setattr(install.Environment, "__init__", lambda self, folder: None)
    monkeypatch.setattr(install.Environment, "pip", lambda self, *call: calls.append(call))
    monkeypatch.setattr(install.Environment, "version", lambda self, name: versions[name])
    install.main(tmp_path)
    listed = str(ROOT / "requirements-hashes.txt")
    assert ("install", "--no-deps", "--require-hashes", "-r", listed) in calls
    assert [call for call in calls if "-r" in call and "--require-hashes" not in call] == []


def test_pins_satisfy_the_ranges():
    by_name = {}
    for pin in pins():
        by_name.setdefault(canonicalize_name(pin.name), []).append(pin)
    extras = project()["optional-dependencies"]
    for line in [*project()["dependencies"], *extras["book"], *extras["test"]]:
        wanted = Requirement(line)
        found = by_name.get(canonicalize_name(wanted.name))
        assert found, f"{wanted.name} is not in requirements.txt: run `make lock`."
        for pin in found:
            [specifier] = pin.specifier
            assert wanted.specifier.contains(specifier.version, prereleases=True), str(pin)


def test_no_cuda_package_is_pinned():
    assert [p.name for p in pins() if p.name.startswith(("nvidia", "triton", "cuda"))] == []


def test_no_package_index_is_named_but_the_one_for_cpu_builds(texts):
    named = [name for name, text in texts.items() if INDEX_OPTION.search(text)]
    assert sorted(named) == ["tests/book/test_repository.py", "tools/install.py"]
    assert "https://download.pytorch.org/whl/cpu" in texts["tools/install.py"]


def test_versions_agree(texts):
    tree = ast.parse(texts["src/encdec/__init__.py"])
    [version] = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__version__"
    ]
    assert version == project()["version"]
    assert version == yaml.safe_load(texts["CITATION.cff"])["version"]


def test_the_citation_is_complete(texts):
    citation = yaml.safe_load(texts["CITATION.cff"])
    assert {"cff-version", "message", "title", "authors", "version"} <= citation.keys()
    assert citation["repository-code"] == address.address()
    assert citation["license"] == ["MIT", "CC-BY-4.0"]


def test_both_licences_are_stated(texts):
    for name in ("LICENSE", "README.md"):
        assert "MIT License" in texts[name]
        assert "CC BY 4.0" in texts[name]
    assert project()["license"] == "MIT"


@pytest.mark.parametrize("script", [".ci/run"])
def test_scripts_are_executable_and_parse(script):
    assert os.access(ROOT / script, os.X_OK)
    subprocess.run(["bash", "-n", ROOT / script], check=True)


def test_workflows_run_what_a_reader_runs(texts):
    jobs = {
        name: yaml.safe_load(text)["jobs"]
        for name, text in texts.items()
        if name.startswith(".github/workflows/")
    }
    commands = {
        step["run"]
        for job in jobs.values()
        for j in job.values()
        for step in j["steps"]
        if "run" in step
    }
    assert {"bash .ci/run", "make book", "make test"} <= commands
    matrix = jobs[".github/workflows/tests.yml"]["tests"]["strategy"]["matrix"]["include"]
    supported = SpecifierSet(project()["requires-python"])
    assert {"3.11", "3.12", "3.13"} == {entry["python"] for entry in matrix}
    assert all(supported.contains(f"{entry['python']}.0") for entry in matrix)


def test_every_target_is_in_the_help(texts):
    help_text = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True).stdout
    for target in ("book", "test", "refresh", "serve", "clean", "help", "lock"):
        assert f"make {target} " in help_text
        assert re.search(rf"(?m)^{target}:", texts["Makefile"])


def test_links_between_pages_of_the_repository_resolve(texts):
    broken = [
        f"{name}: {link}"
        for name, text in texts.items()
        if name.endswith(".md")
        for link in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text)
        if not (ROOT / name).parent.joinpath(link).exists()
    ]
    assert broken == []


def test_tests_mirror_the_package():
    names = {path.stem for path in (ROOT / "src" / "encdec").glob("*.py")} - {"__init__", "errors"}
    tested = {path.stem.removeprefix("test_") for path in (ROOT / "tests").glob("test_*.py")}
    assert {name.strip("_") for name in names} <= {name.strip("_") for name in tested}
