"""Models by task: the book's own, which need no network, or the Hub's full-size ones."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub.errors import HfHubHTTPError
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from encdec import checkpoints
from encdec.environment import device as current_device
from encdec.errors import EncdecError, is_out_of_memory
from encdec.results import book_folder
from encdec.transformer import DecoderOnly, EncoderDecoder


class ZooError(EncdecError):
    """A model can't be had; the message is one sentence."""


@dataclass(frozen=True)
class Entry:
    """One model for one task.

    Attributes:
        name: folder below ``models/``, or identifier on the Hub.
        megabytes: size of its weights, which is what a download costs.
        parameters: how many millions; each takes four bytes of memory.
    """

    name: str
    megabytes: int
    parameters: float


CATALOGUE: dict[str, dict[str, Entry]] = {
    "translation": {
        "book": Entry("marian-en-fr", 7, 3.5),
        "hub": Entry("Helsinki-NLP/opus-mt-en-fr", 301, 75.1),
    },
    "text-to-text": {
        "book": Entry("t5", 6, 3.2),
        "hub": Entry("google-t5/t5-small", 242, 60.5),
    },
    "denoising": {
        "book": Entry("bart", 6, 2.8),
        "hub": Entry("facebook/bart-large", 1018, 406.3),
    },
    "instructions": {
        "book": Entry("bart-instruct", 6, 2.8),
        "hub": Entry("google/flan-t5-small", 308, 77.0),
    },
    "summarization": {
        "book": Entry("pegasus-docstrings", 6, 3.1),
        "hub": Entry("google/pegasus-xsum", 2275, 569.7),
    },
    "language-model": {
        "book": Entry("gpt", 7, 3.3),
        "hub": Entry("openai-community/gpt2", 548, 124.4),
    },
}


def models_folder() -> Path:
    """Where the book's models are: ``ENCDEC_MODELS``, the installed package, or the checkout."""
    return Path(os.environ.get("ENCDEC_MODELS") or book_folder("models"))


def available() -> list[str]:
    """Names of the book's models that are at hand, weights and all."""
    return sorted(path.parent.name for path in models_folder().glob("*/model.safetensors"))


def load(
    task: str,
    source: str | None = None,
    *,
    device: torch.device | str | None = None,
    announce: bool = True,
) -> tuple[EncoderDecoder | DecoderOnly, PreTrainedTokenizerBase]:
    """Load a model and its tokenizer, and say which.

    Args:
        task: a key of :data:`CATALOGUE`, e.g. ``"translation"``.
        source: ``"book"`` (the default; no network) or ``"hub"``; the environment variable
            ``ENCDEC_SOURCE`` decides where it is omitted.
        device: where to put the weights; the one that :func:`encdec.setup` picked when omitted.
        announce: print one line that says which model it is and what it costs to fetch. If the Hub
            can't be reached, a second line says so, and the book's model comes in its place;
            without announcement that is an error.

    Returns:
        The model in evaluation mode, float32, and its tokenizer.

    Raises:
        ZooError: the task or the source is unknown, or the model is not at hand.
        ConnectionError: the Hub refused, or sent something damaged.
    """
    if task not in CATALOGUE:
        raise ZooError(f"no model for the task {task!r}; choose one of {', '.join(CATALOGUE)}.")
    source = source or os.environ.get("ENCDEC_SOURCE") or "book"
    if source not in CATALOGUE[task]:
        raise ZooError(f"source={source!r} is unknown; choose {' or '.join(CATALOGUE[task])}.")
    entry = CATALOGUE[task][source]
    if announce:
        gigabytes = 4 * entry.parameters / 1000
        origin = (
            f"from the Hub, downloaded once; {gigabytes:.1f} GB of memory"
            if source == "hub"
            else "the book's own, no download"
        )
        print(f"{task}: {entry.name} ({entry.megabytes} MB, {origin})")
    if source == "hub":
        try:
            return _pair(entry.name, device)
        except checkpoints.UnreachableError:
            if not announce:
                raise
            entry = CATALOGUE[task]["book"]
            print(f"The Hub can't be reached: the book's own {entry.name} takes its place.")
    return load_folder(models_folder() / entry.name, device=device)


def load_folder(
    folder: str | Path, *, device: torch.device | str | None = None
) -> tuple[EncoderDecoder | DecoderOnly, PreTrainedTokenizerBase]:
    """Load a model folder in the Hugging Face layout.

    Raises:
        ZooError: the folder does not exist or lacks its configuration, weights or tokenizer.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ZooError(
            f"there is no model folder {folder}; the book's models at hand are: "
            f"{', '.join(available()) or 'none'}."
        )
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        if not (folder / name).exists():
            raise ZooError(f"the model folder {folder} holds no {name}; fetch or train it again.")
    return _pair(str(folder), device)


def _pair(
    name: str, device: torch.device | str | None
) -> tuple[EncoderDecoder | DecoderOnly, PreTrainedTokenizerBase]:
    folder = Path(name) if Path(name).is_dir() else checkpoints.download(name)
    # A configuration names its family; of those in this book only GPT-2 has no encoder.
    alone = checkpoints.read_json(folder / "config.json").get("model_type") == "gpt2"
    kind = DecoderOnly if alone else EncoderDecoder
    model = kind.from_pretrained(folder).to(device or current_device()).eval()
    try:  # a repository's own code is never run
        return model, AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except HfHubHTTPError as error:
        raise checkpoints.refusal(name, error) from error
    except Exception as error:  # the library has many, with many lines each
        if is_out_of_memory(error):
            raise
        if not Path(name).is_dir() and not checkpoints.has_tokenizer(name):
            raise ZooError(
                f"{name} on the Hub holds no tokenizer, and without one it reads no text: choose "
                "another model."
            ) from error
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ZooError(f"the tokenizer of {name} is missing or damaged: {reason}") from error
