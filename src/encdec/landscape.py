"""Models of the field as facts, each with the place where it can be looked up.

``landscape.json`` holds them. A fact without a source is a complaint, and so is one that
contradicts what can be checked without a network: the number of an arXiv paper, the configuration
that transformers keeps of a family.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import yaml
from transformers import AutoConfig

from encdec import results
from encdec.errors import EncdecError
from encdec.places import anchored
from encdec.recipe import load_recipe

ENCODER_DECODER, DECODER_ONLY = "encoder–decoder", "decoder-only"
DESIGNS = (ENCODER_DECODER, DECODER_ONLY)
FACTS = ("year", "sizes", "design", "objective", "licence", "mixes")
COLUMNS = ("year", "parameters", "design", "objective", "licence of the weights", "what it mixes")


class LandscapeError(EncdecError):
    """A table of models can't be read; the message is one sentence."""


@dataclass(frozen=True)
class Fact:
    """One cell of the table.

    Args:
        value: what is claimed.
        sources: keys of the sources that say so; empty if nobody has looked it up.
    """

    value: Any
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """A place where a fact can be looked up.

    Args:
        name: how it is called in the table.
        url: its address; empty for a file of this book.
    """

    name: str
    url: str = ""


@dataclass(frozen=True)
class Entry:
    """A family of models.

    Args:
        name: as it is known.
        year: of the first public version.
        sizes: parameters of the smallest and of the largest model.
        design: one of `DESIGNS`, by its weights.
        objective: what it was pretrained on.
        licence: of the weights.
        mixes: what it takes from the other design; empty if nothing.
        model_type: its name in transformers' configurations; empty if it has none.
        own: whether the book has made it.
    """

    name: str
    year: Fact
    sizes: Fact
    design: Fact
    objective: Fact
    licence: Fact
    mixes: Fact
    model_type: str = ""
    own: bool = False


def load() -> tuple[list[Entry], dict[str, Source]]:
    """The models of the field, and the sources of their facts."""
    text = files("encdec").joinpath("landscape.json").read_text(encoding="utf8")
    return parse(json.loads(text))


def parse(content: Mapping[str, Any]) -> tuple[list[Entry], dict[str, Source]]:
    """Read a table.

    Args:
        content: ``sources``: key to name and url; ``models``: each with a name and `FACTS`, a fact
            being a list of its value and the keys of its sources.

    Raises:
        LandscapeError: a model lacks a fact.
    """
    sources = {key: Source(**each) for key, each in content["sources"].items()}
    entries = []
    for model in content["models"]:
        missing = [name for name in FACTS if name not in model]
        if missing:
            raise LandscapeError(f"{model.get('name')!r} has no entry for {', '.join(missing)}.")
        facts: dict[str, Any] = {
            name: Fact(model[name][0], tuple(model[name][1:])) for name in FACTS
        }
        entries.append(Entry(model["name"], model_type=model.get("model_type", ""), **facts))
    return entries, sources


def own_models() -> tuple[list[Entry], dict[str, Source]]:
    """The book's own models, read from their folders and recorded runs."""
    entries: list[Entry] = []
    sources: dict[str, Source] = {}
    for folder in sorted(
        path.parent for path in results.book_folder("models").glob("*/config.json")
    ):
        run = results.load(folder.name)
        config = json.loads((folder / "config.json").read_text(encoding="utf8"))
        card = (folder / "README.md").read_text(encoding="utf8").split("---\n")[1]
        recorded, weights = f"results/{folder.name}.json", f"models/{folder.name}/config.json"
        recipe, page = f"models/{folder.name}/recipe.yaml", f"models/{folder.name}/README.md"
        sources |= {key: Source(key) for key in (recorded, weights, recipe, page)}
        two = bool(config.get("is_encoder_decoder", False))
        size = run["parameters"]
        entries.append(
            Entry(
                folder.name,
                year=Fact(int(run["provenance"]["date"][:4]), (recorded,)),
                sizes=Fact((size, size), (recorded,)),
                design=Fact(ENCODER_DECODER if two else DECODER_ONLY, (weights,)),
                mixes=Fact("", (weights,)),
                objective=Fact(_objectives(folder / "recipe.yaml"), (recipe,)),
                licence=Fact(yaml.safe_load(card)["license"], (page,)),
                model_type=config["model_type"],
                own=True,
            )
        )
    return entries, sources


def _objectives(path: Any) -> str:
    """What a recipe makes a model learn, in the order of its stages."""
    found: list[str] = []
    for part in load_recipe(path).ingredients:
        kind = part.denoising.objective.replace("_", " ") if part.denoising else "tasks"
        if kind not in found:
            found.append(kind)
    return ", then ".join(found)


def year_of_arxiv(url: str) -> int | None:
    """The year in which arXiv numbered a paper; None for other addresses."""
    found = re.search(r"arxiv\.org/abs/(\d\d)\d\d\.\d{5}", url)
    return 2000 + int(found[1]) if found else None


def complaints(entries: Iterable[Entry], sources: Mapping[str, Source]) -> list[str]:
    """What is wrong with a table, a sentence each; nothing if every fact can be looked up.

    Args:
        entries: the table.
        sources: its sources by key.
    """
    found = []
    for entry in entries:
        for name in FACTS:
            fact: Fact = getattr(entry, name)
            if not fact.sources:
                found.append(f"{entry.name}: {name} has no source.")
            unknown = [key for key in fact.sources if key not in sources]
            found += [f"{entry.name}: {name} names {key!r}, which is no source." for key in unknown]
        found += _contradictions(entry, sources)
    return found


def _contradictions(entry: Entry, sources: Mapping[str, Source]) -> list[str]:
    found = []
    years = [year_of_arxiv(sources[key].url) for key in entry.year.sources if key in sources]
    if any(year and year != entry.year.value for year in years):
        found.append(f"{entry.name}: year is {entry.year.value}, but its paper says otherwise.")
    low, high = entry.sizes.value
    if not 0 < low <= high:
        found.append(f"{entry.name}: sizes {low} to {high} are no range.")
    if entry.design.value not in DESIGNS:
        found.append(f"{entry.name}: design is {entry.design.value!r}, which is no design.")
    elif entry.model_type:
        two = bool(AutoConfig.for_model(entry.model_type).is_encoder_decoder)
        if two != (entry.design.value == ENCODER_DECODER):
            found.append(
                f"{entry.name}: its configuration says that it is no {entry.design.value}."
            )
    return found


def readable(parameters: float) -> str:
    """A number of parameters as people write it: 60M, 1.5B."""
    scale, unit = (1e9, "B") if parameters >= 1e9 else (1e6, "M")
    return f"{parameters / scale:.3g}{unit}"


def table(entries: Sequence[Entry], sources: Mapping[str, Source]) -> str:
    """The table as HTML; every cell names its sources, and every text is text in it."""
    head = "".join(f"<th scope='col'>{name}</th>" for name in ("model", *COLUMNS))
    lines = []
    for entry in entries:
        low, high = entry.sizes.value
        size = readable(low) if low == high else f"{readable(low)}–{readable(high)}"
        values = {name: getattr(entry, name).value for name in FACTS} | {"sizes": size}
        cells = "".join(
            f"<td>{html.escape(str(value or '–'))}{_notes(getattr(entry, name), sources)}</td>"
            for name, value in values.items()
        )
        lines.append(f"<tr><th scope='row'>{html.escape(entry.name)}</th>{cells}</tr>")
    style = "style='font-size: .82em; border-collapse: collapse; min-width: 62em'"
    return (
        "<div style='overflow-x: auto' tabindex='0' role='region' aria-label='Models and sources'>"
        f"<table {style}><tr>{head}</tr>{''.join(lines)}</table></div>"
    )


def _notes(fact: Fact, sources: Mapping[str, Source]) -> str:
    """The sources of a fact, small; those with an address as links."""
    names = []
    for key in fact.sources:
        source = sources.get(key, Source(key))
        linked = anchored(source.url, source.name) if source.url else html.escape(source.name)
        names.append(linked)
    return f"<br><small>{', '.join(names)}</small>" if names else ""
