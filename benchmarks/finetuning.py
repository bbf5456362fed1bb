"""Four ways to tune a translator on captions: what each costs, what it gains, what it forgets.

    python -m benchmarks.finetuning

tunes the book's English–French model of everyday sentences on captions that a grammar makes: all
weights, the decoder alone, LoRA (through ``peft``), or a prompt of learnt vectors. All four get the
same learning rates, each keeps the one that does best on validation captions, and is scored from
several seeds on other captions. Then come the number of captions and, for what is forgotten,
batches with everyday sentences among them. Writes ``results/fine-tuning.json`` after each part;
takes about fifteen minutes on one processor core.

    python -m benchmarks.finetuning --rehearse

asks how many everyday sentences it takes to forget none of the others: from a few up to the corpus
that the model learnt from, at two learning rates; it needs that corpus. Writes
``results/rehearsal.json``; ten minutes.

    python -m benchmarks.finetuning --memory

measures the memory of each method and writes ``results/fine-tuning-memory.json`` (Linux).
"""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
import typer
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from encdec import EncoderDecoder, zoo
from encdec.corpora import Corpora
from encdec.data.captions import draw_captions
from encdec.data.collate import IGNORE
from encdec.data.parallel import Pair, load_phrasebook
from encdec.metrics import Score, chrf
from encdec.recipe import TranslationRecipe, load_recipe
from encdec.results import provenance, write_json
from encdec.text import generate_text

MODEL = Path("models/marian-en-fr")
RATES = (2e-4, 1e-3, 5e-3, 2.5e-2, 1.25e-1)  # the same for all methods
CAPTIONS, VALIDATION, TEST = 640, 60, 100
SIZES = (10, 40, 160)  # captions to learn from, besides all of them
BATCH, WARM_UP, MOST = 16, 10, 40
PROMPT, RANK = 8, 8
REHEARSED = 0.25  # of a batch
EVERYDAY = 100  # sentences of the corpus's test set, to see what is left of them


class Prompt:
    """Learnt vectors in the place of a source's first tokens.

    Args:
        model: frozen here; its encoder reads the vectors from now on.
        tokenizer: puts tokens before every source that hold the vectors' places.
    """

    def __init__(self, model: EncoderDecoder, tokenizer: PreTrainedTokenizerBase) -> None:
        model.requires_grad_(False)
        self.tokenizer = tokenizer
        ids = torch.randint(100, 1000, (PROMPT,))
        self.vectors = nn.Parameter(model.embed(model.tokens, ids).detach().clone())
        model.register_parameter("prompt", self.vectors)
        model.encoder.register_forward_pre_hook(self._replace)

    def _replace(self, _: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        embedded, *rest = inputs  # (batch, source, d_model)
        prompt = self.vectors.expand(len(embedded), -1, -1)
        return (torch.cat([prompt, embedded[:, PROMPT:]], dim=1), *rest)

    def __call__(self, text: str) -> Any:
        """A source's ids, with the places before them."""
        encoded = self.tokenizer(text)
        encoded["input_ids"] = [1] * PROMPT + encoded["input_ids"]
        return encoded

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tokenizer, name)


def tuned(method: str) -> tuple[EncoderDecoder, Any]:
    """The model with the weights frozen that a method leaves alone, and its tokenizer.

    Raises:
        ValueError: the method is unknown.
    """
    model, tokenizer = zoo.load_folder(MODEL, device="cpu")
    if not isinstance(model, EncoderDecoder):
        raise TypeError(f"{MODEL} has no encoder.")
    if method == "frozen encoder":
        model.encoder.requires_grad_(False)
    elif method == "LoRA":
        config = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=["qkv", "q", "kv"])
        inject_adapter_in_model(config, model)
    elif method == "prompt tuning":
        return model, Prompt(model, tokenizer)
    elif method != "all weights":
        raise ValueError(f"unknown method {method!r}.")
    return model, tokenizer


METHODS = ("all weights", "frozen encoder", "LoRA", "prompt tuning")


def batch_of(pairs: Sequence[Pair], tokenizer: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Source ids, mask and labels, each (batch, length)."""
    ids = [tokenizer(pair.source)["input_ids"] for pair in pairs]
    source = tokenizer.pad({"input_ids": ids}, return_tensors="pt")
    plain = getattr(tokenizer, "tokenizer", tokenizer)
    texts = [pair.target for pair in pairs]
    target = plain(text_target=texts, padding=True, return_tensors="pt")
    labels = target.input_ids.masked_fill(target.attention_mask == 0, IGNORE)
    return source["input_ids"], source["attention_mask"], labels


def tune(
    model: EncoderDecoder,
    tokenizer: Any,
    draw: Callable[[random.Random], list[Pair]],
    rate: float,
    steps: int,
    seed: int,
) -> list[float]:
    """Train what is not frozen; returns the loss of every step."""
    torch.manual_seed(seed)
    generator = random.Random(f"tune {seed}")
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, rate, weight_decay=0.0)
    losses = []
    model.train()
    for step in range(steps):
        ids, mask, labels = batch_of(draw(generator), tokenizer)
        logits = model(ids, mask, labels=labels)
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.param_groups[0]["lr"] = rate * min((step + 1) / WARM_UP, 2 - 2 * step / steps, 1)
        optimizer.step()
        losses.append(loss.item())
    model.eval()
    return losses


def score(model: EncoderDecoder, tokenizer: Any, pairs: Sequence[Pair]) -> Score:
    """ChrF of greedy translations."""
    sources = [pair.source for pair in pairs]
    found = generate_text(model, tokenizer, sources, max_new_tokens=MOST)
    return chrf(found, [[pair.target] for pair in pairs])


def run(
    method: str,
    rate: float,
    seed: int,
    steps: int,
    sets: dict[str, list[Pair]],
    rehearsed: float = 0.0,
) -> dict[str, Any]:
    """Tune once and score on every set but those that are learnt from."""
    model, tokenizer = tuned(method)
    some = round(BATCH * rehearsed)

    def draw(generator: random.Random) -> list[Pair]:
        return generator.choices(sets["train"], k=BATCH - some) + (
            generator.choices(sets["rehearsed"], k=some) if some else []
        )

    weights = sum(p.numel() for p in model.parameters() if p.requires_grad)
    started = time.process_time()
    losses = tune(model, tokenizer, draw, rate, steps, seed)
    seconds = time.process_time() - started
    found: dict[str, Any] = {
        "rate": rate,
        "seed": seed,
        "captions_learnt_from": len(sets["train"]),
        "trainable": weights,
        "seconds": round(seconds, 1),
        "loss": round(sum(losses[-10:]) / len(losses[-10:]), 4),
        **{
            name: score(model, tokenizer, sets[name]).as_dict()
            for name in ("validation", "test", "everyday")
        },
    }
    values = [round(found[name]["value"], 1) for name in ("validation", "test", "everyday")]
    print(method, rate, seed, len(sets["train"]), found["loss"], *values, flush=True)
    return found


def resident(which: str) -> float:
    """Megabytes of this process: ``VmRSS`` for now, ``VmHWM`` for the most so far (Linux)."""
    lines = Path("/proc/self/status").read_text(encoding="utf8").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(which))) / 1000


def peak(method: str) -> dict[str, float]:
    """Megabytes of this process with the model loaded, and the most it took in three steps."""
    torch.set_num_threads(1)
    model, tokenizer = tuned(method)
    captions = draw_captions(BATCH, 0)
    before = resident("VmRSS")
    tune(model, tokenizer, lambda _: captions, 1e-3, 3, 0)
    return {"before": round(before), "peak": round(resident("VmHWM"))}


def measure_memory(output: Path) -> None:
    """The peak of each method, each in a process of its own."""
    content: dict[str, Any] = {
        "name": "fine-tuning-memory",
        "description": "Megabytes of a process before and in three steps of fine-tuning.",
        "batch": BATCH,
        "provenance": provenance("python -m benchmarks.finetuning --memory"),
    }
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        content["megabytes"] = dict(zip(METHODS, pool.map(peak, METHODS, 1), strict=True))
    print(content["megabytes"])
    write_json(output, content)


def best(runs: Sequence[dict[str, Any]]) -> float:
    """The learning rate with the highest validation score."""
    return float(max(runs, key=lambda found: found["validation"]["value"])["rate"])


POOLS = (20, 200, 20_000)  # everyday sentences to rehearse
REHEARSAL_RATES = RATES[:2]


def rehearse(steps: int, seeds: int, sets: dict[str, list[Pair]], output: Path) -> None:
    """Tune all weights with and without old sentences, from pools of several sizes."""
    recipe = load_recipe(Path("recipes", f"{MODEL.name}.yaml"))
    kinds = (part.kind for part in recipe.stages[0].mixture)
    kind = next(kind for kind in kinds if isinstance(kind, TranslationRecipe))
    splits = Corpora(recipe.held_out).pairs(kind)
    old = random.Random(0).sample(splits.train, max(POOLS))
    sets = sets | {"everyday": random.Random(1).sample(splits.test, EVERYDAY)}
    model, tokenizer = zoo.load_folder(MODEL, device="cpu")
    content: dict[str, Any] = {
        "name": "rehearsal",
        "description": "What is left of everyday sentences, by how many of them were rehearsed.",
        "steps": steps,
        "share": REHEARSED,
        "everyday_sentences": EVERYDAY,
        "before": score(model, tokenizer, sets["everyday"]).as_dict(),  # type: ignore[arg-type]
        "runs": [],
        "provenance": provenance("python -m benchmarks.finetuning --rehearse"),
    }
    for rate in REHEARSAL_RATES:
        for pool in (0, *POOLS):
            chosen = sets | {"rehearsed": old[:pool]}
            for seed in range(seeds):
                found = run("all weights", rate, seed, steps, chosen, REHEARSED if pool else 0.0)
                content["runs"].append(found | {"rehearsed": pool})
                write_json(output, content)


def main(
    steps: Annotated[int, typer.Option(help="Updates of each run.", min=1)] = 60,
    seeds: Annotated[int, typer.Option(help="Runs at the chosen learning rate.", min=1)] = 3,
    number: Annotated[int, typer.Option(help="Captions to learn from.", min=1)] = CAPTIONS,
    rehearsal: Annotated[bool, typer.Option("--rehearse", help="Ask what is forgotten.")] = False,
    memory: Annotated[bool, typer.Option("--memory", help="Measure memory alone.")] = False,
    output: Annotated[Path | None, typer.Option()] = None,
) -> None:
    """Tune, score and write down."""
    if memory:
        measure_memory(output or Path("results/fine-tuning-memory.json"))
        return
    output = output or Path("results", "rehearsal.json" if rehearsal else "fine-tuning.json")
    torch.set_num_threads(1)
    everyday = [Pair(english, french[0]) for english, french in load_phrasebook().items()]
    sets = {
        "train": draw_captions(number, 0),
        "validation": draw_captions(VALIDATION, 1),
        "test": draw_captions(TEST, 2, split="test"),
        "rehearsed": everyday[::2],
        "everyday": everyday[1::2],
    }
    learnt = {pair.source for pair in sets["train"]}
    sets["validation"] = [pair for pair in sets["validation"] if pair.source not in learnt]
    if rehearsal:
        rehearse(steps, seeds, sets, output)
        return
    model, tokenizer = zoo.load_folder(MODEL, device="cpu")
    content: dict[str, Any] = {
        "name": "fine-tuning",
        "description": "An English–French model of everyday sentences, tuned on captions.",
        "steps": steps,
        "batch": BATCH,
        "captions": number,
        "sentences": {name: len(pairs) for name, pairs in sets.items()},
        "rates": list(RATES),
        "prompt_vectors": PROMPT,
        "rank": RANK,
        "before": {
            name: score(model, tokenizer, sets[name]).as_dict()  # type: ignore[arg-type]
            for name in ("validation", "test", "everyday")
        },
        "provenance": provenance("python -m benchmarks.finetuning"),
    }
    content["grid"] = {m: [run(m, rate, 0, steps, sets) for rate in RATES] for m in METHODS}
    chosen = {method: best(runs) for method, runs in content["grid"].items()}
    content["methods"] = {
        method: [found for found in content["grid"][method] if found["rate"] == rate]
        + [run(method, rate, seed, steps, sets) for seed in range(1, seeds)]
        for method, rate in chosen.items()
    }
    write_json(output, content)
    rate = chosen["all weights"]
    content["rehearsal"] = {
        "share": REHEARSED,
        "runs": [run("all weights", rate, s, steps, sets, REHEARSED) for s in range(seeds)],
    }
    write_json(output, content)
    content["sizes"] = {}
    for method in ("all weights", "LoRA"):
        content["sizes"][method] = [
            run(method, chosen[method], seed, steps, sets | {"train": sets["train"][:size]})
            for size in SIZES
            for seed in range(seeds)
        ]
        write_json(output, content)


if __name__ == "__main__":
    typer.run(main)
