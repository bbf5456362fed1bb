"""Instant checks for exercises: they say what is wrong with an answer, not only that it is.

A check prints one line and returns a :class:`Verdict`, which is true if the answer is right::

    check.value(bleu, 0.42, symptoms={0.84: "the brevity penalty is missing."})
    check.tensor(mask, causal_mask(4))
    check.function(count_bigrams, [(("a b a b",), {("a", "b"): 2, ("b", "a"): 1})])

A symptom is a wrong answer that readers are known to give, with a sentence about its cause. An
answer that is still ``...`` is "not answered yet", so that a stub fails softly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

Symptoms = Mapping[Any, str] | Sequence[tuple[Callable[[Any], bool], str]]


@dataclass(frozen=True)
class Verdict:
    """The outcome of a check.

    Attributes:
        right: whether the answer is right.
        message: the line that was printed.
    """

    right: bool
    message: str

    def __bool__(self) -> bool:
        """Whether the answer is right."""
        return self.right

    def _ipython_display_(self) -> None:
        """Nothing: the line is printed already, also where a check ends a cell."""


def value(
    answer: Any,
    expected: Any,
    *,
    name: str = "the answer",
    tolerance: float = 1e-3,
    symptoms: Symptoms = (),
) -> Verdict:
    """Check a number, a text, a list or any other value.

    Args:
        answer: the reader's.
        expected: the right one. Numbers, also inside lists, tuples and dictionaries, may differ
            from it by ``tolerance``.
        name: what the line calls the answer.
        tolerance: relative to the expected number, and absolute below one.
        symptoms: known wrong answers and what causes them: a dictionary from answer to sentence, or
            pairs of a test and a sentence.

    Returns:
        The verdict, true if the answer is right.
    """
    return _say(_value(answer, expected, name, tolerance, symptoms))


def _value(answer: Any, expected: Any, name: str, tolerance: float, symptoms: Symptoms) -> Verdict:
    if _open(answer):
        return _not_answered(name)
    if isinstance(expected, Tensor | np.ndarray):
        return _tensor(answer, expected, name, tolerance, symptoms)
    if _agree(answer, expected, tolerance):
        return _right(f"{name} is {_shown(answer)}")
    cause = _cause(answer, symptoms, tolerance) or _difference(answer, expected, tolerance)
    return _wrong(f"{name} is {_shown(answer)}: {cause}")


def tensor(
    answer: Any,
    expected: Any,
    *,
    name: str = "the tensor",
    tolerance: float = 1e-4,
    symptoms: Symptoms = (),
) -> Verdict:
    """Check a tensor or an array: its kind, its shape, then its values.

    Args:
        answer: the reader's.
        expected: the right one.
        name: what the line calls the answer.
        tolerance: for each entry, relative to the expected one, and absolute below one.
        symptoms: pairs of a test and a sentence, tried once the shape is right.

    Returns:
        The verdict, true if all entries are right.
    """
    return _say(_tensor(answer, expected, name, tolerance, symptoms))


def _tensor(answer: Any, expected: Any, name: str, tolerance: float, symptoms: Symptoms) -> Verdict:
    if _open(answer):
        return _not_answered(name)
    if not isinstance(answer, Tensor | np.ndarray):
        return _wrong(f"{name} is a {type(answer).__name__}, and should be a tensor.")
    got, want = _as_tensor(answer), _as_tensor(expected)
    if got.shape != want.shape:
        return _wrong(f"{name} has the shape {tuple(got.shape)}: {_shape_cause(got, want)}")
    if (got.dtype == torch.bool) != (want.dtype == torch.bool):
        return _wrong(f"{name} holds {got.dtype}, and should hold {want.dtype}.")
    close = _close(got, want, tolerance)
    if bool(close.all()):
        return _right(f"{name} has the shape {tuple(got.shape)} and the right values")
    cause = _cause(answer, symptoms, tolerance) or _tensor_cause(got, want, tolerance)
    return _wrong(f"{name} has the right shape, but {cause or _entries(got, want, close)}")


def function(
    candidate: Any,
    cases: Iterable[tuple[tuple[Any, ...], Any]],
    *,
    name: str = "",
    tolerance: float = 1e-3,
    symptoms: Symptoms = (),
) -> Verdict:
    """Check a function on cases; the first one that fails is shown.

    Args:
        candidate: the reader's function.
        cases: pairs of the arguments, as a tuple, and the right result.
        name: what the line calls the function; its own name when omitted.
        tolerance: for numbers in a result.
        symptoms: known wrong results and what causes them.

    Returns:
        The verdict, true if every case gives the right result.
    """
    name = name or getattr(candidate, "__name__", "the function")
    return _say(_function(candidate, cases, name, tolerance, symptoms))


def _function(
    candidate: Any,
    cases: Iterable[tuple[tuple[Any, ...], Any]],
    name: str,
    tolerance: float,
    symptoms: Symptoms,
) -> Verdict:
    if _open(candidate):
        return _not_answered(name)
    if not callable(candidate):
        return _wrong(f"{name} is a {type(candidate).__name__}, and should be a function.")
    passed = 0
    for arguments, expected in cases:
        call = f"{name}({', '.join(map(_shown, arguments))})"
        try:
            result = candidate(*arguments)
        except Exception as error:
            return _wrong(f"{call} raises {type(error).__name__}: {_one_line(error)}")
        if _open(result):
            return _not_answered(name)
        if result is None and expected is not None:
            return _wrong(f"{call} returns None: is there a `return` on every path?")
        verdict = _value(result, expected, call, tolerance, symptoms)
        if not verdict:
            return verdict
        passed += 1
    return _right(f"{name} is right in {passed} case{'s' if passed != 1 else ''}")


def that(condition: Any, otherwise: str, *, name: str = "the answer") -> Verdict:
    """Check a property that no single expected value can express.

    Args:
        condition: whether the property holds; ``...`` counts as not answered.
        otherwise: what the reader sees if it does not: the symptom and where to look.
        name: what the line calls the answer.

    Returns:
        The verdict.
    """
    if _open(condition):
        return _say(_not_answered(name))
    return _say(_right(f"{name} passes") if bool(condition) else _wrong(f"{name}: {otherwise}"))


# Verdicts ---------------------------------------------------------------------------------------


def _say(verdict: Verdict) -> Verdict:
    print(verdict.message)
    return verdict


def _right(message: str) -> Verdict:
    return Verdict(True, f"Right: {message}.")


def _wrong(message: str) -> Verdict:
    return Verdict(False, f"Not yet: {message}")


def _not_answered(name: str) -> Verdict:
    return Verdict(False, f"Not answered yet: {name}.")


# Comparisons ------------------------------------------------------------------------------------


def _open(answer: Any) -> bool:
    return answer is ...


def _is_number(thing: Any) -> bool:
    if isinstance(thing, Tensor | np.ndarray):
        return thing.ndim == 0
    return isinstance(thing, int | float | np.number) and not isinstance(thing, bool)


def _agree(answer: Any, expected: Any, tolerance: float) -> bool:
    if _is_number(expected):
        if not _is_number(answer):
            return False
        return math.isclose(float(answer), float(expected), rel_tol=tolerance, abs_tol=tolerance)
    if isinstance(expected, Tensor | np.ndarray):
        if not isinstance(answer, Tensor | np.ndarray) or answer.shape != expected.shape:
            return False
        return bool(_close(_as_tensor(answer), _as_tensor(expected), tolerance).all())
    if isinstance(expected, Mapping):
        return (
            isinstance(answer, Mapping)
            and answer.keys() == expected.keys()
            and all(_agree(answer[key], expected[key], tolerance) for key in expected)
        )
    if isinstance(expected, list | tuple):
        return (
            isinstance(answer, list | tuple)
            and len(answer) == len(expected)
            and all(_agree(a, e, tolerance) for a, e in zip(answer, expected, strict=True))
        )
    return bool(answer == expected)


def _as_tensor(array: Any) -> Tensor:
    return torch.as_tensor(array).detach().cpu()


def _close(got: Tensor, want: Tensor, tolerance: float) -> Tensor:
    got, want = got.to(torch.float64), want.to(torch.float64)
    return torch.isclose(got, want, rtol=tolerance, atol=tolerance, equal_nan=True)


# Causes -----------------------------------------------------------------------------------------


def _cause(answer: Any, symptoms: Symptoms, tolerance: float) -> str:
    """The sentence of the first symptom that the answer shows."""
    if isinstance(symptoms, Mapping):
        matches = (s for wrong, s in symptoms.items() if _agree(answer, wrong, tolerance))
        return next(matches, "")
    for test, sentence in symptoms:
        try:
            if test(answer):
                return sentence
        except Exception:  # a test made for another kind of answer tells nothing about this one
            continue
    return ""


def _difference(answer: Any, expected: Any, tolerance: float) -> str:
    """What is wrong with a value, without giving the right one away where that would be all."""
    if _is_number(expected):
        return _number_difference(answer, float(expected), tolerance)
    if isinstance(expected, Mapping) and isinstance(answer, Mapping):
        return _mapping_difference(answer, expected, tolerance)
    if isinstance(expected, list | tuple) and isinstance(answer, list | tuple):
        return _sequence_difference(answer, expected, tolerance)
    if isinstance(expected, str) and isinstance(answer, str):
        return _text_difference(answer, expected)
    if type(answer) is not type(expected):
        return f"it is a {type(answer).__name__}, and should be a {type(expected).__name__}."
    return "that is not right."


def _number_difference(answer: Any, expected: float, tolerance: float) -> str:
    if not _is_number(answer):
        return f"it is a {type(answer).__name__}, and should be a number."
    number = float(answer)
    if math.isnan(number):
        return "it is not a number: look for a division of zero by zero or a row with no entries."
    if expected and math.isclose(number, -expected, rel_tol=tolerance):
        return "the sign is wrong."
    if expected and math.isclose(number, 100 * expected, rel_tol=tolerance):
        return "it is a hundred times too large: a percentage where a fraction is asked for."
    if expected and math.isclose(100 * number, expected, rel_tol=tolerance):
        return "it is a hundred times too small: a fraction where a percentage is asked for."
    return "it is too large." if number > expected else "it is too small."


def _mapping_difference(answer: Any, expected: Any, tolerance: float) -> str:
    missing = [key for key in expected if key not in answer]
    surplus = [key for key in answer if key not in expected]
    if missing:
        return f"the key {_shown(missing[0])} is missing."
    if surplus:
        return f"the key {_shown(surplus[0])} does not belong there."
    key = next(key for key in expected if not _agree(answer[key], expected[key], tolerance))
    return f"the entry {_shown(key)} is {_shown(answer[key])}, and that is not right."


def _sequence_difference(answer: Any, expected: Any, tolerance: float) -> str:
    if len(answer) != len(expected):
        return f"it has {len(answer)} entries, and should have {len(expected)}."
    pairs = enumerate(zip(answer, expected, strict=True))
    place = next(i for i, (a, e) in pairs if not _agree(a, e, tolerance))
    return f"entry {place} is {_shown(answer[place])}, and that is not right."


def _text_difference(answer: str, expected: str) -> str:
    if answer.strip() == expected.strip():
        return "it differs only in white space at its ends."
    if answer.lower() == expected.lower():
        return "it differs only in capital letters."
    place = next(
        (i for i, (a, e) in enumerate(zip(answer, expected, strict=False)) if a != e),
        min(len(answer), len(expected)),
    )
    return f"it goes wrong at character {place}."


def _shape_cause(got: Tensor, want: Tensor) -> str:
    should = f"it should be {tuple(want.shape)}"
    if got.ndim == want.ndim and sorted(got.shape) == sorted(want.shape):
        return f"{should}; are two dimensions swapped?"
    if got.squeeze().shape == want.squeeze().shape:
        more = "too many" if got.ndim > want.ndim else "missing"
        return f"{should}; a dimension of size one is {more}."
    return f"{should}."


def _tensor_cause(got: Tensor, want: Tensor, tolerance: float) -> str:
    """What a wrong tensor looks like, if that gives its cause away."""
    if got.dtype == torch.bool:
        if torch.equal(got, ~want):
            return "True and False are exchanged."
        return "it is transposed." if _transposed(got, want, tolerance) else ""
    got, want = got.to(torch.float64), want.to(torch.float64)
    if bool(got.isnan().any()) and not bool(want.isnan().any()):
        return "holds NaN: is a softmax taken over a row that is masked everywhere?"
    if not bool(got.any()):
        return "all its entries are zero."
    if got.ndim >= 2 and got.shape[-2] > 1:
        first = got[..., :1, :].expand_as(got)
        if bool(_close(got, first, tolerance).all()) and not bool(
            _close(want, want[..., :1, :].expand_as(want), tolerance).all()
        ):
            return "all its rows are equal: does the query take part in it?"
    if _transposed(got, want, tolerance):
        return "it is transposed."
    if got.ndim and _sums_to_one(want, tolerance) and not _sums_to_one(got, tolerance):
        columns = got.ndim >= 2 and _sums_to_one(got.transpose(-1, -2), tolerance)
        other = "; its columns do: the softmax runs over the wrong dimension" if columns else ""
        return f"its rows do not sum to one{other}."
    factor = _factor(got, want, tolerance)
    return f"every entry is {factor:.4g} times what it should be." if factor else ""


def _transposed(got: Tensor, want: Tensor, tolerance: float) -> bool:
    if got.ndim < 2 or got.shape[-1] != got.shape[-2]:
        return False
    return bool(_close(got.transpose(-1, -2), want, tolerance).all())


def _sums_to_one(weights: Tensor, tolerance: float) -> bool:
    sums = weights.sum(-1)
    return bool(_close(sums, torch.ones_like(sums), tolerance).all())


def _factor(got: Tensor, want: Tensor, tolerance: float) -> float:
    """By which factor all entries are off, or 0 if it is not the same for all."""
    nonzero = want != 0
    if not bool(nonzero.any()):
        return 0.0
    ratio = float(got[nonzero][0] / want[nonzero][0])
    return ratio if bool(_close(got, ratio * want, tolerance).all()) else 0.0


def _entries(got: Tensor, want: Tensor, close: Tensor) -> str:
    wrong = (~close).nonzero()
    where = tuple(wrong[0].tolist())
    is_, should = got[where].item(), want[where].item()
    numbers = f"{_shown(is_)}, and should be {_shown(should)}"
    return (
        f"{len(wrong)} of {close.numel()} entries are wrong; the first, at {where}, is {numbers}."
    )


# Words ------------------------------------------------------------------------------------------


def _shown(thing: Any) -> str:
    if isinstance(thing, Tensor | np.ndarray):
        if thing.ndim:
            return f"a tensor of shape {tuple(thing.shape)}"
        thing = thing.item()
    if isinstance(thing, float | np.floating):
        return f"{float(thing):.4g}"
    text = repr(thing)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 160 else f"{text[:157]}..."
