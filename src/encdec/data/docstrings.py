"""Functions and the first sentence of their documentation, from the packages at hand.

People wrote these summaries, and they are on every reader's machine: the packages that come with
the book hold tens of thousands. Source files are read as text and parsed with `ast`; nothing is
imported, so nothing is run.

Whole packages are held out, and whatever says the same as a held-out function is taken out of
training, so that a score says something about code that the model has not seen.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import gzip
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import sys
import textwrap
import tokenize
import unicodedata
import warnings
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple

from packaging.utils import canonicalize_name

from encdec.data.download import cache_folder
from encdec.data.parallel import DataError
from encdec.environment import PACKAGE

Function = ast.FunctionDef | ast.AsyncFunctionDef
Documented = Function | ast.ClassDef | ast.Module
Side = Literal["train", "validation", "test"]
# Called with the name of a package, the number of packages read so far, and of how many.
OnPackage = Callable[[str, int, int], None]

SEED = 2  # of the packages held out: the first that tests on 1,000 to 2,000 docstrings
# The largest packages are always learnt from, whatever the seed: one of them alone would fill the
# test, or leave little to train on.
ALWAYS_TRAIN = frozenset({"matplotlib", "networkx", "numpy", "sympy", "torch", "transformers"})
TEST_SHARE, VALIDATION_SHARE = 0.2, 0.1  # of the other packages

SUMMARY_WORDS = (3, 25)  # fewest and most
SENTENCE_WORDS = (3, 50)  # of the sentences of plain text
# Spaces between words counted once. Of a longer body a small model would see the beginning only.
BODY_CHARACTERS = (80, 1200)


class Docstring(NamedTuple):
    """A function and what its author says about it.

    Attributes:
        package: the distribution that it comes from, e.g. ``"torch"``.
        name: of the function, after the name of its class if it has one: ``"KVCache.reorder"``.
        body: its source without decorators and docstring, the signature first.
        summary: the first sentence of the docstring, without markup.
        text: the sentences of the whole docstring, without markup, lists and examples; may be
            empty.
    """

    package: str
    name: str
    body: str
    summary: str
    text: str = ""


@dataclass(frozen=True)
class DocstringSplits:
    """Three lists of docstrings that share no package, no summary and no body.

    The order of each is random and always the same: any first part of a list is a fair sample.

    Attributes:
        train: to learn from.
        validation: to choose by.
        test: for the final score.
        texts: more plain text of the packages in ``train``, two sentences or more each: what their
            modules, classes and other functions say about themselves.
        unparsed: files of each package that could not be parsed and were left out.
    """

    train: list[Docstring]
    validation: list[Docstring]
    test: list[Docstring]
    texts: list[str]
    unparsed: dict[str, int]

    def summary(self) -> dict[str, dict[str, int | str]]:
        """Sizes and digests, to be recorded beside every score: they say which data it was."""
        sides = {"train": self.train, "validation": self.validation, "test": self.test}
        return {
            name: {
                "docstrings": len(docstrings),
                "packages": len({docstring.package for docstring in docstrings}),
                "sha256": digest(docstrings),
            }
            for name, docstrings in sides.items()
        }


def load_docstrings(
    packages: Collection[str] | None = None,
    *,
    path: Sequence[str] | None = None,
    seed: int = SEED,
    least: int = 1000,
    on_package: OnPackage = lambda name, done, total: None,
) -> DocstringSplits:
    """Collect, clean, deduplicate and split the docstrings of installed packages.

    The first call reads some ten thousand files, which takes about a minute; the result is kept in
    the cache folder until a package, Python or this module changes.

    Args:
        packages: names of the distributions to read, as far as they are installed; if not given,
            :func:`corpus_packages`. This book's own package is always left out.
        path: folders that hold installed packages; those of the running interpreter if not given.
        seed: decides which packages are held out. A package's place depends on its name and the
            seed alone, not on what else is installed.
        least: fewest docstrings to be content with, for training.
        on_package: called after every package that was read.

    Returns:
        The splits.

    Raises:
        DataError: there are too few packages at hand.
    """
    found = installed(packages, path)
    key = cache_key(found, seed)
    splits = _read_splits(key)
    if splits is None:
        contents = []
        for number, (name, distribution) in enumerate(found.items(), 1):
            contents.append(read_package(name, distribution))
            on_package(name, number, len(found))
        splits = split_docstrings(contents, seed=seed)
        write_cache(key, vars(splits))
    _check_sizes(splits, found, least)
    return splits


def source_text(docstring: Docstring, characters: int = 1000) -> str:
    """What a model reads: the function's name, its parameters and its body, on one line.

    Args:
        docstring: the function.
        characters: length of the text at most; it is cut after a whole word.

    Raises:
        ValueError: ``characters`` is less than 1.
    """
    if characters < 1:
        raise ValueError(f"characters={characters} must be at least 1.")
    rest = _DEFINITION.sub("", docstring.body, count=1)
    text = docstring.name + " ".join(rest.split())
    if len(text) <= characters:
        return text
    return text[: characters + 1].rpartition(" ")[0] or text[:characters]


def prose(docstrings: Iterable[Docstring]) -> list[str]:
    """The sentences of whole docstrings: plain text for objectives that need some.

    Args:
        docstrings: one split's; text of the training split has no sentence of the others.

    Returns:
        A text of one or more sentences for every docstring that has one, without repetitions.
    """
    return list(dict.fromkeys(docstring.text for docstring in docstrings if docstring.text))


def digest(docstrings: Iterable[Docstring]) -> str:
    """SHA-256 of a list of docstrings, in order."""
    sha = hashlib.sha256()
    for docstring in docstrings:
        sha.update("\0".join((*docstring, "")).encode())
    return sha.hexdigest()


# --- reading packages -----------------------------------------------------------------------------

_COPIES = frozenset(
    {"_vendor", "_vendored", "vendor", "vendored", "third_party", "extern", "external", "externals"}
)
_TESTS = frozenset({"test", "tests", "testing", "_testing", "conftest.py"})
_TEST_FILE = re.compile(r"test_.*|.*_test\.py")
_GENERATED = re.compile(
    r"^\W*(?:.*\b(?:auto|automatically)[- ]?generated\b|.*\bdo not edit\b|"
    r"(?:@|this (?:file|module) (?:is|was) |code )?generated (?:by|from|using)\b)",
    re.IGNORECASE | re.MULTILINE,
)
_HEAD = 2000  # characters in which a generated file says so
_DEFINITION = re.compile(r"^(?:(?:async\s+)?def|class)\s+\w+\s*")
_PRAGMA = re.compile(
    r"[ \t]*#\s*(?:type:|noqa|pragma|pylint|pyright|mypy|ruff|fmt:|isort|nosec|pyre|flake8).*"
)


class Package(NamedTuple):
    """What was found in a distribution.

    Attributes:
        name: of the distribution.
        docstrings: of functions, in the order of files and lines.
        texts: docstrings that are none of a function with a summary, as plain text.
        unparsed: files that could not be parsed.
    """

    name: str
    docstrings: list[Docstring]
    texts: list[str]
    unparsed: int


def read_package(name: str, distribution: Distribution) -> Package:
    """All usable docstrings of one installed distribution.

    Left out are tests, copies of other packages and generated files, and among the docstrings
    those of functions of one statement or with a very long body, of overloads, and those whose
    beginning is no sentence.

    Args:
        name: what its docstrings are filed under.
        distribution: where its files are.
    """
    docstrings: list[Docstring] = []
    texts: list[str] = []
    unparsed = 0
    for file in parsed_files(distribution, containing=('"""', "'''")):
        if file is None:
            unparsed += 1
            continue
        for item in _docstrings(name, file):
            if isinstance(item, str):
                texts.append(item)
            else:
                docstrings.append(item)
    return Package(name, docstrings, texts, unparsed)


class ParsedFile(NamedTuple):
    """A source file.

    Attributes:
        tree: what it says.
        lines: its text.
    """

    tree: ast.Module
    lines: list[str]


def parsed_files(
    distribution: Distribution, *, containing: Sequence[str] = ("",)
) -> Iterator[ParsedFile | None]:
    """The source files of an installed distribution, in order; None for one that can't be parsed.

    Left out are tests, copies of other packages and generated files.

    Args:
        distribution: where its files are.
        containing: texts of which a file must contain one, to be parsed at all.
    """
    with _no_garbage_collection():
        for relative in sorted(str(file) for file in distribution.files or ()):
            if not _is_wanted(relative):
                continue
            try:
                with tokenize.open(str(distribution.locate_file(relative))) as file:
                    source = file.read()
                if not any(map(source.__contains__, containing)):
                    continue
                if _GENERATED.search(source[:_HEAD]):
                    continue
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # about other people's backslashes
                    tree = ast.parse(source)
            except FileNotFoundError:
                continue  # listed, yet removed after it was installed
            except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
                yield None
            else:
                yield ParsedFile(tree, source.split("\n"))


def _is_wanted(relative: str) -> bool:
    """Whether a file of a distribution is Python source that its authors wrote to be used."""
    parts = relative.replace("\\", "/").split("/")
    if not relative.endswith(".py") or parts[0] == "..":
        return False
    return not any(
        part in _COPIES or part in _TESTS or _TEST_FILE.fullmatch(part) for part in parts
    )


def _docstrings(package: str, file: ParsedFile) -> Iterator[Docstring | str]:
    """The usable docstrings of a file, and the text of all others."""
    for owner, node in definitions(file.tree):
        documentation = ast.get_docstring(node)
        if not documentation:
            continue
        text = plain_text(documentation)
        if not isinstance(node, Function) or is_overload(node) or not _does_enough(node):
            yield text
            continue
        body, summary = code(node, file.lines), first_sentence(documentation)
        if body is None or summary is None or not _is_suitable(body):
            yield text
            continue
        yield Docstring(package, qualified(owner, node), body, summary, text)


def definitions(tree: ast.Module) -> list[tuple[str, Documented]]:
    """Every node of a file that may have a docstring, with the name of the class it stands in."""
    found: list[tuple[str, Documented]] = []
    waiting: list[tuple[str, ast.AST]] = [("", tree)]
    while waiting:
        owner, node = waiting.pop()
        if isinstance(node, Documented):
            found.append((owner, node))
            owner = node.name if isinstance(node, ast.ClassDef) else ""
        for block in ("body", "orelse", "finalbody", "handlers"):
            inside = getattr(node, block, ())
            waiting += [(owner, child) for child in inside if hasattr(child, "body")]
    return sorted(found, key=lambda item: getattr(item[1], "lineno", 0))


def qualified(owner: str, node: Function | ast.ClassDef) -> str:
    """The name of a definition, after the name of the class it stands in."""
    return f"{owner}.{node.name}" if owner else node.name


def is_overload(function: Function) -> bool:
    """Whether a function is only a signature of another one."""
    names = (ast.unparse(decorator) for decorator in function.decorator_list)
    return any(name.split(".")[-1] == "overload" for name in names)


def code(node: Function | ast.ClassDef, lines: list[str]) -> str | None:
    """Source of a definition without its docstring; None if nothing else is in it.

    Args:
        node: the definition.
        lines: of the file it stands in.
    """
    first, start = node.body[0], node.lineno - 1
    kept = lines[start : node.end_lineno]
    if ast.get_docstring(node, clean=False) is not None:
        header = lines[start : first.lineno - 1]
        if not header or not node.body[1:]:
            return None
        if node.body[1].lineno <= (first.end_lineno or 0):
            return None  # more than one statement on a line
        kept = [*header, *lines[first.end_lineno : node.end_lineno]]
    text = _PRAGMA.sub("", "\n".join(kept))
    return "\n".join(line.rstrip() for line in textwrap.dedent(text).split("\n") if line.strip())


def _does_enough(function: Function) -> bool:
    """Whether there are two statements beside the docstring; a compound one holds another."""
    statements = function.body[1:]
    return len(statements) > 1 or any(hasattr(statement, "body") for statement in statements)


def _is_suitable(body: str) -> bool:
    shortest, longest = BODY_CHARACTERS
    return shortest <= len(" ".join(body.split())) <= longest


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Syntax trees hold millions of small objects; looking for garbage among them takes long."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


# --- cleaning -------------------------------------------------------------------------------------

_TYPOGRAPHY = str.maketrans(
    {"“": '"', "”": '"', "‘": "'", "’": "'", "–": "-", "—": "-", "‑": "-", "…": "..."}
)
_MARKUP = (
    (re.compile(r"(?::[\w+-]+)?:[\w+-]+:`([^`<]+?)\s*<[^`>]*>`"), r"\1"),  # :ref:`text <target>`
    (re.compile(r"(?::[\w+-]+)?:[\w+-]+:`~[\w.]*?(\w+)(?:\(\))?`"), r"\1"),  # :class:`~a.b.Name`
    (re.compile(r"(?::[\w+-]+)?:[\w+-]+:`[.!]?([^`]+)`"), r"\1"),  # :class:`Name`
    (re.compile(r"`([^`<]+?)\s*<[^`>]*>`__?"), r"\1"),  # `text <address>`_
    (re.compile(r"\[([^\[\]]+)\]\([^()]*\)"), r"\1"),  # [text](address)
    (re.compile(r"\[?`~[\w.]*?(\w+)(?:\(\))?`\]?"), r"\1"),  # [`~a.b.Name`]
    (re.compile(r"\[`([^`\[\]]+)`\]"), r"\1"),  # [`Name`]
    (re.compile(r"``([^`]+)``"), r"\1"),
    (re.compile(r"`\.?([^`]+)`_{0,2}"), r"\1"),
    (re.compile(r"(?<![\w*])(\*{1,2})(?=[^\s*])([^*]+?)(?<=[^\s*])\1(?![\w*])"), r"\2"),
)
_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_HEADING = re.compile(r"^[\w ]+\n([-=~^])\1{2,}\n")
_ABBREVIATIONS = ("e.g.", "i.e.", "etc.", "vs.", "cf.", "al.", "resp.", "approx.", "Eq.", "Fig.")
_SENTENCE_END = re.compile(
    r"[.!?]"
    + "".join(rf"(?<!\b{re.escape(abbreviation)})" for abbreviation in _ABBREVIATIONS)
    + r"(?<!\b[A-Z]\.)[\"')]?(?=\s+[\"'(]?[A-Z]|\s*$)"
)
_NOT_PROSE = re.compile(
    r"[\\$`{}<>|@~^=#*]|\.\.|://|::|\[\[|\bwww\.|\. +\w+:|"
    r"\b(?:Args|Arguments|Parameters|Returns|Raises|Yields|Examples?|Notes?):|"
    r":(?:param|type|return)"
)
_SIGNATURE = re.compile(r"[\w.]+\s*\([^)]*\)\s*(?:->.*)?\.?")
_EMPTY_WORDS = re.compile(
    r"(?:see|same as|overrid\w*|overload\w*|inherit\w*|docstring|deprecated|alias|not implemented|"
    r"undocumented|to ?do|fix ?me|x{3}|hack|note|warning)\b",
    re.IGNORECASE,
)
_LEAST_LETTERS = 0.88  # share of letters and spaces in a sentence
_AFTER_LATIN = "\u0250"  # the first character that is not of the Latin alphabets
_ENDS = tuple(end + close for end in ".!?" for close in ("", '"', "'", ")"))
_NO_BEGINNING = (" ", "\t", "..", ">", "-", "* ", "+ ", "|", "#", "=")
_ARTICLES = frozenset({"a", "an", "the"})


def first_sentence(documentation: str) -> str | None:
    """The summary of a docstring, or None where its beginning is no usable sentence.

    Args:
        documentation: a docstring, indentation removed.
    """
    paragraph = _BLANK_LINE.split(documentation.lstrip(), maxsplit=1)[0]
    text = without_markup(paragraph[:500])
    end = _SENTENCE_END.search(text)
    if not end and ("\n" in paragraph.strip() or text.endswith(":")):
        return None  # a list, or a title with something below it
    sentence = text[: end.end()] if end else text.rstrip(" ,;-") + "."
    if not _is_sentence(sentence, SUMMARY_WORDS) or _SIGNATURE.fullmatch(sentence):
        return None
    first = sentence.split()[0]
    if first.isalpha() and first.islower():
        sentence = sentence[0].upper() + sentence[1:]
    return sentence


def plain_text(documentation: str) -> str:
    """The paragraphs of a docstring that are prose, as one line.

    Args:
        documentation: a docstring, indentation removed.
    """
    kept = []
    for paragraph in _BLANK_LINE.split(documentation):
        paragraph = _HEADING.sub("", paragraph.strip("\n"))
        if not paragraph.endswith(_ENDS) or paragraph.startswith(_NO_BEGINNING):
            continue
        if "\n " in paragraph or ">>>" in paragraph:
            continue  # code, or the items of a list
        text = without_markup(paragraph)
        sentences = split_sentences(text)
        # A small letter goes on with a formula above, or begins a fragment.
        if text[:1].isupper() and all(_is_sentence(s, SENTENCE_WORDS) for s in sentences):
            kept += sentences
    return " ".join(kept)


def without_markup(text: str) -> str:
    """Text without the markup of Sphinx, NumPy and Markdown, on one line."""
    text = unicodedata.normalize("NFC", text).translate(_TYPOGRAPHY)
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text)
    return " ".join(text.split())


def split_sentences(text: str) -> list[str]:
    """The sentences of a text on one line; abbreviations such as "e.g." end none."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    starts = [0, *ends]
    return [
        part for a, b in zip(starts, [*ends, len(text)], strict=True) if (part := text[a:b].strip())
    ]


def _is_sentence(text: str, words: tuple[int, int]) -> bool:
    """Whether a text reads like one English sentence of suitable length."""
    fewest, most = words
    return (
        fewest <= len(text.split()) <= most
        and text[0].isalpha()
        and text.endswith(_ENDS)
        and max(text) < _AFTER_LATIN
        and not _NOT_PROSE.search(text)
        and not _EMPTY_WORDS.match(text)
        and sum(map(str.isalpha, text)) + text.count(" ") >= _LEAST_LETTERS * len(text)
    )


# --- splitting ------------------------------------------------------------------------------------


def side(package: str, seed: int = SEED) -> Side:
    """Which split a package belongs to.

    Packages whose names begin with the same word (``jupyter-client``, ``jupyter-core``) often come
    from the same hands, so they stay together.

    Args:
        package: name of a distribution.
        seed: another one holds out other packages.
    """
    name = canonicalize_name(package)
    if name in ALWAYS_TRAIN:
        return "train"
    family = name.partition("-")[0]
    place = int.from_bytes(hashlib.sha256(f"{seed} {family}".encode()).digest()[:8]) / 2**64
    if place < TEST_SHARE:
        return "test"
    return "validation" if place < TEST_SHARE + VALIDATION_SHARE else "train"


def split_docstrings(packages: Iterable[Package], seed: int = SEED) -> DocstringSplits:
    """Split by package, and let no summary and no body occur twice, on one side or on two.

    Two summaries count as the same if they differ in case, punctuation, articles and endings in
    -s only; two bodies if they differ in comments, spacing, punctuation and the function's name
    only. Of equals the test keeps its own, then validation, then training, and on one side the
    first. Sentences of held-out docstrings are taken out of the training text.

    Args:
        packages: what was found in each.
        seed: of the packages that are held out.
    """
    packages = list(packages)
    sides: dict[Side, list[Package]] = {"test": [], "validation": [], "train": []}
    for package in packages:
        sides[side(package.name, seed)].append(package)
    known: set[str] = set()
    kept = {
        name: sorted(_unknown(chain.from_iterable(p.docstrings for p in found), known), key=_order)
        for name, found in sides.items()
    }
    held_out = {
        summary_key(sentence)
        for docstring in (*kept["test"], *kept["validation"])
        for sentence in (docstring.summary, *split_sentences(docstring.text))
    }
    train = [d._replace(text=_without(d.text, held_out)) for d in kept["train"]]
    in_train = {docstring.text for docstring in train}
    further = (_without(text, held_out) for package in sides["train"] for text in package.texts)
    texts = [t for t in dict.fromkeys(further) if len(split_sentences(t)) > 1 and t not in in_train]
    return DocstringSplits(
        train,
        kept["validation"],
        kept["test"],
        sorted(texts, key=_order),
        {package.name: package.unparsed for package in packages if package.unparsed},
    )


def _unknown(docstrings: Iterable[Docstring], known: set[str]) -> Iterator[Docstring]:
    """Docstrings of which neither summary nor body is known; they are known from then on."""
    for docstring in docstrings:
        keys = {"summary " + summary_key(docstring.summary), "body " + body_key(docstring.body)}
        if not keys & known:
            known |= keys
            yield docstring


def summary_key(summary: str) -> str:
    """What two summaries share that say the same in nearly the same words."""
    words = re.findall(r"\w+", unicodedata.normalize("NFKC", summary).casefold())
    return " ".join(word.removesuffix("s") for word in words if word not in _ARTICLES)


def body_key(body: str) -> str:
    """What two bodies share that do the same with the same names, whatever they are called."""
    code = re.sub(r"#.*", "", _DEFINITION.sub("", body, count=1))
    return " ".join(re.findall(r"\w+", code))


def _order(item: Docstring | str) -> bytes:
    """A sort key that is as good as random, and depends on the item alone."""
    text = item if isinstance(item, str) else "\0".join(item[:4])
    return hashlib.sha256(text.encode()).digest()


def _without(text: str, unwanted: set[str]) -> str:
    """A text without the sentences whose keys are unwanted."""
    return " ".join(s for s in split_sentences(text) if summary_key(s) not in unwanted)


# --- the environment and the cache ----------------------------------------------------------------


def corpus_packages() -> list[str]:
    """The packages that the book's recipes read, whatever else the book has come to depend on."""
    lines = Path(__file__).with_name("docstring_packages.txt").read_text(encoding="utf8")
    return [line for line in lines.splitlines() if not line.startswith("#")]


def installed(
    packages: Collection[str] | None, path: Sequence[str] | None
) -> dict[str, Distribution]:
    """The installed distributions among ``packages``, by name, in the order of their names."""
    names = corpus_packages() if packages is None else packages
    wanted = {canonicalize_name(name) for name in names}
    found: dict[str, Distribution] = {}
    for distribution in importlib.metadata.distributions(
        path=list(sys.path if path is None else path)
    ):
        name = canonicalize_name(distribution.name or "")
        # Of two with one name the first is the one that would be imported.
        if name in wanted and name != PACKAGE and name not in found:
            found[name] = distribution
    return dict(sorted(found.items()))


def _check_sizes(splits: DocstringSplits, found: Collection[str], least: int) -> None:
    if len(splits.train) >= least and splits.validation and splits.test:
        return
    raise DataError(
        f"too few docstrings were found in {len(found)} of the book's packages: "
        f"{len(splits.train):,} to train on (at least {least:,} are needed), "
        f"{len(splits.validation):,} to choose by and {len(splits.test):,} to test on (1). "
        "Install the book's environment: `pip install -r requirements.txt`."
    )


def cache_key(
    distributions: dict[str, Distribution], seed: int, *modules: str, choices: Sequence[str] = ()
) -> str:
    """Digest of all that decides a result: packages, Python, seed, this module and others.

    Args:
        distributions: what is read.
        seed: of the packages held out.
        modules: files of other modules that decide it.
        choices: what else decides it.
    """
    versions = [(name, distribution.version) for name, distribution in distributions.items()]
    digests = [hashlib.sha256(Path(m).read_bytes()).hexdigest() for m in (__file__, *modules)]
    described = json.dumps([versions, platform.python_version(), seed, digests, list(choices)])
    return hashlib.sha256(described.encode()).hexdigest()


def _cache_file(key: str) -> Path:
    return cache_folder() / "docstrings" / f"{key[:20]}.json.gz"


def read_cache(key: str) -> dict[str, Any] | None:
    """What an earlier call kept; None if there is nothing, or nothing that can be read."""
    try:
        content = json.loads(gzip.decompress(_cache_file(key).read_bytes()))
    except (OSError, EOFError, ValueError, zlib.error):
        return None
    return content if isinstance(content, dict) else None


def _read_splits(key: str) -> DocstringSplits | None:
    content = read_cache(key) or {}
    try:
        train, validation, test = (
            [Docstring(*row) for row in content[name]] for name in ("train", "validation", "test")
        )
        return DocstringSplits(train, validation, test, content["texts"], content["unparsed"])
    except (KeyError, TypeError):
        return None


def write_cache(key: str, content: Mapping[str, Any]) -> None:
    """Keep a result; it is written beside its place and moved there when it is whole."""
    path = _cache_file(key)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    packed = gzip.compress(json.dumps(content).encode(), compresslevel=4, mtime=0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(packed)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        warnings.warn(
            f"The docstrings could not be kept in {path.parent} ({error.strerror}), so the next "
            "call will read all packages again: set ENCDEC_CACHE to a folder that can be written.",
            stacklevel=3,
        )
