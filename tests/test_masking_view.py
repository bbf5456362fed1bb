import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdec import masking_view as view
from encdec.objectives import (
    FRAME,
    MASK,
    Denoised,
    causal_lm,
    gap_sentences,
    mixture_of_denoisers,
    prefix_lm,
    sentence_permutation,
    shuffle_and_infill,
    span_corruption,
    text_infilling,
)

EOS, BLANK = 1, 2
SENTINELS = list(range(90, 100))

# "a b c d e" with "b c" hidden, as span corruption and as infilling show it
SPANS = Denoised(
    [10, 90, 13, 14, EOS], [90, 11, 12, 91, EOS],
    [0, MASK, 3, 4, FRAME], [MASK, 1, 2, MASK, FRAME],
)  # fmt: skip
INFILLED = Denoised(
    [10, BLANK, 13, BLANK, 14, EOS], [10, 11, 12, 13, 14, EOS],
    [0, MASK, 3, MASK, 4, FRAME], [0, 1, 2, 3, 4, FRAME],
)  # fmt: skip


def name(token):
    names = {EOS: "</s>", BLANK: "<mask>", 80: "[R]", 90: "<0>", 91: "<1>", 92: "<2>", 93: "<3>"}
    return names.get(token, "abcdefghijklmnopqrstuvwxyz"[(token - 10) % 26])


def blocks(example, columns=84):
    """Each block as the texts above and the texts below."""
    return [
        tuple(" ".join(box.text for box in row) for row in (block.above, block.below))
        for line in view.lay_out(example, name, columns)
        for block in line.blocks
    ]


def test_hidden_text_stands_below_its_sentinel():
    assert blocks(SPANS) == [
        ("a", ""), ("<0>", "<0> b c"), ("d", ""), ("e", ""), ("", "<1>"), ("</s>", "</s>"),
    ]  # fmt: skip


def test_a_mask_that_stands_for_nothing_has_nothing_below():
    assert blocks(INFILLED) == [
        ("a", "a"), ("<mask>", "b c"), ("d", "d"), ("<mask>", ""), ("e", "e"), ("</s>", "</s>"),
    ]  # fmt: skip


def test_masks_side_by_side_share_what_is_below():
    example = gap_sentences([[10, 11], [10, 11], [12]], number=2, mask_token_id=2, eos_token_id=1)
    assert blocks(example) == [("<mask> <mask>", "a b a b"), ("c", ""), ("</s>", "</s>")]


def test_a_mode_comes_first_and_a_mask_may_follow():
    example = Denoised(
        [80, 90, 11, EOS], [90, 10, 91, EOS], [FRAME, MASK, 1, FRAME], [MASK, 0, MASK, FRAME]
    )
    assert blocks(example) == [
        ("[R]", ""), ("<0>", "<0> a"), ("b", ""), ("", "<1>"), ("</s>", "</s>"),
    ]  # fmt: skip


def test_language_models():
    generator = np.random.default_rng(0)
    assert blocks(causal_lm([10, 11])) == [("", "a b")]
    prefix = prefix_lm([10, 11], generator, eos_token_id=EOS)
    assert blocks(prefix) == [("a", ""), ("", "b"), ("</s>", "</s>")]


def kinds(example):
    boxes = [
        (box.text, box.kind)
        for line in view.lay_out(example, name, 84)
        for row in line.rows
        for _, _, box in line.boxes(row)
    ]
    return set(boxes)


def test_boxes_say_what_they_are():
    assert kinds(INFILLED) == {
        *((letter, view.VISIBLE) for letter in "ade"),
        *((letter, view.REPEATED) for letter in "ade"),
        ("b", view.HIDDEN),
        ("c", view.HIDDEN),
        ("<mask>", view.STAND_IN),
        ("</s>", view.AROUND),
    }


def test_what_stands_for_hidden_text_is_as_wide():
    (line,) = view.lay_out(SPANS, name, 84)
    (sentinel,) = [(x, x + w) for x, w, box in line.boxes("input") if box.text == "<0>"]
    below = [(x, x + w) for x, w, box in line.boxes("target") if box.text in ("<0>", "b", "c")]
    assert sentinel == pytest.approx((below[0][0], below[-1][1]))


def test_shuffled_sentences_are_numbered_in_the_order_of_the_text():
    example = Denoised(
        [12, 13, 10, 11, EOS], [10, 11, 12, 13, EOS], [2, 3, 0, 1, FRAME], [0, 1, 2, 3, FRAME]
    )
    above, below = view.lay_out(example, name, 84)
    assert (above.rows, below.rows) == (["input"], ["target"])
    for line, expected in (
        (above, [("c", 1, True), ("d", 1, False), ("a", 0, True), ("b", 0, False)]),
        (below, [("a", 0, True), ("b", 0, False), ("c", 1, True), ("d", 1, False)]),
    ):
        boxes = [box for _, _, box in line.boxes(line.rows[0])]
        assert [(box.text, box.sentence, box.first) for box in boxes[:-1]] == expected
        assert boxes[-1].sentence is None


def test_a_long_span_goes_on_in_the_next_line():
    example = causal_lm(list(range(10, 30)))
    lines = view.lay_out(example, name, 12)
    assert len(lines) == 4  # five boxes of 2.2 characters fit
    masked = Denoised(
        [BLANK, 30], list(range(10, 30)), [MASK, 20], list(range(20))
    )  # all but the last hidden
    marks = [
        block.above[0].text for line in view.lay_out(masked, name, 12) for block in line.blocks
    ]
    assert marks == ["<mask>", "…", "…", "…", "u"]


documents = st.lists(st.lists(st.integers(10, 40), min_size=1, max_size=9), min_size=2, max_size=9)


@pytest.mark.parametrize("columns", [9, 30, 84])
@given(document=documents, seed=st.integers(0, 999))
def test_every_token_has_one_box_and_lines_are_kept(columns, document, seed):
    generator = np.random.default_rng(seed)
    text = [token for sentence in document for token in sentence]
    marks = {"mask_token_id": BLANK, "eos_token_id": EOS}
    spans = {"sentinels": [*SENTINELS, *range(200, 260)], "eos_token_id": EOS}
    for example in (
        span_corruption(text, generator, noise_density=0.4, roll=True, **spans),
        mixture_of_denoisers(text, generator, **spans, modes={"R": 80, "S": 80, "X": 80}),
        text_infilling(text, generator, **marks, bos_token_id=0),
        text_infilling(text, generator, **marks, noise_density=0.9, poisson_lambda=0.5),
        shuffle_and_infill(document, generator, **marks),
        sentence_permutation(document, generator, eos_token_id=EOS),
        gap_sentences(document, **marks),
        prefix_lm(text, generator, eos_token_id=EOS),
        causal_lm(text),
    ):
        lines = view.lay_out(example, name, columns)
        rows = {"input": [], "target": []}
        for line in lines:
            for row in line.rows:
                boxes = list(line.boxes(row))
                rows[row] += [box.text for _, _, box in boxes if box.text != "…"]
                ends = [0.0, *(x + w for x, w, _ in boxes)]
                assert all(x >= end - 1e-9 for end, (x, _, _) in zip(ends, boxes, strict=False))
                # a block can be longer than a line only if it can't be cut
                assert ends[-1] <= columns + 1e-9 or len(line.blocks) == 1
        assert sorted(rows["input"]) == sorted(map(name, example.input_ids))
        assert rows["target"] == [name(token) for token in example.labels]


def test_an_example_without_origins_is_refused():
    with pytest.raises(ValueError, match="does not know where its tokens stood"):
        view.lay_out(Denoised([10], [11, 12]), name, 84)
