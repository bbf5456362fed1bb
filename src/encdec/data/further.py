"""More code to learn from than there are functions with a good docstring of suitable length.

A summary is scored on functions of suitable length alone (see `encdec.data.docstrings`). To learn
from, the same packages hold more: very short and very long functions, classes, several functions
that are described in the same words, and undocumented functions, whose names say in a few words
what they do.

Nothing of a held-out package is here, and nothing with the summary or the body of a held-out
function.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution

from encdec.baselines import name_parts
from encdec.data.docstrings import (
    SEED,
    Docstring,
    DocstringSplits,
    Function,
    OnPackage,
    ParsedFile,
    body_key,
    cache_key,
    code,
    definitions,
    first_sentence,
    installed,
    is_overload,
    parsed_files,
    qualified,
    read_cache,
    side,
    split_sentences,
    summary_key,
    write_cache,
)

SHORTEST = 30  # characters of code
CHARACTERS = 1200  # of code that are kept; a model reads no more
NAME_WORDS = (2, 8)  # fewest and most of a name that says something
KINDS = ("functions", "classes", "names")


@dataclass(frozen=True)
class Further:
    """What else there is to learn from.

    Attributes:
        functions: that are too short, too long, or described like another one.
        classes: with the first sentence of their docstrings.
        names: undocumented functions, their names as sentences instead of summaries, and not told
            in the source.
    """

    functions: list[Docstring]
    classes: list[Docstring]
    names: list[Docstring]


def load_further(
    splits: DocstringSplits,
    packages: Collection[str] | None = None,
    *,
    path: Sequence[str] | None = None,
    kinds: Sequence[str] = KINDS,
    seed: int = SEED,
    on_package: OnPackage = lambda name, done, total: None,
) -> Further:
    """Collect what the training packages hold beside the functions that are trained on.

    As with :func:`~encdec.data.docstrings.load_docstrings`, the first call takes about a minute,
    and its result is kept in the cache folder.

    Args:
        splits: what is in one of them is left out.
        packages: names of the distributions to read; those of the book if not given.
        path: folders that hold installed packages; those of the running interpreter if not given.
        kinds: the lists to fill; the others stay empty.
        seed: that of the splits.
        on_package: called after every package that was read.

    Returns:
        Three lists, in the order of packages, files and lines.
    """
    found = installed(packages, path)
    held_out = (str(side["sha256"]) for side in splits.summary().values())
    key = cache_key(found, seed, __file__, choices=[*kinds, *held_out])
    content = read_cache(key)
    if content is None or set(content) != set(KINDS):
        content = vars(_collect(splits, found, kinds, seed, on_package))
        write_cache(key, content)
    return Further(**{name: [Docstring(*row) for row in rows] for name, rows in content.items()})


def name_as_sentence(name: str) -> str | None:
    """What a function's name says: ``"get_token_ids"`` becomes ``"Get token ids."``.

    Args:
        name: of a function.

    Returns:
        The sentence; None if the name has too few words, or too many.
    """
    words = [word if word.isupper() else word.lower() for word in name_parts(name)]
    fewest, most = NAME_WORDS
    if not fewest <= len(words) <= most:
        return None
    sentence = " ".join(words)
    return f"{sentence[0].upper()}{sentence[1:]}."


def _collect(
    splits: DocstringSplits,
    distributions: dict[str, Distribution],
    kinds: Sequence[str],
    seed: int,
    on_package: OnPackage,
) -> Further:
    held_out = {
        key
        for docstring in (*splits.validation, *splits.test)
        for key in (
            body_key(docstring.body),
            *map(summary_key, (docstring.summary, *split_sentences(docstring.text))),
        )
    }
    known = {(summary_key(d.summary), body_key(d.body)) for d in splits.train}
    further = Further([], [], [])
    for number, (package, distribution) in enumerate(distributions.items(), 1):
        if side(package, seed) == "train":
            for file in parsed_files(distribution):
                for kind, item in _read(package, file) if file else ():
                    keys = summary_key(item.summary), body_key(item.body)
                    if kind in kinds and keys not in known and not held_out.intersection(keys):
                        known.add(keys)
                        kept = item._replace(body=item.body[:CHARACTERS])
                        getattr(further, kind).append(kept)
        on_package(package, number, len(distributions))
    return further


def _read(package: str, file: ParsedFile) -> Iterator[tuple[str, Docstring]]:
    """The definitions of a file that can be learnt from, and in which list each belongs."""
    for owner, node in definitions(file.tree):
        if isinstance(node, ast.Module) or (isinstance(node, Function) and is_overload(node)):
            continue
        body = code(node, file.lines)
        if body is None or len(body) < SHORTEST:
            continue
        documentation = ast.get_docstring(node)
        if documentation:
            summary = first_sentence(documentation)
            kind = "functions" if isinstance(node, Function) else "classes"
            name = qualified(owner, node)
        else:
            summary, kind, name = name_as_sentence(node.name), "names", ""
        if summary and (documentation or isinstance(node, Function)):
            yield kind, Docstring(package, name, body, summary)
