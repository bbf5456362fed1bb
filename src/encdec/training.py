"""One short training loop, on Accelerate: mixed precision, several processes, exact resume.

The loop knows neither tasks nor architectures. It takes a model that returns logits, a function
that gives the examples of an epoch and one that makes a batch of them, and leaves behind a folder::

    runs/<name>/checkpoint.safetensors   weights, optimizer, generators, position: all of the state
    runs/<name>/log.jsonl                one line every few steps

Every process draws the same batches and works on its own rows of each, so the number of processes
changes nothing but the speed. With FSDP they share out the weights as well; a checkpoint holds them
whole, so that any number of processes can go on from it.
"""

from __future__ import annotations

import copy
import ctypes
import json
import math
import os
import platform
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from encdec.data.collate import IGNORE, Example, bucket_batches
from encdec.errors import EncdecError, is_out_of_memory
from encdec.recipe import OptimizationRecipe

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LOG_EVERY = 20  # steps
CHECKPOINT = "checkpoint.safetensors"
CPU_STATE = len(torch.get_rng_state())  # bytes
LOG = "log.jsonl"

Epoch = Callable[[int], Sequence[Example]]  # number of the epoch -> its examples
Collate = Callable[[Sequence[Example]], dict[str, Tensor]]  # examples -> a padded batch
Report = Callable[[dict[str, Any]], None]  # called with every line of the log


class TrainingError(EncdecError):
    """Training can't go on; the message is one sentence that says where and why."""


@dataclass
class Position:
    """Where in the run the loop stands: the next batch to be learnt from."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    tokens: int = 0


@dataclass
class Trainer:
    """Trains ``model`` as an :class:`OptimizationRecipe` says.

    Args:
        model: called with what ``collate`` gives, but the labels; its result is logits (batch,
            target, vocab), or has ``logits``.
        epoch: gives the examples of epoch 0, 1, …; the same number gives the same examples.
        recipe: the optimization section of a recipe.
        folder: where checkpoints and the log are kept; a run found there is continued.
        seed: seed of the order of the batches and of dropout.
        collate: makes a batch of examples; its ``labels`` (batch, target) are what the logits at
            the same place should predict, or :data:`~encdec.data.collate.IGNORE`.
        report: called with every line of the log, in the main process.
    """

    model: nn.Module
    epoch: Epoch
    recipe: OptimizationRecipe
    folder: Path
    seed: int
    collate: Collate
    report: Report = lambda line: None
    position: Position = field(default_factory=Position)

    def __post_init__(self) -> None:
        precision = choose_precision(self.recipe.precision)
        # Without a GPU, Accelerate joins several processes only if it is told to use the CPU.
        several = int(os.environ.get("WORLD_SIZE", "1")) > 1
        mixed = {"bfloat16": "bf16", "float16": "fp16"}.get(precision, "no")
        # Accelerate keeps the first precision of a process; the next stage may have another one.
        if AcceleratorState._shared_state.get("_mixed_precision", mixed) != mixed:
            AcceleratorState._reset_state()
        self.accelerator = Accelerator(
            cpu=several and not torch.cuda.is_available(), mixed_precision=mixed
        )
        self.precision = precision
        # FSDP takes apart what it shares out: whoever gave the model wants it back in one piece.
        self.shared = self.accelerator.is_fsdp2
        self.network = copy.deepcopy(self.model) if self.shared else self.model
        if self.recipe.dropout is not None:
            set_dropout(self.network, self.recipe.dropout)
        # On a CPU the gradient of PyTorch's fused attention is slow in bfloat16, though not in
        # float32; its steps one by one are not.
        if (precision, self.accelerator.device.type) == ("bfloat16", "cpu"):
            getattr(self.network, "set_attn_implementation", lambda name: None)("eager")
        self.optimizer: Any = torch.optim.AdamW(
            parameter_groups(self.network, self.recipe),
            lr=self.recipe.learning_rate,
            betas=self.recipe.betas,
            eps=self.recipe.eps,
            fused=True,
        )
        self.wrapped, self.optimizer = self.accelerator.prepare(self.network, self.optimizer)
        # Every epoch has about as many batches as the first; the schedule needs to know in advance.
        self.total_steps = len(self._batches(0)[1]) * self.recipe.epochs

    def run(self, stop_after: int | None = None) -> Position:
        """Train to the end of the recipe, or until ``stop_after`` steps are done.

        Raises:
            TrainingError: there is nothing to learn from, the memory does not hold a batch, the
                loss is not a number, or a checkpoint does not fit the model.
        """
        if not self.total_steps:
            raise TrainingError(
                "no example is left to learn from: all are too long for the model, or their two "
                "sides are too unlike in length."
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(self.seed + self.accelerator.process_index)
        if (self.folder / CHECKPOINT).exists():
            self._load()
        log = _Log(self.folder / LOG, self.position.step, enabled=self.accelerator.is_main_process)
        self.wrapped.train()
        started, before = time.perf_counter(), self.position.seconds
        losses: list[Tensor] = []
        for batch in self._remaining():
            at = self.position
            try:
                losses.append(self._step(batch))
            except (MemoryError, RuntimeError) as error:
                if is_out_of_memory(error):
                    raise TrainingError(self._too_large(batch)) from error
                raise
            at.seconds = before + time.perf_counter() - started
            if at.step % LOG_EVERY == 0 or at.step == stop_after:
                line = self._line(losses)
                losses.clear()
                log.write(line)
                if log.enabled:
                    self.report(line)
            if at.step % self.recipe.save_every == 0:
                self._save()
            if at.step == stop_after:
                return at
        self._save()
        if self.shared:
            given = _unshared(self.model)
            with torch.no_grad():
                for name, tensor in _unshared(self.network).items():
                    given[name].copy_(whole(tensor))
        return self.position

    def _too_large(self, batch: list[Example]) -> str:
        """What to do when the memory doesn't hold a batch, with numbers."""
        tokens = sum(len(e.input_ids) + len(e.labels) for e in batch)
        parts, half = 2 * self.recipe.accumulate, max(1, self.recipe.max_tokens // 2)
        return (
            f"memory ran out at step {self.position.step}, on a batch of {len(batch)} examples "
            f"with {tokens:,} tokens: set accumulate: {parts} in the recipe, which learns the same "
            f"in {parts} parts, or max_tokens: {half} instead of {self.recipe.max_tokens}, and run "
            "the command again."
        )

    def _remaining(self) -> Iterator[list[Example]]:
        """Every batch still to come, of all processes together."""
        at = self.position
        while at.epoch < self.recipe.epochs:
            examples, batches = self._batches(at.epoch)
            while at.batch < len(batches):
                batch = [examples[i] for i in batches[at.batch]]
                at.batch += 1
                at.step += 1
                at.tokens += sum(len(e.input_ids) + len(e.labels) for e in batch)
                yield batch
            at.epoch += 1
            at.batch = 0

    def _batches(self, epoch: int) -> tuple[Sequence[Example], list[list[int]]]:
        examples = self.epoch(epoch)
        lengths = [(len(example.input_ids), len(example.labels)) for example in examples]
        generator = random.Random(f"{self.seed} {epoch}")
        return examples, bucket_batches(lengths, self.recipe.max_tokens, generator)

    def _step(self, examples: list[Example]) -> Tensor:
        """One update; returns this process's share of the batch's mean loss, detached."""
        at = self.position
        tokens = sum(len(example.labels) for example in examples)
        world, rank = self.accelerator.num_processes, self.accelerator.process_index
        rows = examples[rank::world]
        learning_rate = schedule(at.step, self.total_steps, self.recipe)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate * group["rate"]
        parts = min(self.recipe.accumulate, len(examples[::world]))  # the same for all processes
        *first, last = (rows[part::parts] for part in range(parts))
        shares = []
        for part in first:
            with self.accelerator.no_sync(self.wrapped):  # once a step is enough
                shares.append(self._learn(part, examples[0], tokens))
        shares.append(self._learn(last, examples[0], tokens))
        self.accelerator.clip_grad_norm_(self.wrapped.parameters(), self.recipe.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return torch.stack(shares).sum()

    def _learn(self, rows: list[Example], any_row: Example, tokens: int) -> Tensor:
        """Add the gradient of some rows' share in the mean loss of a batch of so many tokens.

        Where there are no rows, ``any_row`` stands in and counts for nothing.
        """
        at = self.position
        batch = self.collate(rows or [any_row])
        batch = {name: tensor.to(self.accelerator.device) for name, tensor in batch.items()}
        labels = batch.pop("labels")
        if not rows:
            labels.fill_(IGNORE)
        learnt = labels != IGNORE  # (batch, target)
        with self.accelerator.autocast(), logits_only_at(self.network, learnt):
            output = self.wrapped(**batch)
        logits = output if isinstance(output, Tensor) else output.logits
        if logits.ndim == 3:  # (batch, target, vocab): of all places
            logits = logits[learnt]
        loss = F.cross_entropy(
            logits.float(),  # (places, vocab)
            labels[learnt],
            label_smoothing=self.recipe.label_smoothing,
            reduction="sum",
        )
        share = loss / tokens
        if not torch.isfinite(share):
            raise TrainingError(
                f"the loss is {share.item()} at step {at.step} (epoch {at.epoch}, batch "
                f"{at.batch - 1}); a lower learning_rate or precision: float32 usually cures this."
            )
        # Processes average their gradients; the sum over the whole batch is what is wanted.
        self.accelerator.backward(share * self.accelerator.num_processes)
        return share.detach()

    def _line(self, losses: list[Tensor]) -> dict[str, Any]:
        loss = self.accelerator.reduce(torch.stack(losses).sum(), "sum").item() / len(losses)
        at = self.position
        return {
            "step": at.step,
            "of": self.total_steps,
            "epoch": at.epoch,
            "loss": round(loss, 5),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "tokens": at.tokens,
            "seconds": round(at.seconds, 1),
        }

    def _save(self) -> None:
        """Write the whole state to one file, atomically: the previous one stays whole until then.

        Raises:
            TrainingError: the disk is full or the folder can't be written.
        """
        generators = self.accelerator.gather(self._generators()[None])  # (processes, state)
        tensors = {f"model.{name}": whole(t) for name, t in _unshared(self.network).items()}
        tensors["generators"] = generators.cpu()
        state = self.optimizer.state_dict()["state"]
        for index, moments in state.items():
            tensors |= {f"optimizer.{index}.{key}": whole(value) for key, value in moments.items()}
        if not self.accelerator.is_main_process:  # its parts of shared tensors are sent by now
            return
        write_safetensors(
            self.folder / CHECKPOINT, tensors, {"position": json.dumps(asdict(self.position))}
        )

    def _load(self) -> None:
        path = self.folder / CHECKPOINT
        tensors, metadata = read_safetensors(path)
        own = _unshared(self.network)
        saved = {n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")}
        if {n: t.shape for n, t in own.items()} != {n: t.shape for n, t in saved.items()}:
            raise TrainingError(
                f"{path} belongs to a model of another shape; remove the folder {self.folder} "
                "or train under another name."
            )
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(shared_as(tensor, saved[name]))
        weights = [p for group in self.optimizer.param_groups for p in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".")
                weight = weights[int(index)]
                moment = tensor.shape == weight.shape  # else a count of steps, which all have
                found = shared_as(weight, tensor) if moment else tensor
                state.setdefault(int(index), {})[key] = found
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        self.position = Position(**json.loads(metadata["position"]))
        generators = tensors["generators"]
        own_state = self._generators()
        if generators.shape == (self.accelerator.num_processes, len(own_state)):
            # A copy: torch fails on a state that lies in the middle of other memory.
            mine = generators[self.accelerator.process_index].clone()
            torch.set_rng_state(mine[:CPU_STATE])
            if self.accelerator.device.type == "cuda":
                torch.cuda.set_rng_state(mine[CPU_STATE:].clone(), self.accelerator.device)

    def _generators(self) -> Tensor:
        """State of the generators that dropout draws from: the CPU's, then the GPU's if any."""
        state = torch.get_rng_state()
        if self.accelerator.device.type == "cuda":
            state = torch.cat([state, torch.cuda.get_rng_state(self.accelerator.device)])
        return state.to(self.accelerator.device)


class _Log:
    """A JSON-lines file; lines from after the checkpoint that a run resumes from are dropped."""

    def __init__(self, path: Path, step: int, *, enabled: bool) -> None:
        self.path, self.enabled = path, enabled
        if enabled:
            kept = [line for line in read_log(path) if line["step"] <= step]
            path.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf8")

    def write(self, line: dict[str, Any]) -> None:
        if self.enabled:
            with self.path.open("a", encoding="utf8") as file:
                file.write(json.dumps(line) + "\n")


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a training log; a last line cut off by a kill is left out."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_text(encoding="utf8").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines


def keep_freed_memory() -> None:
    """Ask glibc to reuse freed memory instead of giving it back to the system each time.

    A training step frees and allocates the same large tensors again; without this a quarter of the
    time on a CPU went into page faults. Does nothing where the C library is another one.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL("libc.so.6")
    mmap_threshold, trim_threshold, top_pad = -3, -1, -2  # names in malloc.h
    libc.mallopt(mmap_threshold, 1 << 30)
    libc.mallopt(trim_threshold, (1 << 31) - 1)
    libc.mallopt(top_pad, 1 << 28)


def schedule(step: int, total: int, recipe: OptimizationRecipe) -> float:
    """Learning rate of a step (1, 2, …): linear warm-up, then half a cosine down to zero."""
    warmup = recipe.warmup(total)
    if step < warmup:
        return recipe.learning_rate * step / warmup
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def parameter_groups(model: nn.Module, recipe: OptimizationRecipe) -> list[dict[str, Any]]:
    """What the optimizer treats alike; ``rate`` is what the learning rate is multiplied by.

    Adam's steps are about as long for all weights, whatever their size. T5 draws its token vectors
    with unit variance, √d_model times as large as other weights: in steps of the usual length they
    would hardly turn. It draws its queries √d_kv times smaller, in the place of a division in the
    attention: they would grow until the attention sees one position only. Adafactor, with which T5
    was trained, scales its steps by the size of each matrix (Shazeer and Stern 2018).

    Args:
        model: the model. With ``embedding_rate`` one that tells its table of token vectors by
            ``get_input_embeddings``; with ``query_rate`` one that calls its queries ``q``.
        recipe: ``weight_decay`` is for matrices; biases and the gains of norms have none.
    """
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    plain = [p for p in parameters.values() if p.ndim <= 1]
    matrices = {n: p for n, p in parameters.items() if p.ndim > 1}
    special: list[dict[str, Any]] = []
    if recipe.embedding_rate != 1:
        table = cast("PreTrainedModel", model).get_input_embeddings().weight
        chosen = [matrices.pop(name) for name, p in [*matrices.items()] if p is table]
        special += [{"params": chosen, "rate": recipe.embedding_rate}]
    if recipe.query_rate != 1:
        chosen = [matrices.pop(name) for name in [*matrices] if name.endswith(".q.weight")]
        special += [{"params": chosen, "rate": recipe.query_rate}]
    usual: list[dict[str, Any]] = [
        {"params": [*matrices.values()]},
        {"params": plain, "weight_decay": 0.0},
    ]
    defaults = {"weight_decay": recipe.weight_decay, "rate": 1.0}
    return [defaults | group for group in (*usual, *special)]


@contextmanager
def logits_only_at(model: nn.Module, places: Tensor) -> Iterator[None]:
    """Let a model of transformers compute its logits, (places, vocab), only where they are needed.

    They are the widest thing that it computes, and a decoder-only model has no use for those of the
    prompt. A model that does not tell its last layer by ``get_output_embeddings`` goes on as usual.

    Args:
        model: whose last layer turns states (batch, target, d_model) into logits.
        places: (batch, target), true where they are needed.
    """
    head = getattr(model, "get_output_embeddings", lambda: None)()
    if head is None:
        yield
        return
    hook = head.register_forward_pre_hook(lambda _, states: (states[0][places],))
    try:
        yield
    finally:
        hook.remove()


def set_dropout(model: nn.Module, rate: float) -> None:
    """Leave out this share of what a model computes in training, wherever it leaves out any.

    Args:
        model: its layers are of torch, or keep their rate as ``dropout``, as those of transformers.
        rate: between 0 and 1.
    """
    layers: Iterator[Any] = model.modules()
    for module in layers:
        if isinstance(module, nn.Dropout):
            module.p = rate
        elif isinstance(getattr(module, "dropout", None), float):
            module.dropout = rate


def choose_precision(precision: str) -> str:
    """Resolve ``"auto"``: bfloat16 where the hardware multiplies matrices in it, else float32.

    A T4 lacks bfloat16. A CPU has it in two forms: AMX tiles double the speed, while the older
    AVX-512 instructions, measured on their own, were slower than float32.
    """
    if precision != "auto":
        return precision
    if torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())
    return "bfloat16" if native else "float32"


def write_safetensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write beside ``path``, then rename: a failure leaves what was there before.

    Raises:
        TrainingError: the disk is full or the folder can't be written.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        save_file(
            {n: t.detach().cpu().contiguous() for n, t in tensors.items()}, temporary, metadata
        )
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except Exception as error:
        temporary.unlink(missing_ok=True)
        raise TrainingError(
            f"{path} could not be written ({error}); what was saved before is untouched."
        ) from error


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a file, and its metadata.

    Raises:
        TrainingError: the file is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, file.metadata() or {}
    except Exception as error:
        raise TrainingError(f"{path} is damaged ({error}); remove it to start over.") from error


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor that the processes share (FSDP); any other as it is.

    Every process has to call this, since each sends its part.
    """
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def shared_as(model: Tensor, tensor: Tensor) -> Tensor:
    """This process's part of a tensor, if it shares ``model`` with others; else all of it."""
    if not isinstance(model, DTensor):
        return tensor
    return distribute_tensor(tensor.to(model.device), model.device_mesh, model.placements)


def _unshared(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers, each once even where two names share a tensor (tied embeddings)."""
    seen: set[int] = set()
    tensors = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            tensors[name] = tensor
    return tensors
