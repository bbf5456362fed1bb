"""A task of our own making: write down a number that is dictated digit by digit.

"double seven oh triple two" is 770222. Source and target differ in length, every word counts, and
there are as many examples of every length as one asks for. Speech recognisers solve a larger task
of this kind to show numbers as digits ("inverse text normalisation").
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import groupby

from encdec.data.collate import Example

NAMES = ("oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TIMES = ("double", "triple")
PAD, EOS = 0, 1  # in both vocabularies; padding starts the decoder as well
WORDS = ("<pad>", "</s>", *NAMES, *TIMES)
SYMBOLS = ("<pad>", "</s>", *"0123456789")
LIKELY = (0.6, 0.25, 0.15)  # that a digit is said once, twice, three times


def dictate(digits: str) -> list[str]:
    """Say a number as people say telephone numbers.

    Args:
        digits: such as "770222"; four equal digits in a row are three and one.

    Returns:
        Words, such as ``["double", "seven", "oh", "triple", "two"]``.

    Raises:
        ValueError: if something else than 0 to 9 is among the digits.
    """
    words: list[str] = []
    for digit, run in groupby(digits):
        if digit not in SYMBOLS[2:]:
            raise ValueError(f"digits={digits!r} holds {digit!r}: only 0 to 9 can be dictated")
        name, left = NAMES[int(digit)], len(list(run))
        words += ["triple", name] * (left // 3)
        words += [[], [name], ["double", name]][left % 3]
    return words


def write_down(words: Iterable[str]) -> str:
    """Undo `dictate` by rule, which is what a network has to learn.

    Args:
        words: such as ``["double", "seven", "oh"]``.

    Returns:
        Digits, such as "770".

    Raises:
        ValueError: if a word is unknown, or nothing follows "double" or "triple".
    """
    digits, times = "", 1
    for word in words:
        if word in TIMES and times == 1:
            times = TIMES.index(word) + 2
        elif word in NAMES:
            digits += str(NAMES.index(word)) * times
            times = 1
        else:
            raise ValueError(f"words holds {word!r} where a digit's name was expected")
    if times > 1:
        raise ValueError(f"words ends with {TIMES[times - 2]!r}: the digit is missing")
    return digits


def draw(words: int, generator: random.Random) -> str:
    """Draw a number whose dictation has a given length.

    Args:
        words: how many words it takes to say it.
        generator: source of the draws.

    Returns:
        Digits, no more than three equal ones in a row.

    Raises:
        ValueError: if there are no words.
    """
    if words < 1:
        raise ValueError(f"words={words} must be at least 1")
    digits = ""
    while words:
        digit = generator.choice([d for d in SYMBOLS[2:] if not digits.endswith(d)])
        times = generator.choices((1, 2, 3), LIKELY)[0] if words > 1 else 1
        digits += digit * times
        words -= 1 if times == 1 else 2
    return digits


def encode(digits: str) -> Example:
    """Make a training example: the dictation as source, the digits as target.

    Args:
        digits: such as "770222".

    Returns:
        Ids in `WORDS` and in `SYMBOLS`, both ending with `EOS`.
    """
    source = [WORDS.index(word) for word in dictate(digits)]
    return Example([*source, EOS], [*(SYMBOLS.index(digit) for digit in digits), EOS])


def decode(ids: Sequence[int]) -> str:
    """Read what a model wrote, up to the end-of-sequence token.

    Args:
        ids: in `SYMBOLS`, with or without the start token in front.

    Returns:
        Digits; a token that is none is left out.
    """
    written = ids[: ids.index(EOS)] if EOS in ids else ids
    return "".join(SYMBOLS[i] for i in written if i > EOS)
