"""What is compared: each system in a process of its own, so that none sits on another's threads.

A system is built from a folder of weights in Hugging Face's layout and then asked for one run at a
time. Between its runs it sleeps on a pipe and costs nothing.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

Ids = list[list[int]]
Run = Callable[[Ids, int, int], Ids]  # sources, beams, new tokens -> what was written


@dataclass(frozen=True)
class Reply:
    """One run.

    Args:
        seconds: how long it took.
        ids: what was written, without the start token.
    """

    seconds: float
    ids: Ids


def book(folder: Path, threads: int, *, packed: bool = True, dtype: str = "float32") -> Run:
    """The code of this book."""
    import torch

    import encdec.transformer
    from encdec import EncoderDecoder, generate

    torch.set_num_threads(threads)
    if not packed:
        vars(encdec.transformer)["pack"] = lambda model: None  # every step goes through the modules
    model = EncoderDecoder.from_pretrained(folder, dtype=getattr(torch, dtype))

    def run(sources: Ids, num_beams: int, new_tokens: int) -> Ids:
        output = generate(
            model,
            torch.tensor(sources),
            num_beams=num_beams,
            min_new_tokens=new_tokens,
            max_new_tokens=new_tokens,
        )
        ids: Ids = output.sequences[:, 1:].tolist()
        return ids

    return run


def transformers(
    folder: Path, threads: int, *, static: bool = False, compiled: bool = False
) -> Run:
    """The library's `generate`: as it comes, with a static cache, and compiled too."""
    import torch
    from transformers import AutoModelForSeq2SeqLM

    torch.set_num_threads(threads)
    model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32).eval()
    if compiled:
        model.forward = torch.compile(model.forward)
    options: dict[str, Any] = {"cache_implementation": "static"} if static else {}

    def run(sources: Ids, num_beams: int, new_tokens: int) -> Ids:
        with torch.inference_mode():
            output = model.generate(
                torch.tensor(sources),
                num_beams=num_beams,
                min_new_tokens=new_tokens,
                max_new_tokens=new_tokens,
                **options,
            )
        ids: Ids = output[:, 1:].tolist()
        return ids

    return run


def ctranslate2(folder: Path, threads: int, *, compute_type: str = "float32") -> Run:
    """CTranslate2, on the same weights, converted beforehand (see `convert`)."""
    import ctranslate2 as library

    translator = library.Translator(
        str(folder / "ctranslate2"),
        device="cpu",
        compute_type=compute_type,
        inter_threads=1,
        intra_threads=threads,
    )

    def run(sources: Ids, num_beams: int, new_tokens: int) -> Ids:
        results = translator.translate_batch(
            [[f"<{token}>" for token in row] for row in sources],
            beam_size=num_beams,
            min_decoding_length=new_tokens,
            max_decoding_length=new_tokens,
            max_batch_size=0,
        )
        return [[int(token[1:-1]) for token in result.hypotheses[0]] for result in results]

    return run


class Numbers:
    """A stand-in for a tokenizer: CTranslate2 wants words, and is given numbers.

    Args:
        config: the model's configuration in transformers.
    """

    def __init__(self, config: Any) -> None:
        self.names = [f"<{number}>" for number in range(config.vocab_size)]
        if config.model_type == "marian":  # by this name CTranslate2 knows what it has to leave out
            self.names[config.pad_token_id] = "<pad>"
        self.pad_token = self.bos_token = self.names[config.pad_token_id]
        self.eos_token = self.names[config.eos_token_id]
        self.unk_token = self.names[1 if config.model_type == "marian" else 2]

    def get_vocab(self) -> dict[str, int]:
        """Every id under its own name."""
        return {name: number for number, name in enumerate(self.names)}

    def convert_ids_to_tokens(self, number: int) -> str:
        """The name of an id."""
        return self.names[number]


def convert(folder: Path) -> None:
    """Write the weights for CTranslate2 too."""
    from ctranslate2.converters.transformers import TransformersConverter
    from transformers import AutoConfig

    class Converter(TransformersConverter):  # type: ignore[misc]
        def load_tokenizer(self, *args: Any, **options: Any) -> Numbers:
            return Numbers(AutoConfig.from_pretrained(folder))

    Converter(str(folder)).convert(str(folder / "ctranslate2"), force=True)


class Worker:
    """A system at work in another process.

    Args:
        build: one of the functions above.
        folder: the weights.
        threads: how many it may use.
        options: for `build`.
    """

    def __init__(
        self, build: Callable[..., Run], folder: Path, threads: int, **options: Any
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=serve, args=(theirs, build, folder, threads, options), daemon=True
        )
        self.process.start()

    def run(self, sources: Ids, num_beams: int, new_tokens: int) -> Reply:
        """Ask for one run and wait for it.

        Raises:
            RuntimeError: the system failed; the message is its own.
        """
        try:
            self.pipe.send((sources, num_beams, new_tokens))
            reply: Reply | str = self.pipe.recv()
        except (EOFError, OSError):
            reply = "the process has ended: it could not build the system, or ran out of memory"
        if isinstance(reply, str):
            raise RuntimeError(reply)
        return reply

    def close(self) -> None:
        """End the process."""
        self.pipe.close()
        self.process.join(10)


def serve(
    pipe: Connection, build: Callable[..., Run], folder: Path, threads: int, options: dict[str, Any]
) -> None:
    """What a worker's process does."""
    run = build(folder, threads, **options)
    while True:
        try:
            asked = pipe.recv()
        except EOFError:
            return
        try:
            started = time.perf_counter()
            ids = run(*asked)
            pipe.send(Reply(time.perf_counter() - started, ids))
        except Exception as error:  # whatever a library raises belongs into the record
            pipe.send(f"{type(error).__name__}: {error}")
