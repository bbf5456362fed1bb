"""Everything that can be asked of `generate`, and what is said to a wish that makes no sense."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, Self

import torch
from torch import Tensor

DEFAULT_MAX_NEW_TOKENS = 128
"""How much is written if neither the caller nor the checkpoint sets a limit."""


@dataclass(frozen=True, kw_only=True)
class GenerationOptions:
    """Everything that can be asked of `generate`.

    What the caller does not set, the checkpoint may recommend (`config.generation`); what neither
    sets has the value below.

    Args:
        max_new_tokens: how many tokens to write at most. If neither this nor `max_length` is set
            by anyone, `DEFAULT_MAX_NEW_TOKENS`, or what fits into the model's learned positions.
        max_length: the same, counted with the prompt (an encoder–decoder's prompt is its start
            token). Give one of the two.
        min_new_tokens: how many tokens to write at least before the end is allowed.
        min_length: the same, counted with the prompt.
        num_beams: hypotheses kept for each input; 1 is greedy search.
        num_return_sequences: how many of the best hypotheses, or how many samples, to return.
        length_penalty: a hypothesis's log-probability is divided by its length to this power:
            above 0 favours long outputs, below 0 short ones.
        early_stopping: when beam search is done with an input: True as soon as there are
            `num_beams` finished hypotheses; False when the best running one, at its present
            length, is worse than all finished ones; "never" when no running one could still
            become better.
        no_repeat_ngram_size: no sequence of so many tokens is written twice; 0 allows all.
        repetition_penalty: scores of tokens that are already there are divided by this if
            positive and multiplied if negative; 1 changes nothing.
        do_sample: draw tokens at random instead of searching.
        temperature: scores are divided by this before sampling: below 1 is bolder on likely tokens.
        top_k: sample among the k most likely tokens only; None among all. (transformers cuts at
            50 unless told otherwise.)
        top_p: sample among the fewest tokens that together have this probability.
        min_p: sample among tokens at least this times as likely as the likeliest.
        generator: source of randomness; torch's global one if None.
        pad_token_id: fills rows that ended early.
        eos_token_id: ends a row; several ids may do so.
        decoder_start_token_id: first input of an encoder–decoder's decoder.
        forced_bos_token_id: first token written, whatever the scores.
        forced_eos_token_id: token written where the length limit is reached.
        bad_words_ids: sequences of tokens that are never completed.
        suppress_tokens: tokens that are never written.
        output_attentions: whether to return attention weights.
        output_step_scores: whether to return the scores of every step.
        return_trace: whether beam search returns its tree, step by step.
        on_tokens: called with the new tokens, (rows,), at every step of greedy search and
            sampling.

    The papers behind the options stand in `encdec.processors`.
    """

    max_new_tokens: int | None = None
    max_length: int | None = None
    min_new_tokens: int | None = None
    min_length: int = 0
    num_beams: int = 1
    num_return_sequences: int = 1
    length_penalty: float = 1.0
    early_stopping: bool | Literal["never"] = False
    no_repeat_ngram_size: int = 0
    repetition_penalty: float = 1.0
    do_sample: bool = False
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    generator: torch.Generator | None = None
    pad_token_id: int | None = None
    eos_token_id: int | Sequence[int] | None = None
    decoder_start_token_id: int | None = None
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | Sequence[int] | None = None
    bad_words_ids: Sequence[Sequence[int]] = ()
    suppress_tokens: Sequence[int] = ()
    output_attentions: bool = False
    output_step_scores: bool = False
    return_trace: bool = False
    on_tokens: Callable[[Tensor], None] | None = None

    @classmethod
    def resolve(cls, config: Any, given: Mapping[str, Any]) -> Self:
        """Join the caller's wishes, the checkpoint's advice and the usual values.

        Args:
            config: the model's configuration.
            given: what the caller set.

        Returns:
            Options that were checked.

        Raises:
            TypeError: if an option is unknown or of the wrong type.
            ValueError: if a value is impossible, or two contradict each other.
        """
        known = [each.name for each in fields(cls)]
        for name in given:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"options are {', '.join(known)}"
                raise TypeError(f"unknown option {name!r}: {hint}")
        special = {name: getattr(config, name) for name in known if hasattr(config, name)}
        advice = dict(getattr(config, "generation", {}))
        if given.get("do_sample"):
            advice.pop("num_beams", None)  # advice for searching, which the caller did not ask for
        for same in (("max_new_tokens", "max_length"), ("min_new_tokens", "min_length")):
            if any(name in given for name in same):
                for name in same:
                    advice.pop(name, None)
        options = cls(
            **{**special, **{name: advice[name] for name in advice if name in known}, **given}
        )
        for name in _LIMITS:
            _check_value(name, getattr(options, name))
        _check_together(options, given)
        return options


_LIMITS: dict[str, tuple[type | tuple[type, ...], Callable[[Any], bool], str]] = {
    "max_new_tokens": (int, lambda value: value >= 1, "at least 1"),
    "max_length": (int, lambda value: value >= 2, "at least 2: it counts the prompt"),
    "min_new_tokens": (int, lambda value: value >= 0, "at least 0"),
    "min_length": (int, lambda value: value >= 0, "at least 0"),
    "num_beams": (int, lambda value: value >= 1, "at least 1; 1 is greedy search"),
    "num_return_sequences": (int, lambda value: value >= 1, "at least 1"),
    "length_penalty": ((int, float), lambda value: abs(value) < 100, "a moderate number"),
    "early_stopping": (
        (bool, str),
        lambda value: value in (True, False, "never"),
        'True, False or "never"',
    ),
    "no_repeat_ngram_size": (int, lambda value: value >= 0, "at least 0; 0 allows all"),
    "repetition_penalty": ((int, float), lambda value: value > 0, "above 0; 1 changes nothing"),
    "do_sample": (bool, lambda value: True, ""),
    "temperature": (
        (int, float),
        lambda value: value > 0,
        "above 0; for the likeliest token use do_sample=False",
    ),
    "top_k": (int, lambda value: value >= 1, "at least 1, or None for all tokens"),
    "top_p": ((int, float), lambda value: 0 < value <= 1, "above 0 and at most 1"),
    "min_p": ((int, float), lambda value: 0 <= value <= 1, "between 0 and 1"),
    "generator": (torch.Generator, lambda value: True, ""),
}


def _check_value(name: str, value: Any) -> None:
    """Refuse a value of the wrong type, or one that is impossible by itself."""
    kind, fits, right = _LIMITS[name]
    if value is None and name not in ("num_beams", "num_return_sequences"):
        return
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        expected = " or ".join(each.__name__ for each in kinds)
        raise TypeError(f"{name}={value!r} is a {type(value).__name__}, but must be {expected}")
    if not fits(value):
        raise ValueError(f"{name}={value!r} must be {right}")


def _check_together(options: GenerationOptions, given: Mapping[str, Any]) -> None:
    """Refuse values that contradict each other."""
    if "max_new_tokens" in given and "max_length" in given:
        raise ValueError(
            f"max_new_tokens={options.max_new_tokens} and max_length={options.max_length} both "
            "limit the length: give one of them"
        )
    if options.do_sample and options.num_beams > 1:
        raise ValueError(
            f"do_sample=True with num_beams={options.num_beams}: sampling keeps no beams; for "
            "several samples use num_return_sequences"
        )
    for name in ("temperature", "top_k", "top_p", "min_p", "generator"):
        if given.get(name) is not None and not options.do_sample:
            raise ValueError(
                f"{name}={given[name]!r} has an effect in sampling only: add do_sample=True"
            )
    if not options.do_sample and options.num_return_sequences > options.num_beams:
        raise ValueError(
            f"num_return_sequences={options.num_return_sequences} is more than num_beams="
            f"{options.num_beams}: a search returns at most as many as it keeps"
        )
    if options.return_trace and options.do_sample:
        raise ValueError("return_trace=True shows the tree of a beam search: drop do_sample")
