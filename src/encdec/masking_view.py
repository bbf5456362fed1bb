"""Where the boxes of a masked text go: the layout behind :func:`encdec.plots.masked_tokens`.

Widths are counted in characters.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from encdec.objectives import FRAME, MASK, Denoised

VISIBLE = "visible"
STAND_IN = "stands for hidden text"
HIDDEN = "to be predicted"
REPEATED = "to be predicted, though visible"
AROUND = "begin, end, mode"

GAP = 0.4  # between blocks


@dataclass(frozen=True)
class Token:
    """A box.

    Attributes:
        text: what stands in it.
        kind: one of the constants of this module.
        sentence: the stretch of text it belongs to, where the input has another order than the
            text; None elsewhere.
        first: whether the sentence begins here.
    """

    text: str
    kind: str
    sentence: int | None = None
    first: bool = False

    @property
    def width(self) -> float:
        """Room for the text and a margin."""
        return len(self.text) + 1.2


@dataclass(frozen=True)
class Block:
    """Boxes of the input, and below them the boxes of the target that belong to them."""

    above: tuple[Token, ...] = ()
    below: tuple[Token, ...] = ()

    @property
    def width(self) -> float:
        """Of the longer row."""
        return max(sum(box.width for box in row) for row in (self.above, self.below))


@dataclass(frozen=True)
class Line:
    """Blocks side by side.

    Attributes:
        blocks: from left to right.
    """

    blocks: tuple[Block, ...]

    @property
    def rows(self) -> list[str]:
        """Names of the rows that hold a box."""
        above, below = (any(b.above for b in self.blocks), any(b.below for b in self.blocks))
        return ["input"] * above + ["target"] * below

    def boxes(self, row: str) -> Iterator[tuple[float, float, Token]]:
        """Left edge, width and content of every box of a row."""
        left = 0.0
        for block in self.blocks:
            boxes = block.above if row == "input" else block.below
            # What stands for hidden text is as wide as all that it stands for.
            room = block.width - sum(box.width for box in boxes)
            stretch = room / len(boxes) if boxes and row == "input" else 0.0
            x = left
            for box in boxes:
                yield x, box.width + stretch, box
                x += box.width + stretch
            left += block.width + GAP


def lay_out(example: Denoised, text: Callable[[int], str], columns: int) -> list[Line]:
    """Lines of blocks, no longer than a page is wide.

    Args:
        example: what one of :mod:`encdec.objectives` made of a text.
        text: shows a token id.
        columns: characters that a line holds; a longer box has a line of its own.

    Returns:
        Lines from top to bottom. Where the input keeps the order of the text, what is to be
        predicted stands below what stands for it; else all lines of the input come first.

    Raises:
        ValueError: the example does not know where its tokens stood.
    """
    if len(example.label_origin) != len(example.labels):
        raise ValueError(
            "example does not know where its tokens stood in the text: give one that a function of "
            "encdec.objectives returned."
        )
    hidden = set(example.hidden)
    above = _tokens(example.input_ids, example.input_origin.tolist(), text, hidden, VISIBLE)
    below = _tokens(example.labels, example.label_origin.tolist(), text, hidden, REPEATED)
    starts = _stretches(example)
    if len(starts) <= 1:
        return list(_lines(_aligned(example, above, below), columns))
    above = _numbered(above, example.input_origin.tolist(), starts)
    below = _numbered(below, example.label_origin.tolist(), starts)
    return [
        *_lines([Block(above=(box,)) for box in above], columns),
        *_lines([Block(below=(box,)) for box in below], columns),
    ]


def _tokens(
    ids: Sequence[int],
    origin: Sequence[int],
    text: Callable[[int], str],
    hidden: set[int],
    otherwise: str,
) -> list[Token]:
    special = {MASK: STAND_IN, FRAME: AROUND} | dict.fromkeys(hidden, HIDDEN)
    return [Token(text(i), special.get(o, otherwise)) for i, o in zip(ids, origin, strict=True)]


def _stretches(example: Denoised) -> list[int]:
    """Where the stretches of text begin that have kept their order in the input."""
    shown = [o for o in example.input_origin.tolist() if o >= 0]
    hidden = set(example.hidden)
    breaks = [b for a, b in pairwise(shown) if b < a or not hidden.issuperset(range(a + 1, b))]
    return sorted(shown[:1] + breaks)


def _numbered(boxes: list[Token], origin: Sequence[int], starts: list[int]) -> list[Token]:
    """Tell every visible token which stretch it belongs to, and where one begins.

    Hidden ones get no number: what is lost between two stretches belongs to one as well as another.
    """
    numbered, before = [], None
    for box, position in zip(boxes, origin, strict=True):
        if box.kind in (VISIBLE, REPEATED):
            sentence = bisect_right(starts, position) - 1
            box = replace(box, sentence=sentence, first=sentence != before)
            before = sentence
        numbered.append(box)
    return numbered


def _aligned(example: Denoised, above: list[Token], below: list[Token]) -> list[Block]:
    """Blocks in the order of the text.

    A block's key is a position and a rank: begin, then what is hidden before a visible token, then
    that token; at last what closes the target, and the end.
    """
    length = len(example.tokens)
    shown = [o for o in example.input_origin.tolist() if o >= 0]
    begin, closing, end = (-1, 0), (length, 2), (length, 3)

    def key(position: int) -> tuple[int, int]:
        index = bisect_left(shown, position)
        if index < len(shown) and shown[index] == position:
            return position, 1
        return (shown[index - 1] + 1 if index else 0), 0

    blocks: dict[tuple[int, int], tuple[list[Token], list[Token]]] = defaultdict(lambda: ([], []))
    place = begin
    for box, origin in zip(above, example.input_origin.tolist(), strict=True):
        if origin == FRAME:
            blocks[begin if place == begin else end][0].append(box)
            continue
        if origin >= 0:
            place = key(origin)
        elif place[1] or place == begin:  # masks side by side share a place
            place = (place[0] + 1, 0)
        blocks[place][0].append(box)
    place = end
    for box, origin in reversed(list(zip(below, example.label_origin.tolist(), strict=True))):
        if origin == FRAME:
            where = end if place == end else begin
        elif origin == MASK:  # it announces what follows
            where = closing if place == end else place
        else:
            where = place = key(origin)
        blocks[where][1].insert(0, box)
    return [Block(tuple(blocks[k][0]), tuple(blocks[k][1])) for k in sorted(blocks)]


def _lines(blocks: Sequence[Block], columns: int) -> Iterator[Line]:
    """Fill lines with blocks; what does not fit goes on in the next line."""
    line: list[Block] = []
    room = float(columns)
    for block in blocks:
        rest: Block | None = block
        while rest:
            head, rest = _cut(rest, room, must=not line)
            if head:
                line.append(head)
                room -= head.width + GAP
            if rest:
                yield Line(tuple(line))
                line, room = [], float(columns)
    if line:
        yield Line(tuple(line))


def _cut(block: Block, room: float, *, must: bool) -> tuple[Block | None, Block | None]:
    """What of a block fits into the room that is left, and the rest.

    With ``must`` there is something that fits, however long it is.
    """
    ends = list(accumulate(box.width for box in block.below))
    fitting = bisect_right(ends, room) if sum(box.width for box in block.above) <= room else 0
    if block.width <= room or (must and len(ends) < 2):
        return block, None
    fitting = max(fitting, 1) if must else fitting
    if not fitting:
        return None, block
    goes_on = tuple(replace(box, text="…") for box in block.above)
    return Block(block.above, block.below[:fitting]), Block(goes_on, block.below[fitting:])
