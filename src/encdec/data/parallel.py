"""Sentence pairs for translation: Tatoeba (everyday sentences) and Multi30k (image captions).

A file is looked for in the folder ``ENCDEC_DATA``, then in the download cache, then fetched from
its public home. Nothing here is committed to the repository.

Languages are written as two-letter codes: ``"en"``, ``"fr"``, ``"de"``.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import random
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal, NamedTuple

from encdec.data.download import DownloadError, fetch
from encdec.errors import EncdecError

Split = Literal["train", "validation", "test"]


class DataError(EncdecError):
    """A corpus is missing or damaged; the message is one sentence for the reader."""


class Pair(NamedTuple):
    """A sentence and its translation."""

    source: str
    target: str


@dataclass(frozen=True)
class Splits:
    """Three disjoint lists of pairs."""

    train: list[Pair]
    validation: list[Pair]
    test: list[Pair]

    def summary(self) -> dict[str, dict[str, int | str]]:
        """Sizes and digests, to be recorded beside every score: they say which data it was."""
        return {
            name: {
                "pairs": len(pairs),
                "sources": len({pair.source for pair in pairs}),
                "sha256": digest(pairs),
            }
            for name, pairs in vars(self).items()
        }


@dataclass(frozen=True)
class RemoteFile:
    """A pinned file: its name below ``ENCDEC_DATA``, its digest and its public home."""

    name: str
    sha256: str
    url: str


# The archives at manythings.org/anki are replaced every few weeks, so they can't be pinned. The
# snapshot the book was made with (CC BY 2.0 FR, tatoeba.org) is kept as a release of the book.
_SNAPSHOT = "https://github.com/encoder-decoder-book/encoder-decoder-llms/releases/download/data-1/"
_MULTI30K = "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw/"

TATOEBA = {
    "fr": RemoteFile(
        "tatoeba/eng-fra.tsv.gz",
        "36f6885269d164af3d8bdb76cdb2affe74fed258f6cc1364bee8417afe5b1a75",
        _SNAPSHOT + "eng-fra.tsv.gz",
    ),
    "de": RemoteFile(
        "tatoeba/eng-deu.tsv.gz",
        "b86132236d7fa39743e361576bebad4fdcaf2e91b756f8130c79a3c868db1f3a",
        _SNAPSHOT + "eng-deu.tsv.gz",
    ),
}

_MULTI30K_DIGESTS = {
    "train.en.gz": "2ccc6c78df24f2e6f799e6dd45271204536098c698a0e854fed1f1eb8e46f5e1",
    "train.fr.gz": "90354af7ee83e5d5d2c5e7023aa9f7dd1b29f807db36e42d46cf23c20d8dadb9",
    "train.de.gz": "da8125ac855be9f885093a453810783f45c29cfd239ac3e5e6b348e4d9b1399d",
    "val.en.gz": "9d81d5f5fb716b1c9b995997fe411588b9b0f85c89a4a728c7fa91247530ab48",
    "val.fr.gz": "e23ef2393d30d6125cf8c34ea6b9335133d8c999f917e9c8651b5616678b3ca3",
    "val.de.gz": "5254db78dfc42b06b69b0b1ead9f7be8590d3fc3494ae1c7a5e285e2859cb29d",
    "test_2016_flickr.en.gz": "b2846e62f9e52badc014f35fd2ab2dec188f0372911ddee84280d4d739e115a5",
    "test_2016_flickr.fr.gz": "038fae286681d32261abdcfe1b8fc7fb3309b1a0b85bdf0e8ab5bd79b089ccfe",
    "test_2016_flickr.de.gz": "aca177b3f13376be2c507d0e41475eb111a3b68f761596c896cfe6ffbe4e7758",
}
_MULTI30K_STEM: dict[Split, str] = {
    "train": "train",
    "validation": "val",
    "test": "test_2016_flickr",
}


def locate(file: RemoteFile) -> Path:
    """Find ``file`` in ``ENCDEC_DATA``, else fetch it into the cache.

    ``ENCDEC_DATA_URL`` replaces the public home by a mirror that serves the same names (a
    classroom's own server, for example).

    Raises:
        DataError: the file is in neither place and could not be fetched.
    """
    folder = os.environ.get("ENCDEC_DATA")
    if folder:
        path = Path(folder) / file.name
        if path.exists():
            return path
    mirror = os.environ.get("ENCDEC_DATA_URL")
    url = f"{mirror.rstrip('/')}/{file.name}" if mirror else file.url
    try:
        return fetch(url, file.sha256, file.name)
    except DownloadError as error:
        where = f"in ENCDEC_DATA={folder}" if folder else "because ENCDEC_DATA is not set"
        raise DataError(
            f"{file.name} was not found {where}, and {error} "
            f"Set ENCDEC_DATA to a folder that holds {file.name}, or connect and try again."
        ) from error


def read_lines(path: Path) -> list[str]:
    """The lines of a gzipped UTF-8 text file, without their line ends.

    Raises:
        DataError: the file is truncated, not gzip or not UTF-8.
    """
    try:
        with gzip.open(path, "rt", encoding="utf8", newline="\n") as file:
            return [line.rstrip("\n") for line in file]
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path.name} is damaged ({error}); delete it and let the book fetch it again."
        ) from error


def load_tatoeba(target: str, source: str = "en") -> list[Pair]:
    """All Tatoeba pairs from English into ``target``.

    Args:
        target: ``"fr"`` or ``"de"``.
        source: ``"en"``, the only source language of this snapshot.

    Raises:
        ValueError: there is no such language pair.
        DataError: the file is missing or damaged.
    """
    if source != "en" or target not in TATOEBA:
        raise ValueError(
            f"Tatoeba pair {source}-{target} is not part of the book; "
            f"choose one of {', '.join('en-' + language for language in TATOEBA)}."
        )
    pairs = []
    for number, line in enumerate(read_lines(locate(TATOEBA[target])), 1):
        fields = line.split("\t")
        if len(fields) < 2 or not fields[0] or not fields[1]:
            raise DataError(
                f"{TATOEBA[target].name}, line {number}: expected english<TAB>{target}, "
                f"found {line[:60]!r}."
            )
        pairs.append(Pair(_clean(fields[0]), _clean(fields[1])))
    return pairs


def load_multi30k(source: str, target: str) -> Splits:
    """Multi30k's captions with the splits of its task 1 (test: 2016, Flickr).

    Source: Elliott et al. 2016 (German), 2017 (French).

    Raises:
        ValueError: there is no such language pair.
        DataError: a file is missing or damaged, or the two sides differ in length.
    """
    languages = ("en", "fr", "de")
    if source not in languages or target not in languages or source == target:
        raise ValueError(
            f"Multi30k pair {source}-{target} is not part of the book; "
            f"choose two of {', '.join(languages)}."
        )

    def side(split: Split, language: str) -> list[str]:
        name = f"{_MULTI30K_STEM[split]}.{language}.gz"
        file = RemoteFile("multi30k/" + name, _MULTI30K_DIGESTS[name], _MULTI30K + name)
        return [_clean(line) for line in read_lines(locate(file))]

    def pairs(split: Split) -> list[Pair]:
        sources, targets = side(split, source), side(split, target)
        if len(sources) != len(targets):
            raise DataError(
                f"Multi30k {split}: {len(sources):,} {source} lines against "
                f"{len(targets):,} {target} lines; the two files belong to different versions."
            )
        return [Pair(s, t) for s, t in zip(sources, targets, strict=True) if s and t]

    return Splits(pairs("train"), pairs("validation"), pairs("test"))


def load_phrasebook() -> dict[str, list[str]]:
    """Forty English sentences written for this book, with one to four French translations each.

    They are what the chapters show, and too few to tell two good systems apart.
    """
    text = files("encdec.data").joinpath("phrasebook.tsv").read_text(encoding="utf8")
    rows = (line.split("\t") for line in text.splitlines())
    return {source: references for source, *references in rows}


def split_by_source(pairs: Sequence[Pair], *, validation: int, test: int, seed: int = 0) -> Splits:
    """Split so that no source sentence, whatever its case and punctuation, is on two sides.

    Args:
        pairs: the corpus; a source may occur with several targets, and they stay together.
        validation: number of distinct source sentences to hold out for choosing.
        test: number of distinct source sentences to hold out for the final score.
        seed: the same seed gives the same split, whatever the order of ``pairs``.

    Raises:
        ValueError: more sentences are to be held out than there are.
    """
    keys = sorted({sentence_key(pair.source) for pair in pairs})
    if validation + test >= len(keys):
        raise ValueError(
            f"validation={validation} and test={test} leave nothing to train on: the corpus has "
            f"{len(keys)} distinct source sentences."
        )
    random.Random(seed).shuffle(keys)
    held_test, held_validation = set(keys[:test]), set(keys[test : test + validation])
    splits = Splits([], [], [])
    for pair in sorted(set(pairs)):
        key = sentence_key(pair.source)
        side = (
            splits.test
            if key in held_test
            else splits.validation
            if key in held_validation
            else splits.train
        )
        side.append(pair)
    return splits


def group_references(pairs: Iterable[Pair]) -> dict[str, list[str]]:
    """Every source sentence with all its translations, for scoring against several references."""
    groups: dict[str, list[str]] = {}
    for pair in pairs:
        groups.setdefault(pair.source, []).append(pair.target)
    return groups


def sentence_key(sentence: str) -> str:
    """What two sentences share that differ in case, accents' encoding or punctuation only."""
    return re.sub(r"\W+", " ", unicodedata.normalize("NFKC", sentence).casefold()).strip()


def digest(pairs: Iterable[Pair]) -> str:
    """SHA-256 of a list of pairs, in order."""
    sha = hashlib.sha256()
    for pair in pairs:
        sha.update(f"{pair.source}\t{pair.target}\n".encode())
    return sha.hexdigest()


def _clean(sentence: str) -> str:
    """One Unicode form, ordinary spaces: French typography uses two kinds of narrow space."""
    return " ".join(unicodedata.normalize("NFC", sentence).split())
