"""All that a recipe can learn from and be scored on, with nothing held out that leaks.

Tatoeba's English–French and English–German pairs share English sentences, and one French sentence
may translate several English ones. What is held out for one language pair is therefore kept out of
all training text: as source, as target, and as a sentence to be denoised.
"""

from __future__ import annotations

from functools import cache, cached_property
from typing import TYPE_CHECKING

from encdec.data.parallel import (
    TATOEBA,
    Pair,
    Split,
    Splits,
    load_multi30k,
    load_tatoeba,
    sentence_key,
    split_by_source,
)
from encdec.recipe import Code, HeldOutRecipe, PairsRecipe, Text, TranslationRecipe

if TYPE_CHECKING:
    from encdec.data.docstrings import Docstring, DocstringSplits
    from encdec.data.further import Further

Document = list[str]  # its sentences, in order

# The side of Tatoeba's pairs that holds a language, and their target languages.
_SIDES = {"english": ("source", tuple(TATOEBA)), "french": ("target", ("fr",))}
_SIDES["german"] = ("target", ("de",))
FEW_PACKAGES = ("anyio", "attrs", "click", "jinja2", "pooch", "rich")  # of a smoke run


class Corpora:
    """Reads each corpus once, when it is first asked for.

    Args:
        held_out: which sentences are kept for scoring.
        limit: keep only so many items of each split (a smoke run).
    """

    def __init__(self, held_out: HeldOutRecipe, limit: int | None = None) -> None:
        self.held_out, self.limit = held_out, limit
        self._by_source = cache(self._split_by_source)
        self._both_sides = cache(self._keep_both_sides_apart)

    def pairs(self, recipe: TranslationRecipe) -> Splits:
        """The sentence pairs that an ingredient asks for."""
        if recipe.corpus == "multi30k":
            splits = load_multi30k(recipe.source, recipe.target)
        elif self.held_out.both_sides:
            splits = self._both_sides(recipe.target, recipe.source)
        else:
            splits = self._by_source(recipe.target, recipe.source)
        return Splits(*(pairs[: self.limit] for pairs in vars(splits).values()))

    def file(self, recipe: PairsRecipe) -> Splits:
        """The pairs of a file, the same source never on two sides."""
        from encdec.data.files import read_pairs

        pairs = read_pairs(recipe.file, recipe.source, recipe.target)
        distinct = len({sentence_key(pair.source) for pair in pairs})
        test = max(1, round(recipe.test * distinct))
        splits = split_by_source(pairs, validation=0, test=test, seed=self.held_out.seed)
        return Splits(*(found[: self.limit] for found in vars(splits).values()))

    @cached_property
    def docstrings(self) -> DocstringSplits:
        """Functions and their summaries, from the packages at hand."""
        from encdec.data.docstrings import load_docstrings

        if self.limit:
            return load_docstrings(FEW_PACKAGES, least=100)
        return load_docstrings()

    def code(self, kind: Code) -> list[Docstring]:
        """What there is to learn summaries from."""
        if kind == "documented":
            return self.docstrings.train[: self.limit]
        found: list[Docstring]
        found = self._libraries if kind == "libraries" else getattr(self._further, kind)
        return found[: self.limit]

    def documents(self, text: Text, split: Split) -> list[Document]:
        """Plain text for denoising, as documents of sentences."""
        documents: list[Document]
        if text in _SIDES:
            side, targets = _SIDES[text]
            sentences = [
                getattr(pair, side)
                for target in targets
                for pair in getattr(self._both_sides(target, "en"), split)
            ]
            documents = [[sentence] for sentence in dict.fromkeys(sentences)]
        else:
            from encdec.data.docstrings import prose, source_text, split_sentences

            docstrings = getattr(self.docstrings, split)[: self.limit]
            if text == "functions":
                documents = [[source_text(docstring)] for docstring in docstrings]
            else:
                more = self.docstrings.texts if split == "train" else []
                documents = [split_sentences(text) for text in (*prose(docstrings), *more)]
        return documents[: self.limit]

    def leaks(self, question: str, answer: str) -> bool:
        """Whether a held-out sentence is asked for together with its held-out translation."""
        known = self._translations.get(sentence_key(answer), ())
        words = f" {sentence_key(question)} "
        return any(f" {sentence} " in words for sentence in known)

    @cached_property
    def _further(self) -> Further:
        from encdec.data.further import load_further

        return load_further(self.docstrings, FEW_PACKAGES if self.limit else None)

    @cached_property
    def _libraries(self) -> list[Docstring]:
        from encdec.data.further import load_further
        from encdec.data.libraries import fetch_libraries, libraries

        if self.limit:
            return self._further.functions
        folders = [str(folder) for folder in fetch_libraries()]
        names = [library.name for library in libraries()]
        kinds = ("functions", "classes")
        found = load_further(self.docstrings, names, path=folders, kinds=kinds)
        return [*found.functions, *found.classes]

    def _split_by_source(self, target: str, source: str) -> Splits:
        return split_by_source(
            load_tatoeba(target, source),
            validation=self.held_out.validation,
            test=self.held_out.test,
            seed=self.held_out.seed,
        )

    def _keep_both_sides_apart(self, target: str, source: str) -> Splits:
        """Without training pairs of which one side is held out, in whatever language pair."""

        def is_free(pair: Pair) -> bool:
            return not any(sentence_key(side) in self._translations for side in pair)

        splits = self._by_source(target, source)
        return Splits(list(filter(is_free, splits.train)), splits.validation, splits.test)

    @cached_property
    def _translations(self) -> dict[str, set[str]]:
        """Every held-out sentence, as a key, with the keys of its translations."""
        found: dict[str, set[str]] = {}
        for target in TATOEBA:
            splits = self._by_source(target, "en")
            for pair in (*splits.validation, *splits.test):
                source, translation = sentence_key(pair.source), sentence_key(pair.target)
                found.setdefault(source, set()).add(translation)
                found.setdefault(translation, set()).add(source)
        return found
