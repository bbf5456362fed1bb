"""A recipe: everything that decides a training run, in one YAML file, checked before it starts.

A run has stages; each learns from a mixture of ingredients: sentence pairs, denoising, summaries,
instructions. Whatever the architecture, a recipe has the same keys.
"""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from encdec.errors import EncdecError

Positive = Annotated[int, Field(gt=0)]
Probability = Annotated[float, Field(ge=0, lt=1)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
Code = Literal["documented", "functions", "classes", "names", "libraries"]
Text = Literal["english", "french", "german", "prose", "functions"]

# What each family's special tokens allow it to be asked.
OBJECTIVES: dict[str, tuple[str, ...]] = {
    "marian": (),
    "t5": ("span_corruption",),
    "bart": ("text_infilling", "shuffle_and_infill"),
    "pegasus": ("text_infilling", "gap_sentences"),
    "gpt2": ("causal_lm",),
}


class RecipeError(EncdecError):
    """A recipe can't be used; the message is one sentence that names the key and the cure."""


class Section(BaseModel):
    """A part of a recipe: no key that is not known, no value of another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


SectionType = TypeVar("SectionType", bound=Section)


class HeldOutRecipe(Section):
    """Which sentences of Tatoeba no model learns from.

    With ``both_sides`` neither the source nor the target of a held-out pair occurs in training,
    in any mixture and any of the three languages; without it only the sources of the same two
    languages are kept apart. A corpus that brings its own split (Multi30k) keeps it.
    """

    validation: Positive = 1000  # distinct English sentences for each target language
    test: Positive = 2500
    seed: int = 0
    both_sides: bool = True


class TokenizerRecipe(Section):
    """A joint byte-pair encoding of all that the stages read and write."""

    vocab_size: Positive
    dropout: Probability = 0.0  # BPE-dropout on the training side of pairs
    split_digits: bool = False  # every digit is a token of its own
    split_names: bool = False  # load_model is made of the pieces of "load" and "model"
    alphabet: Positive | None = None  # the most frequent characters; all if not given


class ModelRecipe(Section):
    """Sizes of a model."""

    d_model: Positive
    encoder_layers: Positive | None = None  # none for a decoder alone
    decoder_layers: Positive
    num_heads: Positive
    d_ff: Positive
    dropout: Probability = 0.1
    activation: Literal["relu", "gelu", "gelu_new", "swish"] = "relu"
    max_length: Positive = 256  # longest source and longest target, in tokens

    @model_validator(mode="after")
    def _heads_fit(self) -> ModelRecipe:
        if self.d_model % self.num_heads:
            raise ValueError(f"num_heads={self.num_heads} must divide d_model={self.d_model}")
        return self


class _Ingredient(Section):
    examples: Positive | None = None  # drawn anew for each epoch; all there are if not given


class TranslationRecipe(_Ingredient):
    """Sentence pairs (see `encdec.data.parallel`)."""

    source: str
    target: str
    corpus: Literal["tatoeba", "multi30k"] = "tatoeba"
    prefix: str = ""  # put before every source
    joined: Probability = 0.0  # share of sentences joined two by two (see `encdec.data.joining`)

    @property
    def direction(self) -> str:
        """Both languages, e.g. ``en-fr``."""
        return f"{self.source}-{self.target}"


class DenoisingRecipe(_Ingredient):
    """Windows of plain text, to be restored or gone on with (see `encdec.objectives`)."""

    objective: Literal[
        "span_corruption", "text_infilling", "shuffle_and_infill", "gap_sentences", "causal_lm"
    ]
    texts: Annotated[tuple[Text, ...], Field(min_length=1)]
    window: Annotated[int, Field(ge=8)] = 64  # tokens
    density: Annotated[float, Field(gt=0, lt=1)] = 0.15  # share of tokens, or sentences, hidden
    mean_span: Annotated[float, Field(ge=1)] = 3.0  # tokens


class SummariesRecipe(_Ingredient):
    """Functions and the first line of their documentation (see `encdec.data.docstrings`).

    ``code`` may name more to learn from than these *documented* functions of suitable length: other
    *functions*, *classes*, the *names* of undocumented functions (see `encdec.data.further`), and
    functions and classes of *libraries* that the book does not use (see `encdec.data.libraries`).
    """

    code: Annotated[tuple[Code, ...], Field(min_length=1)] = ("documented",)
    prefixes: Annotated[tuple[str, ...], Field(min_length=1)] = ("",)  # the first one is scored
    source_limit: Positive = 160  # tokens; what follows is cut off


class InstructionsRecipe(_Ingredient):
    """Instructions whose answers a program can check (see `encdec.data.tasks`)."""

    examples: Positive
    tasks: tuple[str, ...] | None = None  # all of the training's
    templates: Positive | None = None  # the first so many of each task; all of the training's
    polite: Probability = 0.0  # of *Please* before an order

    @model_validator(mode="after")
    def _can_be_drawn(self) -> InstructionsRecipe:
        from encdec.data.tasks import draw_items

        draw_items(0, 0, tasks=self.tasks, templates=self.templates)
        return self


class PairsRecipe(_Ingredient):
    """Pairs of a file of your own (see `encdec.data.files`)."""

    file: str  # .csv, .tsv or .jsonl
    source: str  # the column that is read
    target: str  # the column that is to be written
    prefix: str = ""  # put before every source
    test: Annotated[float, Field(gt=0, le=0.5)] = 0.1  # share of the sources that is held out


Ingredient = (
    TranslationRecipe | DenoisingRecipe | SummariesRecipe | InstructionsRecipe | PairsRecipe
)


class IngredientRecipe(Section):
    """One ingredient of a mixture: exactly one of the keys."""

    translation: TranslationRecipe | None = None
    denoising: DenoisingRecipe | None = None
    summaries: SummariesRecipe | None = None
    instructions: InstructionsRecipe | None = None
    pairs: PairsRecipe | None = None

    @model_validator(mode="after")
    def _is_one(self) -> IngredientRecipe:
        named = [name for name in IngredientRecipe.model_fields if getattr(self, name)]
        if len(named) != 1:
            raise ValueError(
                f"an ingredient names exactly one of {', '.join(IngredientRecipe.model_fields)}, "
                f"and this one names {' and '.join(named) or 'none'}"
            )
        return self

    @property
    def kind(self) -> Ingredient:
        """The one that is named."""
        [kind] = (kind for _, kind in self if kind)
        return kind

    def at_most(self, examples: int) -> IngredientRecipe:
        """The same with fewer examples an epoch."""
        [(name, kind)] = ((name, kind) for name, kind in self if kind)
        fewer = min(kind.examples or examples, examples)
        return IngredientRecipe(**{name: kind.model_copy(update={"examples": fewer})})


class OptimizationRecipe(Section):
    """How the weights are found."""

    epochs: Positive
    max_tokens: Positive  # of a padded batch, source and target together, over all processes
    accumulate: Positive = 1  # parts of a batch that are learnt one after the other: less memory
    learning_rate: Annotated[float, Field(gt=0)]
    warmup_steps: Annotated[int | float, Field(ge=0)]  # below 1: a part of all steps
    embedding_rate: Annotated[float, Field(gt=0)] = 1.0  # times the rate, for the token vectors
    query_rate: Annotated[float, Field(gt=0)] = 1.0  # times the rate, for T5's queries
    betas: tuple[Probability, Probability] = (0.9, 0.98)
    eps: Annotated[float, Field(gt=0)] = 1e-9
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    label_smoothing: Probability = 0.1
    dropout: Probability | None = None  # from this stage on; the model's own if not given
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    save_every: Positive = 500  # steps between two checkpoints

    @field_validator("warmup_steps")
    @classmethod
    def _steps_or_part(cls, value: int | float) -> int | float:
        if value >= 1 and value != int(value):
            raise ValueError(f"{value} is neither a number of steps nor a part of them below 1")
        return value

    def warmup(self, total: int) -> int:
        """How many of all steps warm up."""
        part = self.warmup_steps
        return ceil(part * total) if 0 < part < 1 else int(part)


class MixtureRecipe(Section):
    """What a stage learns from."""

    name: Name
    mixture: Annotated[tuple[IngredientRecipe, ...], Field(min_length=1)]


class StageRecipe(OptimizationRecipe, MixtureRecipe):
    """One stage of a run: what it learns from, and how."""


class EvaluationRecipe(Section):
    """How the result is scored on what was held out."""

    num_beams: Positive = 5
    length_penalty: float = 1.0
    no_repeat_ngram_size: Annotated[int, Field(ge=0)] = 0
    max_new_tokens: Positive = 128
    batch_size: Positive = 64
    examples: Positive = 1000  # of summaries, instructions of each kind, and windows of text
    samples: Annotated[int, Field(ge=0)] = 0  # of summaries, among which the lowest risk decides
    temperature: Annotated[float, Field(gt=0)] = 1.0  # of the samples
    prompts: tuple[str, ...] = ()  # texts whose answers are recorded


class Recipe(Section):
    """One training run, from corpora to scores."""

    name: Name
    description: str
    architecture: Literal["marian", "t5", "bart", "pegasus", "gpt2"]
    seed: int = 0
    init_from: Name | None = None  # one of the book's models: its tokenizer, sizes and weights
    held_out: HeldOutRecipe = HeldOutRecipe()
    tokenizer: TokenizerRecipe | None = None
    model: ModelRecipe | None = None
    stages: Annotated[tuple[StageRecipe, ...], Field(min_length=1)]
    evaluation: EvaluationRecipe = EvaluationRecipe()
    publish: bool = False  # write models/<name>/, or only results/<name>.json

    @model_validator(mode="after")
    def _is_whole(self) -> Recipe:
        for name in ("tokenizer", "model"):
            if self.init_from and getattr(self, name):
                raise ValueError(f"{name} comes from init_from={self.init_from!r}: leave it out")
            if not self.init_from and not getattr(self, name):
                raise ValueError(f"the key {name!r} is missing, or init_from, which brings one")
        if self.model and (self.model.encoder_layers is None) != (self.architecture == "gpt2"):
            need = "has no" if self.architecture == "gpt2" else "needs"
            raise ValueError(f"architecture={self.architecture!r} {need} model.encoder_layers")
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names) or "model" in names:  # each has a folder beside model/
            raise ValueError(
                f"stages are named {', '.join(names)}, but each needs a name of its own, and none "
                "may be 'model'"
            )
        possible = OBJECTIVES[self.architecture]
        for ingredient in self.ingredients:
            denoising = ingredient.denoising
            if denoising and denoising.objective not in possible:
                raise ValueError(
                    f"architecture={self.architecture!r} can't learn objective="
                    f"{denoising.objective!r}, only {' or '.join(possible) or 'from pairs'}"
                )
        return self

    @property
    def ingredients(self) -> list[IngredientRecipe]:
        """Those of all stages."""
        return [ingredient for stage in self.stages for ingredient in stage.mixture]

    @property
    def own_prefix(self) -> str:
        """What stood before every source of a file of one's own; empty without such a file."""
        return next((each.pairs.prefix for each in self.ingredients if each.pairs), "")

    def smoke(self) -> Recipe:
        """The same path in less than a minute: a tiny model, few examples, two epochs at most."""
        return self.model_copy(
            update={
                "name": f"{self.name}-smoke",
                "init_from": self.init_from and f"{self.init_from}-smoke",
                "model": self.model
                and self.model.model_copy(
                    update={
                        "d_model": 32,
                        "d_ff": 64,
                        "num_heads": 2,
                        "encoder_layers": self.model.encoder_layers and 1,
                        "decoder_layers": 1,
                    }
                ),
                "tokenizer": self.tokenizer
                and self.tokenizer.model_copy(update={"vocab_size": 800}),
                "stages": tuple(
                    stage.model_copy(
                        update={
                            "epochs": 2 - bool(number),
                            "warmup_steps": 5,
                            "save_every": 10,
                            "mixture": tuple(part.at_most(100) for part in stage.mixture),
                        }
                    )
                    for number, stage in enumerate(self.stages)
                ),
                "evaluation": self.evaluation.model_copy(
                    update={"num_beams": 2, "max_new_tokens": 20, "examples": 20}
                ),
                "publish": False,
            }
        )


def fine_tuning_recipe(
    file: str | Path,
    *,
    source: str,
    target: str,
    start: Recipe,
    name: str,
    prefix: str = "",
    epochs: int = 5,
) -> Recipe:
    """A recipe that goes on from one of the book's models with pairs of a file.

    Args:
        file: .csv, .tsv or .jsonl.
        source: the column that is read.
        target: the column that is to be written.
        start: the recipe of the model to start from.
        name: of the run.
        prefix: put before every source.
        epochs: how often every pair is seen.

    Raises:
        RecipeError: a value can't be used.
    """
    pairs = {"file": str(file), "source": source, "target": target, "prefix": prefix}
    stage = {
        "name": "fine-tuning",
        "mixture": ({"pairs": pairs},),
        "epochs": epochs,
        "max_tokens": 2000,
        "learning_rate": 5e-4,
        "warmup_steps": 0.1,  # a small file makes a run of few steps
    }
    content = {
        "name": name,
        "description": f"The model {start.name}, tuned on {Path(file).name}",
        "architecture": start.architecture,
        "init_from": start.name,
        "stages": (stage,),
        "evaluation": start.evaluation.model_copy(update={"prompts": ()}),
    }
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(_sentence(error)) from error


def dump_recipe(recipe: Recipe) -> str:
    """A recipe as YAML, without the keys that have no value."""
    return str(yaml.safe_dump(recipe.model_dump(mode="json", exclude_none=True), sort_keys=False))


def load_recipe(path: str | Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        RecipeError: the file is missing, not YAML, or holds an unknown key, a missing key or a
            value of the wrong type.
    """
    return read_section(path, Recipe)


class PlainLoader(yaml.SafeLoader):
    """YAML without tags that make objects, aliases that make gigabytes, and keys that vanish.

    The usual reader of YAML keeps the last of two equal keys and says nothing.
    """

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """The next node.

        Raises:
            yaml.YAMLError: it is an alias.
        """
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("a recipe has no aliases (*name): write the value again")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The keys and values of a node.

        Raises:
            yaml.YAMLError: a key stands twice.
        """
        lines: dict[str, int] = {}
        for key, _ in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in lines:
                raise yaml.YAMLError(
                    f"the key {name!r:.60} stands twice, in line {lines[name]} and in line {line}: "
                    "keep one of them"
                )
            lines[name] = line
        return super().construct_mapping(node, deep)


def read_section(path: str | Path, kind: type[SectionType]) -> SectionType:
    """Read and check a file that holds one section, a recipe or another.

    Args:
        path: a YAML file.
        kind: what it holds.

    Raises:
        RecipeError: as for :func:`load_recipe`.
    """
    path = Path(path)
    try:
        content = _tuples(yaml.load(path.read_text(encoding="utf8"), Loader=PlainLoader))
    except FileNotFoundError as error:
        raise RecipeError(f"{path} does not exist; recipes are kept in recipes/.") from error
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:300]
        raise RecipeError(f"{path} is not readable YAML: {reason}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path} should hold keys and values, but holds {content!r:.60}.")
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"{path}: {_sentence(error, kind)}") from error


def _tuples(value: object) -> object:
    """YAML has lists where a frozen recipe has tuples."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _sentence(error: ValidationError, root: type[BaseModel] = Recipe) -> str:
    # A misspelt key is unknown and leaves another one missing: the misspelling is what to name.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown key {key!r}; known are {', '.join(_known_keys(first['loc'][:-1], root))}."
    if first["type"] == "missing":
        return f"the key {key!r} is missing."
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":  # a check of ours, which names what is wrong
        return f"{key}: {message}." if key else f"{message}."
    return f"{key} = {first['input']!r:.80} is wrong: {message[0].lower()}{message[1:]}."


def _known_keys(location: tuple[int | str, ...], root: type[BaseModel]) -> list[str]:
    section = root
    for part in location:
        if isinstance(part, int):
            continue  # a place in a list of sections
        annotation = section.model_fields[part].annotation
        kinds = [annotation, *get_args(annotation)]  # an optional section is a union with None
        section = next(k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel))
    return list(section.model_fields)
