"""Instructions on lists of letters, of one step or of several, that a program can carry out.

"reverse, swap: d a c" is first "c a d", then "a c d". Lists and programs of every length can be
drawn, and the right answer is known after each step.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Iterable, Sequence

from encdec.data.collate import Example

LETTERS = string.ascii_lowercase
STEPS: dict[str, Callable[[str], str]] = {
    "copy": lambda letters: letters,
    "reverse": lambda letters: letters[::-1],
    "sort": lambda letters: "".join(sorted(letters)),
    "rotate": lambda letters: letters[1:] + letters[:1],
    "swap": lambda letters: letters[1::-1] + letters[2:],
}
PAD, EOS = 0, 1  # padding starts the decoder as well
THEN = ";"  # between the lists of a target that shows its steps
SYMBOLS = ("<pad>", "</s>", THEN, *STEPS, *LETTERS)

_IDS = {symbol: number for number, symbol in enumerate(SYMBOLS)}


def carry_out(steps: Iterable[str], letters: str) -> list[str]:
    """Follow instructions by rule, which is what a network has to learn.

    Args:
        steps: names in `STEPS`, in the order in which they are carried out.
        letters: such as "dac".

    Returns:
        The list after each step; the last one is the answer.

    Raises:
        ValueError: if a step is unknown.
    """
    found: list[str] = []
    for step in steps:
        if step not in STEPS:
            raise ValueError(f"steps holds {step!r}: known are {', '.join(STEPS)}")
        letters = STEPS[step](letters)
        found.append(letters)
    return found


def draw(length: int, generator: random.Random, alphabet: int = len(LETTERS)) -> str:
    """Draw a list without repetitions.

    Args:
        length: number of letters, at least 1.
        generator: source of the draws.
        alphabet: how many letters there are to draw from, up to 26.

    Returns:
        Different letters, in any order.

    Raises:
        ValueError: if there are not so many letters.
    """
    if not 1 <= length <= min(alphabet, len(LETTERS)):
        raise ValueError(
            f"length={length} must be from 1 to the number of letters, alphabet={alphabet}"
        )
    return "".join(generator.sample(LETTERS[:alphabet], length))


def draw_steps(
    real: int, slots: int, generator: random.Random, among: Sequence[str] = tuple(STEPS)
) -> list[str]:
    """Draw an instruction in which some steps change something, and the others copy.

    Instructions of one to five steps can so be equally long: what a model does with more steps is
    then not mixed up with what it does with more tokens.

    Args:
        real: number of steps that are no copy.
        slots: number of all steps.
        generator: source of the draws.
        among: the steps to choose from; "copy" is left out.

    Returns:
        Names in `STEPS`, the real ones at random places.

    Raises:
        ValueError: if there are more real steps than slots.
    """
    if not 0 <= real <= slots:
        raise ValueError(f"real={real} must be from 0 to slots={slots}")
    steps = ["copy"] * slots
    for place in generator.sample(range(slots), real):
        steps[place] = generator.choice([step for step in among if step != "copy"])
    return steps


def encode(steps: Sequence[str], letters: str, *, show_steps: bool = False) -> Example:
    """Make a training example.

    Args:
        steps: the instruction, names in `STEPS`.
        letters: what it is about.
        show_steps: whether the target holds the list after each step, or the last one only.

    Returns:
        Ids in `SYMBOLS`, source and target, both ending with `EOS`.
    """
    lists = carry_out(steps, letters)
    target = THEN.join(lists) if show_steps else lists[-1]
    return Example([_IDS[s] for s in (*steps, *letters)] + [EOS], [_IDS[s] for s in target] + [EOS])


def decode(ids: Sequence[int]) -> str:
    """Read what a model wrote, up to the end-of-sequence token.

    Args:
        ids: in `SYMBOLS`, with or without the start token in front.

    Returns:
        Letters, with `THEN` between lists; a step's name where a letter should stand is "?".
    """
    written = list(ids[: ids.index(EOS)] if EOS in ids else ids)
    return "".join(s if len(s) == 1 else "?" for s in (SYMBOLS[i] for i in written if i > EOS))
