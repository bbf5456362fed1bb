"""What the searches of `encdec.decoding` work with: models, outputs, and the text being written.

Shape letters: `batch` inputs, `beams` hypotheses kept for each input, `candidates` hypotheses
looked at for each input, `rows` sequences being written (batch × beams), `sequences` those
returned, `vocab` tokens that can be written, `steps` tokens written at most.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from encdec.config import as_ids
from encdec.options import DEFAULT_MAX_NEW_TOKENS, GenerationOptions
from encdec.processors import make_processors
from encdec.stacks import Record

IMPOSSIBLE = -1e9
"""A score worse than any log-probability, but finite, so that it can be added up."""


class Cache(Protocol):
    """What a model keeps between steps."""

    def reorder(self, beam_index: Tensor) -> None:
        """Let row i continue what row `beam_index[i]` has written."""

    def repeat(self, times: int) -> None:
        """Repeat every row."""


class Decodable(Protocol):
    """What a model must offer to be decoded.

    `config` names the special tokens as `TransformerConfig` does; `target_is_separate` tells
    whether the output is a sequence of its own (encoder–decoder) or continues the input.
    """

    config: Any
    target_is_separate: bool

    def room(self, input_ids: Tensor) -> int | None:
        """How long the output can get, with its prompt, or None if there is no limit."""

    def start(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        prompt: Tensor | None = None,
        max_length: int | None = None,
        record: Record | None = None,
    ) -> tuple[Tensor, Any]:
        """Read the input; give back how the output begins, (batch, prompt), and a `Cache`."""

    def step(self, tokens: Tensor, cache: Any, record: Record | None = None) -> Tensor:
        """Take tokens in, (rows, new), and score the next one, (rows, vocab)."""


@dataclass(frozen=True)
class GenerationAttentions:
    """What the model looked at while it wrote; row t of a target axis led to token t + 1.

    Rows after the end of a sequence are zero.

    Args:
        encoder: (layers, batch, heads, source, source); None without an encoder.
        decoder: (layers, sequences, heads, target, target).
        cross: (layers, sequences, heads, target, source); None without an encoder.
    """

    encoder: Tensor | None
    decoder: Tensor | None
    cross: Tensor | None


@dataclass(frozen=True)
class Candidate:
    """One possible next token of one beam.

    Args:
        parent: number of the beam that it continues, among those kept at the step before.
        token: the token id.
        log_prob: log-probability of the whole hypothesis.
        finished: whether the hypothesis ends here.
    """

    parent: int
    token: int
    log_prob: float
    finished: bool


@dataclass(frozen=True)
class BeamStep:
    """One step of beam search for one input.

    Args:
        candidates: the best continuations of all beams together, best first; twice as many as
            there are beams, since half of them may be finished.
        kept: those among them that live on, in the order in which the next step's `parent`
            counts them.
    """

    candidates: tuple[Candidate, ...]
    kept: tuple[Candidate, ...]


@dataclass(frozen=True)
class GenerationOutput:
    """What was written.

    Args:
        sequences: token ids with the prompt, (batch * num_return_sequences, length).
        scores: log-probability of what was written, divided by its number of tokens to the power
            of `length_penalty`, (batch * num_return_sequences,). Greedy search and sampling count
            the model's own probabilities; beam search those after the options had their say, as
            it compares hypotheses by them.
        step_scores: on request, the scores that tokens were chosen by, one (rows, vocab) a step.
        attentions: on request, attention weights.
        trace: on request, for each input the steps of beam search.
    """

    sequences: Tensor
    scores: Tensor
    step_scores: tuple[Tensor, ...] | None = None
    attentions: GenerationAttentions | None = None
    trace: tuple[tuple[BeamStep, ...], ...] | None = None


class Writer:
    """What every search keeps: the text so far, what the model keeps, what the options demand.

    Args:
        model: any `Decodable`.
        input_ids: (batch, source).
        attention_mask: 1 or True for real tokens, (batch, source), or None.
        decoder_input_ids: how an encoder–decoder's output begins, (batch, prompt), or None.
        given: options that the caller set.

    Raises:
        ValueError: if something is impossible.
        TypeError: if an option is unknown or of the wrong type.
    """

    def __init__(
        self,
        model: Decodable,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        decoder_input_ids: Tensor | None,
        given: Mapping[str, Any],
    ) -> None:
        self.model = model
        self.options = options = GenerationOptions.resolve(model.config, given)
        prompt = first_tokens(model, input_ids, decoder_input_ids, options)  # (batch, prompt)
        self.max_length = length_limit(model, input_ids, prompt.shape[1], options, given)
        self.reading = Record() if options.output_attentions else None
        prompt, self.cache = model.start(
            input_ids,
            attention_mask,
            prompt=prompt if model.target_is_separate else None,
            max_length=self.max_length,
            record=self.reading,
        )
        self.batch, self.prompt_length = prompt.shape
        self.repeats = self.rows_for_each_input()
        rows, device = self.batch * self.repeats, prompt.device
        self.ids = prompt.new_full((rows, self.max_length), options.pad_token_id or 0)
        self.ids[:, : self.prompt_length] = prompt.repeat_interleave(self.repeats, dim=0)
        self.length = self.prompt_length
        self.eos = torch.tensor(as_ids(options.eos_token_id), dtype=torch.long, device=device)
        padding = None
        if attention_mask is not None and not model.target_is_separate:
            padding = (attention_mask == 0).sum(dim=1).repeat_interleave(self.repeats)  # (rows,)
        self.processors = make_processors(
            options, self.prompt_length, self.max_length, device, padding
        )
        self.done = False
        self.writing: list[Record] = []  # what the decoder looked at, step by step
        self.step_scores: list[Tensor] = []

    def rows_for_each_input(self) -> int:
        """How many sequences are written for each input."""
        return self.options.num_return_sequences if self.options.do_sample else 1

    def next_logits(self) -> Tensor:
        """Show the model what was written since the last step.

        Returns:
            Logits, (rows, vocab).
        """
        record = Record() if self.options.output_attentions else None
        if record is not None:
            self.writing.append(record)
        if self.length > self.prompt_length:
            return self.model.step(self.ids[:, self.length - 1 : self.length], self.cache, record)
        # the rows of an input are all the same until the first token is chosen: one is enough
        prompt = self.ids[:: self.repeats, : self.length]  # (batch, prompt)
        logits = self.model.step(prompt, self.cache, record)  # (batch, vocab)
        if self.repeats > 1:
            self.cache.repeat(self.repeats)
            logits = logits.repeat_interleave(self.repeats, dim=0)  # (rows, vocab)
        return logits

    def ends(self, tokens: Tensor) -> Tensor:
        """Tell which tokens end a sequence.

        Args:
            tokens: any shape.

        Returns:
            Boolean, same shape.
        """
        return tokens == self.eos if len(self.eos) == 1 else torch.isin(tokens, self.eos)

    def normalise(self, logits: Tensor) -> Tensor:
        """Turn logits into log-probabilities.

        Args:
            logits: (rows, vocab).

        Returns:
            (rows, vocab).

        Raises:
            ValueError: if the logits are not numbers.
        """
        log_probs = logits.log_softmax(dim=-1)
        bad = log_probs[:, 0].isnan()  # one bad logit spoils the sum, and so its whole row
        if bool(bad.any()):
            raise ValueError(
                "the model's logits are NaN or infinite in row(s) "
                f"{bad.nonzero().flatten().tolist()} at token {self.length}: look for overflow in "
                "half precision, or for weights that training has ruined"
            )
        return log_probs

    def process(self, scores: Tensor) -> Tensor:
        """Let the options have their say.

        Args:
            scores: (rows, vocab); they may be changed in place.

        Returns:
            (rows, vocab).
        """
        for processor in self.processors:
            scores = processor(self.ids[:, : self.length], scores)
        if self.options.output_step_scores:
            self.step_scores.append(scores.clone())
        return scores

    def output(self, sequences: Tensor, scores: Tensor, origins: Tensor) -> GenerationOutput:
        """Gather what was asked for.

        Args:
            sequences: (sequences, length).
            scores: (sequences,).
            origins: row that wrote each token of each sequence, -1 after its end,
                (sequences, steps).

        Returns:
            The output.
        """
        attentions = None
        if self.reading is not None:
            encoder = self.reading.encoder_attentions
            attentions = GenerationAttentions(
                encoder=torch.stack(encoder) if encoder else None,
                decoder=self.gather([each.decoder_attentions for each in self.writing], origins),
                cross=self.gather([each.cross_attentions for each in self.writing], origins),
            )
        steps = tuple(self.step_scores) if self.options.output_step_scores else None
        return GenerationOutput(sequences, scores, steps, attentions)

    def gather(self, steps: list[list[Tensor]], origins: Tensor) -> Tensor | None:
        """Put the attention weights of all steps into one tensor.

        Args:
            steps: for each step and layer, (rows, heads, new, source).
            origins: (sequences, steps).

        Returns:
            (layers, sequences, heads, target, source), or None if there are none.
        """
        if not steps or not steps[0]:
            return None
        steps = steps[: origins.shape[1]]
        longest = max(layers[0].shape[3] for layers in steps)
        parts = []
        for number, layers in enumerate(steps):
            weights = torch.stack(layers)  # (layers, rows, heads, new, source)
            if number == 0:  # the first step ran once for each input
                weights = weights.repeat_interleave(self.repeats, dim=1)
            rows = origins[:, number]  # (sequences,)
            weights = weights[:, rows.clamp(min=0)] * (rows >= 0)[:, None, None, None]
            parts.append(nn.functional.pad(weights, (0, longest - weights.shape[4])))
        return torch.cat(parts, dim=3)  # (layers, sequences, heads, target, source)


class RowWriter(Writer):
    """Greedy search and sampling: every row goes its own way."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.ended = torch.zeros_like(self.ids[:, 0], dtype=torch.bool)  # (rows,)
        self.some_ended = False
        self.totals = torch.zeros(len(self.ids), device=self.ids.device)  # (rows,)
        self.missed = torch.zeros_like(self.ids[:, 0])  # steps after a row's end, (rows,)
        self.log_probs = self.totals[:, None]  # of the next token, (rows, vocab)
        self.origins: list[Tensor] = []

    def score_next(self) -> Tensor:
        """Score every next token.

        Returns:
            (rows, vocab).
        """
        logits = self.next_logits()
        self.log_probs = self.normalise(logits)
        return self.process(logits)

    def append(self, tokens: Tensor) -> Tensor:
        """Write one token in each row, padding in those that have ended.

        Args:
            tokens: (rows,).

        Returns:
            What was written, (rows,).
        """
        if self.options.output_attentions:
            rows = torch.arange(len(tokens), device=tokens.device)
            self.origins.append(rows.masked_fill(self.ended, -1))
        if self.some_ended:
            tokens = tokens.masked_fill(self.ended, self.options.pad_token_id or 0)
        new = self.log_probs.gather(1, tokens[:, None])[:, 0]  # (rows,)
        if self.some_ended:
            new = new.masked_fill(self.ended, 0.0)
            self.missed += self.ended
        self.totals += new
        self.ids[:, self.length] = tokens
        self.length += 1
        ends = self.ends(tokens)  # (rows,)
        if bool(ends.any()):
            self.ended, self.some_ended = self.ended | ends, True
        self.done = self.length == self.max_length or (self.some_ended and bool(self.ended.all()))
        if self.options.on_tokens is not None:
            self.options.on_tokens(tokens)
        return tokens

    def finish(self) -> GenerationOutput:
        """Hand over what was written.

        Returns:
            The output.
        """
        counts = self.length - self.prompt_length - self.missed  # (rows,)
        scores = self.totals / counts**self.options.length_penalty
        origins = torch.stack(self.origins, dim=1) if self.origins else self.ids[:, :0]
        return self.output(self.ids[:, : self.length].clone(), scores, origins)


@dataclass(frozen=True)
class Beams:
    """Hypotheses for each input.

    Args:
        ids: tokens with the prompt, padded, (batch, number, max_length).
        scores: (batch, number).
        done: whether a hypothesis has ended, (batch, number).
        steps: tokens written, (batch, number).
        origins: row that wrote each token, -1 where none has, (batch, number, steps); without
            steps where nobody will ask.
    """

    ids: Tensor
    scores: Tensor
    done: Tensor
    steps: Tensor
    origins: Tensor

    def best(self, number: int) -> "Beams":
        """Choose those with the highest scores.

        Args:
            number: how many.

        Returns:
            (batch, number), best first.
        """
        index = self.scores.topk(number).indices  # (batch, number)
        parts = [getattr(self, part.name) for part in fields(self)]
        return Beams(*(choose(part, index) for part in parts))


@dataclass(frozen=True)
class Continuations:
    """Running hypotheses, each with one token more; best first.

    Args:
        parents: numbers of the beams that they continue, (batch, number).
        tokens: (batch, number).
        scores: log-probabilities of the whole, (batch, number).
        done: whether the token ends the hypothesis, (batch, number).
    """

    parents: Tensor
    tokens: Tensor
    scores: Tensor
    done: Tensor

    def alive(self, number: int, some_ended: bool) -> "Continuations":
        """Choose the best that go on.

        Args:
            number: how many.
            some_ended: whether any has ended; the answer is known if not.

        Returns:
            (batch, number), best first.
        """
        parts = [getattr(self, part.name) for part in fields(self)]
        if not some_ended:
            return Continuations(*(part[:, :number] for part in parts))
        scores = self.scores + self.done * IMPOSSIBLE
        best, index = scores.topk(number)  # 2 × (batch, number)
        return replace(Continuations(*(choose(part, index) for part in parts)), scores=best)


def choose(values: Tensor, index: Tensor) -> Tensor:
    """Pick hypotheses by number.

    Args:
        values: (batch, number, ...).
        index: (batch, new number).

    Returns:
        (batch, new number, ...).
    """
    if values.dim() == 2:
        return values.gather(1, index)
    return values.gather(1, index[:, :, None].expand(-1, -1, values.shape[2]))


class BeamWriter(Writer):
    """Beam search: the rows of an input compete."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.beams = self.repeats
        self.first_row = torch.arange(self.batch, device=self.ids.device)[:, None] * self.beams
        self.tree: list[tuple[Continuations, Continuations]] = []

    def rows_for_each_input(self) -> int:
        """How many sequences are written for each input."""
        return self.options.num_beams

    def fresh_beams(self) -> tuple[Beams, Beams]:
        """Begin with one hypothesis that lives, the prompt, and none that has ended.

        Returns:
            Running and finished beams, (batch, beams).
        """
        ids = self.ids.unflatten(0, (self.batch, self.beams))  # (batch, beams, max_length)
        ends = as_ids(self.options.eos_token_id)
        if ends and not self.options.pad_token_id:
            # transformers fills a beam's tail with the end token where padding is 0; so do we
            ids[:, :, self.length :] = ends[0]
        scores = torch.full(ids.shape[:2], IMPOSSIBLE, device=ids.device)
        done = torch.zeros_like(scores, dtype=torch.bool)
        steps = self.max_length - self.length if self.options.output_attentions else 0
        origins = ids.new_full((*ids.shape[:2], steps), -1)
        finished = Beams(ids, scores, done, torch.zeros_like(ids[:, :, 0]), origins)
        running = scores.clone()
        running[:, 0] = 0.0  # all beams hold the same prompt, so only one may be continued
        return replace(finished, scores=running), finished

    def score_next(self) -> Tensor:
        """Score every next token of every beam.

        Returns:
            Log-probabilities, (rows, vocab).
        """
        return self.process(self.normalise(self.next_logits()))

    def extend(self, running: Beams, scores: Tensor) -> Continuations:
        """Find the best continuations of all beams of an input together.

        Args:
            running: (batch, beams).
            scores: log-probabilities of the next tokens, (rows, vocab).

        Returns:
            As many continuations as there are beams, and as many more for each token that can end
            one, (batch, candidates).
        """
        vocab = scores.shape[1]
        scores = scores.view(self.batch, self.beams, vocab) + running.scores[:, :, None]
        number = min(max(2, 1 + len(self.eos)) * self.beams, self.beams * vocab)
        best, index = top(scores.flatten(1), number)  # 2 × (batch, candidates)
        parents, tokens = index // vocab, index % vocab
        done = self.ends(tokens)
        if self.length + 1 == self.max_length:
            done = torch.ones_like(done)
        return Continuations(parents, tokens, best, done)

    def write(self, running: Beams, continuations: Continuations) -> Beams:
        """Write the continuations out.

        Args:
            running: what they continue, (batch, beams).
            continuations: (batch, number).

        Returns:
            (batch, number).
        """
        ids = choose(running.ids, continuations.parents)  # (batch, number, max_length)
        ids[:, :, self.length] = continuations.tokens
        step = self.length - self.prompt_length
        origins = ids[:, :, :0]
        if running.origins.shape[2]:
            origins = choose(running.origins, continuations.parents)  # (batch, number, steps)
            origins[:, :, step] = continuations.parents + self.first_row
        steps = torch.full_like(continuations.tokens, step + 1)
        return Beams(ids, continuations.scores, continuations.done, steps, origins)

    def crown(
        self, finished: Beams, running: Beams, candidates: Continuations, improvable: Tensor
    ) -> Beams:
        """Let candidates that have just ended challenge those that ended before.

        Only those among the best `beams` may: the others are spares for the running beams.

        Args:
            finished: (batch, beams).
            running: what the candidates continue, (batch, beams).
            candidates: (batch, candidates).
            improvable: inputs whose search is not over yet, (batch, 1).

        Returns:
            The best that have ended, (batch, beams).
        """
        rank = torch.arange(candidates.scores.shape[1], device=improvable.device)
        eligible = candidates.done & (rank < self.beams)
        written = self.length + 1 - self.prompt_length
        scores = candidates.scores / written**self.options.length_penalty
        if self.options.early_stopping is True:
            scores = scores + finished.done.all(dim=1, keepdim=True) * IMPOSSIBLE
        scores = scores + ~improvable * IMPOSSIBLE + ~eligible * IMPOSSIBLE
        challengers = replace(self.write(running, candidates), scores=scores, done=eligible)
        pairs = [
            (getattr(finished, part.name), getattr(challengers, part.name))
            for part in fields(Beams)
        ]
        both = Beams(*(torch.cat(pair, dim=1) for pair in pairs))  # (batch, beams + candidates)
        return both.best(self.beams)

    def follow(self, running: Beams, candidates: Continuations, kept: Continuations) -> Beams:
        """Go on with the beams that live.

        Args:
            running: (batch, beams).
            candidates: for the trace, if that was asked for, (batch, candidates).
            kept: those that live, (batch, beams).

        Returns:
            What is running now, (batch, beams).
        """
        if self.options.return_trace:
            self.tree.append((candidates, kept))
        running = self.write(running, kept)
        self.cache.reorder((kept.parents + self.first_row).flatten())
        self.ids = running.ids.flatten(0, 1)  # (rows, max_length)
        self.length += 1
        return running

    def can_improve(self, running: Beams, finished: Beams) -> Tensor:
        """Tell for which inputs a running beam may still beat a finished one.

        A running beam can only lose log-probability, but what it will be divided by is not known.
        By default its present length is taken, which is quick to give up; with
        early_stopping="never" the longest possible, if long outputs are favoured.

        Args:
            running: (batch, beams).
            finished: (batch, beams).

        Returns:
            Boolean, (batch, 1).
        """
        options = self.options
        patient = options.early_stopping == "never" and options.length_penalty > 0
        length = (self.max_length if patient else self.length) - self.prompt_length
        best_running = running.scores[:, :1] / length**options.length_penalty  # (batch, 1)
        worst = finished.scores.min(dim=1, keepdim=True).values  # (batch, 1)
        worst = torch.where(finished.done, worst, IMPOSSIBLE)  # (batch, beams)
        return (best_running > worst).any(dim=1, keepdim=True)

    def finish(self, finished: Beams) -> GenerationOutput:
        """Hand over the best.

        Args:
            finished: (batch, beams), best first.

        Returns:
            The output.
        """
        number = self.options.num_return_sequences
        steps = int(finished.steps[:, :number].max())
        output = self.output(
            finished.ids[:, :number].flatten(0, 1)[:, : self.prompt_length + steps].clone(),
            finished.scores[:, :number].flatten(),
            finished.origins[:, :number].flatten(0, 1)[:, :steps],  # (sequences, steps)
        )
        return replace(output, trace=self.trace()) if self.options.return_trace else output

    def trace(self) -> tuple[tuple[BeamStep, ...], ...]:
        """Write the tree down in plain numbers.

        Returns:
            For each input, its steps.
        """
        inputs: list[list[BeamStep]] = [[] for _ in range(self.batch)]
        for pair in self.tree:
            parts = [[getattr(part, f.name).tolist() for f in fields(part)] for part in pair]
            for number, steps in enumerate(inputs):
                entries = [
                    tuple(
                        Candidate(*entry) for entry in zip(*(v[number] for v in part), strict=True)
                    )
                    for part in parts
                ]
                steps.append(BeamStep(candidates=entries[0], kept=entries[1]))
        return tuple(tuple(steps) for steps in inputs)


def best_token(scores: Tensor) -> Tensor:
    """Find the highest score of each row, as `argmax` does, but sooner in long rows.

    Args:
        scores: (rows, vocab).

    Returns:
        Its place, the first one of equals, (rows,).
    """
    size = group_size(scores.shape[1])
    if size < 32 or scores.shape[1] < 8192:
        return scores.argmax(dim=1)
    groups = scores.view(scores.shape[0], -1, size)  # (rows, groups, size)
    chosen = groups.amax(dim=2).argmax(dim=1, keepdim=True)  # (rows, 1)
    return choose(groups, chosen)[:, 0].argmax(dim=1) + chosen[:, 0] * size


def top(scores: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Find the highest scores, as `topk` does, but sooner in long rows.

    The best `number` entries stand in the `number` groups with the best maxima, and a maximum is
    cheap; so only those groups are sorted.

    Args:
        scores: (batch, width).
        number: how many.

    Returns:
        Scores and their places, each (batch, number), best first.
    """
    width = scores.shape[1]
    size = group_size(width)
    if number * size * 4 > width:
        return scores.topk(number)
    groups = scores.view(len(scores), -1, size)  # (batch, groups, size)
    chosen = groups.amax(dim=2).topk(number).indices  # (batch, number)
    best, index = choose(groups, chosen).flatten(1).topk(number)  # 2 × (batch, number)
    return best, chosen.gather(1, index // size) * size + index % size


@functools.cache
def group_size(width: int) -> int:
    """Find a size of groups that divides a width.

    Args:
        width: length of a row.

    Returns:
        The largest divisor up to 256; a large one leaves few groups to compare.
    """
    return max(size for size in range(1, 257) if width % size == 0)


def first_tokens(
    model: Decodable,
    input_ids: Tensor,
    decoder_input_ids: Tensor | None,
    options: GenerationOptions,
) -> Tensor:
    """Find out how the output begins.

    Args:
        model: any `Decodable`.
        input_ids: (batch, source).
        decoder_input_ids: (batch, prompt), or None.
        options: what was asked for.

    Returns:
        The prompt, (batch, prompt).

    Raises:
        ValueError: if the model needs a start token and there is none, or shapes do not fit.
        TypeError: if ids are no tensor, or the model has no decoder input of its own.
    """
    if not isinstance(input_ids, Tensor):
        raise TypeError(
            f"input_ids is a {type(input_ids).__name__}, but must be a tensor of token ids"
        )
    if not model.target_is_separate:
        if decoder_input_ids is not None:
            raise TypeError(
                f"decoder_input_ids has no meaning for {type(model).__name__}, whose output "
                "continues its input: put the tokens at the end of input_ids"
            )
        return input_ids
    start = options.decoder_start_token_id
    if start is None:
        start = getattr(model.config, "bos_token_id", None)
    if start is None:
        raise ValueError(
            "decoder_start_token_id is None and so is bos_token_id: the decoder needs a token to "
            "start from"
        )
    if decoder_input_ids is None:
        return input_ids.new_full((len(input_ids), 1), start)
    if decoder_input_ids.dim() != 2 or len(decoder_input_ids) != len(input_ids):
        raise ValueError(
            f"decoder_input_ids has shape {tuple(decoder_input_ids.shape)}, but must have one row "
            f"for each of the {len(input_ids)} rows of input_ids"
        )
    if bool((decoder_input_ids[:, 0] != start).all()):
        decoder_input_ids = nn.functional.pad(decoder_input_ids, (1, 0), value=start)
    return decoder_input_ids  # (batch, prompt)


def length_limit(
    model: Decodable,
    input_ids: Tensor,
    prompt_length: int,
    options: GenerationOptions,
    given: Mapping[str, Any],
) -> int:
    """Find out how long the output may get.

    Args:
        model: any `Decodable`.
        input_ids: (batch, source).
        prompt_length: length of the prompt.
        options: what was asked for.
        given: options that the caller set.

    Returns:
        Length with the prompt.

    Raises:
        ValueError: if the caller's limit is beyond the model's positions, leaves no room after the
            prompt, or is below the caller's minimum.
    """
    room = model.room(input_ids)
    if options.max_new_tokens is not None:
        limit = prompt_length + options.max_new_tokens
    else:
        limit = options.max_length or prompt_length + DEFAULT_MAX_NEW_TOKENS
    limits = ("max_new_tokens", "max_length")
    named = next((name for name in limits if given.get(name) is not None), None)
    if room is not None and limit > room:
        if named:
            right = room - (prompt_length if named == "max_new_tokens" else 0)
            raise ValueError(
                f"{named}={given[named]} goes beyond the positions that this model has learned: "
                f"with {prompt_length} token(s) there already, it can be at most {max(right, 0)}"
            )
        limit = room
    if limit <= prompt_length:
        raise ValueError(
            f"max_length={limit} leaves no room after the {prompt_length} token(s) that are there "
            "already: use max_new_tokens, which does not count them, or a shorter input"
        )
    least = options.min_length
    if options.min_new_tokens is not None:
        least = prompt_length + options.min_new_tokens
    if least > limit and ("min_length" in given or "min_new_tokens" in given):
        name = "min_new_tokens" if options.min_new_tokens is not None else "min_length"
        raise ValueError(
            f"{name}={getattr(options, name)} asks for {least} tokens with the prompt, more than "
            f"the limit of {limit}"
        )
    return limit
