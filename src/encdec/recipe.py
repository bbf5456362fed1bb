"""A recipe: everything that decides a training run, in one YAML file, checked before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from encdec.errors import EncdecError

Positive = Annotated[int, Field(gt=0)]
Probability = Annotated[float, Field(ge=0, lt=1)]


class RecipeError(EncdecError):
    """A recipe can't be used; the message is one sentence that names the key and the cure."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class DataRecipe(_Section):
    """Which pairs are learnt from and which are held out."""

    corpus: Literal["tatoeba", "multi30k"]
    source: str
    target: str
    validation: Positive = 1000  # distinct source sentences, where the corpus has no split
    test: Positive = 2500
    split_seed: int = 0


class TokenizerRecipe(_Section):
    """A joint byte-pair encoding of both languages."""

    vocab_size: Positive
    dropout: Probability = 0.0  # BPE-dropout on the training side


class ModelRecipe(_Section):
    """Sizes of a Marian model."""

    d_model: Positive
    encoder_layers: Positive
    decoder_layers: Positive
    num_heads: Positive
    d_ff: Positive
    dropout: Probability = 0.1
    activation: Literal["relu", "gelu", "swish"] = "relu"
    max_length: Positive = 256  # longest source and longest target, in tokens


class OptimizationRecipe(_Section):
    """How the weights are found."""

    epochs: Positive
    max_tokens: Positive  # of a padded batch, source and target together, over all processes
    learning_rate: Annotated[float, Field(gt=0)]
    warmup_steps: Annotated[int, Field(ge=0)]
    betas: tuple[Probability, Probability] = (0.9, 0.98)
    eps: Annotated[float, Field(gt=0)] = 1e-9
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    label_smoothing: Probability = 0.1
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    save_every: Positive = 500  # steps between two checkpoints


class RefinementRecipe(_Section):
    """A short second run, on sentences of which some are joined (see `encdec.data.joining`)."""

    epochs: Positive
    learning_rate: Annotated[float, Field(gt=0)]
    warmup_steps: Annotated[int, Field(ge=0)]
    joined: Probability  # share of the sentences


class EvaluationRecipe(_Section):
    """How the result is scored."""

    num_beams: Positive = 5
    length_penalty: float = 1.0
    max_new_tokens: Positive = 128
    batch_size: Positive = 64
    prompts: tuple[str, ...] = ()  # sentences whose translation is recorded


class Recipe(_Section):
    """One training run, from corpus to scores."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    description: str
    seed: int = 0
    data: DataRecipe
    tokenizer: TokenizerRecipe
    model: ModelRecipe
    optimization: OptimizationRecipe
    refinement: RefinementRecipe | None = None
    evaluation: EvaluationRecipe = EvaluationRecipe()
    publish: bool = False  # write models/<name>/, or only results/<name>.json

    def smoke(self) -> Recipe:
        """The same path in less than a minute: a tiny model, few sentences, two epochs."""
        return self.model_copy(
            update={
                "name": f"{self.name}-smoke",
                "model": self.model.model_copy(
                    update={
                        "d_model": 32,
                        "d_ff": 64,
                        "num_heads": 2,
                        "encoder_layers": 1,
                        "decoder_layers": 1,
                    }
                ),
                "tokenizer": self.tokenizer.model_copy(update={"vocab_size": 500}),
                "optimization": self.optimization.model_copy(
                    update={"epochs": 2, "warmup_steps": 5, "save_every": 10}
                ),
                "refinement": self.refinement
                and self.refinement.model_copy(update={"epochs": 1, "warmup_steps": 5}),
                "evaluation": self.evaluation.model_copy(
                    update={"num_beams": 2, "max_new_tokens": 20}
                ),
                "publish": False,
            }
        )


def load_recipe(path: str | Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        RecipeError: the file is missing, not YAML, or holds an unknown key, a missing key or a
            value of the wrong type.
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf8"))
    except FileNotFoundError as error:
        raise RecipeError(f"{path} does not exist; recipes are kept in recipes/.") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"{path} is not readable YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path} should hold keys and values, but holds {content!r:.60}.")
    try:
        return Recipe.model_validate(_tuples(content))
    except ValidationError as error:
        raise RecipeError(f"{path}: {_sentence(error)}") from error


def _tuples(value: object) -> object:
    """YAML has lists where a frozen recipe has tuples."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _sentence(error: ValidationError) -> str:
    # A misspelt key is unknown and leaves another one missing: the misspelling is what to name.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown key {key!r}; known are {', '.join(_known_keys(first['loc'][:-1]))}."
    if first["type"] == "missing":
        return f"the key {key!r} is missing."
    return f"{key} = {first['input']!r} is wrong: {first['msg'][0].lower()}{first['msg'][1:]}."


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    section: type[BaseModel] = Recipe
    for part in location:
        annotation = section.model_fields[str(part)].annotation
        kinds = [annotation, *get_args(annotation)]  # an optional section is a union with None
        section = next(k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel))
    return list(section.model_fields)
